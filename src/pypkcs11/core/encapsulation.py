"""C_EncapsulateKey and C_DecapsulateKey (PKCS #11 v3.2, sections 5.18.8 and 5.18.9)."""

from __future__ import annotations

from typing import Any, Final

from pypkcs11.core.management import check_access, enter, new_attributes
from pypkcs11.core.objects import Object
from pypkcs11.core.operations import Function
from pypkcs11.core.policy import policy_of
from pypkcs11.core.search import matches
from pypkcs11.core.secret_lengths import check_length
from pypkcs11.core.sessions import Session
from pypkcs11.core.templates import Origin, finish, split
from pypkcs11.core.wrapping import acting_key, embedded
from pypkcs11.mechanisms.registry import Encapsulation, Mechanism
from pypkcs11.mechanisms.table import complete_key, key_type_of, shaped
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_DECAPSULATE,
    CKA_DECAPSULATE_TEMPLATE,
    CKA_ENCAPSULATE,
    CKA_ENCAPSULATE_TEMPLATE,
    CKA_KEY_TYPE,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKK_GENERIC_SECRET,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKR_KEY_HANDLE_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_SIZE_RANGE,
    CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Template, Value

ENCAPSULATE: Final = Function("encapsulate", CKA_ENCAPSULATE, frozenset({CKO_PUBLIC_KEY}))
DECAPSULATE: Final = Function(
    "decapsulate",
    CKA_DECAPSULATE,
    frozenset({CKO_PRIVATE_KEY}),
    CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_UNWRAPPING_KEY_SIZE_RANGE,
)


def prepare(
    session: Session, row: Mechanism, parameter: Any, handle: int
) -> tuple[Object, Encapsulation]:
    """What C_EncapsulateKey needs to know before it has room for the ciphertext.

    :return: the public key, and what will encapsulate with it.
    :raises CryptokiError: what :func:`~pypkcs11.core.wrapping.acting_key` raises, and
        CKR_MECHANISM_PARAM_INVALID.
    """
    public, key = acting_key(session, ENCAPSULATE, row, handle)
    policy_of(session.token.config).encapsulate(public.attributes)
    encapsulation: Encapsulation = session.token.operation(ENCAPSULATE, row, parameter, key)
    return public, encapsulation


def encapsulate_key(
    session: Session, public: Object, encapsulation: Encapsulation, template: Template
) -> tuple[bytes, Object]:
    """C_EncapsulateKey: the ciphertext and a new key, or nothing.

    :raises CryptokiError: what the template deserves, CKR_TEMPLATE_INCOMPLETE without a
        CKA_VALUE_LEN that nothing else says, CKR_KEY_HANDLE_INVALID for a key that
        CKA_ENCAPSULATE_TEMPLATE does not describe, what the mechanism raises,
        CKR_SESSION_READ_ONLY, and CKR_USER_NOT_LOGGED_IN.
    """
    attributes, length = _new(session, template)
    secret, ciphertext = encapsulation.run(length)
    _contribute(attributes, secret)
    described = embedded(public.attributes, CKA_ENCAPSULATE_TEMPLATE)
    if described:
        opened, hidden = split(attributes)
        if not matches(Object(opened, secret=hidden, session=session), described):
            raise CryptokiError(
                CKR_KEY_HANDLE_INVALID, "not what CKA_ENCAPSULATE_TEMPLATE describes"
            )
    return ciphertext, enter(session, [attributes])[0]


def decapsulate_key(
    session: Session,
    row: Mechanism,
    parameter: Any,
    handle: int,
    ciphertext: bytes,
    template: Template,
) -> Object:
    """C_DecapsulateKey: a new key, or nothing.

    :raises CryptokiError: what :func:`~pypkcs11.core.wrapping.acting_key` raises, what the template
        deserves (CKR_TEMPLATE_INCONSISTENT, too, if it contradicts CKA_DECAPSULATE_TEMPLATE),
        CKR_TEMPLATE_INCOMPLETE without a CKA_VALUE_LEN that nothing else says,
        CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPED_KEY_INVALID, CKR_MECHANISM_PARAM_INVALID,
        CKR_SESSION_READ_ONLY, and CKR_USER_NOT_LOGGED_IN.
    """
    token = session.token
    private, key = acting_key(session, DECAPSULATE, row, handle)
    policy_of(token.config).decapsulate(private.attributes, template)
    template = [*embedded(private.attributes, CKA_DECAPSULATE_TEMPLATE), *template]
    attributes, length = _new(session, template)
    secret = token.operation(DECAPSULATE, row, parameter, key, ciphertext, length)
    _contribute(attributes, secret)
    return enter(session, [attributes])[0]


def _new(session: Session, template: Template) -> tuple[dict[int, Value], int | None]:
    """The attributes of the new key but for its value, and how long that shall be.

    Without a CKA_KEY_TYPE it is a generic secret.

    :return: None for the length where neither the template nor the key's type says it.
    """
    asked = dict(template)
    key_type = asked.get(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
    given: dict[int, Value] = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: key_type}
    attributes = new_attributes(session, template, Origin.ENCAPSULATE, given)
    check_access(session, attributes)
    lengths = key_type_of(attributes).lengths
    length = asked.get(CKA_VALUE_LEN)
    if length is None:
        return attributes, next(iter(lengths)) if len(lengths) == 1 else None
    return attributes, check_length(length, lengths)


def _contribute(attributes: dict[int, Value], secret: bytes) -> None:
    """Make the secret the new key's value."""
    lengths = key_type_of(attributes).lengths
    if lengths and len(secret) not in lengths:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how much of the secret is the key")
    attributes.update(shaped(attributes, {CKA_VALUE: secret}))
    attributes.update(complete_key(attributes))
    finish(attributes, Origin.ENCAPSULATE, None)
