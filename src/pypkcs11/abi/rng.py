"""Random number generation functions (section 5.21)."""

from __future__ import annotations

import os
from typing import Final

from _pypkcs11 import ffi

from pypkcs11.abi import host
from pypkcs11.abi.buffers import octets, require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.standard.constants import CKR_OK, CKR_RANDOM_SEED_NOT_SUPPORTED
from pypkcs11.standard.errors import CryptokiError

_POOL: Final = "/dev/urandom"


@entry
def C_SeedRandom(session_handle: int, seed: CData, length: int) -> int:
    """Mix the caller's octets into the operating system's pool; they can only add to it."""
    host.sessions[session_handle]
    require(seed)
    data = octets(seed, length)
    try:
        with open(_POOL, "wb", buffering=0) as pool:
            pool.write(data)
    except OSError:
        raise CryptokiError(CKR_RANDOM_SEED_NOT_SUPPORTED, f"{_POOL} takes no seed") from None
    return CKR_OK


@entry
def C_GenerateRandom(session_handle: int, out: CData, length: int) -> int:
    """Give octets of the operating system's generator."""
    host.sessions[session_handle]
    require(out)
    octets(out, length)
    ffi.memmove(out, os.urandom(length), length)
    return CKR_OK
