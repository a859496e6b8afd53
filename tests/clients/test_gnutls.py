"""GnuTLS: p11tool lists, generates, signs and imports; gnutls-serv and certtool use a token key."""

from __future__ import annotations

import pytest
from clients.harness import Result, Token, attempt, background, free_port

KEY_TYPES = [("rsa", ["--bits", "2048"]), ("ecdsa", ["--curve", "secp256r1"])]


def p11tool(token: Token, *arguments: str) -> Result:
    """p11tool on the token; it never asks a question."""
    return token.run("p11tool", "--provider", str(token.library), "--batch", *arguments,
                     GNUTLS_PIN=token.pin, GNUTLS_SO_PIN=token.so_pin)  # fmt: skip


def generate(token: Token, key_type: str, options: list[str]) -> None:
    p11tool(token, "--login", "--generate-privkey", key_type, *options, "--label", "my key",
            "--id", "0102", "--outfile", "pub.pem", token.url)  # fmt: skip


def test_the_token_is_listed(token: Token) -> None:
    urls = p11tool(token, "--list-token-urls").text
    assert token.url.removeprefix("pkcs11:") in urls


def test_a_token_is_initialised(blank_token: Token) -> None:
    """The URL ``pkcs11:`` means any token, and here there is only the blank one."""
    token = blank_token
    p11tool(token, "--initialize", "--label", token.label, "pkcs11:")
    p11tool(token, "--initialize-pin", token.url)
    token.user("--list-objects")


@pytest.mark.parametrize(("key_type", "options"), KEY_TYPES)
def test_a_key_is_generated_and_listed(token: Token, key_type: str, options: list[str]) -> None:
    generate(token, key_type, options)
    listing = p11tool(token, "--login", "--list-all", token.url).text
    assert "Type: Private key" in listing
    assert "Type: Public key" in listing
    assert "Label: my key" in listing
    assert "ID: 01:02" in listing
    assert "BEGIN PUBLIC KEY" in (token.work / "pub.pem").read_text()


@pytest.mark.parametrize(("key_type", "options"), KEY_TYPES)
def test_a_test_signature_verifies(token: Token, key_type: str, options: list[str]) -> None:
    generate(token, key_type, options)
    report = p11tool(token, "--login", "--test-sign", f"{token.url};object=my%20key;type=private")
    assert "Signing using" in report.text
    assert "Verifying against private key parameters... ok" in report.text
    assert "Verifying against public key in the token... ok" in report.text


def test_the_public_key_is_exported(token: Token) -> None:
    token.generate("EC:secp384r1", "01", "my key")
    url = f"{token.url};object=my%20key;type=private"
    exported = p11tool(token, "--login", "--export-pubkey", url)
    token.file("exported.pem", exported.stdout)
    token.openssl("pkey", "-pubin", "-in", "exported.pem", "-outform", "DER", "-out", "exported")
    assert (token.work / "exported").read_bytes() == token.public_key("01").read_bytes()


def test_a_key_and_its_certificate_are_written(token: Token) -> None:
    token.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-keyout", "key.pem", "-subj", "/CN=localhost", "-out", "cert.pem")  # fmt: skip
    p11tool(token, "--login", "--write", "--load-privkey", "key.pem", "--label", "my key",
            "--id", "0a", token.url)  # fmt: skip
    p11tool(token, "--login", "--write", "--load-certificate", "cert.pem", "--label", "my key",
            "--id", "0a", token.url)  # fmt: skip
    assert "Label: my key" in p11tool(token, "--login", "--list-certs", token.url).text
    exported = p11tool(token, "--export", f"{token.url};object=my%20key;type=cert").text
    assert exported.strip() == (token.work / "cert.pem").read_text().strip()
    p11tool(token, "--login", "--test-sign", f"{token.url};object=my%20key;type=private")


def test_an_object_is_deleted(token: Token) -> None:
    generate(token, *KEY_TYPES[1])
    p11tool(token, "--login", "--delete", f"{token.url};object=my%20key")
    assert "Object" not in token.user("--list-objects").text


@pytest.mark.parametrize(("key_type", "options"), KEY_TYPES)
def test_certtool_and_a_tls_server(token: Token, key_type: str, options: list[str]) -> None:
    generate(token, key_type, options)
    key = f"{token.url};object=my%20key;type=private"
    token.file("template", b'cn = "localhost"\ndns_name = "localhost"\nexpiration_days = 2\nca\n')
    token.run("certtool", "--provider", token.library, "--generate-self-signed", "--load-privkey",
              key, "--load-pubkey", "pub.pem", "--template", "template", "--outfile", "cert.pem",
              GNUTLS_PIN=token.pin)  # fmt: skip
    port = free_port()
    server = ["gnutls-serv", "--provider", token.library, "--x509keyfile", key,
              "--x509certfile", "cert.pem", "--http", "--port", str(port)]  # fmt: skip
    env = {**token.env, "GNUTLS_PIN": token.pin}
    with background(*server, env=env, cwd=token.work, port=port):
        page = token.run("curl", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*",
                         "--cacert", "cert.pem", f"https://localhost:{port}/")  # fmt: skip
        assert "GnuTLS" in page.text


PRIORITIES = {"1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2", "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3"}


@pytest.mark.parametrize("version", PRIORITIES)
@pytest.mark.parametrize(("key_type", "options"), KEY_TYPES)
def test_client_and_server_have_their_keys_in_the_token(
    token: Token, key_type: str, options: list[str], version: str
) -> None:
    """Mutual TLS: gnutls-serv demands a certificate, and gnutls-cli signs with the same key."""
    generate(token, key_type, options)
    key = f"{token.url};object=my%20key;type=private"
    token.file("template", b'cn = "localhost"\ndns_name = "localhost"\nexpiration_days = 2\nca\n')
    token.run("certtool", "--provider", token.library, "--generate-self-signed", "--load-privkey",
              key, "--load-pubkey", "pub.pem", "--template", "template", "--outfile", "cert.pem",
              GNUTLS_PIN=token.pin)  # fmt: skip
    port = free_port()
    trust = ["--x509cafile", "cert.pem", "--priority", PRIORITIES[version]]
    identity = ["--provider", token.library, "--x509keyfile", key, "--x509certfile", "cert.pem"]
    server = ["gnutls-serv", *identity, *trust, "--require-client-cert", "--verify-client-cert",
              "--echo", "--port", str(port)]  # fmt: skip
    client = ["gnutls-cli", *trust, "--port", str(port), "localhost"]
    env = {**token.env, "GNUTLS_PIN": token.pin}
    with background(*server, env=env, cwd=token.work, port=port) as log:
        done = attempt(*client, *identity, env=env, cwd=token.work, stdin=b"an echo\n")
        assert "an echo" in done.text, f"{done}\n{log.read_text()}"
        assert f"TLS{version}" in done.text
        stranger = attempt(*client, env=env, cwd=token.work, stdin=b"an echo\n")
        assert "an echo" not in stranger.text
