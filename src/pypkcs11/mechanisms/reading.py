"""Reading typed values out of attributes, with the return code that a wrong one earns."""

from __future__ import annotations

from pypkcs11.standard.constants import (
    CKA_PUBLIC_KEY_INFO,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes


def octets(attributes: Attributes, attribute: int) -> bytes:
    """The byte array ``attribute``, which must be there and not be empty.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without it, CKR_ATTRIBUTE_VALUE_INVALID if it
        is empty or of another type.
    """
    value = attributes.get(attribute)
    if value is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, f"attribute {attribute:#x} is missing")
    if not isinstance(value, bytes) or not value:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"attribute {attribute:#x} is empty")
    return value


def number(attributes: Attributes, attribute: int) -> int:
    """The CK_ULONG ``attribute``, which must be there.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without it, CKR_ATTRIBUTE_VALUE_INVALID if it
        is of another type.
    """
    value = attributes.get(attribute)
    if value is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, f"attribute {attribute:#x} is missing")
    if not isinstance(value, int):
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"attribute {attribute:#x} is no number")
    return value


def big_integer(attributes: Attributes, attribute: int) -> int:
    """The big integer ``attribute``, which must be there; leading zero octets are no matter."""
    return int.from_bytes(octets(attributes, attribute), "big")


def optional_big_integer(attributes: Attributes, attribute: int) -> int | None:
    """The big integer ``attribute``, or None if it is missing or empty."""
    value = attributes.get(attribute)
    return int.from_bytes(value, "big") if isinstance(value, bytes) and value else None


def big_endian(value: int) -> bytes:
    """A big integer in its shortest form, as attributes hold it (PKCS #11 v3.2, table 1)."""
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")


def check_public_key_info(attributes: Attributes, expected: bytes) -> None:
    """Hold a given CKA_PUBLIC_KEY_INFO against the key's own (PKCS #11 v3.2, section 4.9).

    :raises CryptokiError: CKR_TEMPLATE_INCONSISTENT if it speaks of another key.
    """
    given = attributes.get(CKA_PUBLIC_KEY_INFO)
    if given and given != expected:
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "CKA_PUBLIC_KEY_INFO is of another key")
