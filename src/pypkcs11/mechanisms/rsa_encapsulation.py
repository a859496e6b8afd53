"""Encapsulation with RSA (PKCS #11 v3.2, sections 6.1.6 and 6.1.8): a new secret, encrypted."""

from __future__ import annotations

import os
from typing import Any

from pypkcs11.mechanisms.key_wrap import MakeCipher, unwrap_by, wrap_by
from pypkcs11.mechanisms.registry import Encapsulation, Key
from pypkcs11.standard.constants import CKR_TEMPLATE_INCOMPLETE, CKR_WRAPPED_KEY_LEN_RANGE
from pypkcs11.standard.errors import CryptokiError


def encapsulate_by(encrypt: MakeCipher, key: Key, parameter: Any) -> Encapsulation:
    """A random secret of the length that the new key is to have.

    The :class:`Encapsulation` raises CKR_TEMPLATE_INCOMPLETE without that length, and
    CKR_KEY_SIZE_RANGE for one that the modulus has no room for.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """

    def run(length: int | None) -> tuple[bytes, bytes]:
        if length is None:
            raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how long the key shall be")
        secret = os.urandom(length)
        return secret, wrap_by(encrypt, key, parameter, secret)

    return Encapsulation(encrypt(key, parameter).output_length(0), run)


def decapsulate_by(
    decrypt: MakeCipher, key: Key, parameter: Any, ciphertext: bytes, length: int | None
) -> bytes:
    """The way back, which is unwrapping.

    :raises CryptokiError: CKR_WRAPPED_KEY_LEN_RANGE, for a secret of another length, too,
        CKR_WRAPPED_KEY_INVALID, and CKR_MECHANISM_PARAM_INVALID.
    """
    secret = unwrap_by(decrypt, key, parameter, ciphertext)
    if length not in (None, len(secret)):
        raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, f"{len(secret)} octets decapsulated")
    return secret
