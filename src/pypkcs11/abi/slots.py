"""Slot and token management functions (section 5.5)."""

from __future__ import annotations

from _pypkcs11 import ffi

from pypkcs11.abi import host
from pypkcs11.abi.buffers import copied, no_room, require
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.errors import entry
from pypkcs11.abi.forks import RESTING
from pypkcs11.abi.text import pad, set_version
from pypkcs11.core.builtin import utc_time
from pypkcs11.standard.constants import (
    CK_UNAVAILABLE_INFORMATION,
    CKF_DONT_BLOCK,
    CKF_REMOVABLE_DEVICE,
    CKF_TOKEN_PRESENT,
    CKR_ARGUMENTS_BAD,
    CKR_OK,
)
from pypkcs11.standard.errors import CryptokiError

_LABEL_LENGTH = 32


@entry
def C_GetSlotList(token_present: int, slot_list: CData, count: CData) -> int:
    """List the slots, of which the last has a token that is not initialised."""
    require(count)
    slots = host.library().slots
    known = slots.known() if slot_list else slots.refresh()
    ids = [slot.id for slot in known if slot.present or not token_present]
    answer = no_room(slot_list, count, len(ids))
    if answer is not None:
        return answer
    slot_list[0 : len(ids)] = ids
    return CKR_OK


@entry
def C_GetSlotInfo(slot_id: int, info: CData) -> int:
    """Describe a slot."""
    library = host.library()
    slot = library.slots.get(slot_id)
    require(info)
    config = library.config
    description = slot.label or config.slots_description or f"pypkcs11 slot {slot.id:#x}"
    pad(info.slotDescription, description)
    pad(info.manufacturerID, "pypkcs11")
    info.flags = (CKF_TOKEN_PRESENT if slot.present else 0) | (
        CKF_REMOVABLE_DEVICE if config.slots_removable else 0
    )
    set_version(info.hardwareVersion)
    set_version(info.firmwareVersion)
    return CKR_OK


@entry
def C_GetTokenInfo(slot_id: int, info: CData) -> int:
    """Describe the token in a slot."""
    library = host.library()
    slot = library.slots.get(slot_id)
    require(info)
    token = slot.token_info()
    pad(info.label, token.label)
    pad(info.manufacturerID, "pypkcs11")
    pad(info.model, "pypkcs11")
    pad(info.serialNumber, token.serial)
    info.flags = token.flags
    # 0 is CK_EFFECTIVELY_INFINITE, here and in the configuration.
    info.ulMaxSessionCount = library.config.sessions_max
    info.ulMaxRwSessionCount = library.config.sessions_max_read_write or library.config.sessions_max
    info.ulSessionCount = token.session_count
    info.ulRwSessionCount = token.rw_session_count
    info.ulMaxPinLen = library.config.pins_max_length
    info.ulMinPinLen = library.config.pins_min_length
    info.ulTotalPublicMemory = info.ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION
    info.ulTotalPrivateMemory = info.ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION
    set_version(info.hardwareVersion)
    set_version(info.firmwareVersion)
    pad(info.utcTime, utc_time())
    return CKR_OK


@entry
def C_GetMechanismList(slot_id: int, mechanism_list: CData, count: CData) -> int:
    """List the mechanisms, those that the configuration allows."""
    library = host.library()
    library.slots.get(slot_id).require_present()
    require(count)
    numbers = library.mechanisms.all()
    answer = no_room(mechanism_list, count, len(numbers))
    if answer is not None:
        return answer
    mechanism_list[0 : len(numbers)] = numbers
    return CKR_OK


@entry
def C_GetMechanismInfo(slot_id: int, mechanism: int, info: CData) -> int:
    """Say what a mechanism can do."""
    library = host.library()
    library.slots.get(slot_id).require_present()
    row = library.mechanisms[mechanism]
    require(info)
    info.ulMinKeySize, info.ulMaxKeySize = row.sizes
    info.flags = row.flags
    return CKR_OK


@entry
def C_WaitForSlotEvent(flags: int, slot: CData, reserved: CData) -> int:
    """Wait for a token to come or go."""
    require(slot)
    if reserved:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "pReserved is not NULL")
    slots = host.library().slots
    slot[0] = slots.wait(block=not flags & CKF_DONT_BLOCK, resting=RESTING)
    return CKR_OK


@entry
def C_InitToken(slot_id: int, pin: CData, pin_length: int, label: CData) -> int:
    """Initialise a token, or initialise it anew."""
    slots = host.library().slots
    slots.get(slot_id)
    # There is no protected authentication path that a NULL PIN could ask for.
    require(pin, label)
    # A label must not end with a NUL (section 5.5.7), but those of some callers do, and what
    # follows it in their memory means nothing.
    name = bytes(ffi.buffer(label, _LABEL_LENGTH)).partition(b"\0")[0].rstrip(b" ")
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise CryptokiError(CKR_ARGUMENTS_BAD, "the label is not UTF-8") from None
    slots.init_token(slot_id, text, copied(pin, pin_length))
    return CKR_OK


@entry
def C_InitPIN(session_handle: int, pin: CData, pin_length: int) -> int:
    """Set the user's PIN, as the SO."""
    session = host.sessions[session_handle]
    require(pin)
    session.token.init_pin(copied(pin, pin_length))
    return CKR_OK


@entry
def C_SetPIN(
    session_handle: int, old_pin: CData, old_length: int, new_pin: CData, new_length: int
) -> int:
    """Change the PIN of whoever is logged in, or the user's."""
    session = host.sessions[session_handle]
    require(old_pin, new_pin)
    session.require_read_write()
    session.token.set_pin(copied(old_pin, old_length), copied(new_pin, new_length))
    return CKR_OK
