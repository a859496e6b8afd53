"""Secret keys that have one length or a few: their rows, and the mechanisms that generate them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher as CipherOf
from cryptography.hazmat.primitives.ciphers.modes import ECB

from pypkcs11.mechanisms.generic import complete_secret, export_secret, load_secret, restore_secret
from pypkcs11.mechanisms.reading import number, octets
from pypkcs11.mechanisms.registry import BITS, BYTES, Computed, KeyType, Mechanism
from pypkcs11.standard.constants import (
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKO_SECRET_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_WRAPPED_KEY_INVALID,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes

_ECB = ECB()


class SecretKeys(NamedTuple):
    """The keys of one CKK_.

    :param lengths: in octets.
    :param digest: gives, of the key's octets, those of which the check value is cut.
    :param tells_length: whether the keys have a CKA_VALUE_LEN. Keys of one length need none, and
        of some types the standard gives them none.
    :param shape: makes a key of any octets; None where all octets are keys.
    """

    type: int
    lengths: frozenset[int]
    digest: Callable[[bytes], bytes]
    tells_length: bool = True
    shape: Callable[[bytes], bytes] | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """The shortest and the longest key, in octets."""
        return min(self.lengths), max(self.lengths)


def zero_block(algorithm: Callable[[bytes], BlockCipherAlgorithm], value: bytes) -> bytes:
    """A block of zeros encrypted with a key, of which the check value is cut (section 4.10)."""
    keyed = algorithm(value)
    return CipherOf(keyed, _ECB).encryptor().update(bytes(keyed.block_size // 8))


def key_type(keys: SecretKeys) -> KeyType:
    """The row of the keys' type."""
    return KeyType(
        type=keys.type,
        load={CKO_SECRET_KEY: partial(load_secret, keys.type)},
        complete={CKO_SECRET_KEY: partial(_complete, keys)},
        export={CKO_SECRET_KEY: export_secret},
        restore={CKO_SECRET_KEY: partial(_restore, keys)},
        lengths=keys.lengths,
        shape=keys.shape,
    )


def key_generation(
    keys: SecretKeys, mechanism: int, *, unit: int = BYTES, legacy: bool = False
) -> Mechanism:
    """The row of the mechanism that generates such keys.

    :param unit: ``BITS`` or ``BYTES``, in which C_GetMechanismInfo gives their sizes.
    """
    shortest, longest = keys.sizes
    scale = 8 if unit == BITS else 1
    return Mechanism(
        type=mechanism,
        key_types=(keys.type,),
        sizes=(shortest * scale, longest * scale),
        unit=unit,
        generate=partial(_generate, keys),
        legacy=legacy,
    )


def _complete(keys: SecretKeys, attributes: Attributes) -> Computed:
    """The value's length and check value.

    :raises CryptokiError: CKR_ATTRIBUTE_VALUE_INVALID for a value that no such key has.
    """
    value = octets(attributes, CKA_VALUE)
    _check_length(keys, len(value))
    if _is_misshapen(keys, value):
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, "the parity bits are wrong")
    return _computed(keys, attributes, value)


def _computed(keys: SecretKeys, attributes: Attributes, value: bytes) -> Computed:
    computed = complete_secret(attributes, value, keys.digest)
    if not keys.tells_length:
        del computed[CKA_VALUE_LEN]
    return computed


def _generate(keys: SecretKeys, parameter: None, attributes: Attributes) -> Computed:
    """A key of random octets.

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without a CKA_VALUE_LEN, and
        CKR_ATTRIBUTE_VALUE_INVALID for one that no such key has: it is the template's value that
        is wrong. CKR_KEY_SIZE_RANGE speaks of a key that is already there.
    """
    length = number(attributes, CKA_VALUE_LEN) if keys.tells_length else min(keys.lengths)
    _check_length(keys, length)
    value = os.urandom(length)
    if keys.shape is not None:
        value = keys.shape(value)
    return {CKA_VALUE: value, **_computed(keys, attributes, value)}


def _restore(keys: SecretKeys, octets: bytes) -> Computed:
    """What is in unwrapped octets.

    :raises CryptokiError: CKR_WRAPPED_KEY_INVALID for what is no key of this type.
    """
    if _is_misshapen(keys, octets):
        raise CryptokiError(CKR_WRAPPED_KEY_INVALID, "the parity bits are wrong")
    return restore_secret(octets)


def _is_misshapen(keys: SecretKeys, value: bytes) -> bool:
    return keys.shape is not None and keys.shape(value) != value


def _check_length(keys: SecretKeys, length: int) -> None:
    if length not in keys.lengths:
        raise CryptokiError(CKR_ATTRIBUTE_VALUE_INVALID, f"no key of the type has {length} octets")
