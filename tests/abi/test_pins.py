"""PINs: counting, locking, unlocking, changing, expiring, and tokens without any (section 5.5)."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from abi.client import NULL, CallError, Client, mechanism, octets, refused
from abi.conftest import SO_PIN, USER_PIN, Token
from abi.helping import (
    configure,
    free_slots,
    in_another_process,
    init_pin,
    make_token,
    set_pin,
)

from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_ENCRYPT,
    CKA_EXTRACTABLE,
    CKA_LABEL,
    CKA_PRIVATE,
    CKA_SENSITIVE,
    CKA_TOKEN,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKF_LOGIN_REQUIRED,
    CKF_SO_PIN_COUNT_LOW,
    CKF_SO_PIN_FINAL_TRY,
    CKF_SO_PIN_LOCKED,
    CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_INITIALIZED,
    CKF_USER_PIN_LOCKED,
    CKF_USER_PIN_TO_BE_CHANGED,
    CKM_AES_KEY_GEN,
    CKM_SHA256,
    CKO_DATA,
    CKR_ARGUMENTS_BAD,
    CKR_OBJECT_HANDLE_INVALID,
    CKR_OK,
    CKR_PIN_EXPIRED,
    CKR_PIN_INCORRECT,
    CKR_PIN_INVALID,
    CKR_PIN_LEN_RANGE,
    CKR_PIN_LOCKED,
    CKR_SESSION_READ_ONLY,
    CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_NOT_LOGGED_IN,
    CKR_USER_PIN_NOT_INITIALIZED,
    CKS_RO_USER_FUNCTIONS,
    CKS_RW_PUBLIC_SESSION,
    CKS_RW_SO_FUNCTIONS,
    CKS_RW_USER_FUNCTIONS,
    CKU_SO,
    CKU_USER,
)

NOTE = {CKA_CLASS: CKO_DATA, CKA_LABEL: "note", CKA_VALUE: b"text", CKA_TOKEN: True}
PRIVATE = NOTE | {CKA_PRIVATE: True}
PUBLIC = NOTE | {CKA_PRIVATE: False}
USER_FLAGS = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED
SO_FLAGS = CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED


def flags(p11: Client, slot: int) -> int:
    return int(p11.token_info(slot).flags)


# -- counting ----------------------------------------------------------------------------------


def test_processes_share_one_count(p11: Client, token: Token) -> None:
    configure(p11, "[pins]\nuser_retries = 4\n")
    session = p11.open(token.slot)
    wrong_once = """
session = p11.open(slot_of("test token"))
print(tried(p11.login, session, CKU_USER, b"wrong"))
"""
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_USER, b"wrong")
    assert in_another_process(p11, wrong_once) == "CKR_PIN_INCORRECT"
    assert flags(p11, token.slot) & USER_FLAGS == CKF_USER_PIN_COUNT_LOW
    assert in_another_process(p11, wrong_once) == "CKR_PIN_INCORRECT"
    assert flags(p11, token.slot) & USER_FLAGS == CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_USER, b"wrong")
    assert flags(p11, token.slot) & USER_FLAGS == CKF_USER_PIN_LOCKED
    right = 'print(tried(p11.login, p11.open(slot_of("test token")), CKU_USER, USER_PIN))'
    assert in_another_process(p11, right) == "CKR_PIN_LOCKED"
    # The SO in the other process unlocks it for this one.
    unlock = """
session = p11.open(slot_of("test token"))
p11.login(session, CKU_SO, SO_PIN)
p11.do("C_InitPIN", session, octets(b"new-pin"), 7)
"""
    in_another_process(p11, unlock)
    assert flags(p11, token.slot) & USER_FLAGS == 0
    p11.login(session, CKU_USER, b"new-pin")


def test_no_race_gives_a_free_try(p11: Client, token: Token) -> None:
    configure(p11, "[pins]\nuser_retries = 5\n")
    session, codes = p11.open(token.slot), []

    def attempt() -> None:
        try:
            p11.login(session, CKU_USER, b"wrong")
        except CallError as error:
            codes.append(error.rv)

    threads = [threading.Thread(target=attempt) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == sorted([CKR_PIN_INCORRECT] * 5 + [CKR_PIN_LOCKED] * 7)


@pytest.mark.parametrize("how", ["C_SetPIN", "C_SetPIN, logged in", "C_Login"])
def test_every_wrong_user_pin_counts(p11: Client, token: Token, how: str) -> None:
    configure(p11, "[pins]\nuser_retries = 2\n")
    session = p11.open(token.slot)
    if how.endswith("logged in"):
        p11.login(session, CKU_USER, USER_PIN)
    for _ in range(2):
        with refused(CKR_PIN_INCORRECT):
            if how == "C_Login":
                p11.login(session, CKU_USER, b"wrong")
            else:
                set_pin(p11, session, b"wrong", b"new-pin")
    with refused(CKR_PIN_LOCKED):
        set_pin(p11, session, USER_PIN, b"new-pin")
    assert flags(p11, token.slot) & USER_FLAGS == CKF_USER_PIN_LOCKED


@pytest.mark.parametrize("how", ["C_SetPIN", "C_InitToken", "C_Login"])
def test_every_wrong_so_pin_counts(p11: Client, token: Token, how: str) -> None:
    configure(p11, "[pins]\nso_retries = 2\n")
    session = p11.open(token.slot)
    if how == "C_SetPIN":
        p11.login(session, CKU_SO, SO_PIN)
    if how == "C_InitToken":
        p11.do("C_CloseSession", session)
    for expected in (CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY, CKF_SO_PIN_LOCKED):
        with refused(CKR_PIN_INCORRECT):
            if how == "C_SetPIN":
                set_pin(p11, session, b"wrong", b"new-pin")
            elif how == "C_InitToken":
                p11.init_token(token.slot, b"wrong", "again")
            else:
                p11.login(session, CKU_SO, b"wrong")
        assert flags(p11, token.slot) & (SO_FLAGS | USER_FLAGS) == expected
    p11.do("C_CloseAllSessions", token.slot)
    with refused(CKR_PIN_LOCKED):
        p11.init_token(token.slot, SO_PIN, "again")
    with refused(CKR_PIN_LOCKED):
        p11.login(p11.open(token.slot), CKU_SO, SO_PIN)
    # The user has nothing to do with it.
    p11.login(p11.open(token.slot), CKU_USER, USER_PIN)


def test_without_a_limit_nothing_is_ever_locked(p11: Client, token: Token) -> None:
    configure(p11, "[pins]\nuser_retries = 0\n")
    session = p11.open(token.slot)
    for _ in range(25):
        with refused(CKR_PIN_INCORRECT):
            p11.login(session, CKU_USER, b"wrong")
    assert flags(p11, token.slot) & USER_FLAGS == 0
    p11.login(session, CKU_USER, USER_PIN)


def test_a_pin_that_is_locked_does_not_end_a_login(p11: Client, token: Token) -> None:
    configure(p11, "[pins]\nuser_retries = 1\n")
    session = p11.open(token.slot)
    p11.login(session, CKU_USER, USER_PIN)
    with refused(CKR_PIN_INCORRECT):
        set_pin(p11, session, b"wrong", b"new-pin")
    assert p11.session_info(session).state == CKS_RW_USER_FUNCTIONS
    p11.create(session, PRIVATE)


# -- what a PIN may be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pin", ["Grüße, Ἀθῆναι 🔑", " spaces ", "line\nfeed", "nul\0within", "    "]
)
def test_any_characters_may_be_in_a_pin(p11: Client, token: Token, pin: str) -> None:
    session = p11.open(token.slot)
    set_pin(p11, session, USER_PIN, pin.encode())
    for near in (pin.encode() + b" ", pin.encode()[:-1], pin.encode() + b"\0"):
        with refused(CKR_PIN_INCORRECT):
            p11.login(session, CKU_USER, near)
    p11.login(session, CKU_USER, pin.encode())


def test_lengths_are_in_octets(p11: Client, token: Token) -> None:
    configure(p11, "[pins]\nmin_length = 6\nmax_length = 8\n")
    info = p11.token_info(token.slot)
    assert (info.ulMinPinLen, info.ulMaxPinLen) == (6, 8)
    session = p11.open(token.slot)
    for wrong in ("abcde", "abcdefghi", "ééééé"):
        with refused(CKR_PIN_LEN_RANGE):
            set_pin(p11, session, USER_PIN, wrong.encode())
    set_pin(p11, session, USER_PIN, "ééé".encode())
    p11.login(session, CKU_USER, "ééé".encode())


def test_there_is_no_other_way_to_authenticate(p11: Client, token: Token) -> None:
    """NULL asks for a protected authentication path."""
    session, pin = p11.open(token.slot), octets(USER_PIN)
    for user in (CKU_SO, CKU_USER):
        assert p11.C_Login(session, user, NULL, 0) == CKR_ARGUMENTS_BAD
        assert p11.C_Login(session, user, NULL, 4) == CKR_ARGUMENTS_BAD
    assert p11.C_SetPIN(session, NULL, 0, NULL, 0) == CKR_ARGUMENTS_BAD
    assert p11.C_SetPIN(session, pin, len(USER_PIN), NULL, 0) == CKR_ARGUMENTS_BAD
    p11.login(session, CKU_SO, SO_PIN)
    assert p11.C_InitPIN(session, NULL, 0) == CKR_ARGUMENTS_BAD
    assert flags(p11, token.slot) & (USER_FLAGS | SO_FLAGS) == 0


# -- who may set which PIN when ----------------------------------------------------------------


@pytest.mark.parametrize("who", [None, CKU_USER, CKU_SO])
def test_set_pin_changes_the_pin_of_whoever_is_logged_in(
    p11: Client, token: Token, who: int | None
) -> None:
    session = p11.open(token.slot)
    old = SO_PIN if who == CKU_SO else USER_PIN
    if who is not None:
        p11.login(session, who, old)
    state = p11.session_info(session).state
    with refused(CKR_PIN_INCORRECT):
        set_pin(p11, session, USER_PIN if who == CKU_SO else SO_PIN, b"new-pin")
    set_pin(p11, session, old, b"new-pin")
    assert p11.session_info(session).state == state
    p11.do("C_CloseSession", session)
    session = p11.open(token.slot)
    role = CKU_SO if who == CKU_SO else CKU_USER
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, role, old)
    p11.login(session, role, b"new-pin")


@pytest.mark.parametrize("who", [None, CKU_USER])
def test_read_only_sessions_set_no_pin(p11: Client, token: Token, who: int | None) -> None:
    session = p11.open(token.slot, read_write=False)
    if who is not None:
        p11.login(session, who, USER_PIN)
        assert p11.session_info(session).state == CKS_RO_USER_FUNCTIONS
    with refused(CKR_SESSION_READ_ONLY):
        set_pin(p11, session, USER_PIN, b"new-pin")
    with refused(CKR_SESSION_READ_ONLY):
        set_pin(p11, session, b"wrong", b"new-pin")  # which does not count, then
    assert flags(p11, token.slot) & USER_FLAGS == 0


@pytest.mark.parametrize("read_write", [True, False])
@pytest.mark.parametrize("who", [None, CKU_USER])
def test_only_the_so_initialises_the_users_pin(
    p11: Client, token: Token, who: int | None, read_write: bool
) -> None:
    session = p11.open(token.slot, read_write=read_write)
    if who is not None:
        p11.login(session, who, USER_PIN)
    with refused(CKR_USER_NOT_LOGGED_IN):
        init_pin(p11, session, b"new-pin")


def test_set_pin_before_there_is_one(p11: Client) -> None:
    (slot,) = free_slots(p11)
    p11.init_token(slot, SO_PIN, "new")
    with refused(CKR_USER_PIN_NOT_INITIALIZED):
        set_pin(p11, p11.open(slot), USER_PIN, b"new-pin")


def test_a_new_pin_unlocks_what_the_old_one_did(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    p11.login(session, CKU_USER, USER_PIN)
    key = {CKA_TOKEN: True, CKA_SENSITIVE: True, CKA_EXTRACTABLE: False, CKA_VALUE_LEN: 16}
    p11.generate(session, mechanism(CKM_AES_KEY_GEN), key | {CKA_ENCRYPT: True})
    set_pin(p11, session, USER_PIN, b"new-pin")
    p11.create(session, PRIVATE)
    p11.do("C_Logout", session)
    p11.login(session, CKU_USER, b"new-pin")
    assert len(p11.find(session, {CKA_TOKEN: True})) == 2


# -- PINs that have to be changed --------------------------------------------------------------

CHANGE = "[pins]\nchange_after_init = true\n"


@pytest.fixture
def expired(p11: Client) -> Token:
    """A token whose user PIN must be changed first. It has a public object and a private one."""
    (slot,) = free_slots(p11)
    make_token(p11, slot)
    session = p11.open(slot)
    p11.login(session, CKU_USER, USER_PIN)
    p11.create(session, PUBLIC)
    p11.create(session, PRIVATE)
    configure(p11, CHANGE)
    session = p11.open(slot)
    p11.login(session, CKU_SO, SO_PIN)
    init_pin(p11, session, b"from the SO")
    p11.do("C_CloseSession", session)
    return Token(slot, user_pin=b"from the SO")


def test_nothing_but_set_pin_can_be_called_with_an_expired_pin(p11: Client, expired: Token) -> None:
    assert flags(p11, expired.slot) & CKF_USER_PIN_TO_BE_CHANGED
    session = p11.open(expired.slot)
    (public,) = p11.find(session, {})  # whoever is not logged in is not concerned
    p11.login(session, CKU_USER, expired.user_pin)
    assert p11.session_info(session).state == CKS_RW_USER_FUNCTIONS
    for call, *arguments in (
        (p11.find, {}),
        (p11.create, PRIVATE),
        (p11.create, PUBLIC),
        (p11.create, PRIVATE | {CKA_TOKEN: False}),
        (p11.get, public, CKA_VALUE),
        (p11.set, public, {CKA_LABEL: "changed"}),
        (p11.generate, mechanism(CKM_AES_KEY_GEN), {CKA_VALUE_LEN: 16}),
    ):
        with refused(CKR_PIN_EXPIRED):
            call(session, *arguments)
    assert p11.C_DestroyObject(session, public) == CKR_PIN_EXPIRED
    # What needs no login needs no PIN either.
    assert len(p11.digest(session, mechanism(CKM_SHA256), b"abc")) == 32
    # Neither another session nor another process helps.
    with refused(CKR_PIN_EXPIRED):
        p11.find(p11.open(expired.slot, read_write=False), {})
    code = """
session = p11.open(slot_of("test token"))
p11.login(session, CKU_USER, b"from the SO")
print(tried(p11.find, session, {}))
"""
    assert in_another_process(p11, code) == "CKR_PIN_EXPIRED"


@pytest.mark.parametrize("logged_in", [True, False])
def test_changing_the_pin_ends_that(p11: Client, expired: Token, logged_in: bool) -> None:
    session = p11.open(expired.slot)
    if logged_in:
        p11.login(session, CKU_USER, expired.user_pin)
    with refused(CKR_PIN_INVALID):
        set_pin(p11, session, expired.user_pin, expired.user_pin)  # that is no change
    with refused(CKR_PIN_INCORRECT):
        set_pin(p11, session, b"wrong", b"my own")
    assert flags(p11, expired.slot) & CKF_USER_PIN_TO_BE_CHANGED
    set_pin(p11, session, expired.user_pin, b"my own")
    assert not flags(p11, expired.slot) & CKF_USER_PIN_TO_BE_CHANGED
    if not logged_in:
        p11.login(session, CKU_USER, b"my own")
    assert len(p11.find(session, {})) == 2
    (private,) = p11.find(session, {CKA_PRIVATE: True})
    assert p11.get(session, private, CKA_VALUE) == b"text"
    p11.create(session, PRIVATE)
    p11.do("C_Logout", session)
    p11.login(session, CKU_USER, b"my own")
    assert len(p11.find(session, {})) == 3


def test_logging_out_with_an_expired_pin(p11: Client, expired: Token) -> None:
    session = p11.open(expired.slot)
    p11.login(session, CKU_USER, expired.user_pin)
    p11.do("C_Logout", session)
    assert p11.session_info(session).state == CKS_RW_PUBLIC_SESSION
    assert len(p11.find(session, {})) == 1
    p11.login(session, CKU_SO, SO_PIN)
    assert len(p11.find(session, {})) == 1


def test_by_default_nothing_has_to_be_changed(p11: Client, token: Token) -> None:
    assert not flags(p11, token.slot) & CKF_USER_PIN_TO_BE_CHANGED


# -- tokens that need no login -----------------------------------------------------------------


@pytest.fixture
def open_token(p11: Client) -> int:
    """The slot of a token that needs no login, with an object of each kind."""
    configure(p11, "[tokens]\nlogin = false\n")
    (slot,) = free_slots(p11)
    assert not flags(p11, slot) & CKF_LOGIN_REQUIRED
    p11.init_token(slot, SO_PIN, "open token")
    session = p11.open(slot)
    p11.create(session, PUBLIC)
    p11.create(session, PRIVATE)
    p11.do("C_CloseSession", session)
    return slot


def test_whoever_has_a_session_is_the_user(p11: Client, open_token: int) -> None:
    assert not flags(p11, open_token) & (CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED)
    for read_write, state in ((True, CKS_RW_USER_FUNCTIONS), (False, CKS_RO_USER_FUNCTIONS)):
        session = p11.open(open_token, read_write=read_write)
        assert p11.session_info(session).state == state
        assert len(p11.find(session, {})) == 2
    session = p11.open(open_token)
    key = {CKA_TOKEN: True, CKA_SENSITIVE: True, CKA_VALUE_LEN: 16, CKA_ENCRYPT: True}
    handle = p11.generate(session, mechanism(CKM_AES_KEY_GEN), key)
    assert len(p11.encrypt(session, mechanism(0x1081), handle, bytes(16))) == 16
    p11.do("C_CloseAllSessions", open_token)
    # It is a property of the token: a process that is configured otherwise meets the same.
    configure(p11, "")
    assert not flags(p11, open_token) & CKF_LOGIN_REQUIRED
    assert len(p11.find(p11.open(open_token), {})) == 3
    code = 'print(len(p11.find(p11.open(slot_of("open token")), {CKA_CLASS: CKO_DATA})))'
    assert in_another_process(p11, code) == "2"


def test_logging_in_and_out_all_the_same(p11: Client, open_token: int) -> None:
    session = p11.open(open_token)
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_USER, USER_PIN)
    for _ in range(20):
        assert p11.C_Login(session, CKU_USER, octets(b"guess"), 5) == CKR_PIN_INCORRECT
    assert flags(p11, open_token) & USER_FLAGS == 0  # nothing is counted, and nothing locked
    p11.login(session, CKU_USER, b"")
    with refused(CKR_USER_ALREADY_LOGGED_IN):
        p11.login(session, CKU_USER, b"")
    (private,) = p11.find(session, {CKA_PRIVATE: True})
    p11.do("C_Logout", session)
    assert p11.session_info(session).state == CKS_RW_PUBLIC_SESSION
    with refused(CKR_OBJECT_HANDLE_INVALID):
        p11.get(session, private, CKA_VALUE)
    assert len(p11.find(session, {})) == 1
    p11.login(session, CKU_USER, b"")
    assert len(p11.find(session, {})) == 2
    p11.do("C_Logout", session)
    p11.do("C_CloseSession", session)
    assert len(p11.find(p11.open(open_token), {})) == 2


@pytest.mark.parametrize("how", ["C_InitPIN", "C_SetPIN"])
def test_a_pin_makes_it_a_token_like_others(p11: Client, open_token: int, how: str) -> None:
    session = p11.open(open_token)
    if how == "C_InitPIN":
        (private,) = p11.find(session, {CKA_PRIVATE: True})
        p11.login(session, CKU_SO, SO_PIN)
        assert p11.session_info(session).state == CKS_RW_SO_FUNCTIONS
        with refused(CKR_OBJECT_HANDLE_INVALID):
            p11.get(session, private, CKA_VALUE)
        with refused(CKR_PIN_LEN_RANGE):
            init_pin(p11, session, b"")
        init_pin(p11, session, USER_PIN)
    else:
        with refused(CKR_PIN_INCORRECT):
            set_pin(p11, session, b"guess", USER_PIN)
        set_pin(p11, session, b"", USER_PIN)
    now = flags(p11, open_token)
    assert now & CKF_LOGIN_REQUIRED
    assert now & CKF_USER_PIN_INITIALIZED
    p11.do("C_CloseSession", session)
    session = p11.open(open_token)
    assert p11.session_info(session).state == CKS_RW_PUBLIC_SESSION
    assert len(p11.find(session, {})) == 1
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_USER, b"")
    p11.login(session, CKU_USER, USER_PIN)
    assert len(p11.find(session, {})) == 2  # nothing is lost


def test_a_wrong_so_pin_leaves_the_user_where_he_was(p11: Client, open_token: int) -> None:
    session = p11.open(open_token)
    (private,) = p11.find(session, {CKA_PRIVATE: True})
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_SO, b"wrong")
    assert p11.get(session, private, CKA_VALUE) == b"text"


def test_another_process_sets_the_pin(p11: Client, open_token: int) -> None:
    session = p11.open(open_token)
    code = 'p11.do("C_SetPIN", p11.open(slot_of("open token")), octets(b""), 0, octets(b"1234"), 4)'
    in_another_process(p11, code)
    assert len(p11.find(session, {})) == 2  # who was in stays in
    with refused(CKR_PIN_INCORRECT):
        p11.login(session, CKU_USER, b"")
    p11.do("C_CloseSession", session)
    session = p11.open(open_token)
    assert len(p11.find(session, {})) == 1
    p11.login(session, CKU_USER, b"1234")
    assert len(p11.find(session, {})) == 2


def test_initialising_anew_under_either_configuration(p11: Client, open_token: int) -> None:
    p11.init_token(open_token, SO_PIN, "again")
    assert not flags(p11, open_token) & CKF_LOGIN_REQUIRED
    session = p11.open(open_token)
    assert p11.find(session, {}) == []
    p11.create(session, PRIVATE)
    configure(p11, "")
    p11.init_token(open_token, SO_PIN, "again")
    assert flags(p11, open_token) & CKF_LOGIN_REQUIRED
    session = p11.open(open_token)
    with refused(CKR_USER_PIN_NOT_INITIALIZED):
        p11.login(session, CKU_USER, b"")
    with refused(CKR_USER_NOT_LOGGED_IN):
        p11.create(session, PRIVATE)


def test_a_file_that_only_pretends_to_have_no_pin(
    p11: Client, token: Token, tmp_path: Path
) -> None:
    """Who can write the file can shut the user out, but not let anybody in."""
    session = p11.open(token.slot)
    p11.login(session, CKU_USER, USER_PIN)
    p11.create(session, PRIVATE)
    p11.do("C_Finalize", NULL)
    (file,) = (tmp_path / "tokens").glob("*.token")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE pin SET memory = 8 WHERE role = 1")
    connection.close()
    assert p11.C_Initialize(NULL) == CKR_OK
    session = p11.open(token.slot)
    assert p11.session_info(session).state == CKS_RW_PUBLIC_SESSION
    assert p11.find(session, {}) == []
