"""One object as an application sees it: a handle, attributes, and a key parsed once."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import ReferenceType, ref

from pypkcs11.core.attributes import ALIASES, rules
from pypkcs11.core.templates import is_hidden, kind_of, secret_types
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import load_key
from pypkcs11.standard.constants import (
    CKA_PRIVATE,
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_USER_NOT_LOGGED_IN,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Value
from pypkcs11.store.encoding import decode, pick

if TYPE_CHECKING:
    from pypkcs11.core.operations import Function, Use
    from pypkcs11.core.sessions import Session
    from pypkcs11.mechanisms.message_nonces import Nonces
    from pypkcs11.store.protocol import Record, TokenStore

#: Handles are never used twice in a process: a stale one must never name another object.
_handles = count(1)


#: How many token objects have their attributes unpacked at a time. A dict of them takes five times
#: what they take packed, and of 100,000 objects most are never looked at.
_MOST_UNPACKED: Final = 1024
_unpacked: deque[ReferenceType[Object]] = deque()


class Unavailable(NamedTuple):
    """In place of a value: why C_GetAttributeValue cannot give it (section 5.7.5)."""

    rv: int


SENSITIVE: Final = Unavailable(CKR_ATTRIBUTE_SENSITIVE)
TYPE_INVALID: Final = Unavailable(CKR_ATTRIBUTE_TYPE_INVALID)


class Object:
    """An object of a token or of a session.

    ``attributes`` are the open ones; what a sensitive or unextractable key hides is kept apart
    and fetched when first needed: for a token object from the store, for a session object from
    memory. ``record_id`` is the store's number, 0 for a session object; ``session`` is the
    session that owns a session object. The attributes of a token object are kept packed, as the
    store has them, and are for reading only.
    """

    __slots__ = (
        "__weakref__",
        "_attributes",
        "_key",
        "_packed",
        "_secret",
        "handle",
        "nonces",
        "record_id",
        "session",
        "store",
        "uses",
    )

    #: Whether it is part of the token: there is no way then to change, copy or destroy it.
    built_in = False

    def __init__(
        self,
        attributes: dict[int, Value] | None,
        *,
        packed: bytes = b"",
        store: TokenStore | None = None,
        record_id: int = 0,
        secret: Mapping[int, Value] | None = None,
        session: Session | None = None,
    ) -> None:
        self.handle = next(_handles)
        self._attributes = attributes
        self._packed = packed
        self.store = store
        self.record_id = record_id
        self.session = session
        self._secret = secret
        self._key: Key | None = None
        #: What it has been let into, by function and CKM_.
        self.uses: dict[tuple[Function, int], Use] | None = None
        #: What its token hands out as the nonces of a session object (see Token.nonces).
        self.nonces: Nonces | None = None

    def __repr__(self) -> str:
        return f"<Object {self.handle}>"

    @classmethod
    def stored(cls, record: Record, store: TokenStore) -> Object:
        """The object of a record that is in the store."""
        packed = record.packed
        attributes = None if packed else record.attributes
        return cls(attributes, packed=packed, store=store, record_id=record.id)

    @property
    def attributes(self) -> dict[int, Value]:
        """The open attributes."""
        attributes = self._attributes
        if attributes is None:
            attributes = self._attributes = decode(self._packed)
            _unpacked.append(ref(self))
            if len(_unpacked) > _MOST_UNPACKED:
                oldest = _unpacked.popleft()()
                if oldest is not None and oldest._packed:
                    oldest._attributes = None
        return attributes

    def peek(self, attribute: int) -> Value | None:
        """One open attribute, without unpacking the others; None when it is not there."""
        attributes = self._attributes
        return pick(self._packed, attribute) if attributes is None else attributes.get(attribute)

    @property
    def private(self) -> bool:
        """Whether only the logged-in user may see it."""
        return bool(self.peek(CKA_PRIVATE))

    def read(self, attribute: int) -> Value | Unavailable:
        """The value an application may read, or why it may not (section 5.7.5)."""
        value = self.peek(attribute)
        if value is not None:
            return value
        if attribute in ALIASES:
            return self.read(ALIASES[attribute])
        if attribute not in secret_types(self.attributes):
            return TYPE_INVALID
        if attribute not in rules(*kind_of(self.attributes)):
            return TYPE_INVALID  # a secret of other types of keys
        if is_hidden(self.attributes, attribute):
            return SENSITIVE
        try:
            return self.secret().get(attribute, TYPE_INVALID)
        except CryptokiError as error:
            if error.rv != CKR_USER_NOT_LOGGED_IN:
                raise
            return SENSITIVE  # sealed as long as nobody is logged in

    def secret(self) -> Mapping[int, Value]:
        """The attributes that are kept sealed.

        :raises CryptokiError: CKR_USER_NOT_LOGGED_IN when the store is locked,
            CKR_OBJECT_HANDLE_INVALID when another process has destroyed the object.
        """
        if self._secret is not None:
            return self._secret
        if self.store is None or not secret_types(self.attributes):
            return {}  # of what has no secrets, whoever is logged in or not
        # Not kept: what is seldom needed again should not stay in memory in the clear.
        return self.store.secret(self.record_id)

    def everything(self) -> Attributes:
        """All attributes, the sealed ones too: for the token's own use."""
        return {**self.attributes, **self.secret()}

    def key(self) -> Key:
        """The parsed key, kept until :meth:`forget` or :meth:`replace`."""
        key = self._key
        if key is None:
            key = self._key = load_key(self.everything())
        return key

    def forget(self) -> None:
        """Drop the parsed key, and what follows from it."""
        self._key = self.uses = None

    def replace(self, attributes: dict[int, Value]) -> None:
        """Take new open attributes, as C_SetAttributeValue left them."""
        self._attributes, self._packed = attributes, b""
        self.forget()

    def take(self, record: Record) -> None:
        """Take the open attributes that the store now has."""
        if record.packed:
            self._packed, self._attributes = record.packed, None
            self.forget()
        else:
            self.replace(record.attributes)
