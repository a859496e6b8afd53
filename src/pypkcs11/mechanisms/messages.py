"""Authenticated encryption message by message (PKCS #11 v3.2, sections 5.9, 5.11 and 5.18).

Each message is encrypted by the mechanism's ordinary cipher, under a parameter that is made for it
of the message's own. The tag, which the cipher puts behind the ciphertext, travels apart. A
mechanism becomes one for messages by :func:`aead` around its row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

from pypkcs11.mechanisms.message_nonces import Nonces
from pypkcs11.mechanisms.operation import Cipher, unsaveable
from pypkcs11.mechanisms.parameters import AeadMessage
from pypkcs11.mechanisms.registry import Key, Mechanism, ParameterClass
from pypkcs11.standard.constants import (
    CKG_GENERATE_COUNTER_XOR,
    CKR_AEAD_DECRYPT_FAILED,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

#: Up to this many octets, encrypting at once and copying is faster than encrypting in place.
_SHORT: Final = 16384

#: The ordinary parameter for a message: of the message's own, its nonce and its associated data.
MakeParameter = Callable[[AeadMessage, bytes, bytes], Any]
MakeCipher = Callable[[Key, Any], Cipher]


class Sealed(NamedTuple):
    """A message that has been encrypted in one part."""

    text: bytes
    nonce: bytes
    tag: bytes


class EncryptedMessage:
    """A message being encrypted. ``nonce`` is what it is encrypted with."""

    __slots__ = ("_cipher", "_given", "_released", "nonce", "tag_length")

    def __init__(self, cipher: Cipher, nonce: bytes, tag_length: int) -> None:
        self._cipher = cipher
        self._given = self._released = 0
        self.nonce = nonce
        self.tag_length = tag_length

    def update_length(self, length: int) -> int:
        """How much ``length`` more octets give."""
        return self._cipher.update_length(length)

    def finish_length(self, length: int) -> int:
        """The same for the last part: the ciphertext is as long as the plaintext."""
        return self._given + length - self._released

    def update_into(self, data: Buffer, out: memoryview) -> int:
        """Encrypt the next part."""
        written = self._cipher.update_into(data, out)
        self._given += len(data)
        self._released += written
        return written

    def finish_into(self, data: Buffer, out: memoryview) -> tuple[int, bytes]:
        """Encrypt the last part.

        :return: the octets written, and the tag.
        """
        cipher = self._cipher
        if not self._given and len(data) <= _SHORT:
            written, last = 0, cipher.run(data)
        else:
            written = cipher.update_into(data, out)
            last = cipher.finish()
        cut = len(last) - self.tag_length
        out[written : written + cut] = last[:cut]
        return written + cut, last[cut:]


class DecryptedMessage:
    """A message being decrypted. Nothing leaves before the tag has been checked."""

    __slots__ = ("_cipher", "_parts", "tag_length")

    def __init__(self, cipher: Cipher, tag_length: int) -> None:
        self._cipher = cipher
        self._parts = bytearray()
        self.tag_length = tag_length

    def update_length(self, length: int) -> int:
        """How much ``length`` more octets give."""
        return 0

    def finish_length(self, length: int) -> int:
        """The same for the last part."""
        return len(self._parts) + length

    def update_into(self, data: Buffer, out: memoryview) -> int:
        """Take the next part."""
        self._parts += data
        return 0

    def finish(self, data: Buffer, tag: bytes) -> bytes:
        """Take the last part and return the plaintext.

        :raises CryptokiError: CKR_AEAD_DECRYPT_FAILED.
        """
        try:
            return self._cipher.run(b"".join((self._parts, data, tag)))
        except CryptokiError as error:
            if error.rv != CKR_ENCRYPTED_DATA_INVALID:
                raise
            raise CryptokiError(CKR_AEAD_DECRYPT_FAILED, error.reason) from None


class _Process:
    """What is the same for all messages of one C_Message*Init."""

    __slots__ = ("_key", "_make", "_make_parameter")

    def __init__(self, make: MakeCipher, make_parameter: MakeParameter, key: Key) -> None:
        self._make = make
        self._make_parameter = make_parameter
        self._key = key

    def _cipher(self, message: AeadMessage, nonce: bytes, aad: Buffer) -> Cipher:
        return self._make(self._key, self._make_parameter(message, nonce, bytes(aad)))

    def copy(self) -> NoReturn:
        raise unsaveable()


class MessageEncryption(_Process):
    """Encryption of one message after the other."""

    __slots__ = ("_base", "_nonces")

    def __init__(
        self, make: MakeCipher, make_parameter: MakeParameter, key: Key, nonces: Nonces
    ) -> None:
        super().__init__(make, make_parameter, key)
        self._nonces = nonces
        self._base: AeadMessage | None = None

    def begin(self, message: AeadMessage, aad: Buffer) -> EncryptedMessage:
        """Begin a message.

        :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
        """
        if message.generator == CKG_GENERATE_COUNTER_XOR:
            self._check_base(message)
        nonce = self._nonces.next(message)
        return EncryptedMessage(self._cipher(message, nonce, aad), nonce, message.tag_bits // 8)

    def _check_base(self, message: AeadMessage) -> None:
        """What is masked with the counter "must not vary from call to call"."""
        base = self._base
        if base is None:
            self._base = message
        elif (base.nonce, base.fixed_bits) != (message.nonce, message.fixed_bits):
            raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "the nonce before the counter differs")


class MessageDecryption(_Process):
    """Decryption of one message after the other."""

    __slots__ = ()

    def begin(self, message: AeadMessage, aad: Buffer) -> DecryptedMessage:
        """Begin a message.

        :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
        """
        return DecryptedMessage(self._cipher(message, message.nonce, aad), message.tag_bits // 8)


#: What a message's decryption raises, and what it means of a key.
_MEANING: Final = {
    CKR_AEAD_DECRYPT_FAILED: CKR_WRAPPED_KEY_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE: CKR_WRAPPED_KEY_LEN_RANGE,
}


def _wrap(
    make: MakeCipher,
    make_parameter: MakeParameter,
    key: Key,
    message: AeadMessage,
    nonces: Nonces,
    aad: Buffer,
    octets: bytes,
) -> Sealed:
    message = message._replace(data_length=len(octets))
    begun = MessageEncryption(make, make_parameter, key, nonces).begin(message, aad)
    text = bytearray(len(octets))
    _, tag = begun.finish_into(octets, memoryview(text))
    return Sealed(bytes(text), begun.nonce, tag)


def _unwrap(
    make: MakeCipher,
    make_parameter: MakeParameter,
    key: Key,
    message: AeadMessage,
    tag: bytes,
    aad: Buffer,
    wrapped: bytes,
) -> bytes:
    message = message._replace(data_length=len(wrapped))
    try:
        return MessageDecryption(make, make_parameter, key).begin(message, aad).finish(wrapped, tag)
    except CryptokiError as error:
        raise CryptokiError(_MEANING.get(error.rv, error.rv), error.reason) from None


def aead(
    row: Mechanism, message_parameter: ParameterClass, make_parameter: MakeParameter
) -> Mechanism:
    """The row of an authenticated cipher, for messages as well; for keys, if it wraps any.

    :param message_parameter: the class of what comes with each message.
    """
    assert row.encrypt is not None
    assert row.decrypt is not None
    encrypt, decrypt = row.encrypt, row.decrypt
    row = row._replace(
        message_parameter=message_parameter,
        message_encrypt=partial(MessageEncryption, encrypt, make_parameter),
        message_decrypt=lambda key, _: MessageDecryption(decrypt, make_parameter, key),
    )
    if row.wrap is None:
        return row
    return row._replace(
        wrap_authenticated=partial(_wrap, encrypt, make_parameter),
        unwrap_authenticated=partial(_unwrap, decrypt, make_parameter),
    )
