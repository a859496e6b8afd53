"""pkcs11-tool signs and openssl verifies, and the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients.harness import Token

MESSAGE = b"pay 10 to Alice\n" * 50
CURVES = [("prime256v1", "-sha256"), ("secp384r1", "-sha384"), ("secp521r1", "-sha512")]


@pytest.fixture
def message(token: Token) -> Path:
    return token.file("message", MESSAGE)


@pytest.fixture
def other(token: Token) -> Path:
    return token.file("other", MESSAGE + b"and 1 to Bob\n")


@pytest.fixture
def rsa(token: Token) -> Path:
    """The public half of an RSA key in the token, whose id is 01."""
    token.generate("rsa:2048", "01", "rsa key")
    return token.public_key("01")


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA256", "SHA384", "SHA512"])
def test_rsa_pkcs_with_a_hash(token: Token, rsa: Path, message: Path, hash_name: str) -> None:
    signature = token.sign("01", f"{hash_name}-RSA-PKCS", message)
    token.openssl.verifies(rsa, message, signature, f"-{hash_name.lower()}")


def test_rsa_pkcs_signs_what_it_is_given(token: Token, rsa: Path) -> None:
    """CKM_RSA_PKCS pads its input and hashes nothing."""
    data = token.file("short", b"any bytes up to eleven less than the modulus")
    signature = token.sign("01", "RSA-PKCS", data)
    recovered = token.openssl("pkeyutl", "-verifyrecover", "-pubin", "-keyform", "DER",
                              "-inkey", rsa, "-in", signature).stdout  # fmt: skip
    assert recovered == data.read_bytes()


@pytest.mark.parametrize("salt", [0, 20, 32])
def test_rsa_pss_of_a_digest(token: Token, rsa: Path, message: Path, salt: int) -> None:
    digest = token.file("digest", token.openssl("dgst", "-sha256", "-binary", message).stdout)
    signature = token.sign("01", "RSA-PKCS-PSS", digest, "--hash-algorithm", "SHA256",
                           "--mgf", "MGF1-SHA256", "--salt-len", str(salt))  # fmt: skip
    token.openssl.verifies(rsa, message, signature, *pss_options("sha256", salt))


@pytest.mark.parametrize(("hash_name", "salt"), [("SHA256", 32), ("SHA384", 48), ("SHA512", 10)])
def test_rsa_pss_with_a_hash(
    token: Token, rsa: Path, message: Path, hash_name: str, salt: int
) -> None:
    signature = token.sign("01", f"{hash_name}-RSA-PKCS-PSS", message,
                           "--mgf", f"MGF1-{hash_name}", "--salt-len", str(salt))  # fmt: skip
    token.openssl.verifies(rsa, message, signature, *pss_options(hash_name.lower(), salt))


@pytest.mark.parametrize("mechanism", ["SHA256-RSA-PKCS", "RSA-PKCS"])
def test_rsa_signatures_are_verified(
    token: Token, rsa: Path, message: Path, other: Path, mechanism: str
) -> None:
    if mechanism == "RSA-PKCS":
        message, other = token.file("short", b"yes"), token.file("wrong", b"no")
    signature = token.sign("01", mechanism, message)
    assert verifies(token, "01", mechanism, message, signature)
    assert not verifies(token, "01", mechanism, other, signature)


@pytest.mark.parametrize(("curve", "digest"), CURVES)
def test_ecdsa_of_a_digest(token: Token, message: Path, curve: str, digest: str) -> None:
    token.generate(f"EC:{curve}", "02", "ec key")
    hashed = token.file("digest", token.openssl("dgst", digest, "-binary", message).stdout)
    signature = token.sign("02", "ECDSA", hashed, "--signature-format", "openssl")
    token.openssl.verifies(token.public_key("02"), message, signature, digest)


@pytest.mark.parametrize(("curve", "digest"), CURVES)
def test_ecdsa_with_a_hash(token: Token, message: Path, curve: str, digest: str) -> None:
    token.generate(f"EC:{curve}", "02", "ec key")
    mechanism = f"ECDSA-{digest.lstrip('-').upper()}"
    signature = token.sign("02", mechanism, message, "--signature-format", "openssl")
    token.openssl.verifies(token.public_key("02"), message, signature, digest)


@pytest.mark.parametrize(("curve", "size"), [("prime256v1", 64), ("secp521r1", 132)])
def test_an_ecdsa_signature_is_r_and_s(token: Token, curve: str, size: int) -> None:
    token.generate(f"EC:{curve}", "02", "ec key")
    digest = token.file("digest", bytes(range(32)))
    signature = token.sign("02", "ECDSA", digest, "--signature-format", "rs")
    assert len(signature.read_bytes()) == size


def test_ecdsa_signatures_are_verified(token: Token, message: Path, other: Path) -> None:
    token.generate("EC:prime256v1", "02", "ec key")
    signature = token.sign("02", "ECDSA-SHA256", message)
    assert verifies(token, "02", "ECDSA-SHA256", message, signature)
    assert not verifies(token, "02", "ECDSA-SHA256", other, signature)


def test_an_hmac_is_that_of_openssl(token: Token, message: Path) -> None:
    token.user("--keygen", "--key-type", "GENERIC:32", "--id", "03", "--label", "mac key",
               "--extractable", "--usage-sign")  # fmt: skip
    token.user("--read-object", "--type", "secrkey", "--id", "03", "--output-file", "secret")
    secret = (token.work / "secret").read_bytes()
    assert len(secret) == 32
    tag = token.sign("03", "SHA256-HMAC", message)
    expected = token.openssl("dgst", "-sha256", "-mac", "HMAC", "-macopt",
                             f"hexkey:{secret.hex()}", "-binary", message)  # fmt: skip
    assert tag.read_bytes() == expected.stdout


def test_nobody_signs_without_the_pin(token: Token, rsa: Path, message: Path) -> None:
    refused = token.attempt("--sign", "--id", "01", "--mechanism", "SHA256-RSA-PKCS",
                            "--input-file", message, "--output-file", "out")  # fmt: skip
    assert refused.code != 0
    assert not (token.work / "out").exists() or (token.work / "out").read_bytes() == b""


def pss_options(digest: str, salt: int) -> tuple[str, ...]:
    """How openssl is told of RSA-PSS parameters."""
    return (f"-{digest}", "-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}",
            "-sigopt", f"rsa_mgf1_md:{digest}")  # fmt: skip


def verifies(token: Token, key_id: str, mechanism: str, data: Path, signature: Path) -> bool:
    """Whether pkcs11-tool, through the token, finds a signature valid."""
    result = token.attempt("--verify", "--id", key_id, "--mechanism", mechanism,
                           "--input-file", data, "--signature-file", signature)  # fmt: skip
    valid, invalid = "Signature is valid" in result.text, "Invalid signature" in result.text
    assert valid != invalid, result
    return valid
