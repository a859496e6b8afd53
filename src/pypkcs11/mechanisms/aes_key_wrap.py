"""AES key wrap (PKCS #11 v3.2, "AES Key Wrap"; NIST SP 800-38F; RFC 3394 and RFC 5649).

What it wraps are keys, and data of one part. Other initial values than the defaults would need a
key wrap of our own: the library beneath has none.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)

from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by
from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard.constants import (
    CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

#: Octets of a semiblock, of which all lengths are multiples.
SEMIBLOCK = 8

#: The initial values of RFC 3394, section 2.2.3, and of RFC 5649, section 3.
_INITIAL = bytes.fromhex("a6a6a6a6a6a6a6a6")
_INITIAL_PADDED = bytes.fromhex("a65959a6")


class _KeyWrap(Cipher):
    """What all have in common."""

    __slots__ = ("_key",)

    #: The only initial value that a parameter may have.
    initial = _INITIAL

    def __init__(self, key: Key, parameter: bytes | None) -> None:
        if parameter is not None and parameter != self.initial:
            raise CryptokiError(
                CKR_MECHANISM_PARAM_INVALID, "an initial value that is not the default"
            )
        self._key: bytes = key.value


class Wrapping(_KeyWrap):
    """CKM_AES_KEY_WRAP: two semiblocks at least, and whole ones."""

    __slots__ = ()

    def output_length(self, length: int) -> int:
        return length + SEMIBLOCK

    def run(self, data: Buffer) -> bytes:
        length = len(data)
        if length < 2 * SEMIBLOCK or length % SEMIBLOCK:
            raise CryptokiError(CKR_DATA_LEN_RANGE, f"{length} octets are not whole semiblocks")
        return aes_key_wrap(self._key, bytes(data))


class Unwrapping(_KeyWrap):
    """The way back."""

    __slots__ = ()

    #: Octets of the shortest result of wrapping.
    least = 3 * SEMIBLOCK

    def output_length(self, length: int) -> int:
        return max(length - SEMIBLOCK, 0)

    def run(self, data: Buffer) -> bytes:
        length = len(data)
        if length < self.least or length % SEMIBLOCK:
            raise CryptokiError(CKR_ENCRYPTED_DATA_LEN_RANGE, f"{length} octets wrapped")
        try:
            return self._unwrapped(bytes(data))
        except InvalidUnwrap:
            raise _invalid() from None

    def _unwrapped(self, data: bytes) -> bytes:
        return aes_key_unwrap(self._key, data)


class Pkcs7Wrapping(Wrapping):
    """CKM_AES_KEY_WRAP_PKCS7: padded as PKCS #7 does, to whole semiblocks."""

    __slots__ = ()

    def output_length(self, length: int) -> int:
        return length - length % SEMIBLOCK + 2 * SEMIBLOCK

    def run(self, data: Buffer) -> bytes:
        count = SEMIBLOCK - len(data) % SEMIBLOCK
        return super().run(bytes(data) + bytes([count]) * count)


class Pkcs7Unwrapping(Unwrapping):
    """The way back.

    That the padding is wrong tells nobody anything: what has been unwrapped is authentic.
    """

    __slots__ = ()
    exact = False

    def output_length(self, length: int) -> int:
        return max(length - SEMIBLOCK - 1, 0)

    def _unwrapped(self, data: bytes) -> bytes:
        padded = super()._unwrapped(data)
        count = padded[-1]
        if not 0 < count <= SEMIBLOCK or padded[-count:] != bytes([count]) * count:
            raise _invalid()
        return padded[:-count]


class PaddedWrapping(_KeyWrap):
    """CKM_AES_KEY_WRAP_KWP: any number of octets."""

    __slots__ = ()
    initial = _INITIAL_PADDED

    def output_length(self, length: int) -> int:
        return length + -length % SEMIBLOCK + SEMIBLOCK

    def run(self, data: Buffer) -> bytes:
        if not data:
            raise CryptokiError(CKR_DATA_LEN_RANGE, "there is no wrapping of nothing")
        return aes_key_wrap_with_padding(self._key, bytes(data))


class PaddedUnwrapping(Unwrapping):
    """The way back."""

    __slots__ = ()
    exact = False
    initial = _INITIAL_PADDED
    least = 2 * SEMIBLOCK

    def _unwrapped(self, data: bytes) -> bytes:
        return aes_key_unwrap_with_padding(self._key, data)


def wrap_padded(key: Key, parameter: bytes | None, octets: bytes) -> bytes:
    """Wrap a key of any length."""
    return wrap_by(PaddedWrapping, key, parameter, octets)


def unwrap_padded(key: Key, parameter: bytes | None, wrapped: bytes) -> bytes:
    """The way back.

    :raises CryptokiError: CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPED_KEY_INVALID.
    """
    return unwrap_by(PaddedUnwrapping, key, parameter, wrapped)


def _invalid() -> CryptokiError:
    return CryptokiError(CKR_ENCRYPTED_DATA_INVALID, "wrapped with another key, or not at all")
