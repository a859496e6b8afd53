"""The attribute table turned into sets, and templates held against it value by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Final

from pypkcs11.core.attribute_table.row import (
    CHANGEABLE_ON_COPY,
    CLEARABLE,
    FORBIDDEN_ON_CREATE,
    FORBIDDEN_ON_GENERATE,
    FORBIDDEN_ON_UNWRAP,
    MODIFIABLE,
    MUST_ON_CREATE,
    MUST_ON_GENERATE,
    MUST_ON_UNWRAP,
    ONLY_SO_SETS_TRUE,
    SETTLED,
    STICKY_ONCE_FALSE,
    STICKY_ONCE_TRUE,
)
from pypkcs11.core.attributes import (
    ALIASES,
    KINDS,
    ONE_OF,
    Kind,
    rules,
)
from pypkcs11.standard.constants import (
    CK_CERTIFICATE_CATEGORY_OTHER_ENTITY,
    CK_OTP_FORMAT_BINARY,
    CK_OTP_PARAM_MANDATORY,
    CK_SECURITY_DOMAIN_THIRD_PARTY,
    CK_UNAVAILABLE_INFORMATION,
    CKA_CERTIFICATE_CATEGORY,
    CKA_EXTRACTABLE,
    CKA_JAVA_MIDP_SECURITY_DOMAIN,
    CKA_KEY_GEN_MECHANISM,
    CKA_LOCAL,
    CKA_OTP_CHALLENGE_REQUIREMENT,
    CKA_OTP_COUNTER_REQUIREMENT,
    CKA_OTP_FORMAT,
    CKA_OTP_PIN_REQUIREMENT,
    CKA_OTP_TIME_REQUIREMENT,
    CKA_TRUST_CLIENT_AUTH,
    CKA_TRUST_CODE_SIGNING,
    CKA_TRUST_EMAIL_PROTECTION,
    CKA_TRUST_IPSEC_IKE,
    CKA_TRUST_OCSP_SIGNING,
    CKA_TRUST_SERVER_AUTH,
    CKA_TRUST_TIME_STAMPING,
    CKO_DATA,
    CKO_OTP_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
    CKT_TRUST_MUST_VERIFY_TRUST,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template, Value


class Origin(Enum):
    """How an object comes to be."""

    __hash__ = object.__hash__  # Enum's own is written in Python

    CREATE = "C_CreateObject"
    GENERATE = "C_GenerateKey or C_GenerateKeyPair"
    UNWRAP = "C_UnwrapKey"
    DERIVE = "C_DeriveKey"
    ENCAPSULATE = "C_EncapsulateKey or C_DecapsulateKey"


_MUST: Final = {
    Origin.CREATE: MUST_ON_CREATE,
    Origin.GENERATE: MUST_ON_GENERATE,
    Origin.UNWRAP: MUST_ON_UNWRAP,
    Origin.DERIVE: 0,
    Origin.ENCAPSULATE: 0,
}

# No footnote speaks of the other functions. What generation makes, they make too.
_FORBIDDEN: Final = {
    Origin.CREATE: FORBIDDEN_ON_CREATE,
    Origin.GENERATE: FORBIDDEN_ON_GENERATE,
    Origin.UNWRAP: FORBIDDEN_ON_UNWRAP,
    Origin.DERIVE: FORBIDDEN_ON_GENERATE,
    Origin.ENCAPSULATE: FORBIDDEN_ON_GENERATE,
}

# Defaults that depend on the function (section 5.18: C_UnwrapKey, C_EncapsulateKey and
# C_DecapsulateKey): a key that others have too is extractable unless the template says not.
_DEFAULTS: Final[Mapping[Origin, dict[int, Value]]] = {
    Origin.UNWRAP: {CKA_EXTRACTABLE: True},
    Origin.ENCAPSULATE: {CKA_EXTRACTABLE: True},
}

_PYTHON_TYPES: Final[Mapping[Kind, type]] = {
    Kind.BOOL: bool,
    Kind.ULONG: int,
    Kind.BYTES: bytes,
    Kind.STRING: bytes,
    Kind.BIGINT: bytes,
    Kind.DATE: bytes,
    Kind.ULONG_ARRAY: tuple,
    Kind.TEMPLATE: tuple,
}

#: The attributes of a trust object that each say how far it is trusted for one purpose.
TRUST_TYPES: Final = (
    CKA_TRUST_SERVER_AUTH,
    CKA_TRUST_CLIENT_AUTH,
    CKA_TRUST_CODE_SIGNING,
    CKA_TRUST_EMAIL_PROTECTION,
    CKA_TRUST_IPSEC_IKE,
    CKA_TRUST_TIME_STAMPING,
    CKA_TRUST_OCSP_SIGNING,
)

# The greatest value of attributes that are one of a few.
_GREATEST: Final[Mapping[int, int]] = {
    CKA_CERTIFICATE_CATEGORY: CK_CERTIFICATE_CATEGORY_OTHER_ENTITY,
    CKA_JAVA_MIDP_SECURITY_DOMAIN: CK_SECURITY_DOMAIN_THIRD_PARTY,
    CKA_OTP_FORMAT: CK_OTP_FORMAT_BINARY,
    CKA_OTP_CHALLENGE_REQUIREMENT: CK_OTP_PARAM_MANDATORY,
    CKA_OTP_TIME_REQUIREMENT: CK_OTP_PARAM_MANDATORY,
    CKA_OTP_COUNTER_REQUIREMENT: CK_OTP_PARAM_MANDATORY,
    CKA_OTP_PIN_REQUIREMENT: CK_OTP_PARAM_MANDATORY,
    **dict.fromkeys(TRUST_TYPES, CKT_TRUST_MUST_VERIFY_TRUST),
}

# Classes whose objects are private unless the template says otherwise.
_PRIVATE_BY_DEFAULT: Final = frozenset({CKO_DATA, CKO_PRIVATE_KEY, CKO_SECRET_KEY, CKO_OTP_KEY})

NO_TYPES: Final[frozenset[int]] = frozenset()


class Plan:
    """The rules for one kind of object, turned into sets that templates are held against."""

    __slots__ = (
        "changeable",
        "clearable",
        "defaults",
        "forbidden",
        "history",
        "looked_into",
        "modifiable",
        "must",
        "one_of",
        "only_so",
        "private_by_default",
        "python_types",
        "rules",
        "settled",
        "sticky",
    )

    def __init__(self, object_class: int, subtype: int | None) -> None:
        table = rules(object_class, subtype)

        def noted(bits: int) -> frozenset[int]:
            return frozenset(type for type, row in table.items() if row.notes & bits)

        self.rules = table
        self.python_types = {type: _PYTHON_TYPES[row.kind] for type, row in table.items()}
        # Attributes whose values must be looked at, beyond their Python type.
        self.looked_into = frozenset(
            type
            for type, row in table.items()
            if type in _GREATEST or row.kind in (Kind.DATE, Kind.ULONG_ARRAY, Kind.TEMPLATE)
        )

        defaults = {type: row.default for type, row in table.items() if row.default is not None}
        self.defaults = {
            origin: {type: changed.get(type, value) for type, value in defaults.items()}
            for origin, changed in ((origin, _DEFAULTS.get(origin, {})) for origin in Origin)
        }
        # What the token says of how the object came to be, unless a mechanism generated it.
        self.history: dict[Origin, dict[int, Value]] = {}
        for origin in Origin:
            history = {
                CKA_LOCAL: origin is Origin.GENERATE,
                CKA_KEY_GEN_MECHANISM: CK_UNAVAILABLE_INFORMATION,
            }
            self.history[origin] = {t: value for t, value in history.items() if t in table}
        self.private_by_default = object_class in _PRIVATE_BY_DEFAULT

        self.must = {origin: noted(bits) for origin, bits in _MUST.items()}
        self.forbidden = {origin: noted(bits) for origin, bits in _FORBIDDEN.items()}
        self.one_of = ONE_OF.get((object_class, subtype), NO_TYPES)

        self.modifiable = noted(MODIFIABLE | STICKY_ONCE_TRUE | STICKY_ONCE_FALSE | CLEARABLE)
        self.changeable = self.modifiable | noted(CHANGEABLE_ON_COPY)
        self.only_so = noted(ONLY_SO_SETS_TRUE)
        self.clearable = noted(CLEARABLE)
        self.settled = noted(SETTLED)
        # At which value an attribute can no longer change.
        self.sticky = dict.fromkeys(noted(STICKY_ONCE_TRUE), True)
        self.sticky.update((type, False) for type in noted(STICKY_ONCE_FALSE))


@cache
def plan_for(object_class: int, subtype: int | None) -> Plan:
    """Return the rules for a class and subtype; raises as :func:`rules` does."""
    return Plan(object_class, subtype)


def values_of(template: Template) -> dict[int, Value]:
    """Turn a template into a mapping.

    :raises CryptokiError: CKR_TEMPLATE_INCONSISTENT for an attribute with two values.
    """
    values = dict(template)
    if len(values) != len(template):
        for type, value in template:
            if values[type] != value:
                raise CryptokiError(
                    CKR_TEMPLATE_INCONSISTENT, f"attribute {type:#x} has two values"
                )
    for alias in values.keys() & ALIASES.keys():
        values.setdefault(ALIASES[alias], values.pop(alias))
    return values


def check_values(plan: Plan, values: Attributes) -> None:
    """Hold each attribute of a template against its row.

    :raises CryptokiError: CKR_ATTRIBUTE_TYPE_INVALID, CKR_TEMPLATE_INCONSISTENT for an attribute
        of other kinds of objects, CKR_ATTRIBUTE_VALUE_INVALID.
    """
    python_type_of = plan.python_types.get
    for type, value in values.items():
        if value.__class__ is not python_type_of(type):
            raise CryptokiError(_what_is_wrong(plan, type), f"attribute {type:#x}")
    for type in plan.looked_into.intersection(values):
        value = values[type]
        if type in _GREATEST:
            good = isinstance(value, int) and 0 <= value <= _GREATEST[type]
        else:
            good = _IS_GOOD[plan.rules[type].kind](value)
        if not good:
            raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"attribute {type:#x}")


def _what_is_wrong(plan: Plan, type: int) -> int:
    if type in plan.rules:
        return CKR_ATTRIBUTE_VALUE_INVALID
    return CKR_TEMPLATE_INCONSISTENT if type in KINDS else CKR_ATTRIBUTE_TYPE_INVALID


def _is_date(value: Value) -> bool:
    return value == b"" or (isinstance(value, bytes) and len(value) == 8 and value.isdigit())


def _are_numbers(value: Value) -> bool:
    return isinstance(value, tuple) and all(item.__class__ is int for item in value)


def _is_template(value: Value) -> bool:
    """Whether an array of attributes holds known attributes with values of their kind."""
    if not isinstance(value, tuple):
        return False
    for item in value:
        if not isinstance(item, tuple) or len(item) != 2 or item[0] not in KINDS:
            return False
        kind = KINDS[item[0]]
        if item[1].__class__ is not _PYTHON_TYPES[kind]:
            return False
        if kind in _IS_GOOD and not _IS_GOOD[kind](item[1]):
            return False
    return True


_IS_GOOD: Final[Mapping[Kind, Callable[[Value], bool]]] = {
    Kind.DATE: _is_date,
    Kind.ULONG_ARRAY: _are_numbers,
    Kind.TEMPLATE: _is_template,
}
