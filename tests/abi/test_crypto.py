"""What keys do, through the C boundary (sections 5.8 to 5.14 and 6).

Every result is checked by the ``cryptography`` package, and what that package makes is handed to
the module: nothing is proved by the module agreeing with itself.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import pytest
from abi.client import (
    NULL,
    Client,
    ffi,
    gcm,
    mechanism,
    octets,
    refused,
    struct,
    template,
)
from abi.conftest import Token
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import cmac, hashes, hmac
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pypkcs11.standard import constants
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_DECRYPT,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ENCRYPT,
    CKA_KEY_TYPE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_SIGN,
    CKA_TOKEN,
    CKA_VALUE,
    CKA_VERIFY,
    CKG_MGF1_SHA1,
    CKG_MGF1_SHA256,
    CKK_AES,
    CKK_EC,
    CKK_GENERIC_SECRET,
    CKK_RSA,
    CKM_AES_CBC,
    CKM_AES_CBC_PAD,
    CKM_AES_CMAC,
    CKM_AES_CTR,
    CKM_AES_ECB,
    CKM_AES_GCM,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_RSA_PKCS,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    CKM_RSA_PKCS_OAEP,
    CKM_RSA_PKCS_PSS,
    CKM_RSA_X_509,
    CKM_SHA256,
    CKM_SHA256_HMAC,
    CKM_SHA256_RSA_PKCS,
    CKM_SHA256_RSA_PKCS_PSS,
    CKM_SHA_1,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKR_AEAD_DECRYPT_FAILED,
    CKR_ARGUMENTS_BAD,
    CKR_BUFFER_TOO_SMALL,
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_TYPE_INCONSISTENT,
    CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_OK,
    CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_RANDOM_SEED_NOT_SUPPORTED,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
    CKZ_DATA_SPECIFIED,
)

MESSAGE = b"The quick brown fox jumps over the lazy dog. " * 5
PARTS = (MESSAGE[:1], b"", MESSAGE[1:64], MESSAGE[64:])
HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA_1": hashes.SHA1(),
    "SHA224": hashes.SHA224(),
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
CURVES: dict[str, tuple[ec.EllipticCurve, bytes]] = {
    "P-256": (ec.SECP256R1(), bytes.fromhex("06082a8648ce3d030107")),
    "P-384": (ec.SECP384R1(), bytes.fromhex("06052b81040022")),
    "P-521": (ec.SECP521R1(), bytes.fromhex("06052b81040023")),
}
AES_KEY = bytes(range(32))
IV = bytes(range(100, 116))


def ckm(name: str) -> int:
    number = getattr(constants, f"CKM_{name}")
    assert isinstance(number, int)
    return number


def digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    context = hashes.Hash(algorithm)
    context.update(data)
    return context.finalize()


def aes_key(p11: Client, session: int, value: bytes = AES_KEY, **more: Any) -> int:
    attributes: dict[int, Any] = {
        CKA_CLASS: CKO_SECRET_KEY,
        CKA_KEY_TYPE: CKK_AES,
        CKA_VALUE: value,
        CKA_ENCRYPT: True,
        CKA_DECRYPT: True,
        CKA_SIGN: True,
        CKA_VERIFY: True,
    }
    return p11.create(session, attributes)


def secret_key(p11: Client, session: int, value: bytes) -> int:
    return p11.create(
        session,
        {
            CKA_CLASS: CKO_SECRET_KEY,
            CKA_KEY_TYPE: CKK_GENERIC_SECRET,
            CKA_VALUE: value,
            CKA_SIGN: True,
            CKA_VERIFY: True,
        },
    )


def rsa_pair(p11: Client, session: int) -> tuple[int, int, rsa.RSAPublicKey]:
    """A pair that the module has generated, and its public half as others know it."""
    public, private = p11.generate_pair(
        session,
        mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN),
        {CKA_MODULUS_BITS: 2048, CKA_PUBLIC_EXPONENT: b"\1\0\1", CKA_TOKEN: False},
        {CKA_SIGN: True, CKA_DECRYPT: True, CKA_TOKEN: False},
    )
    modulus = int.from_bytes(p11.get(session, public, CKA_MODULUS), "big")
    return public, private, rsa.RSAPublicNumbers(65537, modulus).public_key()


def ec_pair(p11: Client, session: int, curve: str) -> tuple[int, int, ec.EllipticCurvePublicKey]:
    kind, oid = CURVES[curve]
    public, private = p11.generate_pair(
        session, mechanism(CKM_EC_KEY_PAIR_GEN), {CKA_EC_PARAMS: oid}, {CKA_SIGN: True}
    )
    point = p11.get(session, public, CKA_EC_POINT)
    header = 3 if point[1] & 0x80 else 2
    known = ec.EllipticCurvePublicKey.from_encoded_point(kind, point[header:])
    return public, private, known


@functools.cache
def other_rsa() -> rsa.RSAPrivateKey:
    """A key that the module never sees the private half of."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_rsa(p11: Client, session: int, key: rsa.RSAPublicKey) -> int:
    return p11.create(
        session,
        {
            CKA_CLASS: CKO_PUBLIC_KEY,
            CKA_KEY_TYPE: CKK_RSA,
            CKA_MODULUS: key.public_numbers().n.to_bytes(key.key_size // 8, "big"),
            CKA_PUBLIC_EXPONENT: b"\1\0\1",
            CKA_VERIFY: True,
            CKA_ENCRYPT: True,
        },
    )


def raw_ecdsa(signature: bytes) -> bytes:
    """A DER signature from r and s side by side, as PKCS #11 has them."""
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    return encode_dss_signature(r, s)


# -- digests and random numbers ----------------------------------------------------------------


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("parts", [(MESSAGE,), PARTS, (), (b"",)], ids=len)
def test_digests(p11: Client, session: int, name: str, parts: tuple[bytes, ...]) -> None:
    expected = digest(HASHES[name], b"".join(parts))
    assert p11.digest(session, mechanism(ckm(name)), *parts) == expected


@pytest.mark.parametrize("name", ["SHA3_224", "SHA3_256", "SHA3_384", "SHA3_512"])
def test_sha3(p11: Client, session: int, name: str) -> None:
    expected = digest(getattr(hashes, name)(), MESSAGE)
    assert p11.digest(session, mechanism(ckm(name)), *PARTS) == expected


def test_random_numbers(p11: Client, session: int) -> None:
    one, two = ffi.new("CK_BYTE[64]"), ffi.new("CK_BYTE[64]")
    p11.do("C_GenerateRandom", session, one, 48)
    p11.do("C_GenerateRandom", session, two, 48)
    assert bytes(one)[:48] != bytes(two)[:48]
    assert bytes(one)[48:] == bytes(16)
    assert len(set(bytes(one)[:48])) > 16
    p11.do("C_GenerateRandom", session, one, 0)
    assert p11.C_SeedRandom(session, octets(b"seed"), 4) in (CKR_OK, CKR_RANDOM_SEED_NOT_SUPPORTED)


# -- MACs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("parts", [(MESSAGE,), PARTS], ids=["one part", "many parts"])
def test_hmac(p11: Client, session: int, name: str, parts: tuple[bytes, ...]) -> None:
    value = os.urandom(64)
    known = hmac.HMAC(value, HASHES[name])
    known.update(MESSAGE)
    expected = known.finalize()
    mech, key = mechanism(ckm(f"{name}_HMAC")), secret_key(p11, session, value)
    assert p11.sign(session, mech, key, *parts) == expected
    p11.verify(session, mech, key, expected, *parts)
    with refused(CKR_SIGNATURE_INVALID):
        p11.verify(session, mech, key, bytes([expected[0] ^ 1]) + expected[1:], *parts)
    with refused(CKR_SIGNATURE_LEN_RANGE):
        p11.verify(session, mech, key, expected[:-1], *parts)


@pytest.mark.parametrize("parts", [(MESSAGE,), PARTS], ids=["one part", "many parts"])
def test_aes_cmac(p11: Client, session: int, parts: tuple[bytes, ...]) -> None:
    known = cmac.CMAC(algorithms.AES(AES_KEY))
    known.update(MESSAGE)
    expected = known.finalize()
    key = aes_key(p11, session)
    assert p11.sign(session, mechanism(CKM_AES_CMAC), key, *parts) == expected
    p11.verify(session, mechanism(CKM_AES_CMAC), key, expected, *parts)


# -- RSA ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [(MESSAGE,), PARTS], ids=["one part", "many parts"])
def test_rsa_signatures_with_a_digest(p11: Client, session: int, parts: tuple[bytes, ...]) -> None:
    public, private, known = rsa_pair(p11, session)
    for name, algorithm in HASHES.items():
        mech = mechanism(ckm(f"{name.replace('_', '')}_RSA_PKCS"))
        signature = p11.sign(session, mech, private, *parts)
        known.verify(signature, MESSAGE, padding.PKCS1v15(), algorithm)
        p11.verify(session, mech, public, signature, *parts)
        with refused(CKR_SIGNATURE_INVALID):
            p11.verify(session, mech, public, signature, *parts, b"x")
        with refused(CKR_SIGNATURE_LEN_RANGE):
            p11.verify(session, mech, public, signature + b"\0", *parts)


def test_others_rsa_signatures(p11: Client, session: int) -> None:
    key = other_rsa()
    public = public_rsa(p11, session, key.public_key())
    mech = mechanism(CKM_SHA256_RSA_PKCS)
    signature = key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    p11.verify(session, mech, public, signature, MESSAGE)
    p11.verify(session, mech, public, signature, *PARTS)
    with refused(CKR_SIGNATURE_INVALID):
        p11.verify(session, mech, public, signature, MESSAGE + b"x")
    with refused(CKR_SIGNATURE_INVALID):
        p11.verify(session, mech, public, signature[:-1] + bytes([signature[-1] ^ 1]), MESSAGE)


def test_rsa_pkcs_signs_what_it_is_given(p11: Client, session: int) -> None:
    public, private, known = rsa_pair(p11, session)
    mech = mechanism(CKM_RSA_PKCS)
    for data in (b"", b"short", bytes(245)):
        signature = p11.sign(session, mech, private, data)
        recovered = known.recover_data_from_signature(signature, padding.PKCS1v15(), None)
        assert recovered == data
        p11.verify(session, mech, public, signature, data)
    with refused(CKR_DATA_LEN_RANGE):
        p11.sign(session, mech, private, bytes(246))


def test_rsa_x_509(p11: Client, session: int) -> None:
    public, private, known = rsa_pair(p11, session)
    numbers = known.public_numbers()
    data = b"\0" + os.urandom(255)
    signature = p11.sign(session, mechanism(CKM_RSA_X_509), private, data)
    assert pow(int.from_bytes(signature, "big"), numbers.e, numbers.n) == int.from_bytes(
        data, "big"
    )
    p11.verify(session, mechanism(CKM_RSA_X_509), public, signature, data)
    encrypted = p11.encrypt(session, mechanism(CKM_RSA_X_509), public, data)
    assert int.from_bytes(encrypted, "big") == pow(int.from_bytes(data, "big"), 65537, numbers.n)
    assert p11.decrypt(session, mechanism(CKM_RSA_X_509), private, encrypted) == data


def pss(hash_mechanism: int = CKM_SHA256, mgf: int = CKG_MGF1_SHA256, salt: int = 32) -> Any:
    return struct("CK_RSA_PKCS_PSS_PARAMS", hashAlg=hash_mechanism, mgf=mgf, sLen=salt)


@pytest.mark.parametrize("salt", [0, 20, 32])
def test_rsa_pss(p11: Client, session: int, salt: int) -> None:
    public, private, known = rsa_pair(p11, session)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    whole = mechanism(CKM_SHA256_RSA_PKCS_PSS, pss(salt=salt))
    for parts in ((MESSAGE,), PARTS):
        signature = p11.sign(session, whole, private, *parts)
        known.verify(signature, MESSAGE, scheme, hashes.SHA256())
        p11.verify(session, whole, public, signature, *parts)
    hashed = digest(hashes.SHA256(), MESSAGE)
    signature = p11.sign(session, mechanism(CKM_RSA_PKCS_PSS, pss(salt=salt)), private, hashed)
    known.verify(signature, hashed, scheme, Prehashed(hashes.SHA256()))
    p11.verify(session, whole, public, signature, MESSAGE)
    with refused(CKR_SIGNATURE_INVALID):
        p11.verify(session, whole, public, signature, MESSAGE + b"x")

    other = public_rsa(p11, session, other_rsa().public_key())
    p11.verify(session, whole, other, other_rsa().sign(MESSAGE, scheme, hashes.SHA256()), MESSAGE)


def test_pss_parameters_are_checked(p11: Client, session: int) -> None:
    _, private, _ = rsa_pair(p11, session)
    for wrong in (pss(hash_mechanism=CKM_SHA_1), pss(mgf=99), None, b"short"):
        with refused(CKR_MECHANISM_PARAM_INVALID):
            p11.sign(session, mechanism(CKM_SHA256_RSA_PKCS_PSS, wrong), private, MESSAGE)


def test_rsa_pkcs_encryption(p11: Client, session: int) -> None:
    public, private, known = rsa_pair(p11, session)
    mech = mechanism(CKM_RSA_PKCS)
    encrypted = known.encrypt(b"secret", padding.PKCS1v15())
    assert p11.decrypt(session, mech, private, encrypted) == b"secret"
    encrypted = p11.encrypt(session, mech, public, b"secret")
    assert len(encrypted) == 256
    assert p11.decrypt(session, mech, private, encrypted) == b"secret"
    other = public_rsa(p11, session, other_rsa().public_key())
    encrypted = p11.encrypt(session, mech, other, b"secret")
    assert other_rsa().decrypt(encrypted, padding.PKCS1v15()) == b"secret"
    with refused(CKR_DATA_LEN_RANGE):
        p11.encrypt(session, mech, public, bytes(246))


def oaep(hash_mechanism: int, mgf: int, label: bytes = b"") -> Any:
    return struct(
        "CK_RSA_PKCS_OAEP_PARAMS",
        hashAlg=hash_mechanism,
        mgf=mgf,
        source=CKZ_DATA_SPECIFIED,
        pSourceData=label if label else NULL,
        ulSourceDataLen=len(label),
    )


@pytest.mark.parametrize(
    ("hash_mechanism", "mgf", "algorithm"),
    [
        (CKM_SHA_1, CKG_MGF1_SHA1, hashes.SHA1()),
        (CKM_SHA256, CKG_MGF1_SHA256, hashes.SHA256()),
    ],
    ids=["SHA-1", "SHA-256"],
)
def test_rsa_oaep(
    p11: Client, session: int, hash_mechanism: int, mgf: int, algorithm: hashes.HashAlgorithm
) -> None:
    _, private, known = rsa_pair(p11, session)
    mech = mechanism(CKM_RSA_PKCS_OAEP, oaep(hash_mechanism, mgf))
    scheme = padding.OAEP(padding.MGF1(algorithm), algorithm, None)
    assert p11.decrypt(session, mech, private, known.encrypt(b"secret", scheme)) == b"secret"
    other = public_rsa(p11, session, other_rsa().public_key())
    encrypted = p11.encrypt(session, mech, other, b"secret")
    assert other_rsa().decrypt(encrypted, scheme) == b"secret"
    room = 256 - 2 - 2 * algorithm.digest_size
    assert other_rsa().decrypt(p11.encrypt(session, mech, other, bytes(room)), scheme) == bytes(
        room
    )
    with refused(CKR_DATA_LEN_RANGE):
        p11.encrypt(session, mech, other, bytes(room + 1))
    damaged = known.encrypt(b"secret", scheme)
    damaged = damaged[:-1] + bytes([damaged[-1] ^ 1])
    with refused(CKR_ENCRYPTED_DATA_INVALID):
        p11.decrypt(session, mech, private, damaged)


def test_oaep_with_a_label(p11: Client, session: int) -> None:
    _, private, known = rsa_pair(p11, session)
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label")
    encrypted = known.encrypt(b"secret", scheme)
    right = mechanism(CKM_RSA_PKCS_OAEP, oaep(CKM_SHA256, CKG_MGF1_SHA256, b"label"))
    wrong = mechanism(CKM_RSA_PKCS_OAEP, oaep(CKM_SHA256, CKG_MGF1_SHA256, b"lapel"))
    assert p11.decrypt(session, right, private, encrypted) == b"secret"
    with refused(CKR_ENCRYPTED_DATA_INVALID):
        p11.decrypt(session, wrong, private, encrypted)


# -- elliptic curves ---------------------------------------------------------------------------


@pytest.mark.parametrize("curve", CURVES)
def test_ecdsa(p11: Client, session: int, curve: str) -> None:
    public, private, known = ec_pair(p11, session, curve)
    size = (CURVES[curve][0].key_size + 7) // 8
    hashed = digest(hashes.SHA256(), MESSAGE)
    signature = p11.sign(session, mechanism(CKM_ECDSA), private, hashed)
    assert len(signature) == 2 * size
    known.verify(raw_ecdsa(signature), hashed, ec.ECDSA(Prehashed(hashes.SHA256())))
    p11.verify(session, mechanism(CKM_ECDSA), public, signature, hashed)
    with refused(CKR_SIGNATURE_INVALID):
        p11.verify(session, mechanism(CKM_ECDSA), public, signature, digest(hashes.SHA256(), b""))
    with refused(CKR_SIGNATURE_LEN_RANGE):
        p11.verify(session, mechanism(CKM_ECDSA), public, signature + b"\0\0", hashed)
    for name in HASHES:
        mech = mechanism(ckm(f"ECDSA_{name.replace('_', '')}"))
        for parts in ((MESSAGE,), PARTS):
            signature = p11.sign(session, mech, private, *parts)
            known.verify(raw_ecdsa(signature), MESSAGE, ec.ECDSA(HASHES[name]))
            p11.verify(session, mech, public, signature, *parts)
        with pytest.raises(InvalidSignature):
            known.verify(raw_ecdsa(signature), MESSAGE + b"x", ec.ECDSA(HASHES[name]))


@pytest.mark.parametrize("curve", CURVES)
def test_others_ecdsa_signatures(p11: Client, session: int, curve: str) -> None:
    kind, oid = CURVES[curve]
    key = ec.generate_private_key(kind)
    numbers = key.public_key().public_numbers()
    size = (kind.key_size + 7) // 8
    point = b"\4" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")
    length = bytes([len(point)]) if len(point) < 128 else bytes([0x81, len(point)])
    public = p11.create(
        session,
        {
            CKA_CLASS: CKO_PUBLIC_KEY,
            CKA_KEY_TYPE: CKK_EC,
            CKA_EC_PARAMS: oid,
            CKA_EC_POINT: b"\x04" + length + point,
            CKA_VERIFY: True,
        },
    )
    r, s = decode_dss_signature(key.sign(MESSAGE, ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    hashed = digest(hashes.SHA256(), MESSAGE)
    p11.verify(session, mechanism(CKM_ECDSA), public, signature, hashed)
    for wrong in (bytes(2 * size), b"\xff" * (2 * size), signature[size:] + signature[:size]):
        with refused(CKR_SIGNATURE_INVALID):
            p11.verify(session, mechanism(CKM_ECDSA), public, wrong, hashed)


# -- AES ---------------------------------------------------------------------------------------

MODES: dict[str, tuple[int, Any, modes.Mode]] = {
    "ECB": (CKM_AES_ECB, None, modes.ECB()),
    "CBC": (CKM_AES_CBC, IV, modes.CBC(IV)),
}


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("mode", MODES)
def test_aes_blocks(p11: Client, session: int, mode: str, size: int) -> None:
    kind, parameter, known = MODES[mode]
    mech = mechanism(kind, parameter)
    key = aes_key(p11, session, AES_KEY[:size])
    plain = os.urandom(160)
    encryptor = Cipher(algorithms.AES(AES_KEY[:size]), known).encryptor()
    expected = encryptor.update(plain) + encryptor.finalize()
    parts = (plain[:1], plain[1:16], plain[16:100], plain[100:])
    assert p11.encrypt(session, mech, key, plain) == expected
    assert p11.encrypt(session, mech, key, *parts) == expected
    assert p11.decrypt(session, mech, key, expected) == plain
    assert p11.decrypt(session, mech, key, expected[:17], expected[17:]) == plain
    for length in (1, 15, 17):
        with refused(CKR_DATA_LEN_RANGE):
            p11.encrypt(session, mech, key, plain[:length])
        with refused(CKR_ENCRYPTED_DATA_LEN_RANGE):
            p11.decrypt(session, mech, key, plain[:length])


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 32, 1000])
def test_aes_cbc_pad(p11: Client, session: int, length: int) -> None:
    plain = os.urandom(length)
    padder = block_padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(AES_KEY), modes.CBC(IV)).encryptor()
    padded = padder.update(plain) + padder.finalize()
    expected = encryptor.update(padded) + encryptor.finalize()
    mech, key = mechanism(CKM_AES_CBC_PAD, IV), aes_key(p11, session)
    assert p11.encrypt(session, mech, key, plain) == expected
    assert p11.decrypt(session, mech, key, expected) == plain
    half = length // 2
    assert p11.encrypt(session, mech, key, plain[:half], plain[half:]) == expected
    for step in (1, 16, 23):
        parts = [expected[i : i + step] for i in range(0, len(expected), step)]
        if len(parts) > 1:
            assert p11.decrypt(session, mech, key, *parts) == plain


def test_wrong_padding(p11: Client, session: int) -> None:
    encryptor = Cipher(algorithms.AES(AES_KEY), modes.CBC(IV)).encryptor()
    damaged = encryptor.update(bytes(32)) + encryptor.finalize()
    mech, key = mechanism(CKM_AES_CBC_PAD, IV), aes_key(p11, session)
    with refused(CKR_ENCRYPTED_DATA_INVALID):
        p11.decrypt(session, mech, key, damaged)
    for length in (0, 15, 31):
        with refused(CKR_ENCRYPTED_DATA_LEN_RANGE):
            p11.decrypt(session, mech, key, damaged[:length])


def test_aes_ctr(p11: Client, session: int) -> None:
    plain = os.urandom(100)
    encryptor = Cipher(algorithms.AES(AES_KEY), modes.CTR(IV)).encryptor()
    expected = encryptor.update(plain) + encryptor.finalize()
    parameter = ffi.new("CK_AES_CTR_PARAMS *", (128, list(IV)))
    mech, key = mechanism(CKM_AES_CTR, parameter), aes_key(p11, session)
    assert p11.encrypt(session, mech, key, plain) == expected
    assert p11.encrypt(session, mech, key, plain[:3], plain[3:50], plain[50:]) == expected
    assert p11.decrypt(session, mech, key, expected) == plain


@pytest.mark.parametrize("aad", [b"", b"header"])
@pytest.mark.parametrize("length", [0, 1, 16, 1000])
def test_aes_gcm(p11: Client, session: int, length: int, aad: bytes) -> None:
    plain, iv = os.urandom(length), os.urandom(12)
    expected = AESGCM(AES_KEY).encrypt(iv, plain, aad)
    mech, key = mechanism(CKM_AES_GCM, gcm(iv, aad)), aes_key(p11, session)
    assert p11.encrypt(session, mech, key, plain) == expected
    assert p11.encrypt(session, mech, key, plain[:5], plain[5:]) == expected
    assert p11.decrypt(session, mech, key, expected) == plain
    assert p11.decrypt(session, mech, key, expected[:7], expected[7:]) == plain


def test_gcm_releases_nothing_that_is_not_authentic(p11: Client, session: int) -> None:
    plain, iv = os.urandom(100), os.urandom(12)
    expected = AESGCM(AES_KEY).encrypt(iv, plain, b"aad")
    key = aes_key(p11, session)
    failures = (CKR_ENCRYPTED_DATA_INVALID, CKR_AEAD_DECRYPT_FAILED)
    for damaged, aad in (
        (expected[:-1] + bytes([expected[-1] ^ 1]), b"aad"),
        (bytes([expected[0] ^ 1]) + expected[1:], b"aad"),
        (expected, b"add"),
    ):
        mech = mechanism(CKM_AES_GCM, gcm(iv, aad))
        out, length = ffi.new("CK_BYTE[200]"), ffi.new("CK_ULONG *", 200)
        p11.do("C_DecryptInit", session, mech, key)
        assert p11.C_Decrypt(session, octets(damaged), len(damaged), out, length) in failures
        assert not any(out)
        p11.do("C_DecryptInit", session, mech, key)
        length[0] = 200
        p11.do("C_DecryptUpdate", session, octets(damaged), len(damaged), out, length)
        assert length[0] == 0
        length[0] = 200
        assert p11.C_DecryptFinal(session, out, length) in failures
        assert not any(out)
        # The operation has ended.
        assert p11.C_DecryptFinal(session, out, length) == CKR_OPERATION_NOT_INITIALIZED


@pytest.mark.parametrize(
    ("kind", "parameter"),
    [
        (CKM_AES_CBC, None),
        (CKM_AES_CBC, IV[:15]),
        (CKM_AES_CBC, IV + b"x"),
        (CKM_AES_GCM, None),
        (CKM_AES_GCM, b"short"),
        (CKM_AES_CTR, IV),
        (CKM_AES_ECB, IV),
    ],
)
def test_wrong_parameters(p11: Client, session: int, kind: int, parameter: bytes | None) -> None:
    key = aes_key(p11, session)
    with refused(CKR_MECHANISM_PARAM_INVALID):
        p11.do("C_EncryptInit", session, mechanism(kind, parameter), key)
    p11.do("C_EncryptInit", session, mechanism(CKM_AES_ECB), key)  # nothing is left active


# -- keys in the wrong place -------------------------------------------------------------------


def test_keys_do_only_what_they_may(p11: Client, session: int) -> None:
    def key(**flags: bool) -> int:
        attributes = {getattr(constants, f"CKA_{name}"): value for name, value in flags.items()}
        base = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE: AES_KEY}
        return p11.create(session, base | attributes)

    for name, flag, mech in (
        ("C_EncryptInit", "ENCRYPT", CKM_AES_ECB),
        ("C_DecryptInit", "DECRYPT", CKM_AES_ECB),
        ("C_SignInit", "SIGN", CKM_AES_CMAC),
        ("C_VerifyInit", "VERIFY", CKM_AES_CMAC),
    ):
        with refused(CKR_KEY_FUNCTION_NOT_PERMITTED):
            p11.do(name, session, mechanism(mech), key(**{flag: False}))
        p11.do(name, session, mechanism(mech), key(**{flag: True}))
        p11.do(name, session, NULL, 0)


def test_keys_and_mechanisms_have_to_fit(p11: Client, session: int) -> None:
    aes = aes_key(p11, session)
    public, private, _ = ec_pair(p11, session, "P-256")
    for name, mech, key in (
        ("C_SignInit", CKM_SHA256_RSA_PKCS, aes),
        ("C_SignInit", CKM_SHA256_RSA_PKCS, private),
        ("C_SignInit", CKM_ECDSA, public),
        ("C_VerifyInit", CKM_ECDSA, private),
        ("C_EncryptInit", CKM_AES_ECB, public),
        ("C_SignInit", CKM_SHA256_HMAC, private),
    ):
        with refused(CKR_KEY_TYPE_INCONSISTENT):
            p11.do(name, session, mechanism(mech), key)
    for name, mech in (("C_SignInit", CKM_SHA256), ("C_EncryptInit", 0x7FFFFFFF)):
        with refused(CKR_MECHANISM_INVALID):
            p11.do(name, session, mechanism(mech), aes)


# -- operations and buffers --------------------------------------------------------------------


def test_one_operation_of_a_kind_at_a_time(p11: Client, token: Token, session: int) -> None:
    aes, mech = aes_key(p11, session), mechanism(CKM_AES_ECB)
    p11.do("C_EncryptInit", session, mech, aes)
    with refused(CKR_OPERATION_ACTIVE):
        p11.do("C_EncryptInit", session, mech, aes)
    other = p11.open(token.slot)
    p11.do("C_EncryptInit", other, mech, aes)  # another session is another matter
    expected = p11.output("C_Encrypt", session, octets(bytes(16)), 16)
    assert p11.output("C_Encrypt", other, octets(bytes(16)), 16) == expected
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.output("C_Encrypt", session, octets(bytes(16)), 16)


def test_one_part_and_many_parts_do_not_mix(p11: Client, session: int) -> None:
    key = secret_key(p11, session, bytes(32))
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)
    p11.do("C_SignUpdate", session, octets(b"abc"), 3)
    out, length = ffi.new("CK_BYTE[32]"), ffi.new("CK_ULONG *", 32)
    rv = p11.C_Sign(session, octets(b"abc"), 3, out, length)
    assert rv in (CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED)
    assert not any(out)


def test_a_failed_verification_ends_the_operation(p11: Client, session: int) -> None:
    key = secret_key(p11, session, bytes(32))
    p11.do("C_VerifyInit", session, mechanism(CKM_SHA256_HMAC), key)
    wrong = (octets(b"abc"), 3, octets(bytes(32)), 32)
    assert p11.C_Verify(session, *wrong) == CKR_SIGNATURE_INVALID
    assert p11.C_Verify(session, *wrong) == CKR_OPERATION_NOT_INITIALIZED


def test_an_init_without_mechanism_cancels(p11: Client, session: int) -> None:
    key = secret_key(p11, session, bytes(32))
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)
    p11.do("C_SignUpdate", session, octets(b"abc"), 3)
    p11.do("C_SignInit", session, NULL, 0)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_SignUpdate", session, octets(b"abc"), 3)
    assert len(p11.sign(session, mechanism(CKM_SHA256_HMAC), key, b"abc")) == 32


def test_digesting_a_key(p11: Client, session: int) -> None:
    key = secret_key(p11, session, b"the key's value")
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    p11.do("C_DigestUpdate", session, octets(b"before"), 6)
    p11.do("C_DigestKey", session, key)
    expected = digest(hashes.SHA256(), b"before" + b"the key's value")
    assert p11.output("C_DigestFinal", session) == expected


def test_in_place(p11: Client, session: int) -> None:
    key = aes_key(p11, session)
    plain = os.urandom(64)
    encryptor = Cipher(algorithms.AES(AES_KEY), modes.CBC(IV)).encryptor()
    expected = encryptor.update(plain) + encryptor.finalize()
    buffer, length = octets(plain), ffi.new("CK_ULONG *", 64)
    p11.do("C_EncryptInit", session, mechanism(CKM_AES_CBC, IV), key)
    p11.do("C_Encrypt", session, buffer, 64, buffer, length)
    assert bytes(buffer) == expected
    p11.do("C_DecryptInit", session, mechanism(CKM_AES_CBC, IV), key)
    p11.do("C_DecryptUpdate", session, buffer, 64, buffer, length)
    assert bytes(buffer)[: length[0]] == plain[: length[0]]
    rest = p11.output("C_DecryptFinal", session)
    assert bytes(buffer)[: length[0]] + rest == plain


def test_empty_data_may_be_nowhere(p11: Client, session: int) -> None:
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    assert p11.output("C_Digest", session, NULL, 0) == digest(hashes.SHA256(), b"")
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    assert p11.C_DigestUpdate(session, NULL, 5) == CKR_ARGUMENTS_BAD


def test_a_template_of_nothing_may_be_nowhere(p11: Client, session: int) -> None:
    p11.do("C_FindObjectsInit", session, NULL, 0)
    p11.do("C_FindObjectsFinal", session)
    assert p11.C_FindObjectsInit(session, NULL, 1) == CKR_ARGUMENTS_BAD
    p11.do("C_FindObjectsInit", session, *template({}))
    p11.do("C_FindObjectsFinal", session)


def test_a_large_message(p11: Client, session: int) -> None:
    plain = bytes(range(256)) * 4096 * 2  # 2 MiB
    iv = os.urandom(12)
    expected = AESGCM(AES_KEY).encrypt(iv, plain, b"")
    assert p11.encrypt(session, mechanism(CKM_AES_GCM, gcm(iv)), aes_key(p11, session), plain) == (
        expected
    )


def test_a_short_buffer_costs_nothing(p11: Client, session: int) -> None:
    _, private, known = rsa_pair(p11, session)
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_RSA_PKCS), private)
    out, length = ffi.new("CK_BYTE[300]"), ffi.new("CK_ULONG *", 255)
    data = (octets(MESSAGE), len(MESSAGE))
    assert p11.C_Sign(session, *data, out, length) == CKR_BUFFER_TOO_SMALL
    assert length[0] == 256
    assert not any(out)
    p11.do("C_Sign", session, *data, out, length)
    known.verify(bytes(out)[:256], MESSAGE, padding.PKCS1v15(), hashes.SHA256())
