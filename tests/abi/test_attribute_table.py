"""Every row of the attribute table, of every kind of object that can be made, tells what happens.

For each kind of object and every attribute that there is, the table predicts what C_CreateObject,
C_SetAttributeValue, C_CopyObject and C_GetAttributeValue answer. Hypothesis chooses the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from abi.client import NULL, RV, Client, ffi, number, octets, template
from abi.conftest import SO_PIN, USER_PIN
from abi.samples import sample
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pypkcs11.core.attribute_table.row import (
    CHANGEABLE_ON_COPY,
    CLEARABLE,
    FORBIDDEN_ON_CREATE,
    HIDDEN,
    MODIFIABLE,
    MUST_ON_CREATE,
    ONLY_SO_SETS_TRUE,
    SETTLED,
    STICKY_ONCE_FALSE,
    STICKY_ONCE_TRUE,
)
from pypkcs11.core.attributes import ALIASES, KINDS, SUBTYPE, Attribute, Kind, rules
from pypkcs11.core.completion import creatable
from pypkcs11.standard import constants as C  # noqa: N812
from pypkcs11.standard.names import name_of

UNKNOWN = 0x3FFFFFF1
ATTRIBUTES = (*sorted(KINDS), UNKNOWN)
#: Those whose values are one piece, and those that are arrays of attributes.
PLAIN = [a for a, kind in KINDS.items() if kind is not Kind.TEMPLATE and a not in ALIASES]
NESTED = {a for a, kind in KINDS.items() if kind is Kind.TEMPLATE and a not in ALIASES}
#: Attributes whose values follow from the object's material: what is given has to agree with it.
COMPUTED = {C.CKA_CHECK_VALUE, C.CKA_PUBLIC_KEY_INFO, C.CKA_VALUE_LEN}
#: What a value of the wrong material is answered with, where the table has no say.
WRONG_MATERIAL = {
    C.CKR_OK,
    C.CKR_ATTRIBUTE_VALUE_INVALID,
    C.CKR_TEMPLATE_INCONSISTENT,
    C.CKR_TEMPLATE_INCOMPLETE,
    C.CKR_CURVE_NOT_SUPPORTED,
    C.CKR_DOMAIN_PARAMS_INVALID,
    C.CKR_PARAMETER_SET_NOT_SUPPORTED,
}
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.ULONG: st.integers(0, 2),
    Kind.BYTES: st.binary(max_size=8),
    Kind.STRING: st.binary(max_size=8),
    Kind.BIGINT: st.binary(min_size=1, max_size=8),
    Kind.DATE: st.sampled_from([b"", b"20261121", b"19991231"]),
    Kind.ULONG_ARRAY: st.lists(st.integers(0, 2**64 - 1), max_size=3).map(tuple),
    Kind.TEMPLATE: st.sampled_from(
        [(), ((C.CKA_SIGN, True),), ((C.CKA_LABEL, b"x"), (C.CKA_VALUE_LEN, 16))]
    ),
}
#: One value for each kind of attribute.
one_of_each = st.fixed_dictionaries(VALUES)
#: Values that no attribute of the kind has: too long by one octet, or not digits.
MALFORMED = {
    Kind.BOOL: b"\0\0",
    Kind.ULONG: bytes(7),
    Kind.DATE: b"tomorrow",
    Kind.ULONG_ARRAY: bytes(9),
    Kind.TEMPLATE: bytes(23),
}


def described(kind: tuple[int, int | None]) -> str:
    object_class, number = kind
    family = "CKC" if object_class == C.CKO_CERTIFICATE else "CKK"
    return " ".join(
        [name_of("CKO", object_class), *([] if number is None else [name_of(family, number)])]
    )


#: The keys of all HMACs are alike.
OBJECT_KINDS = sorted(
    kind
    for kind in creatable()
    if not described(kind).endswith("_HMAC") or kind[1] == C.CKK_SHA256_HMAC
)
every_kind = pytest.mark.parametrize("kind", OBJECT_KINDS, ids=described)


def examples(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


class World(NamedTuple):
    """An initialised module, and a read/write session with the user logged in."""

    p11: Client
    session: int


@pytest.fixture(scope="module")
def world(loaded: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("attribute-table")
    with pytest.MonkeyPatch.context() as patch:
        settings_file = Path(home, "config.toml")
        settings_file.write_text("[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n")
        patch.setenv("PYPKCS11_CONF", str(settings_file))
        patch.setenv("PYPKCS11_TOKEN_DIR", str(home / "tokens"))
        loaded.do("C_Initialize", NULL)
        (slot,) = loaded.slots()
        loaded.init_token(slot, SO_PIN, "attributes")
        session = loaded.open(slot)
        loaded.login(session, C.CKU_SO, SO_PIN)
        loaded.do("C_InitPIN", session, octets(USER_PIN), len(USER_PIN))
        loaded.do("C_Logout", session)
        loaded.login(session, C.CKU_USER, USER_PIN)
        yield World(loaded, session)
        _bases.clear()
        sample_of.cache_clear()
        loaded.do("C_Finalize", NULL)


@cache
def sample_of(world: World, kind: tuple[int, int | None]) -> dict[int, Any]:
    return sample(*world, *kind)


_bases: dict[tuple[int, int | None], int] = {}


def fresh(world: World, kind: tuple[int, int | None]) -> int:
    """A session object of the kind, with nothing but what is needed."""
    if kind not in _bases:
        _bases[kind] = world.p11.create(world.session, sample_of(world, kind))
    return world.p11.copy(world.session, _bases[kind], {})


def read(world: World, obj: int, attribute: int) -> Any:
    """An attribute's value as the table's kinds have it."""
    p11, session = world
    kind = KINDS[attribute]
    if kind is Kind.TEMPLATE:
        return tuple(
            (type, decoded(KINDS[type], value))
            for type, value in p11.get_template(session, obj, attribute)
        )
    return decoded(kind, p11.get(session, obj, attribute))


def decoded(kind: Kind, value: bytes) -> Any:
    if kind is Kind.BOOL:
        assert value in (b"\0", b"\1")
        return value == b"\1"
    if kind is Kind.ULONG:
        return number(value)
    if kind is Kind.ULONG_ARRAY:
        return tuple(ffi.from_buffer("CK_ULONG[]", value)) if value else ()
    return value


def everything(world: World, obj: int) -> dict[int, Any]:
    """All that an application can read of an object, asked for in one call."""
    p11, session = world
    array = ffi.new("CK_ATTRIBUTE[]", [(attribute, NULL, 0) for attribute in PLAIN])
    answers = (C.CKR_OK, C.CKR_ATTRIBUTE_SENSITIVE, C.CKR_ATTRIBUTE_TYPE_INVALID)
    assert p11.C_GetAttributeValue(session, obj, array, len(PLAIN)) in answers
    there = [entry for entry in array if entry.ulValueLen != C.CK_UNAVAILABLE_INFORMATION]
    values = [octets(bytes(entry.ulValueLen)) for entry in there]
    for entry, value in zip(there, values, strict=True):
        entry.pValue = value
    assert p11.C_GetAttributeValue(session, obj, array, len(PLAIN)) in answers
    found = {
        int(entry.type): decoded(KINDS[entry.type], bytes(ffi.buffer(value, entry.ulValueLen)))
        for entry, value in zip(there, values, strict=True)
    }
    for attribute in rules(found[C.CKA_CLASS], subtype(found)).keys() & NESTED:
        found[attribute] = read(world, obj, attribute)
    return found


def subtype(attributes: dict[int, Any]) -> int | None:
    return attributes.get(SUBTYPE.get(attributes[C.CKA_CLASS]))


def answer(world: World, function: str, *arguments: Any) -> tuple[RV, int]:
    """The return value of a function that makes an object, and the object's handle."""
    handle = ffi.new("CK_OBJECT_HANDLE *")
    rv = getattr(world.p11, function)(world.session, *arguments, handle)
    return rv, int(handle[0])


def destroy(world: World, obj: int) -> None:
    world.p11.do("C_DestroyObject", world.session, obj)


# -- what the table predicts -------------------------------------------------------------------


def row_of(kind: tuple[int, int | None], attribute: int) -> Attribute | None:
    return rules(*kind).get(ALIASES.get(attribute, attribute))


def foreign(kind: tuple[int, int | None], attribute: int) -> int:
    """The answer for an attribute that the kind of object does not have; 0 if it has it."""
    if attribute not in KINDS:
        return C.CKR_ATTRIBUTE_TYPE_INVALID
    return 0 if row_of(kind, attribute) else C.CKR_TEMPLATE_INCONSISTENT


def on_create(row: Attribute, value: Any) -> set[int]:
    if row.notes & FORBIDDEN_ON_CREATE:
        return {C.CKR_ATTRIBUTE_READ_ONLY}
    if row.notes & ONLY_SO_SETS_TRUE and value:
        return {C.CKR_ATTRIBUTE_READ_ONLY}
    material = row.notes & (MUST_ON_CREATE | HIDDEN) or row.kind is Kind.BIGINT
    return WRONG_MATERIAL if material or row.type in COMPUTED else {C.CKR_OK}


def on_change(row: Attribute, old: Any, new: Any, allowed: int) -> set[int]:
    sticky = {STICKY_ONCE_TRUE: True, STICKY_ONCE_FALSE: False}
    for note, end in sticky.items():
        if row.notes & note:
            return {C.CKR_ATTRIBUTE_READ_ONLY if old is end and new is not end else C.CKR_OK}
    if row.notes & CLEARABLE:
        return {C.CKR_OK if new in (b"", old) else C.CKR_ATTRIBUTE_VALUE_INVALID}
    if not row.notes & allowed:
        return {C.CKR_ATTRIBUTE_READ_ONLY}
    if row.notes & SETTLED and old and new != old:
        return {C.CKR_TEMPLATE_INCONSISTENT}
    if row.type == C.CKA_PRIVATE and old and not new:
        return {C.CKR_TEMPLATE_INCONSISTENT}
    return {C.CKR_OK}


# -- the tests ---------------------------------------------------------------------------------


@every_kind
@examples(3)
@given(values=one_of_each)
def test_creating(world: World, kind: tuple[int, int | None], values: dict[Kind, Any]) -> None:
    base = sample_of(world, kind)
    plain = fresh(world, kind)
    for attribute in ATTRIBUTES:
        value = values[KINDS.get(attribute, Kind.BYTES)]
        row = row_of(kind, attribute)
        expected = {foreign(kind, attribute)} if row is None else on_create(row, value)
        rv, obj = answer(world, "C_CreateObject", *template(base | {attribute: value}))
        assert rv in expected, f"{name_of('CKA', attribute)} = {value!r}: {rv}"
        if rv == C.CKR_OK:
            if expected == {C.CKR_OK} and (found := read(world, obj, attribute)) != value:
                # An empty one is filled in where the value can tell.
                assert value == b""
                assert found == read(world, plain, attribute)
            if attribute != C.CKA_DESTROYABLE or value:
                destroy(world, obj)
    destroy(world, plain)


@every_kind
@examples(3)
@given(values=one_of_each)
def test_setting(world: World, kind: tuple[int, int | None], values: dict[Kind, Any]) -> None:
    p11, session = world
    obj = fresh(world, kind)
    before = everything(world, obj)
    for attribute in ATTRIBUTES:
        new = values[KINDS.get(attribute, Kind.BYTES)]
        row = row_of(kind, attribute)
        expected = (
            {foreign(kind, attribute)}
            if row is None
            else on_change(row, before.get(row.type), new, MODIFIABLE)
        )
        rv = p11.C_SetAttributeValue(session, obj, *template({attribute: new}))
        assert rv in expected, f"{name_of('CKA', attribute)} = {new!r}: {rv}"
        if rv == C.CKR_OK:
            check_changed(world, obj, before, {ALIASES.get(attribute, attribute): new})
            destroy(world, obj)
            obj = fresh(world, kind)
            before = everything(world, obj)
        else:
            check_changed(world, obj, before, {})
    destroy(world, obj)


@every_kind
@examples(3)
@given(values=one_of_each)
def test_copying(world: World, kind: tuple[int, int | None], values: dict[Kind, Any]) -> None:
    original = fresh(world, kind)
    before = everything(world, original)
    for attribute in ATTRIBUTES:
        new = values[KINDS.get(attribute, Kind.BYTES)]
        row = row_of(kind, attribute)
        allowed = MODIFIABLE | CHANGEABLE_ON_COPY
        expected = (
            {foreign(kind, attribute)}
            if row is None
            else on_change(row, before.get(row.type), new, allowed)
        )
        rv, copy = answer(world, "C_CopyObject", original, *template({attribute: new}))
        assert rv in expected, f"{name_of('CKA', attribute)} = {new!r}: {rv}"
        if rv == C.CKR_OK:
            change = {ALIASES.get(attribute, attribute): new}
            check_changed(world, copy, before, change, copied=True)
            if attribute != C.CKA_DESTROYABLE or new:
                destroy(world, copy)
    destroy(world, original)


def check_changed(
    world: World,
    obj: int,
    before: dict[int, Any],
    change: dict[int, Any],
    *,
    copied: bool = False,
) -> None:
    """An object is as another was, but for a change and what the change hides."""
    after = everything(world, obj)
    if copied:
        assert after.pop(C.CKA_UNIQUE_ID) != before[C.CKA_UNIQUE_ID]
        before = {type: value for type, value in before.items() if type != C.CKA_UNIQUE_ID}
    expected = before | change
    if expected.get(C.CKA_SENSITIVE) is True or expected.get(C.CKA_EXTRACTABLE) is False:
        rows = rules(before[C.CKA_CLASS], before.get(C.CKA_KEY_TYPE))
        expected = {t: value for t, value in expected.items() if not rows[t].notes & HIDDEN}
    elif change.keys() & {C.CKA_SENSITIVE, C.CKA_EXTRACTABLE}:
        expected |= {t: value for t, value in after.items() if t not in before}
    assert after == expected


@every_kind
def test_getting(world: World, kind: tuple[int, int | None]) -> None:
    base = sample_of(world, kind)
    hiding = ({}, {C.CKA_SENSITIVE: True}, {C.CKA_SENSITIVE: False, C.CKA_EXTRACTABLE: True})
    for protection in hiding if C.CKA_SENSITIVE in rules(*kind) else ({},):
        obj = world.p11.create(world.session, base | protection)
        hidden = bool(protection.get(C.CKA_SENSITIVE, True))
        for attribute in ATTRIBUTES:
            row = row_of(kind, attribute)
            entry = ffi.new("CK_ATTRIBUTE *", (attribute, NULL, 0))
            rv = world.p11.C_GetAttributeValue(world.session, obj, entry, 1)
            about = f"{name_of('CKA', attribute)}: {rv}"
            if row is None:
                assert rv == C.CKR_ATTRIBUTE_TYPE_INVALID, about
            elif row.notes & HIDDEN and hidden:
                assert rv == C.CKR_ATTRIBUTE_SENSITIVE, about
            elif row.default is not None or attribute in base:
                assert rv == C.CKR_OK, about
            else:
                assert rv in (C.CKR_OK, C.CKR_ATTRIBUTE_TYPE_INVALID), about
            if rv != C.CKR_OK:
                assert entry.ulValueLen == C.CK_UNAVAILABLE_INFORMATION
            elif attribute in base:
                assert read(world, obj, attribute) == base[attribute]
        destroy(world, obj)


@every_kind
def test_malformed_values(world: World, kind: tuple[int, int | None]) -> None:
    base = sample_of(world, kind)
    obj = fresh(world, kind)
    for attribute, row in rules(*kind).items():
        if row.kind not in MALFORMED:
            continue
        wrong = {attribute: MALFORMED[row.kind]}
        rv, _ = answer(world, "C_CreateObject", *template(base | wrong))
        assert rv == C.CKR_ATTRIBUTE_VALUE_INVALID, name_of("CKA", attribute)
        rv = world.p11.C_SetAttributeValue(world.session, obj, *template(wrong))
        assert rv == C.CKR_ATTRIBUTE_VALUE_INVALID, name_of("CKA", attribute)
    destroy(world, obj)


@every_kind
def test_what_must_be_given(world: World, kind: tuple[int, int | None]) -> None:
    base = sample_of(world, kind)
    for attribute, row in rules(*kind).items():
        if row.notes & MUST_ON_CREATE:
            less = {type: value for type, value in base.items() if type != attribute}
            rv, _ = answer(world, "C_CreateObject", *template(less))
            assert rv == C.CKR_TEMPLATE_INCOMPLETE, name_of("CKA", attribute)
