"""Attempts at a token's PINs, counted so that no race and no crash gives a free one.

An attempt raises the counter on disk, tries the PIN, and clears the counter when it was right.
Attempts follow one another over all threads and processes: eight logins at once, all of them
right, must not look like eight failures.
"""

from __future__ import annotations

from sqlite3 import Connection

from pypkcs11.standard.constants import (
    CKR_PIN_INCORRECT,
    CKR_PIN_LOCKED,
    CKR_TOKEN_NOT_RECOGNIZED,
    CKR_TOKEN_WRITE_PROTECTED,
    CKR_USER_PIN_NOT_INITIALIZED,
)
from pypkcs11.standard.errors import CryptokiError, MediumError
from pypkcs11.store.database import Database, Transaction
from pypkcs11.store.pins import FREE, KdfCost, SealedPin
from pypkcs11.store.protocol import Role
from pypkcs11.store.sealing import Sealer


class Attempts:
    """What tries, proves and changes the PINs of one token."""

    def __init__(self, database: Database, serial: str, kdf: KdfCost) -> None:
        self._database = database
        self._serial = serial
        self._kdf = kdf
        #: By this process, on a medium that takes no counters.
        self.uncounted = dict.fromkeys(Role, 0)

    def prove(self, role: Role, pin: bytes, limit: int) -> Sealer:
        """Return the token key if the PIN is right; raise the PIN's cost where that is due.

        :raises CryptokiError: as :meth:`~pypkcs11.store.protocol.TokenStore.unlock`.
        """
        with self._database.alone():
            proven, sealer = self._try(role, pin, limit)
            self._clear(proven, sealer, pin)
        return sealer

    def change(self, role: Role, old: bytes, new: bytes, limit: int) -> None:
        """Prove the old PIN and set the new, with a cleared counter."""
        with self._database.alone():
            proven, sealer = self._try(role, old, limit)
            sealed = self.seal(sealer, role, new)
            with self._database.writing() as now:
                if SealedPin.read(now.connection, role) != proven:
                    raise CryptokiError(CKR_PIN_INCORRECT, "the PIN was changed meanwhile")
                sealed.write(now.connection)

    def seal(
        self, sealer: Sealer, role: Role, pin: bytes, *, to_be_changed: bool = False
    ) -> SealedPin:
        """Return the token key sealed under a PIN, at the cost that is configured."""
        token = self._serial, sealer.generation
        cost = self._kdf if pin else FREE
        return SealedPin.make(token, role, pin, sealer.token_key, cost, to_be_changed=to_be_changed)

    def _try(self, role: Role, pin: bytes, limit: int) -> tuple[SealedPin, Sealer]:
        try:
            sealed, now, locked = self._count(role, limit)
        except CryptokiError as error:
            if error.rv != CKR_TOKEN_WRITE_PROTECTED:
                raise
            sealed, now, locked = self._count_in_memory(role, limit)
        if locked:
            raise CryptokiError(CKR_PIN_LOCKED, f"the {role.name} PIN is locked")
        with self._database.errors():
            token_key = sealed.open((self._serial, now.generation), pin)
        return sealed, Sealer(token_key, self._serial, now.generation)

    def _count(self, role: Role, limit: int) -> tuple[SealedPin, Transaction, bool]:
        with self._database.writing() as now:
            sealed = self._read(now.connection, role)
            counted = now.connection.execute(
                "UPDATE pin SET failures = min(failures + 1, 0x7fffffff)"
                " WHERE role = ?1 AND (?2 = 0 OR failures < ?2)",
                (int(role), limit),
            )
            return sealed, now, counted.rowcount != 1

    def _count_in_memory(self, role: Role, limit: int) -> tuple[SealedPin, Transaction, bool]:
        """Who can read a read-only medium could guess elsewhere as often as they like."""
        with self._database.reading() as now:
            sealed = self._read(now.connection, role)
            (stored,) = now.connection.execute(
                "SELECT failures FROM pin WHERE role = ?", (int(role),)
            ).fetchone()
        locked = bool(limit) and stored + self.uncounted[role] >= limit
        self.uncounted[role] += not locked
        return sealed, now, locked

    def _clear(self, proven: SealedPin, sealer: Sealer, pin: bytes) -> None:
        dearer = None
        if pin and self._kdf.work > proven.cost.work:
            dearer = self.seal(sealer, proven.role, pin, to_be_changed=proven.to_be_changed)
        self.uncounted[proven.role] = 0
        try:
            with self._database.writing() as now:
                if SealedPin.read(now.connection, proven.role) == proven:
                    (dearer or proven).write(now.connection)
        except CryptokiError as error:
            if error.rv != CKR_TOKEN_WRITE_PROTECTED:
                raise

    def _read(self, connection: Connection, role: Role) -> SealedPin:
        sealed = SealedPin.read(connection, role)
        if sealed is not None:
            return sealed
        if role is Role.USER:
            raise CryptokiError(CKR_USER_PIN_NOT_INITIALIZED, "there is no user PIN yet")
        raise MediumError(CKR_TOKEN_NOT_RECOGNIZED, f"{self._database.name}: no SO PIN")
