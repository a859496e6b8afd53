"""Wrapping, unwrapping and derivation through the C boundary (section 5.18).

What is wrapped here is unwrapped by the ``cryptography`` package, and the other way round.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from abi.client import (
    NULL,
    Client,
    Value,
    encode,
    ffi,
    gcm,
    mechanism,
    number,
    octets,
    refused,
    struct,
)
from abi.conftest import Token, restart
from abi.key_helpers import (
    IV,
    P256,
    aes_template,
    ecdh,
    generated,
    named,
    oaep,
    rsa_pair,
    secret,
    string_data,
)
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from pypkcs11.standard import constants as c

KEK = bytes(range(32))
TARGET = bytes(range(64, 96))
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def cbc(data: bytes, way: str) -> bytes:
    cipher = Cipher(algorithms.AES(KEK), modes.CBC(IV))
    return getattr(cipher, way)().update(data)


def cbc_pad(data: bytes) -> bytes:
    padder = block_padding.PKCS7(128).padder()
    return cbc(padder.update(data) + padder.finalize(), "encryptor")


def ecb(data: bytes) -> bytes:
    return Cipher(algorithms.AES(KEK), modes.ECB()).encryptor().update(data)


#: Mechanism, parameter, and what wraps the same way, for keys of a block's multiple of octets.
SYMMETRIC: dict[str, tuple[int, Any, Any]] = {
    "KW": (c.CKM_AES_KEY_WRAP, None, lambda key: keywrap.aes_key_wrap(KEK, key)),
    "KW with its IV": (
        c.CKM_AES_KEY_WRAP,
        b"\xa6" * 8,
        lambda key: keywrap.aes_key_wrap(KEK, key),
    ),
    "KWP": (
        c.CKM_AES_KEY_WRAP_KWP,
        None,
        lambda key: keywrap.aes_key_wrap_with_padding(KEK, key),
    ),
    "PAD": (
        c.CKM_AES_KEY_WRAP_PAD,
        None,
        lambda key: keywrap.aes_key_wrap_with_padding(KEK, key),
    ),
    "PKCS7": (
        c.CKM_AES_KEY_WRAP_PKCS7,
        None,
        lambda key: keywrap.aes_key_wrap(KEK, key + b"\x08" * 8),
    ),
    "ECB": (c.CKM_AES_ECB, None, ecb),
    "CBC": (c.CKM_AES_CBC, IV, lambda key: cbc(key, "encryptor")),
    "CBC_PAD": (c.CKM_AES_CBC_PAD, IV, cbc_pad),
    "GCM": (
        c.CKM_AES_GCM,
        gcm(IV[:12], b"aad"),
        lambda key: AESGCM(KEK).encrypt(IV[:12], key, b"aad"),
    ),
}
FOR_PRIVATE = ("KW", "KWP", "PKCS7", "CBC_PAD", "GCM")


@pytest.fixture
def kek(p11: Client, session: int) -> int:
    return secret(p11, session, KEK)


# -- secret keys ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYMMETRIC)
def test_secret_keys_wrap_as_elsewhere_and_come_back(
    name: str, p11: Client, session: int, kek: int
) -> None:
    kind, parameter, reference = SYMMETRIC[name]
    mech = mechanism(kind, parameter)
    for value in (TARGET[:16], TARGET[:24], TARGET):
        if name in ("ECB", "CBC") and len(value) % 16:
            continue
        wrapped = p11.wrap(session, mech, kek, secret(p11, session, value))
        assert wrapped == reference(value)
        key = p11.unwrap(session, mech, kek, wrapped, aes_template())
        assert p11.get(session, key, c.CKA_VALUE) == value
        assert number(p11.get(session, key, c.CKA_VALUE_LEN)) == len(value)


def test_unwrapped_keys_have_the_standards_attributes(p11: Client, session: int, kek: int) -> None:
    wrapped = keywrap.aes_key_wrap(KEK, TARGET)
    mech = mechanism(c.CKM_AES_KEY_WRAP)
    key = p11.unwrap(session, mech, kek, wrapped, aes_template(LABEL="back", TOKEN=True))
    for attribute, value in {
        c.CKA_EXTRACTABLE: 1,
        c.CKA_LOCAL: 0,
        c.CKA_ALWAYS_SENSITIVE: 0,
        c.CKA_NEVER_EXTRACTABLE: 0,
    }.items():
        assert p11.get(session, key, attribute) == bytes([value])
    generated_by = number(p11.get(session, key, c.CKA_KEY_GEN_MECHANISM))
    assert generated_by == c.CK_UNAVAILABLE_INFORMATION
    assert len(p11.get(session, key, c.CKA_CHECK_VALUE)) == 3
    hidden = p11.unwrap(
        session, mech, kek, wrapped, aes_template(SENSITIVE=True, EXTRACTABLE=False)
    )
    with refused(c.CKR_ATTRIBUTE_SENSITIVE):
        p11.get(session, hidden, c.CKA_VALUE)
    assert p11.get(session, hidden, c.CKA_ALWAYS_SENSITIVE) == b"\0"


def test_an_unwrapped_token_key_is_there_the_next_time(
    p11: Client, token: Token, session: int, kek: int
) -> None:
    wrapped = keywrap.aes_key_wrap(KEK, TARGET)
    template = aes_template(LABEL="kept", TOKEN=True)
    p11.unwrap(session, mechanism(c.CKM_AES_KEY_WRAP), kek, wrapped, template)
    session = restart(p11, token)
    (key,) = p11.find(session, {c.CKA_LABEL: "kept"})
    assert p11.get(session, key, c.CKA_VALUE) == TARGET


@pytest.mark.parametrize("length", [1, 9, 15, 16, 17, 20, 33, 200])
@pytest.mark.parametrize("name", ["KW", "KWP", "PKCS7", "ECB", "CBC", "CBC_PAD", "GCM"])
def test_generic_secrets_of_any_length(
    name: str, length: int, p11: Client, session: int, kek: int
) -> None:
    kind, parameter, _ = SYMMETRIC[name]
    mech = mechanism(kind, parameter)
    value = os.urandom(length - 1) + b"\0"  # the hardest: it ends like what it is filled up with
    key = secret(p11, session, value, c.CKK_GENERIC_SECRET)
    if (name == "KW" and length <= 8) or (name == "PKCS7" and length < 8):
        with refused(c.CKR_KEY_SIZE_RANGE):
            p11.wrap(session, mech, kek, key)
        return
    wrapped = p11.wrap(session, mech, kek, key)
    template = aes_template(KEY_TYPE=c.CKK_GENERIC_SECRET)
    if name in ("KW", "ECB", "CBC"):
        with refused(c.CKR_TEMPLATE_INCOMPLETE):
            p11.unwrap(session, mech, kek, wrapped, template)
    else:
        back = p11.unwrap(session, mech, kek, wrapped, template)
        assert p11.get(session, back, c.CKA_VALUE) == value
    back = p11.unwrap(session, mech, kek, wrapped, template | {c.CKA_VALUE_LEN: length})
    assert p11.get(session, back, c.CKA_VALUE) == value
    # Of one zero more at its end nobody could tell whether it is the key's.
    one_more = () if name in ("KW", "ECB", "CBC") else (length + 1,)
    for wrong in (*one_more, length + 16, max(length - 16, 0)):
        with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
            p11.unwrap(session, mech, kek, wrapped, template | {c.CKA_VALUE_LEN: wrong})


def test_what_is_cut_off_must_be_zeros(p11: Client, session: int, kek: int) -> None:
    wrapped = ecb(TARGET)
    template = aes_template(KEY_TYPE=c.CKK_GENERIC_SECRET, VALUE_LEN=20)
    with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
        p11.unwrap(session, mechanism(c.CKM_AES_ECB), kek, wrapped, template)


def test_a_24_octet_aes_key_in_blocks_needs_its_length(p11: Client, session: int, kek: int) -> None:
    mech = mechanism(c.CKM_AES_ECB)
    wrapped = p11.wrap(session, mech, kek, secret(p11, session, TARGET[:24]))
    assert wrapped == ecb(TARGET[:24] + bytes(8))
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.unwrap(session, mech, kek, wrapped, aes_template())
    key = p11.unwrap(session, mech, kek, wrapped, aes_template(VALUE_LEN=24))
    assert p11.get(session, key, c.CKA_VALUE) == TARGET[:24]


# -- private keys -----------------------------------------------------------------------------


def made(name: str) -> Any:
    makers: dict[str, Any] = {
        "RSA": lambda: rsa.generate_private_key(65537, 1024),
        "EC": lambda: ec.generate_private_key(ec.SECP256R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "X25519": x25519.X25519PrivateKey.generate,
    }
    return makers[name]()


PRIVATE_TYPES = {
    "RSA": c.CKK_RSA,
    "EC": c.CKK_EC,
    "Ed25519": c.CKK_EC_EDWARDS,
    "X25519": c.CKK_EC_MONTGOMERY,
}


def pkcs8(key: Any) -> bytes:
    form = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8)
    result: bytes = key.private_bytes(*form, serialization.NoEncryption())
    return result


def without_zeros(data: bytes) -> bytes:
    """A DER structure without what it was filled up with."""
    long_form = data[1] - 0x80
    if long_form <= 0:
        length = 2 + data[1]
    else:
        length = 2 + long_form + int.from_bytes(data[2 : 2 + long_form], "big")
    assert len(data) - length < 8
    assert not any(data[length:])
    return data[:length]


@pytest.mark.parametrize("name", FOR_PRIVATE)
@pytest.mark.parametrize("kind", PRIVATE_TYPES)
def test_private_keys_come_from_elsewhere_and_go_there(
    kind: str, name: str, p11: Client, session: int, kek: int
) -> None:
    number_, parameter, reference = SYMMETRIC[name]
    mech = mechanism(number_, parameter)
    key = made(kind)
    data = pkcs8(key)
    if name == "KW":
        data += bytes(-len(data) % 8)
    if name == "PKCS7":
        count = 8 - len(data) % 8
        wrapped = keywrap.aes_key_wrap(KEK, data + bytes([count]) * count)
    else:
        wrapped = reference(data)
    template: dict[int, Value] = {
        c.CKA_CLASS: c.CKO_PRIVATE_KEY,
        c.CKA_KEY_TYPE: PRIVATE_TYPES[kind],
    }
    handle = p11.unwrap(session, mech, kek, wrapped, template)
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert p11.get(session, handle, c.CKA_PUBLIC_KEY_INFO) == public

    again = p11.wrap(session, mech, kek, handle)
    if name == "CBC_PAD":
        padded = cbc(again, "decryptor")
        plain = padded[: -padded[-1]]
    elif name == "GCM":
        plain = AESGCM(KEK).decrypt(IV[:12], again, b"aad")
    elif name == "KWP":
        plain = keywrap.aes_key_unwrap_with_padding(KEK, again)
    elif name == "PKCS7":
        padded = keywrap.aes_key_unwrap(KEK, again)
        plain = padded[: -padded[-1]]
    else:
        plain = without_zeros(keywrap.aes_key_unwrap(KEK, again))
    back = serialization.load_der_private_key(plain, None)
    assert pkcs8(back) == pkcs8(key)


def test_a_payload_that_is_no_such_key(p11: Client, session: int, kek: int) -> None:
    mech = mechanism(c.CKM_AES_KEY_WRAP_KWP)
    template: dict[int, Value] = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_RSA}
    curve = pkcs8(ec.generate_private_key(ec.SECP256R1()))
    whole = pkcs8(rsa.generate_private_key(65537, 1024))
    wrong = bytearray(whole)
    wrong[60] ^= 1  # in the modulus
    before = len(p11.find(session, {}))
    for payload in (
        b"\0" * 40,
        b"no key at all" * 3,
        curve,
        whole[:-1],
        bytes(wrong),
        whole + b"!",
    ):
        wrapped = keywrap.aes_key_wrap_with_padding(KEK, payload)
        with refused(c.CKR_WRAPPED_KEY_INVALID):
            p11.unwrap(session, mech, kek, wrapped, template)
    with refused(c.CKR_WRAPPED_KEY_INVALID):
        wrapped = keywrap.aes_key_wrap_with_padding(bytes(32), whole)
        p11.unwrap(session, mech, kek, wrapped, template)
    p256, prime239v2 = P256[2:], P256[2:-1] + b"\x05"
    with refused(c.CKR_CURVE_NOT_SUPPORTED):
        wrapped = keywrap.aes_key_wrap_with_padding(KEK, curve.replace(p256, prime239v2))
        p11.unwrap(session, mech, kek, wrapped, template | {c.CKA_KEY_TYPE: c.CKK_EC})
    assert len(p11.find(session, {})) == before


def test_lengths_that_nothing_wrapped_can_have(p11: Client, session: int, kek: int) -> None:
    for kind, parameter, lengths in (
        (c.CKM_AES_KEY_WRAP, None, (0, 8, 16, 25)),
        (c.CKM_AES_KEY_WRAP_KWP, None, (0, 8, 17)),
        (c.CKM_AES_CBC, IV, (0, 15, 33)),
        (c.CKM_AES_CBC_PAD, IV, (0, 15, 33)),
    ):
        for length in lengths:
            with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
                p11.unwrap(session, mechanism(kind, parameter), kek, bytes(length), aes_template())
    # an AES key of 8 or 40 octets
    for data in (TARGET[:8], TARGET + TARGET[:8]):
        wrapped = keywrap.aes_key_wrap_with_padding(KEK, data)
        with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
            p11.unwrap(session, mechanism(c.CKM_AES_KEY_WRAP_KWP), kek, wrapped, aes_template())


# -- under RSA keys ---------------------------------------------------------------------------


@pytest.fixture
def pair(p11: Client, session: int) -> tuple[int, int]:
    return rsa_pair(p11, session, {}, {c.CKA_EXTRACTABLE: True})


def public_key(p11: Client, session: int, handle: int) -> rsa.RSAPublicKey:
    info = p11.get(session, handle, c.CKA_PUBLIC_KEY_INFO)
    key = serialization.load_der_public_key(info)
    assert isinstance(key, rsa.RSAPublicKey)
    return key


@pytest.mark.parametrize("name", ["PKCS", "OAEP"])
def test_secret_keys_under_rsa(name: str, p11: Client, session: int, pair: tuple[int, int]) -> None:
    public, private = pair
    if name == "PKCS":
        mech, scheme = mechanism(c.CKM_RSA_PKCS), padding.PKCS1v15()
    else:
        mech, scheme = mechanism(c.CKM_RSA_PKCS_OAEP, oaep()), OAEP
    ours = p11.wrap(session, mech, public, secret(p11, session, TARGET))
    theirs = public_key(p11, session, public).encrypt(TARGET, scheme)
    for wrapped in (ours, theirs):
        key = p11.unwrap(session, mech, private, wrapped, aes_template())
        assert p11.get(session, key, c.CKA_VALUE) == TARGET
    with refused(c.CKR_KEY_SIZE_RANGE):
        p11.wrap(session, mech, public, secret(p11, session, bytes(250), c.CKK_GENERIC_SECRET))
    with refused(c.CKR_KEY_NOT_WRAPPABLE):
        p11.wrap(session, mech, public, private)
    with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
        p11.unwrap(session, mech, private, ours[:-1], aes_template())


def test_rsa_aes_key_wrap(p11: Client, session: int, pair: tuple[int, int]) -> None:
    public, private = pair
    parameter = struct("CK_RSA_AES_KEY_WRAP_PARAMS", ulAESKeyBits=256, pOAEPParams=oaep())
    mech = mechanism(c.CKM_RSA_AES_KEY_WRAP, parameter)
    target = rsa.generate_private_key(65537, 1024)
    theirs = public_key(p11, session, public).encrypt(KEK, OAEP)
    theirs += keywrap.aes_key_wrap_with_padding(KEK, pkcs8(target))
    template: dict[int, Value] = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_RSA}
    handle = p11.unwrap(session, mech, private, theirs, template)
    ours = p11.wrap(session, mech, public, handle)
    assert len(ours) == len(theirs)
    again = p11.unwrap(session, mech, private, ours, template)
    info = p11.get(session, again, c.CKA_PUBLIC_KEY_INFO)
    assert serialization.load_der_public_key(info) == target.public_key()
    for wrong, rv in (
        (ours[:256], c.CKR_WRAPPED_KEY_LEN_RANGE),
        (ours[:-8], c.CKR_WRAPPED_KEY_INVALID),
        (bytes(256) + ours[256:], c.CKR_WRAPPED_KEY_INVALID),
    ):
        with refused(rv):
            p11.unwrap(session, mech, private, wrong, template)
    short = struct("CK_RSA_AES_KEY_WRAP_PARAMS", ulAESKeyBits=100, pOAEPParams=oaep())
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        p11.wrap(session, mechanism(c.CKM_RSA_AES_KEY_WRAP, short), public, handle)


# -- who may wrap what ------------------------------------------------------------------------


def test_wrapping_keys(p11: Client, session: int, kek: int) -> None:
    mech = mechanism(c.CKM_AES_KEY_WRAP)
    target = secret(p11, session, TARGET)
    idle = secret(p11, session, KEK, WRAP=False, UNWRAP=False)
    generic = secret(p11, session, KEK, c.CKK_GENERIC_SECRET)
    wrapped = p11.wrap(session, mech, kek, target)
    for key, wrap, unwrap in (
        (99999, c.CKR_WRAPPING_KEY_HANDLE_INVALID, c.CKR_UNWRAPPING_KEY_HANDLE_INVALID),
        (generic, c.CKR_WRAPPING_KEY_TYPE_INCONSISTENT, c.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
        (idle, c.CKR_KEY_FUNCTION_NOT_PERMITTED, c.CKR_KEY_FUNCTION_NOT_PERMITTED),
    ):
        with refused(wrap):
            p11.wrap(session, mech, key, target)
        with refused(unwrap):
            p11.unwrap(session, mech, key, wrapped, aes_template())
    with refused(c.CKR_MECHANISM_INVALID):
        p11.wrap(session, mechanism(c.CKM_SHA256), kek, target)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        p11.wrap(session, mechanism(c.CKM_AES_KEY_WRAP, b"12345678"), kek, target)
    with refused(c.CKR_SESSION_HANDLE_INVALID):
        p11.wrap(99999, mech, kek, target)


def test_keys_that_are_not_wrapped(p11: Client, session: int, kek: int) -> None:
    mech = mechanism(c.CKM_AES_KEY_WRAP)
    public, private = rsa_pair(p11, session, {}, {c.CKA_EXTRACTABLE: True})
    data = p11.create(session, {c.CKA_CLASS: c.CKO_DATA})
    for key, rv in (
        (99999, c.CKR_KEY_HANDLE_INVALID),
        (data, c.CKR_KEY_HANDLE_INVALID),
        (public, c.CKR_KEY_NOT_WRAPPABLE),
        (secret(p11, session, TARGET, EXTRACTABLE=False), c.CKR_KEY_UNEXTRACTABLE),
        (secret(p11, session, TARGET, WRAP_WITH_TRUSTED=True), c.CKR_KEY_NOT_WRAPPABLE),
    ):
        with refused(rv):
            p11.wrap(session, mech, kek, key)
    with refused(c.CKR_KEY_NOT_WRAPPABLE):
        p11.wrap(session, mechanism(c.CKM_AES_ECB), kek, private)


def test_templates_of_the_wrapping_key(p11: Client, session: int) -> None:
    mech = mechanism(c.CKM_AES_KEY_WRAP)
    kek = secret(
        p11,
        session,
        KEK,
        WRAP_TEMPLATE=((c.CKA_LABEL, b"ours"), (c.CKA_SENSITIVE, True)),
        UNWRAP_TEMPLATE=((c.CKA_SENSITIVE, True), (c.CKA_EXTRACTABLE, False)),
    )
    good = secret(p11, session, TARGET, LABEL="ours", SENSITIVE=True)
    wrapped = p11.wrap(session, mech, kek, good)
    for other in ({"LABEL": "ours"}, {"SENSITIVE": True}):
        with refused(c.CKR_KEY_HANDLE_INVALID):
            p11.wrap(session, mech, kek, secret(p11, session, TARGET, **other))
    key = p11.unwrap(session, mech, kek, wrapped, aes_template(SENSITIVE=True))
    assert p11.get(session, key, c.CKA_SENSITIVE) == b"\1"
    assert p11.get(session, key, c.CKA_EXTRACTABLE) == b"\0"
    for conflict in ({"SENSITIVE": False}, {"EXTRACTABLE": True}):
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            p11.unwrap(session, mech, kek, wrapped, aes_template(**conflict))


def test_templates_of_a_token_key_last(p11: Client, token: Token, session: int) -> None:
    secret(
        p11,
        session,
        KEK,
        TOKEN=True,
        LABEL="kek",
        UNWRAP_TEMPLATE=((c.CKA_LABEL, b"theirs"), (c.CKA_DECRYPT, False)),
    )
    session = restart(p11, token)
    (kek,) = p11.find(session, {c.CKA_LABEL: "kek"})
    wrapped = keywrap.aes_key_wrap(KEK, TARGET)
    key = p11.unwrap(session, mechanism(c.CKM_AES_KEY_WRAP), kek, wrapped, aes_template())
    assert p11.get(session, key, c.CKA_LABEL) == b"theirs"
    assert p11.get(session, key, c.CKA_DECRYPT) == b"\0"


def test_templates_for_unwrapping(p11: Client, token: Token, session: int, kek: int) -> None:
    mech = mechanism(c.CKM_AES_KEY_WRAP)
    wrapped = keywrap.aes_key_wrap(KEK, TARGET)
    before = len(p11.find(session, {}))
    kind: dict[int, Value] = {c.CKA_KEY_TYPE: c.CKK_AES}
    for template, rv in (
        (kind, c.CKR_TEMPLATE_INCOMPLETE),
        ({c.CKA_CLASS: c.CKO_SECRET_KEY}, c.CKR_TEMPLATE_INCOMPLETE),
        (
            aes_template(CLASS=c.CKO_PUBLIC_KEY, KEY_TYPE=c.CKK_RSA),
            c.CKR_TEMPLATE_INCONSISTENT,
        ),
        (
            aes_template(CLASS=c.CKO_PRIVATE_KEY, KEY_TYPE=c.CKK_RSA),
            c.CKR_WRAPPED_KEY_INVALID,
        ),
        (aes_template(VALUE=TARGET), c.CKR_ATTRIBUTE_READ_ONLY),
        (aes_template(LOCAL=True), c.CKR_ATTRIBUTE_READ_ONLY),
        (aes_template(CHECK_VALUE=b"abc"), c.CKR_ATTRIBUTE_VALUE_INVALID),
        (aes_template(MODULUS=b"1"), c.CKR_TEMPLATE_INCONSISTENT),
        (aes_template(KEY_TYPE=c.CKK_RSA), c.CKR_ATTRIBUTE_VALUE_INVALID),
    ):
        with refused(rv):
            p11.unwrap(session, mech, kek, wrapped, template)
    reader = p11.open(token.slot, read_write=False)
    with refused(c.CKR_SESSION_READ_ONLY):
        p11.unwrap(reader, mech, kek, wrapped, aes_template(TOKEN=True))
    assert len(p11.find(session, {})) == before


def test_output_follows_the_one_rule(p11: Client, session: int, kek: int) -> None:
    mech, target = mechanism(c.CKM_AES_KEY_WRAP), secret(p11, session, TARGET)
    length = ffi.new("CK_ULONG *", 7)
    assert p11.C_WrapKey(session, mech, kek, target, NULL, length) == c.CKR_OK
    assert length[0] == 40
    buffer = ffi.new("CK_BYTE[40]")
    length[0] = 39
    assert p11.C_WrapKey(session, mech, kek, target, buffer, length) == c.CKR_BUFFER_TOO_SMALL
    assert length[0] == 40
    assert p11.C_WrapKey(session, mech, kek, target, buffer, length) == c.CKR_OK
    assert p11.C_WrapKey(session, mech, kek, target, buffer, NULL) == c.CKR_ARGUMENTS_BAD
    assert p11.C_WrapKey(session, NULL, kek, target, buffer, length) == c.CKR_ARGUMENTS_BAD
    handle = ffi.new("CK_OBJECT_HANDLE *")
    for arguments in (
        (NULL, kek, buffer, 40, NULL, 0, handle),
        (mech, kek, NULL, 40, NULL, 0, handle),
        (mech, kek, buffer, 40, NULL, 0, NULL),
        (mech, kek, buffer, 40, NULL, 1, handle),
        (mech, kek, buffer, ffi.cast("CK_ULONG", -1), NULL, 0, handle),
    ):
        assert p11.C_UnwrapKey(session, *arguments) == c.CKR_ARGUMENTS_BAD
    for arguments in ((NULL, kek, NULL, 0, handle), (mech, kek, NULL, 0, NULL)):
        assert p11.C_DeriveKey(session, *arguments) == c.CKR_ARGUMENTS_BAD


def test_a_key_that_asks_for_the_pin_each_time_neither_unwraps_nor_derives(
    p11: Client, session: int
) -> None:
    public, private = rsa_pair(
        p11, session, {}, {c.CKA_PRIVATE: True, c.CKA_ALWAYS_AUTHENTICATE: True}
    )
    mech = mechanism(c.CKM_RSA_PKCS)
    wrapped = p11.wrap(session, mech, public, secret(p11, session, TARGET))
    with refused(c.CKR_USER_NOT_LOGGED_IN):
        p11.unwrap(session, mech, private, wrapped, aes_template())


# -- derivation -------------------------------------------------------------------------------


def value_of(p11: Client, session: int, mech: Any, base: int, **more: Value) -> bytes:
    """The value of a derived key that may be read."""
    template = named({"SENSITIVE": False, "EXTRACTABLE": True, **more})
    return p11.get(session, p11.derive(session, mech, base, template), c.CKA_VALUE)


@pytest.mark.parametrize("kind", [c.CKM_ECDH1_DERIVE, c.CKM_ECDH1_COFACTOR_DERIVE])
def test_ecdh(kind: int, p11: Client, session: int) -> None:
    public, private = p11.generate_pair(
        session, mechanism(c.CKM_EC_KEY_PAIR_GEN), {c.CKA_EC_PARAMS: P256}, {c.CKA_DERIVE: True}
    )
    ours = serialization.load_der_public_key(p11.get(session, public, c.CKA_PUBLIC_KEY_INFO))
    other = ec.generate_private_key(ec.SECP256R1())
    secret_ = other.exchange(ec.ECDH(), ours)  # type: ignore[arg-type]
    formats = serialization.PublicFormat
    raw = other.public_key().public_bytes(serialization.Encoding.X962, formats.UncompressedPoint)
    compressed = other.public_key().public_bytes(
        serialization.Encoding.X962, formats.CompressedPoint
    )
    for point in (raw, b"\x04\x41" + raw, compressed):
        assert value_of(p11, session, mechanism(kind, ecdh(point)), private) == secret_
    mech = mechanism(kind, ecdh(raw))
    assert value_of(p11, session, mech, private, VALUE_LEN=20) == secret_[-20:]
    aes = value_of(p11, session, mech, private, KEY_TYPE=c.CKK_AES, VALUE_LEN=16)
    assert aes == secret_[-16:]
    for digest, kdf in ((hashes.SHA1(), c.CKD_SHA1_KDF), (hashes.SHA512(), c.CKD_SHA512_KDF)):
        mech = mechanism(kind, ecdh(raw, kdf, b"shared"))
        expected = X963KDF(digest, 150, b"shared").derive(secret_)
        assert value_of(p11, session, mech, private, VALUE_LEN=150) == expected
        with refused(c.CKR_TEMPLATE_INCOMPLETE):
            value_of(p11, session, mech, private)
    for parameter in (
        ecdh(raw[:-1]),
        ecdh(raw[:-1] + bytes([raw[-1] ^ 1])),
        ecdh(raw, c.CKD_NULL, b"shared"),
        ecdh(raw, 999),
        ecdh(b""),
    ):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            value_of(p11, session, mechanism(kind, parameter), private)
    with refused(c.CKR_KEY_SIZE_RANGE):
        value_of(p11, session, mechanism(kind, ecdh(raw)), private, VALUE_LEN=33)
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        value_of(p11, session, mechanism(kind, ecdh(raw)), private, KEY_TYPE=c.CKK_AES)
    for bad in (0, 17, 1 << 40):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            value_of(
                p11, session, mechanism(kind, ecdh(raw)), private, KEY_TYPE=c.CKK_AES, VALUE_LEN=bad
            )
    with refused(c.CKR_KEY_TYPE_INCONSISTENT):
        value_of(p11, session, mechanism(kind, ecdh(raw)), secret(p11, session, KEK))
    with refused(c.CKR_KEY_HANDLE_INVALID):
        value_of(p11, session, mechanism(kind, ecdh(raw)), 99999)


def test_x25519(p11: Client, session: int) -> None:
    params = bytes.fromhex("06032b656e")
    public, private = p11.generate_pair(
        session,
        mechanism(c.CKM_EC_MONTGOMERY_KEY_PAIR_GEN),
        {c.CKA_EC_PARAMS: params},
        {c.CKA_DERIVE: True},
    )
    assert number(p11.get(session, public, c.CKA_KEY_TYPE)) == c.CKK_EC_MONTGOMERY
    ours = serialization.load_der_public_key(p11.get(session, public, c.CKA_PUBLIC_KEY_INFO))
    other = x25519.X25519PrivateKey.generate()
    secret_ = other.exchange(ours)  # type: ignore[arg-type]
    point = other.public_key().public_bytes_raw()
    mech = mechanism(c.CKM_ECDH1_DERIVE, ecdh(point))
    assert value_of(p11, session, mech, private) == secret_
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        value_of(p11, session, mechanism(c.CKM_ECDH1_DERIVE, ecdh(bytes(32))), private)
    with refused(c.CKR_KEY_TYPE_INCONSISTENT):
        value_of(p11, session, mechanism(c.CKM_ECDH1_COFACTOR_DERIVE, ecdh(point)), private)


def test_simple_derivation(p11: Client, session: int) -> None:
    base = secret(p11, session, bytes.fromhex("01234567"), c.CKK_GENERIC_SECRET)
    other = secret(p11, session, bytes.fromhex("89abcdef"), c.CKK_GENERIC_SECRET)
    data = string_data(bytes.fromhex("89abcdef"))
    for kind, parameter, expected in (
        (c.CKM_CONCATENATE_BASE_AND_KEY, encode(other), "0123456789abcdef"),
        (c.CKM_CONCATENATE_BASE_AND_DATA, data, "0123456789abcdef"),
        (c.CKM_CONCATENATE_DATA_AND_BASE, data, "89abcdef01234567"),
        (c.CKM_XOR_BASE_AND_DATA, data, "88888888"),
    ):
        mech = mechanism(kind, parameter)
        result = bytes.fromhex(expected)
        assert value_of(p11, session, mech, base) == result
        assert value_of(p11, session, mech, base, VALUE_LEN=3) == result[:3]
        with refused(c.CKR_KEY_SIZE_RANGE):
            value_of(p11, session, mech, base, VALUE_LEN=len(result) + 1)
        with refused(c.CKR_TEMPLATE_INCOMPLETE):
            value_of(p11, session, mech, base, KEY_TYPE=c.CKK_AES)
    with refused(c.CKR_KEY_HANDLE_INVALID):
        value_of(p11, session, mechanism(c.CKM_CONCATENATE_BASE_AND_KEY, encode(99999)), base)

    base = secret(p11, session, bytes.fromhex("329f84a9"), c.CKK_GENERIC_SECRET)
    mech = mechanism(c.CKM_EXTRACT_KEY_FROM_KEY, encode(21))
    assert value_of(p11, session, mech, base, VALUE_LEN=2) == bytes.fromhex("9526")
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        value_of(p11, session, mech, base)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        mech = mechanism(c.CKM_EXTRACT_KEY_FROM_KEY, encode(32))
        value_of(p11, session, mech, base, VALUE_LEN=2)


def test_derivation_by_encryption(p11: Client, session: int, kek: int) -> None:
    data = os.urandom(64)
    mech = mechanism(c.CKM_AES_ECB_ENCRYPT_DATA, string_data(data))
    assert value_of(p11, session, mech, kek) == ecb(data)
    assert value_of(p11, session, mech, kek, KEY_TYPE=c.CKK_AES, VALUE_LEN=32) == ecb(data)[:32]
    with refused(c.CKR_DATA_LEN_RANGE):
        value_of(p11, session, mech, kek, VALUE_LEN=65)
    with refused(c.CKR_DATA_LEN_RANGE):
        mech = mechanism(c.CKM_AES_ECB_ENCRYPT_DATA, string_data(data[:-1]))
        value_of(p11, session, mech, kek)
    parameter = struct("CK_AES_CBC_ENCRYPT_DATA_PARAMS", length=64)
    parameter.iv = IV
    kept = octets(data)
    parameter.pData = kept
    mech = mechanism(c.CKM_AES_CBC_ENCRYPT_DATA, parameter)
    assert value_of(p11, session, mech, kek) == cbc(data, "encryptor")


def hkdf(salt: bytes | int | None, info: bytes, extract: bool = True, expand: bool = True) -> Any:
    kinds = {type(None): c.CKF_HKDF_SALT_NULL, bytes: c.CKF_HKDF_SALT_DATA}
    return struct(
        "CK_HKDF_PARAMS",
        bExtract=extract,
        bExpand=expand,
        prfHashMechanism=c.CKM_SHA256,
        ulSaltType=kinds.get(type(salt), c.CKF_HKDF_SALT_KEY),
        pSalt=salt if isinstance(salt, bytes) else NULL,
        ulSaltLen=len(salt) if isinstance(salt, bytes) else 0,
        hSaltKey=salt if isinstance(salt, int) else 0,
        pInfo=info or NULL,
        ulInfoLen=len(info),
    )


def test_hkdf(p11: Client, session: int) -> None:
    base = secret(p11, session, KEK, c.CKK_GENERIC_SECRET)
    salt = secret(p11, session, b"salt" * 8, c.CKK_HKDF)
    for given, used in ((None, None), (b"salt" * 8, b"salt" * 8), (salt, b"salt" * 8)):
        expected = HKDF(hashes.SHA256(), 100, used, b"info").derive(KEK)
        mech = mechanism(c.CKM_HKDF_DERIVE, hkdf(given, b"info"))
        assert value_of(p11, session, mech, base, VALUE_LEN=100) == expected
        mech = mechanism(c.CKM_HKDF_DATA, hkdf(given, b"info"))
        data = p11.derive(session, mech, base, {c.CKA_VALUE_LEN: 100})
        assert number(p11.get(session, data, c.CKA_CLASS)) == c.CKO_DATA
        assert p11.get(session, data, c.CKA_VALUE) == expected
    mech = mechanism(c.CKM_HKDF_DERIVE, hkdf(b"salt" * 8, b"", expand=False))
    extracted = value_of(p11, session, mech, base)
    assert extracted == HKDF.extract(hashes.SHA256(), b"salt" * 8, KEK)
    prk = secret(p11, session, extracted, c.CKK_HKDF)
    mech = mechanism(c.CKM_HKDF_DERIVE, hkdf(None, b"info", extract=False))
    assert value_of(p11, session, mech, prk, VALUE_LEN=100) == expected
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        value_of(p11, session, mech, prk)
    with refused(c.CKR_KEY_SIZE_RANGE):
        value_of(p11, session, mech, prk, VALUE_LEN=255 * 32 + 1)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        mech = mechanism(c.CKM_HKDF_DERIVE, hkdf(None, b"info", extract=False, expand=False))
        value_of(p11, session, mech, prk, VALUE_LEN=16)
    made_here = p11.generate(session, mechanism(c.CKM_HKDF_KEY_GEN), {c.CKA_VALUE_LEN: 32})
    assert number(p11.get(session, made_here, c.CKA_KEY_TYPE)) == c.CKK_HKDF


def test_what_derived_keys_inherit(p11: Client, session: int) -> None:
    hidden = generated(p11, session, DERIVE=True, SENSITIVE=True, EXTRACTABLE=False)
    open_ = secret(p11, session, KEK)
    join = mechanism(c.CKM_CONCATENATE_BASE_AND_DATA, string_data(b"data"))
    for conflict in ({"SENSITIVE": False}, {"EXTRACTABLE": True}):
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            p11.derive(session, join, hidden, named(conflict))
    both = mechanism(c.CKM_CONCATENATE_BASE_AND_KEY, encode(hidden))
    encrypt = mechanism(c.CKM_AES_ECB_ENCRYPT_DATA, string_data(bytes(32)))
    secretive = named({"SENSITIVE": True, "EXTRACTABLE": False})
    for mech, base, template, expected in (
        (join, hidden, {}, (1, 0, 1, 1)),
        (both, open_, {}, (1, 0, 0, 0)),
        (encrypt, hidden, {}, (0, 0, 0, 1)),
        (encrypt, hidden, secretive, (1, 0, 1, 1)),
        (encrypt, open_, secretive, (1, 0, 0, 0)),
    ):
        key = p11.derive(session, mech, base, template)
        kinds = (c.CKA_SENSITIVE, c.CKA_EXTRACTABLE)
        always = (c.CKA_ALWAYS_SENSITIVE, c.CKA_NEVER_EXTRACTABLE)
        assert tuple(p11.get(session, key, a)[0] for a in kinds + always) == expected
        assert p11.get(session, key, c.CKA_LOCAL) == b"\0"


def test_derive_template_and_permission(p11: Client, session: int) -> None:
    base = secret(p11, session, KEK, DERIVE_TEMPLATE=((c.CKA_LABEL, b"derived"),))
    mech = mechanism(c.CKM_AES_ECB_ENCRYPT_DATA, string_data(bytes(32)))
    key = p11.derive(session, mech, base, {})
    assert p11.get(session, key, c.CKA_LABEL) == b"derived"
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        p11.derive(session, mech, base, {c.CKA_LABEL: "another"})
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        p11.derive(session, mech, base, {c.CKA_CLASS: c.CKO_PRIVATE_KEY})
    with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
        p11.derive(session, mech, secret(p11, session, KEK, DERIVE=False), {})
