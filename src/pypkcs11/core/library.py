"""The library between C_Initialize and C_Finalize: slots, sessions, and what is configured."""

from __future__ import annotations

from functools import cached_property
from threading import Lock

from pypkcs11.core.config import Config
from pypkcs11.core.sessions import Session
from pypkcs11.core.slots import SlotTable
from pypkcs11.mechanisms.registry import Mechanism
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard.constants import (
    CKR_MECHANISM_INVALID,
    CKR_SESSION_HANDLE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Directory


class Library:
    """Everything of one initialisation. Nothing of it outlives :meth:`close`."""

    def __init__(self, config: Config, directory: Directory) -> None:
        self.config = config
        self.directory = directory
        self.slots = SlotTable(directory, config)
        self.sessions: dict[int, Session] = {}
        self._lock = Lock()

    @cached_property
    def mechanisms(self) -> dict[int, Mechanism]:
        """The mechanisms that the configuration lets be used, by CKM_."""
        return {
            number: self._permitted(row)
            for number, row in mechanisms().items()
            if self.config.offers(number, legacy=row.legacy)
        }

    def _permitted(self, row: Mechanism) -> Mechanism:
        """A row with the sizes of keys that the configuration lets be generated."""
        smallest, largest = row.sizes
        if self.config.policy_weak_keys or smallest >= row.strong:
            return row
        return row._replace(sizes=(row.strong, largest))

    def session(self, handle: int) -> Session:
        """The session of a handle.

        :raises CryptokiError: CKR_SESSION_HANDLE_INVALID.
        """
        session = self.sessions.get(handle)
        if session is None:
            raise CryptokiError(CKR_SESSION_HANDLE_INVALID, "no such session")
        return session

    def mechanism(self, number: int) -> Mechanism:
        """The row of a mechanism that is there and allowed.

        :raises CryptokiError: CKR_MECHANISM_INVALID.
        """
        row = self.mechanisms.get(number)
        if row is None:
            raise CryptokiError(CKR_MECHANISM_INVALID, f"no mechanism {number:#x}")
        return row

    def open_session(self, slot: int, *, read_write: bool) -> Session:
        """Open a session with the token in a slot (section 5.6.1).

        :raises CryptokiError: CKR_SLOT_ID_INVALID, CKR_TOKEN_NOT_PRESENT,
            CKR_TOKEN_NOT_RECOGNIZED, and what :meth:`~pypkcs11.core.tokens.Token.admit` raises.
        """
        place = self.slots.get(slot)
        token = place.token()
        with self._lock:
            token.admit(read_write=read_write)
            session = Session(place, token, read_write=read_write)
            token.enter(session)
            self.sessions[session.handle] = session
        return session

    def close_session(self, handle: int) -> None:
        """Close one session (section 5.6.2).

        :raises CryptokiError: CKR_SESSION_HANDLE_INVALID.
        """
        session = self.sessions.pop(handle, None)
        if session is None:
            raise CryptokiError(CKR_SESSION_HANDLE_INVALID, "no such session")
        session.token.leave(session)

    def close_all_sessions(self, slot: int) -> None:
        """Close every session with a slot's token (section 5.6.3).

        :raises CryptokiError: CKR_SLOT_ID_INVALID.
        """
        place = self.slots.get(slot)
        for session in list(self.sessions.values()):
            if session.slot is place and self.sessions.pop(session.handle, None) is not None:
                session.token.leave(session)

    def close(self) -> None:
        """End every session and login and let go of the tokens (section 5.4.2)."""
        self.sessions.clear()
        self.slots.close()
