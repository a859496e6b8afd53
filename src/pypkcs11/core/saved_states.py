"""What C_GetOperationState saves and C_SetOperationState restores (section 5.6.5 and 5.6.6).

A hash's inner state cannot be written down, only copied. So what an application gets is a
reference, which nobody can guess or alter, to a copy that the token keeps in memory: it holds the
key as well (CKF_RESTORE_KEY_NOT_NEEDED), can be restored any number of times and in any session of
this application that is in the same state, and is gone at C_Finalize.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Final

from pypkcs11.core.operations import (
    SIGN,
    SIGN_RECOVER,
    VERIFY,
    VERIFY_SIGNATURE,
    Active,
    Function,
    needs_own_login,
)
from pypkcs11.standard.constants import (
    CKR_KEY_CHANGED,
    CKR_KEY_NOT_NEEDED,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_SAVED_STATE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError

if TYPE_CHECKING:
    from pypkcs11.core.logins import Login
    from pypkcs11.core.sessions import Session
    from pypkcs11.core.tokens import Token

#: How many states of a token are kept; then the oldest are forgotten.
KEPT: Final = 1000

_MAGIC: Final = b"P11STATE"
_RANDOM: Final = 32

#: What has an authentication key.
_SIGNING: Final = (SIGN, VERIFY, VERIFY_SIGNATURE, SIGN_RECOVER)

#: Octets of a saved state: the magic, the token's serial, the session's state and a random number.
LENGTH: Final = len(_MAGIC) + 16 + 1 + _RANDOM


class Saved:
    """Copies of what a session had active, and the state (CKS_) that it was in."""

    __slots__ = ("active", "state")

    def __init__(self, state: int, active: dict[Function, Active]) -> None:
        self.state = state
        self.active = active

    def began_under(self, login: Login | None) -> bool:
        """Whether nothing in it began under a login other than this one."""
        return all(a.login is None or a.login is login for a in self.active.values())

    def without_login(self) -> bool:
        """Whether it outlives the login."""
        return self.began_under(None)


class SavedStates:
    """The saved states of one token."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self._saved: dict[bytes, Saved] = {}
        self._lock = Lock()

    def copy(self, session: Session) -> Saved:
        """Copy what a session has active.

        :raises CryptokiError: CKR_OPERATION_NOT_INITIALIZED, or CKR_STATE_UNSAVEABLE when some of
            it cannot be copied.
        """
        taken = session.take_all()
        try:
            if not taken:
                raise CryptokiError(CKR_OPERATION_NOT_INITIALIZED, "nothing to save is active")
            return Saved(session.state, _copies(taken))
        finally:
            for function, active in taken.items():
                session.keep(function, active)

    def keep(self, saved: Saved) -> bytes:
        """Keep a copy, and return the octets that stand for it."""
        head = _MAGIC + self._token.store.serial.encode() + bytes((saved.state,))
        reference = head + os.urandom(_RANDOM)
        with self._lock:
            self._saved[reference] = saved
            while len(self._saved) > KEPT:
                del self._saved[next(iter(self._saved))]
        return reference

    def restore(
        self, session: Session, reference: bytes, encryption_key: int, authentication_key: int
    ) -> None:
        """Make active in a session what was saved, instead of what it has active now.

        :param encryption_key: a handle, or 0: what can be saved never needs one.
        :param authentication_key: a handle, or 0: only looked at.
        :raises CryptokiError: CKR_SAVED_STATE_INVALID, CKR_KEY_NOT_NEEDED, CKR_KEY_CHANGED; the
            session is then as it was.
        """
        saved = self._saved.get(reference)
        if saved is None or saved.state != session.state or not self._is_valid(saved):
            raise CryptokiError(CKR_SAVED_STATE_INVALID, "no such state here and now")
        signing = next((saved.active[f] for f in _SIGNING if f in saved.active), None)
        if encryption_key or (authentication_key and signing is None):
            raise CryptokiError(CKR_KEY_NOT_NEEDED, "the saved operation has no such key")
        used = signing.key.handle if signing is not None and signing.key is not None else 0
        if authentication_key not in (0, used):
            raise CryptokiError(CKR_KEY_CHANGED, "the saved operation has another key")
        session.replace_all(_copies(saved.active))

    def _is_valid(self, saved: Saved) -> bool:
        """Whether the login that it began under lasts, and its keys are still there."""
        objects = self._token.objects()
        return saved.began_under(self._token.login) and all(
            active.key is None or objects.get(active.key.handle) is active.key
            for active in saved.active.values()
        )

    def end_login(self) -> None:
        """Forget what private keys were given to."""
        with self._lock:
            self._saved = {r: saved for r, saved in self._saved.items() if saved.without_login()}

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._saved.clear()


def _copies(many: dict[Function, Active]) -> dict[Function, Active]:
    return {function: _copied(active) for function, active in many.items()}


def _copied(active: Active) -> Active:
    """The same operation once more. A key that wants a PIN for each use wants it for this one."""
    key = active.key
    unproven = key is not None and needs_own_login(key)
    operation = active.operation.copy()
    copy = Active(operation, active.row, key, active.login, unproven, active.signature)
    copy.started = active.started
    return copy
