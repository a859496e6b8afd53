"""Slots: one for each token, and one in which the next token can be made."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from threading import Event, Lock
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from pypkcs11.core.config import Config
from pypkcs11.core.pins import check_new_token_pin
from pypkcs11.core.tokens import FLAGS, Token, TokenInfo
from pypkcs11.standard.constants import (
    CKF_LOGIN_REQUIRED,
    CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_NO_EVENT,
    CKR_SLOT_ID_INVALID,
    CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Directory

#: Seconds between two looks at the tokens' directory while an application waits for an event.
_INTERVAL: Final = 0.2


def slot_id(serial: str) -> int:
    """The slot of a token: the low 31 bits of its serial's last eight hex digits.

    31, because SunPKCS11 takes slot ids for signed. It never changes, in no process.
    """
    return int(serial[-8:], 16) & 0x7FFFFFFF


def serials_of(labels: Iterable[str]) -> dict[str, str]:
    """Serials for the slots that are configured by label, by serial.

    Each is made of the label and nothing else, so the slot's id is the same in every process, on
    every machine, and after its token was destroyed and made anew. Should two ids collide, the
    later slot in the file gives way.
    """
    serials: dict[str, str] = {}
    taken = {0}
    for label in labels:
        name = b"pypkcs11 slot " + label.encode()
        serial = _digest(name)
        while slot_id(serial) in taken:
            name += b"\0"
            serial = _digest(name)
        taken.add(slot_id(serial))
        serials[serial] = label
    return serials


def _digest(name: bytes) -> str:
    context = Hash(SHA256())
    context.update(name)
    return context.finalize()[:8].hex().upper()


class Slot:
    """A slot. Its token is opened when it is first asked for.

    ``label`` is that of a slot that is configured, None for others. ``free`` says that the token
    in it is not initialised yet, ``present`` that it is there: its file may have been taken away.
    """

    def __init__(
        self,
        serial: str,
        directory: Directory,
        config: Config,
        *,
        free: bool,
        label: str | None = None,
    ) -> None:
        self.id = slot_id(serial)
        self.serial = serial
        self.label = label
        self.free = free
        self.present = True
        self._directory = directory
        self._config = config
        self._token: Token | None = None
        self._former: list[Token] = []
        self._lock = Lock()

    def token(self) -> Token:
        """The token in the slot.

        :raises CryptokiError: CKR_TOKEN_NOT_PRESENT when its file has been taken away,
            CKR_TOKEN_NOT_RECOGNIZED when it is not initialised (or its file is damaged), and what
            the store raises.
        """
        token = self._token
        if token is not None and self.present:
            return token
        with self._lock:
            self.require_present()
            if self._token is None:
                self._token = self._open()
                self.free = False
            return self._token

    def require_present(self) -> None:
        """:raises CryptokiError: CKR_TOKEN_NOT_PRESENT."""
        if not self.present:
            raise CryptokiError(CKR_TOKEN_NOT_PRESENT, "the token's file is gone")

    def notice(self, *, there: bool) -> None:
        """Take in whether the token's file is there.

        Where it is no longer, the slot is empty, and a configured one is free again. Sessions that
        are open keep the token that they had, and are told by it.
        """
        with self._lock:
            if there or self.free:
                self.free = self.free and not there
                self.present = True
            elif self.label is None:
                self.present = False
            else:
                self.free = True
                if self._token is not None:
                    self._former.append(self._token)
                    self._token = None

    def _open(self) -> Token:
        try:
            return Token(self._directory.open(self.serial), self._config)
        except CryptokiError as error:
            if self.free and error.rv == CKR_TOKEN_NOT_PRESENT:
                raise CryptokiError(CKR_TOKEN_NOT_RECOGNIZED, "not initialised") from None
            raise

    def token_info(self) -> TokenInfo:
        """What C_GetTokenInfo says, of a token that is not initialised as well."""
        try:
            return self.token().info()
        except CryptokiError as error:
            if not self.free or error.rv != CKR_TOKEN_NOT_RECOGNIZED:
                raise
        flags = FLAGS | (CKF_LOGIN_REQUIRED if self._config.tokens_login else 0)
        return TokenInfo(label="", serial=self.serial, flags=flags)

    def init_token(self, label: str, so_pin: bytes) -> None:
        """Make the slot's token, or make it anew (section 5.5.7).

        :raises CryptokiError: CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_SESSION_EXISTS, and what the
            store raises.
        """
        try:
            token = self.token()
        except CryptokiError as error:
            if not self.free or error.rv != CKR_TOKEN_NOT_RECOGNIZED:
                raise
            check_new_token_pin(self._config, so_pin)
            with self._lock:
                store = self._directory.create(self.serial, label, so_pin)
                self._token = Token(store, self._config)
                self._token.prepare(so_pin)
                self.free = False
        else:
            token.initialise(label, so_pin)

    def close(self) -> None:
        """Let go of the token, at C_Finalize."""
        with self._lock:
            if self._token is not None:
                self._former.append(self._token)
                self._token = None
            while self._former:
                self._former.pop().close()


class SlotTable:
    """All slots by id: those that are configured, in order, then those of other tokens, in order of
    their creation, then the free one.
    """

    def __init__(self, directory: Directory, config: Config) -> None:
        self._directory = directory
        self._config = config
        self._slots: dict[int, Slot] = {}
        self._configured = serials_of(config.slot_label)
        for serial, label in self._configured.items():
            slot = Slot(serial, directory, config, free=True, label=label)
            self._slots[slot.id] = slot
        self._lock = Lock()
        self._ended = Event()
        self._serials: frozenset[str] = frozenset()
        self.refresh()
        self._seen = self._serials

    def refresh(self) -> list[Slot]:
        """Take in what has come or gone since, and return all slots (section 5.5.1).

        No slot ever goes while the library is initialised, and no id changes.
        """
        with self._lock:
            serials = self._directory.serials()
            self._serials = frozenset(serials)
            for serial in serials:
                self._offer(serial, free=False)
            for slot in self._slots.values():
                slot.notice(there=slot.serial in self._serials)
            if self._config.slots_free and not any(map(_is_spare, self._slots.values())):
                self._offer(self._directory.next_serial(), free=True)
            return self.known()

    def known(self) -> list[Slot]:
        """All slots that the last :meth:`refresh` saw."""
        return sorted(self._slots.values(), key=_is_spare)

    def _offer(self, serial: str, *, free: bool) -> None:
        slot = slot_id(serial)
        if slot not in self._slots:
            self._slots[slot] = Slot(serial, self._directory, self._config, free=free)

    def get(self, slot: int) -> Slot:
        """The slot of an id.

        :raises CryptokiError: CKR_SLOT_ID_INVALID.
        """
        found = self._slots.get(slot)
        if found is None:
            raise CryptokiError(CKR_SLOT_ID_INVALID, "no such slot")
        return found

    def init_token(self, slot: int, label: str, so_pin: bytes) -> None:
        """Make the token of a slot, or make it anew. It is no event for who does it.

        :raises CryptokiError: CKR_SLOT_ID_INVALID, and as :meth:`Slot.init_token`.
        """
        place = self.get(slot)
        place.init_token(label, so_pin)
        with self._lock:
            self._seen |= {place.serial}

    def wait(self, *, block: bool, resting: AbstractContextManager[object] | None = None) -> int:
        """The slot in which a token has come or gone since the last event (section 5.5.4).

        :param block: whether to wait for one.
        :param resting: what to be in while nothing is done but waiting.
        :raises CryptokiError: CKR_NO_EVENT, or CKR_CRYPTOKI_NOT_INITIALIZED when the library is
            ended meanwhile.
        """
        while True:
            self.refresh()
            with self._lock:
                for serial in sorted(self._serials ^ self._seen):
                    self._seen ^= {serial}
                    return slot_id(serial)
            if not block:
                raise CryptokiError(CKR_NO_EVENT)
            with resting or nullcontext():
                ended = self._ended.wait(_INTERVAL)
            if ended:
                raise CryptokiError(CKR_CRYPTOKI_NOT_INITIALIZED, "ended while waiting")

    def close(self) -> None:
        """Let go of all tokens and wake whoever waits, at C_Finalize."""
        self._ended.set()
        for slot in self._slots.values():
            slot.close()


def _is_spare(slot: Slot) -> bool:
    """Whether it is the slot for one more token, which is not configured."""
    return slot.free and slot.label is None
