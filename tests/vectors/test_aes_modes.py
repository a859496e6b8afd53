"""AES in OFB, CFB, XTS, CCM, CTS, and its MACs, against NIST's, the RFCs' and OpenSSL's answers."""

from __future__ import annotations

import os
import subprocess

import pytest
from unit.mechanisms.keys import (
    MECHANISMS,
    decrypt,
    encrypt,
    fails,
    in_parts,
    made,
    secret,
    sign,
    verify,
)
from vectors import readers
from vectors.readers import Case, cases

from pypkcs11.mechanisms.parameters import Ccm, Gmac, MacGeneral
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard import constants as c

SIZES = (128, 192, 256)
ZEROS = bytes(16)


def aes(value: bytes) -> Key:
    return secret(c.CKK_AES, value)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["GFSbox", "KeySbox", "VarTxt", "MMT"])
@pytest.mark.parametrize(
    ("mode", "mechanism"),
    [
        ("OFB/OFB", c.CKM_AES_OFB),
        ("CFB/CFB8", c.CKM_AES_CFB8),
        ("CFB/CFB128", c.CKM_AES_CFB128),
    ],
)
def test_feedback_modes(mode: str, mechanism: int, kind: str, size: int) -> None:
    done = 0
    for case in cases(f"ciphers/AES/{mode}{kind}{size}.rsp", "count"):
        key, iv = aes(bytes.fromhex(case["key"])), bytes.fromhex(case["iv"])
        plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
        assert encrypt(mechanism, key, plain, iv) == sealed
        assert decrypt(mechanism, key, sealed, iv) == plain
        done += 1
    assert done >= 10


@pytest.mark.parametrize("size", [128, 256])
def test_xts(size: int) -> None:
    """Whole octets only: PKCS #11 has no others. In parts, too, of every data unit."""
    done = 0
    row = MECHANISMS[c.CKM_AES_XTS]
    for case in list(cases(f"ciphers/AES/XTS/tweak-128hexstr/XTSGenAES{size}.rsp", "count"))[::5]:
        if int(case["dataunitlen"]) % 8:
            continue
        key = secret(c.CKK_AES_XTS, bytes.fromhex(case["key"]))
        unit = bytes.fromhex(case["i"])
        plain, sealed = bytes.fromhex(case["pt"]), bytes.fromhex(case["ct"])
        assert encrypt(c.CKM_AES_XTS, key, plain, unit) == sealed
        assert decrypt(c.CKM_AES_XTS, key, sealed, unit) == plain
        for cut in range(0, len(plain), 7):
            parts = [plain[:cut], plain[cut:]]
            assert in_parts(made(row, "encrypt", key, unit), parts) == sealed
        done += 1
    assert done > 100


def test_xts_of_a_long_data_unit_in_parts_is_one_data_unit() -> None:
    """OpenSSL takes the whole; here the tweak goes on from part to part."""
    key = secret(c.CKK_AES_XTS, os.urandom(64))
    unit, message = os.urandom(16), os.urandom(1_000_007)
    row = MECHANISMS[c.CKM_AES_XTS]
    sealed = encrypt(c.CKM_AES_XTS, key, message, unit)
    parts = [message[:100_000], message[100_000:100_001], message[100_001:]]
    assert in_parts(made(row, "encrypt", key, unit), parts) == sealed
    pieces = [sealed[:1], sealed[1:600_000], sealed[600_000:]]
    assert in_parts(made(row, "decrypt", key, unit), pieces) == message


def _ccm(case: Case) -> tuple[Key, Ccm, bytes]:
    aad = bytes.fromhex(case["adata"])[: int(case["alen"])]
    nonce = bytes.fromhex(case["nonce"])
    parameter = Ccm(int(case["plen"]), nonce, aad, int(case["tlen"]))
    return aes(bytes.fromhex(case["key"])), parameter, bytes.fromhex(case["ct"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["VADT", "VNT", "VPT", "VTT"])
def test_ccm(kind: str, size: int) -> None:
    done = 0
    for case in list(readers.ccm(f"ciphers/AES/CCM/{kind}{size}.rsp"))[::3]:
        key, parameter, sealed = _ccm(case)
        plain = bytes.fromhex(case["payload"])[: parameter.length]
        assert encrypt(c.CKM_AES_CCM, key, plain, parameter) == sealed
        assert decrypt(c.CKM_AES_CCM, key, sealed, parameter) == plain
        done += 1
    assert done > 20


@pytest.mark.parametrize("size", SIZES)
def test_ccm_forgeries(size: int) -> None:
    seen = {"Pass": 0, "Fail": 0}
    for case in readers.ccm(f"ciphers/AES/CCM/DVPT{size}.rsp"):
        key, parameter, sealed = _ccm(case)
        seen[case["result"]] += 1
        if case["result"] == "Fail":
            fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, c.CKM_AES_CCM, key, sealed, parameter)
        else:
            plain = bytes.fromhex(case["payload"])[: parameter.length]
            assert decrypt(c.CKM_AES_CCM, key, sealed, parameter) == plain
    assert min(seen.values()) > 20


@pytest.mark.parametrize(
    ("length", "sealed"),
    [
        (17, "c6353568f2bf8cb4d8a580362da7ff7f 97"),
        (31, "fc00783e0efdb2c1d445d4c8eff7ed22 97687268d6ecccc0c07b25e25ecfe5"),
        (
            47,
            "97687268d6ecccc0c07b25e25ecfe584 b3fffd940c16a18c1b5549d2f838029e"
            " 39312523a78662d5be7fcbcc98ebf5",
        ),
    ],
)
def test_cts_is_rfc_3962_with_the_last_two_blocks_in_order(length: int, sealed: str) -> None:
    """RFC 3962, appendix B, is the addendum's third variant, which swaps them; ours does not."""
    key, iv = aes(b"chicken teriyaki"), ZEROS
    plain = b"I would like the General Gau's Chicken, please, and wonton soup."[:length]
    *blocks, final, stolen = map(bytes.fromhex, sealed.split())
    expected = b"".join([*blocks, stolen, final])
    assert encrypt(c.CKM_AES_CTS, key, plain, iv) == expected
    assert decrypt(c.CKM_AES_CTS, key, expected, iv) == plain


def openssl(*arguments: str, data: bytes) -> bytes:
    return subprocess.run(
        ["openssl", *arguments], input=data, capture_output=True, check=True
    ).stdout


@pytest.mark.parametrize("length", [16, 17, 31, 32, 33, 48, 1000, 4000])
def test_openssl_agrees_on_cts(length: int) -> None:
    """The command gives its cipher a few KiB at a time, and of CTS can encrypt no more."""
    value, iv, message = os.urandom(32), os.urandom(16), os.urandom(length)
    hexadecimal = ("-K", value.hex(), "-iv", iv.hex())
    theirs = openssl("enc", "-aes-256-cbc-cts", "-nopad", *hexadecimal, data=message)
    assert len(theirs) == length
    assert encrypt(c.CKM_AES_CTS, aes(value), message, iv) == theirs
    assert decrypt(c.CKM_AES_CTS, aes(value), theirs, iv) == message


@pytest.mark.parametrize(
    ("message", "mac"),
    [
        (b"", "75f0251d528ac01c4573dfd584d79f29"),
        (bytes(range(3)), "5b376580ae2f19afe7219ceef172756f"),
        (bytes(range(16)), "d2a246fa349b68a79998a4394ff7a263"),
        (bytes(range(20)), "47f51b4564966215b8985c63055ed308"),
        (bytes(range(32)), "f54f0ec8d2b9f3d36807734bd5283fd4"),
        (bytes(range(34)), "becbb3bccdb518a30677d5481fb6b4d8"),
        (bytes(1000), "f0dafee895db30253761103b5d84528f"),
    ],
)
def test_xcbc_mac(message: bytes, mac: str) -> None:
    """RFC 3566, section 4.6."""
    key, expected = aes(bytes(range(16))), bytes.fromhex(mac)
    for mechanism, length in ((c.CKM_AES_XCBC_MAC, 16), (c.CKM_AES_XCBC_MAC_96, 12)):
        assert sign(mechanism, key, message) == expected[:length]
        verify(mechanism, key, message, expected[:length])


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, 1000, 200_000])
def test_mac_is_the_end_of_cbc(length: int) -> None:
    value, message = os.urandom(24), os.urandom(length)
    filled = message + bytes(-length % 16)
    options = ("-aes-192-cbc", "-nopad", "-K", value.hex(), "-iv", ZEROS.hex())
    last = openssl("enc", *options, data=filled)[-16:]
    assert sign(c.CKM_AES_MAC, aes(value), message) == last[:8]
    for octets in (1, 5, 16):
        parameter = MacGeneral(octets)
        assert sign(c.CKM_AES_MAC_GENERAL, aes(value), message, parameter) == last[:octets]


@pytest.mark.parametrize("size", SIZES)
def test_gmac_of_nist(size: int) -> None:
    done = 0
    for case in cases(f"ciphers/AES/GCM/gcmEncryptExtIV{size}.rsp", "count"):
        tag = bytes.fromhex(case["tag"])
        iv = bytes.fromhex(case["iv"])
        if case["pt"] or not case["aad"] or len(iv) < 8:
            continue
        key, parameter = aes(bytes.fromhex(case["key"])), Gmac(iv, len(tag) * 8)
        assert sign(c.CKM_AES_GMAC, key, bytes.fromhex(case["aad"]), parameter) == tag
        verify(c.CKM_AES_GMAC, key, bytes.fromhex(case["aad"]), tag, parameter)
        done += 1
    assert done > 50


def test_openssl_agrees_on_gmac() -> None:
    value, iv, message = os.urandom(32), os.urandom(12), os.urandom(100_001)
    options = ("cipher:AES-256-GCM", f"hexkey:{value.hex()}", f"hexiv:{iv.hex()}")
    given = [word for option in options for word in ("-macopt", option)]
    theirs = bytes.fromhex(openssl("mac", *given, "-in", "-", "GMAC", data=message).decode())
    assert sign(c.CKM_AES_GMAC, aes(value), message, Gmac(iv, 128)) == theirs
