"""Signatures that carry their data, and RSA without padding (sections 5.13, 5.15 and 6.1).

What the module makes is read by the ``openssl`` command, and the other way.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from abi.client import NULL, Client, ffi, mechanism, octets, refused, template
from abi.conftest import Token, restart
from abi.helping import configure
from abi.key_helpers import named, rsa_pair, secret
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from pypkcs11.standard import constants as c

PKCS = mechanism(c.CKM_RSA_PKCS)
RAW = mechanism(c.CKM_RSA_X_509)
OCTETS = 256
DATA = b"what was signed"


class Pair(NamedTuple):
    """A key pair of the module, and its public half as others know it."""

    public: int
    private: int
    known: rsa.RSAPublicKey

    @property
    def modulus(self) -> int:
        return self.known.public_numbers().n


def pair(p11: Client, session: int, **private: Any) -> Pair:
    usage = dict.fromkeys(("ENCRYPT", "VERIFY", "VERIFY_RECOVER", "WRAP", "ENCAPSULATE"), True)
    secret_usage = dict.fromkeys(("DECRYPT", "SIGN", "SIGN_RECOVER", "UNWRAP", "DECAPSULATE"), True)
    keys = rsa_pair(p11, session, named(usage), named({**secret_usage, **private}))
    known = load_der_public_key(p11.get(session, keys[0], c.CKA_PUBLIC_KEY_INFO))
    assert isinstance(known, rsa.RSAPublicKey)
    return Pair(*keys, known)


@pytest.fixture
def keys(p11: Client, session: int) -> Pair:
    return pair(p11, session)


def sign_recover(p11: Client, session: int, mech: Any, key: int, data: bytes) -> bytes:
    p11.do("C_SignRecoverInit", session, mech, key)
    return p11.output("C_SignRecover", session, octets(data), len(data))


def recover(p11: Client, session: int, mech: Any, key: int, signature: bytes) -> bytes:
    p11.do("C_VerifyRecoverInit", session, mech, key)
    return p11.output("C_VerifyRecover", session, octets(signature), len(signature))


def openssl(directory: Path, keys: Pair, padding: str, signature: bytes) -> bytes:
    """What openssl takes out of a signature."""
    pem = keys.known.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / "key.pem").write_bytes(pem)
    (directory / "signature").write_bytes(signature)
    command = ["openssl", "pkeyutl", "-verifyrecover", "-pubin", "-inkey", "key.pem"]
    options = ["-in", "signature", "-pkeyopt", f"rsa_padding_mode:{padding}"]
    done = subprocess.run([*command, *options], cwd=directory, capture_output=True, check=True)
    return done.stdout


@pytest.mark.parametrize("data", [b"", b"x", DATA, bytes(OCTETS - 11)], ids=len)
def test_pkcs1(p11: Client, session: int, keys: Pair, tmp_path: Path, data: bytes) -> None:
    signature = sign_recover(p11, session, PKCS, keys.private, data)
    assert openssl(tmp_path, keys, "pkcs1", signature) == data
    assert recover(p11, session, PKCS, keys.public, signature) == data
    p11.verify(session, PKCS, keys.public, signature, data)


@pytest.mark.parametrize("data", [b"", b"x", bytes(3) + DATA, b"\0" + b"\xff" * 255], ids=len)
def test_raw(p11: Client, session: int, keys: Pair, tmp_path: Path, data: bytes) -> None:
    signature = sign_recover(p11, session, RAW, keys.private, data)
    assert len(signature) == OCTETS
    assert openssl(tmp_path, keys, "none", signature) == data.rjust(OCTETS, b"\0")
    assert recover(p11, session, RAW, keys.public, signature) == data.rjust(OCTETS, b"\0")
    p11.verify(session, RAW, keys.public, signature, data)
    assert p11.sign(session, RAW, keys.private, data) == signature


def test_what_openssl_signs(p11: Client, session: int, tmp_path: Path) -> None:
    theirs = rsa.generate_private_key(65537, 2048)
    pem = theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    numbers = theirs.public_key().public_numbers()
    public = p11.create(
        session,
        {
            c.CKA_CLASS: c.CKO_PUBLIC_KEY,
            c.CKA_KEY_TYPE: c.CKK_RSA,
            c.CKA_MODULUS: numbers.n.to_bytes(OCTETS, "big"),
            c.CKA_PUBLIC_EXPONENT: b"\1\0\1",
            c.CKA_VERIFY_RECOVER: True,
        },
    )
    whole = DATA.rjust(OCTETS, b"\0")
    # Without padding, the private operation goes by the name of decryption there.
    for verb, padding, mech, data in (
        ("-sign", "pkcs1", PKCS, DATA),
        ("-decrypt", "none", RAW, whole),
    ):
        (tmp_path / "data").write_bytes(data)
        command = ["openssl", "pkeyutl", verb, "-inkey", "key.pem", "-in", "data"]
        options = ["-pkeyopt", f"rsa_padding_mode:{padding}"]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, check=True)
        assert recover(p11, session, mech, public, done.stdout) == data


def test_raw_ciphertexts(p11: Client, session: int, keys: Pair, tmp_path: Path) -> None:
    data = os.urandom(20)
    modulus, exponent = keys.modulus, keys.known.public_numbers().e
    sealed = p11.encrypt(session, RAW, keys.public, data)
    assert int.from_bytes(sealed, "big") == pow(int.from_bytes(data, "big"), exponent, modulus)
    assert p11.decrypt(session, RAW, keys.private, sealed) == data.rjust(OCTETS, b"\0")


@pytest.mark.parametrize("mech", [PKCS, RAW], ids=["PKCS", "raw"])
def test_wrong_signatures(p11: Client, session: int, keys: Pair, mech: Any) -> None:
    """That the signature is wrong goes before the size of the buffer (section 5.15)."""
    signature = sign_recover(p11, session, mech, keys.private, DATA)
    with refused(c.CKR_SIGNATURE_LEN_RANGE):
        recover(p11, session, mech, keys.public, signature[:-1])
    with refused(c.CKR_SIGNATURE_LEN_RANGE):
        recover(p11, session, mech, keys.public, b"\0" + signature)
    with refused(c.CKR_SIGNATURE_INVALID):
        recover(p11, session, mech, keys.public, b"\xff" * OCTETS)
    if mech is PKCS:
        wrong = bytes([signature[0] ^ 1]) + signature[1:]
        short = ffi.new("CK_ULONG *", 0)
        p11.do("C_VerifyRecoverInit", session, mech, keys.public)
        arguments = (octets(wrong), len(wrong), octets(b"x"), short)
        assert p11.C_VerifyRecover(session, *arguments) == c.CKR_SIGNATURE_INVALID
        assert p11.C_VerifyRecover(session, *arguments) == c.CKR_OPERATION_NOT_INITIALIZED


def test_what_is_no_data(p11: Client, session: int, keys: Pair) -> None:
    too_large = (keys.modulus + 1).to_bytes(OCTETS, "big")
    with refused(c.CKR_DATA_LEN_RANGE):
        sign_recover(p11, session, PKCS, keys.private, bytes(OCTETS - 10))
    for act in (sign_recover, Client.sign):
        with refused(c.CKR_DATA_LEN_RANGE):
            act(p11, session, RAW, keys.private, bytes(OCTETS + 1))
        with refused(c.CKR_DATA_INVALID):
            act(p11, session, RAW, keys.private, too_large)
    with refused(c.CKR_DATA_LEN_RANGE):
        p11.encrypt(session, RAW, keys.public, bytes(OCTETS + 1))
    with refused(c.CKR_DATA_INVALID):
        p11.encrypt(session, RAW, keys.public, too_large)
    with refused(c.CKR_ENCRYPTED_DATA_LEN_RANGE):
        p11.decrypt(session, RAW, keys.private, bytes(OCTETS - 1))
    with refused(c.CKR_ENCRYPTED_DATA_INVALID):
        p11.decrypt(session, RAW, keys.private, too_large)
    with refused(c.CKR_SIGNATURE_INVALID):
        p11.verify(session, RAW, keys.public, too_large, DATA)
    with refused(c.CKR_SIGNATURE_LEN_RANGE):
        p11.verify(session, RAW, keys.public, bytes(OCTETS - 1), DATA)
    with refused(c.CKR_SIGNATURE_INVALID):
        p11.verify(session, RAW, keys.public, bytes(OCTETS), DATA)


def test_one_part_only(p11: Client, session: int, keys: Pair) -> None:
    p11.do("C_SignInit", session, RAW, keys.private)
    rv = p11.C_SignUpdate(session, octets(DATA), len(DATA))
    assert rv == c.CKR_OPERATION_NOT_INITIALIZED


def test_beginning(p11: Client, session: int, keys: Pair) -> None:
    for name, key, other in (
        ("C_SignRecoverInit", keys.private, keys.public),
        ("C_VerifyRecoverInit", keys.public, keys.private),
    ):
        init = getattr(p11, name)
        assert init(session, PKCS, other) == c.CKR_KEY_TYPE_INCONSISTENT
        assert init(session, PKCS, 0) == c.CKR_KEY_HANDLE_INVALID
        assert init(session, mechanism(c.CKM_SHA256_RSA_PKCS), key) == c.CKR_MECHANISM_INVALID
        assert init(session, mechanism(c.CKM_RSA_PKCS, b"x"), key) == c.CKR_MECHANISM_PARAM_INVALID
        assert init(session, PKCS, key) == c.CKR_OK
        assert init(session, PKCS, key) == c.CKR_OPERATION_ACTIVE
        assert p11.C_SignInit(session, PKCS, keys.private) == c.CKR_OPERATION_ACTIVE
        assert init(session, NULL, key) == c.CKR_OK
        assert init(session, PKCS, key) == c.CKR_OK
        flags = c.CKF_SIGN_RECOVER | c.CKF_VERIFY_RECOVER
        assert p11.C_SessionCancel(session, flags) == c.CKR_OK
        assert p11.C_SignInit(session, PKCS, keys.private) == c.CKR_OK
        assert p11.C_SessionCancel(session, c.CKF_SIGN) == c.CKR_OK


def test_usage(p11: Client, session: int) -> None:
    keys = pair(p11, session, SIGN_RECOVER=False)
    rv = p11.C_SignRecoverInit(session, PKCS, keys.private)
    assert rv == c.CKR_KEY_FUNCTION_NOT_PERMITTED
    p11.do("C_SignInit", session, PKCS, keys.private)


def test_a_pin_for_each_signature(p11: Client, token: Token, session: int) -> None:
    keys = pair(p11, session, ALWAYS_AUTHENTICATE=True, PRIVATE=True)
    for mech in (PKCS, RAW):
        p11.do("C_SignRecoverInit", session, mech, keys.private)
        length = ffi.new("CK_ULONG *", OCTETS)
        arguments = (octets(DATA), len(DATA), ffi.new("CK_BYTE[256]"), length)
        assert p11.C_SignRecover(session, *arguments) == c.CKR_USER_NOT_LOGGED_IN
        p11.login(session, c.CKU_CONTEXT_SPECIFIC, token.user_pin)
        assert p11.C_SignRecover(session, *arguments) == c.CKR_OK


def test_a_saved_state(p11: Client, session: int, keys: Pair) -> None:
    p11.do("C_SignRecoverInit", session, PKCS, keys.private)
    state = p11.output("C_GetOperationState", session)
    expected = p11.output("C_SignRecover", session, octets(DATA), len(DATA))
    p11.do("C_SetOperationState", session, octets(state), len(state), 0, keys.private)
    assert p11.output("C_SignRecover", session, octets(DATA), len(DATA)) == expected


@pytest.mark.parametrize("length", [1, 16, 32, OCTETS - 1])
def test_wrapped_keys(p11: Client, session: int, keys: Pair, length: int) -> None:
    value = os.urandom(length)
    key = secret(p11, session, value, c.CKK_GENERIC_SECRET)
    wrapped = p11.wrap(session, RAW, keys.public, key)
    exponent, modulus = keys.known.public_numbers().e, keys.modulus
    assert int.from_bytes(wrapped, "big") == pow(int.from_bytes(value, "big"), exponent, modulus)
    kind = {"CLASS": c.CKO_SECRET_KEY, "KEY_TYPE": c.CKK_GENERIC_SECRET, "SENSITIVE": False}
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.unwrap(session, RAW, keys.private, wrapped, named(kind))
    again = p11.unwrap(session, RAW, keys.private, wrapped, named({**kind, "VALUE_LEN": length}))
    assert p11.get(session, again, c.CKA_VALUE) == value


def test_the_key_is_at_the_end(p11: Client, session: int, keys: Pair) -> None:
    """As many octets as the template says, whatever is before them (section 6.1)."""
    block = b"\0" + os.urandom(OCTETS - 1)
    wrapped = p11.encrypt(session, RAW, keys.public, block)
    kind = {"CLASS": c.CKO_SECRET_KEY, "SENSITIVE": False}
    aes = {**kind, "KEY_TYPE": c.CKK_AES}
    for length in (16, 32):
        key = p11.unwrap(session, RAW, keys.private, wrapped, named({**aes, "VALUE_LEN": length}))
        assert p11.get(session, key, c.CKA_VALUE) == block[-length:]
    for length in (0, 17, OCTETS + 1):
        with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
            p11.unwrap(session, RAW, keys.private, wrapped, named({**aes, "VALUE_LEN": length}))
    with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
        p11.unwrap(session, RAW, keys.private, wrapped[1:], named({**aes, "VALUE_LEN": 16}))
    with refused(c.CKR_WRAPPED_KEY_INVALID):
        wrong = b"\xff" * OCTETS
        p11.unwrap(session, RAW, keys.private, wrong, named({**aes, "VALUE_LEN": 16}))


def test_keys_that_cannot_be_wrapped(p11: Client, session: int, keys: Pair) -> None:
    with refused(c.CKR_KEY_SIZE_RANGE):
        long = secret(p11, session, bytes(OCTETS + 1), c.CKK_GENERIC_SECRET)
        p11.wrap(session, RAW, keys.public, long)
    with refused(c.CKR_KEY_NOT_WRAPPABLE):
        large = secret(p11, session, b"\xff" * OCTETS, c.CKK_GENERIC_SECRET)
        p11.wrap(session, RAW, keys.public, large)


def test_encapsulated_keys(p11: Client, session: int, keys: Pair) -> None:
    """RSASVE: the secret is a number below the modulus."""
    kind = {"CLASS": c.CKO_SECRET_KEY, "KEY_TYPE": c.CKK_GENERIC_SECRET, "SENSITIVE": False}
    given = template(named({**kind, "EXTRACTABLE": True}))
    handle, length = ffi.new("CK_OBJECT_HANDLE *"), ffi.new("CK_ULONG *", OCTETS)
    text = ffi.new("CK_BYTE[256]")
    p11.do("C_EncapsulateKey", session, RAW, keys.public, *given, text, length, handle)
    value = p11.get(session, int(handle[0]), c.CKA_VALUE)
    sealed = bytes(text)
    assert len(value) == OCTETS
    number = int.from_bytes(value, "big")
    assert pow(number, 65537, keys.modulus) == int.from_bytes(sealed, "big")
    p11.do("C_DecapsulateKey", session, RAW, keys.private, *given, text, OCTETS, handle)
    assert p11.get(session, int(handle[0]), c.CKA_VALUE) == value


def test_strict_tokens_do_not_wrap_so(p11: Client, token: Token) -> None:
    configure(p11, "[policy]\nstrict = true\n")
    session = restart(p11, token)
    keys = rsa_pair(p11, session, named({"WRAP": True}), named({"UNWRAP": True}), 4096)
    key = p11.generate(
        session,
        mechanism(c.CKM_AES_KEY_GEN),
        named({"VALUE_LEN": 16, "ENCRYPT": True, "EXTRACTABLE": True}),
    )
    with refused(c.CKR_MECHANISM_INVALID):
        p11.wrap(session, RAW, keys[0], key)
