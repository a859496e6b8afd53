"""ChaCha20, alone and with Poly1305 (PKCS #11 v3.2, "ChaCha20" and "ChaCha20/Poly1305"; RFC 8439).

A nonce of 64 bits goes with a block counter of 64 bits, one of 96 bits with a counter of 32 bits.
One of 192 bits (XChaCha20, draft-irtf-cfrg-xchacha-03) is one of 64 bits, under a key that is made
of the key and the nonce's first 128 bits. The standard has no order for a block counter's octets:
it is that of ChaCha20's own state, the least significant octet first.
"""

from __future__ import annotations

import struct
from functools import partial

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as CipherOf
from cryptography.hazmat.primitives.ciphers import CipherContext
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.poly1305 import Poly1305

from pypkcs11.mechanisms.generic import sha1
from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by
from pypkcs11.mechanisms.messages import aead
from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.parameters import AeadMessage, ChaCha, ChaChaPoly, ChaChaPolyMessage
from pypkcs11.mechanisms.registry import ALL_KEYS, BITS, Key, Mechanism, Payload
from pypkcs11.mechanisms.secret_keys import SecretKeys, key_generation, key_type
from pypkcs11.mechanisms.stream import StreamCipher
from pypkcs11.standard.constants import (
    CKK_CHACHA20,
    CKM_CHACHA20,
    CKM_CHACHA20_KEY_GEN,
    CKM_CHACHA20_POLY1305,
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

_KEYS = SecretKeys(CKK_CHACHA20, frozenset((32,)), sha1)

#: Octets of a block of key stream, and of a tag.
_BLOCK = 64
_TAG = 16

#: Octets of nonces: the original's, RFC 8439's and XChaCha20's.
_ORIGINAL, _IETF, _EXTENDED = 8, 12, 24

#: How many blocks the library beneath gives before it wants to be told the counter anew.
_RUN = 1 << 32


class KeyStream:
    """ChaCha20 from a block on, to the last that its counter can count.

    :param counter: the first block's number, least significant octet first.
    """

    __slots__ = ("_context", "_key", "_left", "_next", "_nonce", "_room", "_width")

    def __init__(self, key: bytes, counter: bytes, nonce: bytes) -> None:
        self._key = key
        self._nonce = nonce
        self._width = len(counter)
        first = int.from_bytes(counter, "little")
        self._left = ((1 << 8 * self._width) - first) * _BLOCK
        self._context = self._from(first)

    def update(self, data: Buffer) -> bytes:
        """Encrypt or decrypt, which are one."""
        if len(data) <= self._room:
            self._room -= len(data)
            self._left -= len(data)
            return self._context.update(data)
        out = bytearray(len(data))
        self.update_into(data, memoryview(out))
        return bytes(out)

    def update_into(self, data: Buffer, buf: memoryview) -> int:
        """The same into ``buf``, which may be the memory of ``data``.

        :raises CryptokiError: CKR_DATA_LEN_RANGE if the counter would overflow.
        """
        length = len(data)
        if length > self._left:
            raise CryptokiError(CKR_DATA_LEN_RANGE, "the block counter would overflow")
        self._left -= length
        view, done = memoryview(data), 0
        while True:
            piece = view[done : done + self._room]
            done += self._context.update_into(piece, buf[done:])
            self._room -= len(piece)
            if done == length:
                return length
            self._context = self._from(self._next)

    def _from(self, block: int) -> CipherContext:
        start = block.to_bytes(self._width, "little") + self._nonce
        self._next = block - block % _RUN + _RUN
        self._room = (self._next - block) * _BLOCK
        return CipherOf(ChaCha20(self._key, start), None).encryptor()


def subkey(key: bytes, nonce: bytes) -> bytes:
    """HChaCha20: the key that XChaCha20 makes of a key and of 16 octets of nonce.

    It is what ChaCha20's rounds leave in the first and the last four words of a block. The key
    stream has the words that the rounds began with added: they are taken off again.
    """
    stream = CipherOf(ChaCha20(key, nonce), None).encryptor().update(bytes(_BLOCK))
    words = struct.unpack("<4I32x4I", stream)
    before = struct.unpack("<8I", b"expand 32-byte k" + nonce)
    return struct.pack("<8I", *((a - b) % (1 << 32) for a, b in zip(words, before, strict=True)))


def chacha20(key: Key, parameter: ChaCha) -> Cipher:
    """ChaCha20 from a given block on.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a nonce and a block counter of lengths
        that do not go together.
    """
    counter, nonce = parameter
    value = key.value
    if (len(counter), len(nonce)) not in ((4, _IETF), (8, _ORIGINAL), (8, _EXTENDED)):
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "no variant has such lengths")
    if len(nonce) == _EXTENDED:
        value, nonce = subkey(value, nonce[:16]), nonce[16:]
    return StreamCipher(partial(KeyStream, value, counter, nonce))


class _Authenticated(Cipher):
    """What encryption and decryption with Poly1305 have in common (RFC 8439, section 2.8)."""

    __slots__ = ("_aad", "_aead", "_key", "_nonce")

    def __init__(self, key: Key, parameter: ChaChaPoly) -> None:
        nonce, self._aad = parameter
        self._nonce = nonce
        self._key = key.value
        if len(nonce) == _EXTENDED:
            self._key = subkey(key.value, nonce[:16])
            self._nonce = bytes(4) + nonce[16:]
            self._aead = ChaCha20Poly1305(self._key)
            return
        if len(nonce) != _IETF:
            raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"a nonce of {len(nonce)} octets")
        if key.cache is None:
            key.cache = ChaCha20Poly1305(key.value)
        self._aead = key.cache


class AuthenticatedEncryption(_Authenticated):
    """Encryption. The tag follows the ciphertext.

    The library beneath takes a message in one part only: of many, the key stream and the tag are
    put together here as the RFC says.
    """

    __slots__ = ("_length", "_mac", "_stream")

    def __init__(self, key: Key, parameter: ChaChaPoly) -> None:
        super().__init__(key, parameter)
        self._stream: KeyStream | None = None

    def output_length(self, length: int) -> int:
        return length + _TAG

    def run(self, data: Buffer) -> bytes:
        try:
            return self._aead.encrypt(self._nonce, data, self._aad)
        except OverflowError:
            raise _too_long(CKR_DATA_LEN_RANGE) from None

    def run_into(self, data: Buffer, out: memoryview) -> int:
        try:
            return self._aead.encrypt_into(self._nonce, data, self._aad, out[: len(data) + _TAG])
        except OverflowError:
            raise _too_long(CKR_DATA_LEN_RANGE) from None

    def update_length(self, length: int) -> int:
        return length

    def update_into(self, data: Buffer, out: memoryview) -> int:
        length = self._started().update_into(data, out)
        self._mac.update(out[:length])
        self._length += length
        return length

    def finish_length(self) -> int:
        return _TAG

    def finish(self) -> bytes:
        self._started()
        self._mac.update(bytes(-self._length % 16))
        self._mac.update(struct.pack("<QQ", len(self._aad), self._length))
        return self._mac.finalize()

    def _started(self) -> KeyStream:
        stream = self._stream
        if stream is None:
            stream = self._stream = KeyStream(self._key, bytes(4), self._nonce)
            self._mac = Poly1305(stream.update(bytes(_BLOCK))[:32])
            self._mac.update(self._aad + bytes(-len(self._aad) % 16))
            self._length = 0
        return stream


class AuthenticatedDecryption(_Authenticated):
    """Decryption. Nothing leaves before the tag has been checked, in many parts as in one.

    The caller's memory is written only then, too.
    """

    __slots__ = ("_parts",)

    def __init__(self, key: Key, parameter: ChaChaPoly) -> None:
        super().__init__(key, parameter)
        self._parts = bytearray()

    def output_length(self, length: int) -> int:
        return max(length - _TAG, 0)

    def run(self, data: Buffer) -> bytes:
        if len(data) < _TAG:
            raise CryptokiError(CKR_ENCRYPTED_DATA_LEN_RANGE, "shorter than the tag")
        try:
            return self._aead.decrypt(self._nonce, data, self._aad)
        except InvalidTag:
            raise CryptokiError(CKR_ENCRYPTED_DATA_INVALID, "the tag is wrong") from None
        except OverflowError:
            raise _too_long(CKR_ENCRYPTED_DATA_LEN_RANGE) from None

    def update_length(self, length: int) -> int:
        return 0

    def update_into(self, data: Buffer, out: memoryview) -> int:
        self._parts += data
        return 0

    def finish_length(self) -> int:
        return self.output_length(len(self._parts))

    def finish(self) -> bytes:
        return self.run(self._parts)


def of_message(message: AeadMessage, nonce: bytes, aad: bytes) -> ChaChaPoly:
    """The parameter under which a message is encrypted."""
    return ChaChaPoly(nonce, aad)


def _too_long(rv: int) -> CryptokiError:
    return CryptokiError(rv, "more than 2 GiB in one part")


KEY_TYPES = (key_type(_KEYS),)

MECHANISMS = (
    key_generation(_KEYS, CKM_CHACHA20_KEY_GEN),
    Mechanism(
        type=CKM_CHACHA20,
        key_types=(CKK_CHACHA20,),
        sizes=(256, 256),
        unit=BITS,
        parameter=ChaCha,
        encrypt=chacha20,
        decrypt=chacha20,
        wrap=partial(wrap_by, chacha20),
        unwrap=partial(unwrap_by, chacha20),
        payload=Payload(classes=ALL_KEYS),
    ),
    aead(
        Mechanism(
            type=CKM_CHACHA20_POLY1305,
            key_types=(CKK_CHACHA20,),
            sizes=(256, 256),
            unit=BITS,
            parameter=ChaChaPoly,
            encrypt=AuthenticatedEncryption,
            decrypt=AuthenticatedDecryption,
        ),
        ChaChaPolyMessage,
        of_message,
    ),
)
