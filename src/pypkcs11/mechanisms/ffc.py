"""Groups over finite fields: the domain parameters of DSA and Diffie-Hellman, and their proof.

PKCS #11 v3.2, sections 6.2.2 and 6.4.2 to 6.4.8. Whoever hands in parameters may be hostile: with a
composite prime or a base of small order, keys can be read off public values. So the library beneath
proves that the prime is one and the base generates a large subgroup, which for groups that it does
not know takes up to seconds, in which no other thread goes on. What this module does is to bound
that, to do it once, and never for the groups that everybody uses.
"""

from __future__ import annotations

import warnings
from functools import cache, lru_cache
from typing import Any, NamedTuple

from pypkcs11.mechanisms.digests import HASHES
from pypkcs11.mechanisms.reading import big_endian
from pypkcs11.standard.constants import (
    CKM_SHA256,
    CKR_DOMAIN_PARAMS_INVALID,
)
from pypkcs11.standard.errors import CryptokiError

#: The longest prime, in bits, of a group that has to be proved: a second or two's work.
LONGEST_UNKNOWN = 3072

#: Larger groups are those of RFC 3526 and RFC 7919 with 4096, 6144 and 8192 bits, by the SHA-256
#: digests of their primes. Each is a safe prime, and the base is 2.
_LARGE_GROUPS = frozenset(
    bytes.fromhex(digest)
    for digest in (
        "4ee95187682bcb230ad26a95205f6920e84708f6251b3894329b09ec23919e33",
        "d1bfe6d0925ce7e4da262b62861514a7755e35831e429f343e7b864848657efd",
        "39ab4feab950a3128fb71accb9fc3965d857012e081998a85996e3ea8b3c3bcf",
        "4648414224ac881b3d0dc59b466f96d06a558278776807797ecf1f66ff397b3e",
        "227ac9066b3ddd9e193670cda2388fa884f65ba0cf98b742d1fe77a6687c79c7",
        "770b14efaf6f049929c523113b3fa99a8d11dab1b18af3609590122075d19833",
    )
)
_LARGE_BASE = 2


class Domain(NamedTuple):
    """Domain parameters: the prime p, the base g, and the order q of what g generates, if known."""

    prime: int
    base: int
    subprime: int | None = None

    @property
    def bits(self) -> int:
        """The prime's length."""
        return self.prime.bit_length()

    def check_public(self, value: int) -> None:
        """Hold a public value against NIST SP 800-56A, section 5.6.2.3.1.

        Of a safe prime's group, what is in range is in no small subgroup.

        :raises ValueError: for one that is out of range or in another subgroup.
        """
        if not 1 < value < self.prime - 1:
            raise ValueError("out of range")
        subprime = self.subprime
        if (
            subprime is not None
            and 2 * subprime + 1 != self.prime
            and pow(value, subprime, self.prime) != 1
        ):
            raise ValueError("in another subgroup")

    def check_private(self, value: int) -> None:
        """:raises ValueError: for a private value that is out of range."""
        if not 0 < value < (self.subprime or self.prime - 1):
            raise ValueError("out of range")


class Library(NamedTuple):
    """The names of the library beneath for Diffie-Hellman, whose use it otherwise warns of.

    It means to give up Diffie-Hellman over finite fields one day. Its warning would be written to
    the standard error of the application's users, who can do nothing about it.
    """

    Numbers: Any
    PublicNumbers: Any
    PrivateNumbers: Any
    generate_parameters: Any


@cache
def library() -> Library:
    """Diffie-Hellman of the library beneath."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cryptography.hazmat.primitives.asymmetric import dh

        return Library(
            dh.DHParameterNumbers,
            dh.DHPublicNumbers,
            dh.DHPrivateNumbers,
            dh.generate_parameters,
        )


def prove(domain: Domain) -> None:
    """Prove that parameters are what they should be.

    :raises CryptokiError: CKR_DOMAIN_PARAMS_INVALID if they are not, or cannot be proved in time.
    """
    prime, base, subprime = domain
    if not prime & 1 or not 1 < base < prime - 1:
        raise invalid("the prime is even, or the base out of range")
    if subprime is not None and (prime - 1) % subprime:
        raise invalid("the order of the subgroup does not divide the group's")
    if domain.bits > LONGEST_UNKNOWN and not _is_large_group(domain):
        raise invalid(f"a group of {domain.bits} bits that is not one of RFC 3526 or RFC 7919")
    parameters(domain)


@lru_cache(maxsize=64)
def parameters(domain: Domain) -> Any:
    """The parameters as the library beneath has them, proved once.

    :raises CryptokiError: CKR_DOMAIN_PARAMS_INVALID.
    """
    try:
        return numbers(domain).parameters()
    except ValueError:
        raise invalid(
            "not the parameters of a group with a large subgroup of prime order"
        ) from None


def numbers(domain: Domain) -> Any:
    """The parameters as numbers of the library beneath, not proved."""
    return library().Numbers(domain.prime, domain.base, domain.subprime)


@lru_cache(maxsize=64)
def base_as_public(domain: Domain) -> Any:
    """The base as somebody's public value. What is shared with them is one's own public value."""
    return library().PublicNumbers(domain.base, numbers(domain)).public_key()


def _is_large_group(domain: Domain) -> bool:
    context = HASHES[CKM_SHA256].blank.copy()
    context.update(big_endian(domain.prime))
    return (
        context.finalize() in _LARGE_GROUPS
        and domain.base == _LARGE_BASE
        and domain.subprime in (None, domain.prime >> 1)
    )


def invalid(why: str) -> CryptokiError:
    """:return: the exception for parameters that are of no use."""
    return CryptokiError(CKR_DOMAIN_PARAMS_INVALID, why)
