"""Java 17: SunPKCS11, keytool, jarsigner and TLS with keys in the token.

What the token makes is checked by Java's own providers, openssl or the other side of a connection;
the programs are in ``java/``. A JVM's start is most of what a test costs, so each does much.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from clients.harness import Result, Token, attempt, free_port, wait_until

SOURCES = Path(__file__).parent / "java"

CONFIGURATION = """\
name = token
library = {library}
slotListIndex = 0
attributes(*, CKO_PRIVATE_KEY, CKK_EC) = {{
  CKA_DERIVE = true
}}
attributes(*, CKO_SECRET_KEY, *) = {{
  CKA_SENSITIVE = false
  CKA_EXTRACTABLE = true
}}
attributes(*, CKO_SECRET_KEY, CKK_GENERIC_SECRET) = {{
  CKA_DERIVE = true
}}
"""

FAST = ("-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:+UseSerialGC", "-Xmx256m")
"""A JVM that starts quickly and takes little of a loaded machine."""

DATA = b"any file" * 10_000


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled programs."""
    directory = tmp_path_factory.mktemp("classes")
    command = ["javac", "-Xlint:all", "-Werror", "-d", directory, *sorted(SOURCES.glob("*.java"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return directory


class Java:
    """The programs of a JDK with the provider configured for one token."""

    def __init__(self, token: Token, classes: Path) -> None:
        self.token = token
        self.classes = classes
        text = CONFIGURATION.format(library=token.library)
        self.config = token.file("java.cfg", text.encode())
        self.store = ["-keystore", "NONE", "-storetype", "PKCS11", "-storepass", token.pin,
                      "-providerClass", "sun.security.pkcs11.SunPKCS11",
                      "-providerArg", str(self.config)]  # fmt: skip

    def keytool(self, *arguments: str | Path) -> Result:
        """keytool on the token."""
        options = [f"-J{option}" for option in FAST]
        return self.token.run("keytool", *options, *arguments, *self.store)

    def make(self, alias: str, *key: str) -> None:
        """A key pair with a self-signed certificate for localhost."""
        self.keytool("-genkeypair", "-alias", alias, *key, "-dname", f"CN={alias}",
                     "-ext", "SAN=DNS:localhost")  # fmt: skip

    def command(self, program: str, *arguments: str | Path) -> list[str | Path]:
        """How a program of ours is started."""
        return ["java", *FAST, "-cp", self.classes, program, self.config, self.token.pin,
                *arguments]  # fmt: skip

    def run(self, program: str, *arguments: str | Path, **settings: str) -> set[str]:
        """Run a program of ours; the names of what it found to be right, when all is."""
        result = self.token.run(*self.command(program, *arguments), **settings)
        lines = result.stdout.decode().splitlines()
        assert [line for line in lines if not line.startswith("ok ")] == [], result
        return {line.removeprefix("ok ") for line in lines}


RSA = ("-keyalg", "RSA", "-keysize", "2048")
EC = ("-keyalg", "EC", "-groupname", "secp256r1")


@pytest.fixture
def java(token: Token, classes: Path) -> Java:
    return Java(token, classes)


def test_signatures_are_those_of_java(java: Java) -> None:
    right = java.run("Operations", "signatures")
    hashes = ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"]
    assert {f"{name}withRSA" for name in ("MD5", "NONE", "SHA3-256", *hashes)} <= right
    assert {f"{name}withRSASSA-PSS" for name in hashes} <= right
    for curve in ("secp256r1", "secp384r1", "secp521r1"):
        for end in ("", "inP1363Format"):
            names = {f"{name}withECDSA{end} {curve}" for name in ("NONE", "SHA3-512", *hashes)}
            assert names <= right


def test_ciphers_macs_digests_and_agreements_are_those_of_java(java: Java) -> None:
    right = java.run("Operations", "secrets")
    for mode in ("GCM/NoPadding", "CBC/NoPadding", "CBC/PKCS5Padding", "CTR/NoPadding"):
        assert {f"Cipher AES/{mode} {bits}" for bits in (128, 192, 256)} <= right
        assert f"Cipher with a generated key AES/{mode}" in right
    for hash_name in ("MD5", "SHA1", "SHA256", "SHA384", "SHA512", "SHA3-256", "SHA512/256"):
        assert f"Mac Hmac{hash_name}" in right
        assert f"Mac with a generated key Hmac{hash_name}" in right
    for hash_name in ("MD5", "SHA-1", "SHA-256", "SHA-512", "SHA3-256", "SHA-512/256"):
        assert f"MessageDigest {hash_name}" in right
    assert {f"KeyAgreement ECDH P-{bits}" for bits in (256, 384, 521)} <= right
    assert {"Cipher RSA/ECB/PKCS1Padding", "SecureRandom"} <= right


@pytest.mark.parametrize("key", ["rsa:2048", "ec"])
def test_keys_come_from_files_into_the_key_store(java: Java, key: str) -> None:
    options = ["-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else []
    java.token.openssl("req", "-x509", "-newkey", key, *options, "-nodes", "-keyout", "key",
                       "-out", "pem", "-subj", "/CN=file")  # fmt: skip
    java.token.openssl("pkcs12", "-export", "-inkey", "key", "-in", "pem", "-name", "file",
                       "-out", "file.p12", "-passout", "pass:secret")  # fmt: skip
    assert java.run("Operations", "stores", "file.p12") == {"key file", "secret key",
                                                             "nothing left"}  # fmt: skip


def test_many_threads_use_the_token(java: Java) -> None:
    assert java.run("Operations", "threads", "12") == {"threads"}


def test_the_session_pool_lives_with_a_limit(java: Java) -> None:
    """Java is told of the limit (C_GetTokenInfo), closes idle sessions and stays below it."""
    config = Path(java.token.env["PYPKCS11_CONF"])
    config.write_text(f"{config.read_text()}\n[sessions]\nmax = 16\n")
    assert java.run("Operations", "threads", "4") == {"threads"}


def test_keytool_makes_requests_and_takes_certificates(java: Java) -> None:
    token = java.token
    java.make("ca", *RSA, "-ext", "bc:c")
    java.make("server", *EC)
    java.keytool("-certreq", "-alias", "server", "-file", "server.csr")
    java.keytool("-exportcert", "-rfc", "-alias", "ca", "-file", "ca.pem")
    checked = token.openssl("req", "-in", "server.csr", "-verify", "-noout", "-subject")
    assert "verify OK" in checked.text
    java.keytool("-gencert", "-alias", "ca", "-infile", "server.csr", "-outfile", "server.pem",
                 "-rfc", "-ext", "SAN=DNS:localhost")  # fmt: skip
    verified = token.openssl("verify", "-CAfile", "ca.pem", "server.pem")
    assert verified.stdout.endswith(b"server.pem: OK\n")
    chain = (token.work / "server.pem").read_bytes() + (token.work / "ca.pem").read_bytes()
    java.keytool("-importcert", "-noprompt", "-alias", "server", "-file",
                 token.file("chain.pem", chain))  # fmt: skip
    assert "Certificate chain length: 2" in java.keytool("-list", "-v", "-alias", "server").text
    java.keytool("-delete", "-alias", "server")
    assert "server" not in java.keytool("-list").text
    assert "Certificate" not in token.user("--list-objects", "--label", "server").text


def test_a_jar_is_signed(java: Java) -> None:
    java.make("signer", *EC)
    with zipfile.ZipFile(java.token.work / "some.jar", "w") as jar:
        jar.writestr("content", DATA)
    fast = [f"-J{option}" for option in FAST]
    java.token.run("jarsigner", *fast, *java.store, "some.jar", "signer")
    verified = java.token.run("jarsigner", *fast, "-verify", "some.jar")
    assert "jar verified." in verified.text
    assert zipfile.ZipFile(java.token.work / "some.jar").namelist()[:1] == ["META-INF/MANIFEST.MF"]
    changed = shutil.copy(java.token.work / "some.jar", java.token.work / "changed.jar")
    with zipfile.ZipFile(java.token.work / "some.jar") as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"other" if name == "content" else old.read(name))
    refused = attempt("jarsigner", *fast, "-verify", changed, env=java.token.env,
                      cwd=java.token.work)  # fmt: skip
    assert "jar verified." not in refused.text


@pytest.mark.parametrize("place", ["last", "first"])
def test_tls_with_keys_in_the_token(java: Java, place: str) -> None:
    """Server and client keys; as the first provider the token does the whole handshake's work."""
    java.make("rsa", *RSA)
    java.make("ec", *EC)
    properties = java.token.file("all.properties", b"jdk.tls.disabledAlgorithms=\n")
    old = "TLS_RSA_WITH_AES_128_GCM_SHA256"
    wanted = ["TLSv1.3/rsa", "TLSv1.3/ec", "TLSv1.2/rsa", "TLSv1.2/ec", f"TLSv1.2/rsa/{old}"]
    right = java.run("Tls", place, *wanted,
                     JAVA_TOOL_OPTIONS=f"-Djava.security.properties={properties}")  # fmt: skip
    assert right == {
        "TLSv1.3 TLS_AES_256_GCM_SHA384 rsa CN=rsa",
        "TLSv1.3 TLS_AES_256_GCM_SHA384 ec CN=ec",
        "TLSv1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 rsa CN=rsa",
        "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 ec CN=ec",
        f"TLSv1.2 {old} rsa CN=rsa",
    }


#: How a program ends, with its exit code and what it says.
ENDS = {
    "exit": (3, ""),
    "halt": (4, ""),
    "return": (0, ""),
    "exception": (1, "IllegalStateException: as asked for"),
    "overflow": (1, "StackOverflowError"),
    "null": (1, "NullPointerException"),
}


def ended(java: Java, how: str, number: int | None = None) -> tuple[int, float, str]:
    """Let Ends end itself, or by a signal: exit code, seconds that the end took, what it wrote."""
    log = java.token.work / f"{how}-{free_port()}.log"
    with log.open("wb") as output:
        program = subprocess.Popen(java.command("Ends", how, "kept"), env=java.token.env,
                                   cwd=java.token.work, stdout=output, stderr=output)  # fmt: skip
    try:
        wait_until(lambda: "busy" in log.read_text() or program.poll() is not None, "the threads")
        start = time.monotonic()
        if number is not None:
            program.send_signal(number)
        code = program.wait(30)
        return code, time.monotonic() - start, log.read_text()
    finally:
        program.kill()
        program.wait()


def assert_whole(java: Java) -> None:
    """The key and its certificate are there, and no JVM left a crash report."""
    assert re.search(r"^kept, PrivateKeyEntry", java.keytool("-list").text, re.MULTILINE)
    assert list(java.token.work.glob("hs_err*")) == []


def test_programs_end_at_once_while_threads_use_the_token(java: Java) -> None:
    java.make("kept", *EC)
    for how, (code, said) in ENDS.items():
        found, seconds, text = ended(java, how)
        assert found == code, text
        assert said in text
        assert seconds < 10, f"{how} took {seconds} seconds"
        assert "worker:" not in text
    assert_whole(java)


def test_signals_end_programs_and_leave_the_token_whole(java: Java) -> None:
    java.make("kept", *EC)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)):
        found, seconds, text = ended(java, "signal", number)
        assert found == code, text
        assert seconds < 10, f"{number!r} took {seconds} seconds"
    assert_whole(java)
