"""Keys for X25519 and X448 (PKCS #11 v3.2, section 6.3.7, 6.3.8 and 6.3.11; RFC 7748).

Private and public values are the octet strings of RFC 7748, in the forms that ``edwards`` has for
its own. What is done with these keys is in ``ecdh``. Few applications have such keys: the classes
of the library beneath are imported with the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, Union

from pypkcs11.mechanisms import curves, der, pkcs8
from pypkcs11.mechanisms.curves import Curve
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
    CKK_EC_MONTGOMERY,
    CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

PrivateKey: TypeAlias = Union["X25519PrivateKey", "X448PrivateKey"]
PublicKey: TypeAlias = Union["X25519PublicKey", "X448PublicKey"]


class Kind(NamedTuple):
    """What loads the classes of a curve's keys, and the length of its keys in octets."""

    private: Callable[[], type[X25519PrivateKey] | type[X448PrivateKey]]
    public: Callable[[], type[X25519PublicKey] | type[X448PublicKey]]
    octets: int


def _x25519_private() -> type[X25519PrivateKey]:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey


def _x25519_public() -> type[X25519PublicKey]:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    return X25519PublicKey


def _x448_private() -> type[X448PrivateKey]:
    from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey

    return X448PrivateKey


def _x448_public() -> type[X448PublicKey]:
    from cryptography.hazmat.primitives.asymmetric.x448 import X448PublicKey

    return X448PublicKey


#: Field sizes in bits.
SIZES = (255, 448)
_FLAGS = CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_UNCOMPRESS

_X25519 = Curve(
    "1.3.101.110", 255, Kind(_x25519_private, _x25519_public, 32), ("curve25519", "X25519")
)
_X448 = Curve("1.3.101.111", 448, Kind(_x448_private, _x448_public, 56), ("curve448", "X448"))
_CURVES = curves.by_params((_X25519, _X448))
_BY_BITS = {curve.bits: curve for curve in (_X25519, _X448)}


def _curve(attributes: Attributes) -> Curve[Kind]:
    return curves.find(_CURVES, octets(attributes, CKA_EC_PARAMS))


def _public_key(curve: Curve[Kind], given: bytes) -> PublicKey:
    return curve.kind.public().from_public_bytes(curves.bare_point(given, (curve.kind.octets,)))


def _private_key(curve: Curve[Kind], attributes: Attributes) -> PrivateKey:
    value = octets(attributes, CKA_VALUE)
    if len(value) != curve.kind.octets:  # RFC 8410 has it in an OCTET STRING
        value = der.content(der.OCTET_STRING, value) or b""
    if len(value) != curve.kind.octets:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the private value has another length")
    return curve.kind.private().from_private_bytes(value)


def load_public(attributes: Attributes) -> Key:
    curve = _curve(attributes)
    key = _public_key(curve, octets(attributes, CKA_EC_POINT))
    return Key(CKK_EC_MONTGOMERY, curve.bits, key)


def load_private(attributes: Attributes) -> Key:
    curve = _curve(attributes)
    return Key(CKK_EC_MONTGOMERY, curve.bits, _private_key(curve, attributes))


def complete_public(attributes: Attributes) -> Computed:
    """The curve and the public value in their one form, and the key info."""
    curve = _curve(attributes)
    key = _public_key(curve, octets(attributes, CKA_EC_POINT))
    computed = _public_attributes(curve, key)
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
    key = curve.kind.private().generate()
    return _public_attributes(curve, key.public_key()), _private_attributes(curve, key)


def exchange(key: Key, public: bytes) -> bytes:
    """The secret that a private key shares with a public one.

    :raises CryptokiError: for octets of another length.
    :raises ValueError: for a public key of small order, with which every secret is zero.
    """
    curve = _BY_BITS[key.bits]
    other = _public_key(curve, public)
    secret: bytes = key.value.exchange(other)
    return secret


KEY_TYPES = (
    KeyType(
        type=CKK_EC_MONTGOMERY,
        load={CKO_PUBLIC_KEY: load_public, CKO_PRIVATE_KEY: load_private},
        complete={CKO_PUBLIC_KEY: complete_public, CKO_PRIVATE_KEY: complete_private},
        export={CKO_PRIVATE_KEY: pkcs8.export_octets},
        restore={CKO_PRIVATE_KEY: pkcs8.restore_octets},
    ),
)

MECHANISMS = (
    Mechanism(
        type=CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
        key_types=(CKK_EC_MONTGOMERY,),
        sizes=SIZES,
        extra_flags=_FLAGS,
        generate_pair=generate,
    ),
)
