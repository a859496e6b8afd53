"""Dual-function cryptographic functions (section 5.17): two operations take in the same part.

What a call gives out is the cipher's. The other operation takes the plain text in only when the
cipher's part has been delivered. An error of the cipher ends it, as it would in C_EncryptUpdate,
and leaves the other as it was; an error of the other ends both, which are no longer in step.
"""

from __future__ import annotations

from pypkcs11.abi import host
from pypkcs11.abi.buffers import no_room, octets, require, window
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.core.operations import DECRYPT, DIGEST, ENCRYPT, SIGN, VERIFY, Function
from pypkcs11.standard.constants import CKR_OK


@entry
def C_DigestEncryptUpdate(
    session_handle: int, part: CData, length: int, out: CData, out_length: CData
) -> int:
    """Digest the next part and encrypt it."""
    return _update(ENCRYPT, DIGEST, session_handle, part, length, out, out_length)


@entry
def C_DecryptDigestUpdate(
    session_handle: int, part: CData, length: int, out: CData, out_length: CData
) -> int:
    """Decrypt the next part and digest what comes out."""
    return _update(DECRYPT, DIGEST, session_handle, part, length, out, out_length)


@entry
def C_SignEncryptUpdate(
    session_handle: int, part: CData, length: int, out: CData, out_length: CData
) -> int:
    """Sign the next part and encrypt it."""
    return _update(ENCRYPT, SIGN, session_handle, part, length, out, out_length)


@entry
def C_DecryptVerifyUpdate(
    session_handle: int, part: CData, length: int, out: CData, out_length: CData
) -> int:
    """Decrypt the next part and verify what comes out."""
    return _update(DECRYPT, VERIFY, session_handle, part, length, out, out_length)


def _update(
    way: Function,
    other: Function,
    session_handle: int,
    part: CData,
    length: int,
    out: CData,
    out_length: CData,
) -> int:
    session = host.sessions[session_handle]
    source = octets(part, length)
    require(out_length)
    cipher, companion = session.take_both(way, other)
    untouched = True
    try:
        answer = no_room(out, out_length, cipher.operation.update_length(length))
        if answer is None:
            # A copy: the cipher may write its part over this one.
            plain = bytes(source) if way is ENCRYPT else b""
            cipher.started = True
            target = window(out, out_length[0])
            out_length[0] = written = cipher.operation.update_into(source, target)
            untouched = False
            companion.started = True
            companion.operation.update(plain if way is ENCRYPT else target[:written])
            untouched = True
            answer = CKR_OK
        session.keep(way, cipher)
    finally:
        if untouched:
            session.keep(other, companion)
    return answer
