"""Ciphers that few use any more, offered only when the configuration asks for them.

Camellia, SEED and Blowfish (PKCS #11 v3.2), CAST-128, IDEA and RC4 (v2.40, historical). The library
beneath does not take all the keys that the standard allows: of CAST-128 none below 5 octets, of RC4
eight lengths.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from cryptography.hazmat.decrepit.ciphers.algorithms import (
    ARC4,
    CAST5,
    IDEA,
    SEED,
    Blowfish,
    Camellia,
)
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher as CipherOf

from pypkcs11.mechanisms.block_cipher import BlockCipher, mechanisms
from pypkcs11.mechanisms.block_contexts import OfKey, contexts_of
from pypkcs11.mechanisms.generic import sha1
from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.registry import BITS, Key, Mechanism
from pypkcs11.mechanisms.secret_keys import SecretKeys, key_generation, key_type, zero_block
from pypkcs11.mechanisms.stream import StreamCipher
from pypkcs11.standard.constants import (
    CKK_BLOWFISH,
    CKK_CAMELLIA,
    CKK_CAST128,
    CKK_IDEA,
    CKK_RC4,
    CKK_SEED,
    CKM_BLOWFISH_CBC,
    CKM_BLOWFISH_CBC_PAD,
    CKM_BLOWFISH_KEY_GEN,
    CKM_CAMELLIA_CBC,
    CKM_CAMELLIA_CBC_ENCRYPT_DATA,
    CKM_CAMELLIA_CBC_PAD,
    CKM_CAMELLIA_ECB,
    CKM_CAMELLIA_ECB_ENCRYPT_DATA,
    CKM_CAMELLIA_KEY_GEN,
    CKM_CAMELLIA_MAC,
    CKM_CAMELLIA_MAC_GENERAL,
    CKM_CAST128_CBC,
    CKM_CAST128_CBC_PAD,
    CKM_CAST128_ECB,
    CKM_CAST128_KEY_GEN,
    CKM_CAST128_MAC,
    CKM_CAST128_MAC_GENERAL,
    CKM_IDEA_CBC,
    CKM_IDEA_CBC_PAD,
    CKM_IDEA_ECB,
    CKM_IDEA_KEY_GEN,
    CKM_IDEA_MAC,
    CKM_IDEA_MAC_GENERAL,
    CKM_RC4,
    CKM_RC4_KEY_GEN,
    CKM_SEED_CBC,
    CKM_SEED_CBC_ENCRYPT_DATA,
    CKM_SEED_CBC_PAD,
    CKM_SEED_ECB,
    CKM_SEED_ECB_ENCRYPT_DATA,
    CKM_SEED_KEY_GEN,
    CKM_SEED_MAC,
    CKM_SEED_MAC_GENERAL,
)

#: Lengths of RC4 keys in octets, of those from 1 to 256 that the standard has.
_RC4_LENGTHS = frozenset((5, 7, 8, 10, 16, 20, 24, 32))


def _keys(
    kind: int,
    algorithm: type[BlockCipherAlgorithm],
    lengths: Iterable[int],
    tells_length: bool = True,
) -> SecretKeys:
    return SecretKeys(kind, frozenset(lengths), partial(zero_block, algorithm), tells_length)


def _contexts(algorithm: type[BlockCipherAlgorithm]) -> OfKey:
    return partial(contexts_of, algorithm)


_CAMELLIA_KEYS = _keys(CKK_CAMELLIA, Camellia, (16, 24, 32))
_CAMELLIA = BlockCipher(
    contexts=_contexts(Camellia),
    key_types=(CKK_CAMELLIA,),
    block=16,
    sizes=_CAMELLIA_KEYS.sizes,
    legacy=True,
    ecb=CKM_CAMELLIA_ECB,
    cbc=CKM_CAMELLIA_CBC,
    cbc_pad=CKM_CAMELLIA_CBC_PAD,
    mac=CKM_CAMELLIA_MAC,
    mac_general=CKM_CAMELLIA_MAC_GENERAL,
    ecb_encrypt_data=CKM_CAMELLIA_ECB_ENCRYPT_DATA,
    cbc_encrypt_data=CKM_CAMELLIA_CBC_ENCRYPT_DATA,
)

_SEED_KEYS = _keys(CKK_SEED, SEED, (16,), tells_length=False)
_SEED = BlockCipher(
    contexts=_contexts(SEED),
    key_types=(CKK_SEED,),
    block=16,
    sizes=_SEED_KEYS.sizes,
    legacy=True,
    ecb=CKM_SEED_ECB,
    cbc=CKM_SEED_CBC,
    cbc_pad=CKM_SEED_CBC_PAD,
    mac=CKM_SEED_MAC,
    mac_general=CKM_SEED_MAC_GENERAL,
    ecb_encrypt_data=CKM_SEED_ECB_ENCRYPT_DATA,
    cbc_encrypt_data=CKM_SEED_CBC_ENCRYPT_DATA,
)

_BLOWFISH_KEYS = _keys(CKK_BLOWFISH, Blowfish, range(4, 57))
_BLOWFISH = BlockCipher(
    contexts=_contexts(Blowfish),
    key_types=(CKK_BLOWFISH,),
    block=8,
    sizes=_BLOWFISH_KEYS.sizes,
    legacy=True,
    cbc=CKM_BLOWFISH_CBC,
    cbc_pad=CKM_BLOWFISH_CBC_PAD,
)

_CAST128_KEYS = _keys(CKK_CAST128, CAST5, range(5, 17))
_CAST128 = BlockCipher(
    contexts=_contexts(CAST5),
    key_types=(CKK_CAST128,),
    block=8,
    sizes=_CAST128_KEYS.sizes,
    legacy=True,
    ecb=CKM_CAST128_ECB,
    cbc=CKM_CAST128_CBC,
    cbc_pad=CKM_CAST128_CBC_PAD,
    mac=CKM_CAST128_MAC,
    mac_general=CKM_CAST128_MAC_GENERAL,
)

_IDEA_KEYS = _keys(CKK_IDEA, IDEA, (16,), tells_length=False)
_IDEA = BlockCipher(
    contexts=_contexts(IDEA),
    key_types=(CKK_IDEA,),
    block=8,
    sizes=_IDEA_KEYS.sizes,
    legacy=True,
    ecb=CKM_IDEA_ECB,
    cbc=CKM_IDEA_CBC,
    cbc_pad=CKM_IDEA_CBC_PAD,
    mac=CKM_IDEA_MAC,
    mac_general=CKM_IDEA_MAC_GENERAL,
)

#: A stream cipher has no block of zeros to encrypt: the check value is a generic secret's.
_RC4_KEYS = SecretKeys(CKK_RC4, _RC4_LENGTHS, sha1)


def rc4(key: Key, parameter: None) -> Cipher:
    """RC4, in which encryption and decryption are one."""
    return StreamCipher(CipherOf(ARC4(key.value), None).encryptor)


KEY_TYPES = tuple(
    key_type(keys)
    for keys in (_CAMELLIA_KEYS, _SEED_KEYS, _BLOWFISH_KEYS, _CAST128_KEYS, _IDEA_KEYS, _RC4_KEYS)
)

MECHANISMS = (
    key_generation(_CAMELLIA_KEYS, CKM_CAMELLIA_KEY_GEN, legacy=True),
    *mechanisms(_CAMELLIA),
    key_generation(_SEED_KEYS, CKM_SEED_KEY_GEN, legacy=True),
    *mechanisms(_SEED),
    key_generation(_BLOWFISH_KEYS, CKM_BLOWFISH_KEY_GEN, legacy=True),
    *mechanisms(_BLOWFISH),
    key_generation(_CAST128_KEYS, CKM_CAST128_KEY_GEN, legacy=True),
    *mechanisms(_CAST128),
    key_generation(_IDEA_KEYS, CKM_IDEA_KEY_GEN, legacy=True),
    *mechanisms(_IDEA),
    key_generation(_RC4_KEYS, CKM_RC4_KEY_GEN, unit=BITS, legacy=True),
    Mechanism(
        type=CKM_RC4,
        key_types=(CKK_RC4,),
        sizes=(40, 256),
        encrypt=rc4,
        decrypt=rc4,
        legacy=True,
    ),
)
