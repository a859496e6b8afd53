"""Encapsulation and decapsulation of keys (sections 5.18.8 and 5.18.9)."""

from __future__ import annotations

from pypkcs11.abi import host, parameters, templates
from pypkcs11.abi.buffers import copied, deliver, no_room, require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.core import encapsulation
from pypkcs11.standard.constants import CKR_OK


@entry
def C_EncapsulateKey(
    session_handle: int,
    mechanism: CData,
    public_key: int,
    template: CData,
    count: int,
    ciphertext: CData,
    ciphertext_length: CData,
    handle: CData,
) -> int:
    """Make a secret key and what the holder of the private key gets it from.

    Whoever asks for the length gets no key, and needs no place for its handle.
    """
    session = host.sessions[session_handle]
    require(mechanism, ciphertext_length)
    if ciphertext:
        require(handle)
    row = host.mechanisms[mechanism.mechanism]
    parameter = parameters.read(mechanism, row)
    given = templates.read(template, count)
    public, operation = encapsulation.prepare(session, row, parameter, public_key)
    answer = no_room(ciphertext, ciphertext_length, operation.length)
    if answer is not None:
        return answer
    made, obj = encapsulation.encapsulate_key(session, public, operation, given)
    handle[0] = obj.handle
    return deliver(made, ciphertext, ciphertext_length)


@entry
def C_DecapsulateKey(
    session_handle: int,
    mechanism: CData,
    private_key: int,
    template: CData,
    count: int,
    ciphertext: CData,
    ciphertext_length: int,
    handle: CData,
) -> int:
    """Make the secret key that was encapsulated."""
    session = host.sessions[session_handle]
    require(mechanism, ciphertext, handle)
    row = host.mechanisms[mechanism.mechanism]
    obj = encapsulation.decapsulate_key(
        session,
        row,
        parameters.read(mechanism, row),
        private_key,
        copied(ciphertext, ciphertext_length),
        templates.read(template, count),
    )
    handle[0] = obj.handle
    return CKR_OK
