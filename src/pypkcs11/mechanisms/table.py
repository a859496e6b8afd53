"""Every mechanism and every key type there is, in one list each, and the way to a key.

A new family is one more name in the two lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pypkcs11.mechanisms import (
    aes,
    derivation,
    digests,
    ec,
    ecdh,
    edwards,
    generic,
    hkdf,
    macs,
    montgomery,
    rsa,
)
from pypkcs11.mechanisms.registry import Computed, Key, KeyType, Mechanism
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_KEY_TYPE,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_KEY_NOT_WRAPPABLE,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: By CKM_, in the order in which C_GetMechanismList gives them.
MECHANISMS: dict[int, Mechanism] = {
    mechanism.type: mechanism
    for mechanism in (
        *rsa.MECHANISMS,
        *ec.MECHANISMS,
        *edwards.MECHANISMS,
        *montgomery.MECHANISMS,
        *ecdh.MECHANISMS,
        *aes.MECHANISMS,
        *generic.MECHANISMS,
        *digests.MECHANISMS,
        *macs.MECHANISMS,
        *derivation.MECHANISMS,
        *hkdf.MECHANISMS,
    )
}

#: By CKK_.
KEY_TYPES: dict[int, KeyType] = {
    key_type.type: key_type
    for key_type in (
        *rsa.KEY_TYPES,
        *ec.KEY_TYPES,
        *edwards.KEY_TYPES,
        *montgomery.KEY_TYPES,
        *aes.KEY_TYPES,
        *generic.KEY_TYPES,
    )
}

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


def export_key(attributes: Attributes) -> bytes:
    """A key's octets as they are wrapped.

    :raises CryptokiError: CKR_KEY_NOT_WRAPPABLE for a key of a type or class that has none.
    """
    key_type = KEY_TYPES.get(attributes.get(CKA_KEY_TYPE))  # type: ignore[arg-type]
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
    found = KEY_TYPES.get(key_type) if isinstance(key_type, int) else None
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
