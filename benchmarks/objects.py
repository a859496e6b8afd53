"""What the objects of a token cost, from ten to many, side by side with another module.

    python benchmarks/objects.py [--counts 10,100,...] [--softhsm PATH] [--softhsm-most 1000]
                                 [--csv FILE] [--directory DIR] [LIBRARY]

Prints a table, and writes the same as CSV. Tokens are made below DIR (the system's temporary
directory otherwise): give one on the disk that matters, because creating keys is mostly waiting for
it. SoftHSM is given fewer keys, because making many takes hours.
"""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SOFTHSM = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
#: What is measured, and the heading of its column.
FIGURES = {
    "initialize_ms": "C_Initialize ms",
    "login_and_first_search_ms": "login+search ms",
    "memory_per_object": "octets/object",
    "search_us": "search µs",
    "refresh_us": "refresh µs",
    "create_per_s": "create/s",
    "destroy_per_s": "destroy/s",
}


class Module(NamedTuple):
    """A module, and the environment in which its tokens are in a directory."""

    name: str
    path: str
    environment: dict[str, str]


def modules(arguments: argparse.Namespace, directory: Path) -> Iterator[Module]:
    """The library of this project, and SoftHSM if it is there."""
    yield Module("pypkcs11", arguments.library, {"PYPKCS11_TOKEN_DIR": str(directory)})
    if Path(arguments.softhsm).exists():
        configuration = directory.with_suffix(".conf")
        configuration.write_text(
            f"directories.tokendir = {directory}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        yield Module("SoftHSM", arguments.softhsm, {"SOFTHSM2_CONF": str(configuration)})


def run(program: Path, module: Module, what: str, count: int) -> dict[str, float]:
    """Run one of the program's parts; return its figures."""
    command = [program, module.path, what, str(count)]
    environment = {**os.environ, **module.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{module.name}, {count} objects, {what}: {done.stderr.strip()}")
    pairs = (line.split() for line in done.stdout.splitlines())
    return {name: float(value) for name, value in pairs}


def measure(program: Path, module: Module, directory: Path, count: int) -> dict[str, float]:
    """The figures of a module with so many objects."""
    directory.mkdir(mode=0o700)
    figures = run(program, module, "fill", count)
    for what in ("measure", "refresh"):
        figures |= run(program, module, what, count)
    return figures


def compile_program(target: Path) -> Path:
    """Compile objects.c."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source = ROOT / "benchmarks" / "objects.c"
    options = ["-O2", f"-I{ROOT / 'include'}", "-o", str(target), str(source), "-ldl"]
    subprocess.run([*compiler, *options], check=True)
    return target


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", nargs="?", default=str(ROOT / "build" / "libpypkcs11.so"))
    parser.add_argument("--counts", default="10,100,1000,10000,100000")
    parser.add_argument("--softhsm", default=next(filter(os.path.exists, SOFTHSM), ""))
    parser.add_argument("--softhsm-most", type=int, default=1000)
    parser.add_argument("--csv", default=str(ROOT / "build" / "objects.csv"))
    parser.add_argument("--directory")
    arguments = parser.parse_args()
    rows = []
    print(f"{'module':10}{'objects':>9}", *(f"{title:>16}" for title in FIGURES.values()))
    with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
        program = compile_program(Path(place, "objects"))
        for count in map(int, arguments.counts.split(",")):
            for number, module in enumerate(modules(arguments, Path(place, f"tokens{count}"))):
                if number and count > arguments.softhsm_most:
                    continue
                directory = Path(place, f"tokens{count}")
                figures = measure(program, module, directory, count)
                directory.rename(f"{directory}.{number}")
                rows.append({"module": module.name, "objects": count, **figures})
                shown = (f"{figures[name]:16.1f}" for name in FIGURES)
                print(f"{module.name:10}{count:9}", *shown, flush=True)
    Path(arguments.csv).parent.mkdir(exist_ok=True)
    with open(arguments.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, ["module", "objects", *FIGURES], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
