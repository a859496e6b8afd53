"""Key agreement and key derivation functions against NIST's and the RFCs' answers."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from unit.mechanisms.keys import ec_params, fails, imported, secret
from vectors.readers import cases, lines

from pypkcs11.mechanisms.kdf import KDFS
from pypkcs11.mechanisms.parameters import Ecdh, FirstBit, Hkdf, StringData
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

SHA = {
    "SHA-1": c.CKD_SHA1_KDF,
    "SHA-224": c.CKD_SHA224_KDF,
    "SHA-256": c.CKD_SHA256_KDF,
    "SHA-384": c.CKD_SHA384_KDF,
    "SHA-512": c.CKD_SHA512_KDF,
}


def derive(mechanism: int, key: Key, parameter: Any, length: int | None = None) -> bytes:
    row = MECHANISMS[mechanism]
    assert row.derive
    return row.derive(key, parameter, length, None)


def private(key_type: int, params: bytes, value: bytes) -> Key:
    return imported(
        {
            c.CKA_CLASS: c.CKO_PRIVATE_KEY,
            c.CKA_KEY_TYPE: key_type,
            c.CKA_EC_PARAMS: params,
            c.CKA_VALUE: value,
        }
    )


def test_ansi_x963() -> None:
    section: dict[str, str] = {}
    done = set()
    for line in lines("KDF/ansx963_2001.txt"):
        name, _, value = line.strip("[]").partition("=")
        if name.strip() in SHA:
            section = {"hash": name.strip()}
        section[name.strip()] = value.strip()
        if name.strip() == "key_data":
            expected = bytes.fromhex(section["key_data"])
            assert len(expected) * 8 == int(section["key data length"])
            shared = bytes.fromhex(section["SharedInfo"])
            kdf = KDFS[SHA[section["hash"]]]
            assert kdf.derive(bytes.fromhex(section["Z"]), shared, len(expected)) == expected
            done.add((section["hash"], len(shared), len(expected)))
    assert len(done) >= 10
    assert {digest for digest, _, _ in done} == set(SHA)


@pytest.mark.parametrize(
    ("kdf", "digest"),
    [(c.CKD_SHA1_KDF_SP800, hashes.SHA1()), (c.CKD_SHA3_384_KDF_SP800, hashes.SHA3_384())],
)
def test_sp800_56a(kdf: int, digest: hashes.HashAlgorithm) -> None:
    for length in (1, 20, 48, 49, 500):
        expected = ConcatKDFHash(digest, length, b"other").derive(b"secret")
        assert KDFS[kdf].derive(b"secret", b"other", length) == expected


SECTIONS = {"EA": "P-192", "EB": "P-224", "EC": "P-256", "ED": "P-384", "EE": "P-521"}
FAX = "asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_init.fax"


def test_ecdh() -> None:
    section, case = "", {}
    seen = {"good": 0, "bad point": 0, "other secret": 0}
    for line in lines(FAX):
        if line.startswith("[E") and "-" in line:
            section = line[1:3]
        name, _, value = line.partition("=")
        case[name.strip()] = value.strip()
        if name.strip() != "Result":
            continue
        verdict = case["Result"]
        if "IUT's" in verdict:  # what is wrong with this party's own keys, which are not used
            continue
        curve = SECTIONS[section]
        octets = {"P-521": 66}.get(curve, int(curve[2:]) // 8)
        key = private(c.CKK_EC, ec_params(curve), number(case["dsIUT"], octets))
        point = b"\4" + number(case["QsCAVSx"], octets) + number(case["QsCAVSy"], octets)
        arguments = (c.CKM_ECDH1_DERIVE, key, Ecdh(c.CKD_NULL, b"", point))
        expected = number(case["Z"], octets)
        if verdict.startswith("P"):
            seen["good"] += 1
            assert derive(*arguments) == expected
            assert derive(c.CKM_ECDH1_COFACTOR_DERIVE, *arguments[1:], 16) == expected[-16:]
        elif "public key" in verdict:
            seen["bad point"] += 1
            fails(c.CKR_MECHANISM_PARAM_INVALID, derive, *arguments)
        else:
            seen["other secret"] += 1
            assert derive(*arguments) != expected
    assert seen == {"good": 90, "bad point": 20, "other secret": 10}


def number(text: str, octets: int) -> bytes:
    return int(text, 16).to_bytes(octets, "big")


def test_ecdh_on_brainpool_curves() -> None:
    done = 0
    for case in cases("asymmetric/ECDH/brainpool.txt", "count"):
        if case["curve"] not in ("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"):
            continue
        octets = int(case["curve"][10:13]) // 8
        key = private(c.CKK_EC, ec_params(case["curve"]), number(case["da"], octets))
        point = b"\4" + number(case["x_qb"], octets) + number(case["y_qb"], octets)
        expected = number(case["x_z"], octets)
        assert derive(c.CKM_ECDH1_DERIVE, key, Ecdh(c.CKD_NULL, b"", point)) == expected
        done += 1
    assert done >= 2


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("asymmetric/X25519/rfc7748.txt", "06032b656e"),
        ("asymmetric/X448/rfc7748.txt", "06032b656f"),
    ],
)
def test_montgomery_curves(path: str, params: str) -> None:
    done = 0
    for case in cases(path, "count"):
        if "input_scalar" not in case or "output_u" not in case:
            continue
        value = bytes.fromhex(case["input_scalar"])
        key = private(c.CKK_EC_MONTGOMERY, bytes.fromhex(params), value)
        parameter = Ecdh(c.CKD_NULL, b"", bytes.fromhex(case["input_u"]))
        assert derive(c.CKM_ECDH1_DERIVE, key, parameter) == bytes.fromhex(case["output_u"])
        done += 1
    assert done >= 2


@pytest.mark.parametrize(("name", "digest"), [("SHA1", c.CKM_SHA_1), ("SHA256", c.CKM_SHA256)])
def test_hkdf(name: str, digest: int) -> None:
    done = 0
    for case in cases(f"KDF/rfc-5869-HKDF-{name}.txt", "count"):
        salt = bytes.fromhex(case.get("salt") or "")
        info = bytes.fromhex(case.get("info") or "")
        kind = c.CKF_HKDF_SALT_DATA if salt else c.CKF_HKDF_SALT_NULL
        key = secret(c.CKK_GENERIC_SECRET, bytes.fromhex(case["ikm"]))
        expected = bytes.fromhex(case["okm"])
        both = Hkdf(True, True, digest, kind, salt, 0, info)
        assert derive(c.CKM_HKDF_DERIVE, key, both, int(case["l"])) == expected
        extract = both._replace(expand=False)
        prk = derive(c.CKM_HKDF_DERIVE, key, extract)
        assert prk == bytes.fromhex(case["prk"])
        expand = both._replace(extract=False)
        assert derive(c.CKM_HKDF_DATA, secret(c.CKK_HKDF, prk), expand, len(expected)) == expected
        done += 1
    assert done >= 3


def test_the_standards_own_examples() -> None:
    base = secret(c.CKK_GENERIC_SECRET, bytes.fromhex("01234567"))
    data = StringData(bytes.fromhex("89abcdef"))
    for mechanism, expected in (
        (c.CKM_CONCATENATE_BASE_AND_DATA, "0123456789abcdef"),
        (c.CKM_CONCATENATE_DATA_AND_BASE, "89abcdef01234567"),
        (c.CKM_XOR_BASE_AND_DATA, "88888888"),
    ):
        assert derive(mechanism, base, data) == bytes.fromhex(expected)
    base = secret(c.CKK_GENERIC_SECRET, bytes.fromhex("329f84a9"))
    assert derive(c.CKM_EXTRACT_KEY_FROM_KEY, base, FirstBit(21), 2) == bytes.fromhex("9526")
    fails(c.CKR_KEY_SIZE_RANGE, derive, c.CKM_EXTRACT_KEY_FROM_KEY, base, FirstBit(0), 5)
