"""Simple key derivation (PKCS #11 v3.2, sections 6.42 and 6.43), from secret keys of any type."""

from __future__ import annotations

from pypkcs11.mechanisms import aes, chacha20, des, generic, old_ciphers, poly1305
from pypkcs11.mechanisms.parameters import (
    FirstBit,
    KeyHandle,
    StringData,
)
from pypkcs11.mechanisms.registry import BYTES, Derived, Key, Mechanism
from pypkcs11.standard.constants import (
    CKM_CONCATENATE_BASE_AND_DATA,
    CKM_CONCATENATE_BASE_AND_KEY,
    CKM_CONCATENATE_DATA_AND_BASE,
    CKM_EXTRACT_KEY_FROM_KEY,
    CKM_XOR_BASE_AND_DATA,
    CKR_KEY_SIZE_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
)
from pypkcs11.standard.errors import CryptokiError

_KEYS = tuple(
    key_type.type
    for family in (aes, des, chacha20, poly1305, generic, old_ciphers)
    for key_type in family.KEY_TYPES
)


def leading(octets: bytes, length: int | None) -> bytes:
    """The first ``length`` octets, or all of them.

    :raises CryptokiError: CKR_KEY_SIZE_RANGE if there are fewer.
    """
    if length is None:
        return octets
    if length > len(octets):
        raise too_long(length, len(octets))
    return octets[:length]


def too_long(length: int, most: int) -> CryptokiError:
    """:return: the exception for a key of more octets than can be derived."""
    return CryptokiError(CKR_KEY_SIZE_RANGE, f"{length} octets asked for, {most} there")


def base_and_key(key: Key, parameter: KeyHandle, length: int | None, second: Key | None) -> bytes:
    """The base key and another key behind it."""
    assert second is not None
    return leading(key.value + second.value, length)


def base_and_data(key: Key, parameter: StringData, length: int | None, second: Key | None) -> bytes:
    """The base key and data behind it."""
    return leading(key.value + parameter.data, length)


def data_and_base(key: Key, parameter: StringData, length: int | None, second: Key | None) -> bytes:
    """Data and the base key behind it."""
    return leading(parameter.data + key.value, length)


def xor(key: Key, parameter: StringData, length: int | None, second: Key | None) -> bytes:
    """The base key XOR data, as long as the shorter of them."""
    octets = bytes(a ^ b for a, b in zip(key.value, parameter.data, strict=False))
    if not octets:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "no data")
    return leading(octets, length)


def extract(key: Key, parameter: FirstBit, length: int | None, second: Key | None) -> bytes:
    """A run of the base key's bits, which goes on with its first behind its last.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a bit that the base key does not have,
        CKR_TEMPLATE_INCOMPLETE without a length, CKR_KEY_SIZE_RANGE for more than the base key's.
    """
    bits, shift = key.bits, parameter.bit
    if shift >= bits:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"a key of {bits} bits")
    if length is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how long the key shall be")
    number = int.from_bytes(key.value, "big")
    turned = (number << shift | number >> (bits - shift)) & ((1 << bits) - 1)
    return leading(turned.to_bytes(bits // 8, "big"), length)


_TRANSPARENT = Derived(transparent=True)


def _second_key(parameter: KeyHandle) -> int:
    return parameter.handle


MECHANISMS = (
    *(
        Mechanism(
            type=mechanism,
            key_types=_KEYS,
            sizes=(1, generic.LONGEST),
            unit=BYTES,
            parameter=parameter,
            derive=derive,
            derived=derived,
        )
        for mechanism, parameter, derive, derived in (
            (
                CKM_CONCATENATE_BASE_AND_KEY,
                KeyHandle,
                base_and_key,
                Derived(transparent=True, second_key=_second_key),
            ),
            (CKM_CONCATENATE_BASE_AND_DATA, StringData, base_and_data, _TRANSPARENT),
            (CKM_CONCATENATE_DATA_AND_BASE, StringData, data_and_base, _TRANSPARENT),
            (CKM_XOR_BASE_AND_DATA, StringData, xor, _TRANSPARENT),
            (CKM_EXTRACT_KEY_FROM_KEY, FirstBit, extract, _TRANSPARENT),
        )
    ),
)
