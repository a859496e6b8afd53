"""Wrapping, unwrapping and derivation through the core alone: no C and no library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives import keywrap
from hypothesis import given
from hypothesis import strategies as st

from pypkcs11.core import derivation, management, wrapping
from pypkcs11.core.config import Config
from pypkcs11.core.library import Library
from pypkcs11.core.objects import Object
from pypkcs11.core.sessions import Session
from pypkcs11.mechanisms import der, pkcs8
from pypkcs11.mechanisms.parameters import StringData
from pypkcs11.mechanisms.registry import ALL_KEYS, Payload
from pypkcs11.mechanisms.table import key_types, mechanisms
from pypkcs11.standard import constants as c
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.memory import MemoryDirectory
from pypkcs11.store.protocol import Role

KEY_TYPES = key_types()
MECHANISMS = mechanisms()

PIN = b"1234"
KEK = bytes(range(32))
AES = [(c.CKA_CLASS, c.CKO_SECRET_KEY), (c.CKA_KEY_TYPE, c.CKK_AES)]
KWP = MECHANISMS[c.CKM_AES_KEY_WRAP_KWP]


@contextmanager
def fails(rv: int) -> Iterator[None]:
    with pytest.raises(CryptokiError) as caught:
        yield
    assert hex(caught.value.rv) == hex(rv)


def logged_in(**configured: Any) -> Session:
    library = Library(Config(tokens_directory="/nowhere", **configured), MemoryDirectory())
    slot = library.slots.refresh()[-1].id
    library.slots.init_token(slot, "token", PIN)
    session = library.open_session(slot, read_write=True)
    session.token.log_in(Role.SO, PIN)
    session.token.init_pin(PIN)
    session.token.log_out()
    session.token.log_in(Role.USER, PIN)
    return session


@pytest.fixture
def session() -> Session:
    return logged_in()


def create(session: Session, value: bytes = KEK, *more: tuple[int, Any]) -> Object:
    template = [*AES, (c.CKA_EXTRACTABLE, True), (c.CKA_VALUE, value), *more]
    return management.create_object(session, template)


def test_a_key_goes_out_and_comes_back(session: Session) -> None:
    kek, key = create(session), create(session, b"k" * 16, (c.CKA_SENSITIVE, True))
    wrapped = wrapping.wrap_key(session, KWP, None, kek.handle, key.handle)
    assert wrapped == keywrap.aes_key_wrap_with_padding(KEK, b"k" * 16)
    back = wrapping.unwrap_key(session, KWP, None, kek.handle, wrapped, AES)
    assert back.everything()[c.CKA_VALUE] == b"k" * 16
    assert back.attributes[c.CKA_EXTRACTABLE] is True
    assert back.attributes[c.CKA_CHECK_VALUE] == key.attributes[c.CKA_CHECK_VALUE]


def test_nothing_is_made_when_anything_is_wrong(session: Session) -> None:
    kek = create(session)
    wrapped = keywrap.aes_key_wrap_with_padding(KEK, b"k" * 16)
    before = set(session.owned)
    for octets, template, rv in (
        (wrapped[:-1], AES, c.CKR_WRAPPED_KEY_LEN_RANGE),
        (wrapped[:-8], AES, c.CKR_WRAPPED_KEY_INVALID),
        (wrapped, [*AES, (c.CKA_VALUE_LEN, 32)], c.CKR_WRAPPED_KEY_LEN_RANGE),
        (wrapped, [*AES, (c.CKA_PRIVATE, 1)], c.CKR_ATTRIBUTE_VALUE_INVALID),
        (wrapped, AES[:1], c.CKR_TEMPLATE_INCOMPLETE),
    ):
        with fails(rv):
            wrapping.unwrap_key(session, KWP, None, kek.handle, octets, template)
    assert set(session.owned) == before


def test_private_objects_need_the_user(session: Session) -> None:
    kek = create(session, KEK, (c.CKA_PRIVATE, False))
    wrapped = keywrap.aes_key_wrap_with_padding(KEK, b"k" * 16)
    handle = kek.handle
    kek.key()  # parsed while the user is there
    session.token.log_out()
    with fails(c.CKR_USER_NOT_LOGGED_IN):
        template = [*AES, (c.CKA_PRIVATE, True)]
        wrapping.unwrap_key(session, KWP, None, handle, wrapped, template)


def test_derivation(session: Session) -> None:
    base = create(session, KEK, (c.CKA_DERIVE, True), (c.CKA_SENSITIVE, True))
    row = MECHANISMS[c.CKM_XOR_BASE_AND_DATA]
    parameter = StringData(b"\xff" * 32)
    template = [(c.CKA_KEY_TYPE, c.CKK_AES), (c.CKA_VALUE_LEN, 16)]
    key = derivation.derive_key(session, row, parameter, base.handle, template)
    assert key is not None
    assert key.everything()[c.CKA_VALUE] == bytes(0xFF ^ n for n in range(16))
    assert key.attributes[c.CKA_SENSITIVE] is True
    assert key.attributes[c.CKA_ALWAYS_SENSITIVE] is False
    with fails(c.CKR_MECHANISM_INVALID):
        derivation.derive_key(session, KWP, None, base.handle, template)


def test_a_token_object_survives_only_as_a_whole(session: Session) -> None:
    kek = create(session)
    wrapped = keywrap.aes_key_wrap_with_padding(KEK, b"k" * 16)
    template = [*AES, (c.CKA_TOKEN, True), (c.CKA_LABEL, b"back")]
    back = wrapping.unwrap_key(session, KWP, None, kek.handle, wrapped, template)
    assert back.record_id
    assert session.token.objects().find([(c.CKA_LABEL, b"back")]) == [back.handle]


# -- lengths ----------------------------------------------------------------------------------

ANY: frozenset[int] = frozenset()
OF_AES = frozenset({16, 24, 32})


@pytest.mark.parametrize(
    ("octets", "unit", "lengths", "given_", "expected"),
    [
        (b"k" * 16, 16, OF_AES, None, 16),
        (b"k" * 32, 16, OF_AES, None, 32),
        (b"k" * 24 + bytes(8), 16, OF_AES, 24, 24),
        (b"k" * 24 + bytes(8), 16, OF_AES, 32, 32),
        (b"k" * 24, 8, OF_AES, None, 24),
        (b"k" * 17, 1, ANY, None, 17),
        (b"k" * 17, 1, ANY, 17, 17),
        (b"k" * 17 + bytes(7), 8, ANY, 17, 17),
        (b"k" * 17 + bytes(7), 8, ANY, 20, 20),
    ],
)
def test_how_long_an_unwrapped_key_is(
    octets: bytes, unit: int, lengths: frozenset[int], given_: int | None, expected: int
) -> None:
    assert wrapping._cut(octets, unit, lengths, given_) == octets[:expected]


@pytest.mark.parametrize(
    ("octets", "unit", "lengths", "given_", "rv"),
    [
        (b"k" * 24 + bytes(8), 16, OF_AES, None, c.CKR_TEMPLATE_INCOMPLETE),
        (b"k" * 24, 8, ANY, None, c.CKR_TEMPLATE_INCOMPLETE),
        (b"k" * 32, 16, OF_AES, 24, c.CKR_WRAPPED_KEY_LEN_RANGE),
        (b"k" * 32, 16, OF_AES, 16, c.CKR_WRAPPED_KEY_LEN_RANGE),
        (b"k" * 40, 8, OF_AES, None, c.CKR_WRAPPED_KEY_LEN_RANGE),
        (b"k" * 17, 1, ANY, 16, c.CKR_WRAPPED_KEY_LEN_RANGE),
        (b"k" * 17 + bytes(7), 8, ANY, 16, c.CKR_WRAPPED_KEY_LEN_RANGE),
        (b"", 1, ANY, None, c.CKR_WRAPPED_KEY_LEN_RANGE),
        (b"", 16, ANY, 0, c.CKR_WRAPPED_KEY_LEN_RANGE),
    ],
)
def test_how_long_it_cannot_be(
    octets: bytes, unit: int, lengths: frozenset[int], given_: int | None, rv: int
) -> None:
    with fails(rv):
        wrapping._cut(octets, unit, lengths, given_)


# -- the tables -------------------------------------------------------------------------------


def test_every_key_that_is_wrapped_is_unwrapped_and_the_reverse() -> None:
    for row in MECHANISMS.values():
        assert (row.wrap is None) == (row.unwrap is None)
        assert bool(row.flags & c.CKF_WRAP) == (row.wrap is not None)
        derives = row.derive is not None, row.derive_many is not None
        assert bool(row.flags & c.CKF_DERIVE) == any(derives)
        assert not all(derives)
        assert row.payload.classes <= ALL_KEYS
        assert row.wrap is not None or row.payload == Payload()
    for key_type in KEY_TYPES.values():
        wrappable = ALL_KEYS.intersection(key_type.complete)
        assert set(key_type.export) == set(key_type.restore) == wrappable


@given(st.binary(max_size=80))
def test_any_octets_are_a_key_or_are_refused(octets: bytes) -> None:
    for key_type in KEY_TYPES.values():
        restore = key_type.restore.get(c.CKO_PRIVATE_KEY)
        if restore is not None:
            with fails(c.CKR_WRAPPED_KEY_INVALID):
                restore(octets)


@given(st.binary(max_size=60), st.binary(max_size=40), st.integers(0, 7))
def test_a_private_key_info_is_read_as_it_was_written(
    parameters: bytes, key: bytes, zeros: int
) -> None:
    identifier = der.object_identifier("1.2.3")
    octets = pkcs8.encode(identifier + parameters, key) + bytes(zeros)
    assert pkcs8.decode(octets) == (identifier, parameters, key)
