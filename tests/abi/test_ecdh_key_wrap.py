"""Keys under elliptic curve keys, held against the steps of the standard done elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from abi.client import NULL, Client, Value, mechanism, refused, struct
from abi.key_helpers import aes_template, rsa_pair, secret
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import (
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pypkcs11.standard import constants as c

CURVES = {
    "P-192": (c.CKK_EC, "06082a8648ce3d030101"),
    "P-256": (c.CKK_EC, "06082a8648ce3d030107"),
    "P-521": (c.CKK_EC, "06052b81040023"),
    "X25519": (c.CKK_EC_MONTGOMERY, "06032b656e"),
    "X448": (c.CKK_EC_MONTGOMERY, "06032b656f"),
}
GENERATE = {
    c.CKK_EC: c.CKM_EC_KEY_PAIR_GEN,
    c.CKK_EC_MONTGOMERY: c.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
}
NEWER = {
    c.CKK_EC: c.CKM_ECDH_COF_AES_KEY_WRAP,
    c.CKK_EC_MONTGOMERY: c.CKM_ECDH_X_AES_KEY_WRAP,
}
OF: dict[str, ec.EllipticCurve] = {
    "P-192": ec.SECP192R1(),
    "P-256": ec.SECP256R1(),
    "P-521": ec.SECP521R1(),
}
OKP: dict[str, Any] = {
    "X25519": (x25519.X25519PrivateKey, x25519.X25519PublicKey),
    "X448": (x448.X448PrivateKey, x448.X448PublicKey),
}
TARGET = bytes(range(16, 48))


def pair(p11: Client, session: int, curve: str) -> tuple[int, int]:
    key_type, params = CURVES[curve]
    readable: dict[int, Value] = {c.CKA_SENSITIVE: False, c.CKA_EXTRACTABLE: True}
    return p11.generate_pair(
        session,
        mechanism(GENERATE[key_type]),
        {c.CKA_EC_PARAMS: bytes.fromhex(params)},
        readable,
    )


def wrapping(kind: int, bits: int = 256, kdf: int = c.CKD_SHA256_KDF, shared: bytes = b"") -> Any:
    parameter = struct(
        "CK_ECDH_AES_KEY_WRAP_PARAMS",
        ulAESKeyBits=bits,
        kdf=kdf,
        ulSharedDataLen=len(shared),
        pSharedData=shared or NULL,
    )
    return mechanism(kind, parameter)


def kek(secret: bytes, bits: int, kdf: int, shared: bytes) -> bytes:
    if kdf == c.CKD_NULL:
        return secret[: bits // 8]
    algorithm = {c.CKD_SHA256_KDF: hashes.SHA256(), c.CKD_SHA1_KDF: hashes.SHA1()}[kdf]
    return X963KDF(algorithm, bits // 8, shared or None).derive(secret)


def agree(p11: Client, session: int, curve: str, private: int, point: bytes) -> bytes:
    """What a private key that can be read shares with a public key."""
    value = p11.get(session, private, c.CKA_VALUE)
    if curve in OKP:
        of_private, of_public = OKP[curve]
        secret: bytes = of_private.from_private_bytes(value).exchange(
            of_public.from_public_bytes(point)
        )
        return secret
    key = ec.derive_private_key(int.from_bytes(value, "big"), OF[curve])
    return key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(key.curve, point))


def split(curve: str, wrapped: bytes) -> tuple[bytes, bytes]:
    if curve in OKP:
        length = {"X25519": 32, "X448": 56}[curve]
        return wrapped[:length], wrapped[length:]
    assert wrapped[0] == 4
    start = 2 if wrapped[1] < 0x80 else 3
    end = start + wrapped[start - 1]
    return wrapped[start:end], wrapped[end:]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    ("bits", "kdf", "shared"),
    [
        (256, c.CKD_SHA256_KDF, b"shared data"),
        (192, c.CKD_SHA1_KDF, b""),
        (128, c.CKD_NULL, b""),
    ],
)
def test_as_the_standard_says(
    p11: Client, session: int, curve: str, bits: int, kdf: int, shared: bytes
) -> None:
    public, private = pair(p11, session, curve)
    key_type = CURVES[curve][0]
    for kind in (c.CKM_ECDH_AES_KEY_WRAP, NEWER[key_type]):
        mech = wrapping(kind, bits, kdf, shared)
        wrapped = p11.wrap(session, mech, public, secret(p11, session, TARGET))
        point, rest = split(curve, wrapped)
        shared_secret = agree(p11, session, curve, private, point)
        assert aes_key_unwrap_with_padding(kek(shared_secret, bits, kdf, shared), rest) == TARGET
        # The way back, for what another has wrapped.
        if curve in OKP:
            new = OKP[curve][0].generate()
            mine = new.public_key().public_bytes_raw()
            theirs = p11.get(session, public, c.CKA_EC_POINT)[2:]
            other = new.exchange(OKP[curve][1].from_public_bytes(theirs))
            front = mine
        else:
            new = ec.generate_private_key(OF[curve])
            mine = new.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            value = int.from_bytes(p11.get(session, private, c.CKA_VALUE), "big")
            other = new.exchange(ec.ECDH(), ec.derive_private_key(value, new.curve).public_key())
            size = bytes([len(mine)]) if len(mine) < 0x80 else bytes([0x81, len(mine)])
            front = b"\4" + size + mine
        made = front + aes_key_wrap_with_padding(kek(other, bits, kdf, shared), TARGET)
        template = aes_template(SENSITIVE=False, EXTRACTABLE=True)
        for each in (made, wrapped):
            key = p11.unwrap(session, mech, private, each, template)
            assert p11.get(session, key, c.CKA_VALUE) == TARGET


@pytest.mark.parametrize("curve", ["P-256", "X25519"])
def test_private_keys(p11: Client, session: int, curve: str) -> None:
    public, private = pair(p11, session, curve)
    _, target = rsa_pair(p11, session, {}, {c.CKA_EXTRACTABLE: True})
    mech = wrapping(NEWER[CURVES[curve][0]])
    wrapped = p11.wrap(session, mech, public, target)
    template = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_RSA}
    key = p11.unwrap(session, mech, private, wrapped, template)
    assert p11.get(session, key, c.CKA_MODULUS) == p11.get(session, target, c.CKA_MODULUS)


@pytest.mark.parametrize("curve", CURVES)
def test_what_is_not_wrapped_by_the_key(p11: Client, session: int, curve: str) -> None:
    public, private = pair(p11, session, curve)
    mech = wrapping(NEWER[CURVES[curve][0]], 128)
    wrapped = p11.wrap(session, mech, public, secret(p11, session, TARGET))
    template = aes_template()
    _, rest = split(curve, wrapped)
    flipped = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    for octets, rv in (
        (b"", c.CKR_WRAPPED_KEY_LEN_RANGE),
        (wrapped[:1], c.CKR_WRAPPED_KEY_LEN_RANGE),
        (wrapped[: -len(rest)], c.CKR_WRAPPED_KEY_LEN_RANGE),
        (wrapped[:-1], c.CKR_WRAPPED_KEY_LEN_RANGE),
        (flipped, c.CKR_WRAPPED_KEY_INVALID),
        (bytes(len(wrapped)), c.CKR_WRAPPED_KEY_INVALID),
    ):
        with refused(rv):
            p11.unwrap(session, mech, private, octets, template)
    other = pair(p11, session, curve)[1]
    with refused(c.CKR_WRAPPED_KEY_INVALID):
        p11.unwrap(session, mech, other, wrapped, template)


def test_wrong_parameters_and_keys(p11: Client, session: int) -> None:
    target = secret(p11, session, TARGET)
    for curve, (key_type, _) in CURVES.items():
        public, private = pair(p11, session, curve)
        kind = NEWER[key_type]
        wrapped = p11.wrap(session, wrapping(kind), public, target)
        wrong = [
            wrapping(kind, 0),
            wrapping(kind, 255),
            wrapping(kind, 2**63),
            wrapping(kind, 256, 0x7FFFFFFF),
            wrapping(kind, 128, c.CKD_NULL, b"data for none"),
            mechanism(kind),
            mechanism(kind, b"12345678"),
        ]
        if curve == "P-192":
            wrong.append(wrapping(kind, 256, c.CKD_NULL))
        for mech in wrong:
            with refused(c.CKR_MECHANISM_PARAM_INVALID):
                p11.wrap(session, mech, public, target)
            with refused(c.CKR_MECHANISM_PARAM_INVALID):
                p11.unwrap(session, mech, private, wrapped, aes_template())
        (other,) = set(NEWER.values()) - {kind}
        with refused(c.CKR_WRAPPING_KEY_TYPE_INCONSISTENT):
            p11.wrap(session, wrapping(other), public, target)
        with refused(c.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT):
            p11.unwrap(session, wrapping(other), private, wrapped, aes_template())
