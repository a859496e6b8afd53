"""DSA: keys, domain parameters and signatures (PKCS #11 v3.2, section 6.2; FIPS 186-4).

Of the ways to make domain parameters, those that give out or take a seed
(CKM_DSA_PROBABILISTIC_PARAMETER_GEN, CKM_DSA_SHAWE_TAYLOR_PARAMETER_GEN, CKM_DSA_FIPS_G_GEN) cannot
be had: the library beneath keeps the seed to itself.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from pypkcs11.mechanisms import der, dss, ffc
from pypkcs11.mechanisms.dss import Given, Scheme
from pypkcs11.mechanisms.ffc import Domain
from pypkcs11.mechanisms.ffc_keys import Keys, Pair
from pypkcs11.mechanisms.reading import number
from pypkcs11.mechanisms.registry import Computed, Key, Mechanism
from pypkcs11.standard.constants import (
    CKA_BASE,
    CKA_CLASS,
    CKA_PRIME,
    CKA_PRIME_BITS,
    CKA_SUBPRIME,
    CKA_SUBPRIME_BITS,
    CKK_DSA,
    CKM_DSA,
    CKM_DSA_KEY_PAIR_GEN,
    CKM_DSA_PARAMETER_GEN,
    CKM_DSA_SHA1,
    CKM_DSA_SHA3_224,
    CKM_DSA_SHA3_256,
    CKM_DSA_SHA3_384,
    CKM_DSA_SHA3_512,
    CKM_DSA_SHA224,
    CKM_DSA_SHA256,
    CKM_DSA_SHA384,
    CKM_DSA_SHA512,
    CKM_SHA3_224,
    CKM_SHA3_256,
    CKM_SHA3_384,
    CKM_SHA3_512,
    CKM_SHA224,
    CKM_SHA256,
    CKM_SHA384,
    CKM_SHA512,
    CKM_SHA_1,
    CKO_DOMAIN_PARAMETERS,
    CKR_ATTRIBUTE_VALUE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: Lengths of the prime and the subprime in bits, in any combination: those of FIPS 186-4, section
#: 4.2, are not the only ones in use. The library beneath takes no others.
_PRIME_BITS = frozenset({1024, 2048, 3072})
_SUBPRIME_BITS = frozenset({160, 224, 256})

#: The subprime's length, by the prime's, of the parameters that the library beneath makes. Without
#: a CKA_SUBPRIME_BITS the standard wants 224 with 2048, which cannot be had.
NEW_SUBPRIME_BITS = {1024: 160, 2048: 256, 3072: 256}


class _DsaKeys(Keys):
    """What DSA's keys have of their own."""

    type = CKK_DSA
    sizes = (1024, 3072)
    identifier = der.object_identifier("1.2.840.10040.4.1")
    order = (CKA_PRIME, CKA_SUBPRIME, CKA_BASE)

    def check(self, domain: Domain) -> None:
        assert domain.subprime is not None
        bits = domain.subprime.bit_length()
        if domain.bits not in _PRIME_BITS or bits not in _SUBPRIME_BITS:
            raise ffc.invalid(f"a prime of {domain.bits} and a subprime of {bits} bits")

    def public(self, domain: Domain, value: int) -> Any:
        return dsa.DSAPublicNumbers(value, _numbers(domain)).public_key()

    def private(self, domain: Domain, value: int) -> Any:
        from cryptography.hazmat.primitives.serialization import load_der_private_key

        return load_der_private_key(self.encoded(domain, value), None)

    def public_value(self, domain: Domain, value: int) -> int:
        public: int = self.private(domain, value).public_key().public_numbers().y
        return public

    def new(self, domain: Domain, public: Attributes, private: Attributes) -> Pair:
        numbers = _numbers(domain).parameters().generate_private_key().private_numbers()
        return Pair(numbers.x, numbers.public_numbers.y)


def _numbers(domain: Domain) -> dsa.DSAParameterNumbers:
    assert domain.subprime is not None
    return dsa.DSAParameterNumbers(domain.prime, domain.subprime, domain.base)


KEYS = _DsaKeys()
KEY_TYPES = KEYS.rows()


def new_domain(attributes: Attributes) -> Domain:
    """New parameters of CKA_PRIME_BITS and CKA_SUBPRIME_BITS, which X9.42 uses as well.

    Takes up to seconds, in which other threads go on.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without CKA_PRIME_BITS,
        CKR_ATTRIBUTE_VALUE_INVALID for lengths that cannot be had.
    """
    bits = number(attributes, CKA_PRIME_BITS)
    subprime_bits = NEW_SUBPRIME_BITS.get(bits)
    if subprime_bits is None or attributes.get(CKA_SUBPRIME_BITS, subprime_bits) != subprime_bits:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "no parameters of these lengths")
    numbers = dsa.generate_parameters(bits).parameter_numbers()
    return Domain(numbers.p, numbers.g, numbers.q)


def generate_parameters(parameter: None, attributes: Attributes) -> Computed:
    """The attributes of new domain parameters: see :func:`new_domain`."""
    return KEYS.domain_attributes(new_domain(attributes))


#: Lengths, in octets, of the digests that CKM_DSA signs.
_DIGESTS = (20, 28, 32, 48, 64)

_DSA = Scheme({length: Prehashed(Given(length)) for length in _DIGESTS})


def _width(key: Key) -> int:
    domain: Domain = key.cache
    assert domain.subprime is not None
    return (domain.subprime.bit_length() + 7) // 8


#: Digest, and the mechanism that hashes with it.
_HASHED = (
    (CKM_SHA_1, CKM_DSA_SHA1),
    (CKM_SHA224, CKM_DSA_SHA224),
    (CKM_SHA256, CKM_DSA_SHA256),
    (CKM_SHA384, CKM_DSA_SHA384),
    (CKM_SHA512, CKM_DSA_SHA512),
    (CKM_SHA3_224, CKM_DSA_SHA3_224),
    (CKM_SHA3_256, CKM_DSA_SHA3_256),
    (CKM_SHA3_384, CKM_DSA_SHA3_384),
    (CKM_SHA3_512, CKM_DSA_SHA3_512),
)

MECHANISMS = (
    Mechanism(
        type=CKM_DSA_PARAMETER_GEN,
        key_types=(CKK_DSA,),
        sizes=KEYS.sizes,
        generate=generate_parameters,
        given={CKA_CLASS: CKO_DOMAIN_PARAMETERS},
        strong=2048,
    ),
    Mechanism(
        type=CKM_DSA_KEY_PAIR_GEN,
        key_types=(CKK_DSA,),
        sizes=KEYS.sizes,
        generate_pair=KEYS.generate,
        strong=2048,
    ),
    *dss.rows(
        _DSA,
        _width,
        Mechanism(type=CKM_DSA, key_types=(CKK_DSA,), sizes=KEYS.sizes),
        _HASHED,
    ),
)
