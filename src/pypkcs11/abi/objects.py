"""Object management functions (section 5.7)."""

from __future__ import annotations

from pypkcs11.abi import host, templates
from pypkcs11.abi.buffers import require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.core import management
from pypkcs11.standard.constants import CKR_ARGUMENTS_BAD, CKR_OK
from pypkcs11.standard.errors import CryptokiError


@entry
def C_CreateObject(session_handle: int, template: CData, count: int, handle: CData) -> int:
    """Create an object out of given attributes."""
    session = host.sessions[session_handle]
    require(handle)
    obj = management.create_object(session, templates.read(template, count))
    handle[0] = obj.handle
    return CKR_OK


@entry
def C_CopyObject(
    session_handle: int, original: int, template: CData, count: int, handle: CData
) -> int:
    """Create an object like another."""
    session = host.sessions[session_handle]
    require(handle)
    obj = management.copy_object(session, original, templates.read(template, count))
    handle[0] = obj.handle
    return CKR_OK


@entry
def C_DestroyObject(session_handle: int, handle: int) -> int:
    """Destroy an object."""
    management.destroy_object(host.sessions[session_handle], handle)
    return CKR_OK


@entry
def C_GetObjectSize(session_handle: int, handle: int, size: CData) -> int:
    """Say how large an object is."""
    session = host.sessions[session_handle]
    require(size)
    size[0] = management.object_size(session, handle)
    return CKR_OK


@entry
def C_GetAttributeValue(session_handle: int, handle: int, template: CData, count: int) -> int:
    """Read attributes."""
    obj = host.sessions[session_handle].token.object(handle)
    return templates.write(obj, template, count)


@entry
def C_SetAttributeValue(session_handle: int, handle: int, template: CData, count: int) -> int:
    """Change attributes."""
    session = host.sessions[session_handle]
    management.set_attributes(session, handle, templates.read(template, count))
    return CKR_OK


@entry
def C_FindObjectsInit(session_handle: int, template: CData, count: int) -> int:
    """Begin a search."""
    host.sessions[session_handle].find_init(templates.read(template, count))
    return CKR_OK


@entry
def C_FindObjects(session_handle: int, handles: CData, most: int, count: CData) -> int:
    """Continue a search."""
    session = host.sessions[session_handle]
    require(count)
    if most and not handles:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "nowhere to put handles")
    found = session.find(most)
    if found:
        handles[0 : len(found)] = found
    count[0] = len(found)
    return CKR_OK


@entry
def C_FindObjectsFinal(session_handle: int) -> int:
    """End a search."""
    host.sessions[session_handle].find_final()
    return CKR_OK
