"""What the library shows to the dynamic linker."""

from __future__ import annotations

import csv
import subprocess
from collections import Counter
from pathlib import Path

from abi.compiling import ROOT


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_exports_are_the_standards_functions_and_nothing_else(library: Path) -> None:
    with (ROOT / "tables" / "functions.csv").open(newline="") as file:
        since = {row["name"]: row["since"] for row in csv.DictReader(file)}
    symbols = [
        line.split() for line in output("nm", "-D", "--defined-only", str(library)).splitlines()
    ]
    assert {kind for _, kind, _ in symbols} == {"T"}
    exported = [name for _, _, name in symbols]
    assert sorted(exported) == sorted(since)
    assert Counter(since[name] for name in exported) == {"2.40": 68, "3.0": 24, "3.2": 12}


def test_stays_loaded_and_is_hardened(library: Path) -> None:
    dynamic = output("readelf", "--dynamic", "--wide", str(library))
    assert "NODELETE" in dynamic  # Python cannot be unloaded
    assert "NOW" in dynamic
    assert "TEXTREL" not in dynamic
    segments = output("readelf", "--segments", "--wide", str(library))
    assert "GNU_RELRO" in segments
    (stack,) = (line for line in segments.splitlines() if "GNU_STACK" in line)
    assert "RWE" not in stack


def test_needs_only_libpython_and_libc(library: Path) -> None:
    dynamic = output("readelf", "--dynamic", "--wide", str(library))
    needed = {
        line.split("[")[1].split(".so")[0] for line in dynamic.splitlines() if "NEEDED" in line
    }
    assert {name for name in needed if name.startswith("libpython3.")}
    assert {name for name in needed if not name.startswith("libpython3.")} <= {
        "libc",
        "libdl",
        "libpthread",
        "ld-linux-x86-64",
    }
