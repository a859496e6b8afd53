"""Digests, HMACs and the secrets that HMACs are made with."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.mechanisms.keys import fails, secret, sign, verify

from pypkcs11.mechanisms import generic
from pypkcs11.mechanisms.parameters import MacGeneral
from pypkcs11.mechanisms.table import complete_key, mechanisms
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

#: OpenSSL's name, digest, HMAC, general-length HMAC, the HMAC key's type.
HASHES = [
    (
        name,
        getattr(c, f"CKM_{ours}"),
        getattr(c, f"CKM_{ours}_HMAC"),
        getattr(c, f"CKM_{ours}_HMAC_GENERAL"),
        getattr(c, f"CKK_{ours}_HMAC"),
    )
    for name, ours in (
        ("md5", "MD5"),
        ("sha1", "SHA_1"),
        ("sha224", "SHA224"),
        ("sha256", "SHA256"),
        ("sha384", "SHA384"),
        ("sha512", "SHA512"),
        ("sha512-224", "SHA512_224"),
        ("sha512-256", "SHA512_256"),
        ("sha3-224", "SHA3_224"),
        ("sha3-256", "SHA3_256"),
        ("sha3-384", "SHA3_384"),
        ("sha3-512", "SHA3_512"),
        ("blake2b512", "BLAKE2B_512"),
    )
]
hashes = pytest.mark.parametrize(
    ("name", "digest", "hmac", "general", "key_type"), HASHES, ids=[row[0] for row in HASHES]
)
SECRET = bytes(range(40))
MESSAGE = b"what do ya want for nothing?" * 20


def digest_of(mechanism: int, parts: list[bytes]) -> bytes:
    row = MECHANISMS[mechanism]
    assert row.digest
    operation = row.digest(None)
    for part in parts:
        operation.update(memoryview(part))
    result = operation.finish()
    assert len(result) == operation.length
    return result


@hashes
def test_openssl_agrees(name: str, digest: int, hmac: int, general: int, key_type: int) -> None:
    def theirs(*options: str) -> bytes:
        command = ["openssl", "dgst", f"-{name}", "-binary", *options]
        return subprocess.run(command, input=MESSAGE, capture_output=True, check=True).stdout

    row = MECHANISMS[digest]
    assert row.digest
    assert row.digest(None).digest(memoryview(MESSAGE)) == theirs()
    mac = theirs("-mac", "HMAC", "-macopt", f"hexkey:{SECRET.hex()}")
    for kind in (c.CKK_GENERIC_SECRET, key_type):
        key = secret(kind, SECRET)
        assert sign(hmac, key, MESSAGE) == mac
        verify(hmac, key, MESSAGE, mac)


@hashes
@settings(max_examples=15, deadline=None)
@given(parts=st.lists(st.binary(max_size=200), max_size=6))
def test_parts_equal_one_part(
    name: str, digest: int, hmac: int, general: int, key_type: int, parts: list[bytes]
) -> None:
    whole = b"".join(parts)
    row = MECHANISMS[digest]
    assert row.digest
    assert digest_of(digest, parts) == row.digest(None).digest(whole)
    key = secret(key_type, SECRET)
    mac = sign(hmac, key, whole)
    row = MECHANISMS[hmac]
    assert row.sign
    assert row.verify
    signing, verifying = row.sign(key, None), row.verify(key, None)
    for part in parts:
        signing.update(part)
        verifying.update(memoryview(part))
    assert signing.finish() == mac
    verifying.finish(memoryview(mac))


@hashes
def test_wrong_macs(name: str, digest: int, hmac: int, general: int, key_type: int) -> None:
    key = secret(c.CKK_GENERIC_SECRET, SECRET)
    mac = sign(hmac, key, MESSAGE)
    wrong = bytes([mac[0] ^ 1]) + mac[1:]
    fails(c.CKR_SIGNATURE_INVALID, verify, hmac, key, MESSAGE, wrong)
    for length in (0, len(mac) - 1, len(mac) + 1):
        given_ = mac.ljust(length)[:length]
        fails(c.CKR_SIGNATURE_LEN_RANGE, verify, hmac, key, MESSAGE, given_)


@hashes
def test_general_length(name: str, digest: int, hmac: int, general: int, key_type: int) -> None:
    key = secret(c.CKK_GENERIC_SECRET, SECRET)
    mac = sign(hmac, key, MESSAGE)
    for length in (1, 10, len(mac)):
        cut = sign(general, key, MESSAGE, MacGeneral(length))
        assert cut == mac[:length]
        verify(general, key, MESSAGE, cut, MacGeneral(length))
        longer = (general, key, MESSAGE, cut + b"x", MacGeneral(length))
        fails(c.CKR_SIGNATURE_LEN_RANGE, verify, *longer)
    for length in (0, len(mac) + 1):
        wrong = (general, key, MESSAGE, MacGeneral(length))
        fails(c.CKR_MECHANISM_PARAM_INVALID, sign, *wrong)


ANY_LENGTH = {key_type.type for key_type in generic.KEY_TYPES}
GENERATORS = [
    row
    for row in MECHANISMS.values()
    if row.generate and row.parameter is None and row.key_types and row.key_types[0] in ANY_LENGTH
]


@pytest.mark.parametrize("row", GENERATORS, ids=lambda row: hex(row.type))
def test_generating_secrets(row: Any) -> None:
    for length in (1, 32, 4096):
        made = row.generate(None, {c.CKA_VALUE_LEN: length})
        assert len(made[c.CKA_VALUE]) == made[c.CKA_VALUE_LEN] == length
        assert made[c.CKA_CHECK_VALUE] == digest_of(c.CKM_SHA_1, [made[c.CKA_VALUE]])[:3]
    fails(c.CKR_TEMPLATE_INCOMPLETE, row.generate, None, {})
    for length in (0, 1 << 40):
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, row.generate, None, {c.CKA_VALUE_LEN: length})


def test_secret_without_or_with_an_empty_value() -> None:
    attributes: dict[int, Any] = {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET,
    }
    fails(c.CKR_TEMPLATE_INCOMPLETE, complete_key, attributes)
    fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, {**attributes, c.CKA_VALUE: b""})


def test_types_and_classes_there_are_none_of() -> None:
    rv = c.CKR_ATTRIBUTE_VALUE_INVALID
    unknown = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_SKIPJACK}
    fails(rv, complete_key, unknown)
    fails(rv, complete_key, {c.CKA_CLASS: c.CKO_SECRET_KEY})
    wrong = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_RSA}
    fails(c.CKR_TEMPLATE_INCONSISTENT, complete_key, wrong)
