"""Envelopes: what the token key seals, and what binds each to its place.

An envelope is::

    u8   algorithm   1: AES-256-GCM, 96-bit random nonce, 128-bit tag
    u32  epoch       which subkey
    12   nonce
    ...  ciphertext and tag

Each column has subkeys of its own, from the token key by HKDF-Expand with SHA-256, and a new one
for every 2**20 changes of the token (the epoch), so that the number of random nonces under one
key stays far below where two of them may meet (NIST SP 800-38D, section 8.3, allows 2**32).

The associated data are the first two fields, the format, the token's serial and generation, the
column, the object's id, and what else the column is about. An envelope that was moved to another
object, column or token, or cut, does not open.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from pypkcs11.standard.constants import CKR_DEVICE_ERROR
from pypkcs11.standard.errors import CryptokiError

AES_256_GCM: Final = 1

#: What is sealed. The numbers are part of the format.
TOKEN: Final = 1  #: nothing, over the token's label and date
PIN: Final = 2  #: the token key, under a key from a PIN
ATTRIBUTES: Final = 3  #: a private object's attributes
SECRET: Final = 4  #: an object's secret attributes
PUBLIC: Final = 5  #: nothing, over a public object's attributes

FORMAT: Final = 1
KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12
GENERATION_SIZE: Final = 16

_CHANGES_PER_EPOCH_BITS = 20
_HEAD = Struct(">BI")
_PLACE = Struct(">B16s16sB")
_ID = Struct(">Q")
_SHORTEST = _HEAD.size + NONCE_SIZE + 16


def place(serial: str, generation: bytes, column: int) -> bytes:
    """Return the associated data that name a column of one token."""
    return _PLACE.pack(FORMAT, serial.encode("ascii"), generation, column)


class Sealer:
    """The token key at hand: it seals and opens, and forgets everything when it is dropped."""

    __slots__ = ("_envelopes", "_places", "_token_key", "generation")

    def __init__(self, token_key: bytes, serial: str, generation: bytes) -> None:
        self.generation = generation
        self._token_key = token_key
        # By column and head: the cipher, and how the associated data begin.
        self._envelopes: dict[tuple[int, bytes], tuple[AESGCM, bytes]] = {}
        self._places = {
            column: place(serial, generation, column)
            for column in (TOKEN, ATTRIBUTES, SECRET, PUBLIC)
        }

    def __repr__(self) -> str:
        return "<Sealer>"

    @property
    def token_key(self) -> bytes:
        """The key itself, for sealing it under another PIN."""
        return self._token_key

    def seal(
        self, column: int, record_id: int, change: int, plain: bytes, about: bytes = b""
    ) -> bytes:
        """Return an envelope of ``plain``, bound to ``about`` which is kept elsewhere.

        :param change: the number of the token's change that this is part of; chooses the subkey.
        """
        epoch = change >> _CHANGES_PER_EPOCH_BITS & 0xFFFF_FFFF
        head = _HEAD.pack(AES_256_GCM, epoch)
        cipher, begin = self._envelopes.get((column, head)) or self._prepare(column, head)
        nonce = os.urandom(NONCE_SIZE)
        return head + nonce + cipher.encrypt(nonce, plain, begin + _ID.pack(record_id) + about)

    def open(self, column: int, record_id: int, envelope: bytes, about: bytes = b"") -> bytes:
        """Return what was sealed.

        :raises CryptokiError: CKR_DEVICE_ERROR when it is not what was put at this place.
        """
        if len(envelope) < _SHORTEST:
            raise CryptokiError(CKR_DEVICE_ERROR, f"object {record_id} is damaged: cut short")
        head = envelope[:5]
        if head[0] != AES_256_GCM:
            raise CryptokiError(
                CKR_DEVICE_ERROR, f"object {record_id} is damaged: sealing algorithm {head[0]}"
            )
        cipher, begin = self._envelopes.get((column, head)) or self._prepare(column, head)
        data = begin + _ID.pack(record_id) + about
        try:
            return cipher.decrypt(envelope[5:17], envelope[17:], data)
        except InvalidTag:
            raise CryptokiError(
                CKR_DEVICE_ERROR,
                f"object {record_id} fails authentication: it was damaged or tampered with",
            ) from None

    def _prepare(self, column: int, head: bytes) -> tuple[AESGCM, bytes]:
        """The cipher of a column's envelopes with this head, and what they all authenticate."""
        _, epoch = _HEAD.unpack(head)
        info = b"pypkcs11 store subkey" + _HEAD.pack(column, epoch)
        key = HKDFExpand(SHA256(), KEY_SIZE, info).derive(self._token_key)
        prepared = self._envelopes[column, head] = AESGCM(key), head + self._places[column]
        return prepared
