"""CK_ATTRIBUTE arrays to Python's values and back (sections 3.4 and 5.7.5).

A template is read as the machine words it is made of (type, address, length), all in one step:
field by field costs more than everything else that C_GetAttributeValue does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final, TypeAlias

from _pypkcs11 import ffi

from pypkcs11.abi.cdata import CData
from pypkcs11.core.attributes import KINDS, Kind
from pypkcs11.core.objects import Object, Unavailable
from pypkcs11.standard.constants import (
    CK_UNAVAILABLE_INFORMATION,
    CKR_ARGUMENTS_BAD,
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_BUFFER_TOO_SMALL,
    CKR_OK,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Value

_WORD: Final = ffi.typeof("CK_ULONG *")
#: The address space as one buffer, seen from its second octet because there is none at NULL.
#: A slice of it costs a third of a pointer made by ``ffi.cast`` and a ``memmove``.
_MEMORY: Final = ffi.buffer(ffi.cast("char *", 1), sys.maxsize)
_ULONG: Final = Struct("@L")
_BOOL: Final = (b"\0", b"\1")
_WORDS: Final = ffi.sizeof("CK_ATTRIBUTE") // _ULONG.size

#: More attributes than any object has, and more octets than any value: the caller's mistake.
_MOST_ATTRIBUTES: Final = 4096
_MOST_OCTETS: Final = 1 << 30

#: Which of several codes C_GetAttributeValue returns: the gravest.
_GRAVITY: Final = (
    CKR_OK,
    CKR_BUFFER_TOO_SMALL,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_SENSITIVE,
)


#: From an attribute, and the address and length of its value, to the value.
Reader: TypeAlias = Callable[[int, int, int], Value]


def read(
    template: CData, count: int, readers: Mapping[int, Reader] | None = None
) -> list[tuple[int, Value]]:
    """A caller's template, in order.

    :param readers: of the attributes whose values are not plain octets.
    :raises CryptokiError: CKR_ARGUMENTS_BAD for a template that is nowhere or absurdly long,
        CKR_ATTRIBUTE_VALUE_INVALID for a value that its type cannot have.
    """
    reader_of = (_READERS if readers is None else readers).get
    words = iter(_words(template, count))
    return [
        (attribute, reader_of(attribute, _octets)(attribute, address, length))
        for attribute, address, length in zip(words, words, words, strict=True)
    ]


def write(obj: Object, template: CData, count: int) -> int:
    """Fill a caller's template with an object's values, as C_GetAttributeValue does.

    Every attribute that can be answered is; the length of the others says
    CK_UNAVAILABLE_INFORMATION.

    :return: the gravest code met.
    """
    words = _words(template, count)
    return _fill(obj.attributes.get, obj.read, ffi.cast(_WORD, template), words)


def _fill(
    get: Callable[[int], Any], otherwise: Callable[[int], Any], flat: CData, words: list[int]
) -> int:
    """Put values where the words of a template say, and tell their lengths.

    :param get: gives most values at once, or None, upon which ``otherwise`` is asked.
    :param flat: the template as machine words, to write lengths into.
    """
    gravest = CKR_OK
    for i in range(0, len(words), _WORDS):
        attribute, address, room = words[i : i + _WORDS]
        value = get(attribute)
        if value is None:
            value = otherwise(attribute)
        kind = type(value)
        data = value if kind is bytes else _WRITERS[kind](value)
        length = len(data)
        if kind is Unavailable or (address and room < length):
            rv = value.rv if kind is Unavailable else CKR_BUFFER_TOO_SMALL
            length = CK_UNAVAILABLE_INFORMATION
        elif kind is tuple and address and _is_nested(value):
            rv = _fill_nested(value, address)
        else:
            rv = CKR_OK
            if address:
                _MEMORY[address - 1 : address - 1 + length] = data
        if room != length:
            flat[i + 2] = length
        if rv:
            gravest = max(gravest, rv, key=_GRAVITY.index)
    return gravest


def _words(template: CData, count: int) -> list[int]:
    if not count:
        return []
    if not template or count > _MOST_ATTRIBUTES:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "a template that is NULL or too long")
    words: list[int] = ffi.unpack(ffi.cast(_WORD, template), count * _WORDS)
    return words


# -- reading -----------------------------------------------------------------------------------


def _octets(attribute: int, address: int, length: int) -> bytes:
    if not length:
        return b""
    if not address or length > _MOST_OCTETS:
        raise _invalid(attribute, "a value that is nowhere, or too long")
    value: bytes = _MEMORY[address - 1 : address - 1 + length]
    return value


def _bool(attribute: int, address: int, length: int) -> bool:
    if address and length == 1:
        octet: bytes = _MEMORY[address - 1]
        if octet in _BOOL:
            return octet != b"\0"
    raise _invalid(attribute, "not a CK_BBOOL")


def _ulong(attribute: int, address: int, length: int) -> int:
    if not address or length != _ULONG.size:
        raise _invalid(attribute, "not a CK_ULONG")
    number: int = _ULONG.unpack_from(_MEMORY, address - 1)[0]
    return number


def _date(attribute: int, address: int, length: int) -> bytes:
    data = _octets(attribute, address, length)
    if data and not (length == 8 and data.isdigit()):
        raise _invalid(attribute, "not a CK_DATE")
    return data


def _ulongs(attribute: int, address: int, length: int) -> tuple[int, ...]:
    if length % _ULONG.size:
        raise _invalid(attribute, "not an array of CK_ULONG")
    data = _octets(attribute, address, length)
    return tuple(number for (number,) in _ULONG.iter_unpack(data))


def _nested(attribute: int, address: int, length: int) -> tuple[tuple[int, Value], ...]:
    count, rest = divmod(length, _WORDS * _ULONG.size)
    if rest or length > _MOST_OCTETS or (count and not address):
        raise _invalid(attribute, "not an array of CK_ATTRIBUTE")
    return tuple(read(ffi.cast(_WORD, address), count, _READERS_WITHIN))


def _twice_nested(attribute: int, address: int, length: int) -> Value:
    raise _invalid(attribute, "an array of CK_ATTRIBUTE within another")


def _invalid(attribute: int, why: str) -> CryptokiError:
    return CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"attribute {attribute:#x}: {why}")


def _readers(template: Reader) -> dict[int, Reader]:
    """The readers by attribute, with that of arrays of attributes."""
    by_kind: dict[Kind, Reader] = {
        Kind.BOOL: _bool,
        Kind.ULONG: _ulong,
        Kind.DATE: _date,
        Kind.ULONG_ARRAY: _ulongs,
        Kind.TEMPLATE: template,
    }
    return {attribute: by_kind[kind] for attribute, kind in KINDS.items() if kind in by_kind}


_READERS: Final = _readers(_nested)
#: The same for attributes within an array of them.
_READERS_WITHIN: Final = _readers(_twice_nested)


# -- writing -----------------------------------------------------------------------------------


def _is_nested(value: Any) -> bool:
    return bool(value) and type(value[0]) is tuple


def _array(value: Any) -> bytes:
    """An array of CK_ULONG; for one of CK_ATTRIBUTE, as much room as it takes."""
    if _is_nested(value):
        return bytes(len(value) * _WORDS * _ULONG.size)
    return b"".join(map(_ULONG.pack, value))


def _fill_nested(items: Any, address: int) -> int:
    """Write an array of attributes: the types, and the values by the same rule for lengths."""
    flat = ffi.cast(_WORD, address)
    values = dict(items)
    words = _words(flat, len(items))
    for n, (attribute, _) in enumerate(items):
        words[n * _WORDS] = flat[n * _WORDS] = attribute
    return _fill(values.get, values.__getitem__, flat, words)


_WRITERS: Final[dict[type, Callable[[Any], bytes]]] = {
    bool: _BOOL.__getitem__,
    int: _ULONG.pack,
    tuple: _array,
    Unavailable: lambda _: b"",
}
