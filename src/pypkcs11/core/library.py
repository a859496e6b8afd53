"""The library between C_Initialize and C_Finalize: slots, sessions, and what is configured."""

from __future__ import annotations

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


class Sessions(dict[int, Session]):
    """The open sessions by handle. A subscript costs a call less than a function would."""

    def __missing__(self, handle: int) -> Session:
        """:raises CryptokiError: CKR_SESSION_HANDLE_INVALID."""
        raise CryptokiError(CKR_SESSION_HANDLE_INVALID, "no such session")


class Offered(dict[int, Mechanism]):
    """The mechanisms that the configuration lets be used, by CKM_, as far as they were asked for.

    The table of all is made when the first one is asked for.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config

    def __missing__(self, number: int) -> Mechanism:
        """:raises CryptokiError: CKR_MECHANISM_INVALID."""
        row = mechanisms().get(number)
        if row is None or not self._is_offered(row):
            raise CryptokiError(CKR_MECHANISM_INVALID, f"no mechanism {number:#x}")
        self[number] = row = self._permitted(row)
        return row

    def all(self) -> list[int]:
        """The CKM_ of every one."""
        return [number for number, row in mechanisms().items() if self._is_offered(row)]

    def _is_offered(self, row: Mechanism) -> bool:
        return self._config.offers(row.type, legacy=row.legacy)

    def _permitted(self, row: Mechanism) -> Mechanism:
        """A row with the sizes of keys that the configuration lets be generated."""
        smallest, largest = row.sizes
        if self._config.policy_weak_keys or smallest >= row.strong:
            return row
        return row._replace(sizes=(row.strong, largest))


class Library:
    """Everything of one initialisation. Nothing of it outlives :meth:`close`."""

    def __init__(self, config: Config, directory: Directory) -> None:
        self.config = config
        self.directory = directory
        self.slots = SlotTable(directory, config)
        self.sessions = Sessions()
        self.mechanisms = Offered(config)
        self._lock = Lock()

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
