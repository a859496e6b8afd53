"""Signing and verifying message by message (sections 5.14 and 5.16).

Each signature is verified by the ordinary functions, which other tests hold against other
implementations, and those of the ordinary functions are verified message by message.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from abi.client import NULL, Client, encode, ffi, mechanism, octets, struct
from abi.conftest import Token
from abi.key_helpers import P256, rsa_pair, secret
from cryptography.hazmat.primitives import hashes, hmac

from pypkcs11.mechanisms.message_signatures import ONE_TIME, REPEATABLE
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as c

MESSAGES = [b"one", b"another message" * 30, b"", os.urandom(100)]
EDWARDS = bytes.fromhex("06032b6570")
PAIRS: dict[int, tuple[int, dict[int, Any]]] = {
    c.CKK_EC: (c.CKM_EC_KEY_PAIR_GEN, {c.CKA_EC_PARAMS: P256}),
    c.CKK_EC_EDWARDS: (c.CKM_EC_EDWARDS_KEY_PAIR_GEN, {c.CKA_EC_PARAMS: EDWARDS}),
}

#: Mechanism, key type, parameter, and octets of the data where that is one number.
CASES: dict[str, tuple[int, Any, int]] = {
    "SHA256_HMAC": (c.CKK_GENERIC_SECRET, None, 0),
    "SHA256_HMAC_GENERAL": (c.CKK_GENERIC_SECRET, 9, 0),
    "AES_CMAC": (c.CKK_AES, None, 0),
    "RSA_PKCS": (c.CKK_RSA, None, 20),
    "RSA_X_509": (c.CKK_RSA, None, 20),
    "RSA_PKCS_PSS": (c.CKK_RSA, "pss", 32),
    "SHA256_RSA_PKCS": (c.CKK_RSA, None, 0),
    "SHA256_RSA_PKCS_PSS": (c.CKK_RSA, "pss", 0),
    "ECDSA": (c.CKK_EC, None, 32),
    "ECDSA_SHA256": (c.CKK_EC, None, 0),
    "EDDSA": (c.CKK_EC_EDWARDS, None, 0),
}


def keys_for(p11: Client, session: int, key_type: int) -> tuple[int, int]:
    """A key that signs and one that verifies."""
    usage = {"SIGN": True, "VERIFY": True}
    if key_type in (c.CKK_AES, c.CKK_GENERIC_SECRET):
        both = secret(p11, session, bytes(range(32)), key_type, **usage)
        return both, both
    if key_type == c.CKK_RSA:
        public, private = rsa_pair(p11, session, {}, {c.CKA_SIGN: True})
    else:
        kind, given = PAIRS[key_type]
        public, private = p11.generate_pair(session, mechanism(kind), given, {c.CKA_SIGN: True})
    return private, public


def mechanism_of(name: str) -> Any:
    parameter = CASES[name][1]
    if parameter == "pss":
        parameter = struct(
            "CK_RSA_PKCS_PSS_PARAMS", hashAlg=c.CKM_SHA256, mgf=c.CKG_MGF1_SHA256, sLen=32
        )
    elif parameter is not None:
        parameter = encode(parameter)
    return mechanism(getattr(c, f"CKM_{name}"), parameter)


def data_of(name: str) -> list[bytes]:
    size = CASES[name][2]
    return [os.urandom(size) for _ in range(3)] if size else MESSAGES


def sign_whole(p11: Client, session: int, data: bytes) -> bytes:
    return p11.output("C_SignMessage", session, NULL, 0, octets(data), len(data))


def sign_parts(p11: Client, session: int, *parts: bytes) -> bytes:
    p11.do("C_SignMessageBegin", session, NULL, 0)
    *some, last = parts
    for part in some:
        p11.do("C_SignMessageNext", session, NULL, 0, octets(part), len(part), NULL, NULL)
    return p11.output("C_SignMessageNext", session, NULL, 0, octets(last), len(last))


def verify_parts(p11: Client, session: int, signature: bytes, *parts: bytes) -> None:
    p11.do("C_VerifyMessageBegin", session, NULL, 0)
    *some, last = parts
    for part in some:
        p11.do("C_VerifyMessageNext", session, NULL, 0, octets(part), len(part), NULL, 0)
    end = (octets(last), len(last), octets(signature), len(signature))
    p11.do("C_VerifyMessageNext", session, NULL, 0, *end)


@pytest.mark.parametrize("name", CASES)
def test_messages(p11: Client, session: int, name: str) -> None:
    mech = mechanism_of(name)
    signing, verifying = keys_for(p11, session, CASES[name][0])
    p11.do("C_MessageSignInit", session, mech, signing)
    signatures = []
    for data in data_of(name):
        signatures.append((data, sign_whole(p11, session, data)))
        signatures.append((data, sign_parts(p11, session, data[:5], data[5:])))
    p11.do("C_MessageSignFinal", session)
    for data, signature in signatures:
        p11.verify(session, mech, verifying, signature, data)
    theirs = [(data, p11.sign(session, mech, signing, data)) for data in data_of(name)]
    p11.do("C_MessageVerifyInit", session, mech, verifying)
    for data, signature in theirs:
        end = (octets(signature), len(signature))
        p11.do("C_VerifyMessage", session, NULL, 0, octets(data), len(data), *end)
        verify_parts(p11, session, signature, data[:7], data[7:])
        wrong = octets(bytes([signature[0] ^ 1]) + signature[1:])
        before = (session, NULL, 0, octets(data), len(data), wrong)
        assert p11.C_VerifyMessage(*before, len(signature)) == c.CKR_SIGNATURE_INVALID
        rv = p11.C_VerifyMessage(*before, len(signature) - 1)
        # What has no fixed length cannot be seen to have the wrong one.
        assert rv in (c.CKR_SIGNATURE_LEN_RANGE, c.CKR_SIGNATURE_INVALID)
        p11.do("C_VerifyMessageBegin", session, NULL, 0)
        assert p11.C_VerifyMessageNext(*before, len(signature)) == c.CKR_SIGNATURE_INVALID
        rv = p11.C_VerifyMessageNext(*before, len(signature))
        assert rv == c.CKR_OPERATION_NOT_INITIALIZED
    p11.do("C_MessageVerifyFinal", session)


def test_every_mechanism_without_a_nonce_does(p11: Client, session: int) -> None:
    """And says so; one whose parameter is for one message only does not."""
    slot = p11.session_info(session).slotID
    info = ffi.new("CK_MECHANISM_INFO *")
    seen = 0
    for row in mechanisms().values():
        if row.legacy:  # not offered by default
            continue
        p11.do("C_GetMechanismInfo", slot, row.type, info)
        for one, by_message in (
            (c.CKF_SIGN, c.CKF_MESSAGE_SIGN),
            (c.CKF_VERIFY, c.CKF_MESSAGE_VERIFY),
        ):
            repeatable = row.parameter in REPEATABLE and row.type not in ONE_TIME
            expected = bool(info.flags & one) and repeatable
            assert bool(info.flags & by_message) == expected, hex(row.type)
            assert not expected or info.flags & c.CKF_MULTI_MESSAGE
            seen += expected
    assert seen > 50


def test_against_another_implementation(p11: Client, session: int) -> None:
    key, _ = keys_for(p11, session, c.CKK_GENERIC_SECRET)
    p11.do("C_MessageSignInit", session, mechanism_of("SHA256_HMAC"), key)
    for data in MESSAGES:
        known = hmac.HMAC(bytes(range(32)), hashes.SHA256())
        known.update(data)
        expected = known.finalize()
        assert sign_whole(p11, session, data) == sign_parts(p11, session, data) == expected


def test_the_order_of_calls(p11: Client, session: int) -> None:
    key, _ = keys_for(p11, session, c.CKK_GENERIC_SECRET)
    mech = mechanism_of("SHA256_HMAC")
    out, length = ffi.new("CK_BYTE[32]"), ffi.new("CK_ULONG *", 32)
    data = (octets(b"data"), 4)
    none = (NULL, 0)
    assert p11.C_SignMessage(session, *none, *data, out, length) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_SignMessageBegin(session, *none) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_MessageSignFinal(session) == c.CKR_OPERATION_NOT_INITIALIZED
    p11.do("C_MessageSignInit", session, mech, key)
    assert p11.C_MessageSignInit(session, mech, key) == c.CKR_OPERATION_ACTIVE
    assert p11.C_SignInit(session, mech, key) == c.CKR_OPERATION_ACTIVE
    rv = p11.C_SignMessageNext(session, *none, *data, out, length)
    assert rv == c.CKR_OPERATION_NOT_INITIALIZED
    rv = p11.C_SignMessage(session, octets(b"x"), 1, *data, out, length)
    assert rv == c.CKR_MECHANISM_PARAM_INVALID
    length[0] = 31
    rv = p11.C_SignMessage(session, *none, *data, out, length)
    assert (rv, length[0]) == (c.CKR_BUFFER_TOO_SMALL, 32)
    p11.do("C_SignMessageBegin", session, *none)
    assert p11.C_SignMessageBegin(session, *none) == c.CKR_OPERATION_ACTIVE
    assert p11.C_SignMessage(session, *none, *data, out, length) == c.CKR_OPERATION_ACTIVE
    assert p11.C_MessageSignFinal(session) == c.CKR_OPERATION_ACTIVE
    length[0] = 31
    rv = p11.C_SignMessageNext(session, *none, *data, out, length)
    assert rv == c.CKR_BUFFER_TOO_SMALL
    assert p11.C_SignMessageNext(session, *none, *data, out, length) == c.CKR_OK
    expected = p11.output("C_SignMessage", session, *none, *data)
    assert bytes(out) == expected  # the part that found no room was not taken in
    p11.do("C_SignMessageBegin", session, *none)
    assert p11.C_SessionCancel(session, c.CKF_MESSAGE_SIGN) == c.CKR_OK
    assert p11.C_MessageSignFinal(session) == c.CKR_OPERATION_NOT_INITIALIZED
    p11.do("C_MessageVerifyInit", session, mech, key)
    assert p11.C_MessageVerifyInit(session, NULL, key) == c.CKR_OK
    assert p11.C_MessageVerifyFinal(session) == c.CKR_OPERATION_NOT_INITIALIZED


def test_a_pin_for_each_message(p11: Client, token: Token, session: int) -> None:
    """CKA_ALWAYS_AUTHENTICATE asks for it at each use, and each message is one."""
    private = {c.CKA_SIGN: True, c.CKA_ALWAYS_AUTHENTICATE: True, c.CKA_PRIVATE: True}
    _, key = rsa_pair(p11, session, {}, private)
    p11.do("C_MessageSignInit", session, mechanism_of("SHA256_RSA_PKCS"), key)
    length = ffi.new("CK_ULONG *", 256)
    arguments = (session, NULL, 0, octets(b"data"), 4, ffi.new("CK_BYTE[256]"), length)
    for _ in range(2):
        assert p11.C_SignMessage(*arguments) == c.CKR_USER_NOT_LOGGED_IN
        p11.login(session, c.CKU_CONTEXT_SPECIFIC, token.user_pin)
        assert p11.C_SignMessage(*arguments) == c.CKR_OK
        assert p11.C_SignMessageBegin(session, NULL, 0) == c.CKR_USER_NOT_LOGGED_IN
        p11.login(session, c.CKU_CONTEXT_SPECIFIC, token.user_pin)
        sign_parts(p11, session, b"da", b"ta")
    assert p11.C_MessageSignFinal(session) == c.CKR_OK
