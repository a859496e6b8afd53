"""p11-kit finds the module by its registration, and its proxy passes calls on."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from clients.harness import Argument, Result, Token, attempt

PROXY = (glob.glob("/usr/lib/*/p11-kit-proxy.so") or ["/usr/lib/p11-kit-proxy.so"])[0]


NOT_ROOT = ["unshare", "--user", "--map-user=1000"]
"""p11-kit does not read a user's configuration as root; in this namespace root has another id."""


@dataclass(frozen=True)
class UserToken(Token):
    """A token whose programs do not run as root."""

    def run(self, *arguments: Argument, **settings: str) -> Result:
        return super().run(*(NOT_ROOT if os.geteuid() == 0 else []), *arguments, **settings)


@pytest.fixture
def registered(token: Token) -> UserToken:
    """The token, and the module registered for this user; no other module is."""
    if os.geteuid() == 0 and attempt(*NOT_ROOT, "true", env=token.env, cwd=token.work).code != 0:
        pytest.skip(
            "root may not make user namespaces here, and p11-kit skips root's registrations"
        )
    configuration = Path(token.env["HOME"]) / ".config" / "pkcs11"
    modules = configuration / "modules"
    modules.mkdir(parents=True)
    (configuration / "pkcs11.conf").write_text("user-config: only\n")
    (modules / "pypkcs11.module").write_text(f"module: {token.library}\n")
    return UserToken(token.library, token.work, token.env)


def test_the_module_is_listed(registered: UserToken) -> None:
    listing = registered.run("p11-kit", "list-modules").text
    assert listing.startswith("pypkcs11: ")
    assert f"token: {registered.label}\n" in listing


def test_the_proxy_passes_everything_on(registered: UserToken) -> None:
    proxied = UserToken(Path(PROXY), registered.work, registered.env)
    proxied.generate("EC:prime256v1", "01", "through the proxy")
    message = proxied.file("message", b"signed through the proxy")
    signature = proxied.sign("01", "ECDSA-SHA256", message, "--signature-format", "openssl")
    proxied.openssl.verifies(proxied.public_key("01"), message, signature)
    assert "through the proxy" in registered.user("--list-objects").text


def test_beside_another_module(registered: UserToken) -> None:
    """The proxy loads both into one process, and each answers for itself."""
    modules = Path(registered.env["HOME"]) / ".config" / "pkcs11" / "modules"
    (modules / "trust.module").write_text("module: p11-kit-trust.so\n")
    listing = registered.run("p11-kit", "list-modules").text
    assert "library-manufacturer: pypkcs11\n" in listing
    assert "library-manufacturer: PKCS#11 Kit\n" in listing
    proxied = UserToken(Path(PROXY), registered.work, registered.env)
    slots = proxied.run("pkcs11-tool", "--module", PROXY, "--list-slots").text
    assert registered.label in slots and "System Trust" in slots


def test_gnutls_finds_the_token_by_itself(registered: UserToken) -> None:
    """No --provider: whatever uses p11-kit sees the token once the module is registered."""
    registered.generate("EC:prime256v1", "01", "my key")
    listing = registered.run("p11tool", "--batch", "--login", "--list-all", registered.url,
                             GNUTLS_PIN=registered.pin).text  # fmt: skip
    assert "Label: my key" in listing
