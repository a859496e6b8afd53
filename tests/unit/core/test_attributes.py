"""The attribute table, read row by row against the standard's tables."""

from __future__ import annotations

from collections import defaultdict

import pytest

from pypkcs11.core.attribute_table.row import (
    FORBIDDEN_ON_CREATE,
    FORBIDDEN_ON_GENERATE,
    HIDDEN,
    MODIFIABLE,
    MUST_ON_CREATE,
    MUST_ON_GENERATE,
    row,
)
from pypkcs11.core.attributes import _CLASSES, ALIASES, HIDDEN_TYPES, KINDS, Kind, rules
from pypkcs11.standard import constants as C  # noqa: N812
from pypkcs11.standard.errors import CryptokiError

# Every kind of object that the table has: (class, subtype).
OBJECTS = [
    (object_class, subtype)
    for object_class, (_, subtypes) in _CLASSES.items()
    for subtype in (subtypes or [None])
]


def test_row_reads_footnotes() -> None:
    made = row(C.CKA_MODULUS, Kind.BIGINT, "1 4 7 13")
    assert made.notes == 1 << 1 | 1 << 4 | 1 << 7 | 1 << 13
    assert (made.type, made.kind, made.default) == (C.CKA_MODULUS, Kind.BIGINT, None)


def test_rsa_public_key() -> None:
    table = rules(C.CKO_PUBLIC_KEY, C.CKK_RSA)
    assert table[C.CKA_MODULUS].notes == MUST_ON_CREATE | FORBIDDEN_ON_GENERATE
    assert table[C.CKA_MODULUS_BITS].notes == FORBIDDEN_ON_CREATE | MUST_ON_GENERATE
    assert table[C.CKA_PUBLIC_EXPONENT].notes == MUST_ON_CREATE
    assert table[C.CKA_ID].notes == MODIFIABLE
    assert C.CKA_PRIVATE_EXPONENT not in table
    assert C.CKA_SIGN not in table


def test_kind_of_every_attribute_is_one() -> None:
    kinds: dict[int, set[Kind]] = defaultdict(set)
    for object_class, subtype in OBJECTS:
        for type, attribute in rules(object_class, subtype).items():
            assert attribute.type == type
            kinds[type].add(attribute.kind)
    assert {type: next(iter(kind)) for type, kind in kinds.items() if len(kind) == 1} == {
        type: kind for type, kind in KINDS.items() if type not in ALIASES
    }


def test_table_knows_every_attribute_of_the_header() -> None:
    header = {value for name, value in vars(C).items() if name.startswith("CKA_")}
    # Deprecated, and in no table of the standard; and the base of vendors' own.
    without_table = {C.CKA_SECONDARY_AUTH, C.CKA_AUTH_PIN_FLAGS, C.CKA_VENDOR_DEFINED}
    assert header - without_table == KINDS.keys() - ALIASES.keys()


def test_arrays_have_array_numbers() -> None:
    for type, kind in KINDS.items():
        if type & C.CKF_ARRAY_ATTRIBUTE:
            assert kind in (Kind.TEMPLATE, Kind.ULONG_ARRAY)
    assert KINDS[0x4000062A] is KINDS[0x62A] is Kind.TEMPLATE
    assert KINDS[0x4000062B] is KINDS[0x62B] is Kind.TEMPLATE


def test_what_is_hidden_is_hidden_in_the_whole_class() -> None:
    for object_class, subtype in OBJECTS:
        for type, attribute in rules(object_class, subtype).items():
            hidden = type in HIDDEN_TYPES.get(object_class, ())
            assert hidden == bool(attribute.notes & HIDDEN), (object_class, subtype, hex(type))
    assert HIDDEN_TYPES.keys() == {C.CKO_PRIVATE_KEY, C.CKO_SECRET_KEY, C.CKO_OTP_KEY}


def test_nothing_is_required_and_forbidden_at_once() -> None:
    for object_class, subtype in OBJECTS:
        for attribute in rules(object_class, subtype).values():
            for must in (1, 3, 5):
                both = 1 << must | 1 << must + 1
                assert attribute.notes & both != both
            assert not (attribute.default is not None and attribute.notes & MUST_ON_CREATE)


def test_defaults_are_of_their_kind() -> None:
    types = {
        Kind.BOOL: bool,
        Kind.ULONG: int,
        Kind.ULONG_ARRAY: tuple,
        Kind.TEMPLATE: tuple,
    }
    for object_class, subtype in OBJECTS:
        for attribute in rules(object_class, subtype).values():
            if attribute.default is not None:
                assert type(attribute.default) is types.get(attribute.kind, bytes)


@pytest.mark.parametrize(
    ("object_class", "subtype"),
    [
        (0x77, None),
        (C.CKO_VENDOR_DEFINED, None),
        (C.CKO_SECRET_KEY, C.CKK_RSA),
        (C.CKO_PUBLIC_KEY, C.CKK_AES),
        (C.CKO_PRIVATE_KEY, None),
        (C.CKO_CERTIFICATE, 99),
        (C.CKO_SECRET_KEY, C.CKK_VENDOR_DEFINED),
    ],
)
def test_unknown_objects(object_class: int, subtype: int | None) -> None:
    with pytest.raises(CryptokiError) as caught:
        rules(object_class, subtype)
    assert caught.value.rv == C.CKR_ATTRIBUTE_VALUE_INVALID
