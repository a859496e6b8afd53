"""ML-DSA (PKCS #11 v3.2, section 6.67; FIPS 204): keys, and signatures over messages.

Messages that the caller or the token has hashed are in ``hash_ml_dsa``.
"""

from __future__ import annotations

from typing import Any, Self

from cryptography.exceptions import InvalidSignature

from pypkcs11.mechanisms.operation import Signature, Verification, with_own_context
from pypkcs11.mechanisms.parameters import SignContext
from pypkcs11.mechanisms.registry import BYTES, Key, Mechanism
from pypkcs11.mechanisms.seed_keys import ParameterSet, SeedKeys
from pypkcs11.standard.constants import (
    CKH_HEDGE_PREFERRED,
    CKH_HEDGE_REQUIRED,
    CKK_ML_DSA,
    CKM_ML_DSA,
    CKM_ML_DSA_KEY_PAIR_GEN,
    CKP_ML_DSA_44,
    CKP_ML_DSA_65,
    CKP_ML_DSA_87,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

_OID = "2.16.840.1.101.3.4.3"

_KEYS = SeedKeys(
    CKK_ML_DSA,
    32,
    (
        ParameterSet(CKP_ML_DSA_44, f"{_OID}.17", "mldsa", "MLDSA44", 1312),
        ParameterSet(CKP_ML_DSA_65, f"{_OID}.18", "mldsa", "MLDSA65", 1952),
        ParameterSet(CKP_ML_DSA_87, f"{_OID}.19", "mldsa", "MLDSA87", 2592),
    ),
)
KEY_TYPES = _KEYS.rows()
SIZES = _KEYS.sizes

#: The length of a signature in octets, by the key's bits (FIPS 204, table 2).
SIGNATURE = {1312 * 8: 2420, 1952 * 8: 3309, 2592 * 8: 4627}

#: Every signature is hedged, as FIPS 204 recommends: there is no other way to have one.
_HEDGES = frozenset({CKH_HEDGE_PREFERRED, CKH_HEDGE_REQUIRED})

_LONGEST_CONTEXT = 255


def context_of(parameter: SignContext | None) -> bytes:
    """The context of a parameter that may be missing.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for more than 255 octets.
    """
    if parameter is None:
        return b""
    if len(parameter.context) > _LONGEST_CONTEXT:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "a context has 255 octets at the most")
    return parameter.context


def check_hedge(hedge: int) -> None:
    """:raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a signature that is not hedged."""
    if hedge not in _HEDGES:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "signatures are hedged")


def check_signature(key: Key, signature: Buffer) -> None:
    """:raises CryptokiError: CKR_SIGNATURE_LEN_RANGE."""
    length = SIGNATURE[key.bits]
    if len(signature) != length:
        raise CryptokiError(CKR_SIGNATURE_LEN_RANGE, f"the signature has {length} octets")


def wrong() -> CryptokiError:
    """:return: the exception for a signature that does not verify."""
    return CryptokiError(CKR_SIGNATURE_INVALID, "the signature is another's")


def _hasher(public: Any, context: bytes) -> Any:
    """What makes a message's representative out of its parts (FIPS 204, algorithm 7, line 6)."""
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSAMuHasher

    return MLDSAMuHasher(public, context)


class MlDsaSignature(Signature):
    """A signature. Parts are hashed as they come."""

    __slots__ = ("_context", "_hasher", "_key")

    def __init__(self, key: Key, parameter: SignContext | None) -> None:
        self._context = context_of(parameter)
        if parameter is not None:
            check_hedge(parameter.hedge)
        self.length = SIGNATURE[key.bits]
        self._key: Any = key.value
        self._hasher: Any = None

    def copy(self) -> Self:
        return with_own_context(self, "_hasher")

    def sign(self, data: Buffer) -> bytes:
        signature: bytes = self._key.sign(data, self._context)
        return signature

    def update(self, data: Buffer) -> None:
        if self._hasher is None:
            self._hasher = _hasher(self._key.public_key(), self._context)
        self._hasher.update(data)

    def finish(self) -> bytes:
        if self._hasher is None:
            return self.sign(b"")
        signature: bytes = self._key.sign_mu(self._hasher.finalize())
        return signature


class MlDsaVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_context", "_hasher", "_key")

    def __init__(self, key: Key, parameter: SignContext | None) -> None:
        self._context = context_of(parameter)
        self._key = key
        self._hasher: Any = None

    def copy(self) -> Self:
        return with_own_context(self, "_hasher")

    def verify(self, data: Buffer, signature: Buffer) -> None:
        check_signature(self._key, signature)
        try:
            self._key.value.verify(signature, data, self._context)
        except InvalidSignature:
            raise wrong() from None

    def update(self, data: Buffer) -> None:
        if self._hasher is None:
            self._hasher = _hasher(self._key.value, self._context)
        self._hasher.update(data)

    def finish(self, signature: Buffer) -> None:
        if self._hasher is None:
            self.verify(b"", signature)
            return
        check_signature(self._key, signature)
        try:
            self._key.value.verify_mu(signature, self._hasher.finalize())
        except InvalidSignature:
            raise wrong() from None


MECHANISMS = (
    Mechanism(
        type=CKM_ML_DSA_KEY_PAIR_GEN,
        key_types=(CKK_ML_DSA,),
        sizes=SIZES,
        unit=BYTES,
        generate_pair=_KEYS.generate,
    ),
    Mechanism(
        type=CKM_ML_DSA,
        key_types=(CKK_ML_DSA,),
        sizes=SIZES,
        unit=BYTES,
        parameter=SignContext,
        parameter_optional=True,
        sign=MlDsaSignature,
        verify=MlDsaVerification,
    ),
)
