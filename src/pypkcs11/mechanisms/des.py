"""DES and triple DES (PKCS #11 v3.2, "Double and Triple-length DES"; v2.40, historical).

The library beneath has triple DES only. With three equal keys it is DES: what the first encrypts
the second decrypts. A key of double length is one of triple length whose third key is the first.
"""

from __future__ import annotations

from functools import partial

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB, CFB8, OFB

from pypkcs11.mechanisms import block_cipher, feedback
from pypkcs11.mechanisms.block_cipher import BlockCipher
from pypkcs11.mechanisms.block_contexts import contexts_of
from pypkcs11.mechanisms.parameters import DesCbcEncryptData
from pypkcs11.mechanisms.registry import BYTES, Mechanism
from pypkcs11.mechanisms.secret_keys import SecretKeys, key_generation, key_type, zero_block
from pypkcs11.standard.constants import (
    CKK_DES,
    CKK_DES2,
    CKK_DES3,
    CKM_DES2_KEY_GEN,
    CKM_DES3_CBC,
    CKM_DES3_CBC_ENCRYPT_DATA,
    CKM_DES3_CBC_PAD,
    CKM_DES3_CMAC,
    CKM_DES3_CMAC_GENERAL,
    CKM_DES3_ECB,
    CKM_DES3_ECB_ENCRYPT_DATA,
    CKM_DES3_KEY_GEN,
    CKM_DES3_MAC,
    CKM_DES3_MAC_GENERAL,
    CKM_DES_CBC,
    CKM_DES_CBC_ENCRYPT_DATA,
    CKM_DES_CBC_PAD,
    CKM_DES_CFB8,
    CKM_DES_CFB64,
    CKM_DES_ECB,
    CKM_DES_ECB_ENCRYPT_DATA,
    CKM_DES_KEY_GEN,
    CKM_DES_MAC,
    CKM_DES_MAC_GENERAL,
    CKM_DES_OFB64,
)

#: Octets of a block, and of each of a key's parts.
BLOCK = 8

#: Of every octet, the one with its upper seven bits and an odd number of bits (FIPS 46-3).
_ODD = bytes(octet ^ (octet.bit_count() + 1) % 2 for octet in range(256))


def with_parity(octets: bytes) -> bytes:
    """A key's octets with their parity bits set."""
    return octets.translate(_ODD)


def triple(value: bytes) -> TripleDES:
    """Triple DES with a key of 8, 16 or 24 octets."""
    return TripleDES((value * 3)[: 3 * BLOCK])


_contexts = partial(contexts_of, triple)


def _keys(kind: int, parts: int) -> SecretKeys:
    return SecretKeys(
        type=kind,
        lengths=frozenset((parts * BLOCK,)),
        digest=partial(zero_block, triple),
        tells_length=False,
        shape=with_parity,
    )


_DES, _DES2, _DES3 = _keys(CKK_DES, 1), _keys(CKK_DES2, 2), _keys(CKK_DES3, 3)

KEY_TYPES = (key_type(_DES), key_type(_DES2), key_type(_DES3))

_SINGLE = BlockCipher(
    contexts=_contexts,
    key_types=(CKK_DES,),
    block=BLOCK,
    sizes=(8, 8),
    ecb=CKM_DES_ECB,
    cbc=CKM_DES_CBC,
    cbc_pad=CKM_DES_CBC_PAD,
    mac=CKM_DES_MAC,
    mac_general=CKM_DES_MAC_GENERAL,
    ecb_encrypt_data=CKM_DES_ECB_ENCRYPT_DATA,
    cbc_encrypt_data=CKM_DES_CBC_ENCRYPT_DATA,
    data_parameter=DesCbcEncryptData,
)

_TRIPLE = BlockCipher(
    contexts=_contexts,
    key_types=(CKK_DES2, CKK_DES3),
    block=BLOCK,
    sizes=(16, 24),
    ecb=CKM_DES3_ECB,
    cbc=CKM_DES3_CBC,
    cbc_pad=CKM_DES3_CBC_PAD,
    mac=CKM_DES3_MAC,
    mac_general=CKM_DES3_MAC_GENERAL,
    cmac=CKM_DES3_CMAC,
    cmac_general=CKM_DES3_CMAC_GENERAL,
    ecb_encrypt_data=CKM_DES3_ECB_ENCRYPT_DATA,
    cbc_encrypt_data=CKM_DES3_CBC_ENCRYPT_DATA,
    data_parameter=DesCbcEncryptData,
)


def _feedback(mechanism: int, mode: feedback.Feedback) -> Mechanism:
    """The row of a feedback mode, for keys of every length."""
    return Mechanism(
        type=mechanism,
        key_types=(CKK_DES, CKK_DES2, CKK_DES3),
        sizes=(8, 24),
        unit=BYTES,
        parameter=bytes,
        encrypt=partial(feedback.encrypt, _contexts, mode),
        decrypt=partial(feedback.decrypt, _contexts, mode),
    )


MECHANISMS = (
    key_generation(_DES3, CKM_DES3_KEY_GEN),
    key_generation(_DES2, CKM_DES2_KEY_GEN),
    *block_cipher.mechanisms(_TRIPLE),
    key_generation(_DES, CKM_DES_KEY_GEN),
    *block_cipher.mechanisms(_SINGLE),
    _feedback(CKM_DES_OFB64, OFB),
    _feedback(CKM_DES_CFB64, CFB),
    _feedback(CKM_DES_CFB8, CFB8),
)
