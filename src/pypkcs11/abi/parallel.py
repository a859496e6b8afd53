"""Parallel function management functions (section 5.22): what version 2.0 left behind."""

from __future__ import annotations

from pypkcs11.abi import host
from pypkcs11.abi.errors import entry
from pypkcs11.standard.constants import CKR_FUNCTION_NOT_PARALLEL
from pypkcs11.standard.errors import CryptokiError


@entry
def C_GetFunctionStatus(session_handle: int) -> int:
    """Nothing runs in parallel."""
    host.sessions[session_handle]
    raise CryptokiError(CKR_FUNCTION_NOT_PARALLEL)


@entry
def C_CancelFunction(session_handle: int) -> int:
    """Nothing runs in parallel."""
    host.sessions[session_handle]
    raise CryptokiError(CKR_FUNCTION_NOT_PARALLEL)
