"""Slots, tokens, sessions, PINs and logins through the C boundary (sections 5.4 to 5.6)."""

from __future__ import annotations

import pytest
from abi.client import NULL, Client, ffi, mechanism, octets, refused, template
from abi.conftest import SO_PIN, USER_PIN, Token, restart

from pypkcs11.standard.constants import (
    CKA_ALWAYS_AUTHENTICATE,
    CKA_CLASS,
    CKA_EC_PARAMS,
    CKA_EXTRACTABLE,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_PRIVATE,
    CKA_SENSITIVE,
    CKA_SIGN,
    CKA_TOKEN,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKF_FIND_OBJECTS,
    CKF_LOGIN_REQUIRED,
    CKF_RNG,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKF_SIGN,
    CKF_SO_PIN_COUNT_LOW,
    CKF_SO_PIN_LOCKED,
    CKF_TOKEN_INITIALIZED,
    CKF_TOKEN_PRESENT,
    CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_INITIALIZED,
    CKF_USER_PIN_LOCKED,
    CKF_WRITE_PROTECTED,
    CKK_GENERIC_SECRET,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_GENERIC_SECRET_KEY_GEN,
    CKM_SHA256,
    CKM_SHA256_HMAC,
    CKO_DATA,
    CKO_SECRET_KEY,
    CKR_ARGUMENTS_BAD,
    CKR_CRYPTOKI_ALREADY_INITIALIZED,
    CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_KEY_HANDLE_INVALID,
    CKR_OBJECT_HANDLE_INVALID,
    CKR_OK,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_PIN_INCORRECT,
    CKR_PIN_LEN_RANGE,
    CKR_PIN_LOCKED,
    CKR_SESSION_EXISTS,
    CKR_SESSION_HANDLE_INVALID,
    CKR_SESSION_PARALLEL_NOT_SUPPORTED,
    CKR_SESSION_READ_ONLY,
    CKR_SESSION_READ_ONLY_EXISTS,
    CKR_SESSION_READ_WRITE_SO_EXISTS,
    CKR_TOKEN_NOT_RECOGNIZED,
    CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
    CKR_USER_NOT_LOGGED_IN,
    CKR_USER_PIN_NOT_INITIALIZED,
    CKR_USER_TYPE_INVALID,
    CKS_RO_PUBLIC_SESSION,
    CKS_RO_USER_FUNCTIONS,
    CKS_RW_PUBLIC_SESSION,
    CKS_RW_SO_FUNCTIONS,
    CKS_RW_USER_FUNCTIONS,
    CKU_CONTEXT_SPECIFIC,
    CKU_SO,
    CKU_USER,
)

SERIAL = CKF_SERIAL_SESSION
HMAC_KEY = {
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_GENERIC_SECRET,
    CKA_VALUE: b"k" * 32,
    CKA_SIGN: True,
}
DATA = {CKA_CLASS: CKO_DATA, CKA_LABEL: "note", CKA_VALUE: b"text"}


def free_slot(p11: Client) -> int:
    """The one slot whose token waits to be initialised."""
    slots = p11.slots()
    (free,) = (s for s in slots if not p11.token_info(s).flags & CKF_TOKEN_INITIALIZED)
    assert free == slots[-1]
    return free


def flags(p11: Client, slot: int) -> int:
    return int(p11.token_info(slot).flags)


# -- general -----------------------------------------------------------------------------------


def test_initialising_twice(p11: Client) -> None:
    assert p11.C_Initialize(NULL) == CKR_CRYPTOKI_ALREADY_INITIALIZED
    assert p11.C_Finalize(NULL) == CKR_OK
    assert p11.C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED
    assert p11.C_Initialize(NULL) == CKR_OK


def test_initialise_arguments(loaded: Client, environment: None) -> None:
    mutex = ffi.callback("CK_RV(CK_VOID_PTR_PTR)", lambda pointer: CKR_OK)
    some = ffi.new("CK_C_INITIALIZE_ARGS *", {"CreateMutex": mutex})
    assert loaded.C_Initialize(some) == CKR_ARGUMENTS_BAD  # all four or none
    reserved = ffi.new("CK_C_INITIALIZE_ARGS *", {"pReserved": ffi.cast("void *", 1)})
    assert loaded.C_Initialize(reserved) == CKR_ARGUMENTS_BAD
    assert loaded.C_GetInfo(ffi.new("CK_INFO *")) == CKR_CRYPTOKI_NOT_INITIALIZED

    assert loaded.C_Initialize(ffi.new("CK_C_INITIALIZE_ARGS *", {"flags": 2})) == CKR_OK
    assert loaded.C_Finalize(ffi.cast("void *", 1)) == CKR_ARGUMENTS_BAD
    assert loaded.C_Finalize(NULL) == CKR_OK


def test_info(p11: Client) -> None:
    info = ffi.new("CK_INFO *")
    p11.do("C_GetInfo", info)
    assert (info.cryptokiVersion.major, info.cryptokiVersion.minor) == p11.version
    assert info.flags == 0
    for text in (info.manufacturerID, info.libraryDescription):
        assert bytes(text) == bytes(text).rstrip(b" \0").ljust(32)
        assert bytes(text).strip()


def test_a_free_slot_and_a_token(p11: Client) -> None:
    free = free_slot(p11)
    slot_info = ffi.new("CK_SLOT_INFO *")
    p11.do("C_GetSlotInfo", free, slot_info)
    assert slot_info.flags & CKF_TOKEN_PRESENT
    with refused(CKR_TOKEN_NOT_RECOGNIZED):
        p11.open(free)

    p11.init_token(free, SO_PIN, "Été")
    info = p11.token_info(free)
    assert bytes(info.label) == "Été".encode().ljust(32)
    serial = bytes(info.serialNumber)
    assert len(serial.strip()) == 16
    assert int(serial[8:], 16) & 0x7FFFFFFF == free
    assert info.flags & CKF_RNG
    assert info.flags & CKF_LOGIN_REQUIRED
    assert info.flags & CKF_TOKEN_INITIALIZED
    assert not info.flags & (CKF_USER_PIN_INITIALIZED | CKF_WRITE_PROTECTED)
    assert (info.ulMinPinLen, info.ulMaxPinLen) == (4, 255)

    # The next token can be made, and this one is where it was after a new start.
    assert free_slot(p11) != free
    assert free in p11.slots()
    p11.do("C_Finalize", NULL)
    p11.do("C_Initialize", NULL)
    assert bytes(p11.token_info(free).serialNumber) == serial


def test_the_slot_list_rule(p11: Client, token: Token) -> None:
    count = ffi.new("CK_ULONG *", 0)
    p11.do("C_GetSlotList", False, NULL, count)
    assert count[0] == 2
    count[0] = 1
    slots = ffi.new("CK_SLOT_ID[]", [0, 0xA5])
    with refused(0x150):
        p11.do("C_GetSlotList", False, slots, count)
    assert count[0] == 2
    assert slots[1] == 0xA5
    p11.do("C_GetSlotList", False, slots, count)
    assert slots[0] == token.slot


def test_the_mechanism_list_agrees_with_the_infos(p11: Client, token: Token) -> None:
    count = ffi.new("CK_ULONG *", 0)
    p11.do("C_GetMechanismList", token.slot, NULL, count)
    total = int(count[0])
    kinds = ffi.new("CK_MECHANISM_TYPE[]", total)
    count[0] = total - 1
    with refused(0x150):
        p11.do("C_GetMechanismList", token.slot, kinds, count)
    assert count[0] == total
    p11.do("C_GetMechanismList", token.slot, kinds, count)
    assert len(set(kinds)) == total > 20
    info = ffi.new("CK_MECHANISM_INFO *")
    for kind in kinds:
        p11.do("C_GetMechanismInfo", token.slot, kind, info)
        assert info.flags
        assert info.ulMinKeySize <= info.ulMaxKeySize or info.ulMaxKeySize == 0
    with refused(0x70):
        p11.do("C_GetMechanismInfo", token.slot, 0x7FFFFFFF, info)


# -- the five states ---------------------------------------------------------------------------


def test_the_five_states(p11: Client, token: Token) -> None:
    def states() -> tuple[int, ...]:
        return tuple(int(p11.session_info(s).state) for s in sessions)

    ro, rw = p11.open(token.slot, read_write=False), p11.open(token.slot)
    sessions = [ro, rw]
    assert p11.session_info(ro).flags == SERIAL
    assert p11.session_info(rw).flags == SERIAL | CKF_RW_SESSION
    assert p11.session_info(rw).slotID == token.slot
    assert states() == (CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION)
    p11.login(ro, CKU_USER, USER_PIN)
    assert states() == (CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS)
    sessions.append(p11.open(token.slot))
    assert states()[2] == CKS_RW_USER_FUNCTIONS  # a new session joins the login
    p11.do("C_Logout", rw)
    assert states() == (CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION)
    p11.do("C_CloseSession", ro)
    sessions.remove(ro)
    p11.login(rw, CKU_SO, SO_PIN)
    assert states() == (CKS_RW_SO_FUNCTIONS, CKS_RW_SO_FUNCTIONS)


def test_session_counts(p11: Client, token: Token) -> None:
    def counts() -> tuple[int, int]:
        info = p11.token_info(token.slot)
        return int(info.ulSessionCount), int(info.ulRwSessionCount)

    assert counts() == (0, 0)
    p11.open(token.slot, read_write=False)
    rw = p11.open(token.slot)
    assert counts() == (2, 1)
    p11.do("C_CloseSession", rw)
    assert counts() == (1, 0)


def test_sessions_have_to_be_serial(p11: Client, token: Token) -> None:
    handle = ffi.new("CK_SESSION_HANDLE *")
    with refused(CKR_SESSION_PARALLEL_NOT_SUPPORTED):
        p11.do("C_OpenSession", token.slot, CKF_RW_SESSION, NULL, NULL, handle)


def test_handles_are_not_used_again(p11: Client, token: Token) -> None:
    seen = set()
    for _ in range(20):
        handle = p11.open(token.slot)
        assert handle not in seen
        assert handle != 0
        seen.add(handle)
        p11.do("C_CloseSession", handle)
        with refused(CKR_SESSION_HANDLE_INVALID):
            p11.session_info(handle)


def test_closing_all_sessions_of_a_token_leaves_the_others(p11: Client, token: Token) -> None:
    other_slot = free_slot(p11)
    p11.init_token(other_slot, SO_PIN, "other")
    mine = [p11.open(token.slot) for _ in range(3)]
    other = p11.open(other_slot)
    p11.login(mine[0], CKU_USER, USER_PIN)
    p11.do("C_CloseAllSessions", token.slot)
    for handle in mine:
        with refused(CKR_SESSION_HANDLE_INVALID):
            p11.session_info(handle)
    assert p11.session_info(other).state == CKS_RW_PUBLIC_SESSION
    # The login has ended with the last session.
    assert p11.session_info(p11.open(token.slot)).state == CKS_RW_PUBLIC_SESSION


def test_a_login_is_one_tokens_alone(p11: Client, token: Token) -> None:
    other_slot = free_slot(p11)
    p11.init_token(other_slot, SO_PIN, "other")
    mine, other = p11.open(token.slot), p11.open(other_slot)
    p11.login(mine, CKU_USER, USER_PIN)
    assert p11.session_info(other).state == CKS_RW_PUBLIC_SESSION
    assert p11.session_info(mine).state == CKS_RW_USER_FUNCTIONS


# -- logging in --------------------------------------------------------------------------------


def test_wrong_pins(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    for pin in (b"wrong-pin", USER_PIN + b"x", USER_PIN[:-1], SO_PIN, b"x"):
        with refused(CKR_PIN_INCORRECT):
            p11.login(session, CKU_USER, pin)
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_SO, USER_PIN)
    assert p11.session_info(session).state == CKS_RW_PUBLIC_SESSION
    with refused(CKR_USER_TYPE_INVALID):
        p11.login(session, 77, USER_PIN)


def test_logging_in_twice(p11: Client, token: Token) -> None:
    one, two = p11.open(token.slot), p11.open(token.slot)
    p11.login(one, CKU_USER, USER_PIN)
    for session in (one, two):
        with refused(CKR_USER_ALREADY_LOGGED_IN):
            p11.login(session, CKU_USER, USER_PIN)
        with refused(CKR_USER_ANOTHER_ALREADY_LOGGED_IN):
            p11.login(session, CKU_SO, SO_PIN)
    p11.do("C_Logout", two)
    with refused(CKR_USER_NOT_LOGGED_IN):
        p11.do("C_Logout", one)
    p11.login(one, CKU_SO, SO_PIN)
    with refused(CKR_USER_ALREADY_LOGGED_IN):
        p11.login(two, CKU_SO, SO_PIN)
    with refused(CKR_USER_ANOTHER_ALREADY_LOGGED_IN):
        p11.login(two, CKU_USER, USER_PIN)


def test_the_so_and_read_only_sessions_exclude_each_other(p11: Client, token: Token) -> None:
    ro, rw = p11.open(token.slot, read_write=False), p11.open(token.slot)
    for session in (ro, rw):
        with refused(CKR_SESSION_READ_ONLY_EXISTS):
            p11.login(session, CKU_SO, SO_PIN)
    p11.do("C_CloseSession", ro)
    p11.login(rw, CKU_SO, SO_PIN)
    with refused(CKR_SESSION_READ_WRITE_SO_EXISTS):
        p11.open(token.slot, read_write=False)
    p11.do("C_Logout", rw)
    p11.open(token.slot, read_write=False)


def test_a_context_specific_login_needs_an_operation(p11: Client, session: int) -> None:
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN)


def test_a_key_that_asks_for_the_pin_at_each_use(p11: Client, session: int) -> None:
    _, key = p11.generate_pair(
        session,
        mechanism(CKM_EC_KEY_PAIR_GEN),
        {CKA_EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")},
        {CKA_SIGN: True, CKA_PRIVATE: True, CKA_ALWAYS_AUTHENTICATE: True},
    )
    digest = (octets(bytes(32)), 32)
    out, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
    for _ in range(2):
        p11.do("C_SignInit", session, mechanism(CKM_ECDSA), key)
        assert p11.C_Sign(session, *digest, out, length) == CKR_USER_NOT_LOGGED_IN
        assert not any(out)
        # The operation may have ended with that; a new one takes the PIN, and the right one only.
        p11.C_SignInit(session, NULL, 0)
        p11.do("C_SignInit", session, mechanism(CKM_ECDSA), key)
        with refused(CKR_PIN_INCORRECT):
            p11.login(session, CKU_CONTEXT_SPECIFIC, b"wrong")
        p11.C_SignInit(session, NULL, 0)
        p11.do("C_SignInit", session, mechanism(CKM_ECDSA), key)
        p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN)
        assert len(p11.output("C_Sign", session, *digest)) == 64
    assert p11.session_info(session).state == CKS_RW_USER_FUNCTIONS


def test_cancelling_operations(p11: Client, session: int) -> None:
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), p11.create(session, HMAC_KEY))
    p11.do("C_SessionCancel", session, CKF_SIGN | CKF_FIND_OBJECTS)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_SignUpdate", session, octets(b"abc"), 3)
    p11.do("C_FindObjectsInit", session, *template({}))
    p11.do("C_SessionCancel", session, CKF_SIGN | CKF_FIND_OBJECTS)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_FindObjectsFinal", session)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    p11.do("C_SessionCancel", session, CKF_SIGN | CKF_FIND_OBJECTS)
    assert len(p11.output("C_Digest", session, octets(b"abc"), 3)) == 32  # it was not named


def test_a_token_without_a_user_pin(p11: Client) -> None:
    slot = free_slot(p11)
    p11.init_token(slot, SO_PIN, "new")
    session = p11.open(slot)
    with refused(CKR_USER_PIN_NOT_INITIALIZED):
        p11.login(session, CKU_USER, USER_PIN)
    assert not flags(p11, slot) & CKF_USER_PIN_INITIALIZED
    with refused(CKR_USER_NOT_LOGGED_IN):
        p11.do("C_InitPIN", session, octets(USER_PIN), len(USER_PIN))
    p11.login(session, CKU_SO, SO_PIN)
    p11.do("C_InitPIN", session, octets(USER_PIN), len(USER_PIN))
    assert flags(p11, slot) & CKF_USER_PIN_INITIALIZED


# -- changing PINs -----------------------------------------------------------------------------


def set_pin(p11: Client, session: int, old: bytes, new: bytes) -> None:
    p11.do("C_SetPIN", session, octets(old), len(old), octets(new), len(new))


@pytest.mark.parametrize("state", ["public", "user"])
def test_the_user_changes_the_pin(p11: Client, token: Token, state: str) -> None:
    session = p11.open(token.slot)
    if state == "user":
        p11.login(session, CKU_USER, USER_PIN)
        p11.create(session, DATA | {CKA_TOKEN: True, CKA_PRIVATE: True})
    with refused(CKR_PIN_INCORRECT):
        set_pin(p11, session, b"not it", b"new-pin")
    for new in (b"abc", b"x" * 256):
        with refused(CKR_PIN_LEN_RANGE):
            set_pin(p11, session, USER_PIN, new)
    set_pin(p11, session, USER_PIN, b"x" * 255)
    set_pin(p11, session, b"x" * 255, b"newp")
    if state == "user":
        p11.do("C_Logout", session)
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_USER, USER_PIN)
    p11.login(session, CKU_USER, b"newp")
    assert len(p11.find(session, {CKA_CLASS: CKO_DATA})) == (1 if state == "user" else 0)


def test_the_so_changes_the_so_pin(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    p11.login(session, CKU_SO, SO_PIN)
    set_pin(p11, session, SO_PIN, b"another so pin")
    p11.do("C_Logout", session)
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_SO, SO_PIN)
    p11.login(session, CKU_SO, b"another so pin")
    p11.do("C_Logout", session)
    p11.login(session, CKU_USER, USER_PIN)  # the user's PIN is what it was


def test_the_so_gives_the_user_a_new_pin(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    p11.login(session, CKU_USER, USER_PIN)
    p11.create(session, DATA | {CKA_TOKEN: True, CKA_PRIVATE: True})
    with refused(CKR_USER_NOT_LOGGED_IN):
        p11.do("C_InitPIN", session, octets(b"newp"), 4)
    p11.do("C_Logout", session)
    p11.login(session, CKU_SO, SO_PIN)
    with refused(CKR_PIN_LEN_RANGE):
        p11.do("C_InitPIN", session, octets(b"new"), 3)
    p11.do("C_InitPIN", session, octets(b"newp"), 4)
    p11.do("C_Logout", session)
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_USER, USER_PIN)
    p11.login(session, CKU_USER, b"newp")
    (note,) = p11.find(session, {CKA_CLASS: CKO_DATA})  # nothing has been lost
    assert p11.get(session, note, CKA_VALUE) == b"text"


def test_pins_cannot_be_changed_in_a_read_only_session(p11: Client, token: Token) -> None:
    session = p11.open(token.slot, read_write=False)
    with refused(CKR_SESSION_READ_ONLY):
        set_pin(p11, session, USER_PIN, b"newp")
    p11.login(session, CKU_USER, USER_PIN)
    with refused(CKR_SESSION_READ_ONLY):
        set_pin(p11, session, USER_PIN, b"newp")


def test_wrong_pins_lock_the_users(p11: Client, token: Token) -> None:
    mask = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED
    session = p11.open(token.slot)
    assert flags(p11, token.slot) & mask == 0
    for attempt in range(1, 11):
        with refused(CKR_PIN_INCORRECT):
            p11.login(session, CKU_USER, b"wrong")
        now = flags(p11, token.slot) & mask
        if attempt < 9:
            assert now == CKF_USER_PIN_COUNT_LOW
        elif attempt == 9:
            assert now == CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY
    assert now & CKF_USER_PIN_LOCKED
    with refused(CKR_PIN_LOCKED):
        p11.login(session, CKU_USER, USER_PIN)
    with refused(CKR_PIN_LOCKED):
        set_pin(p11, session, USER_PIN, b"newp")
    # A new start does not help; the SO does.
    p11.do("C_Finalize", NULL)
    p11.do("C_Initialize", NULL)
    session = p11.open(token.slot)
    with refused(CKR_PIN_LOCKED):
        p11.login(session, CKU_USER, USER_PIN)
    p11.login(session, CKU_SO, SO_PIN)
    p11.do("C_InitPIN", session, octets(b"newp"), 4)
    p11.do("C_Logout", session)
    assert flags(p11, token.slot) & mask == 0
    p11.login(session, CKU_USER, b"newp")


def test_a_right_pin_clears_the_count(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    for _ in range(2):
        for _ in range(6):
            with refused(CKR_PIN_INCORRECT):
                p11.login(session, CKU_USER, b"wrong")
        p11.login(session, CKU_USER, USER_PIN)
        p11.do("C_Logout", session)
        assert not flags(p11, token.slot) & CKF_USER_PIN_COUNT_LOW


def test_wrong_so_pins_count_too(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_SO, b"wrong")
    assert flags(p11, token.slot) & CKF_SO_PIN_COUNT_LOW
    p11.do("C_CloseSession", session)
    for _ in range(9):
        with refused(CKR_PIN_INCORRECT):
            p11.init_token(token.slot, b"wrong", "again")
    assert flags(p11, token.slot) & CKF_SO_PIN_LOCKED
    with refused(CKR_PIN_LOCKED):
        p11.init_token(token.slot, SO_PIN, "again")


# -- initialising anew -------------------------------------------------------------------------


def test_initialising_a_token_anew(p11: Client, token: Token, session: int) -> None:
    p11.create(session, DATA | {CKA_TOKEN: True, CKA_PRIVATE: True})
    p11.create(session, DATA | {CKA_TOKEN: True, CKA_PRIVATE: False})
    serial = bytes(p11.token_info(token.slot).serialNumber)
    with refused(CKR_SESSION_EXISTS):
        p11.init_token(token.slot, SO_PIN, "again")
    p11.do("C_CloseSession", session)
    with refused(CKR_PIN_INCORRECT):
        p11.init_token(token.slot, b"wrong so pin", "again")
    assert bytes(p11.token_info(token.slot).label).strip() == b"test token"

    p11.init_token(token.slot, SO_PIN, "again")
    info = p11.token_info(token.slot)
    assert bytes(info.label) == b"again".ljust(32)
    assert bytes(info.serialNumber) == serial
    assert not info.flags & CKF_USER_PIN_INITIALIZED
    session = p11.open(token.slot)
    assert p11.find(session, {}) == []
    with refused(CKR_USER_PIN_NOT_INITIALIZED):
        p11.login(session, CKU_USER, USER_PIN)
    p11.login(session, CKU_SO, SO_PIN)
    p11.do("C_InitPIN", session, octets(USER_PIN), len(USER_PIN))
    p11.do("C_Logout", session)
    p11.login(session, CKU_USER, USER_PIN)
    assert p11.find(session, {}) == []


# -- what a session may do to objects ----------------------------------------------------------


def test_a_read_only_session_changes_no_token_object(
    p11: Client, token: Token, session: int
) -> None:
    kept = p11.create(session, DATA | {CKA_TOKEN: True, CKA_PRIVATE: False})
    ro = p11.open(token.slot, read_write=False)
    with refused(CKR_SESSION_READ_ONLY):
        p11.create(ro, DATA | {CKA_TOKEN: True, CKA_PRIVATE: False})
    with refused(CKR_SESSION_READ_ONLY):
        p11.copy(ro, kept, {CKA_LABEL: "copy"})
    with refused(CKR_SESSION_READ_ONLY):
        p11.set(ro, kept, {CKA_LABEL: "changed"})
    with refused(CKR_SESSION_READ_ONLY):
        p11.do("C_DestroyObject", ro, kept)
    key = {CKA_TOKEN: True, CKA_VALUE_LEN: 16}
    with refused(CKR_SESSION_READ_ONLY):
        p11.generate(ro, mechanism(CKM_GENERIC_SECRET_KEY_GEN), key)
    assert p11.get(session, kept, CKA_LABEL) == b"note"
    assert p11.find(session, {}) == [kept]
    # Session objects are its own business.
    mine = p11.create(ro, DATA | {CKA_TOKEN: False})
    p11.set(ro, mine, {CKA_LABEL: "changed"})
    p11.do("C_DestroyObject", ro, mine)


@pytest.mark.parametrize("who", ["nobody", "SO"])
def test_private_objects_are_the_users_alone(p11: Client, token: Token, who: str) -> None:
    session = p11.open(token.slot)
    p11.login(session, CKU_USER, USER_PIN)
    private = p11.create(session, DATA | {CKA_TOKEN: True, CKA_PRIVATE: True})
    public = p11.create(session, DATA | {CKA_TOKEN: True, CKA_PRIVATE: False})
    p11.do("C_Logout", session)
    if who == "SO":
        p11.login(session, CKU_SO, SO_PIN)
    assert p11.find(session, {}) == [public]
    with refused(CKR_OBJECT_HANDLE_INVALID):
        p11.get(session, private, CKA_LABEL)
    with refused(CKR_OBJECT_HANDLE_INVALID):
        p11.do("C_DestroyObject", session, private)
    with refused(CKR_USER_NOT_LOGGED_IN):
        p11.create(session, DATA | {CKA_TOKEN: False, CKA_PRIVATE: True})
    with refused(CKR_USER_NOT_LOGGED_IN):
        p11.generate(
            session,
            mechanism(CKM_GENERIC_SECRET_KEY_GEN),
            {CKA_TOKEN: True, CKA_PRIVATE: True, CKA_VALUE_LEN: 16},
        )


def test_logging_out_kills_private_handles(p11: Client, token: Token, session: int) -> None:
    kept = p11.create(session, DATA | {CKA_TOKEN: True, CKA_PRIVATE: True})
    fleeting = p11.create(session, DATA | {CKA_TOKEN: False, CKA_PRIVATE: True})
    public = p11.create(session, DATA | {CKA_TOKEN: False, CKA_PRIVATE: False})
    p11.do("C_Logout", session)
    for handle in (kept, fleeting):
        with refused(CKR_OBJECT_HANDLE_INVALID):
            p11.get(session, handle, CKA_LABEL)
    assert p11.get(session, public, CKA_LABEL) == b"note"
    p11.login(session, CKU_USER, USER_PIN)
    found = p11.find(session, {CKA_PRIVATE: True})
    assert len(found) == 1  # private session objects are gone for good
    assert found[0] not in (kept, fleeting)
    for handle in (kept, fleeting):
        with refused(CKR_OBJECT_HANDLE_INVALID):
            p11.get(session, handle, CKA_LABEL)


@pytest.mark.parametrize("token_object", [True, False])
@pytest.mark.parametrize("parts", ["one part", "many parts"])
def test_logging_out_ends_operations_with_private_keys(
    p11: Client, session: int, token_object: bool, parts: str
) -> None:
    key = p11.create(session, HMAC_KEY | {CKA_PRIVATE: True, CKA_TOKEN: token_object})
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)
    if parts == "many parts":
        p11.do("C_SignUpdate", session, octets(b"abc"), 3)
    p11.do("C_Logout", session)
    signature, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
    if parts == "many parts":
        rv = p11.C_SignFinal(session, signature, length)
    else:
        rv = p11.C_Sign(session, octets(b"abc"), 3, signature, length)
    assert rv in (CKR_OPERATION_NOT_INITIALIZED, CKR_USER_NOT_LOGGED_IN)
    assert not any(signature)
    # Nor does it come back with the next login.
    p11.login(session, CKU_USER, USER_PIN)
    length[0] = 64
    rv = p11.C_Sign(session, octets(b"abc"), 3, signature, length)
    assert rv == CKR_OPERATION_NOT_INITIALIZED
    with refused(CKR_KEY_HANDLE_INVALID):
        p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)


def test_logging_out_leaves_what_needs_no_login(p11: Client, session: int) -> None:
    public = p11.create(session, HMAC_KEY | {CKA_PRIVATE: False})
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), public)
    p11.do("C_Logout", session)
    assert len(p11.output("C_Sign", session, octets(b"abc"), 3)) == 32


def test_session_objects_go_with_their_session(p11: Client, token: Token, session: int) -> None:
    other = p11.open(token.slot)
    mine = p11.create(session, DATA | {CKA_LABEL: "mine"})
    theirs = p11.create(other, DATA | {CKA_LABEL: "theirs"})
    kept = p11.create(other, DATA | {CKA_LABEL: "kept", CKA_TOKEN: True})
    assert set(p11.find(session, {})) == {mine, theirs, kept}  # all sessions see them
    p11.do("C_CloseSession", other)
    assert set(p11.find(session, {})) == {mine, kept}
    with refused(CKR_OBJECT_HANDLE_INVALID):
        p11.get(session, theirs, CKA_LABEL)


def test_closing_a_session_ends_its_operations(p11: Client, token: Token, session: int) -> None:
    other, searching = p11.open(token.slot), p11.open(token.slot)
    p11.do("C_DigestInit", other, mechanism(CKM_SHA256))
    p11.do("C_FindObjectsInit", searching, *template({}))
    p11.do("C_CloseSession", other)
    p11.do("C_CloseSession", searching)
    with refused(CKR_SESSION_HANDLE_INVALID):
        p11.do("C_DigestUpdate", other, octets(b"abc"), 3)
    with refused(CKR_SESSION_HANDLE_INVALID):
        p11.do("C_FindObjectsFinal", searching)
    fresh = p11.open(token.slot)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_DigestUpdate", fresh, octets(b"abc"), 3)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_FindObjectsFinal", fresh)


def test_finalising_ends_everything(p11: Client, token: Token, session: int) -> None:
    key = {CKA_EXTRACTABLE: True, CKA_SENSITIVE: False, CKA_VALUE_LEN: 16}
    p11.generate(session, mechanism(CKM_GENERIC_SECRET_KEY_GEN), key | {CKA_TOKEN: False})
    kept = p11.generate(session, mechanism(CKM_GENERIC_SECRET_KEY_GEN), key | {CKA_TOKEN: True})
    value = p11.get(session, kept, CKA_VALUE)
    stale, session = session, restart(p11, token)
    with refused(CKR_SESSION_HANDLE_INVALID):
        p11.session_info(stale)
    p11.do("C_Logout", session)
    assert p11.session_info(session).state == CKS_RW_PUBLIC_SESSION
    p11.login(session, CKU_USER, USER_PIN)
    (found,) = p11.find(session, {CKA_CLASS: CKO_SECRET_KEY})
    assert p11.get(session, found, CKA_VALUE) == value
