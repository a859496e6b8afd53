"""python-pkcs11, a client that many Python programs use, does its work with the module.

Results are checked by the ``cryptography`` package.
"""

from __future__ import annotations

import datetime
from typing import Any

import pkcs11
import pytest
from conformance.conftest import SO_PIN, USER_PIN
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import (
    decode_ec_private_key,
    decode_ec_public_key,
    encode_ec_public_key,
    encode_ecdsa_signature,
    encode_named_curve_parameters,
)
from pkcs11.util.rsa import decode_rsa_private_key, encode_rsa_public_key
from pkcs11.util.x509 import decode_x509_certificate

MESSAGE = b"a message" * 20
CURVES = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}


def known_rsa(key: pkcs11.PublicKey) -> rsa.RSAPublicKey:
    loaded = serialization.load_der_public_key(rsa_spki(encode_rsa_public_key(key)))
    assert isinstance(loaded, rsa.RSAPublicKey)
    return loaded


def rsa_spki(pkcs1: bytes) -> bytes:
    """A SubjectPublicKeyInfo around an RSAPublicKey."""

    def der(tag: int, content: bytes) -> bytes:
        size = len(content)
        head = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
        return bytes([tag]) + head + content

    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return der(0x30, algorithm + der(0x03, b"\0" + pkcs1))


def ec_keypair(
    session: pkcs11.Session, curve: str, **options: Any
) -> tuple[pkcs11.PublicKey, pkcs11.PrivateKey]:
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
    )
    return parameters.generate_keypair(**options)


# -- slots, tokens, sessions -------------------------------------------------------------------


def test_the_library(module: Any) -> None:
    assert module.cryptoki_version >= (2, 40)
    assert module.manufacturer_id.strip()
    assert module.library_description.strip()


def test_the_token(token: pkcs11.Token) -> None:
    flags = token.flags
    for flag in ("TOKEN_INITIALIZED", "USER_PIN_INITIALIZED", "LOGIN_REQUIRED", "RNG"):
        assert flags & pkcs11.TokenFlag[flag], flag
    assert token.label == "conformance"
    assert len(token.serial) == 16
    mechanisms = token.slot.get_mechanisms()
    assert {Mechanism.RSA_PKCS, Mechanism.AES_GCM, Mechanism.ECDSA, Mechanism.SHA256} <= mechanisms
    info = token.slot.get_mechanism_info(Mechanism.AES_KEY_GEN)
    assert (info.min_key_length, info.max_key_length) == (16, 32)


def test_sessions(token: pkcs11.Token) -> None:
    with token.open() as session:
        assert not session.rw
        with pytest.raises(pkcs11.UserNotLoggedIn):
            session.generate_key(KeyType.AES, 256, template={Attribute.PRIVATE: True})
        with pytest.raises(pkcs11.SessionReadOnlyExists):
            token.open(rw=True, so_pin=SO_PIN)
    with token.open(rw=True, user_pin=USER_PIN) as session:
        assert session.rw
        assert session.user_type == pkcs11.UserType.USER
        with pytest.raises(pkcs11.UserAlreadyLoggedIn):
            token.open(user_pin=USER_PIN)
        with pytest.raises(pkcs11.AnotherUserAlreadyLoggedIn):
            token.open(rw=True, so_pin=SO_PIN)


def test_wrong_pins(token: pkcs11.Token) -> None:
    # The client leaves the session open when the login fails, so all of them are read/write.
    with pytest.raises(pkcs11.PinIncorrect):
        token.open(rw=True, user_pin="wrong")
    with pytest.raises(pkcs11.PinIncorrect):
        token.open(rw=True, so_pin="wrong")
    with token.open(user_pin=USER_PIN):
        pass


def test_a_locked_pin(token: pkcs11.Token) -> None:
    for _ in range(10):
        with pytest.raises(pkcs11.PinIncorrect):
            token.open(user_pin="wrong")
    with pytest.raises(pkcs11.PinLocked):
        token.open(user_pin=USER_PIN)


def test_changing_pins(token: pkcs11.Token) -> None:
    with token.open(rw=True, user_pin=USER_PIN) as session:
        with pytest.raises(pkcs11.PinIncorrect):
            session.set_pin("wrong", "another-pin")
        with pytest.raises(pkcs11.PinLenRange):
            session.set_pin(USER_PIN, "x")
        session.set_pin(USER_PIN, "another-pin")
    with pytest.raises(pkcs11.PinIncorrect):
        token.open(user_pin=USER_PIN)
    with token.open(user_pin="another-pin"):
        pass


def test_a_token_that_is_not_there(module: Any, token: pkcs11.Token) -> None:
    with pytest.raises(pkcs11.NoSuchToken):
        module.get_token(token_label="missing")
    assert module.get_token(token_serial=token.serial).label == token.label


# -- digests and random numbers ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"])
def test_digests(session: pkcs11.Session, name: str) -> None:
    known = hashes.Hash(getattr(hashes, name)())
    known.update(MESSAGE)
    expected = known.finalize()
    mechanism = Mechanism["SHA_1" if name == "SHA1" else name]
    assert session.digest(MESSAGE, mechanism=mechanism) == expected
    parts = (MESSAGE[i : i + 7] for i in range(0, len(MESSAGE), 7))
    assert session.digest(parts, mechanism=mechanism) == expected


def test_random_numbers(session: pkcs11.Session) -> None:
    one, two = session.generate_random(256), session.generate_random(256)
    assert len(one) == len(two) == 32
    assert one != two


# -- AES and HMAC ------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_aes(session: pkcs11.Session, bits: int) -> None:
    key = session.generate_key(
        KeyType.AES, bits, template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
    )
    assert key.key_length == bits
    value, iv = key[Attribute.VALUE], session.generate_random(128)
    assert len(value) == bits // 8

    def known(mode: modes.Mode, data: bytes) -> bytes:
        context = Cipher(algorithms.AES(value), mode).encryptor()
        return context.update(data) + context.finalize()

    blocks = MESSAGE[:160]
    padded = MESSAGE + bytes([12]) * 12
    assert len(padded) % 16 == 0
    for mechanism, data, expected in (
        (Mechanism.AES_CBC_PAD, MESSAGE, known(modes.CBC(iv), padded)),
        (Mechanism.AES_CBC, blocks, known(modes.CBC(iv), blocks)),
    ):
        options = {"mechanism": mechanism, "mechanism_param": iv}
        assert key.encrypt(data, **options) == expected
        assert key.decrypt(expected, **options) == data
        parts = [data[i : i + 33] for i in range(0, len(data), 33)]
        assert b"".join(key.encrypt(iter(parts), **options)) == expected
        parts = [expected[i : i + 33] for i in range(0, len(expected), 33)]
        assert b"".join(key.decrypt(iter(parts), **options)) == data
    assert key.encrypt(blocks, mechanism=Mechanism.AES_ECB) == known(modes.ECB(), blocks)


def test_aes_gcm(session: pkcs11.Session) -> None:
    key = session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.VALUE: bytes(32),
        }
    )
    nonce = session.generate_random(96)
    parameter = GCMParams(nonce, b"header", 128)
    options = {"mechanism": Mechanism.AES_GCM, "mechanism_param": parameter}
    expected = AESGCM(bytes(32)).encrypt(nonce, MESSAGE, b"header")
    assert key.encrypt(MESSAGE, **options) == expected
    assert key.decrypt(expected, **options) == MESSAGE
    with pytest.raises(pkcs11.PKCS11Error):
        key.decrypt(expected[:-1] + bytes([expected[-1] ^ 1]), **options)


def test_hmac(session: pkcs11.Session) -> None:
    key = session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
            Attribute.VALUE: b"k" * 40,
            Attribute.SIGN: True,
            Attribute.VERIFY: True,
        }
    )
    known = hmac.HMAC(b"k" * 40, hashes.SHA256())
    known.update(MESSAGE)
    expected = known.finalize()
    assert key.sign(MESSAGE, mechanism=Mechanism.SHA256_HMAC) == expected
    assert key.verify(MESSAGE, expected, mechanism=Mechanism.SHA256_HMAC)
    assert not key.verify(MESSAGE, bytes(32), mechanism=Mechanism.SHA256_HMAC)


# -- RSA ---------------------------------------------------------------------------------------


def test_rsa(session: pkcs11.Session) -> None:
    public, private = session.generate_keypair(KeyType.RSA, 2048)
    known = known_rsa(public)
    assert known.key_size == public.key_length == 2048

    mechanism = Mechanism.SHA256_RSA_PKCS
    signature = private.sign(MESSAGE, mechanism=mechanism)
    known.verify(signature, MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    assert public.verify(MESSAGE, signature, mechanism=mechanism)
    assert not public.verify(MESSAGE + b"x", signature, mechanism=mechanism)
    parts = (MESSAGE[i : i + 50] for i in range(0, len(MESSAGE), 50))
    assert private.sign(parts, mechanism=mechanism) == signature

    default = private.sign(MESSAGE)
    known.verify(default, MESSAGE, padding.PKCS1v15(), hashes.SHA512())

    scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    assert private.decrypt(known.encrypt(b"secret", scheme)) == b"secret"
    assert private.decrypt(public.encrypt(b"secret")) == b"secret"
    options = {"mechanism": Mechanism.RSA_PKCS}
    encrypted = known.encrypt(b"secret", padding.PKCS1v15())
    assert private.decrypt(encrypted, **options) == b"secret"


def test_rsa_pss(session: pkcs11.Session) -> None:
    public, private = session.generate_keypair(KeyType.RSA, 2048)
    parameter = (Mechanism.SHA256, pkcs11.MGF.SHA256, 32)
    options = {"mechanism": Mechanism.SHA256_RSA_PKCS_PSS, "mechanism_param": parameter}
    signature = private.sign(MESSAGE, **options)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    known_rsa(public).verify(signature, MESSAGE, scheme, hashes.SHA256())
    assert public.verify(MESSAGE, signature, **options)


def test_an_rsa_key_from_elsewhere(session: pkcs11.Session) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    der = other.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    key = session.create_object(decode_rsa_private_key(der))
    signature = key.sign(MESSAGE, mechanism=Mechanism.SHA384_RSA_PKCS)
    other.public_key().verify(signature, MESSAGE, padding.PKCS1v15(), hashes.SHA384())


# -- elliptic curves ---------------------------------------------------------------------------


@pytest.mark.parametrize("curve", CURVES)
def test_ec(session: pkcs11.Session, curve: str) -> None:
    public, private = ec_keypair(session, curve)
    known = serialization.load_der_public_key(encode_ec_public_key(public))
    assert isinstance(known, ec.EllipticCurvePublicKey)
    assert known.curve.name == curve

    digest = session.digest(MESSAGE, mechanism=Mechanism.SHA256)
    signature = private.sign(digest, mechanism=Mechanism.ECDSA)
    der = encode_ecdsa_signature(signature)
    known.verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    with pytest.raises(InvalidSignature):
        known.verify(der, bytes(32), ec.ECDSA(Prehashed(hashes.SHA256())))
    assert public.verify(digest, signature, mechanism=Mechanism.ECDSA)
    assert not public.verify(bytes(32), signature, mechanism=Mechanism.ECDSA)

    signature = private.sign(MESSAGE, mechanism=Mechanism.ECDSA_SHA256)
    known.verify(encode_ecdsa_signature(signature), MESSAGE, ec.ECDSA(hashes.SHA256()))


def test_an_ec_key_from_elsewhere(session: pkcs11.Session) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    private = session.create_object(
        decode_ec_private_key(
            other.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
    )
    public = session.create_object(
        decode_ec_public_key(
            other.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    )
    signature = private.sign(MESSAGE, mechanism=Mechanism.ECDSA_SHA256)
    der = encode_ecdsa_signature(signature)
    other.public_key().verify(der, MESSAGE, ec.ECDSA(hashes.SHA256()))
    assert public.verify(MESSAGE, signature, mechanism=Mechanism.ECDSA_SHA256)


# -- objects -----------------------------------------------------------------------------------


def test_objects_are_stored_and_found(token: pkcs11.Token) -> None:
    with token.open(rw=True, user_pin=USER_PIN) as session:
        session.generate_key(KeyType.AES, 256, label="kept", id=b"\1", store=True)
        session.generate_key(KeyType.AES, 128, label="lost", store=False)
        session.generate_keypair(KeyType.RSA, 2048, label="pair", id=b"\2", store=True)
    with token.open(user_pin=USER_PIN) as session:
        key = session.get_key(object_class=ObjectClass.SECRET_KEY, label="kept")
        assert key.id == b"\1"
        assert key.label == "kept"
        assert key.key_type == KeyType.AES
        with pytest.raises(pkcs11.NoSuchKey):
            session.get_key(label="lost")
        with pytest.raises(pkcs11.MultipleObjectsReturned):
            session.get_key(label="pair")
        found = session.get_objects({Attribute.ID: b"\2"})
        classes = {obj[Attribute.CLASS] for obj in found}
        assert classes == {ObjectClass.PUBLIC_KEY, ObjectClass.PRIVATE_KEY}
    with token.open() as session:
        assert [o[Attribute.CLASS] for o in session.get_objects()] == [ObjectClass.PUBLIC_KEY]


def test_attributes(session: pkcs11.Session) -> None:
    key = session.generate_key(KeyType.AES, 256, label="old")
    with pytest.raises(pkcs11.AttributeSensitive):
        key[Attribute.VALUE]
    with pytest.raises(pkcs11.AttributeTypeInvalid):
        key[Attribute.MODULUS]
    with pytest.raises(pkcs11.AttributeReadOnly):
        key[Attribute.LOCAL] = False
    key[Attribute.LABEL] = "new"
    assert key[Attribute.LABEL] == "new"
    assert key[Attribute.LOCAL]
    copy = key.copy({Attribute.LABEL: "copy"})
    assert copy[Attribute.LABEL] == "copy"
    key.destroy()
    with pytest.raises(pkcs11.ObjectHandleInvalid):
        key[Attribute.LABEL]
    assert [o[Attribute.LABEL] for o in session.get_objects()] == ["copy"]


def test_many_objects(session: pkcs11.Session) -> None:
    for index in range(40):
        session.create_object(
            {
                Attribute.CLASS: ObjectClass.DATA,
                Attribute.LABEL: f"object {index}",
                Attribute.VALUE: bytes([index]),
            }
        )
    found = {o[Attribute.LABEL]: o[Attribute.VALUE] for o in session.get_objects()}
    assert found == {f"object {index}": bytes([index]) for index in range(40)}


def test_a_data_object(token: pkcs11.Token) -> None:
    attributes = {
        Attribute.CLASS: ObjectClass.DATA,
        Attribute.LABEL: "note",
        Attribute.APPLICATION: "tests",
        Attribute.VALUE: b"text\0text",
        Attribute.TOKEN: True,
    }
    with token.open(rw=True, user_pin=USER_PIN) as session:
        session.create_object(attributes)
    with token.open(rw=True, user_pin=USER_PIN) as session:
        (note,) = session.get_objects({Attribute.LABEL: "note"})
        assert note[Attribute.VALUE] == b"text\0text"
        assert note[Attribute.APPLICATION] == "tests"
    with token.open(user_pin=USER_PIN) as session, pytest.raises(pkcs11.SessionReadOnly):
        session.create_object(attributes)


def test_a_certificate(session: pkcs11.Session) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 4711, now, now.replace(2027)).sign(
        key, hashes.SHA256()
    )
    der = made.public_bytes(serialization.Encoding.DER)
    session.create_object(decode_x509_certificate(der) | {Attribute.TOKEN: True})
    (found,) = session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE})
    assert found[Attribute.VALUE] == der
    assert found[Attribute.SUBJECT] == name.public_bytes()
    assert x509.load_der_x509_certificate(found[Attribute.VALUE]) == made


# -- errors ------------------------------------------------------------------------------------


def test_errors(session: pkcs11.Session) -> None:
    aes = session.generate_key(KeyType.AES, 256)
    with pytest.raises(pkcs11.MechanismParamInvalid):
        aes.encrypt(MESSAGE, mechanism=Mechanism.AES_CBC, mechanism_param=b"short")
    with pytest.raises(pkcs11.DataLenRange):
        aes.encrypt(b"x", mechanism=Mechanism.AES_ECB)
    with pytest.raises(pkcs11.KeyTypeInconsistent):
        aes.sign(MESSAGE, mechanism=Mechanism.SHA256_HMAC)
    with pytest.raises(pkcs11.MechanismInvalid):
        aes.encrypt(MESSAGE, mechanism=Mechanism.SHA256)
    with pytest.raises(pkcs11.TemplateIncomplete):
        session.create_object({Attribute.CLASS: ObjectClass.SECRET_KEY})
    _, private = session.generate_keypair(KeyType.RSA, 2048)
    private[Attribute.SIGN] = False
    with pytest.raises(pkcs11.PKCS11Error):  # the client has no name for this code
        private.sign(MESSAGE, mechanism=Mechanism.SHA256_RSA_PKCS)
