"""CKM_RSA_AES_KEY_WRAP (PKCS #11 v3.2, section 6.1.20): a key of any length under an RSA key."""

from __future__ import annotations

import os

from pypkcs11.mechanisms import aes_key_wrap
from pypkcs11.mechanisms import rsa_schemes as schemes
from pypkcs11.mechanisms.key_wrap import unwrap_by
from pypkcs11.mechanisms.parameters import RsaAesWrap
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import (
    CKK_AES,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError

_SIZES = (128, 192, 256)


def wrap(key: Key, parameter: RsaAesWrap, octets: bytes) -> bytes:
    """A temporary AES key under OAEP, and behind it the key under the temporary one.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    bits = _bits(parameter)
    value = os.urandom(bits // 8)
    encrypted = schemes.oaep_encrypt(key, parameter.oaep).run(value)
    return encrypted + aes_key_wrap.wrap_padded(Key(CKK_AES, bits, value), None, octets)


def unwrap(key: Key, parameter: RsaAesWrap, wrapped: bytes) -> bytes:
    """The way back.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID, CKR_WRAPPED_KEY_LEN_RANGE,
        CKR_WRAPPED_KEY_INVALID.
    """
    bits = _bits(parameter)
    middle = (key.bits + 7) // 8
    if len(wrapped) <= middle:
        raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, "nothing behind the temporary key")
    value = unwrap_by(schemes.oaep_decrypt, key, parameter.oaep, wrapped[:middle])
    if len(value) * 8 != bits:
        raise CryptokiError(CKR_WRAPPED_KEY_INVALID, "the temporary key has another size")
    return aes_key_wrap.unwrap_padded(Key(CKK_AES, bits, value), None, wrapped[middle:])


def _bits(parameter: RsaAesWrap) -> int:
    if parameter.aes_bits not in _SIZES:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"an AES key of {parameter.aes_bits} bits")
    return parameter.aes_bits
