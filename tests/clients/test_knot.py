"""Knot DNS signs zones with keys that it makes in the token; BIND's dnssec-verify checks them."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients.harness import Token

CONFIGURATION = """\
database:
    storage: {work}
keystore:
  - id: token
    backend: pkcs11
    config: "{url};pin-value={pin} {library}"
policy:
  - id: token
    algorithm: {algorithm}
    keystore: token
template:
  - id: default
    storage: {work}
    file: "%s.zone"
    dnssec-policy: token
zone:
  - domain: example
"""

ZONE = """\
example. 3600 SOA ns.example. admin.example. {serial} 3600 900 604800 300
example. 3600 NS ns.example.
ns.example. 3600 A 192.0.2.1
{more}
"""

ALGORITHMS = {
    "rsasha256": ("RSASHA256", "RSA"),
    "ecdsap256sha256": ("ECDSAP256SHA256", "EC"),
    "ecdsap384sha384": ("ECDSAP384SHA384", "EC"),
}


def sign(token: Token, serial: int, more: str = "") -> Path:
    """Sign the zone; return the signed one."""
    token.file("example.zone", ZONE.format(serial=serial, more=more).encode())
    token.run("kzonesign", "-c", "knot.conf", "-o", "signed", "example")
    return token.work / "signed" / "example.zone"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_zone_is_signed_twice_with_the_same_keys(token: Token, algorithm: str) -> None:
    name, key_type = ALGORITHMS[algorithm]
    text = CONFIGURATION.format(
        work=token.work, url=token.url, pin=token.pin, library=token.library, algorithm=algorithm
    )
    token.file("knot.conf", text.encode())
    for serial, more in ((1, ""), (2, "www.example. 3600 A 192.0.2.2")):
        signed = sign(token, serial, more)
        verified = token.run("dnssec-verify", "-o", "example", signed)
        assert f"Algorithm: {name}: KSKs: 1 active" in verified.text
        assert "ZSKs: 1 active" in verified.text
    keys = token.user("--list-objects", "--type", "privkey").text
    assert keys.count(f"Private Key Object; {key_type}") == 2
    assert not list(token.work.glob("**/*.pem"))


def test_another_token_without_the_keys_signs_nothing(token: Token) -> None:
    """The zone's signatures come from the token: without it there are none."""
    text = CONFIGURATION.format(
        work=token.work, url="pkcs11:token=other", pin=token.pin, library=token.library,
        algorithm="ecdsap256sha256",
    )  # fmt: skip
    token.file("knot.conf", text.encode())
    with pytest.raises(AssertionError, match="failed to sign the zone"):
        sign(token, 1)
