"""Rows of private keys, by key type."""

from __future__ import annotations

from pypkcs11.core.attribute_table.row import Attribute, Kind, row
from pypkcs11.standard.constants import (
    CKA_BASE,
    CKA_COEFFICIENT,
    CKA_EC_PARAMS,
    CKA_EXPONENT_1,
    CKA_EXPONENT_2,
    CKA_GOST28147_PARAMS,
    CKA_GOSTR3410_PARAMS,
    CKA_GOSTR3411_PARAMS,
    CKA_HSS_KEYS_REMAINING,
    CKA_HSS_LEVELS,
    CKA_HSS_LMOTS_TYPES,
    CKA_HSS_LMS_TYPES,
    CKA_MODULUS,
    CKA_PARAMETER_SET,
    CKA_PRIME,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_PRIVATE_EXPONENT,
    CKA_PUBLIC_EXPONENT,
    CKA_SEED,
    CKA_SUBPRIME,
    CKA_VALUE,
    CKA_VALUE_BITS,
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
ULONG_ARRAY = Kind.ULONG_ARRAY

#: An RSA key's public exponent, which the standard demands on creation since 2.40, is still left
#: out by applications; it follows from the private exponent and the primes. Of CKA_SEED and
#: CKA_VALUE at least one must be given (see ONE_OF in attributes.py).
PRIVATE_KEYS: dict[int, tuple[Attribute, ...]] = {
    CKK_RSA: (
        row(CKA_MODULUS, BIGINT, "1 4 6"),
        row(CKA_PUBLIC_EXPONENT, BIGINT, "4 6"),
        row(CKA_PRIVATE_EXPONENT, BIGINT, "1 4 6 7"),
        row(CKA_PRIME_1, BIGINT, "4 6 7"),
        row(CKA_PRIME_2, BIGINT, "4 6 7"),
        row(CKA_EXPONENT_1, BIGINT, "4 6 7"),
        row(CKA_EXPONENT_2, BIGINT, "4 6 7"),
        row(CKA_COEFFICIENT, BIGINT, "4 6 7"),
    ),
    CKK_DSA: (
        row(CKA_PRIME, BIGINT, "1 4 6"),
        row(CKA_SUBPRIME, BIGINT, "1 4 6"),
        row(CKA_BASE, BIGINT, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
    CKK_EC: (
        row(CKA_EC_PARAMS, BYTES, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
    CKK_EC_EDWARDS: (
        row(CKA_EC_PARAMS, BYTES, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
    CKK_EC_MONTGOMERY: (
        row(CKA_EC_PARAMS, BYTES, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
    CKK_DH: (
        row(CKA_PRIME, BIGINT, "1 4 6"),
        row(CKA_BASE, BIGINT, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
        row(CKA_VALUE_BITS, ULONG, "2"),
    ),
    CKK_X9_42_DH: (
        row(CKA_PRIME, BIGINT, "1 4 6"),
        row(CKA_BASE, BIGINT, "1 4 6"),
        row(CKA_SUBPRIME, BIGINT, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
    CKK_GOSTR3410: (
        row(CKA_VALUE, BYTES, "1 4 6 7"),
        row(CKA_GOSTR3410_PARAMS, BYTES, "1 4 6"),
        row(CKA_GOSTR3411_PARAMS, BYTES, "1 4 6 8"),
        row(CKA_GOST28147_PARAMS, BYTES, "4 6 8"),
    ),
    CKK_HSS: (
        row(CKA_HSS_LEVELS, ULONG, "1 3"),
        row(CKA_HSS_LMS_TYPES, ULONG_ARRAY, "1 3"),
        row(CKA_HSS_LMOTS_TYPES, ULONG_ARRAY, "1 3"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
        row(CKA_HSS_KEYS_REMAINING, ULONG, "2 4"),
    ),
    CKK_XMSS: (
        row(CKA_PARAMETER_SET, ULONG, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
    CKK_XMSSMT: (
        row(CKA_PARAMETER_SET, ULONG, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
    CKK_ML_DSA: (
        row(CKA_PARAMETER_SET, ULONG, "1 4 6"),
        row(CKA_SEED, BYTES, "4 6 7"),
        row(CKA_VALUE, BYTES, "4 6 7"),
    ),
    CKK_ML_KEM: (
        row(CKA_PARAMETER_SET, ULONG, "1 4 6"),
        row(CKA_SEED, BYTES, "4 6 7"),
        row(CKA_VALUE, BYTES, "4 6 7"),
    ),
    CKK_SLH_DSA: (
        row(CKA_PARAMETER_SET, ULONG, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
    CKK_KEA: (
        row(CKA_PRIME, BIGINT, "1 4 6"),
        row(CKA_SUBPRIME, BIGINT, "1 4 6"),
        row(CKA_BASE, BIGINT, "1 4 6"),
        row(CKA_VALUE, BYTES, "1 4 6 7"),
    ),
}
