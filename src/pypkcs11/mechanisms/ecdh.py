"""Elliptic curve Diffie-Hellman (PKCS #11 v3.2, sections 6.3.17 and 6.3.18).

The cofactor of every short Weierstrass curve that is supported is 1, so that derivation with the
cofactor is derivation without it. The curves of RFC 7748 have it in their private keys.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ec import ECDH, EllipticCurvePublicKey

from pypkcs11.mechanisms import curves, ec_keys, montgomery
from pypkcs11.mechanisms.derivation import too_long
from pypkcs11.mechanisms.kdf import KDFS
from pypkcs11.mechanisms.parameters import Ecdh
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.standard.constants import (
    CKD_NULL,
    CKK_EC,
    CKK_EC_MONTGOMERY,
    CKM_ECDH1_COFACTOR_DERIVE,
    CKM_ECDH1_DERIVE,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
)
from pypkcs11.standard.errors import CryptokiError


def derive(key: Key, parameter: Ecdh, length: int | None, second: Key | None) -> bytes:
    """The shared secret, or what a key derivation function makes of it.

    The bare secret is shortened at its beginning, as the standard has it.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a function that there is not, shared data
        without a function or a public key that is none of the curve, CKR_KEY_SIZE_RANGE for more
        octets than the bare secret has, CKR_TEMPLATE_INCOMPLETE without a length where the
        function could give any.
    """
    function = KDFS.get(parameter.kdf)
    if function is None and (parameter.kdf != CKD_NULL or parameter.shared):
        raise _bad("no such key derivation function, or data for none")
    if function is not None and length is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how long the key shall be")
    try:
        secret = _SECRETS[key.type](key, parameter.public)
    except (ValueError, CryptokiError):
        raise _bad("the public data is no key of the curve") from None
    if length is None:
        return secret
    if function is not None:
        return function.derive(secret, parameter.shared, length)
    if length > len(secret):
        raise too_long(length, len(secret))
    return secret[len(secret) - length :]


def _weierstrass(key: Key, public: bytes) -> bytes:
    octets = (key.bits + 7) // 8
    point = curves.bare_point(public, (1 + 2 * octets, 1 + octets))
    other = EllipticCurvePublicKey.from_encoded_point(key.value.curve, point)
    secret: bytes = key.value.exchange(ECDH(), other)
    return secret


def _montgomery(key: Key, public: bytes) -> bytes:
    return montgomery.exchange(key, public)


_SECRETS = {CKK_EC: _weierstrass, CKK_EC_MONTGOMERY: _montgomery}


def _bad(why: str) -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, why)


MECHANISMS = (
    Mechanism(
        type=CKM_ECDH1_DERIVE,
        key_types=(CKK_EC, CKK_EC_MONTGOMERY),
        sizes=ec_keys.SIZES,
        parameter=Ecdh,
        extra_flags=curves.FLAGS,
        derive=derive,
    ),
    Mechanism(
        type=CKM_ECDH1_COFACTOR_DERIVE,
        key_types=(CKK_EC,),
        sizes=ec_keys.SIZES,
        parameter=Ecdh,
        extra_flags=curves.FLAGS,
        derive=derive,
    ),
)
