"""Keys out of passwords (PKCS #11 v3.2, section 6.35; PKCS #5 v2.1, RFC 8018)."""

from __future__ import annotations

from typing import Final

from pypkcs11.mechanisms.digests import HASHES
from pypkcs11.mechanisms.parameters import Pbkdf2
from pypkcs11.mechanisms.registry import Computed, Mechanism
from pypkcs11.mechanisms.table import complete_key, key_type_of
from pypkcs11.standard.constants import (
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKM_PKCS5_PBKD2,
    CKM_SHA224,
    CKM_SHA256,
    CKM_SHA384,
    CKM_SHA512,
    CKM_SHA512_224,
    CKM_SHA512_256,
    CKM_SHA_1,
    CKP_PKCS5_PBKD2_HMAC_SHA1,
    CKP_PKCS5_PBKD2_HMAC_SHA224,
    CKP_PKCS5_PBKD2_HMAC_SHA256,
    CKP_PKCS5_PBKD2_HMAC_SHA384,
    CKP_PKCS5_PBKD2_HMAC_SHA512,
    CKP_PKCS5_PBKD2_HMAC_SHA512_224,
    CKP_PKCS5_PBKD2_HMAC_SHA512_256,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

#: Digest of the HMAC (CKM_), by CKP_PKCS5_PBKD2_.
_PRFS: Final = {
    CKP_PKCS5_PBKD2_HMAC_SHA1: CKM_SHA_1,
    CKP_PKCS5_PBKD2_HMAC_SHA224: CKM_SHA224,
    CKP_PKCS5_PBKD2_HMAC_SHA256: CKM_SHA256,
    CKP_PKCS5_PBKD2_HMAC_SHA384: CKM_SHA384,
    CKP_PKCS5_PBKD2_HMAC_SHA512: CKM_SHA512,
    CKP_PKCS5_PBKD2_HMAC_SHA512_224: CKM_SHA512_224,
    CKP_PKCS5_PBKD2_HMAC_SHA512_256: CKM_SHA512_256,
}

#: The most HMACs (iterations times blocks of output) for one key. It takes a minute or two, during
#: which other threads go on, and is a hundred times what is recommended today: more is a mistake,
#: which would keep the caller waiting for years.
MOST_ROUNDS: Final = 100_000_000


def generate(parameter: Pbkdf2, attributes: Attributes) -> Computed:
    """A key of CKA_VALUE_LEN octets, or as many as keys of its type have.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a PRF that there is not, no iterations or
        more work than :data:`MOST_ROUNDS`, CKR_TEMPLATE_INCOMPLETE without a length.
    """
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

    length = attributes.get(CKA_VALUE_LEN, next(iter(key_type_of(attributes).lengths), None))
    if not isinstance(length, int):
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how long the key shall be")
    function = HASHES.get(_PRFS.get(parameter.prf, 0))
    if function is None:
        raise _bad("no such pseudo-random function")
    blocks = -(-length // function.length)
    if not 0 < parameter.iterations * blocks <= MOST_ROUNDS:
        raise _bad(f"{parameter.iterations} iterations for {blocks} blocks")
    kdf = PBKDF2HMAC(function.algorithm, length, parameter.salt, parameter.iterations)
    value = kdf.derive(parameter.password)
    return {CKA_VALUE: value, **complete_key({**attributes, CKA_VALUE: value})}


def _bad(why: str) -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, why)


MECHANISMS = (Mechanism(type=CKM_PKCS5_PBKD2, parameter=Pbkdf2, generate=generate, chosen=True),)
