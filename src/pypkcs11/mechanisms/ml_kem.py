"""ML-KEM (PKCS #11 v3.2, section 6.68; FIPS 203). The library beneath has no ML-KEM-512."""

from __future__ import annotations

from functools import partial

from pypkcs11.mechanisms.registry import BYTES, Encapsulation, Key, Mechanism
from pypkcs11.mechanisms.seed_keys import ParameterSet, SeedKeys
from pypkcs11.standard.constants import (
    CKK_ML_KEM,
    CKM_ML_KEM,
    CKM_ML_KEM_KEY_PAIR_GEN,
    CKP_ML_KEM_768,
    CKP_ML_KEM_1024,
    CKR_TEMPLATE_INCONSISTENT,
    CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError

_OID = "2.16.840.1.101.3.4.4"

_KEYS = SeedKeys(
    CKK_ML_KEM,
    64,
    (
        ParameterSet(CKP_ML_KEM_768, f"{_OID}.2", "mlkem", "MLKEM768", 1184),
        ParameterSet(CKP_ML_KEM_1024, f"{_OID}.3", "mlkem", "MLKEM1024", 1568),
    ),
    foreign=(f"{_OID}.1",),
)
KEY_TYPES = _KEYS.rows()

#: The length of a ciphertext in octets, by the key's bits (FIPS 203, table 3).
_CIPHERTEXT = {1184 * 8: 1088, 1568 * 8: 1568}

#: Octets of every shared secret.
_SECRET = 32


def encapsulate(key: Key, parameter: None) -> Encapsulation:
    return Encapsulation(_CIPHERTEXT[key.bits], partial(_encapsulate, key))


def _encapsulate(key: Key, length: int | None) -> tuple[bytes, bytes]:
    _check_length(length)
    made: tuple[bytes, bytes] = key.value.encapsulate()
    return made


def decapsulate(key: Key, parameter: None, ciphertext: bytes, length: int | None) -> bytes:
    """The shared secret. A ciphertext that was never encapsulated gives one that nobody knows.

    :raises CryptokiError: CKR_TEMPLATE_INCONSISTENT, CKR_WRAPPED_KEY_LEN_RANGE.
    """
    _check_length(length)
    expected = _CIPHERTEXT[key.bits]
    if len(ciphertext) != expected:
        raise CryptokiError(CKR_WRAPPED_KEY_LEN_RANGE, f"a ciphertext has {expected} octets")
    try:
        secret: bytes = key.value.decapsulate(ciphertext)
    except ValueError:
        raise CryptokiError(CKR_WRAPPED_KEY_INVALID, "not a ciphertext") from None
    return secret


def _check_length(length: int | None) -> None:
    if length not in (None, _SECRET):
        raise CryptokiError(CKR_TEMPLATE_INCONSISTENT, f"the secret has {_SECRET} octets")


MECHANISMS = (
    Mechanism(
        type=CKM_ML_KEM_KEY_PAIR_GEN,
        key_types=(CKK_ML_KEM,),
        sizes=_KEYS.sizes,
        unit=BYTES,
        generate_pair=_KEYS.generate,
    ),
    Mechanism(
        type=CKM_ML_KEM,
        key_types=(CKK_ML_KEM,),
        sizes=_KEYS.sizes,
        unit=BYTES,
        encapsulate=encapsulate,
        decapsulate=decapsulate,
    ),
)
