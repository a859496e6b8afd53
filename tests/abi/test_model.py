"""A model of sessions, logins, objects and operations, held against the module over random runs.

The model says which CK_RV every call must return and what it must give. How many runs there are,
and how long they are, can be raised: ``PYPKCS11_MODEL_RUNS=2000 PYPKCS11_MODEL_STEPS=300``.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from abi.client import NULL, CallError, Client, ffi, mechanism, octets
from abi.conftest import SO_PIN
from abi.helping import CHEAP, init_pin, set_pin
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from hypothesis.stateful import run_state_machine_as_test as run

from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_ENCRYPT,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_PRIVATE,
    CKA_SIGN,
    CKA_TOKEN,
    CKA_VALUE,
    CKF_ENCRYPT,
    CKF_FIND_OBJECTS,
    CKF_SIGN,
    CKK_AES,
    CKM_AES_CBC,
    CKM_AES_CMAC,
    CKM_SHA256,
    CKO_DATA,
    CKO_SECRET_KEY,
    CKR_KEY_HANDLE_INVALID,
    CKR_OBJECT_HANDLE_INVALID,
    CKR_OK,
    CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_PIN_INCORRECT,
    CKR_SAVED_STATE_INVALID,
    CKR_SESSION_COUNT,
    CKR_SESSION_EXISTS,
    CKR_SESSION_HANDLE_INVALID,
    CKR_SESSION_READ_ONLY,
    CKR_SESSION_READ_ONLY_EXISTS,
    CKR_SESSION_READ_WRITE_SO_EXISTS,
    CKR_STATE_UNSAVEABLE,
    CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
    CKR_USER_NOT_LOGGED_IN,
    CKS_RO_PUBLIC_SESSION,
    CKS_RO_USER_FUNCTIONS,
    CKS_RW_PUBLIC_SESSION,
    CKS_RW_SO_FUNCTIONS,
    CKS_RW_USER_FUNCTIONS,
    CKU_SO,
    CKU_USER,
)

RUNS = int(os.environ.get("PYPKCS11_MODEL_RUNS", "60"))
STEPS = int(os.environ.get("PYPKCS11_MODEL_STEPS", "100"))

MOST, MOST_READ_WRITE = 5, 3
CONFIGURATION = (
    CHEAP
    + "[pins]\nuser_retries = 0\nso_retries = 0\n"
    + f"[sessions]\nmax = {MOST}\nmax_read_write = {MOST_READ_WRITE}\n"
)
KEY, IV = bytes(range(32)), bytes(range(16))
PAIRS = ({"Digest", "Encrypt"}, {"Sign", "Encrypt"})
PINS = (b"1234", b"user-pin", "ключ".encode())
BLOCK = b"sixteen octets.."

#: A state by (read/write, who is logged in).
STATES = {
    (True, None): CKS_RW_PUBLIC_SESSION,
    (False, None): CKS_RO_PUBLIC_SESSION,
    (True, CKU_USER): CKS_RW_USER_FUNCTIONS,
    (False, CKU_USER): CKS_RO_USER_FUNCTIONS,
    (True, CKU_SO): CKS_RW_SO_FUNCTIONS,
}

the_module: list[Client] = []


@dataclass
class Operation:
    """An operation as the model has it; ``login`` is the number of the login it depends on."""

    data: bytes = b""
    started: bool = False
    login: int | None = None
    key: Thing | None = None

    def copy(self) -> Operation:
        return Operation(self.data, self.started, self.login, self.key)


@dataclass
class Session:
    handle: int
    read_write: bool
    active: dict[str, Operation] = field(default_factory=dict)
    searching: bool = False


@dataclass(eq=False)
class Thing:
    """An object: a note or a key. ``handle`` is 0 while it is out of reach."""

    label: str
    is_key: bool
    token: bool
    private: bool
    owner: Session | None
    handle: int = 0


@dataclass
class State:
    """What C_GetOperationState gave."""

    reference: bytes
    state: int
    active: dict[str, Operation]


def code(call: Callable[..., Any], *arguments: Any, **more: Any) -> int:
    """The CK_RV of a call."""
    try:
        call(*arguments, **more)
    except CallError as error:
        return int(error.rv)
    return CKR_OK


class Model(RuleBasedStateMachine):
    """One token, used by one application."""

    @initialize(data=st.data(), who=st.sampled_from([CKU_USER, None]))
    def begin(self, data: st.DataObject, who: int | None) -> None:
        self.p11 = the_module[0]
        self.directory = tempfile.TemporaryDirectory()
        os.environ["PYPKCS11_TOKEN_DIR"] = self.directory.name
        self.p11.do("C_Initialize", NULL)
        (self.slot,) = self.p11.slots()
        self.user_pin = PINS[0]
        self.sessions: list[Session] = []
        self.closed: list[int] = [0, 0x7FFFFFF0]
        self.things: list[Thing] = []
        self.states: list[State] = []
        self.login: int | None = None
        self.logins = 0
        self.made = 0
        self._prepare()
        for read_write in (True, False, True):
            self.open(read_write)
        if who is not None:
            self.log_in(data, who, True)
        for private in (False, who is not None):
            self.create(data, False, private, True)

    def _prepare(self) -> None:
        self.p11.init_token(self.slot, SO_PIN, "model")
        session = self.p11.open(self.slot)
        self.p11.login(session, CKU_SO, SO_PIN)
        init_pin(self.p11, session, self.user_pin)
        self.p11.do("C_CloseSession", session)

    def teardown(self) -> None:
        if hasattr(self, "p11"):
            assert self.p11.C_Finalize(NULL) == CKR_OK
            self.directory.cleanup()

    # -- drawing -----------------------------------------------------------------------------

    def session(self, data: st.DataObject) -> Session | None:
        """One of the sessions, most of the time; None is one that is closed, or never was."""
        return data.draw(st.sampled_from([*self.sessions * 6, None]), "session")

    def handle(self, session: Session | None, data: st.DataObject) -> int:
        if session is not None:
            return session.handle
        return data.draw(st.sampled_from(self.closed), "closed session")

    def at_work(self, data: st.DataObject) -> tuple[Session | None, str]:
        """A session and a kind of operation, most of the time one that is active there."""
        busy = [session for session in self.sessions if session.active]
        session = data.draw(st.sampled_from([*busy * 8, *self.sessions, None]), "session")
        active = list(session.active) * 4 if session else []
        kinds = [*active, "Digest", "Sign", "Encrypt"]
        return session, data.draw(st.sampled_from(kinds), "kind")

    def thing(self, data: st.DataObject, keys: bool = False) -> Thing:
        """One of the objects, most of the time; with ``keys`` mostly a key."""
        nothing = Thing("nothing", True, False, False, None)
        wanted = [thing for thing in self.things if thing.is_key and thing.handle and keys]
        return data.draw(st.sampled_from([*wanted * 8, *self.things * 2, nothing]), "object")

    @property
    def busy(self) -> bool:
        """Whether any operation is active."""
        return any(session.active for session in self.sessions)

    def visible(self, thing: Thing) -> bool:
        return thing.handle != 0

    # -- sessions ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.sessions) < MOST or self.made % 7 == 0)
    @rule(read_write=st.booleans())
    def open(self, read_write: bool) -> None:
        expected = CKR_OK
        if not read_write and self.login == CKU_SO:
            expected = CKR_SESSION_READ_WRITE_SO_EXISTS
        elif len(self.sessions) >= MOST or (
            read_write and sum(s.read_write for s in self.sessions) >= MOST_READ_WRITE
        ):
            expected = CKR_SESSION_COUNT
        try:
            handle = self.p11.open(self.slot, read_write)
        except CallError as error:
            assert error.rv == expected
        else:
            assert expected == CKR_OK
            assert handle not in [s.handle for s in self.sessions] + self.closed
            self.sessions.append(Session(handle, read_write))

    @precondition(lambda self: len(self.sessions) > 2)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        session = self.session(data)
        rv = self.p11.C_CloseSession(self.handle(session, data))
        assert rv == (CKR_SESSION_HANDLE_INVALID if session is None else CKR_OK)
        if session is not None:
            self._close(session)

    @precondition(lambda self: len(self.sessions) == MOST)
    @rule()
    def close_all(self) -> None:
        self.p11.do("C_CloseAllSessions", self.slot)
        for session in list(self.sessions):
            self._close(session)

    def _close(self, session: Session) -> None:
        self.sessions.remove(session)
        self.closed.append(session.handle)
        self.things = [thing for thing in self.things if thing.owner is not session]
        if not self.sessions and self.login is not None:
            self._end_login()

    # -- logins ------------------------------------------------------------------------------

    @rule(data=st.data(), user=st.sampled_from([CKU_USER, CKU_USER, CKU_SO]), right=st.booleans())
    def log_in(self, data: st.DataObject, user: int, right: bool) -> None:
        session = self.session(data)
        pin = (SO_PIN if user == CKU_SO else self.user_pin) if right else b"wrong"
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        elif self.login is not None:
            same = self.login == user
            expected = CKR_USER_ALREADY_LOGGED_IN if same else CKR_USER_ANOTHER_ALREADY_LOGGED_IN
        elif user == CKU_SO and not all(s.read_write for s in self.sessions):
            expected = CKR_SESSION_READ_ONLY_EXISTS
        else:
            expected = CKR_OK if right else CKR_PIN_INCORRECT
        assert code(self.p11.login, self.handle(session, data), user, pin) == expected
        if expected == CKR_OK:
            self.login, self.logins = user, self.logins + 1
            if user == CKU_USER:
                self._meet_again()

    def _meet_again(self) -> None:
        """Private objects of the token are there again, under new handles."""
        missing = [thing for thing in self.things if not thing.handle]
        session = min(self.sessions, key=lambda s: s.searching or bool(s.active))
        if missing and (session.searching or session.active):
            self.p11.do("C_SessionCancel", session.handle, (1 << 32) - 1)
            session.active.clear()
            session.searching = False
        for thing in missing:
            (thing.handle,) = self.p11.find(session.handle, {CKA_LABEL: thing.label})

    @precondition(lambda self: self.login is not None)
    @rule(data=st.data())
    def log_out(self, data: st.DataObject) -> None:
        session = self.session(data)
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        else:
            expected = CKR_USER_NOT_LOGGED_IN if self.login is None else CKR_OK
        assert self.p11.C_Logout(self.handle(session, data)) == expected
        if expected == CKR_OK:
            self._end_login()

    def _end_login(self) -> None:
        self.login = None
        self.things = [t for t in self.things if t.token or not t.private]
        for thing in self.things:
            if thing.private:
                thing.handle = 0
        for session in self.sessions:
            session.active = {k: op for k, op in session.active.items() if op.login is None}

    @rule(data=st.data(), right=st.booleans(), new=st.sampled_from(PINS))
    def change_pin(self, data: st.DataObject, right: bool, new: bytes) -> None:
        session = self.session(data)
        if self.login == CKU_SO:
            right = False  # the SO's stays what it is
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        elif not session.read_write:
            expected = CKR_SESSION_READ_ONLY
        else:
            expected = CKR_OK if right else CKR_PIN_INCORRECT
        old = self.user_pin if right else b"wrong"
        assert code(set_pin, self.p11, self.handle(session, data), old, new) == expected
        if expected == CKR_OK:
            self.user_pin = new

    @precondition(lambda self: self.login != CKU_USER)
    @rule(data=st.data(), new=st.sampled_from(PINS))
    def give_pin(self, data: st.DataObject, new: bytes) -> None:
        session = self.session(data)
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        else:
            expected = CKR_OK if self.login == CKU_SO else CKR_USER_NOT_LOGGED_IN
        assert code(init_pin, self.p11, self.handle(session, data), new) == expected
        if expected == CKR_OK:
            self.user_pin = new

    @precondition(lambda self: not self.sessions or self.made % 7 == 0)
    @rule(right=st.booleans())
    def initialise_anew(self, right: bool) -> None:
        expected = CKR_OK if right else CKR_PIN_INCORRECT
        if self.sessions:
            expected = CKR_SESSION_EXISTS
        pin = SO_PIN if right else b"wrong"
        assert code(self.p11.init_token, self.slot, pin, "model") == expected
        if expected == CKR_OK:
            self.things.clear()
            self.states.clear()
            self._prepare()

    # -- objects -----------------------------------------------------------------------------

    @rule(data=st.data(), token=st.booleans(), private=st.booleans(), is_key=st.booleans())
    def create(self, data: st.DataObject, token: bool, private: bool, is_key: bool) -> None:
        session = self.session(data)
        token = token and not is_key
        self.made += 1
        thing = Thing(f"thing {self.made}", is_key, token, private, None if token else session)
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        elif token and not session.read_write:
            expected = CKR_SESSION_READ_ONLY
        else:
            allowed = not private or self.login == CKU_USER
            expected = CKR_OK if allowed else CKR_USER_NOT_LOGGED_IN
        attributes: dict[int, Any] = {CKA_CLASS: CKO_DATA, CKA_VALUE: thing.label}
        if is_key:
            attributes = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE: KEY}
            attributes |= {CKA_SIGN: True, CKA_ENCRYPT: True, CKA_KEY_TYPE: CKK_AES}
        attributes |= {CKA_LABEL: thing.label, CKA_TOKEN: token, CKA_PRIVATE: private}
        try:
            thing.handle = self.p11.create(self.handle(session, data), attributes)
        except CallError as error:
            assert error.rv == expected
        else:
            assert expected == CKR_OK
            self.things.append(thing)

    @precondition(lambda self: len(self.things) > 3)
    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        session, thing = self.session(data), self.thing(data)
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        elif not self.visible(thing):
            expected = CKR_OBJECT_HANDLE_INVALID
        elif thing.token and not session.read_write:
            expected = CKR_SESSION_READ_ONLY
        else:
            expected = CKR_OK
        assert self.p11.C_DestroyObject(self.handle(session, data), thing.handle) == expected
        if expected == CKR_OK:
            self.things.remove(thing)

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        session, thing = self.session(data), self.thing(data)
        handle = self.handle(session, data)
        if session is not None and self.visible(thing):
            assert self.p11.get(handle, thing.handle, CKA_LABEL) == thing.label.encode()
            return
        invalid = CKR_SESSION_HANDLE_INVALID if session is None else CKR_OBJECT_HANDLE_INVALID
        assert code(self.p11.get, handle, thing.handle, CKA_LABEL) == invalid

    @rule(data=st.data(), leave_open=st.sampled_from([False, False, True]))
    def find(self, data: st.DataObject, leave_open: bool) -> None:
        session = self.session(data)
        handle = self.handle(session, data)
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        else:
            busy = session.active or session.searching
            expected = CKR_OPERATION_ACTIVE if busy else CKR_OK
        if leave_open or expected != CKR_OK:
            assert self.p11.C_FindObjectsInit(handle, NULL, 0) == expected
            if session is not None and expected == CKR_OK:
                session.searching = True
            return
        assert set(self.p11.find(handle, {}, step=3)) == {
            thing.handle for thing in self.things if self.visible(thing)
        }

    @precondition(lambda self: any(session.searching for session in self.sessions))
    @rule(data=st.data())
    def end_search(self, data: st.DataObject) -> None:
        session = self.session(data)
        rv = self.p11.C_FindObjectsFinal(self.handle(session, data))
        if session is None:
            assert rv == CKR_SESSION_HANDLE_INVALID
        else:
            assert rv == (CKR_OK if session.searching else CKR_OPERATION_NOT_INITIALIZED)
            session.searching = False

    # -- operations --------------------------------------------------------------------------

    @rule(data=st.data(), kind=st.sampled_from(["Digest", "Sign", "Encrypt", "Sign"]))
    def start(self, data: st.DataObject, kind: str) -> None:
        session, thing = self.session(data), self.thing(data, keys=True)
        handle = self.handle(session, data)
        with_key = kind != "Digest"
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        elif (
            session.searching
            or (
                session.active
                and not any({*session.active, kind} == pair for pair in PAIRS if kind in pair)
            )
            or kind in session.active
        ):
            expected = CKR_OPERATION_ACTIVE
        elif with_key and not (self.visible(thing) and thing.is_key):
            expected = CKR_KEY_HANDLE_INVALID
        else:
            expected = CKR_OK
        mech = {"Digest": CKM_SHA256, "Sign": CKM_AES_CMAC, "Encrypt": CKM_AES_CBC}[kind]
        given = mechanism(mech, IV) if kind == "Encrypt" else mechanism(mech)
        arguments = (given, thing.handle) if with_key else (given,)
        assert getattr(self.p11, f"C_{kind}Init")(handle, *arguments) == expected
        if session is not None and expected == CKR_OK:
            login = self.logins if with_key and thing.private else None
            session.active[kind] = Operation(login=login, key=thing if with_key else None)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def part(self, data: st.DataObject) -> None:
        session, kind = self.at_work(data)
        out = (octets(bytes(16)), ffi.new("CK_ULONG *", 16)) if kind == "Encrypt" else ()
        call = getattr(self.p11, f"C_{kind}Update")
        rv = call(self.handle(session, data), octets(BLOCK), 16, *out)
        operation = self._operation(rv, session, kind)
        if operation:
            operation.started = True
            if out:
                chained = self._encrypted(operation.data + BLOCK)
                assert bytes(ffi.buffer(out[0])) == chained[-16:]
            operation.data += BLOCK

    @precondition(lambda self: any(len(session.active) == 2 for session in self.sessions))
    @rule(data=st.data(), kind=st.sampled_from(["Digest", "Sign"]))
    def part_of_two(self, data: st.DataObject, kind: str) -> None:
        session, _ = self.at_work(data)
        name = f"C_{kind}EncryptUpdate"
        out, length = octets(bytes(16)), ffi.new("CK_ULONG *", 16)
        rv = getattr(self.p11, name)(self.handle(session, data), octets(BLOCK), 16, out, length)
        if session is None:
            assert rv == CKR_SESSION_HANDLE_INVALID
        elif not {kind, "Encrypt"} <= session.active.keys():
            assert rv == CKR_OPERATION_NOT_INITIALIZED
        else:
            assert rv == CKR_OK
            for one in (kind, "Encrypt"):
                session.active[one].started = True
                session.active[one].data += BLOCK
            assert bytes(ffi.buffer(out)) == self._encrypted(session.active["Encrypt"].data)[-16:]

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), room=st.booleans())
    def end(self, data: st.DataObject, room: bool) -> None:
        session, kind = self.at_work(data)
        out, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
        call = getattr(self.p11, f"C_{kind}Final")
        rv = call(self.handle(session, data), out if room else NULL, length)
        operation = self._operation(rv, session, kind)
        if session is not None and operation and room:
            answer = self._answer(kind, operation.data)
            expected = b"" if kind == "Encrypt" else answer
            assert bytes(ffi.buffer(out))[: length[0]] == expected
            del session.active[kind]

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def one_part(self, data: st.DataObject) -> None:
        session, kind = self.at_work(data)
        out, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
        call = getattr(self.p11, f"C_{kind}")
        rv = call(self.handle(session, data), octets(BLOCK), 16, out, length)
        started = session is not None and kind in session.active and session.active[kind].started
        if started:
            assert rv == CKR_OPERATION_ACTIVE
        elif self._operation(rv, session, kind):
            assert bytes(ffi.buffer(out))[: length[0]] == self._answer(kind, BLOCK)
        if session is not None:
            session.active.pop(kind, None)

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), how=st.sampled_from(["NULL", "C_SessionCancel"]))
    def cancel(self, data: st.DataObject, how: str) -> None:
        session = self.session(data)
        handle = self.handle(session, data)
        flags = CKF_SIGN | CKF_ENCRYPT | CKF_FIND_OBJECTS
        if how == "NULL":
            rv = self.p11.C_DigestInit(handle, NULL)
        else:
            rv = self.p11.C_SessionCancel(handle, flags)
        assert rv == (CKR_SESSION_HANDLE_INVALID if session is None else CKR_OK)
        if session is not None and how == "NULL":
            session.active.pop("Digest", None)
        elif session is not None:
            session.searching = False
            session.active = {k: op for k, op in session.active.items() if k == "Digest"}

    def _operation(self, rv: int, session: Session | None, kind: str) -> Operation | None:
        """The operation that a call worked on, once its CK_RV has been found right."""
        operation = session.active.get(kind) if session is not None else None
        if session is None:
            assert rv == CKR_SESSION_HANDLE_INVALID
        elif operation is None:
            assert rv == CKR_OPERATION_NOT_INITIALIZED
        else:
            assert rv == CKR_OK
        return operation

    def _answer(self, kind: str, data: bytes) -> bytes:
        if kind == "Digest":
            return hashlib.sha256(data).digest()
        return self._encrypted(data) if kind == "Encrypt" else self._mac(data)

    def _encrypted(self, data: bytes) -> bytes:
        encryptor = Cipher(algorithms.AES(KEY), modes.CBC(IV)).encryptor()
        return encryptor.update(data) + encryptor.finalize()

    def _mac(self, data: bytes) -> bytes:
        mac = CMAC(algorithms.AES(KEY))
        mac.update(data)
        return mac.finalize()

    # -- saved states ------------------------------------------------------------------------

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        session, _ = self.at_work(data)
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        elif not session.active:
            expected = CKR_OPERATION_NOT_INITIALIZED
        else:
            expected = CKR_STATE_UNSAVEABLE if "Encrypt" in session.active else CKR_OK
        try:
            reference = self.p11.output("C_GetOperationState", self.handle(session, data))
        except CallError as error:
            assert error.rv == expected
            return
        assert expected == CKR_OK
        assert session is not None
        active = {kind: operation.copy() for kind, operation in session.active.items()}
        self.states.append(State(reference, self._state(session), active))

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        session = self.session(data)
        saved = data.draw(st.sampled_from([*self.states * 4, State(b"x" * 57, 0, {})]), "state")
        if session is None:
            expected = CKR_SESSION_HANDLE_INVALID
        else:
            valid = saved.state == self._state(session) and saved.active
            valid = valid and all(
                operation.login in (None, self.logins)
                and (operation.key is None or operation.key in self.things)
                for operation in saved.active.values()
            )
            expected = CKR_OK if valid else CKR_SAVED_STATE_INVALID
        given = (octets(saved.reference), len(saved.reference), 0, 0)
        assert self.p11.C_SetOperationState(self.handle(session, data), *given) == expected
        if session is not None and expected == CKR_OK:
            session.searching = False
            session.active = {kind: op.copy() for kind, op in saved.active.items()}

    # -- what always holds -------------------------------------------------------------------

    def _state(self, session: Session) -> int:
        return STATES[session.read_write, self.login]

    @invariant()
    def every_session_is_in_its_state(self) -> None:
        for session in getattr(self, "sessions", ()):
            assert self.p11.session_info(session.handle).state == self._state(session)

    @invariant()
    def the_counters_are_true(self) -> None:
        if hasattr(self, "sessions"):
            info = self.p11.token_info(self.slot)
            read_write = sum(session.read_write for session in self.sessions)
            assert (info.ulSessionCount, info.ulRwSessionCount) == (len(self.sessions), read_write)


@pytest.mark.timeout(0)
def test_the_module_does_what_the_model_does(
    loaded: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "config.toml"
    configuration.write_text(CONFIGURATION)
    monkeypatch.setenv("PYPKCS11_CONF", str(configuration))
    monkeypatch.setenv("PYPKCS11_TOKEN_DIR", str(tmp_path))
    the_module[:] = [loaded]
    run(
        Model,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
