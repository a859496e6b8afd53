"""C_WrapKey and C_UnwrapKey (PKCS #11 v3.2, sections 5.18.3 and 5.18.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pypkcs11.core.management import check_access, enter, new_attributes
from pypkcs11.core.objects import Object
from pypkcs11.core.operations import (
    UNWRAP,
    UNWRAP_AUTHENTICATED,
    WRAP,
    WRAP_AUTHENTICATED,
    Function,
    check_does,
    check_key,
    needs_own_login,
)
from pypkcs11.core.policy import policy_of
from pypkcs11.core.search import matches
from pypkcs11.core.sessions import Session
from pypkcs11.core.templates import Origin, finish
from pypkcs11.mechanisms.registry import Computed, Key, Mechanism, Payload
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
    CKR_PARAMETER_SET_NOT_SUPPORTED,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
    CKR_USER_NOT_LOGGED_IN,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Buffer, Template

if TYPE_CHECKING:
    from pypkcs11.mechanisms.messages import Sealed


def acting_key(
    session: Session, function: Function, row: Mechanism, handle: int
) -> tuple[Object, Key]:
    """The key that does a function in one call.

    :raises CryptokiError: CKR_MECHANISM_INVALID for a mechanism that does not do it, what
        :func:`~pypkcs11.core.operations.check_key` raises, and CKR_USER_NOT_LOGGED_IN for a key
        that asks for the PIN at each use: between a handle and its use in one call there is no
        moment for C_Login.
    """
    check_does(function, row)
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
    _, by, octets = _wrapping(session, WRAP, row, parameter, wrapping_handle, handle)
    wrapped: bytes = session.token.operation(WRAP, row, parameter, by, octets)
    return wrapped


class AuthenticatedWrapping:
    """C_WrapKeyAuthenticated, once it is known to be permitted. ``length`` is the wrapped key's."""

    __slots__ = ("_arguments", "_token", "length")

    def __init__(
        self,
        session: Session,
        row: Mechanism,
        parameter: Any,
        aad: Buffer,
        wrapping_handle: int,
        handle: int,
    ) -> None:
        """:raises CryptokiError: as :func:`wrap_key`."""
        function = WRAP_AUTHENTICATED
        wrapping, by, octets = _wrapping(session, function, row, parameter, wrapping_handle, handle)
        self._token = session.token
        nonces = self._token.nonces(wrapping)
        self._arguments = function, row, parameter, by, nonces, aad, octets
        self.length = len(octets)

    def run(self) -> Sealed:
        """Wrap the key.

        :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
        """
        sealed: Sealed = self._token.operation(*self._arguments)
        return sealed


def _wrapping(
    session: Session,
    function: Function,
    row: Mechanism,
    parameter: Any,
    wrapping_handle: int,
    handle: int,
) -> tuple[Object, Key, bytes]:
    """The wrapping key, and the octets that it may wrap."""
    token = session.token
    policy = policy_of(token.config)
    wrapping, by = acting_key(session, function, row, wrapping_handle)
    obj = token.object(handle, CKR_KEY_HANDLE_INVALID)
    _check_wrappable(row, wrapping, obj)
    policy.wrap(row, wrapping.attributes, obj.attributes)
    policy.check_strength(by, parameter, obj.key())
    return wrapping, by, export_key(obj.everything())


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
    return _unwrap(session, UNWRAP, row, (parameter,), handle, wrapped, template)


def unwrap_key_authenticated(
    session: Session,
    row: Mechanism,
    parameter: Any,
    tag: bytes,
    aad: Buffer,
    handle: int,
    wrapped: bytes,
    template: Template,
) -> Object:
    """C_UnwrapKeyAuthenticated: a new key, or nothing.

    :raises CryptokiError: as :func:`unwrap_key`.
    """
    arguments = (parameter, tag, aad)
    return _unwrap(session, UNWRAP_AUTHENTICATED, row, arguments, handle, wrapped, template)


def _unwrap(
    session: Session,
    function: Function,
    row: Mechanism,
    arguments: tuple[Any, ...],
    handle: int,
    wrapped: bytes,
    template: Template,
) -> Object:
    unwrapping, by = acting_key(session, function, row, handle)
    policy_of(session.token.config).unwrap(row, unwrapping.attributes, template)
    template = [*embedded(unwrapping.attributes, CKA_UNWRAP_TEMPLATE), *template]
    attributes = new_attributes(session, template, Origin.UNWRAP)
    check_access(session, attributes)
    if attributes[CKA_CLASS] not in row.payload.classes:
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "the mechanism does not unwrap such objects")
    key_type_of(attributes)
    parameter, *more = arguments
    octets = session.token.operation(function, row, parameter, by, *more, wrapped)
    if attributes[CKA_CLASS] == CKO_PRIVATE_KEY:
        attributes.update(_private(attributes, octets))
    else:
        attributes.update(_secret(attributes, octets, row.payload))
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


def _secret(attributes: Attributes, octets: bytes, payload: Payload) -> Computed:
    """What unwrapped octets contribute to a secret key.

    :raises CryptokiError: as :func:`_cut` or :func:`_end`, and CKR_ATTRIBUTE_VALUE_INVALID for a
        CKA_CHECK_VALUE that is not the key's.
    """
    key_type = key_type_of(attributes)
    restore = key_type.restore.get(CKO_SECRET_KEY)
    if restore is None:
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "no secret keys of this type")
    length = attributes.get(CKA_VALUE_LEN)
    assert length is None or isinstance(length, int)
    if payload.at_end:
        found = restore(_end(octets, key_type.lengths, length))
    else:
        found = restore(_cut(octets, payload.unit, key_type.lengths, length))
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


def _end(octets: bytes, lengths: frozenset[int], given: int | None) -> bytes:
    """Take a key from the end of what was unwrapped (CKM_RSA_X_509, section 6.1.11).

    What is before it is not looked at, as the standard has it: an answer that depended on it would
    tell whoever may try what other octets decrypt to.

    :param lengths: that the key type has; none for any.
    :param given: CKA_VALUE_LEN.
    :raises CryptokiError: CKR_WRAPPED_KEY_LEN_RANGE for a length that there cannot be,
        CKR_TEMPLATE_INCOMPLETE without a length that nothing else says.
    """
    length = given
    if length is None and len(lengths) == 1:
        (length,) = lengths
    if length is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "CKA_VALUE_LEN is missing")
    if not 0 < length <= len(octets) or (lengths and length not in lengths):
        raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, f"a key of {length} octets")
    return octets[-length:]
