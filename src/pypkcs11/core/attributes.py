"""Which attributes an object has, put together from the standard's tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import chain
from types import MappingProxyType
from typing import Final, TypeAlias

from pypkcs11.core.attribute_table import (
    certificates,
    domain_parameters,
    keys,
    objects,
    private_keys,
    public_keys,
    secret_keys,
)
from pypkcs11.core.attribute_table.row import HIDDEN, Attribute, Kind
from pypkcs11.standard.constants import (
    CKA_CERTIFICATE_TYPE,
    CKA_DECAPSULATE_TEMPLATE,
    CKA_ENCAPSULATE_TEMPLATE,
    CKA_HW_FEATURE_TYPE,
    CKA_KEY_TYPE,
    CKA_MECHANISM_TYPE,
    CKA_SEED,
    CKA_VALUE,
    CKF_ARRAY_ATTRIBUTE,
    CKK_ML_DSA,
    CKK_ML_KEM,
    CKO_CERTIFICATE,
    CKO_DATA,
    CKO_DOMAIN_PARAMETERS,
    CKO_HW_FEATURE,
    CKO_MECHANISM,
    CKO_OTP_KEY,
    CKO_PRIVATE_KEY,
    CKO_PROFILE,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKO_TRUST,
    CKO_VALIDATION,
    CKR_ATTRIBUTE_VALUE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError

__all__ = [
    "ALIASES",
    "BUILT_IN",
    "HIDDEN_TYPES",
    "KINDS",
    "ONE_OF",
    "SUBTYPE",
    "Attribute",
    "Kind",
    "rules",
]

Rows: TypeAlias = tuple[Attribute, ...]

# By class: the rows that all its objects have, and those of each subtype.
_STORAGE: Final = objects.ALL + objects.STORAGE
_KEY: Final = _STORAGE + keys.KEY
_NO_SUBTYPES: Final[Mapping[int, Rows]] = MappingProxyType({})
_CLASSES: Final[Mapping[int, tuple[Rows, Mapping[int, Rows]]]] = {
    CKO_DATA: (_STORAGE + objects.DATA, _NO_SUBTYPES),
    CKO_CERTIFICATE: (_STORAGE + certificates.CERTIFICATE, certificates.CERTIFICATES),
    CKO_PUBLIC_KEY: (_KEY + keys.PUBLIC_KEY, public_keys.PUBLIC_KEYS),
    CKO_PRIVATE_KEY: (_KEY + keys.PRIVATE_KEY, private_keys.PRIVATE_KEYS),
    CKO_SECRET_KEY: (_KEY + keys.SECRET_KEY, secret_keys.SECRET_KEYS),
    CKO_OTP_KEY: (_KEY + keys.SECRET_KEY + keys.OTP_KEY, secret_keys.OTP_KEYS),
    CKO_DOMAIN_PARAMETERS: (
        _STORAGE + objects.DOMAIN_PARAMETERS,
        domain_parameters.DOMAIN_PARAMETER_SETS,
    ),
    CKO_TRUST: (_STORAGE + objects.TRUST, _NO_SUBTYPES),
    CKO_HW_FEATURE: (objects.ALL + objects.HARDWARE_FEATURE, objects.HARDWARE_FEATURES),
    CKO_MECHANISM: (objects.ALL + objects.MECHANISM, objects.MECHANISMS),
    CKO_PROFILE: (objects.ALL + objects.PROFILE, _NO_SUBTYPES),
    CKO_VALIDATION: (objects.ALL + objects.VALIDATION, _NO_SUBTYPES),
}

#: The attribute that tells the subtypes of a class apart; classes without one are not listed.
SUBTYPE: Final[Mapping[int, int]] = {
    CKO_CERTIFICATE: CKA_CERTIFICATE_TYPE,
    CKO_PUBLIC_KEY: CKA_KEY_TYPE,
    CKO_PRIVATE_KEY: CKA_KEY_TYPE,
    CKO_SECRET_KEY: CKA_KEY_TYPE,
    CKO_OTP_KEY: CKA_KEY_TYPE,
    CKO_DOMAIN_PARAMETERS: CKA_KEY_TYPE,
    CKO_HW_FEATURE: CKA_HW_FEATURE_TYPE,
    CKO_MECHANISM: CKA_MECHANISM_TYPE,
}

#: Classes whose objects are part of the token: nobody creates them (section 4.1.1).
BUILT_IN: Final = frozenset({CKO_HW_FEATURE, CKO_MECHANISM, CKO_PROFILE, CKO_VALIDATION})

#: Of these attributes at least one must be specified with C_CreateObject, by class and subtype.
#: Footnote 1 asks for CKA_VALUE of ML-DSA and ML-KEM private keys; their text, which is followed
#: here, is content with either.
ONE_OF: Final[Mapping[tuple[int, int | None], frozenset[int]]] = {
    (CKO_PRIVATE_KEY, CKK_ML_DSA): frozenset({CKA_SEED, CKA_VALUE}),
    (CKO_PRIVATE_KEY, CKK_ML_KEM): frozenset({CKA_SEED, CKA_VALUE}),
}

#: Other numbers of attributes. The header of v3.2 leaves CKF_ARRAY_ATTRIBUTE out of these two,
#: whose values are arrays like those of CKA_WRAP_TEMPLATE; its successor has it in.
ALIASES: Final[Mapping[int, int]] = {
    CKF_ARRAY_ATTRIBUTE | CKA_ENCAPSULATE_TEMPLATE: CKA_ENCAPSULATE_TEMPLATE,
    CKF_ARRAY_ATTRIBUTE | CKA_DECAPSULATE_TEMPLATE: CKA_DECAPSULATE_TEMPLATE,
}


def _kinds() -> dict[int, Kind]:
    kinds = {
        attribute.type: attribute.kind
        for common, subtypes in _CLASSES.values()
        for attribute in chain(common, *subtypes.values())
    }
    kinds.update((alias, kinds[type]) for alias, type in ALIASES.items())
    return kinds


def _hidden_types() -> dict[int, frozenset[int]]:
    hidden = {
        object_class: frozenset(
            attribute.type
            for attribute in chain(common, *subtypes.values())
            if attribute.notes & HIDDEN
        )
        for object_class, (common, subtypes) in _CLASSES.items()
    }
    return {object_class: types for object_class, types in hidden.items() if types}


#: Every attribute that any object may have, and the kind of its value.
KINDS: Final[Mapping[int, Kind]] = _kinds()

#: The attributes of footnote 7 by class, without the classes that have none. An attribute that is
#: a secret of one type of key is so of all types of its class.
HIDDEN_TYPES: Final[Mapping[int, frozenset[int]]] = _hidden_types()


@cache
def rules(object_class: int, subtype: int | None) -> Mapping[int, Attribute]:
    """Return the attributes that an object may have, by type.

    :param object_class: its CKO_.
    :param subtype: its CKK_, CKC_, CKH_ or CKM_; ignored for classes that have no subtypes. An
        object of CKO_MECHANISM may be of any mechanism.
    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for a class or subtype that the standard
        does not have.
    """
    if object_class not in _CLASSES:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "no such object class")
    common, subtypes = _CLASSES[object_class]
    rows = subtypes.get(subtype, ()) if subtype is not None else ()
    if object_class in SUBTYPE and object_class != CKO_MECHANISM and subtype not in subtypes:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "no such type of key or certificate")
    # A subtype's row overrides the common one.
    return MappingProxyType({attribute.type: attribute for attribute in common + rows})
