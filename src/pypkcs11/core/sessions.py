"""A session: what the application may do through it, and what it has active."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

from pypkcs11.core.operations import (
    COMPANIONS,
    DIGEST,
    MESSAGE_ENCRYPT,
    Active,
    Function,
    Use,
    check_does,
    check_key,
    digestible,
)
from pypkcs11.core.policy import policy_of
from pypkcs11.mechanisms.registry import Mechanism
from pypkcs11.standard.constants import (
    CKR_KEY_HANDLE_INVALID,
    CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_SESSION_READ_ONLY,
    CKR_USER_NOT_LOGGED_IN,
    CKS_RO_PUBLIC_SESSION,
    CKS_RO_USER_FUNCTIONS,
    CKS_RW_PUBLIC_SESSION,
    CKS_RW_SO_FUNCTIONS,
    CKS_RW_USER_FUNCTIONS,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Template
from pypkcs11.store.protocol import Role

if TYPE_CHECKING:
    from pypkcs11.core.logins import Login
    from pypkcs11.core.objects import Object
    from pypkcs11.core.slots import Slot
    from pypkcs11.core.tokens import Token

_NONE: Final[frozenset[Function]] = frozenset()

#: Handles are never used twice in a process: a stale one must never name another session.
_handles = count(1)


class Session:
    """An open session.

    An operation is taken out of ``_active`` while a call works on it and put back when it goes
    on: one that failed has ended, as the standard asks, and two threads that share a session
    against its advice cannot both work on one operation. ``owned`` are the session's objects, by
    handle.
    """

    __slots__ = ("_active", "_found", "handle", "owned", "read_write", "slot", "token")

    def __init__(self, slot: Slot, token: Token, *, read_write: bool) -> None:
        self.handle = next(_handles)
        self.slot = slot
        self.token = token
        self.read_write = read_write
        self.owned: dict[int, Object] = {}
        self._active: dict[Function, Active] = {}
        self._found: list[int] | None = None

    @property
    def state(self) -> int:
        """One of the five states of section 5.6 (CKS_)."""
        login = self.token.login
        if not self.read_write:
            return CKS_RO_PUBLIC_SESSION if login is None else CKS_RO_USER_FUNCTIONS
        if login is None:
            return CKS_RW_PUBLIC_SESSION
        return CKS_RW_SO_FUNCTIONS if login.role is Role.SO else CKS_RW_USER_FUNCTIONS

    def require_read_write(self) -> None:
        """:raises CryptokiError: CKR_SESSION_READ_ONLY."""
        if not self.read_write:
            raise CryptokiError(CKR_SESSION_READ_ONLY)

    # -- cryptographic operations --------------------------------------------------------------

    def begin_digest(self, function: Function, row: Mechanism, parameter: Any) -> None:
        """Make an operation active that needs no key.

        :raises CryptokiError: CKR_OPERATION_ACTIVE, CKR_MECHANISM_INVALID.
        """
        if self._active or self._found is not None:
            self._check_company(function)
        check_does(function, row)
        self._active[function] = Active(getattr(row, function.name)(parameter), row)

    def begin(
        self,
        function: Function,
        row: Mechanism,
        parameter: Any,
        key_handle: int,
        signature: bytes = b"",
    ) -> None:
        """Make an operation with a key active.

        :param signature: to verify, where it is given first.

        :raises CryptokiError: CKR_OPERATION_ACTIVE, CKR_MECHANISM_INVALID,
            CKR_KEY_HANDLE_INVALID, and what :func:`~pypkcs11.core.operations.check_key` raises.
        """
        if self._active or self._found is not None:
            self._check_company(function)
        token = self.token
        obj = token.known(key_handle)
        uses = None if obj is None else obj.uses
        use = uses.get((function, row.type)) if uses else None
        if obj is None or use is None:
            obj, use = self._admit(function, row, key_handle)
        login: Login | None = token.login if use.private else None
        make = use.make
        self._active[function] = Active(make(parameter), row, obj, login, use.unproven, signature)

    def _admit(self, function: Function, row: Mechanism, key_handle: int) -> tuple[Object, Use]:
        """Let a key into a function for the first time."""
        check_does(function, row)
        obj = self.token.object(key_handle, CKR_KEY_HANDLE_INVALID)
        uses = obj.uses
        if uses is None:
            uses = obj.uses = {}  # before the attributes are looked at: lost if they change
        key = check_key(function, row, obj)
        use = uses[function, row.type] = Use(self.token.prepared(function, row, key), obj)
        return obj, use

    def begin_messages(
        self, function: Function, row: Mechanism, parameter: Any, key_handle: int
    ) -> None:
        """As :meth:`begin`, for functions that go message by message.

        What encrypts gets the nonces that the key has used, in place of a parameter.
        """
        if function is MESSAGE_ENCRYPT:
            obj = self.token.object(key_handle, CKR_KEY_HANDLE_INVALID)
            parameter = self.token.nonces(obj)
        self.begin(function, row, parameter, key_handle)

    def end_messages(self, function: Function) -> None:
        """End what goes message by message, between two messages.

        :raises CryptokiError: CKR_OPERATION_NOT_INITIALIZED, CKR_OPERATION_ACTIVE.
        """
        active = self._active.get(function)
        if active is None:
            raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, f"no {function} is active")
        if active.message is not None:
            raise CryptokiError(CKR_OPERATION_ACTIVE, "a message is under way")
        self.cancel(function)

    def _check_company(self, function: Function) -> None:
        """Whether an operation may begin beside what is active.

        :raises CryptokiError: CKR_OPERATION_ACTIVE.
        """
        if self._found is not None:
            raise CryptokiError(CKR_OPERATION_ACTIVE, "a search is active")
        active = list(self._active)
        if len(active) > 1 or not COMPANIONS.get(function, _NONE).issuperset(active):
            raise CryptokiError(CKR_OPERATION_ACTIVE, f"{active} and {function} do not go together")

    def digest_key(self, key_handle: int) -> None:
        """C_DigestKey (section 5.12.4). What is wrong with the key leaves the digest as it was.

        :raises CryptokiError: CKR_OPERATION_NOT_INITIALIZED, CKR_KEY_HANDLE_INVALID,
            CKR_KEY_INDIGESTIBLE.
        """
        token = self.token
        active = self.take(DIGEST)
        try:
            obj = token.object(key_handle, CKR_KEY_HANDLE_INVALID)
            login = token.login if obj.private else active.login
            value = digestible(active.row, obj)
            policy_of(token.config).digest(obj.attributes)
        except CryptokiError:
            self.keep(DIGEST, active)
            raise
        active.started = True
        active.login = login
        active.operation.update(value)
        self.keep(DIGEST, active)

    def require_active(self, function: Function) -> None:
        """:raises CryptokiError: CKR_OPERATION_NOT_INITIALIZED."""
        if function not in self._active:
            raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, f"no {function} is active")

    def take(self, function: Function) -> Active:
        """Take the active operation out, to work on it.

        :raises CryptokiError: CKR_OPERATION_NOT_INITIALIZED when there is none, or when the login
            it began under has ended; CKR_USER_NOT_LOGGED_IN when its key wants a login of its own
            for each use (CKA_ALWAYS_AUTHENTICATE).
        """
        active = self._active.pop(function, None)
        if active is None:
            raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, f"no {function} is active")
        if active.login is not None and active.login is not self.token.login:
            raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, "its login has ended")
        if active.unproven:
            self.keep(function, active)
            raise CryptokiError(CKR_USER_NOT_LOGGED_IN, "the key asks for the PIN at each use")
        return active

    def take_both(self, first: Function, second: Function) -> tuple[Active, Active]:
        """Take two operations out, or none.

        :raises CryptokiError: as :meth:`take`.
        """
        self.require_active(second)
        taken = self.take(first)
        try:
            return taken, self.take(second)
        except CryptokiError:
            self.keep(first, taken)
            raise

    def take_all(self) -> dict[Function, Active]:
        """Take out all operations whose login has not ended."""
        taken, self._active = self._active, {}
        login = self.token.login
        return {f: active for f, active in taken.items() if active.login in (None, login)}

    def replace_all(self, active: dict[Function, Active]) -> None:
        """Make operations active, and end all that were, a search too."""
        self._active = active
        self._found = None

    def keep(self, function: Function, active: Active) -> None:
        """Put an operation back that goes on."""
        self._active.setdefault(function, active)

    def cancel(self, function: Function) -> None:
        """End the active operation, if any (a *Init with a NULL mechanism, section 5.8)."""
        self._active.pop(function, None)

    def log_in_for_operation(self, pin: bytes) -> None:
        """C_Login with CKU_CONTEXT_SPECIFIC (section 5.6.8).

        :raises CryptokiError: CKR_OPERATION_NOT_INITIALIZED when no active operation waits for
            it, and what :meth:`~pypkcs11.core.tokens.Token.prove_pin` raises.
        """
        waiting = [active for active in self._active.values() if active.unproven]
        if not waiting:
            raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, "no operation waits for a login")
        self.token.prove_pin(pin)
        for active in waiting:
            active.unproven = False

    def end_login(self) -> None:
        """End what began under a login that is over."""
        for function, active in list(self._active.items()):
            if active.login is not None:
                self._active.pop(function, None)

    # -- searching -----------------------------------------------------------------------------

    def find_init(self, template: Template) -> None:
        """Begin a search; what it will find is settled now (section 5.7.7).

        :raises CryptokiError: CKR_OPERATION_ACTIVE.
        """
        if self._found is not None or self._active:
            raise CryptokiError(CKR_OPERATION_ACTIVE, "another operation is active")
        found = self.token.find(template)
        found.reverse()
        self._found = found

    def find(self, most: int) -> list[int]:
        """The next handles of the search, ``most`` of them at the most.

        :raises CryptokiError: CKR_OPERATION_NOT_INITIALIZED.
        """
        if self._found is None:
            raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, "no search is active")
        cut = max(len(self._found) - most, 0)
        handles = self._found[cut:]
        del self._found[cut:]
        handles.reverse()
        return handles

    def find_final(self) -> None:
        """End the search.

        :raises CryptokiError: CKR_OPERATION_NOT_INITIALIZED.
        """
        if self._found is None:
            raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, "no search is active")
        self._found = None

    def cancel_find(self) -> None:
        """End the search, if any."""
        self._found = None
