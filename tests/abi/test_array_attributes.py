"""Attributes whose values are arrays: of attributes (templates), and of numbers."""

from __future__ import annotations

from typing import Any

import pytest
from abi.client import NULL, RV, Client, encode, ffi, mechanism, octets, refused, template
from abi.conftest import Token, restart

from pypkcs11.standard.constants import (
    CK_UNAVAILABLE_INFORMATION,
    CKA_ALLOWED_MECHANISMS,
    CKA_CLASS,
    CKA_DECAPSULATE_TEMPLATE,
    CKA_DERIVE_TEMPLATE,
    CKA_EC_PARAMS,
    CKA_ENCAPSULATE_TEMPLATE,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_SENSITIVE,
    CKA_SIGN,
    CKA_TOKEN,
    CKA_UNWRAP_TEMPLATE,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKA_WRAP_TEMPLATE,
    CKF_ARRAY_ATTRIBUTE,
    CKK_AES,
    CKM_AES_CBC,
    CKM_AES_CMAC,
    CKM_AES_ECB,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_ECDSA_SHA256,
    CKO_SECRET_KEY,
    CKR_ARGUMENTS_BAD,
    CKR_ATTRIBUTE_READ_ONLY,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_BUFFER_TOO_SMALL,
    CKR_MECHANISM_INVALID,
    CKR_OK,
)

AES = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE: bytes(range(16))}
NESTED = ((CKA_LABEL, b"wrapped"), (CKA_SENSITIVE, True), (CKA_VALUE_LEN, 16), (CKA_ID, b""))
AS_READ = tuple((type, encode(value)) for type, value in NESTED)
SECRET = (CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE)
PUBLIC = (CKA_WRAP_TEMPLATE, CKA_ENCAPSULATE_TEMPLATE)
PRIVATE = (CKA_UNWRAP_TEMPLATE, CKA_DECAPSULATE_TEMPLATE, CKA_DERIVE_TEMPLATE)
P256 = bytes.fromhex("06082a8648ce3d030107")
SIZE = ffi.sizeof("CK_ATTRIBUTE")


def get(p11: Client, session: int, obj: int, array: Any, length: int) -> tuple[RV, int]:
    """CKA_WRAP_TEMPLATE into an array that is said to be so long."""
    one = ffi.new("CK_ATTRIBUTE *", (CKA_WRAP_TEMPLATE, array, length))
    return p11.C_GetAttributeValue(session, obj, one, 1), int(one.ulValueLen)


# -- arrays of attributes ----------------------------------------------------------------------


@pytest.mark.parametrize("attribute", SECRET)
@pytest.mark.parametrize("on_token", [True, False])
def test_templates_are_kept(
    p11: Client, token: Token, session: int, attribute: int, on_token: bool
) -> None:
    key = p11.create(session, AES | {attribute: NESTED, CKA_TOKEN: on_token})
    assert p11.get_template(session, key, attribute) == AS_READ
    for other in set(SECRET) - {attribute}:
        assert p11.get_template(session, key, other) == ()
    copy = p11.copy(session, key, {CKA_TOKEN: False})
    assert p11.get_template(session, copy, attribute) == AS_READ
    if on_token:
        session = restart(p11, token)
        (key,) = p11.find(session, {CKA_CLASS: CKO_SECRET_KEY})
        assert p11.get_template(session, key, attribute) == AS_READ


def test_templates_of_key_pairs(p11: Client, session: int) -> None:
    made = p11.generate_pair(
        session,
        mechanism(CKM_EC_KEY_PAIR_GEN),
        {CKA_EC_PARAMS: P256} | dict.fromkeys(PUBLIC, NESTED),
        dict.fromkeys(PRIVATE, NESTED),
    )
    for key, attributes in zip(made, (PUBLIC, PRIVATE), strict=True):
        for attribute in attributes:
            assert p11.get_template(session, key, attribute) == AS_READ


@pytest.mark.parametrize("attribute", [CKA_ENCAPSULATE_TEMPLATE, CKA_DECAPSULATE_TEMPLATE])
def test_the_two_numbers_of_a_template(p11: Client, session: int, attribute: int) -> None:
    """The header of v3.2 leaves CKF_ARRAY_ATTRIBUTE out of these; others have it in."""
    number = attribute | CKF_ARRAY_ATTRIBUTE
    given: tuple[dict[int, Any], ...] = ({CKA_EC_PARAMS: P256}, {})
    mine = given[attribute == CKA_DECAPSULATE_TEMPLATE]
    mine[number] = NESTED
    made = p11.generate_pair(session, mechanism(CKM_EC_KEY_PAIR_GEN), *given)
    key = made[attribute == CKA_DECAPSULATE_TEMPLATE]
    assert p11.get_template(session, key, attribute) == AS_READ
    assert p11.get_template(session, key, number) == AS_READ
    assert p11.find(session, {number: NESTED}) == [key]
    assert p11.find(session, {attribute: NESTED}) == [key]


def test_the_length_of_a_template(p11: Client, session: int) -> None:
    key = p11.create(session, AES | {CKA_WRAP_TEMPLATE: NESTED})
    whole = len(NESTED) * SIZE
    assert get(p11, session, key, NULL, 0) == (CKR_OK, whole)
    array = ffi.new("CK_ATTRIBUTE[]", len(NESTED) + 1)
    assert get(p11, session, key, array, whole - SIZE) == (
        CKR_BUFFER_TOO_SMALL,
        CK_UNAVAILABLE_INFORMATION,
    )
    assert all(entry.type == 0 and entry.ulValueLen == 0 for entry in array)
    assert get(p11, session, key, array, whole + SIZE) == (CKR_OK, whole)
    assert [int(entry.type) for entry in array] == [type for type, _ in NESTED] + [0]
    assert [int(entry.ulValueLen) for entry in array] == [7, 1, 8, 0, 0]


def test_lengths_within_a_template(p11: Client, session: int) -> None:
    """Types are not looked at on input; what does not fit does not keep the others from coming."""
    key = p11.create(session, AES | {CKA_WRAP_TEMPLATE: NESTED})
    label, sensitive, length = octets(bytes(7)), octets(b"\xa5"), octets(b"\xa5" * 8)
    array = ffi.new("CK_ATTRIBUTE[]", len(NESTED))
    for entry, value, room in zip(array, (label, sensitive, length), (6, 1, 8), strict=False):
        entry.type, entry.pValue, entry.ulValueLen = 0x7777, value, room
    rv, told = get(p11, session, key, array, len(NESTED) * SIZE)
    assert (rv, told) == (CKR_BUFFER_TOO_SMALL, len(NESTED) * SIZE)
    lengths = [int(entry.ulValueLen) for entry in array]
    assert lengths == [CK_UNAVAILABLE_INFORMATION, 1, 8, 0]
    assert bytes(ffi.buffer(label, 7)) == bytes(7)
    assert bytes(ffi.buffer(sensitive, 1)) == b"\1"
    assert int.from_bytes(ffi.buffer(length, 8), "little") == 16
    assert [int(entry.type) for entry in array] == [type for type, _ in NESTED]


@pytest.mark.parametrize(
    ("nested", "rv"),
    [
        (((CKA_WRAP_TEMPLATE, ((CKA_LABEL, b"x"),)),), CKR_ATTRIBUTE_VALUE_INVALID),
        (((CKA_SIGN, b"\2"),), CKR_ATTRIBUTE_VALUE_INVALID),
        (((CKA_VALUE_LEN, b"short"),), CKR_ATTRIBUTE_VALUE_INVALID),
        (((0x3FFFFFF1, b"unknown"),), CKR_ATTRIBUTE_VALUE_INVALID),
    ],
)
def test_wrong_templates(p11: Client, session: int, nested: Any, rv: int) -> None:
    with refused(rv):
        p11.create(session, AES | {CKA_WRAP_TEMPLATE: nested})
    assert p11.find(session, {}) == []


def test_a_template_that_is_nowhere(p11: Client, session: int) -> None:
    array, count = template(AES | {CKA_WRAP_TEMPLATE: NESTED})
    array[count - 1].pValue = NULL
    handle = ffi.new("CK_OBJECT_HANDLE *")
    rv = p11.C_CreateObject(session, array, count, handle)
    assert rv in (CKR_ATTRIBUTE_VALUE_INVALID, CKR_ARGUMENTS_BAD)
    array, count = template(AES | {CKA_WRAP_TEMPLATE: NESTED})
    array[count - 1].ulValueLen -= 1
    assert p11.C_CreateObject(session, array, count, handle) == CKR_ATTRIBUTE_VALUE_INVALID


def test_templates_do_not_change(p11: Client, session: int) -> None:
    key = p11.create(session, AES | {CKA_WRAP_TEMPLATE: NESTED})
    with refused(CKR_ATTRIBUTE_READ_ONLY):
        p11.set(session, key, {CKA_WRAP_TEMPLATE: ()})
    assert p11.get_template(session, key, CKA_WRAP_TEMPLATE) == AS_READ


def test_searching_by_a_template(p11: Client, session: int) -> None:
    key = p11.create(session, AES | {CKA_WRAP_TEMPLATE: NESTED})
    plain = p11.create(session, AES)
    assert p11.find(session, {CKA_WRAP_TEMPLATE: NESTED}) == [key]
    assert p11.find(session, {CKA_WRAP_TEMPLATE: NESTED[:1]}) == []
    assert p11.find(session, {CKA_WRAP_TEMPLATE: ()}) == [plain]


# -- arrays of numbers -------------------------------------------------------------------------


def test_allowed_mechanisms_are_kept(p11: Client, token: Token, session: int) -> None:
    allowed = (CKM_AES_ECB, CKM_AES_CMAC, 2**63)
    key = p11.create(session, AES | {CKA_ALLOWED_MECHANISMS: allowed, CKA_TOKEN: True})
    value = b"".join(number.to_bytes(8, "little") for number in allowed)
    assert p11.get(session, key, CKA_ALLOWED_MECHANISMS) == value
    session = restart(p11, token)
    assert p11.find(session, {CKA_ALLOWED_MECHANISMS: allowed})
    assert not p11.find(session, {CKA_ALLOWED_MECHANISMS: allowed[:2]})
    with refused(CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, AES | {CKA_ALLOWED_MECHANISMS: b"seven b"})


def test_only_allowed_mechanisms_are(p11: Client, session: int) -> None:
    key = p11.create(session, AES | {CKA_ALLOWED_MECHANISMS: (CKM_AES_ECB,)})
    block = bytes(16)
    text = p11.encrypt(session, mechanism(CKM_AES_ECB), key, block)
    assert p11.decrypt(session, mechanism(CKM_AES_ECB), key, text) == block
    for init, kind in (
        ("C_EncryptInit", mechanism(CKM_AES_CBC, block)),
        ("C_DecryptInit", mechanism(CKM_AES_CBC, block)),
        ("C_SignInit", mechanism(CKM_AES_CMAC)),
        ("C_VerifyInit", mechanism(CKM_AES_CMAC)),
    ):
        assert getattr(p11, init)(session, kind, key) == CKR_MECHANISM_INVALID
    anything = p11.create(session, AES | {CKA_ALLOWED_MECHANISMS: ()})
    assert p11.sign(session, mechanism(CKM_AES_CMAC), anything, block)


def test_each_key_of_a_pair_has_its_own_mechanisms(p11: Client, session: int) -> None:
    public, private = p11.generate_pair(
        session,
        mechanism(CKM_EC_KEY_PAIR_GEN),
        {CKA_EC_PARAMS: P256, CKA_ALLOWED_MECHANISMS: (CKM_ECDSA_SHA256, CKM_ECDSA)},
        {CKA_ALLOWED_MECHANISMS: (CKM_ECDSA_SHA256,), CKA_EXTRACTABLE: False},
    )
    signature = p11.sign(session, mechanism(CKM_ECDSA_SHA256), private, b"message")
    p11.verify(session, mechanism(CKM_ECDSA_SHA256), public, signature, b"message")
    assert p11.C_SignInit(session, mechanism(CKM_ECDSA), private) == CKR_MECHANISM_INVALID
    p11.do("C_VerifyInit", session, mechanism(CKM_ECDSA), public)
    with refused(CKR_ATTRIBUTE_TYPE_INVALID):
        p11.get_template(session, public, CKA_UNWRAP_TEMPLATE)
