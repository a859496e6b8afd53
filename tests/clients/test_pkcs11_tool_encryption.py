"""pkcs11-tool encrypts and decrypts, with openssl on the other side."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients.harness import Token

PLAINTEXT = b"seventeen bytes!!" * 30
IV = "000102030405060708090a0b0c0d0e0f"
KEYS = {16: bytes(range(16)), 24: bytes(range(24)), 32: bytes(range(32))}


@pytest.fixture
def plaintext(token: Token) -> Path:
    return token.file("plaintext", PLAINTEXT)


def import_aes(token: Token, key: bytes) -> None:
    """Bring an AES key of known value into the token, with the id 01."""
    token.user("--write-object", token.file("key", key), "--type", "secrkey",
               "--key-type", f"AES:{len(key)}", "--id", "01", "--label", "aes key",
               "--usage-decrypt")  # fmt: skip


@pytest.mark.parametrize("size", [16, 24, 32])
def test_aes_cbc_pad_against_openssl(token: Token, plaintext: Path, size: int) -> None:
    import_aes(token, KEYS[size])
    token.user("--encrypt", "--id", "01", "--mechanism", "AES-CBC-PAD", "--iv", IV,
               "--input-file", plaintext, "--output-file", "ciphertext")  # fmt: skip
    cipher = [f"-aes-{size * 8}-cbc", "-K", KEYS[size].hex(), "-iv", IV]
    assert token.openssl("enc", "-d", *cipher, "-in", "ciphertext").stdout == PLAINTEXT
    token.openssl("enc", "-e", *cipher, "-in", plaintext, "-out", "theirs")
    token.user("--decrypt", "--id", "01", "--mechanism", "AES-CBC-PAD", "--iv", IV,
               "--input-file", "theirs", "--output-file", "decrypted")  # fmt: skip
    assert (token.work / "decrypted").read_bytes() == PLAINTEXT


def test_aes_ecb_and_cbc_of_whole_blocks(token: Token) -> None:
    import_aes(token, KEYS[32])
    blocks = token.file("blocks", PLAINTEXT[:480])
    for mechanism, options, cipher in (
        ("AES-ECB", [], ["-aes-256-ecb"]),
        ("AES-CBC", ["--iv", IV], ["-aes-256-cbc", "-iv", IV]),
    ):
        token.user("--encrypt", "--id", "01", "--mechanism", mechanism, *options,
                   "--input-file", blocks, "--output-file", "ciphertext")  # fmt: skip
        expected = token.openssl("enc", *cipher, "-nopad", "-K", KEYS[32].hex(), "-in", blocks)
        assert (token.work / "ciphertext").read_bytes() == expected.stdout


def test_a_generated_aes_key_decrypts_what_it_encrypted(token: Token, plaintext: Path) -> None:
    token.user("--keygen", "--key-type", "AES:32", "--id", "02", "--label", "fresh",
               "--usage-decrypt")  # fmt: skip
    token.user("--encrypt", "--id", "02", "--mechanism", "AES-CBC-PAD", "--iv", IV,
               "--input-file", plaintext, "--output-file", "ciphertext")  # fmt: skip
    assert (token.work / "ciphertext").read_bytes() != PLAINTEXT
    token.user("--decrypt", "--id", "02", "--mechanism", "AES-CBC-PAD", "--iv", IV,
               "--input-file", "ciphertext", "--output-file", "decrypted")  # fmt: skip
    assert (token.work / "decrypted").read_bytes() == PLAINTEXT


@pytest.mark.parametrize(
    ("mechanism", "tool_options", "openssl_options"),
    [
        ("RSA-PKCS", [], ["rsa_padding_mode:pkcs1"]),
        (
            "RSA-PKCS-OAEP",
            ["--hash-algorithm", "SHA-1"],
            ["rsa_padding_mode:oaep", "rsa_oaep_md:sha1", "rsa_mgf1_md:sha1"],
        ),
        (
            "RSA-PKCS-OAEP",
            ["--hash-algorithm", "SHA256"],
            ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"],
        ),
    ],
    ids=["pkcs1", "oaep-sha1", "oaep-sha256"],
)
def test_rsa_decrypts_what_openssl_encrypted(
    token: Token, mechanism: str, tool_options: list[str], openssl_options: list[str]
) -> None:
    token.generate("rsa:2048", "04", "rsa key")
    secret = token.file("secret", b"a session key")
    options = [part for option in openssl_options for part in ("-pkeyopt", option)]
    token.openssl("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey",
                  token.public_key("04"), "-in", secret, "-out", "encrypted", *options)  # fmt: skip
    token.user("--decrypt", "--id", "04", "--mechanism", mechanism, *tool_options,
               "--input-file", "encrypted", "--output-file", "decrypted")  # fmt: skip
    assert (token.work / "decrypted").read_bytes() == b"a session key"


def test_a_damaged_ciphertext_is_refused(token: Token, plaintext: Path) -> None:
    import_aes(token, KEYS[16])
    cut = token.file("cut", b"not a whole number of blocks")
    refused = token.attempt("--login", "--pin", token.pin, "--decrypt", "--id", "01",
                            "--mechanism", "AES-CBC-PAD", "--iv", IV,
                            "--input-file", cut, "--output-file", "decrypted")  # fmt: skip
    assert refused.code != 0
    assert "CKR_ENCRYPTED_DATA" in refused.text
