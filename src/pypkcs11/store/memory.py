"""Tokens that live as long as their directory: for tests, and where nothing may be written.

The same store as on disk, over SQLite's databases in memory: PINs and objects are sealed alike.
"""

from __future__ import annotations

import threading

from pypkcs11.standard.constants import CKR_PIN_INCORRECT, CKR_TOKEN_NOT_PRESENT
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store import serials
from pypkcs11.store.birth import write_new_token
from pypkcs11.store.database import Database
from pypkcs11.store.pins import KdfCost
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite_token import SqliteTokenStore

#: Guessing at a PIN takes access to the process, so its cost may be low.
CHEAP = KdfCost(memory=1024, iterations=1)


class MemoryTokenStore(SqliteTokenStore):
    """One token; each opening has a lock of its own on the same objects."""

    def close(self) -> None:
        """Lock; the token stays, for the next opening."""
        self.lock()


class MemoryDirectory:
    """Tokens of this process."""

    def __init__(self, *, kdf: KdfCost = CHEAP) -> None:
        self.kdf = kdf
        self._tokens: dict[str, Database] = {}
        self._next = ""
        self._lock = threading.Lock()

    def serials(self) -> list[str]:
        """Serials of all tokens there now, in order of creation."""
        return list(self._tokens)

    def next_serial(self) -> str:
        """The serial that the next token will have."""
        with self._lock:
            if not serials.is_free(self._next, self._tokens):
                self._next = serials.new_serial(self._tokens)
            return self._next

    def provide(self, serial: str, label: str, so_pin: bytes, user_pin: bytes) -> None:
        """Make a token with both PINs set."""
        store = self.create(serial, label, so_pin)
        store.unlock(Role.SO, so_pin, 0)
        store.set_pin(Role.USER, user_pin)
        store.lock()

    def open(self, serial: str) -> MemoryTokenStore:
        """Open a token that is there."""
        database = self._tokens.get(serial)
        if database is None:
            raise CryptokiError(CKR_TOKEN_NOT_PRESENT, "no such token")
        return MemoryTokenStore(database, database, serial, self.kdf)

    def create(self, serial: str, label: str, so_pin: bytes) -> MemoryTokenStore:
        """Make a new token."""
        database = Database(None)
        with database.whole() as connection:
            write_new_token(connection, serial, label, so_pin, self.kdf)
        with self._lock:
            if serial in self._tokens:
                raise CryptokiError(CKR_PIN_INCORRECT, "another thread made that token")
            self._tokens[serial] = database
        return MemoryTokenStore(database, database, serial, self.kdf)

    def remove(self, serial: str) -> None:
        """Destroy a token; who has it open gets CKR_DEVICE_REMOVED."""
        with self._lock:
            database = self._tokens.pop(serial, None)
        if database is None:
            raise CryptokiError(CKR_TOKEN_NOT_PRESENT, "no such token")
        database.destroy()
        database.close()

    def close(self) -> None:
        """Forget all tokens."""
        for serial in self.serials():
            self.remove(serial)

    def release(self) -> None:
        """There is no file."""

    def abandon(self) -> None:
        """Nothing of a parent's is shared."""
        self._tokens = {}
