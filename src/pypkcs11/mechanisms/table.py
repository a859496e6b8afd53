"""Every mechanism and every key type there is, in one list, and the way to a key.

A new family is one more name in the list. The families, and what of the library beneath they need,
take as long to import as all the rest: it is done when a mechanism or a key is first asked for, so
that programs which only look at slots and tokens do not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from pypkcs11.mechanisms.registry import Computed, Key, KeyType, Mechanism
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_KEY_TYPE,
    CKA_VALUE,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_KEY_NOT_WRAPPABLE,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: The modules that have ``MECHANISMS``, ``KEY_TYPES`` or both, in the order in which
#: C_GetMechanismList gives the mechanisms.
FAMILIES = (
    "rsa",
    "dsa",
    "dh",
    "ec",
    "edwards",
    "montgomery",
    "ecdh",
    "ecdh_key_wrap",
    "ml_dsa",
    "hash_ml_dsa",
    "ml_kem",
    "aes",
    "aes_xts",
    "des",
    "chacha20",
    "poly1305",
    "generic",
    "digests",
    "macs",
    "derivation",
    "hkdf",
    "sp800_108",
    "pbkdf2",
    "pkcs12",
    "tls",
    "old_ciphers",
    # These take keys of the types that other families have: see families.py.
    "hash_derivation",
    "public_keys",
)


@cache
def _families() -> tuple[ModuleType, ...]:
    return tuple(import_module(f"pypkcs11.mechanisms.{family}") for family in FAMILIES)


@cache
def mechanisms() -> dict[int, Mechanism]:
    """The rows of all mechanisms by CKM_."""
    from pypkcs11.mechanisms.message_signatures import with_messages

    return {row.type: with_messages(row) for family in _families() for row in family.MECHANISMS}


@cache
def key_types() -> dict[int, KeyType]:
    """The rows of all key types by CKK_."""
    return {row.type: row for family in _families() for row in getattr(family, "KEY_TYPES", ())}


R = TypeVar("R")


def load_key(attributes: Attributes) -> Key:
    """The key of an object's attributes, which :func:`complete_key` has seen before."""
    return _of_class(_key_type(attributes).load, attributes)(attributes)


def complete_key(attributes: Attributes) -> Computed:
    """What follows from a key's attributes as it enters the token, or replaces them.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for a key type that there is not,
        CKR_TEMPLATE_INCONSISTENT for one that objects of the class do not have, and what the key
        type's own function raises.
    """
    return _of_class(_key_type(attributes).complete, attributes)(attributes)


def shaped(attributes: Attributes, derived: Computed) -> Computed:
    """What was derived for a key, with a value that is one of its type (the parity of DES)."""
    key_type = key_types().get(attributes.get(CKA_KEY_TYPE))  # type: ignore[arg-type]
    value = derived.get(CKA_VALUE)
    if key_type is None or key_type.shape is None or not isinstance(value, bytes):
        return derived
    return {**derived, CKA_VALUE: key_type.shape(value)}


def export_key(attributes: Attributes) -> bytes:
    """A key's octets as they are wrapped.

    :raises CryptokiError: CKR_KEY_NOT_WRAPPABLE for a key of a type or class that has none.
    """
    key_type = key_types().get(attributes.get(CKA_KEY_TYPE))  # type: ignore[arg-type]
    export = key_type.export.get(attributes[CKA_CLASS]) if key_type is not None else None  # type: ignore[arg-type]
    if export is None:
        raise CryptokiError(CKR_KEY_NOT_WRAPPABLE, "keys of this type cannot be wrapped")
    return export(attributes)


def key_type_of(attributes: Attributes) -> KeyType:
    """The row of an object's key type.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for a key type that there is not.
    """
    return _key_type(attributes)


def _key_type(attributes: Attributes) -> KeyType:
    key_type = attributes.get(CKA_KEY_TYPE)
    found = key_types().get(key_type) if isinstance(key_type, int) else None
    if found is None:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the key type is not supported")
    return found


def _of_class(
    functions: dict[int, Callable[[Attributes], R]], attributes: Attributes
) -> Callable[[Attributes], R]:
    object_class = attributes.get(CKA_CLASS)
    function = functions.get(object_class) if isinstance(object_class, int) else None
    if function is None:
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "no key of this type has this class")
    return function
