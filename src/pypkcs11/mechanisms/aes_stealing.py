"""Ciphertext stealing: any number of octets from a block upwards, and as many out as in.

What CTS and XTS have in common, and CKM_AES_CTS (PKCS #11 v3.2, "AES CBC with CipherText Stealing
CTS"; NIST SP 800-38A, addendum). Of the addendum's three variants the standard names none. This is
the first, CBC-CS1: octets in whole blocks are encrypted as CBC encrypts them.
"""

from __future__ import annotations

from abc import abstractmethod

from cryptography.hazmat.primitives.ciphers import CipherContext

from pypkcs11.mechanisms.aes_contexts import BLOCK, AesContexts, contexts
from pypkcs11.mechanisms.block_contexts import Contexts
from pypkcs11.mechanisms.block_modes import block_iv, write, write_shifted
from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer


class Stealing(Cipher):
    """A mode that changes the last two blocks when the last of them is not whole.

    Which they are is known at the end only. So as parts come in, the last whole block and what
    follows it are held, and the end gives 16 to 31 octets.
    """

    __slots__ = ("_held",)

    #: What data of a wrong length earns.
    length_error = CKR_DATA_LEN_RANGE

    def __init__(self) -> None:
        self._held = b""

    @abstractmethod
    def _blocks(self, held: bytes, data: memoryview, out: memoryview) -> None:
        """Process whole blocks, ``held`` before ``data``, that are not the last two.

        ``out`` may be the memory of ``data``, and longer than what is written.
        """

    @abstractmethod
    def _tail(self, last: bytes) -> bytes:
        """Process the last 16 to 31 octets."""

    def output_length(self, length: int) -> int:
        return length

    def update_length(self, length: int) -> int:
        total = len(self._held) + length
        return max(total - BLOCK - total % BLOCK, 0)

    def update_into(self, data: Buffer, out: memoryview) -> int:
        held = self._held
        ready = self.update_length(len(data))
        if not ready:
            self._held = held + data
            return 0
        view = memoryview(data)
        # What is ready takes in all that was held, or is a single block of it.
        taken = ready - len(held)
        if taken < 0:
            rest = held[ready:] + view
            held = held[:ready]
            taken = 0
        else:
            rest = bytes(view[taken:])
        self._blocks(held, view[:taken], out)
        self._held = rest
        return ready

    def finish_length(self) -> int:
        return len(self._held)

    def finish(self) -> bytes:
        self._check(len(self._held))
        return self._tail(self._held)

    def _check(self, length: int) -> None:
        if length < BLOCK:
            raise CryptokiError(self.length_error, f"less than {BLOCK} octets")


class _CbcStealing(Stealing):
    """What both directions of CKM_AES_CTS have in common."""

    __slots__ = ("_cache", "_context", "_contexts", "_start")

    def __init__(self, cache: AesContexts, idle: Contexts, parameter: bytes) -> None:
        super().__init__()
        self._start = block_iv(idle, parameter)
        self._cache = cache
        self._contexts = idle
        self._context: CipherContext | None = None

    def run(self, data: Buffer) -> bytes:
        out = bytearray(len(data))
        self.run_into(data, memoryview(out))
        return bytes(out)

    def run_into(self, data: Buffer, out: memoryview) -> int:
        self._check(len(data))
        view = memoryview(data)
        head = len(view) - BLOCK - len(view) % BLOCK
        last = bytes(view[head:])
        if head:
            self._blocks(b"", view[:head], out)
        out[head : len(view)] = self._tail(last)
        return len(view)

    def _blocks(self, held: bytes, data: memoryview, out: memoryview) -> None:
        context = self._started()
        if held:
            write_shifted(context, held, data, out)
        else:
            write(context, data, out)

    def _tail(self, last: bytes) -> bytes:
        context = self._started()
        result = self._steal(context, last, len(last) - BLOCK)
        self._context = None
        self._contexts.give(context)
        return result

    @abstractmethod
    def _steal(self, context: CipherContext, last: bytes, extra: int) -> bytes:
        """Process the last block and the ``extra`` octets (0 to 15) that there are beside it."""

    def _started(self) -> CipherContext:
        context = self._context
        if context is None:
            context = self._context = self._contexts.take(self._start)
        return context


class CtsEncryption(_CbcStealing):
    """Zeros fill the last block up; as many octets of the one before it are left out."""

    __slots__ = ()

    def _steal(self, context: CipherContext, last: bytes, extra: int) -> bytes:
        sealed = context.update(last + bytes(-extra % BLOCK))
        return sealed[:extra] + sealed[-BLOCK:]


class CtsDecryption(_CbcStealing):
    """The octets that were left out are in the last block, where zeros were encrypted."""

    __slots__ = ()
    length_error = CKR_ENCRYPTED_DATA_LEN_RANGE

    def _steal(self, context: CipherContext, last: bytes, extra: int) -> bytes:
        if not extra:
            return context.update(last)
        final = last[extra:]
        decryptor = self._cache.ecb_decryptors.take()
        left_out = decryptor.update(final)[extra:]
        self._cache.ecb_decryptors.give(decryptor)
        return context.update(last[:extra] + left_out + final)[: len(last)]


def cts_encrypt(key: Key, parameter: bytes) -> Cipher:
    cache = contexts(key)
    return CtsEncryption(cache, cache.cbc_encryptors, parameter)


def cts_decrypt(key: Key, parameter: bytes) -> Cipher:
    cache = contexts(key)
    return CtsDecryption(cache, cache.cbc_decryptors, parameter)
