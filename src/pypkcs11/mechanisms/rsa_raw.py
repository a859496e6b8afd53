"""The RSA private-key operation without any padding (RFC 8017, section 5.1.2).

``cryptography`` has none, so the modular exponentiation is GMP's for secret exponents, through
gmpy2: its time and its memory accesses depend on the sizes of the numbers only. Around it: the
base is blinded with a fresh random number, every reduction by a secret prime is done by the same
function (with the exponent 1), and what comes out is checked with the public exponent before
anybody sees it, because a fault in one of the two halves would give away the primes.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from threading import Lock
from types import ModuleType
from typing import Any, Final

from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import CKR_FUNCTION_FAILED
from pypkcs11.standard.errors import CryptokiError

#: More random octets than the modulus has, so that their remainder is as good as uniform.
_MORE: Final = 8

_METADATA: Final = "importlib.metadata"
_loading: Final = Lock()


def is_available() -> bool:
    """Whether gmpy2 is there. It is not imported: that is left to who needs it."""
    return "gmpy2" in sys.modules or PathFinder.find_spec("gmpy2") is not None


class _Metadata(ModuleType):
    """Stands in for importlib.metadata, which gmpy2 asks for its own version and nothing else.

    The real one loads the standard library's e-mail package, and with it hashlib and the system's
    libcrypto, which this library must not bring into its host. Whoever else meets the stand-in
    meanwhile gets the real thing.
    """

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(_METADATA) is self:
            del sys.modules[_METADATA]
        return getattr(import_module(_METADATA), name)

    def version(self, name: str) -> Any:
        """The version of a distribution."""
        return "" if name == "gmpy2" else self.__getattr__("version")(name)


@cache
def gmp() -> Any:
    """The module gmpy2, imported when it is first needed.

    :raises CryptokiError: CKR_FUNCTION_FAILED when it cannot be.
    """
    with _loading:
        stand_in = None
        if _METADATA not in sys.modules:
            stand_in = sys.modules[_METADATA] = _Metadata(_METADATA)
        try:
            return import_module("gmpy2")
        except ImportError:
            raise CryptokiError(CKR_FUNCTION_FAILED, "gmpy2 cannot be imported") from None
        finally:
            if stand_in is not None and sys.modules.get(_METADATA) is stand_in:
                del sys.modules[_METADATA]


class RawPrivateKey:
    """The numbers of a private key, as GMP has them."""

    __slots__ = ("_coefficient", "_e", "_exponents", "_n", "_octets", "_primes", "_top")

    def __init__(self, key: Key) -> None:
        mpz = gmp().mpz
        numbers = key.value.private_numbers()
        self._n = mpz(numbers.public_numbers.n)
        self._e = mpz(numbers.public_numbers.e)
        self._primes = mpz(numbers.p), mpz(numbers.q)
        self._exponents = mpz(numbers.dmp1), mpz(numbers.dmq1)
        self._coefficient = mpz(numbers.iqmp)
        self._octets = (key.bits + 7) // 8
        self._top = mpz(1) << (8 * self._octets)

    def apply(self, value: int) -> bytes:
        """Raise a number below the modulus to the private exponent: as many octets as the modulus.

        :raises CryptokiError: CKR_FUNCTION_FAILED if the result proves wrong (a fault of the
            machine, or a key whose numbers do not belong together).
        """
        power = gmp().powmod_sec
        base = gmp().mpz(value)
        blinding, unblinding = self._blinding()
        blinded = self._power_of_secret(power(power(blinding, self._e, self._n) * base, 1, self._n))
        result = power(blinded * unblinding, 1, self._n)
        if power(result, self._e, self._n) != base:
            raise CryptokiError(CKR_FUNCTION_FAILED, "the result does not verify")
        # With an octet before it, a result that begins with zeros is written like any other.
        octets: bytes = (result + self._top).to_bytes(self._octets + 1, "big")
        return octets[1:]

    def _power_of_secret(self, base: Any) -> Any:
        """By the Chinese remainder theorem: a quarter of the time."""
        power = gmp().powmod_sec
        p, q = self._primes
        in_p = power(base, self._exponents[0], p)
        in_q = power(base, self._exponents[1], q)
        difference = in_p + p - power(in_q, 1, p)  # never negative
        return in_q + power(difference * self._coefficient, 1, p) * q

    def _blinding(self) -> tuple[Any, Any]:
        """A random number and its inverse.

        The function that inverts is not made for secrets, so that it sees the number only as a
        product with another random one.
        """
        power, n = gmp().powmod_sec, self._n
        while True:
            number, veil = self._random(), self._random()
            try:
                inverse = gmp().invert(power(number * veil, 1, n), n)
            except ZeroDivisionError:
                continue
            return number, power(inverse * veil, 1, n)

    def _random(self) -> Any:
        octets = os.urandom(self._octets + _MORE)
        return gmp().powmod_sec(gmp().mpz(int.from_bytes(octets, "big")), 1, self._n)


def private_key(key: Key) -> RawPrivateKey:
    """The numbers of ``key``, made at their first use."""
    cache: RawPrivateKey | None = key.cache
    if cache is None:
        cache = key.cache = RawPrivateKey(key)
    return cache


def public_power(value: int, exponent: int, modulus: int) -> int:
    """Raise a secret number to a public exponent (encryption)."""
    return int(gmp().powmod_sec(value, exponent, modulus))
