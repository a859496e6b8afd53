"""C_DeriveKey (PKCS #11 v3.2, section 5.18.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pypkcs11.core.management import check_access, enter, new_attributes
from pypkcs11.core.objects import Object
from pypkcs11.core.operations import DERIVE
from pypkcs11.core.policy import policy_of
from pypkcs11.core.sessions import Session
from pypkcs11.core.templates import Origin, finish
from pypkcs11.core.wrapping import acting_key, embedded
from pypkcs11.mechanisms.registry import Mechanism
from pypkcs11.mechanisms.table import complete_key, key_type_of
from pypkcs11.standard.constants import (
    CKA_ALWAYS_SENSITIVE,
    CKA_CLASS,
    CKA_DERIVE_TEMPLATE,
    CKA_EXTRACTABLE,
    CKA_KEY_TYPE,
    CKA_NEVER_EXTRACTABLE,
    CKA_SENSITIVE,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKK_GENERIC_SECRET,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template, Value

#: The longest key or data that is derived, in octets.
LONGEST: Final = 65536


def derive_key(
    session: Session, row: Mechanism, parameter: Any, handle: int, template: Template
) -> Object:
    """C_DeriveKey: a new object, or nothing. Without a CKA_KEY_TYPE it is a generic secret.

    :raises CryptokiError: what :func:`~pypkcs11.core.wrapping.acting_key` raises for the base key
        or a second one, what the template deserves (CKR_TEMPLATE_INCONSISTENT, too, if it
        contradicts CKA_DERIVE_TEMPLATE, or reveals what comes of a sensitive key),
        CKR_TEMPLATE_INCOMPLETE without a CKA_VALUE_LEN that nothing else says, what the mechanism
        raises, CKR_SESSION_READ_ONLY, and CKR_USER_NOT_LOGGED_IN.
    """
    token = session.token
    base, key = acting_key(session, DERIVE, row, handle)
    bases, second = [base.attributes], None
    other = row.derived.second_key(parameter) if row.derived.second_key is not None else None
    if other is not None:
        obj, second = acting_key(session, DERIVE, row, other)
        bases.append(obj.attributes)
    inherits = policy_of(token.config).derive(row, bases)

    template = [item for each in bases for item in embedded(each, CKA_DERIVE_TEMPLATE)] + [
        *template
    ]
    attributes, length = _prepare(session, row, template)
    if inherits:
        _inherit(attributes, bases, dict(template))
    check_access(session, attributes)
    attributes[CKA_VALUE] = token.operation(DERIVE, row, parameter, key, length, second)
    if row.derived.object_class == CKO_SECRET_KEY:
        attributes.update(complete_key(attributes))
    finish(attributes, Origin.DERIVE, None, base=_together(bases))
    return enter(session, [attributes])[0]


def _prepare(
    session: Session, row: Mechanism, template: Template
) -> tuple[dict[int, Value], int | None]:
    """The attributes of the new object but for its value, and how long that shall be.

    Data objects have no CKA_VALUE_LEN; in the template it says how much data is wanted.
    """
    object_class = row.derived.object_class
    given: dict[int, Value] = {CKA_CLASS: object_class}
    asked = dict(template)
    length = asked.get(CKA_VALUE_LEN)
    if object_class == CKO_SECRET_KEY:
        given[CKA_KEY_TYPE] = asked.get(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
    else:
        template = [item for item in template if item[0] != CKA_VALUE_LEN]
    attributes = new_attributes(session, template, Origin.DERIVE, given)
    lengths = key_type_of(attributes).lengths if object_class == CKO_SECRET_KEY else frozenset()
    if length is None:
        if len(lengths) > 1:
            raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "CKA_VALUE_LEN is missing")
        return attributes, next(iter(lengths), None)
    if not isinstance(length, int) or not 0 < length <= LONGEST:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_VALUE_LEN")
    if lengths and length not in lengths:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"no key of the type has {length} octets")
    return attributes, length


#: Attributes that a derived key has if one of its base keys has them with this value.
_INHERITED: Final = ((CKA_SENSITIVE, True), (CKA_EXTRACTABLE, False))


def _inherit(attributes: dict[int, Value], bases: Sequence[Attributes], asked: Attributes) -> None:
    for type, value in _INHERITED:
        if any(base.get(type) is value for base in bases):
            if asked.get(type, value) is not value:
                raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "the base key is more secret")
            attributes[type] = value


def _together(bases: Sequence[Attributes]) -> Attributes:
    """What is true of all base keys, as of one."""
    return {
        type: all(base.get(type) is True for base in bases)
        for type in (CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE)
    }
