"""How a C structure becomes a named tuple: a reader for each field, in the tuple's order."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, TypeAlias

from _pypkcs11 import ffi

from pypkcs11.abi.cdata import CData
from pypkcs11.standard.constants import CKR_MECHANISM_PARAM_INVALID
from pypkcs11.standard.errors import CryptokiError

#: Longer than any parameter a mechanism can mean.
MOST: Final = 1 << 20

#: From a pointer and the octets that it is said to point to.
Reader: TypeAlias = Callable[[CData, int], Any]

#: From a structure to one value of it.
Field: TypeAlias = Callable[[CData], Any]


_buffer: Final = ffi.buffer
_cast: Final = ffi.cast


def invalid(why: str) -> CryptokiError:
    """:return: the exception for a parameter that cannot be meant."""
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, why)


def copied(pointer: CData, length: int) -> bytes:
    """Octets that a structure points to."""
    if not length:
        return b""
    if not pointer or length > MOST:
        raise invalid("octets that are nowhere, or too many")
    return _buffer(pointer, length)[:]  # type: ignore[no-any-return]


def view(name: str) -> Reader:
    """A reader that gives the C structure itself; its length must be exact."""
    pointer_type, size = ffi.typeof(f"{name} *"), ffi.sizeof(name)

    def read(pointer: CData, length: int) -> Any:
        if length != size:
            raise invalid(f"not a {name}")
        return _cast(pointer_type, pointer)

    return read


def structure(made: Callable[..., Any], name: str, *fields: Field) -> Reader:
    """A reader that makes a named tuple of a structure's fields."""
    structure = view(name)

    def read(pointer: CData, length: int) -> Any:
        c = structure(pointer, length)
        return made(*[field(c) for field in fields])

    return read


def single(made: Callable[[Any], Any], name: str) -> Reader:
    """A reader of a parameter that is one number."""
    scalar = view(name)

    def read(pointer: CData, length: int) -> Any:
        return made(scalar(pointer, length)[0])

    return read


#: A number, as it is.
number: Final = attrgetter


def flag(name: str) -> Field:
    """A CK_BBOOL: anything but 0 is true."""
    get = attrgetter(name)
    return lambda c: bool(get(c))


def inline(name: str) -> Field:
    """Octets within the structure."""
    get = attrgetter(name)
    return lambda c: bytes(ffi.buffer(get(c)))


def octets(pointer: str, length: str) -> Field:
    """Octets that the structure points to."""
    both = attrgetter(pointer, length)
    return lambda c: copied(*both(c))


def whole_octets(bits: int) -> int:
    """How many octets so many bits are.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID unless they are whole octets.
    """
    if bits % 8:
        raise invalid(f"{bits} bits")
    return bits // 8


def bits(pointer: str, length: str) -> Field:
    """Octets that the structure points to, and whose number it says in bits."""
    get_pointer, get_length = attrgetter(pointer), attrgetter(length)
    return lambda c: copied(get_pointer(c), whole_octets(get_length(c)))


def nested(pointer: str, reader: Reader) -> Field:
    """A structure that the structure points to."""
    get = attrgetter(pointer)

    def read(c: CData) -> Any:
        inner = get(c)
        if not inner:
            raise invalid(f"{pointer} is NULL")
        return reader(inner, ffi.sizeof(inner[0]))

    return read
