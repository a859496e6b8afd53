"""OpenSSL 3.0 with libp11's engine: requests, signatures and TLS with keys in the token."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients.harness import Result, Token, background, free_port, wait_until

CONFIGURATION = """\
openssl_conf = openssl_init

[openssl_init]
engines = engine_section

[engine_section]
pkcs11 = pkcs11_section

[pkcs11_section]
engine_id = pkcs11
MODULE_PATH = {library}
PIN = {pin}
init = 0

[req]
distinguished_name = name

[name]
"""

KEY_TYPES = ["rsa:2048", "EC:prime256v1"]


class EngineUser:
    """The openssl command with the engine configured for one token, and a key made in it."""

    def __init__(self, token: Token, key_type: str) -> None:
        self.token = token
        token.generate(key_type, "01", "server")
        text = CONFIGURATION.format(library=token.library, pin=token.pin)
        self.config = token.file("openssl.cnf", text.encode())
        self.key = f"{token.url};object=server;type=private"
        self.with_key = ["-engine", "pkcs11", "-keyform", "engine"]

    @property
    def env(self) -> dict[str, str]:
        return {**self.token.env, "OPENSSL_CONF": str(self.config)}

    def __call__(self, *arguments: str | Path) -> Result:
        return self.token.run("openssl", *arguments, OPENSSL_CONF=str(self.config))

    def certificate(self) -> Path:
        """A self-signed certificate for localhost."""
        self("req", "-x509", "-new", *self.with_key, "-key", self.key, "-sha256", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-out", "server.pem")  # fmt: skip
        return self.token.work / "server.pem"


@pytest.fixture(params=KEY_TYPES)
def engine(request: pytest.FixtureRequest, token: Token) -> EngineUser:
    return EngineUser(token, request.param)


def test_a_certificate_is_issued_and_verifies(engine: EngineUser) -> None:
    certificate = engine.certificate()
    verified = engine.token.openssl("verify", "-CAfile", certificate, certificate)
    assert verified.stdout.endswith(b"server.pem: OK\n")


def test_a_request_is_signed(engine: EngineUser) -> None:
    engine("req", "-new", *engine.with_key, "-key", engine.key, "-sha384",
           "-subj", "/CN=example.org", "-out", "request.pem")  # fmt: skip
    checked = engine.token.openssl("req", "-in", "request.pem", "-verify", "-noout")
    assert "verify OK" in checked.text


def test_a_file_is_signed(engine: EngineUser) -> None:
    token = engine.token
    message = token.file("message", b"any file" * 10_000)
    engine("dgst", "-sha256", *engine.with_key, "-sign", engine.key, "-out", "message.sig", message)
    token.openssl.verifies(token.public_key("01"), message, token.work / "message.sig")


def test_the_public_key_is_read(engine: EngineUser) -> None:
    public = f"{engine.token.url};object=server;type=public"
    engine("pkey", "-engine", "pkcs11", "-inform", "engine", "-pubin", "-in", public, "-pubout",
           "-outform", "DER", "-out", "pub.der")  # fmt: skip
    assert (engine.token.work / "pub.der").read_bytes() == engine.token.public_key(
        "01"
    ).read_bytes()


def test_rsa_pss_is_signed(token: Token) -> None:
    engine = EngineUser(token, "rsa:2048")
    message = token.file("message", b"any file")
    pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32")
    engine("dgst", "-sha256", *engine.with_key, "-sign", engine.key, *pss, "-out", "sig", message)
    token.openssl.verifies(token.public_key("01"), message, token.work / "sig", "-sha256", *pss)


def test_a_wrong_pin_is_refused(token: Token) -> None:
    engine = EngineUser(token, "EC:prime256v1")
    engine.config.write_text(engine.config.read_text().replace(f"PIN = {token.pin}", "PIN = 9999"))
    message = token.file("message", b"any file")
    with pytest.raises(AssertionError, match="the command failed"):
        engine("dgst", "-sha256", *engine.with_key, "-sign", engine.key, "-out", "sig", message)
    token.user("--list-objects")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_tls_server_uses_its_key(engine: EngineUser, version: str) -> None:
    token, port = engine.token, free_port()
    certificate = engine.certificate()
    server = ["openssl", "s_server", *engine.with_key, "-key", engine.key, "-cert", certificate,
              "-accept", f"127.0.0.1:{port}", "-www"]  # fmt: skip
    with background(*server, env=engine.env, cwd=token.work, port=port) as log:
        for _ in range(3):
            page = token.run(
                "curl", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*",
                f"--tlsv{version}", "--tls-max", version, "--cacert", certificate,
                f"https://localhost:{port}/",
            )  # fmt: skip
            assert f"TLSv{version}" in page.text, f"{page}\n{log.read_text()}"


def test_a_tls_client_shows_its_certificate(engine: EngineUser) -> None:
    """The key in the token is the client's; the server's is a file and demands a certificate."""
    token, port = engine.token, free_port()
    certificate = engine.certificate()
    token.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "s.key",
                  "-subj", "/CN=localhost", "-out", "s.pem")  # fmt: skip
    server = ["openssl", "s_server", "-key", "s.key", "-cert", "s.pem", "-Verify", "1",
              "-verify_return_error", "-CAfile", certificate, "-accept", f"127.0.0.1:{port}",
              "-www"]  # fmt: skip
    with background(*server, env=token.env, cwd=token.work, port=port) as log:
        token.run("curl", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*",
                  "--insecure", "--engine", "pkcs11", "--key-type", "ENG", "--key", engine.key,
                  "--cert", certificate, f"https://localhost:{port}/",
                  OPENSSL_CONF=str(engine.config))  # fmt: skip
        wait_until(lambda: "CN = localhost" in log.read_text(), "the client's certificate")
