"""Private keys as they are wrapped: a PrivateKeyInfo in DER (PKCS #11 v3.2, section 6.7; RFC 5958).

Written and read here, without the library beneath: what a key says of itself is proved by the key
type's ``complete``, and importing that library's readers would cost tens of milliseconds.
"""

from __future__ import annotations

from pypkcs11.mechanisms import der
from pypkcs11.mechanisms.reading import octets as octets_of
from pypkcs11.mechanisms.registry import Computed
from pypkcs11.standard.constants import CKA_EC_PARAMS, CKA_VALUE, CKR_WRAPPED_KEY_INVALID
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

_VERSION = der.integer(0)


def encode(algorithm: bytes, key: bytes) -> bytes:
    """A PrivateKeyInfo.

    :param algorithm: the encoded fields of the AlgorithmIdentifier.
    :param key: what the algorithm's own definition says that a private key is.
    """
    fields = _VERSION + der.encode(der.SEQUENCE, algorithm) + der.encode(der.OCTET_STRING, key)
    return der.encode(der.SEQUENCE, fields)


def decode(octets: bytes) -> tuple[bytes, bytes, bytes]:
    """The algorithm's OBJECT IDENTIFIER and parameters, both encoded, and the key of octets.

    Attributes, a public key and zeros behind the structure, with which some mechanisms fill it up,
    are not looked at.

    :raises CryptokiError: CKR_WRAPPED_KEY_INVALID for anything but a PrivateKeyInfo.
    """
    try:
        tag, fields, rest = der.first(octets)
        version, algorithm, key = der.elements(fields)[:3]
        tags = (tag, version[0], algorithm[0], key[0])
        if tags != (der.SEQUENCE, der.INTEGER, der.SEQUENCE, der.OCTET_STRING) or any(rest):
            raise ValueError
        identifier, parameters = der.split(algorithm[1])
    except ValueError:
        raise invalid("not a PrivateKeyInfo") from None
    return identifier, parameters, key[1]


def sequence(octets: bytes) -> list[tuple[int, bytes]]:
    """The elements of a SEQUENCE, of which a private key is made.

    :raises CryptokiError: CKR_WRAPPED_KEY_INVALID.
    """
    try:
        tag, fields, rest = der.first(octets)
        if tag != der.SEQUENCE or rest:
            raise ValueError
        return der.elements(fields)
    except ValueError:
        raise invalid("the private key is not as its algorithm defines it") from None


def export_octets(attributes: Attributes) -> bytes:
    """A key of RFC 8410, whose algorithm is its curve's and whose value is an octet string."""
    value = der.encode(der.OCTET_STRING, octets_of(attributes, CKA_VALUE))
    return encode(octets_of(attributes, CKA_EC_PARAMS), value)


def restore_octets(octets: bytes) -> Computed:
    """The way back.

    :raises CryptokiError: CKR_WRAPPED_KEY_INVALID.
    """
    curve, _, key = decode(octets)
    value = der.content(der.OCTET_STRING, key)
    if not value:
        raise invalid("the private key is not as its algorithm defines it")
    return {CKA_EC_PARAMS: curve, CKA_VALUE: value}


def invalid(why: str) -> CryptokiError:
    """:return: the exception for octets that are no wrapped key."""
    return CryptokiError(CKR_WRAPPED_KEY_INVALID, why)
