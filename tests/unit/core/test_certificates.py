"""What is read out of certificates that enter the token."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pypkcs11.core.certificates import complete_certificate
from pypkcs11.core.templates import Origin, build
from pypkcs11.standard import constants as C  # noqa: N812
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Value

ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An issuer")])
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A subject")])
KEY = ec.derive_private_key(7, ec.SECP256R1())


def certificate(
    start: datetime.datetime = datetime.datetime(2024, 2, 29),
    end: datetime.datetime = datetime.datetime(2050, 1, 2),
    subject: x509.Name = SUBJECT,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .issuer_name(ISSUER)
        .subject_name(subject)
        .not_valid_before(start)
        .not_valid_after(end)
        .serial_number(0x80FF)
        .public_key(KEY.public_key())
    )
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)


DER = certificate()


def completed(value: bytes = DER, **more: Any) -> dict[int, Value]:
    template = (
        (C.CKA_CLASS, C.CKO_CERTIFICATE),
        (C.CKA_CERTIFICATE_TYPE, C.CKC_X_509),
        (C.CKA_VALUE, value),
        *((getattr(C, f"CKA_{name}"), given) for name, given in more.items()),
    )
    attributes = build(template, Origin.CREATE, private=False, so=False)
    return attributes | complete_certificate(attributes)


def refused(rv: int) -> Any:
    return pytest.raises(CryptokiError, check=lambda error: error.rv == rv)


def test_filled_in() -> None:
    attributes = completed()
    assert attributes[C.CKA_SUBJECT] == SUBJECT.public_bytes()
    assert attributes[C.CKA_ISSUER] == ISSUER.public_bytes()
    assert attributes[C.CKA_SERIAL_NUMBER] == bytes.fromhex("02030080ff")
    assert attributes[C.CKA_START_DATE] == b"20240229"
    assert attributes[C.CKA_END_DATE] == b"20500102"
    assert attributes[C.CKA_PUBLIC_KEY_INFO] == KEY.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    assert attributes[C.CKA_CHECK_VALUE] == hashlib.sha1(DER).digest()[:3]
    assert attributes[C.CKA_VALUE] == DER


def test_two_digit_years() -> None:
    value = certificate(datetime.datetime(1950, 6, 1), datetime.datetime(2049, 6, 1))
    attributes = completed(value)
    assert attributes[C.CKA_START_DATE] == b"19500601"
    assert attributes[C.CKA_END_DATE] == b"20490601"


def test_empty_subject() -> None:
    assert completed(certificate(subject=x509.Name([])))[C.CKA_SUBJECT] == b"0\0"


def test_given_stays() -> None:
    # Java writes serial numbers without their DER header, and searches for them so.
    attributes = completed(
        SUBJECT=b"other", SERIAL_NUMBER=b"\x00\x80\xff", END_DATE=b"20300101", ID=b"id"
    )
    assert attributes[C.CKA_SUBJECT] == b"other"
    assert attributes[C.CKA_SERIAL_NUMBER] == b"\x00\x80\xff"
    assert attributes[C.CKA_END_DATE] == b"20300101"
    assert attributes[C.CKA_ID] == b"id"


def test_check_value_is_checked() -> None:
    right = hashlib.sha1(DER).digest()[:3]
    assert completed(CHECK_VALUE=right)[C.CKA_CHECK_VALUE] == right
    with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
        completed(CHECK_VALUE=b"abc")


@pytest.mark.parametrize(
    "value", [b"not a certificate", DER[:-1], DER + b"\0", b"0\x80" + DER[4:], b"0\x00", b"0"]
)
def test_malformed(value: bytes) -> None:
    with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
        completed(value)


def test_by_url() -> None:
    hashes = {"HASH_OF_SUBJECT_PUBLIC_KEY": b"s" * 20, "HASH_OF_ISSUER_PUBLIC_KEY": b"i" * 20}
    attributes = completed(b"", URL=b"https://example.org/", SUBJECT=b"0\0", **hashes)
    assert attributes[C.CKA_CHECK_VALUE] == b""
    assert attributes[C.CKA_NAME_HASH_ALGORITHM] == C.CKM_SHA_1
    with refused(C.CKR_TEMPLATE_INCOMPLETE):
        completed(b"", URL=b"https://example.org/", **hashes)
    with refused(C.CKR_TEMPLATE_INCOMPLETE):
        completed(b"", URL=b"https://example.org/", SUBJECT=b"0\0")
    with refused(C.CKR_TEMPLATE_INCOMPLETE):
        completed(b"", SUBJECT=b"0\0")


def test_attribute_certificate_is_not_read() -> None:
    template = (
        (C.CKA_CLASS, C.CKO_CERTIFICATE),
        (C.CKA_CERTIFICATE_TYPE, C.CKC_X_509_ATTR_CERT),
        (C.CKA_OWNER, b"owner"),
        (C.CKA_VALUE, b"attributes"),
    )
    attributes = build(template, Origin.CREATE, private=False, so=False)
    assert complete_certificate(attributes) == {
        C.CKA_CHECK_VALUE: hashlib.sha1(b"attributes").digest()[:3]
    }


@pytest.mark.parametrize(
    "name",
    [
        "x509/letsencryptx3.pem",
        "x509/wosign-bc-invalid.pem",
        "x509/cryptography.io.pem",
        "x509/v1_cert.pem",
        "x509/ecdsa_root.pem",
    ],
)
def test_real_certificates(name: str) -> None:
    with cryptography_vectors.open_vector_file(name, "rb") as file:
        pem = file.read()
    loaded = x509.load_pem_x509_certificate(pem)
    value = loaded.public_bytes(Encoding.DER)
    attributes = completed(value)
    for type in (C.CKA_SUBJECT, C.CKA_ISSUER, C.CKA_SERIAL_NUMBER, C.CKA_PUBLIC_KEY_INFO):
        octets = attributes[type]
        assert isinstance(octets, bytes)
        assert octets in loaded.tbs_certificate_bytes
    assert attributes[C.CKA_SUBJECT] == loaded.subject.public_bytes()
    start = f"{loaded.not_valid_before_utc:%Y%m%d}"
    assert attributes[C.CKA_START_DATE] == start.encode()


@given(st.data())
def test_damage_is_an_error_or_none(data: st.DataObject) -> None:
    damaged = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(DER) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(1, len(DER)))]
    try:
        completed(bytes(damaged))
    except CryptokiError as error:
        assert error.rv == C.CKR_ATTRIBUTE_VALUE_INVALID
