"""C_VerifySignatureInit and its kin (section 5.15): the signature is given at the beginning."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from abi.client import NULL, Client, mechanism, octets, refused, struct
from abi.conftest import Token
from abi.key_helpers import rsa_pair, secret
from abi.samples import PAIRS

from pypkcs11.standard import constants as c

KEY = bytes(range(32))
HMAC = mechanism(c.CKM_SHA256_HMAC)
MAC = hmac.new(KEY, b"message", hashlib.sha256).digest()


def begin(p11: Client, session: int, mech: object, key: int, signature: bytes) -> None:
    given = (octets(signature), len(signature))
    p11.do("C_VerifySignatureInit", session, mech, key, *given)


def whole(p11: Client, session: int, data: bytes) -> None:
    p11.do("C_VerifySignature", session, octets(data), len(data))


def parts(p11: Client, session: int, *many: bytes) -> None:
    for part in many:
        p11.do("C_VerifySignatureUpdate", session, octets(part), len(part))
    p11.do("C_VerifySignatureFinal", session)


@pytest.fixture
def key(p11: Client, session: int) -> int:
    return secret(p11, session, KEY, c.CKK_GENERIC_SECRET, SIGN=True, VERIFY=True)


def test_one_part_and_many(p11: Client, session: int, key: int) -> None:
    begin(p11, session, HMAC, key, MAC)
    whole(p11, session, b"message")
    for many in ((b"message",), (b"mes", b"sage"), (b"", b"message", b"")):
        begin(p11, session, HMAC, key, MAC)
        parts(p11, session, *many)
    for wrong, code in (
        (bytes(32), c.CKR_SIGNATURE_INVALID),
        (MAC[:-1], c.CKR_SIGNATURE_LEN_RANGE),
        (b"", c.CKR_SIGNATURE_LEN_RANGE),
    ):
        begin(p11, session, HMAC, key, wrong)
        with refused(code):
            whole(p11, session, b"message")
        begin(p11, session, HMAC, key, wrong)
        with refused(code):
            parts(p11, session, b"message")
        with refused(c.CKR_OPERATION_NOT_INITIALIZED):
            whole(p11, session, b"message")


def test_the_signature_is_copied(p11: Client, session: int, key: int) -> None:
    memory = octets(MAC)
    p11.do("C_VerifySignatureInit", session, HMAC, key, memory, len(MAC))
    memory[0] ^= 1
    whole(p11, session, b"message")


@pytest.mark.parametrize("key_type", [c.CKK_RSA, c.CKK_EC, c.CKK_EC_EDWARDS, c.CKK_ML_DSA])
def test_with_key_pairs(p11: Client, session: int, key_type: int) -> None:
    kind, public = PAIRS[key_type]
    checker, signer = p11.generate_pair(session, mechanism(kind), public, {})
    pss = struct("CK_RSA_PKCS_PSS_PARAMS", hashAlg=c.CKM_SHA256, mgf=c.CKG_MGF1_SHA256, sLen=32)
    mech = {
        c.CKK_RSA: mechanism(c.CKM_SHA256_RSA_PKCS_PSS, pss),
        c.CKK_EC: mechanism(c.CKM_ECDSA_SHA256),
        c.CKK_EC_EDWARDS: mechanism(c.CKM_EDDSA),
        c.CKK_ML_DSA: mechanism(c.CKM_ML_DSA),
    }[key_type]
    signature = p11.sign(session, mech, signer, b"message")
    begin(p11, session, mech, checker, signature)
    whole(p11, session, b"message")
    begin(p11, session, mech, checker, signature)
    parts(p11, session, b"mes", b"sage")
    for data in ((b"another",), (b"ano", b"ther")):
        begin(p11, session, mech, checker, signature)
        with refused(c.CKR_SIGNATURE_INVALID):
            parts(p11, session, *data)


def test_a_mechanism_of_one_part(p11: Client, session: int) -> None:
    checker, signer = p11.generate_pair(
        session, mechanism(PAIRS[c.CKK_EC][0]), PAIRS[c.CKK_EC][1], {}
    )
    mech, digest = mechanism(c.CKM_ECDSA), hashlib.sha256(b"message").digest()
    signature = p11.sign(session, mech, signer, digest)
    begin(p11, session, mech, checker, signature)
    whole(p11, session, digest)
    begin(p11, session, mech, checker, signature)
    with refused(c.CKR_OPERATION_NOT_INITIALIZED):
        parts(p11, session, digest)


def test_what_is_wrong_at_the_beginning(p11: Client, session: int, key: int) -> None:
    given = (octets(MAC), len(MAC))
    _, private = rsa_pair(p11, session, {}, {})
    for code, arguments in (
        (c.CKR_ARGUMENTS_BAD, (HMAC, key, NULL, 32)),
        (c.CKR_KEY_HANDLE_INVALID, (HMAC, 0, *given)),
        (c.CKR_KEY_TYPE_INCONSISTENT, (HMAC, private, *given)),
        (c.CKR_MECHANISM_INVALID, (mechanism(c.CKM_AES_CBC, bytes(16)), key, *given)),
        (c.CKR_MECHANISM_PARAM_INVALID, (mechanism(c.CKM_SHA256_HMAC, b"x"), key, *given)),
    ):
        assert p11.C_VerifySignatureInit(session, *arguments) == code
        assert p11.C_VerifySignatureFinal(session) == c.CKR_OPERATION_NOT_INITIALIZED
    mute = secret(p11, session, KEY, c.CKK_GENERIC_SECRET, VERIFY=False)
    rv = p11.C_VerifySignatureInit(session, HMAC, mute, *given)
    assert rv == c.CKR_KEY_FUNCTION_NOT_PERMITTED


def test_it_is_another_operation_than_c_verify(p11: Client, session: int, key: int) -> None:
    begin(p11, session, HMAC, key, MAC)
    given = (octets(MAC), len(MAC))
    data = (octets(b"message"), 7)
    assert p11.C_Verify(session, *data, *given) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_VerifyUpdate(session, *data) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_VerifyFinal(session, *given) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_VerifyInit(session, HMAC, key) == c.CKR_OPERATION_ACTIVE
    assert p11.C_VerifySignatureInit(session, HMAC, key, *given) == c.CKR_OPERATION_ACTIVE
    assert p11.C_SignInit(session, HMAC, key) == c.CKR_OPERATION_ACTIVE
    whole(p11, session, b"message")
    p11.do("C_VerifyInit", session, HMAC, key)
    assert p11.C_VerifySignature(session, *data) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_VerifySignatureUpdate(session, *data) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_VerifySignatureFinal(session) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_VerifySignatureInit(session, HMAC, key, *given) == c.CKR_OPERATION_ACTIVE
    p11.do("C_Verify", session, *data, *given)


def test_one_part_after_a_part(p11: Client, session: int, key: int) -> None:
    begin(p11, session, HMAC, key, MAC)
    p11.do("C_VerifySignatureUpdate", session, octets(b"mes"), 3)
    with refused(c.CKR_OPERATION_ACTIVE):
        whole(p11, session, b"message")
    with refused(c.CKR_OPERATION_NOT_INITIALIZED):
        parts(p11, session)


def test_ending_it(p11: Client, session: int, key: int) -> None:
    begin(p11, session, HMAC, key, MAC)
    p11.do("C_VerifySignatureInit", session, NULL, 0, NULL, 0)
    with refused(c.CKR_OPERATION_NOT_INITIALIZED):
        whole(p11, session, b"message")
    begin(p11, session, HMAC, key, MAC)
    p11.do("C_SessionCancel", session, c.CKF_SIGN)
    whole(p11, session, b"message")
    begin(p11, session, HMAC, key, MAC)
    p11.do("C_SessionCancel", session, c.CKF_VERIFY)
    with refused(c.CKR_OPERATION_NOT_INITIALIZED):
        whole(p11, session, b"message")


def test_it_is_saved_with_its_signature(p11: Client, token: Token, session: int, key: int) -> None:
    begin(p11, session, HMAC, key, MAC)
    p11.do("C_VerifySignatureUpdate", session, octets(b"mes"), 3)
    state = p11.output("C_GetOperationState", session)
    parts(p11, session, b"sage")
    for authentication_key in (0, key):
        given = (octets(state), len(state), 0, authentication_key)
        p11.do("C_SetOperationState", session, *given)
        parts(p11, session, b"sage")
        p11.do("C_SetOperationState", session, *given)
        with refused(c.CKR_SIGNATURE_INVALID):
            parts(p11, session, b"sages")


def test_it_ends_with_the_login(p11: Client, session: int, key: int) -> None:
    begin(p11, session, HMAC, key, MAC)
    p11.do("C_Logout", session)
    with refused(c.CKR_OPERATION_NOT_INITIALIZED):
        whole(p11, session, b"message")
