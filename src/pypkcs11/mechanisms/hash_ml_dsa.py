"""HashML-DSA (PKCS #11 v3.2, section 6.67; FIPS 204, section 5.4).

The library beneath has no such signatures, but signs and verifies a message representative (mu)
that it is given. Of that, what FIPS 204 calls M' is made here: 1, the context with its length, the
hash function's OBJECT IDENTIFIER and the digest (algorithm 4, line 23, and algorithm 7, line 6).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

from pypkcs11.mechanisms import der
from pypkcs11.mechanisms.digests import HASHES, HashFunction
from pypkcs11.mechanisms.ml_dsa import (
    SIGNATURE,
    SIZES,
    check_hedge,
    check_signature,
    context_of,
    wrong,
)
from pypkcs11.mechanisms.operation import Signature, Verification, with_own_context
from pypkcs11.mechanisms.parameters import HashSignContext, SignContext
from pypkcs11.mechanisms.registry import BYTES, Key, Mechanism
from pypkcs11.standard.constants import (
    CKK_ML_DSA,
    CKM_HASH_ML_DSA,
    CKM_HASH_ML_DSA_SHA3_224,
    CKM_HASH_ML_DSA_SHA3_256,
    CKM_HASH_ML_DSA_SHA3_384,
    CKM_HASH_ML_DSA_SHA3_512,
    CKM_HASH_ML_DSA_SHA224,
    CKM_HASH_ML_DSA_SHA256,
    CKM_HASH_ML_DSA_SHA384,
    CKM_HASH_ML_DSA_SHA512,
    CKM_HASH_ML_DSA_SHAKE128,
    CKM_HASH_ML_DSA_SHAKE256,
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
    CKR_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

_MU = hashes.SHAKE256(64)


class PreHash(NamedTuple):
    """A hash function, and its OBJECT IDENTIFIER, encoded."""

    function: HashFunction
    identifier: bytes


def _prehash(function: HashFunction, arc: int) -> PreHash:
    """:param arc: the last of the identifier, among NIST's hash algorithms."""
    return PreHash(function, der.object_identifier(f"2.16.840.1.101.3.4.2.{arc}"))


#: By the CKM_ of the digest.
_BY_DIGEST = {
    digest: _prehash(HASHES[digest], arc)
    for digest, arc in (
        (CKM_SHA256, 1),
        (CKM_SHA384, 2),
        (CKM_SHA512, 3),
        (CKM_SHA224, 4),
        (CKM_SHA512_224, 5),
        (CKM_SHA512_256, 6),
        (CKM_SHA3_224, 7),
        (CKM_SHA3_256, 8),
        (CKM_SHA3_384, 9),
        (CKM_SHA3_512, 10),
    )
}

#: By the mechanism that hashes. The lengths of what SHAKE gives are those of FIPS 204.
_BY_MECHANISM = {
    CKM_HASH_ML_DSA_SHA224: _BY_DIGEST[CKM_SHA224],
    CKM_HASH_ML_DSA_SHA256: _BY_DIGEST[CKM_SHA256],
    CKM_HASH_ML_DSA_SHA384: _BY_DIGEST[CKM_SHA384],
    CKM_HASH_ML_DSA_SHA512: _BY_DIGEST[CKM_SHA512],
    CKM_HASH_ML_DSA_SHA3_224: _BY_DIGEST[CKM_SHA3_224],
    CKM_HASH_ML_DSA_SHA3_256: _BY_DIGEST[CKM_SHA3_256],
    CKM_HASH_ML_DSA_SHA3_384: _BY_DIGEST[CKM_SHA3_384],
    CKM_HASH_ML_DSA_SHA3_512: _BY_DIGEST[CKM_SHA3_512],
    CKM_HASH_ML_DSA_SHAKE128: _prehash(
        HashFunction(CKM_HASH_ML_DSA_SHAKE128, hashes.SHAKE128(32)), 11
    ),
    CKM_HASH_ML_DSA_SHAKE256: _prehash(
        HashFunction(CKM_HASH_ML_DSA_SHAKE256, hashes.SHAKE256(64)), 12
    ),
}


def _begun(key: Key, public: Any) -> hashes.Hash:
    """The beginning of every representative under a key: the hash of the public key (tr)."""
    if key.cache is None:
        inner = hashes.Hash(_MU)
        inner.update(public.public_bytes_raw())
        outer = hashes.Hash(_MU)
        outer.update(inner.finalize())
        key.cache = outer  # whole: other threads may be using the key
    begun: hashes.Hash = key.cache
    return begun.copy()


def _mu(begun: hashes.Hash, context: bytes, prehash: PreHash, digest: Buffer) -> bytes:
    """The representative of a message with this digest."""
    begun.update(bytes((1, len(context))) + context + prehash.identifier)
    begun.update(digest)
    return begun.finalize()


def _sign(key: Key, context: bytes, prehash: PreHash, digest: Buffer) -> bytes:
    private: Any = key.value
    begun = _begun(key, private.public_key())
    signature: bytes = private.sign_mu(_mu(begun, context, prehash, digest))
    return signature


def _verify(key: Key, context: bytes, prehash: PreHash, digest: Buffer, signature: Buffer) -> None:
    check_signature(key, signature)
    public: Any = key.value
    try:
        public.verify_mu(signature, _mu(_begun(key, public), context, prehash, digest))
    except InvalidSignature:
        raise wrong() from None


class HashingSignature(Signature):
    """A signature over a message that the token hashes."""

    __slots__ = ("_context", "_hash", "_key", "_prehash")

    def __init__(self, prehash: PreHash, key: Key, parameter: SignContext | None) -> None:
        self._context = context_of(parameter)
        if parameter is not None:
            check_hedge(parameter.hedge)
        self.length = SIGNATURE[key.bits]
        self._key = key
        self._prehash = prehash
        self._hash = prehash.function.blank.copy()

    def copy(self) -> Self:
        return with_own_context(self, "_hash")

    def sign(self, data: Buffer) -> bytes:
        self._hash.update(data)
        return self.finish()

    def update(self, data: Buffer) -> None:
        self._hash.update(data)

    def finish(self) -> bytes:
        return _sign(self._key, self._context, self._prehash, self._hash.finalize())


class HashingVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_context", "_hash", "_key", "_prehash")

    def __init__(self, prehash: PreHash, key: Key, parameter: SignContext | None) -> None:
        self._context = context_of(parameter)
        self._key = key
        self._prehash = prehash
        self._hash = prehash.function.blank.copy()

    def copy(self) -> Self:
        return with_own_context(self, "_hash")

    def verify(self, data: Buffer, signature: Buffer) -> None:
        self._hash.update(data)
        self.finish(signature)

    def update(self, data: Buffer) -> None:
        self._hash.update(data)

    def finish(self, signature: Buffer) -> None:
        digest = self._hash.finalize()
        _verify(self._key, self._context, self._prehash, digest, signature)


def _named(parameter: HashSignContext) -> PreHash:
    prehash = _BY_DIGEST.get(parameter.hash)
    if prehash is None:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "no such hash function")
    return prehash


def _check_digest(prehash: PreHash, digest: Buffer) -> None:
    if len(digest) != prehash.function.length:
        raise CryptokiError(CKR_DATA_LEN_RANGE, f"a digest of {len(digest)} octets")


class HashedSignature(Signature):
    """A signature over a digest that the caller has made, in one part only."""

    __slots__ = ("_context", "_key", "_prehash")

    def __init__(self, key: Key, parameter: HashSignContext) -> None:
        self._prehash = _named(parameter)
        self._context = context_of(parameter.sign_context)
        check_hedge(parameter.hedge)
        self.length = SIGNATURE[key.bits]
        self._key = key

    def copy(self) -> Self:
        return self  # it has no state of its own

    def sign(self, data: Buffer) -> bytes:
        _check_digest(self._prehash, data)
        return _sign(self._key, self._context, self._prehash, data)


class HashedVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_context", "_key", "_prehash")

    def __init__(self, key: Key, parameter: HashSignContext) -> None:
        self._prehash = _named(parameter)
        self._context = context_of(parameter.sign_context)
        self._key = key

    def copy(self) -> Self:
        return self  # it has no state of its own

    def verify(self, data: Buffer, signature: Buffer) -> None:
        _check_digest(self._prehash, data)
        _verify(self._key, self._context, self._prehash, data, signature)


MECHANISMS = (
    Mechanism(
        type=CKM_HASH_ML_DSA,
        key_types=(CKK_ML_DSA,),
        sizes=SIZES,
        unit=BYTES,
        parameter=HashSignContext,
        sign=HashedSignature,
        verify=HashedVerification,
    ),
    *(
        Mechanism(
            type=mechanism,
            key_types=(CKK_ML_DSA,),
            sizes=SIZES,
            unit=BYTES,
            parameter=SignContext,
            parameter_optional=True,
            sign=partial(HashingSignature, prehash),
            verify=partial(HashingVerification, prehash),
        )
        for mechanism, prehash in _BY_MECHANISM.items()
    ),
)
