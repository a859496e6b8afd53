"""Message digests (PKCS #11 v3.2, section 6.20 to 6.27), and the table of hash functions.

Every family that hashes takes its hash function from :data:`HASHES`. Of BLAKE2b, the library
beneath has the digest of 512 bits only.
"""

from __future__ import annotations

from functools import partial
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from pypkcs11.mechanisms.operation import Digest, with_own_context
from pypkcs11.mechanisms.registry import Mechanism
from pypkcs11.standard.constants import (
    CKM_BLAKE2B_512,
    CKM_MD5,
    CKM_SHA3_224,
    CKM_SHA3_256,
    CKM_SHA3_384,
    CKM_SHA3_512,
    CKM_SHA224,
    CKM_SHA256,
    CKM_SHA384,
    CKM_SHA512,
    CKM_SHA512_224,
    CKM_SHA512_256,
    CKM_SHA_1,
)
from pypkcs11.standard.values import Buffer


class HashFunction:
    """A hash function, with what of it can be made once and used by every operation.

    ``mechanism`` is the CKM_ of its digest, ``length`` the digest's in octets, ``blank`` a context
    that has seen nothing yet: copying one is faster than making one.
    """

    __slots__ = ("algorithm", "blank", "length", "mechanism", "prehashed")

    def __init__(self, mechanism: int, algorithm: hashes.HashAlgorithm) -> None:
        self.mechanism = mechanism
        self.algorithm = algorithm
        self.length = algorithm.digest_size
        self.blank = hashes.Hash(algorithm)
        self.prehashed = Prehashed(algorithm)


#: The hash functions, by the CKM_ of their digest.
HASHES: dict[int, HashFunction] = {
    mechanism: HashFunction(mechanism, algorithm)
    for mechanism, algorithm in (
        (CKM_MD5, hashes.MD5()),
        (CKM_SHA_1, hashes.SHA1()),
        (CKM_SHA224, hashes.SHA224()),
        (CKM_SHA256, hashes.SHA256()),
        (CKM_SHA384, hashes.SHA384()),
        (CKM_SHA512, hashes.SHA512()),
        (CKM_SHA512_224, hashes.SHA512_224()),
        (CKM_SHA512_256, hashes.SHA512_256()),
        (CKM_SHA3_224, hashes.SHA3_224()),
        (CKM_SHA3_256, hashes.SHA3_256()),
        (CKM_SHA3_384, hashes.SHA3_384()),
        (CKM_SHA3_512, hashes.SHA3_512()),
        (CKM_BLAKE2B_512, hashes.BLAKE2b(64)),
    )
}


class HashDigest(Digest):
    """A digest by a hash function."""

    __slots__ = ("_context",)

    def __init__(self, function: HashFunction, parameter: None = None) -> None:
        self.length = function.length
        self._context = function.blank.copy()

    def copy(self) -> Self:
        return with_own_context(self)

    def digest(self, data: Buffer) -> bytes:
        context = self._context
        context.update(data)
        return context.finalize()

    def update(self, data: Buffer) -> None:
        self._context.update(data)

    def finish(self) -> bytes:
        return self._context.finalize()


MECHANISMS = tuple(
    Mechanism(type=function.mechanism, digest=partial(HashDigest, function))
    for function in HASHES.values()
)
