"""pkcs11-tool writes, lists, reads and deletes objects."""

from __future__ import annotations

import re

import pytest
from clients.harness import Token


def listed(token: Token, *options: str) -> str:
    return token.user("--list-objects", *options).text


def test_generated_keys_are_what_was_asked_for(token: Token) -> None:
    token.generate("rsa:2048", "01", "rsa key")
    for number, (curve, bits) in enumerate(
        [("prime256v1", 256), ("secp384r1", 384), ("secp521r1", 528)], start=2
    ):
        token.generate(f"EC:{curve}", f"{number:02}", curve)
        assert f"EC_POINT {bits} bits" in listed(token, "--type", "pubkey")
    token.user("--keygen", "--key-type", "AES:32", "--id", "05", "--label", "aes key")
    everything = listed(token)
    assert "Public Key Object; RSA 2048 bits" in everything
    assert "AES length 32" in everything
    private = listed(token, "--type", "privkey")
    assert private.count("Private Key Object; EC") == 3
    assert private.count("sensitive, always sensitive, never extractable, local") == 4


@pytest.mark.parametrize("curve", ["curve25519", "edwards25519"])
def test_keys_on_curves_of_their_own_kind(token: Token, curve: str) -> None:
    token.generate(f"EC:{curve}", "01", curve)
    assert listed(token, "--type", "privkey").count(curve) == 1
    assert listed(token, "--type", "pubkey").count(curve) == 1


def test_private_objects_are_hidden_before_the_login(token: Token) -> None:
    token.generate("EC:prime256v1", "01", "hidden key")
    public = token.public("--list-objects").text
    assert "Public Key Object" in public
    assert "Private Key Object" not in public
    assert "Private Key Object" in listed(token)


def test_a_private_key_does_not_leave_the_token(token: Token) -> None:
    token.user("--keygen", "--key-type", "AES:32", "--id", "05", "--label", "aes", "--sensitive")
    refused = token.attempt("--login", "--pin", token.pin, "--read-object",
                            "--type", "secrkey", "--id", "05")  # fmt: skip
    assert refused.code != 0


def test_an_extractable_secret_key_is_read_back(token: Token) -> None:
    value = bytes(range(1, 33))
    token.user("--write-object", token.file("key", value), "--type", "secrkey",
               "--key-type", "AES:32", "--id", "06", "--label", "key", "--extractable")  # fmt: skip
    token.user("--read-object", "--type", "secrkey", "--id", "06", "--output-file", "read")
    assert (token.work / "read").read_bytes() == value


@pytest.mark.parametrize(
    ("make_key", "mechanism"),
    [
        (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "SHA256-RSA-PKCS"),
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "ECDSA-SHA256"),
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "ECDSA-SHA256"),
    ],
    ids=["rsa", "p256", "p384"],
)
def test_keys_made_by_openssl_are_imported_and_used(
    token: Token, make_key: list[str], mechanism: str
) -> None:
    token.openssl("genpkey", *make_key, "-outform", "DER", "-out", "key.der")
    token.openssl("pkey", "-inform", "DER", "-in", "key.der", "-pubout",
                  "-outform", "DER", "-out", "pub.der")  # fmt: skip
    private = ["--write-object", "key.der", "--type", "privkey", "--usage-sign"]
    token.user(*private, "--id", "07", "--label", "imported")
    token.user("--write-object", "pub.der", "--type", "pubkey", "--id", "07", "--label", "imported")
    message = token.file("message", b"signed with an imported key")
    as_openssl = ["--signature-format", "openssl"] if mechanism.startswith("ECDSA") else []
    signature = token.sign("07", mechanism, message, *as_openssl)
    token.openssl.verifies(token.work / "pub.der", message, signature)
    assert token.public_key("07").read_bytes() == (token.work / "pub.der").read_bytes()


def test_a_certificate_is_written_and_read_back(token: Token) -> None:
    token.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key",
                  "-subj", "/O=Example/CN=Our CA", "-outform", "DER", "-out", "ca.der")  # fmt: skip
    token.user("--write-object", "ca.der", "--type", "cert", "--id", "08", "--label", "the CA")
    listing = token.public("--list-objects", "--type", "cert").text
    assert "Certificate Object; type = X.509 cert" in listing
    assert re.search(r"subject: +DN: O=Example, CN=Our CA", listing)
    token.public("--read-object", "--type", "cert", "--id", "08", "--output-file", "read.der")
    assert (token.work / "read.der").read_bytes() == (token.work / "ca.der").read_bytes()


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
def test_data_is_written_and_read_back(token: Token, private: bool) -> None:
    content = bytes(range(256)) * 15
    token.user("--write-object", token.file("data", content), "--type", "data",
               "--label", "settings", "--application-label", "my program",
               *(["--private"] if private else []))  # fmt: skip
    seen = "settings" in token.public("--list-objects", "--type", "data").text
    assert seen is not private
    token.user("--read-object", "--type", "data", "--label", "settings", "--output-file", "read")
    assert (token.work / "read").read_bytes() == content


def test_the_id_of_an_object_is_changed(token: Token) -> None:
    token.generate("EC:prime256v1", "01", "key")
    token.user("--type", "privkey", "--id", "01", "--set-id", "0a0b")
    assert "0a0b" in listed(token, "--type", "privkey")


def test_what_is_deleted_is_gone(token: Token) -> None:
    token.generate("EC:prime256v1", "01", "key")
    token.user("--write-object", token.file("data", b"x"), "--type", "data", "--label", "note")
    token.user("--delete-object", "--type", "privkey", "--id", "01")
    assert "Private Key Object" not in listed(token)
    assert "Public Key Object" in listed(token)
    token.user("--delete-object", "--type", "pubkey", "--id", "01")
    token.user("--delete-object", "--type", "data", "--label", "note")
    assert "Object" not in listed(token)


def test_the_objects_of_a_token_stay_in_it(token: Token) -> None:
    """Two tokens in one directory, one key each."""
    token.generate("EC:prime256v1", "01", "in the first")
    token.run("pkcs11-tool", "--module", token.library, "--init-token", "--label", "second",
              "--slot-index", "1", "--so-pin", token.so_pin)  # fmt: skip
    second = Token(token.library, token.work, token.env, label="second")
    second.public("--init-pin", "--so-pin", second.so_pin, "--pin", second.pin)
    assert "in the first" not in listed(second)
    assert "in the first" in listed(token)
