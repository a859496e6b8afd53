"""Attributes as octets: the store's own form, the same on every platform.

Big-endian and columnar, so that one :mod:`struct` call reads a whole object::

    u8   version
    u16  n, how many attributes
    u32  type    n times
    u8   kind    n times
    u64  word    n times: the value of a bool or integer, else how much of the rest is its
    ...  the rest: octets, arrays of u64, and nested lists in this same form, in order

Whatever is not exactly that (a bad kind, a bool of 2, a type twice, octets missing or left over)
is CKR_DEVICE_ERROR, so that a damaged row is never half understood.

Objects of one kind have the same types and kinds, so what follows from these is worked out once
(:class:`_Shape`). With it, :func:`check` sees that octets are well-formed and :func:`pick` reads
one attribute, for a fraction of what :func:`decode` costs in time, and in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct, error, pack, unpack_from
from typing import cast

from pypkcs11.standard.constants import CKR_ATTRIBUTE_VALUE_INVALID, CKR_DEVICE_ERROR
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template, Value

VERSION = 1

#: How deep arrays of attributes may nest (the standard has no use for more than two levels).
DEPTH = 8

_BOOL, _ULONG, _BYTES, _ULONGS, _ATTRIBUTES = range(1, 6)
_HEAD = Struct(">BH")

#: The kinds of what is no array.
_KINDS = {bool: _BOOL, int: _ULONG, bytes: _BYTES, bytearray: _BYTES}


@lru_cache(maxsize=256)
def _columns(n: int) -> Struct:
    return Struct(f">{n}I{n}B{n}Q")


def encode(attributes: Attributes) -> bytes:
    """Return attributes as octets.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for what has no place in this form (a type
        beyond 32 bits, a number beyond 64 or below 0, too deep a nesting).
    """
    try:
        return _encode(attributes.items(), DEPTH)
    except (error, OverflowError, TypeError, ValueError):
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "a value cannot be stored") from None


def decode(data: bytes) -> dict[int, Value]:
    """Return the attributes that :func:`encode` made octets of.

    :raises CryptokiError: CKR_DEVICE_ERROR for anything else.
    """
    types, values = _decode(data, DEPTH)
    attributes = dict(zip(types, values, strict=True))
    if len(attributes) != len(types):
        raise _damaged("an attribute twice")
    return attributes


def check(data: bytes) -> None:
    """See that octets are what :func:`encode` makes.

    :raises CryptokiError: CKR_DEVICE_ERROR for anything else.
    """
    shape = _shape_of(data)
    if shape.nested:
        decode(data)
    else:
        shape.check(data)


def pick(data: bytes, type_: int) -> Value | None:
    """Return one attribute of octets that have been checked, None when it is not there."""
    shape = _shape_of(data)
    i = shape.places.get(type_)
    if i is None:
        return None
    kind = shape.kinds[i]
    if kind > _BYTES:
        return decode(data)[type_]
    words: tuple[int, ...] = shape.words.unpack_from(data, shape.start)
    word = words[i]
    if kind != _BYTES:
        return word == 1 if kind == _BOOL else word
    start = shape.end
    for j in shape.sized:
        if j == i:
            break
        start += words[j] * (8 if shape.kinds[j] == _ULONGS else 1)
    return data[start : start + word]


class _Shape:
    """What all encoded attributes have in common that are of the same types and kinds."""

    __slots__ = ("bools", "end", "kinds", "nested", "places", "sized", "start", "words")

    def __init__(self, head: bytes) -> None:
        """:raises CryptokiError: CKR_DEVICE_ERROR."""
        n = (len(head) - _HEAD.size) // 5
        types = unpack_from(f">{n}I", head, _HEAD.size)
        self.kinds: bytes = head[_HEAD.size + 4 * n :]
        self.places = {type_: i for i, type_ in enumerate(types)}
        if len(self.places) != n:
            raise _damaged("an attribute twice")
        if any(not _BOOL <= kind <= _ATTRIBUTES for kind in self.kinds):
            raise _damaged("unknown kind of value")
        self.words = Struct(f">{n}Q")
        self.start = len(head)
        self.end = self.start + 8 * n
        self.sized = [i for i, kind in enumerate(self.kinds) if kind not in (_BOOL, _ULONG)]
        self.bools = [i for i, kind in enumerate(self.kinds) if kind == _BOOL]
        self.nested = _ATTRIBUTES in self.kinds

    def check(self, data: bytes) -> None:
        """As :func:`check`, of octets without nested attributes."""
        if len(data) < self.end:
            raise _damaged("too short")
        words = self.words.unpack_from(data, self.start)
        if any(words[i] > 1 for i in self.bools):
            raise _damaged("neither true nor false")
        kinds = self.kinds
        end = self.end
        for i in self.sized:
            end += words[i] * (8 if kinds[i] == _ULONGS else 1)
        if end != len(data):
            raise _damaged("wrong length")


def _shape_of(data: bytes) -> _Shape:
    if len(data) < _HEAD.size or data[0] != VERSION:
        raise _damaged("unknown version")
    size = _HEAD.size + 5 * (data[1] << 8 | data[2])
    if len(data) < size:
        raise _damaged("too short")
    return _shape(data[:size])


@lru_cache(maxsize=256)
def _shape(head: bytes) -> _Shape:
    return _Shape(head)


def _encode(pairs: Iterable[tuple[int, Value]], depth: int) -> bytes:
    if not depth:
        raise ValueError("nested too deep")
    types: list[int] = []
    kinds: list[int] = []
    words: list[int] = []
    rest: list[bytes] = []
    for type_, value in pairs:
        known = _KINDS.get(type(value))
        if known is None:
            kind, word, octets = _encode_array(value, depth)
        elif known == _BYTES:
            kind, word, octets = known, len(value), value  # type: ignore[arg-type, assignment]
        else:
            kind, word, octets = known, value, b""  # type: ignore[assignment]
        types.append(type_)
        kinds.append(kind)
        words.append(word)
        if octets:
            rest.append(octets)
    n = len(types)
    columns = _columns(n).pack(*types, *kinds, *words)
    return b"".join((_HEAD.pack(VERSION, n), columns, *rest))


def _encode_array(value: Value, depth: int) -> tuple[int, int, bytes]:
    if not isinstance(value, tuple):
        raise TypeError("not a value")
    if value and isinstance(value[0], tuple):
        octets = _encode(cast(Template, value), depth - 1)
        return _ATTRIBUTES, len(octets), octets
    return _ULONGS, len(value), pack(f">{len(value)}Q", *value)


def _decode(data: bytes, depth: int) -> tuple[tuple[int, ...], list[Value]]:
    size = len(data)
    if size < 3 or data[0] != VERSION:
        raise _damaged("unknown version")
    n = data[1] << 8 | data[2]
    position = 3 + 13 * n
    if size < position:
        raise _damaged("too short")
    columns = _columns(n).unpack_from(data, 3)
    values: list[Value] = list(columns[2 * n :])
    for i, kind in enumerate(columns[n : 2 * n]):
        if kind == _ULONG:
            continue
        word = cast(int, values[i])
        if kind == _BYTES:
            end = position + word
            values[i] = data[position:end]
            position = end
        elif kind == _BOOL:
            if word > 1:
                raise _damaged("neither true nor false")
            values[i] = word == 1
        else:
            values[i], position = _decode_array(data, position, kind, word, depth)
    if position != size:
        raise _damaged("wrong length")
    return columns[:n], values


def _decode_array(
    data: bytes, position: int, kind: int, word: int, depth: int
) -> tuple[Value, int]:
    if kind not in (_ULONGS, _ATTRIBUTES):
        raise _damaged("unknown kind of value")
    end = position + (8 * word if kind == _ULONGS else word)
    if end > len(data):
        raise _damaged("too short")
    if kind == _ULONGS:
        return unpack_from(f">{word}Q", data, position), end
    if depth == 1:
        raise _damaged("nested too deep")
    types, values = _decode(data[position:end], depth - 1)
    return tuple(zip(types, values, strict=True)), end


def _damaged(what: str) -> CryptokiError:
    return CryptokiError(CKR_DEVICE_ERROR, f"a stored object is damaged: {what}")
