"""Choices out of octets: the same octets make the same calls, and more octets make more of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads octets as choices. When they are used up, every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        """Whether there is nothing left to choose by."""
        return self._at >= len(self._data)

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1."""
        if bound <= 1:
            return 0
        size = 1 if bound <= 256 else 2
        octets = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(octets, "little") % bound

    def one_in(self, bound: int) -> bool:
        """True in one of so many cases, false at the end."""
        return self.below(bound) == bound - 1

    def pick(self, among: Sequence[T]) -> T:
        """One of several."""
        return among[self.below(len(among))]

    def octets(self, length: int) -> bytes:
        """So many octets, of which no more than 16 are chosen."""
        seed = self._data[self._at : self._at + min(length, 16)]
        self._at += min(length, 16)
        return (seed * (length // (len(seed) or 1) + 1))[:length].ljust(length, b"\0")
