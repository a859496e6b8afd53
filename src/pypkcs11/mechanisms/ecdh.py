"""Elliptic curve Diffie-Hellman (PKCS #11 v3.2, sections 6.3.17 and 6.3.18).

Derivation, and encapsulation: the ciphertext is the public key of a pair made for the purpose.

The cofactor of every short Weierstrass curve that is supported is 1, so that derivation with the
cofactor is derivation without it. The curves of RFC 7748 have it in their private keys.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    EllipticCurvePublicKey,
    generate_private_key,
)

from pypkcs11.mechanisms import curves, ec_keys, montgomery
from pypkcs11.mechanisms.derivation import too_long
from pypkcs11.mechanisms.kdf import KDFS, Kdf
from pypkcs11.mechanisms.parameters import Ecdh
from pypkcs11.mechanisms.registry import Encapsulation, Key, Mechanism
from pypkcs11.standard.constants import (
    CKD_NULL,
    CKK_EC,
    CKK_EC_MONTGOMERY,
    CKM_ECDH1_COFACTOR_DERIVE,
    CKM_ECDH1_DERIVE,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
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
    function = _function(parameter)
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


def _function(parameter: Ecdh) -> Kdf | None:
    function = KDFS.get(parameter.kdf)
    if function is None and (parameter.kdf != CKD_NULL or parameter.shared):
        raise _bad("no such key derivation function, or data for none")
    return function


def encapsulate(key: Key, parameter: Ecdh) -> Encapsulation:
    """What is derived with a new private key; its public key is the ciphertext.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID as for :func:`derive`, or if the parameter
        has a public key.
    """
    _check_encapsulation(parameter)
    return Encapsulation(lengths(key)[0], partial(_encapsulate, key, parameter))


def _encapsulate(key: Key, parameter: Ecdh, length: int | None) -> tuple[bytes, bytes]:
    private, own = ephemeral(key)
    return derive(private, parameter._replace(public=public_octets(key)), length, None), own


def decapsulate(key: Key, parameter: Ecdh, ciphertext: bytes, length: int | None) -> bytes:
    """What is derived with the public key that is the ciphertext.

    :raises CryptokiError: CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPED_KEY_INVALID, and as
        :func:`encapsulate`.
    """
    _check_encapsulation(parameter)
    if len(ciphertext) not in lengths(key):
        raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, "no public key of the curve is as long")
    try:
        return derive(key, parameter._replace(public=ciphertext), length, None)
    except CryptokiError as error:
        if error.rv != CKR_MECHANISM_PARAM_INVALID:
            raise
        raise CryptokiError(CKR_WRAPPED_KEY_INVALID, "not a public key of the curve") from None


def _check_encapsulation(parameter: Ecdh) -> None:
    _function(parameter)
    if parameter.public:
        raise _bad("encapsulation takes no public data")


def lengths(key: Key) -> tuple[int, ...]:
    """Octets of a public key as it is sent, and of the compressed one."""
    octets = (key.bits + 7) // 8
    return (1 + 2 * octets, 1 + octets) if key.type == CKK_EC else (octets,)


def public_octets(key: Key) -> bytes:
    """A public key as the other party gets it: an uncompressed point, or what RFC 7748 has."""
    if key.type == CKK_EC_MONTGOMERY:
        octets: bytes = key.value.public_bytes_raw()
        return octets
    return ec_keys.uncompressed(key.value.public_numbers(), (key.bits + 7) // 8)


def ephemeral(key: Key) -> tuple[Key, bytes]:
    """A new private key on the curve of another key, and its public key in octets."""
    private = _NEW[key.type](key)
    public = Key(key.type, key.bits, private.public_key())
    return Key(key.type, key.bits, private), public_octets(public)


def _weierstrass(key: Key, public: bytes) -> bytes:
    octets = (key.bits + 7) // 8
    point = curves.bare_point(public, (1 + 2 * octets, 1 + octets))
    other = EllipticCurvePublicKey.from_encoded_point(key.value.curve, point)
    secret: bytes = key.value.exchange(ECDH(), other)
    return secret


def _montgomery(key: Key, public: bytes) -> bytes:
    return montgomery.exchange(key, public)


_SECRETS = {CKK_EC: _weierstrass, CKK_EC_MONTGOMERY: _montgomery}


#: How a private key is made on the curve of another key.
_NEW: dict[int, Callable[[Key], Any]] = {
    CKK_EC: lambda key: generate_private_key(key.value.curve),
    CKK_EC_MONTGOMERY: montgomery.generate,
}


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
        encapsulate=encapsulate,
        decapsulate=decapsulate,
    ),
    Mechanism(
        type=CKM_ECDH1_COFACTOR_DERIVE,
        key_types=(CKK_EC,),
        sizes=ec_keys.SIZES,
        parameter=Ecdh,
        extra_flags=curves.FLAGS,
        derive=derive,
        encapsulate=encapsulate,
        decapsulate=decapsulate,
    ),
)
