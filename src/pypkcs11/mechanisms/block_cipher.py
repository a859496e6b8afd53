"""A block cipher as a row, and the mechanisms that follow from it.

What the standard says of DES, Camellia or SEED in ECB and CBC is what it says of AES, for blocks of
another length (PKCS #11 v3.2, section 6.13 and the ciphers' own; v2.40, "General block cipher").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pypkcs11.mechanisms import block_macs, block_modes
from pypkcs11.mechanisms.block_contexts import OfKey
from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by, wrap_filled_by
from pypkcs11.mechanisms.parameters import CbcEncryptData, MacGeneral, StringData
from pypkcs11.mechanisms.registry import (
    ALL_KEYS,
    BYTES,
    Key,
    Mechanism,
    ParameterClass,
    Payload,
    PerKey,
)
from pypkcs11.standard.constants import CKR_DATA_LEN_RANGE
from pypkcs11.standard.errors import CryptokiError


class BlockCipher(NamedTuple):
    """A block cipher, and the CKM_ of its mechanisms: 0 for those that it does not have.

    :param contexts: from a key to its contexts.
    :param key_types: the CKK_ of its keys.
    :param block: octets of a block.
    :param sizes: smallest and largest key, in octets.
    :param legacy: as in :class:`~pypkcs11.mechanisms.registry.Mechanism`.
    :param data_parameter: the parameter of ``cbc_encrypt_data``, which has an IV within it.
    """

    contexts: OfKey
    key_types: tuple[int, ...]
    block: int
    sizes: tuple[int, int]
    legacy: bool = False
    ecb: int = 0
    cbc: int = 0
    cbc_pad: int = 0
    mac: int = 0
    mac_general: int = 0
    cmac: int = 0
    cmac_general: int = 0
    ecb_encrypt_data: int = 0
    cbc_encrypt_data: int = 0
    data_parameter: ParameterClass = CbcEncryptData


def mechanisms(cipher: BlockCipher) -> tuple[Mechanism, ...]:
    """The rows of a cipher's mechanisms."""
    blocks, any_key = Payload(unit=cipher.block), Payload(classes=ALL_KEYS)
    modes, macs, row = block_modes, block_macs, partial(_row, cipher)
    rows = (
        row(cipher.ecb, None, **_cipher(cipher, modes.ecb_encrypt, modes.ecb_decrypt, blocks)),
        row(cipher.cbc, bytes, **_cipher(cipher, modes.cbc_encrypt, modes.cbc_decrypt, blocks)),
        row(
            cipher.cbc_pad,
            bytes,
            **_cipher(cipher, modes.cbc_pad_encrypt, modes.cbc_pad_decrypt, any_key),
        ),
        row(cipher.mac, None, **_mac(cipher, macs.mac_sign, macs.mac_verify)),
        row(cipher.mac_general, MacGeneral, **_mac(cipher, macs.mac_sign, macs.mac_verify)),
        row(cipher.cmac, None, **_mac(cipher, macs.cmac_sign, macs.cmac_verify)),
        row(cipher.cmac_general, MacGeneral, **_mac(cipher, macs.cmac_sign, macs.cmac_verify)),
        row(cipher.ecb_encrypt_data, StringData, derive=partial(_ecb_data, cipher.contexts)),
        row(
            cipher.cbc_encrypt_data,
            cipher.data_parameter,
            derive=partial(_cbc_data, cipher.contexts),
        ),
    )
    return tuple(row for row in rows if row.type)


def _row(
    cipher: BlockCipher, mechanism: int, parameter: ParameterClass | None, **functions: Any
) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=cipher.key_types,
        sizes=cipher.sizes,
        unit=BYTES,
        parameter=parameter,
        legacy=cipher.legacy,
        **functions,
    )


def _cipher(
    cipher: BlockCipher,
    encrypting: Callable[[OfKey, Key], block_modes.Maker],
    decrypting: Callable[[OfKey, Key], block_modes.Maker],
    payload: Payload,
) -> dict[str, Any]:
    encrypt = PerKey(partial(encrypting, cipher.contexts))
    decrypt = PerKey(partial(decrypting, cipher.contexts))
    wrap = wrap_by if payload.unit == 1 else partial(wrap_filled_by, payload.unit)
    return {
        "encrypt": encrypt,
        "decrypt": decrypt,
        "wrap": partial(wrap, encrypt),
        "unwrap": partial(unwrap_by, decrypt),
        "payload": payload,
    }


def _mac(
    cipher: BlockCipher, sign: Callable[..., Any], verify: Callable[..., Any]
) -> dict[str, Any]:
    return {"sign": partial(sign, cipher.contexts), "verify": partial(verify, cipher.contexts)}


def _ecb_data(
    contexts: OfKey, key: Key, parameter: StringData, length: int | None, second: Key | None
) -> bytes:
    """A key that is data, encrypted with the base key in ECB mode."""
    return _leading(block_modes.ecb_encrypt(contexts, key)(None).run(parameter.data), length)


def _cbc_data(
    contexts: OfKey, key: Key, parameter: CbcEncryptData, length: int | None, second: Key | None
) -> bytes:
    """The same in CBC mode."""
    cipher = block_modes.cbc_encrypt(contexts, key)(parameter.iv)
    return _leading(cipher.run(parameter.data), length)


def _leading(octets: bytes, length: int | None) -> bytes:
    """:raises CryptokiError: CKR_DATA_LEN_RANGE if the data is too short (section 6.42.4)."""
    if not octets or (length or 0) > len(octets):
        raise CryptokiError(CKR_DATA_LEN_RANGE, "the data is shorter than the key shall be")
    return octets[:length]
