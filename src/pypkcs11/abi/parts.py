"""Messages in parts, as digests, signatures and verifications take them."""

from __future__ import annotations

from pypkcs11.abi import host
from pypkcs11.abi.buffers import give, octets, require, tell
from pypkcs11.abi.cdata import CData
from pypkcs11.core.operations import Function
from pypkcs11.standard.constants import CKR_OK


def update(function: Function, session_handle: int, part: CData, length: int) -> int:
    """Give the active operation the next part."""
    session = host.sessions[session_handle]
    source = octets(part, length)
    active = session.take(function)
    active.started = True
    active.operation.update(source)
    session.keep(function, active)
    return CKR_OK


def final(function: Function, session_handle: int, out: CData, out_length: CData) -> int:
    """End the active operation and give its result, whose length is known before."""
    session = host.sessions[session_handle]
    require(out_length)
    active = session.take(function)
    operation = active.operation
    if out and operation.length <= out_length[0]:
        return give(operation.finish(), out, out_length)
    session.keep(function, active)
    return tell(out, out_length, operation.length)
