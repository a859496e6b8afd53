"""Elliptic curve keys, ECDSA and EdDSA, held against the openssl command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec as reference
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)
from hypothesis import given
from hypothesis import strategies as st
from unit.mechanisms.keys import PARAMS, ec_pair, ec_params, fails, imported, sign, verify

from pypkcs11.mechanisms.dss import fixed_width
from pypkcs11.mechanisms.parameters import Eddsa
from pypkcs11.mechanisms.table import complete_key, load_key, mechanisms
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

WEIERSTRASS = [name for name in PARAMS if not name.startswith("Ed")]
EDWARDS = ["Ed25519", "Ed448"]
curves = pytest.mark.parametrize("curve", WEIERSTRASS)
edwards = pytest.mark.parametrize("curve", EDWARDS)
every = pytest.mark.parametrize("curve", [*WEIERSTRASS, *EDWARDS])
MESSAGE = b"a message to be signed"


def pems(directory: Path, curve: str) -> None:
    public, private = (load_key(half).value for half in ec_pair(curve))
    (directory / "public.pem").write_bytes(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (directory / "private.pem").write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def der_of(raw: bytes) -> bytes:
    half = len(raw) // 2
    return encode_dss_signature(
        int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
    )


@curves
@pytest.mark.parametrize("length", [1, 20, 28, 31, 32, 33, 48, 64])
def test_bare_ecdsa(tmp_path: Path, curve: str, length: int) -> None:
    """More octets than the group's order has are cut off on the right, as openssl does it."""
    pems(tmp_path, curve)
    public, private = (load_key(half) for half in ec_pair(curve))
    data = os.urandom(length)
    (tmp_path / "data").write_bytes(data)
    signature = sign(c.CKM_ECDSA, private, data)
    verify(c.CKM_ECDSA, public, data, signature)
    (tmp_path / "signature").write_bytes(der_of(signature))
    command = ["openssl", "pkeyutl", "-in", "data", "-inkey", "private.pem"]
    checking = [*command, "-verify", "-sigfile", "signature"]
    ran = subprocess.run(checking, capture_output=True, check=False, cwd=tmp_path)
    assert b"Success" in ran.stdout, ran.stderr
    theirs = subprocess.run([*command, "-sign"], capture_output=True, check=True, cwd=tmp_path)
    half = len(signature) // 2
    raw = b"".join(number.to_bytes(half, "big") for number in decode_dss_signature(theirs.stdout))
    verify(c.CKM_ECDSA, public, data, raw)
    changed = bytes([data[0] ^ 0x80]) + data[1:]
    fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_ECDSA, public, changed, signature)


def verified_by_the_book(curve: str, key: Any, data: bytes, signature: bytes) -> bool:
    """FIPS 186-5, section 6.4.2, in so many words: openssl's command takes 64 octets at most."""
    prime = {"P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1, "P-521": 2**521 - 1}[curve]
    order = key.curve.group_order

    def add(p: tuple[int, int] | None, q: tuple[int, int] | None) -> tuple[int, int] | None:
        if p is None or q is None:
            return p or q
        if p[0] == q[0] and p != q:
            return None
        if p == q:
            slope = 3 * (p[0] * p[0] - 1) * pow(2 * p[1], -1, prime)
        else:
            slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, prime)
        x = (slope * slope - p[0] - q[0]) % prime
        return x, (slope * (p[0] - x) - p[1]) % prime

    def times(scalar: int, p: tuple[int, int] | None) -> tuple[int, int] | None:
        result = None
        while scalar:
            if scalar & 1:
                result = add(result, p)
            p, scalar = add(p, p), scalar >> 1
        return result

    def affine(numbers: reference.EllipticCurvePublicNumbers) -> tuple[int, int]:
        return numbers.x, numbers.y

    generator = affine(reference.derive_private_key(1, key.curve).public_key().public_numbers())
    half = len(signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    digest = int.from_bytes(data, "big") >> max(0, 8 * len(data) - order.bit_length())
    inverse = pow(s, -1, order)
    point = add(
        times(digest * inverse % order, generator),
        times(r * inverse % order, affine(key.public_numbers())),
    )
    return point is not None and point[0] % order == r


@pytest.mark.parametrize("curve", ["P-256", "P-521"])
@pytest.mark.parametrize("length", [32, 64, 65, 66, 67, 100])
def test_bare_ecdsa_over_long_data(curve: str, length: int) -> None:
    public, private = (load_key(half) for half in ec_pair(curve))
    data = os.urandom(length)
    signature = sign(c.CKM_ECDSA, private, data)
    assert verified_by_the_book(curve, public.value, data, signature)
    assert not verified_by_the_book(curve, public.value, b"\x55" + data, signature)
    verify(c.CKM_ECDSA, public, data, signature)


@curves
def test_octets_beyond_the_order_do_not_count(curve: str) -> None:
    public, private = (load_key(half) for half in ec_pair(curve))
    signature = sign(c.CKM_ECDSA, private, b"x" * 66 + b"abc")
    verify(c.CKM_ECDSA, public, b"x" * 66 + b"def", signature)


def test_empty_data() -> None:
    public, private = (load_key(half) for half in ec_pair("P-256"))
    verify(c.CKM_ECDSA, public, b"", sign(c.CKM_ECDSA, private, b""))


HASHED = [
    ("sha1", c.CKM_ECDSA_SHA1),
    ("sha224", c.CKM_ECDSA_SHA224),
    ("sha256", c.CKM_ECDSA_SHA256),
    ("sha384", c.CKM_ECDSA_SHA384),
    ("sha512", c.CKM_ECDSA_SHA512),
    ("sha3-224", c.CKM_ECDSA_SHA3_224),
    ("sha3-256", c.CKM_ECDSA_SHA3_256),
    ("sha3-384", c.CKM_ECDSA_SHA3_384),
    ("sha3-512", c.CKM_ECDSA_SHA3_512),
]


@pytest.mark.parametrize("curve", ["P-256", "P-521", "brainpoolP384r1"])
@pytest.mark.parametrize(("name", "mechanism"), HASHED, ids=[name for name, _ in HASHED])
def test_hashed_ecdsa(tmp_path: Path, curve: str, name: str, mechanism: int) -> None:
    pems(tmp_path, curve)
    public, private = (load_key(half) for half in ec_pair(curve))
    row = MECHANISMS[mechanism]
    assert row.sign
    assert row.verify
    signing = row.sign(private, None)
    for part in (MESSAGE[:5], b"", MESSAGE[5:]):
        signing.update(memoryview(part))
    for signature in (sign(mechanism, private, MESSAGE), signing.finish()):
        verify(mechanism, public, MESSAGE, signature)
        verifying = row.verify(public, None)
        verifying.update(MESSAGE[:7])
        verifying.update(MESSAGE[7:])
        verifying.finish(signature)
        (tmp_path / "signature").write_bytes(der_of(signature))
        command = ["openssl", "dgst", f"-{name}", "-verify", "public.pem", "-signature"]
        command.append("signature")
        ran = subprocess.run(command, input=MESSAGE, capture_output=True, check=True, cwd=tmp_path)
        assert b"OK" in ran.stdout
    fails(c.CKR_SIGNATURE_INVALID, verify, mechanism, public, MESSAGE + b"!", signature)


@curves
def test_signature_lengths(curve: str) -> None:
    public, private = (load_key(half) for half in ec_pair(curve))
    signature = sign(c.CKM_ECDSA, private, bytes(32))
    size = len(signature)
    for wrong in (b"", signature[:-1], signature + b"\0", signature + b"\0\0"):
        fails(c.CKR_SIGNATURE_LEN_RANGE, verify, c.CKM_ECDSA, public, bytes(32), wrong)
    for wrong in (bytes(size), b"\xff" * size, signature[:-2]):
        fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_ECDSA, public, bytes(32), wrong)


def test_signature_without_leading_zeros() -> None:
    """Applications that do not know the order leave them out (section 6.3.1)."""
    public, private = (load_key(half) for half in ec_pair("P-256"))
    for _ in range(100_000):
        signature = sign(c.CKM_ECDSA, private, bytes(32))
        if signature[0] == 0 and signature[32] < 128:
            break
        if signature[0] == signature[32] == 0:
            break
    else:
        pytest.fail("no such signature")
    if signature[32] == 0:
        verify(c.CKM_ECDSA, public, bytes(32), signature[1:32] + signature[33:])


@given(
    r=st.integers(1, (1 << 521) - 1),
    s=st.integers(1, (1 << 521) - 1),
    width=st.sampled_from([24, 28, 32, 48, 64, 66]),
)
def testfixed_width(r: int, s: int, width: int) -> None:
    r, s = r >> max(0, 521 - 8 * width), s >> max(0, 521 - 8 * width)
    expected = r.to_bytes(width, "big") + s.to_bytes(width, "big")
    assert fixed_width(encode_dss_signature(r, s), width) == expected


@pytest.mark.parametrize("small", [1, 127, 128, 255, 256, 1 << 100])
def testfixed_width_of_small_numbers(small: int) -> None:
    expected = small.to_bytes(66, "big") * 2
    assert fixed_width(encode_dss_signature(small, small), 66) == expected


@every
def test_generated_pairs(curve: str) -> None:
    public, private = ec_pair(curve)
    for half in (public, private):
        assert half[c.CKA_EC_PARAMS] == ec_params(curve)
        assert imported(half).bits == load_key(half).bits
    assert public[c.CKA_PUBLIC_KEY_INFO] == private[c.CKA_PUBLIC_KEY_INFO]
    info: Any = load_der_public_key(public[c.CKA_PUBLIC_KEY_INFO])
    mine = load_key(public).value
    if curve in EDWARDS:
        assert info.public_bytes_raw() == mine.public_bytes_raw()
    else:
        assert info.public_numbers() == mine.public_numbers()
    assert load_key(private).value.public_key() == mine
    assert public[c.CKA_EC_POINT] != ec_pair("P-256")[0][c.CKA_EC_POINT] or curve == "P-256"


NAMES = {
    "P-192": "secp192r1",
    "P-224": "secp224r1",
    "P-256": "prime256v1",
    "P-384": "secp384r1",
    "P-521": "secp521r1",
    "Ed25519": "edwards25519",
    "Ed448": "edwards448",
}


@every
def test_curve_names(curve: str) -> None:
    name = NAMES.get(curve, curve).encode()
    printable = bytes([0x13, len(name)]) + name
    for half in ec_pair(curve):
        completed = complete_key({**half, c.CKA_EC_PARAMS: printable})
        assert completed[c.CKA_EC_PARAMS] == ec_params(curve)


@pytest.mark.parametrize(
    ("rv", "params"),
    [
        (c.CKR_CURVE_NOT_SUPPORTED, "06092b2403030208010101"),  # brainpoolP160r1
        (c.CKR_CURVE_NOT_SUPPORTED, "130973656374313133723" + "1"),  # sect113r1
        (c.CKR_CURVE_NOT_SUPPORTED, "3003020101"),  # explicit parameters
        (c.CKR_CURVE_NOT_SUPPORTED, "06032b656e"),  # X25519
        (c.CKR_ATTRIBUTE_VALUE_INVALID, "0500"),  # implicitlyCA
        (c.CKR_ATTRIBUTE_VALUE_INVALID, "06082a8648ce3d0301"),  # cut
        (c.CKR_ATTRIBUTE_VALUE_INVALID, "06082a8648ce3d03010700"),  # and something after it
        (c.CKR_ATTRIBUTE_VALUE_INVALID, "0600"),
        (c.CKR_ATTRIBUTE_VALUE_INVALID, "ff"),
        (c.CKR_ATTRIBUTE_VALUE_INVALID, "0680"),
        (c.CKR_ATTRIBUTE_VALUE_INVALID, ""),
    ],
)
def test_curves_there_are_none_of(rv: int, params: str) -> None:
    template = {c.CKA_EC_PARAMS: bytes.fromhex(params)}
    for mechanism in (c.CKM_EC_KEY_PAIR_GEN, c.CKM_EC_EDWARDS_KEY_PAIR_GEN):
        generate = MECHANISMS[mechanism].generate_pair
        assert generate
        fails(rv, generate, None, template, {})
        fails(c.CKR_TEMPLATE_INCOMPLETE, generate, None, {}, {})
    fails(rv, complete_key, {**ec_pair("P-256")[0], **template})


def wrapped(tag: int, content: bytes) -> bytes:
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    return bytes([tag, 0x81, len(content)]) + content


@every
def test_points_in_every_form(curve: str) -> None:
    public = ec_pair(curve)[0]
    key = load_key(public).value
    if curve in EDWARDS:
        points = [key.public_bytes_raw()]
    else:
        points = [
            key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
            key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        ]
    assert public[c.CKA_EC_POINT] == wrapped(4, points[0])
    for point in points:
        for form in (point, wrapped(4, point), wrapped(3, b"\0" + point)):
            completed = complete_key({**public, c.CKA_EC_POINT: form})
            assert completed[c.CKA_EC_POINT] == public[c.CKA_EC_POINT]
            assert load_key({**public, c.CKA_EC_POINT: form}).value == key
    for form in (b"", b"\4", points[0][:-1], points[0] + b"\0", wrapped(3, b"\1" + points[0])):
        wrong = {**public, c.CKA_EC_POINT: form}
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, wrong)


@curves
def test_points_off_the_curve(curve: str) -> None:
    public = ec_pair(curve)[0]
    point = public[c.CKA_EC_POINT]
    for wrong in (point[:-1] + bytes([point[-1] ^ 1]), point[:-60] + b"\xff" * 60):
        given_ = {**public, c.CKA_EC_POINT: wrong}
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, given_)


@curves
def test_private_values(curve: str) -> None:
    private = ec_pair(curve)[1]
    value = private[c.CKA_VALUE]
    order = load_key(private).value.curve.group_order
    for form in (value.lstrip(b"\0"), b"\0\0" + value):
        assert complete_key({**private, c.CKA_VALUE: form})[c.CKA_VALUE] == value
    for wrong in (b"\0", order.to_bytes(66, "big"), b"\xff" * 66, b"\xff" * 100, b""):
        given_ = {**private, c.CKA_VALUE: wrong}
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, given_)
    one = complete_key(
        {**{k: v for k, v in private.items() if k != c.CKA_PUBLIC_KEY_INFO}, c.CKA_VALUE: b"\1"}
    )
    assert one[c.CKA_VALUE] == b"\1".rjust(len(value), b"\0")


@every
def test_key_info_of_another_key(curve: str) -> None:
    other = ec_pair("P-256" if curve != "P-256" else "P-384")[0][c.CKA_PUBLIC_KEY_INFO]
    for half in ec_pair(curve):
        wrong = {**half, c.CKA_PUBLIC_KEY_INFO: other}
        fails(c.CKR_TEMPLATE_INCONSISTENT, complete_key, wrong)
        complete_key({**half, c.CKA_PUBLIC_KEY_INFO: b""})


@edwards
def test_eddsa(tmp_path: Path, curve: str) -> None:
    pems(tmp_path, curve)
    public, private = (load_key(half) for half in ec_pair(curve))
    signature = sign(c.CKM_EDDSA, private, MESSAGE)
    (tmp_path / "data").write_bytes(MESSAGE)
    command = ["openssl", "pkeyutl", "-sign", "-rawin", "-in", "data", "-inkey", "private.pem"]
    theirs = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path).stdout
    assert signature == theirs
    row = MECHANISMS[c.CKM_EDDSA]
    assert row.sign
    assert row.verify
    signing, verifying = row.sign(private, None), row.verify(public, None)
    for part in (MESSAGE[:5], MESSAGE[5:]):
        signing.update(memoryview(part))
        verifying.update(memoryview(part))
    assert signing.finish() == signature
    verifying.finish(memoryview(signature))
    verify(c.CKM_EDDSA, public, MESSAGE, signature)
    fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_EDDSA, public, MESSAGE + b"!", signature)
    fails(c.CKR_SIGNATURE_LEN_RANGE, verify, c.CKM_EDDSA, public, MESSAGE, signature[:-1])


@edwards
def test_eddsa_parameters(curve: str) -> None:
    private = load_key(ec_pair(curve)[1])
    for parameter in (Eddsa(True, b""), Eddsa(False, b"context")):
        arguments = (c.CKM_EDDSA, private, MESSAGE, parameter)
        fails(c.CKR_MECHANISM_PARAM_INVALID, sign, *arguments)
    plain = (c.CKM_EDDSA, private, MESSAGE, Eddsa(False, b""))
    if curve == "Ed448":
        assert sign(*plain) == sign(c.CKM_EDDSA, private, MESSAGE)
    else:
        fails(c.CKR_MECHANISM_PARAM_INVALID, sign, *plain)


@edwards
def test_edwards_private_values(curve: str) -> None:
    private = ec_pair(curve)[1]
    value = private[c.CKA_VALUE]
    completed = complete_key({**private, c.CKA_VALUE: wrapped(4, value)})
    assert completed[c.CKA_VALUE] == value
    for wrong in (value[:-1], value + b"\0", wrapped(4, value[:-1])):
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, {**private, c.CKA_VALUE: wrong})


def test_widths_are_those_of_the_orders() -> None:
    """Signatures are sized by the field; for each curve the group's order is as long."""
    for name in WEIERSTRASS:
        curve: reference.EllipticCurve = load_key(ec_pair(name)[1]).value.curve
        assert curve.group_order.bit_length() == curve.key_size
