"""EdDSA over Ed25519 and Ed448 (PKCS #11 v3.2, section 6.3.5 and 6.3.14; RFC 8032)."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature

from pypkcs11.mechanisms.curves import Curve
from pypkcs11.mechanisms.octet_keys import FLAGS, SIZES, Kind, OctetKeys
from pypkcs11.mechanisms.operation import GatheredSignature, GatheredVerification
from pypkcs11.mechanisms.parameters import Eddsa
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.standard.constants import (
    CKK_EC_EDWARDS,
    CKM_EC_EDWARDS_KEY_PAIR_GEN,
    CKM_EDDSA,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

_ED448 = 448

_KEYS = OctetKeys(
    CKK_EC_EDWARDS,
    (
        Curve("1.3.101.112", 255, Kind("Ed25519", 32), ("edwards25519", "Ed25519")),
        Curve("1.3.101.113", _ED448, Kind("Ed448", 57), ("edwards448", "Ed448")),
    ),
)
KEY_TYPES = _KEYS.rows()

#: The length of a signature in octets, by the curve's bits.
_SIGNATURE = {255: 64, 448: 114}


def _check_parameter(key: Key, parameter: Eddsa | None) -> None:
    """Refuse the variants that the library beneath does not have (section 6.3.14).

    For Ed25519, a parameter chooses Ed25519ctx or Ed25519ph, which are other schemes. For Ed448,
    one that says neither prehash nor context means what no parameter means.
    """
    if parameter is not None and (parameter.prehash or parameter.context or key.bits != _ED448):
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "neither prehash nor context can be had")


class EddsaSignature(GatheredSignature):
    """A signature. The scheme reads the data twice."""

    __slots__ = ("_key",)

    def __init__(self, key: Key, parameter: Eddsa | None) -> None:
        _check_parameter(key, parameter)
        self.length = _SIGNATURE[key.bits]
        self._key: Any = key.value
        super().__init__()

    def sign(self, data: Buffer) -> bytes:
        signature: bytes = self._key.sign(data)
        return signature


class EddsaVerification(GatheredVerification):
    """The same for a verification."""

    __slots__ = ("_key", "_length")

    def __init__(self, key: Key, parameter: Eddsa | None) -> None:
        _check_parameter(key, parameter)
        self._length = _SIGNATURE[key.bits]
        self._key: Any = key.value
        super().__init__()

    def verify(self, data: Buffer, signature: Buffer) -> None:
        if len(signature) != self._length:
            raise CryptokiError(CKR_SIGNATURE_LEN_RANGE, f"the signature has {self._length} octets")
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            raise CryptokiError(CKR_SIGNATURE_INVALID, "the signature is another's") from None


MECHANISMS = (
    Mechanism(
        type=CKM_EC_EDWARDS_KEY_PAIR_GEN,
        key_types=(CKK_EC_EDWARDS,),
        sizes=SIZES,
        extra_flags=FLAGS,
        generate_pair=_KEYS.generate,
    ),
    Mechanism(
        type=CKM_EDDSA,
        key_types=(CKK_EC_EDWARDS,),
        sizes=SIZES,
        parameter=Eddsa,
        parameter_optional=True,
        extra_flags=FLAGS,
        sign=EddsaSignature,
        verify=EddsaVerification,
    ),
)
