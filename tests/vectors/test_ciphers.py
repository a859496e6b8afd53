"""All ciphers but AES, Poly1305 and BLAKE2b against NIST's, the RFCs' and others' answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from unit.mechanisms.keys import decrypt, encrypt, fails, secret, sign, verify
from vectors.readers import Case, cases, lines

from pypkcs11.mechanisms.chacha20 import subkey
from pypkcs11.mechanisms.parameters import ChaCha, ChaChaPoly, MacGeneral
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as c

#: The DES files have hundreds of cases for a few kinds; one in so many is tried.
STRIDE = 3


def check(mechanism: int, key: Key, case: Case) -> None:
    """Encrypt and decrypt, with the IV if there is one."""
    iv = bytes.fromhex(case["iv"]) if "iv" in case else None
    plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
    assert encrypt(mechanism, key, plain, iv) == sealed
    assert decrypt(mechanism, key, sealed, iv) == plain


def des_keys(case: Case) -> Iterator[Key]:
    """The key of every type that it can be written as."""
    first, second, third = (bytes.fromhex(case.get(f"key{n}") or case["keys"]) for n in (1, 2, 3))
    yield secret(c.CKK_DES3, first + second + third)
    if first == third:
        yield secret(c.CKK_DES2, first + second)
    if first == second == third:
        yield secret(c.CKK_DES, first)


DES = {
    "ECB/TECB": (c.CKM_DES3_ECB, c.CKM_DES_ECB),
    "CBC/TCBC": (c.CKM_DES3_CBC, c.CKM_DES_CBC),
    "OFB/TOFB": (c.CKM_DES_OFB64, c.CKM_DES_OFB64),
    "CFB/TCFB64": (c.CKM_DES_CFB64, c.CKM_DES_CFB64),
    "CFB/TCFB8": (c.CKM_DES_CFB8, c.CKM_DES_CFB8),
}
KINDS = ("MMT1", "MMT2", "MMT3", "invperm", "permop", "subtab", "varkey", "vartext")


@pytest.mark.parametrize("mode", DES)
def test_des(mode: str) -> None:
    types = set()
    triple, single = DES[mode]
    for kind in KINDS:
        some = list(cases(f"ciphers/3DES/{mode}{kind}.rsp", "count"))[::STRIDE]
        assert len(some) > 3
        for case in some:
            for key in des_keys(case):
                check(single if key.type == c.CKK_DES else triple, key, case)
                types.add(key.type)
    assert types == {c.CKK_DES, c.CKK_DES2, c.CKK_DES3}


def test_des_cmac() -> None:
    seen = 0
    for case in cases("CMAC/nist-800-38b-3des.txt", "count"):
        key = next(des_keys(case))
        message, mac = bytes.fromhex(case["message"]), bytes.fromhex(case["output"])
        assert sign(c.CKM_DES3_CMAC, key, message) == mac
        verify(c.CKM_DES3_CMAC, key, message, mac)
        assert sign(c.CKM_DES3_CMAC_GENERAL, key, message, MacGeneral(5)) == mac[:5]
        seen += 1
    assert seen >= 8


def test_des_mac() -> None:
    """FIPS 113, appendix: of its example the standard's MAC is the first half of the last block."""
    key = secret(c.CKK_DES, bytes.fromhex("0123456789abcdef"))
    message = b"7654321 Now is the time for "
    mac = bytes.fromhex("f1d30f6849312ca4")
    assert sign(c.CKM_DES_MAC, key, message) == mac[:4]
    assert sign(c.CKM_DES_MAC_GENERAL, key, message, MacGeneral(8)) == mac
    verify(c.CKM_DES_MAC_GENERAL, key, message, mac[:3], MacGeneral(3))


OLD = [
    ("Camellia/camellia-cbc.txt", c.CKK_CAMELLIA, c.CKM_CAMELLIA_CBC),
    ("SEED/rfc-4269.txt", c.CKK_SEED, c.CKM_SEED_ECB),
    ("SEED/rfc-4196.txt", c.CKK_SEED, c.CKM_SEED_CBC),
    ("Blowfish/bf-cbc.txt", c.CKK_BLOWFISH, c.CKM_BLOWFISH_CBC),
    ("CAST5/cast5-ecb.txt", c.CKK_CAST128, c.CKM_CAST128_ECB),
    ("CAST5/cast5-cbc.txt", c.CKK_CAST128, c.CKM_CAST128_CBC),
    ("IDEA/idea-ecb.txt", c.CKK_IDEA, c.CKM_IDEA_ECB),
    ("IDEA/idea-cbc.txt", c.CKK_IDEA, c.CKM_IDEA_CBC),
]


@pytest.mark.parametrize(("path", "key_type", "mechanism"), OLD)
def test_old_ciphers(path: str, key_type: int, mechanism: int) -> None:
    seen = 0
    for case in cases(f"ciphers/{path}", "count"):
        check(mechanism, secret(key_type, bytes.fromhex(case["key"])), case)
        seen += 1
    assert seen


def test_blowfish_keys_of_all_lengths() -> None:
    """There is no ECB for Blowfish in the standard: a block in CBC, from an IV of zeros."""
    lengths = set()
    for case in cases("ciphers/Blowfish/bf-ecb.txt", "count"):
        key = secret(c.CKK_BLOWFISH, bytes.fromhex(case["key"]))
        check(c.CKM_BLOWFISH_CBC, key, {**case, "iv": "00" * 8})
        lengths.add(key.bits)
    assert 64 in lengths


@pytest.mark.parametrize("size", [128, 192, 256])
def test_camellia_ecb(size: int) -> None:
    key, plain, seen = None, b"", 0
    for line in lines(f"ciphers/Camellia/camellia-{size}-ecb.txt"):
        name, _, value = line.partition(":")
        if name.startswith("K "):
            key = secret(c.CKK_CAMELLIA, bytes.fromhex(value))
        elif name.startswith("P "):
            plain = bytes.fromhex(value)
        elif name.startswith("C "):
            assert key is not None
            assert encrypt(c.CKM_CAMELLIA_ECB, key, plain) == bytes.fromhex(value)
            seen += 1
    assert seen > 100


@pytest.mark.parametrize("name", ["arc4", *(f"rfc-6229-{n}" for n in (40, 56, 64, 80, 128, 256))])
def test_rc4(name: str) -> None:
    seen = 0
    for case in cases(f"ciphers/ARC4/{name}.txt", "count"):
        key = secret(c.CKK_RC4, bytes.fromhex(case["key"]))
        plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
        before = bytes(int(case["offset"]))
        assert encrypt(c.CKM_RC4, key, before + plain)[len(before) :] == sealed
        assert decrypt(c.CKM_RC4, key, before + sealed)[len(before) :] == plain
        seen += 1
    assert seen > 10


def test_chacha20() -> None:
    seen = 0
    for case in cases("ciphers/ChaCha20/rfc7539.txt", "count"):
        key = secret(c.CKK_CHACHA20, bytes.fromhex(case["key"]))
        counter = int(case["initial_block_counter"]).to_bytes(4, "little")
        parameter = ChaCha(counter, bytes.fromhex(case["nonce"]))
        plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
        assert encrypt(c.CKM_CHACHA20, key, plain, parameter) == sealed
        assert decrypt(c.CKM_CHACHA20, key, sealed, parameter) == plain
        if parameter.nonce[:4] == bytes(4):  # the same stream, seen as a counter of 64 bits
            original = ChaCha(counter + bytes(4), parameter.nonce[4:])
            assert encrypt(c.CKM_CHACHA20, key, plain, original) == sealed
        seen += 1
    assert seen > 2


def test_chacha20_poly1305() -> None:
    seen = {"good": 0, "bad": 0}
    for case in cases("ciphers/ChaCha20Poly1305/openssl.txt", "count"):
        key = secret(c.CKK_CHACHA20, bytes.fromhex(case["key"]))
        nonce, aad = bytes.fromhex(case["iv"]), bytes.fromhex(case["aad"])
        plain = bytes.fromhex(case["plaintext"])
        sealed = bytes.fromhex(case["ciphertext"]) + bytes.fromhex(case["tag"])
        arguments = (c.CKM_CHACHA20_POLY1305, key, sealed, ChaChaPoly(nonce, aad))
        if case.get("result"):
            seen["bad"] += 1
            fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, *arguments)
        else:
            seen["good"] += 1
            parameter = ChaChaPoly(nonce, aad)
            assert encrypt(c.CKM_CHACHA20_POLY1305, key, plain, parameter) == sealed
            assert decrypt(*arguments) == plain
            row = mechanisms()[c.CKM_CHACHA20_POLY1305]
            assert row.encrypt is not None
            parts = row.encrypt(key, parameter)
            out = memoryview(bytearray(len(plain)))
            middle = len(plain) // 3
            parts.update_into(plain[:middle], out[:middle])
            parts.update_into(plain[middle:], out[middle:])
            assert bytes(out) + parts.finish() == sealed
    assert seen["good"] > 3
    assert seen["bad"]


def text(value: str) -> bytes:
    """Hex digits, or what stands in quotes."""
    return value.strip('"').encode() if value.startswith('"') else bytes.fromhex(value)


def test_chacha20_poly1305_of_odd_lengths() -> None:
    seen = 0
    for case in cases("ciphers/ChaCha20Poly1305/boringssl.txt", "count"):
        key = secret(c.CKK_CHACHA20, text(case["key"]))
        parameter = ChaChaPoly(text(case["nonce"]), text(case["ad"]))
        sealed = text(case["ct"]) + text(case["tag"])
        assert encrypt(c.CKM_CHACHA20_POLY1305, key, text(case["in"]), parameter) == sealed
        assert decrypt(c.CKM_CHACHA20_POLY1305, key, sealed, parameter) == text(case["in"])
        seen += 1
    assert seen > 20


def test_xchacha20() -> None:
    """draft-irtf-cfrg-xchacha-03, section 2.2.1 and appendix A.3.1."""
    made = subkey(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))
    expected = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    assert made == bytes.fromhex(expected)

    key = secret(c.CKK_CHACHA20, bytes(range(0x80, 0xA0)))
    nonce, aad = bytes(range(0x40, 0x58)), bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the"
        b" future, sunscreen would be it."
    )
    sealed = bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f"
        "4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f"
        "76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
    )
    tag = bytes.fromhex("c0875924c1c7987947deafd8780acf49")
    parameter = ChaChaPoly(nonce, aad)
    assert encrypt(c.CKM_CHACHA20_POLY1305, key, plain, parameter) == sealed + tag
    assert decrypt(c.CKM_CHACHA20_POLY1305, key, sealed + tag, parameter) == plain
    second = (1).to_bytes(8, "little")  # the first block made the key of Poly1305
    assert encrypt(c.CKM_CHACHA20, key, plain, ChaCha(second, nonce)) == sealed


def test_poly1305() -> None:
    seen = 0
    for case in cases("poly1305/rfc7539.txt", "count"):
        key = secret(c.CKK_POLY1305, bytes.fromhex(case["key"]))
        message, mac = bytes.fromhex(case["msg"]), bytes.fromhex(case["tag"])
        assert sign(c.CKM_POLY1305, key, message) == mac
        verify(c.CKM_POLY1305, key, message, mac)
        seen += 1
    assert seen > 8


def test_blake2b() -> None:
    seen = 0
    row = mechanisms()[c.CKM_BLAKE2B_512]
    assert row.digest is not None
    for case in cases("hashes/blake2/blake2b.txt", "len"):
        message = bytes.fromhex(case["msg"])[: int(case["len"]) // 8]
        assert row.digest(None).digest(message) == bytes.fromhex(case["md"])
        seen += 1
    assert seen > 5
