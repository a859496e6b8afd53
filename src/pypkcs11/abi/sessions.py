"""Session management functions (section 5.6)."""

from __future__ import annotations

from typing import Final

from pypkcs11.abi import host
from pypkcs11.abi.buffers import copied, deliver, no_room, octets, require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.core.operations import (
    DECRYPT,
    DIGEST,
    ENCRYPT,
    MESSAGE_DECRYPT,
    MESSAGE_ENCRYPT,
    MESSAGE_SIGN,
    MESSAGE_VERIFY,
    SIGN,
    SIGN_RECOVER,
    VERIFY,
    VERIFY_RECOVER,
    VERIFY_SIGNATURE,
)
from pypkcs11.core.saved_states import LENGTH
from pypkcs11.core.sessions import Session
from pypkcs11.standard.constants import (
    CKF_ASYNC_SESSION,
    CKF_DECRYPT,
    CKF_DIGEST,
    CKF_ENCRYPT,
    CKF_FIND_OBJECTS,
    CKF_MESSAGE_DECRYPT,
    CKF_MESSAGE_ENCRYPT,
    CKF_MESSAGE_SIGN,
    CKF_MESSAGE_VERIFY,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKF_SIGN,
    CKF_SIGN_RECOVER,
    CKF_VERIFY,
    CKF_VERIFY_RECOVER,
    CKR_ARGUMENTS_BAD,
    CKR_OK,
    CKR_SESSION_ASYNC_NOT_SUPPORTED,
    CKR_SESSION_PARALLEL_NOT_SUPPORTED,
    CKR_USER_TYPE_INVALID,
    CKS_LAST_VALIDATION_OK,
    CKU_CONTEXT_SPECIFIC,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Role

#: What C_SessionCancel ends, by flag (section 5.6.11). Functions that cannot be active are
#: ended by doing nothing.
_CANCELLED: Final = (
    (CKF_ENCRYPT, ENCRYPT),
    (CKF_DECRYPT, DECRYPT),
    (CKF_DIGEST, DIGEST),
    (CKF_SIGN, SIGN),
    (CKF_VERIFY, VERIFY),
    (CKF_VERIFY, VERIFY_SIGNATURE),
    (CKF_SIGN_RECOVER, SIGN_RECOVER),
    (CKF_VERIFY_RECOVER, VERIFY_RECOVER),
    (CKF_MESSAGE_ENCRYPT, MESSAGE_ENCRYPT),
    (CKF_MESSAGE_DECRYPT, MESSAGE_DECRYPT),
    (CKF_MESSAGE_SIGN, MESSAGE_SIGN),
    (CKF_MESSAGE_VERIFY, MESSAGE_VERIFY),
)


@entry
def C_OpenSession(
    slot_id: int, flags: int, application: CData, notify: CData, session_handle: CData
) -> int:
    """Open a session. Nothing here ever calls back, so ``notify`` is not kept."""
    library = host.library()
    library.slots.get(slot_id)
    require(session_handle)
    if not flags & CKF_SERIAL_SESSION:
        raise CryptokiError(CKR_SESSION_PARALLEL_NOT_SUPPORTED)
    if flags & CKF_ASYNC_SESSION:
        raise CryptokiError(CKR_SESSION_ASYNC_NOT_SUPPORTED)
    session = library.open_session(slot_id, read_write=bool(flags & CKF_RW_SESSION))
    session_handle[0] = session.handle
    return CKR_OK


@entry
def C_CloseSession(session_handle: int) -> int:
    """Close a session."""
    host.library().close_session(session_handle)
    return CKR_OK


@entry
def C_CloseAllSessions(slot_id: int) -> int:
    """Close all sessions with a token."""
    host.library().close_all_sessions(slot_id)
    return CKR_OK


@entry
def C_GetSessionInfo(session_handle: int, info: CData) -> int:
    """Say in which state a session is."""
    session = host.sessions[session_handle]
    require(info)
    info.slotID = session.slot.id
    info.state = session.state
    info.flags = CKF_SERIAL_SESSION | (CKF_RW_SESSION if session.read_write else 0)
    info.ulDeviceError = 0
    return CKR_OK


@entry
def C_Login(session_handle: int, user_type: int, pin: CData, pin_length: int) -> int:
    """Log the application in to a session's token."""
    session = host.sessions[session_handle]
    require(pin)
    return _log_in(session, user_type, copied(pin, pin_length))


@entry
def C_LoginUser(
    session_handle: int,
    user_type: int,
    pin: CData,
    pin_length: int,
    user_name: CData,
    user_name_length: int,
) -> int:
    """As C_Login. "The token may impose subset restrictions" on names: here the name is empty."""
    session = host.sessions[session_handle]
    require(pin)
    if octets(user_name, user_name_length):
        raise CryptokiError(CKR_ARGUMENTS_BAD, "users of this token have no names")
    return _log_in(session, user_type, copied(pin, pin_length))


def _log_in(session: Session, user_type: int, pin: bytes) -> int:
    if user_type == CKU_CONTEXT_SPECIFIC:
        session.log_in_for_operation(pin)
        return CKR_OK
    if user_type not in (Role.SO, Role.USER):
        raise CryptokiError(CKR_USER_TYPE_INVALID)
    session.token.log_in(Role(user_type), pin)
    return CKR_OK


@entry
def C_Logout(session_handle: int) -> int:
    """Log the application out of a session's token."""
    host.sessions[session_handle].token.log_out()
    return CKR_OK


@entry
def C_SessionCancel(session_handle: int, flags: int) -> int:
    """End the active operations that the flags name."""
    session = host.sessions[session_handle]
    for flag, function in _CANCELLED:
        if flags & flag:
            session.cancel(function)
    if flags & CKF_FIND_OBJECTS:
        session.cancel_find()
    return CKR_OK


@entry
def C_GetOperationState(session_handle: int, state: CData, length: CData) -> int:
    """Save what a session has active."""
    session = host.sessions[session_handle]
    require(length)
    states = session.token.saved_states
    saved = states.copy(session)
    answer = no_room(state, length, LENGTH)
    if answer is None:
        return deliver(states.keep(saved), state, length)
    return answer


@entry
def C_SetOperationState(
    session_handle: int, state: CData, length: int, encryption_key: int, authentication_key: int
) -> int:
    """Go on from what has been saved."""
    session = host.sessions[session_handle]
    require(state)
    reference = copied(state, length) if length == LENGTH else b""
    session.token.saved_states.restore(session, reference, encryption_key, authentication_key)
    return CKR_OK


@entry
def C_GetSessionValidationFlags(session_handle: int, kind: int, flags: CData) -> int:
    """Say which validations the last operation kept within: there is none that it could."""
    host.sessions[session_handle]
    require(flags)
    if kind != CKS_LAST_VALIDATION_OK:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "no such kind of validation flags")
    flags[0] = 0
    return CKR_OK
