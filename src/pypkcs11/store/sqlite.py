"""A directory with one SQLite file per token: ``<SERIAL>.token``, readable by its owner only.

Beside a token lie SQLite's own ``-wal`` and ``-shm`` while it is open, and ``<SERIAL>.changes``
(see :mod:`pypkcs11.store.changes`); in the directory, ``next`` (see
:mod:`pypkcs11.store.serials`) and ``.lock``.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pypkcs11.standard.constants import (
    CKR_ARGUMENTS_BAD,
    CKR_PIN_INCORRECT,
    CKR_TOKEN_NOT_PRESENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.signals import FAILED_WRITES
from pypkcs11.store import database, files, serials
from pypkcs11.store.birth import write_new_token
from pypkcs11.store.database import Database
from pypkcs11.store.files import SUFFIX
from pypkcs11.store.pins import KdfCost
from pypkcs11.store.sqlite_token import SqliteTokenStore

__all__ = ["KdfCost", "SqliteDirectory", "SqliteTokenStore"]


class SqliteDirectory:
    """Tokens in a directory, which is made when something is first written to it."""

    def __init__(self, path: str | os.PathLike[str], *, kdf: KdfCost) -> None:
        """:param kdf: what a guess at a PIN is to cost from now on."""
        self.path = os.fspath(path)
        self.kdf = kdf
        self._created: dict[str, int] = {}
        self._spare = ""  # the next serial, where none can be kept
        # Strong references: a forked child must find, and put away, all that is open.
        self._open: list[SqliteTokenStore] = []

    def serials(self) -> list[str]:
        """Serials of all tokens there now, in order of creation; damaged ones come last."""
        there = self._there()
        self._created = {
            serial: self._created.get(serial) or self._creation(serial) for serial in there
        }
        return sorted(there, key=lambda serial: (self._created[serial], serial))

    def next_serial(self) -> str:
        """The serial that the next token will have: the same in every process until used."""
        path, there = os.path.join(self.path, "next"), self._there()
        kept = serials.read_next(path)
        if serials.is_free(kept, there):
            return kept
        try:
            with self.locked(), FAILED_WRITES:
                kept = serials.read_next(path)
                there = self._there()
                if not serials.is_free(kept, there):
                    kept = serials.new_serial(there)
                    serials.write_next(path, kept)
                return kept
        except (CryptokiError, OSError):
            if not serials.is_free(self._spare, there):
                self._spare = serials.new_serial(there)
            return self._spare

    def open(self, serial: str) -> SqliteTokenStore:
        """Open a token that is there."""
        return self._store(serial, self._present(serial))

    def create(self, serial: str, label: str, so_pin: bytes) -> SqliteTokenStore:
        """Make a new token, whole or not at all."""
        path = self.file_of(serial)
        with self.locked(), self._errors(path), FAILED_WRITES:
            if os.path.exists(path):
                raise CryptokiError(CKR_PIN_INCORRECT, f"{path} was made by another process")
            temporary = os.path.join(self.path, f".{serial}.{os.urandom(8).hex()}")
            try:
                self._make(temporary, serial, label, so_pin)
                # What a destroyed token left behind must not be taken for this one's.
                files.unlink_companions(path)
                if not files.publish(temporary, path):
                    raise CryptokiError(CKR_PIN_INCORRECT, f"{path} was made by another process")
            finally:
                files.unlink_companions(temporary)
                files.unlink(temporary)
            files.sync(self.path)
        return self._store(serial, path)

    def remove(self, serial: str) -> None:
        """Destroy a token and its file; processes that have it open get CKR_DEVICE_REMOVED."""
        with self.locked(), self._errors(self.file_of(serial)):
            path = self._present(serial)
            # A damaged file cannot be emptied, and need not be.
            with suppress(CryptokiError):
                _empty(path)
            files.unlink(path)
            files.unlink_companions(path)
            files.sync(self.path)

    def close(self) -> None:
        """Close all tokens; in a forked child, without touching the parent's."""
        for store in list(self._open):
            store.close()

    def release(self) -> None:
        """Have no token's file open until it is next used."""
        for store in list(self._open):
            store.release()

    def abandon(self) -> None:
        """For a forked child: neither use nor close any token opened here, nor wait for locks."""
        for store in list(self._open):
            store.abandon()

    # -- files --------------------------------------------------------------------------------

    def file_of(self, serial: str) -> str:
        """The path of a token's file.

        :raises CryptokiError: CKR_ARGUMENTS_BAD when it is no serial.
        """
        if not serials.is_serial(serial):
            raise CryptokiError(CKR_ARGUMENTS_BAD, "a serial is 16 upper-case hex digits")
        return os.path.join(self.path, serial + SUFFIX)

    def database(self, serial: str) -> Database:
        """Open the file of a token that is there, for who closes it again."""
        return Database(self._present(serial))

    def _present(self, serial: str) -> str:
        path = self.file_of(serial)
        if not os.path.exists(path):
            raise CryptokiError(CKR_TOKEN_NOT_PRESENT, f"{path} is not there")
        return path

    def _there(self) -> list[str]:
        try:
            names = os.listdir(self.path)
        except OSError:
            return []
        stems = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
        return [stem for stem in stems if serials.is_serial(stem)]

    def _store(self, serial: str, path: str) -> SqliteTokenStore:
        opened: list[Database] = []
        try:
            for _ in range(2):
                opened.append(Database(path))
            store = SqliteTokenStore(opened[0], opened[1], serial, self.kdf)
        except BaseException:
            for one in opened:
                one.close()
            raise
        self._open.append(store)
        for closed in [one for one in self._open if one.closed]:
            with suppress(ValueError):  # another thread was quicker
                self._open.remove(closed)
        return store

    def _creation(self, serial: str) -> int:
        try:
            opened = Database(self.file_of(serial))
        except CryptokiError:
            return 1 << 62
        try:
            with opened.reading() as now:
                (created,) = now.connection.execute("SELECT created FROM token").fetchone()
                return int(created)
        except (CryptokiError, TypeError, ValueError):
            return 1 << 62
        finally:
            opened.close()

    def _make(self, path: str, serial: str, label: str, so_pin: bytes) -> None:
        files.make(path)
        with files.standard_streams_taken():
            connection = database.create(path)
        try:
            write_new_token(connection, serial, label, so_pin, self.kdf)
        finally:
            connection.close()
        files.sync(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who makes or destroys tokens here; the directory is made if need be."""
        with self._errors(self.path):
            files.make_directory(self.path)
            lock = os.path.join(self.path, ".lock")
            descriptor = files.open_descriptor(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try:
                os.fchmod(descriptor, 0o600)
                with suppress(OSError):  # a file system without locks is still one
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise database.translate_os(error, path) from error
        except sqlite3.Error as error:
            raise database.translate(error, path) from error


def _empty(path: str) -> None:
    """Tell those who have the token open, before it vanishes under them."""
    opened = Database(path)
    try:
        opened.destroy()
    finally:
        opened.close()
