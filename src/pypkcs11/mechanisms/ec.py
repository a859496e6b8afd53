"""ECDSA, and the rows of the mechanisms over curves in short Weierstrass form.

PKCS #11 v3.2, section 6.3.12 and 6.3.13. A signature is r and s, each as long as the group's order,
which for all these curves is as long as a field element.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from pypkcs11.mechanisms import curves, ec_keys
from pypkcs11.mechanisms.digests import HASHES, HashFunction
from pypkcs11.mechanisms.operation import Signature, Verification, with_own_context
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.standard.constants import (
    CKK_EC,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_ECDSA_SHA1,
    CKM_ECDSA_SHA3_224,
    CKM_ECDSA_SHA3_256,
    CKM_ECDSA_SHA3_384,
    CKM_ECDSA_SHA3_512,
    CKM_ECDSA_SHA224,
    CKM_ECDSA_SHA256,
    CKM_ECDSA_SHA384,
    CKM_ECDSA_SHA512,
    CKM_SHA3_224,
    CKM_SHA3_256,
    CKM_SHA3_384,
    CKM_SHA3_512,
    CKM_SHA224,
    CKM_SHA256,
    CKM_SHA384,
    CKM_SHA512,
    CKM_SHA_1,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

KEY_TYPES = ec_keys.KEY_TYPES


class _Given(hashes.HashAlgorithm):
    """A digest that the caller has made, of which only the length is known."""

    name = "given"
    digest_size = 0
    block_size = 64

    def __init__(self, length: int) -> None:
        self.digest_size = length


#: More octets than the largest group order has do not count: ECDSA takes as many bits from the left
#: as the order has (FIPS 186-5, section 6.4.1), which the library beneath sees to.
_LONGEST = 66

#: The scheme for data that is a digest already, by its length in octets.
_BARE = tuple(ECDSA(Prehashed(_Given(length))) for length in range(_LONGEST + 1))


def _bare(data: Buffer) -> tuple[Buffer, ECDSA]:
    length = len(data)
    if length > _LONGEST:
        return memoryview(data)[:_LONGEST], _BARE[_LONGEST]
    return data, _BARE[length]


def _fixed_width(signature: bytes, width: int) -> bytes:
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


def _der(signature: Buffer, width: int) -> bytes:
    """A signature of r and s in DER.

    Applications that do not know the group's order may leave out leading zeros of both halves
    (section 6.3.1), so any even length up to the full one will do.

    :raises CryptokiError: CKR_SIGNATURE_LEN_RANGE for another.
    """
    length = len(signature)
    if not 0 < length <= 2 * width or length % 2:
        raise CryptokiError(CKR_SIGNATURE_LEN_RANGE, f"the signature has {2 * width} octets")
    octets = bytes(signature)
    half = length // 2
    return encode_dss_signature(
        int.from_bytes(octets[:half], "big"), int.from_bytes(octets[half:], "big")
    )


class EcdsaSignature(Signature):
    """A signature over data that is a digest already."""

    __slots__ = ("_key", "_width")

    def __init__(self, key: Key, parameter: None) -> None:
        self._width = (key.bits + 7) // 8
        self.length = 2 * self._width
        self._key: EllipticCurvePrivateKey = key.value

    def sign(self, data: Buffer) -> bytes:
        return _fixed_width(self._key.sign(*_bare(data)), self._width)


class EcdsaVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_key", "_width")

    def __init__(self, key: Key, parameter: None) -> None:
        self._width = (key.bits + 7) // 8
        self._key: EllipticCurvePublicKey = key.value

    def verify(self, data: Buffer, signature: Buffer) -> None:
        encoded = _der(signature, self._width)
        try:
            self._key.verify(encoded, *_bare(data))
        except InvalidSignature:
            raise _wrong_signature() from None


class EcdsaHashedSignature(Signature):
    """A signature over data that the mechanism hashes, in any number of parts."""

    __slots__ = ("_context", "_function", "_key", "_width")

    def __init__(self, function: HashFunction, key: Key, parameter: None) -> None:
        self._width = (key.bits + 7) // 8
        self.length = 2 * self._width
        self._key: EllipticCurvePrivateKey = key.value
        self._function = function
        self._context = function.blank.copy()

    def copy(self) -> Self:
        return with_own_context(self)

    def sign(self, data: Buffer) -> bytes:
        self._context.update(data)
        return self.finish()

    def update(self, data: Buffer) -> None:
        self._context.update(data)

    def finish(self) -> bytes:
        signature = self._key.sign(self._context.finalize(), _BARE[self._function.length])
        return _fixed_width(signature, self._width)


class EcdsaHashedVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_context", "_function", "_key", "_width")

    def __init__(self, function: HashFunction, key: Key, parameter: None) -> None:
        self._width = (key.bits + 7) // 8
        self._key: EllipticCurvePublicKey = key.value
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
        encoded = _der(signature, self._width)
        try:
            self._key.verify(encoded, self._context.finalize(), _BARE[self._function.length])
        except InvalidSignature:
            raise _wrong_signature() from None


def _wrong_signature() -> CryptokiError:
    return CryptokiError(CKR_SIGNATURE_INVALID, "the signature is another's")


def _row(
    mechanism: int,
    sign: Callable[[Key, None], Signature],
    verify: Callable[[Key, None], Verification],
) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=(CKK_EC,),
        sizes=ec_keys.SIZES,
        extra_flags=curves.FLAGS,
        sign=sign,
        verify=verify,
    )


#: Digest, and the mechanism that hashes with it.
_HASHED = (
    (CKM_SHA_1, CKM_ECDSA_SHA1),
    (CKM_SHA224, CKM_ECDSA_SHA224),
    (CKM_SHA256, CKM_ECDSA_SHA256),
    (CKM_SHA384, CKM_ECDSA_SHA384),
    (CKM_SHA512, CKM_ECDSA_SHA512),
    (CKM_SHA3_224, CKM_ECDSA_SHA3_224),
    (CKM_SHA3_256, CKM_ECDSA_SHA3_256),
    (CKM_SHA3_384, CKM_ECDSA_SHA3_384),
    (CKM_SHA3_512, CKM_ECDSA_SHA3_512),
)

MECHANISMS = (
    Mechanism(
        type=CKM_EC_KEY_PAIR_GEN,
        key_types=(CKK_EC,),
        sizes=ec_keys.SIZES,
        extra_flags=curves.FLAGS,
        generate_pair=ec_keys.generate,
    ),
    _row(CKM_ECDSA, EcdsaSignature, EcdsaVerification),
    *(
        _row(
            mechanism,
            partial(EcdsaHashedSignature, HASHES[digest]),
            partial(EcdsaHashedVerification, HASHES[digest]),
        )
        for digest, mechanism in _HASHED
    ),
)
