"""Objects that are part of every token: its profiles, its mechanisms and its hardware features.

They are there without being created and cannot be changed, copied or destroyed. None is in the
store, and none is made before somebody looks for it: most applications never do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pypkcs11.core.attributes import BUILT_IN
from pypkcs11.core.objects import Object, Unavailable
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_HAS_RESET,
    CKA_HW_FEATURE_TYPE,
    CKA_MECHANISM_TYPE,
    CKA_PROFILE_ID,
    CKA_RESET_ON_INIT,
    CKA_UNIQUE_ID,
    CKA_VALUE,
    CKH_CLOCK,
    CKH_MONOTONIC_COUNTER,
    CKM_HKDF_DATA,
    CKO_HW_FEATURE,
    CKO_MECHANISM,
    CKO_PROFILE,
    CKP_AUTHENTICATION_TOKEN,
    CKP_BASELINE_PROVIDER,
    CKP_EXTENDED_PROVIDER,
    CKP_HKDF_TLS_TOKEN,
)
from pypkcs11.standard.values import Attributes, Template, Value

if TYPE_CHECKING:
    from pypkcs11.core.config import Config
    from pypkcs11.core.search import ObjectTable
    from pypkcs11.store.protocol import TokenStore

#: The profiles that a token meets, each with the mechanisms that it asks for by name (PKCS #11
#: Profiles v3.2, section 5). CKP_PUBLIC_CERTIFICATES_TOKEN is not among them: it promises that no
#: certificate is private and that each has the CKA_ID of its keys, which is in the hands of those
#: who store certificates. CKP_COMPLETE_PROVIDER would need every mechanism of the standard.
_PROFILES: Final = (
    (CKP_BASELINE_PROVIDER, ()),
    (CKP_EXTENDED_PROVIDER, ()),
    (CKP_AUTHENTICATION_TOKEN, ()),
    (CKP_HKDF_TLS_TOKEN, (CKM_HKDF_DATA,)),
)

#: All that a profile object has, but for its class.
_OF_PROFILES: Final = frozenset({CKA_UNIQUE_ID, CKA_PROFILE_ID})

#: Octets of a monotonic counter's value.
_COUNTER_LENGTH: Final = 8


class BuiltIn(Object):
    """An object that is part of a token."""

    __slots__ = ()

    built_in = True

    def secret(self) -> Attributes:
        """Nothing: built-in objects have no secrets."""
        return {}


class _Computed(BuiltIn):
    """A built-in object whose CKA_VALUE is made when it is read."""

    __slots__ = ()

    def value(self) -> Value:
        """CKA_VALUE as it is now."""
        raise NotImplementedError

    def read(self, attribute: int) -> Value | Unavailable:
        """The value of an attribute."""
        return self.value() if attribute == CKA_VALUE else super().read(attribute)

    def everything(self) -> Attributes:
        """All attributes."""
        return {**self.attributes, CKA_VALUE: self.value()}


class Clock(_Computed):
    """The clock (section 4.3.3): that of the machine, in UTC."""

    __slots__ = ()

    def value(self) -> Value:
        """The time as CK_TOKEN_INFO.utcTime writes it."""
        return utc_time().encode()


class MonotonicCounter(_Computed):
    """The counter (section 4.3.4), which the store keeps."""

    __slots__ = ()

    def value(self) -> Value:
        """A number greater than any that was read before, big-endian.

        :raises CryptokiError: what the store raises when it cannot write.
        """
        assert self.store is not None
        return self.store.count().to_bytes(_COUNTER_LENGTH, "big")


def utc_time() -> str:
    """The time now, YYYYMMDDhhmmss and two reserved zeros (section 3.2, CK_TOKEN_INFO)."""
    return time.strftime("%Y%m%d%H%M%S00", time.gmtime())


def looked_for(template: Template) -> bool:
    """Whether a search may find built-in objects.

    Mechanisms and hardware features are found by those who ask for their class, and by nobody
    else: this "protects applications written to previous versions of Cryptoki from finding objects
    that they do not understand" (sections 4.3 and 4.13 of v3.1; v3.2 is silent). Profiles are
    found by whatever names one of their attributes. That an empty template, by which applications
    list what they have stored, does not find them is the same protection.
    """
    for attribute, value in template:
        if attribute == CKA_CLASS:
            return value in BUILT_IN
    return bool(template) and all(attribute in _OF_PROFILES for attribute, _ in template)


def find(objects: ObjectTable, template: Template) -> list[int]:
    """Handles of the built-in objects that a template looks for.

    :param objects: the token's built-in objects.
    """
    if all(attribute != CKA_CLASS for attribute, _ in template):
        template = (*template, (CKA_CLASS, CKO_PROFILE))
    return objects.find(template)


def make(store: TokenStore, config: Config) -> Iterator[Object]:
    """Make the built-in objects of a token.

    Their CKA_UNIQUE_ID is the token's serial and the object's name: the same in every process,
    for as long as the token lives.
    """
    offered = [
        number for number, row in mechanisms().items() if config.offers(number, legacy=row.legacy)
    ]
    for profile, needed in _PROFILES:
        if all(number in offered for number in needed):
            attributes = _attributes(store, CKO_PROFILE, f"profile-{profile}")
            attributes[CKA_PROFILE_ID] = profile
            yield BuiltIn(attributes)
    for number in offered:
        attributes = _attributes(store, CKO_MECHANISM, f"mechanism-{number:x}")
        attributes[CKA_MECHANISM_TYPE] = number
        yield BuiltIn(attributes)
    attributes = _attributes(store, CKO_HW_FEATURE, "clock")
    attributes[CKA_HW_FEATURE_TYPE] = CKH_CLOCK
    yield Clock(attributes)
    if not store.describe().write_protected:
        attributes = _attributes(store, CKO_HW_FEATURE, "counter")
        attributes[CKA_HW_FEATURE_TYPE] = CKH_MONOTONIC_COUNTER
        attributes[CKA_RESET_ON_INIT] = False
        attributes[CKA_HAS_RESET] = False
        yield MonotonicCounter(attributes, store=store)


def _attributes(store: TokenStore, object_class: int, name: str) -> dict[int, Value]:
    return {CKA_CLASS: object_class, CKA_UNIQUE_ID: f"{store.serial}-{name}".encode()}
