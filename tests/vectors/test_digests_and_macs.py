"""Digests and HMACs against NIST's and the RFCs' answers."""

from __future__ import annotations

import pytest
from unit.mechanisms.keys import fails, secret, sign, verify
from vectors.readers import cases

from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

DIGESTS = [
    (c.CKM_MD5, "MD5/rfc-1321.txt"),
    *(
        (mechanism, f"{family}/{name}{length}Msg.rsp")
        for mechanism, family, name in (
            (c.CKM_SHA_1, "SHA1", "SHA1"),
            (c.CKM_SHA224, "SHA2", "SHA224"),
            (c.CKM_SHA256, "SHA2", "SHA256"),
            (c.CKM_SHA384, "SHA2", "SHA384"),
            (c.CKM_SHA512, "SHA2", "SHA512"),
            (c.CKM_SHA512_224, "SHA2", "SHA512_224"),
            (c.CKM_SHA512_256, "SHA2", "SHA512_256"),
            (c.CKM_SHA3_224, "SHA3", "SHA3_224"),
            (c.CKM_SHA3_256, "SHA3", "SHA3_256"),
            (c.CKM_SHA3_384, "SHA3", "SHA3_384"),
            (c.CKM_SHA3_512, "SHA3", "SHA3_512"),
        )
        for length in ("Short", "Long")
    ),
]


@pytest.mark.parametrize(("mechanism", "path"), DIGESTS, ids=[path for _, path in DIGESTS])
def test_digests(mechanism: int, path: str) -> None:
    row = MECHANISMS[mechanism]
    assert row.digest
    count = 0
    for case in cases(f"hashes/{path}", "len"):
        message = bytes.fromhex(case["msg"])[: int(case["len"]) // 8]
        assert row.digest(None).digest(message) == bytes.fromhex(case["md"])
        count += 1
    assert count > 5


HMACS = [
    (c.CKM_MD5_HMAC, "rfc-2202-md5.txt"),
    (c.CKM_SHA_1_HMAC, "rfc-2202-sha1.txt"),
    (c.CKM_SHA224_HMAC, "rfc-4231-sha224.txt"),
    (c.CKM_SHA256_HMAC, "rfc-4231-sha256.txt"),
    (c.CKM_SHA384_HMAC, "rfc-4231-sha384.txt"),
    (c.CKM_SHA512_HMAC, "rfc-4231-sha512.txt"),
]


@pytest.mark.parametrize(("mechanism", "path"), HMACS, ids=[path for _, path in HMACS])
def test_hmacs(mechanism: int, path: str) -> None:
    for case in cases(f"HMAC/{path}", "len"):
        key = secret(c.CKK_GENERIC_SECRET, bytes.fromhex(case["key"]))
        message, mac = bytes.fromhex(case["msg"]), bytes.fromhex(case["md"])
        assert sign(mechanism, key, message) == mac
        verify(mechanism, key, message, mac)
        fails(c.CKR_SIGNATURE_INVALID, verify, mechanism, key, message + b"x", mac)
