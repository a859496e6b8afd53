"""RSA signatures and encryption by PKCS #1: v1.5, PSS and OAEP (PKCS #11 v3.2, 6.1.5 to 6.1.12).

The paddings that need no parameter are made once; those that do are kept by their parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import (
    MGF1,
    OAEP,
    PSS,
    AsymmetricPadding,
    PKCS1v15,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed

from pypkcs11.mechanisms.digests import HASHES, HashFunction
from pypkcs11.mechanisms.operation import (
    Cipher,
    GatheredSignature,
    GatheredVerification,
    Recovery,
    Signature,
    Verification,
    with_own_context,
)
from pypkcs11.mechanisms.parameters import RsaOaep, RsaPss
from pypkcs11.mechanisms.registry import Key, PerKey
from pypkcs11.standard.constants import (
    CKG_MGF1_SHA1,
    CKG_MGF1_SHA3_224,
    CKG_MGF1_SHA3_256,
    CKG_MGF1_SHA3_384,
    CKG_MGF1_SHA3_512,
    CKG_MGF1_SHA224,
    CKG_MGF1_SHA256,
    CKG_MGF1_SHA384,
    CKG_MGF1_SHA512,
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
    CKM_SHA_1,
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

PKCS1 = PKCS1v15()
_NO_DIGEST_INFO = NoDigestInfo()

#: What PKCS #1 v1.5 padding takes of a block at least, in octets.
_PKCS1_OVERHEAD = 11

#: The digest of each mask generation function.
_MASKS = {
    CKG_MGF1_SHA1: CKM_SHA_1,
    CKG_MGF1_SHA224: CKM_SHA224,
    CKG_MGF1_SHA256: CKM_SHA256,
    CKG_MGF1_SHA384: CKM_SHA384,
    CKG_MGF1_SHA512: CKM_SHA512,
    CKG_MGF1_SHA3_224: CKM_SHA3_224,
    CKG_MGF1_SHA3_256: CKM_SHA3_256,
    CKG_MGF1_SHA3_384: CKM_SHA3_384,
    CKG_MGF1_SHA3_512: CKM_SHA3_512,
}

#: The digests that cannot be had for PSS: one is broken, one the library beneath does not take.
_NOT_FOR_PSS = frozenset((CKM_MD5, CKM_BLAKE2B_512))

#: The digests that the library beneath takes for OAEP, as its hash and in its mask.
_OAEP_HASHES = frozenset((CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384, CKM_SHA512))


def _octets(key: Key) -> int:
    return (key.bits + 7) // 8


def _check_gathered(length: int, longest: int) -> None:
    """Refuse a part by which the message gets too long, before it is kept."""
    if length > longest:
        raise _data_length(length)


class RsaSignature(GatheredSignature):
    """A signature of ``data`` itself, which has ``shortest`` to ``longest`` octets.

    The standard gives these mechanisms one part only; applications that sign in many, as SoftHSM's
    users do with other tokens, are served as well.
    """

    __slots__ = ("_algorithm", "_longest", "_padding", "_shortest", "_sign")

    def __init__(
        self,
        key: Key,
        padding: AsymmetricPadding,
        algorithm: NoDigestInfo | Prehashed,
        shortest: int,
        longest: int,
        parameter: None = None,
    ) -> None:
        self.length = _octets(key)
        self._sign: Callable[..., bytes] = key.value.sign
        self._padding = padding
        self._algorithm = algorithm
        self._shortest = shortest
        self._longest = longest
        super().__init__()

    def update(self, data: Buffer) -> None:
        _check_gathered(len(self._parts or b"") + len(data), self._longest)
        super().update(data)

    def sign(self, data: Buffer) -> bytes:
        if not self._shortest <= len(data) <= self._longest:
            raise _data_length(len(data))
        return self._sign(data, self._padding, self._algorithm)


class RsaVerification(GatheredVerification):
    """The same for a verification."""

    __slots__ = ("_algorithm", "_key", "_length", "_longest", "_padding", "_shortest")

    def __init__(
        self,
        key: Key,
        padding: AsymmetricPadding,
        algorithm: NoDigestInfo | Prehashed,
        shortest: int,
        longest: int,
        parameter: None = None,
    ) -> None:
        self._length = _octets(key)
        self._key: Any = key.value
        self._padding = padding
        self._algorithm = algorithm
        self._shortest = shortest
        self._longest = longest
        super().__init__()

    def update(self, data: Buffer) -> None:
        _check_gathered(len(self._parts or b"") + len(data), self._longest)
        super().update(data)

    def verify(self, data: Buffer, signature: Buffer) -> None:
        length = len(data)
        if not self._shortest <= length <= self._longest:
            raise _data_length(length)
        if len(signature) != self._length:
            raise _signature_length(self._length)
        key = self._key
        try:
            if length:
                key.verify(signature, data, self._padding, self._algorithm)
            # Empty data: the library beneath takes a block without content for a failure.
            elif key.recover_data_from_signature(bytes(signature), self._padding, None):
                raise InvalidSignature
        except (InvalidSignature, ValueError):
            raise _wrong_signature() from None


class Pkcs1Recovery(Recovery):
    """The data of a v1.5 signature that is not a digest's, or need not be."""

    __slots__ = ("_key", "_length")

    def __init__(self, key: Key) -> None:
        self._length = _octets(key)
        self._key: RSAPublicKey = key.value

    def recover(self, signature: Buffer) -> bytes:
        if len(signature) != self._length:
            raise _signature_length(self._length)
        try:
            return self._key.recover_data_from_signature(bytes(signature), PKCS1, None)
        except (InvalidSignature, ValueError):
            raise _wrong_signature() from None


class RsaHashedSignature(Signature):
    """A signature over data that the mechanism hashes, in any number of parts."""

    __slots__ = ("_context", "_function", "_padding", "_sign")

    def __init__(
        self, key: Key, padding: AsymmetricPadding, function: HashFunction, parameter: None = None
    ) -> None:
        self.length = _octets(key)
        self._sign: Callable[..., bytes] = key.value.sign
        self._padding = padding
        self._function = function
        self._context: hashes.HashContext | None = None

    def copy(self) -> Self:
        return with_own_context(self)

    def sign(self, data: Buffer) -> bytes:
        return self._sign(data, self._padding, self._function.algorithm)

    def update(self, data: Buffer) -> None:
        if self._context is None:
            self._context = self._function.blank.copy()
        self._context.update(data)

    def finish(self) -> bytes:
        digest = (self._context or self._function.blank.copy()).finalize()
        return self._sign(digest, self._padding, self._function.prehashed)


class RsaHashedVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_check", "_context", "_function", "_length", "_padding")

    def __init__(
        self, key: Key, padding: AsymmetricPadding, function: HashFunction, parameter: None = None
    ) -> None:
        self._length = _octets(key)
        self._check: Callable[..., None] = key.value.verify
        self._padding = padding
        self._function = function
        self._context: hashes.HashContext | None = None

    def copy(self) -> Self:
        return with_own_context(self)

    def verify(self, data: Buffer, signature: Buffer) -> None:
        self._verify(data, signature, self._function.algorithm)

    def update(self, data: Buffer) -> None:
        if self._context is None:
            self._context = self._function.blank.copy()
        self._context.update(data)

    def finish(self, signature: Buffer) -> None:
        digest = (self._context or self._function.blank.copy()).finalize()
        self._verify(digest, signature, self._function.prehashed)

    def _verify(
        self, data: Buffer, signature: Buffer, algorithm: hashes.HashAlgorithm | Prehashed
    ) -> None:
        if len(signature) != self._length:
            raise _signature_length(self._length)
        try:
            self._check(signature, data, self._padding, algorithm)
        except (InvalidSignature, ValueError):
            raise _wrong_signature() from None


class RsaEncryption(Cipher):
    """Encryption in one part, of at most ``longest`` octets."""

    __slots__ = ("_key", "_length", "_longest", "_padding")

    def __init__(self, key: Key, padding: AsymmetricPadding, overhead: int) -> None:
        self._length = _octets(key)
        self._longest = self._length - overhead
        self._key: RSAPublicKey = key.value
        self._padding = padding

    def output_length(self, length: int) -> int:
        return self._length

    def run(self, data: Buffer) -> bytes:
        if len(data) > self._longest:
            raise _data_length(len(data))
        return self._key.encrypt(bytes(data), self._padding)


class RsaDecryption(Cipher):
    """Decryption in one part.

    With v1.5 padding, a block that is not well padded decrypts to octets that depend on the key and
    the block alone and look like any others ("implicit rejection", by the library beneath). So a
    caller who passes on whether decryption worked gives no padding oracle (Bleichenbacher), and
    learns of a wrong block only from what it decrypts to.
    """

    __slots__ = ("_key", "_length", "_longest", "_padding")
    exact = False

    def __init__(self, key: Key, padding: AsymmetricPadding, overhead: int) -> None:
        self._length = _octets(key)
        self._longest = self._length - overhead
        self._key: RSAPrivateKey = key.value
        self._padding = padding

    def output_length(self, length: int) -> int:
        return self._longest

    def run(self, data: Buffer) -> bytes:
        if len(data) != self._length:
            raise CryptokiError(
                CKR_ENCRYPTED_DATA_LEN_RANGE, f"the ciphertext has {self._length} octets"
            )
        try:
            return self._key.decrypt(bytes(data), self._padding)
        except ValueError:
            raise CryptokiError(CKR_ENCRYPTED_DATA_INVALID, "decryption failed") from None


def _data_length(length: int) -> CryptokiError:
    return CryptokiError(CKR_DATA_LEN_RANGE, f"data of {length} octets")


def _signature_length(length: int) -> CryptokiError:
    return CryptokiError(CKR_SIGNATURE_LEN_RANGE, f"the signature has {length} octets")


def _wrong_signature() -> CryptokiError:
    return CryptokiError(CKR_SIGNATURE_INVALID, "the signature is another's")


def _pkcs1(operation: Callable[..., Any]) -> PerKey:
    """An operation over data that is no digest, or has its DigestInfo."""

    def of(key: Key) -> Callable[[None], Any]:
        longest = _octets(key) - _PKCS1_OVERHEAD
        return partial(operation, key, PKCS1, _NO_DIGEST_INFO, 0, longest)

    return PerKey(of)


pkcs1_sign: Final = _pkcs1(RsaSignature)
pkcs1_verify: Final = _pkcs1(RsaVerification)


def pkcs1_recover(key: Key, parameter: None) -> Recovery:
    return Pkcs1Recovery(key)


def pkcs1_encrypt(key: Key, parameter: None) -> Cipher:
    return RsaEncryption(key, PKCS1, _PKCS1_OVERHEAD)


def pkcs1_decrypt(key: Key, parameter: None) -> Cipher:
    return RsaDecryption(key, PKCS1, _PKCS1_OVERHEAD)


def hashed_pkcs1_sign(function: HashFunction) -> PerKey:
    return PerKey(lambda key: partial(RsaHashedSignature, key, PKCS1, function))


def hashed_pkcs1_verify(function: HashFunction) -> PerKey:
    return PerKey(lambda key: partial(RsaHashedVerification, key, PKCS1, function))


@lru_cache(maxsize=64)
def _pss(bits: int, parameter: RsaPss) -> tuple[PSS, HashFunction]:
    """The padding and the digest of a parameter, for a modulus of ``bits``.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a digest or mask generation function that
        there is not, or a salt that the modulus has no room for (RFC 8017, section 9.1.1).
    """
    function = HASHES.get(parameter.hash)
    mask = _MASKS.get(parameter.mgf)
    if function is None or mask is None or function.mechanism in _NOT_FOR_PSS:
        raise _bad_parameter("no such digest or mask generation function")
    if parameter.salt_length > (bits - 1 + 7) // 8 - function.length - 2:
        raise _bad_parameter(f"a salt of {parameter.salt_length} octets")
    return PSS(MGF1(HASHES[mask].algorithm), parameter.salt_length), function


def pss_sign(key: Key, parameter: RsaPss) -> Signature:
    padding, function = _pss(key.bits, parameter)
    return RsaSignature(key, padding, function.prehashed, function.length, function.length)


def pss_verify(key: Key, parameter: RsaPss) -> Verification:
    padding, function = _pss(key.bits, parameter)
    return RsaVerification(key, padding, function.prehashed, function.length, function.length)


def _hashed_pss(function: HashFunction, key: Key, parameter: RsaPss) -> PSS:
    """The padding for a mechanism that hashes: the parameter must name the same digest twice."""
    if parameter.hash != function.mechanism or _MASKS.get(parameter.mgf) != function.mechanism:
        raise _bad_parameter("the parameter's digests are not the mechanism's")
    return _pss(key.bits, parameter)[0]


def hashed_pss_sign(function: HashFunction, key: Key, parameter: RsaPss) -> Signature:
    return RsaHashedSignature(key, _hashed_pss(function, key, parameter), function)


def hashed_pss_verify(function: HashFunction, key: Key, parameter: RsaPss) -> Verification:
    return RsaHashedVerification(key, _hashed_pss(function, key, parameter), function)


def _oaep(
    kind: Callable[[Key, AsymmetricPadding, int], Cipher], key: Key, parameter: RsaOaep
) -> Cipher:
    """A cipher with OAEP padding.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a digest or mask generation function that
        there is not, or a modulus too small for the digest (RFC 8017, section 7.1.1).
    """
    mask = _MASKS.get(parameter.mgf)
    if parameter.hash not in _OAEP_HASHES or mask not in _OAEP_HASHES:
        raise _bad_parameter("no such digest or mask generation function for OAEP")
    function = HASHES[parameter.hash]
    overhead = 2 * function.length + 2
    if overhead > _octets(key):
        raise _bad_parameter("the modulus is too small for the digest")
    padding = OAEP(MGF1(HASHES[mask].algorithm), function.algorithm, parameter.label)
    return kind(key, padding, overhead)


def oaep_encrypt(key: Key, parameter: RsaOaep) -> Cipher:
    return _oaep(RsaEncryption, key, parameter)


def oaep_decrypt(key: Key, parameter: RsaOaep) -> Cipher:
    return _oaep(RsaDecryption, key, parameter)


def _bad_parameter(reason: str) -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, reason)
