"""Fixtures that every kind of test may use. Nothing is built here: `make build` does that."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "build" / "libpypkcs11.so"


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def library() -> Path:
    """The built module, as programs load it."""
    if not LIBRARY.exists():
        pytest.fail(f"{LIBRARY} is missing: run 'make build' first", pytrace=False)
    return LIBRARY


@pytest.fixture
def token_dir(tmp_path: Path) -> Path:
    """An empty directory for tokens, readable by its owner alone."""
    directory = tmp_path / "tokens"
    directory.mkdir(mode=0o700)
    return directory
