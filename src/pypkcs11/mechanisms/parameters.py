"""Mechanism parameters, as the structures of the standard say them but without C.

``abi`` reads the C structure into one of these; the mechanism's row names the class it takes.
A parameter that is plain octets (an initialisation vector) is ``bytes``.

They are named tuples because one is made for every C_SignInit and C_EncryptInit, and a named tuple
is three times as fast to make as a frozen data class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from pypkcs11.standard.values import Template

#: What writes into the caller's parameter: it takes the handles of the objects that were made (0
#: for one that was not), and what else the mechanism returns.
GiveBack: TypeAlias = Callable[[Sequence[int], Any], None]


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


class Gmac(NamedTuple):
    """CK_GCM_PARAMS of CKM_AES_GMAC, or the IV alone: the IV, and the tag's length in bits."""

    iv: bytes
    tag_bits: int


class Ccm(NamedTuple):
    """CK_CCM_PARAMS: the data's length, nonce, additional data, the tag's length in octets."""

    length: int
    nonce: bytes
    aad: bytes
    tag: int


class ChaCha(NamedTuple):
    """CK_CHACHA20_PARAMS: the block counter and the nonce, as long as their bits say."""

    counter: bytes
    nonce: bytes


class ChaChaPoly(NamedTuple):
    """CK_SALSA20_CHACHA20_POLY1305_PARAMS: the nonce and the additional data."""

    nonce: bytes
    aad: bytes


class AeadMessage(NamedTuple):
    """What comes with each message, or each key that is wrapped: nonce, tag and how they are made.

    :param nonce: the nonce, or what a generator begins with.
    :param fixed_bits: how many of its first bits a generator keeps.
    :param generator: what makes the rest of it (CKG_).
    :param tag_bits: the tag's length.
    :param data_length: of the data, in octets, where the mechanism asks for it.
    """

    nonce: bytes
    fixed_bits: int
    generator: int
    tag_bits: int
    data_length: int


class GcmMessage(AeadMessage):
    """CK_GCM_MESSAGE_PARAMS: without the length of the data."""

    __slots__ = ()


class CcmMessage(AeadMessage):
    """CK_CCM_MESSAGE_PARAMS."""

    __slots__ = ()


class ChaChaPolyMessage(AeadMessage):
    """CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS: nonce and tag only."""

    __slots__ = ()


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


class EcdhAesWrap(NamedTuple):
    """CK_ECDH_AES_KEY_WRAP_PARAMS: the temporary AES key's size in bits, and how it is derived."""

    aes_bits: int
    kdf: int
    shared: bytes


class X942Dh(NamedTuple):
    """CK_X9_42_DH1_DERIVE_PARAMS: key derivation function (CKD_), other info, the other's value."""

    kdf: int
    other: bytes
    public: bytes


class StringData(NamedTuple):
    """CK_KEY_DERIVATION_STRING_DATA: data that becomes part of a key, or is encrypted to one."""

    data: bytes


class CbcEncryptData(NamedTuple):
    """CK_AES_CBC_ENCRYPT_DATA_PARAMS: the IV (16 octets), and the data to encrypt to a key.

    Camellia's and SEED's are laid out like it.
    """

    iv: bytes
    data: bytes


class DesCbcEncryptData(NamedTuple):
    """CK_DES_CBC_ENCRYPT_DATA_PARAMS: the same with an IV of 8 octets."""

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


class PrfData(NamedTuple):
    """CK_PRF_DATA_PARAM: a piece of what goes into the PRF, by its CK_SP800_108_ type.

    ``data`` are a byte array's octets; ``handle`` is a key's. A number (counter or length) has its
    ``width`` in bits, 0 for none given, its order of octets, and a length its ``method``.
    """

    type: int
    data: bytes = b""
    handle: int = 0
    width: int = 0
    little_endian: bool = False
    method: int = 0


class Sp800Kdf(NamedTuple):
    """CK_SP800_108_KDF_PARAMS, and with an ``iv`` CK_SP800_108_FEEDBACK_KDF_PARAMS.

    ``more`` are the templates of the keys beyond the first; ``blame`` takes the number of the key
    that could not be made.
    """

    prf: int
    data: tuple[PrfData, ...]
    iv: bytes
    more: tuple[Template, ...]
    give_back: GiveBack
    blame: Callable[[int], None]


class Sp800FeedbackKdf(Sp800Kdf):
    """CK_SP800_108_FEEDBACK_KDF_PARAMS."""

    __slots__ = ()


class Pbkdf2(NamedTuple):
    """CK_PKCS5_PBKD2_PARAMS2: salt, iterations, PRF (CKP_PKCS5_PBKD2_) and password."""

    salt: bytes
    iterations: int
    prf: int
    password: bytes

    def __repr__(self) -> str:
        return f"<Pbkdf2 prf={self.prf} iterations={self.iterations}>"


class Pba(NamedTuple):
    """CK_PBE_PARAMS: salt, iterations, and the password in the octets that the mechanism takes."""

    salt: bytes
    iterations: int
    password: bytes

    def __repr__(self) -> str:
        return f"<Pba iterations={self.iterations}>"


class Pbe(NamedTuple):
    """CK_PBE_PARAMS: the same, and ``give_back``, which takes an IV of 8 octets."""

    secret: Pba
    give_back: GiveBack


class Version(NamedTuple):
    """CK_VERSION: that of TLS, which a pre-master secret begins with."""

    major: int
    minor: int


class TlsMaster(NamedTuple):
    """CK_TLS12_MASTER_KEY_DERIVE_PARAMS: the PRF's digest (CKM_) and both randoms.

    ``wants_version`` says that ``give_back`` takes the two octets of a version.
    """

    prf: int
    client: bytes
    server: bytes
    wants_version: bool
    give_back: GiveBack

    @property
    def seed(self) -> bytes:
        """What the PRF gets beside its label."""
        return self.client + self.server


class OldTlsMaster(TlsMaster):
    """CK_SSL3_MASTER_KEY_DERIVE_PARAMS, whose PRF is that of TLS 1.0."""

    __slots__ = ()


class TlsExtendedMaster(NamedTuple):
    """CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS: as :class:`TlsMaster`, with a session hash."""

    prf: int
    seed: bytes
    wants_version: bool
    give_back: GiveBack


class TlsKeys(NamedTuple):
    """CK_TLS12_KEY_MAT_PARAMS: sizes in bits, both randoms and the PRF's digest (CKM_).

    ``give_back`` takes four handles (MAC keys of client and server, then their keys) and two IVs,
    if there is ``room_for_ivs``.
    """

    mac_bits: int
    key_bits: int
    iv_bits: int
    export: bool
    client: bytes
    server: bytes
    prf: int
    room_for_ivs: bool
    give_back: GiveBack


class OldTlsKeys(TlsKeys):
    """CK_SSL3_KEY_MAT_PARAMS, whose PRF is that of TLS 1.0."""

    __slots__ = ()


class TlsKdf(NamedTuple):
    """CK_TLS_KDF_PARAMS: PRF (CKM_), label, both randoms; a context of None is none at all."""

    prf: int
    label: bytes
    client: bytes
    server: bytes
    context: bytes | None


class TlsPrf(NamedTuple):
    """CK_TLS_PRF_PARAMS: ``give_back`` takes the ``length`` octets that are asked for."""

    seed: bytes
    label: bytes
    length: int
    give_back: GiveBack


class TlsMac(NamedTuple):
    """CK_TLS_MAC_PARAMS: PRF (CKM_), length in octets, and who finished: server 1, client 2."""

    prf: int
    length: int
    sender: int
