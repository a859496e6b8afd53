"""HMAC over every hash function (PKCS #11 v3.2, section 6.20 to 6.27; RFC 2104)."""

from __future__ import annotations

# The constant-time comparison that the standard library's hmac offers under another name. Neither
# that module nor cryptography's constant_time may be imported: both load the system's libcrypto.
from _operator import _compare_digest as equal_in_constant_time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, Self

from cryptography.hazmat.primitives.hmac import HMAC

from pypkcs11.mechanisms.digests import HASHES, HashFunction
from pypkcs11.mechanisms.generic import LONGEST
from pypkcs11.mechanisms.operation import Signature, Verification, with_own_context
from pypkcs11.mechanisms.parameters import MacGeneral
from pypkcs11.mechanisms.registry import BYTES, Key, Mechanism, PerKey
from pypkcs11.standard.constants import (
    CKK_BLAKE2B_512_HMAC,
    CKK_GENERIC_SECRET,
    CKK_MD5_HMAC,
    CKK_SHA3_224_HMAC,
    CKK_SHA3_256_HMAC,
    CKK_SHA3_384_HMAC,
    CKK_SHA3_512_HMAC,
    CKK_SHA224_HMAC,
    CKK_SHA256_HMAC,
    CKK_SHA384_HMAC,
    CKK_SHA512_224_HMAC,
    CKK_SHA512_256_HMAC,
    CKK_SHA512_HMAC,
    CKK_SHA_1_HMAC,
    CKM_BLAKE2B_512,
    CKM_BLAKE2B_512_HMAC,
    CKM_BLAKE2B_512_HMAC_GENERAL,
    CKM_MD5,
    CKM_MD5_HMAC,
    CKM_MD5_HMAC_GENERAL,
    CKM_SHA3_224,
    CKM_SHA3_224_HMAC,
    CKM_SHA3_224_HMAC_GENERAL,
    CKM_SHA3_256,
    CKM_SHA3_256_HMAC,
    CKM_SHA3_256_HMAC_GENERAL,
    CKM_SHA3_384,
    CKM_SHA3_384_HMAC,
    CKM_SHA3_384_HMAC_GENERAL,
    CKM_SHA3_512,
    CKM_SHA3_512_HMAC,
    CKM_SHA3_512_HMAC_GENERAL,
    CKM_SHA224,
    CKM_SHA224_HMAC,
    CKM_SHA224_HMAC_GENERAL,
    CKM_SHA256,
    CKM_SHA256_HMAC,
    CKM_SHA256_HMAC_GENERAL,
    CKM_SHA384,
    CKM_SHA384_HMAC,
    CKM_SHA384_HMAC_GENERAL,
    CKM_SHA512,
    CKM_SHA512_224,
    CKM_SHA512_224_HMAC,
    CKM_SHA512_224_HMAC_GENERAL,
    CKM_SHA512_256,
    CKM_SHA512_256_HMAC,
    CKM_SHA512_256_HMAC_GENERAL,
    CKM_SHA512_HMAC,
    CKM_SHA512_HMAC_GENERAL,
    CKM_SHA_1,
    CKM_SHA_1_HMAC,
    CKM_SHA_1_HMAC_GENERAL,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer


class MacContext(Protocol):
    """An HMAC or CMAC context of ``cryptography``."""

    def update(self, data: Any) -> None: ...
    def finalize(self) -> bytes: ...


class MacSignature(Signature):
    """A MAC by a context that has ``update`` and ``finalize``, cut to ``length`` octets."""

    __slots__ = ("_context",)

    def __init__(self, context: MacContext, length: int) -> None:
        self.length = length
        self._context = context

    def copy(self) -> Self:
        return with_own_context(self)

    def sign(self, data: Buffer) -> bytes:
        context = self._context
        context.update(data)
        return context.finalize()[: self.length]

    def update(self, data: Buffer) -> None:
        self._context.update(data)

    def finish(self) -> bytes:
        return self._context.finalize()[: self.length]


class MacVerification(Verification):
    """A MAC being verified. The length is looked at first, the octets in constant time."""

    __slots__ = ("_context", "_length")

    def __init__(self, context: MacContext, length: int) -> None:
        self._length = length
        self._context = context

    def copy(self) -> Self:
        return with_own_context(self)

    def verify(self, data: Buffer, signature: Buffer) -> None:
        self._context.update(data)
        self.finish(signature)

    def update(self, data: Buffer) -> None:
        self._context.update(data)

    def finish(self, signature: Buffer) -> None:
        length = self._length
        if len(signature) != length:
            raise CryptokiError(CKR_SIGNATURE_LEN_RANGE, f"the MAC has {length} octets")
        if not equal_in_constant_time(self._context.finalize()[:length], signature):
            raise CryptokiError(CKR_SIGNATURE_INVALID, "the MAC is another")


def mac_length(parameter: MacGeneral | None, longest: int) -> int:
    """The MAC's length: the parameter's, or all of it without one.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for 0 or more than there is (PKCS #11 v3.2,
        "general-length" mechanisms).
    """
    if parameter is None:
        return longest
    length = parameter.length
    if not 0 < length <= longest:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"a MAC of {length} octets")
    return length


def _keyed(key: Key, function: HashFunction) -> HMAC:
    """The HMAC context that is kept with a key: each use copies it."""
    contexts: dict[int, HMAC] | None = key.cache
    if contexts is None:
        contexts = key.cache = {}
    keyed = contexts.get(function.mechanism)
    if keyed is None:
        keyed = contexts[function.mechanism] = HMAC(key.value, function.algorithm)
    return keyed


def _sign(function: HashFunction, key: Key) -> Callable[[MacGeneral | None], Signature]:
    keyed, longest = _keyed(key, function), function.length
    return lambda parameter: MacSignature(keyed.copy(), mac_length(parameter, longest))


def _verify(function: HashFunction, key: Key) -> Callable[[MacGeneral | None], Verification]:
    keyed, longest = _keyed(key, function), function.length
    return lambda parameter: MacVerification(keyed.copy(), mac_length(parameter, longest))


#: Digest, its HMAC, the general-length one, and the key type of its own.
_HMACS = (
    (CKM_MD5, CKM_MD5_HMAC, CKM_MD5_HMAC_GENERAL, CKK_MD5_HMAC),
    (CKM_SHA_1, CKM_SHA_1_HMAC, CKM_SHA_1_HMAC_GENERAL, CKK_SHA_1_HMAC),
    (CKM_SHA224, CKM_SHA224_HMAC, CKM_SHA224_HMAC_GENERAL, CKK_SHA224_HMAC),
    (CKM_SHA256, CKM_SHA256_HMAC, CKM_SHA256_HMAC_GENERAL, CKK_SHA256_HMAC),
    (CKM_SHA384, CKM_SHA384_HMAC, CKM_SHA384_HMAC_GENERAL, CKK_SHA384_HMAC),
    (CKM_SHA512, CKM_SHA512_HMAC, CKM_SHA512_HMAC_GENERAL, CKK_SHA512_HMAC),
    (CKM_SHA512_224, CKM_SHA512_224_HMAC, CKM_SHA512_224_HMAC_GENERAL, CKK_SHA512_224_HMAC),
    (CKM_SHA512_256, CKM_SHA512_256_HMAC, CKM_SHA512_256_HMAC_GENERAL, CKK_SHA512_256_HMAC),
    (CKM_SHA3_224, CKM_SHA3_224_HMAC, CKM_SHA3_224_HMAC_GENERAL, CKK_SHA3_224_HMAC),
    (CKM_SHA3_256, CKM_SHA3_256_HMAC, CKM_SHA3_256_HMAC_GENERAL, CKK_SHA3_256_HMAC),
    (CKM_SHA3_384, CKM_SHA3_384_HMAC, CKM_SHA3_384_HMAC_GENERAL, CKK_SHA3_384_HMAC),
    (CKM_SHA3_512, CKM_SHA3_512_HMAC, CKM_SHA3_512_HMAC_GENERAL, CKK_SHA3_512_HMAC),
    (CKM_BLAKE2B_512, CKM_BLAKE2B_512_HMAC, CKM_BLAKE2B_512_HMAC_GENERAL, CKK_BLAKE2B_512_HMAC),
)


def _row(
    mechanism: int, digest: int, key_type: int, parameter: type[MacGeneral] | None
) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=(CKK_GENERIC_SECRET, key_type),
        sizes=(1, LONGEST),
        unit=BYTES,
        parameter=parameter,
        sign=PerKey(partial(_sign, HASHES[digest])),
        verify=PerKey(partial(_verify, HASHES[digest])),
    )


MECHANISMS = tuple(
    row
    for digest, full, general, key_type in _HMACS
    for row in (_row(full, digest, key_type, None), _row(general, digest, key_type, MacGeneral))
)
