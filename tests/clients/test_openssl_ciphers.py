"""What the module encrypts the openssl command decrypts, and the other way round."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from abi.client import mechanism, octets, struct
from abi.key_helpers import secret
from abi.samples import ODD
from clients.modules import Place, opened

from pypkcs11.standard import constants as c

IV8, IV16 = ODD[:8], bytes(range(16))
MESSAGE = bytes(range(256)) * 5 + b"and a rest"


@pytest.fixture(scope="module")
def place(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The module with its old mechanisms."""
    directory = tmp_path_factory.mktemp("openssl")
    configuration = directory / "config.toml"
    configuration.write_text('[mechanisms]\nenable = "all"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYPKCS11_CONF", str(configuration))
        patch.setenv("PYPKCS11_TOKEN_DIR", str(directory / "tokens"))
        with opened(library) as place:
            yield place


def openssl(*arguments: str, data: bytes) -> bytes:
    command = ["openssl", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


CIPHERS = [
    # name, type and octets of the key, mechanism, IV
    ("des-cbc", c.CKK_DES, 8, c.CKM_DES_CBC_PAD, IV8),
    ("des-ofb", c.CKK_DES, 8, c.CKM_DES_OFB64, IV8),
    ("des-cfb8", c.CKK_DES, 8, c.CKM_DES_CFB8, IV8),
    ("des-ede-cbc", c.CKK_DES2, 16, c.CKM_DES3_CBC_PAD, IV8),
    ("des-ede3-cbc", c.CKK_DES3, 24, c.CKM_DES3_CBC_PAD, IV8),
    ("des-ede3-cfb", c.CKK_DES3, 24, c.CKM_DES_CFB64, IV8),
    ("des-ede3-cfb8", c.CKK_DES3, 24, c.CKM_DES_CFB8, IV8),
    ("des-ede3-ofb", c.CKK_DES3, 24, c.CKM_DES_OFB64, IV8),
    ("camellia-128-cbc", c.CKK_CAMELLIA, 16, c.CKM_CAMELLIA_CBC_PAD, IV16),
    ("camellia-256-cbc", c.CKK_CAMELLIA, 32, c.CKM_CAMELLIA_CBC_PAD, IV16),
    ("seed-cbc", c.CKK_SEED, 16, c.CKM_SEED_CBC_PAD, IV16),
    ("bf-cbc", c.CKK_BLOWFISH, 16, c.CKM_BLOWFISH_CBC_PAD, IV8),
    ("cast5-cbc", c.CKK_CAST128, 16, c.CKM_CAST128_CBC_PAD, IV8),
    ("rc4", c.CKK_RC4, 16, c.CKM_RC4, None),
]


@pytest.mark.parametrize(
    ("name", "key_type", "length", "kind", "iv"), CIPHERS, ids=[row[0] for row in CIPHERS]
)
def test_ciphers(
    place: Place, name: str, key_type: int, length: int, kind: int, iv: bytes | None
) -> None:
    p11, session = place
    value = ODD[8 : 8 + length]
    key = secret(p11, session, value, key_type, ENCRYPT=True, DECRYPT=True)
    command = ["enc", f"-{name}", "-K", value.hex(), *(("-iv", iv.hex()) if iv else ())]
    command += ["-provider", "legacy", "-provider", "default"]
    theirs = openssl(*command, data=MESSAGE)
    mech = mechanism(kind, iv)
    assert p11.encrypt(session, mech, key, MESSAGE[:5], MESSAGE[5:]) == theirs
    assert p11.decrypt(session, mech, key, theirs) == MESSAGE


@pytest.mark.parametrize("counter", [bytes(4), b"\x07\0\0\0", b"\xfe\xff\xff\xff\x01\0\0\0"])
def test_chacha20(place: Place, counter: bytes) -> None:
    p11, session = place
    value, nonce = os.urandom(32), os.urandom(16 - len(counter))
    key = secret(p11, session, value, c.CKK_CHACHA20, ENCRYPT=True)
    iv = (counter + nonce).hex()
    theirs = openssl("enc", "-chacha20", "-K", value.hex(), "-iv", iv, data=MESSAGE)
    parameter: Any = struct(
        "CK_CHACHA20_PARAMS",
        pBlockCounter=octets(counter),
        blockCounterBits=8 * len(counter),
        pNonce=octets(nonce),
        ulNonceBits=8 * len(nonce),
    )
    mech = mechanism(c.CKM_CHACHA20, parameter)
    assert p11.encrypt(session, mech, key, MESSAGE[:100], MESSAGE[100:]) == theirs


def test_macs(place: Place) -> None:
    p11, session = place
    value = ODD[:24]
    key = secret(p11, session, value, c.CKK_DES3, SIGN=True)
    options = ["-cipher", "DES-EDE3-CBC", "-macopt", f"hexkey:{value.hex()}", "-binary"]
    theirs = openssl("mac", *options, "-in", "/dev/stdin", "CMAC", data=MESSAGE)
    assert p11.sign(session, mechanism(c.CKM_DES3_CMAC), key, MESSAGE) == theirs

    key = secret(p11, session, IV16 * 2, c.CKK_POLY1305, SIGN=True)
    options = ["-macopt", f"hexkey:{(IV16 * 2).hex()}", "-binary", "-in", "/dev/stdin"]
    theirs = openssl("mac", *options, "POLY1305", data=MESSAGE)
    assert p11.sign(session, mechanism(c.CKM_POLY1305), key, MESSAGE) == theirs
