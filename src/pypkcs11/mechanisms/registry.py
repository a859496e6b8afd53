"""The rows of which the mechanism and key type tables are made.

Named tuples here and elsewhere in what C_Initialize imports: the module of data classes, and every
class it makes, cost more start-up time than all of the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pypkcs11.mechanisms.operation import Cipher, Digest, Recovery, Signature, Verification
from pypkcs11.standard.constants import (
    CKF_DECAPSULATE,
    CKF_DECRYPT,
    CKF_DERIVE,
    CKF_DIGEST,
    CKF_ENCAPSULATE,
    CKF_ENCRYPT,
    CKF_GENERATE,
    CKF_GENERATE_KEY_PAIR,
    CKF_MESSAGE_DECRYPT,
    CKF_MESSAGE_ENCRYPT,
    CKF_MESSAGE_SIGN,
    CKF_MESSAGE_VERIFY,
    CKF_MULTI_MESSAGE,
    CKF_SIGN,
    CKF_SIGN_RECOVER,
    CKF_UNWRAP,
    CKF_VERIFY,
    CKF_VERIFY_RECOVER,
    CKF_WRAP,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
)
from pypkcs11.standard.values import Attributes, Buffer, Template, Value

if TYPE_CHECKING:
    from pypkcs11.mechanisms.message_signatures import MessageSigning, MessageVerifying
    from pypkcs11.mechanisms.messages import MessageDecryption, MessageEncryption, Sealed

BITS = 1
BYTES = 8

#: A class of :mod:`pypkcs11.mechanisms.parameters`.
ParameterClass: TypeAlias = type[Any]


class Key:
    """A key as a mechanism uses it: parsed once, then kept with its object.

    ``type`` is its CKK_, ``bits`` its size, ``value`` what the family that loads it works with (a
    key of ``cryptography``, or the octets of a secret). ``cache`` is the family's own, for what
    is costly to derive from the key.
    """

    __slots__ = ("bits", "cache", "type", "value")

    def __init__(self, type: int, bits: int, value: Any, cache: Any = None) -> None:
        self.type = type
        self.bits = bits
        self.value = value
        self.cache = cache

    def __repr__(self) -> str:
        return f"<Key type={self.type:#x} bits={self.bits}>"


class PerKey:
    """A function of a row that does once for a key what every operation with it would do again.

    :param of: from the key to what makes an operation of a parameter.
    """

    __slots__ = ("of",)

    def __init__(self, of: Callable[[Key], Callable[[Any], Any]]) -> None:
        self.of = of

    def __call__(self, key: Key, parameter: Any) -> Any:
        return self.of(key)(parameter)


def always(operation: Any) -> Callable[[None], Any]:
    """What makes, whatever the parameter, the one operation of a key that keeps nothing."""
    return lambda parameter: operation


#: Attributes that a mechanism or key type adds to an object's.
Computed: TypeAlias = dict[int, Value]

_NONE: Mapping[int, Any] = MappingProxyType({})


class KeyType(NamedTuple):
    """How keys of one CKK_ are read out of attributes, by object class.

    ``load[class]`` makes a :class:`Key` of attributes that are already known to be good.
    ``complete[class]`` looks at a key that enters the token: it proves what the key can prove
    about itself (CKR_ATTRIBUTE_VALUE_INVALID for a value that is wrong on its own,
    CKR_TEMPLATE_INCONSISTENT for values that do not belong together), and returns the attributes
    that follow from the given ones or replace them in their one true form.
    ``export[class]`` writes a key as it is wrapped (its value, or a PrivateKeyInfo), and
    ``restore[class]`` gives the attributes that are in such octets (CKR_WRAPPED_KEY_INVALID); what
    they are worth ``complete`` says. ``lengths`` are the octets that a secret key may have; none
    for any number. ``public`` gives, of a private key, the attributes with which its public key
    would be created. ``shape`` makes a key of octets that were derived, for a type of which not all
    octets are keys (the parity of DES).
    """

    type: int
    load: dict[int, Callable[[Attributes], Key]]
    complete: dict[int, Callable[[Attributes], Computed]]
    export: Mapping[int, Callable[[Attributes], bytes]] = _NONE
    restore: Mapping[int, Callable[[bytes], Computed]] = _NONE
    lengths: frozenset[int] = frozenset()
    public: Callable[[Key], Computed] | None = None
    shape: Callable[[bytes], bytes] | None = None


class Payload(NamedTuple):
    """What a mechanism wraps.

    :param classes: of the keys.
    :param unit: octets of which the wrapped key is a multiple, filled up with zeros that cannot be
        told from the key's own; 1 where the length is kept.
    :param authentic: whether unwrapping notices octets that were never wrapped with the key.
    :param at_end: whether what is unwrapped has one length whatever was wrapped, and the key is at
        its end, as long as the template says.
    """

    classes: frozenset[int] = frozenset({CKO_SECRET_KEY})
    unit: int = 1
    authentic: bool = False
    at_end: bool = False


SECRETS = Payload()
ALL_KEYS = frozenset({CKO_SECRET_KEY, CKO_PRIVATE_KEY})


class Inheritance(NamedTuple):
    """What the base key's CKA_SENSITIVE and CKA_EXTRACTABLE mean for a derived key's.

    :param bound: whether it is sensitive if one of its base keys is, and unextractable likewise.
    :param default: whether it has the base key's values where the template is silent.
    :param equal: whether it has the base key's values, which the template may only repeat.
    :param any_base: whether it was always sensitive, or never extractable, if one of several base
        keys was, instead of all of them.
    """

    bound: bool = False
    default: bool = False
    equal: bool = False
    any_base: bool = False


FREE = Inheritance()


class Wanted(NamedTuple):
    """One of the objects that a derivation is to make.

    :param template: of the object.
    :param given: what the mechanism determines; a template that says otherwise is inconsistent.
    :param defaults: what the mechanism determines where the template is silent.
    :param length: of the secret in octets, if the mechanism determines it.
    """

    template: Template
    given: Attributes = _NONE
    defaults: Attributes = _NONE
    length: int | None = None


class Material(NamedTuple):
    """What a derivation gives that makes several objects, or one that is no secret key.

    :param values: what it contributes to the attributes of each object.
    :param returned: what goes back to the caller beside handles: IVs, a version.
    """

    values: Sequence[Computed]
    returned: Any = None

    def __repr__(self) -> str:
        return f"<Material of {len(self.values)}>"


class Derived(NamedTuple):
    """What a mechanism derives.

    :param object_class: of the new object, or objects.
    :param transparent: whether the base key can be computed from enough of what is derived. By the
        standard, such keys are sensitive and unextractable when one of their base keys is.
    :param second_key: gives the handle of the second base key that a parameter names, if any.
    :param inherits: what else a derived key has of its base key; transparent ones are bound.
    :param other_keys: gives the handles of all further base keys, where there can be several.
    :param plan: from a parameter and the caller's template to what is wanted, None standing for an
        object that this time is not; without it, one object of the caller's template.
    :param by_handle: whether C_DeriveKey itself returns a handle, that of the first object.
    :param gives_back: whether the parameter has a ``give_back``, which is called with all handles
        and with what else is returned.
    :param reveals: whether, with this parameter, the caller is told octets of a secret.
    :param blame: is told which object of the plan could not be made.
    """

    object_class: int = CKO_SECRET_KEY
    transparent: bool = False
    second_key: Callable[[Any], int | None] | None = None
    inherits: Inheritance = FREE
    other_keys: Callable[[Any], Sequence[int]] | None = None
    plan: Callable[[Any, Template], Sequence[Wanted | None]] | None = None
    by_handle: bool = True
    gives_back: bool = False
    reveals: Callable[[Any], bool] | None = None
    blame: Callable[[Any, int], None] | None = None


A_KEY = Derived()


class Encapsulation(NamedTuple):
    """The encapsulation of a new secret.

    :param length: of the ciphertext, in octets.
    :param run: from the octets wanted of the secret (None for as many as it has by nature) to the
        secret and the ciphertext.
    """

    length: int
    run: Callable[[int | None], tuple[bytes, bytes]]


class Mechanism(NamedTuple):
    """One mechanism: which functions it serves, with which keys and parameter.

    :param type: its CKM_.
    :param key_types: the CKK_ it takes; for key generation, the one it makes comes first.
    :param sizes: smallest and largest key, in ``unit`` (``BITS`` or ``BYTES``) as
        C_GetMechanismInfo reports them; (0, 0) where the mechanism has no key.
    :param parameter: the class in :mod:`pypkcs11.mechanisms.parameters`, or None for none.
    :param parameter_optional: whether a caller may leave the parameter out (None is passed on).
    :param extra_flags: CKF_EC_ and the like.
    :param given: attributes that a generated key has, which the template may only repeat.
    :param defaults: those that it has where the template is silent.
    :param generate: from a parameter and the template's attributes to the new key's, or
        to those of new domain parameters (whose class ``given`` says).
    :param returned: of a mechanism that generates, what it gives back beside the key (an IV), from
        a parameter that has a ``give_back`` for it.
    :param strong: the smallest key, in ``unit``, that is generated unless the configuration permits
        weak ones; 0 if all are strong.
    :param generate_pair: the same for a key pair: (parameter, public, private) templates'
        attributes to the new public and private keys' attributes.
    :param wrap: from the wrapping key, a parameter and a key's octets to the wrapped key.
    :param unwrap: the way back, to the key's octets and what was filled up (see ``payload``).
    :param derive: from the base key, a parameter, the octets wanted (None for as many as the
        mechanism gives by nature) and the second base key, if any, to that many octets.
    :param encapsulate: from the public key and a parameter to an :class:`Encapsulation`.
    :param decapsulate: from the private key, a parameter, the ciphertext and the octets wanted
        (None as before) to the secret.
    :param derive_many: the same for what is not just one secret: from the base key, a parameter,
        the octets of each object in the plan and the other base keys.
    :param chosen: whether who generates a key knows it, since it is made of a password.
    :param legacy: whether it is too old to be offered unless the configuration asks for it.
    :param message_parameter: the class of what comes with each message, or None for nothing.
    :param message_encrypt: from the key, and its nonces, to what encrypts message by message; the
        signing and verifying functions take the mechanism's parameter instead.
    :param wrap_authenticated: from the wrapping key, the message's parameter, the nonces, the
        associated data and a key's octets to the wrapped key, as long as the octets.
    :param unwrap_authenticated: from the key, the message's parameter with its tag, the associated
        data and the wrapped key to the key's octets.
    """

    type: int
    key_types: tuple[int, ...] = ()
    sizes: tuple[int, int] = (0, 0)
    unit: int = BITS
    parameter: ParameterClass | None = None
    parameter_optional: bool = False
    extra_flags: int = 0
    digest: Callable[[Any], Digest] | None = None
    sign: Callable[[Key, Any], Signature] | None = None
    verify: Callable[[Key, Any], Verification] | None = None
    encrypt: Callable[[Key, Any], Cipher] | None = None
    decrypt: Callable[[Key, Any], Cipher] | None = None
    generate: Callable[[Any, Attributes], Computed] | None = None
    returned: Callable[[Any], Any] | None = None
    strong: int = 0
    generate_pair: Callable[[Any, Attributes, Attributes], tuple[Computed, Computed]] | None = None
    wrap: Callable[[Key, Any, bytes], bytes] | None = None
    unwrap: Callable[[Key, Any, bytes], bytes] | None = None
    payload: Payload = SECRETS
    derive: Callable[[Key, Any, int | None, Key | None], bytes] | None = None
    derived: Derived = A_KEY
    encapsulate: Callable[[Key, Any], Encapsulation] | None = None
    decapsulate: Callable[[Key, Any, bytes, int | None], bytes] | None = None
    derive_many: Callable[[Key, Any, Sequence[int | None], Sequence[Key]], Material] | None = None
    chosen: bool = False
    given: Attributes = _NONE
    defaults: Attributes = _NONE
    legacy: bool = False
    sign_recover: Callable[[Key, Any], Signature] | None = None
    verify_recover: Callable[[Key, Any], Recovery] | None = None
    message_parameter: ParameterClass | None = None
    message_encrypt: Callable[[Key, Any], MessageEncryption] | None = None
    message_decrypt: Callable[[Key, Any], MessageDecryption] | None = None
    message_sign: Callable[[Key, Any], MessageSigning] | None = None
    message_verify: Callable[[Key, Any], MessageVerifying] | None = None
    wrap_authenticated: Callable[[Key, Any, Any, Buffer, bytes], Sealed] | None = None
    unwrap_authenticated: Callable[[Key, Any, bytes, Buffer, bytes], bytes] | None = None

    @property
    def flags(self) -> int:
        """The CKF_ flags of CK_MECHANISM_INFO, true by construction."""
        flags = self.extra_flags
        for name, flag in _FLAGS.items():
            if getattr(self, name) is not None:
                flags |= flag
        return flags


_FLAGS = {
    "encrypt": CKF_ENCRYPT,
    "decrypt": CKF_DECRYPT,
    "digest": CKF_DIGEST,
    "sign": CKF_SIGN,
    "verify": CKF_VERIFY,
    "generate": CKF_GENERATE,
    "generate_pair": CKF_GENERATE_KEY_PAIR,
    "wrap": CKF_WRAP,
    "unwrap": CKF_UNWRAP,
    "derive": CKF_DERIVE,
    "encapsulate": CKF_ENCAPSULATE,
    "decapsulate": CKF_DECAPSULATE,
    "derive_many": CKF_DERIVE,
    "sign_recover": CKF_SIGN_RECOVER,
    "verify_recover": CKF_VERIFY_RECOVER,
    # What takes messages takes them in parts as well.
    "message_encrypt": CKF_MESSAGE_ENCRYPT | CKF_MULTI_MESSAGE,
    "message_decrypt": CKF_MESSAGE_DECRYPT | CKF_MULTI_MESSAGE,
    "message_sign": CKF_MESSAGE_SIGN | CKF_MULTI_MESSAGE,
    "message_verify": CKF_MESSAGE_VERIFY | CKF_MULTI_MESSAGE,
}
