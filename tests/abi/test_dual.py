"""The dual-function cryptographic functions (section 5.17)."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from abi.client import NULL, Client, ffi, mechanism, octets, refused
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_DECRYPT,
    CKA_EC_PARAMS,
    CKA_ENCRYPT,
    CKA_KEY_TYPE,
    CKA_SIGN,
    CKA_VALUE,
    CKA_VERIFY,
    CKK_AES,
    CKK_GENERIC_SECRET,
    CKM_AES_CBC,
    CKM_AES_CBC_PAD,
    CKM_AES_CTR,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_RSA_PKCS,
    CKM_SHA256,
    CKM_SHA256_HMAC,
    CKO_SECRET_KEY,
    CKR_BUFFER_TOO_SMALL,
    CKR_OK,
    CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
)

KEY, IV, SECRET = bytes(range(32)), bytes(range(16)), b"mac key" * 5
PLAIN = bytes(range(256)) * 3
FUNCTIONS = {
    "C_DigestEncryptUpdate": ("Encrypt", "Digest"),
    "C_DecryptDigestUpdate": ("Decrypt", "Digest"),
    "C_SignEncryptUpdate": ("Encrypt", "Sign"),
    "C_DecryptVerifyUpdate": ("Decrypt", "Verify"),
}


def encrypted(data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(KEY), modes.CBC(IV)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


@pytest.fixture
def aes(p11: Client, session: int) -> int:
    """An AES key."""
    kind = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE: KEY}
    return p11.create(session, kind | {CKA_ENCRYPT: True, CKA_DECRYPT: True})


@pytest.fixture
def mac(p11: Client, session: int) -> int:
    """A key for HMAC."""
    kind = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_GENERIC_SECRET, CKA_VALUE: SECRET}
    return p11.create(session, kind | {CKA_SIGN: True, CKA_VERIFY: True})


def begin(p11: Client, session: int, name: str, aes: int, mac: int, cbc: int = CKM_AES_CBC) -> None:
    """Make both operations of a function active."""
    way, other = FUNCTIONS[name]
    p11.do(f"C_{way}Init", session, mechanism(cbc, IV), aes)
    begin_other(p11, session, other, mac)


def begin_other(p11: Client, session: int, other: str, mac: int) -> None:
    if other == "Digest":
        p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    else:
        p11.do(f"C_{other}Init", session, mechanism(CKM_SHA256_HMAC), mac)


def check_other(p11: Client, session: int, other: str, plain: bytes) -> None:
    """End the operation beside the cipher: it has seen just this."""
    if other == "Verify":
        expected = hmac.new(SECRET, plain, "sha256").digest()
        p11.do("C_VerifyFinal", session, octets(expected), 32)
    elif other == "Sign":
        expected = hmac.new(SECRET, plain, "sha256").digest()
        assert p11.output("C_SignFinal", session) == expected
    else:
        assert p11.output("C_DigestFinal", session) == hashlib.sha256(plain).digest()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_take_in_every_part(p11: Client, session: int, aes: int, mac: int, name: str) -> None:
    begin(p11, session, name, aes, mac)
    way, other = FUNCTIONS[name]
    given, expected = (PLAIN, encrypted(PLAIN))[:: 1 if way == "Encrypt" else -1]
    result = b""
    for i in range(0, len(given), 48):
        result += p11.output(name, session, octets(given[i : i + 48]), len(given[i : i + 48]))
    result += p11.output(f"C_{way}Final", session)
    assert result == expected
    check_other(p11, session, other, PLAIN)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_place(p11: Client, session: int, aes: int, mac: int, name: str) -> None:
    begin(p11, session, name, aes, mac)
    way, other = FUNCTIONS[name]
    given, expected = (PLAIN, encrypted(PLAIN))[:: 1 if way == "Encrypt" else -1]
    buffer, length = octets(given), ffi.new("CK_ULONG *", len(given))
    p11.do(name, session, buffer, len(given), buffer, length)
    assert bytes(buffer)[: length[0]] == expected[: length[0]]
    check_other(p11, session, other, PLAIN[: length[0]] if way == "Decrypt" else PLAIN)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_gives_nothing_out_takes_nothing_in(
    p11: Client, session: int, aes: int, mac: int, name: str
) -> None:
    begin(p11, session, name, aes, mac)
    way, other = FUNCTIONS[name]
    part = (PLAIN if way == "Encrypt" else encrypted(PLAIN))[:32]
    room, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *")
    call = getattr(p11, name)
    for _ in range(2):
        assert call(session, octets(part), 32, NULL, length) == CKR_OK
        assert length[0] == 32
        length[0] = 31
        assert call(session, octets(part), 32, room, length) == CKR_BUFFER_TOO_SMALL
        assert length[0] == 32
    assert not any(room)
    p11.do(name, session, octets(part), 32, room, length)
    check_other(p11, session, other, PLAIN[:32])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_have_to_be_active(p11: Client, session: int, aes: int, mac: int, name: str) -> None:
    way, other = FUNCTIONS[name]
    part, room, length = octets(bytes(32)), ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
    call = getattr(p11, name)
    assert call(session, part, 32, room, length) == CKR_OPERATION_NOT_INITIALIZED
    begin_other(p11, session, other, mac)
    assert call(session, part, 32, room, length) == CKR_OPERATION_NOT_INITIALIZED
    check_other(p11, session, other, b"")  # what is active stays so
    p11.do(f"C_{way}Init", session, mechanism(CKM_AES_CBC, IV), aes)
    assert call(session, part, 32, room, length) == CKR_OPERATION_NOT_INITIALIZED
    assert len(p11.output(f"C_{way}", session, part, 32)) == 32


def test_dual_and_single_updates_mix(p11: Client, session: int, aes: int, mac: int) -> None:
    """The example of the standard: the last part is padded for the cipher alone."""
    begin(p11, session, "C_DigestEncryptUpdate", aes, mac)
    result = p11.output("C_DigestEncryptUpdate", session, octets(PLAIN[:32]), 32)
    p11.do("C_DigestUpdate", session, octets(PLAIN[32:37]), 5)
    result += p11.output("C_EncryptUpdate", session, octets(PLAIN[32:37] + bytes(11)), 16)
    result += p11.output("C_EncryptFinal", session)
    assert result == encrypted(PLAIN[:37] + bytes(11))
    check_other(p11, session, "Digest", PLAIN[:37])


def test_padding_is_held_back_from_both(p11: Client, session: int, aes: int, mac: int) -> None:
    ciphertext = p11.encrypt(session, mechanism(CKM_AES_CBC_PAD, IV), aes, PLAIN[:18])
    begin(p11, session, "C_DecryptVerifyUpdate", aes, mac, CKM_AES_CBC_PAD)
    first = p11.output("C_DecryptVerifyUpdate", session, octets(ciphertext), len(ciphertext))
    rest = p11.output("C_DecryptFinal", session)
    assert (first, rest) == (PLAIN[:16], PLAIN[16:18])
    p11.do("C_VerifyUpdate", session, octets(rest), 2)  # "it is crucial", says the standard
    check_other(p11, session, "Verify", PLAIN[:18])


def test_one_part_calls_are_out_of_order(p11: Client, session: int, aes: int, mac: int) -> None:
    begin(p11, session, "C_DigestEncryptUpdate", aes, mac)
    p11.output("C_DigestEncryptUpdate", session, octets(PLAIN[:32]), 32)
    room, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
    assert p11.C_Digest(session, octets(b"x"), 1, room, length) == CKR_OPERATION_ACTIVE
    assert p11.C_Encrypt(session, octets(IV), 16, room, length) == CKR_OPERATION_ACTIVE


def test_an_error_of_the_cipher_leaves_the_digest(p11: Client, session: int, mac: int) -> None:
    public = {0x121: 2048}
    key, _ = p11.generate_pair(session, mechanism(0), public | {CKA_ENCRYPT: True}, {})
    p11.do("C_EncryptInit", session, mechanism(CKM_RSA_PKCS), key)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    room, length = ffi.new("CK_BYTE[256]"), ffi.new("CK_ULONG *", 256)
    # This mechanism encrypts in one part only.
    assert p11.C_DigestEncryptUpdate(session, octets(b"abc"), 3, room, length) != CKR_OK
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.output("C_Encrypt", session, octets(b"abc"), 3, size=256)
    check_other(p11, session, "Digest", b"")


def test_an_error_of_the_signature_ends_both(p11: Client, session: int, aes: int) -> None:
    params = {CKA_EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")}
    key = p11.generate_pair(session, mechanism(CKM_EC_KEY_PAIR_GEN), params, {CKA_SIGN: True})[1]
    ctr = ffi.new("CK_AES_CTR_PARAMS *", {"ulCounterBits": 32})
    p11.do("C_EncryptInit", session, mechanism(CKM_AES_CTR, ctr), aes)
    p11.do("C_SignInit", session, mechanism(CKM_ECDSA), key)  # one part only
    room, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
    assert p11.C_SignEncryptUpdate(session, octets(b"abc"), 3, room, length) != CKR_OK
    for name in ("C_Sign", "C_Encrypt"):
        with refused(CKR_OPERATION_NOT_INITIALIZED):
            p11.output(name, session, octets(b"abc"), 3, size=256)
