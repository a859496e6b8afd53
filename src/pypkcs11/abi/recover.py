"""Signatures that carry their data (in sections 5.13 and 5.15)."""

from __future__ import annotations

from pypkcs11.abi import host
from pypkcs11.abi.buffers import deliver, no_room, octets, require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.start import start
from pypkcs11.core.operations import SIGN_RECOVER, VERIFY_RECOVER
from pypkcs11.standard.constants import CKR_BUFFER_TOO_SMALL


@entry
def C_SignRecoverInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin a signature that carries its data."""
    return start(SIGN_RECOVER, session_handle, mechanism, key)


@entry
def C_SignRecover(
    session_handle: int, data: CData, length: int, signature: CData, signature_length: CData
) -> int:
    """Sign in one part."""
    session = host.sessions[session_handle]
    source = octets(data, length)
    require(signature_length)
    active = session.take(SIGN_RECOVER)
    answer = no_room(signature, signature_length, active.operation.length)
    if answer is None:
        return deliver(active.operation.sign(source), signature, signature_length)
    session.keep(SIGN_RECOVER, active)
    return answer


@entry
def C_VerifyRecoverInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin to verify a signature that carries its data."""
    return start(VERIFY_RECOVER, session_handle, mechanism, key)


@entry
def C_VerifyRecover(
    session_handle: int, signature: CData, signature_length: int, data: CData, length: CData
) -> int:
    """Verify in one part. That a signature is wrong goes before what the buffer has room for."""
    session = host.sessions[session_handle]
    given = octets(signature, signature_length)
    require(length)
    active = session.take(VERIFY_RECOVER)
    recovered = active.operation.recover(given)
    answer = deliver(recovered, data, length)
    if not data or answer == CKR_BUFFER_TOO_SMALL:
        session.keep(VERIFY_RECOVER, active)
    return answer
