"""Key management functions (section 5.18)."""

from __future__ import annotations

from pypkcs11.abi import host, message_parameters, parameters, templates
from pypkcs11.abi.buffers import copied, deliver, no_room, octets, require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.core import derivation, management, wrapping
from pypkcs11.standard.constants import CKR_OK


@entry
def C_GenerateKey(
    session_handle: int, mechanism: CData, template: CData, count: int, handle: CData
) -> int:
    """Generate a secret key."""
    session = host.sessions[session_handle]
    require(mechanism, handle)
    row = host.mechanisms[mechanism.mechanism]
    parameter = parameters.read(mechanism, row)
    obj = management.generate_key(session, row, parameter, templates.read(template, count))
    handle[0] = obj.handle
    return CKR_OK


@entry
def C_GenerateKeyPair(
    session_handle: int,
    mechanism: CData,
    public_template: CData,
    public_count: int,
    private_template: CData,
    private_count: int,
    public_handle: CData,
    private_handle: CData,
) -> int:
    """Generate a key pair."""
    session = host.sessions[session_handle]
    require(mechanism, public_handle, private_handle)
    row = host.mechanisms[mechanism.mechanism]
    public, private = management.generate_key_pair(
        session,
        row,
        parameters.read(mechanism, row),
        templates.read(public_template, public_count),
        templates.read(private_template, private_count),
    )
    public_handle[0] = public.handle
    private_handle[0] = private.handle
    return CKR_OK


@entry
def C_WrapKey(
    session_handle: int,
    mechanism: CData,
    wrapping_key: int,
    key: int,
    wrapped: CData,
    wrapped_length: CData,
) -> int:
    """Wrap a key. Whoever asks for the length gets it by having the key wrapped.

    But for a mechanism that makes the nonce itself: none is made for nothing.
    """
    session = host.sessions[session_handle]
    require(mechanism, wrapped_length)
    row = host.mechanisms[mechanism.mechanism]
    given = message_parameters.of_wrapping(mechanism, row)
    if given is not None:
        work = wrapping.AuthenticatedWrapping(
            session, row, given.message, given.aad, wrapping_key, key
        )
        answer = no_room(wrapped, wrapped_length, work.length + given.tag_length)
        if answer is None:
            sealed = work.run()
            given.give_nonce(sealed.nonce)
            return deliver(sealed.text + sealed.tag, wrapped, wrapped_length)
        return answer
    parameter = parameters.read(mechanism, row)
    data = wrapping.wrap_key(session, row, parameter, wrapping_key, key)
    return deliver(data, wrapped, wrapped_length)


@entry
def C_WrapKeyAuthenticated(
    session_handle: int,
    mechanism: CData,
    wrapping_key: int,
    key: int,
    associated: CData,
    associated_length: int,
    wrapped: CData,
    wrapped_length: CData,
) -> int:
    """Wrap a key; nonce and tag go to the mechanism's parameter."""
    session = host.sessions[session_handle]
    require(mechanism, wrapped_length)
    aad = octets(associated, associated_length)
    row = host.mechanisms[mechanism.mechanism]
    given = message_parameters.of_mechanism(mechanism, row)
    work = wrapping.AuthenticatedWrapping(session, row, given.message, aad, wrapping_key, key)
    answer = no_room(wrapped, wrapped_length, work.length)
    if answer is None:
        given.require_tag()
        sealed = work.run()
        given.give_nonce(sealed.nonce)
        given.give_tag(sealed.tag)
        return deliver(sealed.text, wrapped, wrapped_length)
    return answer


@entry
def C_UnwrapKeyAuthenticated(
    session_handle: int,
    mechanism: CData,
    unwrapping_key: int,
    wrapped: CData,
    wrapped_length: int,
    template: CData,
    count: int,
    associated: CData,
    associated_length: int,
    handle: CData,
) -> int:
    """Unwrap a key, with the nonce and the tag in the mechanism's parameter."""
    session = host.sessions[session_handle]
    require(mechanism, wrapped, handle)
    aad = octets(associated, associated_length)
    row = host.mechanisms[mechanism.mechanism]
    given = message_parameters.of_mechanism(mechanism, row)
    obj = wrapping.unwrap_key_authenticated(
        session,
        row,
        given.message,
        given.tag(),
        aad,
        unwrapping_key,
        copied(wrapped, wrapped_length),
        templates.read(template, count),
    )
    handle[0] = obj.handle
    return CKR_OK


@entry
def C_UnwrapKey(
    session_handle: int,
    mechanism: CData,
    unwrapping_key: int,
    wrapped: CData,
    wrapped_length: int,
    template: CData,
    count: int,
    handle: CData,
) -> int:
    """Unwrap a key."""
    session = host.sessions[session_handle]
    require(mechanism, wrapped, handle)
    row = host.mechanisms[mechanism.mechanism]
    given = message_parameters.of_wrapping(mechanism, row)
    parameter = parameters.read(mechanism, row) if given is None else given.message
    data, attributes = copied(wrapped, wrapped_length), templates.read(template, count)
    if given is None:
        obj = wrapping.unwrap_key(session, row, parameter, unwrapping_key, data, attributes)
    else:
        text, tag = given.split(data)
        obj = wrapping.unwrap_key_authenticated(
            session, row, parameter, tag, given.aad, unwrapping_key, text, attributes
        )
    handle[0] = obj.handle
    return CKR_OK


@entry
def C_DeriveKey(
    session_handle: int,
    mechanism: CData,
    base_key: int,
    template: CData,
    count: int,
    handle: CData,
) -> int:
    """Derive a key from another. Some mechanisms return all handles through their parameter."""
    session = host.sessions[session_handle]
    require(mechanism)
    row = host.mechanisms[mechanism.mechanism]
    if row.derived.by_handle:
        require(handle)
    parameter = parameters.read(mechanism, row)
    given = templates.read(template, count)
    obj = derivation.derive_key(session, row, parameter, base_key, given)
    if obj is not None:
        handle[0] = obj.handle
    return CKR_OK
