"""The nonces of messages: given by the caller, or made here (PKCS #11 v3.2, section 6.15.2).

A nonce that comes twice under one key gives away what was encrypted and lets others forge. So the
counters belong to the key, not to one C_MessageEncryptInit: whoever begins anew goes on counting. A
generator that has nothing left says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Final

from pypkcs11.mechanisms.parameters import AeadMessage
from pypkcs11.standard.constants import (
    CKG_GENERATE,
    CKG_GENERATE_COUNTER,
    CKG_GENERATE_COUNTER_XOR,
    CKG_GENERATE_RANDOM,
    CKG_NO_GENERATE,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError

#: Bits that random nonces must have free. The standard lets modules refuse more fixed ones.
_LEAST_RANDOM: Final = 64

#: Of random numbers of n bits, no more than 2 to the (n - 32) / 2 are taken: then two are the same
#: with a probability of 2 to the -33 at the most (NIST SP 800-38D, section 8).
_RISK: Final = 32


class _Field:
    """The part of a nonce that a generator makes, and what is fixed before it."""

    __slots__ = ("bits", "fixed", "given", "octets")

    def __init__(self, message: AeadMessage) -> None:
        self.octets = len(message.nonce)
        self.bits = 8 * self.octets - message.fixed_bits
        if not 0 <= message.fixed_bits <= 8 * self.octets:
            raise _refused("more bits are fixed than there are")
        number = int.from_bytes(message.nonce, "big")
        self.fixed = number >> self.bits
        self.given = number - (self.fixed << self.bits)

    def nonce(self, made: int) -> bytes:
        return (self.fixed << self.bits | made).to_bytes(self.octets, "big")

    def require_random(self) -> None:
        if self.bits < _LEAST_RANDOM:
            raise _refused(f"{self.bits} bits are too few for random nonces")


class Nonces:
    """What one key has been used with."""

    __slots__ = ("_counts", "_lock", "_starts")

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[int, ...], int] = {}
        self._starts: dict[tuple[int, ...], int] = {}

    def __repr__(self) -> str:
        return "<Nonces>"

    def next(self, message: AeadMessage) -> bytes:
        """The nonce for a message.

        :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a generator that there is not, too
            many fixed bits, or a generator that has given all the nonces it may.
        """
        make = _GENERATORS.get(message.generator)
        if make is None:
            raise _refused("no such generator")
        return make(self, message)

    def _given(self, message: AeadMessage) -> bytes:
        return message.nonce

    def _generated(self, message: AeadMessage) -> bytes:
        """Counted from a random start: new within the key, and most likely beyond it."""
        field = _Field(message)
        field.require_random()
        count = self._count(message.generator, field, 1 << field.bits)
        kind = (field.octets, field.bits, field.fixed)
        if kind not in self._starts:
            self._starts.setdefault(kind, _random(field.bits))
        start = self._starts[kind]
        return field.nonce((start + count) % (1 << field.bits))

    def _random(self, message: AeadMessage) -> bytes:
        field = _Field(message)
        field.require_random()
        self._count(message.generator, field, 1 << ((field.bits - _RISK) // 2))
        return field.nonce(_random(field.bits))

    def _counted(self, message: AeadMessage) -> bytes:
        field = _Field(message)
        return field.nonce(self._count(message.generator, field, 1 << field.bits))

    def _masked(self, message: AeadMessage) -> bytes:
        field = _Field(message)
        count = self._count(message.generator, field, 1 << field.bits, field.given)
        return field.nonce(field.given ^ count)

    def _count(self, generator: int, field: _Field, most: int, *more: int) -> int:
        """How many nonces of a kind have been made before."""
        kind = (generator, field.octets, field.bits, field.fixed, *more)
        with self._lock:
            count = self._counts.get(kind, 0)
            if count >= most:
                raise _refused("all nonces have been used")
            self._counts[kind] = count + 1
        return count


def _random(bits: int) -> int:
    return int.from_bytes(os.urandom((bits + 7) // 8), "big") >> (-bits % 8)


def _refused(reason: str) -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, reason)


_GENERATORS: Final[dict[int, Callable[[Nonces, AeadMessage], bytes]]] = {
    CKG_NO_GENERATE: Nonces._given,
    CKG_GENERATE: Nonces._generated,
    CKG_GENERATE_COUNTER: Nonces._counted,
    CKG_GENERATE_RANDOM: Nonces._random,
    CKG_GENERATE_COUNTER_XOR: Nonces._masked,
}
