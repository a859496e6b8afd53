"""However a message is cut into parts, the result is that of one part.

A mechanism is a row of :data:`CIPHERS` or :data:`MACS`; every one with secret keys that takes parts
must have its row, if its keys are of AES or HMAC.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from abi.client import Client, encode, ffi, gcm, mechanism, octets, struct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypkcs11.mechanisms.des import with_parity
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as c

IV = bytes(range(100, 116))
#: Of odd parity, as DES keys are.
VALUE = with_parity(bytes(range(64)))
USES = (c.CKA_ENCRYPT, c.CKA_DECRYPT, c.CKA_SIGN, c.CKA_VERIFY)


class Row(NamedTuple):
    """A mechanism, how its parameter is made of the message's length, and its key.

    :param lengths: of messages: the least, and of what they are multiples.
    """

    mechanism: int
    parameter: Callable[[int], Any] = lambda length: None
    key_type: int = c.CKK_AES
    octets: int = 32
    lengths: tuple[int, int] = (0, 1)


def iv(length: int) -> bytes:
    return IV


def short_iv(length: int) -> bytes:
    return IV[:8]


def counter(length: int) -> Any:
    return struct("CK_AES_CTR_PARAMS", ulCounterBits=64, cb=[*IV[:8], *bytes(8)])


def gcm_parameter(length: int) -> Any:
    return gcm(IV[:12], b"header", 96)


def gmac(length: int) -> Any:
    return gcm(IV[:12])


def ccm(length: int) -> Any:
    return struct(
        "CK_CCM_PARAMS",
        ulDataLen=length,
        pNonce=IV[:11],
        ulNonceLen=11,
        pAAD=b"header",
        ulAADLen=6,
        ulMACLen=10,
    )


def mac_length(length: int) -> Any:
    return encode(7)


CIPHERS = (
    Row(c.CKM_AES_ECB, lengths=(0, 16)),
    Row(c.CKM_AES_CBC, iv, lengths=(0, 16)),
    Row(c.CKM_AES_CBC_PAD, iv),
    Row(c.CKM_AES_CTR, counter),
    Row(c.CKM_AES_CTS, iv, lengths=(16, 1)),
    Row(c.CKM_AES_OFB, iv),
    Row(c.CKM_AES_CFB8, iv),
    Row(c.CKM_AES_CFB128, iv),
    Row(c.CKM_AES_GCM, gcm_parameter),
    Row(c.CKM_AES_CCM, ccm),
    Row(c.CKM_AES_XTS, iv, c.CKK_AES_XTS, 64, lengths=(16, 1)),
    Row(c.CKM_DES3_ECB, key_type=c.CKK_DES3, octets=24, lengths=(0, 8)),
    Row(c.CKM_DES3_CBC, short_iv, c.CKK_DES3, 24, lengths=(0, 8)),
    Row(c.CKM_DES3_CBC_PAD, short_iv, c.CKK_DES3, 24),
    Row(c.CKM_DES_OFB64, short_iv, c.CKK_DES3, 24),
    Row(c.CKM_DES_CFB64, short_iv, c.CKK_DES3, 24),
    Row(c.CKM_DES_CFB8, short_iv, c.CKK_DES3, 24),
)

HASHES = ["MD5", "SHA_1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA512_224", "SHA512_256"]
HASHES += ["SHA3_224", "SHA3_256", "SHA3_384", "SHA3_512"]

MACS = (
    Row(c.CKM_AES_CMAC),
    Row(c.CKM_AES_CMAC_GENERAL, mac_length),
    Row(c.CKM_AES_GMAC, gmac),
    Row(c.CKM_AES_MAC),
    Row(c.CKM_AES_MAC_GENERAL, mac_length),
    Row(c.CKM_AES_XCBC_MAC, octets=16),
    Row(c.CKM_AES_XCBC_MAC_96, octets=16),
    Row(c.CKM_DES3_CMAC, key_type=c.CKK_DES3, octets=24),
    Row(c.CKM_DES3_MAC, key_type=c.CKK_DES3, octets=24),
    Row(c.CKM_BLAKE2B_512_HMAC, key_type=c.CKK_BLAKE2B_512_HMAC),
    Row(c.CKM_BLAKE2B_512_HMAC_GENERAL, mac_length, c.CKK_BLAKE2B_512_HMAC),
    *(
        Row(getattr(c, f"CKM_{name}_HMAC{kind}"), parameter, c.CKK_GENERIC_SECRET)
        for name in HASHES
        for kind, parameter in (("", lambda length: None), ("_GENERAL", mac_length))
    ),
)

#: What takes its data in one part only, by the standard.
ONE_PART = {
    c.CKM_AES_KEY_WRAP,
    c.CKM_AES_KEY_WRAP_PAD,
    c.CKM_AES_KEY_WRAP_KWP,
    c.CKM_AES_KEY_WRAP_PKCS7,
}

_NAMES = {value: name for name, value in vars(c).items() if name.startswith("CKM_")}


def name(row: Row) -> str:
    return _NAMES[row.mechanism]


def key_of(p11: Client, session: int, row: Row) -> int:
    template = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: row.key_type}
    value = {c.CKA_VALUE: VALUE[: row.octets]}
    return p11.create(session, template | value | dict.fromkeys(USES, True))


@st.composite
def cut(draw: st.DrawFn, row: Row) -> tuple[bytes, list[int]]:
    """A message of a length that the mechanism takes, and where it is cut."""
    least, multiple = row.lengths
    blocks = draw(st.integers(0, 150 // multiple))
    length = least + blocks * multiple
    message = draw(st.binary(min_size=length, max_size=length))
    return message, draw(st.lists(st.integers(0, length), max_size=5))


def parts_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(place, len(data)) for place in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def in_place(p11: Client, way: str, session: int, mech: Any, key: int, parts: list[bytes]) -> bytes:
    """Each part written over by what comes out of it."""
    p11.do(f"C_{way}Init", session, mech, key)
    result = b""
    length = ffi.new("CK_ULONG *")
    for part in parts:
        memory = octets(part + bytes(64))
        length[0] = len(part) + 64
        p11.do(f"C_{way}Update", session, memory, len(part), memory, length)
        result += bytes(ffi.buffer(memory, length[0]))
    return result + p11.output(f"C_{way}Final", session)


several = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("row", CIPHERS, ids=name)
def test_ciphers(row: Row, p11: Client, session: int) -> None:
    key = key_of(p11, session, row)

    @several
    @given(cut(row))
    def check(given_: tuple[bytes, list[int]]) -> None:
        message, cuts = given_
        mech = mechanism(row.mechanism, row.parameter(len(message)))
        sealed = p11.encrypt(session, mech, key, message)
        assert p11.decrypt(session, mech, key, sealed) == message
        for way, source, target in (("Encrypt", message, sealed), ("Decrypt", sealed, message)):
            parts = parts_of(source, cuts)
            # An empty part more, so that one part is given as a part, too.
            assert getattr(p11, way.lower())(session, mech, key, b"", *parts) == target
            assert in_place(p11, way, session, mech, key, parts) == target

    check()


@pytest.mark.parametrize("row", MACS, ids=name)
def test_macs(row: Row, p11: Client, session: int) -> None:
    key = key_of(p11, session, row)

    @several
    @given(cut(row))
    def check(given_: tuple[bytes, list[int]]) -> None:
        message, cuts = given_
        mech = mechanism(row.mechanism, row.parameter(len(message)))
        mac = p11.sign(session, mech, key, message)
        p11.verify(session, mech, key, mac, message)
        parts = parts_of(message, cuts)
        assert p11.sign(session, mech, key, b"", *parts) == mac
        p11.verify(session, mech, key, mac, b"", *parts)

    check()


@pytest.mark.parametrize("row", CIPHERS, ids=name)
@pytest.mark.parametrize("first", [1, 16, 31, 65_537])
def test_long_parts_in_place(row: Row, first: int, p11: Client, session: int) -> None:
    key = key_of(p11, session, row)
    message = (VALUE * 4096)[: 200_016 - 200_016 % row.lengths[1]]
    mech = mechanism(row.mechanism, row.parameter(len(message)))
    sealed = p11.encrypt(session, mech, key, message)
    for way, source, target in (("Encrypt", message, sealed), ("Decrypt", sealed, message)):
        assert in_place(p11, way, session, mech, key, parts_of(source, [first, 150_000])) == target


def test_every_mechanism_has_its_row(p11: Client, session: int) -> None:
    secret_keys = {
        row.type
        for row in mechanisms().values()
        if (row.encrypt or row.sign) and set(row.key_types) & {c.CKK_AES, c.CKK_AES_XTS}
    } | {row.type for row in mechanisms().values() if row.sign and "HMAC" in _NAMES[row.type]}
    assert secret_keys - ONE_PART <= {row.mechanism for row in (*CIPHERS, *MACS)}
