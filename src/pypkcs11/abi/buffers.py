"""Octets that come from C, and the one rule by which octets go back (section 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from _pypkcs11 import ffi

from pypkcs11.abi.cdata import CData
from pypkcs11.standard.constants import CKR_ARGUMENTS_BAD, CKR_BUFFER_TOO_SMALL, CKR_OK
from pypkcs11.standard.errors import CryptokiError

if TYPE_CHECKING:
    from pypkcs11.standard.values import Buffer

_buffer: Final = ffi.buffer
_memmove: Final = ffi.memmove

#: Longer than any memory: a length that the caller did not mean.
MOST: Final = 1 << 46


def octets(pointer: CData, length: int) -> Buffer:
    """The caller's octets, in place.

    :raises CryptokiError: CKR_ARGUMENTS_BAD for octets nowhere, or more than there can be.
    """
    if pointer and length <= MOST:
        return _buffer(pointer, length)  # type: ignore[no-any-return]
    if length:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "octets nowhere, or more than there can be")
    return b""


def copied(pointer: CData, length: int) -> bytes:
    """A copy of the caller's octets, for what is kept (PINs, labels).

    :raises CryptokiError: as :func:`octets`.
    """
    return bytes(octets(pointer, length))


def require(*pointers: CData) -> None:
    """:raises CryptokiError: CKR_ARGUMENTS_BAD when a pointer is NULL that must not be."""
    for pointer in pointers:
        if not pointer:
            raise null()


def null() -> CryptokiError:
    """What a pointer deserves that must not be NULL."""
    return CryptokiError(CKR_ARGUMENTS_BAD, "a pointer is NULL")


def no_room(out: CData, out_length: CData, needed: int) -> int | None:
    """Answer a caller whose buffer cannot take ``needed`` octets (or elements).

    The length is told in any case. NULL asks for it: CKR_OK; a short buffer is
    CKR_BUFFER_TOO_SMALL. Where there is room the answer is None, and the work can be done.
    """
    room = out_length[0]
    out_length[0] = needed
    if not out:
        return CKR_OK
    return CKR_BUFFER_TOO_SMALL if room < needed else None


def tell(out: CData, out_length: CData, needed: int) -> int:
    """Answer a caller who has no room for ``needed`` octets: CKR_OK if NULL asks for the length."""
    out_length[0] = needed
    return CKR_BUFFER_TOO_SMALL if out else CKR_OK


def give(data: bytes, out: CData, out_length: CData) -> int:
    """Give octets for which there is room."""
    length = len(data)
    _memmove(out, data, length)
    out_length[0] = length
    return CKR_OK


def window(out: CData, length: int) -> memoryview:
    """The caller's buffer, to write ``length`` octets into."""
    return memoryview(_buffer(out, length))


def deliver(data: bytes, out: CData, out_length: CData) -> int:
    """Give octets whose length was not known before, if there is room for them."""
    if out and len(data) <= out_length[0]:
        return give(data, out, out_length)
    return tell(out, out_length, len(data))
