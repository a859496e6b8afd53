"""Every row of the table predicts what templates may do with its attribute."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from pypkcs11.core.attribute_table.row import (
    CHANGEABLE_ON_COPY,
    CLEARABLE,
    FORBIDDEN_ON_CREATE,
    FORBIDDEN_ON_GENERATE,
    FORBIDDEN_ON_UNWRAP,
    HIDDEN,
    MODIFIABLE,
    MUST_ON_CREATE,
    MUST_ON_GENERATE,
    MUST_ON_UNWRAP,
    ONLY_SO_SETS_TRUE,
    STICKY_ONCE_FALSE,
    STICKY_ONCE_TRUE,
)
from pypkcs11.core.attributes import (
    _CLASSES,
    BUILT_IN,
    KINDS,
    ONE_OF,
    SUBTYPE,
    Attribute,
    Kind,
    rules,
)
from pypkcs11.core.templates import Origin, build, copied, finish, is_hidden, modified
from pypkcs11.standard import constants as C  # noqa: N812
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Value

OBJECTS = [
    (object_class, subtype)
    for object_class, (_, subtypes) in _CLASSES.items()
    if object_class not in BUILT_IN
    for subtype in (subtypes or [None])
]
SAMPLES: dict[Kind, Value] = {
    Kind.BOOL: False,
    Kind.ULONG: 1,
    Kind.BYTES: b"octets",
    Kind.STRING: b"text",
    Kind.BIGINT: b"\x01\x00",
    Kind.DATE: b"20261121",
    Kind.ULONG_ARRAY: (1, 2),
    Kind.TEMPLATE: ((C.CKA_SIGN, True),),
}
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.ULONG: st.integers(0, 2),
    Kind.BYTES: st.binary(max_size=8),
    Kind.STRING: st.binary(max_size=8),
    Kind.BIGINT: st.binary(max_size=8),
    Kind.DATE: st.sampled_from([b"", b"20261121", b"19991231"]),
    Kind.ULONG_ARRAY: st.lists(st.integers(0, 9), max_size=3).map(tuple),
    Kind.TEMPLATE: st.sampled_from([(), ((C.CKA_SIGN, True),)]),
}
MUST = {
    Origin.CREATE: MUST_ON_CREATE,
    Origin.GENERATE: MUST_ON_GENERATE,
    Origin.UNWRAP: MUST_ON_UNWRAP,
}
FORBIDDEN = {
    Origin.CREATE: FORBIDDEN_ON_CREATE,
    Origin.GENERATE: FORBIDDEN_ON_GENERATE,
    Origin.UNWRAP: FORBIDDEN_ON_UNWRAP,
}

kinds_of_object = st.sampled_from(OBJECTS)
origins = st.sampled_from(list(MUST))


def naming(object_class: int, subtype: int | None) -> dict[int, Value]:
    if subtype is None:
        return {C.CKA_CLASS: object_class}
    return {C.CKA_CLASS: object_class, SUBTYPE[object_class]: subtype}


def least(object_class: int, subtype: int | None, origin: Origin) -> dict[int, Value]:
    """The smallest template that makes such an object."""
    needed = {
        type: SAMPLES[row.kind]
        for type, row in rules(object_class, subtype).items()
        if row.notes & MUST[origin]
    }
    if origin is Origin.CREATE:
        for type in sorted(ONE_OF.get((object_class, subtype), ()))[:1]:
            needed[type] = b"either"
    return needed | naming(object_class, subtype)


def attempt(template: dict[int, Value], origin: Origin, *, so: bool = False) -> int:
    try:
        build(tuple(template.items()), origin, private=True, so=so)
    except CryptokiError as error:
        return error.rv
    return C.CKR_OK


def an_object(object_class: int, subtype: int | None) -> dict[int, Value]:
    template = least(object_class, subtype, Origin.CREATE)
    attributes = build(tuple(template.items()), Origin.CREATE, private=True, so=False)
    finish(attributes, Origin.CREATE, None)
    return attributes


def drawn(data: st.DataObject, kind: tuple[int, int | None]) -> tuple[Attribute, Value]:
    """An attribute that such objects have, other than those that name the kind, and a value."""
    row = data.draw(st.sampled_from(list(rules(*kind).values())))
    assume(row.type not in naming(*kind))
    return row, data.draw(VALUES[row.kind])


@given(kinds_of_object, origins)
def test_least_template_is_enough_and_no_less_is(
    kind: tuple[int, int | None], origin: Origin
) -> None:
    template = least(*kind, origin)
    assert attempt(template, origin) == C.CKR_OK
    for type in template:
        less = {other: value for other, value in template.items() if other != type}
        assert attempt(less, origin) == C.CKR_TEMPLATE_INCOMPLETE


@given(st.data(), kinds_of_object, origins, st.booleans())
def test_build_does_what_the_row_says(
    data: st.DataObject, kind: tuple[int, int | None], origin: Origin, so: bool
) -> None:
    row, value = drawn(data, kind)
    assume(row.type != C.CKA_ALWAYS_AUTHENTICATE)
    assume(not 0x62C <= row.type <= 0x632)  # trust needs a hash: a rule of its own
    expected = C.CKR_OK
    if row.notes & FORBIDDEN[origin] or (
        row.notes & ONLY_SO_SETS_TRUE and value is True and not so
    ):
        expected = C.CKR_ATTRIBUTE_READ_ONLY
    assert attempt(least(*kind, origin) | {row.type: value}, origin, so=so) == expected


@given(st.data(), kinds_of_object, origins)
def test_attributes_of_other_objects(
    data: st.DataObject, kind: tuple[int, int | None], origin: Origin
) -> None:
    foreign = data.draw(st.sampled_from(sorted(KINDS.keys() - rules(*kind).keys())))
    assume(not foreign & C.CKF_ARRAY_ATTRIBUTE)
    template = least(*kind, origin) | {foreign: SAMPLES[KINDS[foreign]]}
    assert attempt(template, origin) == C.CKR_TEMPLATE_INCONSISTENT


@given(st.data(), kinds_of_object)
def test_wrong_kind_of_value(data: st.DataObject, kind: tuple[int, int | None]) -> None:
    row, _ = drawn(data, kind)
    wrong = 1 if isinstance(SAMPLES[row.kind], bytes | bool | tuple) else b"\1"
    template = least(*kind, Origin.CREATE) | {row.type: wrong}
    assert attempt(template, Origin.CREATE) == C.CKR_ATTRIBUTE_VALUE_INVALID


def expected_change(row: Attribute, old: Value | None, new: Value, allowed: int, so: bool) -> int:
    if row.notes & STICKY_ONCE_TRUE:
        return C.CKR_ATTRIBUTE_READ_ONLY if old is True and new is False else C.CKR_OK
    if row.notes & STICKY_ONCE_FALSE:
        return C.CKR_ATTRIBUTE_READ_ONLY if old is False and new is True else C.CKR_OK
    if row.notes & CLEARABLE:
        return C.CKR_OK if new in (b"", old) else C.CKR_ATTRIBUTE_VALUE_INVALID
    if row.notes & ONLY_SO_SETS_TRUE:
        return C.CKR_OK if so else C.CKR_ATTRIBUTE_READ_ONLY
    return C.CKR_OK if row.notes & allowed else C.CKR_ATTRIBUTE_READ_ONLY


@given(st.data(), kinds_of_object, st.booleans())
def test_modified_does_what_the_row_says(
    data: st.DataObject, kind: tuple[int, int | None], so: bool
) -> None:
    attributes = an_object(*kind)
    row, new = drawn(data, kind)
    old = attributes.get(row.type)
    rv = C.CKR_OK
    try:
        changed = modified(attributes, ((row.type, new),), so=so)
    except CryptokiError as error:
        rv = error.rv
    else:
        assert changed == ({} if old == new else {row.type: new})
    assert rv == expected_change(row, old, new, MODIFIABLE, so)


@given(st.data(), kinds_of_object, st.booleans())
def test_copied_does_what_the_row_says(
    data: st.DataObject, kind: tuple[int, int | None], so: bool
) -> None:
    attributes = an_object(*kind)
    row, new = drawn(data, kind)
    old = attributes.get(row.type)
    rv = C.CKR_OK
    try:
        copy = copied(attributes, ((row.type, new),), so=so)
    except CryptokiError as error:
        rv = error.rv
    else:
        new_id = {C.CKA_UNIQUE_ID: copy[C.CKA_UNIQUE_ID]}
        assert copy == attributes | {row.type: new} | new_id
    if row.type == C.CKA_PRIVATE and old is True and new is False:
        assert rv == C.CKR_TEMPLATE_INCONSISTENT
    else:
        assert rv == expected_change(row, old, new, MODIFIABLE | CHANGEABLE_ON_COPY, so)


@given(st.data(), kinds_of_object, st.booleans(), st.booleans())
def test_hidden_is_what_the_row_says(
    data: st.DataObject, kind: tuple[int, int | None], sensitive: bool, extractable: bool
) -> None:
    attributes = an_object(*kind)
    row, _ = drawn(data, kind)
    if C.CKA_SENSITIVE in attributes:
        attributes |= {C.CKA_SENSITIVE: sensitive, C.CKA_EXTRACTABLE: extractable}
    expected = bool(row.notes & HIDDEN) and (sensitive or not extractable)
    assert is_hidden(attributes, row.type) is expected
