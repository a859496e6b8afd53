"""PINs: the token key sealed under each, with a memory-hard derivation.

A PIN is compared by opening the envelope under the key derived from it; nothing else of it is
stored. The envelope is ``u8 algorithm (1: Argon2id, then AES-256-GCM), 12 octets of nonce,
ciphertext and tag``; salt and cost lie beside it, so that the cost can be raised.
"""

from __future__ import annotations

import os
from sqlite3 import Connection
from struct import Struct
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from pypkcs11.standard.constants import (
    CKR_ARGUMENTS_BAD,
    CKR_DEVICE_ERROR,
    CKR_HOST_MEMORY,
    CKR_PIN_INCORRECT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Role
from pypkcs11.store.sealing import KEY_SIZE, NONCE_SIZE, PIN, place

ARGON2ID_AES_256_GCM: Final = 1
SALT_SIZE: Final = 16

_ABOUT = Struct(">B?QQQ16s")


class _Cost(NamedTuple):
    memory: int
    iterations: int
    lanes: int


class KdfCost(_Cost):
    """What one guess at a PIN costs (Argon2id, RFC 9106).

    :param memory: in KiB, 8 per lane to 4 GiB.
    :param iterations: passes over the memory, 1 to 1,000.
    :param lanes: what may run in parallel, 1 to 64.
    :raises CryptokiError: CKR_ARGUMENTS_BAD outside these limits.
    """

    __slots__ = ()

    def __new__(cls, memory: int = 32 * 1024, iterations: int = 2, lanes: int = 1) -> KdfCost:
        if not (1 <= lanes <= 64 and 8 * lanes <= memory <= 1 << 22):
            raise CryptokiError(CKR_ARGUMENTS_BAD, "Argon2id memory or lanes out of range")
        if not 1 <= iterations <= 1000:
            raise CryptokiError(CKR_ARGUMENTS_BAD, "Argon2id iterations out of range")
        return super().__new__(cls, memory, iterations, lanes)

    @property
    def work(self) -> int:
        """A measure to compare two costs by: KiB written."""
        return self.memory * self.iterations


#: For the empty PIN, of which everyone knows that it is empty.
FREE: Final = KdfCost(memory=8, iterations=1, lanes=1)


class SealedPin(NamedTuple):
    """The token key under one role's PIN."""

    role: Role
    to_be_changed: bool
    cost: KdfCost
    salt: bytes
    envelope: bytes

    @classmethod
    def make(
        cls,
        token: tuple[str, bytes],
        role: Role,
        pin: bytes,
        token_key: bytes,
        cost: KdfCost,
        *,
        to_be_changed: bool = False,
    ) -> SealedPin:
        """Seal ``token_key`` of the token (serial, generation) under ``pin``."""
        salt = os.urandom(SALT_SIZE)
        nonce = os.urandom(NONCE_SIZE)
        head = bytes((ARGON2ID_AES_256_GCM,))
        data = head + place(*token, PIN) + _about(role, to_be_changed, cost, salt)
        sealed = AESGCM(_derive(pin, cost, salt)).encrypt(nonce, token_key, data)
        return cls(role, to_be_changed, cost, salt, head + nonce + sealed)

    def open(self, token: tuple[str, bytes], pin: bytes) -> bytes:
        """Return the token key.

        :raises CryptokiError: CKR_PIN_INCORRECT; a damaged envelope cannot be told from that.
        """
        head, nonce, sealed = self.envelope[:1], self.envelope[1:13], self.envelope[13:]
        if head[0] != ARGON2ID_AES_256_GCM:
            raise _damaged(f"sealing algorithm {head[0]}")
        about = _about(self.role, self.to_be_changed, self.cost, self.salt)
        data = head + place(*token, PIN) + about
        try:
            return AESGCM(_derive(pin, self.cost, self.salt)).decrypt(nonce, sealed, data)
        except InvalidTag:
            raise CryptokiError(CKR_PIN_INCORRECT, "wrong PIN") from None

    def write(self, connection: Connection) -> None:
        """Put it in place of the role's former one and clear the role's counter."""
        connection.execute(
            "INSERT OR REPLACE INTO pin"
            " (role, failures, to_be_changed, memory, iterations, lanes, salt, envelope)"
            " VALUES (?, 0, ?, ?, ?, ?, ?, ?)",
            (
                int(self.role),
                int(self.to_be_changed),
                self.cost.memory,
                self.cost.iterations,
                self.cost.lanes,
                self.salt,
                self.envelope,
            ),
        )

    @classmethod
    def read(cls, connection: Connection, role: Role) -> SealedPin | None:
        """Return what is stored for ``role``.

        :raises CryptokiError: CKR_DEVICE_ERROR when it is not as it was written.
        """
        row = connection.execute(
            "SELECT to_be_changed, memory, iterations, lanes, salt, envelope FROM pin"
            " WHERE role = ?",
            (int(role),),
        ).fetchone()
        if row is None:
            return None
        *numbers, salt, envelope = row
        if any(type(number) is not int for number in numbers) or numbers[0] not in (0, 1):
            raise _damaged("not a number")
        if type(salt) is not bytes or len(salt) != SALT_SIZE:
            raise _damaged("salt")
        if type(envelope) is not bytes or len(envelope) != 1 + NONCE_SIZE + KEY_SIZE + 16:
            raise _damaged("envelope")
        try:
            cost = KdfCost(*numbers[1:])
        except CryptokiError:
            raise _damaged("cost out of range") from None
        return cls(role, bool(numbers[0]), cost, salt, envelope)


def _derive(pin: bytes, cost: KdfCost, salt: bytes) -> bytes:
    kdf = Argon2id(
        salt=salt,
        length=KEY_SIZE,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory,
    )
    try:
        return kdf.derive(pin)
    except MemoryError:
        raise CryptokiError(CKR_HOST_MEMORY, f"Argon2id needs {cost.memory} KiB") from None


def _about(role: Role, to_be_changed: bool, cost: KdfCost, salt: bytes) -> bytes:
    return _ABOUT.pack(role, to_be_changed, cost.memory, cost.iterations, cost.lanes, salt)


def _damaged(what: str) -> CryptokiError:
    return CryptokiError(CKR_DEVICE_ERROR, f"a stored PIN record is damaged: {what}")
