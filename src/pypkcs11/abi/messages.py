"""Encryption and decryption message by message (sections 5.9 and 5.11).

An error ends the message, never what C_Message*Init has begun. What asks for a length, or brings
too small a buffer, uses no nonce up.
"""

from __future__ import annotations

from typing import Any, Final

from pypkcs11.abi import host
from pypkcs11.abi.buffers import deliver, no_room, octets, require, window
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.message_parameters import MessageParameter, check_beginning, of_message
from pypkcs11.abi.structures import invalid
from pypkcs11.core.operations import MESSAGE_DECRYPT, MESSAGE_ENCRYPT, Active, Function
from pypkcs11.standard.constants import (
    CKF_END_OF_MESSAGE,
    CKR_ARGUMENTS_BAD,
    CKR_OK,
    CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
)
from pypkcs11.standard.errors import CryptokiError


@entry
def C_MessageEncryptInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin to encrypt messages."""
    return _start(MESSAGE_ENCRYPT, session_handle, mechanism, key)


@entry
def C_EncryptMessage(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    associated: CData,
    associated_length: int,
    data: CData,
    length: int,
    out: CData,
    out_length: CData,
) -> int:
    """Encrypt a message in one part."""
    given = (parameter, parameter_length, associated, associated_length)
    return _one_part(MESSAGE_ENCRYPT, session_handle, given, data, length, out, out_length)


@entry
def C_EncryptMessageBegin(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    associated: CData,
    associated_length: int,
) -> int:
    """Begin a message in parts."""
    given = (parameter, parameter_length, associated, associated_length)
    return _begin(MESSAGE_ENCRYPT, session_handle, given)


@entry
def C_EncryptMessageNext(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    part: CData,
    length: int,
    out: CData,
    out_length: CData,
    flags: int,
) -> int:
    """Encrypt the next part of a message, or its last one."""
    given = (parameter, parameter_length)
    return _next(MESSAGE_ENCRYPT, session_handle, given, part, length, out, out_length, flags)


@entry
def C_MessageEncryptFinal(session_handle: int) -> int:
    """Encrypt no more messages."""
    host.sessions[session_handle].end_messages(MESSAGE_ENCRYPT)
    return CKR_OK


@entry
def C_MessageDecryptInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin to decrypt messages."""
    return _start(MESSAGE_DECRYPT, session_handle, mechanism, key)


@entry
def C_DecryptMessage(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    associated: CData,
    associated_length: int,
    data: CData,
    length: int,
    out: CData,
    out_length: CData,
) -> int:
    """Decrypt a message in one part."""
    given = (parameter, parameter_length, associated, associated_length)
    return _one_part(MESSAGE_DECRYPT, session_handle, given, data, length, out, out_length)


@entry
def C_DecryptMessageBegin(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    associated: CData,
    associated_length: int,
) -> int:
    """Begin a message in parts."""
    given = (parameter, parameter_length, associated, associated_length)
    return _begin(MESSAGE_DECRYPT, session_handle, given)


@entry
def C_DecryptMessageNext(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    part: CData,
    length: int,
    out: CData,
    out_length: CData,
    flags: int,
) -> int:
    """Take the next part of a message. All of it comes out with the last one."""
    given = (parameter, parameter_length)
    return _next(MESSAGE_DECRYPT, session_handle, given, part, length, out, out_length, flags)


@entry
def C_MessageDecryptFinal(session_handle: int) -> int:
    """Decrypt no more messages."""
    host.sessions[session_handle].end_messages(MESSAGE_DECRYPT)
    return CKR_OK


def _start(function: Function, session_handle: int, mechanism: CData, key: int) -> int:
    session = host.sessions[session_handle]
    if not mechanism:
        session.cancel(function)
        return CKR_OK
    row = host.mechanisms[mechanism.mechanism]
    check_beginning(mechanism, row)
    session.begin_messages(function, row, None, key)
    return CKR_OK


def _one_part(
    function: Function,
    session_handle: int,
    given: tuple[CData, int, CData, int],
    data: CData,
    length: int,
    out: CData,
    out_length: CData,
) -> int:
    session = host.sessions[session_handle]
    source = octets(data, length)
    aad = octets(given[2], given[3])
    require(out_length)
    active = session.take(function)
    try:
        if active.message is not None:
            raise CryptokiError(CKR_OPERATION_ACTIVE, "a message in parts is under way")
        parameter = of_message(active.row, given[0], given[1])
        # The ciphertext is as long as the plaintext: the tag goes elsewhere.
        answer = no_room(out, out_length, length)
        if answer is None:
            parameter.require_tag()
            try:
                message = active.operation.begin(parameter.message, aad)
                if function is MESSAGE_ENCRYPT:
                    parameter.give_nonce(message.nonce)
                answer = _FINISH[function](message, parameter, source, out, out_length)
            finally:
                active.end_message()
        return answer
    finally:
        session.keep(function, active)


def _begin(function: Function, session_handle: int, given: tuple[CData, int, CData, int]) -> int:
    session = host.sessions[session_handle]
    aad = octets(given[2], given[3])
    active = session.take(function)
    try:
        if active.message is not None:
            raise CryptokiError(CKR_OPERATION_ACTIVE, "a message in parts is under way")
        parameter = of_message(active.row, given[0], given[1])
        message = active.operation.begin(parameter.message, aad)
        if function is MESSAGE_ENCRYPT:
            parameter.give_nonce(message.nonce)
        active.message = message
        return CKR_OK
    finally:
        session.keep(function, active)


def _next(
    function: Function,
    session_handle: int,
    given: tuple[CData, int],
    part: CData,
    length: int,
    out: CData,
    out_length: CData,
    flags: int,
) -> int:
    session = host.sessions[session_handle]
    source = octets(part, length)
    require(out_length)
    if flags & ~CKF_END_OF_MESSAGE:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "no such flag")
    active = session.take(function)
    goes_on = False
    try:
        message = active.message
        if message is None:
            goes_on = True  # there is nothing to end
            raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, "no message is under way")
        if flags:
            answer = no_room(out, out_length, message.finish_length(length))
            goes_on = answer is not None
            if answer is None:
                parameter = of_message(active.row, *given)
                answer = _last(function, active, parameter, source, out, out_length)
        else:
            answer = no_room(out, out_length, message.update_length(length))
            if answer is None:
                out_length[0] = message.update_into(source, window(out, out_length[0]))
                answer = CKR_OK
            goes_on = True
        return answer
    finally:
        if not goes_on:
            active.end_message()
        session.keep(function, active)


def _last(
    function: Function,
    active: Active,
    parameter: MessageParameter,
    source: Any,
    out: CData,
    out_length: CData,
) -> int:
    message = active.message
    if parameter.message.tag_bits != 8 * message.tag_length:
        raise invalid("the tag has another length than when the message began")
    parameter.require_tag()
    return _FINISH[function](message, parameter, source, out, out_length)


def _finish_encryption(
    message: Any, parameter: MessageParameter, source: Any, out: CData, out_length: CData
) -> int:
    out_length[0], tag = message.finish_into(source, window(out, out_length[0]))
    parameter.give_tag(tag)
    return CKR_OK


def _finish_decryption(
    message: Any, parameter: MessageParameter, source: Any, out: CData, out_length: CData
) -> int:
    return deliver(message.finish(source, parameter.tag()), out, out_length)


_FINISH: Final = {MESSAGE_ENCRYPT: _finish_encryption, MESSAGE_DECRYPT: _finish_decryption}
