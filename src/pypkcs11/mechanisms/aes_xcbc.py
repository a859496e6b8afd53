"""AES-XCBC-MAC (PKCS #11 v3.2, "AES-XCBC-MAC"; RFC 3566): CBC's last block, made safe.

Three keys are made of one. The first encrypts, and the second or the third goes into the last
block: so no message can be made longer, or filled up, without the MAC being another.
"""

from __future__ import annotations

from copy import copy
from typing import Self

from pypkcs11.mechanisms.aes_contexts import BLOCK, AesContexts, contexts
from pypkcs11.mechanisms.macs import MacSignature, MacVerification
from pypkcs11.mechanisms.operation import Signature, Verification
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.values import Buffer

#: Octets of XCBC-MAC-96.
SHORTER = 12

_NOTHING = memoryview(b"")

#: How much is encrypted at a time: of the output only the last block is of use.
_CHUNK = 65536


class XcbcMac:
    """A MAC in the making.

    Between parts, the state is CBC's last block and the octets not yet encrypted: one at least,
    once there has been data, because the last block is treated otherwise.
    """

    __slots__ = ("_contexts", "_held", "_last", "_padded", "_whole")

    def __init__(self, cache: AesContexts, whole: bytes, padded: bytes) -> None:
        self._contexts = cache
        self._whole = whole
        self._padded = padded
        self._last = bytes(BLOCK)
        self._held = b""

    def copy(self) -> Self:
        return copy(self)

    def update(self, data: Buffer) -> None:
        held = self._held
        total = len(held) + len(data)
        if total <= BLOCK:
            self._held = held + data
            return
        view = memoryview(data)
        start = -len(held) % BLOCK
        end = len(view) - (total - 1) % BLOCK - 1
        self._encrypt(held + view[:start], view[start:end])
        self._held = bytes(view[end:])

    def finalize(self) -> bytes:
        held = self._held
        if len(held) == BLOCK:
            self._encrypt(_xor(held, self._whole), _NOTHING)
        else:
            self._encrypt(_xor((held + b"\x80").ljust(BLOCK, b"\0"), self._padded), _NOTHING)
        return self._last

    def _encrypt(self, first: bytes, rest: memoryview) -> None:
        idle = self._contexts.cbc_encryptors
        context = idle.take(self._last)
        sealed = context.update(first) or self._last
        for at in range(0, len(rest), _CHUNK):
            sealed = context.update(rest[at : at + _CHUNK])
        self._last = sealed[-BLOCK:]
        idle.give(context)


def _xor(left: bytes, right: bytes) -> bytes:
    mixed = int.from_bytes(left, "big") ^ int.from_bytes(right, "big")
    return mixed.to_bytes(BLOCK, "big")


def _context(key: Key) -> XcbcMac:
    """The keys are K1, which encrypts, K2 and K3 (RFC 3566, section 4)."""
    cache = contexts(key)
    if cache.xcbc is None:
        encryptor = cache.ecb_encryptors.take()
        first, second, third = (encryptor.update(bytes([number]) * BLOCK) for number in (1, 2, 3))
        cache.ecb_encryptors.give(encryptor)
        cache.xcbc = AesContexts(first), second, third
    return XcbcMac(*cache.xcbc)


def sign(length: int, key: Key, parameter: None) -> Signature:
    return MacSignature(_context(key), length)


def verify(length: int, key: Key, parameter: None) -> Verification:
    return MacVerification(_context(key), length)
