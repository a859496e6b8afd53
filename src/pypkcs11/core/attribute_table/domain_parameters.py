"""Rows of domain parameters, by key type."""

from __future__ import annotations

from pypkcs11.core.attribute_table.row import Attribute, Kind, row
from pypkcs11.standard.constants import (
    CKA_BASE,
    CKA_OBJECT_ID,
    CKA_PRIME,
    CKA_PRIME_BITS,
    CKA_SUBPRIME,
    CKA_SUBPRIME_BITS,
    CKA_VALUE,
    CKK_DH,
    CKK_DSA,
    CKK_GOST28147,
    CKK_GOSTR3410,
    CKK_GOSTR3411,
    CKK_X9_42_DH,
)

ULONG = Kind.ULONG
BYTES = Kind.BYTES
BIGINT = Kind.BIGINT

DOMAIN_PARAMETER_SETS: dict[int, tuple[Attribute, ...]] = {
    CKK_DSA: (
        row(CKA_PRIME, BIGINT, "1 4"),
        row(CKA_SUBPRIME, BIGINT, "1 4"),
        row(CKA_BASE, BIGINT, "1 4"),
        row(CKA_PRIME_BITS, ULONG, "2 3"),
        row(CKA_SUBPRIME_BITS, ULONG, "2"),
    ),
    CKK_DH: (
        row(CKA_PRIME, BIGINT, "1 4"),
        row(CKA_BASE, BIGINT, "1 4"),
        row(CKA_PRIME_BITS, ULONG, "2 3"),
    ),
    CKK_X9_42_DH: (
        row(CKA_PRIME, BIGINT, "1 4"),
        row(CKA_BASE, BIGINT, "1 4"),
        row(CKA_SUBPRIME, BIGINT, "1 4"),
        row(CKA_PRIME_BITS, ULONG, "2 3"),
        row(CKA_SUBPRIME_BITS, ULONG, "2 3"),
    ),
    CKK_GOST28147: (
        row(CKA_VALUE, BYTES, "1"),
        row(CKA_OBJECT_ID, BYTES, "1"),
    ),
    CKK_GOSTR3411: (
        row(CKA_VALUE, BYTES, "1"),
        row(CKA_OBJECT_ID, BYTES, "1"),
    ),
    CKK_GOSTR3410: (
        row(CKA_VALUE, BYTES, "1"),
        row(CKA_OBJECT_ID, BYTES, "1"),
    ),
}
