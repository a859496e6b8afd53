"""Backups: taken while others write, put back whole or not at all."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from unit.store.support import CHEAP, SO_PIN, USER_PIN, fails, record

from pypkcs11.standard.constants import (
    CKR_ACTION_PROHIBITED,
    CKR_PIN_INCORRECT,
    CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED,
)
from pypkcs11.store import schema
from pypkcs11.store.backup import back_up, restore
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import SqliteDirectory, SqliteTokenStore

SECRET = {0x11: b"very secret"}


@pytest.fixture
def saved(sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, tmp_path: Path) -> str:
    """A backup of the token with one private object, the token being open."""
    sqlite_token.unlock(Role.USER, USER_PIN, 0)
    sqlite_token.insert([record(1, private=True, secret=SECRET)])
    path = str(tmp_path / "saved")
    back_up(sqlite, sqlite_token.serial, path)
    return path


def labels(token: SqliteTokenStore) -> list[object]:
    return [one.attributes[3] for one in token.load(private=True)]


def test_a_backup_is_one_file_of_its_owner(saved: str) -> None:
    path = Path(saved)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [name.name for name in path.parent.iterdir() if name.is_file()] == ["saved"]


def test_it_is_restored_elsewhere(
    saved: str, tmp_path: Path, sqlite_token: SqliteTokenStore
) -> None:
    elsewhere = SqliteDirectory(tmp_path / "elsewhere", kdf=CHEAP)
    assert restore(elsewhere, saved) == sqlite_token.serial
    assert elsewhere.serials() == [sqlite_token.serial]
    for path in Path(elsewhere.path).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = elsewhere.open(sqlite_token.serial)
    token.unlock(Role.USER, USER_PIN, 0)
    [one] = token.load(private=True)
    assert token.secret(one.id) == SECRET
    assert one.attributes[3] == b"label 1"
    [new] = token.insert([record(2)])
    assert new > sqlite_token.insert([record(2)])[0]
    assert os.path.exists(saved)
    elsewhere.close()


def test_nothing_is_overwritten_unasked(
    saved: str, sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    before = Path(saved).read_bytes()
    with fails(CKR_ACTION_PROHIBITED):
        back_up(sqlite, sqlite_token.serial, saved)
    assert Path(saved).read_bytes() == before
    sqlite_token.insert([record(2, private=True)])
    with fails(CKR_ACTION_PROHIBITED):
        restore(sqlite, saved)
    assert labels(sqlite_token) == [b"label 1", b"label 2"]
    back_up(sqlite, sqlite_token.serial, saved, overwrite=True)
    assert Path(saved).read_bytes() != before


def test_who_uses_a_token_sees_it_restored(
    saved: str, sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    [kept] = sqlite_token.load(private=True)
    [later, public] = sqlite_token.insert([record(2, private=True), record(3)])
    sqlite_token.delete(kept.id)
    counted = sqlite_token.count()
    restore(sqlite, saved, overwrite=True)
    changes = sqlite_token.poll()
    assert changes is not None
    assert [one.id for one in changes.changed] == [kept.id]
    assert {later, public} <= set(changes.removed) and kept.id not in changes.removed
    assert sqlite_token.secret(kept.id) == SECRET
    assert sqlite_token.poll() is None
    assert sqlite_token.count() > counted
    [new] = sqlite_token.insert([record(4, private=True)])
    assert new > public


def test_who_is_logged_in_is_not_after_another_token_key_is_back(
    saved: str, sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    sqlite_token.initialise("anew", b"another so pin")
    sqlite_token.unlock(Role.SO, b"another so pin", 0)
    restore(sqlite, saved, overwrite=True)
    changes = sqlite_token.poll()
    assert changes is not None and changes.everything
    with fails(CKR_PIN_INCORRECT):
        sqlite_token.unlock(Role.SO, b"another so pin", 0)
    sqlite_token.unlock(Role.SO, SO_PIN, 0)
    sqlite_token.unlock(Role.USER, USER_PIN, 0)
    assert labels(sqlite_token) == [b"label 1"]


def test_a_backup_is_of_one_instant(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, tmp_path: Path
) -> None:
    """Each change of the writer's is of two objects."""
    stop = threading.Event()
    writer = sqlite.open(sqlite_token.serial)
    writer.unlock(Role.USER, USER_PIN, 0)

    def write() -> None:
        while not stop.is_set():
            writer.insert([record(1, private=True), record(2)])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(10):
            back_up(sqlite, sqlite_token.serial, str(tmp_path / f"saved{number}"))
    finally:
        stop.set()
        thread.join()
    counts = []
    for number in range(10):
        copies = SqliteDirectory(tmp_path / f"copies{number}", kdf=CHEAP)
        restore(copies, str(tmp_path / f"saved{number}"))
        token = copies.open(sqlite_token.serial)
        token.unlock(Role.USER, USER_PIN, 0)
        private, public = token.load(private=True), token.load(private=False)
        assert len(private) == len(public)
        counts.append(len(private))
        copies.close()
    assert counts == sorted(counts) and counts[-1] > counts[0]


def damage(path: str, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("harm", ["text", "empty", "cut", "page", "newer", "serial", "row"])
def test_what_is_no_backup_harms_nothing(
    saved: str, sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, harm: str
) -> None:
    data = Path(saved).read_bytes()
    statements = {
        "newer": f"PRAGMA user_version = {schema.VERSION + 1}",
        "serial": "UPDATE token SET serial = '../../x'",
        "row": "DELETE FROM token",
    }
    contents = {
        "text": b"no backup at all" * 100,
        "empty": b"",
        "cut": data[:8192],
        "page": data[:8192] + bytes(4096) + data[12288:],
    }
    if harm in statements:
        damage(saved, statements[harm])
    else:
        Path(saved).write_bytes(contents[harm])
    with fails(CKR_TOKEN_NOT_RECOGNIZED):
        restore(sqlite, saved, overwrite=True)
    assert labels(sqlite_token) == [b"label 1"]
    assert not [name for name in os.listdir(sqlite.path) if name.startswith(".backup")]


def test_a_damaged_token_is_replaced(
    saved: str, sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    sqlite.close()
    (Path(sqlite.path) / f"{sqlite_token.serial}.token").write_bytes(b"damaged" * 1000)
    restore(sqlite, saved, overwrite=True)
    token = sqlite.open(sqlite_token.serial)
    token.unlock(Role.USER, USER_PIN, 0)
    assert labels(token) == [b"label 1"]


def test_what_is_not_there_is_not_backed_up(sqlite: SqliteDirectory, tmp_path: Path) -> None:
    with fails(CKR_TOKEN_NOT_PRESENT):
        back_up(sqlite, "0123456789ABCDEF", str(tmp_path / "saved"))
    with fails(CKR_TOKEN_NOT_PRESENT):
        restore(sqlite, str(tmp_path / "saved"))
    assert not (tmp_path / "saved").exists()
