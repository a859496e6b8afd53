"""Keys of PKCS #12 files out of their passwords (RFC 7292, appendix B).

Old files are encrypted and authenticated this way, and many programs still write them so. PKCS #11
v3.2 says how in "PKCS #12 password-based encryption/authentication mechanisms", where a password is
taken octet by octet. In files it is a BMPString with its final NULL (appendix B.1), which the
application makes: that is what NSS and Java pass.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1, Hash

from pypkcs11.mechanisms.des import BLOCK, with_parity
from pypkcs11.mechanisms.parameters import Pba, Pbe
from pypkcs11.mechanisms.registry import BYTES, Computed, Mechanism
from pypkcs11.mechanisms.table import complete_key
from pypkcs11.standard.constants import (
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKK_DES2,
    CKK_DES3,
    CKK_GENERIC_SECRET,
    CKM_PBA_SHA1_WITH_SHA1_HMAC,
    CKM_PBE_SHA1_DES2_EDE_CBC,
    CKM_PBE_SHA1_DES3_EDE_CBC,
    CKR_MECHANISM_PARAM_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: What the octets are for (RFC 7292, appendix B.3).
_KEY: Final = 1
_IV: Final = 2
_MAC_KEY: Final = 3

_SHA1: Final = SHA1()

#: Octets that the hash function's compression takes, v / 8 of the RFC; and of a digest, u / 8.
_CHUNK: Final = _SHA1.block_size
_DIGEST: Final = _SHA1.digest_size

#: The most iterations. They take up to a minute, during which other threads go on, and are many
#: times what files have.
MOST_ITERATIONS: Final = 10_000_000


def derive(parameter: Pba, purpose: int, length: int) -> bytes:
    """As many octets as wanted, by RFC 7292, appendix B.2.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for no iterations, or more than
        :data:`MOST_ITERATIONS`.
    """
    iterations = parameter.iterations
    if not 0 < iterations <= MOST_ITERATIONS:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, f"{iterations} iterations")
    text = _filled(parameter.salt) + _filled(parameter.password)
    found = b""
    while True:
        digest = bytes((purpose,)) * _CHUNK + text
        for _ in range(iterations):
            digest = Hash.hash(_SHA1, digest)
        found += digest
        if len(found) >= length:
            return found[:length]
        text = _stepped(text, digest)


def _filled(octets: bytes) -> bytes:
    """As many copies as fill whole chunks, the last cut off. Of nothing, nothing."""
    length = -(-len(octets) // _CHUNK) * _CHUNK
    return (octets * (length // (len(octets) or 1) + 1))[:length]


def _stepped(text: bytes, digest: bytes) -> bytes:
    """To each chunk, as a number, add 1 and the digest, repeated until it fills a chunk."""
    step = int.from_bytes((digest * (_CHUNK // _DIGEST + 1))[:_CHUNK], "big") + 1
    top = 1 << 8 * _CHUNK
    return b"".join(
        ((int.from_bytes(text[at : at + _CHUNK], "big") + step) % top).to_bytes(_CHUNK, "big")
        for at in range(0, len(text), _CHUNK)
    )


def generate_des(parts: int, parameter: Pbe, attributes: Attributes) -> Computed:
    """A key of two or three parts.

    :raises CryptokiError: as :func:`derive`.
    """
    return _completed(attributes, with_parity(derive(parameter.secret, _KEY, parts * BLOCK)))


def iv(parameter: Pbe) -> bytes:
    """What belongs to such a key: the IV for CBC."""
    return derive(parameter.secret, _IV, BLOCK)


def generate_mac_key(parameter: Pba, attributes: Attributes) -> Computed:
    """A key for HMAC, as long as a digest.

    :raises CryptokiError: as :func:`derive`.
    """
    return _completed(attributes, derive(parameter, _MAC_KEY, _DIGEST))


def _completed(attributes: Attributes, value: bytes) -> Computed:
    return {CKA_VALUE: value, **complete_key({**attributes, CKA_VALUE: value})}


def _of_cipher(mechanism: int, key_type: int, parts: int) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=(key_type,),
        sizes=(parts * BLOCK, parts * BLOCK),
        unit=BYTES,
        parameter=Pbe,
        generate=partial(generate_des, parts),
        returned=iv,
        chosen=True,
    )


MECHANISMS = (
    _of_cipher(CKM_PBE_SHA1_DES3_EDE_CBC, CKK_DES3, 3),
    _of_cipher(CKM_PBE_SHA1_DES2_EDE_CBC, CKK_DES2, 2),
    Mechanism(
        type=CKM_PBA_SHA1_WITH_SHA1_HMAC,
        key_types=(CKK_GENERIC_SECRET,),
        sizes=(_DIGEST, _DIGEST),
        unit=BYTES,
        parameter=Pba,
        generate=generate_mac_key,
        given={CKA_VALUE_LEN: _DIGEST},
        chosen=True,
    ),
)
