"""What each AES mechanism refuses, wraps and gives as the last part."""

from __future__ import annotations

from typing import Any

import pytest
from abi.client import NULL, Client, encode, ffi, gcm, mechanism, number, octets, refused, struct
from abi.key_helpers import aes_template, secret
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding

from pypkcs11.standard import constants as c

IV = bytes(range(16))
VALUE = bytes(range(64))
USES = dict.fromkeys(
    ("ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP"),
    True,
)


def aes(p11: Client, session: int, size: int = 32) -> int:
    return secret(p11, session, VALUE[:size], **USES)


def xts(p11: Client, session: int) -> int:
    return secret(p11, session, VALUE, c.CKK_AES_XTS, **USES)


def counter() -> Any:
    return struct("CK_AES_CTR_PARAMS", ulCounterBits=64, cb=[0] * 16)


def ccm(length: int, nonce: bytes = IV[:12], aad: bytes = b"", tag: int = 16) -> Any:
    return struct(
        "CK_CCM_PARAMS",
        ulDataLen=length,
        pNonce=nonce,
        ulNonceLen=len(nonce),
        pAAD=aad or NULL,
        ulAADLen=len(aad),
        ulMACLen=tag,
    )


@pytest.mark.parametrize(
    ("kind", "parameter"),
    [
        *(
            (kind, parameter)
            for kind in (c.CKM_AES_OFB, c.CKM_AES_CFB8, c.CKM_AES_CFB128, c.CKM_AES_CTS)
            for parameter in (None, IV[:8], IV + IV)
        ),
        (c.CKM_AES_CCM, None),
        (c.CKM_AES_CCM, IV),
        (c.CKM_AES_CCM, ccm(5, nonce=IV[:6])),
        (c.CKM_AES_CCM, ccm(5, nonce=IV[:14])),
        (c.CKM_AES_CCM, ccm(1 << 16, nonce=IV[:13])),
        (c.CKM_AES_CCM, ccm(1 << 40)),
        *((c.CKM_AES_CCM, ccm(5, tag=tag)) for tag in (0, 2, 5, 18, 1 << 40)),
        (c.CKM_AES_KEY_WRAP, IV[:8]),
        (c.CKM_AES_KEY_WRAP_KWP, IV[:4]),
    ],
)
def test_wrong_parameters_of_ciphers(kind: int, parameter: Any, p11: Client, session: int) -> None:
    key, mech = aes(p11, session), mechanism(kind, parameter)
    assert p11.C_EncryptInit(session, mech, key) == c.CKR_MECHANISM_PARAM_INVALID
    assert p11.C_DecryptInit(session, mech, key) == c.CKR_MECHANISM_PARAM_INVALID


@pytest.mark.parametrize(
    ("kind", "parameter"),
    [
        (c.CKM_AES_MAC, IV),
        (c.CKM_AES_MAC_GENERAL, None),
        (c.CKM_AES_MAC_GENERAL, encode(0)),
        (c.CKM_AES_MAC_GENERAL, encode(17)),
        (c.CKM_AES_XCBC_MAC, IV),
        (c.CKM_AES_GMAC, None),
        (c.CKM_AES_GMAC, IV),
        (c.CKM_AES_GMAC, gcm(b"")),
        (c.CKM_AES_GMAC, gcm(IV, tag_bits=40)),
        (c.CKM_AES_GMAC, gcm(IV, aad=b"what is signed is the data")),
    ],
)
def test_wrong_parameters_of_macs(kind: int, parameter: Any, p11: Client, session: int) -> None:
    key, mech = aes(p11, session, 16), mechanism(kind, parameter)
    assert p11.C_SignInit(session, mech, key) == c.CKR_MECHANISM_PARAM_INVALID
    assert p11.C_VerifyInit(session, mech, key) == c.CKR_MECHANISM_PARAM_INVALID


def test_gmac_takes_an_iv_alone_as_version_2_40_had_it(p11: Client, session: int) -> None:
    key = aes(p11, session)
    mac = p11.sign(session, mechanism(c.CKM_AES_GMAC, gcm(IV[:12])), key, b"message")
    assert len(mac) == 16
    assert p11.sign(session, mechanism(c.CKM_AES_GMAC, IV[:12]), key, b"message") == mac


def test_keys_of_other_types_and_sizes(p11: Client, session: int) -> None:
    wrong = c.CKR_KEY_TYPE_INCONSISTENT
    assert p11.C_EncryptInit(session, mechanism(c.CKM_AES_XTS, IV), aes(p11, session)) == wrong
    assert p11.C_EncryptInit(session, mechanism(c.CKM_AES_CBC, IV), xts(p11, session)) == wrong
    long = p11.C_SignInit(session, mechanism(c.CKM_AES_XCBC_MAC), aes(p11, session, 32))
    assert long == c.CKR_KEY_SIZE_RANGE


def test_xts_keys(p11: Client, session: int) -> None:
    generate = mechanism(c.CKM_AES_XTS_KEY_GEN)
    for length in (32, 64):
        template = {c.CKA_VALUE_LEN: length, c.CKA_SENSITIVE: False, c.CKA_EXTRACTABLE: True}
        key = p11.generate(session, generate, template)
        assert number(p11.get(session, key, c.CKA_KEY_TYPE)) == c.CKK_AES_XTS
        assert len(p11.get(session, key, c.CKA_VALUE)) == length
        assert len(p11.get(session, key, c.CKA_CHECK_VALUE)) == 3
    for length in (16, 24, 48, 128):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.generate(session, generate, {c.CKA_VALUE_LEN: length})
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            secret(p11, session, bytes(range(length)), c.CKK_AES_XTS)
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.generate(session, generate, {})
    with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
        secret(p11, session, VALUE[:16] * 2, c.CKK_AES_XTS)


@pytest.mark.parametrize("kind", [c.CKM_AES_CTS, c.CKM_AES_XTS])
def test_less_than_a_block_cannot_steal(kind: int, p11: Client, session: int) -> None:
    key = xts(p11, session) if kind == c.CKM_AES_XTS else aes(p11, session)
    mech = mechanism(kind, IV)
    for parts in ((b"",), (VALUE[:15],), (VALUE[:8], VALUE[:7])):
        with refused(c.CKR_DATA_LEN_RANGE):
            p11.encrypt(session, mech, key, *parts)
        with refused(c.CKR_ENCRYPTED_DATA_LEN_RANGE):
            p11.decrypt(session, mech, key, *parts)


def test_a_data_unit_has_an_end(p11: Client, session: int) -> None:
    """2^20 blocks, by SP 800-38E, in one part and in many."""
    key, mech = xts(p11, session), mechanism(c.CKM_AES_XTS, IV)
    longest = bytes(1 << 24)
    assert len(p11.encrypt(session, mech, key, longest)) == len(longest)
    with refused(c.CKR_DATA_LEN_RANGE):
        p11.encrypt(session, mech, key, longest + b"1")
    with refused(c.CKR_DATA_LEN_RANGE):
        p11.encrypt(session, mech, key, longest, b"1")


def test_ccm_holds_the_caller_to_the_length(p11: Client, session: int) -> None:
    key, mech = aes(p11, session), mechanism(c.CKM_AES_CCM, ccm(20, aad=b"aad"))
    sealed = AESCCM(VALUE[:32]).encrypt(IV[:12], VALUE[:20], b"aad")
    assert p11.encrypt(session, mech, key, VALUE[:20]) == sealed
    for parts in ((VALUE[:19],), (VALUE[:21],), (VALUE[:10], VALUE[:9]), (VALUE[:10], VALUE[:11])):
        with refused(c.CKR_DATA_LEN_RANGE):
            p11.encrypt(session, mech, key, *parts)
        with refused(c.CKR_ENCRYPTED_DATA_LEN_RANGE):
            p11.decrypt(session, mech, key, *(part + VALUE[:8] for part in parts))


def test_ccm_releases_nothing_unverified(p11: Client, session: int) -> None:
    key, mech = aes(p11, session), mechanism(c.CKM_AES_CCM, ccm(40))
    forged = bytearray(AESCCM(VALUE[:32]).encrypt(IV[:12], VALUE[:40], b""))
    forged[0] ^= 1
    whole = octets(bytes(forged))
    out, length = octets(b"\xa5" * 64), ffi.new("CK_ULONG *", 64)
    p11.do("C_DecryptInit", session, mech, key)
    rv = p11.C_Decrypt(session, whole, len(forged), out, length)
    assert rv == c.CKR_ENCRYPTED_DATA_INVALID
    p11.do("C_DecryptInit", session, mech, key)
    for at in range(0, len(forged), 8):
        assert p11.output("C_DecryptUpdate", session, octets(bytes(forged[at : at + 8])), 8) == b""
    length[0] = 64
    assert p11.C_DecryptFinal(session, out, length) == c.CKR_ENCRYPTED_DATA_INVALID
    assert bytes(ffi.buffer(out)) == b"\xa5" * 64


@pytest.mark.parametrize("tag_bits", [128, 96, 32])
def test_gcm_in_parts_releases_nothing_unverified(tag_bits: int, p11: Client, session: int) -> None:
    key, mech = aes(p11, session), mechanism(c.CKM_AES_GCM, gcm(IV[:12], tag_bits=tag_bits))
    forged = bytearray(p11.encrypt(session, mech, key, VALUE))
    forged[-1] ^= 1
    out, length = octets(b"\xa5" * 64), ffi.new("CK_ULONG *", 64)
    p11.do("C_DecryptInit", session, mech, key)
    p11.output("C_DecryptUpdate", session, octets(bytes(forged)), len(forged))
    length[0] = 63
    assert p11.C_DecryptFinal(session, out, length) == c.CKR_BUFFER_TOO_SMALL
    assert length[0] == 64
    assert p11.C_DecryptFinal(session, out, length) == c.CKR_ENCRYPTED_DATA_INVALID
    assert bytes(ffi.buffer(out)) == b"\xa5" * 64
    assert p11.C_DecryptFinal(session, out, length) == c.CKR_OPERATION_NOT_INITIALIZED


@pytest.mark.parametrize(
    ("kind", "data", "sealed"),
    [
        (c.CKM_AES_KEY_WRAP, VALUE[:40], aes_key_wrap(VALUE[:32], VALUE[:40])),
        (c.CKM_AES_KEY_WRAP_KWP, VALUE[:13], aes_key_wrap_with_padding(VALUE[:32], VALUE[:13])),
        (
            c.CKM_AES_KEY_WRAP_PKCS7,
            VALUE[:13],
            aes_key_wrap(VALUE[:32], VALUE[:13] + b"\3\3\3"),
        ),
    ],
)
def test_key_wrap_encrypts_in_one_part(
    kind: int, data: bytes, sealed: bytes, p11: Client, session: int
) -> None:
    key, mech = aes(p11, session), mechanism(kind)
    assert p11.encrypt(session, mech, key, data) == sealed
    assert p11.decrypt(session, mech, key, sealed) == data
    p11.do("C_DecryptInit", session, mech, key)
    exactly = p11.output("C_Decrypt", session, octets(sealed), len(sealed), size=len(data))
    assert exactly == data
    for wrong, rv in (
        (sealed[:-1], c.CKR_ENCRYPTED_DATA_LEN_RANGE),
        (sealed[:8], c.CKR_ENCRYPTED_DATA_LEN_RANGE),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), c.CKR_ENCRYPTED_DATA_INVALID),
    ):
        with refused(rv):
            p11.decrypt(session, mech, key, wrong)
    with refused(c.CKR_OPERATION_NOT_INITIALIZED):
        p11.encrypt(session, mech, key, data, data)


def test_what_key_wrap_cannot_encrypt(p11: Client, session: int) -> None:
    key = aes(p11, session)
    for kind, data in (
        (c.CKM_AES_KEY_WRAP, VALUE[:8]),
        (c.CKM_AES_KEY_WRAP, VALUE[:17]),
        (c.CKM_AES_KEY_WRAP_KWP, b""),
        (c.CKM_AES_KEY_WRAP_PKCS7, VALUE[:7]),
    ):
        with refused(c.CKR_DATA_LEN_RANGE):
            p11.encrypt(session, mechanism(kind), key, data)


WRAPPING = {
    "CTR": (c.CKM_AES_CTR, counter()),
    "CTS": (c.CKM_AES_CTS, IV),
    "OFB": (c.CKM_AES_OFB, IV),
    "CFB8": (c.CKM_AES_CFB8, IV),
    "CFB128": (c.CKM_AES_CFB128, IV),
    "XTS": (c.CKM_AES_XTS, IV),
    # For wrapping, the length in the parameter is no matter.
    "CCM": (c.CKM_AES_CCM, ccm(0)),
}


@pytest.mark.parametrize("name", WRAPPING)
def test_what_encrypts_wraps(name: str, p11: Client, session: int) -> None:
    kind, parameter = WRAPPING[name]
    by = xts(p11, session) if name == "XTS" else aes(p11, session)
    mech = mechanism(kind, parameter)
    for length in (16, 24, 32):
        value = VALUE[-length:]
        wrapped = p11.wrap(session, mech, by, secret(p11, session, value))
        same = mechanism(kind, ccm(length)) if name == "CCM" else mech
        assert wrapped == p11.encrypt(session, same, by, value)
        template = aes_template(SENSITIVE=False, EXTRACTABLE=True)
        again = p11.unwrap(session, mech, by, wrapped, template)
        assert p11.get(session, again, c.CKA_VALUE) == value
    if name == "CCM":
        with refused(c.CKR_WRAPPED_KEY_INVALID):
            p11.unwrap(session, mech, by, bytes(40), aes_template())
        with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
            p11.unwrap(session, mech, by, bytes(15), aes_template())
    if name in ("CTS", "XTS"):
        short = secret(p11, session, VALUE[:15], c.CKK_GENERIC_SECRET)
        with refused(c.CKR_KEY_SIZE_RANGE):
            p11.wrap(session, mech, by, short)


def test_an_xts_key_is_wrapped_and_comes_back(p11: Client, session: int) -> None:
    by, mech = aes(p11, session), mechanism(c.CKM_AES_KEY_WRAP)
    template = {**aes_template(SENSITIVE=False), c.CKA_KEY_TYPE: c.CKK_AES_XTS}
    wrapped = p11.wrap(session, mech, by, xts(p11, session))
    again = p11.unwrap(session, mech, by, wrapped, template)
    assert p11.get(session, again, c.CKA_VALUE) == VALUE


@pytest.mark.parametrize("kind", [c.CKM_AES_MAC, c.CKM_AES_XCBC_MAC])
def test_a_mac_goes_on_from_a_saved_state(kind: int, p11: Client, session: int) -> None:
    key, mech = aes(p11, session, 16), mechanism(kind)
    expected = p11.sign(session, mech, key, VALUE)
    p11.do("C_SignInit", session, mech, key)
    p11.do("C_SignUpdate", session, octets(VALUE), 37)
    state = p11.output("C_GetOperationState", session)
    p11.do("C_SignUpdate", session, octets(VALUE), 10)
    p11.do("C_SetOperationState", session, octets(state), len(state), 0, key)
    p11.do("C_SignUpdate", session, octets(VALUE[37:]), len(VALUE) - 37)
    assert p11.output("C_SignFinal", session) == expected


def test_the_state_of_gmac_cannot_be_saved(p11: Client, session: int) -> None:
    p11.do("C_SignInit", session, mechanism(c.CKM_AES_GMAC, gcm(IV[:12])), aes(p11, session))
    length = ffi.new("CK_ULONG *")
    assert p11.C_GetOperationState(session, NULL, length) == c.CKR_STATE_UNSAVEABLE


def test_macs_that_are_wrong(p11: Client, session: int) -> None:
    key = aes(p11, session, 16)
    for mech in (
        mechanism(c.CKM_AES_MAC),
        mechanism(c.CKM_AES_XCBC_MAC_96),
        mechanism(c.CKM_AES_GMAC, gcm(IV[:12])),
    ):
        mac = p11.sign(session, mech, key, VALUE)
        with refused(c.CKR_SIGNATURE_INVALID):
            p11.verify(session, mech, key, bytes([mac[0] ^ 1]) + mac[1:], VALUE)
        with refused(c.CKR_SIGNATURE_LEN_RANGE):
            p11.verify(session, mech, key, mac[:-1], VALUE)
