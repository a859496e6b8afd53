"""Block ciphers in ECB and CBC, with and without padding (PKCS #11 v3.2, section 6.13.3 ff).

All write straight from the caller's memory into the caller's memory where they can, and both may be
the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from cryptography.hazmat.primitives.ciphers import CipherContext

from pypkcs11.mechanisms.block_contexts import Contexts, OfKey
from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import (
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

#: Up to this many octets, a result of its own and a copy are faster than writing in place, ...
_SMALLEST = 256

#: ... and up to this many, where the last block would have to go the other way.
_SMALL = 4096

#: Octets of the longest block there is.
_LONGEST_BLOCK = 16

#: How much is processed at a time where output overtakes input.
_CHUNK = 65536

_PADDING = tuple(bytes([count]) * count for count in range(_LONGEST_BLOCK + 1))


def write(context: CipherContext, data: Buffer, out: memoryview) -> int:
    """Process whole blocks into ``out``, which may be the memory of ``data``.

    ``update_into`` wants a block less one octet to spare, which the caller's buffer need not have;
    then the last block goes the other way.
    """
    length = len(data)
    if length > _SMALLEST and len(out) >= length + _LONGEST_BLOCK - 1:
        return context.update_into(data, out)
    if length <= _SMALL:
        out[:length] = context.update(data)
        return length
    view = memoryview(data)
    head = length - _LONGEST_BLOCK
    context.update_into(view[:head], out)
    out[head:length] = context.update(view[head:])
    return length


def write_shifted(context: CipherContext, held: bytes, data: Buffer, out: memoryview) -> int:
    """Process whole blocks, ``held`` before ``data``, into ``out``.

    The output is ahead of the input by what was held, so in place it would overwrite input that has
    not been read: every piece is written only when the one after it has been processed.
    """
    view = memoryview(data)
    start = _CHUNK - len(held)
    ready = context.update(held + view[:start])
    written = 0
    for at in range(start, len(view), _CHUNK):
        following = context.update(view[at : at + _CHUNK])
        out[written : written + len(ready)] = ready
        written += len(ready)
        ready = following
    out[written : written + len(ready)] = ready
    return written + len(ready)


class _Blocks(Cipher):
    """What the modes have in common: a context, and octets held until their block is full."""

    __slots__ = ("_block", "_context", "_contexts", "_held", "_start")

    #: What wrong data earns: of the wrong length.
    length_error = CKR_DATA_LEN_RANGE

    def __init__(self, idle: Contexts, iv: bytes | None) -> None:
        """:raises CryptokiError: CKR_MECHANISM_PARAM_INVALID, as :func:`block_iv`."""
        self._block = idle.block
        self._contexts = idle
        self._start = b"" if iv is None else block_iv(idle, iv)
        self._context: CipherContext | None = None
        self._held = b""

    def output_length(self, length: int) -> int:
        return length

    def run(self, data: Buffer) -> bytes:
        if len(data) % self._block:
            raise self._bad_length()
        return self._contexts.short(self._start, data)

    def run_into(self, data: Buffer, out: memoryview) -> int:
        if len(data) % self._block:
            raise self._bad_length()
        context = self._contexts.take(self._start)
        written = write(context, data, out)
        self._contexts.give(context)
        return written

    def update_length(self, length: int) -> int:
        length += len(self._held)
        return length - length % self._block

    def update_into(self, data: Buffer, out: memoryview) -> int:
        context = self._context
        if context is None:
            context = self._context = self._contexts.take(self._start)
        held = self._held
        rest = len(data) - self.update_length(len(data)) + len(held)
        if not held and not rest:
            return write(context, data, out)
        view = memoryview(data)
        kept = len(view) - rest
        if kept < 0:
            self._held = held + view
            return 0
        self._held = bytes(view[kept:])
        return write_shifted(context, held, view[:kept], out)

    def finish_length(self) -> int:
        return 0

    def finish(self) -> bytes:
        if self._held:
            raise self._bad_length()
        self._end()
        return b""

    def _end(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            self._contexts.give(context)

    def _bad_length(self) -> CryptokiError:
        return CryptokiError(self.length_error, f"not a multiple of {self._block} octets")


class BlockEncryption(_Blocks):
    """ECB or CBC encryption without padding."""

    __slots__ = ()


class BlockDecryption(_Blocks):
    """ECB or CBC decryption without padding."""

    __slots__ = ()
    length_error = CKR_ENCRYPTED_DATA_LEN_RANGE


class PaddingEncryption(_Blocks):
    """CBC encryption with PKCS #7 padding."""

    __slots__ = ()

    def output_length(self, length: int) -> int:
        return length - length % self._block + self._block

    def run(self, data: Buffer) -> bytes:
        padded = bytes(data) + _PADDING[self._block - len(data) % self._block]
        return self._contexts.short(self._start, padded)

    def run_into(self, data: Buffer, out: memoryview) -> int:
        context = self._contexts.take(self._start)
        length = len(data)
        view = memoryview(data)
        head = length - length % self._block
        last = self._padded(view[head:])
        context.update_into(view[:head], out)
        out[head : head + self._block] = context.update(last)
        self._contexts.give(context)
        return head + self._block

    def finish_length(self) -> int:
        return self._block

    def finish(self) -> bytes:
        context = self._context or self._contexts.take(self._start)
        result = context.update(self._padded(self._held))
        self._context = context
        self._end()
        return result

    def _padded(self, rest: Buffer) -> bytes:
        return bytes(rest) + _PADDING[self._block - len(rest)]


class PaddingDecryption(_Blocks):
    """CBC decryption with PKCS #7 padding: the last block is held until the end is known."""

    __slots__ = ()
    exact = False
    length_error = CKR_ENCRYPTED_DATA_LEN_RANGE

    def output_length(self, length: int) -> int:
        return max(length - 1, 0)

    def run(self, data: Buffer) -> bytes:
        self._check(len(data))
        padded = self._contexts.short(self._start, data)
        block = self._block
        return padded[:-block] + _unpadded(padded[-block:])

    def run_into(self, data: Buffer, out: memoryview) -> int:
        length = len(data)
        self._check(length)
        context = self._contexts.take(self._start)
        view = memoryview(data)
        head = length - self._block
        context.update_into(view[:head], out)
        last = context.update(view[head:])
        self._contexts.give(context)
        last = _unpadded(last)
        out[head : head + len(last)] = last
        return head + len(last)

    def update_length(self, length: int) -> int:
        length += len(self._held)
        return (length - 1) // self._block * self._block if length else 0

    def finish_length(self) -> int:
        return self._block - 1

    def finish(self) -> bytes:
        held = self._held
        self._check(len(held))
        context = self._context or self._contexts.take(self._start)
        last = context.update(held)
        self._context = context
        self._end()
        return _unpadded(last)

    def _check(self, length: int) -> None:
        if not length or length % self._block:
            raise self._bad_length()


def _unpadded(block: bytes) -> bytes:
    """The last block without its padding.

    Whoever may decrypt chosen data can learn from the answer whether the padding was good: that is
    CBC without authentication, and no way of comparing hides it.
    """
    count = block[-1]
    if not 0 < count <= len(block) or not block.endswith(_PADDING[count]):
        raise CryptokiError(CKR_ENCRYPTED_DATA_INVALID, "the padding is wrong")
    return block[:-count]


def block_iv(idle: Contexts, parameter: bytes) -> bytes:
    """An initialisation vector, which must have the length of a block.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    if len(parameter) != idle.block:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"the IV is not {idle.block} octets long")
    return parameter


#: What makes the ciphers of a key: each takes the IV, or None where there is none.
Maker: TypeAlias = Callable[[bytes | None], Cipher]


def ecb_encrypt(contexts: OfKey, key: Key) -> Maker:
    return partial(BlockEncryption, contexts(key).ecb_encryptors)


def ecb_decrypt(contexts: OfKey, key: Key) -> Maker:
    return partial(BlockDecryption, contexts(key).ecb_decryptors)


def cbc_encrypt(contexts: OfKey, key: Key) -> Maker:
    return partial(BlockEncryption, contexts(key).cbc_encryptors)


def cbc_decrypt(contexts: OfKey, key: Key) -> Maker:
    return partial(BlockDecryption, contexts(key).cbc_decryptors)


def cbc_pad_encrypt(contexts: OfKey, key: Key) -> Maker:
    return partial(PaddingEncryption, contexts(key).cbc_encryptors)


def cbc_pad_decrypt(contexts: OfKey, key: Key) -> Maker:
    return partial(PaddingDecryption, contexts(key).cbc_decryptors)
