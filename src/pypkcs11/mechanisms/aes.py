"""AES keys, and the rows of every AES mechanism (PKCS #11 v3.2, section 6.13 to 6.16)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher as CipherOf
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from pypkcs11.mechanisms import aes_block, aes_cmac, aes_ctr, aes_gcm, aes_key_wrap
from pypkcs11.mechanisms.aes_contexts import BLOCK
from pypkcs11.mechanisms.generic import (
    complete_secret,
    export_secret,
    load_secret,
    restore_secret,
)
from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by, wrap_filled_by
from pypkcs11.mechanisms.operation import Cipher, Signature, Verification
from pypkcs11.mechanisms.parameters import AesCtr, Gcm, MacGeneral, Octets
from pypkcs11.mechanisms.reading import number, octets
from pypkcs11.mechanisms.registry import (
    ALL_KEYS,
    BYTES,
    Computed,
    Key,
    KeyType,
    Mechanism,
    ParameterClass,
    Payload,
)
from pypkcs11.standard.constants import (
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKK_AES,
    CKM_AES_CBC,
    CKM_AES_CBC_PAD,
    CKM_AES_CMAC,
    CKM_AES_CMAC_GENERAL,
    CKM_AES_CTR,
    CKM_AES_ECB,
    CKM_AES_GCM,
    CKM_AES_KEY_GEN,
    CKM_AES_KEY_WRAP,
    CKM_AES_KEY_WRAP_KWP,
    CKM_AES_KEY_WRAP_PAD,
    CKM_AES_KEY_WRAP_PKCS7,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: Key lengths in octets.
LENGTHS = frozenset((16, 24, 32))
SIZES = (16, 32)


def _zero_block(value: bytes) -> bytes:
    """A block of zeros encrypted, of which the check value is cut (section 4.10)."""
    return CipherOf(AES(value), ECB()).encryptor().update(bytes(BLOCK))


def complete_aes(attributes: Attributes) -> Computed:
    """The value's length and check value.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID if the value is not 16, 24 or 32 octets.
    """
    _check_length(len(octets(attributes, CKA_VALUE)))
    return complete_secret(attributes, _zero_block)


def generate_aes(parameter: None, attributes: Attributes) -> Computed:
    """A key of CKA_VALUE_LEN random octets.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without a CKA_VALUE_LEN, and
        CKR_ATTRIBUTE_VALUE_INVALID for one that no AES key has: it is the template's value that is
        wrong. CKR_KEY_SIZE_RANGE speaks of a key that is already there.
    """
    length = number(attributes, CKA_VALUE_LEN)
    _check_length(length)
    value = os.urandom(length)
    return {CKA_VALUE: value, **complete_aes({**attributes, CKA_VALUE: value})}


def _check_length(length: int) -> None:
    if length not in LENGTHS:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"an AES key of {length} octets")


KEY_TYPES = (
    KeyType(
        type=CKK_AES,
        load={CKO_SECRET_KEY: partial(load_secret, CKK_AES)},
        complete={CKO_SECRET_KEY: complete_aes},
        export={CKO_SECRET_KEY: export_secret},
        restore={CKO_SECRET_KEY: restore_secret},
        lengths=LENGTHS,
    ),
)


def _cipher(
    mechanism: int,
    parameter: ParameterClass | None,
    encrypt: Callable[[Key, Any], Cipher],
    decrypt: Callable[[Key, Any], Cipher],
    payload: Payload | None = None,
) -> Mechanism:
    """A cipher's row; with a payload, the cipher wraps keys as well."""
    row = Mechanism(
        type=mechanism,
        key_types=(CKK_AES,),
        sizes=SIZES,
        unit=BYTES,
        parameter=parameter,
        encrypt=encrypt,
        decrypt=decrypt,
    )
    if payload is None:
        return row
    wrap = wrap_by if payload.unit == 1 else partial(wrap_filled_by, payload.unit)
    return row._replace(
        wrap=partial(wrap, encrypt), unwrap=partial(unwrap_by, decrypt), payload=payload
    )


def _mac(
    mechanism: int,
    parameter: ParameterClass | None,
    sign: Callable[[Key, Any], Signature],
    verify: Callable[[Key, Any], Verification],
) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=(CKK_AES,),
        sizes=SIZES,
        unit=BYTES,
        parameter=parameter,
        sign=sign,
        verify=verify,
    )


def _key_wrap(
    mechanism: int,
    wrap: Callable[[Key, Octets | None, bytes], bytes],
    unwrap: Callable[[Key, Octets | None, bytes], bytes],
    unit: int = 1,
) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=(CKK_AES,),
        sizes=SIZES,
        unit=BYTES,
        parameter=Octets,
        parameter_optional=True,
        wrap=wrap,
        unwrap=unwrap,
        payload=Payload(classes=ALL_KEYS, unit=unit, authentic=True),
    )


_BLOCKS = Payload(unit=BLOCK)
_ANY = Payload(classes=ALL_KEYS)
_AUTHENTIC = Payload(classes=ALL_KEYS, authentic=True)

#: CKM_AES_KEY_WRAP_PAD, whose padding the standard never settled, is what SoftHSM v2 and most
#: others took it for: RFC 5649.
MECHANISMS = (
    Mechanism(
        type=CKM_AES_KEY_GEN,
        key_types=(CKK_AES,),
        sizes=SIZES,
        unit=BYTES,
        generate=generate_aes,
    ),
    _cipher(CKM_AES_ECB, None, aes_block.ecb_encrypt, aes_block.ecb_decrypt, _BLOCKS),
    _cipher(CKM_AES_CBC, Octets, aes_block.cbc_encrypt, aes_block.cbc_decrypt, _BLOCKS),
    _cipher(CKM_AES_CBC_PAD, Octets, aes_block.cbc_pad_encrypt, aes_block.cbc_pad_decrypt, _ANY),
    _cipher(CKM_AES_CTR, AesCtr, aes_ctr.ctr, aes_ctr.ctr),
    _cipher(CKM_AES_GCM, Gcm, aes_gcm.gcm_encrypt, aes_gcm.gcm_decrypt, _AUTHENTIC),
    _key_wrap(
        CKM_AES_KEY_WRAP, aes_key_wrap.wrap, aes_key_wrap.unwrap, unit=aes_key_wrap.SEMIBLOCK
    ),
    _key_wrap(CKM_AES_KEY_WRAP_PAD, aes_key_wrap.wrap_padded, aes_key_wrap.unwrap_padded),
    _key_wrap(CKM_AES_KEY_WRAP_KWP, aes_key_wrap.wrap_padded, aes_key_wrap.unwrap_padded),
    _key_wrap(CKM_AES_KEY_WRAP_PKCS7, aes_key_wrap.wrap_pkcs7, aes_key_wrap.unwrap_pkcs7),
    _mac(CKM_AES_CMAC, None, aes_cmac.sign, aes_cmac.verify),
    _mac(CKM_AES_CMAC_GENERAL, MacGeneral, aes_cmac.sign, aes_cmac.verify),
)
