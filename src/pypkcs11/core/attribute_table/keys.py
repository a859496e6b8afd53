"""Rows common to key objects (PKCS #11 v3.2, key objects)."""

from __future__ import annotations

from pypkcs11.core.attribute_table.row import Kind, row
from pypkcs11.standard.constants import (
    CK_OTP_FORMAT_DECIMAL,
    CK_OTP_PARAM_IGNORED,
    CKA_ALLOWED_MECHANISMS,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_ALWAYS_SENSITIVE,
    CKA_CHECK_VALUE,
    CKA_DECAPSULATE,
    CKA_DECAPSULATE_TEMPLATE,
    CKA_DECRYPT,
    CKA_DERIVE,
    CKA_DERIVE_TEMPLATE,
    CKA_ENCAPSULATE,
    CKA_ENCAPSULATE_TEMPLATE,
    CKA_ENCRYPT,
    CKA_END_DATE,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_KEY_GEN_MECHANISM,
    CKA_KEY_TYPE,
    CKA_LOCAL,
    CKA_NEVER_EXTRACTABLE,
    CKA_OBJECT_VALIDATION_FLAGS,
    CKA_OTP_CHALLENGE_REQUIREMENT,
    CKA_OTP_COUNTER,
    CKA_OTP_COUNTER_REQUIREMENT,
    CKA_OTP_FORMAT,
    CKA_OTP_LENGTH,
    CKA_OTP_PIN_REQUIREMENT,
    CKA_OTP_SERVICE_IDENTIFIER,
    CKA_OTP_SERVICE_LOGO,
    CKA_OTP_SERVICE_LOGO_TYPE,
    CKA_OTP_TIME,
    CKA_OTP_TIME_REQUIREMENT,
    CKA_OTP_USER_FRIENDLY_MODE,
    CKA_OTP_USER_IDENTIFIER,
    CKA_PUBLIC_CRC64_VALUE,
    CKA_PUBLIC_KEY_INFO,
    CKA_SENSITIVE,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_START_DATE,
    CKA_SUBJECT,
    CKA_TRUSTED,
    CKA_UNWRAP,
    CKA_UNWRAP_TEMPLATE,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_WRAP,
    CKA_WRAP_TEMPLATE,
    CKA_WRAP_WITH_TRUSTED,
)

BOOL = Kind.BOOL
ULONG = Kind.ULONG
BYTES = Kind.BYTES
STRING = Kind.STRING
DATE = Kind.DATE
ULONG_ARRAY = Kind.ULONG_ARRAY
TEMPLATE = Kind.TEMPLATE

#: Common to all keys.
KEY = (
    row(CKA_KEY_TYPE, ULONG, "1 5"),
    row(CKA_ID, BYTES, "8", b""),
    row(CKA_START_DATE, DATE, "8", b""),
    row(CKA_END_DATE, DATE, "8", b""),
    row(CKA_DERIVE, BOOL, "8", False),
    row(CKA_LOCAL, BOOL, "2 4 6"),
    row(CKA_KEY_GEN_MECHANISM, ULONG, "2 4 6"),
    row(CKA_ALLOWED_MECHANISMS, ULONG_ARRAY, "", ()),
    row(CKA_OBJECT_VALIDATION_FLAGS, ULONG, "4 6 9", 0),
)

#: Common to public keys. CKA_PUBLIC_CRC64_VALUE, which the standard demands on creation, is left
#: out by every program written before v3.2: it may be given and need not be.
PUBLIC_KEY = (
    row(CKA_SUBJECT, BYTES, "8", b""),
    row(CKA_ENCRYPT, BOOL, "8 9", True),
    row(CKA_VERIFY, BOOL, "8 9", True),
    row(CKA_VERIFY_RECOVER, BOOL, "8 9", True),
    row(CKA_WRAP, BOOL, "8 9", True),
    row(CKA_ENCAPSULATE, BOOL, "8 9", True),
    row(CKA_TRUSTED, BOOL, "10", False),
    row(CKA_WRAP_TEMPLATE, TEMPLATE, "", ()),
    row(CKA_ENCAPSULATE_TEMPLATE, TEMPLATE, "", ()),
    row(CKA_PUBLIC_KEY_INFO, BYTES, "", b""),
    row(CKA_PUBLIC_CRC64_VALUE, BYTES, "4 13"),
)

#: Common to private keys. Defaults that are the token's choice (9) are those of SoftHSM v2.
PRIVATE_KEY = (
    row(CKA_SUBJECT, BYTES, "8", b""),
    row(CKA_SENSITIVE, BOOL, "8 9 11", False),
    row(CKA_DECRYPT, BOOL, "8 9", True),
    row(CKA_SIGN, BOOL, "8 9", True),
    row(CKA_SIGN_RECOVER, BOOL, "8 9", True),
    row(CKA_UNWRAP, BOOL, "8 9", True),
    row(CKA_DECAPSULATE, BOOL, "8 9", True),
    row(CKA_EXTRACTABLE, BOOL, "8 9 12", False),
    row(CKA_ALWAYS_SENSITIVE, BOOL, "2 4 6"),
    row(CKA_NEVER_EXTRACTABLE, BOOL, "2 4 6"),
    row(CKA_WRAP_WITH_TRUSTED, BOOL, "11", False),
    row(CKA_UNWRAP_TEMPLATE, TEMPLATE, "", ()),
    row(CKA_DECAPSULATE_TEMPLATE, TEMPLATE, "", ()),
    row(CKA_ALWAYS_AUTHENTICATE, BOOL, "", False),
    row(CKA_PUBLIC_KEY_INFO, BYTES, "8 settled", b""),
    row(CKA_DERIVE_TEMPLATE, TEMPLATE, "", ()),
    row(CKA_PUBLIC_CRC64_VALUE, BYTES, "4 13"),
)

#: Common to secret keys and one-time password keys.
SECRET_KEY = (
    row(CKA_SENSITIVE, BOOL, "8 11", False),
    row(CKA_ENCRYPT, BOOL, "8 9", True),
    row(CKA_DECRYPT, BOOL, "8 9", True),
    row(CKA_SIGN, BOOL, "8 9", True),
    row(CKA_VERIFY, BOOL, "8 9", True),
    row(CKA_WRAP, BOOL, "8 9", True),
    row(CKA_UNWRAP, BOOL, "8 9", True),
    row(CKA_EXTRACTABLE, BOOL, "8 9 12", False),
    row(CKA_ALWAYS_SENSITIVE, BOOL, "2 4 6"),
    row(CKA_NEVER_EXTRACTABLE, BOOL, "2 4 6"),
    row(CKA_CHECK_VALUE, BYTES, "clear"),
    row(CKA_WRAP_WITH_TRUSTED, BOOL, "11", False),
    row(CKA_TRUSTED, BOOL, "10", False),
    row(CKA_WRAP_TEMPLATE, TEMPLATE, "", ()),
    row(CKA_UNWRAP_TEMPLATE, TEMPLATE, "", ()),
    row(CKA_DERIVE_TEMPLATE, TEMPLATE, "", ()),
)

#: Common to one-time password keys, beside what secret keys have.
OTP_KEY = (
    row(CKA_OTP_FORMAT, ULONG, "", CK_OTP_FORMAT_DECIMAL),
    row(CKA_OTP_LENGTH, ULONG, "9", 6),
    row(CKA_OTP_USER_FRIENDLY_MODE, BOOL, "9", False),
    row(CKA_OTP_CHALLENGE_REQUIREMENT, ULONG, "9", CK_OTP_PARAM_IGNORED),
    row(CKA_OTP_TIME_REQUIREMENT, ULONG, "9", CK_OTP_PARAM_IGNORED),
    row(CKA_OTP_COUNTER_REQUIREMENT, ULONG, "9", CK_OTP_PARAM_IGNORED),
    row(CKA_OTP_PIN_REQUIREMENT, ULONG, "9", CK_OTP_PARAM_IGNORED),
    row(CKA_OTP_COUNTER, BYTES, "", b""),
    row(CKA_OTP_TIME, STRING, "", b""),
    row(CKA_OTP_USER_IDENTIFIER, STRING, "", b""),
    row(CKA_OTP_SERVICE_IDENTIFIER, STRING, "", b""),
    row(CKA_OTP_SERVICE_LOGO, BYTES, "", b""),
    row(CKA_OTP_SERVICE_LOGO_TYPE, STRING, "", b""),
    row(CKA_VALUE, BYTES, "1 4 6 7"),
    row(CKA_VALUE_LEN, ULONG, "2 3"),
)
