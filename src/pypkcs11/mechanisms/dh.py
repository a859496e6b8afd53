"""Diffie-Hellman over finite fields: PKCS #3 and X9.42 (PKCS #11 v3.2, section 6.4).

Derivation, and encapsulation: the ciphertext is the public value of a pair made for the purpose.

What X9.42 does with two key pairs on each side (CKM_X9_42_DH_HYBRID_DERIVE, CKM_X9_42_MQV_DERIVE)
is left out: no protocol in use has it, and there is nothing to hold an implementation against.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pypkcs11.mechanisms import der, dsa, ffc, x942_kdf
from pypkcs11.mechanisms.derivation import too_long
from pypkcs11.mechanisms.ffc import Domain
from pypkcs11.mechanisms.ffc_keys import Keys, Pair
from pypkcs11.mechanisms.parameters import X942Dh
from pypkcs11.mechanisms.reading import number
from pypkcs11.mechanisms.registry import Computed, Encapsulation, Key, Mechanism
from pypkcs11.standard.constants import (
    CKA_BASE,
    CKA_CLASS,
    CKA_PRIME,
    CKA_PRIME_BITS,
    CKA_SUBPRIME,
    CKA_VALUE_BITS,
    CKD_NULL,
    CKK_DH,
    CKK_X9_42_DH,
    CKM_DH_PKCS_DERIVE,
    CKM_DH_PKCS_KEY_PAIR_GEN,
    CKM_DH_PKCS_PARAMETER_GEN,
    CKM_X9_42_DH_DERIVE,
    CKM_X9_42_DH_KEY_PAIR_GEN,
    CKM_X9_42_DH_PARAMETER_GEN,
    CKO_DOMAIN_PARAMETERS,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: The shortest private value, in bits, that may be asked for with CKA_VALUE_BITS.
_SHORTEST_PRIVATE = 160

#: The shortest order of a subgroup, in bits (section 6.4.3).
_SHORTEST_SUBPRIME = 160

#: Lengths in bits of the primes that are generated. A safe prime of 2048 bits takes from seconds to
#: minutes to find, one of 3072 bits ten times as long: larger groups are to be had from RFC 7919.
_NEW_PRIMES = (1024, 2048)
_GENERATOR = 2


class PublicValue(NamedTuple):
    """A public key: its group and value."""

    domain: Domain
    value: int


class _DhKeys(Keys):
    """PKCS #3 keys, whose subgroup is not known."""

    type = CKK_DH
    sizes = (1024, 8192)
    identifier = der.object_identifier("1.2.840.113549.1.3.1")
    order: tuple[int, ...] = (CKA_PRIME, CKA_BASE)

    def check(self, domain: Domain) -> None:
        pass

    def public(self, domain: Domain, value: int) -> Any:
        return PublicValue(domain, value)

    def private(self, domain: Domain, value: int) -> Any:
        # A key is made of both its values. The public one has no part in an exchange.
        library = ffc.library()
        public = library.PublicNumbers(domain.base, ffc.numbers(domain))
        return library.PrivateNumbers(value, public).private_key()

    def public_value(self, domain: Domain, value: int) -> int:
        shared = self.private(domain, value).exchange(ffc.base_as_public(domain))
        return int.from_bytes(shared, "big")

    def new(self, domain: Domain, public: Attributes, private: Attributes) -> Pair:
        bits = private.get(CKA_VALUE_BITS)
        if bits is not None:
            value = _random(bits, domain)
            return Pair(value, self.public_value(domain, value))
        numbers = ffc.parameters(domain).generate_private_key().private_numbers()
        return Pair(numbers.x, numbers.public_numbers.y)

    def extra(self, given: Attributes, value: int) -> Computed:
        return {CKA_VALUE_BITS: value.bit_length()}


class _X942Keys(_DhKeys):
    """X9.42 keys."""

    type = CKK_X9_42_DH
    identifier = der.object_identifier("1.2.840.10046.2.1")
    order = (CKA_PRIME, CKA_BASE, CKA_SUBPRIME)

    def check(self, domain: Domain) -> None:
        assert domain.subprime is not None
        if domain.subprime.bit_length() < _SHORTEST_SUBPRIME:
            raise ffc.invalid(f"a subprime of {domain.subprime.bit_length()} bits")

    def extra(self, given: Attributes, value: int) -> Computed:
        return {}


def _random(bits: object, domain: Domain) -> int:
    """A private value of so many bits (PKCS #3, section 7.1)."""
    if not isinstance(bits, int) or not _SHORTEST_PRIVATE <= bits < domain.bits:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_VALUE_BITS")
    top = 1 << (bits - 1)
    return top | int.from_bytes(os.urandom((bits + 7) // 8), "big") & (top - 1)


DH = _DhKeys()
X942 = _X942Keys()
KEY_TYPES = DH.rows() + X942.rows()


def _secret(key: Key, public: bytes) -> bytes:
    """The shared secret, as long as the prime.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a public value that is out of range or in
        another subgroup.
    """
    if len(public) > _octets(key) and any(public[: -_octets(key)]):
        raise _bad("the public value is longer than the prime")
    numbers = ffc.library().PublicNumbers(int.from_bytes(public, "big"), ffc.numbers(key.cache))
    try:
        secret: bytes = key.value.exchange(numbers.public_key())
        return secret
    except ValueError:
        raise _bad("the public value is none of the group") from None


def _octets(key: Key) -> int:
    """The length of the prime."""
    return (key.bits + 7) // 8


def _trailing(secret: bytes, length: int | None) -> bytes:
    """Shortened at its beginning, as the standard has it; its leading zeros count.

    :raises CryptokiError: CKR_KEY_SIZE_RANGE.
    """
    if length is None:
        return secret
    if length > len(secret):
        raise too_long(length, len(secret))
    return secret[len(secret) - length :]


def derive(key: Key, parameter: bytes | None, length: int | None, second: Key | None) -> bytes:
    """The shared secret with the public value that the parameter is.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for none, or one that is none of the group,
        CKR_KEY_SIZE_RANGE for more octets than the prime has.
    """
    if parameter is None:  # as encapsulation has it
        raise _bad("the public value is missing")
    return _trailing(_secret(key, parameter), length)


def derive_x942(key: Key, parameter: X942Dh, length: int | None, second: Key | None) -> bytes:
    """The shared secret, or what a key derivation function makes of it.

    :raises CryptokiError: as :func:`derive`, CKR_MECHANISM_PARAM_INVALID for a function that there
        is not and for data with none, CKR_TEMPLATE_INCOMPLETE without a length where the function
        could give any.
    """
    function = _function(parameter)
    if function is None:
        return _trailing(_secret(key, parameter.public), length)
    if length is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how long the key shall be")
    return function(_secret(key, parameter.public), parameter.other, length)


def _function(parameter: X942Dh) -> x942_kdf.Function | None:
    function = x942_kdf.FUNCTIONS.get(parameter.kdf)
    if function is None and (parameter.kdf != CKD_NULL or parameter.other):
        raise _bad("no such key derivation function, or data for none")
    return function


class _Encapsulation(NamedTuple):
    """Encapsulation by derivation.

    :param check: looks at a parameter, which has no public value.
    :param derive: what is derived with a private key, a parameter and a public value.
    """

    check: Callable[[Any], None]
    derive: Callable[[Key, Any, bytes, int | None], bytes]

    def encapsulate(self, key: Key, parameter: Any) -> Encapsulation:
        """What is derived with a new private key; its public value is the ciphertext.

        It is as long as the prime.

        :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
        """
        self.check(parameter)
        return Encapsulation(_octets(key), partial(self._run, key, parameter))

    def _run(self, key: Key, parameter: Any, length: int | None) -> tuple[bytes, bytes]:
        public: PublicValue = key.value
        size = _octets(key)
        private = ffc.parameters(public.domain).generate_private_key()
        own = private.public_key().public_numbers().y.to_bytes(size, "big")
        base = Key(key.type, key.bits, private, public.domain)
        return self.derive(base, parameter, public.value.to_bytes(size, "big"), length), own

    def decapsulate(self, key: Key, parameter: Any, ciphertext: bytes, length: int | None) -> bytes:
        """What is derived with the public value that is the ciphertext.

        It may lack leading zeros, as a Big integer does.

        :raises CryptokiError: CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPED_KEY_INVALID for one that is
            none of the group, CKR_MECHANISM_PARAM_INVALID.
        """
        self.check(parameter)
        if not 0 < len(ciphertext) <= _octets(key):
            raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, "no public value is as long")
        try:
            return self.derive(key, parameter, ciphertext, length)
        except CryptokiError as error:
            if error.rv != CKR_MECHANISM_PARAM_INVALID:
                raise
            raise CryptokiError(CKR_WRAPPED_KEY_INVALID, error.reason) from None


def _check_none(parameter: bytes | None) -> None:
    if parameter is not None:
        raise _bad("encapsulation takes no public value")


def _check_x942(parameter: X942Dh) -> None:
    _function(parameter)
    if parameter.public:
        raise _bad("encapsulation takes no public value")


_PKCS = _Encapsulation(
    _check_none, lambda key, _, public, length: _trailing(_secret(key, public), length)
)
_X942 = _Encapsulation(
    _check_x942,
    lambda key, parameter, public, length: derive_x942(
        key, parameter._replace(public=public), length, None
    ),
)


def _bad(why: str) -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, why)


def generate_parameters(parameter: None, attributes: Attributes) -> Computed:
    """New parameters: a safe prime of CKA_PRIME_BITS, and the base 2.

    Takes from seconds to minutes, in which other threads go on.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID for a length that
        would take longer.
    """
    bits = number(attributes, CKA_PRIME_BITS)
    if not _NEW_PRIMES[0] <= bits <= _NEW_PRIMES[1]:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"a prime of {bits} bits")
    numbers = ffc.library().generate_parameters(_GENERATOR, bits).parameter_numbers()
    return DH.domain_attributes(Domain(numbers.p, numbers.g))


def generate_x942_parameters(parameter: None, attributes: Attributes) -> Computed:
    """New parameters of CKA_PRIME_BITS and CKA_SUBPRIME_BITS, as those of DSA are made.

    :raises CryptokiError: as :func:`~pypkcs11.mechanisms.dsa.new_domain`.
    """
    return X942.domain_attributes(dsa.new_domain(attributes))


MECHANISMS = (
    Mechanism(
        type=CKM_DH_PKCS_PARAMETER_GEN,
        key_types=(CKK_DH,),
        sizes=_NEW_PRIMES,
        generate=generate_parameters,
        given={CKA_CLASS: CKO_DOMAIN_PARAMETERS},
        strong=2048,
    ),
    Mechanism(
        type=CKM_DH_PKCS_KEY_PAIR_GEN,
        key_types=(CKK_DH,),
        sizes=DH.sizes,
        generate_pair=DH.generate,
        strong=2048,
    ),
    Mechanism(
        type=CKM_DH_PKCS_DERIVE,
        key_types=(CKK_DH,),
        sizes=DH.sizes,
        parameter=bytes,
        parameter_optional=True,
        derive=derive,
        encapsulate=_PKCS.encapsulate,
        decapsulate=_PKCS.decapsulate,
    ),
    Mechanism(
        type=CKM_X9_42_DH_PARAMETER_GEN,
        key_types=(CKK_X9_42_DH,),
        sizes=dsa.KEYS.sizes,
        generate=generate_x942_parameters,
        given={CKA_CLASS: CKO_DOMAIN_PARAMETERS},
        strong=2048,
    ),
    Mechanism(
        type=CKM_X9_42_DH_KEY_PAIR_GEN,
        key_types=(CKK_X9_42_DH,),
        sizes=X942.sizes,
        generate_pair=X942.generate,
        strong=2048,
    ),
    Mechanism(
        type=CKM_X9_42_DH_DERIVE,
        key_types=(CKK_X9_42_DH,),
        sizes=X942.sizes,
        parameter=X942Dh,
        derive=derive_x942,
        encapsulate=_X942.encapsulate,
        decapsulate=_X942.decapsulate,
    ),
)
