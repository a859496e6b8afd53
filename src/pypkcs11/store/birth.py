"""What a token begins with, when it is made and each time it is initialised anew."""

from __future__ import annotations

import os
import time
from sqlite3 import Connection
from typing import Any

from pypkcs11.standard.constants import CKR_DEVICE_ERROR
from pypkcs11.standard.errors import CryptokiError, MediumError
from pypkcs11.store.pins import KdfCost, SealedPin
from pypkcs11.store.protocol import Role
from pypkcs11.store.sealing import GENERATION_SIZE, KEY_SIZE, TOKEN, Sealer


class Birth:
    """A new token key, sealed for the SO, and a new generation, which all envelopes name."""

    def __init__(self, serial: str, label: str, so_pin: bytes, kdf: KdfCost) -> None:
        self.generation = os.urandom(GENERATION_SIZE)
        self._serial, self._label = serial, label
        token_key = os.urandom(KEY_SIZE)
        token = serial, self.generation
        self._pin = SealedPin.make(token, Role.SO, so_pin, token_key, kdf)
        self._sealer = Sealer(token_key, serial, self.generation)

    def write(self, connection: Connection) -> None:
        """Make it the token's; a token that was there keeps its date and change number."""
        connection.execute(
            "INSERT OR IGNORE INTO token VALUES (1, ?, ?, x'', '', x'', 0, 0)",
            (self._serial, time.time_ns() // 1000),
        )
        (created,) = connection.execute("SELECT created FROM token").fetchone()
        tag = self._sealer.seal(TOKEN, 0, 0, b"", _about(self._label, created))
        connection.execute(
            "UPDATE token SET generation = ?, label = ?, tag = ?",
            (self.generation, self._label, tag),
        )
        self._pin.write(connection)


def authenticate(connection: Connection, sealer: Sealer, name: str) -> None:
    """See that the token's label and date are those it was given.

    :raises CryptokiError: CKR_DEVICE_ERROR.
    """
    label, created, tag = connection.execute("SELECT label, created, tag FROM token").fetchone()
    try:
        sealer.open(TOKEN, 0, tag, _about(label, created))
    except (CryptokiError, TypeError, AttributeError, OverflowError):
        raise MediumError(CKR_DEVICE_ERROR, f"{name}: the label fails authentication") from None


def write_new_token(
    connection: Connection, serial: str, label: str, so_pin: bytes, kdf: KdfCost
) -> None:
    """Fill a new database with a token that has no objects and no user PIN."""
    birth = Birth(serial, label, so_pin, kdf)
    connection.execute("BEGIN IMMEDIATE")
    birth.write(connection)
    connection.execute("COMMIT")


def _about(label: Any, created: Any) -> bytes:
    date: bytes = created.to_bytes(8, "big")
    name: bytes = label.encode()
    return date + name
