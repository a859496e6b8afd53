"""The virtual environment in ``.venv`` and the pip packages in it.

The file ``.venv/set-up.json`` records what was installed from which inputs, so that a second run
has nothing to do and a changed ``pyproject.toml`` or ``constraints.txt`` is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from report import SetupError, run

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
RECORD = VENV / "set-up.json"
INPUTS = (ROOT / "pyproject.toml", ROOT / "constraints.txt", Path(__file__))

READ_REQUIREMENTS = """
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)
names = project["project"]["dependencies"] + project["build-system"]["requires"]
names += project["dependency-groups"].get(sys.argv[2], [])
print("\\n".join(names))
"""

COMMAND = """#!{python}
import sys

from pypkcs11.cli.main import main

sys.exit(main())
"""


def is_ready(group: str, wanted_python: str) -> bool:
    """Whether ``.venv`` holds what ``group`` needs, made from today's inputs."""
    record = _read_record()
    if not os.path.exists(PYTHON) or record.get("inputs") != _digest():
        return False
    if wanted_python and record.get("python") != shutil.which(wanted_python):
        return False
    return group in record.get("groups", [])


def create(command: str) -> None:
    """Make ``.venv`` with the given interpreter, unless it is there already."""
    path = shutil.which(command)
    if path is None:
        raise SetupError(f"there is no {command}")
    if _read_record().get("python") == path and _works():
        return
    run([path, "-m", "venv", "--clear", str(VENV)])
    _write_record({"python": path, "inputs": "", "groups": []})


def install(group: str) -> None:
    """Install the packages of ``group`` at the versions that constraints.txt pins."""
    names = subprocess.run(
        [str(PYTHON), "-c", READ_REQUIREMENTS, str(ROOT / "pyproject.toml"), group],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    run([str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--constraint", str(ROOT / "constraints.txt"), *sorted(set(names))])  # fmt: skip
    _put_the_tree_on_its_path()
    record = _read_record()
    same_inputs = record.get("inputs") == _digest()
    groups = {group, "build", *(record.get("groups", []) if same_inputs else [])}
    _write_record({**record, "inputs": _digest(), "groups": sorted(groups)})


def _put_the_tree_on_its_path() -> None:
    """Let the environment import the package from src, and give it the ``pypkcs11`` command."""
    site_packages = next((VENV / "lib").glob("python3*/site-packages"))
    (site_packages / "pypkcs11-tree.pth").write_text(f"{ROOT / 'src'}\n", encoding="utf-8")
    command = VENV / "bin" / "pypkcs11"
    command.write_text(COMMAND.format(python=PYTHON), encoding="utf-8")
    command.chmod(0o755)


def _works() -> bool:
    """Whether the environment's Python still starts and has pip."""
    if not os.path.exists(PYTHON):
        return False
    check = [str(PYTHON), "-c", "import pip"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def _digest() -> str:
    digest = hashlib.sha256(str(ROOT).encode())
    for path in INPUTS:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read_record() -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record


def _write_record(record: dict[str, Any]) -> None:
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
