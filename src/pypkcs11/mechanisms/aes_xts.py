"""AES in XTS mode, and its keys (PKCS #11 v3.2, "AES XTS"; NIST SP 800-38E; IEEE 1619).

A key is two AES keys. The second encrypts the number of the data unit to the tweak of its first
block; each block after it has the tweak before times alpha, in GF(2^128).
"""

from __future__ import annotations

from functools import partial

from cryptography.hazmat.primitives.ciphers import Cipher as CipherOf
from cryptography.hazmat.primitives.ciphers import CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import XTS

from pypkcs11.mechanisms.aes_contexts import BLOCK
from pypkcs11.mechanisms.aes_stealing import Stealing
from pypkcs11.mechanisms.block_contexts import EcbDecryptors, EcbEncryptors
from pypkcs11.mechanisms.block_modes import block_iv
from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by
from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.reading import octets
from pypkcs11.mechanisms.registry import ALL_KEYS, BYTES, Computed, Key, Mechanism, Payload
from pypkcs11.mechanisms.secret_keys import SecretKeys, key_generation, key_type
from pypkcs11.standard.constants import (
    CKA_VALUE,
    CKK_AES_XTS,
    CKM_AES_XTS,
    CKM_AES_XTS_KEY_GEN,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Buffer

#: Key lengths in octets: there is no XTS of AES-192.
LENGTHS = frozenset((32, 64))

#: Octets of the longest data unit (SP 800-38E, section 4): 2^20 blocks.
LONGEST_UNIT = BLOCK << 20

_ZEROS = bytes(BLOCK)


class XtsContexts:
    """What is costly to make of a key, made once: its ``cache``."""

    __slots__ = ("algorithm", "tweak_decryptors", "tweak_encryptors")

    def __init__(self, value: bytes) -> None:
        second = AES(value[len(value) // 2 :])
        self.algorithm = AES(value)
        self.tweak_encryptors = EcbEncryptors(second)
        self.tweak_decryptors = EcbDecryptors(second)

    def tweak(self, unit: bytes) -> int:
        """The tweak of a data unit's first block."""
        encryptor = self.tweak_encryptors.take()
        tweak = encryptor.update(unit)
        self.tweak_encryptors.give(encryptor)
        return int.from_bytes(tweak, "little")

    def unit(self, tweak: int) -> bytes:
        """The number of the data unit whose first block has this tweak."""
        decryptor = self.tweak_decryptors.take()
        unit = decryptor.update(tweak.to_bytes(BLOCK, "little"))
        self.tweak_decryptors.give(decryptor)
        return unit


def contexts(key: Key) -> XtsContexts:
    """The contexts of ``key``, made at its first use."""
    cache: XtsContexts | None = key.cache
    if cache is None:
        cache = key.cache = XtsContexts(key.value)
    return cache


#: How far a tweak is moved at a time: what overflows must not overflow again when it is reduced.
_STEP = 120
_MASK = (1 << 128) - 1


def advanced(tweak: int, blocks: int) -> int:
    """A tweak times alpha to the power of ``blocks``, modulo x^128 + x^7 + x^2 + x + 1."""
    while blocks:
        step = min(blocks, _STEP)
        tweak <<= step
        over = tweak >> 128
        tweak = (tweak & _MASK) ^ over ^ over << 1 ^ over << 2 ^ over << 7
        blocks -= step
    return tweak


class _Xts(Stealing):
    """What both directions have in common.

    The library beneath begins its data unit anew with every call. So each part is a data unit of
    its own to it, under the number that encrypts to the tweak with which the part goes on.
    """

    __slots__ = ("_contexts", "_left", "_unit")

    def __init__(self, cache: XtsContexts, parameter: bytes) -> None:
        super().__init__()
        self._unit = block_iv(cache.tweak_encryptors, parameter)
        self._contexts = cache
        self._left = LONGEST_UNIT

    def _context(self, cipher: CipherOf[XTS]) -> CipherContext:
        raise NotImplementedError

    def _begun(self) -> CipherContext:
        return self._context(CipherOf(self._contexts.algorithm, XTS(self._unit)))

    def run(self, data: Buffer) -> bytes:
        self._check(len(data))
        return self._begun().update(data)

    def run_into(self, data: Buffer, out: memoryview) -> int:
        self._check(len(data))
        return self._begun().update_into(data, out)

    def update_into(self, data: Buffer, out: memoryview) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise self._too_long()
        return super().update_into(data, out)

    def _blocks(self, held: bytes, data: memoryview, out: memoryview) -> None:
        length = len(held) + len(data)
        if held:
            out[:length] = self._begun().update(held + data)
        else:
            self._begun().update_into(data, out)
        cache = self._contexts
        self._unit = cache.unit(advanced(cache.tweak(self._unit), length // BLOCK))

    def _tail(self, last: bytes) -> bytes:
        return self._begun().update(last)

    def _check(self, length: int) -> None:
        if length > LONGEST_UNIT:
            raise self._too_long()
        super()._check(length)

    def _too_long(self) -> CryptokiError:
        return CryptokiError(self.length_error, f"a data unit has {LONGEST_UNIT} octets at most")


class XtsEncryption(_Xts):
    __slots__ = ()

    def _context(self, cipher: CipherOf[XTS]) -> CipherContext:
        return cipher.encryptor()


class XtsDecryption(_Xts):
    __slots__ = ()
    length_error = CKR_ENCRYPTED_DATA_LEN_RANGE

    def _context(self, cipher: CipherOf[XTS]) -> CipherContext:
        return cipher.decryptor()


def xts_encrypt(key: Key, parameter: bytes) -> Cipher:
    return XtsEncryption(contexts(key), parameter)


def xts_decrypt(key: Key, parameter: bytes) -> Cipher:
    return XtsDecryption(contexts(key), parameter)


def _zero_block(value: bytes) -> bytes:
    """A block of zeros encrypted in the key type's own mode, as section 4.10 has it."""
    return CipherOf(AES(value), XTS(_ZEROS)).encryptor().update(_ZEROS)


_KEYS = SecretKeys(CKK_AES_XTS, LENGTHS, _zero_block)
_KEY_TYPE = key_type(_KEYS)
_GENERATION = key_generation(_KEYS, CKM_AES_XTS_KEY_GEN)


def complete_xts(attributes: Attributes) -> Computed:
    """The value's length and check value.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID if the value is not 32 or 64 octets, or two
        halves that are the same: XTS is then open to an attack (FIPS 140-3 IG, C.I).
    """
    _check_halves(octets(attributes, CKA_VALUE))
    return _KEY_TYPE.complete[CKO_SECRET_KEY](attributes)


def generate_xts(parameter: None, attributes: Attributes) -> Computed:
    """A key of CKA_VALUE_LEN random octets.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without a CKA_VALUE_LEN,
        CKR_ATTRIBUTE_VALUE_INVALID for one that no key has.
    """
    assert _GENERATION.generate is not None
    made = _GENERATION.generate(parameter, attributes)
    _check_halves(octets(made, CKA_VALUE))
    return made


def _check_halves(value: bytes) -> None:
    half = len(value) // 2
    if value[:half] == value[half:]:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the halves are the same")


KEY_TYPES = (_KEY_TYPE._replace(complete={CKO_SECRET_KEY: complete_xts}),)

MECHANISMS = (
    _GENERATION._replace(generate=generate_xts),
    Mechanism(
        type=CKM_AES_XTS,
        key_types=(CKK_AES_XTS,),
        sizes=_KEYS.sizes,
        unit=BYTES,
        parameter=bytes,
        encrypt=xts_encrypt,
        decrypt=xts_decrypt,
        wrap=partial(wrap_by, xts_encrypt),
        unwrap=partial(unwrap_by, xts_decrypt),
        payload=Payload(classes=ALL_KEYS),
    ),
)
