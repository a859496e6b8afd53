"""AES in Galois/counter mode (PKCS #11 v3.2, section 6.15.2; NIST SP 800-38D)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import AEADEncryptionContext
from cryptography.hazmat.primitives.ciphers import Cipher as CipherOf
from cryptography.hazmat.primitives.ciphers.modes import GCM

from pypkcs11.mechanisms.aes_contexts import AesContexts, contexts
from pypkcs11.mechanisms.operation import Cipher, wipe
from pypkcs11.mechanisms.parameters import AeadMessage, Gcm
from pypkcs11.mechanisms.registry import PerKey
from pypkcs11.standard.constants import (
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

#: Tag lengths in bits (SP 800-38D, section 5.2.1.2, appendix C for 64 and 32).
_TAG_BITS = frozenset((128, 120, 112, 104, 96, 64, 32))

_FULL_TAG = 16
_SHORTEST_TAG = 4

#: IV lengths in octets that the library beneath takes; the standard starts at 1 and ends at 256.
_SHORTEST_IV = 8
_LONGEST_IV = 128


def tag_length(bits: int) -> int:
    """A tag's length in octets.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a length that SP 800-38D does not have.
    """
    if bits not in _TAG_BITS:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"a tag of {bits} bits")
    return bits // 8


def checked_iv(iv: bytes) -> bytes:
    """An IV, if it has a length that the library beneath takes.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    if not _SHORTEST_IV <= len(iv) <= _LONGEST_IV:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"an IV of {len(iv)} octets")
    return iv


class _Galois(Cipher):
    """What both directions have in common.

    ``_begun`` is there once there have been parts: a context, or the parts themselves.
    """

    __slots__ = ("_aad", "_begun", "_contexts", "_iv", "_tag")

    def __init__(self, cache: AesContexts, parameter: Gcm) -> None:
        iv, aad, tag_bits = parameter
        self._contexts = cache
        self._iv = checked_iv(iv)
        self._aad = aad
        self._tag = tag_length(tag_bits)
        self._begun: Any = None


class GcmEncryption(_Galois):
    """Encryption. The tag follows the ciphertext."""

    __slots__ = ()

    def output_length(self, length: int) -> int:
        return length + self._tag

    def run(self, data: Buffer) -> bytes:
        try:
            sealed = self._contexts.gcm.encrypt(self._iv, data, self._aad)
        except OverflowError:
            raise _too_long(CKR_DATA_LEN_RANGE) from None
        return sealed[: len(data) + self._tag]

    def run_into(self, data: Buffer, out: memoryview) -> int:
        length = len(data) + _FULL_TAG
        if self._tag != _FULL_TAG:
            return super().run_into(data, out)
        if len(out) != length:
            out = out[:length]
        try:
            return self._contexts.gcm.encrypt_into(self._iv, data, self._aad, out)
        except OverflowError:
            raise _too_long(CKR_DATA_LEN_RANGE) from None

    def update_length(self, length: int) -> int:
        return length

    def update_into(self, data: Buffer, out: memoryview) -> int:
        return self._started().update_into(data, out)

    def finish_length(self) -> int:
        return self._tag

    def finish(self) -> bytes:
        context = self._started()
        context.finalize()
        return context.tag[: self._tag]

    def _started(self) -> AEADEncryptionContext:
        context: AEADEncryptionContext | None = self._begun
        if context is None:
            context = CipherOf(self._contexts.algorithm, GCM(self._iv)).encryptor()
            context.authenticate_additional_data(self._aad)
            self._begun = context
        return context


class GcmDecryption(_Galois):
    """Decryption. Nothing leaves before the tag has been checked, in many parts as in one.

    The caller's memory is written only then, too: the library beneath decrypts before it checks, so
    it is not given that memory.
    """

    __slots__ = ()

    def output_length(self, length: int) -> int:
        return max(length - self._tag, 0)

    def run(self, data: Buffer) -> bytes:
        if len(data) < self._tag:
            raise _no_tag()
        try:
            if self._tag == _FULL_TAG:
                return self._contexts.gcm.decrypt(self._iv, data, self._aad)
            return self._decrypt_short_tag(memoryview(data))
        except InvalidTag:
            raise _wrong_tag() from None
        except OverflowError:
            raise _too_long(CKR_ENCRYPTED_DATA_LEN_RANGE) from None

    def _decrypt_short_tag(self, data: memoryview) -> bytes:
        end = len(data) - self._tag
        mode = GCM(self._iv, bytes(data[end:]), min_tag_length=_SHORTEST_TAG)
        context = CipherOf(self._contexts.algorithm, mode).decryptor()
        context.authenticate_additional_data(self._aad)
        return context.update(data[:end]) + context.finalize()

    def update_length(self, length: int) -> int:
        return 0

    def update_into(self, data: Buffer, out: memoryview) -> int:
        if self._begun is None:
            self._begun = bytearray()
        self._begun += data
        return 0

    def finish_length(self) -> int:
        return self.output_length(len(self._begun or b""))

    def finish(self) -> bytes:
        plain = bytearray(self.finish_length())
        self.finish_into(memoryview(plain))
        return bytes(plain)

    def finish_into(self, out: memoryview) -> int:
        """Decrypt what was gathered where it is, so that a message is in memory once."""
        parts = memoryview(self._begun or bytearray())
        end = len(parts) - self._tag
        if end < 0:
            raise _no_tag()
        mode = GCM(self._iv, min_tag_length=_SHORTEST_TAG)
        context = CipherOf(self._contexts.algorithm, mode).decryptor()
        context.authenticate_additional_data(self._aad)
        plain = parts[:end]
        context.update_into(plain, plain)
        try:
            context.finalize_with_tag(bytes(parts[end:]))
        except InvalidTag:
            wipe(plain)
            raise _wrong_tag() from None
        out[:end] = plain
        return end


def _no_tag() -> CryptokiError:
    return CryptokiError(CKR_ENCRYPTED_DATA_LEN_RANGE, "shorter than the tag")


def _wrong_tag() -> CryptokiError:
    return CryptokiError(CKR_ENCRYPTED_DATA_INVALID, "the tag is wrong")


def _too_long(rv: int) -> CryptokiError:
    return CryptokiError(rv, "more than 2 GiB in one part")


gcm_encrypt: Final = PerKey(lambda key: partial(GcmEncryption, contexts(key)))
gcm_decrypt: Final = PerKey(lambda key: partial(GcmDecryption, contexts(key)))


def of_message(message: AeadMessage, nonce: bytes, aad: bytes) -> Gcm:
    """The parameter under which a message is encrypted."""
    return Gcm(nonce, aad, message.tag_bits)
