"""The objects of a token as one application reaches them, kept in step with the store."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from pypkcs11.core import builtin
from pypkcs11.core.objects import Object
from pypkcs11.core.search import ObjectTable
from pypkcs11.standard.constants import CKR_OBJECT_HANDLE_INVALID
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Template
from pypkcs11.store.protocol import Changes, Record, TokenStore

if TYPE_CHECKING:
    from pypkcs11.core.config import Config


class Contents:
    """The objects of a token, those of its sessions among them.

    Who may reach what is for the token to say, which is a class derived from this one.
    """

    def __init__(self, store: TokenStore, config: Config) -> None:
        self.store = store
        self.config = config
        self._objects = ObjectTable()
        self._built_in: ObjectTable | None = None
        self._loaded = False
        #: Whether objects are to be had as they are: loaded, and no PIN has to be changed first.
        self._ready = False
        #: Whether what the store has told of is in ``_objects``, which is ready.
        self._settled = False
        self._refresh_lock = Lock()
        #: Held from reading an object's attributes until the store has what they become: of two
        #: changes at once, the later must not undo the earlier.
        self.changing = Lock()

    # -- what the token says -------------------------------------------------------------------

    @property
    def user_logged_in(self) -> bool:
        """Whether private objects are there."""
        raise NotImplementedError

    def require_access(self) -> None:
        """:raises CryptokiError: CKR_PIN_EXPIRED while objects are out of reach."""
        raise NotImplementedError

    def _became_another(self) -> None:
        """Another process has initialised the token."""
        raise NotImplementedError

    # -- objects -------------------------------------------------------------------------------

    def objects(self) -> ObjectTable:
        """The objects that can be reached now, after what other processes have changed."""
        # In this order: whoever takes changes from the store is not settled until they are applied.
        if not (self.store.unchanged() and self._settled):
            self._refresh()
        return self._objects

    def _refresh(self) -> None:
        with self._refresh_lock:
            self._settled = False
            if not self._ready:
                self.require_access()
                self._load_public()
                self._ready = True
            changes = self.store.poll()
            if changes is not None:
                self._apply(changes)
            self._settled = True

    def object(self, handle: int, otherwise: int = CKR_OBJECT_HANDLE_INVALID) -> Object:
        """The object of a handle.

        :param otherwise: the code to raise when there is none (CKR_KEY_HANDLE_INVALID for keys).
        """
        obj = self.known(handle)
        if obj is None and self._built_in is not None:
            obj = self._built_in.get(handle)
        if obj is None:
            raise CryptokiError(otherwise, "no such object")
        return obj

    def known(self, handle: int) -> Object | None:
        """The object of a handle, of those that were made by somebody."""
        if not (self.store.unchanged() and self._settled):  # as objects(), without a call more
            self._refresh()
        return self._objects.by_handle.get(handle)

    def find(self, template: Template) -> list[int]:
        """Handles of the objects that match a template (section 5.7.7)."""
        found = self.objects().find(template)
        # What has been created and what is built in have no attribute's value in common.
        if not found and builtin.looked_for(template):
            found = builtin.find(self._parts(), template)
        return found

    def _parts(self) -> ObjectTable:
        """The objects that are part of the token, made when they are first looked for."""
        with self._refresh_lock:
            if self._built_in is None:
                made = ObjectTable()
                made.add(builtin.make(self.store, self.config))
                self._built_in = made
            return self._built_in

    def add(self, objects: Sequence[Object]) -> None:
        """Enter new objects that are already in the store, or belong to a session."""
        self._objects.add(objects)
        for obj in objects:
            if obj.session is not None:
                obj.session.owned[obj.handle] = obj

    def remove(self, objects: Sequence[Object]) -> None:
        """Take out objects; those of the token are no longer in the store."""
        self._objects.remove(objects)
        for obj in objects:
            if obj.session is not None:
                obj.session.owned.pop(obj.handle, None)

    def replace(self, obj: Object, record: Record) -> None:
        """Give an object its new open attributes, which the store now has if it is the token's."""
        self._objects.replace(obj, record)

    # -- keeping up with the store -------------------------------------------------------------

    def _load_public(self) -> None:
        if not self._loaded:
            self._load(private=False)
            self._loaded = True

    def _load(self, *, private: bool) -> None:
        with _without_collecting():
            self._enter(self.store.load(private=private))

    def _enter(self, records: Iterable[Record]) -> None:
        self._objects.add(Object.stored(record, self.store) for record in records)

    def _apply(self, changes: Changes) -> None:
        if changes.everything:
            # Private session objects as well: who was logged in to the old token is to the new
            # one a stranger.
            self.remove([obj for obj in self._objects if obj.record_id or obj.private])
            self._became_another()
        gone = (self._objects.of_record(record_id) for record_id in changes.removed)
        self._objects.remove([obj for obj in gone if obj is not None])
        for record in changes.changed:
            self._apply_record(record)

    def _apply_record(self, record: Record) -> None:
        if record.private and not self.user_logged_in:
            return
        known = self._objects.of_record(record.id)
        if known is None:
            self._enter([record])
        else:
            self._objects.replace(known, record)

    def _forget_objects(self) -> None:
        self._objects = ObjectTable()
        self._loaded = self._ready = self._settled = False


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Keep the garbage collector away from many new objects that are all there to stay.

    It would go through those that are there again and again, for a fourth of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
