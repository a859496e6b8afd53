"""Key derivation functions that turn a shared secret into keying data, by CKD_.

PKCS #11 v3.2, section 6.3.15.5 (CK_EC_KDF_TYPE).
"""

from __future__ import annotations

from typing import NamedTuple

from pypkcs11.mechanisms.digests import HASHES
from pypkcs11.standard.constants import (
    CKD_SHA1_KDF,
    CKD_SHA1_KDF_SP800,
    CKD_SHA3_224_KDF,
    CKD_SHA3_224_KDF_SP800,
    CKD_SHA3_256_KDF,
    CKD_SHA3_256_KDF_SP800,
    CKD_SHA3_384_KDF,
    CKD_SHA3_384_KDF_SP800,
    CKD_SHA3_512_KDF,
    CKD_SHA3_512_KDF_SP800,
    CKD_SHA224_KDF,
    CKD_SHA224_KDF_SP800,
    CKD_SHA256_KDF,
    CKD_SHA256_KDF_SP800,
    CKD_SHA384_KDF,
    CKD_SHA384_KDF_SP800,
    CKD_SHA512_KDF,
    CKD_SHA512_KDF_SP800,
    CKM_SHA3_224,
    CKM_SHA3_256,
    CKM_SHA3_384,
    CKM_SHA3_512,
    CKM_SHA224,
    CKM_SHA256,
    CKM_SHA384,
    CKM_SHA512,
    CKM_SHA_1,
)


class Kdf(NamedTuple):
    """A digest (CKM_), and whether the counter goes before the secret or after it."""

    hash: int
    counter_first: bool

    def derive(self, secret: bytes, shared: bytes, length: int) -> bytes:
        """Digests of the secret, a counter from 1 and the shared data, one after the other.

        :param length: of the result, in octets.
        """
        blank = HASHES[self.hash].blank
        result = bytearray()
        counter = 0
        while len(result) < length:
            counter += 1
            number = counter.to_bytes(4, "big")
            context = blank.copy()
            context.update(number + secret if self.counter_first else secret + number)
            context.update(shared)
            result += context.finalize()
        return bytes(result[:length])


#: Digest, the function of ANSI X9.63, and the one of NIST SP 800-56A, section 5.8.1.1.
_FUNCTIONS = (
    (CKM_SHA_1, CKD_SHA1_KDF, CKD_SHA1_KDF_SP800),
    (CKM_SHA224, CKD_SHA224_KDF, CKD_SHA224_KDF_SP800),
    (CKM_SHA256, CKD_SHA256_KDF, CKD_SHA256_KDF_SP800),
    (CKM_SHA384, CKD_SHA384_KDF, CKD_SHA384_KDF_SP800),
    (CKM_SHA512, CKD_SHA512_KDF, CKD_SHA512_KDF_SP800),
    (CKM_SHA3_224, CKD_SHA3_224_KDF, CKD_SHA3_224_KDF_SP800),
    (CKM_SHA3_256, CKD_SHA3_256_KDF, CKD_SHA3_256_KDF_SP800),
    (CKM_SHA3_384, CKD_SHA3_384_KDF, CKD_SHA3_384_KDF_SP800),
    (CKM_SHA3_512, CKD_SHA3_512_KDF, CKD_SHA3_512_KDF_SP800),
)

KDFS: dict[int, Kdf] = {
    number: Kdf(digest, counter_first)
    for digest, x963, sp800 in _FUNCTIONS
    for number, counter_first in ((x963, False), (sp800, True))
}
