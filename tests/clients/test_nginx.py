"""nginx: TLS with keys in the token, in workers that are forked after the key was loaded."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients.harness import attempt, background, free_port, wait_until
from clients.web import Site, Visitors, children, ended, kill_each, renewed, visit

WORKERS = 3

CONFIGURATION = """\
daemon off;
{user}
worker_processes {workers};
pid nginx.pid;
error_log stderr notice;
ssl_engine pkcs11;
env PYPKCS11_CONF;
env PYPKCS11_TOKEN_DIR;
events {{ }}
http {{
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    server {{
        listen 127.0.0.1:{port} ssl {listen};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate ec.pem;
        ssl_certificate_key "engine:pkcs11:{ec}";
        ssl_certificate rsa.pem;
        ssl_certificate_key "engine:pkcs11:{rsa}";
        {more}
        location / {{ return 200 "$pid $ssl_client_s_dn"; }}
    }}
}}
"""


class Nginx:
    """nginx with a configuration in the site's directory."""

    def __init__(self, site: Site, *, listen: str = "", more: str = "") -> None:
        self.site = site
        self.port = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(
            user=user, workers=WORKERS, port=self.port, listen=listen, more=more,
            ec=site.key("ec"), rsa=site.key("rsa"),
        )  # fmt: skip
        site.token.file("nginx.conf", text.encode())
        self.command = ["nginx", "-p", site.work, "-e", "stderr", "-c", site.work / "nginx.conf"]

    @contextmanager
    def running(self) -> Iterator[Path]:
        """The server with all its workers; gives the path of its log."""
        run = background(*self.command, env=self.site.env, cwd=self.site.work, port=self.port)
        with run as log:
            wait_until(lambda: len(children(self.pid)) == WORKERS, "the workers")
            yield log

    @property
    def pid(self) -> int:
        return int((self.site.work / "nginx.pid").read_text())

    def visit(self, key: str = "ec", version: str = "1.3") -> int:
        """Make one request; return the process that answered it."""
        return int(visit(self.site, self.port, key, version).split()[0])

    def reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)


def test_every_worker_serves_both_keys_with_both_versions(site: Site) -> None:
    """With `reuseport` the kernel spreads connections over the workers."""
    nginx = Nginx(site, listen="reuseport")
    with nginx.running():
        for key, version in (("ec", "1.2"), ("ec", "1.3"), ("rsa", "1.2")):
            seen: set[int] = set()
            for _ in range(200):
                seen.add(nginx.visit(key, version))
                if len(seen) == WORKERS:
                    break
            assert seen == children(nginx.pid), f"{key}, TLS {version}"


def test_an_rsa_key_alone_with_tls_1_3(site: Site) -> None:
    """RSA-PSS signatures, which TLS 1.3 demands of RSA keys."""
    nginx = Nginx(site)
    text = (site.work / "nginx.conf").read_text().splitlines()
    kept = [line for line in text if "ec.pem" not in line and "object=ec" not in line]
    (site.work / "nginx.conf").write_text("\n".join(kept))
    with nginx.running():
        nginx.visit("rsa", "1.3")


def test_a_reload_under_load_fails_no_handshake(site: Site) -> None:
    nginx = Nginx(site)
    with nginx.running() as log:
        visitors = Visitors(site, nginx.port)
        with visitors.visiting():
            for _ in range(3):
                visitors.wait_for(5)
                renewed(nginx.pid, nginx.reload)
            visitors.wait_for(5)
        assert "SSL_do_handshake() failed" not in log.read_text()
        assert "[alert]" not in log.read_text()


def test_a_daemon_is_reloaded_while_others_use_the_token(site: Site) -> None:
    """The master has forked itself; a short-lived process is the last to close the token."""
    nginx = Nginx(site)
    configuration = site.work / "nginx.conf"
    text = configuration.read_text().replace("daemon off;", "").replace("stderr", "nginx.log")
    configuration.write_text(text)
    nginx.command[nginx.command.index("stderr")] = "nginx.log"  # it keeps what it has as stderr
    site.token.run(*nginx.command, OPENSSL_CONF=str(site.configuration))
    try:
        for _ in range(3):
            site.token.user("--list-objects")
            assert nginx.visit() in children(nginx.pid)
            site.token.user("--list-objects")
            renewed(nginx.pid, nginx.reload)
        nginx.visit("rsa", "1.2")
    finally:
        os.killpg(nginx.pid, signal.SIGKILL)  # a daemon leads its own session


def test_killed_workers_are_replaced(site: Site) -> None:
    nginx = Nginx(site)
    with nginx.running():
        nginx.visit()
        master = nginx.pid
        replaced = renewed(master, lambda: kill_each(children(master)))
        for key, version in (("ec", "1.3"), ("rsa", "1.2")):
            assert nginx.visit(key, version) in replaced


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGTERM])
def test_it_stops_and_starts_again(site: Site, how: signal.Signals) -> None:
    nginx = Nginx(site)
    for _ in range(2):
        with nginx.running() as log:
            nginx.visit()
            processes = {nginx.pid, *children(nginx.pid)}
            os.kill(nginx.pid, how)
            wait_until(ended(processes), "the end of its processes")
        assert "exited on signal" not in log.read_text()


def test_a_client_shows_its_certificate(site: Site) -> None:
    """Mutual TLS with both keys in the token: nginx has one, curl the other."""
    nginx = Nginx(site, more="ssl_client_certificate rsa.pem; ssl_verify_client on;")
    curl = ["curl", "--silent", "--show-error", "--max-time", "30", "--noproxy", "*",
            "--cacert", "ec.pem", f"https://localhost:{nginx.port}/"]  # fmt: skip
    identity = ["--cert", "rsa.pem", "--engine", "pkcs11", "--key-type", "ENG",
                "--key", site.key("rsa")]  # fmt: skip
    with nginx.running():
        for version in ("1.2", "1.3"):
            page = site.token.run(
                *curl, "--tls-max", version, *identity, OPENSSL_CONF=str(site.configuration)
            )
            assert page.stdout.endswith(b" CN=rsa"), page
        refused = site.token.run(*curl)
        assert b"No required SSL certificate was sent" in refused.stdout


def test_a_wrong_pin_is_found_before_anything_is_served(site: Site, tmp_path: Path) -> None:
    nginx = Nginx(site.configured(tmp_path, pin="4321"))
    tested = attempt(*nginx.command, "-t", env=nginx.site.env, cwd=site.work)
    assert tested.code == 1
    assert "ENGINE_load_private_key" in tested.text


def test_an_engine_that_the_configuration_initialises(site: Site, tmp_path: Path) -> None:
    """`init = 1`: OpenSSL initialises the engine in the master, while it reads the file."""
    nginx = Nginx(site.configured(tmp_path, init="1"))
    with nginx.running():
        nginx.visit("ec", "1.3")
        nginx.visit("rsa", "1.2")
