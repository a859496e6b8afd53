"""Message digesting functions (section 5.12)."""

from __future__ import annotations

from pypkcs11.abi import host, parameters
from pypkcs11.abi.buffers import give, null, octets, tell
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.parts import final, update
from pypkcs11.core.operations import DIGEST
from pypkcs11.standard.constants import CKR_OK, CKR_OPERATION_ACTIVE
from pypkcs11.standard.errors import CryptokiError


@entry
def C_DigestInit(session_handle: int, mechanism: CData) -> int:
    """Begin a digest."""
    session = host.sessions[session_handle]
    if not mechanism:
        session.cancel(DIGEST)
        return CKR_OK
    row = host.mechanisms[mechanism.mechanism]
    session.begin_digest(DIGEST, row, parameters.read(mechanism, row))
    return CKR_OK


@entry
def C_Digest(
    session_handle: int, data: CData, length: int, digest: CData, digest_length: CData
) -> int:
    """Digest in one part."""
    session = host.sessions[session_handle]
    source = octets(data, length)
    if not digest_length:
        raise null()
    active = session.take(DIGEST)
    if active.started:
        raise CryptokiError(CKR_OPERATION_ACTIVE, "a multi-part digest is under way")
    operation = active.operation
    if digest and operation.length <= digest_length[0]:
        return give(operation.digest(source), digest, digest_length)
    session.keep(DIGEST, active)
    return tell(digest, digest_length, operation.length)


@entry
def C_DigestUpdate(session_handle: int, part: CData, length: int) -> int:
    """Digest the next part."""
    return update(DIGEST, session_handle, part, length)


@entry
def C_DigestKey(session_handle: int, key: int) -> int:
    """Digest the value of a secret key as the next part."""
    host.sessions[session_handle].digest_key(key)
    return CKR_OK


@entry
def C_DigestFinal(session_handle: int, digest: CData, digest_length: CData) -> int:
    """Give the digest of all parts."""
    return final(DIGEST, session_handle, digest, digest_length)
