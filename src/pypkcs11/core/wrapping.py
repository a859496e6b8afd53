"""C_WrapKey and C_UnwrapKey (PKCS #11 v3.2, sections 5.18.3 and 5.18.4)."""

from __future__ import annotations

from typing import Any

from pypkcs11.core.management import check_access, enter, new_attributes
from pypkcs11.core.objects import Object
from pypkcs11.core.operations import UNWRAP, WRAP, Function, check_key, needs_own_login
from pypkcs11.core.policy import policy_of
from pypkcs11.core.search import matches
from pypkcs11.core.sessions import Session
from pypkcs11.core.templates import Origin, finish
from pypkcs11.mechanisms.registry import Computed, Key, Mechanism
from pypkcs11.mechanisms.table import complete_key, export_key, key_type_of
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_EXTRACTABLE,
    CKA_KEY_TYPE,
    CKA_PUBLIC_KEY_INFO,
    CKA_TRUSTED,
    CKA_UNWRAP_TEMPLATE,
    CKA_VALUE_LEN,
    CKA_WRAP_TEMPLATE,
    CKA_WRAP_WITH_TRUSTED,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKR_CURVE_NOT_SUPPORTED,
    CKR_KEY_HANDLE_INVALID,
    CKR_KEY_NOT_WRAPPABLE,
    CKR_KEY_UNEXTRACTABLE,
    CKR_MECHANISM_INVALID,
    CKR_PARAMETER_SET_NOT_SUPPORTED,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
    CKR_USER_NOT_LOGGED_IN,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template


def acting_key(
    session: Session, function: Function, row: Mechanism, handle: int
) -> tuple[Object, Key]:
    """The key that does a function in one call.

    :raises CryptokiError: CKR_MECHANISM_INVALID for a mechanism that does not do it, what
        :func:`~pypkcs11.core.operations.check_key` raises, and CKR_USER_NOT_LOGGED_IN for a key
        that asks for the PIN at each use: between a handle and its use in one call there is no
        moment for C_Login.
    """
    if getattr(row, function.name) is None:
        raise CryptokiError(CKR_MECHANISM_INVALID, f"the mechanism does not {function}")
    obj = session.token.object(handle, function.wrong_handle)
    key = check_key(function, row, obj)
    if function.usage and needs_own_login(obj):
        raise CryptokiError(CKR_USER_NOT_LOGGED_IN, "the key asks for the PIN at each use")
    return obj, key


def wrap_key(
    session: Session, row: Mechanism, parameter: Any, wrapping_handle: int, handle: int
) -> bytes:
    """C_WrapKey.

    :raises CryptokiError: what :func:`acting_key` raises for the wrapping key,
        CKR_KEY_HANDLE_INVALID for what is no key or does not match CKA_WRAP_TEMPLATE,
        CKR_KEY_UNEXTRACTABLE, CKR_KEY_NOT_WRAPPABLE, CKR_KEY_SIZE_RANGE, and
        CKR_MECHANISM_PARAM_INVALID.
    """
    token = session.token
    policy = policy_of(token.config)
    wrapping, by = acting_key(session, WRAP, row, wrapping_handle)
    obj = token.object(handle, CKR_KEY_HANDLE_INVALID)
    _check_wrappable(row, wrapping, obj)
    policy.wrap(row, wrapping.attributes, obj.attributes)
    policy.check_strength(by, parameter, obj.key())
    wrapped: bytes = token.operation(WRAP, row, parameter, by, export_key(obj.everything()))
    return wrapped


def _check_wrappable(row: Mechanism, wrapping: Object, obj: Object) -> None:
    attributes = obj.attributes
    object_class = attributes[CKA_CLASS]
    if object_class not in (CKO_SECRET_KEY, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY):
        raise CryptokiError(CKR_KEY_HANDLE_INVALID, "not a key")
    if object_class == CKO_PUBLIC_KEY:
        raise CryptokiError(CKR_KEY_NOT_WRAPPABLE, "public keys are not wrapped")
    if not attributes[CKA_EXTRACTABLE]:
        raise CryptokiError(CKR_KEY_UNEXTRACTABLE, "CKA_EXTRACTABLE is false")
    if attributes.get(CKA_WRAP_WITH_TRUSTED) and not wrapping.attributes.get(CKA_TRUSTED):
        raise CryptokiError(CKR_KEY_NOT_WRAPPABLE, "the wrapping key is not trusted")
    if not matches(obj, embedded(wrapping.attributes, CKA_WRAP_TEMPLATE)):
        raise CryptokiError(CKR_KEY_HANDLE_INVALID, "not what CKA_WRAP_TEMPLATE describes")
    if object_class not in row.payload.classes:
        raise CryptokiError(CKR_KEY_NOT_WRAPPABLE, "the mechanism wraps secret keys only")


def embedded(attributes: Attributes, type: int) -> Template:
    """The template that a key carries in one of its attributes; empty without it."""
    template = attributes.get(type, ())
    assert isinstance(template, tuple)
    return template  # type: ignore[return-value]


def unwrap_key(
    session: Session,
    row: Mechanism,
    parameter: Any,
    handle: int,
    wrapped: bytes,
    template: Template,
) -> Object:
    """C_UnwrapKey: a new key, or nothing.

    :raises CryptokiError: what :func:`acting_key` raises for the unwrapping key, what the template
        deserves (CKR_TEMPLATE_INCONSISTENT, too, if it contradicts CKA_UNWRAP_TEMPLATE),
        CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPED_KEY_INVALID, CKR_TEMPLATE_INCOMPLETE without a
        CKA_VALUE_LEN that nothing else says, CKR_CURVE_NOT_SUPPORTED, CKR_SESSION_READ_ONLY, and
        CKR_USER_NOT_LOGGED_IN.
    """
    unwrapping, by = acting_key(session, UNWRAP, row, handle)
    policy_of(session.token.config).unwrap(row, unwrapping.attributes, template)
    template = [*embedded(unwrapping.attributes, CKA_UNWRAP_TEMPLATE), *template]
    attributes = new_attributes(session, template, Origin.UNWRAP)
    check_access(session, attributes)
    if attributes[CKA_CLASS] not in row.payload.classes:
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "the mechanism does not unwrap such objects")
    key_type_of(attributes)
    octets = session.token.operation(UNWRAP, row, parameter, by, wrapped)
    if attributes[CKA_CLASS] == CKO_PRIVATE_KEY:
        attributes.update(_private(attributes, octets))
    else:
        attributes.update(_secret(attributes, octets, row.payload.unit))
    finish(attributes, Origin.UNWRAP, None)
    return enter(session, [attributes])[0]


def _private(attributes: Attributes, octets: bytes) -> Computed:
    """What a PrivateKeyInfo contributes to a private key.

    :raises CryptokiError: CKR_WRAPPED_KEY_INVALID, CKR_CURVE_NOT_SUPPORTED,
        CKR_PARAMETER_SET_NOT_SUPPORTED, and CKR_TEMPLATE_INCONSISTENT for another
        CKA_PUBLIC_KEY_INFO than the key's.
    """
    kind = {type: attributes[type] for type in (CKA_CLASS, CKA_KEY_TYPE)}
    restore = key_type_of(attributes).restore.get(CKO_PRIVATE_KEY)
    if restore is None:
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "no private keys of this type")
    try:
        found = restore(octets)
        found = {**found, **complete_key({**kind, **found})}
    except CryptokiError as error:
        if error.rv in (CKR_CURVE_NOT_SUPPORTED, CKR_PARAMETER_SET_NOT_SUPPORTED):
            raise
        raise CryptokiError(CKR_WRAPPED_KEY_INVALID, error.reason) from None
    if attributes.get(CKA_PUBLIC_KEY_INFO) not in (None, b"", found[CKA_PUBLIC_KEY_INFO]):
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "CKA_PUBLIC_KEY_INFO is of another key")
    return found


def _secret(attributes: Attributes, octets: bytes, unit: int) -> Computed:
    """What unwrapped octets contribute to a secret key.

    :raises CryptokiError: as :func:`_cut`, and CKR_ATTRIBUTE_VALUE_INVALID for a CKA_CHECK_VALUE
        that is not the key's.
    """
    key_type = key_type_of(attributes)
    restore = key_type.restore.get(CKO_SECRET_KEY)
    if restore is None:
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "no secret keys of this type")
    length = attributes.get(CKA_VALUE_LEN)
    assert length is None or isinstance(length, int)
    found = restore(_cut(octets, unit, key_type.lengths, length))
    return {**found, **complete_key({**attributes, **found})}


def _cut(octets: bytes, unit: int, lengths: frozenset[int], given: int | None) -> bytes:
    """Cut off what a mechanism filled up with zeros.

    A length is possible if the key type has it and what would be cut off are zeros, less than a
    unit of them. Among several, only the caller knows.

    :param lengths: that the key type has; none for any.
    :param given: CKA_VALUE_LEN.
    :raises CryptokiError: CKR_WRAPPED_KEY_LEN_RANGE if no length is possible or ``given`` is not,
        CKR_TEMPLATE_INCOMPLETE if several are.
    """
    size = len(octets)
    possible = [
        length
        for length in range(max(size - unit + 1, 1), size + 1)
        if (not lengths or length in lengths)
    ]
    if given is not None:
        possible = [length for length in possible if length == given]
    if lengths or given is not None:
        # Of a type with many lengths, the zeros at one key's end must not decide what is an error.
        possible = [length for length in possible if not any(octets[length:])]
    if not possible:
        raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, f"{size} octets unwrapped")
    if len(possible) > 1:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "CKA_VALUE_LEN is missing")
    return octets[: possible[0]]
