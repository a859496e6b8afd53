"""Slots, their tokens coming and going, session limits, C_Initialize and C_Finalize."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from abi.client import NULL, CallError, Client, ffi, mechanism, octets, refused
from abi.conftest import SO_PIN, USER_PIN, Token
from abi.helping import configure, free_slots, in_another_process, make_token

from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_KEY_TYPE,
    CKA_SIGN,
    CKA_TOKEN,
    CKA_VALUE,
    CKF_ASYNC_SESSION,
    CKF_ASYNC_SESSION_SUPPORTED,
    CKF_DONT_BLOCK,
    CKF_LIBRARY_CANT_CREATE_OS_THREADS,
    CKF_OS_LOCKING_OK,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKF_TOKEN_INITIALIZED,
    CKF_TOKEN_PRESENT,
    CKK_GENERIC_SECRET,
    CKM_SHA256,
    CKM_SHA256_HMAC,
    CKO_DATA,
    CKO_SECRET_KEY,
    CKR_ARGUMENTS_BAD,
    CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_DEVICE_REMOVED,
    CKR_NO_EVENT,
    CKR_OK,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_PIN_INCORRECT,
    CKR_SESSION_ASYNC_NOT_SUPPORTED,
    CKR_SESSION_COUNT,
    CKR_SESSION_EXISTS,
    CKR_SESSION_HANDLE_INVALID,
    CKR_SESSION_PARALLEL_NOT_SUPPORTED,
    CKR_SLOT_ID_INVALID,
    CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED,
    CKU_USER,
)

NOTE = {CKA_CLASS: CKO_DATA, CKA_VALUE: b"text", CKA_TOKEN: True}


def slot_info(p11: Client, slot: int) -> tuple[str, int]:
    """What a slot calls itself, and its flags."""
    info = ffi.new("CK_SLOT_INFO *")
    p11.do("C_GetSlotInfo", slot, info)
    return bytes(info.slotDescription).decode().rstrip(), int(info.flags)


def all_slots(p11: Client) -> list[int]:
    return p11.slots(present=False)


# -- limits and flags of sessions --------------------------------------------------------------


def test_without_limits(p11: Client, token: Token) -> None:
    info = p11.token_info(token.slot)
    assert (info.ulMaxSessionCount, info.ulMaxRwSessionCount) == (0, 0)  # effectively infinite
    for _ in range(300):
        p11.open(token.slot)
    info = p11.token_info(token.slot)
    assert (info.ulSessionCount, info.ulRwSessionCount) == (300, 300)


def test_session_limits(p11: Client, token: Token) -> None:
    configure(p11, "[sessions]\nmax = 4\nmax_read_write = 2\n")
    info = p11.token_info(token.slot)
    assert (info.ulMaxSessionCount, info.ulMaxRwSessionCount) == (4, 2)
    first, _second = p11.open(token.slot), p11.open(token.slot)
    with refused(CKR_SESSION_COUNT):
        p11.open(token.slot)
    for _ in range(2):
        p11.open(token.slot, read_write=False)
    for read_write in (True, False):
        with refused(CKR_SESSION_COUNT):
            p11.open(token.slot, read_write=read_write)
    info = p11.token_info(token.slot)
    assert (info.ulSessionCount, info.ulRwSessionCount) == (4, 2)
    p11.do("C_CloseSession", first)
    p11.open(token.slot)
    # They are of one token and one application.
    (other,) = free_slots(p11)
    p11.init_token(other, SO_PIN, "other")
    p11.open(other)
    code = 'for _ in range(2): p11.open(slot_of("test token"))'
    in_another_process(p11, code)
    p11.do("C_CloseAllSessions", token.slot)
    for _ in range(2):
        p11.open(token.slot)


def test_a_limit_for_all_is_one_for_read_write_sessions(p11: Client, token: Token) -> None:
    configure(p11, "[sessions]\nmax = 3\n")
    assert p11.token_info(token.slot).ulMaxRwSessionCount == 3
    for _ in range(3):
        p11.open(token.slot)
    with refused(CKR_SESSION_COUNT):
        p11.open(token.slot)


def test_session_flags(p11: Client, token: Token) -> None:
    handle = ffi.new("CK_SESSION_HANDLE *")

    def opened(flags: int, slot: int = token.slot) -> int:
        return int(p11.C_OpenSession(slot, flags, NULL, NULL, handle))

    assert opened(0) == CKR_SESSION_PARALLEL_NOT_SUPPORTED
    assert opened(CKF_RW_SESSION) == CKR_SESSION_PARALLEL_NOT_SUPPORTED
    assert opened(CKF_SERIAL_SESSION | CKF_ASYNC_SESSION) == CKR_SESSION_ASYNC_NOT_SUPPORTED
    assert not p11.token_info(token.slot).flags & CKF_ASYNC_SESSION_SUPPORTED
    assert opened(CKF_SERIAL_SESSION, 0x7FFFFFF0) == CKR_SLOT_ID_INVALID
    assert handle[0] == 0
    assert p11.token_info(token.slot).ulSessionCount == 0
    assert opened(CKF_SERIAL_SESSION) == CKR_OK
    assert handle[0] != 0


# -- slots that are configured -----------------------------------------------------------------

DEPARTMENTS = '[slots]\nfree = false\n[[slot]]\nlabel = "hr"\n[[slot]]\nlabel = "finance"\n'


def test_slots_by_label(p11: Client) -> None:
    configure(p11, DEPARTMENTS)
    hr, finance = all_slots(p11)
    assert p11.slots() == [hr, finance]
    assert [slot_info(p11, s)[0] for s in (hr, finance)] == ["hr", "finance"]
    assert slot_info(p11, hr)[1] & CKF_TOKEN_PRESENT
    assert not p11.token_info(hr).flags & CKF_TOKEN_INITIALIZED
    with refused(CKR_TOKEN_NOT_RECOGNIZED):
        p11.open(hr)

    make_token(p11, finance, "the money")
    assert all_slots(p11) == [hr, finance]  # in the order of the file, made or not
    assert slot_info(p11, finance)[0] == "finance"
    assert bytes(p11.token_info(finance).label).rstrip() == b"the money"
    p11.init_token(hr, b"another SO PIN", "people")
    with refused(CKR_PIN_INCORRECT):  # each has its own PINs
        p11.init_token(hr, SO_PIN, "people")
    p11.login(p11.open(finance), CKU_USER, USER_PIN)
    p11.do("C_Finalize", NULL)
    p11.do("C_Initialize", NULL)
    assert all_slots(p11) == [hr, finance]
    assert in_another_process(p11, "print(p11.slots())") == str([hr, finance])


def test_ids_come_from_labels_alone(p11: Client, tmp_path: Path) -> None:
    configure(p11, DEPARTMENTS)
    hr, finance = all_slots(p11)
    p11.init_token(hr, SO_PIN, "people")
    serial = bytes(p11.token_info(hr).serialNumber)
    # With more labels, in another order, without the token and in another directory.
    configure(p11, '[[slot]]\nlabel = "finance"\n[[slot]]\nlabel = "it"\n[[slot]]\nlabel = "hr"\n')
    slots = all_slots(p11)
    assert (slots[0], slots[2]) == (finance, hr)
    assert len(set(slots)) == 4  # and one that is free
    for file in (tmp_path / "tokens").iterdir():
        file.unlink()
    p11.do("C_Finalize", NULL)
    p11.do("C_Initialize", NULL)
    assert all_slots(p11)[2] == hr
    assert bytes(p11.token_info(hr).serialNumber) == serial
    assert not p11.token_info(hr).flags & CKF_TOKEN_INITIALIZED


def test_other_tokens_come_after_those_that_are_configured(p11: Client, token: Token) -> None:
    configure(p11, '[[slot]]\nlabel = "hr"\n')
    hr, other, free = all_slots(p11)
    assert other == token.slot
    assert [slot_info(p11, s)[0] for s in (hr, other, free)].count("hr") == 1
    p11.init_token(free, SO_PIN, "new")
    assert all_slots(p11)[:3] == [hr, other, free]
    assert len(all_slots(p11)) == 4


def test_a_token_without_its_label_in_the_file_is_still_there(p11: Client) -> None:
    configure(p11, DEPARTMENTS)
    hr, _finance = all_slots(p11)
    make_token(p11, hr, "people")
    configure(p11, "")
    assert all_slots(p11)[0] == hr
    p11.login(p11.open(hr), CKU_USER, USER_PIN)


# -- tokens that come and go -------------------------------------------------------------------

MAKE = 'p11.init_token(p11.slots()[-1], SO_PIN, "theirs"); print(slot_of("theirs"))'


def files(tmp_path: Path, serial: bytes) -> list[Path]:
    return list((tmp_path / "tokens").glob(f"{serial.decode()}*"))


def remove(p11: Client, tmp_path: Path, slot: int) -> None:
    """Take a token away, as rm does."""
    for file in files(tmp_path, bytes(p11.token_info(slot).serialNumber)):
        file.unlink()


def event(p11: Client) -> int | None:
    """C_WaitForSlotEvent without waiting: the slot, or None."""
    slot = ffi.new("CK_SLOT_ID *")
    rv = p11.C_WaitForSlotEvent(CKF_DONT_BLOCK, slot, NULL)
    assert rv in (CKR_OK, CKR_NO_EVENT)
    return int(slot[0]) if rv == CKR_OK else None


def test_what_another_process_makes_is_seen(p11: Client, token: Token) -> None:
    before = all_slots(p11)
    made = int(in_another_process(p11, MAKE))
    count = ffi.new("CK_ULONG *", 16)
    slots = ffi.new("CK_SLOT_ID[16]")
    p11.do("C_GetSlotList", False, slots, count)
    assert list(slots[0 : count[0]]) == before  # until the length is asked for
    after = all_slots(p11)
    assert made == before[-1]  # where the free slot was
    assert after[:-1] == before
    assert p11.token_info(made).flags & CKF_TOKEN_INITIALIZED
    p11.open(made)


def test_events(p11: Client, token: Token, tmp_path: Path) -> None:
    assert event(p11) is None
    made = int(in_another_process(p11, MAKE))
    assert event(p11) == made
    assert event(p11) is None  # told once
    remove(p11, tmp_path, token.slot)
    assert event(p11) == token.slot
    assert event(p11) is None
    p11.init_token(free_slots(p11)[0], SO_PIN, "mine")
    assert event(p11) is None  # one's own doing is no event
    assert p11.C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL) == CKR_ARGUMENTS_BAD
    somewhere = ffi.new("CK_SLOT_ID *")
    assert p11.C_WaitForSlotEvent(CKF_DONT_BLOCK, somewhere, somewhere) == CKR_ARGUMENTS_BAD


def waiting(p11: Client) -> tuple[threading.Thread, list[int]]:
    """A thread that waits for an event, and where it will put the CK_RV and the slot."""
    answer: list[int] = []

    def wait() -> None:
        slot = ffi.new("CK_SLOT_ID *")
        rv = p11.C_WaitForSlotEvent(0, slot, NULL)
        answer.extend((int(rv), int(slot[0])))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    return thread, answer


def test_waiting_for_an_event(p11: Client, token: Token) -> None:
    thread, answer = waiting(p11)
    p11.open(token.slot)  # others are not kept waiting
    made = int(in_another_process(p11, MAKE))
    thread.join(5)
    assert answer == [CKR_OK, made]


def test_finalising_wakes_whoever_waits(p11: Client, token: Token) -> None:
    thread, answer = waiting(p11)
    p11.do("C_Finalize", NULL)
    thread.join(5)
    assert answer[0] == CKR_CRYPTOKI_NOT_INITIALIZED
    p11.do("C_Initialize", NULL)
    assert event(p11) is None


@pytest.mark.parametrize("noticed", [True, False])
def test_sessions_on_a_token_that_was_taken_away(
    p11: Client, token: Token, session: int, tmp_path: Path, noticed: bool
) -> None:
    other_slot = free_slots(p11)[0]
    make_token(p11, other_slot, "other")
    other = p11.open(other_slot)
    p11.login(other, CKU_USER, USER_PIN)
    note = p11.create(session, NOTE)
    remove(p11, tmp_path, token.slot)
    if noticed:
        assert token.slot in all_slots(p11)
        assert token.slot not in p11.slots()
        assert not slot_info(p11, token.slot)[1] & CKF_TOKEN_PRESENT
        for call in (p11.open, p11.token_info):
            with refused(CKR_TOKEN_NOT_PRESENT):
                call(token.slot)
        with refused(CKR_TOKEN_NOT_PRESENT):
            p11.init_token(token.slot, SO_PIN, "again")
        count = ffi.new("CK_ULONG *")
        assert p11.C_GetMechanismList(token.slot, NULL, count) == CKR_TOKEN_NOT_PRESENT
    time.sleep(1.1)  # the store looks at the file itself from time to time
    for call, *arguments in (
        (p11.find, {}),
        (p11.create, NOTE),
        (p11.get, note, CKA_VALUE),
        (p11.login, CKU_USER, USER_PIN),
    ):
        with pytest.raises(CallError) as caught:
            call(session, *arguments)
        allowed = {CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, 0x100}
        assert caught.value.rv in allowed, (call, caught.value)
    p11.create(other, NOTE)
    assert len(p11.find(other, {})) == 1
    p11.do("C_CloseSession", session)
    p11.do("C_CloseAllSessions", token.slot)
    assert p11.C_Finalize(NULL) == CKR_OK


def test_a_configured_token_that_was_taken_away_can_be_made_anew(
    p11: Client, tmp_path: Path
) -> None:
    configure(p11, DEPARTMENTS)
    hr = all_slots(p11)[0]
    make_token(p11, hr, "people")
    session = p11.open(hr)
    remove(p11, tmp_path, hr)
    assert all_slots(p11)[0] == hr
    assert not p11.token_info(hr).flags & CKF_TOKEN_INITIALIZED
    make_token(p11, hr, "people again")
    fresh = p11.open(hr)
    p11.login(fresh, CKU_USER, USER_PIN)
    p11.create(fresh, NOTE)
    for one in (session, fresh):
        p11.do("C_CloseSession", one)
    with refused(CKR_SESSION_HANDLE_INVALID):
        p11.session_info(session)


def test_a_token_is_not_initialised_under_its_sessions(p11: Client, token: Token) -> None:
    session = p11.open(token.slot, read_write=False)
    with refused(CKR_SESSION_EXISTS):
        p11.init_token(token.slot, SO_PIN, "again")
    with refused(CKR_SESSION_EXISTS):
        p11.init_token(token.slot, b"wrong", "again")  # which is no try, then
    p11.do("C_CloseSession", session)
    p11.init_token(token.slot, SO_PIN, "again")


def test_another_process_initialises_a_token(p11: Client, token: Token, session: int) -> None:
    p11.create(session, NOTE)
    private = p11.create(session, {CKA_CLASS: CKO_DATA, 0x2: True})
    code = 'p11.init_token(slot_of("test token"), SO_PIN, "again")'
    in_another_process(p11, code)
    assert p11.find(session, {}) == []
    with pytest.raises(CallError):
        p11.get(session, private, CKA_VALUE)
    assert bytes(p11.token_info(token.slot).label).rstrip() == b"again"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"padded".ljust(32), b"padded"),
        (b"ended by a NUL\0\xff\x07rubbish".ljust(32, b"\xfe"), b"ended by a NUL"),
        (bytes(32), b""),
    ],
    ids=["padded", "ended", "empty"],
)
def test_labels_as_callers_write_them(p11: Client, given: bytes, kept: bytes) -> None:
    (free,) = (s for s in p11.slots() if not p11.token_info(s).flags & CKF_TOKEN_INITIALIZED)
    p11.do("C_InitToken", free, octets(SO_PIN), len(SO_PIN), octets(given))
    assert bytes(p11.token_info(free).label) == kept.ljust(32)


def test_a_label_that_is_not_utf_8_is_refused(p11: Client) -> None:
    (free,) = (s for s in p11.slots() if not p11.token_info(s).flags & CKF_TOKEN_INITIALIZED)
    with refused(CKR_ARGUMENTS_BAD):
        p11.do("C_InitToken", free, octets(SO_PIN), len(SO_PIN), octets(b"\xff".ljust(32)))


# -- C_Initialize and C_Finalize ---------------------------------------------------------------


@ffi.callback("CK_RV(CK_VOID_PTR_PTR)")
def create_mutex(pointer: object) -> int:
    return CKR_OK


@ffi.callback("CK_RV(CK_VOID_PTR)")
def on_mutex(mutex: object) -> int:
    return CKR_OK


MUTEXES = {
    "CreateMutex": create_mutex,
    "DestroyMutex": on_mutex,
    "LockMutex": on_mutex,
    "UnlockMutex": on_mutex,
}


@pytest.mark.parametrize("mutexes", [{}, MUTEXES])
@pytest.mark.parametrize(
    "flags",
    [0, CKF_OS_LOCKING_OK, CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK],
)
def test_all_four_kinds_of_locking(
    loaded: Client, environment: None, mutexes: dict[str, object], flags: int
) -> None:
    arguments = ffi.new("CK_C_INITIALIZE_ARGS *", mutexes | {"flags": flags})
    assert loaded.C_Initialize(arguments) == CKR_OK
    assert len(loaded.slots()) == 1
    assert loaded.C_Finalize(NULL) == CKR_OK


@pytest.mark.parametrize("missing", MUTEXES)
def test_four_mutex_functions_or_none(loaded: Client, environment: None, missing: str) -> None:
    three = {name: function for name, function in MUTEXES.items() if name != missing}
    for some in (three, {missing: MUTEXES[missing]}):
        arguments = ffi.new("CK_C_INITIALIZE_ARGS *", some)
        assert loaded.C_Initialize(arguments) == CKR_ARGUMENTS_BAD
    assert loaded.C_GetInfo(ffi.new("CK_INFO *")) == CKR_CRYPTOKI_NOT_INITIALIZED


def test_finalising_under_calls_of_other_threads(p11: Client, token: Token) -> None:
    """The standard leaves it undefined; here no call crashes, hangs or pretends to have worked."""
    slot, codes, stop = token.slot, set(), threading.Event()
    key = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_GENERIC_SECRET, CKA_VALUE: b"k" * 32}

    def work() -> None:
        while not stop.is_set():
            try:
                session = p11.open(slot)
                handle = p11.create(session, key | {CKA_SIGN: True, 0x2: False})
                for _ in range(50):
                    p11.sign(session, mechanism(CKM_SHA256_HMAC), handle, b"data")
                    p11.digest(session, mechanism(CKM_SHA256), b"a", b"b")
                    assert handle in p11.find(session, {})
            except CallError as error:
                codes.add(int(error.rv))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        time.sleep(0.05)
        assert p11.C_Finalize(NULL) == CKR_OK
        time.sleep(0.005)
        assert p11.C_Initialize(NULL) == CKR_OK
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert CKR_CRYPTOKI_NOT_INITIALIZED in codes
    assert codes <= {
        CKR_CRYPTOKI_NOT_INITIALIZED,
        CKR_SESSION_HANDLE_INVALID,
        CKR_DEVICE_REMOVED,
        CKR_SLOT_ID_INVALID,
        CKR_OPERATION_NOT_INITIALIZED,
        0x60,  # CKR_KEY_HANDLE_INVALID: of a session object that has gone meanwhile
        0x82,
    }
    # Nothing has been harmed.
    session = p11.open(slot)
    p11.login(session, CKU_USER, USER_PIN)
    assert len(p11.digest(session, mechanism(CKM_SHA256), b"abc")) == 32


def test_a_child_begins_anew(p11: Client, token: Token, session: int) -> None:
    """After fork, a child has none of the parent's sessions, and the parent keeps its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        info = ffi.new("CK_SESSION_INFO *")
        codes = [int(p11.C_GetSessionInfo(session, info)), int(p11.C_Initialize(NULL))]
        codes.append(int(p11.C_GetSessionInfo(session, info)))
        os.write(write, repr(codes).encode())
        os._exit(0)
    os.close(write)
    told = os.read(read, 1000).decode()
    os.waitpid(child, 0)
    os.close(read)
    expected = [CKR_CRYPTOKI_NOT_INITIALIZED, CKR_OK, CKR_SESSION_HANDLE_INVALID]
    assert told == repr(expected)
    assert p11.find(session, {}) == []
