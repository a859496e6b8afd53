"""NSS: modutil, certutil, pk12util, cmsutil and TLS with keys in the token."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients.harness import Result, Token, background, free_port, run

KEYS = {"rsa": ("-k", "rsa", "-g", "2048"), "ec": ("-k", "ec", "-q", "nistp256")}


class Nss:
    """NSS's programs, with a database that knows the module, and a token."""

    def __init__(self, token: Token) -> None:
        self.token = token
        self.pin = token.file("pin", f"{token.pin}\n".encode())
        # certutil asks at the keyboard for randomness unless it is given some.
        self.noise = token.file("noise", bytes(range(64)))
        (token.work / "db").mkdir()
        # The slot whose token waits to be initialised is of no use to NSS.
        config = Path(token.env["PYPKCS11_CONF"])
        config.write_text(f"{config.read_text()}\n[slots]\nfree = false\n")
        self.certutil("-N", "--empty-password")
        # FRIENDLY: certificates can be read before the login.
        self.modutil("-add", "pypkcs11", "-libfile", token.library, "-mechanisms", "FRIENDLY")

    def certutil(self, *arguments: str | Path) -> Result:
        return self.token.run("certutil", "-d", "sql:db", *arguments)

    def modutil(self, *arguments: str | Path) -> Result:
        return self.token.run("modutil", "-dbdir", "sql:db", "-force", *arguments)

    def on_token(self, *arguments: str | Path) -> Result:
        """certutil on the token, logged in."""
        return self.certutil("-h", self.token.label, "-f", self.pin, *arguments)

    def name(self, nickname: str) -> str:
        """How NSS calls a certificate in the token."""
        return f"{self.token.label}:{nickname}"

    def make(self, kind: str, *arguments: str, trust: str = "CT,C,C") -> Path:
        """A key pair and a self-signed certificate of the same nickname; its PEM file."""
        self.on_token("-S", "-n", kind, "-s", f"CN={kind}", "-x", "-t", trust, *KEYS[kind],
                      "-z", self.noise, "-m", str(len(kind)), "-8", "localhost",
                      *arguments)  # fmt: skip
        return self.exported(kind)

    def make_ca(self, kind: str) -> Path:
        """The same with basic constraints, about which certutil asks."""
        run("certutil", "-d", "sql:db", "-h", self.token.label, "-f", self.pin, "-S", "-n", kind,
            "-s", f"CN={kind}", "-x", "-t", "CT,C,C", *KEYS[kind], "-z", self.noise, "-m", "1",
            "-2", env=self.token.env, cwd=self.token.work, stdin=b"y\n\ny\n")  # fmt: skip
        return self.exported(kind)

    def exported(self, kind: str) -> Path:
        """A certificate's PEM file."""
        pem = self.on_token("-L", "-n", self.name(kind), "-a").stdout
        return self.token.file(f"{kind}.pem", pem)


@pytest.fixture
def nss(token: Token) -> Nss:
    return Nss(token)


@pytest.fixture(params=KEYS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_module_is_listed_with_its_token(nss: Nss) -> None:
    listing = nss.modutil("-list", "pypkcs11").text
    assert "PKCS #11 Version 3.2" in listing
    assert f"Token Name: {nss.token.label}" in listing
    assert "Status: Enabled" in listing
    assert "DISABLED" not in listing


def test_keys_and_certificates_are_made_and_deleted(nss: Nss, kind: str) -> None:
    pem = nss.make(kind)
    verified = nss.token.openssl("verify", "-CAfile", pem, pem)
    assert verified.stdout.endswith(b".pem: OK\n")
    assert nss.name(kind) in nss.on_token("-K").text
    # The private key is found (u) and the trust, which is kept in NSS's own database.
    assert "CTu,Cu,Cu" in nss.on_token("-L").text
    nss.on_token("-M", "-n", nss.name(kind), "-t", ",,")
    assert "u,u,u" in nss.on_token("-L").text
    nss.certutil("-F", "-f", nss.pin, "-n", nss.name(kind))
    assert nss.name(kind) not in nss.on_token("-L").text
    assert "Private Key Object" not in nss.token.user("--list-objects").text


def test_a_request_is_answered_and_the_chain_verifies(nss: Nss, kind: str) -> None:
    ca = nss.make_ca("rsa")
    nss.on_token("-R", *KEYS[kind], "-z", nss.noise, "-s", "CN=server", "-o", "server.csr")
    nss.certutil("-C", "-f", nss.pin, "-c", nss.name("rsa"), "-i", "server.csr",
                 "-o", "server.der", "-m", "77")  # fmt: skip
    nss.on_token("-A", "-n", "server", "-t", ",,", "-i", "server.der")
    assert "u,u,u" in nss.on_token("-L").text
    pem = nss.on_token("-L", "-n", nss.name("server"), "-a").stdout
    verified = nss.token.openssl("verify", "-CAfile", ca, nss.token.file("server.pem", pem))
    assert verified.stdout.endswith(b"server.pem: OK\n")


def test_pkcs12_files_enter_and_leave_the_token(nss: Nss, kind: str) -> None:
    token = nss.token
    key = ["-newkey", "rsa:2048"]
    if kind == "ec":
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    token.openssl("req", "-x509", *key, "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                  "-subj", "/CN=file")  # fmt: skip
    token.openssl("pkcs12", "-export", "-inkey", "key.pem", "-in", "cert.pem", "-name", "file",
                  "-out", "in.p12", "-passout", "pass:secret")  # fmt: skip
    with_pin = ["-d", "sql:db", "-k", nss.pin, "-W", "secret"]
    token.run("pk12util", "-i", "in.p12", "-h", token.label, *with_pin)
    listing = token.user("--list-objects", "--type", "privkey").text
    assert listing.count("Private Key Object") == 1
    token.run("pk12util", "-o", "out.p12", "-n", nss.name("file"), *with_pin)
    token.openssl("pkcs12", "-in", "out.p12", "-passin", "pass:secret", "-nodes", "-nocerts",
                  "-out", "back.pem")  # fmt: skip
    public = [token.openssl("pkey", "-in", name, "-pubout").stdout
              for name in ("key.pem", "back.pem")]  # fmt: skip
    assert public[0] == public[1]


def test_only_keys_that_may_leave_are_exported(nss: Nss) -> None:
    nss.make("rsa")
    nss.make("ec", "--keyAttrFlags", "token,private,sensitive,extractable")
    with_pin = ["-d", "sql:db", "-k", nss.pin, "-W", "secret"]
    with pytest.raises(AssertionError, match="UNABLE_TO_EXPORT_KEY"):
        nss.token.run("pk12util", "-o", "rsa.p12", "-n", nss.name("rsa"), *with_pin)
    nss.token.run("pk12util", "-o", "ec.p12", "-n", nss.name("ec"), *with_pin)


def test_messages_are_signed(nss: Nss, kind: str) -> None:
    pem = nss.make(kind)
    message = nss.token.file("message", b"any file" * 10_000)
    nss.token.run("cmsutil", "-d", "sql:db", "-f", nss.pin, "-S", "-N", nss.name(kind), "-G",
                  "-H", "SHA256", "-i", message, "-o", "message.p7")  # fmt: skip
    nss.token.openssl("cms", "-verify", "-inform", "DER", "-in", "message.p7", "-CAfile", pem,
                      "-purpose", "any", "-binary", "-out", "signed")  # fmt: skip
    assert (nss.token.work / "signed").read_bytes() == message.read_bytes()


def test_a_tls_server_and_its_client_use_their_keys(nss: Nss, kind: str) -> None:
    token, port = nss.token, free_port()
    nss.make(kind)
    with_pin = ["-d", "sql:db", "-w", token.pin, "-n", nss.name(kind)]
    server = ["selfserv", *with_pin, "-p", str(port), "-V", "tls1.2:tls1.3", "-rr", "-v"]
    request = b"GET / HTTP/1.0\r\n\r\n"
    with background(*server, env=token.env, cwd=token.work, port=port) as log:
        for version in ("tls1.2", "tls1.3"):
            (token.work / "request").write_bytes(request)
            page = token.run("tstclnt", *with_pin, "-h", "localhost", "-p", str(port),
                             "-V", f"{version}:{version}", "-A", "request")  # fmt: skip
            assert "HTTP/1.0 200 OK" in page.text, f"{page}\n{log.read_text()}"
            assert f"CN={kind}" in page.text


def test_the_pin_is_changed(nss: Nss) -> None:
    new = nss.token.file("new", b"another PIN\n")
    nss.modutil("-changepw", nss.token.label, "-pwfile", nss.pin, "-newpwfile", new)
    with pytest.raises(AssertionError, match="CKR_PIN_INCORRECT"):
        nss.token.user("--list-objects")
