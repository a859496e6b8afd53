"""A token: its PINs and login, its objects, and the sessions open on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pypkcs11.core import log
from pypkcs11.core.config import Config
from pypkcs11.core.contents import Contents
from pypkcs11.core.logins import Login
from pypkcs11.core.operations import Function
from pypkcs11.core.pins import check_length, is_locked, pin_flags, retry_limit
from pypkcs11.core.saved_states import SavedStates
from pypkcs11.mechanisms.registry import Key, Mechanism, PerKey
from pypkcs11.standard.constants import (
    CKF_CLOCK_ON_TOKEN,
    CKF_DUAL_CRYPTO_OPERATIONS,
    CKF_LOGIN_REQUIRED,
    CKF_RESTORE_KEY_NOT_NEEDED,
    CKF_RNG,
    CKF_TOKEN_INITIALIZED,
    CKF_USER_PIN_INITIALIZED,
    CKF_WRITE_PROTECTED,
    CKR_PIN_EXPIRED,
    CKR_PIN_INCORRECT,
    CKR_PIN_INVALID,
    CKR_PIN_LOCKED,
    CKR_SESSION_COUNT,
    CKR_SESSION_EXISTS,
    CKR_SESSION_READ_ONLY_EXISTS,
    CKR_SESSION_READ_WRITE_SO_EXISTS,
    CKR_TOKEN_WRITE_PROTECTED,
    CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
    CKR_USER_NOT_LOGGED_IN,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Description, Role, TokenStore

if TYPE_CHECKING:
    from pypkcs11.core.objects import Object
    from pypkcs11.core.sessions import Session
    from pypkcs11.mechanisms.message_nonces import Nonces


#: What every token says of itself, initialised or not.
FLAGS: Final = (
    CKF_RNG | CKF_CLOCK_ON_TOKEN | CKF_DUAL_CRYPTO_OPERATIONS | CKF_RESTORE_KEY_NOT_NEEDED
)


#: By names of their own, because reading an enumeration's costs as much as a call.
_SO: Final = Role.SO
_USER: Final = Role.USER


class TokenInfo(NamedTuple):
    """What C_GetTokenInfo says of a token beyond what is the same for all."""

    label: str
    serial: str
    flags: int
    session_count: int = 0
    rw_session_count: int = 0


class Token(Contents):
    """An initialised token.

    All sessions of the application share its login (section 5.6). Three locks, taken in this
    order: ``_lock`` for logins and PINs, ``_refresh_lock`` for what other processes have changed,
    and the object table's own.
    """

    def __init__(self, store: TokenStore, config: Config) -> None:
        super().__init__(store, config)
        self.login: Login | None = None
        self.sessions: dict[int, Session] = {}
        self.saved_states = SavedStates(self)
        self._nonces: dict[int, Nonces] = {}
        self._lock = RLock()
        self._describe()

    def _describe(self) -> Description:
        """What the store says now. What every C_OpenSession asks for is kept."""
        description = self.store.describe()
        self._write_protected = description.write_protected
        self._needs_no_login = description.user_pin_empty
        return description

    # -- what it is ----------------------------------------------------------------------------

    def info(self) -> TokenInfo:
        """Label, flags and counters as they now are, whoever changed them."""
        description = self._describe()
        flags = FLAGS | CKF_TOKEN_INITIALIZED
        if not description.user_pin_empty:
            flags |= CKF_LOGIN_REQUIRED
            if description.user_pin_set:
                flags |= CKF_USER_PIN_INITIALIZED
        if description.write_protected:
            flags |= CKF_WRITE_PROTECTED
        sessions = list(self.sessions.values())
        return TokenInfo(
            label=description.label,
            serial=self.store.serial,
            flags=flags | pin_flags(description, self.config),
            session_count=len(sessions),
            rw_session_count=sum(session.read_write for session in sessions),
        )

    def initialise(self, label: str, so_pin: bytes) -> None:
        """Begin anew (section 5.5.7): all that can be destroyed is.

        :raises CryptokiError: CKR_SESSION_EXISTS, CKR_PIN_INCORRECT, CKR_PIN_LOCKED.
        """
        with self._lock:
            if self.sessions:
                raise CryptokiError(CKR_SESSION_EXISTS, "a session with the token is open")
            self.store.verify_pin(Role.SO, so_pin, retry_limit(self.config, Role.SO))
            self.store.initialise(label, so_pin)
            self._forget_everything()
            self.prepare(so_pin)

    def prepare(self, so_pin: bytes) -> None:
        """Let everyone in without a login, where a token that has just been made is to do that.

        :param so_pin: the token's.
        """
        if not self.config.tokens_login:
            self.store.unlock(Role.SO, so_pin, 0)
            try:
                self.store.set_pin(Role.USER, b"")
            finally:
                self.store.lock()
        self._describe()

    # -- PINs and login ------------------------------------------------------------------------

    @property
    def user_logged_in(self) -> bool:
        """Whether the normal user is: only then are private objects there."""
        return self.login is not None and self.login.role is _USER

    @property
    def so_logged_in(self) -> bool:
        """Whether the security officer is."""
        return self.login is not None and self.login.role is _SO

    def log_in(self, role: Role, pin: bytes) -> None:
        """Log all sessions in (section 5.6.8).

        :raises CryptokiError: CKR_USER_ALREADY_LOGGED_IN, CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
            CKR_SESSION_READ_ONLY_EXISTS (an SO cannot share a token with read-only sessions),
            CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_USER_PIN_NOT_INITIALIZED.
        """
        with self._lock:
            login = self.login
            if login is not None and not login.implicit:
                raise CryptokiError(
                    CKR_USER_ALREADY_LOGGED_IN
                    if login.role is role
                    else CKR_USER_ANOTHER_ALREADY_LOGGED_IN
                )
            if role is Role.SO and not all(s.read_write for s in self.sessions.values()):
                raise CryptokiError(CKR_SESSION_READ_ONLY_EXISTS)
            if login is not None and role is Role.USER and self._describe().user_pin_empty:
                if pin:
                    raise CryptokiError(CKR_PIN_INCORRECT, "the token needs no login")
                login.implicit = False
                return
            self.store.unlock(role, pin, retry_limit(self.config, role))
            if login is not None:
                self._end_operations()
            self._begin_login(Login(role))

    def _begin_login(self, login: Login) -> None:
        """Be logged in, once the store is unlocked."""
        with self._refresh_lock:
            self._load_public()
            if login.role is Role.USER:
                login.expired = self._describe().user_pin_to_be_changed
                if login.expired:
                    self.store.lock()
                    self._ready = self._settled = False
                else:
                    self._load(private=True)
            self.login = login

    def _log_in_implicitly(self) -> None:
        """Log the user in, if the token still needs no login."""
        with self._lock:
            if self.login is not None or not self._describe().user_pin_empty:
                return
            try:
                self.store.unlock(Role.USER, b"", 0)
            except CryptokiError as error:
                if error.rv != CKR_PIN_INCORRECT:
                    raise
                log.warning("token %s: it has no user PIN, or is damaged", self.store.serial)
                self._needs_no_login = False
            else:
                self._begin_login(Login(Role.USER, implicit=True))

    def prove_pin(self, pin: bytes) -> None:
        """Check the PIN of whoever is logged in once more, for CKU_CONTEXT_SPECIFIC.

        A PIN that is locked, or gets locked by this, ends the login (section 4.9).

        :raises CryptokiError: CKR_USER_NOT_LOGGED_IN, CKR_PIN_INCORRECT, CKR_PIN_LOCKED.
        """
        with self._lock:
            login = self.login
            if login is None:
                raise CryptokiError(CKR_USER_NOT_LOGGED_IN)
            try:
                self.store.verify_pin(login.role, pin, retry_limit(self.config, login.role))
            except CryptokiError as error:
                if not is_locked(self.store.describe(), self.config, login.role):
                    raise
                self._end_login()
                raise CryptokiError(CKR_PIN_LOCKED, error.reason) from None

    def log_out(self) -> None:
        """Log all sessions out (section 5.6.10).

        Private objects and their handles are gone, and so is every operation that a private key
        was given to.

        :raises CryptokiError: CKR_USER_NOT_LOGGED_IN.
        """
        with self._lock:
            if self.login is None:
                raise CryptokiError(CKR_USER_NOT_LOGGED_IN)
            self._end_login()

    def init_pin(self, pin: bytes) -> None:
        """The SO gives the user a PIN (section 5.5.8).

        :raises CryptokiError: CKR_USER_NOT_LOGGED_IN unless the SO is, CKR_PIN_LEN_RANGE.
        """
        with self._lock:
            if not self.so_logged_in:
                raise CryptokiError(CKR_USER_NOT_LOGGED_IN, "only the SO may set the user's PIN")
            check_length(self.config, pin)
            to_be_changed = self.config.pins_change_after_init
            self.store.set_pin(Role.USER, pin, to_be_changed=to_be_changed)
            self._needs_no_login = False

    def set_pin(self, old: bytes, new: bytes) -> None:
        """Change the PIN of whoever is logged in, or the user's (section 5.5.9).

        :raises CryptokiError: CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_PIN_LEN_RANGE,
            CKR_PIN_INVALID when a PIN that must be changed would stay what it is.
        """
        with self._lock:
            login = self.login
            role = login.role if login is not None else Role.USER
            check_length(self.config, new)
            if old == new and role is Role.USER and self._describe().user_pin_to_be_changed:
                raise CryptokiError(CKR_PIN_INVALID, "the PIN must be changed to another")
            self.store.change_pin(role, old, new, retry_limit(self.config, role))
            if role is Role.USER:
                self._needs_no_login = False
            if login is not None:
                login.implicit = False
                if login.expired:
                    self.store.unlock(role, new, retry_limit(self.config, role))
                    self._begin_login(Login(role))

    def require_access(self) -> None:
        """:raises CryptokiError: CKR_PIN_EXPIRED while the user must change the PIN first."""
        if self.login is not None and self.login.expired:
            raise CryptokiError(CKR_PIN_EXPIRED, "the PIN must be changed first (C_SetPIN)")

    def _end_login(self) -> None:
        self.store.lock()
        self._end_operations()

    def _end_operations(self) -> None:
        """Take away what was the user's: private objects, and what private keys were given to."""
        self.login = None
        self.saved_states.end_login()
        for session in list(self.sessions.values()):
            session.end_login()
        self.remove([obj for obj in self._objects if obj.private])

    # -- sessions ------------------------------------------------------------------------------

    def admit(self, *, read_write: bool) -> None:
        """Whether one more session may be opened (section 5.6.1).

        :raises CryptokiError: CKR_TOKEN_WRITE_PROTECTED, CKR_SESSION_READ_WRITE_SO_EXISTS,
            CKR_SESSION_COUNT.
        """
        if read_write:
            if self._write_protected:
                raise CryptokiError(CKR_TOKEN_WRITE_PROTECTED)
            most = self.config.sessions_max_read_write
            if most and sum(s.read_write for s in list(self.sessions.values())) >= most:
                raise CryptokiError(CKR_SESSION_COUNT, f"{most} read/write sessions are open")
        elif self.so_logged_in:
            raise CryptokiError(CKR_SESSION_READ_WRITE_SO_EXISTS)
        most = self.config.sessions_max
        if most and len(self.sessions) >= most:
            raise CryptokiError(CKR_SESSION_COUNT, f"{most} sessions are open")

    def enter(self, session: Session) -> None:
        """A session has been opened."""
        if self._needs_no_login and not self.sessions:
            self._log_in_implicitly()
        self.sessions[session.handle] = session

    def leave(self, session: Session) -> None:
        """A session has been closed: its objects go, and with the last one the login."""
        with self._lock:
            self.sessions.pop(session.handle, None)
            if session.owned:
                self._objects.remove(list(session.owned.values()))
            if not self.sessions and self.login is not None:
                self._end_login()

    # -- what is done with its keys ------------------------------------------------------------

    def prepared(self, function: Function, row: Mechanism, key: Key) -> Callable[..., Any]:
        """What makes, of a parameter, the operation that does ``function`` with a key.

        The one place where a token that keeps its keys elsewhere would differ.
        """
        make = getattr(row, function.name)
        return make.of(key) if isinstance(make, PerKey) else partial(make, key)

    def operation(
        self, function: Function, row: Mechanism, parameter: Any, key: Key, *more: Any
    ) -> Any:
        """Make the operation that does ``function`` with a key, once.

        Wrapping, unwrapping and derivation take more than that, and are done at once.
        """
        return self.prepared(function, row, key)(parameter, *more)

    def nonces(self, obj: Object) -> Nonces:
        """The nonces that a key has been used with by this application, whoever logged in or out.

        Those of a token object are remembered by the number that its store never uses again.
        """
        with self._lock:
            found = self._nonces.get(obj.record_id) if obj.record_id else obj.nonces
            if found is None:
                from pypkcs11.mechanisms.message_nonces import Nonces

                found = Nonces()
                if obj.record_id:
                    self._nonces[obj.record_id] = found
                else:
                    obj.nonces = found
            return found

    # -- its end -------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything, at C_Finalize."""
        with self._lock:
            self.sessions.clear()
            self._forget_everything()
            self.store.close()

    def _became_another(self) -> None:
        """Another process has initialised the token: the login was to the old one."""
        self.login = None
        self.saved_states.end_login()
        self._describe()

    def _forget_everything(self) -> None:
        self.login = None
        self.saved_states.clear()
        self._nonces.clear()
        self._forget_objects()
