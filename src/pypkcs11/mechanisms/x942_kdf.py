"""Key derivation functions of ANSI X9.42 (PKCS #11 v3.2, section 6.4.11), by CKD_.

The standard lists two. The functions of ANSI X9.63 and NIST SP 800-56A, which ECDH has, are of the
same form and are taken, too.
"""

from __future__ import annotations

from collections.abc import Callable

from pypkcs11.mechanisms import der
from pypkcs11.mechanisms.digests import HASHES
from pypkcs11.mechanisms.kdf import KDFS
from pypkcs11.standard.constants import (
    CKD_SHA1_KDF,
    CKD_SHA1_KDF_ASN1,
    CKD_SHA1_KDF_CONCATENATE,
    CKM_SHA_1,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError

#: From the shared secret, the other info and a length in octets to as many octets.
Function = Callable[[bytes, bytes, int], bytes]

_COUNTER_LENGTH = 4


def asn1(secret: bytes, other: bytes, length: int) -> bytes:
    """SHA-1 digests of the secret and the other info, in which a counter runs from 1.

    :param other: OtherInfo in DER (RFC 2631, section 2.1.2), whose counter may have any value.
    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for anything else.
    """
    before, after = _around_counter(other)
    result = bytearray()
    counter = 0
    while len(result) < length:
        counter += 1
        context = HASHES[CKM_SHA_1].blank.copy()
        context.update(secret + before + counter.to_bytes(_COUNTER_LENGTH, "big") + after)
        result += context.finalize()
    return bytes(result[:length])


def _around_counter(other: bytes) -> tuple[bytes, bytes]:
    """What stands before the counter of an OtherInfo, and what behind it."""
    try:
        tag, fields, nothing = der.first(other)
        key_tag, key_info, behind = der.first(fields)
        algorithm, counter = der.elements(key_info)
    except ValueError:
        raise _malformed() from None
    tags = (tag, key_tag, algorithm[0], counter[0])
    if tags != (der.SEQUENCE, der.SEQUENCE, der.OBJECT_IDENTIFIER, der.OCTET_STRING) or nothing:
        raise _malformed()
    if len(counter[1]) != _COUNTER_LENGTH:
        raise _malformed()
    end = len(other) - len(behind)
    return other[: end - _COUNTER_LENGTH], other[end:]


def _malformed() -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, "not an OtherInfo of ANSI X9.42")


FUNCTIONS: dict[int, Function] = {
    CKD_SHA1_KDF_ASN1: asn1,
    CKD_SHA1_KDF_CONCATENATE: KDFS[CKD_SHA1_KDF].derive,
    **{number: function.derive for number, function in KDFS.items()},
}
