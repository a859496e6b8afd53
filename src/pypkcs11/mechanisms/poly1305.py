"""Poly1305 (PKCS #11 v3.2, "Poly1305"; RFC 8439). A key must authenticate one message only."""

from __future__ import annotations

from typing import Any, Self

from cryptography.hazmat.primitives.poly1305 import Poly1305

from pypkcs11.mechanisms.generic import sha1
from pypkcs11.mechanisms.macs import MacSignature, MacVerification
from pypkcs11.mechanisms.operation import Signature, Verification, unsaveable
from pypkcs11.mechanisms.registry import BYTES, Key, Mechanism
from pypkcs11.mechanisms.secret_keys import SecretKeys, key_generation, key_type
from pypkcs11.standard.constants import CKK_POLY1305, CKM_POLY1305, CKM_POLY1305_KEY_GEN

_KEYS = SecretKeys(CKK_POLY1305, frozenset((32,)), sha1)

#: Octets of a MAC.
_LENGTH = 16


class _Context:
    """The library's context, which cannot be copied."""

    __slots__ = ("_context",)

    def __init__(self, key: Key) -> None:
        self._context = Poly1305(key.value)

    def update(self, data: Any) -> None:
        self._context.update(data)

    def finalize(self) -> bytes:
        return self._context.finalize()

    def copy(self) -> Self:
        raise unsaveable()


def sign(key: Key, parameter: None) -> Signature:
    return MacSignature(_Context(key), _LENGTH)


def verify(key: Key, parameter: None) -> Verification:
    return MacVerification(_Context(key), _LENGTH)


KEY_TYPES = (key_type(_KEYS),)

#: The standard's table ticks encryption and wrapping, its text has signatures: there is a MAC.
MECHANISMS = (
    key_generation(_KEYS, CKM_POLY1305_KEY_GEN),
    Mechanism(
        type=CKM_POLY1305,
        key_types=(CKK_POLY1305,),
        sizes=(32, 32),
        unit=BYTES,
        sign=sign,
        verify=verify,
    ),
)
