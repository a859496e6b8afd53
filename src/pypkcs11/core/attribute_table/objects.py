"""Rows of all objects, and of the classes that are neither certificates nor keys."""

from __future__ import annotations

from pypkcs11.core.attribute_table.row import Attribute, Kind, row
from pypkcs11.standard.constants import (
    CKA_APPLICATION,
    CKA_BITS_PER_PIXEL,
    CKA_CHAR_COLUMNS,
    CKA_CHAR_ROWS,
    CKA_CHAR_SETS,
    CKA_CLASS,
    CKA_COLOR,
    CKA_COPYABLE,
    CKA_DEFAULT_CMS_ATTRIBUTES,
    CKA_DESTROYABLE,
    CKA_ENCODING_METHODS,
    CKA_HAS_RESET,
    CKA_HASH_OF_CERTIFICATE,
    CKA_HW_FEATURE_TYPE,
    CKA_ISSUER,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_LOCAL,
    CKA_MECHANISM_TYPE,
    CKA_MIME_TYPES,
    CKA_MODIFIABLE,
    CKA_NAME_HASH_ALGORITHM,
    CKA_OBJECT_ID,
    CKA_PIXEL_X,
    CKA_PIXEL_Y,
    CKA_PRIVATE,
    CKA_PROFILE_ID,
    CKA_REQUIRED_CMS_ATTRIBUTES,
    CKA_RESET_ON_INIT,
    CKA_RESOLUTION,
    CKA_SERIAL_NUMBER,
    CKA_SUPPORTED_CMS_ATTRIBUTES,
    CKA_TOKEN,
    CKA_TRUST_CLIENT_AUTH,
    CKA_TRUST_CODE_SIGNING,
    CKA_TRUST_EMAIL_PROTECTION,
    CKA_TRUST_IPSEC_IKE,
    CKA_TRUST_OCSP_SIGNING,
    CKA_TRUST_SERVER_AUTH,
    CKA_TRUST_TIME_STAMPING,
    CKA_UNIQUE_ID,
    CKA_VALIDATION_AUTHORITY_TYPE,
    CKA_VALIDATION_CERTIFICATE_IDENTIFIER,
    CKA_VALIDATION_CERTIFICATE_URI,
    CKA_VALIDATION_COUNTRY,
    CKA_VALIDATION_FLAG,
    CKA_VALIDATION_LEVEL,
    CKA_VALIDATION_MODULE_ID,
    CKA_VALIDATION_PROFILE,
    CKA_VALIDATION_TYPE,
    CKA_VALIDATION_VENDOR_URI,
    CKA_VALIDATION_VERSION,
    CKA_VALUE,
    CKH_CLOCK,
    CKH_MONOTONIC_COUNTER,
    CKH_USER_INTERFACE,
    CKM_CMS_SIG,
    CKM_SHA_1,
    CKT_TRUST_UNKNOWN,
)

BOOL = Kind.BOOL
ULONG = Kind.ULONG
BYTES = Kind.BYTES
STRING = Kind.STRING

#: Section 4.2.
ALL = (
    row(CKA_CLASS, ULONG, "1"),
    row(CKA_UNIQUE_ID, STRING, "2 4 6"),
)

#: Section 4.4. CKA_PRIVATE's default depends on the class and on who is logged in; what is given
#: here is that of public keys, certificates and the like. CKA_COPYABLE is not marked modifiable,
#: but "cannot be set to true once it is set to false": taking the right away is allowed.
STORAGE = (
    row(CKA_TOKEN, BOOL, "copy", False),
    row(CKA_PRIVATE, BOOL, "copy", False),
    row(CKA_MODIFIABLE, BOOL, "copy", True),
    row(CKA_LABEL, STRING, "8", b""),
    row(CKA_COPYABLE, BOOL, "12", True),
    row(CKA_DESTROYABLE, BOOL, "copy", True),
)

#: Section 4.5.
DATA = (
    row(CKA_APPLICATION, STRING, "", b""),
    row(CKA_OBJECT_ID, BYTES, "", b""),
    row(CKA_VALUE, BYTES, "", b""),
)

#: Trust objects. Whether the certificate's hash must be given depends on the trust
#: that is placed in it: see templates.py.
TRUST = (
    row(CKA_ISSUER, BYTES, "1"),
    row(CKA_SERIAL_NUMBER, BYTES, "1"),
    row(CKA_HASH_OF_CERTIFICATE, BYTES, "", b""),
    row(CKA_NAME_HASH_ALGORITHM, ULONG, "", CKM_SHA_1),
    row(CKA_TRUST_SERVER_AUTH, ULONG, "", CKT_TRUST_UNKNOWN),
    row(CKA_TRUST_CLIENT_AUTH, ULONG, "", CKT_TRUST_UNKNOWN),
    row(CKA_TRUST_CODE_SIGNING, ULONG, "", CKT_TRUST_UNKNOWN),
    row(CKA_TRUST_EMAIL_PROTECTION, ULONG, "", CKT_TRUST_UNKNOWN),
    row(CKA_TRUST_IPSEC_IKE, ULONG, "", CKT_TRUST_UNKNOWN),
    row(CKA_TRUST_TIME_STAMPING, ULONG, "", CKT_TRUST_UNKNOWN),
    row(CKA_TRUST_OCSP_SIGNING, ULONG, "", CKT_TRUST_UNKNOWN),
)

#: Common to domain parameters; the rows of each type are in domain_parameters.py.
DOMAIN_PARAMETERS = (
    row(CKA_KEY_TYPE, ULONG, "1"),
    row(CKA_LOCAL, BOOL, "2 4"),
)

# Objects that a token has built in: applications read them, and cannot create them.

#: Section 4.3.
HARDWARE_FEATURE = (row(CKA_HW_FEATURE_TYPE, ULONG, "1"),)

HARDWARE_FEATURES: dict[int, tuple[Attribute, ...]] = {
    CKH_CLOCK: (row(CKA_VALUE, BYTES),),
    CKH_MONOTONIC_COUNTER: (
        row(CKA_RESET_ON_INIT, BOOL),
        row(CKA_HAS_RESET, BOOL),
        row(CKA_VALUE, BYTES),
    ),
    CKH_USER_INTERFACE: (
        row(CKA_PIXEL_X, ULONG),
        row(CKA_PIXEL_Y, ULONG),
        row(CKA_RESOLUTION, ULONG),
        row(CKA_CHAR_ROWS, ULONG),
        row(CKA_CHAR_COLUMNS, ULONG),
        row(CKA_COLOR, BOOL),
        row(CKA_BITS_PER_PIXEL, ULONG),
        row(CKA_CHAR_SETS, STRING),
        row(CKA_ENCODING_METHODS, STRING),
        row(CKA_MIME_TYPES, STRING),
    ),
}

MECHANISM = (row(CKA_MECHANISM_TYPE, ULONG),)

MECHANISMS: dict[int, tuple[Attribute, ...]] = {
    CKM_CMS_SIG: (
        row(CKA_REQUIRED_CMS_ATTRIBUTES, BYTES),
        row(CKA_DEFAULT_CMS_ATTRIBUTES, BYTES),
        row(CKA_SUPPORTED_CMS_ATTRIBUTES, BYTES),
    ),
}

PROFILE = (row(CKA_PROFILE_ID, ULONG),)

VALIDATION = (
    row(CKA_VALIDATION_TYPE, ULONG),
    row(CKA_VALIDATION_VERSION, BYTES),
    row(CKA_VALIDATION_LEVEL, ULONG),
    row(CKA_VALIDATION_MODULE_ID, STRING),
    row(CKA_VALIDATION_FLAG, ULONG),
    row(CKA_VALIDATION_AUTHORITY_TYPE, ULONG),
    row(CKA_VALIDATION_COUNTRY, STRING),
    row(CKA_VALIDATION_CERTIFICATE_IDENTIFIER, STRING),
    row(CKA_VALIDATION_CERTIFICATE_URI, STRING),
    row(CKA_VALIDATION_VENDOR_URI, STRING),
    row(CKA_VALIDATION_PROFILE, STRING),
)
