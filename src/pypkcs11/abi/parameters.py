"""Mechanism parameters out of C: one reader for each class in ``mechanisms.parameters``."""

from __future__ import annotations

from typing import Any, Final

from pypkcs11.abi import kdf_parameters
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.structures import (
    MOST,
    Reader,
    bits,
    copied,
    flag,
    inline,
    invalid,
    nested,
    number,
    octets,
    single,
    structure,
    view,
    whole_octets,
)
from pypkcs11.mechanisms.parameters import (
    AesCtr,
    CbcEncryptData,
    Ccm,
    ChaCha,
    ChaChaPoly,
    DesCbcEncryptData,
    Ecdh,
    EcdhAesWrap,
    Eddsa,
    FirstBit,
    Gcm,
    Gmac,
    HashSignContext,
    Hkdf,
    KeyHandle,
    MacGeneral,
    RsaAesWrap,
    RsaOaep,
    RsaPss,
    SignContext,
    StringData,
    X942Dh,
)
from pypkcs11.mechanisms.registry import Mechanism
from pypkcs11.standard.constants import (
    CKF_HKDF_SALT_DATA,
    CKF_HKDF_SALT_NULL,
    CKZ_DATA_SPECIFIED,
)


def read(mechanism: CData, row: Mechanism) -> Any:
    """The parameter of a CK_MECHANISM, as the class that the mechanism's row names.

    :return: None for a mechanism that takes none, or whose parameter may be left out and is.
    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    length = mechanism.ulParameterLen
    wanted = row.parameter
    if wanted is None:
        if length:
            raise invalid("the mechanism takes no parameter")
        return None
    if not length and row.parameter_optional:
        return None
    pointer = mechanism.pParameter
    if not pointer or length > MOST:
        raise invalid("the parameter is missing or too long")
    return _READERS[wanted](pointer, length)


def _label(source: int, label: bytes) -> bytes:
    # OpenSC and others leave the source 0 when there is no label.
    if source != CKZ_DATA_SPECIFIED and (source or label):
        raise invalid("the label's source is not CKZ_DATA_SPECIFIED")
    return label


_gcm = view("CK_GCM_PARAMS")
#: Makes a named tuple without the call to Python that its own constructor is.
_new_tuple: Final = tuple.__new__


def _read_gcm(pointer: CData, length: int) -> Gcm:
    """Without a row of fields, which takes twice as long: many messages have their own nonce."""
    c = _gcm(pointer, length)
    iv, aad = copied(c.pIv, c.ulIvLen), copied(c.pAAD, c.ulAADLen)
    return _new_tuple(Gcm, (iv, aad, c.ulTagBits))


#: What CKM_AES_GMAC took in version 2.40, before CK_GCM_PARAMS: an IV of 12 octets.
_GMAC_IV = 12


def _read_gmac(pointer: CData, length: int) -> Gmac:
    if length == _GMAC_IV:
        return Gmac(copied(pointer, length), 128)
    iv, aad, tag_bits = _read_gcm(pointer, length)
    if aad:
        raise invalid("what is authenticated is the data of C_Sign, not additional data")
    return Gmac(iv, tag_bits)


_oaep = structure(
    lambda hash, mgf, source, label: RsaOaep(hash, mgf, _label(source, label)),
    "CK_RSA_PKCS_OAEP_PARAMS",
    number("hashAlg"),
    number("mgf"),
    number("source"),
    octets("pSourceData", "ulSourceDataLen"),
)

_hkdf = view("CK_HKDF_PARAMS")


def _read_hkdf(pointer: CData, length: int) -> Hkdf:
    c = _hkdf(pointer, length)
    # What a step does not need may be anything.
    salt = c.bExtract and c.ulSaltType == CKF_HKDF_SALT_DATA
    return Hkdf(
        bool(c.bExtract),
        bool(c.bExpand),
        c.prfHashMechanism,
        c.ulSaltType if c.bExtract else CKF_HKDF_SALT_NULL,
        copied(c.pSalt, c.ulSaltLen) if salt else b"",
        c.hSaltKey,
        copied(c.pInfo, c.ulInfoLen) if c.bExpand else b"",
    )


#: The longest nonce, in octets. The standard counts bits here, and applications octets: no number
#: can be meant both ways.
_LONGEST_NONCE = 24


def nonce(c: CData) -> bytes:
    """The nonce of ChaCha20 with Poly1305, its length in bits or in octets."""
    length = c.ulNonceLen
    return copied(c.pNonce, length if length <= _LONGEST_NONCE else whole_octets(length))


_READERS: Final[dict[type, Reader]] = {
    bytes: copied,
    MacGeneral: single(MacGeneral, "CK_MAC_GENERAL_PARAMS"),
    KeyHandle: single(KeyHandle, "CK_OBJECT_HANDLE"),
    FirstBit: single(FirstBit, "CK_EXTRACT_PARAMS"),
    Eddsa: structure(
        Eddsa, "CK_EDDSA_PARAMS", flag("phFlag"), octets("pContextData", "ulContextDataLen")
    ),
    SignContext: structure(
        SignContext,
        "CK_SIGN_ADDITIONAL_CONTEXT",
        number("hedgeVariant"),
        octets("pContext", "ulContextLen"),
    ),
    HashSignContext: structure(
        HashSignContext,
        "CK_HASH_SIGN_ADDITIONAL_CONTEXT",
        number("hedgeVariant"),
        octets("pContext", "ulContextLen"),
        number("hash"),
    ),
    AesCtr: structure(AesCtr, "CK_AES_CTR_PARAMS", number("ulCounterBits"), inline("cb")),
    Gcm: _read_gcm,
    Gmac: _read_gmac,
    Ccm: structure(
        Ccm,
        "CK_CCM_PARAMS",
        number("ulDataLen"),
        octets("pNonce", "ulNonceLen"),
        octets("pAAD", "ulAADLen"),
        number("ulMACLen"),
    ),
    ChaCha: structure(
        ChaCha,
        "CK_CHACHA20_PARAMS",
        bits("pBlockCounter", "blockCounterBits"),
        bits("pNonce", "ulNonceBits"),
    ),
    ChaChaPoly: structure(
        ChaChaPoly,
        "CK_SALSA20_CHACHA20_POLY1305_PARAMS",
        nonce,
        octets("pAAD", "ulAADLen"),
    ),
    RsaPss: structure(
        RsaPss, "CK_RSA_PKCS_PSS_PARAMS", number("hashAlg"), number("mgf"), number("sLen")
    ),
    RsaOaep: _oaep,
    RsaAesWrap: structure(
        RsaAesWrap,
        "CK_RSA_AES_KEY_WRAP_PARAMS",
        number("ulAESKeyBits"),
        nested("pOAEPParams", _oaep),
    ),
    Ecdh: structure(
        Ecdh,
        "CK_ECDH1_DERIVE_PARAMS",
        number("kdf"),
        octets("pSharedData", "ulSharedDataLen"),
        octets("pPublicData", "ulPublicDataLen"),
    ),
    EcdhAesWrap: structure(
        EcdhAesWrap,
        "CK_ECDH_AES_KEY_WRAP_PARAMS",
        number("ulAESKeyBits"),
        number("kdf"),
        octets("pSharedData", "ulSharedDataLen"),
    ),
    X942Dh: structure(
        X942Dh,
        "CK_X9_42_DH1_DERIVE_PARAMS",
        number("kdf"),
        octets("pOtherInfo", "ulOtherInfoLen"),
        octets("pPublicData", "ulPublicDataLen"),
    ),
    StringData: structure(StringData, "CK_KEY_DERIVATION_STRING_DATA", octets("pData", "ulLen")),
    CbcEncryptData: structure(
        CbcEncryptData, "CK_AES_CBC_ENCRYPT_DATA_PARAMS", inline("iv"), octets("pData", "length")
    ),
    DesCbcEncryptData: structure(
        DesCbcEncryptData,
        "CK_DES_CBC_ENCRYPT_DATA_PARAMS",
        inline("iv"),
        octets("pData", "length"),
    ),
    Hkdf: _read_hkdf,
    **kdf_parameters.READERS,
}
