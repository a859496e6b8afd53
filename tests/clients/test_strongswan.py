"""strongSwan: its CA works with keys in the token, and its daemon sets up tunnels with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clients.harness import Result, Token
from clients.strongswan import THROUGH_THE_TUNNEL, Pki, TwoHosts, log_of

AUTHENTICATED = "authentication of 'moon' with "
"""What sun's daemon logs when moon's signature is right."""

KEY_TYPES = ["rsa:2048", "EC:prime256v1", "EC:secp384r1", "EC:secp521r1"]


def type_of(key_type: str) -> str:
    """What pki calls a type of key."""
    return "rsa" if key_type.startswith("rsa") else "ecdsa"


@pytest.fixture
def pki(token: Token) -> Pki:
    return Pki(token)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_an_authority_issues(pki: Pki, key_type: str) -> None:
    """Its own certificate, a host's, and a list of what is revoked; openssl verifies them."""
    token = pki.token
    token.generate(key_type, "01", "ca")
    openssl = token.openssl
    der, pem = ["--outform", "der"], ["--outform", "pem"]

    public = pki("public.der", "--pub", "--type", "priv", "--keyid", "01", *der)
    assert public.read_bytes() == token.public_key("01").read_bytes()

    authority = pki("ca.pem", "--self", "--ca", "--type", type_of(key_type), "--keyid", "01",
                    "--dn", "CN=authority", *pem)  # fmt: skip
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "host.key", "-subj", "/CN=host",
            "-outform", "DER", "-out", "host.req")  # fmt: skip
    issuer = ["--cacert", authority, "--cakeyid", "01"]
    host = pki("host.pem", "--issue", "--type", "pkcs10", "--in", "host.req", *issuer,
               "--san", "host.example", *pem)  # fmt: skip
    assert openssl("verify", "-CAfile", authority, host).text == "host.pem: OK\n".replace(
        "host.pem", str(host)
    )
    revoked = pki("crl.pem", "--signcrl", *issuer, "--cert", host, "--reason", "superseded", *pem)
    answer = openssl_verdict(token, "-crl_check", "-CRLfile", revoked, "-CAfile", authority, host)
    assert "certificate revoked" in answer.text


def openssl_verdict(token: Token, *arguments: str | Path) -> Result:
    """What openssl says of a certificate that it need not accept."""
    shell = 'openssl verify "$@" || true'
    return token.run("bash", "-c", shell, "verify", *arguments)


def test_a_request_is_signed(pki: Pki) -> None:
    pki.token.generate("EC:secp384r1", "01", "host")
    request = pki("host.req", "--req", "--type", "ecdsa", "--keyid", "01", "--dn", "CN=host",
                  "--san", "host.example")  # fmt: skip
    checked = pki.token.openssl("req", "-inform", "DER", "-in", request, "-verify", "-noout")
    assert "verify OK" in checked.text


def test_a_wrong_pin_is_refused(pki: Pki) -> None:
    pki.token.generate("EC:prime256v1", "01", "ca")
    arguments = ["--self", "--type", "ecdsa", "--keyid", "01", "--dn", "CN=x"]
    refused = pki.attempt(*arguments, pin="9999")
    assert refused.code != 0
    assert "PIN_INCORRECT" in refused.text
    pki("x.der", *arguments)


def is_up(result: Result) -> bool:
    """Whether the tunnel was set up and carried a page."""
    return "\nthrough the tunnel\n" in result.text and "INSTALLED, TUNNEL" in result.text


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_tunnel(token: Token, key_type: str) -> None:
    hosts = TwoHosts.made(token)
    token.generate(key_type, "01", "moon")
    hosts.certify_moon()
    result = hosts.run()
    assert is_up(result), result
    assert log_of("sun", result).count(AUTHENTICATED) == 1, result


def test_a_tunnel_as_the_page_has_it(token: Token, root: Path) -> None:
    """The two blocks of the page, with this test's addresses and names."""
    page = (root / "docs" / "strongswan.md").read_text()
    module, connection = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for theirs, ours in (
        ("/usr/local/lib/pkcs11/libpypkcs11.so", str(token.library)),
        ("192.0.2.2", "10.9.0.2"),
        ("198.51.100.0/24", "10.9.1.0/24"),
        ("203.0.113.0/24", "10.9.2.0/24"),
        (".example", ""),
    ):
        module, connection = module.replace(theirs, ours), connection.replace(theirs, ours)
    hosts = TwoHosts.made(token, module=module)
    (hosts.swanctl("moon") / "swanctl.conf").write_text(connection)
    token.generate("EC:prime256v1", "01", "moon")
    hosts.certify_moon()
    result = hosts.run()
    assert is_up(result), result
    assert log_of("sun", result).count(AUTHENTICATED) == 1, result


def test_the_certificate_is_in_the_token_too(token: Token) -> None:
    hosts = TwoHosts.made(token, certificate="cert { handle = 01 }")
    token.generate("EC:prime256v1", "01", "moon")
    certificate = hosts.certify_moon()
    token.openssl("x509", "-in", certificate, "-outform", "DER", "-out", "moon.der")
    certificate.unlink()
    token.user("--write-object", "moon.der", "--type", "cert", "--id", "01", "--label", "moon")
    result = hosts.run()
    assert is_up(result), result


EVERYTHING = "\n".join(
    f"use_{what} = yes" for what in ("ecc", "hasher", "pubkey", "rng")
)  # fmt: skip


@pytest.mark.parametrize("key_type", KEY_TYPES[:2])
def test_the_token_does_what_else_it_can(token: Token, key_type: str) -> None:
    """Digests, random numbers and other hosts' signatures as well."""
    hosts = TwoHosts.made(token, options=EVERYTHING)
    token.generate(key_type, "01", "moon")
    hosts.certify_moon()
    result = hosts.run()
    assert is_up(result), result


def test_a_key_that_asks_each_time(token: Token) -> None:
    """CKA_ALWAYS_AUTHENTICATE: the daemon gives the PIN of its configuration again."""
    hosts = TwoHosts.made(token)
    token.generate("EC:prime256v1", "01", "moon", "--always-auth")
    hosts.certify_moon()
    again = "on_moon swanctl --initiate --child net\non_moon swanctl --terminate --ike net\n"
    result = hosts.run(again + THROUGH_THE_TUNNEL)
    assert is_up(result), result
    assert log_of("sun", result).count(AUTHENTICATED) == 2, result


def test_a_wrong_pin_sets_up_nothing(token: Token) -> None:
    hosts = TwoHosts.made(token, pin="9999")
    token.generate("EC:prime256v1", "01", "moon")
    hosts.certify_moon()
    result = hosts.run("on_moon swanctl --initiate --child net --timeout 30 || echo refused")
    assert "refused" in result.text
    assert "PIN_INCORRECT" in log_of("moon", result), result
    token.user("--list-objects")


def test_several_connections_at_once(token: Token) -> None:
    """Initiations that do not wait for each other, in the daemon's threads."""
    hosts = TwoHosts.made(token)
    token.generate("rsa:2048", "01", "moon")
    hosts.certify_moon()
    at_once = "for _ in 1 2 3 4 5 6; do on_moon swanctl --initiate --child net & waited+=($!); done"
    result = hosts.run(f"waited=()\n{at_once}\nfor one in ${{waited[@]}}; do wait $one; done")
    assert log_of("sun", result).count(AUTHENTICATED) == 6, result
