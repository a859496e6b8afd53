"""The syntax of an X.509 certificate (RFC 5280, section 4.1), as far as its attributes need it.

Imported when the first certificate enters the token: the declarations cost more than all the rest.
What is not looked into stays as the octets that were there, because applications compare them.
"""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat import asn1


@asn1.sequence
class Validity:
    """From when until when; the two kinds of Time."""

    not_before: asn1.UTCTime | asn1.GeneralizedTime
    not_after: asn1.UTCTime | asn1.GeneralizedTime


@asn1.sequence
class TBSCertificate:
    """What is signed."""

    version: Annotated[int | None, asn1.Explicit(0)]
    serial_number: asn1.TLV
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: Validity
    subject: asn1.TLV
    subject_public_key_info: asn1.TLV
    issuer_unique_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_unique_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class Certificate:
    """A certificate."""

    tbs_certificate: TBSCertificate
    signature_algorithm: asn1.TLV
    signature_value: asn1.BitString


def decode(value: bytes) -> TBSCertificate:
    """The signed part of a certificate in DER.

    :raises ValueError: when it is none.
    """
    return asn1.decode_der(Certificate, value).tbs_certificate


def octets(element: asn1.TLV) -> bytes:
    """An element as it stood, tag and length included."""
    return asn1.encode_der(element)


def date(time: asn1.UTCTime | asn1.GeneralizedTime) -> bytes:
    """The day of a Time, as CK_DATE."""
    return time.as_datetime().strftime("%Y%m%d").encode()
