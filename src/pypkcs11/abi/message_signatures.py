"""Signing and verifying message by message (sections 5.14 and 5.16).

No mechanism takes a parameter with each message. An error ends the message, never what
C_Message*Init has begun.
"""

from __future__ import annotations

from typing import Any

from pypkcs11.abi import host
from pypkcs11.abi.buffers import deliver, no_room, octets, require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.start import start
from pypkcs11.abi.structures import invalid
from pypkcs11.core.operations import MESSAGE_SIGN, MESSAGE_VERIFY, Active, Function
from pypkcs11.standard.constants import (
    CKR_OK,
    CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
)
from pypkcs11.standard.errors import CryptokiError


@entry
def C_MessageSignInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin to sign messages."""
    return start(MESSAGE_SIGN, session_handle, mechanism, key)


@entry
def C_SignMessage(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    data: CData,
    length: int,
    signature: CData,
    signature_length: CData,
) -> int:
    """Sign a message in one part."""
    session = host.sessions[session_handle]
    source = octets(data, length)
    require(signature_length)
    active = session.take(MESSAGE_SIGN)
    try:
        _check_between(active, parameter, parameter_length)
        operation = active.operation.begin()
        answer = no_room(signature, signature_length, operation.length)
        if answer is not None:
            active.operation.keep(operation)
            return answer
        try:
            return deliver(operation.sign(source), signature, signature_length)
        finally:
            active.end_message()
    finally:
        session.keep(MESSAGE_SIGN, active)


@entry
def C_SignMessageBegin(session_handle: int, parameter: CData, parameter_length: int) -> int:
    """Begin a message in parts."""
    return _begin(MESSAGE_SIGN, session_handle, parameter, parameter_length)


@entry
def C_SignMessageNext(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    part: CData,
    length: int,
    signature: CData,
    signature_length: CData,
) -> int:
    """Sign the next part of a message; with a place for a length, the last one."""
    session = host.sessions[session_handle]
    source = octets(part, length)
    active = session.take(MESSAGE_SIGN)
    goes_on = active.message is None
    try:
        operation = _under_way(active)
        _check_no_parameter(parameter, parameter_length)
        answer = CKR_OK
        if not signature_length:
            operation.update(source)
            goes_on = True
        else:
            found = no_room(signature, signature_length, operation.length)
            goes_on = found is not None
            if found is None:
                operation.update(source)
                answer = deliver(operation.finish(), signature, signature_length)
            else:
                answer = found
        return answer
    finally:
        if not goes_on:
            active.end_message()
        session.keep(MESSAGE_SIGN, active)


@entry
def C_MessageSignFinal(session_handle: int) -> int:
    """Sign no more messages."""
    host.sessions[session_handle].end_messages(MESSAGE_SIGN)
    return CKR_OK


@entry
def C_MessageVerifyInit(session_handle: int, mechanism: CData, key: int) -> int:
    """Begin to verify messages."""
    return start(MESSAGE_VERIFY, session_handle, mechanism, key)


@entry
def C_VerifyMessage(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    data: CData,
    length: int,
    signature: CData,
    signature_length: int,
) -> int:
    """Verify a message in one part."""
    session = host.sessions[session_handle]
    source = octets(data, length)
    given = octets(signature, signature_length)
    active = session.take(MESSAGE_VERIFY)
    try:
        _check_between(active, parameter, parameter_length)
        try:
            active.operation.begin().verify(source, given)
        finally:
            active.end_message()
        return CKR_OK
    finally:
        session.keep(MESSAGE_VERIFY, active)


@entry
def C_VerifyMessageBegin(session_handle: int, parameter: CData, parameter_length: int) -> int:
    """Begin a message in parts."""
    return _begin(MESSAGE_VERIFY, session_handle, parameter, parameter_length)


@entry
def C_VerifyMessageNext(
    session_handle: int,
    parameter: CData,
    parameter_length: int,
    part: CData,
    length: int,
    signature: CData,
    signature_length: int,
) -> int:
    """Verify the next part of a message; with a signature, the last one."""
    session = host.sessions[session_handle]
    source = octets(part, length)
    given = octets(signature, signature_length)
    active = session.take(MESSAGE_VERIFY)
    goes_on = active.message is None
    try:
        operation = _under_way(active)
        _check_no_parameter(parameter, parameter_length)
        operation.update(source)
        if signature:
            operation.finish(given)
        else:
            goes_on = True
        return CKR_OK
    finally:
        if not goes_on:
            active.end_message()
        session.keep(MESSAGE_VERIFY, active)


@entry
def C_MessageVerifyFinal(session_handle: int) -> int:
    """Verify no more messages."""
    host.sessions[session_handle].end_messages(MESSAGE_VERIFY)
    return CKR_OK


def _begin(function: Function, session_handle: int, parameter: CData, parameter_length: int) -> int:
    session = host.sessions[session_handle]
    active = session.take(function)
    try:
        _check_between(active, parameter, parameter_length)
        active.message = active.operation.begin()
        return CKR_OK
    finally:
        session.keep(function, active)


def _check_between(active: Active, parameter: CData, length: int) -> None:
    if active.message is not None:
        raise CryptokiError(CKR_OPERATION_ACTIVE, "a message in parts is under way")
    _check_no_parameter(parameter, length)


def _check_no_parameter(parameter: CData, length: int) -> None:
    if length:
        raise invalid("the mechanism takes no parameter with a message")


def _under_way(active: Active) -> Any:
    if active.message is None:
        raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, "no message is under way")
    return active.message
