"""Mechanism parameters out of C: one reader for each class in ``mechanisms.parameters``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from _pypkcs11 import ffi

from pypkcs11.abi.cdata import CData
from pypkcs11.mechanisms.parameters import (
    AesCtr,
    CbcEncryptData,
    Ecdh,
    Eddsa,
    FirstBit,
    Gcm,
    Hkdf,
    KeyHandle,
    MacGeneral,
    Octets,
    RsaAesWrap,
    RsaOaep,
    RsaPss,
    StringData,
)
from pypkcs11.mechanisms.registry import Mechanism
from pypkcs11.standard.constants import (
    CKF_HKDF_SALT_DATA,
    CKF_HKDF_SALT_NULL,
    CKR_MECHANISM_PARAM_INVALID,
    CKZ_DATA_SPECIFIED,
)
from pypkcs11.standard.errors import CryptokiError

#: Longer than any parameter a mechanism can mean.
_MOST: Final = 1 << 20


def read(mechanism: CData, row: Mechanism) -> Any:
    """The parameter of a CK_MECHANISM, as the class that the mechanism's row names.

    :return: None for a mechanism that takes none, or whose parameter may be left out and is.
    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    length = mechanism.ulParameterLen
    if row.parameter is None or (row.parameter_optional and not length):
        if length:
            raise invalid("the mechanism takes no parameter")
        return None
    pointer = mechanism.pParameter
    if length > _MOST or not pointer:
        raise invalid("the parameter is missing or too long")
    return _READERS[row.parameter](pointer, length)


def invalid(why: str) -> CryptokiError:
    """:return: the exception for a parameter that cannot be meant."""
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, why)


def _structure(name: str) -> Callable[[CData, int], Any]:
    """A reader of one C structure, whose length must be exact."""
    pointer_type, size = ffi.typeof(f"{name} *"), ffi.sizeof(name)

    def view(pointer: CData, length: int) -> Any:
        if length != size:
            raise invalid(f"not a {name}")
        return ffi.cast(pointer_type, pointer)

    return view


def _bytes(pointer: CData, length: int) -> bytes:
    """Octets that a structure points to."""
    if length > _MOST or (length and not pointer):
        raise invalid("octets that are nowhere, or too many")
    return bytes(ffi.buffer(pointer, length)) if length else b""


_aes_ctr = _structure("CK_AES_CTR_PARAMS")
_eddsa = _structure("CK_EDDSA_PARAMS")
_gcm = _structure("CK_GCM_PARAMS")
_mac_general = _structure("CK_MAC_GENERAL_PARAMS")
_pss = _structure("CK_RSA_PKCS_PSS_PARAMS")
_oaep = _structure("CK_RSA_PKCS_OAEP_PARAMS")
_rsa_aes_wrap = _structure("CK_RSA_AES_KEY_WRAP_PARAMS")
_ecdh = _structure("CK_ECDH1_DERIVE_PARAMS")
_string_data = _structure("CK_KEY_DERIVATION_STRING_DATA")
_cbc_encrypt_data = _structure("CK_AES_CBC_ENCRYPT_DATA_PARAMS")
_key_handle = _structure("CK_OBJECT_HANDLE")
_first_bit = _structure("CK_EXTRACT_PARAMS")
_hkdf = _structure("CK_HKDF_PARAMS")


def _read_octets(pointer: CData, length: int) -> Octets:
    return Octets(_bytes(pointer, length))


def _read_mac_general(pointer: CData, length: int) -> MacGeneral:
    return MacGeneral(_mac_general(pointer, length)[0])


def _read_eddsa(pointer: CData, length: int) -> Eddsa:
    c = _eddsa(pointer, length)
    return Eddsa(bool(c.phFlag), _bytes(c.pContextData, c.ulContextDataLen))


def _read_aes_ctr(pointer: CData, length: int) -> AesCtr:
    c = _aes_ctr(pointer, length)
    return AesCtr(c.ulCounterBits, bytes(ffi.buffer(c.cb)))


def _read_gcm(pointer: CData, length: int) -> Gcm:
    c = _gcm(pointer, length)
    return Gcm(_bytes(c.pIv, c.ulIvLen), _bytes(c.pAAD, c.ulAADLen), c.ulTagBits)


def _read_pss(pointer: CData, length: int) -> RsaPss:
    c = _pss(pointer, length)
    return RsaPss(c.hashAlg, c.mgf, c.sLen)


def _read_oaep(pointer: CData, length: int) -> RsaOaep:
    c = _oaep(pointer, length)
    # OpenSC and others leave the source 0 when there is no label.
    if c.source != CKZ_DATA_SPECIFIED and (c.source or c.ulSourceDataLen):
        raise invalid("the label's source is not CKZ_DATA_SPECIFIED")
    return RsaOaep(c.hashAlg, c.mgf, _bytes(c.pSourceData, c.ulSourceDataLen))


def _read_rsa_aes_wrap(pointer: CData, length: int) -> RsaAesWrap:
    c = _rsa_aes_wrap(pointer, length)
    if not c.pOAEPParams:
        raise invalid("no CK_RSA_PKCS_OAEP_PARAMS")
    return RsaAesWrap(c.ulAESKeyBits, _read_oaep(c.pOAEPParams, ffi.sizeof(c.pOAEPParams[0])))


def _read_ecdh(pointer: CData, length: int) -> Ecdh:
    c = _ecdh(pointer, length)
    shared = _bytes(c.pSharedData, c.ulSharedDataLen)
    return Ecdh(c.kdf, shared, _bytes(c.pPublicData, c.ulPublicDataLen))


def _read_string_data(pointer: CData, length: int) -> StringData:
    c = _string_data(pointer, length)
    return StringData(_bytes(c.pData, c.ulLen))


def _read_cbc_encrypt_data(pointer: CData, length: int) -> CbcEncryptData:
    c = _cbc_encrypt_data(pointer, length)
    return CbcEncryptData(bytes(ffi.buffer(c.iv)), _bytes(c.pData, c.length))


def _read_key_handle(pointer: CData, length: int) -> KeyHandle:
    return KeyHandle(_key_handle(pointer, length)[0])


def _read_first_bit(pointer: CData, length: int) -> FirstBit:
    return FirstBit(_first_bit(pointer, length)[0])


def _read_hkdf(pointer: CData, length: int) -> Hkdf:
    c = _hkdf(pointer, length)
    # What a step does not need may be anything.
    salt = c.bExtract and c.ulSaltType == CKF_HKDF_SALT_DATA
    return Hkdf(
        bool(c.bExtract),
        bool(c.bExpand),
        c.prfHashMechanism,
        c.ulSaltType if c.bExtract else CKF_HKDF_SALT_NULL,
        _bytes(c.pSalt, c.ulSaltLen) if salt else b"",
        c.hSaltKey,
        _bytes(c.pInfo, c.ulInfoLen) if c.bExpand else b"",
    )


_READERS: Final[dict[type, Callable[[CData, int], Any]]] = {
    Octets: _read_octets,
    MacGeneral: _read_mac_general,
    Eddsa: _read_eddsa,
    AesCtr: _read_aes_ctr,
    Gcm: _read_gcm,
    RsaPss: _read_pss,
    RsaOaep: _read_oaep,
    RsaAesWrap: _read_rsa_aes_wrap,
    Ecdh: _read_ecdh,
    StringData: _read_string_data,
    CbcEncryptData: _read_cbc_encrypt_data,
    KeyHandle: _read_key_handle,
    FirstBit: _read_first_bit,
    Hkdf: _read_hkdf,
}
