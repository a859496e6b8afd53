"""Object management (section 5.7) and key generation (section 5.18) through a session."""

from __future__ import annotations

from typing import Any, Final

from pypkcs11.core.completion import complete
from pypkcs11.core.objects import Object
from pypkcs11.core.policy import policy_of
from pypkcs11.core.secret_lengths import secret_length
from pypkcs11.core.sessions import Session
from pypkcs11.core.templates import Origin, build, copied, finish, modified, split
from pypkcs11.mechanisms.reading import check_public_key_info
from pypkcs11.mechanisms.registry import Mechanism
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_DESTROYABLE,
    CKA_KEY_TYPE,
    CKA_MODULUS_BITS,
    CKA_PRIME,
    CKA_PRIME_BITS,
    CKA_PRIVATE,
    CKA_PUBLIC_KEY_INFO,
    CKA_TOKEN,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKR_ACTION_PROHIBITED,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_DOMAIN_PARAMS_INVALID,
    CKR_FUNCTION_FAILED,
    CKR_INFORMATION_SENSITIVE,
    CKR_MECHANISM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_USER_NOT_LOGGED_IN,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template, Value
from pypkcs11.store.protocol import Record

#: By a name of its own, because reading an enumeration's costs as much as a call.
_GENERATE: Final = Origin.GENERATE

#: How often a change is tried that another process gets ahead of.
_TRIES: Final = 16


def create_object(session: Session, template: Template) -> Object:
    """C_CreateObject (section 5.7.1).

    :raises CryptokiError: what the template deserves, CKR_SESSION_READ_ONLY for a token object in
        a read-only session, CKR_USER_NOT_LOGGED_IN for a private one without a login.
    """
    attributes = new_attributes(session, template, Origin.CREATE)
    attributes.update(complete(attributes))
    finish(attributes, Origin.CREATE, None)
    return enter(session, [attributes])[0]


def copy_object(session: Session, handle: int, template: Template) -> Object:
    """C_CopyObject (section 5.7.2).

    :raises CryptokiError: CKR_OBJECT_HANDLE_INVALID, CKR_ACTION_PROHIBITED, and as for
        :func:`create_object`.
    """
    token = session.token
    original = token.object(handle)
    _check_made(original)
    policy_of(token.config).change(original.attributes, template)
    attributes = copied(original.everything(), template, so=token.so_logged_in)
    return enter(session, [attributes])[0]


def destroy_object(session: Session, handle: int) -> None:
    """C_DestroyObject (section 5.7.3).

    :raises CryptokiError: CKR_OBJECT_HANDLE_INVALID, CKR_SESSION_READ_ONLY,
        CKR_ACTION_PROHIBITED.
    """
    token = session.token
    with token.changing:
        obj = token.object(handle)
        _check_made(obj)
        if obj.record_id:
            session.require_read_write()
        if not obj.attributes.get(CKA_DESTROYABLE, True):
            raise CryptokiError(CKR_ACTION_PROHIBITED, "CKA_DESTROYABLE is false")
        if obj.record_id:
            token.store.delete(obj.record_id)
        token.remove([obj])


def set_attributes(session: Session, handle: int, template: Template) -> None:
    """C_SetAttributeValue (section 5.7.6): all of the template or nothing of it.

    :raises CryptokiError: CKR_OBJECT_HANDLE_INVALID, CKR_SESSION_READ_ONLY,
        CKR_ACTION_PROHIBITED, and what the template deserves.
    """
    token = session.token
    with token.changing:
        for _ in range(_TRIES):
            if _set_attributes(session, token.object(handle), template):
                return
    raise CryptokiError(CKR_FUNCTION_FAILED, "other processes keep changing the object")


def _set_attributes(session: Session, obj: Object, template: Template) -> bool:
    """Change an object, unless another process has changed it since it was last seen."""
    token = session.token
    _check_made(obj)
    if obj.record_id:
        session.require_read_write()
    before = obj.attributes
    policy_of(token.config).change(before, template)
    changed = modified(before, template, so=token.so_logged_in)
    record = Record(obj.record_id, obj.private, {**before, **changed})
    if obj.record_id and not token.store.update(record, known=before):
        return False
    token.replace(obj, record)
    return True


def generate_key(session: Session, row: Mechanism, parameter: Any, template: Template) -> Object:
    """C_GenerateKey (section 5.18.1), of a secret key or of domain parameters.

    :raises CryptokiError: CKR_MECHANISM_INVALID, and as for :func:`create_object`.
    """
    if row.generate is None:
        raise CryptokiError(CKR_MECHANISM_INVALID, "the mechanism does not generate a key")
    given = _implied(row, CKO_SECRET_KEY)
    given.update(row.given)
    if not row.key_types:
        template = _of_any_type(template)
    attributes = new_attributes(
        session,
        template,
        _GENERATE,
        given,
        row.defaults,
        known=row.chosen,
    )
    check_access(session, attributes)
    if row.strong:
        _check_strength(row, attributes)
    attributes.update(row.generate(parameter, attributes))
    finish(attributes, _GENERATE, row.type)
    if row.returned is None:
        return enter(session, [attributes])[0]
    returned = row.returned(parameter)
    obj = enter(session, [attributes])[0]
    parameter.give_back((obj.handle,), returned)
    return obj


def generate_key_pair(
    session: Session,
    row: Mechanism,
    parameter: Any,
    public_template: Template,
    private_template: Template,
) -> tuple[Object, Object]:
    """C_GenerateKeyPair (section 5.18.2): both keys or neither.

    :raises CryptokiError: as for :func:`generate_key`.
    """
    if row.generate_pair is None:
        raise CryptokiError(CKR_MECHANISM_INVALID, "the mechanism does not generate a key pair")
    public = new_attributes(session, public_template, _GENERATE, _implied(row, CKO_PUBLIC_KEY))
    private = new_attributes(session, private_template, _GENERATE, _implied(row, CKO_PRIVATE_KEY))
    pair = [public, private]
    policy_of(session.token.config).pair(public, private)
    check_access(session, *pair)
    if row.strong:
        _check_strength(row, public)
    for given, made in zip(pair, row.generate_pair(parameter, public, private), strict=True):
        info = made.get(CKA_PUBLIC_KEY_INFO)
        if isinstance(info, bytes):
            check_public_key_info(given, info)
        given.update(made)
    for attributes in pair:
        finish(attributes, _GENERATE, row.type)
    public_key, private_key = enter(session, pair)
    return public_key, private_key


#: Where templates say how large a key is to be, and what a wrong size is answered with.
_SIZES: Final = (
    (CKA_MODULUS_BITS, CKR_ATTRIBUTE_VALUE_INVALID),
    (CKA_PRIME_BITS, CKR_ATTRIBUTE_VALUE_INVALID),
    (CKA_PRIME, CKR_DOMAIN_PARAMS_INVALID),
)


def _check_strength(row: Mechanism, attributes: Attributes) -> None:
    """Hold the size that a template asks for against what the configuration permits.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID, or CKR_DOMAIN_PARAMS_INVALID for a prime.
    """
    for type, rv in _SIZES:
        value = attributes.get(type)
        bits = int.from_bytes(value, "big").bit_length() if isinstance(value, bytes) else value
        if isinstance(bits, int) and bits < row.sizes[0]:
            raise CryptokiError(rv, f"{bits} bits: policy.weak_keys permits no fewer than 2048")


def object_size(session: Session, handle: int) -> int:
    """C_GetObjectSize (section 5.7.4): octets of the object's values, of the hidden ones too.

    :raises CryptokiError: CKR_OBJECT_HANDLE_INVALID, and CKR_INFORMATION_SENSITIVE as long as
        those are sealed.
    """
    obj = session.token.object(handle)
    try:
        return sum(map(_size, obj.everything().values()))
    except CryptokiError as error:
        if error.rv != CKR_USER_NOT_LOGGED_IN:
            raise
        raise CryptokiError(CKR_INFORMATION_SENSITIVE, "nobody is logged in") from None


def _size(value: Value) -> int:
    """Octets of a value in its C encoding on this platform."""
    if isinstance(value, bool):
        return 1
    if isinstance(value, int):
        return 8
    if isinstance(value, bytes):
        return len(value)
    return sum(24 + _size(item[1]) if isinstance(item, tuple) else 8 for item in value)


def _implied(row: Mechanism, object_class: int) -> dict[int, Value]:
    if not row.key_types:  # a mechanism for any type: the template says which
        return {CKA_CLASS: object_class}
    return {CKA_CLASS: object_class, CKA_KEY_TYPE: row.key_types[0]}


def _of_any_type(template: Template) -> Template:
    """The template of a key whose type the mechanism leaves open, held against that type."""
    key_type = dict(template).get(CKA_KEY_TYPE)
    if key_type is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "CKA_KEY_TYPE is missing")
    kind = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: key_type}
    return secret_length(kind, template)[1]


def new_attributes(
    session: Session,
    template: Template,
    origin: Origin,
    given: Attributes | None = None,
    defaults: Attributes | None = None,
    *,
    known: bool = False,
) -> dict[int, Value]:
    """The attributes of an object to be, but for what it contributes itself.

    :param given: what the call determines, which the template may only repeat.
    :param defaults: what the call determines where the template is silent.
    :param known: whether the caller knows the key, as one does that is created.
    :raises CryptokiError: as :func:`~pypkcs11.core.templates.build`, and what the policy refuses.
    """
    token = session.token
    attributes = build(
        template,
        origin,
        given=given or {},
        private=token.user_logged_in,
        so=token.so_logged_in,
    )
    asked = dict(template).keys()
    if defaults:
        attributes.update((type, defaults[type]) for type in defaults.keys() - asked)
    policy_of(token.config).new(Origin.CREATE if known else origin, asked, attributes)
    return attributes


def _check_made(obj: Object) -> None:
    """:raises CryptokiError: CKR_ACTION_PROHIBITED for an object that is part of the token."""
    if obj.built_in:
        raise CryptokiError(CKR_ACTION_PROHIBITED, "the object is part of the token")


def check_access(session: Session, *many: Attributes) -> None:
    """Whether the session may have such objects (section 5.6, tables of access).

    :raises CryptokiError: CKR_SESSION_READ_ONLY, CKR_USER_NOT_LOGGED_IN.
    """
    token = session.token
    token.require_access()
    for attributes in many:
        if attributes.get(CKA_TOKEN):
            session.require_read_write()
        if attributes.get(CKA_PRIVATE) and not token.user_logged_in:
            raise CryptokiError(CKR_USER_NOT_LOGGED_IN, "private objects are the user's alone")


def enter(session: Session, many: list[dict[int, Value]]) -> list[Object]:
    """Make objects of complete attributes, and the token's among them durable, all or none."""
    token = session.token
    check_access(session, *many)
    parts = list(map(split, many))
    records = [
        Record(0, bool(attributes[CKA_PRIVATE]), attributes, secret)
        for attributes, secret in parts
        if attributes[CKA_TOKEN]
    ]
    if records:
        token.objects()  # so that what is loaded later is not, once more, what is entered now
        token.store.insert(records)
    stored = iter(records)
    objects = [
        Object.stored(next(stored), token.store)
        if attributes[CKA_TOKEN]
        else Object(attributes, secret=secret, session=session)
        for attributes, secret in parts
    ]
    token.add(objects)
    return objects
