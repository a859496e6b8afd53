"""AES and CMAC against NIST's and the RFCs' answers."""

from __future__ import annotations

import pytest
from unit.mechanisms.keys import decrypt, encrypt, fails, secret, sign, verify
from vectors.readers import cases

from pypkcs11.mechanisms.parameters import AesCtr, Gcm
from pypkcs11.standard import constants as c

SIZES = (128, 192, 256)
#: The GCM files have thousands of cases for a few hundred kinds; one in so many is tried.
STRIDE = 11


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["GFSbox", "KeySbox", "VarTxt", "MMT"])
def test_ecb(kind: str, size: int) -> None:
    for case in cases(f"ciphers/AES/ECB/ECB{kind}{size}.rsp", "count"):
        key = secret(c.CKK_AES, bytes.fromhex(case["key"]))
        plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
        assert encrypt(c.CKM_AES_ECB, key, plain) == sealed
        assert decrypt(c.CKM_AES_ECB, key, sealed) == plain


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["GFSbox", "KeySbox", "VarTxt", "MMT"])
def test_cbc(kind: str, size: int) -> None:
    for case in cases(f"ciphers/AES/CBC/CBC{kind}{size}.rsp", "count"):
        key = secret(c.CKK_AES, bytes.fromhex(case["key"]))
        iv = bytes.fromhex(case["iv"])
        plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
        assert encrypt(c.CKM_AES_CBC, key, plain, iv) == sealed
        assert decrypt(c.CKM_AES_CBC, key, sealed, iv) == plain


@pytest.mark.parametrize("size", SIZES)
def test_ctr(size: int) -> None:
    for case in cases(f"ciphers/AES/CTR/aes-{size}-ctr.txt", "count"):
        key = secret(c.CKK_AES, bytes.fromhex(case["key"]))
        block = bytes.fromhex(case["iv"])
        plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
        for bits in (8, 32, 128):
            assert encrypt(c.CKM_AES_CTR, key, plain, AesCtr(bits, block)) == sealed
            assert decrypt(c.CKM_AES_CTR, key, sealed, AesCtr(bits, block)) == plain


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["gcmDecrypt", "gcmEncryptExtIV"])
def test_gcm(kind: str, size: int) -> None:
    seen = {"good": 0, "bad": 0}
    for case in list(cases(f"ciphers/AES/GCM/{kind}{size}.rsp", "count"))[::STRIDE]:
        key = secret(c.CKK_AES, bytes.fromhex(case["key"]))
        tag = bytes.fromhex(case["tag"])
        parameter = Gcm(bytes.fromhex(case["iv"]), bytes.fromhex(case["aad"]), len(tag) * 8)
        sealed = bytes.fromhex(case["ct"]) + tag
        if len(parameter.iv) == 1:  # the library beneath wants 8 octets at least
            fails(c.CKR_MECHANISM_PARAM_INVALID, encrypt, c.CKM_AES_GCM, key, b"", parameter)
        elif "fail" in case:
            seen["bad"] += 1
            fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, c.CKM_AES_GCM, key, sealed, parameter)
        else:
            seen["good"] += 1
            plain = bytes.fromhex(case["pt"])
            assert encrypt(c.CKM_AES_GCM, key, plain, parameter) == sealed
            assert decrypt(c.CKM_AES_GCM, key, sealed, parameter) == plain
    assert seen["good"] > 100
    assert seen["bad"] > 100 or kind != "gcmDecrypt"


@pytest.mark.parametrize("size", SIZES)
def test_cmac(size: int) -> None:
    for case in cases(f"CMAC/nist-800-38b-aes{size}.txt", "count"):
        key = secret(c.CKK_AES, bytes.fromhex(case["key"]))
        message, mac = bytes.fromhex(case["message"]), bytes.fromhex(case["output"])
        assert sign(c.CKM_AES_CMAC, key, message) == mac
        verify(c.CKM_AES_CMAC, key, message, mac)
