"""EdDSA over Ed25519 and Ed448: keys and signatures (PKCS #11 v3.2, section 6.3.5 and 6.3.14).

Private and public values are the octet strings of RFC 8032. The standard wants CKA_EC_POINT to be
that string as it is; what is kept is an OCTET STRING around it, as for the other curves and as the
tools that people have expect it. Both are understood.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pypkcs11.mechanisms import curves, der, pkcs8
from pypkcs11.mechanisms.curves import Curve
from pypkcs11.mechanisms.operation import GatheredSignature, GatheredVerification
from pypkcs11.mechanisms.parameters import Eddsa
from pypkcs11.mechanisms.reading import check_public_key_info, octets
from pypkcs11.mechanisms.registry import Computed, Key, KeyType, Mechanism
from pypkcs11.standard.constants import (
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_PUBLIC_KEY_INFO,
    CKA_VALUE,
    CKF_EC_CURVENAME,
    CKF_EC_F_P,
    CKF_EC_OID,
    CKF_EC_UNCOMPRESS,
    CKK_EC_EDWARDS,
    CKM_EC_EDWARDS_KEY_PAIR_GEN,
    CKM_EDDSA,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Buffer

PrivateKey = Ed25519PrivateKey | Ed448PrivateKey
PublicKey = Ed25519PublicKey | Ed448PublicKey


class Kind(NamedTuple):
    """The classes of a curve's keys, and the length of its keys in octets."""

    private: type[Ed25519PrivateKey] | type[Ed448PrivateKey]
    public: type[Ed25519PublicKey] | type[Ed448PublicKey]
    octets: int


#: Field sizes in bits.
SIZES = (255, 448)
_ED448 = 448
_FLAGS = CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_UNCOMPRESS

_CURVES = curves.by_params(
    (
        Curve(
            "1.3.101.112",
            255,
            Kind(Ed25519PrivateKey, Ed25519PublicKey, 32),
            ("edwards25519", "Ed25519"),
        ),
        Curve(
            "1.3.101.113",
            448,
            Kind(Ed448PrivateKey, Ed448PublicKey, 57),
            ("edwards448", "Ed448"),
        ),
    )
)


def _curve(attributes: Attributes) -> Curve[Kind]:
    return curves.find(_CURVES, octets(attributes, CKA_EC_PARAMS))


def _public_key(curve: Curve[Kind], attributes: Attributes) -> PublicKey:
    point = curves.bare_point(octets(attributes, CKA_EC_POINT), (curve.kind.octets,))
    try:
        return curve.kind.public.from_public_bytes(point)
    except ValueError:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the point is not on the curve") from None


def _private_key(curve: Curve[Kind], attributes: Attributes) -> PrivateKey:
    value = octets(attributes, CKA_VALUE)
    if len(value) != curve.kind.octets:  # RFC 8410 has it in an OCTET STRING
        value = der.content(der.OCTET_STRING, value) or b""
    if len(value) != curve.kind.octets:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the private value has another length")
    return curve.kind.private.from_private_bytes(value)


def load_public(attributes: Attributes) -> Key:
    curve = _curve(attributes)
    return Key(CKK_EC_EDWARDS, curve.bits, _public_key(curve, attributes))


def load_private(attributes: Attributes) -> Key:
    curve = _curve(attributes)
    return Key(CKK_EC_EDWARDS, curve.bits, _private_key(curve, attributes))


def complete_public(attributes: Attributes) -> Computed:
    """The curve and the point in their one form, and the key info; raises as for other curves."""
    curve = _curve(attributes)
    computed = _public_attributes(curve, _public_key(curve, attributes))
    check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
    return computed


def complete_private(attributes: Attributes) -> Computed:
    """The curve and the private value in their one form, and the public key's info."""
    curve = _curve(attributes)
    computed = _private_attributes(curve, _private_key(curve, attributes))
    check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
    return computed


def _public_attributes(curve: Curve[Kind], key: PublicKey) -> Computed:
    point = key.public_bytes_raw()
    return {
        CKA_EC_PARAMS: curve.params,
        CKA_EC_POINT: der.encode(der.OCTET_STRING, point),
        CKA_PUBLIC_KEY_INFO: der.public_key_info(curve.params, point),
    }


def _private_attributes(curve: Curve[Kind], key: PrivateKey) -> Computed:
    return {
        CKA_EC_PARAMS: curve.params,
        CKA_VALUE: key.private_bytes_raw(),
        CKA_PUBLIC_KEY_INFO: der.public_key_info(curve.params, key.public_key().public_bytes_raw()),
    }


def generate(parameter: None, public: Attributes, private: Attributes) -> tuple[Computed, Computed]:
    """A key pair on the curve of the public template's CKA_EC_PARAMS."""
    curve = _curve(public)
    key = curve.kind.private.generate()
    return _public_attributes(curve, key.public_key()), _private_attributes(curve, key)


KEY_TYPES = (
    KeyType(
        type=CKK_EC_EDWARDS,
        load={CKO_PUBLIC_KEY: load_public, CKO_PRIVATE_KEY: load_private},
        complete={CKO_PUBLIC_KEY: complete_public, CKO_PRIVATE_KEY: complete_private},
        export={CKO_PRIVATE_KEY: pkcs8.export_octets},
        restore={CKO_PRIVATE_KEY: pkcs8.restore_octets},
    ),
)


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
        self._key: PrivateKey = key.value
        super().__init__()

    def sign(self, data: Buffer) -> bytes:
        return self._key.sign(data)


class EddsaVerification(GatheredVerification):
    """The same for a verification."""

    __slots__ = ("_key", "_length")

    def __init__(self, key: Key, parameter: Eddsa | None) -> None:
        _check_parameter(key, parameter)
        self._length = _SIGNATURE[key.bits]
        self._key: PublicKey = key.value
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
        extra_flags=_FLAGS,
        generate_pair=generate,
    ),
    Mechanism(
        type=CKM_EDDSA,
        key_types=(CKK_EC_EDWARDS,),
        sizes=SIZES,
        parameter=Eddsa,
        parameter_optional=True,
        extra_flags=_FLAGS,
        sign=EddsaSignature,
        verify=EddsaVerification,
    ),
)
