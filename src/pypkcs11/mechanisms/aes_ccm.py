"""AES in counter mode with CBC-MAC (PKCS #11 v3.2, "AES-CCM"; NIST SP 800-38C; RFC 3610)."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from pypkcs11.mechanisms.aes_contexts import BLOCK, AesContexts, contexts
from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by
from pypkcs11.mechanisms.operation import Cipher, wipe
from pypkcs11.mechanisms.parameters import AeadMessage, Ccm
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import (
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

#: Tag lengths in octets.
_TAGS = frozenset((4, 6, 8, 10, 12, 14, 16))

_SHORTEST_NONCE = 7
_LONGEST_NONCE = 13

#: The library beneath takes no more octets at a time.
_MOST = (1 << 31) - 1 - BLOCK


class _CbcMac(Cipher):
    """What both directions have in common.

    The first thing that CCM authenticates is how long the data is. The caller says so in the
    parameter, and is held to it. The library beneath wants all of it at once: parts are gathered.
    """

    __slots__ = ("_aad", "_aead", "_length", "_nonce", "_parts", "_tag")

    #: What data of another length than the parameter's earns.
    length_error = CKR_DATA_LEN_RANGE

    def __init__(self, cache: AesContexts, parameter: Ccm) -> None:
        length, nonce, aad, tag = parameter
        if not _SHORTEST_NONCE <= len(nonce) <= _LONGEST_NONCE:
            raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"a nonce of {len(nonce)} octets")
        if tag not in _TAGS:
            raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"a tag of {tag} octets")
        if length >> 8 * (15 - len(nonce)) or length > _MOST:
            raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"{length} octets of data")
        self._aead = cache.ccm.get(tag) or cache.ccm.setdefault(
            tag, AESCCM(cache.algorithm.key, tag)
        )
        self._nonce = nonce
        self._aad = aad
        self._tag = tag
        self._length = length
        self._parts: bytearray | None = None

    def update_length(self, length: int) -> int:
        return 0

    def update_into(self, data: Buffer, out: memoryview) -> int:
        parts = self._parts
        if parts is None:
            parts = self._parts = bytearray()
        if len(parts) + len(data) > self._taken():
            raise self._bad_length()
        parts += data
        return 0

    def finish_length(self) -> int:
        return self.output_length(len(self._parts or b""))

    def finish(self) -> bytes:
        result = bytearray(self.finish_length())
        self.finish_into(memoryview(result))
        return bytes(result)

    def _taken(self) -> int:
        """How many octets there are to take."""
        return self._length

    def _check(self, data: Buffer) -> None:
        if len(data) != self._taken():
            raise self._bad_length()

    def _bad_length(self) -> CryptokiError:
        return CryptokiError(self.length_error, f"not the {self._taken()} octets announced")


class CcmEncryption(_CbcMac):
    """Encryption. The tag follows the ciphertext."""

    __slots__ = ()

    def output_length(self, length: int) -> int:
        return length + self._tag

    def run(self, data: Buffer) -> bytes:
        self._check(data)
        return self._aead.encrypt(self._nonce, data, self._aad)

    def finish_into(self, out: memoryview) -> int:
        parts = self._parts or b""
        self._check(parts)
        length = len(parts) + self._tag
        return self._aead.encrypt_into(self._nonce, parts, self._aad, out[:length])


class CcmDecryption(_CbcMac):
    """Decryption. Nothing leaves before the tag has been checked, in many parts as in one."""

    __slots__ = ()
    length_error = CKR_ENCRYPTED_DATA_LEN_RANGE

    def output_length(self, length: int) -> int:
        return max(length - self._tag, 0)

    def run(self, data: Buffer) -> bytes:
        self._check(data)
        try:
            return self._aead.decrypt(self._nonce, data, self._aad)
        except InvalidTag:
            raise _wrong_tag() from None

    def finish_into(self, out: memoryview) -> int:
        parts = memoryview(self._parts or bytearray())
        self._check(parts)
        plain = parts[: self._length]
        try:
            self._aead.decrypt_into(self._nonce, parts, self._aad, plain)
        except InvalidTag:
            wipe(parts)
            raise _wrong_tag() from None
        out[: len(plain)] = plain
        return len(plain)

    def _taken(self) -> int:
        return self._length + self._tag


def _wrong_tag() -> CryptokiError:
    return CryptokiError(CKR_ENCRYPTED_DATA_INVALID, "the tag is wrong")


def ccm_encrypt(key: Key, parameter: Ccm) -> Cipher:
    return CcmEncryption(contexts(key), parameter)


def ccm_decrypt(key: Key, parameter: Ccm) -> Cipher:
    return CcmDecryption(contexts(key), parameter)


def ccm_wrap(key: Key, parameter: Ccm, octets: bytes) -> bytes:
    """Wrap a key. "Tokens SHALL ignore" what the parameter says of its length."""
    return wrap_by(ccm_encrypt, key, parameter._replace(length=len(octets)), octets)


def ccm_unwrap(key: Key, parameter: Ccm, wrapped: bytes) -> bytes:
    """The way back."""
    length = max(len(wrapped) - parameter.tag, 0)
    return unwrap_by(ccm_decrypt, key, parameter._replace(length=length), wrapped)


def of_message(message: AeadMessage, nonce: bytes, aad: bytes) -> Ccm:
    """The parameter under which a message is encrypted."""
    return Ccm(message.data_length, nonce, aad, message.tag_bits // 8)
