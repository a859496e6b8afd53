"""Signatures that are two numbers, r and s: what DSA and ECDSA have in common.

PKCS #11 v3.2, sections 6.2 and 6.3. In a signature both are as long as the order of the group, side
by side; the library beneath has them in DER.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pypkcs11.mechanisms.digests import HASHES, HashFunction
from pypkcs11.mechanisms.operation import Signature, Verification, with_own_context
from pypkcs11.mechanisms.registry import Key, Mechanism, PerKey, always
from pypkcs11.standard.constants import (
    CKR_DATA_LEN_RANGE,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer


class Given(hashes.HashAlgorithm):
    """A digest that the caller has made, of which only the length is known."""

    name = "given"
    digest_size = 0
    block_size = 64

    def __init__(self, length: int) -> None:
        self.digest_size = length


class Scheme:
    """DSA or ECDSA.

    :param given: the library's scheme for data that is a digest already, by its length in octets.
    :param longest: octets of the data that count, where it may be longer than ``given`` has it; 0
        where it may not. As many bits are taken from the left as the order has (FIPS 186-5, section
        6.4.1), which the library beneath sees to.
    :param short: whether both halves of a signature may lack leading zeros.
    """

    __slots__ = ("_longest", "_short", "given")

    def __init__(self, given: dict[int, Any], *, longest: int = 0, short: bool = False) -> None:
        self.given = given
        self._longest = longest
        self._short = short

    def bare(self, data: Buffer) -> tuple[Buffer, Any]:
        """Data that is a digest already, and the library's scheme for it.

        :raises CryptokiError: CKR_DATA_LEN_RANGE.
        """
        scheme = self.given.get(len(data))
        if scheme is not None:
            return data, scheme
        longest = self._longest
        if not longest:
            raise CryptokiError(CKR_DATA_LEN_RANGE, f"{len(data)} octets are no digest")
        return memoryview(data)[:longest], self.given[longest]

    def der(self, signature: Buffer, width: int) -> bytes:
        """A signature of r and s in DER.

        :raises CryptokiError: CKR_SIGNATURE_LEN_RANGE.
        """
        length = len(signature)
        if length != 2 * width and not (self._short and 0 < length < 2 * width and not length % 2):
            raise CryptokiError(CKR_SIGNATURE_LEN_RANGE, f"the signature has {2 * width} octets")
        octets = bytes(signature)
        half = length // 2
        return encode_dss_signature(
            int.from_bytes(octets[:half], "big"), int.from_bytes(octets[half:], "big")
        )


def fixed_width(signature: bytes, width: int) -> bytes:
    """r and s of a DER-encoded signature that has just been made, side by side.

    SEQUENCE of two INTEGERs, each with at most one leading zero octet. Several times as fast as
    going by way of two integers.
    """
    at = 4 if signature[1] < 0x80 else 5  # the SEQUENCE's length takes one octet, or two
    middle = at + signature[at - 1]
    if middle - at >= width and signature[middle + 1] >= width:
        return signature[middle - width : middle] + signature[-width:]
    r, s = signature[at:middle], signature[middle + 2 :]  # one of them is short, in 1 of 128
    return r[-width:].rjust(width, b"\0") + s[-width:].rjust(width, b"\0")


class BareSignature(Signature):
    """A signature over data that is a digest already. It keeps nothing: one serves all of a key.

    :param width: the order's length in octets.
    """

    __slots__ = ("_scheme", "_sign", "_width")

    def __init__(self, scheme: Scheme, width: int, key: Key) -> None:
        self._scheme = scheme
        self._width = width
        self.length = 2 * width
        self._sign: Callable[..., bytes] = key.value.sign

    def sign(self, data: Buffer) -> bytes:
        sign = self._sign
        data, scheme = self._scheme.bare(data)
        return fixed_width(sign(data, scheme), self._width)


class BareVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_key", "_scheme", "_width")

    def __init__(self, scheme: Scheme, width: int, key: Key) -> None:
        self._scheme = scheme
        self._width = width
        self._key: Any = key.value

    def verify(self, data: Buffer, signature: Buffer) -> None:
        data, scheme = self._scheme.bare(data)
        encoded = self._scheme.der(signature, self._width)
        try:
            self._key.verify(encoded, data, scheme)
        except InvalidSignature:
            raise _wrong_signature() from None


class HashedSignature(Signature):
    """A signature over data that the mechanism hashes, in any number of parts."""

    __slots__ = ("_context", "_key", "_scheme", "_width")

    def __init__(
        self, scheme: Scheme, width: int, key: Key, function: HashFunction, parameter: None
    ) -> None:
        self._scheme = scheme.given[function.length]
        self._width = width
        self.length = 2 * width
        self._key: Any = key.value
        self._context = function.blank.copy()

    def copy(self) -> Self:
        return with_own_context(self)

    def sign(self, data: Buffer) -> bytes:
        self._context.update(data)
        return self.finish()

    def update(self, data: Buffer) -> None:
        self._context.update(data)

    def finish(self) -> bytes:
        signature = self._key.sign(self._context.finalize(), self._scheme)
        return fixed_width(signature, self._width)


class HashedVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_context", "_function", "_key", "_scheme", "_width")

    def __init__(
        self, scheme: Scheme, width: int, key: Key, function: HashFunction, parameter: None
    ) -> None:
        self._scheme = scheme
        self._width = width
        self._key: Any = key.value
        self._function = function
        self._context = function.blank.copy()

    def copy(self) -> Self:
        return with_own_context(self)

    def verify(self, data: Buffer, signature: Buffer) -> None:
        self._context.update(data)
        self.finish(signature)

    def update(self, data: Buffer) -> None:
        self._context.update(data)

    def finish(self, signature: Buffer) -> None:
        encoded = self._scheme.der(signature, self._width)
        scheme = self._scheme.given[self._function.length]
        try:
            self._key.verify(encoded, self._context.finalize(), scheme)
        except InvalidSignature:
            raise _wrong_signature() from None


def _wrong_signature() -> CryptokiError:
    return CryptokiError(CKR_SIGNATURE_INVALID, "the signature is another's")


def rows(
    scheme: Scheme,
    width: Callable[[Key], int],
    bare: Mechanism,
    hashed: Iterable[tuple[int, int]],
) -> tuple[Mechanism, ...]:
    """The rows of all mechanisms that sign by a scheme.

    :param width: octets of half a signature by a key.
    :param bare: the row of the one that hashes nothing, without what it does; the others' keys are
        its keys.
    :param hashed: the digest and the mechanism that hashes with it, of each of the others.
    """

    def one(operation: Callable[..., Any]) -> PerKey:
        return PerKey(lambda key: always(operation(scheme, width(key), key)))

    def many(operation: Callable[..., Any], digest: int) -> PerKey:
        function = HASHES[digest]
        return PerKey(lambda key: partial(operation, scheme, width(key), key, function))

    return (
        bare._replace(sign=one(BareSignature), verify=one(BareVerification)),
        *(
            bare._replace(
                type=mechanism,
                sign=many(HashedSignature, digest),
                verify=many(HashedVerification, digest),
            )
            for digest, mechanism in hashed
        ),
    )
