"""What is costly to make of an AES key, made once and used again.

Making a cipher context costs about ten microseconds, a block through one half a microsecond. So a
key keeps the contexts that no operation uses at the moment, and a new operation takes one and puts
it at the start of its message.
"""

from __future__ import annotations

from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from pypkcs11.mechanisms.registry import Key

BLOCK = 16
_ZEROS = bytes(BLOCK)

#: How many idle contexts of one kind a key keeps.
_KEEP = 4


class Contexts(Protocol):
    """A key's contexts of one mode and direction."""

    def take(self, start: bytes) -> CipherContext:
        """A context for one message, which starts with the IV or counter block ``start``."""

    def give(self, context: CipherContext) -> None:
        """Take back a context that has seen whole blocks only (any number of octets in CTR)."""


class _Idle:
    """The idle contexts. Appending to a list and popping from it are safe between threads."""

    __slots__ = ("_algorithm", "_idle")

    def __init__(self, algorithm: AES) -> None:
        self._algorithm = algorithm
        self._idle: list[CipherContext] = []

    def give(self, context: CipherContext) -> None:
        if len(self._idle) < _KEEP:
            self._idle.append(context)

    def _pop(self) -> CipherContext | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


class EcbEncryptors(_Idle):
    """ECB has no state between blocks: a used context is as good as a new one."""

    __slots__ = ()

    def take(self, start: bytes = b"") -> CipherContext:
        return self._pop() or Cipher(self._algorithm, ECB()).encryptor()


class EcbDecryptors(_Idle):
    __slots__ = ()

    def take(self, start: bytes = b"") -> CipherContext:
        return self._pop() or Cipher(self._algorithm, ECB()).decryptor()


class CbcDecryptors(_Idle):
    """The state of a CBC decryptor is the last ciphertext block it was given.

    Given the IV as if it were ciphertext (and its output thrown away), a used context stands where
    a new one with that IV would.
    """

    __slots__ = ()

    def take(self, start: bytes) -> CipherContext:
        context = self._pop()
        if context is None:
            return Cipher(self._algorithm, CBC(start)).decryptor()
        context.update(start)
        return context


class CbcEncryptors(_Idle):
    """The state of a CBC encryptor is the last ciphertext block it gave.

    A block of zeros brings that state out as ``last``; the block that encrypts to the IV is then
    the IV's decryption, XOR ``last``. After it, a used context stands where a new one with that IV
    would.
    """

    __slots__ = ("_decryptors",)

    def __init__(self, algorithm: AES, decryptors: EcbDecryptors) -> None:
        super().__init__(algorithm)
        self._decryptors = decryptors

    def take(self, start: bytes) -> CipherContext:
        context = self._pop()
        if context is None:
            return Cipher(self._algorithm, CBC(start)).encryptor()
        decryptor = self._decryptors.take()
        before = int.from_bytes(decryptor.update(start), "big")
        self._decryptors.give(decryptor)
        last = int.from_bytes(context.update(_ZEROS), "big")
        context.update((before ^ last).to_bytes(BLOCK, "big"))
        return context


class CtrContexts(_Idle):
    """Counter mode: encryption and decryption are one."""

    __slots__ = ()

    def take(self, start: bytes) -> CipherContext:
        context = self._pop()
        if context is None:
            return Cipher(self._algorithm, CTR(start)).encryptor()
        context.reset_nonce(start)
        return context


class AesContexts:
    """All of one key's: the ``cache`` of an AES :class:`Key`."""

    __slots__ = (
        "algorithm",
        "cbc_decryptors",
        "cbc_encryptors",
        "cmac",
        "ctr",
        "ecb_decryptors",
        "ecb_encryptors",
        "gcm",
    )

    def __init__(self, value: bytes) -> None:
        algorithm = AES(value)
        self.algorithm = algorithm
        self.ecb_encryptors = EcbEncryptors(algorithm)
        self.ecb_decryptors = EcbDecryptors(algorithm)
        self.cbc_encryptors = CbcEncryptors(algorithm, self.ecb_decryptors)
        self.cbc_decryptors = CbcDecryptors(algorithm)
        self.ctr = CtrContexts(algorithm)
        self.gcm = AESGCM(value)
        self.cmac = CMAC(algorithm)


def contexts(key: Key) -> AesContexts:
    """The contexts of ``key``, made at its first use."""
    cache: AesContexts | None = key.cache
    if cache is None:
        cache = key.cache = AesContexts(key.value)
    return cache
