"""CKM_RSA_X_509: RSA with nothing but zeros before the data (PKCS #11 v3.2, section 6.1)."""

from __future__ import annotations

import os
from functools import partial

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pypkcs11.mechanisms import rsa_raw
from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by
from pypkcs11.mechanisms.operation import Cipher, Recovery, Signature, Verification
from pypkcs11.mechanisms.registry import Encapsulation, Key, Mechanism, Payload
from pypkcs11.mechanisms.rsa_encapsulation import decapsulate_by
from pypkcs11.mechanisms.rsa_keys import SIZES
from pypkcs11.standard.constants import (
    CKK_RSA,
    CKM_RSA_X_509,
    CKR_DATA_INVALID,
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_KEY_SIZE_RANGE,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer


class _Public:
    """The public half of a key."""

    __slots__ = ("exponent", "length", "modulus")

    def __init__(self, key: RSAPublicKey) -> None:
        numbers = key.public_numbers()
        self.modulus = numbers.n
        self.exponent = numbers.e
        self.length = (key.key_size + 7) // 8

    def data(self, data: Buffer) -> int:
        """Data as a number; zeros are thought before it.

        :raises CryptokiError: CKR_DATA_LEN_RANGE for more octets than the modulus has,
            CKR_DATA_INVALID for a number that is not below it.
        """
        if len(data) > self.length:
            raise CryptokiError(CKR_DATA_LEN_RANGE, f"data of {len(data)} octets")
        number = int.from_bytes(data, "big")
        if number >= self.modulus:
            raise CryptokiError(CKR_DATA_INVALID, "the data is not below the modulus")
        return number

    def signed(self, signature: Buffer) -> int:
        """The number that a signature signs.

        :raises CryptokiError: CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID.
        """
        if len(signature) != self.length:
            raise CryptokiError(CKR_SIGNATURE_LEN_RANGE, f"a signature has {self.length} octets")
        number = int.from_bytes(signature, "big")
        if number >= self.modulus:
            raise CryptokiError(CKR_SIGNATURE_INVALID, "the signature is not below the modulus")
        return pow(number, self.exponent, self.modulus)


class RawSignature(Signature):
    """A signature: what the data is by the private exponent."""

    __slots__ = ("_key", "_public")

    def __init__(self, key: Key) -> None:
        self._public = _Public(key.value.public_key())
        self._key = rsa_raw.private_key(key)
        self.length = self._public.length

    def sign(self, data: Buffer) -> bytes:
        return self._key.apply(self._public.data(data))


class RawVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_public",)

    def __init__(self, key: Key) -> None:
        self._public = _Public(key.value)

    def verify(self, data: Buffer, signature: Buffer) -> None:
        expected = self._public.data(data)
        if self._public.signed(signature) != expected:
            raise CryptokiError(CKR_SIGNATURE_INVALID, "the signature is another's")


class RawRecovery(Recovery):
    """What was signed, with the zeros before it."""

    __slots__ = ("_public",)

    def __init__(self, key: Key) -> None:
        self._public = _Public(key.value)

    def recover(self, signature: Buffer) -> bytes:
        return self._public.signed(signature).to_bytes(self._public.length, "big")


class RawEncryption(Cipher):
    """Encryption in one part."""

    __slots__ = ("_public",)

    def __init__(self, key: Key) -> None:
        self._public = _Public(key.value)

    def output_length(self, length: int) -> int:
        return self._public.length

    def run(self, data: Buffer) -> bytes:
        public = self._public
        number = rsa_raw.public_power(public.data(data), public.exponent, public.modulus)
        return number.to_bytes(public.length, "big")


class RawDecryption(Cipher):
    """Decryption in one part."""

    __slots__ = ("_key", "_public")

    def __init__(self, key: Key) -> None:
        self._public = _Public(key.value.public_key())
        self._key = rsa_raw.private_key(key)

    def output_length(self, length: int) -> int:
        return self._public.length

    def run(self, data: Buffer) -> bytes:
        public = self._public
        if len(data) != public.length:
            raise CryptokiError(CKR_ENCRYPTED_DATA_LEN_RANGE, f"it has {public.length} octets")
        number = int.from_bytes(data, "big")
        if number >= public.modulus:
            raise CryptokiError(CKR_ENCRYPTED_DATA_INVALID, "it is not below the modulus")
        return self._key.apply(number)


def _encapsulate(key: Key, parameter: None) -> Encapsulation:
    """RSASVE (NIST SP 800-56B, section 7.2.1): a random number below the modulus, encrypted.

    The :class:`Encapsulation` raises CKR_KEY_SIZE_RANGE for a key of another length than the
    modulus has.
    """
    cipher = RawEncryption(key)
    length = cipher.output_length(0)
    modulus: int = key.value.public_numbers().n

    def run(wanted: int | None) -> tuple[bytes, bytes]:
        if wanted not in (None, length):
            raise CryptokiError(CKR_KEY_SIZE_RANGE, f"the secret has {length} octets")
        # The modulus may begin within an octet: what is too large by that is drawn again.
        excess = -key.bits % 8
        while True:
            drawn = int.from_bytes(os.urandom(length), "big") >> excess
            if 1 < drawn < modulus - 1:
                secret = drawn.to_bytes(length, "big")
                return secret, cipher.run(secret)

    return Encapsulation(length, run)


def _sign(key: Key, parameter: None) -> Signature:
    return RawSignature(key)


def _verify(key: Key, parameter: None) -> Verification:
    return RawVerification(key)


def _recover(key: Key, parameter: None) -> Recovery:
    return RawRecovery(key)


def _encrypt(key: Key, parameter: None) -> Cipher:
    return RawEncryption(key)


def _decrypt(key: Key, parameter: None) -> Cipher:
    return RawDecryption(key)


def row() -> Mechanism:
    """The mechanism's row. Without gmpy2 it does nothing that needs a secret."""
    public = Mechanism(
        type=CKM_RSA_X_509,
        key_types=(CKK_RSA,),
        sizes=SIZES,
        verify=_verify,
        verify_recover=_recover,
    )
    if not rsa_raw.is_available():
        return public
    return public._replace(
        sign=_sign,
        sign_recover=_sign,
        encrypt=_encrypt,
        decrypt=_decrypt,
        wrap=partial(wrap_by, _encrypt),
        unwrap=partial(unwrap_by, _decrypt),
        payload=Payload(at_end=True),
        encapsulate=_encapsulate,
        decapsulate=partial(decapsulate_by, _decrypt),
    )
