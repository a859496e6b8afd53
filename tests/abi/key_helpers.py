"""Keys and mechanisms for the tests of wrapping, derivation and attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abi.client import NULL, Client, Value, mechanism, struct

from pypkcs11.standard import constants as c

IV = bytes(range(16))
P256 = bytes.fromhex("06082a8648ce3d030107")


def secret(
    p11: Client, session: int, value: bytes, key_type: int = c.CKK_AES, **more: Value
) -> int:
    """A secret key that is made of its value: extractable, and readable, unless told otherwise."""
    attributes: dict[int, Value] = {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_KEY_TYPE: key_type,
        c.CKA_EXTRACTABLE: True,
        c.CKA_DERIVE: True,
        c.CKA_VALUE: value,
    }
    return p11.create(session, attributes | named(more))


def generated(p11: Client, session: int, octets: int = 32, **more: Value) -> int:
    """An AES key."""
    attributes: dict[int, Value] = {c.CKA_VALUE_LEN: octets}
    return p11.generate(session, mechanism(c.CKM_AES_KEY_GEN), attributes | named(more))


def named(attributes: Mapping[str, Value]) -> dict[int, Value]:
    """Attributes by number, given by name without CKA_."""
    return {getattr(c, f"CKA_{name}"): value for name, value in attributes.items()}


def rsa_pair(
    p11: Client, session: int, public: dict[int, Value], private: dict[int, Value], bits: int = 2048
) -> tuple[int, int]:
    """An RSA key pair."""
    made = {c.CKA_MODULUS_BITS: bits, **public}
    return p11.generate_pair(session, mechanism(c.CKM_RSA_PKCS_KEY_PAIR_GEN), made, private)


def aes_template(**more: Value) -> dict[int, Value]:
    """A template for an unwrapped AES key."""
    return {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_AES, **named(more)}


def oaep(digest: int = c.CKM_SHA256, mgf: int = c.CKG_MGF1_SHA256) -> Any:
    """CK_RSA_PKCS_OAEP_PARAMS without a label."""
    return struct(
        "CK_RSA_PKCS_OAEP_PARAMS",
        hashAlg=digest,
        mgf=mgf,
        source=c.CKZ_DATA_SPECIFIED,
        pSourceData=NULL,
        ulSourceDataLen=0,
    )


def string_data(data: bytes) -> Any:
    """CK_KEY_DERIVATION_STRING_DATA."""
    return struct("CK_KEY_DERIVATION_STRING_DATA", pData=data, ulLen=len(data))


def ecdh(public: bytes, kdf: int = c.CKD_NULL, shared: bytes = b"") -> Any:
    """CK_ECDH1_DERIVE_PARAMS."""
    return struct(
        "CK_ECDH1_DERIVE_PARAMS",
        kdf=kdf,
        pSharedData=shared or NULL,
        ulSharedDataLen=len(shared),
        pPublicData=public,
        ulPublicDataLen=len(public),
    )
