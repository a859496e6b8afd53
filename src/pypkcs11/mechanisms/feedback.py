"""Block ciphers in output feedback and cipher feedback mode (NIST SP 800-38A).

Of cipher feedback, the library beneath has segments of 8 bits and of a whole block.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.hazmat.decrepit.ciphers.modes import CFB, CFB8, OFB
from cryptography.hazmat.primitives.ciphers import Cipher as CipherOf

from pypkcs11.mechanisms.block_contexts import OfKey
from pypkcs11.mechanisms.block_modes import block_iv
from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.stream import StreamCipher

Feedback: TypeAlias = type[OFB | CFB | CFB8]


def encrypt(contexts: OfKey, mode: Feedback, key: Key, parameter: bytes) -> Cipher:
    return StreamCipher(_cipher(contexts, mode, key, parameter).encryptor)


def decrypt(contexts: OfKey, mode: Feedback, key: Key, parameter: bytes) -> Cipher:
    return StreamCipher(_cipher(contexts, mode, key, parameter).decryptor)


def _cipher(
    contexts: OfKey, mode: Feedback, key: Key, parameter: bytes
) -> CipherOf[OFB | CFB | CFB8]:
    cache = contexts(key)
    return CipherOf(cache.algorithm, mode(block_iv(cache.ecb_encryptors, parameter)))
