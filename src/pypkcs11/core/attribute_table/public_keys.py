"""Rows of public keys, by key type."""

from __future__ import annotations

from pypkcs11.core.attribute_table.row import Attribute, Kind, row
from pypkcs11.standard.constants import (
    CKA_BASE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_GOST28147_PARAMS,
    CKA_GOSTR3410_PARAMS,
    CKA_GOSTR3411_PARAMS,
    CKA_HSS_LEVELS,
    CKA_HSS_LMOTS_TYPE,
    CKA_HSS_LMS_TYPE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PARAMETER_SET,
    CKA_PRIME,
    CKA_PUBLIC_EXPONENT,
    CKA_SUBPRIME,
    CKA_VALUE,
    CKK_DH,
    CKK_DSA,
    CKK_EC,
    CKK_EC_EDWARDS,
    CKK_EC_MONTGOMERY,
    CKK_GOSTR3410,
    CKK_HSS,
    CKK_KEA,
    CKK_ML_DSA,
    CKK_ML_KEM,
    CKK_RSA,
    CKK_SLH_DSA,
    CKK_X9_42_DH,
    CKK_XMSS,
    CKK_XMSSMT,
)

ULONG = Kind.ULONG
BYTES = Kind.BYTES
BIGINT = Kind.BIGINT

PUBLIC_KEYS: dict[int, tuple[Attribute, ...]] = {
    CKK_RSA: (
        row(CKA_MODULUS, BIGINT, "1 4"),
        row(CKA_MODULUS_BITS, ULONG, "2 3"),
        row(CKA_PUBLIC_EXPONENT, BIGINT, "1"),
    ),
    CKK_DSA: (
        row(CKA_PRIME, BIGINT, "1 3"),
        row(CKA_SUBPRIME, BIGINT, "1 3"),
        row(CKA_BASE, BIGINT, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_EC: (
        row(CKA_EC_PARAMS, BYTES, "1 3"),
        row(CKA_EC_POINT, BYTES, "1 4"),
    ),
    CKK_EC_EDWARDS: (
        row(CKA_EC_PARAMS, BYTES, "1 3"),
        row(CKA_EC_POINT, BYTES, "1 4"),
    ),
    CKK_EC_MONTGOMERY: (
        row(CKA_EC_PARAMS, BYTES, "1 3"),
        row(CKA_EC_POINT, BYTES, "1 4"),
    ),
    CKK_DH: (
        row(CKA_PRIME, BIGINT, "1 3"),
        row(CKA_BASE, BIGINT, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_X9_42_DH: (
        row(CKA_PRIME, BIGINT, "1 3"),
        row(CKA_BASE, BIGINT, "1 3"),
        row(CKA_SUBPRIME, BIGINT, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_GOSTR3410: (
        row(CKA_VALUE, BYTES, "1 4"),
        row(CKA_GOSTR3410_PARAMS, BYTES, "1 3"),
        row(CKA_GOSTR3411_PARAMS, BYTES, "1 3 8"),
        row(CKA_GOST28147_PARAMS, BYTES, "8"),
    ),
    CKK_HSS: (
        row(CKA_HSS_LEVELS, ULONG, "2 4"),
        row(CKA_HSS_LMS_TYPE, ULONG, "2 4"),
        row(CKA_HSS_LMOTS_TYPE, ULONG, "2 4"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_XMSS: (
        row(CKA_PARAMETER_SET, ULONG, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_XMSSMT: (
        row(CKA_PARAMETER_SET, ULONG, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_ML_DSA: (
        row(CKA_PARAMETER_SET, ULONG, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_ML_KEM: (
        row(CKA_PARAMETER_SET, ULONG, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_SLH_DSA: (
        row(CKA_PARAMETER_SET, ULONG, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
    CKK_KEA: (
        row(CKA_PRIME, BIGINT, "1 3"),
        row(CKA_SUBPRIME, BIGINT, "1 3"),
        row(CKA_BASE, BIGINT, "1 3"),
        row(CKA_VALUE, BYTES, "1 4"),
    ),
}
