"""HKDF (PKCS #11 v3.2, section 6.62; RFC 5869)."""

from __future__ import annotations

from pypkcs11.mechanisms.derivation import leading, too_long
from pypkcs11.mechanisms.digests import HASHES, HashFunction
from pypkcs11.mechanisms.generic import LONGEST, generate_generic
from pypkcs11.mechanisms.parameters import Hkdf
from pypkcs11.mechanisms.registry import BYTES, Derived, Key, Mechanism
from pypkcs11.standard.constants import (
    CKF_HKDF_SALT_DATA,
    CKF_HKDF_SALT_KEY,
    CKF_HKDF_SALT_NULL,
    CKK_GENERIC_SECRET,
    CKK_HKDF,
    CKM_HKDF_DATA,
    CKM_HKDF_DERIVE,
    CKM_HKDF_KEY_GEN,
    CKO_DATA,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
)
from pypkcs11.standard.errors import CryptokiError

#: How many digests can be expanded (RFC 5869, section 2.3).
_MOST_BLOCKS = 255


def derive(key: Key, parameter: Hkdf, length: int | None, second: Key | None) -> bytes:
    """Extract, expand, or both.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for neither step or a digest that there is
        not, CKR_TEMPLATE_INCOMPLETE without a length when expanding, CKR_KEY_SIZE_RANGE for more
        than can be derived.
    """
    function = HASHES.get(parameter.hash)
    if function is None or not (parameter.extract or parameter.expand):
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "no such digest, or nothing to do")
    secret: bytes = key.value
    if parameter.extract:
        secret = _extract(function, _salt(parameter, second), secret)
    return (
        _expand(function, secret, parameter.info, length)
        if parameter.expand
        else leading(secret, length)
    )


def _salt(parameter: Hkdf, second: Key | None) -> bytes:
    """The salt; none is the same as one of zeros."""
    if second is not None:
        salt: bytes = second.value
        return salt
    if parameter.salt_type not in (CKF_HKDF_SALT_NULL, CKF_HKDF_SALT_DATA):
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "no such type of salt")
    return parameter.salt if parameter.salt_type == CKF_HKDF_SALT_DATA else b""


def _extract(function: HashFunction, salt: bytes, secret: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF.extract(function.algorithm, salt or None, secret)


def _expand(function: HashFunction, secret: bytes, info: bytes, length: int | None) -> bytes:
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    if length is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how long the key shall be")
    most = _MOST_BLOCKS * function.length
    if length > most:
        raise too_long(length, most)
    return HKDFExpand(function.algorithm, length, info).derive(secret)


def _second_key(parameter: Hkdf) -> int | None:
    """The key that is the salt."""
    needed = parameter.extract and parameter.salt_type == CKF_HKDF_SALT_KEY
    return parameter.salt_key if needed else None


MECHANISMS = (
    Mechanism(
        type=CKM_HKDF_KEY_GEN,
        key_types=(CKK_HKDF,),
        sizes=(1, LONGEST),
        unit=BYTES,
        generate=generate_generic,
    ),
    *(
        Mechanism(
            type=mechanism,
            key_types=(CKK_HKDF, CKK_GENERIC_SECRET),
            sizes=(1, LONGEST),
            unit=BYTES,
            parameter=Hkdf,
            derive=derive,
            derived=derived,
        )
        for mechanism, derived in (
            (CKM_HKDF_DERIVE, Derived(second_key=_second_key)),
            (CKM_HKDF_DATA, Derived(object_class=CKO_DATA, second_key=_second_key)),
        )
    ),
)
