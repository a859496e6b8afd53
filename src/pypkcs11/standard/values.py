"""What an attribute's value is once it has left C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

#: CK_BBOOL is a bool, CK_ULONG an int, byte arrays, strings, big integers and dates are bytes as
#: the caller gave them (a date is eight ASCII digits or empty), an array of CK_ULONG a tuple of
#: ints, and an array of attributes a tuple of (type, value) pairs in the caller's order.
Value: TypeAlias = Union[bool, int, bytes, tuple[int, ...], "tuple[tuple[int, Value], ...]"]

#: An object's attributes, by CKA_ number.
Attributes: TypeAlias = Mapping[int, Value]

#: Attributes as a caller lists them: in order, duplicates and all.
Template: TypeAlias = Sequence[tuple[int, Value]]

#: Octets that are read, or written into, in place.
Buffer: TypeAlias = bytes | bytearray | memoryview
