"""Fixed fields of C structures: blank-padded UTF-8 (section 3.1) and version numbers."""

from __future__ import annotations

from _pypkcs11 import ffi

from pypkcs11 import VERSION
from pypkcs11.abi.cdata import CData


def pad(field: CData, text: str) -> None:
    """Put text into a field, cut at a character's end when it is too long."""
    size = ffi.sizeof(field)
    data = text.encode()[:size].decode(errors="ignore").encode()
    ffi.memmove(field, data.ljust(size), size)


def set_version(version: CData) -> None:
    """Put the library's own version into a CK_VERSION."""
    version.major, version.minor = VERSION[:2]
