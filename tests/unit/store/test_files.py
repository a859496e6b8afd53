"""What lies in the directory, and what happens when it does not lie there as it should."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.store.support import CHEAP, SO_PIN, USER_PIN, fails, record, run

from pypkcs11.standard.constants import (
    CKR_ARGUMENTS_BAD,
    CKR_DEVICE_ERROR,
    CKR_DEVICE_MEMORY,
    CKR_DEVICE_REMOVED,
    CKR_PIN_INCORRECT,
    CKR_PIN_LOCKED,
    CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED,
    CKR_TOKEN_WRITE_PROTECTED,
)
from pypkcs11.store import database, schema, serials
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import SqliteDirectory, SqliteTokenStore


def file_of(store: SqliteTokenStore) -> Path:
    path = store._database.path
    assert path is not None
    return Path(path)


@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_only_the_owner_can_read_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    program = """
import os, sys
os.umask(int(sys.argv[2]))
from pathlib import Path
from unit.store.support import CHEAP, SO_PIN, record
from pypkcs11.store.sqlite import SqliteDirectory
directory = SqliteDirectory(Path(sys.argv[1]), kdf=CHEAP)
token = directory.create(directory.next_serial(), "", SO_PIN)
token.insert([record()])
directory.next_serial()
for name in sorted(os.listdir(sys.argv[1])):
    print(oct(os.stat(os.path.join(sys.argv[1], name)).st_mode), name.partition(".")[2] or name)
"""
    path = tmp_path / "a" / "b"
    modes = dict(reversed(line.split()) for line in run(program, path, mask).splitlines())
    assert modes == dict.fromkeys(
        ["lock", "changes", "token", "token-shm", "token-wal", "next"], "0o100600"
    )
    for made in (path, path.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_nothing_is_made_before_something_is_written(tmp_path: Path) -> None:
    directory = SqliteDirectory(tmp_path / "tokens", kdf=CHEAP)
    assert directory.serials() == []
    assert not Path(directory.path).exists()


def test_a_directory_that_cannot_be_has_no_tokens(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    directory = SqliteDirectory(tmp_path / "file" / "tokens", kdf=CHEAP)
    assert directory.serials() == []
    serial = directory.next_serial()
    assert serials.is_serial(serial) and directory.next_serial() == serial
    with fails(CKR_DEVICE_ERROR):
        directory.create(serial, "", SO_PIN)


def test_the_next_serial_is_the_same_for_all_until_used(sqlite: SqliteDirectory) -> None:
    other = SqliteDirectory(sqlite.path, kdf=CHEAP)
    first = sqlite.next_serial()
    assert other.next_serial() == first
    sqlite.create(first, "", SO_PIN)
    second = other.next_serial()
    assert second != first and sqlite.next_serial() == second


def test_a_serial_gives_a_slot_of_its_own() -> None:
    taken = ["00000000FFFFFFFF"]
    assert serials.slot_id(taken[0]) == 0x7FFFFFFF
    assert not serials.is_free("111111117FFFFFFF", taken)
    assert not serials.is_free("1111111180000000", taken)
    assert serials.is_free("1111111180000001", taken)
    assert not serials.is_free("111111118000000g", taken)


def test_a_damaged_next_serial_is_replaced(sqlite: SqliteDirectory) -> None:
    sqlite.next_serial()
    for content in ("", "nonsense", "1234567800000000", "\xff\xfe"):
        (Path(sqlite.path) / "next").write_bytes(content.encode("latin-1"))
        serial = sqlite.next_serial()
        assert serials.is_free(serial, []) and serial != content
        assert sqlite.next_serial() == serial


def test_a_path_is_no_serial(sqlite: SqliteDirectory) -> None:
    for wrong in ("", "../../etc/passwd", "0123456789abcdef", "0123456789ABCDEF0"):
        with fails(CKR_ARGUMENTS_BAD):
            sqlite.open(wrong)
    with fails(CKR_TOKEN_NOT_PRESENT):
        sqlite.open("0123456789ABCDEF")


# -- files that are not what they should be --------------------------------------------------


def damage(store: SqliteTokenStore, statement: str) -> None:
    connection = sqlite3.connect(file_of(store))
    connection.execute(statement)
    connection.commit()
    connection.close()


def overwrite(store: SqliteTokenStore, data: bytes) -> None:
    file_of(store).write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda store: overwrite(store, b""),
        lambda store: overwrite(store, b"not a database" * 100),
        lambda store: overwrite(store, file_of(store).read_bytes()[:5000]),
        lambda store: damage(store, f"PRAGMA user_version = {schema.VERSION + 1}"),
        lambda store: damage(store, "PRAGMA application_id = 1"),
        lambda store: damage(store, "UPDATE token SET serial = '0123456789ABCDEF'"),
        lambda store: damage(store, "UPDATE token SET generation = 7"),
        lambda store: damage(store, "UPDATE token SET change = -1"),
        lambda store: damage(store, "CREATE TRIGGER t AFTER INSERT ON object BEGIN SELECT 1; END"),
    ],
    ids=[
        "empty", "other", "cut", "newer", "application", "another", "type", "negative", "trigger",
    ],
)  # fmt: skip
def test_one_bad_token_harms_no_other(
    sqlite: SqliteDirectory,
    sqlite_token: SqliteTokenStore,
    harm: Callable[[SqliteTokenStore], None],
) -> None:
    good = sqlite.create(sqlite.next_serial(), "good", SO_PIN)
    sqlite.close()
    harm(sqlite_token)
    directory = SqliteDirectory(sqlite.path, kdf=CHEAP)
    assert set(directory.serials()) == {good.serial, sqlite_token.serial}
    with fails(CKR_TOKEN_NOT_RECOGNIZED):
        directory.open(sqlite_token.serial)
    directory.open(good.serial).unlock(Role.SO, SO_PIN, 0)
    directory.remove(sqlite_token.serial)
    assert directory.serials() == [good.serial]


def test_an_older_version_is_migrated(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_token.insert([record(1)])
    sqlite.close()
    later = (*schema.MIGRATIONS, "ALTER TABLE token ADD COLUMN colour TEXT")
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    monkeypatch.setattr(schema, "VERSION", len(later))
    token = SqliteDirectory(sqlite.path, kdf=CHEAP).open(sqlite_token.serial)
    with token._database.reading() as now:
        assert now.connection.execute("SELECT colour FROM token").fetchone() == (None,)
    token.unlock(Role.USER, USER_PIN, 0)
    assert len(token.load(private=False)) == 1


def test_half_a_token_is_none(sqlite: SqliteDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut while a token is made; what it left is no token and in no one's way."""

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", power_cut)
    with pytest.raises(KeyboardInterrupt):
        sqlite.create(sqlite.next_serial(), "", SO_PIN)
    monkeypatch.undo()
    assert sqlite.serials() == []
    assert {path.name for path in Path(sqlite.path).iterdir()} == {"next", ".lock"}
    sqlite.create(sqlite.next_serial(), "", SO_PIN)


def test_a_file_system_without_links_will_do(
    sqlite: SqliteDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EPERM, "not supported")

    monkeypatch.setattr(os, "link", unsupported)
    serial = sqlite.next_serial()
    sqlite.create(serial, "label", SO_PIN)
    assert sqlite.open(serial).describe().label == "label"
    with fails(CKR_PIN_INCORRECT):
        sqlite.create(serial, "label", SO_PIN)


# -- the shared number -----------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["remove", "replace", "empty", "truncate", "nonsense"])
def test_a_harmed_counter_delays_but_loses_nothing(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, harm: str
) -> None:
    path = file_of(sqlite_token).with_suffix(".changes")
    reader = sqlite.open(sqlite_token.serial)
    reader.poll()
    if harm == "nonsense":
        path.write_bytes(b"\xff" * 8)
    elif harm == "truncate":
        os.truncate(path, 0)  # whoever has it mapped and looks is killed
    else:
        path.unlink()
        if harm != "remove":
            path.write_bytes(bytes(8) if harm == "replace" else b"")
    writer = SqliteDirectory(sqlite.path, kdf=CHEAP).open(sqlite_token.serial)
    for _ in range(2):
        [id_] = writer.insert([record()])
        time.sleep(0.06)
        changes = reader.poll()
        assert changes is not None and [new.id for new in changes.changed] == [id_]
    # The mapping is renewed by now: no more delay.
    [id_] = writer.insert([record()])
    changes = reader.poll()
    assert changes is not None and [new.id for new in changes.changed] == [id_]


def test_without_a_counter_every_look_is_into_the_database(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(sqlite_token).with_suffix(".changes")
    sqlite.close()
    path.unlink()
    path.mkdir()  # so that none can be made
    first, second = (sqlite.open(sqlite_token.serial) for _ in range(2))
    first.unlock(Role.USER, USER_PIN, 0)
    for _ in range(3):
        [id_] = first.insert([record()])
        changes = second.poll()
        assert changes is not None and [new.id for new in changes.changed] == [id_]
        assert first.poll() is second.poll() is None


# -- replaced, removed, full, read-only ------------------------------------------------------


def test_a_token_removed_by_hand_is_gone(sqlite_token: SqliteTokenStore) -> None:
    file_of(sqlite_token).unlink()
    with fails(CKR_DEVICE_REMOVED):
        sqlite_token.insert([record()])
    time.sleep(0.06)
    with fails(CKR_DEVICE_REMOVED):
        sqlite_token.poll()


def test_a_token_restored_from_a_copy_is_read_anew(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, tmp_path: Path
) -> None:
    path = file_of(sqlite_token)
    sqlite_token.insert([record(1)])
    sqlite_token.close()
    shutil.copy(path, tmp_path / "copy")
    token = sqlite.open(sqlite_token.serial)
    token.insert([record(2)])
    with token._database.writing() as now:
        pass
    now.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.replace(tmp_path / "copy", path)
    time.sleep(0.06)
    changes = token.poll()
    assert changes is not None and changes.everything
    assert [new.attributes[3] for new in changes.changed] == [b"label 1"]
    token.unlock(Role.USER, USER_PIN, 0)
    token.insert([record(4, private=True)])
    assert len(token.load(private=True)) == 1


def test_a_full_disk_is_reported_and_undone(sqlite_token: SqliteTokenStore) -> None:
    sqlite_token.insert([record()])
    connection = sqlite_token._writer._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with fails(CKR_DEVICE_MEMORY):
        sqlite_token.insert([record(n) for n in range(1000)])
    connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
    assert len(sqlite_token.load(private=False)) == 1
    sqlite_token.insert([record()])
    assert sqlite_token.poll() is None


@pytest.mark.parametrize(
    ("code", "rv"),
    [
        (sqlite3.SQLITE_READONLY, CKR_TOKEN_WRITE_PROTECTED),
        (sqlite3.SQLITE_FULL, CKR_DEVICE_MEMORY),
        (sqlite3.SQLITE_CORRUPT_VTAB, CKR_TOKEN_NOT_RECOGNIZED),
        (sqlite3.SQLITE_NOTADB, CKR_TOKEN_NOT_RECOGNIZED),
        (sqlite3.SQLITE_IOERR_FSYNC, CKR_DEVICE_ERROR),
    ],
)
def test_errors_are_translated(code: int, rv: int) -> None:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    assert database.translate(error, "NAME").args == (rv, "NAME: what SQLite says")


@pytest.fixture
def read_only(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore, tmp_path: Path
) -> Iterator[SqliteDirectory]:
    """The token with one private object, on a medium mounted read-only."""
    sqlite_token.unlock(Role.USER, USER_PIN, 0)
    sqlite_token.insert([record(1, private=True, secret={0x11: b"key"})])
    sqlite_token.lock()
    sqlite.close()
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for options in ("bind", "remount,bind,ro"):
        command = ["-o", options, str(sqlite.path), str(mounted)]
        done = subprocess.run(["mount", *command], capture_output=True)
        if done.returncode:
            subprocess.run(["umount", mounted], capture_output=True)
            pytest.skip("may not mount here")
    directory = SqliteDirectory(mounted, kdf=CHEAP)
    try:
        yield directory
    finally:
        directory.close()
        subprocess.run(["umount", "--lazy", mounted], check=True)


def test_a_read_only_medium_is_read(
    read_only: SqliteDirectory, sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    assert read_only.serials() == [sqlite_token.serial]
    assert serials.is_serial(read_only.next_serial())
    token = read_only.open(sqlite_token.serial)
    assert token.describe().write_protected
    for expected in (CKR_PIN_INCORRECT, CKR_PIN_INCORRECT, CKR_PIN_LOCKED):
        with fails(expected):
            token.unlock(Role.USER, b"wrong", 2)
    assert token.describe().failures[Role.USER] == 2
    token.unlock(Role.USER, USER_PIN, 0)
    [one] = token.load(private=True)
    assert token.secret(one.id) == {0x11: b"key"}
    assert token.poll() is None
    for call in (
        lambda: token.insert([record()]),
        lambda: token.delete(one.id),
        lambda: token.set_pin(Role.USER, b"5678"),
        lambda: read_only.create(read_only.next_serial(), "", SO_PIN),
        lambda: read_only.remove(token.serial),
    ):
        with fails(CKR_TOKEN_WRITE_PROTECTED):
            call()
    # Who may write elsewhere is seen here.
    writer = sqlite.open(token.serial)
    writer.insert([record(2)])
    writer.close()
    time.sleep(0.06)
    changes = token.poll()
    assert changes is not None and changes.everything
    assert [new.attributes[3] for new in changes.changed] == [b"label 2"]
