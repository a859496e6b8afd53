"""Parameters of key derivation out of C: those with arrays in them, or that are written back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from _pypkcs11 import ffi

from pypkcs11.abi import templates
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.structures import (
    MOST,
    Field,
    Reader,
    copied,
    flag,
    invalid,
    number,
    octets,
    single,
    structure,
    view,
)
from pypkcs11.mechanisms.parameters import (
    GiveBack,
    OldTlsKeys,
    OldTlsMaster,
    Pba,
    Pbe,
    Pbkdf2,
    PrfData,
    Sp800FeedbackKdf,
    Sp800Kdf,
    TlsExtendedMaster,
    TlsKdf,
    TlsKeys,
    TlsMac,
    TlsMaster,
    TlsPrf,
    Version,
)
from pypkcs11.standard.constants import (
    CK_SP800_108_BYTE_ARRAY,
    CK_SP800_108_COUNTER,
    CK_SP800_108_DKM_LENGTH,
    CK_SP800_108_ITERATION_VARIABLE,
    CK_SP800_108_KEY_HANDLE,
    CKM_TLS_PRF,
    CKZ_SALT_SPECIFIED,
)

# -- SP 800-108 --------------------------------------------------------------------------------

#: More pieces of data, or keys, than anybody means.
_MOST_ITEMS: Final = 1024

_counter_format: Final = structure(
    lambda *fields: fields,
    "CK_SP800_108_COUNTER_FORMAT",
    flag("bLittleEndian"),
    number("ulWidthInBits"),
)
_length_format: Final = structure(
    lambda *fields: fields,
    "CK_SP800_108_DKM_LENGTH_FORMAT",
    number("dkmLengthMethod"),
    flag("bLittleEndian"),
    number("ulWidthInBits"),
)
_key_handle: Final = single(int, "CK_OBJECT_HANDLE")


def _iteration(pointer: CData, length: int) -> PrfData:
    """A counter in counter mode; elsewhere nothing is said of it."""
    if not length and not pointer:
        return PrfData(CK_SP800_108_ITERATION_VARIABLE)
    return _counter(pointer, length)._replace(type=CK_SP800_108_ITERATION_VARIABLE)


def _counter(pointer: CData, length: int) -> PrfData:
    little_endian, width = _counter_format(pointer, length)
    return PrfData(CK_SP800_108_COUNTER, width=width, little_endian=little_endian)


def _dkm_length(pointer: CData, length: int) -> PrfData:
    method, little_endian, width = _length_format(pointer, length)
    return PrfData(CK_SP800_108_DKM_LENGTH, width=width, little_endian=little_endian, method=method)


_DATA: Final[dict[int, Callable[[CData, int], PrfData]]] = {
    CK_SP800_108_ITERATION_VARIABLE: _iteration,
    CK_SP800_108_COUNTER: _counter,
    CK_SP800_108_DKM_LENGTH: _dkm_length,
    CK_SP800_108_BYTE_ARRAY: lambda pointer, length: PrfData(
        CK_SP800_108_BYTE_ARRAY, data=copied(pointer, length)
    ),
    CK_SP800_108_KEY_HANDLE: lambda pointer, length: PrfData(
        CK_SP800_108_KEY_HANDLE, handle=_key_handle(pointer, length)
    ),
}


def _data(item: CData) -> PrfData:
    read = _DATA.get(item.type)
    pointer, length = item.pValue, item.ulValueLen
    missing = not pointer and (length or item.type != CK_SP800_108_ITERATION_VARIABLE)
    if read is None or missing:
        raise invalid("data for the PRF of no known type, or missing")
    return read(pointer, length)


def _array(pointer: CData, count: int) -> list[CData]:
    """The elements of an array of structures."""
    if count > _MOST_ITEMS or (count and not pointer):
        raise invalid("an array that is nowhere, or too long")
    return [pointer[n] for n in range(count)]


def _sp800(made: type[Sp800Kdf], name: str, iv: Field) -> Reader:
    parameters = view(name)

    def read(pointer: CData, length: int) -> Sp800Kdf:
        c = parameters(pointer, length)
        more = _array(c.pAdditionalDerivedKeys, c.ulAdditionalDerivedKeys)
        if not all(key.phKey for key in more):
            raise invalid("phKey is NULL")

        def give_back(handles: Any, _: Any) -> None:
            for key, handle in zip(more, handles[1:], strict=True):
                key.phKey[0] = handle

        def blame(n: int) -> None:
            if n:
                more[n - 1].phKey[0] = 0

        wanted = []
        for n, key in enumerate(more):
            try:
                wanted.append(templates.read(key.pTemplate, key.ulAttributeCount))
            except Exception:
                blame(n + 1)
                raise
        data = tuple(map(_data, _array(c.pDataParams, c.ulNumberOfDataParams)))
        return made(c.prfType, data, iv(c), tuple(wanted), give_back, blame)

    return read


# -- PBKDF2 ------------------------------------------------------------------------------------

_pbkdf2: Final = view("CK_PKCS5_PBKD2_PARAMS2")

#: Below this no address lies (Linux keeps the first pages free), and no password is as long.
_LEAST_ADDRESS: Final = 1 << 16


def _read_pbkdf2(pointer: CData, length: int) -> Pbkdf2:
    """CK_PKCS5_PBKD2_PARAMS2, or the older structure without the 2.

    They differ in their last field only: the older one points to the password's length. Nothing
    tells them apart but the field itself.
    """
    c = _pbkdf2(pointer, length)
    if c.saltSource != CKZ_SALT_SPECIFIED:
        raise invalid("no such source of salt")
    if c.pPrfData or c.ulPrfDataLen:
        raise invalid("no PRF takes data")
    password_length = c.ulPasswordLen
    if password_length >= _LEAST_ADDRESS:
        if password_length % ffi.alignof("CK_ULONG"):
            raise invalid("the password is too long")
        password_length = ffi.cast("CK_ULONG *", password_length)[0]
    return Pbkdf2(
        copied(c.pSaltSourceData, c.ulSaltSourceDataLen),
        c.iterations,
        c.prf,
        copied(c.pPassword, password_length),
    )


# -- PKCS #12 ----------------------------------------------------------------------------------

#: Octets of the IV that pInitVector points to: a block of DES.
_IV: Final = 8

_pba: Final = structure(
    Pba,
    "CK_PBE_PARAMS",
    octets("pSalt", "ulSaltLen"),
    number("ulIteration"),
    octets("pPassword", "ulPasswordLen"),
)
_pbe: Final = view("CK_PBE_PARAMS")


def _read_pbe(pointer: CData, length: int) -> Pbe:
    out = _pbe(pointer, length).pInitVector
    if not out:
        raise invalid("there is no place for the IV")
    return Pbe(_pba(pointer, length), lambda _, iv: ffi.memmove(out, iv, _IV))


# -- TLS ---------------------------------------------------------------------------------------


_client: Final = octets("RandomInfo.pClientRandom", "RandomInfo.ulClientRandomLen")
_server: Final = octets("RandomInfo.pServerRandom", "RandomInfo.ulServerRandomLen")
_prf: Final = number("prfHashMechanism")
_wants_version: Final = flag("pVersion")


def _old_prf(c: CData) -> int:
    return CKM_TLS_PRF


def _version_to(c: CData) -> GiveBack:
    version = c.pVersion

    def give_back(_: Any, returned: Any) -> None:
        if version:
            version.major, version.minor = returned

    return give_back


def _key_material_to(c: CData) -> GiveBack:
    out = c.pReturnedKeyMaterial
    if not out:
        raise invalid("pReturnedKeyMaterial is NULL")

    def give_back(handles: Any, ivs: Any) -> None:
        out.hClientMacSecret, out.hServerMacSecret, out.hClientKey, out.hServerKey = handles
        for place, iv in zip((out.pIVClient, out.pIVServer), ivs, strict=True):
            if iv:
                ffi.memmove(place, iv, len(iv))

    return give_back


def _room_for_ivs(c: CData) -> bool:
    out = c.pReturnedKeyMaterial
    return bool(out and out.pIVClient and out.pIVServer)


def _key_material(made: Callable[..., Any], name: str, prf: Field) -> Reader:
    return structure(
        made,
        name,
        number("ulMacSizeInBits"),
        number("ulKeySizeInBits"),
        number("ulIVSizeInBits"),
        flag("bIsExport"),
        _client,
        _server,
        prf,
        _room_for_ivs,
        _key_material_to,
    )


def _context(c: CData) -> bytes | None:
    return copied(c.pContextData, c.ulContextDataLength) if c.pContextData else None


_prf_parameters: Final = view("CK_TLS_PRF_PARAMS")


def _read_prf(pointer: CData, length: int) -> TlsPrf:
    c = _prf_parameters(pointer, length)
    out, out_length = c.pOutput, c.pulOutputLen
    if not out or not out_length or out_length[0] > MOST:
        raise invalid("no place for the output, or too much of it")

    def give_back(_: Any, output: Any) -> None:
        ffi.memmove(out, output, len(output))
        out_length[0] = len(output)

    return TlsPrf(
        copied(c.pSeed, c.ulSeedLen), copied(c.pLabel, c.ulLabelLen), out_length[0], give_back
    )


READERS: Final[dict[type, Reader]] = {
    Sp800Kdf: _sp800(Sp800Kdf, "CK_SP800_108_KDF_PARAMS", lambda c: b""),
    Sp800FeedbackKdf: _sp800(
        Sp800FeedbackKdf,
        "CK_SP800_108_FEEDBACK_KDF_PARAMS",
        octets("pIV", "ulIVLen"),
    ),
    Pbkdf2: _read_pbkdf2,
    Pba: _pba,
    Pbe: _read_pbe,
    Version: structure(Version, "CK_VERSION", number("major"), number("minor")),
    TlsMaster: structure(
        TlsMaster,
        "CK_TLS12_MASTER_KEY_DERIVE_PARAMS",
        _prf,
        _client,
        _server,
        _wants_version,
        _version_to,
    ),
    OldTlsMaster: structure(
        OldTlsMaster,
        "CK_SSL3_MASTER_KEY_DERIVE_PARAMS",
        _old_prf,
        _client,
        _server,
        _wants_version,
        _version_to,
    ),
    TlsExtendedMaster: structure(
        TlsExtendedMaster,
        "CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS",
        _prf,
        octets("pSessionHash", "ulSessionHashLen"),
        _wants_version,
        _version_to,
    ),
    TlsKeys: _key_material(TlsKeys, "CK_TLS12_KEY_MAT_PARAMS", _prf),
    OldTlsKeys: _key_material(OldTlsKeys, "CK_SSL3_KEY_MAT_PARAMS", _old_prf),
    TlsKdf: structure(
        TlsKdf,
        "CK_TLS_KDF_PARAMS",
        number("prfMechanism"),
        octets("pLabel", "ulLabelLength"),
        _client,
        _server,
        _context,
    ),
    TlsPrf: _read_prf,
    TlsMac: structure(
        TlsMac,
        "CK_TLS_MAC_PARAMS",
        _prf,
        number("ulMacLength"),
        number("ulServerOrClient"),
    ),
}
