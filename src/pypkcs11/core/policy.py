"""What a token permits beyond what the standard says: nothing less by default, less when strict.

The standard leaves it to applications to make keys that do not betray each other. The attacks on
those who did not are published (Clulow 2003; Delaune, Kremer and Steel 2010; Bortolozzo, Centenaro,
Focardi and Steel 2010). docs/policy.md lists them, and what ``policy.strict`` does about each.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any, Final

from pypkcs11.core.templates import Origin
from pypkcs11.mechanisms.parameters import EcdhAesWrap, RsaAesWrap
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_DECAPSULATE,
    CKA_DECAPSULATE_TEMPLATE,
    CKA_DECRYPT,
    CKA_DERIVE,
    CKA_ENCAPSULATE,
    CKA_ENCRYPT,
    CKA_EXTRACTABLE,
    CKA_KEY_GEN_MECHANISM,
    CKA_LOCAL,
    CKA_SENSITIVE,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_TRUSTED,
    CKA_UNWRAP,
    CKA_UNWRAP_TEMPLATE,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_WRAP,
    CKA_WRAP_TEMPLATE,
    CKK_AES_XTS,
    CKK_DES,
    CKK_DES2,
    CKK_DES3,
    CKK_DH,
    CKK_DSA,
    CKK_EC,
    CKK_EC_EDWARDS,
    CKK_EC_MONTGOMERY,
    CKK_ML_DSA,
    CKK_ML_KEM,
    CKK_RSA,
    CKK_X9_42_DH,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_READ_ONLY,
    CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_INDIGESTIBLE,
    CKR_KEY_NOT_WRAPPABLE,
    CKR_KEY_SIZE_RANGE,
    CKR_MECHANISM_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
    CKR_WRAPPING_KEY_SIZE_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template, Value

if TYPE_CHECKING:
    from pypkcs11.core.config import Config


class Policy:
    """What the standard permits. Every method may refuse, with a CryptokiError; these do not."""

    __slots__ = ()

    def new(self, origin: Origin, asked: Set[int], attributes: dict[int, Value]) -> None:
        """An object is to be made.

        :param asked: the attributes that the template gives.
        :param attributes: all of them, but for what the key itself contributes; may be changed.
        """

    def pair(self, public: Attributes, private: Attributes) -> None:
        """The two are to be the halves of a new key pair."""

    def change(self, attributes: Attributes, template: Template) -> None:
        """An object, or a copy of it, is to have a template's values."""

    def wrap(self, row: Mechanism, wrapping: Attributes, attributes: Attributes) -> None:
        """A key is to be wrapped by another.

        :param wrapping: the wrapping key's attributes.
        :param attributes: of the key to be wrapped.
        """

    def check_strength(self, by: Key, parameter: Any, key: Key) -> None:
        """A key is to be wrapped by the key ``by``."""

    def unwrap(self, row: Mechanism, unwrapping: Attributes, template: Template) -> None:
        """A key is to be unwrapped, with the caller's template."""

    def encapsulate(self, public: Attributes) -> None:
        """A new key is to be encapsulated with a public key."""

    def decapsulate(self, private: Attributes, template: Template) -> None:
        """A key is to be decapsulated with a private key, with the caller's template."""

    def derive(self, row: Mechanism, parameter: Any, bases: Sequence[Attributes]) -> bool:
        """A key is to be derived.

        :return: whether it is sensitive if one of its base keys is, and unextractable likewise.
        """
        return row.derived.transparent or row.derived.inherits.bound

    def derived(self, bases: Sequence[Attributes], secret: bytes) -> None:
        """A secret key has been derived, and is to be made."""

    def digest(self, attributes: Attributes) -> None:
        """A secret key is to be digested."""


# -- strict -----------------------------------------------------------------------------------

_ENCRYPTION: Final = frozenset({CKA_ENCRYPT, CKA_DECRYPT})
_SIGNATURE: Final = frozenset({CKA_SIGN, CKA_VERIFY, CKA_SIGN_RECOVER, CKA_VERIFY_RECOVER})
_MANAGEMENT: Final = frozenset({CKA_WRAP, CKA_UNWRAP})
_DERIVATION: Final = frozenset({CKA_DERIVE})
_ENCAPSULATION: Final = frozenset({CKA_ENCAPSULATE, CKA_DECAPSULATE})

#: Octets of the shortest key that is derived from a hidden one. By keys of one octet, two and so
#: on, each found by trying, a long one could be found (112 bits: NIST SP 800-131A, section 2).
_SHORTEST: Final = 14

#: What a key can be for. A key has one role.
_ROLES: Final = (_ENCRYPTION, _SIGNATURE, _MANAGEMENT, _DERIVATION, _ENCAPSULATION)
_USAGES: Final = frozenset().union(*_ROLES)
#: Ways by which a key comes that may be here, or may come here, more than once.
_BROUGHT_IN: Final = frozenset({Origin.UNWRAP, Origin.ENCAPSULATE})
_KEYS: Final = frozenset({CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY})


class Strict(Policy):
    """What leaves a sensitive key in the clear, or brings in one that others know, is refused."""

    __slots__ = ()

    def new(self, origin: Origin, asked: Set[int], attributes: dict[int, Value]) -> None:
        if attributes[CKA_CLASS] not in _KEYS:
            return
        for usage in _USAGES.difference(asked).intersection(attributes):
            attributes[usage] = False
        roles = _roles(attributes)
        if len(roles) > 1:
            raise _inconsistent("a key has one role")
        if _MANAGEMENT in roles:
            if origin is not Origin.GENERATE and not attributes.get(CKA_TRUSTED):
                raise _inconsistent("keys that wrap or unwrap are generated, or the SO trusts them")
            if attributes.get(CKA_EXTRACTABLE):
                raise _inconsistent("keys that wrap or unwrap are not extractable")
        if origin in _BROUGHT_IN and not attributes[CKA_SENSITIVE]:
            if CKA_SENSITIVE in asked:
                raise _inconsistent("an unwrapped or encapsulated key is sensitive")
            attributes[CKA_SENSITIVE] = True
        _check_round_trip(attributes, attributes)

    def pair(self, public: Attributes, private: Attributes) -> None:
        roles = _roles(public) | _roles(private)
        if len(roles) > 1:
            raise _inconsistent("a key pair has one role")
        if public[CKA_WRAP] and private[CKA_EXTRACTABLE]:
            raise _inconsistent("what a public key wraps, its private key must not give away")
        _check_round_trip(public, private)

    def change(self, attributes: Attributes, template: Template) -> None:
        if any(
            type in _USAGES and value is True and attributes.get(type) is not True
            for type, value in template
        ):
            raise CryptokiError(CKR_ATTRIBUTE_READ_ONLY, "a key's role is settled when it is made")

    def wrap(self, row: Mechanism, wrapping: Attributes, attributes: Attributes) -> None:
        _check_manager(row, wrapping)
        if _MANAGEMENT in _roles(attributes):
            raise CryptokiError(CKR_KEY_NOT_WRAPPABLE, "a key that wraps or unwraps")
        pinned = _usages(dict(_template(wrapping, CKA_WRAP_TEMPLATE)))
        if not wrapping.get(CKA_TRUSTED) and not _usages(attributes) <= pinned:
            raise CryptokiError(CKR_KEY_NOT_WRAPPABLE, "CKA_WRAP_TEMPLATE does not say its role")

    def check_strength(self, by: Key, parameter: Any, key: Key) -> None:
        strength = _strength(by)
        if isinstance(parameter, (RsaAesWrap, EcdhAesWrap)):
            strength = min(strength, parameter.aes_bits)
        if strength < _strength(key):
            raise CryptokiError(CKR_WRAPPING_KEY_SIZE_RANGE, "weaker than the key to be wrapped")

    def unwrap(self, row: Mechanism, unwrapping: Attributes, template: Template) -> None:
        _check_manager(row, unwrapping)
        if not _usages(dict(template)) <= _usages(dict(_template(unwrapping, CKA_UNWRAP_TEMPLATE))):
            raise _inconsistent("CKA_UNWRAP_TEMPLATE does not give this role")

    def encapsulate(self, public: Attributes) -> None:
        _check_encapsulator(public)

    def decapsulate(self, private: Attributes, template: Template) -> None:
        _check_encapsulator(private)
        given = _usages(dict(_template(private, CKA_DECAPSULATE_TEMPLATE)))
        if not _usages(dict(template)) <= given:
            raise _inconsistent("CKA_DECAPSULATE_TEMPLATE does not give this role")

    def derive(self, row: Mechanism, parameter: Any, bases: Sequence[Attributes]) -> bool:
        derived = row.derived
        if derived.object_class == CKO_PUBLIC_KEY:
            return False
        if any(_roles(base) != {_DERIVATION} for base in bases):
            raise CryptokiError(CKR_KEY_FUNCTION_NOT_PERMITTED, "the key has other roles")
        known = (
            derived.transparent
            or derived.object_class not in _KEYS
            or (derived.reveals is not None and derived.reveals(parameter))
        )
        if known and any(map(_is_secret, bases)):
            raise CryptokiError(CKR_MECHANISM_INVALID, "its result would tell of a secret base key")
        return True

    def derived(self, bases: Sequence[Attributes], secret: bytes) -> None:
        if len(secret) < _SHORTEST and any(map(_is_secret, bases)):
            raise CryptokiError(CKR_KEY_SIZE_RANGE, "a key that could be found by trying")

    def digest(self, attributes: Attributes) -> None:
        if _is_secret(attributes):
            raise CryptokiError(CKR_KEY_INDIGESTIBLE, "the digest may be the value of another key")


def _roles(attributes: Attributes) -> set[frozenset[int]]:
    usages = _usages(attributes)
    return {role for role in _ROLES if not role.isdisjoint(usages)}


def _usages(attributes: Attributes) -> set[int]:
    return {usage for usage in _USAGES if attributes.get(usage) is True}


def _is_secret(attributes: Attributes) -> bool:
    """Whether nobody may see the key."""
    return attributes.get(CKA_SENSITIVE) is not False or attributes.get(CKA_EXTRACTABLE) is not True


def _template(attributes: Attributes, type: int) -> Template:
    value = attributes.get(type, ())
    return value  # type: ignore[return-value]


def _check_manager(row: Mechanism, attributes: Attributes) -> None:
    """Whether a key may wrap or unwrap; those made before the policy was strict, too."""
    if not row.payload.authentic:
        raise CryptokiError(CKR_MECHANISM_INVALID, "what it unwraps need never have been wrapped")
    if (
        _roles(attributes) != {_MANAGEMENT}
        or attributes.get(CKA_EXTRACTABLE)
        or not (_is_own(attributes) or attributes.get(CKA_TRUSTED))
    ):
        raise CryptokiError(CKR_KEY_FUNCTION_NOT_PERMITTED, "not made to wrap and unwrap only")


def _check_encapsulator(attributes: Attributes) -> None:
    """Whether a key may encapsulate or decapsulate; one made before strictness, too."""
    if _roles(attributes) != {_ENCAPSULATION}:
        raise CryptokiError(CKR_KEY_FUNCTION_NOT_PERMITTED, "the key has other roles")


def _is_own(attributes: Attributes) -> bool:
    """Whether the token generated the key, and not out of a password that somebody knows."""
    row = mechanisms().get(attributes.get(CKA_KEY_GEN_MECHANISM))  # type: ignore[arg-type]
    return bool(attributes.get(CKA_LOCAL)) and not (row is not None and row.chosen)


def _check_round_trip(wrapping: Attributes, unwrapping: Attributes) -> None:
    """Keys must not come back with a role that they did not have when they left."""
    leaving = _usages(dict(_template(wrapping, CKA_WRAP_TEMPLATE)))
    coming = _usages(dict(_template(unwrapping, CKA_UNWRAP_TEMPLATE)))
    if wrapping.get(CKA_WRAP) and unwrapping.get(CKA_UNWRAP) and not coming <= leaving:
        raise _inconsistent("CKA_UNWRAP_TEMPLATE gives a role that CKA_WRAP_TEMPLATE does not ask")


#: Security strengths by the least size in bits: of RSA and DES keys and those over finite fields
#: (NIST SP 800-57 part 1, table 2), and of those whose size is their public key's (FIPS 203 and
#: 204: categories 2, 3 and 5).
_FACTORING: Final = ((15360, 256), (7680, 192), (3072, 128), (2048, 112), (1024, 80))
_STRENGTHS: Final = {
    CKK_RSA: _FACTORING,
    CKK_DSA: _FACTORING,
    CKK_DH: _FACTORING,
    CKK_X9_42_DH: _FACTORING,
    CKK_DES: ((64, 56),),
    CKK_DES2: ((128, 80),),
    CKK_DES3: ((192, 112),),
    CKK_AES_XTS: ((512, 256), (256, 128)),
    CKK_ML_DSA: ((2592 * 8, 256), (1952 * 8, 192), (1312 * 8, 128)),
    CKK_ML_KEM: ((1568 * 8, 256), (1184 * 8, 192)),
}
_CURVES: Final = frozenset({CKK_EC, CKK_EC_EDWARDS, CKK_EC_MONTGOMERY})
_STRONGEST: Final = 256


def _strength(key: Key) -> int:
    """The bits of work that a key withstands."""
    if key.type in _STRENGTHS:
        known = _STRENGTHS[key.type]
        return next((strength for size, strength in known if key.bits >= size), 0)
    bits = (key.bits + 1) // 2 if key.type in _CURVES else key.bits
    return min(bits, _STRONGEST)


def _inconsistent(why: str) -> CryptokiError:
    return CryptokiError(CKR_TEMPLATE_INCONSISTENT, why)


_STANDARD: Final = Policy()
_STRICT: Final = Strict()


def policy_of(config: Config) -> Policy:
    """The policy that is configured."""
    return _STRICT if config.policy_strict else _STANDARD
