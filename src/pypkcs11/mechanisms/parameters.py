"""Mechanism parameters, as the structures of the standard say them but without C.

``abi`` reads the C structure into one of these; the mechanism's row names the class it takes.
A parameter that is plain octets (an initialisation vector) is :class:`Octets`.

They are named tuples because one is made for every C_SignInit and C_EncryptInit, and a named tuple
is three times as fast to make as a frozen data class.
"""

from __future__ import annotations

from typing import NamedTuple


class Octets(NamedTuple):
    """A parameter that is a byte string: the IV of CKM_AES_CBC (16 octets)."""

    value: bytes


class MacGeneral(NamedTuple):
    """CK_MAC_GENERAL_PARAMS: the MAC's length in octets."""

    length: int


class AesCtr(NamedTuple):
    """CK_AES_CTR_PARAMS: the counter's width in bits, and the 16-octet counter block."""

    counter_bits: int
    block: bytes


class Gcm(NamedTuple):
    """CK_GCM_PARAMS: the IV, the additional data and the tag's length in bits."""

    iv: bytes
    aad: bytes
    tag_bits: int


class RsaPss(NamedTuple):
    """CK_RSA_PKCS_PSS_PARAMS: digest (CKM_), mask generation (CKG_), salt length in octets."""

    hash: int
    mgf: int
    salt_length: int


class RsaOaep(NamedTuple):
    """CK_RSA_PKCS_OAEP_PARAMS: digest (CKM_), mask generation (CKG_), and the label."""

    hash: int
    mgf: int
    label: bytes


class Eddsa(NamedTuple):
    """CK_EDDSA_PARAMS: whether the message is hashed first, and the context (0 to 255 octets)."""

    prehash: bool
    context: bytes


class SignContext(NamedTuple):
    """CK_SIGN_ADDITIONAL_CONTEXT: whether to hedge (CKH_), and the context (0 to 255 octets)."""

    hedge: int
    context: bytes


class HashSignContext(NamedTuple):
    """CK_HASH_SIGN_ADDITIONAL_CONTEXT: the same, and the digest (CKM_) that the caller has made."""

    hedge: int
    context: bytes
    hash: int

    @property
    def sign_context(self) -> SignContext:
        """What it has in common with the other."""
        return SignContext(self.hedge, self.context)


class RsaAesWrap(NamedTuple):
    """CK_RSA_AES_KEY_WRAP_PARAMS: the temporary AES key's size in bits, and how it is wrapped."""

    aes_bits: int
    oaep: RsaOaep


class Ecdh(NamedTuple):
    """CK_ECDH1_DERIVE_PARAMS: key derivation function (CKD_), shared data, the other's point."""

    kdf: int
    shared: bytes
    public: bytes


class StringData(NamedTuple):
    """CK_KEY_DERIVATION_STRING_DATA: data that becomes part of a key, or is encrypted to one."""

    data: bytes


class CbcEncryptData(NamedTuple):
    """CK_AES_CBC_ENCRYPT_DATA_PARAMS: the IV (16 octets), and the data to encrypt to a key."""

    iv: bytes
    data: bytes


class KeyHandle(NamedTuple):
    """A CK_OBJECT_HANDLE: the second key of CKM_CONCATENATE_BASE_AND_KEY."""

    handle: int


class FirstBit(NamedTuple):
    """CK_EXTRACT_PARAMS: the bit of the base key that is the derived key's first."""

    bit: int


class Hkdf(NamedTuple):
    """CK_HKDF_PARAMS: the steps to take, digest (CKM_), salt (CKF_HKDF_SALT_) and info."""

    extract: bool
    expand: bool
    hash: int
    salt_type: int
    salt: bytes
    salt_key: int
    info: bytes
