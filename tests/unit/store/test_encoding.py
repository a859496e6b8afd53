"""Attributes to octets and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.store.support import fails, record

from pypkcs11.standard.constants import CKR_ATTRIBUTE_VALUE_INVALID, CKR_DEVICE_ERROR
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Value
from pypkcs11.store.encoding import decode, encode

types = st.integers(0, 2**32 - 1)
numbers = st.integers(0, 2**64 - 1)
flat = st.booleans() | numbers | st.binary(max_size=70) | st.lists(numbers, max_size=4).map(tuple)
values = st.recursive(
    flat,
    lambda inner: st.lists(st.tuples(types, inner), min_size=1, max_size=4).map(tuple),
    max_leaves=8,
).filter(lambda value: depth(value) < 8)


def depth(value: object) -> int:
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return 1 + max(depth(inner) for _, inner in value)
    return 0


def same(left: object, right: object) -> bool:
    """Equal, and of the same types throughout: True is not 1 here."""
    if type(left) is not type(right):
        return False
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@given(st.dictionaries(types, values, max_size=20))
def test_what_goes_in_comes_out(attributes: dict[int, Value]) -> None:
    read = decode(encode(attributes))
    assert list(read) == list(attributes)
    assert all(same(read[type_], value) for type_, value in attributes.items())


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda rest: b"\1\0" + rest))
def test_octets_from_elsewhere_are_refused_or_read_but_never_crash(data: bytes) -> None:
    try:
        decode(data)
    except CryptokiError as error:
        assert error.rv == CKR_DEVICE_ERROR


def test_a_damaged_object_is_refused_or_read_as_another_but_never_crashes() -> None:
    good = encode(record().attributes)
    for position in range(len(good)):
        for bit in range(8):
            data = bytearray(good)
            data[position] ^= 1 << bit
            try:
                assert decode(bytes(data)) != record().attributes
            except CryptokiError as error:
                assert error.rv == CKR_DEVICE_ERROR


def test_a_cut_or_prolonged_object_is_refused() -> None:
    good = encode(record().attributes)
    for size in range(len(good)):
        with fails(CKR_DEVICE_ERROR):
            decode(good[:size])
    with fails(CKR_DEVICE_ERROR):
        decode(good + b"\0")


def test_the_form_is_fixed() -> None:
    """Other machines and later versions read it, so it may not change unnoticed."""
    assert encode({0x3: b"ab", 0x1: True, 0x161: 32, 0x600: (5,), 0x40000211: ((0, 4),)}).hex() == (
        "01" "0005"
        "00000003" "00000001" "00000161" "00000600" "40000211"
        "03" "01" "02" "04" "05"
        "0000000000000002" "0000000000000001" "0000000000000020"
        "0000000000000001" "0000000000000010"
        "6162" "0000000000000005"
        "010001" "00000000" "02" "0000000000000004"
    )  # fmt: skip


def test_an_attribute_twice_is_refused() -> None:
    twice = encode({1: 7, 2: 7}).replace(bytes.fromhex("00000002"), bytes.fromhex("00000001"))
    with fails(CKR_DEVICE_ERROR):
        decode(twice)


def nested(levels: int) -> Value:
    value: Value = 1
    for _ in range(levels):
        value = ((0, value),)
    return value


@pytest.mark.parametrize(
    "attributes",
    [{-1: 0}, {2**32: 0}, {0: -1}, {0: 2**64}, {0: (2**64,)}, {0: "text"}, {0: nested(8)}],
)
def test_what_has_no_place_is_refused_when_written(attributes: dict[int, Value]) -> None:
    with fails(CKR_ATTRIBUTE_VALUE_INVALID):
        encode(attributes)


def test_deep_nesting_from_elsewhere_is_refused() -> None:
    data = b"\1\0\0"
    for _ in range(2000):
        head = b"\1\0\1" + bytes(4) + b"\5" + len(data).to_bytes(8, "big")
        data = head + data
    with fails(CKR_DEVICE_ERROR):
        decode(data)
