"""C_GetFunctionList, C_GetInterfaceList and C_GetInterface, before C_Initialize."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

from abi.compiling import ROOT, SOURCES, compile_c


def test_lists_and_interfaces(library: Path, tmp_path: Path) -> None:
    with (ROOT / "tables" / "functions.csv").open(newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    program = compile_c(SOURCES / "interfaces.c", tmp_path / "interfaces", "-std=gnu11")
    done = subprocess.run(
        [program, library, *names], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
