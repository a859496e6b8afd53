"""The set-up: what it installs is pinned, and a second run has nothing to do."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
from clients.harness import run

UNPINNED = {"pip"}
"""What `python3 -m venv` brings along."""


def test_everything_installed_is_pinned(root: Path) -> None:
    if Path(sys.prefix) != root / ".venv":
        pytest.skip("these tests do not run in the environment that the set-up made")
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    installed = {
        re.sub(r"[-_.]+", "-", found.name).lower(): found.version
        for found in importlib.metadata.distributions()
    }
    assert {name: version for name, version in installed.items() if name not in UNPINNED} == {
        name: version for name, version in pinned.items() if name in installed
    }


def test_a_second_set_up_does_nothing(root: Path, library: Path, env: dict[str, str]) -> None:
    prepare = root / "tools" / "setup" / "prepare.py"
    again = run("python3", prepare, "build", env=env, cwd=root)
    assert again.text == ""


def test_help_names_the_targets(root: Path, env: dict[str, str]) -> None:
    listing = run("make", "-C", root, "help", env=env, cwd=root).text
    for target in ("demo", "test", "build", "install", "uninstall", "lint", "generate", "clean"):
        assert re.search(rf"^  make {target}\s+\S", listing, re.MULTILINE), listing
