"""Keys that are octet strings, of Edwards and Montgomery curves (section 6.3.5 to 6.3.8).

Private and public values are the octet strings of RFC 8032 and RFC 7748. The standard wants
CKA_EC_POINT to be that string as it is; what is kept is an OCTET STRING around it, as for the other
curves and as the tools that people have expect it. Both are understood.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from pypkcs11.mechanisms import curves, der, pkcs8
from pypkcs11.mechanisms.curves import Curve
from pypkcs11.mechanisms.reading import check_public_key_info, octets
from pypkcs11.mechanisms.registry import Computed, Key, KeyType
from pypkcs11.standard.constants import (
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_PUBLIC_KEY_INFO,
    CKA_VALUE,
    CKF_EC_CURVENAME,
    CKF_EC_F_P,
    CKF_EC_OID,
    CKF_EC_UNCOMPRESS,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: Field sizes in bits, of both families.
SIZES = (255, 448)
FLAGS = CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_UNCOMPRESS


class Kind(NamedTuple):
    """A scheme of the library beneath, and the length of its keys in octets.

    Its classes are imported with the first key: most applications never have one.
    """

    name: str
    octets: int

    def private(self) -> Any:
        """The class of private keys."""
        return getattr(self._module(), f"{self.name}PrivateKey")

    def public(self) -> Any:
        """The class of public keys."""
        return getattr(self._module(), f"{self.name}PublicKey")

    def _module(self) -> Any:
        return import_module(f"cryptography.hazmat.primitives.asymmetric.{self.name.lower()}")


class OctetKeys:
    """The keys of one CKK_: how they are read, proved, completed and made."""

    def __init__(self, key_type: int, kinds: tuple[Curve[Kind], ...]) -> None:
        self._type = key_type
        self._curves = curves.by_params(kinds)
        self.by_bits = {curve.bits: curve for curve in kinds}

    def rows(self) -> tuple[KeyType, ...]:
        """The key type's row."""
        return (
            KeyType(
                type=self._type,
                load={CKO_PUBLIC_KEY: self._load_public, CKO_PRIVATE_KEY: self._load_private},
                complete={
                    CKO_PUBLIC_KEY: self._complete_public,
                    CKO_PRIVATE_KEY: self._complete_private,
                },
                export={CKO_PRIVATE_KEY: pkcs8.export_octets},
                restore={CKO_PRIVATE_KEY: pkcs8.restore_octets},
                public=self._public_of,
            ),
        )

    def public_key(self, curve: Curve[Kind], given: bytes) -> Any:
        """A public key in any form that a point has.

        :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID.
        """
        point = curves.bare_point(given, (curve.kind.octets,))
        try:
            return curve.kind.public().from_public_bytes(point)
        except ValueError:
            raise CryptokiError(
                CKR_ATTRIBUTE_VALUE_INVALID, "the point is not on the curve"
            ) from None

    def generate(
        self, parameter: None, public: Attributes, private: Attributes
    ) -> tuple[Computed, Computed]:
        """A key pair on the curve of the public template's CKA_EC_PARAMS."""
        curve = self._curve(public)
        return _pair(curve, curve.kind.private().generate())

    def _curve(self, attributes: Attributes) -> Curve[Kind]:
        return curves.find(self._curves, octets(attributes, CKA_EC_PARAMS))

    def _private_key(self, curve: Curve[Kind], attributes: Attributes) -> Any:
        value = octets(attributes, CKA_VALUE)
        if len(value) != curve.kind.octets:  # RFC 8410 has it in an OCTET STRING
            value = der.content(der.OCTET_STRING, value) or b""
        if len(value) != curve.kind.octets:
            raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the private value has another length")
        return curve.kind.private().from_private_bytes(value)

    def _load_public(self, attributes: Attributes) -> Key:
        curve = self._curve(attributes)
        key = self.public_key(curve, octets(attributes, CKA_EC_POINT))
        return Key(self._type, curve.bits, key)

    def _load_private(self, attributes: Attributes) -> Key:
        curve = self._curve(attributes)
        return Key(self._type, curve.bits, self._private_key(curve, attributes))

    def _public_of(self, key: Key) -> Computed:
        """The attributes of a private key's public key."""
        return _public_attributes(self.by_bits[key.bits], key.value.public_key())

    def _complete_public(self, attributes: Attributes) -> Computed:
        """The curve and the point in their one form, and the key info."""
        curve = self._curve(attributes)
        key = self.public_key(curve, octets(attributes, CKA_EC_POINT))
        return _checked(attributes, _public_attributes(curve, key))

    def _complete_private(self, attributes: Attributes) -> Computed:
        """The curve and the private value in their one form, and the public key's info."""
        curve = self._curve(attributes)
        key = self._private_key(curve, attributes)
        return _checked(attributes, _pair(curve, key)[1])


def _checked(attributes: Attributes, computed: Computed) -> Computed:
    check_public_key_info(attributes, octets(computed, CKA_PUBLIC_KEY_INFO))
    return computed


def _public_attributes(curve: Curve[Kind], key: Any) -> Computed:
    point = key.public_bytes_raw()
    return {
        CKA_EC_PARAMS: curve.params,
        CKA_EC_POINT: der.encode(der.OCTET_STRING, point),
        CKA_PUBLIC_KEY_INFO: der.public_key_info(curve.params, point),
    }


def _pair(curve: Curve[Kind], key: Any) -> tuple[Computed, Computed]:
    """The attributes of the public and of the private key."""
    public = _public_attributes(curve, key.public_key())
    return public, {
        CKA_EC_PARAMS: curve.params,
        CKA_VALUE: key.private_bytes_raw(),
        CKA_PUBLIC_KEY_INFO: public[CKA_PUBLIC_KEY_INFO],
    }
