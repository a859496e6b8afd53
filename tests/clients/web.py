"""What the tests of web servers share: keys with certificates, and visitors who never stop."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from clients.harness import Token, wait_until

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
init = {init}

[req]
distinguished_name = name

[name]
"""

KEYS = {"ec": "EC:prime256v1", "rsa": "rsa:2048"}

CIPHERS = {"ec": "ECDHE-ECDSA-AES128-GCM-SHA256", "rsa": "ECDHE-RSA-AES128-GCM-SHA256"}
"""What a TLS 1.2 client asks for to have the server use a key of this type."""

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True)
class Site:
    """A token with the keys of a web server, `ec` and `rsa`, and their certificates."""

    token: Token
    configuration: Path

    @property
    def work(self) -> Path:
        return self.token.work

    @property
    def env(self) -> dict[str, str]:
        return {**self.token.env, "OPENSSL_CONF": str(self.configuration)}

    def key(self, name: str) -> str:
        """The URI of a private key."""
        return f"{self.token.url};object={name};type=private"

    def configured(self, directory: Path, **settings: str) -> Site:
        """The same site, with another configuration of the engine in some directory."""
        values = {"library": str(self.token.library), "pin": self.token.pin, "init": "0"}
        configuration = directory / "openssl.cnf"
        configuration.write_text(CONFIGURATION.format(**{**values, **settings}))
        return Site(self.token, configuration)


def make_site(token: Token) -> Site:
    """Make the keys and certificates in a token, and the configuration that names the module."""
    site = Site(token, token.work).configured(token.work)
    for number, (name, key_type) in enumerate(KEYS.items(), 1):
        token.generate(key_type, f"0{number}", name)
        token.run(
            "openssl", "req", "-x509", "-new", "-engine", "pkcs11", "-keyform", "engine",
            "-key", site.key(name), "-sha256", "-days", "2", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:localhost", "-out", f"{name}.pem",
            OPENSSL_CONF=str(site.configuration),
        )  # fmt: skip
    return site


def visit(site: Site, port: int, key: str = "ec", version: str = "1.3") -> str:
    """Make one handshake and one request; return the page. The certificate is checked."""
    context = ssl.create_default_context(cafile=str(site.work / f"{key}.pem"))
    context.minimum_version = context.maximum_version = VERSIONS[version]
    if version == "1.2":
        context.set_ciphers(CIPHERS[key])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as channel,
    ):
        assert channel.version() == f"TLSv{version}"
        channel.sendall(b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: channel.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    return body.decode()


@dataclass
class Visitors:
    """Threads that make one request after another; what they got, and what went wrong."""

    site: Site
    port: int
    count: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests were made, or one failed."""
        aim = self.count + more
        wait_until(lambda: self.count >= aim or bool(self.failures), f"{more} requests", 60)

    @contextmanager
    def visiting(self) -> Iterator[None]:
        """Visit for as long as the block lasts; fail if any visit did."""
        # TLS 1.2 for the RSA key: a TLS 1.3 client that takes both gets the server's choice.
        kinds = [("ec", "1.3"), ("rsa", "1.2"), ("ec", "1.2")]
        threads = [threading.Thread(target=self._visit, args=kind) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        assert not self.failures, self.failures

    def _visit(self, key: str, version: str) -> None:
        while not self._stop.is_set():
            try:
                visit(self.site, self.port, key, version)
                self.count += 1
            except Exception as error:
                self.failures.append(f"{key}, TLS {version}: {error!r}")
            time.sleep(0.01)


def children(pid: int) -> set[int]:
    """The processes that a process has started and that still run."""
    found = {int(path.name): _state(path) for path in Path("/proc").glob("[0-9]*")}
    return {child for child, state in found.items() if state[1:2] == [str(pid)] and _runs(state)}


def ended(pids: set[int]) -> Callable[[], bool]:
    """A condition to wait for: that none of these processes runs."""
    return lambda: not any(_runs(_state(Path(f"/proc/{pid}"))) for pid in pids)


def _state(process: Path) -> list[str]:
    """The process's state, its parent, and more; nothing when it has ended."""
    try:
        return (process / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _runs(state: list[str]) -> bool:
    return bool(state) and state[0] not in "ZX"


def renewed(pid: int, act: Callable[[], None]) -> set[int]:
    """Do something that makes a server replace all its workers; return the new ones."""
    old = children(pid)
    act()
    wait_until(lambda: not children(pid) & old and len(children(pid)) >= len(old), "new workers")
    return children(pid)


def kill_each(pids: set[int]) -> None:
    """End processes as a crash would."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
