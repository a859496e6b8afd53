"""Slots, sessions, logins and objects, through the core alone: no C and no library."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

from pypkcs11.core import management
from pypkcs11.core.config import Config
from pypkcs11.core.library import Library
from pypkcs11.core.operations import SIGN
from pypkcs11.core.sessions import Session
from pypkcs11.core.slots import slot_id
from pypkcs11.standard import constants as c
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.memory import MemoryDirectory
from pypkcs11.store.protocol import Role

SO_PIN = b"12345678"
PIN = b"1234"
SECRET = [
    (c.CKA_CLASS, c.CKO_SECRET_KEY),
    (c.CKA_KEY_TYPE, c.CKK_GENERIC_SECRET),
    (c.CKA_VALUE, b"k" * 32),
    (c.CKA_SIGN, True),
]
DATA = [(c.CKA_CLASS, c.CKO_DATA), (c.CKA_VALUE, b"text"), (c.CKA_PRIVATE, False)]


@contextmanager
def fails(rv: int) -> Any:
    with pytest.raises(CryptokiError) as caught:
        yield
    assert caught.value.rv == rv


@pytest.fixture
def directory() -> MemoryDirectory:
    return MemoryDirectory()


@pytest.fixture
def make_library(directory: MemoryDirectory) -> Callable[..., Library]:
    def make(**configured: Any) -> Library:
        return Library(Config(tokens_directory="/nowhere", **configured), directory)

    return make


@pytest.fixture
def library(make_library: Callable[..., Library]) -> Library:
    return make_library()


def initialise(library: Library, label: str = "token") -> int:
    """Make a token with both PINs in the free slot, and return the slot's id."""
    slot = library.slots.refresh()[-1].id
    library.slots.init_token(slot, label, SO_PIN)
    session = library.open_session(slot, read_write=True)
    session.token.log_in(Role.SO, SO_PIN)
    session.token.init_pin(PIN)
    library.close_all_sessions(slot)
    return slot


@pytest.fixture
def slot(library: Library) -> int:
    return initialise(library)


@pytest.fixture
def session(library: Library, slot: int) -> Session:
    return library.open_session(slot, read_write=True)


def sign_init(library: Library, session: Session, key: int) -> None:
    session.begin(SIGN, library.mechanisms[c.CKM_SHA256_HMAC], None, key)


def test_there_is_always_one_free_slot_and_it_is_the_last(library: Library) -> None:
    assert [slot.free for slot in library.slots.refresh()] == [True]
    slot = initialise(library)
    assert [s.id for s in library.slots.known()] == [slot]
    slots = library.slots.refresh()
    assert [s.free for s in slots] == [False, True]
    assert slots[0].id == slot


def test_a_slot_keeps_its_id_when_its_token_is_made_and_in_the_next_process(
    make_library: Callable[..., Library],
) -> None:
    first = make_library()
    slot = initialise(first)
    first.close()
    second = make_library()
    assert slot_id(second.slots.get(slot).token().store.serial) == slot


def test_tokens_made_elsewhere_appear_when_slots_are_listed_again(
    make_library: Callable[..., Library],
) -> None:
    here, elsewhere = make_library(), make_library()
    slot = initialise(elsewhere, "theirs")
    here.slots.refresh()
    assert here.slots.get(slot).token_info().label == "theirs"
    assert len(here.slots.known()) == 2


def test_no_free_slot_where_the_configuration_wants_none(
    make_library: Callable[..., Library],
) -> None:
    assert make_library(slots_free=False).slots.refresh() == []


def test_a_token_that_comes_is_an_event_once_and_our_own_is_none(
    make_library: Callable[..., Library],
) -> None:
    here, elsewhere = make_library(), make_library()
    with fails(c.CKR_NO_EVENT):
        here.slots.wait(block=False)
    theirs = initialise(elsewhere)
    assert here.slots.wait(block=False) == theirs
    initialise(here)
    with fails(c.CKR_NO_EVENT):
        here.slots.wait(block=False)


def test_the_end_of_the_library_wakes_who_waits_for_an_event(library: Library) -> None:
    results: list[int] = []

    def wait() -> None:
        try:
            library.slots.wait(block=True)
        except CryptokiError as error:
            results.append(error.rv)

    thread = Thread(target=wait)
    thread.start()
    library.close()
    thread.join(10)
    assert results == [c.CKR_CRYPTOKI_NOT_INITIALIZED]


def test_a_token_that_goes_is_an_event_and_its_slot_is_empty(
    library: Library, slot: int, directory: MemoryDirectory
) -> None:
    serial = library.slots.get(slot).serial
    directory.remove(serial)
    assert library.slots.wait(block=False) == slot
    assert not library.slots.get(slot).present


def test_five_states(library: Library, slot: int) -> None:
    reader = library.open_session(slot, read_write=False)
    writer = library.open_session(slot, read_write=True)
    assert (reader.state, writer.state) == (c.CKS_RO_PUBLIC_SESSION, c.CKS_RW_PUBLIC_SESSION)
    reader.token.log_in(Role.USER, PIN)
    assert (reader.state, writer.state) == (c.CKS_RO_USER_FUNCTIONS, c.CKS_RW_USER_FUNCTIONS)
    writer.token.log_out()
    library.close_session(reader.handle)
    writer.token.log_in(Role.SO, SO_PIN)
    assert writer.state == c.CKS_RW_SO_FUNCTIONS


def test_the_so_and_read_only_sessions_exclude_each_other(library: Library, slot: int) -> None:
    reader = library.open_session(slot, read_write=False)
    with fails(c.CKR_SESSION_READ_ONLY_EXISTS):
        reader.token.log_in(Role.SO, SO_PIN)
    library.close_session(reader.handle)
    library.open_session(slot, read_write=True).token.log_in(Role.SO, SO_PIN)
    with fails(c.CKR_SESSION_READ_WRITE_SO_EXISTS):
        library.open_session(slot, read_write=False)


def test_the_last_session_takes_the_login_with_it(library: Library, slot: int) -> None:
    one = library.open_session(slot, read_write=True)
    two = library.open_session(slot, read_write=True)
    one.token.log_in(Role.USER, PIN)
    library.close_session(one.handle)
    assert two.state == c.CKS_RW_USER_FUNCTIONS
    library.close_session(two.handle)
    assert library.open_session(slot, read_write=True).state == c.CKS_RW_PUBLIC_SESSION


def test_wrong_pins_are_counted_and_lock(make_library: Callable[..., Library]) -> None:
    library = make_library(pins_user_retries=3)
    token = library.open_session(initialise(library), read_write=True).token
    with fails(c.CKR_PIN_INCORRECT):
        token.log_in(Role.USER, b"wrong")
    assert token.info().flags & c.CKF_USER_PIN_COUNT_LOW
    assert not token.info().flags & c.CKF_USER_PIN_FINAL_TRY
    with fails(c.CKR_PIN_INCORRECT):
        token.log_in(Role.USER, b"wrong")
    assert token.info().flags & c.CKF_USER_PIN_FINAL_TRY
    with fails(c.CKR_PIN_INCORRECT):
        token.log_in(Role.USER, b"wrong")
    assert token.info().flags & c.CKF_USER_PIN_LOCKED
    with fails(c.CKR_PIN_LOCKED):
        token.log_in(Role.USER, PIN)
    token.log_in(Role.SO, SO_PIN)
    token.init_pin(b"new pin")
    token.log_out()
    token.log_in(Role.USER, b"new pin")


def test_pin_lengths(make_library: Callable[..., Library]) -> None:
    library = make_library(pins_min_length=4, pins_max_length=8)
    slot = library.slots.refresh()[-1].id
    with fails(c.CKR_PIN_INCORRECT):
        library.slots.init_token(slot, "x", b"123")
    initialise(library)
    token = library.open_session(slot, read_write=True).token
    with fails(c.CKR_PIN_LEN_RANGE):
        token.set_pin(PIN, b"123456789")
    token.set_pin(PIN, b"12345678")


def test_initialising_anew_needs_the_so_pin_and_no_session(
    library: Library, session: Session
) -> None:
    slot = session.slot.id
    session.token.log_in(Role.USER, PIN)
    management.create_object(session, [*DATA, (c.CKA_TOKEN, True)])
    with fails(c.CKR_SESSION_EXISTS):
        library.slots.init_token(slot, "anew", SO_PIN)
    library.close_all_sessions(slot)
    with fails(c.CKR_PIN_INCORRECT):
        library.slots.init_token(slot, "anew", b"wrong pin")
    assert library.slots.get(slot).token_info().label == "token"
    library.slots.init_token(slot, "anew", SO_PIN)
    info = library.slots.get(slot).token_info()
    assert info.label == "anew"
    assert not info.flags & c.CKF_USER_PIN_INITIALIZED
    assert library.open_session(slot, read_write=True).token.objects().find([]) == []


def test_session_objects_go_with_their_session_and_no_others(
    library: Library, slot: int, session: Session
) -> None:
    other = library.open_session(slot, read_write=False)
    mine = management.create_object(session, DATA)
    theirs = management.create_object(other, DATA)
    assert other.token.object(mine.handle) is mine
    library.close_session(session.handle)
    with fails(c.CKR_OBJECT_HANDLE_INVALID):
        other.token.object(mine.handle)
    assert other.token.object(theirs.handle) is theirs


def test_private_objects_are_the_users_alone(library: Library, session: Session) -> None:
    token = session.token
    with fails(c.CKR_USER_NOT_LOGGED_IN):
        management.create_object(session, [*SECRET, (c.CKA_PRIVATE, True)])
    token.log_in(Role.USER, PIN)
    key = management.create_object(session, [*SECRET, (c.CKA_TOKEN, True)])
    assert key.private
    token.log_out()
    with fails(c.CKR_OBJECT_HANDLE_INVALID):
        token.object(key.handle)
    token.log_in(Role.SO, SO_PIN)
    assert token.objects().find([]) == []
    token.log_out()
    token.log_in(Role.USER, PIN)
    (handle,) = token.objects().find([])
    assert handle != key.handle


def test_no_signature_after_logout_nor_under_the_next_login(
    library: Library, session: Session
) -> None:
    session.token.log_in(Role.USER, PIN)
    key = management.create_object(session, [*SECRET, (c.CKA_TOKEN, True)])
    sign_init(library, session, key.handle)
    session.token.log_out()
    with fails(c.CKR_OPERATION_NOT_INITIALIZED):
        session.take(SIGN)
    session.token.log_in(Role.USER, PIN)
    (handle,) = session.token.objects().find([])
    sign_init(library, session, handle)
    taken = session.take(SIGN)
    session.token.log_out()
    session.token.log_in(Role.USER, PIN)
    # Another thread was at work on it when the login ended.
    session.keep(SIGN, taken)
    with fails(c.CKR_OPERATION_NOT_INITIALIZED):
        session.take(SIGN)


def test_one_operation_of_a_kind_and_an_error_ends_it(library: Library, session: Session) -> None:
    session.token.log_in(Role.USER, PIN)
    key = management.create_object(session, SECRET)
    sign_init(library, session, key.handle)
    with fails(c.CKR_OPERATION_ACTIVE):
        sign_init(library, session, key.handle)
    session.take(SIGN)
    with fails(c.CKR_OPERATION_NOT_INITIALIZED):
        session.take(SIGN)


def test_what_is_no_key_does_not_sign(library: Library, session: Session) -> None:
    data = management.create_object(session, DATA)
    with fails(c.CKR_KEY_HANDLE_INVALID):
        sign_init(library, session, data.handle)


def test_a_key_that_always_authenticates_asks_before_each_use(
    library: Library, session: Session
) -> None:
    session.token.log_in(Role.USER, PIN)
    row = library.mechanisms[c.CKM_EC_KEY_PAIR_GEN]
    curve = bytes.fromhex("06082a8648ce3d030107")
    _, key = management.generate_key_pair(
        session,
        row,
        None,
        [(c.CKA_EC_PARAMS, curve)],
        [(c.CKA_ALWAYS_AUTHENTICATE, True), (c.CKA_SIGN, True), (c.CKA_PRIVATE, True)],
    )
    with fails(c.CKR_OPERATION_NOT_INITIALIZED):
        session.log_in_for_operation(PIN)
    for _ in range(2):
        session.begin(SIGN, library.mechanisms[c.CKM_ECDSA], None, key.handle)
        with fails(c.CKR_USER_NOT_LOGGED_IN):
            session.take(SIGN)
        with fails(c.CKR_PIN_INCORRECT):
            session.log_in_for_operation(b"wrong")
        session.log_in_for_operation(PIN)
        assert len(session.take(SIGN).operation.sign(b"d" * 32)) == 64


def test_read_only_sessions_change_no_token_object(
    library: Library, slot: int, session: Session
) -> None:
    obj = management.create_object(session, [*DATA, (c.CKA_TOKEN, True)])
    reader = library.open_session(slot, read_write=False)
    with fails(c.CKR_SESSION_READ_ONLY):
        management.create_object(reader, [*DATA, (c.CKA_TOKEN, True)])
    with fails(c.CKR_SESSION_READ_ONLY):
        management.set_attributes(reader, obj.handle, [(c.CKA_LABEL, b"x")])
    with fails(c.CKR_SESSION_READ_ONLY):
        management.destroy_object(reader, obj.handle)
    management.create_object(reader, DATA)


def test_what_another_library_does_is_seen_at_the_next_call(
    make_library: Callable[..., Library],
) -> None:
    here, elsewhere = make_library(), make_library()
    slot = initialise(here)
    elsewhere.slots.refresh()
    ours = here.open_session(slot, read_write=True)
    theirs = elsewhere.open_session(slot, read_write=True)
    for one in (ours, theirs):
        one.token.log_in(Role.USER, PIN)
        assert one.token.objects().find([]) == []
    template = [*SECRET, (c.CKA_TOKEN, True), (c.CKA_LABEL, b"old")]
    made = management.create_object(theirs, template)
    (handle,) = ours.token.objects().find([(c.CKA_LABEL, b"old")])
    management.set_attributes(theirs, made.handle, [(c.CKA_LABEL, b"new")])
    assert ours.token.objects().find([(c.CKA_LABEL, b"old")]) == []
    assert ours.token.objects().find([(c.CKA_LABEL, b"new")]) == [handle]
    management.destroy_object(theirs, made.handle)
    with fails(c.CKR_OBJECT_HANDLE_INVALID):
        ours.token.object(handle)


def test_secrets_are_in_no_repr(session: Session) -> None:
    session.token.log_in(Role.USER, PIN)
    key = management.create_object(session, [*SECRET, (c.CKA_TOKEN, True)])
    shown = " ".join(map(repr, (key, key.key(), session, session.token)))
    assert "kkkk" not in shown
    assert (b"k" * 32).hex() not in shown


def test_denied_mechanisms_are_not_there(make_library: Callable[..., Library]) -> None:
    library = make_library(mechanisms_deny=frozenset({c.CKM_MD5}))
    with fails(c.CKR_MECHANISM_INVALID):
        library.mechanisms[c.CKM_MD5]
    assert library.mechanisms[c.CKM_SHA256]
