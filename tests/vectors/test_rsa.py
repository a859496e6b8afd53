"""RSA against NIST's, RSA Laboratories' and BoringSSL's answers, the wrong ones included."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from unit.mechanisms.keys import decrypt, fails, imported, verify
from vectors.readers import cases, labelled

from pypkcs11.mechanisms.parameters import RsaOaep, RsaPss
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard import constants as c

HASHES = {
    name: (
        getattr(c, "CKM_SHA_1" if name == "SHA1" else f"CKM_{name}"),
        getattr(c, f"CKG_MGF1_{name}"),
        getattr(c, f"CKM_{name}_RSA_PKCS"),
        getattr(c, f"CKM_{name}_RSA_PKCS_PSS"),
    )
    for name in ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
}


def octets(digits: str) -> bytes:
    """Hex digits, of which a leading zero may be missing."""
    return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)


def public_key(modulus: str, exponent: str) -> Key:
    return imported(
        {
            c.CKA_CLASS: c.CKO_PUBLIC_KEY,
            c.CKA_KEY_TYPE: c.CKK_RSA,
            c.CKA_MODULUS: bytes.fromhex(modulus),
            c.CKA_PUBLIC_EXPONENT: octets(exponent),
        }
    )


@pytest.mark.parametrize("scheme", ["15", "PSS"])
def test_signature_verification(scheme: str) -> None:
    seen = {"P": 0, "F": 0}
    path = f"asymmetric/RSA/FIPS_186-2/SigVer{scheme}_186-3.rsp"
    for case in cases(path, "shaalg"):
        digest, mgf, pkcs1, pss = HASHES[case["shaalg"]]
        salt = bytes.fromhex(case["saltval"])
        salt_length = 0 if salt == b"\0" else len(salt)
        if scheme == "15":
            mechanism, parameter = pkcs1, None
        else:
            mechanism, parameter = pss, RsaPss(digest, mgf, salt_length)
        key = public_key(case["n"], case["e"])
        signature = bytes.fromhex(case["s"])
        arguments = (mechanism, key, bytes.fromhex(case["msg"]), signature, parameter)
        seen[case["result"][0]] += 1
        if case["result"].startswith("P"):
            verify(*arguments)
        else:
            fails(c.CKR_SIGNATURE_INVALID, verify, *arguments)
    assert seen["P"] > 10
    assert seen["F"] > 50


OAEP = [
    (f"oaep-custom/oaep-{mgf}-{digest}.txt", digest, mgf)
    for digest in ("sha1", "sha224", "sha256", "sha384", "sha512")
    for mgf in ("sha1", "sha224", "sha256", "sha384", "sha512")
    if (digest, mgf) != ("sha1", "sha1")
]


def private_key(case: dict[str, str]) -> Key:
    """The key of RSA Laboratories' files, of which the exponent and one prime are given."""
    return imported(
        {
            c.CKA_CLASS: c.CKO_PRIVATE_KEY,
            c.CKA_KEY_TYPE: c.CKK_RSA,
            c.CKA_MODULUS: octets(case["modulus"]),
            c.CKA_PRIVATE_EXPONENT: octets(case["exponent"]),
            c.CKA_PRIME_1: octets(case["prime 1"]),
        }
    )


@pytest.mark.parametrize(("path", "digest", "mgf"), OAEP, ids=[path for path, _, _ in OAEP])
def test_oaep(path: str, digest: str, mgf: str) -> None:
    parameter = RsaOaep(HASHES[digest.upper()][0], HASHES[mgf.upper()][1], b"")
    key, modulus = None, ""
    count = 0
    for case in labelled(f"asymmetric/RSA/{path}"):
        if key is None:
            key, modulus = private_key(case), case["modulus"]
        if case["modulus"] != modulus:  # taking in ten keys a file would take long
            break
        message = bytes.fromhex(case["message"])
        sealed = octets(case["encryption"])
        assert decrypt(c.CKM_RSA_PKCS_OAEP, key, sealed, parameter) == message
        count += 1
    assert count > 4


@pytest.mark.parametrize(
    ("path", "mechanism", "parameter"),
    [
        ("pkcs1v15crypt-vectors.txt", c.CKM_RSA_PKCS, None),
        (
            "pkcs-1v2-1d2-vec/oaep-vect.txt",
            c.CKM_RSA_PKCS_OAEP,
            RsaOaep(c.CKM_SHA_1, c.CKG_MGF1_SHA1, b""),
        ),
    ],
)
def test_decryption(path: str, mechanism: int, parameter: RsaOaep | None) -> None:
    key, modulus = None, ""
    count = 0
    for case in labelled(f"asymmetric/RSA/{path}"):
        if key is None or case["modulus"] != modulus:
            key, modulus = private_key(case), case["modulus"]
        sealed = octets(case["encryption"])
        message = bytes.fromhex(case["message"])
        assert decrypt(mechanism, key, sealed, parameter) == message
        count += 1
    assert count >= 60


def test_oaep_label() -> None:
    for case in cases("asymmetric/RSA/oaep-label.txt", "count"):
        numbers = load_der_private_key(bytes.fromhex(case["key"]), None)
        assert isinstance(numbers, RSAPrivateKey)
        private = numbers.private_numbers()
        key = imported(
            {
                c.CKA_CLASS: c.CKO_PRIVATE_KEY,
                c.CKA_KEY_TYPE: c.CKK_RSA,
                c.CKA_MODULUS: private.public_numbers.n.to_bytes(256, "big"),
                c.CKA_PRIVATE_EXPONENT: private.d.to_bytes(256, "big"),
            }
        )
        digest, mgf, _, _ = HASHES[case["oaepdigest"]]
        mgf = HASHES["SHA1"][1] if "mgf1digest" in case else mgf
        parameter = RsaOaep(digest, mgf, bytes.fromhex(case["oaeplabel"]))
        sealed = bytes.fromhex(case["input"])
        output = case["output"].strip('"').encode()
        assert decrypt(c.CKM_RSA_PKCS_OAEP, key, sealed, parameter) == output
