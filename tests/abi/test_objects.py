"""Objects and their attributes through the C boundary (sections 4 and 5.7)."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from abi.client import NULL, Client, ffi, mechanism, number, octets, refused, template
from abi.conftest import Token, restart
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pypkcs11.standard.constants import (
    CK_UNAVAILABLE_INFORMATION,
    CKA_ALWAYS_SENSITIVE,
    CKA_APPLICATION,
    CKA_CERTIFICATE_TYPE,
    CKA_CLASS,
    CKA_COEFFICIENT,
    CKA_COPYABLE,
    CKA_DECRYPT,
    CKA_DERIVE,
    CKA_DESTROYABLE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ENCRYPT,
    CKA_EXPONENT_1,
    CKA_EXPONENT_2,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_ISSUER,
    CKA_KEY_GEN_MECHANISM,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_LOCAL,
    CKA_MODIFIABLE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_NEVER_EXTRACTABLE,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_PRIVATE,
    CKA_PRIVATE_EXPONENT,
    CKA_PUBLIC_EXPONENT,
    CKA_SENSITIVE,
    CKA_SERIAL_NUMBER,
    CKA_SIGN,
    CKA_START_DATE,
    CKA_SUBJECT,
    CKA_TOKEN,
    CKA_TRUSTED,
    CKA_UNIQUE_ID,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKA_VERIFY,
    CKA_WRAP,
    CKC_X_509,
    CKK_AES,
    CKK_EC,
    CKK_GENERIC_SECRET,
    CKK_RSA,
    CKM_AES_KEY_GEN,
    CKM_EC_KEY_PAIR_GEN,
    CKM_GENERIC_SECRET_KEY_GEN,
    CKM_RSA_PKCS,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    CKM_SHA256,
    CKO_CERTIFICATE,
    CKO_DATA,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKR_ACTION_PROHIBITED,
    CKR_ATTRIBUTE_READ_ONLY,
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_BUFFER_TOO_SMALL,
    CKR_MECHANISM_INVALID,
    CKR_OBJECT_HANDLE_INVALID,
    CKR_OK,
    CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
)

DATA = {CKA_CLASS: CKO_DATA, CKA_LABEL: "note", CKA_VALUE: b"text"}
AES = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE: bytes(range(16))}
P256 = bytes.fromhex("06082a8648ce3d030107")
SECRET_RSA = (
    CKA_PRIVATE_EXPONENT,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_EXPONENT_1,
    CKA_EXPONENT_2,
    CKA_COEFFICIENT,
)


def big(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def rsa_private(key: rsa.RSAPrivateKey) -> dict[int, Any]:
    n = key.private_numbers()
    return {
        CKA_CLASS: CKO_PRIVATE_KEY,
        CKA_KEY_TYPE: CKK_RSA,
        CKA_MODULUS: big(n.public_numbers.n),
        CKA_PUBLIC_EXPONENT: big(n.public_numbers.e),
        CKA_PRIVATE_EXPONENT: big(n.d),
        CKA_PRIME_1: big(n.p),
        CKA_PRIME_2: big(n.q),
        CKA_EXPONENT_1: big(n.dmp1),
        CKA_EXPONENT_2: big(n.dmq1),
        CKA_COEFFICIENT: big(n.iqmp),
    }


# -- creating and searching --------------------------------------------------------------------


def test_what_is_created_is_read_back(p11: Client, session: int) -> None:
    made = p11.create(session, DATA | {CKA_APPLICATION: "tests", CKA_TOKEN: True})
    assert p11.get(session, made, CKA_LABEL) == b"note"
    assert p11.get(session, made, CKA_VALUE) == b"text"
    assert p11.get(session, made, CKA_APPLICATION) == b"tests"
    assert number(p11.get(session, made, CKA_CLASS)) == CKO_DATA
    assert p11.get(session, made, CKA_TOKEN) == b"\1"
    assert p11.get(session, made, CKA_PRIVATE) == b"\1"  # the user is logged in
    for attribute in (CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE):
        assert p11.get(session, made, attribute) == b"\1"


def test_every_object_has_an_id_of_its_own(p11: Client, token: Token, session: int) -> None:
    made = [p11.create(session, DATA | {CKA_TOKEN: t}) for t in (True, True, False)]
    ids = [p11.get(session, obj, CKA_UNIQUE_ID) for obj in made]
    assert len(set(ids)) == 3
    assert all(ids)
    assert p11.find(session, {CKA_UNIQUE_ID: ids[0]}) == [made[0]]
    with refused(CKR_ATTRIBUTE_READ_ONLY):
        p11.create(session, DATA | {CKA_UNIQUE_ID: "mine"})
    session = restart(p11, token)
    assert len(p11.find(session, {CKA_UNIQUE_ID: ids[0]})) == 1


def test_searching(p11: Client, session: int) -> None:
    notes = [
        p11.create(session, DATA | {CKA_LABEL: f"n{i}", CKA_TOKEN: i % 2 == 0}) for i in range(5)
    ]
    keys = [p11.create(session, AES | {CKA_ID: bytes([i % 2]), CKA_LABEL: "k"}) for i in range(4)]
    everything = set(notes + keys)
    assert set(p11.find(session, {})) == everything
    assert set(p11.find(session, {CKA_CLASS: CKO_DATA})) == set(notes)
    assert set(p11.find(session, {CKA_KEY_TYPE: CKK_AES})) == set(keys)
    assert set(p11.find(session, {CKA_ID: b"\1"})) == {keys[1], keys[3]}
    assert p11.find(session, {CKA_ID: b"\1", CKA_LABEL: "n1"}) == []
    assert p11.find(session, {CKA_LABEL: "n3", CKA_CLASS: CKO_DATA}) == [notes[3]]
    assert p11.find(session, {CKA_LABEL: "n"}) == []
    assert set(p11.find(session, {CKA_TOKEN: True})) == {notes[0], notes[2], notes[4]}
    for step in (1, 2, 100):
        found = p11.find(session, {}, step)
        assert len(found) == len(everything)
        assert set(found) == everything
    p11.do("C_DestroyObject", session, notes[0])
    assert set(p11.find(session, {CKA_CLASS: CKO_DATA})) == set(notes[1:])


def test_a_search_does_not_reveal_secrets(p11: Client, session: int) -> None:
    hidden = p11.create(session, AES | {CKA_SENSITIVE: True, CKA_EXTRACTABLE: False})
    shown = p11.create(session, AES | {CKA_SENSITIVE: False, CKA_EXTRACTABLE: True})
    assert p11.find(session, {CKA_VALUE: AES[CKA_VALUE]}) == [shown]
    assert set(p11.find(session, {CKA_CLASS: CKO_SECRET_KEY})) == {hidden, shown}


def test_the_search_is_an_operation(p11: Client, session: int) -> None:
    handles, count = ffi.new("CK_OBJECT_HANDLE[4]"), ffi.new("CK_ULONG *")
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_FindObjects", session, handles, 4, count)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_FindObjectsFinal", session)
    p11.do("C_FindObjectsInit", session, *template({}))
    with refused(CKR_OPERATION_ACTIVE):
        p11.do("C_FindObjectsInit", session, *template({}))
    p11.do("C_FindObjects", session, handles, 4, count)
    assert count[0] == 0
    p11.do("C_FindObjects", session, handles, 4, count)
    p11.do("C_FindObjectsFinal", session)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_FindObjects", session, handles, 4, count)


def test_objects_live_as_long_as_they_should(p11: Client, token: Token, session: int) -> None:
    p11.create(session, DATA | {CKA_LABEL: "session"})
    p11.create(session, DATA | {CKA_LABEL: "token", CKA_TOKEN: True, CKA_VALUE: b"\0\xff" * 500})
    session = restart(p11, token)
    (found,) = p11.find(session, {})
    assert p11.get(session, found, CKA_LABEL) == b"token"
    assert p11.get(session, found, CKA_VALUE) == b"\0\xff" * 500


def test_destroying(p11: Client, session: int) -> None:
    kept = p11.create(session, DATA | {CKA_TOKEN: True})
    for is_token in (True, False):
        obj = p11.create(session, DATA | {CKA_TOKEN: is_token})
        p11.do("C_DestroyObject", session, obj)
        for _ in range(2):
            with refused(CKR_OBJECT_HANDLE_INVALID):
                p11.do("C_DestroyObject", session, obj)
        with refused(CKR_OBJECT_HANDLE_INVALID):
            p11.get(session, obj, CKA_LABEL)
    with refused(CKR_ACTION_PROHIBITED):
        p11.do("C_DestroyObject", session, p11.create(session, DATA | {CKA_DESTROYABLE: False}))
    assert p11.get(session, kept, CKA_LABEL) == b"note"


def test_the_size_of_an_object(p11: Client, session: int) -> None:
    size = ffi.new("CK_ULONG *")
    p11.do("C_GetObjectSize", session, p11.create(session, DATA), size)
    small = int(size[0])
    large = p11.create(session, DATA | {CKA_VALUE: bytes(10_000)})
    p11.do("C_GetObjectSize", session, large, size)
    assert 0 < small < 10_000 <= size[0] != CK_UNAVAILABLE_INFORMATION


# -- templates that are wrong ------------------------------------------------------------------

WRONG = {
    "no class": ({CKA_LABEL: "x"}, CKR_TEMPLATE_INCOMPLETE),
    "no key type": ({CKA_CLASS: CKO_SECRET_KEY, CKA_VALUE: b"x"}, CKR_TEMPLATE_INCOMPLETE),
    "no value": ({CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES}, CKR_TEMPLATE_INCOMPLETE),
    "no such class": ({CKA_CLASS: 0x7FFF}, CKR_ATTRIBUTE_VALUE_INVALID),
    "no such attribute": (DATA | {0x7FFFFFF: b"x"}, CKR_ATTRIBUTE_TYPE_INVALID),
    "not this class's": (DATA | {CKA_MODULUS: b"x"}, CKR_TEMPLATE_INCONSISTENT),
    "a bool that is none": (DATA | {CKA_PRIVATE: b"\2"}, CKR_ATTRIBUTE_VALUE_INVALID),
    "a bool of no octet": (DATA | {CKA_PRIVATE: b""}, CKR_ATTRIBUTE_VALUE_INVALID),
    "a bool of two": (DATA | {CKA_PRIVATE: b"\0\0"}, CKR_ATTRIBUTE_VALUE_INVALID),
    "a short number": (DATA | {CKA_CLASS: b"\0\0\0\0"}, CKR_ATTRIBUTE_VALUE_INVALID),
    "a date that is none": (AES | {CKA_START_DATE: b"2026-1-1"}, CKR_ATTRIBUTE_VALUE_INVALID),
    "an AES key of 15 octets": (AES | {CKA_VALUE: bytes(15)}, CKR_ATTRIBUTE_VALUE_INVALID),
    "what the token says": (AES | {CKA_LOCAL: True}, CKR_ATTRIBUTE_READ_ONLY),
    "what only the SO says": (AES | {CKA_TRUSTED: True}, CKR_ATTRIBUTE_READ_ONLY),
}


@pytest.mark.parametrize(("attributes", "rv"), WRONG.values(), ids=WRONG)
def test_wrong_templates(p11: Client, session: int, attributes: dict[int, Any], rv: int) -> None:
    before = p11.find(session, {})
    for is_token in (True, False):
        with refused(rv):
            p11.create(session, {CKA_TOKEN: is_token} | attributes)
    assert p11.find(session, {}) == before


def test_an_attribute_twice(p11: Client, session: int) -> None:
    array = ffi.new("CK_ATTRIBUTE[]", 4)
    kept = [ffi.new("CK_ULONG *", CKO_DATA), octets(b"a"), octets(b"b")]
    array[0] = (CKA_CLASS, kept[0], 8)
    array[1] = (CKA_LABEL, kept[1], 1)
    array[2] = (CKA_LABEL, kept[2], 1)
    handle = ffi.new("CK_OBJECT_HANDLE *")
    assert p11.C_CreateObject(session, array, 3, handle) == CKR_TEMPLATE_INCONSISTENT
    assert p11.find(session, {}) == []


def test_generating_with_wrong_templates(p11: Client, session: int) -> None:
    aes = mechanism(CKM_AES_KEY_GEN)
    with refused(CKR_TEMPLATE_INCOMPLETE):
        p11.generate(session, aes, {})
    with refused(CKR_TEMPLATE_INCONSISTENT):
        p11.generate(session, aes, {CKA_VALUE_LEN: 16, CKA_CLASS: CKO_PUBLIC_KEY})
    with refused(CKR_TEMPLATE_INCONSISTENT):
        p11.generate(session, aes, {CKA_VALUE_LEN: 16, CKA_KEY_TYPE: CKK_GENERIC_SECRET})
    rsa_pair = mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN)
    with refused(CKR_TEMPLATE_INCOMPLETE):
        p11.generate_pair(session, rsa_pair, {}, {})
    with refused(CKR_MECHANISM_INVALID):
        p11.generate(session, rsa_pair, {CKA_MODULUS_BITS: 2048})
    with refused(CKR_MECHANISM_INVALID):
        p11.generate(session, mechanism(CKM_SHA256), {CKA_VALUE_LEN: 16})
    assert p11.find(session, {}) == []


# -- C_GetAttributeValue -----------------------------------------------------------------------


def ask(p11: Client, session: int, obj: int, *wanted: tuple[int, int | None]) -> tuple[int, Any]:
    """Ask for attributes, each with a buffer of that many octets, or NULL for None."""
    array = ffi.new("CK_ATTRIBUTE[]", len(wanted))
    kept = []
    for entry, (kind, room) in zip(array, wanted, strict=True):
        buffer = NULL if room is None else ffi.new("CK_BYTE[]", b"\xa5" * (room + 8))
        kept.append(buffer)
        entry.type, entry.pValue, entry.ulValueLen = kind, buffer, room or 0
    rv = p11.C_GetAttributeValue(session, obj, array, len(wanted))
    values = [
        None if entry.ulValueLen == CK_UNAVAILABLE_INFORMATION else int(entry.ulValueLen)
        for entry in array
    ]
    texts = [b and bytes(ffi.buffer(b)) for b in kept]
    return rv, list(zip(values, texts, strict=True))


def test_every_answerable_attribute_is_answered(p11: Client, session: int) -> None:
    key = p11.create(session, AES | {CKA_SENSITIVE: True, CKA_LABEL: "label", CKA_ID: b"id"})
    rv, answers = ask(
        p11,
        session,
        key,
        (CKA_VALUE, 32),  # sensitive
        (CKA_LABEL, 5),
        (CKA_MODULUS, 8),  # an AES key has none
        (CKA_ID, 1),  # no room
        (CKA_KEY_TYPE, 8),
        (CKA_LABEL, None),
    )
    assert rv in (CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL)
    lengths = [length for length, _ in answers]
    assert lengths == [None, 5, None, None, 8, 5]
    assert answers[1][1][:5] == b"label"
    assert number(answers[4][1][:8]) == CKK_AES
    for index in (0, 2, 3):
        assert set(answers[index][1]) <= {0xA5, 0}  # nothing has been written there
    assert AES[CKA_VALUE] not in answers[0][1]


@pytest.mark.parametrize(
    ("wanted", "rv"),
    [
        ((CKA_VALUE, 32), CKR_ATTRIBUTE_SENSITIVE),
        ((CKA_VALUE, None), CKR_ATTRIBUTE_SENSITIVE),
        ((CKA_MODULUS, 8), CKR_ATTRIBUTE_TYPE_INVALID),
        ((0x7FFFFFF, None), CKR_ATTRIBUTE_TYPE_INVALID),
        ((CKA_LABEL, 4), CKR_BUFFER_TOO_SMALL),
        ((CKA_LABEL, 0), CKR_BUFFER_TOO_SMALL),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_each_reason_has_its_code(
    p11: Client, session: int, wanted: tuple[int, int | None], rv: int, first: bool
) -> None:
    key = p11.create(session, AES | {CKA_SENSITIVE: True, CKA_LABEL: "label"})
    other = (CKA_KEY_TYPE, 8)
    asked = (wanted, other) if first else (other, wanted)
    code, answers = ask(p11, session, key, *asked)
    assert code == rv
    if not first:
        answers.reverse()
    assert answers[0][0] is None
    assert answers[1][0] == 8


def test_a_larger_buffer_is_told_the_true_length(p11: Client, session: int) -> None:
    note = p11.create(session, DATA)
    rv, ((length, text),) = ask(p11, session, note, (CKA_LABEL, 20))
    assert (rv, length) == (CKR_OK, 4)
    assert text[:4] == b"note"
    assert text[4:20] == b"\xa5" * 16


def test_empty_attributes_are_there(p11: Client, session: int) -> None:
    key = p11.create(session, AES)
    for attribute in (CKA_LABEL, CKA_ID, CKA_START_DATE):
        assert p11.get(session, key, attribute) == b""


@pytest.mark.parametrize("token_object", [True, False])
@pytest.mark.parametrize(
    ("sensitive", "extractable"), [(True, True), (True, False), (False, False), (False, True)]
)
def test_when_a_secret_can_be_read(
    p11: Client, session: int, sensitive: bool, extractable: bool, token_object: bool
) -> None:
    flags = {CKA_SENSITIVE: sensitive, CKA_EXTRACTABLE: extractable, CKA_TOKEN: token_object}
    key = p11.create(session, AES | flags)
    if extractable and not sensitive:
        assert p11.get(session, key, CKA_VALUE) == AES[CKA_VALUE]
    else:
        with refused(CKR_ATTRIBUTE_SENSITIVE):
            p11.get(session, key, CKA_VALUE)
    assert number(p11.get(session, key, CKA_VALUE_LEN)) == 16


@pytest.mark.parametrize("token_object", [True, False])
def test_every_secret_of_an_rsa_key_is_hidden(
    p11: Client, session: int, rsa_key: rsa.RSAPrivateKey, token_object: bool
) -> None:
    attributes = rsa_private(rsa_key) | {CKA_TOKEN: token_object}
    hidden = p11.create(session, attributes | {CKA_SENSITIVE: True})
    shown = p11.create(session, attributes | {CKA_SENSITIVE: False, CKA_EXTRACTABLE: True})
    for secret in SECRET_RSA:
        with refused(CKR_ATTRIBUTE_SENSITIVE):
            p11.get(session, hidden, secret)
        assert p11.get(session, shown, secret).lstrip(b"\0") == attributes[secret]
    for public in (CKA_MODULUS, CKA_PUBLIC_EXPONENT):
        assert p11.get(session, hidden, public) == attributes[public]


# -- what a new object says of itself ----------------------------------------------------------


def test_generated_and_created_keys_differ(p11: Client, session: int) -> None:
    def flags(key: int) -> tuple[bytes, ...]:
        kinds = (CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE)
        return tuple(p11.get(session, key, kind) for kind in kinds)

    aes = mechanism(CKM_AES_KEY_GEN)
    kept = p11.generate(session, aes, {CKA_VALUE_LEN: 32, CKA_SENSITIVE: True})
    assert flags(kept) == (b"\1", b"\1", b"\1")
    assert number(p11.get(session, kept, CKA_KEY_GEN_MECHANISM)) == CKM_AES_KEY_GEN
    assert number(p11.get(session, kept, CKA_VALUE_LEN)) == 32
    loose = {CKA_VALUE_LEN: 16, CKA_SENSITIVE: False, CKA_EXTRACTABLE: True}
    assert flags(p11.generate(session, aes, loose)) == (b"\1", b"\0", b"\0")
    created = p11.create(session, AES | {CKA_SENSITIVE: True, CKA_EXTRACTABLE: False})
    assert flags(created) == (b"\0", b"\0", b"\0")
    made_by = number(p11.get(session, created, CKA_KEY_GEN_MECHANISM))
    assert made_by == CK_UNAVAILABLE_INFORMATION


def test_defaults_that_applications_lean_on(p11: Client, session: int) -> None:
    def flag(obj: int, attribute: int) -> bool:
        return p11.get(session, obj, attribute) == b"\1"

    public, private = p11.generate_pair(
        session, mechanism(CKM_EC_KEY_PAIR_GEN), {CKA_EC_PARAMS: P256}, {}
    )
    secret = p11.generate(session, mechanism(CKM_AES_KEY_GEN), {CKA_VALUE_LEN: 16})
    for key in (public, private, secret):
        assert not flag(key, CKA_TOKEN)
        assert not flag(key, CKA_DERIVE)
        assert flag(key, CKA_MODIFIABLE)
    assert not flag(public, CKA_PRIVATE)
    assert flag(public, CKA_VERIFY)
    for key in (private, secret):
        assert flag(key, CKA_PRIVATE)
        assert flag(key, CKA_SIGN)
        assert not flag(key, CKA_SENSITIVE)
        assert not flag(key, CKA_EXTRACTABLE)
        with refused(CKR_ATTRIBUTE_SENSITIVE):
            p11.get(session, key, CKA_VALUE)
    assert flag(secret, CKA_ENCRYPT)
    assert flag(secret, CKA_DECRYPT)


def test_generated_keys_are_not_twice_the_same(p11: Client, session: int) -> None:
    wish = {CKA_VALUE_LEN: 32, CKA_SENSITIVE: False, CKA_EXTRACTABLE: True}
    values = set()
    for kind in (CKM_AES_KEY_GEN, CKM_GENERIC_SECRET_KEY_GEN) * 2:
        value = p11.get(session, p11.generate(session, mechanism(kind), wish), CKA_VALUE)
        assert len(value) == 32
        values.add(value)
    assert len(values) == 4


def test_an_rsa_pair(p11: Client, session: int) -> None:
    public, private = p11.generate_pair(
        session,
        mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN),
        {CKA_MODULUS_BITS: 2048, CKA_PUBLIC_EXPONENT: b"\1\0\1"},
        {CKA_SENSITIVE: False, CKA_EXTRACTABLE: True},
    )
    assert number(p11.get(session, public, CKA_MODULUS_BITS)) == 2048
    assert p11.get(session, public, CKA_PUBLIC_EXPONENT) == b"\1\0\1"
    modulus = p11.get(session, public, CKA_MODULUS)
    assert p11.get(session, private, CKA_MODULUS) == modulus
    n, d, p, q = (
        int.from_bytes(p11.get(session, private, kind), "big")
        for kind in (CKA_MODULUS, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2)
    )
    assert n == p * q
    assert n.bit_length() == 2048
    assert pow(pow(2, 65537, n), d, n) == 2


def test_an_ec_pair_on_its_curve(p11: Client, session: int) -> None:
    public, private = p11.generate_pair(
        session,
        mechanism(CKM_EC_KEY_PAIR_GEN),
        {CKA_EC_PARAMS: P256},
        {CKA_SENSITIVE: False, CKA_EXTRACTABLE: True},
    )
    point = p11.get(session, public, CKA_EC_POINT)
    assert point[:2] == b"\x04\x41"  # a DER OCTET STRING of 65 octets
    scalar = int.from_bytes(p11.get(session, private, CKA_VALUE), "big")
    made = ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
    uncompressed = made.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    assert uncompressed == point[2:]
    assert p11.get(session, private, CKA_EC_PARAMS) == P256


def test_wrong_keys_do_not_enter(p11: Client, session: int, rsa_key: rsa.RSAPrivateKey) -> None:
    wrong = rsa_private(rsa_key)
    wrong[CKA_PRIME_1] = big(rsa_key.private_numbers().p + 2)
    for attributes in (
        wrong,
        {
            CKA_CLASS: CKO_PUBLIC_KEY,
            CKA_KEY_TYPE: CKK_EC,
            CKA_EC_PARAMS: P256,
            CKA_EC_POINT: b"\x04\x41\x04" + bytes(63) + b"\1",
        },
    ):
        handle = ffi.new("CK_OBJECT_HANDLE *")
        rv = p11.C_CreateObject(session, *template(attributes), handle)
        assert rv in (CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCONSISTENT)
    assert p11.find(session, {}) == []


# -- changing and copying ----------------------------------------------------------------------


@pytest.mark.parametrize("token_object", [True, False])
def test_changing_attributes(p11: Client, token: Token, session: int, token_object: bool) -> None:
    key = p11.create(session, AES | {CKA_TOKEN: token_object, CKA_LABEL: "old"})
    p11.set(session, key, {CKA_LABEL: "new", CKA_ID: b"\1\2", CKA_SIGN: False})
    assert p11.get(session, key, CKA_LABEL) == b"new"
    assert p11.get(session, key, CKA_SIGN) == b"\0"
    assert p11.find(session, {CKA_LABEL: "old"}) == []
    assert p11.find(session, {CKA_LABEL: "new", CKA_ID: b"\1\2"}) == [key]
    if token_object:
        session = restart(p11, token)
        (key,) = p11.find(session, {CKA_LABEL: "new"})
        assert p11.get(session, key, CKA_ID) == b"\1\2"


def test_a_change_is_whole_or_not_at_all(p11: Client, session: int) -> None:
    key = p11.create(session, AES | {CKA_LABEL: "old", CKA_TOKEN: True})
    for wrong, rv in (
        ({CKA_CLASS: CKO_DATA}, CKR_ATTRIBUTE_READ_ONLY),
        ({CKA_VALUE: bytes(16)}, CKR_ATTRIBUTE_READ_ONLY),
        ({CKA_LOCAL: True}, CKR_ATTRIBUTE_READ_ONLY),
        ({CKA_TOKEN: False}, CKR_ATTRIBUTE_READ_ONLY),
        ({CKA_WRAP: b"\2"}, CKR_ATTRIBUTE_VALUE_INVALID),
    ):
        with refused(rv):
            p11.set(session, key, {CKA_LABEL: "new"} | wrong)
        assert p11.get(session, key, CKA_LABEL) == b"old"
    assert p11.get(session, key, CKA_TOKEN) == b"\1"


def test_secrecy_is_a_one_way_street(p11: Client, session: int) -> None:
    key = p11.create(session, AES | {CKA_SENSITIVE: False, CKA_EXTRACTABLE: True})
    p11.set(session, key, {CKA_SENSITIVE: True})
    with refused(CKR_ATTRIBUTE_SENSITIVE):
        p11.get(session, key, CKA_VALUE)
    p11.set(session, key, {CKA_EXTRACTABLE: False})
    for back in ({CKA_SENSITIVE: False}, {CKA_EXTRACTABLE: True}):
        with refused(CKR_ATTRIBUTE_READ_ONLY):
            p11.set(session, key, back)
        with refused(CKR_ATTRIBUTE_READ_ONLY):
            p11.copy(session, key, back)
    with refused(CKR_ATTRIBUTE_SENSITIVE):
        p11.get(session, p11.copy(session, key, {}), CKA_VALUE)


def test_what_may_not_be_modified(p11: Client, session: int) -> None:
    fixed = p11.create(session, DATA | {CKA_MODIFIABLE: False})
    with refused(CKR_ACTION_PROHIBITED):
        p11.set(session, fixed, {CKA_LABEL: "new"})
    assert p11.get(session, fixed, CKA_LABEL) == b"note"


def test_copying(p11: Client, token: Token, session: int) -> None:
    key = p11.create(session, AES | {CKA_LABEL: "one", CKA_SENSITIVE: False, CKA_EXTRACTABLE: True})
    kept = p11.copy(session, key, {CKA_TOKEN: True, CKA_LABEL: "two"})
    assert kept != key
    assert p11.get(session, key, CKA_LABEL) == b"one"
    assert p11.get(session, key, CKA_UNIQUE_ID) != p11.get(session, kept, CKA_UNIQUE_ID)
    p11.do("C_DestroyObject", session, key)
    session = restart(p11, token)
    (found,) = p11.find(session, {})
    assert p11.get(session, found, CKA_LABEL) == b"two"
    assert p11.get(session, found, CKA_VALUE) == AES[CKA_VALUE]


def test_what_may_not_be_copied(p11: Client, session: int) -> None:
    bound = p11.create(session, DATA | {CKA_COPYABLE: False})
    with refused(CKR_ACTION_PROHIBITED):
        p11.copy(session, bound, {})
    private = p11.create(session, DATA | {CKA_PRIVATE: True})
    with refused(CKR_TEMPLATE_INCONSISTENT):
        p11.copy(session, private, {CKA_PRIVATE: False})
    assert set(p11.find(session, {})) == {bound, private}


# -- certificates and forms of points ----------------------------------------------------------


def certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 4711, now, now.replace(2027))
    return builder.sign(key, hashes.SHA256())


def test_a_certificate(p11: Client, session: int, rsa_key: rsa.RSAPrivateKey) -> None:
    made = certificate(rsa_key)
    der = made.public_bytes(serialization.Encoding.DER)
    subject = made.subject.public_bytes()
    obj = p11.create(
        session,
        {
            CKA_CLASS: CKO_CERTIFICATE,
            CKA_CERTIFICATE_TYPE: CKC_X_509,
            CKA_SUBJECT: subject,
            CKA_ISSUER: subject,
            CKA_SERIAL_NUMBER: b"\x02\x02\x12\x67",
            CKA_VALUE: der,
            CKA_TOKEN: True,
        },
    )
    assert p11.get(session, obj, CKA_VALUE) == der
    assert p11.get(session, obj, CKA_PRIVATE) == b"\0"
    assert p11.get(session, obj, CKA_TRUSTED) == b"\0"
    assert p11.find(session, {CKA_CLASS: CKO_CERTIFICATE, CKA_SUBJECT: subject}) == [obj]
    p11.do("C_Logout", session)
    assert p11.find(session, {CKA_VALUE: der}) == [obj]


POINT = ec.derive_private_key(7, ec.SECP256R1()).public_key()
RAW = POINT.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


@pytest.mark.parametrize(
    "given",
    [b"\x04\x41" + RAW, RAW, b"\x03\x42\0" + RAW],
    ids=["OCTET STRING", "raw", "BIT STRING"],
)
def test_points_are_taken_in_every_form(p11: Client, session: int, given: bytes) -> None:
    key = p11.create(
        session,
        {
            CKA_CLASS: CKO_PUBLIC_KEY,
            CKA_KEY_TYPE: CKK_EC,
            CKA_EC_PARAMS: P256,
            CKA_EC_POINT: given,
        },
    )
    assert p11.get(session, key, CKA_EC_POINT) == b"\x04\x41" + RAW


def test_a_key_that_was_imported_signs(
    p11: Client, token: Token, session: int, rsa_key: rsa.RSAPrivateKey
) -> None:
    from cryptography.hazmat.primitives.asymmetric import padding

    p11.create(session, rsa_private(rsa_key) | {CKA_TOKEN: True, CKA_ID: b"\7"})
    session = restart(p11, token)
    (key,) = p11.find(session, {CKA_CLASS: CKO_PRIVATE_KEY, CKA_ID: b"\7"})
    # CKM_RSA_PKCS signs what it is given: here a DigestInfo made by hand.
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"message")
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest.finalize()
    signature = p11.sign(session, mechanism(CKM_RSA_PKCS), key, info)
    rsa_key.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())
