"""Keys over finite fields: DSA, PKCS #3 and X9.42 Diffie-Hellman (PKCS #11 v3.2, 6.2 and 6.4).

Their attributes are alike: the domain parameters and a public or a private value. What differs is
in a :class:`Keys` of each type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from pypkcs11.mechanisms import der, ffc, pkcs8
from pypkcs11.mechanisms.ffc import Domain
from pypkcs11.mechanisms.reading import big_endian, big_integer, check_public_key_info, octets
from pypkcs11.mechanisms.registry import Computed, Key, KeyType
from pypkcs11.standard.constants import (
    CKA_BASE,
    CKA_PRIME,
    CKA_PRIME_BITS,
    CKA_PUBLIC_KEY_INFO,
    CKA_SUBPRIME,
    CKA_SUBPRIME_BITS,
    CKA_VALUE,
    CKO_DOMAIN_PARAMETERS,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes


class Pair(NamedTuple):
    """A private value and the public value that belongs to it."""

    private: int
    public: int


class Keys(ABC):
    """The keys of one CKK_: how they are read, proved, completed, wrapped and made.

    ``type`` is the CKK_; ``sizes`` are the shortest and the longest prime, in bits. ``identifier``
    is the algorithm's OBJECT IDENTIFIER, whose parameters are a SEQUENCE of ``order``.
    """

    type: int
    sizes: tuple[int, int]
    identifier: bytes
    order: tuple[int, ...]

    def rows(self) -> tuple[KeyType, ...]:
        """The key type's row."""
        return (
            KeyType(
                type=self.type,
                load={CKO_PUBLIC_KEY: self._load_public, CKO_PRIVATE_KEY: self._load_private},
                complete={
                    CKO_PUBLIC_KEY: self._complete_public,
                    CKO_PRIVATE_KEY: self._complete_private,
                    CKO_DOMAIN_PARAMETERS: self._complete_domain,
                },
                export={CKO_PRIVATE_KEY: self._export_private},
                restore={CKO_PRIVATE_KEY: self._restore_private},
                public=self._public_of,
            ),
        )

    # -- what differs ---------------------------------------------------------------------------

    @abstractmethod
    def check(self, domain: Domain) -> None:
        """Refuse sizes that the standard or the library beneath does not have.

        :raises CryptokiError: CKR_DOMAIN_PARAMS_INVALID.
        """

    @abstractmethod
    def public(self, domain: Domain, value: int) -> Any:
        """What a public key works with."""

    @abstractmethod
    def private(self, domain: Domain, value: int) -> Any:
        """What a private key works with."""

    @abstractmethod
    def public_value(self, domain: Domain, value: int) -> int:
        """The public value of a private one."""

    @abstractmethod
    def new(self, domain: Domain, public: Attributes, private: Attributes) -> Pair:
        """A new pair, of the two templates."""

    def extra(self, given: Attributes, value: int) -> Computed:
        """What a private key has beside the common attributes."""
        return {}

    # -- what they have in common ---------------------------------------------------------------

    def generate(
        self, parameter: None, public: Attributes, private: Attributes
    ) -> tuple[Computed, Computed]:
        """A key pair of the domain parameters in the public template.

        :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without them, CKR_DOMAIN_PARAMS_INVALID.
        """
        domain = self._proved(public)
        pair = self.new(domain, public, private)
        return (
            self._of_values(domain, pair.public, pair.public),
            {
                **self._of_values(domain, pair.private, pair.public),
                **self.extra(private, pair.private),
            },
        )

    def domain_attributes(self, domain: Domain) -> Computed:
        """What an object of domain parameters has."""
        computed = {**self._attributes(domain), CKA_PRIME_BITS: domain.bits}
        if domain.subprime is not None:
            computed[CKA_SUBPRIME_BITS] = domain.subprime.bit_length()
        return computed

    def domain(self, attributes: Attributes) -> Domain:
        """The domain parameters, as they are."""
        return Domain(
            big_integer(attributes, CKA_PRIME),
            big_integer(attributes, CKA_BASE),
            big_integer(attributes, CKA_SUBPRIME) if CKA_SUBPRIME in self.order else None,
        )

    def _proved(self, attributes: Attributes) -> Domain:
        domain = self.domain(attributes)
        if not self.sizes[0] <= domain.bits <= self.sizes[1]:
            raise ffc.invalid(f"a prime of {domain.bits} bits")
        self.check(domain)
        ffc.prove(domain)
        return domain

    def _load_public(self, attributes: Attributes) -> Key:
        domain = self.domain(attributes)
        value = self.public(domain, big_integer(attributes, CKA_VALUE))
        return Key(self.type, domain.bits, value, domain)

    def _load_private(self, attributes: Attributes) -> Key:
        domain = self.domain(attributes)
        value = self.private(domain, big_integer(attributes, CKA_VALUE))
        return Key(self.type, domain.bits, value, domain)

    def _complete_domain(self, attributes: Attributes) -> Computed:
        """The numbers in their shortest form, and their lengths."""
        return self.domain_attributes(self._proved(attributes))

    def _complete_public(self, attributes: Attributes) -> Computed:
        """The numbers in their shortest form, and the key info."""
        domain = self._proved(attributes)
        value = big_integer(attributes, CKA_VALUE)
        try:
            domain.check_public(value)
        except ValueError:
            raise _wrong("the public value is none of the group") from None
        return self._checked(attributes, domain, value, value)

    def _complete_private(self, attributes: Attributes) -> Computed:
        """The same, with the public key's info."""
        domain = self._proved(attributes)
        value = big_integer(attributes, CKA_VALUE)
        try:
            domain.check_private(value)
            public = self.public_value(domain, value)
        except ValueError:
            raise _wrong("the private value is out of range") from None
        computed = self._checked(attributes, domain, value, public)
        return {**computed, **self.extra(attributes, value)}

    def _public_of(self, key: Key) -> Computed:
        """The attributes of a private key's public key."""
        domain: Domain = key.cache
        public = self.public_value(domain, key.value.private_numbers().x)
        return self._of_values(domain, public, public)

    def _checked(self, given: Attributes, domain: Domain, value: int, public: int) -> Computed:
        computed = self._of_values(domain, value, public)
        check_public_key_info(given, octets(computed, CKA_PUBLIC_KEY_INFO))
        return computed

    def _of_values(self, domain: Domain, value: int, public: int) -> Computed:
        """What a key has: its own value, and the public one in its key info."""
        return {
            **self._attributes(domain),
            CKA_VALUE: big_endian(value),
            CKA_PUBLIC_KEY_INFO: self._info(domain, public),
        }

    def _attributes(self, domain: Domain) -> Computed:
        computed: Computed = {
            CKA_PRIME: big_endian(domain.prime),
            CKA_BASE: big_endian(domain.base),
        }
        if domain.subprime is not None:
            computed[CKA_SUBPRIME] = big_endian(domain.subprime)
        return computed

    # -- DER ------------------------------------------------------------------------------------

    def _algorithm(self, attributes: Attributes) -> bytes:
        numbers = (der.integer(big_integer(attributes, number)) for number in self.order)
        return self.identifier + der.encode(der.SEQUENCE, b"".join(numbers))

    def _info(self, domain: Domain, public: int) -> bytes:
        return der.public_key_info(self._algorithm(self._attributes(domain)), der.integer(public))

    def _export_private(self, attributes: Attributes) -> bytes:
        """A PrivateKeyInfo with the private value in it (section 6.7)."""
        return pkcs8.encode(
            self._algorithm(attributes), der.integer(big_integer(attributes, CKA_VALUE))
        )

    def encoded(self, domain: Domain, value: int) -> bytes:
        """The same of numbers."""
        return self._export_private({**self._attributes(domain), CKA_VALUE: big_endian(value)})

    def _restore_private(self, data: bytes) -> Computed:
        """The way back. What stands behind the parameters (a seed, a cofactor) is not looked at.

        :raises CryptokiError: CKR_WRAPPED_KEY_INVALID.
        """
        identifier, parameters, key = pkcs8.decode(data)
        fields = pkcs8.sequence(parameters)[: len(self.order)]
        value = der.content(der.INTEGER, key)
        if (
            identifier != self.identifier
            or [tag for tag, _ in fields] != [der.INTEGER] * len(self.order)
            or not value
        ):
            raise pkcs8.invalid("not a private key of this type")
        numbers = (number for _, number in fields)
        return {**dict(zip(self.order, numbers, strict=True)), CKA_VALUE: value}


def _wrong(why: str) -> CryptokiError:
    return CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, why)
