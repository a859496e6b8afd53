"""Who can write the file can destroy it, but not change what it says unnoticed."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from unit.store.support import CHEAP, SO_PIN, USER_PIN, fails, record

from pypkcs11.standard.constants import CKR_DEVICE_ERROR, CKR_PIN_INCORRECT
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import SqliteDirectory, SqliteTokenStore

#: How many octets to flip, spread over the file: all of them from 30,000 on.
FLIPS = int(os.environ.get("PYPKCS11_TEST_FLIPS", "800"))


@pytest.fixture
def filled(sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore) -> SqliteTokenStore:
    """Objects 1 and 2 private, 3 and 4 public with a secret, 5 and 6 public."""
    sqlite_token.unlock(Role.USER, USER_PIN, 0)
    for number in range(1, 7):
        secret = {0x11: b"key %d" % number} if number < 5 else {}
        sqlite_token.insert([record(number, private=number < 3, secret=secret)])
    sqlite_token.lock()
    sqlite_token.close()
    return sqlite_token


def tamper(sqlite: SqliteDirectory, store: SqliteTokenStore, statement: str) -> SqliteTokenStore:
    connection = sqlite3.connect(Path(sqlite.path) / f"{store.serial}.token")
    connection.execute(statement)
    connection.commit()
    connection.close()
    return SqliteDirectory(sqlite.path, kdf=CHEAP).open(store.serial)


def read_all(token: SqliteTokenStore) -> list[tuple[int, bool, Any, Any]]:
    """Log in and read everything there is."""
    token.unlock(Role.USER, USER_PIN, 0)
    records = token.load(private=True) + token.load(private=False)
    return [(one.id, one.private, one.attributes, token.secret(one.id)) for one in records]


def swap(column: str, one: int, two: int) -> str:
    return (
        f"UPDATE object SET {column} = (SELECT o.{column} FROM object o"
        f" WHERE o.id = {one} + {two} - object.id) WHERE id IN ({one}, {two})"
    )


@pytest.mark.parametrize(
    "statement",
    [
        *(swap("attributes", one, two) for one, two in ((1, 2), (1, 3), (3, 4), (5, 6))),
        *(swap("secret", one, two) for one, two in ((1, 2), (3, 4), (1, 3), (1, 5))),
        swap("tag", 5, 6),
        "UPDATE object SET attributes = secret WHERE id = 1",
        "UPDATE object SET secret = attributes WHERE id = 1",
        "UPDATE object SET secret = tag WHERE id = 3",
        "UPDATE object SET secret = substr(secret, 1, 30) WHERE id = 1",
        "UPDATE object SET secret = 5 WHERE id = 1",
        "UPDATE object SET attributes = 'text' WHERE id = 5",
        "UPDATE object SET private = 0 WHERE id = 1",
        "UPDATE object SET private = 1 WHERE id = 3",
        "UPDATE object SET id = 7 WHERE id = 1",
        "UPDATE object SET id = 7 WHERE id = 6",
        "UPDATE object SET tag = NULL WHERE id = 3",
        "UPDATE object SET tag = 'text' WHERE id = 5",
        "UPDATE object SET secret = NULL WHERE id = 1",
        "UPDATE object SET secret = NULL WHERE id = 3",
        "UPDATE object SET tag = NULL, attributes = x'010000' WHERE id = 4",
        "UPDATE object SET attributes = x'010000' WHERE id = 5",
        "UPDATE token SET label = 'another'",
        "UPDATE token SET label = x'00'",
        "UPDATE token SET created = -1",
        "UPDATE token SET tag = x''",
        "UPDATE pin SET failures = 'many' WHERE role = 1",
        "UPDATE pin SET memory = 1 << 40 WHERE role = 1",
        "UPDATE pin SET iterations = 0 WHERE role = 1",
        "UPDATE pin SET salt = x'00' WHERE role = 1",
        "UPDATE pin SET envelope = zeroblob(61) WHERE role = 1",
        "UPDATE pin SET envelope = x'' WHERE role = 1",
    ],
)
def test_tampering_is_found(
    sqlite: SqliteDirectory, filled: SqliteTokenStore, statement: str
) -> None:
    with fails(CKR_DEVICE_ERROR):
        token = tamper(sqlite, filled, statement)
        token.describe()
        read_all(token)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pin SET envelope = (SELECT p.envelope FROM pin p WHERE p.role = 0) WHERE role = 1",
        "INSERT OR REPLACE INTO pin SELECT 1, failures, to_be_changed, memory, iterations, lanes,"
        " salt, envelope FROM pin WHERE role = 0",
        "UPDATE pin SET salt = randomblob(16)",
        "UPDATE pin SET iterations = 2",
        "UPDATE pin SET to_be_changed = 1",
        "UPDATE token SET generation = randomblob(16)",
    ],
)
def test_a_pin_works_at_its_own_place_only(
    sqlite: SqliteDirectory, filled: SqliteTokenStore, statement: str
) -> None:
    token = tamper(sqlite, filled, statement)
    for pin in (USER_PIN, SO_PIN):
        with fails(CKR_PIN_INCORRECT):
            token.unlock(Role.USER, pin, 0)


def test_rows_of_another_token_do_not_open(
    sqlite: SqliteDirectory, filled: SqliteTokenStore
) -> None:
    other = sqlite.create(sqlite.next_serial(), "other", SO_PIN)
    other.unlock(Role.SO, SO_PIN, 0)
    other.insert([record(1, private=True, secret={0x11: b"other"})])
    other.close()
    path = Path(sqlite.path) / f"{filled.serial}.token"
    connection = sqlite3.connect(path)
    connection.execute("ATTACH ? AS other", (str(Path(sqlite.path) / f"{other.serial}.token"),))
    connection.execute("DELETE FROM object WHERE id = 1")
    connection.execute("INSERT INTO object SELECT * FROM other.object WHERE id = 1")
    connection.commit()
    connection.close()
    with fails(CKR_DEVICE_ERROR):
        read_all(SqliteDirectory(sqlite.path, kdf=CHEAP).open(filled.serial))


def test_what_is_written_without_a_key_is_authenticated_from_the_next_login_on(
    sqlite: SqliteDirectory, filled: SqliteTokenStore
) -> None:
    token = SqliteDirectory(sqlite.path, kdf=CHEAP).open(filled.serial)
    [id_] = token.insert([record(7)])
    changed = f"UPDATE object SET attributes = x'010000' WHERE id = {id_}"
    token.close()
    # Without its tag it is whoever's who writes the file ...
    read_all(tamper(sqlite, filled, changed))
    # ... with its tag no longer.
    with fails(CKR_DEVICE_ERROR):
        read_all(tamper(sqlite, filled, changed.replace("010000", "01000000")))


def test_a_flipped_octet_is_found_or_harmless(
    sqlite: SqliteDirectory, filled: SqliteTokenStore, tmp_path: Path
) -> None:
    """Never another value, never a crash, never another exception than the standard's."""
    path = Path(sqlite.path) / f"{filled.serial}.token"
    good = path.read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    expected = read_all(SqliteDirectory(sqlite.path, kdf=CHEAP).open(filled.serial))
    known = {one[0]: one for one in expected}
    step = max(1, len(good) // FLIPS)
    found = 0
    # Other places every time, so that in time it is all of them.
    for position in range(random.randrange(step), len(good), step):
        data = bytearray(good)
        data[position] ^= 0x55
        for left in copy.iterdir():
            left.unlink()
        (copy / path.name).write_bytes(data)
        directory = SqliteDirectory(copy, kdf=CHEAP)
        try:
            seen = read_all(directory.open(filled.serial))
        except CryptokiError:
            found += 1
        else:
            assert all(known[one[0]] == one for one in seen), position
        finally:
            directory.close()
    assert found
