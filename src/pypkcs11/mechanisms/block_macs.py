"""MACs by block ciphers: CMAC (NIST SP 800-38B) and the older MAC of FIPS 113, which is CBC's.

The older one fills the data up with zeros. It is safe only where all messages have one length; CMAC
is what else to take.
"""

from __future__ import annotations

from copy import copy
from typing import Self

from pypkcs11.mechanisms.block_contexts import BlockContexts, OfKey
from pypkcs11.mechanisms.macs import MacSignature, MacVerification, mac_length
from pypkcs11.mechanisms.operation import Signature, Verification
from pypkcs11.mechanisms.parameters import MacGeneral
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.values import Buffer

#: How much is encrypted at a time: of the output only the last block is of use.
_CHUNK = 65536


class CbcMac:
    """The last block of CBC encryption, from an IV of zeros. The data is filled up with zeros.

    Between parts, the state is that block and the octets that are not yet a whole one. Of no data
    at all, which FIPS 113 does not speak of, it is the MAC of a block of zeros.
    """

    __slots__ = ("_contexts", "_held", "_last")

    def __init__(self, contexts: BlockContexts) -> None:
        self._contexts = contexts.cbc_encryptors
        self._last = bytes(self._contexts.block)
        self._held: bytes | None = None

    def copy(self) -> Self:
        return copy(self)

    def update(self, data: Buffer) -> None:
        if not len(data):
            return
        held, view = self._held or b"", memoryview(data)
        whole = len(held) + len(view)
        whole -= whole % self._contexts.block
        if not whole:
            self._held = held + view
            return
        context = self._contexts.take(self._last)
        end = whole - len(held)
        start = -len(held) % self._contexts.block
        sealed = context.update(held + view[:start]) or self._last
        for at in range(start, end, _CHUNK):
            sealed = context.update(view[at : min(at + _CHUNK, end)])
        self._contexts.give(context)
        self._last = sealed[-self._contexts.block :]
        self._held = bytes(view[end:])

    def finalize(self) -> bytes:
        if self._held != b"":
            rest = self._held or b""
            self.update(bytes(self._contexts.block - len(rest)))
        return self._last


def _cbc_mac_length(contexts: BlockContexts, parameter: MacGeneral | None) -> int:
    """Half a block, unless the caller says otherwise."""
    block = contexts.cbc_encryptors.block
    return mac_length(parameter, block) if parameter is not None else block // 2


def mac_sign(contexts: OfKey, key: Key, parameter: MacGeneral | None) -> Signature:
    cache = contexts(key)
    return MacSignature(CbcMac(cache), _cbc_mac_length(cache, parameter))


def mac_verify(contexts: OfKey, key: Key, parameter: MacGeneral | None) -> Verification:
    cache = contexts(key)
    return MacVerification(CbcMac(cache), _cbc_mac_length(cache, parameter))


def cmac_sign(contexts: OfKey, key: Key, parameter: MacGeneral | None) -> Signature:
    cache = contexts(key)
    return MacSignature(cache.cmac.copy(), mac_length(parameter, cache.ecb_encryptors.block))


def cmac_verify(contexts: OfKey, key: Key, parameter: MacGeneral | None) -> Verification:
    cache = contexts(key)
    return MacVerification(cache.cmac.copy(), mac_length(parameter, cache.ecb_encryptors.block))
