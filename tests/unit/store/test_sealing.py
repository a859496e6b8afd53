"""Envelopes open at their own place only."""

from __future__ import annotations

import os

import pytest
from unit.store.support import CHEAP, fails

from pypkcs11.standard.constants import CKR_ARGUMENTS_BAD, CKR_DEVICE_ERROR, CKR_PIN_INCORRECT
from pypkcs11.store.pins import KdfCost, SealedPin
from pypkcs11.store.protocol import Role
from pypkcs11.store.sealing import ATTRIBUTES, SECRET, Sealer

KEY = os.urandom(32)
SERIAL = "0123456789ABCDEF"
GENERATION = bytes(16)


def sealer(key: bytes = KEY, serial: str = SERIAL, generation: bytes = GENERATION) -> Sealer:
    return Sealer(key, serial, generation)


def test_sealed_and_opened() -> None:
    envelope = sealer().seal(SECRET, 7, 9, b"plain", b"about")
    assert sealer().open(SECRET, 7, envelope, b"about") == b"plain"
    assert b"plain" not in envelope


def test_an_envelope_is_never_the_same_twice() -> None:
    one = sealer()
    assert one.seal(SECRET, 7, 9, b"plain") != one.seal(SECRET, 7, 9, b"plain")


def test_changes_far_apart_use_other_keys() -> None:
    early, late = (sealer().seal(SECRET, 7, change, b"plain") for change in (1, 1 << 20))
    assert early[1:5] != late[1:5]
    assert sealer().open(SECRET, 7, early) == sealer().open(SECRET, 7, late)


@pytest.mark.parametrize(
    ("other", "column", "record_id", "about"),
    [
        (sealer(os.urandom(32)), SECRET, 7, b"about"),
        (sealer(serial="0123456789ABCDEE"), SECRET, 7, b"about"),
        (sealer(generation=bytes(15) + b"\1"), SECRET, 7, b"about"),
        (sealer(), ATTRIBUTES, 7, b"about"),
        (sealer(), SECRET, 8, b"about"),
        (sealer(), SECRET, 7, b"abou"),
    ],
    ids=["key", "token", "generation", "column", "object", "about"],
)
def test_an_envelope_elsewhere_does_not_open(
    other: Sealer, column: int, record_id: int, about: bytes
) -> None:
    envelope = sealer().seal(SECRET, 7, 9, b"plain", b"about")
    with fails(CKR_DEVICE_ERROR):
        other.open(column, record_id, envelope, about)


def test_every_bit_of_an_envelope_counts() -> None:
    envelope = sealer().seal(SECRET, 7, 9, b"plain")
    for position in range(8 * len(envelope)):
        damaged = bytearray(envelope)
        damaged[position // 8] ^= 1 << position % 8
        with fails(CKR_DEVICE_ERROR):
            sealer().open(SECRET, 7, bytes(damaged))
    for size in range(len(envelope)):
        with fails(CKR_DEVICE_ERROR):
            sealer().open(SECRET, 7, envelope[:size])


def test_a_pin_gives_the_key_back_and_no_other_does() -> None:
    sealed = SealedPin.make((SERIAL, GENERATION), Role.USER, b"1234", KEY, CHEAP)
    assert sealed.open((SERIAL, GENERATION), b"1234") == KEY
    for wrong in (b"", b"1235", b"12345", b"1234\0"):
        with fails(CKR_PIN_INCORRECT):
            sealed.open((SERIAL, GENERATION), wrong)


def test_a_sealed_pin_is_bound_to_token_role_flag_and_cost() -> None:
    sealed = SealedPin.make((SERIAL, GENERATION), Role.USER, b"1234", KEY, CHEAP)
    other_cost = KdfCost(CHEAP.memory * 2, CHEAP.iterations)
    moved = [
        SealedPin(Role.SO, False, CHEAP, sealed.salt, sealed.envelope),
        SealedPin(Role.USER, True, CHEAP, sealed.salt, sealed.envelope),
        SealedPin(Role.USER, False, other_cost, sealed.salt, sealed.envelope),
        SealedPin(Role.USER, False, CHEAP, bytes(16), sealed.envelope),
    ]
    for other in moved:
        with fails(CKR_PIN_INCORRECT):
            other.open((SERIAL, GENERATION), b"1234")
    with fails(CKR_PIN_INCORRECT):
        sealed.open((SERIAL, bytes(15) + b"\1"), b"1234")


@pytest.mark.parametrize("cost", [(7, 1, 1), (64, 0, 1), (64, 1, 0), (64, 1, 9), (1 << 23, 1, 1)])
def test_a_cost_out_of_range_is_refused(cost: tuple[int, int, int]) -> None:
    with fails(CKR_ARGUMENTS_BAD):
        KdfCost(*cost)


def test_keys_are_not_shown() -> None:
    assert KEY.hex() not in repr(sealer()) and repr(KEY) not in repr(sealer())
