"""Fixtures for the store: every implementation, with PINs that are cheap to try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.store.support import CHEAP, SO_PIN, USER_PIN

from pypkcs11.store.memory import MemoryDirectory
from pypkcs11.store.pins import KdfCost
from pypkcs11.store.protocol import Directory, Role, TokenStore
from pypkcs11.store.sqlite import SqliteDirectory, SqliteTokenStore


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteDirectory]:
    directory = SqliteDirectory(tmp_path / "tokens", kdf=CHEAP)
    yield directory
    directory.close()


@pytest.fixture(params=["sqlite", "memory"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    """One of each implementation in turn."""
    made: SqliteDirectory | MemoryDirectory
    if request.param == "sqlite":
        made = SqliteDirectory(tmp_path / "tokens", kdf=CHEAP)
    else:
        made = MemoryDirectory(kdf=KdfCost(memory=64, iterations=1))
    yield made
    made.close()


@pytest.fixture
def token(directory: Directory) -> TokenStore:
    """A token with both PINs set, locked."""
    return with_user_pin(directory.create(directory.next_serial(), "a label", SO_PIN))


@pytest.fixture
def sqlite_token(sqlite: SqliteDirectory) -> SqliteTokenStore:
    """The same, in a file."""
    store = sqlite.create(sqlite.next_serial(), "a label", SO_PIN)
    with_user_pin(store)
    return store


@pytest.fixture
def another(directory: Directory, token: TokenStore) -> Callable[[], TokenStore]:
    """Opens the token once more, as another process would."""
    return lambda: directory.open(token.serial)


def with_user_pin(store: TokenStore) -> TokenStore:
    store.unlock(Role.SO, SO_PIN, 0)
    store.set_pin(Role.USER, USER_PIN)
    store.lock()
    return store
