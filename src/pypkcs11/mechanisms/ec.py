"""ECDSA, and the rows of the mechanisms over curves in short Weierstrass form.

PKCS #11 v3.2, section 6.3.12 and 6.3.13. A signature is r and s, each as long as the group's order,
which for all these curves is as long as a field element.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from pypkcs11.mechanisms import curves, dss, ec_keys
from pypkcs11.mechanisms.dss import Given, Scheme
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.standard.constants import (
    CKK_EC,
    CKM_EC_KEY_PAIR_GEN,
    CKM_EC_KEY_PAIR_GEN_W_EXTRA_BITS,
    CKM_ECDSA,
    CKM_ECDSA_SHA1,
    CKM_ECDSA_SHA3_224,
    CKM_ECDSA_SHA3_256,
    CKM_ECDSA_SHA3_384,
    CKM_ECDSA_SHA3_512,
    CKM_ECDSA_SHA224,
    CKM_ECDSA_SHA256,
    CKM_ECDSA_SHA384,
    CKM_ECDSA_SHA512,
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

KEY_TYPES = ec_keys.KEY_TYPES


#: The longest group order's octets.
_LONGEST = 66

#: Applications that do not know the group's order may leave out leading zeros of both halves of a
#: signature (section 6.3.1), so any even length up to the full one will do.
_ECDSA = Scheme(
    {length: ECDSA(Prehashed(Given(length))) for length in range(_LONGEST + 1)},
    longest=_LONGEST,
    short=True,
)


def _width(key: Key) -> int:
    return (key.bits + 7) // 8


#: Digest, and the mechanism that hashes with it.
_HASHED = (
    (CKM_SHA_1, CKM_ECDSA_SHA1),
    (CKM_SHA224, CKM_ECDSA_SHA224),
    (CKM_SHA256, CKM_ECDSA_SHA256),
    (CKM_SHA384, CKM_ECDSA_SHA384),
    (CKM_SHA512, CKM_ECDSA_SHA512),
    (CKM_SHA3_224, CKM_ECDSA_SHA3_224),
    (CKM_SHA3_256, CKM_ECDSA_SHA3_256),
    (CKM_SHA3_384, CKM_ECDSA_SHA3_384),
    (CKM_SHA3_512, CKM_ECDSA_SHA3_512),
)

MECHANISMS = (
    *(
        Mechanism(
            type=mechanism,
            key_types=(CKK_EC,),
            sizes=ec_keys.SIZES,
            extra_flags=curves.FLAGS,
            generate_pair=generate,
        )
        for mechanism, generate in (
            (CKM_EC_KEY_PAIR_GEN, ec_keys.generate),
            (CKM_EC_KEY_PAIR_GEN_W_EXTRA_BITS, ec_keys.generate_with_extra_bits),
        )
    ),
    *dss.rows(
        _ECDSA,
        _width,
        Mechanism(
            type=CKM_ECDSA,
            key_types=(CKK_EC,),
            sizes=ec_keys.SIZES,
            extra_flags=curves.FLAGS,
        ),
        _HASHED,
    ),
)
