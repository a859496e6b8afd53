"""C_FindObjects: what any template finds, what nobody may find, and searches amid changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from abi.client import NULL, Client, ffi, mechanism, number, refused, template
from abi.conftest import Token
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypkcs11.standard.constants import (
    CK_UNAVAILABLE_INFORMATION,
    CKA_APPLICATION,
    CKA_CLASS,
    CKA_COEFFICIENT,
    CKA_EXPONENT_1,
    CKA_EXPONENT_2,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_PRIVATE,
    CKA_PRIVATE_EXPONENT,
    CKA_SENSITIVE,
    CKA_TOKEN,
    CKA_UNIQUE_ID,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKK_AES,
    CKK_GENERIC_SECRET,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    CKO_DATA,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_INFORMATION_SENSITIVE,
    CKR_OK,
    CKU_USER,
)

AES = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE: bytes(range(16))}
LABELS = st.sampled_from([b"", b"a", b"b"])
objects = st.one_of(
    st.fixed_dictionaries(
        {
            CKA_CLASS: st.just(CKO_DATA),
            CKA_LABEL: LABELS,
            CKA_APPLICATION: LABELS,
            CKA_TOKEN: st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            CKA_CLASS: st.just(CKO_SECRET_KEY),
            CKA_KEY_TYPE: st.sampled_from([CKK_AES, CKK_GENERIC_SECRET]),
            CKA_LABEL: LABELS,
            CKA_ID: LABELS,
            CKA_VALUE: st.sampled_from([bytes(16), bytes(32)]),
            CKA_EXTRACTABLE: st.booleans(),
        }
    ),
)
templates = st.fixed_dictionaries(
    {},
    optional={
        CKA_CLASS: st.sampled_from([CKO_DATA, CKO_SECRET_KEY]),
        CKA_KEY_TYPE: st.sampled_from([CKK_AES, CKK_GENERIC_SECRET]),
        CKA_LABEL: LABELS,
        CKA_ID: LABELS,
        CKA_APPLICATION: LABELS,
        CKA_TOKEN: st.booleans(),
        CKA_VALUE: st.sampled_from([b"", bytes(16)]),
        CKA_VALUE_LEN: st.sampled_from([16, 32]),
        CKA_EXTRACTABLE: st.booleans(),
    },
)


def shown(attributes: dict[int, Any]) -> dict[int, Any]:
    """What an application sees of an object that it made like this."""
    seen = {CKA_TOKEN: False} | attributes
    if attributes[CKA_CLASS] == CKO_DATA:
        return seen | {CKA_VALUE: b""}
    seen[CKA_VALUE_LEN] = len(attributes[CKA_VALUE])
    if not attributes[CKA_EXTRACTABLE]:
        del seen[CKA_VALUE]
    return seen


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=st.lists(objects, max_size=8), asked=st.lists(templates, min_size=1, max_size=8))
def test_any_template(
    p11: Client, session: int, made: list[dict[int, Any]], asked: list[dict[int, Any]]
) -> None:
    handles = {p11.create(session, attributes): shown(attributes) for attributes in made}
    try:
        for wanted in asked:
            found = p11.find(session, wanted, step=3)
            assert len(found) == len(set(found))
            assert set(found) == {
                handle for handle, seen in handles.items() if wanted.items() <= seen.items()
            }
    finally:
        for handle in handles:
            p11.do("C_DestroyObject", session, handle)


# -- what nobody may find ----------------------------------------------------------------------


@pytest.mark.parametrize("on_token", [True, False])
def test_hidden_values_cannot_be_guessed_at(p11: Client, session: int, on_token: bool) -> None:
    _, open_key = p11.generate_pair(
        session,
        mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN),
        {CKA_MODULUS_BITS: 2048},
        {CKA_SENSITIVE: False, CKA_EXTRACTABLE: True, CKA_TOKEN: on_token},
    )
    sensitive = p11.copy(session, open_key, {CKA_SENSITIVE: True})
    bound = p11.copy(session, open_key, {CKA_EXTRACTABLE: False})
    for secret in (
        CKA_PRIVATE_EXPONENT,
        CKA_PRIME_1,
        CKA_PRIME_2,
        CKA_EXPONENT_1,
        CKA_EXPONENT_2,
        CKA_COEFFICIENT,
    ):
        value = p11.get(session, open_key, secret)
        assert p11.find(session, {secret: value}) == [open_key]
    modulus = p11.get(session, open_key, CKA_MODULUS)
    assert {open_key, sensitive, bound} <= set(p11.find(session, {CKA_MODULUS: modulus}))
    p11.set(session, open_key, {CKA_SENSITIVE: True})
    assert p11.find(session, {secret: value}) == []


def test_open_values_are_sealed_while_nobody_is_logged_in(
    p11: Client, token: Token, session: int
) -> None:
    """A public key object may be seen by everyone, its value by the user alone."""
    flags = {CKA_PRIVATE: False, CKA_TOKEN: True, CKA_SENSITIVE: False, CKA_EXTRACTABLE: True}
    key = p11.create(session, AES | flags)
    assert p11.find(session, {CKA_VALUE: AES[CKA_VALUE]}) == [key]
    p11.do("C_Logout", session)
    assert p11.find(session, {CKA_VALUE: AES[CKA_VALUE]}) == []
    array = ffi.new("CK_ATTRIBUTE[2]", [(CKA_VALUE, ffi.NULL, 0), (CKA_VALUE_LEN, ffi.NULL, 0)])
    assert p11.C_GetAttributeValue(session, key, array, 2) == CKR_ATTRIBUTE_SENSITIVE
    assert [int(entry.ulValueLen) for entry in array] == [CK_UNAVAILABLE_INFORMATION, 8]
    assert p11.C_GetObjectSize(session, key, ffi.new("CK_ULONG *")) == CKR_INFORMATION_SENSITIVE
    p11.login(session, CKU_USER, token.user_pin)
    assert p11.find(session, {CKA_VALUE: AES[CKA_VALUE]}) == [key]


def test_public_objects_need_no_login(p11: Client, session: int) -> None:
    public = {CKA_PRIVATE: False, CKA_TOKEN: True, CKA_VALUE: b"text"}
    note = p11.create(session, {CKA_CLASS: CKO_DATA} | public)
    p11.do("C_Logout", session)
    assert p11.find(session, {CKA_VALUE: b"text"}) == [note]
    copy = p11.copy(session, note, {CKA_LABEL: b"copy"})
    assert p11.get(session, copy, CKA_VALUE) == b"text"
    size = ffi.new("CK_ULONG *")
    assert p11.C_GetObjectSize(session, note, size) == CKR_OK
    assert size[0] > 4


def test_what_is_created_first_of_all_is_there_once(p11: Client, token: Token) -> None:
    p11.do("C_Finalize", NULL)
    p11.do("C_Initialize", NULL)
    session = p11.open(token.slot)
    made = p11.create(session, {CKA_CLASS: CKO_DATA, CKA_TOKEN: True, CKA_PRIVATE: False})
    assert p11.find(session, {CKA_CLASS: CKO_DATA}) == [made]


def test_values_that_cannot_be(p11: Client, session: int) -> None:
    p11.create(session, AES)
    for wanted in ({CKA_TOKEN: b"\2"}, {CKA_VALUE_LEN: b"16"}):
        with refused(CKR_ATTRIBUTE_VALUE_INVALID):
            p11.find(session, wanted)
    assert p11.find(session, {0x3FFFFFF1: b"unknown"}) == []
    assert len(p11.find(session, {})) == 1


# -- searches amid changes ---------------------------------------------------------------------


def test_what_is_found_is_settled_at_the_beginning(p11: Client, session: int) -> None:
    first = [p11.create(session, {CKA_CLASS: CKO_DATA, CKA_LABEL: b"x"}) for _ in range(3)]
    p11.do("C_FindObjectsInit", session, *template({CKA_LABEL: b"x"}))
    p11.create(session, {CKA_CLASS: CKO_DATA, CKA_LABEL: b"x"})
    p11.set(session, first[2], {CKA_LABEL: b"y"})
    handles, count = ffi.new("CK_OBJECT_HANDLE[8]"), ffi.new("CK_ULONG *")
    p11.do("C_FindObjects", session, handles, 8, count)
    assert [int(handles[i]) for i in range(count[0])] == first
    p11.do("C_FindObjectsFinal", session)
    assert len(p11.find(session, {CKA_LABEL: b"x"})) == 3


@pytest.fixture
def busy(p11: Client, token: Token, session: int) -> Iterator[list[int]]:
    """Objects that stay, while other threads make, change and destroy others like them."""
    alike = {CKA_CLASS: CKO_DATA, CKA_APPLICATION: b"crowd"}
    kept = [p11.create(session, alike | {CKA_LABEL: f"{i}"}) for i in range(20)]
    over, failures = threading.Event(), []

    def work(on_token: bool) -> None:
        try:
            own = p11.open(token.slot)
            while not over.is_set():
                made = p11.create(own, alike | {CKA_LABEL: b"passing", CKA_TOKEN: on_token})
                p11.set(own, made, {CKA_LABEL: b"by"})
                p11.do("C_DestroyObject", own, made)
        except Exception as failure:
            failures.append(failure)

    def rename() -> None:
        try:
            own, turn = p11.open(token.slot), 0
            while not over.is_set():
                turn += 1
                p11.set(own, kept[turn % 20], {CKA_LABEL: f"{turn}"})
        except Exception as failure:
            failures.append(failure)

    workers = [threading.Thread(target=work, args=(on_token,)) for on_token in (True, False)]
    workers.append(threading.Thread(target=rename))
    for worker in workers:
        worker.start()
    yield kept
    over.set()
    for worker in workers:
        worker.join(30)
    assert failures == []


@pytest.mark.parametrize(
    "wanted", [{CKA_CLASS: CKO_DATA}, {CKA_APPLICATION: b"crowd"}, {}], ids=["index", "scan", "all"]
)
def test_what_stays_is_always_found(
    p11: Client, session: int, busy: list[int], wanted: dict[int, Any]
) -> None:
    for _ in range(150):
        found = p11.find(session, wanted)
        assert len(found) == len(set(found))
        assert set(busy) <= set(found)


@pytest.mark.parametrize("on_token", [True, False])
def test_changes_at_once_do_not_undo_each_other(
    p11: Client, token: Token, session: int, on_token: bool
) -> None:
    key = p11.create(session, AES | {CKA_TOKEN: on_token, CKA_EXTRACTABLE: True})
    failures: list[Exception] = []

    def work(attribute: int) -> None:
        try:
            own = p11.open(token.slot)
            for turn in range(30):
                p11.set(own, key, {attribute: f"{turn}"})
        except Exception as failure:
            failures.append(failure)

    workers = [threading.Thread(target=work, args=(type,)) for type in (CKA_LABEL, CKA_ID)]
    for worker in workers:
        worker.start()
    p11.set(session, key, {CKA_SENSITIVE: True})
    for worker in workers:
        worker.join(60)
    assert failures == []
    assert p11.get(session, key, CKA_SENSITIVE) == b"\1"
    assert p11.get(session, key, CKA_LABEL) == p11.get(session, key, CKA_ID) == b"29"


# -- finding one -------------------------------------------------------------------------------


def test_one_among_many(p11: Client, session: int) -> None:
    keys = [p11.create(session, AES | {CKA_ID: i.to_bytes(2, "big")}) for i in range(500)]
    for i in (0, 250, 499):
        key = keys[i]
        assert p11.find(session, {CKA_ID: i.to_bytes(2, "big")}) == [key]
        unique = p11.get(session, key, CKA_UNIQUE_ID)
        assert p11.find(session, {CKA_UNIQUE_ID: unique}) == [key]
        assert p11.find(session, {CKA_CLASS: CKO_DATA, CKA_UNIQUE_ID: unique}) == []
        assert number(p11.get(session, key, CKA_VALUE_LEN)) == 16
