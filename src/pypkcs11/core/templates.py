"""What templates do: the rules by which objects come to be, are copied and are changed.

All rules are read off the attribute table; see PKCS #11 v3.2, section 4.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set
from functools import cache
from types import MappingProxyType
from typing import Final

from pypkcs11.core.attributes import BUILT_IN, HIDDEN_TYPES, SUBTYPE
from pypkcs11.core.template_rules import (
    NO_TYPES,
    TRUST_TYPES,
    Origin,
    Plan,
    check_values,
    plan_for,
    values_of,
)
from pypkcs11.standard.constants import (
    CKA_ALWAYS_AUTHENTICATE,
    CKA_ALWAYS_SENSITIVE,
    CKA_CLASS,
    CKA_COPYABLE,
    CKA_EXTRACTABLE,
    CKA_HASH_OF_CERTIFICATE,
    CKA_KEY_GEN_MECHANISM,
    CKA_MODIFIABLE,
    CKA_NEVER_EXTRACTABLE,
    CKA_PRIVATE,
    CKA_SENSITIVE,
    CKA_TRUSTED,
    CKA_UNIQUE_ID,
    CKO_CERTIFICATE,
    CKO_PRIVATE_KEY,
    CKO_TRUST,
    CKR_ACTION_PROHIBITED,
    CKR_ATTRIBUTE_READ_ONLY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
    CKT_NOT_TRUSTED,
    CKT_TRUST_UNKNOWN,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template, Value

__all__ = [
    "Origin",
    "build",
    "copied",
    "finish",
    "is_hidden",
    "kind_of",
    "modified",
    "secret_types",
    "split",
]

_NOTHING: Final[Attributes] = MappingProxyType({})
#: By a name of its own, because reading an enumeration's costs as much as a call.
_GENERATE: Final = Origin.GENERATE


def build(
    template: Template,
    origin: Origin,
    *,
    given: Attributes = _NOTHING,
    private: bool,
    so: bool,
) -> dict[int, Value]:
    """Return the attributes of a new object: the template's, those given and the defaults.

    What the key itself contributes and what :func:`finish` sets is yet to come.

    :param template: as the caller wrote it. An attribute may stand there twice with one value.
    :param given: what the call itself determines, such as the class and key type of a mechanism.
    :param private: CKA_PRIVATE of a private or secret key or data object that does not say.
    :param so: whether the SO is logged in.
    :raises CryptokiError: CKR_ATTRIBUTE_TYPE_INVALID for an attribute that the standard does not
        have, CKR_TEMPLATE_INCONSISTENT for one that this kind of object does not have, for one
        with two values, for one that contradicts ``given`` and for attributes that do not go
        together, CKR_ATTRIBUTE_VALUE_INVALID, CKR_ATTRIBUTE_READ_ONLY for what the token
        determines, CKR_TEMPLATE_INCOMPLETE (section 4.1.1, in its order).
    """
    values = values_of(template)
    wanted = {**values, **given}
    plan = _plan_of_new(*kind_of(wanted))
    check_values(plan, values)
    if not plan.forbidden[origin].isdisjoint(values):
        raise CryptokiError(CKR_ATTRIBUTE_READ_ONLY, "an attribute that the token determines")
    if not plan.must[origin] <= wanted.keys() or (
        plan.one_of and origin is Origin.CREATE and plan.one_of.isdisjoint(values)
    ):
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "a required attribute is missing")
    if not (given.keys() <= plan.rules.keys() and values.items() <= wanted.items()):
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "what the call itself determines")

    attributes = plan.defaults[origin].copy()
    attributes.update(wanted)
    if plan.private_by_default and CKA_PRIVATE not in wanted:
        attributes[CKA_PRIVATE] = private
    if not so:
        for type in plan.only_so:
            if attributes.get(type):
                raise CryptokiError(CKR_ATTRIBUTE_READ_ONLY, "only the SO trusts")
    consistent = _CONSISTENT.get(wanted[CKA_CLASS])  # type: ignore[arg-type]
    if consistent is not None:
        consistent(attributes)
    return attributes


def finish(
    attributes: dict[int, Value],
    origin: Origin,
    mechanism: int | None,
    *,
    base: Attributes | None = None,
) -> None:
    """Set, in place, what the token says of a new object.

    :param mechanism: the CKM_ that generated it; not looked at for other origins.
    :param base: for a derived key, the key it was derived from: what was always sensitive or
        never extractable stays so (section 5.18.5); without it, it is not known to be so.
    """
    plan = plan_for(*kind_of(attributes))
    attributes[CKA_UNIQUE_ID] = _new_unique_id()
    attributes.update(plan.history[origin])
    generated = origin is _GENERATE
    if generated and mechanism is not None and CKA_KEY_GEN_MECHANISM in plan.rules:
        attributes[CKA_KEY_GEN_MECHANISM] = mechanism
    if CKA_ALWAYS_SENSITIVE in plan.rules:
        before = base if base is not None and origin is Origin.DERIVE else _NOTHING
        attributes[CKA_ALWAYS_SENSITIVE] = attributes[CKA_SENSITIVE] is True and (
            generated or before.get(CKA_ALWAYS_SENSITIVE) is True
        )
        attributes[CKA_NEVER_EXTRACTABLE] = attributes[CKA_EXTRACTABLE] is False and (
            generated or before.get(CKA_NEVER_EXTRACTABLE) is True
        )


def copied(attributes: Attributes, template: Template, *, so: bool) -> dict[int, Value]:
    """Return the attributes of a copy (C_CopyObject, section 4.1.3).

    May change what C_SetAttributeValue may change, and CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE and
    CKA_DESTROYABLE. A private object has no public copy. Trust, which the SO alone places in an
    object, does not pass on to a copy that another makes.

    :raises CryptokiError: CKR_ACTION_PROHIBITED for an object that is not CKA_COPYABLE; otherwise
        as :func:`modified`.
    """
    if attributes.get(CKA_COPYABLE) is False:
        raise CryptokiError(CKR_ACTION_PROHIBITED, "the object is not copyable")
    plan = plan_for(*kind_of(attributes))
    changes = _changes(plan, attributes, template, plan.changeable, so)
    if changes.get(CKA_PRIVATE) is False and attributes.get(CKA_PRIVATE) is True:
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "a private object has no public copy")
    copy = {**attributes, **changes}
    if not so:
        copy.update((type, False) for type in plan.only_so)
    copy[CKA_UNIQUE_ID] = _new_unique_id()
    return copy


def modified(attributes: Attributes, template: Template, *, so: bool) -> dict[int, Value]:
    """Return the attributes that C_SetAttributeValue changes, with their new values.

    An attribute that can no longer change may be set to the value it has.

    :raises CryptokiError: CKR_ACTION_PROHIBITED for an object that is not CKA_MODIFIABLE, or a
        certificate that the SO trusts; CKR_ATTRIBUTE_READ_ONLY for an attribute that cannot
        change, or can no longer; otherwise as :func:`build`, but no template is incomplete.
    """
    if attributes.get(CKA_MODIFIABLE) is False:
        raise CryptokiError(CKR_ACTION_PROHIBITED, "the object is not modifiable")
    object_class, subtype = kind_of(attributes)
    if not so and object_class == CKO_CERTIFICATE and attributes.get(CKA_TRUSTED) is True:
        raise CryptokiError(CKR_ACTION_PROHIBITED, "a trusted certificate is not modifiable")
    plan = plan_for(object_class, subtype)
    changes = _changes(plan, attributes, template, plan.modifiable, so)
    return {type: new for type, new in changes.items() if attributes.get(type) != new}


def is_hidden(attributes: Attributes, type: int) -> bool:
    """Whether an attribute's value may not be revealed (footnote 7).

    It may when CKA_SENSITIVE is false and CKA_EXTRACTABLE is true, and only then.
    """
    hidden = HIDDEN_TYPES.get(attributes[CKA_CLASS])  # type: ignore[arg-type]
    return (
        hidden is not None
        and type in hidden
        and (
            attributes.get(CKA_SENSITIVE) is not False
            or attributes.get(CKA_EXTRACTABLE) is not True
        )
    )


def secret_types(attributes: Attributes) -> frozenset[int]:
    """Return the types that are secrets of this kind of object, sensitive or not."""
    return HIDDEN_TYPES.get(attributes[CKA_CLASS], NO_TYPES)  # type: ignore[arg-type]


def split(attributes: Attributes) -> tuple[dict[int, Value], dict[int, Value]]:
    """Return an object's attributes in two parts: those open to see, and its secrets."""
    opened = dict(attributes)
    secrets = opened.keys() & HIDDEN_TYPES.get(opened[CKA_CLASS], NO_TYPES)  # type: ignore[arg-type]
    return opened, {type: opened.pop(type) for type in secrets}


def _new_unique_id() -> bytes:
    return os.urandom(16).hex().encode()


def kind_of(attributes: Attributes) -> tuple[int, int | None]:
    """Return an object's class and subtype."""
    object_class = attributes.get(CKA_CLASS)
    return object_class, attributes.get(SUBTYPE.get(object_class))  # type: ignore[return-value, arg-type]


@cache
def _plan_of_new(object_class: int | None, subtype: int | None) -> Plan:
    """Return the rules for an object to be, if there can be one."""
    known = _required(object_class)
    if known in BUILT_IN:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "objects of this class are built in")
    return plan_for(known, _required(subtype) if known in SUBTYPE else None)


def _required(number: int | None) -> int:
    if number is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "the class, or the type of key, is missing")
    if not isinstance(number, int):
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "a class or type that is no number")
    return number


def _changes(
    plan: Plan, attributes: Attributes, template: Template, allowed: Set[int], so: bool
) -> dict[int, Value]:
    """Return what a template changes in an object, having checked that it may."""
    values = values_of(template)
    check_values(plan, values)
    for type, new in values.items():
        old = attributes.get(type)
        if type in plan.sticky:
            if old is plan.sticky[type] and new is not old:
                raise CryptokiError(CKR_ATTRIBUTE_READ_ONLY, f"attribute {type:#x} is final")
        elif type in plan.clearable:
            if new != b"" and new != old:
                raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"attribute {type:#x}")
        elif type not in allowed and not (so and type in plan.only_so):
            raise CryptokiError(CKR_ATTRIBUTE_READ_ONLY, f"attribute {type:#x}")
        elif type in plan.settled and old and new != old:
            raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, f"attribute {type:#x} is of another key")
    return values


def _check_private_key(attributes: Attributes) -> None:
    if attributes[CKA_ALWAYS_AUTHENTICATE] and not attributes[CKA_PRIVATE]:
        raise CryptokiError(
            CKR_TEMPLATE_INCONSISTENT, "CKA_ALWAYS_AUTHENTICATE of a key that is not private"
        )


def _check_trust(attributes: Attributes) -> None:
    """Trust is placed in one certificate, known by its hash; distrust needs no hash."""
    harmless = (CKT_TRUST_UNKNOWN, CKT_NOT_TRUSTED)
    trusted = any(attributes[type] not in harmless for type in TRUST_TYPES)
    if trusted and not attributes[CKA_HASH_OF_CERTIFICATE]:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "CKA_HASH_OF_CERTIFICATE is missing")


_CONSISTENT: Final[Mapping[int, Callable[[Attributes], None]]] = {
    CKO_PRIVATE_KEY: _check_private_key,
    CKO_TRUST: _check_trust,
}
