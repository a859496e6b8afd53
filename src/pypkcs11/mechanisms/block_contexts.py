"""What is costly to make of a block cipher's key, made once and used again.

Making a cipher context costs about ten microseconds, a block through one half a microsecond. So a
key keeps the contexts that no operation uses at the moment, and a new operation takes one and puts
it at the start of its message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.values import Buffer

_number: Final = int.from_bytes

#: How many idle contexts of one kind a key keeps.
_KEEP = 4


class Contexts(Protocol):
    """A key's contexts of one mode and direction, for blocks of so many octets."""

    block: int

    def take(self, start: bytes) -> CipherContext:
        """A context for one message, which starts with the IV or counter block ``start``."""

    def give(self, context: CipherContext) -> None:
        """Take back a context that has seen whole blocks only (any number of octets in CTR)."""

    def short(self, start: bytes, data: Buffer) -> bytes:
        """Process a short message, of whole blocks, in as few calls as can be."""


class Idle:
    """The idle contexts. Appending to a list and popping from it are safe between threads."""

    __slots__ = ("_algorithm", "_idle", "block")

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        self.block = algorithm.block_size // 8
        self._algorithm = algorithm
        self._idle: list[CipherContext] = []

    def give(self, context: CipherContext) -> None:
        if len(self._idle) < _KEEP:
            self._idle.append(context)

    def take(self, start: bytes) -> CipherContext:
        raise NotImplementedError

    def short(self, start: bytes, data: Buffer) -> bytes:
        context = self.take(start)
        result = context.update(data)
        self.give(context)
        return result

    def pop(self) -> CipherContext | None:
        """A used context, if there is one."""
        try:
            return self._idle.pop()
        except IndexError:
            return None


class EcbEncryptors(Idle):
    """ECB has no state between blocks: a used context is as good as a new one."""

    __slots__ = ()

    def take(self, start: bytes = b"") -> CipherContext:
        return self.pop() or Cipher(self._algorithm, ECB()).encryptor()


class EcbDecryptors(Idle):
    __slots__ = ()

    def take(self, start: bytes = b"") -> CipherContext:
        return self.pop() or Cipher(self._algorithm, ECB()).decryptor()


class CbcDecryptors(Idle):
    """The state of a CBC decryptor is the last ciphertext block it was given.

    Given the IV as if it were ciphertext (and its output thrown away), a used context stands where
    a new one with that IV would.
    """

    __slots__ = ()

    def take(self, start: bytes) -> CipherContext:
        context = self.pop()
        if context is None:
            return Cipher(self._algorithm, CBC(start)).decryptor()
        context.update(start)
        return context

    def short(self, start: bytes, data: Buffer) -> bytes:
        context = self.pop()
        if context is None:
            context = Cipher(self._algorithm, CBC(start)).decryptor()
        result = context.update(start + data)[self.block :]
        self.give(context)
        return result


class CbcEncryptors(Idle):
    """The state of a CBC encryptor is the last ciphertext block it gave.

    A block of zeros brings that state out as ``last``; the block that encrypts to the IV is then
    the IV's decryption, XOR ``last``. After it, a used context stands where a new one with that IV
    would.

    Contexts that have seen short messages only are kept with their ``last``: their next message's
    first block, XOR ``last`` and the IV, is encrypted as it would be after the IV.
    """

    __slots__ = ("_decryptors", "_short", "_zeros")

    def __init__(self, algorithm: BlockCipherAlgorithm, decryptors: EcbDecryptors) -> None:
        super().__init__(algorithm)
        self._decryptors = decryptors
        self._zeros = bytes(self.block)
        self._short: list[tuple[CipherContext, int]] = []

    def take(self, start: bytes) -> CipherContext:
        context = self.pop()
        if context is None:
            return Cipher(self._algorithm, CBC(start)).encryptor()
        decryptor = self._decryptors.take()
        before = _number(decryptor.update(start), "big")
        self._decryptors.give(decryptor)
        last = _number(context.update(self._zeros), "big")
        context.update((before ^ last).to_bytes(self.block, "big"))
        return context

    def short(self, start: bytes, data: Buffer) -> bytes:
        if not data:
            return b""
        block = self.block
        try:
            context, last = self._short.pop()
        except IndexError:
            context, last = Cipher(self._algorithm, CBC(self._zeros)).encryptor(), 0
        first = _number(data[:block], "big") ^ _number(start, "big") ^ last
        result = context.update(first.to_bytes(block, "big") + data[block:])
        if len(self._short) < _KEEP:
            self._short.append((context, _number(result[-block:], "big")))
        return result


class BlockContexts:
    """All of one key's: the ``cache`` of a :class:`Key`."""

    __slots__ = (
        "algorithm",
        "cbc_decryptors",
        "cbc_encryptors",
        "cmac",
        "ecb_decryptors",
        "ecb_encryptors",
    )

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        self.algorithm = algorithm
        self.ecb_encryptors = EcbEncryptors(algorithm)
        self.ecb_decryptors = EcbDecryptors(algorithm)
        self.cbc_encryptors = CbcEncryptors(algorithm, self.ecb_decryptors)
        self.cbc_decryptors = CbcDecryptors(algorithm)
        self.cmac = CMAC(algorithm)


#: From a key to its contexts.
OfKey = Callable[[Key], BlockContexts]


def contexts_of(algorithm: Callable[[bytes], BlockCipherAlgorithm], key: Key) -> BlockContexts:
    """The contexts of ``key``, made at its first use."""
    cache: BlockContexts | None = key.cache
    if cache is None:
        cache = key.cache = BlockContexts(algorithm(key.value))
    return cache
