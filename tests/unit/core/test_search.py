"""Finding objects by attribute: every answer, and no more."""

from __future__ import annotations

import pytest

from pypkcs11.core.objects import Object, Unavailable
from pypkcs11.core.search import ObjectTable
from pypkcs11.standard.constants import (
    CKA_APPLICATION,
    CKA_CLASS,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_SENSITIVE,
    CKA_TOKEN,
    CKA_UNIQUE_ID,
    CKA_VALUE,
    CKK_AES,
    CKK_GENERIC_SECRET,
    CKO_DATA,
    CKO_SECRET_KEY,
)
from pypkcs11.standard.values import Value
from pypkcs11.store.protocol import Record


def data(label: bytes, **more: bytes) -> Object:
    return Object({CKA_CLASS: CKO_DATA, CKA_TOKEN: False, CKA_LABEL: label})


def secret(ident: bytes, *, sensitive: bool, value: bytes = b"v" * 16) -> Object:
    return Object(
        {
            CKA_CLASS: CKO_SECRET_KEY,
            CKA_KEY_TYPE: CKK_AES,
            CKA_ID: ident,
            CKA_LABEL: b"",
            CKA_SENSITIVE: sensitive,
            CKA_EXTRACTABLE: True,
        },
        secret={CKA_VALUE: value},
    )


@pytest.fixture
def table() -> ObjectTable:
    return ObjectTable()


def test_an_empty_template_finds_everything_in_order(table: ObjectTable) -> None:
    objects = [data(b"b"), secret(b"1", sensitive=True), data(b"a")]
    table.add(objects)
    assert table.find([]) == [obj.handle for obj in objects]


def test_indexed_attributes_are_found_alone_and_together(table: ObjectTable) -> None:
    one, two, other = data(b"x"), data(b"x"), data(b"y")
    table.add([one, two, other])
    assert table.find([(CKA_LABEL, b"x")]) == [one.handle, two.handle]
    assert table.find([(CKA_LABEL, b"y"), (CKA_CLASS, CKO_DATA)]) == [other.handle]
    assert table.find([(CKA_LABEL, b"y"), (CKA_CLASS, CKO_SECRET_KEY)]) == []


def test_attributes_without_an_index_are_compared(table: ObjectTable) -> None:
    obj = data(b"x")
    obj.attributes[CKA_APPLICATION] = b"app"
    table.add([obj, data(b"x")])
    assert table.find([(CKA_APPLICATION, b"app")]) == [obj.handle]
    assert table.find([(CKA_APPLICATION, b"ap")]) == []


def test_a_number_is_not_a_truth(table: ObjectTable) -> None:
    obj = data(b"x")
    table.add([obj])
    assert table.find([(CKA_TOKEN, False)]) == [obj.handle]
    assert table.find([(CKA_TOKEN, 0)]) == []


def test_hidden_values_are_not_searchable_and_open_ones_are(table: ObjectTable) -> None:
    hidden, open_ = secret(b"1", sensitive=True), secret(b"2", sensitive=False)
    table.add([hidden, open_])
    assert table.find([(CKA_VALUE, b"v" * 16)]) == [open_.handle]


def test_what_is_removed_or_changed_is_found_by_what_it_is_now(table: ObjectTable) -> None:
    one, two = secret(b"id", sensitive=True), secret(b"id", sensitive=True)
    table.add([one, two])
    table.remove([one])
    assert table.find([(CKA_ID, b"id")]) == [two.handle]
    new = {**two.attributes, CKA_ID: b"new", CKA_KEY_TYPE: CKK_GENERIC_SECRET}
    table.replace(two, Record(0, False, new))
    assert table.find([(CKA_ID, b"id")]) == []
    assert table.find([(CKA_ID, b"new")]) == [two.handle]
    assert table.find([(CKA_KEY_TYPE, CKK_AES)]) == []
    assert table.get(one.handle) is None
    table.remove([two])
    assert table.find([]) == []
    assert len(table) == 0


def test_handles_are_never_used_twice(table: ObjectTable) -> None:
    first = data(b"x")
    table.add([first])
    table.remove([first])
    second = data(b"x")
    assert second.handle != first.handle


class Counted(Object):
    """An object that counts how often it is looked at."""

    __slots__ = ("looked_at",)

    def read(self, attribute: int) -> Value | Unavailable:
        self.looked_at = getattr(self, "looked_at", 0) + 1
        return super().read(attribute)


@pytest.mark.parametrize("by", [CKA_ID, CKA_UNIQUE_ID, CKA_LABEL])
def test_finding_one_looks_at_no_other(table: ObjectTable, by: int) -> None:
    objects = [
        Counted(
            {
                CKA_CLASS: CKO_SECRET_KEY,
                CKA_KEY_TYPE: CKK_AES,
                CKA_ID: b"%d" % i,
                CKA_UNIQUE_ID: b"%d" % i,
                CKA_LABEL: b"%d" % i,
            }
        )
        for i in range(1000)
    ]
    table.add(objects)
    template = [(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES), (by, b"777")]
    assert table.find(template) == [objects[777].handle]
    assert [obj for obj in objects if hasattr(obj, "looked_at")] == [objects[777]]
    assert table.find([(CKA_CLASS, CKO_SECRET_KEY), (by, b"none")]) == []
    assert not hasattr(objects[0], "looked_at")
