"""RSA keys: loading, completing and generating them (PKCS #11 v3.2, section 6.1.2 to 6.1.4)."""

from __future__ import annotations

import os
from math import gcd, lcm

from cryptography.exceptions import InternalError, InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from pypkcs11.mechanisms import der, pkcs8
from pypkcs11.mechanisms.reading import (
    big_endian,
    big_integer,
    check_public_key_info,
    number,
    octets,
    optional_big_integer,
)
from pypkcs11.mechanisms.registry import Computed, Key, KeyType
from pypkcs11.standard.constants import (
    CKA_COEFFICIENT,
    CKA_EXPONENT_1,
    CKA_EXPONENT_2,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_PRIVATE_EXPONENT,
    CKA_PUBLIC_EXPONENT,
    CKA_PUBLIC_KEY_INFO,
    CKK_RSA,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: Modulus sizes in bits. Both are the bounds of the library beneath.
SIZES = (1024, 16384)

#: With a larger modulus than this, the library beneath takes no larger exponent than that (bits).
_LARGE_MODULUS = 3072
_LARGE_EXPONENT = 64

#: The largest modulus, in bits, whose primes are proved to be primes: a moment's work.
_LARGEST_PROVED = 4096

DEFAULT_EXPONENT = 65537

#: What a private key without its public exponent is tried with.
_USUAL_EXPONENTS = (65537, 3, 17, 5, 7, 35, 37, 257)

_RSA_ENCRYPTION = der.object_identifier("1.2.840.113549.1.1.1")
_ALGORITHM = _RSA_ENCRYPTION + b"\x05\x00"  # and NULL for its parameters


def load_public(attributes: Attributes) -> Key:
    modulus = big_integer(attributes, CKA_MODULUS)
    exponent = big_integer(attributes, CKA_PUBLIC_EXPONENT)
    numbers = rsa.RSAPublicNumbers(exponent, modulus)
    return Key(CKK_RSA, modulus.bit_length(), numbers.public_key())


def load_private(attributes: Attributes) -> Key:
    """A private key of all its eight numbers, which :func:`complete_private` has seen to.

    Checking them again would cost 35 milliseconds at every load.
    """
    modulus = big_integer(attributes, CKA_MODULUS)
    numbers = rsa.RSAPrivateNumbers(
        big_integer(attributes, CKA_PRIME_1),
        big_integer(attributes, CKA_PRIME_2),
        big_integer(attributes, CKA_PRIVATE_EXPONENT),
        big_integer(attributes, CKA_EXPONENT_1),
        big_integer(attributes, CKA_EXPONENT_2),
        big_integer(attributes, CKA_COEFFICIENT),
        rsa.RSAPublicNumbers(big_integer(attributes, CKA_PUBLIC_EXPONENT), modulus),
    )
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    return Key(CKK_RSA, modulus.bit_length(), key)


def complete_public(attributes: Attributes) -> Computed:
    """The numbers in their shortest form, the size and the key info of a public key.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for a modulus or an exponent with which the
        token could not work, CKR_TEMPLATE_INCONSISTENT for another CKA_PUBLIC_KEY_INFO.
    """
    modulus = big_integer(attributes, CKA_MODULUS)
    exponent = big_integer(attributes, CKA_PUBLIC_EXPONENT)
    _check(modulus, exponent)
    computed = _public_attributes(modulus, exponent)
    check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
    return computed


def complete_private(attributes: Attributes) -> Computed:
    """All the numbers of a private key, of which the modulus and the private exponent are given.

    What is given beside them is used, and must fit. A key without its public exponent is tried with
    the usual ones.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for a number that is wrong on its own,
        CKR_TEMPLATE_INCONSISTENT for numbers that are not of one key.
    """
    modulus = big_integer(attributes, CKA_MODULUS)
    private_exponent = big_integer(attributes, CKA_PRIVATE_EXPONENT)
    if not 1 < private_exponent < modulus:
        raise _invalid("the private exponent is out of range")
    exponent = optional_big_integer(attributes, CKA_PUBLIC_EXPONENT)
    primes = _given_primes(attributes, modulus)
    if exponent is None:
        exponent = _public_exponent(modulus, private_exponent, primes)
    _check(modulus, exponent)
    try:
        prime_1, prime_2 = primes or rsa.rsa_recover_prime_factors(
            modulus, exponent, private_exponent
        )
        numbers = rsa.RSAPrivateNumbers(
            prime_1,
            prime_2,
            private_exponent,
            optional_big_integer(attributes, CKA_EXPONENT_1)
            or rsa.rsa_crt_dmp1(private_exponent, prime_1),
            optional_big_integer(attributes, CKA_EXPONENT_2)
            or rsa.rsa_crt_dmq1(private_exponent, prime_2),
            optional_big_integer(attributes, CKA_COEFFICIENT) or rsa.rsa_crt_iqmp(prime_1, prime_2),
            rsa.RSAPublicNumbers(exponent, modulus),
        )
        _prove(numbers)
    except ValueError:
        raise _inconsistent("the numbers are not those of an RSA key") from None
    computed = _private_attributes(numbers)
    check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
    return computed


def _given_primes(attributes: Attributes, modulus: int) -> tuple[int, int] | None:
    """Both primes, if the attributes have at least one of them."""
    prime_1 = optional_big_integer(attributes, CKA_PRIME_1)
    prime_2 = optional_big_integer(attributes, CKA_PRIME_2)
    if prime_1 is None and prime_2 is None:
        return None
    first = prime_1 or modulus // (prime_2 or modulus)
    second = prime_2 or modulus // first
    if not 1 < first < modulus or first * second != modulus:
        raise _inconsistent("the modulus is not the product of the primes")
    return first, second


def _public_exponent(modulus: int, private_exponent: int, primes: tuple[int, int] | None) -> int:
    """The public exponent that belongs to a private one."""
    if primes is not None:
        try:
            return pow(private_exponent, -1, lcm(primes[0] - 1, primes[1] - 1))
        except ValueError:
            raise _inconsistent("the private exponent has no inverse") from None
    for exponent in _USUAL_EXPONENTS:
        if pow(pow(2, exponent, modulus), private_exponent, modulus) == 2:
            return exponent
    raise _inconsistent("CKA_PUBLIC_EXPONENT is missing, and is none of the usual ones")


def _check(modulus: int, exponent: int) -> None:
    bits = modulus.bit_length()
    if not SIZES[0] <= bits <= SIZES[1]:
        raise _invalid(f"a modulus of {bits} bits")
    if not modulus & 1:
        raise _invalid("the modulus is even")
    if not exponent & 1 or not 3 <= exponent < modulus:
        raise _invalid("the public exponent is even or out of range")
    if bits > _LARGE_MODULUS and exponent.bit_length() > _LARGE_EXPONENT:
        raise _invalid("the public exponent has more than 64 bits")


def _public_attributes(modulus: int, exponent: int) -> Computed:
    key = der.encode(der.SEQUENCE, der.integer(modulus) + der.integer(exponent))
    return {
        CKA_MODULUS: big_endian(modulus),
        CKA_MODULUS_BITS: modulus.bit_length(),
        CKA_PUBLIC_EXPONENT: big_endian(exponent),
        CKA_PUBLIC_KEY_INFO: der.public_key_info(_ALGORITHM, key),
    }


def _private_attributes(numbers: rsa.RSAPrivateNumbers) -> Computed:
    public = _public_attributes(numbers.public_numbers.n, numbers.public_numbers.e)
    del public[CKA_MODULUS_BITS]  # a private key has none
    return {
        **public,
        CKA_PRIVATE_EXPONENT: big_endian(numbers.d),
        CKA_PRIME_1: big_endian(numbers.p),
        CKA_PRIME_2: big_endian(numbers.q),
        CKA_EXPONENT_1: big_endian(numbers.dmp1),
        CKA_EXPONENT_2: big_endian(numbers.dmq1),
        CKA_COEFFICIENT: big_endian(numbers.iqmp),
    }


def public_of(key: Key) -> Computed:
    """The attributes of a private key's public key."""
    numbers = key.value.public_key().public_numbers()
    return _public_attributes(numbers.n, numbers.e)


#: What stands in an RSAPrivateKey behind its version (RFC 8017, section A.1.2).
_NUMBERS = (
    CKA_MODULUS,
    CKA_PUBLIC_EXPONENT,
    CKA_PRIVATE_EXPONENT,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_EXPONENT_1,
    CKA_EXPONENT_2,
    CKA_COEFFICIENT,
)


def export_private(attributes: Attributes) -> bytes:
    """A PrivateKeyInfo with an RSAPrivateKey in it."""
    numbers = (0, *(big_integer(attributes, attribute) for attribute in _NUMBERS))
    return pkcs8.encode(_ALGORITHM, der.encode(der.SEQUENCE, b"".join(map(der.integer, numbers))))


def restore_private(octets: bytes) -> Computed:
    """The way back, for keys of two primes.

    :raises CryptokiError: CKR_WRAPPED_KEY_INVALID.
    """
    identifier, _, key = pkcs8.decode(octets)
    fields = pkcs8.sequence(key)
    if identifier != _RSA_ENCRYPTION or [tag for tag, _ in fields] != [der.INTEGER] * 9:
        raise pkcs8.invalid("not an RSA private key")
    return dict(zip(_NUMBERS, (content for _, content in fields[1:]), strict=True))


def generate(parameter: None, public: Attributes, private: Attributes) -> tuple[Computed, Computed]:
    """A key pair of CKA_MODULUS_BITS, with CKA_PUBLIC_EXPONENT or else 65537.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without CKA_MODULUS_BITS,
        CKR_ATTRIBUTE_VALUE_INVALID for a size out of range, or an exponent that is even, less than
        3 or of more than 64 bits.
    """
    bits = number(public, CKA_MODULUS_BITS)
    if not SIZES[0] <= bits <= SIZES[1]:
        raise _invalid(f"a modulus of {bits} bits")
    exponent = optional_big_integer(public, CKA_PUBLIC_EXPONENT)
    if exponent is None:
        exponent = DEFAULT_EXPONENT
    if not exponent & 1 or exponent < 3 or exponent.bit_length() > _LARGE_EXPONENT:
        raise _invalid("the public exponent is even or out of range")
    numbers = _generate(exponent, bits)
    modulus = numbers.public_numbers.n
    return _public_attributes(modulus, exponent), _private_attributes(numbers)


def _generate(exponent: int, bits: int) -> rsa.RSAPrivateNumbers:
    """The numbers of a new key.

    The library beneath generates keys for the exponents 3 and 65537 only. For another, the primes
    of such a key serve, if they suit it: a prime less one must have no factor in common with it.
    """
    if exponent in (3, DEFAULT_EXPONENT):
        return rsa.generate_private_key(exponent, bits).private_numbers()
    while True:
        found = rsa.generate_private_key(DEFAULT_EXPONENT, bits).private_numbers()
        order = lcm(found.p - 1, found.q - 1)
        if gcd(exponent, order) == 1:
            break
    private_exponent = pow(exponent, -1, order)
    numbers = rsa.RSAPrivateNumbers(
        found.p,
        found.q,
        private_exponent,
        rsa.rsa_crt_dmp1(private_exponent, found.p),
        rsa.rsa_crt_dmq1(private_exponent, found.q),
        found.iqmp,
        rsa.RSAPublicNumbers(exponent, found.public_numbers.n),
    )
    _prove(numbers)
    return numbers


def _prove(numbers: rsa.RSAPrivateNumbers) -> None:
    """Prove that the primes are, and that all the numbers fit.

    The library beneath lets no other thread go on meanwhile, which with 16384 bits would be for a
    minute. So of large keys the numbers are held against each other, and a signature shows that
    they work.

    :raises ValueError: if they do not.
    """
    public = numbers.public_numbers
    if public.n.bit_length() <= _LARGEST_PROVED:
        numbers.private_key()
        return
    p, q, d = numbers.p, numbers.q, numbers.d
    fit = (
        p * q == public.n
        and d * public.e % lcm(p - 1, q - 1) == 1
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
    )
    if not fit:
        raise ValueError("the numbers do not fit")
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    message = os.urandom(32)
    try:
        signature = key.sign(message, PKCS1v15(), hashes.SHA256())
        public.public_key().verify(signature, message, PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, InternalError):
        raise ValueError("the numbers are not those of an RSA key") from None


def _invalid(reason: str) -> CryptokiError:
    return CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, reason)


def _inconsistent(reason: str) -> CryptokiError:
    return CryptokiError(CKR_TEMPLATE_INCONSISTENT, reason)


KEY_TYPES = (
    KeyType(
        type=CKK_RSA,
        load={CKO_PUBLIC_KEY: load_public, CKO_PRIVATE_KEY: load_private},
        complete={CKO_PUBLIC_KEY: complete_public, CKO_PRIVATE_KEY: complete_private},
        export={CKO_PRIVATE_KEY: export_private},
        restore={CKO_PRIVATE_KEY: restore_private},
        public=public_of,
    ),
)
