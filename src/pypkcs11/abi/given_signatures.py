"""Verifying with the signature given at the beginning (section 5.15)."""

from __future__ import annotations

from pypkcs11.abi import host, parameters
from pypkcs11.abi.buffers import copied, octets
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.parts import update
from pypkcs11.core.operations import VERIFY_SIGNATURE
from pypkcs11.standard.constants import CKR_OK, CKR_OPERATION_ACTIVE
from pypkcs11.standard.errors import CryptokiError


@entry
def C_VerifySignatureInit(
    session_handle: int, mechanism: CData, key: int, signature: CData, signature_length: int
) -> int:
    """Begin to verify a signature, or with a NULL mechanism end that."""
    session = host.sessions[session_handle]
    if not mechanism:
        session.cancel(VERIFY_SIGNATURE)
        return CKR_OK
    given = copied(signature, signature_length)
    row = host.mechanisms[mechanism.mechanism]
    session.begin(VERIFY_SIGNATURE, row, parameters.read(mechanism, row), key, given)
    return CKR_OK


@entry
def C_VerifySignature(session_handle: int, data: CData, length: int) -> int:
    """Verify in one part."""
    session = host.sessions[session_handle]
    source = octets(data, length)
    active = session.take(VERIFY_SIGNATURE)
    if active.started:
        raise CryptokiError(CKR_OPERATION_ACTIVE, "a multi-part verification is under way")
    active.operation.verify(source, active.signature)
    return CKR_OK


@entry
def C_VerifySignatureUpdate(session_handle: int, part: CData, length: int) -> int:
    """Verify the next part."""
    return update(VERIFY_SIGNATURE, session_handle, part, length)


@entry
def C_VerifySignatureFinal(session_handle: int) -> int:
    """Verify the signature of all parts."""
    active = host.sessions[session_handle].take(VERIFY_SIGNATURE)
    active.operation.finish(active.signature)
    return CKR_OK
