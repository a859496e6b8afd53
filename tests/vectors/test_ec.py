"""Elliptic curves against NIST's and the RFCs' answers, the wrong ones included."""

from __future__ import annotations

import pytest
from unit.mechanisms.keys import PARAMS, ec_params, fails, imported, sign, verify
from vectors.readers import cases, lines

from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import complete_key
from pypkcs11.standard import constants as c

MECHANISMS = {
    "SHA-1": c.CKM_ECDSA_SHA1,
    "SHA-224": c.CKM_ECDSA_SHA224,
    "SHA-256": c.CKM_ECDSA_SHA256,
    "SHA-384": c.CKM_ECDSA_SHA384,
    "SHA-512": c.CKM_ECDSA_SHA512,
}
OCTETS = {"P-192": 24, "P-224": 28, "P-256": 32, "P-384": 48, "P-521": 66}


def public(key_type: int, curve: str, point: bytes) -> dict[int, object]:
    return {
        c.CKA_CLASS: c.CKO_PUBLIC_KEY,
        c.CKA_KEY_TYPE: key_type,
        c.CKA_EC_PARAMS: ec_params(curve),
        c.CKA_EC_POINT: point,
    }


def private(key_type: int, curve: str, value: bytes) -> Key:
    return imported(
        {
            c.CKA_CLASS: c.CKO_PRIVATE_KEY,
            c.CKA_KEY_TYPE: key_type,
            c.CKA_EC_PARAMS: ec_params(curve),
            c.CKA_VALUE: value,
        }
    )


def test_signature_verification() -> None:
    seen = {"P": 0, "F": 0}
    for case in cases("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", "msg"):
        curve, digest = case["section"].split(",")
        if curve not in OCTETS:
            continue
        size = OCTETS[curve]
        point = b"\4" + b"".join(int(case[name], 16).to_bytes(size, "big") for name in ("qx", "qy"))
        key = imported(public(c.CKK_EC, curve, point))
        signature = b"".join(int(case[name], 16).to_bytes(size, "big") for name in ("r", "s"))
        arguments = (MECHANISMS[digest], key, bytes.fromhex(case["msg"]), signature)
        seen[case["result"][0]] += 1
        if case["result"].startswith("P"):
            verify(*arguments)
        else:
            fails(c.CKR_SIGNATURE_INVALID, verify, *arguments)
    assert seen["P"] > 50
    assert seen["F"] > 200


def test_signatures_made_here_verify_with_the_published_keys() -> None:
    done = set()
    for case in cases("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", "msg"):
        curve, digest = case["section"].split(",")
        if curve not in OCTETS or (curve, digest) in done:
            continue
        done.add((curve, digest))
        size = OCTETS[curve]
        message = bytes.fromhex(case["msg"])
        key = private(c.CKK_EC, curve, int(case["d"], 16).to_bytes(size, "big"))
        point = b"\4" + b"".join(int(case[name], 16).to_bytes(size, "big") for name in ("qx", "qy"))
        checker = imported(public(c.CKK_EC, curve, point))
        verify(MECHANISMS[digest], checker, message, sign(MECHANISMS[digest], key, message))
        published = b"".join(int(case[name], 16).to_bytes(size, "big") for name in ("r", "s"))
        verify(MECHANISMS[digest], checker, message, published)
    assert len(done) >= 16


def test_point_validity() -> None:
    seen = {"P": 0, "F": 0}
    for case in cases("asymmetric/ECDSA/FIPS_186-3/PKV.rsp", "qx"):
        curve = case["section"]
        if curve not in OCTETS:
            continue
        x, y = int(case["qx"], 16), int(case["qy"], 16)
        size = max(OCTETS[curve], *((number.bit_length() + 7) // 8 for number in (x, y)))
        point = b"\4" + x.to_bytes(size, "big") + y.to_bytes(size, "big")
        attributes = public(c.CKK_EC, curve, point)
        seen[case["result"][0]] += 1
        if case["result"].startswith("P"):
            complete_key(attributes)
        else:
            fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, attributes)
    assert min(seen.values()) > 10


NAMES = {"SECP256R1": "P-256", "SECP384R1": "P-384", "SECP521R1": "P-521", "SECP256K1": "secp256k1"}


def test_compressed_points() -> None:
    count = 0
    for case in cases("asymmetric/EC/compressed_points.txt", "count"):
        curve = NAMES.get(case["curve"])
        if curve is None:
            continue
        count += 1
        attributes = public(c.CKK_EC, curve, bytes.fromhex(case["point"]))
        if "x" not in case:
            fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, attributes)
            continue
        size = len(bytes.fromhex(case["point"])) - 1
        x, y = (int(case[name], 16).to_bytes(size, "big") for name in ("x", "y"))
        point = complete_key(attributes)[c.CKA_EC_POINT]
        assert isinstance(point, bytes)
        assert point.endswith(b"\4" + x + y)
    assert count > 3


def test_ed25519() -> None:
    for line in list(lines("asymmetric/Ed25519/sign.input"))[::8]:
        secret, point, message, signed, _ = (bytes.fromhex(part) for part in line.split(":"))
        signature = signed[:64]
        key = private(c.CKK_EC_EDWARDS, "Ed25519", secret[:32])
        assert sign(c.CKM_EDDSA, key, message) == signature
        checker = imported(public(c.CKK_EC_EDWARDS, "Ed25519", point))
        verify(c.CKM_EDDSA, checker, message, signature)
        wrong = bytes([signature[0] ^ 1]) + signature[1:]
        fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_EDDSA, checker, message, wrong)


def test_ed448() -> None:
    for case in cases("asymmetric/Ed448/rfc8032.txt", "count"):
        if "context" in case:
            continue
        key = private(c.CKK_EC_EDWARDS, "Ed448", bytes.fromhex(case["secret"]))
        message, signature = (bytes.fromhex(case[name]) for name in ("message", "signature"))
        assert sign(c.CKM_EDDSA, key, message) == signature
        point = bytes.fromhex(case["public"])
        verify(c.CKM_EDDSA, imported(public(c.CKK_EC_EDWARDS, "Ed448", point)), message, signature)


@pytest.mark.parametrize("curve", sorted(PARAMS))
def test_the_neutral_point_is_no_key(curve: str) -> None:
    """A single zero octet, the point at infinity of SEC 1."""
    key_type = c.CKK_EC_EDWARDS if curve.startswith("Ed") else c.CKK_EC
    fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, public(key_type, curve, b"\0"))
