"""Wrapping by encryption: what the mechanism's cipher does, with the return codes of wrapping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import (
    CKR_AEAD_DECRYPT_FAILED,
    CKR_DATA_INVALID,
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_KEY_NOT_WRAPPABLE,
    CKR_KEY_SIZE_RANGE,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError

#: What a cipher makes of a key and a parameter.
MakeCipher = Callable[[Key, Any], Cipher]

#: What a cipher raises, and what it means of a key (PKCS #11 v3.2, sections 5.18.3 and 5.18.4).
_MEANING = {
    CKR_DATA_LEN_RANGE: CKR_KEY_SIZE_RANGE,
    CKR_DATA_INVALID: CKR_KEY_NOT_WRAPPABLE,
    CKR_ENCRYPTED_DATA_LEN_RANGE: CKR_WRAPPED_KEY_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID: CKR_WRAPPED_KEY_INVALID,
    CKR_AEAD_DECRYPT_FAILED: CKR_WRAPPED_KEY_INVALID,
}


def wrap_by(encrypt: MakeCipher, key: Key, parameter: Any, octets: bytes) -> bytes:
    """Encrypt a key's octets.

    :raises CryptokiError: CKR_KEY_SIZE_RANGE for octets of a length that cannot be encrypted,
        CKR_KEY_NOT_WRAPPABLE for others that cannot, and CKR_MECHANISM_PARAM_INVALID.
    """
    return _run(encrypt, key, parameter, octets)


def unwrap_by(decrypt: MakeCipher, key: Key, parameter: Any, wrapped: bytes) -> bytes:
    """Decrypt a wrapped key.

    :raises CryptokiError: CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPED_KEY_INVALID, and
        CKR_MECHANISM_PARAM_INVALID.
    """
    return _run(decrypt, key, parameter, wrapped)


def wrap_filled_by(
    unit: int, encrypt: MakeCipher, key: Key, parameter: Any, octets: bytes
) -> bytes:
    """As :func:`wrap_by`, after filling up to a multiple of ``unit`` octets with zeros."""
    return _run(encrypt, key, parameter, filled(octets, unit))


def filled(octets: bytes, unit: int) -> bytes:
    """Octets with as many zeros behind them as it takes to a multiple of ``unit``."""
    return octets + bytes(-len(octets) % unit)


def _run(make: MakeCipher, key: Key, parameter: Any, octets: bytes) -> bytes:
    try:
        return make(key, parameter).run(octets)
    except CryptokiError as error:
        raise CryptokiError(_MEANING.get(error.rv, error.rv), error.reason) from None
