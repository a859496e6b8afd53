"""One SQLite file: its connection, transactions and errors.

A process has no file open while it forks, and opens it again when it is next used. SQLite keeps
for each process what it knows of an open file: its locks, and its share of the log's index. A child
would take that for its own and never ask the system for a lock, so that others, who cannot see it,
would remove the log under it. For the same reason a child must neither use nor close a connection
that has crossed a fork all the same: it is put away for good.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pypkcs11.standard.constants import (
    CKR_DEVICE_ERROR,
    CKR_DEVICE_MEMORY,
    CKR_DEVICE_REMOVED,
    CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED,
    CKR_TOKEN_WRITE_PROTECTED,
)
from pypkcs11.standard.errors import CryptokiError, MediumError
from pypkcs11.standard.signals import FAILED_WRITES
from pypkcs11.store import files, schema
from pypkcs11.store.changes import Counter
from pypkcs11.store.sealing import GENERATION_SIZE

#: How long to wait for other writers, in seconds.
BUSY: Final = 60.0

_abandoned: list[sqlite3.Connection] = []

_RETURN_CODES: Final = {
    sqlite3.SQLITE_READONLY: CKR_TOKEN_WRITE_PROTECTED,
    sqlite3.SQLITE_FULL: CKR_DEVICE_MEMORY,
    sqlite3.SQLITE_NOMEM: CKR_DEVICE_MEMORY,
    sqlite3.SQLITE_CORRUPT: CKR_TOKEN_NOT_RECOGNIZED,
    sqlite3.SQLITE_NOTADB: CKR_TOKEN_NOT_RECOGNIZED,
}
_SYSTEM_RETURN_CODES: Final = {
    errno.ENOENT: CKR_TOKEN_NOT_PRESENT,
    errno.EACCES: CKR_TOKEN_WRITE_PROTECTED,
    errno.EPERM: CKR_TOKEN_WRITE_PROTECTED,
    errno.EROFS: CKR_TOKEN_WRITE_PROTECTED,
    errno.ENOSPC: CKR_DEVICE_MEMORY,
    errno.EDQUOT: CKR_DEVICE_MEMORY,
}
_PATIENT: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)

#: What SQLite would take for part of a URI's syntax in a file's name.
_URI: Final = str.maketrans({"%": "%25", "?": "%3f", "#": "%23"})


class Transaction:
    """What a transaction begins with; ``number`` is raised for each change made in it."""

    __slots__ = ("connection", "forgotten", "generation", "number")

    def __init__(
        self, connection: sqlite3.Connection, generation: bytes, number: int, forgotten: int
    ) -> None:
        self.connection = connection
        self.generation = generation
        self.number = number
        self.forgotten = forgotten

    def next(self) -> int:
        """Return the number of one more change."""
        self.number += 1
        return self.number


class Database:
    """A token's file, open."""

    def __init__(self, path: str | None) -> None:
        """:param path: the file, which is there; None for one in memory, made here and now.

        :raises CryptokiError: as :class:`~pypkcs11.store.protocol.TokenStore` lists.
        """
        self.path = path
        self.name = path or "the token in memory"
        self.lock = threading.RLock()
        self.counter = Counter(f"{os.path.splitext(path)[0]}.changes" if path else None)
        self._attempts = threading.Lock()
        self._process = os.getpid()
        self.opened = 0  #: how many times; more than once when the file was replaced
        self._identity: tuple[int, ...] = ()
        self._immutable = False
        self._released = False
        self._connection: sqlite3.Connection | None = None
        if path:
            self._open(path)
        else:
            self._connection = create(":memory:")

    # -- life ---------------------------------------------------------------------------------

    def _open(self, path: str) -> None:
        self.opened += 1
        with self.errors(), files.standard_streams_taken(), FAILED_WRITES:
            self._identity, self._immutable = self._identify(path), False
            try:
                self._connection = connect(path, "mode=rw")
                schema.check(self._connection, self.name)
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                self._discard()
                if not self._on_read_only_medium(path, error):
                    raise
                # WAL needs files beside the database. Where none can be made and none is
                # left by a writer, the file itself is all there is.
                self._immutable, self._identity = True, self._identify(path, immutable=True)
                self._connection = connect(path, "mode=ro&immutable=1")
                schema.check(self._connection, self.name)
                self.counter = Counter(None)
                self.counter.announce(self.peek()[1])
            except BaseException:
                self._discard()
                raise

    def _on_read_only_medium(self, path: str, error: sqlite3.OperationalError) -> bool:
        codes = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        log = f"{path}-wal"
        empty = not os.path.exists(log) or not os.path.getsize(log)
        return primary_code(error) in codes and os.path.exists(path) and empty

    def _identify(self, path: str, immutable: bool = False) -> tuple[int, ...]:
        status = os.stat(path)
        identity = (status.st_dev, status.st_ino)
        return (*identity, status.st_size, status.st_mtime_ns) if immutable else identity

    def renew(self) -> None:
        """Look whether the files are still the same ones; open them anew when not.

        :raises CryptokiError: CKR_DEVICE_REMOVED when it is gone.
        """
        if self.path is None:
            return
        with self.lock:
            self._living()
            try:
                same = self._identify(self.path, self._immutable) == self._identity
            except OSError as error:
                raise self._removed(error.strerror or "") from None
            if not same:
                # Not closed: SQLite would then delete a log that is the new file's by now.
                self.abandon()
                self._open(self.path)
            self.counter.renew()

    @property
    def closed(self) -> bool:
        """Whether there is no connection any more."""
        return self._connection is None and not self._released

    def release(self) -> None:
        """Have the file closed until it is next used: for a process that is about to fork."""
        with self.lock, FAILED_WRITES:
            if self.path is not None and self._connection is not None:
                self._released = True
                self._discard()

    def close(self) -> None:
        """Close, or put away what was inherited from another process."""
        if os.getpid() != self._process:
            self.abandon()
        else:
            with self.lock:
                self.counter.close()
                self._released = False
                with FAILED_WRITES:
                    self._discard()

    def abandon(self) -> None:
        """Never touch the connection again, and never let it be closed. Takes no lock."""
        self.counter.close()
        self._released = False
        connection, self._connection = self._connection, None
        if connection is not None:
            import ctypes  # here, because it is seldom needed

            _abandoned.append(connection)
            # Even the interpreter's end must not close it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    def destroy(self) -> None:
        """Empty it, so that those who have it open learn that it is gone."""
        with self.writing() as change:
            change.next()
            for table in ("object", "removed", "pin", "token"):
                change.connection.execute(f"DELETE FROM {table}")

    @contextmanager
    def whole(self) -> Iterator[sqlite3.Connection]:
        """The connection, for what is no change of a token: filling a new one, replacing it."""
        with self.lock, self.errors(), FAILED_WRITES:
            yield self._living()

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _living(self) -> sqlite3.Connection:
        if self._connection is None:
            self._open_again()
            if self._connection is None:
                raise self._removed("it was closed")
        return self._connection

    def _open_again(self) -> None:
        """Open what was released; where it is the same file, nothing else has happened."""
        if not self._released or self.path is None:
            return
        if not os.path.exists(self.path):
            raise self._removed("no such file")
        before, opened = self._identity, self.opened
        self._open(self.path)
        self._released = False
        if self._identity == before:
            self.opened = opened

    def _removed(self, why: str) -> MediumError:
        return MediumError(CKR_DEVICE_REMOVED, f"{self.name} is gone: {why}")

    @property
    def read_only(self) -> bool:
        """Whether the medium takes no changes."""
        if self.path is None:
            return False
        places = self.path, os.path.dirname(self.path)
        return not all(os.access(place, os.W_OK) for place in places)

    # -- transactions -------------------------------------------------------------------------

    def peek(self) -> tuple[bytes, int]:
        """Return the generation and the number of the last change, as quickly as SQLite can."""
        with self.lock, self.errors():
            connection = self._living()
            now = self._patiently(connection, lambda: self._state(connection))
            return now.generation, now.number

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A snapshot: everything read in the block is of one instant."""
        with self.lock, self.errors():
            transaction = self._begin("BEGIN")
            try:
                yield transaction
            finally:
                if transaction.connection.in_transaction:
                    transaction.connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """One transaction: on disk when the block ends, undone when it raises.

        Other processes are told to look when the number was raised.
        """
        with self.lock, self.errors(), FAILED_WRITES:
            self.renew()
            transaction = self._begin("BEGIN IMMEDIATE")
            connection = transaction.connection
            before = transaction.number
            try:
                yield transaction
                if transaction.number != before:
                    connection.execute("UPDATE token SET change = ?", (transaction.number,))
                    self.counter.announce(transaction.number)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    self.counter.announce(before)
                    connection.execute("ROLLBACK")
                raise

    def _begin(self, statement: str) -> Transaction:
        connection = self._living()
        return self._patiently(connection, lambda: self._start(connection, statement))

    def _start(self, connection: sqlite3.Connection, statement: str) -> Transaction:
        connection.execute(statement)
        return self._state(connection)

    def _state(self, connection: sqlite3.Connection) -> Transaction:
        row = connection.execute("SELECT generation, change, forgotten FROM token").fetchone()
        if row is None:
            raise self._removed("another process destroyed it")
        generation, number, forgotten = row
        if (
            type(generation) is not bytes
            or len(generation) != GENERATION_SIZE
            or not _is_number(number)
            or not _is_number(forgotten)
        ):
            raise MediumError(CKR_TOKEN_NOT_RECOGNIZED, f"{self.name} is damaged")
        return Transaction(connection, generation, number, forgotten)

    def _patiently(
        self, connection: sqlite3.Connection, start: Callable[[], Transaction]
    ) -> Transaction:
        """SQLite waits for its locks itself, but not for every one of them."""
        deadline = time.monotonic() + BUSY
        while True:
            try:
                return start()
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if primary_code(error) not in _PATIENT or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One attempt at a PIN at a time, over all threads and processes."""
        with self._attempts, self.counter.alone():
            yield

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate what SQLite and the system raise, and say in which file damage was found."""
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.name) from error
        except OSError as error:
            raise translate_os(error, self.name) from error
        except CryptokiError as error:
            if error.rv != CKR_DEVICE_ERROR or isinstance(error, MediumError):
                raise
            raise MediumError(error.rv, f"{self.name}: {error.reason}") from error


def connect(path: str, parameters: str = "") -> sqlite3.Connection:
    """Return a connection, set up, in autocommit mode."""
    name = f"file:{path.translate(_URI)}?{parameters}" if parameters else path
    connection = sqlite3.connect(
        name, timeout=BUSY, isolation_level=None, check_same_thread=False, uri=bool(parameters)
    )
    try:
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA cell_size_check = ON")
        # No files in a directory that the caller's environment names.
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: str) -> sqlite3.Connection:
    """Return a connection to a new database with our tables, empty.

    Not in WAL mode, which whoever opens the token sets: what closing could not take out of a log
    would be lost when the file gets its name.
    """
    connection = connect(path)
    try:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID:d}")
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def translate(error: sqlite3.Error, name: str) -> MediumError:
    """Return SQLite's error about a file as one of the standard's."""
    code = primary_code(error)
    # Of a file that is no token of ours SQLite may complain in many ways: no such table, ...
    default = CKR_TOKEN_NOT_RECOGNIZED if code == sqlite3.SQLITE_ERROR else CKR_DEVICE_ERROR
    return MediumError(_RETURN_CODES.get(code, default), f"{name}: {error}")


def translate_os(error: OSError, name: str) -> MediumError:
    """Return the system's error about a file as one of the standard's."""
    rv = _SYSTEM_RETURN_CODES.get(error.errno or 0, CKR_DEVICE_ERROR)
    return MediumError(rv, f"{name}: {error.strerror}")


def primary_code(error: BaseException) -> int:
    """Return SQLite's primary result code of an error, -1 for none."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF if isinstance(error, sqlite3.Error) else -1


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62
