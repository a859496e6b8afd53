"""Encryption and decryption functions (sections 5.8 and 5.10).

The two differ in name only: both are :class:`~pypkcs11.mechanisms.operation.Cipher` at work.
"""

from __future__ import annotations

from typing import Final

from pypkcs11.abi import host
from pypkcs11.abi.buffers import deliver, give, no_room, null, octets, require, tell, window
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.start import start
from pypkcs11.core.operations import DECRYPT, ENCRYPT, Active, Function
from pypkcs11.core.sessions import Session
from pypkcs11.standard.constants import CKR_OK, CKR_OPERATION_ACTIVE
from pypkcs11.standard.errors import CryptokiError

#: Up to this many octets, a result of its own and a copy are faster than writing in place.
SHORT: Final = 4096

#: Octets behind the output that a cipher may have use for, where the caller has room for them.
SPARE: Final = 16


@entry
def C_EncryptInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin to encrypt."""
    return start(ENCRYPT, session_handle, mechanism, key)


@entry
def C_Encrypt(session_handle: int, data: CData, length: int, out: CData, out_length: CData) -> int:
    """Encrypt in one part."""
    return _one_part(ENCRYPT, session_handle, data, length, out, out_length)


@entry
def C_EncryptUpdate(
    session_handle: int, part: CData, length: int, out: CData, out_length: CData
) -> int:
    """Encrypt the next part."""
    return _update(ENCRYPT, session_handle, part, length, out, out_length)


@entry
def C_EncryptFinal(session_handle: int, out: CData, out_length: CData) -> int:
    """Encrypt what is left."""
    return _final(ENCRYPT, session_handle, out, out_length)


@entry
def C_DecryptInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin to decrypt."""
    return start(DECRYPT, session_handle, mechanism, key)


@entry
def C_Decrypt(session_handle: int, data: CData, length: int, out: CData, out_length: CData) -> int:
    """Decrypt in one part."""
    return _one_part(DECRYPT, session_handle, data, length, out, out_length)


@entry
def C_DecryptUpdate(
    session_handle: int, part: CData, length: int, out: CData, out_length: CData
) -> int:
    """Decrypt the next part."""
    return _update(DECRYPT, session_handle, part, length, out, out_length)


@entry
def C_DecryptFinal(session_handle: int, out: CData, out_length: CData) -> int:
    """Decrypt what is left."""
    return _final(DECRYPT, session_handle, out, out_length)


def _one_part(
    function: Function,
    session_handle: int,
    data: CData,
    length: int,
    out: CData,
    out_length: CData,
) -> int:
    session = host.sessions[session_handle]
    source = octets(data, length)
    if not out_length:
        raise null()
    active = session.take(function)
    if active.started:
        raise CryptokiError(CKR_OPERATION_ACTIVE, "a multi-part operation is under way")
    operation = active.operation
    needed = operation.output_length(length)
    if out and needed <= out_length[0]:
        if length <= SHORT:
            return give(operation.run(source), out, out_length)
        out_length[0] = operation.run_into(source, window(out, needed))
        return CKR_OK
    if out and not operation.exact:
        # The length was a bound: the result may fit all the same.
        return _finish(session, function, active, operation.run(source), out, out_length)
    session.keep(function, active)
    return tell(out, out_length, needed)


def _update(
    function: Function,
    session_handle: int,
    part: CData,
    length: int,
    out: CData,
    out_length: CData,
) -> int:
    session = host.sessions[session_handle]
    source = octets(part, length)
    if not out_length:
        raise null()
    active = session.take(function)
    operation = active.operation
    needed = operation.update_length(length)
    room = out_length[0]
    if not out or room < needed:
        session.keep(function, active)
        return tell(out, out_length, needed)
    active.started = True
    out_length[0] = operation.update_into(source, window(out, min(room, needed + SPARE)))
    session.keep(function, active)
    return CKR_OK


def _final(function: Function, session_handle: int, out: CData, out_length: CData) -> int:
    session = host.sessions[session_handle]
    require(out_length)
    active = session.take(function)
    if active.rest is None:
        operation = active.operation
        if operation.exact or not out:
            answer = no_room(out, out_length, operation.finish_length())
            if answer is None:
                out_length[0] = operation.finish_into(window(out, out_length[0]))
                return CKR_OK
            session.keep(function, active)
            return answer
        active.rest = operation.finish()
    return _finish(session, function, active, active.rest, out, out_length)


def _finish(
    session: Session,
    function: Function,
    active: Active,
    result: bytes,
    out: CData,
    out_length: CData,
) -> int:
    """Give a result that is ready; the operation waits for a larger buffer if need be."""
    fits = bool(out) and out_length[0] >= len(result)
    if not fits:
        session.keep(function, active)
    return deliver(result, out, out_length)
