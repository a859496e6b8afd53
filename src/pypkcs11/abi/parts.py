"""Messages in parts, as digests, signatures and verifications take them."""

from __future__ import annotations

from pypkcs11.abi import host
from pypkcs11.abi.buffers import deliver, no_room, octets, require
from pypkcs11.abi.cdata import CData
from pypkcs11.core.operations import Function
from pypkcs11.standard.constants import CKR_OK


def update(function: Function, session_handle: int, part: CData, length: int) -> int:
    """Give the active operation the next part."""
    session = host.session(session_handle)
    source = octets(part, length)
    active = session.take(function)
    active.started = True
    active.operation.update(source)
    session.keep(function, active)
    return CKR_OK


def final(function: Function, session_handle: int, out: CData, out_length: CData) -> int:
    """End the active operation and give its result, whose length is known before."""
    session = host.session(session_handle)
    require(out_length)
    active = session.take(function)
    answer = no_room(out, out_length, active.operation.length)
    if answer is None:
        return deliver(active.operation.finish(), out, out_length)
    session.keep(function, active)
    return answer
