"""What is costly to make of an AES key, made once and used again."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from pypkcs11.mechanisms.block_contexts import BlockContexts, Idle
from pypkcs11.mechanisms.registry import Key

BLOCK = 16


class CtrContexts(Idle):
    """Counter mode: encryption and decryption are one."""

    __slots__ = ()

    def take(self, start: bytes) -> CipherContext:
        context = self.pop()
        if context is None:
            return Cipher(self._algorithm, CTR(start)).encryptor()
        context.reset_nonce(start)
        return context


class AesContexts(BlockContexts):
    """All of one key's: the ``cache`` of an AES :class:`Key`."""

    __slots__ = ("ccm", "ctr", "gcm", "xcbc")

    def __init__(self, value: bytes) -> None:
        algorithm = AES(value)
        super().__init__(algorithm)
        self.ctr = CtrContexts(algorithm)
        self.gcm = AESGCM(value)
        #: By the tag's length in octets.
        self.ccm: dict[int, AESCCM] = {}
        #: What :mod:`pypkcs11.mechanisms.aes_xcbc` derives from the key.
        self.xcbc: tuple[AesContexts, bytes, bytes] | None = None


def contexts(key: Key) -> AesContexts:
    """The contexts of ``key``, made at its first use."""
    cache: AesContexts | None = key.cache
    if cache is None:
        cache = key.cache = AesContexts(key.value)
    return cache
