"""AES in counter mode (PKCS #11 v3.2, section 6.14)."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import CipherContext

from pypkcs11.mechanisms.aes_contexts import BLOCK, CtrContexts, contexts
from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.parameters import AesCtr
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import CKR_DATA_LEN_RANGE, CKR_MECHANISM_PARAM_INVALID
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer


class CounterMode(Cipher):
    """Encryption and decryption, which are the same.

    The counter is the low ``counter_bits`` of the block, and may not overflow: data that would make
    it do so is refused (section 6.14.3). So the bits above it never change, and the 128-bit counter
    of the cipher beneath gives the same key stream for every width.
    """

    __slots__ = ("_block", "_context", "_contexts", "_left")

    def __init__(self, idle: CtrContexts, parameter: AesCtr) -> None:
        bits, block = parameter
        if not 0 < bits <= 8 * BLOCK or len(block) != BLOCK:
            raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"a counter of {bits} bits")
        size = 1 << bits
        self._left = (size - int.from_bytes(block, "big") % size) * BLOCK
        self._block = block
        self._contexts = idle
        self._context: CipherContext | None = None

    def output_length(self, length: int) -> int:
        return length

    def run(self, data: Buffer) -> bytes:
        self._check(len(data))
        context = self._contexts.take(self._block)
        result = context.update(data)
        self._contexts.give(context)
        return result

    def run_into(self, data: Buffer, out: memoryview) -> int:
        self._check(len(data))
        context = self._contexts.take(self._block)
        written = context.update_into(data, out)
        self._contexts.give(context)
        return written

    def update_length(self, length: int) -> int:
        return length

    def update_into(self, data: Buffer, out: memoryview) -> int:
        self._check(len(data))
        context = self._context
        if context is None:
            context = self._context = self._contexts.take(self._block)
        self._left -= len(data)
        return context.update_into(data, out)

    def finish_length(self) -> int:
        return 0

    def finish(self) -> bytes:
        context, self._context = self._context, None
        if context is not None:
            self._contexts.give(context)
        return b""

    def _check(self, length: int) -> None:
        if length > self._left:
            raise CryptokiError(CKR_DATA_LEN_RANGE, "the counter would overflow")


def ctr(key: Key, parameter: AesCtr) -> Cipher:
    return CounterMode(contexts(key).ctr, parameter)
