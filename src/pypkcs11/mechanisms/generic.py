"""Secret keys that are plain octets: generic secrets and HMAC keys (PKCS #11 v3.2, 6.8, 6.20 ff).

Also what every secret key has in common: its value, its length and its check value.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from pypkcs11.mechanisms.digests import HASHES
from pypkcs11.mechanisms.reading import number, octets
from pypkcs11.mechanisms.registry import BITS, BYTES, Computed, Key, KeyType, Mechanism
from pypkcs11.standard.constants import (
    CKA_CHECK_VALUE,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKK_BLAKE2B_512_HMAC,
    CKK_GENERIC_SECRET,
    CKK_HKDF,
    CKK_MD5_HMAC,
    CKK_SHA3_224_HMAC,
    CKK_SHA3_256_HMAC,
    CKK_SHA3_384_HMAC,
    CKK_SHA3_512_HMAC,
    CKK_SHA224_HMAC,
    CKK_SHA256_HMAC,
    CKK_SHA384_HMAC,
    CKK_SHA512_224_HMAC,
    CKK_SHA512_256_HMAC,
    CKK_SHA512_HMAC,
    CKK_SHA_1_HMAC,
    CKM_BLAKE2B_512_KEY_GEN,
    CKM_GENERIC_SECRET_KEY_GEN,
    CKM_SHA3_224_KEY_GEN,
    CKM_SHA3_256_KEY_GEN,
    CKM_SHA3_384_KEY_GEN,
    CKM_SHA3_512_KEY_GEN,
    CKM_SHA224_KEY_GEN,
    CKM_SHA256_KEY_GEN,
    CKM_SHA384_KEY_GEN,
    CKM_SHA512_224_KEY_GEN,
    CKM_SHA512_256_KEY_GEN,
    CKM_SHA512_KEY_GEN,
    CKM_SHA_1,
    CKM_SHA_1_KEY_GEN,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: The longest generic secret, in octets. The standard sets no bound; this one keeps a wrong length
#: in a template from taking the host's memory.
LONGEST = 65536

#: A check value's length in octets (PKCS #11 v3.2, section 4.10).
CHECK_VALUE_LENGTH = 3


def load_secret(key_type: int, attributes: Attributes) -> Key:
    """A secret key whose ``value`` is its octets."""
    value = octets(attributes, CKA_VALUE)
    return Key(key_type, len(value) * 8, value)


def complete_secret(
    attributes: Attributes, value: bytes, digest: Callable[[bytes], bytes]
) -> Computed:
    """CKA_VALUE_LEN and CKA_CHECK_VALUE of a secret key that enters the token.

    :param value: the key's octets.
    :param digest: gives, of the key's octets, those of which the check value is the first three.
    :raises CryptokiError: CKR_TEMPLATE_INCONSISTENT for another CKA_VALUE_LEN,
        CKR_ATTRIBUTE_VALUE_INVALID for another CKA_CHECK_VALUE (PKCS #11 v3.2, section 4.10, which
        also lets an empty one mean that none is wanted).
    """
    if attributes.get(CKA_VALUE_LEN, len(value)) != len(value):
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, "CKA_VALUE_LEN is not that of CKA_VALUE")
    computed: Computed = {CKA_VALUE_LEN: len(value)}
    given = attributes.get(CKA_CHECK_VALUE)
    if given == b"":
        return computed
    computed[CKA_CHECK_VALUE] = check_value = digest(value)[:CHECK_VALUE_LENGTH]
    if given is not None and given != check_value:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_CHECK_VALUE is not that of the key")
    return computed


def export_secret(attributes: Attributes) -> bytes:
    """A secret key as it is wrapped: its value."""
    return octets(attributes, CKA_VALUE)


def restore_secret(octets: bytes) -> Computed:
    """The way back."""
    return {CKA_VALUE: octets}


def sha1(value: bytes) -> bytes:
    """The digest of which the check value of keys without a cipher of their own is cut."""
    context = HASHES[CKM_SHA_1].blank.copy()
    context.update(value)
    return context.finalize()


def complete_generic(attributes: Attributes) -> Computed:
    """As :func:`complete_secret`; the check value is of the value's SHA-1 digest."""
    value = octets(attributes, CKA_VALUE)
    if len(value) > LONGEST:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"more than {LONGEST} octets")
    return complete_secret(attributes, value, sha1)


def generate_generic(parameter: None, attributes: Attributes) -> Computed:
    """A secret of CKA_VALUE_LEN random octets.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without a CKA_VALUE_LEN,
        CKR_ATTRIBUTE_VALUE_INVALID if it is 0 or more than :data:`LONGEST`.
    """
    length = number(attributes, CKA_VALUE_LEN)
    if not 0 < length <= LONGEST:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"a secret of {length} octets")
    value = os.urandom(length)
    return {CKA_VALUE: value, **complete_secret(attributes, value, sha1)}


#: HMAC keys: type, and the mechanism that generates them (MD5 has none).
_HMAC_KEYS = (
    (CKK_MD5_HMAC, None),
    (CKK_SHA_1_HMAC, CKM_SHA_1_KEY_GEN),
    (CKK_SHA224_HMAC, CKM_SHA224_KEY_GEN),
    (CKK_SHA256_HMAC, CKM_SHA256_KEY_GEN),
    (CKK_SHA384_HMAC, CKM_SHA384_KEY_GEN),
    (CKK_SHA512_HMAC, CKM_SHA512_KEY_GEN),
    (CKK_SHA512_224_HMAC, CKM_SHA512_224_KEY_GEN),
    (CKK_SHA512_256_HMAC, CKM_SHA512_256_KEY_GEN),
    (CKK_SHA3_224_HMAC, CKM_SHA3_224_KEY_GEN),
    (CKK_SHA3_256_HMAC, CKM_SHA3_256_KEY_GEN),
    (CKK_SHA3_384_HMAC, CKM_SHA3_384_KEY_GEN),
    (CKK_SHA3_512_HMAC, CKM_SHA3_512_KEY_GEN),
    (CKK_BLAKE2B_512_HMAC, CKM_BLAKE2B_512_KEY_GEN),
)

KEY_TYPES = tuple(
    KeyType(
        type=key_type,
        load={CKO_SECRET_KEY: partial(load_secret, key_type)},
        complete={CKO_SECRET_KEY: complete_generic},
        export={CKO_SECRET_KEY: export_secret},
        restore={CKO_SECRET_KEY: restore_secret},
    )
    for key_type in (CKK_GENERIC_SECRET, CKK_HKDF, *(key_type for key_type, _ in _HMAC_KEYS))
)

MECHANISMS = (
    Mechanism(
        type=CKM_GENERIC_SECRET_KEY_GEN,
        key_types=(CKK_GENERIC_SECRET,),
        sizes=(8, LONGEST * 8),
        unit=BITS,
        generate=generate_generic,
    ),
    *(
        Mechanism(
            type=mechanism,
            key_types=(key_type,),
            sizes=(1, LONGEST),
            unit=BYTES,
            generate=generate_generic,
        )
        for key_type, mechanism in _HMAC_KEYS
        if mechanism is not None
    ),
)
