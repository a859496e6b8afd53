"""Choose the Python that the library embeds.

It must be 3.11 or newer, with a shared libpython and its headers (the library links with it) and a
working ``venv``. The machine's own ``python3`` comes first, because a Python program that loads the
library must be of the same minor version. Of Debian's own Python, what is missing can be installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field

from report import SetupError

OLDEST = (3, 11)
NAMES = ("python3", "python3.13", "python3.12", "python3.11")
DEBIAN_DIRECTORY = "/usr/bin"

PROBE = """
import importlib.util, json, os, sys, sysconfig
get = sysconfig.get_config_var
library = os.path.join(get("LIBDIR") or "", get("LDLIBRARY") or "")
header = os.path.join(sysconfig.get_path("include"), "Python.h")
print(json.dumps({
    "version": list(sys.version_info[:2]),
    "executable": os.path.realpath(sys.executable),
    "shared": bool(get("Py_ENABLE_SHARED")) and os.path.exists(library),
    "headers": os.path.exists(header),
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """One candidate: the command that starts it, and what it lacks."""

    command: str
    version: tuple[int, int]
    lacking: tuple[str, ...] = ()
    missing_packages: list[str] = field(default_factory=list)

    def lacks(self) -> str:
        return ", ".join(self.lacking)


def choose(wanted: str = "") -> Interpreter:
    """The interpreter to use: ``wanted`` if given, or the first that fits.

    Its ``missing_packages`` are the Debian packages that complete it. Raises SetupError when no
    interpreter fits or can be made to.
    """
    found = [examined for command in _candidates(wanted) if (examined := examine(command))]
    usable = [one for one in found if one.version >= OLDEST]
    for one in usable:
        if not one.lacking:
            return one
    for one in usable:
        if one.missing_packages:
            return one
    if not wanted and not usable and _debian_offers_one():
        return Interpreter("/usr/bin/python3", OLDEST, ("everything",), _packages_for("3"))
    seen = "; ".join(f"{one.command} lacks {one.lacks() or 'nothing but age'}" for one in found)
    raise SetupError(
        f"no Python >= {OLDEST[0]}.{OLDEST[1]} with a shared libpython, its headers and venv"
        f" was found ({seen or 'none answered'}).\nName one with: make PYTHON=/path/to/python3"
    )


def examine(command: str) -> Interpreter | None:
    """Ask a Python what it has; None if it does not answer."""
    try:
        answer = subprocess.run(
            [command, "-I", "-c", PROBE], capture_output=True, text=True, check=False, timeout=60
        )
    except OSError:
        return None
    if answer.returncode != 0:
        return None
    facts = json.loads(answer.stdout)
    version = (int(facts["version"][0]), int(facts["version"][1]))
    lacking = tuple(name for name in ("shared", "headers", "venv") if not facts[name])
    names = {"shared": "a shared libpython", "headers": "Python.h", "venv": "venv or ensurepip"}
    is_debians = os.path.dirname(facts["executable"]) == DEBIAN_DIRECTORY
    return Interpreter(
        command,
        version,
        tuple(names[name] for name in lacking),
        _packages_for(f"{version[0]}.{version[1]}") if lacking and is_debians else [],
    )


def _candidates(wanted: str) -> list[str]:
    if wanted:
        return [wanted]
    paths = (shutil.which(name) for name in NAMES)
    debians = (os.path.join(DEBIAN_DIRECTORY, name) for name in NAMES)
    return list(dict.fromkeys(path for path in (*paths, *debians) if path))


def _packages_for(version: str) -> list[str]:
    """Debian's packages for a Python that can be embedded; -dev brings the shared libpython."""
    return [f"python{version}", f"python{version}-dev", f"python{version}-venv"]


def _debian_offers_one() -> bool:
    """Whether Debian's python3, which is not installed, would be new enough (Debian 12 is)."""
    if os.path.exists("/usr/bin/python3"):
        return False
    try:
        with open("/etc/debian_version", encoding="ascii") as release:
            return int(release.read().partition(".")[0]) >= 12
    except (OSError, ValueError):
        return False
