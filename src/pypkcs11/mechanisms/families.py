"""What keys the families know, for mechanisms that take any.

No module that has key types may import this one.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pypkcs11.mechanisms.registry import KeyType
from pypkcs11.mechanisms.table import FAMILIES


@cache
def known_key_types() -> tuple[KeyType, ...]:
    """The rows of all key types."""
    return tuple(
        row
        for family in FAMILIES
        if family not in _WITHOUT_KEY_TYPES
        for row in getattr(import_module(f"pypkcs11.mechanisms.{family}"), "KEY_TYPES", ())
    )


def key_types_of(object_class: int) -> tuple[int, ...]:
    """The CKK_ that keys of a class can have."""
    return tuple(row.type for row in known_key_types() if object_class in row.load)


#: The families that ask.
_WITHOUT_KEY_TYPES = frozenset({"hash_derivation", "public_keys"})
