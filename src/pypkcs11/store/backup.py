"""Backups: a token as one file, taken while others write, and put back.

A backup is a token's file like any other, as it was at one instant: everything that is sealed stays
sealed, and what opens it are the PINs of that instant.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from pypkcs11.standard.constants import CKR_ACTION_PROHIBITED, CKR_TOKEN_NOT_RECOGNIZED
from pypkcs11.standard.errors import CryptokiError, MediumError
from pypkcs11.store import files, schema, serials
from pypkcs11.store.database import Database, connect, translate, translate_os
from pypkcs11.store.sqlite import SqliteDirectory

#: Seconds between attempts to write where another process does.
_PAUSE: Final = 0.01

#: How many numbers of changes are left out where nobody knows how far the lost token had come.
_LOST: Final = 1 << 20


def back_up(directory: SqliteDirectory, serial: str, path: str, *, overwrite: bool = False) -> None:
    """Write a token, as it is now, to one file of mode 0600. Others may read and write meanwhile.

    The file is whole and checked when it gets its name, or it does not get it.

    :param path: the file to write; its directory is there.
    :param overwrite: whether it may replace a file.
    :raises CryptokiError: CKR_ACTION_PROHIBITED when the file is there and may not be replaced;
        CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED and what the media deserve.
    """
    source = directory.database(serial)
    try:
        with _copy(path) as (temporary, copy):
            with source.reading() as now:
                now.connection.backup(copy)
            _check(copy, path)
            copy.close()
            _publish(temporary, path, overwrite)
    finally:
        source.close()


def restore(directory: SqliteDirectory, path: str, *, overwrite: bool = False) -> str:
    """Put a token back from a backup; return its serial.

    A token that is there is replaced in one transaction: programs that use it see all of it change
    at their next call, and a crash leaves the old or the new. Numbers of changes go on, so that
    no object gets a number that another has had, and the monotonic counter never goes back.

    :param overwrite: whether a token of the same serial may be replaced.
    :raises CryptokiError: CKR_ACTION_PROHIBITED when the token is there and may not be replaced;
        CKR_TOKEN_NOT_RECOGNIZED when the file is no backup, and what the media deserve.
    """
    with directory.locked(), _copy(os.path.join(directory.path, "restored")) as (temporary, copy):
        _read(path, copy)
        (serial,) = copy.execute("SELECT serial FROM token").fetchone() or ("",)
        if not isinstance(serial, str) or not serials.is_serial(serial):
            raise MediumError(CKR_TOKEN_NOT_RECOGNIZED, f"{path} is damaged")
        target = directory.file_of(serial)
        if os.path.lexists(target) and not overwrite:
            raise CryptokiError(CKR_ACTION_PROHIBITED, f"{target} is there")
        _put(copy, temporary, target)
    return serial


def _read(path: str, copy: sqlite3.Connection) -> None:
    """Copy a backup, which is only read and may be on a medium that takes no changes."""
    try:
        # A log beside it means that it is the file of a token in use, and not whole without.
        immutable = not os.path.exists(f"{path}-wal")
        os.stat(path)
        source = connect(os.path.abspath(path), f"mode=ro&immutable={immutable:d}")
        try:
            source.backup(copy)
        finally:
            source.close()
        schema.check(copy, path)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise translate_os(error, path) from error
    _check(copy, path)


def _put(copy: sqlite3.Connection, temporary: str, target: str) -> None:
    """Make a copy the token: in place of the one that is there, or as a file of its own."""
    there: Database | None = None
    if os.path.lexists(target):
        # A damaged file is replaced as a whole; nobody can have it open to any use.
        with suppress(CryptokiError):
            there = Database(target)
    if there is None:
        _renumber(copy, _LOST)
        copy.close()
        files.unlink_companions(target)
        _publish(temporary, target, overwrite=True)
        return
    try:
        with there.lock, there.errors():
            _, last = there.peek()
            number = _renumber(copy, 1, last)
            there.counter.announce(number)
            with there.whole() as connection:
                copy.backup(connection, sleep=_PAUSE)
            there.counter.announce(number)
    finally:
        there.close()


def _renumber(copy: sqlite3.Connection, step: int, last: int = 0) -> int:
    """Let every object be changed, and everything else be removed, by one change yet to come."""
    (own,) = copy.execute("SELECT change FROM token").fetchone()
    number = max(int(own), last) + step
    copy.execute("BEGIN")
    copy.execute("UPDATE object SET change = ?", (number,))
    copy.execute("DELETE FROM removed")
    copy.execute("UPDATE token SET change = ?, forgotten = ?", (number, number))
    copy.execute("COMMIT")
    return number


@contextmanager
def _copy(path: str) -> Iterator[tuple[str, sqlite3.Connection]]:
    """A new database beside ``path``, under a name of its own while the block runs."""
    path = os.path.abspath(path)
    temporary = os.path.join(os.path.dirname(path), f".backup.{os.urandom(8).hex()}")
    try:
        files.make(temporary)
        copy = connect(temporary)
        try:
            yield temporary, copy
        finally:
            copy.close()
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise translate_os(error, path) from error
    finally:
        files.unlink_companions(temporary)
        files.unlink(temporary)


def _check(copy: sqlite3.Connection, path: str) -> None:
    """See that a copy is sound, and make it a single file."""
    copy.execute("PRAGMA journal_mode = DELETE")
    (result,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if result != "ok":
        raise MediumError(CKR_TOKEN_NOT_RECOGNIZED, f"{path} is damaged: {result}")


def _publish(temporary: str, path: str, overwrite: bool) -> None:
    path = os.path.abspath(path)
    files.sync(temporary)
    if overwrite:
        os.rename(temporary, path)
    elif not files.publish(temporary, path):
        raise CryptokiError(CKR_ACTION_PROHIBITED, f"{path} is there")
    files.sync(os.path.dirname(path))
