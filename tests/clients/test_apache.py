"""Apache httpd: TLS with keys in the token, in forked processes of many threads."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clients.harness import attempt, background, free_port, wait_until
from clients.web import Site, Visitors, children, visit

CONFIGURATION = """\
ServerRoot /usr/lib/apache2
ServerName localhost
DefaultRuntimeDir {work}
PidFile {work}/httpd.pid
Mutex file:{work}
ErrorLog {work}/httpd.log
Listen 127.0.0.1:{port}
StartServers 2
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule socache_shmcb_module modules/mod_socache_shmcb.so
LoadModule ssl_module modules/mod_ssl.so
DocumentRoot {work}/pages
SSLCryptoDevice pkcs11
<VirtualHost *:{port}>
    SSLEngine on
    SSLCertificateFile {work}/ec.pem
    SSLCertificateKeyFile "{ec}"
    SSLCertificateFile {work}/rsa.pem
    SSLCertificateKeyFile "{rsa}"
</VirtualHost>
"""

NOT_ROOT = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
"""httpd serves no pages as root; in this namespace root, who owns the site, has another id."""


class Httpd:
    """httpd with a configuration in the site's directory."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.port = free_port()
        (site.work / "pages").mkdir(exist_ok=True)
        (site.work / "pages" / "page").write_text("a page")
        text = CONFIGURATION.format(
            work=site.work, port=self.port, ec=site.key("ec"), rsa=site.key("rsa")
        )
        configuration = site.token.file("httpd.conf", text.encode())
        self.command = [*NOT_ROOT, "apache2", "-f", configuration]
        self.log = site.work / "httpd.log"
        self.log.write_text("")

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [*self.command, "-DFOREGROUND"]
        with background(*command, env=self.site.env, cwd=self.site.work, port=self.port):
            yield

    @property
    def pid(self) -> int:
        return int((self.site.work / "httpd.pid").read_text())


def test_both_keys_serve_with_both_versions(site: Site) -> None:
    httpd = Httpd(site)
    with httpd.running():
        for key, version in (("ec", "1.2"), ("ec", "1.3"), ("rsa", "1.2")):
            assert visit(site, httpd.port, key, version) == "a page"


def test_a_graceful_restart_under_load_fails_no_handshake(site: Site) -> None:
    httpd = Httpd(site)
    with httpd.running():
        visitors = Visitors(site, httpd.port)
        with visitors.visiting():
            for done in (1, 2):
                visitors.wait_for(5)
                old = children(httpd.pid)
                os.kill(httpd.pid, signal.SIGUSR1)
                wait_until(lambda old=old: not children(httpd.pid) & old, "new children")  # type: ignore[misc]
                assert httpd.log.read_text().count("Doing graceful restart") == done
            visitors.wait_for(5)
    assert "exit signal" not in httpd.log.read_text()
    assert "[ssl:error]" not in httpd.log.read_text()


def test_a_wrong_pin_is_found_before_anything_is_served(site: Site, tmp_path: Path) -> None:
    httpd = Httpd(site.configured(tmp_path, pin="4321"))
    started = attempt(*httpd.command, "-DFOREGROUND", env=httpd.site.env, cwd=site.work)
    assert started.code == 1
    assert "Unable to get the private key" in httpd.log.read_text()
