"""What an object proves of itself as it is created, and what follows from it, by class and type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeAlias

from pypkcs11.core.certificates import complete_certificate
from pypkcs11.core.templates import kind_of
from pypkcs11.mechanisms.table import complete_key, key_types
from pypkcs11.standard.constants import (
    CKC_WTLS,
    CKC_X_509,
    CKC_X_509_ATTR_CERT,
    CKO_CERTIFICATE,
    CKO_DATA,
    CKO_TRUST,
    CKR_ATTRIBUTE_VALUE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Value

Completer: TypeAlias = Callable[[Attributes], dict[int, Value]]


def _nothing(attributes: Attributes) -> dict[int, Value]:
    return {}


@cache
def _completers() -> Mapping[tuple[int, int | None], Completer]:
    """By class and subtype (None for classes that have none). What is not here cannot be created:
    one-time password keys, for example, until there are mechanisms that use them.
    """
    return {
        (CKO_DATA, None): _nothing,
        (CKO_TRUST, None): _nothing,
        (CKO_CERTIFICATE, CKC_X_509): complete_certificate,
        (CKO_CERTIFICATE, CKC_X_509_ATTR_CERT): complete_certificate,
        (CKO_CERTIFICATE, CKC_WTLS): complete_certificate,
        **{
            (object_class, key_type.type): complete_key
            for key_type in key_types().values()
            for object_class in key_type.complete
        },
    }


def complete(attributes: Attributes) -> dict[int, Value]:
    """Prove what a new object can prove of itself, and return what follows from it.

    :param attributes: those of the template, defaults filled in.
    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for a class or type of which there are no
        objects here, and what the object's own kind raises.
    """
    completer = _completers().get(kind_of(attributes))
    if completer is None:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "no objects of this class or type")
    return completer(attributes)


def creatable() -> frozenset[tuple[int, int | None]]:
    """The classes and subtypes of which applications can create objects."""
    return frozenset(_completers())
