"""How every *Init function begins an operation."""

from __future__ import annotations

from pypkcs11.abi import host, parameters
from pypkcs11.abi.cdata import CData
from pypkcs11.core.operations import Function
from pypkcs11.standard.constants import CKR_OK


def start(function: Function, session_handle: int, mechanism: CData, key: int) -> int:
    """Begin an operation with a key, or with a NULL mechanism end the active one (3.0 and later).

    :raises CryptokiError: CKR_SESSION_HANDLE_INVALID, CKR_MECHANISM_INVALID,
        CKR_MECHANISM_PARAM_INVALID, and what :meth:`~pypkcs11.core.sessions.Session.begin` raises.
    """
    session = host.sessions[session_handle]
    if not mechanism:
        session.cancel(function)
        return CKR_OK
    row = host.mechanisms[mechanism.mechanism]
    session.begin(function, row, parameters.read(mechanism, row), key)
    return CKR_OK
