"""ML-DSA and ML-KEM against known answers, and HashML-DSA against NIST's.

The known answers are the package cryptography-vectors'; ``files/hash_ml_dsa.rsp`` says where it is
from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from unit.mechanisms.keys import MECHANISMS, fails, imported, sign, verify
from vectors.readers import Case, cases, parsed

from pypkcs11.mechanisms.parameters import HashSignContext, SignContext
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import complete_key
from pypkcs11.standard import constants as c

ML_DSA = {
    "ML-DSA-44": (c.CKP_ML_DSA_44, "MLDSA/kat_MLDSA_44_det_pure.rsp"),
    "ML-DSA-65": (c.CKP_ML_DSA_65, "MLDSA/kat_MLDSA_65_det_pure.rsp"),
    "ML-DSA-87": (c.CKP_ML_DSA_87, "MLDSA/kat_MLDSA_87_det_pure.rsp"),
}
ML_KEM = {
    "ML-KEM-768": (c.CKP_ML_KEM_768, "MLKEM/kat_MLKEM_768.rsp"),
    "ML-KEM-1024": (c.CKP_ML_KEM_1024, "MLKEM/kat_MLKEM_1024.rsp"),
}
#: Mechanism and, where the standard has a number for it, digest of NIST's hash functions.
HASHES: dict[str, tuple[int, int | None]] = {
    "SHA2-224": (c.CKM_HASH_ML_DSA_SHA224, c.CKM_SHA224),
    "SHA2-256": (c.CKM_HASH_ML_DSA_SHA256, c.CKM_SHA256),
    "SHA2-384": (c.CKM_HASH_ML_DSA_SHA384, c.CKM_SHA384),
    "SHA2-512": (c.CKM_HASH_ML_DSA_SHA512, c.CKM_SHA512),
    "SHA3-224": (c.CKM_HASH_ML_DSA_SHA3_224, c.CKM_SHA3_224),
    "SHA3-256": (c.CKM_HASH_ML_DSA_SHA3_256, c.CKM_SHA3_256),
    "SHA3-384": (c.CKM_HASH_ML_DSA_SHA3_384, c.CKM_SHA3_384),
    "SHA3-512": (c.CKM_HASH_ML_DSA_SHA3_512, c.CKM_SHA3_512),
    "SHAKE-128": (c.CKM_HASH_ML_DSA_SHAKE128, None),
    "SHAKE-256": (c.CKM_HASH_ML_DSA_SHAKE256, None),
}
HEDGED = c.CKH_HEDGE_PREFERRED
FILES = Path(__file__).parent / "files"


def key(object_class: int, key_type: int, number: int, **values: bytes) -> dict[int, Any]:
    return {
        c.CKA_CLASS: object_class,
        c.CKA_KEY_TYPE: key_type,
        c.CKA_PARAMETER_SET: number,
        **{getattr(c, f"CKA_{name}"): value for name, value in values.items()},
    }


def halves(case: Case, key_type: int, number: int, seed: str) -> tuple[Key, Key]:
    """A case's key pair, having held what follows from its seed against what the case says."""
    given = key(c.CKO_PRIVATE_KEY, key_type, number, SEED=bytes.fromhex(seed))
    completed = complete_key(given)
    public = bytes.fromhex(case["pk"])
    assert completed[c.CKA_VALUE] == bytes.fromhex(case["sk"])
    info = completed[c.CKA_PUBLIC_KEY_INFO]
    assert isinstance(info, bytes)
    assert load_der_public_key(info).public_bytes_raw() == public  # type: ignore[union-attr]
    return imported(given), imported(key(c.CKO_PUBLIC_KEY, key_type, number, VALUE=public))


@pytest.mark.parametrize("name", ML_DSA)
def test_ml_dsa(name: str) -> None:
    number, path = ML_DSA[name]
    for case in list(cases(f"asymmetric/{path}", "count"))[::9]:
        private, public = halves(case, c.CKK_ML_DSA, number, case["xi"])
        message = bytes.fromhex(case["msg"])
        signature = bytes.fromhex(case["sm"])[: -len(message)]
        parameter = SignContext(HEDGED, bytes.fromhex(case["ctx"]))
        verify(c.CKM_ML_DSA, public, message, signature, parameter)
        wrong = bytes([signature[0] ^ 1]) + signature[1:]
        fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_ML_DSA, public, message, wrong, parameter)
        fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_ML_DSA, public, message, signature)
        made = sign(c.CKM_ML_DSA, private, message, parameter)
        public.value.verify(made, message, parameter.context)


def hash_cases() -> list[Case]:
    return list(parsed((FILES / "hash_ml_dsa.rsp").read_text().splitlines(), "id"))


@pytest.mark.parametrize("case", hash_cases(), ids=lambda case: f"{case['set']}-{case['hash']}")
def test_hash_ml_dsa(case: Case) -> None:
    number = ML_DSA[case["set"]][0]
    pk, context, message, signature = (
        bytes.fromhex(case[name]) for name in ("pk", "context", "message", "signature")
    )
    public = imported(key(c.CKO_PUBLIC_KEY, c.CKK_ML_DSA, number, VALUE=pk))
    mechanism, digest = HASHES[case["hash"]]
    arguments: list[tuple[Any, ...]] = [
        (mechanism, public, message, signature, SignContext(HEDGED, context))
    ]
    if digest is not None:
        name = case["hash"].replace("SHA2-", "sha").replace("SHA3-", "sha3_")
        hashed = HashSignContext(HEDGED, context, digest)
        ready = hashlib.new(name, message).digest()
        arguments.append((c.CKM_HASH_ML_DSA, public, ready, signature, hashed))
    for given in arguments:
        if case["result"] == "P":
            verify(*given)
        else:
            fails(c.CKR_SIGNATURE_INVALID, verify, *given)


def test_the_hash_cases_are_of_both_kinds() -> None:
    results = [case["result"] for case in hash_cases()]
    assert (results.count("P"), results.count("F")) == (6, 2)


@pytest.mark.parametrize("name", HASHES)
def test_what_hash_ml_dsa_signs(name: str) -> None:
    """The representative, put together once more by FIPS 204, algorithms 4 and 7."""
    private = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(32))
    public, message, context = private.public_key(), b"message", b"context"
    functions = {
        "SHA2-224": ("sha224", 4, None),
        "SHA2-256": ("sha256", 1, None),
        "SHA2-384": ("sha384", 2, None),
        "SHA2-512": ("sha512", 3, None),
        "SHA3-224": ("sha3_224", 7, None),
        "SHA3-256": ("sha3_256", 8, None),
        "SHA3-384": ("sha3_384", 9, None),
        "SHA3-512": ("sha3_512", 10, None),
        "SHAKE-128": ("shake_128", 11, 32),
        "SHAKE-256": ("shake_256", 12, 64),
    }
    function, arc, octets = functions[name]
    hashed: Any = hashlib.new(function, message)
    digest = hashed.digest(octets) if octets else hashed.digest()
    oid = bytes.fromhex("06096086480165030402") + bytes([arc])
    tr = hashlib.shake_256(public.public_bytes_raw()).digest(64)
    m = b"\1" + bytes([len(context)]) + context + oid + digest
    mu = hashlib.shake_256(tr + m).digest(64)

    given = key(c.CKO_PRIVATE_KEY, c.CKK_ML_DSA, c.CKP_ML_DSA_44, SEED=bytes(32))
    mechanism, number = HASHES[name]
    parameter = SignContext(HEDGED, context)
    public.verify_mu(sign(mechanism, imported(given), message, parameter), mu)
    if number is not None:
        ready = HashSignContext(HEDGED, context, number)
        public.verify_mu(sign(c.CKM_HASH_ML_DSA, imported(given), digest, ready), mu)


@pytest.mark.parametrize("name", ML_KEM)
def test_ml_kem(name: str) -> None:
    number, path = ML_KEM[name]
    row = MECHANISMS[c.CKM_ML_KEM]
    assert row.encapsulate
    assert row.decapsulate
    count = 0
    for case in list(cases(f"asymmetric/{path}", "count"))[::9]:
        if len(case["d"] + case["z"]) != 128:
            continue  # a number without its leading zero
        private, public = halves(case, c.CKK_ML_KEM, number, case["d"] + case["z"])
        for ciphertext, secret in (("ct", "ss"), ("ct_n", "ss_n")):  # the second was never made
            found = row.decapsulate(private, None, bytes.fromhex(case[ciphertext]), None)
            assert found == bytes.fromhex(case[secret])
        encapsulation = row.encapsulate(public, None)
        secret, made = encapsulation.run(None)
        assert encapsulation.length == len(made) == len(case["ct"]) // 2
        assert private.value.decapsulate(made) == secret
        count += 1
    assert count > 5
