"""Keys of PKCS #12 files through C_GenerateKey, held against published answers and OpenSSL."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from abi.client import NULL, Client, ffi, mechanism, number, octets, refused, struct
from abi.key_helpers import named
from abi.samples import ODD
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from pypkcs11.mechanisms import der
from pypkcs11.standard import constants as c

READABLE = named({"SENSITIVE": False, "EXTRACTABLE": True})
DES3, DES2 = c.CKM_PBE_SHA1_DES3_EDE_CBC, c.CKM_PBE_SHA1_DES2_EDE_CBC
PBA = c.CKM_PBA_SHA1_WITH_SHA1_HMAC
UNTOUCHED = b"\xa5" * 16


def bmp(password: str) -> bytes:
    """A password as files have it."""
    return password.encode("utf-16-be") + b"\0\0"


def parameters(
    password: bytes = bmp("smeg"), salt: bytes = b"saltsalt", iterations: int = 1, **more: Any
) -> Any:
    fields = {
        "pInitVector": UNTOUCHED,
        "pPassword": octets(password),
        "ulPasswordLen": len(password),
        "pSalt": salt or NULL,
        "ulSaltLen": len(salt),
        "ulIteration": iterations,
    }
    return struct("CK_PBE_PARAMS", **fields | more)


def made(p11: Client, session: int, kind: int, parameter: Any) -> tuple[bytes, bytes]:
    """The key's value, and what is where the IV goes."""
    key = p11.generate(session, mechanism(kind, parameter), READABLE)
    return p11.get(session, key, c.CKA_VALUE), bytes(ffi.buffer(parameter.pInitVector, 16))


def odd(key: bytes) -> bytes:
    """The key with the parity that DES wants."""
    return bytes(octet if octet in ODD else octet ^ 1 for octet in key)


def openssl(*arguments: str | Path) -> bytes:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def by_openssl(password: bytes, salt: bytes, iterations: int, purpose: int, length: int) -> bytes:
    options = (
        "digest:SHA1",
        f"hexpass:{password.hex()}",
        f"hexsalt:{salt.hex()}",
        f"iter:{iterations}",
        f"id:{purpose}",
    )
    given = (word for option in options for word in ("-kdfopt", option))
    return openssl("kdf", "-keylen", str(length), "-binary", *given, "PKCS12KDF")


# -- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "salt", "iterations", "key"),
    [  # S. Henson, PKCS #12 test vectors; the keys without parity
        ("smeg", "0a58cf64530d823f", 1, "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"),
        ("smeg", "642b99ab44fb4b1f", 1, "f3a95fec48d7711e985cfe67908c5ab79fa3d7c5caa5d966"),
        ("queeg", "05dec959acff72f7", 1000, "ed2034e36328830ff09df1e1a07dd357185dac0d4f9eb3d4"),
    ],
)
def test_published_keys(
    p11: Client, session: int, password: str, salt: str, iterations: int, key: str
) -> None:
    parameter = parameters(bmp(password), bytes.fromhex(salt), iterations)
    assert made(p11, session, DES3, parameter)[0] == odd(bytes.fromhex(key))


@pytest.mark.parametrize(
    ("password", "salt", "iterations", "iv"),
    [
        ("smeg", "0a58cf64530d823f", 1, "79993dfe048d3b76"),
        ("smeg", "642b99ab44fb4b1f", 1, "c0a38d64a79bea1d"),
        ("queeg", "05dec959acff72f7", 1000, "11dedad7758d4860"),
    ],
)
def test_published_ivs(
    p11: Client, session: int, password: str, salt: str, iterations: int, iv: str
) -> None:
    for kind in (DES3, DES2):
        parameter = parameters(bmp(password), bytes.fromhex(salt), iterations)
        assert made(p11, session, kind, parameter)[1] == bytes.fromhex(iv) + UNTOUCHED[8:]


@pytest.mark.parametrize(
    ("password", "salt", "iterations", "key"),
    [
        ("smeg", "3d83c0e4546ac140", 1, "8d967d88f6caa9d714800ab3d48051d63f73a312"),
        ("queeg", "263216fcc2fab31c", 1000, "5ec4c7a80df652294c3925b6489a7ab857c83476"),
    ],
)
def test_published_mac_keys(
    p11: Client, session: int, password: str, salt: str, iterations: int, key: str
) -> None:
    for more in ({}, {"pInitVector": NULL}):
        parameter = parameters(bmp(password), bytes.fromhex(salt), iterations, **more)
        handle = p11.generate(session, mechanism(PBA, parameter), READABLE)
        assert p11.get(session, handle, c.CKA_VALUE) == bytes.fromhex(key)
        if not more:
            assert bytes(ffi.buffer(parameter.pInitVector, 16)) == UNTOUCHED


@pytest.mark.parametrize("salt_length", [0, 1, 20, 63, 64, 65, 200])
@pytest.mark.parametrize("password_length", [0, 2, 64, 66, 128, 500])
def test_every_length(p11: Client, session: int, salt_length: int, password_length: int) -> None:
    salt, password = os.urandom(salt_length), os.urandom(password_length)
    if not salt or not password:  # which the command cannot be given
        text = b"".join((part * 64)[: -(-len(part) // 64) * 64] for part in (salt, password))
        expected = hashlib.sha1(hashlib.sha1(b"\3" * 64 + text).digest()).digest()
        assert made(p11, session, PBA, parameters(password, salt, 2))[0] == expected
        return
    key, iv = made(p11, session, DES3, parameters(password, salt, 3))
    assert key == odd(by_openssl(password, salt, 3, 1, 24))
    assert iv[:8] == by_openssl(password, salt, 3, 2, 8)
    assert made(p11, session, DES2, parameters(password, salt, 3)) == (key[:16], iv)
    assert made(p11, session, PBA, parameters(password, salt, 3))[0] == by_openssl(
        password, salt, 3, 3, 20
    )


def test_the_new_keys(p11: Client, session: int) -> None:
    for kind, key_type, length in (
        (DES3, c.CKK_DES3, 24),
        (DES2, c.CKK_DES2, 16),
        (PBA, c.CKK_GENERIC_SECRET, 20),
    ):
        key = p11.generate(session, mechanism(kind, parameters()), READABLE)
        assert number(p11.get(session, key, c.CKA_KEY_TYPE)) == key_type
        assert number(p11.get(session, key, c.CKA_KEY_GEN_MECHANISM)) == kind
        assert p11.get(session, key, c.CKA_LOCAL) == b"\1"
        assert len(p11.get(session, key, c.CKA_VALUE)) == length
        info = ffi.new("CK_MECHANISM_INFO *")
        p11.do("C_GetMechanismInfo", p11.session_info(session).slotID, kind, info)
        assert (info.ulMinKeySize, info.ulMaxKeySize) == (length, length)
        assert info.flags == c.CKF_GENERATE


# -- files -------------------------------------------------------------------------------------


def within(data: bytes, *path: int) -> bytes:
    """What is in the first, second ... element of the element of ... of DER."""
    for step in path:
        data = der.elements(data)[step][1]
    return data


def secrets(algorithm: bytes) -> tuple[bytes, int]:
    """Salt and iterations of an AlgorithmIdentifier's content."""
    return within(algorithm, 1, 0), int.from_bytes(within(algorithm, 1, 1), "big")


@pytest.mark.parametrize("password", ["password", "pässwörd €", ""])
def test_a_file_of_openssl(p11: Client, session: int, tmp_path: Path, password: str) -> None:
    """Its MAC verifies, its certificate decrypts, and its private key is unwrapped and signs."""
    key, certificate, file = (tmp_path / name for name in ("key.pem", "cert.pem", "file.p12"))
    make = ("-subj", "/CN=example", "-newkey", "rsa:2048", "-nodes", "-keyout", key)
    openssl("req", "-x509", *make, "-out", certificate)
    how = ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-2DES", "-macalg", "sha1")
    what = ("-inkey", key, "-in", certificate, "-passout", f"pass:{password}", "-out", file)
    openssl("pkcs12", "-export", *how, "-iter", "500", *what)
    encoded, given = file.read_bytes(), bmp(password)

    content = within(encoded, 0, 1, 1, 0)
    mac = within(encoded, 0, 2)
    found = parameters(given, within(mac, 1), int.from_bytes(within(mac, 2), "big"))
    mac_key = p11.generate(session, mechanism(PBA, found), named({"VERIFY": True}))
    hmac = mechanism(c.CKM_SHA_1_HMAC)
    p11.verify(session, hmac, mac_key, within(mac, 0, 1), content)
    with refused(c.CKR_SIGNATURE_INVALID):
        p11.verify(session, hmac, mac_key, within(mac, 0, 1), content + b"\0")

    certificates, keys = (inner for _, inner in der.elements(within(content, 0)))
    encrypted = within(certificates, 1, 0, 1)
    found = parameters(given, *secrets(within(encrypted, 1)))
    by = p11.generate(session, mechanism(DES2, found), named({"DECRYPT": True}))
    cbc = mechanism(c.CKM_DES3_CBC_PAD, bytes(ffi.buffer(found.pInitVector, 8)))
    bags = p11.decrypt(session, cbc, by, within(encrypted, 2))
    pem: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    expected = openssl("x509", "-in", certificate, "-outform", "DER")
    assert expected in bags

    bag = within(keys, 1, 0, 0, 0, 1, 0)
    found = parameters(given, *secrets(within(bag, 0)))
    by = p11.generate(session, mechanism(DES3, found), named({"UNWRAP": True, "DECRYPT": True}))
    cbc = mechanism(c.CKM_DES3_CBC_PAD, bytes(ffi.buffer(found.pInitVector, 8)))
    info: Any = serialization.load_der_private_key(
        p11.decrypt(session, cbc, by, within(bag, 1)), None
    )
    assert info.private_numbers() == pem.private_numbers()
    kind = named({"CLASS": c.CKO_PRIVATE_KEY, "KEY_TYPE": c.CKK_RSA, "SIGN": True})
    private = p11.unwrap(session, cbc, by, within(bag, 1), kind)
    signature = p11.sign(session, mechanism(c.CKM_SHA256_RSA_PKCS), private, b"text")
    pem.public_key().verify(signature, b"text", padding.PKCS1v15(), SHA256())


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DES3, DES2, PBA])
def test_what_is_refused(p11: Client, session: int, kind: int) -> None:
    before = p11.find(session, {})
    wrong = [
        parameters(iterations=0),
        parameters(iterations=10_000_001),
        parameters(iterations=2**64 - 1),
        parameters(pPassword=NULL),
        parameters(pSalt=NULL),
        parameters(ulPasswordLen=1 << 40),
        parameters(ulSaltLen=1 << 40),
        None,
        b"short",
    ]
    if kind != PBA:
        wrong.append(parameters(pInitVector=NULL))
    for parameter in wrong:
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            p11.generate(session, mechanism(kind, parameter), READABLE)
    parameter = parameters()
    for rv, template in (
        (c.CKR_TEMPLATE_INCONSISTENT, {"KEY_TYPE": c.CKK_AES}),
        (c.CKR_TEMPLATE_INCONSISTENT, {"CLASS": c.CKO_PUBLIC_KEY}),
        (c.CKR_TEMPLATE_INCONSISTENT, {"VALUE_LEN": 32}),
        (c.CKR_ATTRIBUTE_READ_ONLY, {"VALUE": bytes(24)}),
    ):
        with refused(rv):
            p11.generate(session, mechanism(kind, parameter), named(template))
    assert p11.find(session, {}) == before
    assert bytes(ffi.buffer(parameter.pInitVector, 16)) == UNTOUCHED


def test_nothing_is_given_back_without_a_key(p11: Client, session: int) -> None:
    """What fails when the object is made leaves the caller's memory as it was."""
    readers = p11.open(int(p11.session_info(session).slotID), read_write=False)
    parameter = parameters()
    with refused(c.CKR_SESSION_READ_ONLY):
        p11.generate(readers, mechanism(DES3, parameter), named({"TOKEN": True}))
    assert bytes(ffi.buffer(parameter.pInitVector, 16)) == UNTOUCHED


def test_other_threads_go_on(p11: Client, session: int) -> None:
    other = p11.open(int(p11.session_info(session).slotID))
    made_one = []

    def work() -> None:
        made_one.append(made(p11, session, PBA, parameters(iterations=500_000)))

    thread = threading.Thread(target=work)
    thread.start()
    calls = 0
    while thread.is_alive():
        p11.session_info(other)
        calls += 1
        time.sleep(0.001)
    thread.join()
    assert made_one
    assert calls > 10
