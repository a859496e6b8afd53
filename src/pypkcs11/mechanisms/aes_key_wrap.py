"""AES key wrap (PKCS #11 v3.2, section 6.16; NIST SP 800-38F; RFC 3394 and RFC 5649).

Other initial values than the defaults would need a key wrap of our own: the library beneath has
none.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)

from pypkcs11.mechanisms.key_wrap import filled
from pypkcs11.mechanisms.parameters import Octets
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import (
    CKR_KEY_SIZE_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError

#: Octets of a semiblock, of which all lengths are multiples.
SEMIBLOCK = 8

#: The initial values of RFC 3394, section 2.2.3, and of RFC 5649, section 3.
_INITIAL = bytes.fromhex("a6a6a6a6a6a6a6a6")
_INITIAL_PADDED = bytes.fromhex("a65959a6")


def wrap(key: Key, parameter: Octets | None, octets: bytes) -> bytes:
    """CKM_AES_KEY_WRAP: the key is filled up to whole semiblocks with zeros.

    :raises CryptokiError: CKR_KEY_SIZE_RANGE for a key of 8 octets and less: there is no key wrap
        of one semiblock.
    """
    _check(parameter, _INITIAL)
    return _wrap(key, filled(octets, SEMIBLOCK))


def unwrap(key: Key, parameter: Octets | None, wrapped: bytes) -> bytes:
    """The way back; what was filled up is still there.

    :raises CryptokiError: CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPED_KEY_INVALID.
    """
    _check(parameter, _INITIAL)
    return _unwrap(key, wrapped)


def wrap_pkcs7(key: Key, parameter: Octets | None, octets: bytes) -> bytes:
    """CKM_AES_KEY_WRAP_PKCS7: the key is padded as PKCS #7 does, to whole semiblocks."""
    _check(parameter, _INITIAL)
    count = SEMIBLOCK - len(octets) % SEMIBLOCK
    return _wrap(key, octets + bytes([count]) * count)


def unwrap_pkcs7(key: Key, parameter: Octets | None, wrapped: bytes) -> bytes:
    """The way back.

    That the padding is wrong tells nobody anything: what has been unwrapped is authentic.
    """
    _check(parameter, _INITIAL)
    padded = _unwrap(key, wrapped)
    count = padded[-1]
    if not 0 < count <= SEMIBLOCK or padded[-count:] != bytes([count]) * count:
        raise _invalid()
    return padded[:-count]


def wrap_padded(key: Key, parameter: Octets | None, octets: bytes) -> bytes:
    """CKM_AES_KEY_WRAP_KWP: a key of any length."""
    _check(parameter, _INITIAL_PADDED)
    return aes_key_wrap_with_padding(key.value, octets)


def unwrap_padded(key: Key, parameter: Octets | None, wrapped: bytes) -> bytes:
    """The way back."""
    _check(parameter, _INITIAL_PADDED)
    _check_length(wrapped, 2 * SEMIBLOCK)
    try:
        return aes_key_unwrap_with_padding(key.value, wrapped)
    except InvalidUnwrap:
        raise _invalid() from None


def _wrap(key: Key, octets: bytes) -> bytes:
    if len(octets) < 2 * SEMIBLOCK:
        raise CryptokiError(CKR_KEY_SIZE_RANGE, f"a key of at most {SEMIBLOCK} octets")
    return aes_key_wrap(key.value, octets)


def _unwrap(key: Key, wrapped: bytes) -> bytes:
    _check_length(wrapped, 3 * SEMIBLOCK)
    try:
        return aes_key_unwrap(key.value, wrapped)
    except InvalidUnwrap:
        raise _invalid() from None


def _check_length(wrapped: bytes, least: int) -> None:
    if len(wrapped) < least or len(wrapped) % SEMIBLOCK:
        raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, f"a wrapped key of {len(wrapped)} octets")


def _check(parameter: Octets | None, initial: bytes) -> None:
    if parameter is not None and parameter.value != initial:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "an initial value that is not the default")


def _invalid() -> CryptokiError:
    return CryptokiError(CKR_WRAPPED_KEY_INVALID, "wrapped with another key, or not at all")
