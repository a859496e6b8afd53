"""Keys that are the digest of another (PKCS #11 v3.2, section 6.31 and, for MD5, its history)."""

from __future__ import annotations

from functools import partial
from typing import Final

from cryptography.hazmat.primitives import hashes

from pypkcs11.mechanisms.derivation import leading
from pypkcs11.mechanisms.families import key_types_of
from pypkcs11.mechanisms.generic import LONGEST
from pypkcs11.mechanisms.registry import BYTES, Key, Mechanism
from pypkcs11.standard.constants import (
    CKM_BLAKE2B_512_KEY_DERIVE,
    CKM_MD5_KEY_DERIVATION,
    CKM_SHA1_KEY_DERIVATION,
    CKM_SHA3_224_KEY_DERIVATION,
    CKM_SHA3_256_KEY_DERIVATION,
    CKM_SHA3_384_KEY_DERIVATION,
    CKM_SHA3_512_KEY_DERIVATION,
    CKM_SHA224_KEY_DERIVATION,
    CKM_SHA256_KEY_DERIVATION,
    CKM_SHA384_KEY_DERIVATION,
    CKM_SHA512_224_KEY_DERIVATION,
    CKM_SHA512_256_KEY_DERIVATION,
    CKM_SHA512_KEY_DERIVATION,
    CKM_SHAKE_128_KEY_DERIVATION,
    CKM_SHAKE_256_KEY_DERIVATION,
    CKO_SECRET_KEY,
)


def derive(
    algorithm: hashes.HashAlgorithm,
    key: Key,
    parameter: None,
    length: int | None,
    second: Key | None,
) -> bytes:
    """The digest of the base key's value, or the beginning of it.

    :raises CryptokiError: CKR_KEY_SIZE_RANGE for more octets than the digest has.
    """
    return leading(_digest(algorithm, key), length)


def expand(
    algorithm: type[hashes.SHAKE128 | hashes.SHAKE256],
    natural: int,
    key: Key,
    parameter: None,
    length: int | None,
    second: Key | None,
) -> bytes:
    """Output of a function that gives as much as is asked for.

    :param natural: octets where nothing says how many.
    """
    return _digest(algorithm(length or natural), key)


def _digest(algorithm: hashes.HashAlgorithm, key: Key) -> bytes:
    context = hashes.Hash(algorithm)
    context.update(key.value)
    return context.finalize()


_DIGESTS: Final = (
    (CKM_MD5_KEY_DERIVATION, hashes.MD5()),
    (CKM_SHA1_KEY_DERIVATION, hashes.SHA1()),
    (CKM_SHA224_KEY_DERIVATION, hashes.SHA224()),
    (CKM_SHA256_KEY_DERIVATION, hashes.SHA256()),
    (CKM_SHA384_KEY_DERIVATION, hashes.SHA384()),
    (CKM_SHA512_KEY_DERIVATION, hashes.SHA512()),
    (CKM_SHA512_224_KEY_DERIVATION, hashes.SHA512_224()),
    (CKM_SHA512_256_KEY_DERIVATION, hashes.SHA512_256()),
    (CKM_SHA3_224_KEY_DERIVATION, hashes.SHA3_224()),
    (CKM_SHA3_256_KEY_DERIVATION, hashes.SHA3_256()),
    (CKM_SHA3_384_KEY_DERIVATION, hashes.SHA3_384()),
    (CKM_SHA3_512_KEY_DERIVATION, hashes.SHA3_512()),
    (CKM_BLAKE2B_512_KEY_DERIVE, hashes.BLAKE2b(64)),
)

#: With the octets that they give where nothing says how many.
_EXPANSIONS: Final = (
    (CKM_SHAKE_128_KEY_DERIVATION, hashes.SHAKE128, 32),
    (CKM_SHAKE_256_KEY_DERIVATION, hashes.SHAKE256, 64),
)

MECHANISMS = tuple(
    Mechanism(
        type=mechanism,
        key_types=key_types_of(CKO_SECRET_KEY),
        sizes=(1, LONGEST),
        unit=BYTES,
        derive=function,
    )
    for mechanism, function in (
        *((mechanism, partial(derive, algorithm)) for mechanism, algorithm in _DIGESTS),
        *((mechanism, partial(expand, made, octets)) for mechanism, made, octets in _EXPANSIONS),
    )
)
