"""What the core asks of a store, whichever it is.

A :class:`Directory` holds tokens; a :class:`TokenStore` is one of them. All methods may be called
from any thread. Failures raise :class:`~pypkcs11.standard.errors.CryptokiError`: for the medium
CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY (full), CKR_TOKEN_WRITE_PROTECTED (read-only) or
CKR_TOKEN_NOT_RECOGNIZED (corrupt, or of a newer version); each method names the others.
Every change is one transaction, on disk when the method returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from pypkcs11.standard.values import Attributes, Value
from pypkcs11.store.encoding import decode, pick


class Role(IntEnum):
    """Whose PIN: the numbers are the standard's CKU_SO and CKU_USER."""

    SO = 0
    USER = 1


class Record:
    """One object as the store keeps it.

    ``id`` is the store's own number for it, never used twice, 0 before it is stored. ``secret``
    holds what must never be readable without a PIN (the core decides which attributes); it is
    stored sealed and not read back with the record, but by :meth:`TokenStore.secret`. Of a
    ``private`` object all of ``attributes`` is sealed too.

    ``packed`` is the attributes as :mod:`~pypkcs11.store.encoding` writes them, well-formed: what a
    store has just read or written, and what takes least memory. A store may leave it empty.
    """

    __slots__ = ("_attributes", "id", "packed", "private", "secret")

    def __init__(
        self,
        id: int,
        private: bool,
        attributes: dict[int, Value] | None = None,
        secret: dict[int, Value] | None = None,
        *,
        packed: bytes = b"",
    ) -> None:
        self.id = id
        self.private = private
        self._attributes = attributes
        self.secret = secret or {}
        self.packed = packed

    @property
    def attributes(self) -> dict[int, Value]:
        """The open attributes, unpacked when they are first asked for."""
        if self._attributes is None:
            self._attributes = decode(self.packed)
        return self._attributes

    def peek(self, attribute: int) -> Value | None:
        """One open attribute, without unpacking the others; None when it is not there."""
        attributes = self._attributes
        return pick(self.packed, attribute) if attributes is None else attributes.get(attribute)

    def __repr__(self) -> str:
        return f"<Record {self.id}>"


class Description(NamedTuple):
    """What a token says of itself. ``failures`` counts wrong PINs in a row, by role.

    ``label`` is UTF-8 without padding. ``user_pin_to_be_changed`` is set by :meth:`set_pin` when
    the SO chose the user's PIN and the core asked for it. ``user_pin_empty`` says that it was set
    to no octets at all, which keeps nobody out. ``write_protected`` says that the
    medium takes no changes (failures are then counted by this process only).
    """

    label: str
    user_pin_set: bool
    failures: dict[Role, int]
    user_pin_to_be_changed: bool = False
    user_pin_empty: bool = False
    write_protected: bool = False


class Changes(NamedTuple):
    """What others have done to a token since it was last asked.

    ``everything`` says that the token was initialised anew or replaced: what was known is void,
    the store is locked, and ``changed`` is all public objects there are now. Otherwise
    ``changed`` may repeat what is known already, and ``removed`` may name ids never heard of.
    """

    changed: Sequence[Record]
    removed: Sequence[int]
    everything: bool = False


class TokenStore(Protocol):
    """One token. It is locked (no key at hand) until :meth:`unlock`."""

    serial: str

    def describe(self) -> Description:
        """Return the token's label, PIN states and failure counters as they now are."""

    def initialise(self, label: str, so_pin: bytes) -> None:
        """Begin anew: all objects and the user PIN are gone, the SO PIN and label are set.

        The serial stays. The core has checked the old SO PIN by :meth:`unlock`. Leaves it locked.
        """

    def unlock(self, role: Role, pin: bytes, limit: int) -> None:
        """Check a PIN and take the token key in hand.

        The failure counter is raised before the PIN is tried and cleared when it was right, in
        transactions, so that no race and no crash gives a free try. ``limit`` is how many
        failures lock the PIN; 0 is no limit.

        :raises CryptokiError: CKR_PIN_INCORRECT, CKR_PIN_LOCKED (not even tried),
            CKR_USER_PIN_NOT_INITIALIZED.
        """

    def verify_pin(self, role: Role, pin: bytes, limit: int) -> None:
        """As :meth:`unlock`, but what is at hand stays as it was (locked or unlocked)."""

    def set_pin(self, role: Role, pin: bytes, *, to_be_changed: bool = False) -> None:
        """Seal the token key under a new PIN for ``role`` and clear its counter. Unlocked only.

        An empty PIN is for tokens that anyone may unlock who has them.
        """

    def change_pin(self, role: Role, old: bytes, new: bytes, limit: int) -> None:
        """Prove the old PIN as :meth:`unlock` does, set the new; stays locked or unlocked."""

    def lock(self) -> None:
        """Forget the token key and everything unsealed with it."""

    def unchanged(self) -> bool:
        """Whether :meth:`poll` has nothing to say. Called before nearly every operation: about a
        microsecond, and no lock."""

    def poll(self) -> Changes | None:
        """What other processes have changed since the last poll or load; None for nothing.

        Private objects are included only while unlocked.
        """

    def load(self, *, private: bool) -> list[Record]:
        """All public objects, or all private ones (unlocked only)."""

    def secret(self, record_id: int) -> dict[int, Value]:
        """The sealed attributes of one object.

        :raises CryptokiError: CKR_USER_NOT_LOGGED_IN while locked, CKR_OBJECT_HANDLE_INVALID when
            the object is gone, CKR_DEVICE_ERROR when it fails authentication.
        """

    def insert(self, records: Sequence[Record]) -> list[int]:
        """Store new objects, all or none, and return their ids in order.

        :raises CryptokiError: CKR_USER_NOT_LOGGED_IN when something must be sealed while locked.
        """

    def update(
        self, record: Record, *, secret: bool = False, known: Attributes | None = None
    ) -> bool:
        """Replace an object's attributes, and with ``secret`` its sealed part as well.

        :param known: the open attributes that the new ones were made of. When others have changed
            them since, nothing is written: their change would be undone unseen.
        :return: whether it was written.
        :raises CryptokiError: CKR_OBJECT_HANDLE_INVALID when the object is gone.
        """

    def delete(self, record_id: int) -> None:
        """Destroy one object.

        :raises CryptokiError: CKR_OBJECT_HANDLE_INVALID when the object is gone.
        """

    def count(self) -> int:
        """A number greater than any that this method has ever returned of the token.

        In every process, and after the token is initialised anew, too.
        """

    def close(self) -> None:
        """Let go of files and memory; in a forked child, without touching the parent's."""


class Directory(Protocol):
    """Where tokens live."""

    def serials(self) -> list[str]:
        """Serials (16 upper-case hex digits) of all tokens there now, in order of creation."""

    def next_serial(self) -> str:
        """The serial that the next token will have: the same in every process until used."""

    def open(self, serial: str) -> TokenStore:
        """Open a token that is there.

        :raises CryptokiError: CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED, CKR_DEVICE_ERROR.
        """

    def create(self, serial: str, label: str, so_pin: bytes) -> TokenStore:
        """Make a new token, whole or not at all.

        :raises CryptokiError: CKR_PIN_INCORRECT when another process made it meanwhile.
        """

    def remove(self, serial: str) -> None:
        """Destroy a token and its file."""

    def release(self) -> None:
        """Have no token's file open until it is next used: the process is about to fork."""

    def abandon(self) -> None:
        """Leave everything as it is for good: it belongs to the process that this one came from."""
