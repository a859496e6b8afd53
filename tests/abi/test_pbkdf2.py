"""Keys out of passwords through C_GenerateKey, held against the standard library and RFC 6070."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Any

import pytest
from abi.client import NULL, Client, Value, ffi, mechanism, number, octets, refused, struct
from abi.key_helpers import named
from vectors.readers import cases

from pypkcs11.standard import constants as c

PASSWORD, SALT = b"correct horse", b"battery staple"
READABLE = {"SENSITIVE": False, "EXTRACTABLE": True}
PRFS = {
    c.CKP_PKCS5_PBKD2_HMAC_SHA1: "sha1",
    c.CKP_PKCS5_PBKD2_HMAC_SHA224: "sha224",
    c.CKP_PKCS5_PBKD2_HMAC_SHA256: "sha256",
    c.CKP_PKCS5_PBKD2_HMAC_SHA384: "sha384",
    c.CKP_PKCS5_PBKD2_HMAC_SHA512: "sha512",
    c.CKP_PKCS5_PBKD2_HMAC_SHA512_224: "sha512_224",
    c.CKP_PKCS5_PBKD2_HMAC_SHA512_256: "sha512_256",
}


def parameters(
    password: bytes = PASSWORD,
    salt: bytes = SALT,
    iterations: int = 1000,
    prf: int = c.CKP_PKCS5_PBKD2_HMAC_SHA256,
    old: bool = False,
    **more: Any,
) -> Any:
    length: Any = ffi.new("CK_ULONG *", len(password)) if old else len(password)
    fields = {
        "saltSource": c.CKZ_SALT_SPECIFIED,
        "pSaltSourceData": salt or NULL,
        "ulSaltSourceDataLen": len(salt),
        "iterations": iterations,
        "prf": prf,
        "pPassword": octets(password),
        "ulPasswordLen": length,
    }
    return struct(f"CK_PKCS5_PBKD2_PARAMS{'' if old else '2'}", **fields | more)


def value_of(p11: Client, session: int, parameter: Any, **more: Value) -> bytes:
    template = named({"KEY_TYPE": c.CKK_GENERIC_SECRET, **READABLE, **more})
    key = p11.generate(session, mechanism(c.CKM_PKCS5_PBKD2, parameter), template)
    return p11.get(session, key, c.CKA_VALUE)


@pytest.mark.parametrize("old", [False, True], ids=["PARAMS2", "PARAMS"])
@pytest.mark.parametrize("prf", PRFS)
def test_every_prf(p11: Client, session: int, prf: int, old: bool) -> None:
    for length in (1, 32, 100):
        found = value_of(p11, session, parameters(prf=prf, old=old), VALUE_LEN=length)
        assert found == hashlib.pbkdf2_hmac(PRFS[prf], PASSWORD, SALT, 1000, length)


def test_published_answers(p11: Client, session: int) -> None:
    done = 0
    for case in cases("KDF/rfc-6070-PBKDF2-SHA1.txt", "count"):
        if int(case["iterations"]) > 10000:
            continue
        password, salt = (
            case[name].encode().decode("unicode_escape").encode() for name in ("password", "salt")
        )
        parameter = parameters(password, salt, int(case["iterations"]), c.CKP_PKCS5_PBKD2_HMAC_SHA1)
        found = value_of(p11, session, parameter, VALUE_LEN=int(case["length"]))
        assert found == bytes.fromhex(case["derived_key"])
        done += 1
    assert done >= 4


def test_a_key_for_encryption(p11: Client, session: int) -> None:
    mech = mechanism(c.CKM_PKCS5_PBKD2, parameters())
    key = p11.generate(session, mech, named({"KEY_TYPE": c.CKK_AES, "VALUE_LEN": 32}))
    same = hashlib.pbkdf2_hmac("sha256", PASSWORD, SALT, 1000, 32)
    known = p11.create(
        session,
        named({"CLASS": c.CKO_SECRET_KEY, "KEY_TYPE": c.CKK_AES, "VALUE": same}),
    )
    ecb = mechanism(c.CKM_AES_ECB)
    assert p11.encrypt(session, ecb, key, SALT + b"..") == p11.encrypt(
        session, ecb, known, SALT + b".."
    )
    assert p11.get(session, key, c.CKA_CHECK_VALUE) == p11.get(session, known, c.CKA_CHECK_VALUE)
    assert p11.get(session, key, c.CKA_LOCAL) == b"\1"
    assert number(p11.get(session, key, c.CKA_KEY_GEN_MECHANISM)) == c.CKM_PKCS5_PBKD2


def test_empty_passwords_and_salts(p11: Client, session: int) -> None:
    expected = hashlib.pbkdf2_hmac("sha256", b"", b"", 1000, 20)
    assert value_of(p11, session, parameters(b"", b""), VALUE_LEN=20) == expected
    empty = parameters(b"", b"", pPassword=NULL)
    assert value_of(p11, session, empty, VALUE_LEN=20) == expected


def test_what_is_refused(p11: Client, session: int) -> None:
    wrong = c.CKR_MECHANISM_PARAM_INVALID
    for parameter, rv in (
        (parameters(saltSource=2), wrong),
        (parameters(prf=c.CKP_PKCS5_PBKD2_HMAC_GOSTR3411), wrong),
        (parameters(prf=99), wrong),
        (parameters(iterations=0), wrong),
        (parameters(iterations=100_000_001), wrong),
        (parameters(pPrfData=octets(b"x"), ulPrfDataLen=1), wrong),
        (parameters(pPassword=NULL), wrong),
        (parameters(pSaltSourceData=NULL), wrong),
        (parameters(ulPasswordLen=65537), wrong),  # neither a length nor an address
        (parameters(ulSaltSourceDataLen=1 << 40), wrong),
        (None, wrong),
        (b"short", wrong),
    ):
        with refused(rv):
            value_of(p11, session, parameter, VALUE_LEN=32)
    good = parameters()
    for template, rv in (
        ({"VALUE_LEN": 16}, c.CKR_TEMPLATE_INCOMPLETE),
        ({"KEY_TYPE": c.CKK_AES}, c.CKR_TEMPLATE_INCOMPLETE),
        ({"KEY_TYPE": c.CKK_GENERIC_SECRET}, c.CKR_TEMPLATE_INCOMPLETE),
        ({"KEY_TYPE": c.CKK_AES, "VALUE_LEN": 17}, c.CKR_ATTRIBUTE_VALUE_INVALID),
        ({"KEY_TYPE": c.CKK_GENERIC_SECRET, "VALUE_LEN": 0}, c.CKR_ATTRIBUTE_VALUE_INVALID),
        ({"KEY_TYPE": c.CKK_AES, "VALUE_LEN": 1 << 30}, c.CKR_ATTRIBUTE_VALUE_INVALID),
        ({"KEY_TYPE": c.CKK_RSA, "VALUE_LEN": 16}, c.CKR_ATTRIBUTE_VALUE_INVALID),
        ({"KEY_TYPE": 0x7FFF, "VALUE_LEN": 16}, c.CKR_ATTRIBUTE_VALUE_INVALID),
    ):
        with refused(rv):
            p11.generate(session, mechanism(c.CKM_PKCS5_PBKD2, good), named(template))
    with refused(wrong):  # 50,000 iterations for each of 2048 blocks
        value_of(p11, session, parameters(iterations=50_000), VALUE_LEN=65536)


def test_other_threads_go_on(p11: Client, session: int) -> None:
    """The work of a password is long on purpose, and must not hold up the rest."""
    started, done = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        value_of(p11, session, parameters(iterations=1_000_000), VALUE_LEN=32)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    calls = 0
    while not done.is_set():
        p11.session_info(session)
        calls += 1
        time.sleep(0.005)
    thread.join()
    assert calls > 10
