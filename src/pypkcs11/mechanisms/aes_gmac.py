"""AES-GMAC (PKCS #11 v3.2, "AES-GMAC"; NIST SP 800-38D): GCM that encrypts nothing.

The state of GCM cannot be copied, so that neither can such an operation be saved.
"""

from __future__ import annotations

from typing import Self

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import GCM

from pypkcs11.mechanisms.aes_contexts import contexts
from pypkcs11.mechanisms.aes_gcm import checked_iv, tag_length
from pypkcs11.mechanisms.macs import MacSignature, MacVerification
from pypkcs11.mechanisms.operation import Signature, Verification, unsaveable
from pypkcs11.mechanisms.parameters import Gmac
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.values import Buffer

#: The library beneath takes no more than 2 GiB of additional data at a time.
_CHUNK = 1 << 30


class _Context:
    """A GCM context as a MAC's: what is authenticated is the additional data."""

    __slots__ = ("_context",)

    def __init__(self, key: Key, iv: bytes) -> None:
        self._context = Cipher(contexts(key).algorithm, GCM(checked_iv(iv))).encryptor()

    def copy(self) -> Self:
        raise unsaveable()

    def update(self, data: Buffer) -> None:
        view = memoryview(data)
        for at in range(0, len(view), _CHUNK):
            self._context.authenticate_additional_data(view[at : at + _CHUNK])

    def finalize(self) -> bytes:
        self._context.finalize()
        return self._context.tag


def sign(key: Key, parameter: Gmac) -> Signature:
    return MacSignature(_Context(key, parameter.iv), tag_length(parameter.tag_bits))


def verify(key: Key, parameter: Gmac) -> Verification:
    return MacVerification(_Context(key, parameter.iv), tag_length(parameter.tag_bits))
