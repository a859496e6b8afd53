"""The objects that an application can reach in one token, by handle and by attribute."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from threading import Lock
from typing import Final, TypeAlias

from pypkcs11.core.objects import Object, Unavailable
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_UNIQUE_ID,
    CKR_OBJECT_HANDLE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Template, Value
from pypkcs11.store.protocol import Record

INDEXED: Final = frozenset({CKA_UNIQUE_ID, CKA_ID, CKA_LABEL, CKA_KEY_TYPE, CKA_CLASS})

#: The objects that have a value: one, or several in the order of their handles.
Entry: TypeAlias = Object | list[Object]

_handle: Final = attrgetter("handle")


class ObjectTable:
    """Objects by handle, with an index for each attribute that applications search by.

    An index is made when it is first searched by: most applications search by one or two
    attributes, and 100,000 values cost memory. What an index holds of a value is the one object
    that has it, or a list where several do: nearly every ID is unique, and a list for each would
    cost more than the key. Readers take no lock: a writer enters an object in the indexes before,
    and takes it out after, its handle is known.
    """

    def __init__(self) -> None:
        self.by_handle: dict[int, Object] = {}
        self._records: dict[int, Object] = {}
        self._indexes: dict[int, dict[Value, Entry]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.by_handle)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self.by_handle.values()))

    def get(self, handle: int) -> Object | None:
        """The object of a handle."""
        return self.by_handle.get(handle)

    def of_record(self, record_id: int) -> Object | None:
        """The token object that the store knows by this number."""
        return self._records.get(record_id)

    def add(self, objects: Iterable[Object]) -> None:
        """Enter objects."""
        with self._lock:
            for obj in objects:
                for attribute, index in self._indexes.items():
                    _enter(index, obj, obj.peek(attribute))
                self.by_handle[obj.handle] = obj
                if obj.record_id:
                    self._records[obj.record_id] = obj

    def remove(self, objects: Collection[Object]) -> None:
        """Take objects out; their handles are void from now on."""
        with self._lock:
            if self._indexes and len(objects) > len(self.by_handle) // 8:
                self._indexes = {}  # making them again is less work
            for obj in objects:
                if self.by_handle.pop(obj.handle, None) is None:
                    continue
                if obj.record_id:
                    self._records.pop(obj.record_id, None)
                for attribute, index in self._indexes.items():
                    _withdraw(index, obj, obj.peek(attribute))
                obj.forget()

    def replace(self, obj: Object, record: Record) -> None:
        """Give an object new attributes and find it by them from now on."""
        with self._lock:
            changed = [
                (index, old, new)
                for attribute, index in self._indexes.items()
                if (old := obj.peek(attribute)) != (new := record.peek(attribute))
            ]
            for index, _, new in changed:
                _enter(index, obj, new)
            obj.take(record)
            for index, old, _ in changed:
                _withdraw(index, obj, old)

    def find(self, template: Template) -> list[int]:
        """Handles of all objects that have every attribute of ``template`` (section 5.7.7)."""
        candidates = self._candidates(template)
        if not template:
            return [obj.handle for obj in candidates]
        return [
            obj.handle
            for obj in candidates
            if obj.handle in self.by_handle and matches(obj, template)
        ]

    def _candidates(self, template: Template) -> list[Object]:
        """The fewest objects among which all matches are."""
        best: list[Object] | None = None
        for attribute, value in template:
            if attribute not in INDEXED:
                continue
            index = self._indexes.get(attribute)
            if index is None:
                index = self._make(attribute)
            entry = index.get(value)
            if entry is None:
                return []
            if isinstance(entry, Object):
                return [entry]
            if best is None or len(entry) < len(best):
                best = entry
        return list(self.by_handle.values()) if best is None else best.copy()

    def _make(self, attribute: int) -> dict[Value, Entry]:
        """Make the index of an attribute, unless another thread just did."""
        with self._lock:
            index = self._indexes.get(attribute)
            if index is None:
                index = {}
                for obj in self.by_handle.values():
                    _enter(index, obj, obj.peek(attribute))
                self._indexes[attribute] = index
            return index


def _enter(index: dict[Value, Entry], obj: Object, value: Value | None) -> None:
    if value is None:
        return
    entry = index.setdefault(value, obj)
    if entry is obj:
        return
    if isinstance(entry, Object):
        entry = index[value] = [entry]
    if entry[-1].handle < obj.handle:
        entry.append(obj)
    else:
        insort(entry, obj, key=_handle)


def _withdraw(index: dict[Value, Entry], obj: Object, value: Value | None) -> None:
    if value is None:
        return
    entry = index.get(value)
    if entry is obj:
        del index[value]
    elif isinstance(entry, list):
        place = bisect_left(entry, obj.handle, key=_handle)
        if place < len(entry) and entry[place] is obj:
            del entry[place]
        if not entry:
            del index[value]


def matches(obj: Object, template: Template) -> bool:
    """Whether the object shows every attribute with exactly this value; hidden ones never do."""
    for attribute, value in template:
        try:
            found = obj.read(attribute)
        except CryptokiError as error:
            if error.rv != CKR_OBJECT_HANDLE_INVALID:
                raise
            return False  # another process has destroyed it meanwhile
        if isinstance(found, Unavailable) or found != value or type(found) is not type(value):
            return False
    return True
