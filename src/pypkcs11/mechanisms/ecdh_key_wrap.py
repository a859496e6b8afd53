"""A key of any length under an elliptic curve key (PKCS #11 v3.2, section 6.3.19 to 6.3.22).

In front of the wrapped key stands the public key of the pair that was made to wrap it: for
short Weierstrass curves an uncompressed point in a DER OCTET STRING, for those of RFC 7748 its
octets, as CKA_EC_POINT has them. CKM_ECDH_AES_KEY_WRAP, which the standard is less exact about, is
what it became: CKM_ECDH_COF_AES_KEY_WRAP and CKM_ECDH_X_AES_KEY_WRAP.
"""

from __future__ import annotations

from pypkcs11.mechanisms import aes_key_wrap, curves, der, ec_keys, ecdh
from pypkcs11.mechanisms.kdf import KDFS
from pypkcs11.mechanisms.parameters import Ecdh, EcdhAesWrap
from pypkcs11.mechanisms.registry import ALL_KEYS, Key, Mechanism, Payload
from pypkcs11.standard.constants import (
    CKD_NULL,
    CKK_AES,
    CKK_EC,
    CKK_EC_MONTGOMERY,
    CKM_ECDH_AES_KEY_WRAP,
    CKM_ECDH_COF_AES_KEY_WRAP,
    CKM_ECDH_X_AES_KEY_WRAP,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError

_SIZES = (128, 192, 256)


def wrap(key: Key, parameter: EcdhAesWrap, octets: bytes) -> bytes:
    """A temporary public key, and behind it the key under what is shared with it.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    _check(key, parameter)
    private, public = ecdh.ephemeral(key)
    temporary = _temporary(private, parameter, ecdh.public_octets(key))
    if key.type == CKK_EC:
        public = der.encode(der.OCTET_STRING, public)
    return public + aes_key_wrap.wrap_padded(temporary, None, octets)


def unwrap(key: Key, parameter: EcdhAesWrap, wrapped: bytes) -> bytes:
    """The way back.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID, CKR_WRAPPED_KEY_LEN_RANGE,
        CKR_WRAPPED_KEY_INVALID.
    """
    _check(key, parameter)
    public, rest = _split(key, wrapped)
    try:
        temporary = _temporary(key, parameter, public)
    except CryptokiError as error:
        raise CryptokiError(CKR_WRAPPED_KEY_INVALID, error.reason) from None
    return aes_key_wrap.unwrap_padded(temporary, None, rest)


def _check(key: Key, parameter: EcdhAesWrap) -> None:
    bits, kdf, shared = parameter
    if bits not in _SIZES:
        raise _bad(f"an AES key of {bits} bits")
    if kdf not in KDFS and (kdf != CKD_NULL or shared or key.bits + 7 < bits):
        raise _bad("no such key derivation function, or none and data or too short a secret")


def _temporary(private: Key, parameter: EcdhAesWrap, public: bytes) -> Key:
    """The temporary AES key: the first bits of what is derived."""
    bits, kdf, shared = parameter
    length = None if kdf == CKD_NULL else bits // 8
    value = ecdh.derive(private, Ecdh(kdf, shared, public), length, None)
    return Key(CKK_AES, bits, value[: bits // 8])


def _split(key: Key, wrapped: bytes) -> tuple[bytes, bytes]:
    """The temporary public key, and the wrapped key behind it."""
    if key.type == CKK_EC_MONTGOMERY:
        length = ecdh.lengths(key)[0]
        public, rest = wrapped[:length], wrapped[length:]
    else:
        try:
            tag, public, rest = der.first(wrapped)
        except ValueError:
            raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, "cut off") from None
        if tag != der.OCTET_STRING:
            raise CryptokiError(CKR_WRAPPED_KEY_INVALID, "no point in front of the key")
    if not rest:
        raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, "nothing behind the temporary key")
    return public, rest


def _bad(why: str) -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, why)


MECHANISMS = tuple(
    Mechanism(
        type=mechanism,
        key_types=key_types,
        sizes=ec_keys.SIZES,
        parameter=EcdhAesWrap,
        extra_flags=curves.FLAGS,
        wrap=wrap,
        unwrap=unwrap,
        payload=Payload(classes=ALL_KEYS, authentic=True),
    )
    for mechanism, key_types in (
        (CKM_ECDH_AES_KEY_WRAP, (CKK_EC, CKK_EC_MONTGOMERY)),
        (CKM_ECDH_COF_AES_KEY_WRAP, (CKK_EC,)),
        (CKM_ECDH_X_AES_KEY_WRAP, (CKK_EC_MONTGOMERY,)),
    )
)
