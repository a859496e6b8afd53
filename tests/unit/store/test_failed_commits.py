"""A change that fails at its last step hides no other process's change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from unit.store.support import USER_PIN, fails, record

from pypkcs11.standard.constants import CKR_DEVICE_ERROR
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.database import Database, Transaction
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import SqliteDirectory
from pypkcs11.store.sqlite_token import SqliteTokenStore


class _Window(set[int]):
    """The numbers that count as ours; lets others act when they are about to count no more."""

    act: Callable[[], None]

    def difference_update(self, *others: object) -> None:
        if self:
            self.act()
        super().difference_update(*others)  # type: ignore[arg-type]


def test_what_another_process_does_at_that_moment_is_seen(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = sqlite_token
    token.unlock(Role.USER, USER_PIN, 0)
    other = sqlite.open(token.serial)
    window = _Window()
    theirs: list[int] = []

    def meanwhile() -> None:
        theirs.extend(other.insert([record(7)]))
        assert token.poll() is None  # another thread of ours looks, and takes it for our change

    window.act = meanwhile
    writing = Database.writing

    @contextmanager
    def failing(database: Database) -> Iterator[Transaction]:
        with writing(database) as change:
            yield change
            monkeypatch.setattr(Database, "writing", writing)
            raise CryptokiError(CKR_DEVICE_ERROR, "the disk fails at COMMIT")

    monkeypatch.setattr(token, "_own", window)
    monkeypatch.setattr(Database, "writing", failing)
    with fails(CKR_DEVICE_ERROR):
        token.insert([record(1)])
    changes = token.poll()
    assert theirs
    assert changes is not None
    assert [changed.id for changed in changes.changed] == theirs
