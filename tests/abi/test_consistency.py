"""Attributes that follow from others: filled in, held against what is given, and kept by copies."""

from __future__ import annotations

import hashlib
import subprocess
from typing import Any

import pytest
from abi.client import Client, mechanism, number, refused
from abi.conftest import Token, restart
from abi.samples import PAIRS, certificate, sample
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from pypkcs11.standard import constants as C  # noqa: N812

ASYMMETRIC = [
    C.CKK_RSA,
    C.CKK_EC,
    C.CKK_EC_EDWARDS,
    C.CKK_DSA,
    C.CKK_DH,
    C.CKK_X9_42_DH,
]
AES = {C.CKA_CLASS: C.CKO_SECRET_KEY, C.CKA_KEY_TYPE: C.CKK_AES, C.CKA_VALUE: bytes(range(16))}
GENERIC = AES | {C.CKA_KEY_TYPE: C.CKK_GENERIC_SECRET}
READABLE = {C.CKA_SENSITIVE: False, C.CKA_EXTRACTABLE: True}


def spki(key: Any) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def is_understood(made: bytes) -> bool:
    """Whether another reader finds the same key in a CKA_PUBLIC_KEY_INFO."""
    command = ["openssl", "pkey", "-pubin", "-inform", "DER", "-outform", "DER"]
    done = subprocess.run(command, input=made, capture_output=True, check=True)
    return done.stdout == made


def pair(p11: Client, session: int, key_type: int, *more: dict[int, Any]) -> tuple[int, int]:
    kind, public = PAIRS[key_type]
    on_public, on_private = more or ({}, {})
    return p11.generate_pair(session, mechanism(kind), public | on_public, on_private)


def info(p11: Client, session: int, key: int) -> bytes:
    return p11.get(session, key, C.CKA_PUBLIC_KEY_INFO)


# -- key pairs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", ASYMMETRIC)
def test_both_halves_tell_of_one_key(
    p11: Client, token: Token, session: int, key_type: int
) -> None:
    on_token = {C.CKA_TOKEN: True, C.CKA_LABEL: b"made"}
    public, private = pair(p11, session, key_type, on_token, on_token)
    made = info(p11, session, public)
    assert is_understood(made)
    assert info(p11, session, private) == made
    for key in (public, private):
        copy = p11.copy(session, key, {C.CKA_TOKEN: False})
        assert info(p11, session, copy) == made
    session = restart(p11, token)
    found = p11.find(session, {C.CKA_PUBLIC_KEY_INFO: made})
    assert len(found) == 2
    assert all(p11.get(session, key, C.CKA_LABEL) == b"made" for key in found)


@pytest.mark.parametrize("key_type", ASYMMETRIC)
@pytest.mark.parametrize("object_class", [C.CKO_PUBLIC_KEY, C.CKO_PRIVATE_KEY])
def test_what_is_imported_tells_the_same(
    p11: Client, session: int, key_type: int, object_class: int
) -> None:
    given = sample(p11, session, object_class, key_type)
    key = p11.create(session, given)
    made = info(p11, session, key)
    assert is_understood(made)
    p11.create(session, given | {C.CKA_PUBLIC_KEY_INFO: made})
    p11.create(session, given | {C.CKA_PUBLIC_KEY_INFO: b""})
    other = info(p11, session, pair(p11, session, key_type)[0])
    with refused(C.CKR_TEMPLATE_INCONSISTENT):
        p11.create(session, given | {C.CKA_PUBLIC_KEY_INFO: other})


def test_curve25519_as_opensc_writes_it(p11: Client, session: int) -> None:
    """pkcs11-tool 0.23 counts one octet too many; what is kept is the curve's true name."""
    given = {C.CKA_EC_PARAMS: b"\x13\x0bcurve25519"}
    public, _ = p11.generate_pair(
        session, mechanism(C.CKM_EC_MONTGOMERY_KEY_PAIR_GEN), given, {C.CKA_DERIVE: True}
    )
    assert p11.get(session, public, C.CKA_EC_PARAMS) == bytes.fromhex("06032b656e")
    made = load_der_public_key(info(p11, session, public))
    assert isinstance(made, x25519.X25519PublicKey)


@pytest.mark.parametrize("half", [0, 1])
def test_a_new_pair_cannot_have_the_info_of_another(p11: Client, session: int, half: int) -> None:
    other = info(p11, session, pair(p11, session, C.CKK_EC)[0])
    templates: list[dict[int, Any]] = [{}, {}]
    templates[half] = {C.CKA_PUBLIC_KEY_INFO: other}
    with refused(C.CKR_TEMPLATE_INCONSISTENT):
        pair(p11, session, C.CKK_EC, *templates)


def test_the_info_of_a_private_key_stays_its_own(p11: Client, session: int) -> None:
    _, private = pair(p11, session, C.CKK_EC)
    mine = info(p11, session, private)
    other = info(p11, session, pair(p11, session, C.CKK_EC)[0])
    p11.set(session, private, {C.CKA_PUBLIC_KEY_INFO: mine})
    for wrong in (other, b"", b"nonsense"):
        with refused(C.CKR_TEMPLATE_INCONSISTENT):
            p11.set(session, private, {C.CKA_PUBLIC_KEY_INFO: wrong})
        with refused(C.CKR_TEMPLATE_INCONSISTENT):
            p11.copy(session, private, {C.CKA_PUBLIC_KEY_INFO: wrong})
    assert info(p11, session, private) == mine


# -- secret keys -------------------------------------------------------------------------------


def check_value(key_type: int, value: bytes) -> bytes:
    if key_type == C.CKK_AES:
        return Cipher(algorithms.AES(value), modes.ECB()).encryptor().update(bytes(16))[:3]
    return hashlib.sha1(value).digest()[:3]


@pytest.mark.parametrize("given", [AES, GENERIC], ids=["AES", "generic"])
def test_check_values_of_imported_keys(p11: Client, session: int, given: dict[int, Any]) -> None:
    expected = check_value(given[C.CKA_KEY_TYPE], given[C.CKA_VALUE])
    key = p11.create(session, given | READABLE)
    assert p11.get(session, key, C.CKA_CHECK_VALUE) == expected
    assert number(p11.get(session, key, C.CKA_VALUE_LEN)) == 16
    p11.create(session, given | {C.CKA_CHECK_VALUE: expected})
    with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, given | {C.CKA_CHECK_VALUE: b"\0\0\0"})
    none = p11.create(session, given | {C.CKA_CHECK_VALUE: b""})
    assert p11.get(session, none, C.CKA_CHECK_VALUE) == b""
    assert p11.get(session, p11.copy(session, none, {}), C.CKA_CHECK_VALUE) == b""
    copy = p11.copy(session, key, {C.CKA_SENSITIVE: True})
    assert p11.get(session, copy, C.CKA_CHECK_VALUE) == expected


@pytest.mark.parametrize(
    ("kind", "key_type"),
    [(C.CKM_AES_KEY_GEN, C.CKK_AES), (C.CKM_GENERIC_SECRET_KEY_GEN, C.CKK_GENERIC_SECRET)],
)
def test_check_values_of_generated_keys(
    p11: Client, session: int, kind: int, key_type: int
) -> None:
    key = p11.generate(session, mechanism(kind), READABLE | {C.CKA_VALUE_LEN: 32})
    value = p11.get(session, key, C.CKA_VALUE)
    assert len(value) == 32
    assert p11.get(session, key, C.CKA_CHECK_VALUE) == check_value(key_type, value)
    assert number(p11.get(session, key, C.CKA_VALUE_LEN)) == 32
    template = {C.CKA_VALUE_LEN: 32, C.CKA_CHECK_VALUE: b""}
    assert (
        p11.get(session, p11.generate(session, mechanism(kind), template), C.CKA_CHECK_VALUE) == b""
    )


def test_a_check_value_can_be_taken_away(p11: Client, session: int) -> None:
    key = p11.create(session, AES)
    with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.set(session, key, {C.CKA_CHECK_VALUE: b"\1\2\3"})
    p11.set(session, key, {C.CKA_CHECK_VALUE: b""})
    assert p11.get(session, key, C.CKA_CHECK_VALUE) == b""


# -- certificates ------------------------------------------------------------------------------

X509 = {C.CKA_CLASS: C.CKO_CERTIFICATE, C.CKA_CERTIFICATE_TYPE: C.CKC_X_509}


def test_what_a_certificate_says_of_itself(p11: Client, session: int) -> None:
    der = certificate()
    parsed = x509.load_der_x509_certificate(der)
    said = {
        C.CKA_SUBJECT: parsed.subject.public_bytes(),
        C.CKA_ISSUER: parsed.issuer.public_bytes(),
        C.CKA_SERIAL_NUMBER: b"\2\2" + (4711).to_bytes(2, "big"),
        C.CKA_START_DATE: b"20260101",
        C.CKA_END_DATE: b"20270101",
        C.CKA_PUBLIC_KEY_INFO: spki(parsed.public_key()),
        C.CKA_CHECK_VALUE: hashlib.sha1(der).digest()[:3],
    }
    obj = p11.create(session, X509 | {C.CKA_VALUE: der})
    copy = p11.copy(session, obj, {C.CKA_ID: b"copy"})
    for attribute, value in said.items():
        assert p11.get(session, obj, attribute) == value
        assert p11.get(session, copy, attribute) == value
    assert set(p11.find(session, X509 | said)) == {obj, copy}


def test_what_is_said_of_a_certificate_is_believed(p11: Client, session: int) -> None:
    said = {C.CKA_SUBJECT: b"me", C.CKA_ISSUER: b"them", C.CKA_SERIAL_NUMBER: b"\1"}
    obj = p11.create(session, X509 | {C.CKA_VALUE: certificate()} | said)
    for attribute, value in said.items():
        assert p11.get(session, obj, attribute) == value
    with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, X509 | {C.CKA_VALUE: certificate(), C.CKA_CHECK_VALUE: b"\1\2\3"})


def test_certificates_of_other_types(p11: Client, session: int) -> None:
    attribute_certificate = sample(p11, session, C.CKO_CERTIFICATE, C.CKC_X_509_ATTR_CERT)
    wtls = sample(p11, session, C.CKO_CERTIFICATE, C.CKC_WTLS)
    for given in (attribute_certificate, wtls):
        obj = p11.create(session, given)
        digest = hashlib.sha1(given[C.CKA_VALUE]).digest()
        assert p11.get(session, obj, C.CKA_CHECK_VALUE) == digest[:3]
        with refused(C.CKR_TEMPLATE_INCOMPLETE):
            p11.create(session, given | {C.CKA_VALUE: b""})
    # A certificate that is elsewhere is known by its address and the hashes of its keys.
    elsewhere = wtls | {C.CKA_VALUE: b"", C.CKA_URL: b"https://example.org/c"}
    obj = p11.create(session, elsewhere)
    assert p11.get(session, obj, C.CKA_URL) == b"https://example.org/c"
    with refused(C.CKR_TEMPLATE_INCOMPLETE):
        p11.create(session, elsewhere | {C.CKA_HASH_OF_ISSUER_PUBLIC_KEY: b""})


# -- trust -------------------------------------------------------------------------------------


def test_trust(p11: Client, token: Token, session: int) -> None:
    given = {C.CKA_CLASS: C.CKO_TRUST, C.CKA_ISSUER: b"them", C.CKA_SERIAL_NUMBER: b"\2\1\1"}
    placed = {C.CKA_TRUST_SERVER_AUTH: C.CKT_TRUST_ANCHOR, C.CKA_TOKEN: True}
    with refused(C.CKR_TEMPLATE_INCOMPLETE):
        p11.create(session, given | placed)
    p11.create(session, given | placed | {C.CKA_HASH_OF_CERTIFICATE: bytes(20)})
    p11.create(session, given | {C.CKA_TRUST_CODE_SIGNING: C.CKT_NOT_TRUSTED})
    with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, given | {C.CKA_TRUST_SERVER_AUTH: 99})
    p11.do("C_Logout", session)  # public, for everyone to read
    (found,) = p11.find(session, {C.CKA_ISSUER: b"them", C.CKA_TOKEN: True})
    assert number(p11.get(session, found, C.CKA_TRUST_SERVER_AUTH)) == C.CKT_TRUST_ANCHOR
    assert number(p11.get(session, found, C.CKA_TRUST_CLIENT_AUTH)) == C.CKT_TRUST_UNKNOWN
    assert number(p11.get(session, found, C.CKA_NAME_HASH_ALGORITHM)) == C.CKM_SHA_1


@pytest.mark.parametrize(
    ("object_class", "key_type"),
    [
        (C.CKO_DOMAIN_PARAMETERS, C.CKK_GOST28147),
        (C.CKO_OTP_KEY, C.CKK_HOTP),
        (C.CKO_SECRET_KEY, C.CKK_SKIPJACK),
    ],
)
def test_what_no_mechanism_can_use(
    p11: Client, session: int, object_class: int, key_type: int
) -> None:
    given = {C.CKA_CLASS: object_class, C.CKA_KEY_TYPE: key_type, C.CKA_VALUE: bytes(16)}
    if object_class == C.CKO_DOMAIN_PARAMETERS:
        given[C.CKA_OBJECT_ID] = b"\6\1\0"
    with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, given)
