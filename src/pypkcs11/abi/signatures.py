"""Signing and MACing functions (section 5.13), and those that verify (section 5.15)."""

from __future__ import annotations

from pypkcs11.abi import host
from pypkcs11.abi.buffers import give, null, octets, tell
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.parts import final, update
from pypkcs11.abi.start import start
from pypkcs11.core.operations import SIGN, VERIFY
from pypkcs11.standard.constants import CKR_OK, CKR_OPERATION_ACTIVE
from pypkcs11.standard.errors import CryptokiError


@entry
def C_SignInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin a signature."""
    return start(SIGN, session_handle, mechanism, key)


@entry
def C_Sign(
    session_handle: int, data: CData, length: int, signature: CData, signature_length: CData
) -> int:
    """Sign in one part."""
    session = host.sessions[session_handle]
    source = octets(data, length)
    if not signature_length:
        raise null()
    active = session.take(SIGN)
    if active.started:
        raise CryptokiError(CKR_OPERATION_ACTIVE, "a multi-part signature is under way")
    operation = active.operation
    if signature and operation.length <= signature_length[0]:
        return give(operation.sign(source), signature, signature_length)
    session.keep(SIGN, active)
    return tell(signature, signature_length, operation.length)


@entry
def C_SignUpdate(session_handle: int, part: CData, length: int) -> int:
    """Sign the next part."""
    return update(SIGN, session_handle, part, length)


@entry
def C_SignFinal(session_handle: int, signature: CData, signature_length: CData) -> int:
    """Give the signature of all parts."""
    return final(SIGN, session_handle, signature, signature_length)


@entry
def C_VerifyInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin a verification."""
    return start(VERIFY, session_handle, mechanism, key)


@entry
def C_Verify(
    session_handle: int, data: CData, length: int, signature: CData, signature_length: int
) -> int:
    """Verify in one part."""
    session = host.sessions[session_handle]
    source = octets(data, length)
    given = octets(signature, signature_length)
    active = session.take(VERIFY)
    if active.started:
        raise CryptokiError(CKR_OPERATION_ACTIVE, "a multi-part verification is under way")
    active.operation.verify(source, given)
    return CKR_OK


@entry
def C_VerifyUpdate(session_handle: int, part: CData, length: int) -> int:
    """Verify the next part."""
    return update(VERIFY, session_handle, part, length)


@entry
def C_VerifyFinal(session_handle: int, signature: CData, signature_length: int) -> int:
    """Verify the signature of all parts."""
    session = host.sessions[session_handle]
    given = octets(signature, signature_length)
    session.take(VERIFY).operation.finish(given)
    return CKR_OK
