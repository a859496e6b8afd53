"""Elliptic curve keys: loading, completing and generating (PKCS #11 v3.2, section 6.3.3 to 6.3.8).

Curves in short Weierstrass form; those of RFC 8032 are in ``edwards``.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric import ec

from pypkcs11.mechanisms import curves, der, pkcs8
from pypkcs11.mechanisms.curves import Curve
from pypkcs11.mechanisms.reading import big_integer, check_public_key_info, octets
from pypkcs11.mechanisms.registry import Computed, Key, KeyType
from pypkcs11.standard.constants import (
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_PUBLIC_KEY_INFO,
    CKA_VALUE,
    CKK_EC,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

_CURVES = curves.by_params(curves.WEIERSTRASS)

#: Field sizes in bits.
SIZES = (192, 521)

_EC_PUBLIC_KEY = der.object_identifier("1.2.840.10045.2.1")

_UNCOMPRESSED = b"\x04"

#: The tags with which an ECPrivateKey begins.
_VERSION_AND_KEY = [der.INTEGER, der.OCTET_STRING]


def _curve(attributes: Attributes) -> Curve[ec.EllipticCurve]:
    return curves.find(_CURVES, octets(attributes, CKA_EC_PARAMS))


def _public_key(
    curve: Curve[ec.EllipticCurve], attributes: Attributes
) -> ec.EllipticCurvePublicKey:
    size = curve.octets
    point = curves.bare_point(octets(attributes, CKA_EC_POINT), (1 + 2 * size, 1 + size))
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve.kind, point)
    except ValueError:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the point is not on the curve") from None


def _private_key(
    curve: Curve[ec.EllipticCurve], attributes: Attributes
) -> ec.EllipticCurvePrivateKey:
    value = big_integer(attributes, CKA_VALUE)
    if not 0 < value < curve.kind.group_order:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the private value is out of range")
    try:
        return ec.derive_private_key(value, curve.kind)
    except ValueError:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the private value is wrong") from None


def load_public(attributes: Attributes) -> Key:
    curve = _curve(attributes)
    return Key(CKK_EC, curve.bits, _public_key(curve, attributes))


def load_private(attributes: Attributes) -> Key:
    curve = _curve(attributes)
    return Key(CKK_EC, curve.bits, _private_key(curve, attributes))


def uncompressed(numbers: ec.EllipticCurvePublicNumbers, size: int) -> bytes:
    """A point without compression (SEC 1, section 2.3.3).

    :param size: of a field element, in octets.
    """
    return _UNCOMPRESSED + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")


def complete_public(attributes: Attributes) -> Computed:
    """The curve and the point in their one form, and the key info.

    :raises CryptokiError: CKR_CURVE_NOT_SUPPORTED, CKR_ATTRIBUTE_VALUE_INVALID for parameters that
        are not well formed or a point that is not on the curve, CKR_TEMPLATE_INCONSISTENT for
        another CKA_PUBLIC_KEY_INFO.
    """
    curve = _curve(attributes)
    computed = _public_attributes(curve, _public_key(curve, attributes).public_numbers())
    check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
    return computed


def complete_private(attributes: Attributes) -> Computed:
    """The curve and the private value in their one form, and the public key's info.

    The private value is as long as a field element, which readers that do not expect a big integer
    without its leading zeros understand, too.

    :raises CryptokiError: as :func:`complete_public`, for a private value that is not between 1 and
        the group's order.
    """
    curve = _curve(attributes)
    _, computed = _pair(curve, _private_key(curve, attributes))
    check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
    return computed


def _public_attributes(
    curve: Curve[ec.EllipticCurve], numbers: ec.EllipticCurvePublicNumbers
) -> Computed:
    point = uncompressed(numbers, curve.octets)
    return {
        CKA_EC_PARAMS: curve.params,
        CKA_EC_POINT: der.encode(der.OCTET_STRING, point),
        CKA_PUBLIC_KEY_INFO: der.public_key_info(_EC_PUBLIC_KEY + curve.params, point),
    }


def _pair(
    curve: Curve[ec.EllipticCurve], key: ec.EllipticCurvePrivateKey
) -> tuple[Computed, Computed]:
    """The attributes of the public and of the private key."""
    numbers = key.private_numbers()
    public = _public_attributes(curve, numbers.public_numbers)
    return public, {
        CKA_EC_PARAMS: curve.params,
        CKA_VALUE: numbers.private_value.to_bytes(curve.octets, "big"),
        CKA_PUBLIC_KEY_INFO: public[CKA_PUBLIC_KEY_INFO],
    }


def public_of(key: Key) -> Computed:
    """The attributes of a private key's public key."""
    public = key.value.public_key()
    (curve,) = (curve for curve in curves.WEIERSTRASS if curve.kind.name == public.curve.name)
    return _public_attributes(curve, public.public_numbers())


def export_private(attributes: Attributes) -> bytes:
    """A PrivateKeyInfo with an ECPrivateKey in it, without the fields that the standard leaves out.

    The private value is as long as a field element (RFC 5915, section 3).
    """
    value = der.encode(der.OCTET_STRING, octets(attributes, CKA_VALUE))
    key = der.encode(der.SEQUENCE, der.integer(1) + value)
    return pkcs8.encode(_EC_PUBLIC_KEY + octets(attributes, CKA_EC_PARAMS), key)


def restore_private(octets: bytes) -> Computed:
    """The way back. What the ECPrivateKey says of its curve or public key is not looked at.

    :raises CryptokiError: CKR_WRAPPED_KEY_INVALID.
    """
    identifier, params, key = pkcs8.decode(octets)
    fields = pkcs8.sequence(key)
    if identifier != _EC_PUBLIC_KEY or [tag for tag, _ in fields[:2]] != _VERSION_AND_KEY:
        raise pkcs8.invalid("not an elliptic curve private key")
    return {CKA_EC_PARAMS: params, CKA_VALUE: fields[1][1]}


def generate(parameter: None, public: Attributes, private: Attributes) -> tuple[Computed, Computed]:
    """A key pair on the curve of the public template's CKA_EC_PARAMS.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without it, and as :func:`complete_public`.
    """
    curve = _curve(public)
    return _pair(curve, ec.generate_private_key(curve.kind))


def generate_with_extra_bits(
    parameter: None, public: Attributes, private: Attributes
) -> tuple[Computed, Computed]:
    """The same by FIPS 186-4, section B.4.1, of a random number with 64 bits more than the order.

    :raises CryptokiError: as :func:`generate`.
    """
    curve = _curve(public)
    order = curve.kind.group_order
    random = int.from_bytes(os.urandom((order.bit_length() + 64 + 7) // 8), "big")
    return _pair(curve, ec.derive_private_key(random % (order - 1) + 1, curve.kind))


KEY_TYPES = (
    KeyType(
        type=CKK_EC,
        load={CKO_PUBLIC_KEY: load_public, CKO_PRIVATE_KEY: load_private},
        complete={CKO_PUBLIC_KEY: complete_public, CKO_PRIVATE_KEY: complete_private},
        export={CKO_PRIVATE_KEY: export_private},
        restore={CKO_PRIVATE_KEY: restore_private},
        public=public_of,
    ),
)
