"""AES keys, and the rows of every AES mechanism (PKCS #11 v3.2, section 6.13 to 6.16)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cryptography.hazmat.decrepit.ciphers.modes import CFB, CFB8, OFB
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from pypkcs11.mechanisms import (
    aes_ccm,
    aes_ctr,
    aes_gcm,
    aes_gmac,
    aes_key_wrap,
    aes_stealing,
    aes_xcbc,
    block_cipher,
    feedback,
)
from pypkcs11.mechanisms.aes_contexts import BLOCK, contexts
from pypkcs11.mechanisms.block_cipher import BlockCipher
from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by, wrap_filled_by
from pypkcs11.mechanisms.messages import aead
from pypkcs11.mechanisms.operation import Cipher, Signature, Verification
from pypkcs11.mechanisms.parameters import (
    AesCtr,
    Ccm,
    CcmMessage,
    Gcm,
    GcmMessage,
    Gmac,
)
from pypkcs11.mechanisms.registry import (
    ALL_KEYS,
    BYTES,
    Key,
    Mechanism,
    ParameterClass,
    Payload,
)
from pypkcs11.mechanisms.secret_keys import SecretKeys, key_generation, key_type, zero_block
from pypkcs11.standard.constants import (
    CKK_AES,
    CKM_AES_CBC,
    CKM_AES_CBC_ENCRYPT_DATA,
    CKM_AES_CBC_PAD,
    CKM_AES_CCM,
    CKM_AES_CFB8,
    CKM_AES_CFB128,
    CKM_AES_CMAC,
    CKM_AES_CMAC_GENERAL,
    CKM_AES_CTR,
    CKM_AES_CTS,
    CKM_AES_ECB,
    CKM_AES_ECB_ENCRYPT_DATA,
    CKM_AES_GCM,
    CKM_AES_GMAC,
    CKM_AES_KEY_GEN,
    CKM_AES_KEY_WRAP,
    CKM_AES_KEY_WRAP_KWP,
    CKM_AES_KEY_WRAP_PAD,
    CKM_AES_KEY_WRAP_PKCS7,
    CKM_AES_MAC,
    CKM_AES_MAC_GENERAL,
    CKM_AES_OFB,
    CKM_AES_XCBC_MAC,
    CKM_AES_XCBC_MAC_96,
)

#: Key lengths in octets.
LENGTHS = frozenset((16, 24, 32))
SIZES = (16, 32)


_KEYS = SecretKeys(CKK_AES, LENGTHS, partial(zero_block, AES))

KEY_TYPES = (key_type(_KEYS),)


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
    sizes: tuple[int, int] = SIZES,
) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=(CKK_AES,),
        sizes=sizes,
        unit=BYTES,
        parameter=parameter,
        sign=sign,
        verify=verify,
    )


def _key_wrap(
    mechanism: int,
    wrapping: Callable[[Key, Any], Cipher],
    unwrapping: Callable[[Key, Any], Cipher],
    unit: int = 1,
) -> Mechanism:
    payload = Payload(classes=ALL_KEYS, unit=unit, authentic=True)
    row = _cipher(mechanism, bytes, wrapping, unwrapping, payload)
    return row._replace(parameter_optional=True)


def _feedback(mechanism: int, mode: feedback.Feedback) -> Mechanism:
    encrypt = partial(feedback.encrypt, contexts, mode)
    return _cipher(mechanism, bytes, encrypt, partial(feedback.decrypt, contexts, mode), _ANY)


def _xcbc(mechanism: int, length: int) -> Mechanism:
    """RFC 3566 has keys of 128 bits only."""
    sign, verify = partial(aes_xcbc.sign, length), partial(aes_xcbc.verify, length)
    return _mac(mechanism, None, sign, verify, sizes=(BLOCK, BLOCK))


_AES = BlockCipher(
    contexts=contexts,
    key_types=(CKK_AES,),
    block=BLOCK,
    sizes=SIZES,
    ecb=CKM_AES_ECB,
    cbc=CKM_AES_CBC,
    cbc_pad=CKM_AES_CBC_PAD,
    mac=CKM_AES_MAC,
    mac_general=CKM_AES_MAC_GENERAL,
    cmac=CKM_AES_CMAC,
    cmac_general=CKM_AES_CMAC_GENERAL,
    ecb_encrypt_data=CKM_AES_ECB_ENCRYPT_DATA,
    cbc_encrypt_data=CKM_AES_CBC_ENCRYPT_DATA,
)

_ANY = Payload(classes=ALL_KEYS)
_AUTHENTIC = Payload(classes=ALL_KEYS, authentic=True)

#: CKM_AES_KEY_WRAP_PAD, whose padding the standard never settled, is what SoftHSM v2 and most
#: others took it for: RFC 5649.
MECHANISMS = (
    key_generation(_KEYS, CKM_AES_KEY_GEN),
    *block_cipher.mechanisms(_AES),
    _cipher(CKM_AES_CTR, AesCtr, aes_ctr.ctr, aes_ctr.ctr, _ANY),
    _cipher(CKM_AES_CTS, bytes, aes_stealing.cts_encrypt, aes_stealing.cts_decrypt, _ANY),
    _feedback(CKM_AES_OFB, OFB),
    _feedback(CKM_AES_CFB8, CFB8),
    _feedback(CKM_AES_CFB128, CFB),
    aead(
        _cipher(CKM_AES_GCM, Gcm, aes_gcm.gcm_encrypt, aes_gcm.gcm_decrypt, _AUTHENTIC),
        GcmMessage,
        aes_gcm.of_message,
    ),
    aead(
        _cipher(CKM_AES_CCM, Ccm, aes_ccm.ccm_encrypt, aes_ccm.ccm_decrypt, _AUTHENTIC),
        CcmMessage,
        aes_ccm.of_message,
    )._replace(wrap=aes_ccm.ccm_wrap, unwrap=aes_ccm.ccm_unwrap),
    _key_wrap(
        CKM_AES_KEY_WRAP, aes_key_wrap.Wrapping, aes_key_wrap.Unwrapping, aes_key_wrap.SEMIBLOCK
    ),
    _key_wrap(CKM_AES_KEY_WRAP_PAD, aes_key_wrap.PaddedWrapping, aes_key_wrap.PaddedUnwrapping),
    _key_wrap(CKM_AES_KEY_WRAP_KWP, aes_key_wrap.PaddedWrapping, aes_key_wrap.PaddedUnwrapping),
    _key_wrap(CKM_AES_KEY_WRAP_PKCS7, aes_key_wrap.Pkcs7Wrapping, aes_key_wrap.Pkcs7Unwrapping),
    _mac(CKM_AES_GMAC, Gmac, aes_gmac.sign, aes_gmac.verify),
    _xcbc(CKM_AES_XCBC_MAC, BLOCK),
    _xcbc(CKM_AES_XCBC_MAC_96, aes_xcbc.SHORTER),
)
