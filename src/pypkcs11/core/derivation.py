"""C_DeriveKey (PKCS #11 v3.2, section 5.18.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from pypkcs11.core.management import check_access, enter, new_attributes
from pypkcs11.core.objects import Object
from pypkcs11.core.operations import DERIVE, DERIVE_MANY, PUBLISH, Function
from pypkcs11.core.policy import Policy, policy_of
from pypkcs11.core.secret_lengths import secret_length
from pypkcs11.core.sessions import Session
from pypkcs11.core.templates import Origin, finish
from pypkcs11.core.wrapping import acting_key, embedded
from pypkcs11.mechanisms.registry import Computed, Key, Material, Mechanism, Wanted
from pypkcs11.mechanisms.table import complete_key, shaped
from pypkcs11.standard.constants import (
    CKA_ALLOWED_MECHANISMS,
    CKA_ALWAYS_SENSITIVE,
    CKA_CLASS,
    CKA_DECAPSULATE,
    CKA_DECRYPT,
    CKA_DERIVE,
    CKA_DERIVE_TEMPLATE,
    CKA_ENCAPSULATE,
    CKA_ENCRYPT,
    CKA_END_DATE,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_KEY_GEN_MECHANISM,
    CKA_KEY_TYPE,
    CKA_NEVER_EXTRACTABLE,
    CKA_SENSITIVE,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_START_DATE,
    CKA_SUBJECT,
    CKA_UNWRAP,
    CKA_VALUE,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_WRAP,
    CKK_GENERIC_SECRET,
    CKO_DATA,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template, Value


class _Planned(NamedTuple):
    """An object to be: its attributes so far, what its template asked for, its secret's length."""

    attributes: dict[int, Value]
    asked: Attributes
    length: int | None

    def __repr__(self) -> str:
        return "<an object to be>"


def derive_key(
    session: Session, row: Mechanism, parameter: Any, handle: int, template: Template
) -> Object | None:
    """C_DeriveKey: all that the mechanism makes, or nothing.

    Without a CKA_KEY_TYPE a secret key is a generic secret.

    :return: the object whose handle C_DeriveKey returns; None where the parameter takes them all.
    :raises CryptokiError: what :func:`~pypkcs11.core.wrapping.acting_key` raises for a base key,
        what a template deserves (CKR_TEMPLATE_INCONSISTENT, too, if it contradicts
        CKA_DERIVE_TEMPLATE, or reveals what comes of a sensitive key), CKR_TEMPLATE_INCOMPLETE
        without a CKA_VALUE_LEN that nothing else says, what the mechanism raises,
        CKR_SESSION_READ_ONLY, and CKR_USER_NOT_LOGGED_IN.
    """
    token, derived = session.token, row.derived
    function = _function(row)
    base, key = acting_key(session, function, row, handle)
    others = [acting_key(session, function, row, other) for other in _others(row, parameter)]
    bases = [base.attributes, *(obj.attributes for obj, _ in others)]
    policy = policy_of(token.config)
    bound = policy.derive(row, parameter, bases)

    plan: list[_Planned | None] = []
    for n, wanted in enumerate(_wanted(row, parameter, template)):
        with _blame(row, parameter, n):
            plan.append(wanted and _plan(session, row, wanted, bases, bound))
    lengths = [planned.length if planned is not None else 0 for planned in plan]
    keys = [other for _, other in others]
    material = _material(session, row, parameter, key, lengths, keys)
    for n, planned in enumerate(plan):
        if planned is not None:
            with _blame(row, parameter, n):
                _complete(policy, planned, material.values[n], bases, derived.inherits.any_base)
    made = enter(session, [planned.attributes for planned in plan if planned is not None])
    found = iter(made)
    handles = [next(found).handle if planned is not None else 0 for planned in plan]
    if derived.gives_back:
        parameter.give_back(handles, material.returned)
    return made[0] if derived.by_handle else None


def _function(row: Mechanism) -> Function:
    if row.derived.object_class == CKO_PUBLIC_KEY:
        return PUBLISH
    return DERIVE if row.derive_many is None else DERIVE_MANY


def _others(row: Mechanism, parameter: Any) -> Sequence[int]:
    """The handles of the base keys that a parameter names."""
    if row.derived.other_keys is not None:
        return row.derived.other_keys(parameter)
    second = row.derived.second_key(parameter) if row.derived.second_key is not None else None
    return () if second is None else (second,)


def _wanted(row: Mechanism, parameter: Any, template: Template) -> Sequence[Wanted | None]:
    plan = row.derived.plan
    return (Wanted(template),) if plan is None else plan(parameter, template)


@contextmanager
def _blame(row: Mechanism, parameter: Any, n: int) -> Iterator[None]:
    """Tell the parameter which of several objects could not be made (section 6.44.9)."""
    try:
        yield
    except CryptokiError:
        if row.derived.blame is not None:
            row.derived.blame(parameter, n)
        raise


def _material(
    session: Session,
    row: Mechanism,
    parameter: Any,
    key: Key,
    lengths: Sequence[int | None],
    others: Sequence[Key],
) -> Material:
    operation = session.token.operation
    material: Material
    if row.derive_many is not None:
        material = operation(_function(row), row, parameter, key, lengths, others)
    else:
        second = others[0] if others else None
        value = operation(DERIVE, row, parameter, key, lengths[0], second)
        material = Material(({CKA_VALUE: value},))
    return material


def _plan(
    session: Session, row: Mechanism, wanted: Wanted, bases: Sequence[Attributes], bound: bool
) -> _Planned:
    """Hold a template against the rules, before anything is derived."""
    object_class, inherits = row.derived.object_class, row.derived.inherits
    template, given = wanted.template, {CKA_CLASS: object_class, **wanted.given}
    defaults = dict(wanted.defaults)
    if object_class == CKO_PUBLIC_KEY:
        given[CKA_KEY_TYPE] = bases[0][CKA_KEY_TYPE]
        defaults.update(
            (public, bases[0][private]) for public, private in _PUBLISHED if private in bases[0]
        )
    else:
        template = [
            *(item for each in bases for item in embedded(each, CKA_DERIVE_TEMPLATE)),
            *template,
        ]
    asked = dict(template)
    secrecy = {type: bases[0][type] for type, _ in _INHERITED if type in bases[0]}
    if inherits.equal:
        given.update(secrecy)
    elif inherits.default:
        defaults.update(secrecy)
    if object_class == CKO_SECRET_KEY and CKA_KEY_TYPE not in given:
        given[CKA_KEY_TYPE] = asked.get(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
    length = None
    if object_class in _WITH_LENGTH:
        length, template = secret_length(given, template, wanted.length)
    attributes = new_attributes(session, template, Origin.DERIVE, given, defaults)
    if bound:
        _inherit(attributes, bases, asked)
    check_access(session, attributes)
    return _Planned(attributes, asked, length)


def _complete(
    policy: Policy,
    planned: _Planned,
    contributed: Computed,
    bases: Sequence[Attributes],
    any_base: bool,
) -> None:
    """Give an object what was derived for it, and what follows from that."""
    attributes, asked = planned.attributes, planned.asked
    contributed = shaped(attributes, contributed)
    attributes.update(contributed)
    object_class = attributes[CKA_CLASS]
    if object_class != CKO_DATA:
        attributes.update(complete_key(attributes))
    value = attributes.get(CKA_VALUE)
    if object_class == CKO_SECRET_KEY and isinstance(value, bytes):
        policy.derived(bases, value)
    if any(type in asked and asked[type] != value for type, value in contributed.items()):
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "the template says what is derived")
    finish(attributes, Origin.DERIVE, None, base=_together(bases, any_base))
    if object_class == CKO_PUBLIC_KEY:
        attributes[CKA_KEY_GEN_MECHANISM] = bases[0][CKA_KEY_GEN_MECHANISM]


#: Attributes of a public key, and those of its private key that are their defaults (section
#: 6.43.9, which also wants it public unless the template says not).
_PUBLISHED: Final = (
    (CKA_ENCRYPT, CKA_DECRYPT),
    (CKA_VERIFY, CKA_SIGN),
    (CKA_VERIFY_RECOVER, CKA_SIGN_RECOVER),
    (CKA_WRAP, CKA_UNWRAP),
    (CKA_ENCAPSULATE, CKA_DECAPSULATE),
    (CKA_DERIVE, CKA_DERIVE),
    (CKA_ID, CKA_ID),
    (CKA_START_DATE, CKA_START_DATE),
    (CKA_END_DATE, CKA_END_DATE),
    (CKA_SUBJECT, CKA_SUBJECT),
    (CKA_ALLOWED_MECHANISMS, CKA_ALLOWED_MECHANISMS),
)

#: Objects whose length a template can say. Data objects have no CKA_VALUE_LEN; in the template it
#: says how much data is wanted.
_WITH_LENGTH: Final = frozenset({CKO_SECRET_KEY, CKO_DATA})


#: Attributes that a derived key has if one of its base keys has them with this value.
_INHERITED: Final = ((CKA_SENSITIVE, True), (CKA_EXTRACTABLE, False))


def _inherit(attributes: dict[int, Value], bases: Sequence[Attributes], asked: Attributes) -> None:
    for type, value in _INHERITED:
        if any(base.get(type) is value for base in bases):
            if asked.get(type, value) is not value:
                raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "the base key is more secret")
            attributes[type] = value


def _together(bases: Sequence[Attributes], any_base: bool) -> Attributes:
    """What is true of all base keys, or of any, as of one."""
    among = any if any_base else all
    return {
        type: among(base.get(type) is True for base in bases)
        for type in (CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE)
    }
