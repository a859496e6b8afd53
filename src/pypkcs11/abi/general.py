"""General-purpose functions (section 5.4)."""

from __future__ import annotations

from typing import Final

from _pypkcs11 import ffi, lib

from pypkcs11.abi import host
from pypkcs11.abi.buffers import require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.text import pad, set_version
from pypkcs11.standard import signals
from pypkcs11.standard.constants import (
    CKF_LIBRARY_CANT_CREATE_OS_THREADS,
    CKF_OS_LOCKING_OK,
    CKR_ARGUMENTS_BAD,
    CKR_OK,
    CRYPTOKI_VERSION_MAJOR,
    CRYPTOKI_VERSION_MINOR,
)
from pypkcs11.standard.errors import CryptokiError

_ARGUMENTS: Final = ffi.typeof("CK_C_INITIALIZE_ARGS *")
_FLAGS: Final = CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK

signals.provide(lib.pypkcs11_hold_signals, lib.pypkcs11_release_signals)


@entry
def C_Initialize(arguments: CData) -> int:
    """Begin. Locks are always the operating system's, which every caller's threads obey too."""
    if arguments:
        _check(ffi.cast(_ARGUMENTS, arguments))
    host.initialise()
    return CKR_OK


def _check(arguments: CData) -> None:
    """Section 5.4.1: four mutex functions or none, no reserved pointer, known flags only."""
    given = [
        bool(function)
        for function in (
            arguments.CreateMutex,
            arguments.DestroyMutex,
            arguments.LockMutex,
            arguments.UnlockMutex,
        )
    ]
    if arguments.pReserved or (any(given) and not all(given)) or arguments.flags & ~_FLAGS:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "CK_C_INITIALIZE_ARGS that cannot be meant")


@entry
def C_Finalize(reserved: CData) -> int:
    """End."""
    if reserved:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "pReserved is not NULL")
    host.finalise()
    return CKR_OK


@entry
def C_GetInfo(info: CData) -> int:
    """Say which library this is."""
    require(info)
    host.library()
    info.cryptokiVersion.major = CRYPTOKI_VERSION_MAJOR
    info.cryptokiVersion.minor = CRYPTOKI_VERSION_MINOR
    pad(info.manufacturerID, "pypkcs11")
    info.flags = 0
    pad(info.libraryDescription, "PKCS #11 software token in Python")
    set_version(info.libraryVersion)
    return CKR_OK
