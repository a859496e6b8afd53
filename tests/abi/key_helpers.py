"""Keys and mechanisms for the tests of wrapping, derivation and attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abi.client import NULL, Client, Value, ffi, mechanism, octets, struct, template

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


def encapsulate(
    p11: Client, session: int, mech: Any, public: int, attributes: dict[int, Value]
) -> tuple[bytes, int]:
    """C_EncapsulateKey: the ciphertext and the new key. Nothing is written behind the buffer."""
    length = ffi.new("CK_ULONG *", 0)
    array, count = template(attributes)
    given = (session, mech, public, array, count)
    p11.do("C_EncapsulateKey", *given, NULL, length, NULL)
    handle = ffi.new("CK_OBJECT_HANDLE *")
    size = int(length[0])
    buffer = ffi.new("CK_BYTE[]", b"\xa5" * (size + 16))
    p11.do("C_EncapsulateKey", *given, buffer, length, handle)
    assert length[0] == size
    assert bytes(ffi.buffer(buffer, size + 17))[size:] == b"\xa5" * 16 + b"\0"
    return bytes(ffi.buffer(buffer, size)), int(handle[0])


def decapsulate(
    p11: Client,
    session: int,
    mech: Any,
    private: int,
    ciphertext: bytes,
    attributes: dict[int, Value],
) -> int:
    """C_DecapsulateKey."""
    handle = ffi.new("CK_OBJECT_HANDLE *")
    given = (*template(attributes), octets(ciphertext), len(ciphertext), handle)
    p11.do("C_DecapsulateKey", session, mech, private, *given)
    return int(handle[0])
