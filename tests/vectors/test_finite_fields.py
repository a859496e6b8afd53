"""DSA and Diffie-Hellman against NIST's and the RFCs' answers, the wrong ones included."""

from __future__ import annotations

from typing import Any

import pytest
from unit.mechanisms.keys import fails, imported, sign, verify
from vectors.readers import Case, cases

from pypkcs11.mechanisms import x942_kdf
from pypkcs11.mechanisms.parameters import X942Dh
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import complete_key, mechanisms
from pypkcs11.standard import constants as c
from pypkcs11.standard.errors import CryptokiError

MECHANISMS = {
    "SHA-1": c.CKM_DSA_SHA1,
    "SHA-224": c.CKM_DSA_SHA224,
    "SHA-256": c.CKM_DSA_SHA256,
    "SHA-384": c.CKM_DSA_SHA384,
    "SHA-512": c.CKM_DSA_SHA512,
}


def octets(digits: str) -> bytes:
    return bytes.fromhex(digits if len(digits) % 2 == 0 else f"0{digits}")


def key(key_type: int, object_class: int, numbers: Case, value: str) -> Key:
    attributes: dict[int, Any] = {
        c.CKA_CLASS: object_class,
        c.CKA_KEY_TYPE: key_type,
        c.CKA_PRIME: octets(numbers["p"]),
        c.CKA_BASE: octets(numbers["g"]),
        c.CKA_VALUE: octets(value),
    }
    if key_type != c.CKK_DH:
        attributes[c.CKA_SUBPRIME] = octets(numbers["q"])
    return imported(attributes)


def dsa_cases(path: str, start: str) -> list[tuple[str, Case]]:
    """The cases of a file whose sections are ``[mod = L=1024, N=160, SHA-1]``.

    Every section has parameters of its own, which take a while to prove: of the longest, those of
    one digest do.
    """
    return [
        (case["mod"].rsplit(", ", 1)[-1], case)
        for case in cases(f"asymmetric/DSA/{path}", start)
        if "3072" not in case["mod"] or "SHA-256" in case["mod"]
    ]


@pytest.mark.parametrize("edition", ["FIPS_186-2", "FIPS_186-3"])
def test_dsa_verification(edition: str) -> None:
    seen = {"P": 0, "F": 0, "Y": 0}
    for digest, case in dsa_cases(f"{edition}/SigVer.rsp", "msg"):
        try:
            public = key(c.CKK_DSA, c.CKO_PUBLIC_KEY, case, case["y"])
        except CryptokiError as error:
            assert error.rv == c.CKR_ATTRIBUTE_VALUE_INVALID
            assert "Y changed" in case["result"]
            seen["Y"] += 1
            continue
        width = len(octets(case["q"]))
        signature = b"".join(octets(case[name]).rjust(width, b"\0") for name in ("r", "s"))
        mechanism = MECHANISMS.get(digest, c.CKM_DSA_SHA1)
        seen[case["result"][0]] += 1
        arguments = (mechanism, public, octets(case["msg"]), signature)
        if case["result"].startswith("P"):
            verify(*arguments)
        else:
            fails(c.CKR_SIGNATURE_INVALID, verify, *arguments)
    assert seen["P"] >= 3
    assert seen["F"] >= 5
    assert seen["Y"] >= 2


def test_dsa_signatures_of_others() -> None:
    """Published signatures of every pair of lengths and digest."""
    seen = set()
    for digest, case in dsa_cases("FIPS_186-3/SigGen.rsp", "msg"):
        if (digest, case["p"]) in seen:
            continue
        seen.add((digest, case["p"]))
        public = key(c.CKK_DSA, c.CKO_PUBLIC_KEY, case, case["y"])
        width = len(octets(case["q"]))
        signature = b"".join(octets(case[name]).rjust(width, b"\0") for name in ("r", "s"))
        verify(MECHANISMS[digest], public, octets(case["msg"]), signature)
    assert len(seen) == 16


def test_dsa_signatures_made_here_verify_with_the_published_keys() -> None:
    seen = set()
    for case in cases("asymmetric/DSA/FIPS_186-3/KeyPair.rsp", "x"):
        if case["p"] in seen:
            continue
        seen.add(case["p"])
        private = key(c.CKK_DSA, c.CKO_PRIVATE_KEY, case, case["x"])
        public = key(c.CKK_DSA, c.CKO_PUBLIC_KEY, case, case["y"])
        for mechanism in MECHANISMS.values():
            signature = sign(mechanism, private, b"message")
            assert len(signature) == 2 * len(octets(case["q"]))
            verify(mechanism, public, b"message", signature)
            fails(c.CKR_SIGNATURE_INVALID, verify, mechanism, public, b"massage", signature)
            for wrong in (signature[1:], signature[2:], signature + b"\0", b""):
                fails(c.CKR_SIGNATURE_LEN_RANGE, verify, mechanism, public, b"message", wrong)
    assert len(seen) >= 3


def test_dsa_pairs() -> None:
    """The public value follows from the private one."""
    count = 0
    for case in cases("asymmetric/DSA/FIPS_186-3/KeyPair.rsp", "x"):
        given = {
            c.CKA_CLASS: c.CKO_PRIVATE_KEY,
            c.CKA_KEY_TYPE: c.CKK_DSA,
            c.CKA_PRIME: octets(case["p"]),
            c.CKA_SUBPRIME: octets(case["q"]),
            c.CKA_BASE: octets(case["g"]),
            c.CKA_VALUE: octets(case["x"]),
        }
        public = {
            **given,
            c.CKA_CLASS: c.CKO_PUBLIC_KEY,
            c.CKA_VALUE: octets(case["y"]),
        }
        info = complete_key(given)[c.CKA_PUBLIC_KEY_INFO]
        assert info == complete_key(public)[c.CKA_PUBLIC_KEY_INFO]
        count += 1
    assert count >= 30


def agreed(private: Key, public: bytes, length: int | None = None) -> bytes:
    if private.type == c.CKK_DH:
        derive, parameter = mechanisms()[c.CKM_DH_PKCS_DERIVE].derive, public
    else:
        derive = mechanisms()[c.CKM_X9_42_DH_DERIVE].derive
        parameter = X942Dh(c.CKD_NULL, b"", public)  # type: ignore[assignment]
    assert derive is not None
    return derive(private, parameter, length, None)


def test_dh_in_the_groups_of_rfc_5114() -> None:
    count = 0
    for case in cases("asymmetric/DH/RFC5114.txt", "count"):
        numbers = {name: case[name] for name in ("p", "q", "g")}
        for x, y in (("xstatcavs", "ystatiut"), ("xstatiut", "ystatcavs")):
            private = key(c.CKK_X9_42_DH, c.CKO_PRIVATE_KEY, numbers, case[x])
            expected = octets(case["z"])
            assert agreed(private, octets(case[y])) == expected.rjust(len(octets(case["p"])), b"\0")
        count += 1
    assert count == 3


@pytest.mark.parametrize("role", ["init", "resp"])
def test_dh_of_nist(role: str) -> None:
    """Static keys without key confirmation, among them public values that are none."""
    seen = {"agree": 0, "differ": 0, "refused": 0}
    path = f"asymmetric/DH/KASValidityTest_FFCStatic_NOKC_ZZOnly_{role}.fax"
    for case in list(cases(path, "count"))[::9]:  # a group that has to be proved takes its time
        private = key(c.CKK_X9_42_DH, c.CKO_PRIVATE_KEY, case, case["xstatiut"])
        public, expected = octets(case["ystatcavs"]), octets(case["z"])
        group = {name: int(case[name], 16) for name in ("p", "q")}
        y = int(case["ystatcavs"], 16)
        if not 1 < y < group["p"] - 1 or pow(y, group["q"], group["p"]) != 1:
            fails(c.CKR_MECHANISM_PARAM_INVALID, agreed, private, public)
            seen["refused"] += 1
            continue
        found = agreed(private, public)
        same = found == expected.rjust(len(found), b"\0")
        if case["result"].startswith("P"):
            assert same
        seen["agree" if same else "differ"] += 1
    assert seen["agree"] >= 3
    assert sum(seen.values()) == 8


def test_dh_in_the_groups_of_rfc_3526() -> None:
    """Two pairs of each group agree, as plain arithmetic does."""
    sizes = set()
    for case in cases("asymmetric/DH/rfc3526.txt", "count"):
        prime, base = int(case["p"], 16), int(case["g"])
        numbers = {"p": case["p"], "g": f"{base:02x}"}
        sizes.add(prime.bit_length())
        x = 0x1234567890ABCDEF << 200
        private = key(c.CKK_DH, c.CKO_PRIVATE_KEY, numbers, f"{x:x}")
        peer = pow(base, x + 1, prime)
        length = len(octets(case["p"]))
        expected = pow(peer, x, prime).to_bytes(length, "big")
        assert agreed(private, peer.to_bytes(length, "big")) == expected
        assert agreed(private, peer.to_bytes(length, "big"), 20) == expected[-20:]
    assert sizes == {1536, 2048, 3072, 4096, 6144, 8192}


#: RFC 2631, section 2.1.6 and 2.1.7: other info, and what it is derived to.
RFC_2631 = (
    (
        "301d 3013 060b2a864886f70d0109100306 0404 00000001 a206 0404 000000c0",
        "a09661392376f7044d9052a397883246b67f5f1ef63eb5fb",
    ),
    (
        "3061 3013 060b2a864886f70d0109100307 0404 00000001 a042 0440"
        + "0123456789abcdeffedcba9876543201" * 4
        + "a206 0404 00000080",
        "48950c46e0530075403cce72889604e0",
    ),
)


@pytest.mark.parametrize(("other", "expected"), RFC_2631)
def test_the_function_of_x942_with_asn1(other: str, expected: str) -> None:
    secret = bytes(range(20))
    function = x942_kdf.FUNCTIONS[c.CKD_SHA1_KDF_ASN1]
    assert function(secret, bytes.fromhex(other), len(expected) // 2).hex() == expected
    later = bytes.fromhex(other.replace("0404 00000001", "0404 00000007"))
    assert function(secret, later, len(expected) // 2).hex() == expected
