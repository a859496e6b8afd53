"""The named curves, and the many ways in which callers write curves and points.

CKA_EC_PARAMS is DER: an OBJECT IDENTIFIER or a PrintableString (PKCS #11 v3.2, section 6.3.3). Both
are understood, and the OBJECT IDENTIFIER is what is kept. CKA_EC_POINT is a DER OCTET STRING, but
applications also hand in the point itself, and BIT STRINGs; the OCTET STRING is what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from pypkcs11.mechanisms import der
from pypkcs11.standard.constants import (
    CKF_EC_COMPRESS,
    CKF_EC_CURVENAME,
    CKF_EC_F_P,
    CKF_EC_OID,
    CKF_EC_UNCOMPRESS,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_CURVE_NOT_SUPPORTED,
)
from pypkcs11.standard.errors import CryptokiError

#: What every mechanism over these curves can do (CK_MECHANISM_INFO, section 6.3).
FLAGS = CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_UNCOMPRESS | CKF_EC_COMPRESS

#: DER tags that a CKA_EC_PARAMS may have: explicit parameters are well formed but not supported.
_PARAMS_TAGS = (der.OBJECT_IDENTIFIER, der.PRINTABLE_STRING, der.SEQUENCE)

C = TypeVar("C")


class Curve(Generic[C]):
    """A curve: ``params`` is its CKA_EC_PARAMS, ``bits`` its field's size.

    ``octets`` is the length of a field element, and of a private value.
    ``kind`` is what the family works with; ``names`` are those that a PrintableString may have.
    ``others`` are what applications are known to write in place of any of these.
    """

    __slots__ = ("bits", "kind", "names", "octets", "oid", "others", "params")

    def __init__(
        self,
        oid: str,
        bits: int,
        kind: C,
        names: tuple[str, ...],
        others: tuple[bytes, ...] = (),
    ) -> None:
        self.oid = oid
        self.bits = bits
        self.octets = (bits + 7) // 8
        self.kind = kind
        self.names = names
        self.others = others
        self.params = der.object_identifier(oid)


def by_params(curves: tuple[Curve[C], ...]) -> dict[bytes, Curve[C]]:
    """The curves by every CKA_EC_PARAMS that names them."""
    return {
        params: curve
        for curve in curves
        for params in (
            curve.params,
            *curve.others,
            *(der.encode(der.PRINTABLE_STRING, name.encode()) for name in curve.names),
        )
    }


def find(curves: Mapping[bytes, Curve[C]], params: bytes) -> Curve[C]:
    """The curve of a CKA_EC_PARAMS.

    :raises CryptokiError: CKR_CURVE_NOT_SUPPORTED for another curve or explicit parameters,
        CKR_ATTRIBUTE_VALUE_INVALID for what is not DER or names no curve (section 6.3.3 also rules
        out implicitlyCA).
    """
    curve = curves.get(params)
    if curve is not None:
        return curve
    if any(der.content(tag, params) for tag in _PARAMS_TAGS):
        raise CryptokiError(CKR_CURVE_NOT_SUPPORTED, "the curve is not one of those supported")
    raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_EC_PARAMS is not well formed")


def bare_point(given: bytes, lengths: tuple[int, ...]) -> bytes:
    """The point in a CKA_EC_POINT: itself, or what its OCTET STRING or BIT STRING holds.

    The length tells them apart, since an uncompressed point begins like an OCTET STRING and a
    compressed one like a BIT STRING.

    :param lengths: that points of the curve have, in octets.
    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for anything else.
    """
    for point in (given, der.content(der.OCTET_STRING, given), _bits(given)):
        if point is not None and len(point) in lengths:
            return point
    raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_EC_POINT is no point of the curve")


def _bits(given: bytes) -> bytes | None:
    """The octets of a BIT STRING that has no unused bits."""
    inner = der.content(der.BIT_STRING, given)
    return inner[1:] if inner and inner[0] == 0 else None


#: The short Weierstrass curves. A name that is not the standard's own is one in wide use.
WEIERSTRASS: tuple[Curve[ec.EllipticCurve], ...] = (
    Curve("1.2.840.10045.3.1.1", 192, ec.SECP192R1(), ("secp192r1", "prime192v1", "P-192")),
    Curve("1.3.132.0.33", 224, ec.SECP224R1(), ("secp224r1", "P-224")),
    Curve("1.2.840.10045.3.1.7", 256, ec.SECP256R1(), ("secp256r1", "prime256v1", "P-256")),
    Curve("1.3.132.0.34", 384, ec.SECP384R1(), ("secp384r1", "P-384")),
    Curve("1.3.132.0.35", 521, ec.SECP521R1(), ("secp521r1", "P-521")),
    Curve("1.3.132.0.10", 256, ec.SECP256K1(), ("secp256k1",)),
    Curve("1.3.36.3.3.2.8.1.1.7", 256, ec.BrainpoolP256R1(), ("brainpoolP256r1",)),
    Curve("1.3.36.3.3.2.8.1.1.11", 384, ec.BrainpoolP384R1(), ("brainpoolP384r1",)),
    Curve("1.3.36.3.3.2.8.1.1.13", 512, ec.BrainpoolP512R1(), ("brainpoolP512r1",)),
)
