"""Keys that come of a seed and a parameter set: ML-DSA and ML-KEM (PKCS #11 v3.2, 6.67 and 6.68).

A private key is its seed; CKA_VALUE, the expanded form, is what follows from it. The library
beneath takes keys by their seeds only, so a private key that is given without one is refused.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from pypkcs11.mechanisms import der, pkcs8
from pypkcs11.mechanisms.expanded_keys import expanded
from pypkcs11.mechanisms.reading import check_public_key_info, number, octets
from pypkcs11.mechanisms.registry import Computed, Key, KeyType
from pypkcs11.standard.constants import (
    CKA_PARAMETER_SET,
    CKA_PUBLIC_KEY_INFO,
    CKA_SEED,
    CKA_VALUE,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_PARAMETER_SET_NOT_SUPPORTED,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: The [0] before a seed that stands alone (RFC 9881, section 6; RFC 9935, section 6).
_SEED_ALONE = 0x80


class ParameterSet(NamedTuple):
    """A parameter set.

    :param number: its CKP_.
    :param oid: the algorithm's OBJECT IDENTIFIER, dotted.
    :param module: of the library beneath that has it.
    :param name: of its classes there.
    :param public: octets of a public key.
    """

    number: int
    oid: str
    module: str
    name: str
    public: int

    @property
    def bits(self) -> int:
        """The size of keys: mechanisms count that of public keys."""
        return self.public * 8

    @property
    def identifier(self) -> bytes:
        """The OBJECT IDENTIFIER, encoded."""
        return der.object_identifier(self.oid)

    def from_seed(self, seed: bytes) -> Any:
        """The private key of a seed."""
        return self._class("PrivateKey").from_seed_bytes(seed)

    def from_public(self, value: bytes) -> Any:
        """A public key."""
        return self._class("PublicKey").from_public_bytes(value)

    def generate(self) -> Any:
        """A new private key."""
        return self._class("PrivateKey").generate()

    def _class(self, kind: str) -> Any:
        # Imported with the first key: most applications never have one.
        module = import_module(f"cryptography.hazmat.primitives.asymmetric.{self.module}")
        return getattr(module, f"{self.name}{kind}")


class SeedKeys:
    """The keys of one CKK_: how they are read, proved, completed and made.

    :param seed: octets of a seed.
    :param foreign: OBJECT IDENTIFIERs of parameter sets that the library beneath does not have.
    """

    def __init__(
        self,
        key_type: int,
        seed: int,
        sets: tuple[ParameterSet, ...],
        foreign: tuple[str, ...] = (),
    ) -> None:
        self._type = key_type
        self._seed = seed
        self._sets = {each.number: each for each in sets}
        self._by_identifier = {each.identifier: each for each in sets}
        self._by_bits = {each.bits: each for each in sets}
        self._foreign = frozenset(map(der.object_identifier, foreign))
        #: Smallest and largest public key, in octets.
        self.sizes = (min(each.public for each in sets), max(each.public for each in sets))

    def rows(self) -> tuple[KeyType, ...]:
        """The key type's row."""
        return (
            KeyType(
                type=self._type,
                load={CKO_PUBLIC_KEY: self._load_public, CKO_PRIVATE_KEY: self._load_private},
                complete={
                    CKO_PUBLIC_KEY: self._complete_public,
                    CKO_PRIVATE_KEY: self._complete_private,
                },
                export={CKO_PRIVATE_KEY: self._export},
                restore={CKO_PRIVATE_KEY: self._restore},
                public=self._public_of,
            ),
        )

    def generate(
        self, parameter: None, public: Attributes, private: Attributes
    ) -> tuple[Computed, Computed]:
        """A key pair of the public template's CKA_PARAMETER_SET."""
        chosen = self._set(public)
        key = chosen.generate()
        return _public_attributes(chosen, key.public_key()), _private_attributes(chosen, key)

    def _set(self, attributes: Attributes) -> ParameterSet:
        chosen = self._sets.get(number(attributes, CKA_PARAMETER_SET))
        if chosen is None:
            raise _unsupported()
        return chosen

    def _public_key(self, chosen: ParameterSet, attributes: Attributes) -> Any:
        try:
            return chosen.from_public(octets(attributes, CKA_VALUE))
        except ValueError:
            raise CryptokiError(
                CKR_ATTRIBUTE_VALUE_INVALID, "no public key of the parameter set"
            ) from None

    def _private_key(self, chosen: ParameterSet, attributes: Attributes) -> Any:
        seed = attributes.get(CKA_SEED)
        if not isinstance(seed, bytes) or not seed:
            raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "CKA_SEED is missing")
        if len(seed) != self._seed:
            raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the seed has another length")
        return chosen.from_seed(seed)

    def _load_public(self, attributes: Attributes) -> Key:
        chosen = self._set(attributes)
        return Key(self._type, chosen.bits, self._public_key(chosen, attributes))

    def _load_private(self, attributes: Attributes) -> Key:
        chosen = self._set(attributes)
        return Key(self._type, chosen.bits, self._private_key(chosen, attributes))

    def _public_of(self, key: Key) -> Computed:
        """The attributes of a private key's public key."""
        return _public_attributes(self._by_bits[key.bits], key.value.public_key())

    def _complete_public(self, attributes: Attributes) -> Computed:
        """The key info.

        :raises CryptokiError: CKR_PARAMETER_SET_NOT_SUPPORTED, CKR_ATTRIBUTE_VALUE_INVALID,
            CKR_TEMPLATE_INCONSISTENT for another CKA_PUBLIC_KEY_INFO.
        """
        chosen = self._set(attributes)
        computed = _public_attributes(chosen, self._public_key(chosen, attributes))
        check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
        return computed

    def _complete_private(self, attributes: Attributes) -> Computed:
        """The expanded form and the public key's info.

        :raises CryptokiError: as :meth:`_complete_public`, and CKR_TEMPLATE_INCOMPLETE without a
            seed, CKR_TEMPLATE_INCONSISTENT for a CKA_VALUE that is not the seed's.
        """
        chosen = self._set(attributes)
        computed = _private_attributes(chosen, self._private_key(chosen, attributes))
        if attributes.get(CKA_VALUE) not in (None, b"", computed[CKA_VALUE]):
            raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "CKA_VALUE is of another seed")
        check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
        return computed

    def _export(self, attributes: Attributes) -> bytes:
        return _info(self._set(attributes), octets(attributes, CKA_SEED))

    def _restore(self, wrapped: bytes) -> Computed:
        """The way back, from a seed with the expanded form or without.

        :raises CryptokiError: CKR_WRAPPED_KEY_INVALID, for the expanded form alone, too, and
            CKR_PARAMETER_SET_NOT_SUPPORTED.
        """
        identifier, _, key = pkcs8.decode(wrapped)
        chosen = self._by_identifier.get(identifier)
        if identifier in self._foreign:
            raise _unsupported()
        if chosen is None:
            raise pkcs8.invalid("a key of another algorithm")
        found: Computed = {CKA_PARAMETER_SET: chosen.number}
        seed = der.content(_SEED_ALONE, key)
        if seed is None:
            forms = pkcs8.sequence(key)
            if [tag for tag, _ in forms] != [der.OCTET_STRING, der.OCTET_STRING]:
                raise pkcs8.invalid("the private key has no seed")
            (_, seed), (_, found[CKA_VALUE]) = forms
        found[CKA_SEED] = seed
        return found


def _public_attributes(chosen: ParameterSet, key: Any) -> Computed:
    value = key.public_bytes_raw()
    return {
        CKA_PARAMETER_SET: chosen.number,
        CKA_VALUE: value,
        CKA_PUBLIC_KEY_INFO: der.public_key_info(chosen.identifier, value),
    }


def _private_attributes(chosen: ParameterSet, key: Any) -> Computed:
    seed = key.private_bytes_raw()
    public = key.public_key().public_bytes_raw()
    return {
        CKA_PARAMETER_SET: chosen.number,
        CKA_SEED: seed,
        CKA_VALUE: expanded(_info(chosen, seed)),
        CKA_PUBLIC_KEY_INFO: der.public_key_info(chosen.identifier, public),
    }


def _info(chosen: ParameterSet, seed: bytes) -> bytes:
    """A PrivateKeyInfo with the seed alone, which the RFCs recommend."""
    return pkcs8.encode(chosen.identifier, der.encode(_SEED_ALONE, seed))


def _unsupported() -> CryptokiError:
    return CryptokiError(CKR_PARAMETER_SET_NOT_SUPPORTED, "no such parameter set here")
