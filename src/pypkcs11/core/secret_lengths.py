"""How long a secret shall be: what its template, its key type and its mechanism say of it."""

from __future__ import annotations

from typing import Final

from pypkcs11.core.attributes import rules
from pypkcs11.core.templates import kind_of
from pypkcs11.mechanisms.table import key_type_of
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_VALUE_LEN,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template

#: The longest key or data that is derived, in octets.
LONGEST: Final = 65536


def secret_length(
    kind: Attributes, template: Template, implied: int | None = None
) -> tuple[int | None, Template]:
    """Octets of a secret to be, and its template without a CKA_VALUE_LEN that it does not have.

    Keys of one length only have no such attribute, nor have data objects; in a template it is
    understood all the same.

    :param kind: the class and, of a key, its type.
    :param implied: what the mechanism says, if it does.
    :return: a length of None where the mechanism may give as much as it has.
    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for a length that no such key has, or a key
        type that there is not, CKR_TEMPLATE_INCOMPLETE where a key type has several and nothing
        says which, CKR_TEMPLATE_INCONSISTENT for another than the mechanism's.
    """
    length = dict(template).get(CKA_VALUE_LEN)
    secret_key = kind[CKA_CLASS] == CKO_SECRET_KEY
    lengths = key_type_of(kind).lengths if secret_key else frozenset()
    if not secret_key or CKA_VALUE_LEN not in rules(*kind_of(kind)):
        template = [item for item in template if item[0] != CKA_VALUE_LEN]
    if implied is not None:
        if length not in (None, implied):
            raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "CKA_VALUE_LEN is another")
        length = implied
    if length is None:
        if len(lengths) > 1:
            raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "CKA_VALUE_LEN is missing")
        return next(iter(lengths), None), template
    return check_length(length, lengths), template


def check_length(length: object, lengths: frozenset[int]) -> int:
    """A CKA_VALUE_LEN that a template asks for.

    :param lengths: that the key type has; none for any.
    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for one that no such key has.
    """
    if not isinstance(length, int) or not 0 < length <= LONGEST:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_VALUE_LEN")
    if lengths and length not in lengths:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"no key of the type has {length} octets")
    return length
