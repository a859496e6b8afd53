"""What a certificate that enters the token says of itself (PKCS #11 v3.2, section 4.6)."""

from __future__ import annotations

from pypkcs11.standard.constants import (
    CKA_CERTIFICATE_TYPE,
    CKA_CHECK_VALUE,
    CKA_END_DATE,
    CKA_HASH_OF_ISSUER_PUBLIC_KEY,
    CKA_HASH_OF_SUBJECT_PUBLIC_KEY,
    CKA_ISSUER,
    CKA_PUBLIC_KEY_INFO,
    CKA_SERIAL_NUMBER,
    CKA_START_DATE,
    CKA_SUBJECT,
    CKA_URL,
    CKA_VALUE,
    CKC_X_509,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Value


def complete_certificate(attributes: Attributes) -> dict[int, Value]:
    """Return what follows from a certificate's value and is not given.

    What the caller gave stays as it is, even where the certificate says otherwise: the standard
    does not want it enforced, and clients look certificates up by what they wrote, such as a
    serial number that is not DER encoded. CKA_CHECK_VALUE alone is held against the value.

    :param attributes: those of a new certificate object, defaults filled in.
    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for an X.509 certificate that cannot be
        read or a check value that is not its own; CKR_TEMPLATE_INCOMPLETE without a value and a
        URL, with a URL and without the hashes of the public keys, or without a subject.
    """
    value = attributes.get(CKA_VALUE, b"")
    assert isinstance(value, bytes)
    _check_presence(attributes)
    computed: dict[int, Value] = {}
    if value:
        computed[CKA_CHECK_VALUE] = _check_value(value)
        given = attributes.get(CKA_CHECK_VALUE, b"")
        if given not in (b"", computed[CKA_CHECK_VALUE]):
            raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the check value is not its own")
        if attributes[CKA_CERTIFICATE_TYPE] == CKC_X_509:
            computed.update(_fields(value))
    return {type: new for type, new in computed.items() if not attributes.get(type)}


def _check_presence(attributes: Attributes) -> None:
    """The footnotes of the tables of X.509 and WTLS certificates."""
    if not attributes.get(CKA_VALUE) and not attributes.get(CKA_URL):
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "neither CKA_VALUE nor CKA_URL")
    if attributes.get(CKA_URL) and not (
        attributes.get(CKA_HASH_OF_SUBJECT_PUBLIC_KEY)
        and attributes.get(CKA_HASH_OF_ISSUER_PUBLIC_KEY)
    ):
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "CKA_URL without the keys' hashes")
    if attributes[CKA_CERTIFICATE_TYPE] != CKC_X_509 or attributes.get(CKA_VALUE):
        return
    if not attributes.get(CKA_SUBJECT):
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "neither CKA_VALUE nor CKA_SUBJECT")


def _check_value(value: bytes) -> bytes:
    """The first three octets of the value's SHA-1 hash (section 4.6.2)."""
    from cryptography.hazmat.primitives.hashes import SHA1, Hash

    digest = Hash(SHA1())
    digest.update(value)
    return digest.finalize()[:3]


def _fields(value: bytes) -> dict[int, Value]:
    """What an X.509 certificate says of itself, octet for octet.

    No more than its frame is looked at; whether signature, key and extensions are good is for
    those to say who rely on it.
    """
    from pypkcs11.core import certificate_syntax as syntax

    try:
        fields = syntax.decode(value)
        return {
            CKA_SUBJECT: syntax.octets(fields.subject),
            CKA_ISSUER: syntax.octets(fields.issuer),
            CKA_SERIAL_NUMBER: syntax.octets(fields.serial_number),
            CKA_START_DATE: syntax.date(fields.validity.not_before),
            CKA_END_DATE: syntax.date(fields.validity.not_after),
            CKA_PUBLIC_KEY_INFO: syntax.octets(fields.subject_public_key_info),
        }
    except ValueError:
        raise CryptokiError(
            CKR_ATTRIBUTE_VALUE_INVALID, "not an X.509 certificate in DER"
        ) from None
