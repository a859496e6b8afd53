"""Rows of certificates (PKCS #11 v3.2, section 4.6)."""

from __future__ import annotations

from pypkcs11.core.attribute_table.row import Attribute, Kind, row
from pypkcs11.standard.constants import (
    CK_CERTIFICATE_CATEGORY_UNSPECIFIED,
    CK_SECURITY_DOMAIN_UNSPECIFIED,
    CKA_AC_ISSUER,
    CKA_ATTR_TYPES,
    CKA_CERTIFICATE_CATEGORY,
    CKA_CERTIFICATE_TYPE,
    CKA_CHECK_VALUE,
    CKA_END_DATE,
    CKA_HASH_OF_ISSUER_PUBLIC_KEY,
    CKA_HASH_OF_SUBJECT_PUBLIC_KEY,
    CKA_ID,
    CKA_ISSUER,
    CKA_JAVA_MIDP_SECURITY_DOMAIN,
    CKA_NAME_HASH_ALGORITHM,
    CKA_OWNER,
    CKA_PUBLIC_KEY_INFO,
    CKA_SERIAL_NUMBER,
    CKA_START_DATE,
    CKA_SUBJECT,
    CKA_TRUSTED,
    CKA_URL,
    CKA_VALUE,
    CKC_WTLS,
    CKC_X_509,
    CKC_X_509_ATTR_CERT,
    CKM_SHA_1,
)

BOOL = Kind.BOOL
ULONG = Kind.ULONG
BYTES = Kind.BYTES
STRING = Kind.STRING
DATE = Kind.DATE

#: Common to all certificates (section 4.6.2).
CERTIFICATE = (
    row(CKA_CERTIFICATE_TYPE, ULONG, "1"),
    row(CKA_TRUSTED, BOOL, "10", False),
    row(CKA_CERTIFICATE_CATEGORY, ULONG, "", CK_CERTIFICATE_CATEGORY_UNSPECIFIED),
    row(CKA_CHECK_VALUE, BYTES, "", b""),
    row(CKA_START_DATE, DATE, "", b""),
    row(CKA_END_DATE, DATE, "", b""),
    row(CKA_PUBLIC_KEY_INFO, BYTES, "", b""),
)

#: By certificate type. CKA_SUBJECT of an X.509 certificate must be specified by the standard; as
#: it stands in the certificate, one that is left out is read from there (certificates.py), and
#: only a certificate that is known by its URL alone must bring it.
CERTIFICATES: dict[int, tuple[Attribute, ...]] = {
    CKC_X_509: (
        row(CKA_SUBJECT, BYTES, "", b""),
        row(CKA_ID, BYTES, "8", b""),
        row(CKA_ISSUER, BYTES, "8", b""),
        row(CKA_SERIAL_NUMBER, BYTES, "8", b""),
        row(CKA_VALUE, BYTES, "1"),
        row(CKA_URL, STRING, "", b""),
        row(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, BYTES, "", b""),
        row(CKA_HASH_OF_ISSUER_PUBLIC_KEY, BYTES, "", b""),
        row(CKA_JAVA_MIDP_SECURITY_DOMAIN, ULONG, "", CK_SECURITY_DOMAIN_UNSPECIFIED),
        row(CKA_NAME_HASH_ALGORITHM, ULONG, "", CKM_SHA_1),
    ),
    CKC_WTLS: (
        row(CKA_SUBJECT, BYTES, "1"),
        row(CKA_ISSUER, BYTES, "8", b""),
        row(CKA_VALUE, BYTES, "1"),
        row(CKA_URL, STRING, "", b""),
        row(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, BYTES, "", b""),
        row(CKA_HASH_OF_ISSUER_PUBLIC_KEY, BYTES, "", b""),
        row(CKA_NAME_HASH_ALGORITHM, ULONG, "", CKM_SHA_1),
    ),
    CKC_X_509_ATTR_CERT: (
        row(CKA_OWNER, BYTES, "1"),
        row(CKA_AC_ISSUER, BYTES, "8", b""),
        row(CKA_SERIAL_NUMBER, BYTES, "8", b""),
        row(CKA_ATTR_TYPES, BYTES, "8", b""),
        row(CKA_VALUE, BYTES, "1"),
    ),
}
