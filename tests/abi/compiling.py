"""Compiles the small C programs of the tests, as an application's authors would."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).parent / "c"
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")


def compile_c(source: Path, target: Path, *options: str) -> Path:
    """Compile `source` to `target` without any warning; return `target`."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    return _compile([*compiler, *STRICT, *options], source, target)


def compile_cpp(source: Path, target: Path, *options: str) -> Path:
    """Compile `source` as C++ to `target` without any warning; return `target`."""
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    return _compile([*compiler, *STRICT, *options, "-x", "c++"], source, target)


def _compile(command: list[str], source: Path, target: Path) -> Path:
    rest = [str(source), "-x", "none", "-o", str(target), "-ldl", "-pthread"]
    done = subprocess.run(
        [*command, f"-I{ROOT / 'include'}", f"-I{SOURCES}", *rest],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target
