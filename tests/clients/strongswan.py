"""strongSwan around a token: the pki command, and two hosts with an IPsec tunnel between them."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from clients.harness import Argument, Result, Token, attempt, run

TWO_HOSTS = Path(__file__).with_name("two_hosts.sh")

MODULE = "pkcs11 {{ modules {{ token {{ path = {library} }} }}\n {options} }}"

PKI = """\
pki {{
  load = random nonce sha1 sha2 hmac pem pkcs1 pkcs8 x509 pubkey constraints pkcs11 openssl
  plugins {{ {module} }}
}}
"""

DAEMON = """\
charon {{
  load = random nonce sha1 sha2 hmac kdf pem pkcs1 pkcs8 x509 pubkey constraints aes gcm {module_name} openssl curve25519 kernel-libipsec kernel-netlink socket-default vici
  filelog {{ log {{
    path = {directory}/log
    default = 1
    flush_line = yes
  }} }}
  reuse_ikesa = no
  plugins {{
    vici {{ socket = unix://{directory}/vici }}
    {module}
  }}
}}
swanctl {{
  load = pem x509 pubkey pkcs1 pkcs8 openssl
  plugins {{ vici {{ socket = unix://{directory}/vici }} }}
}}
"""  # noqa: E501

CONNECTION = """\
connections {{
  net {{
    {remote}
    unique = never
    proposals = aes128-sha256-ecp256
    local {{
      auth = pubkey
      id = {name}
      {certificate}
    }}
    remote {{
      auth = pubkey
      id = {peer}
    }}
    children {{
      net {{
        esp_proposals = aes128gcm16
        local_ts = {behind}
        remote_ts = {beyond}
      }}
    }}
  }}
}}
{secrets}
"""

SECRETS = "secrets {{ token {{\n handle = 01\n pin = {pin}\n }} }}"

THROUGH_THE_TUNNEL = """
on_moon swanctl --initiate --child net --timeout 30
mkdir web
echo 'through the tunnel' > web/page
(cd web; on_sun "$PYTHON" -m http.server --bind 10.9.2.1 8000 > log 2>&1 &)
curl --silent --show-error --noproxy '*' --interface 10.9.1.1 --max-time 20 --retry 40 \
    --retry-delay 1 --retry-connrefused http://10.9.2.1:8000/page
on_moon swanctl --list-sas
"""


@dataclass(frozen=True)
class Pki:
    """The pki command with the token's keys."""

    token: Token

    def attempt(self, *arguments: Argument, pin: str | None = None) -> Result:
        """Run the command, which gets the PIN when it asks."""
        module = MODULE.format(library=self.token.library, options="")
        config = self.token.file("pki.conf", PKI.format(module=module).encode())
        env = {**self.token.env, "STRONGSWAN_CONF": str(config)}
        given = f"{pin or self.token.pin}\n".encode()
        return attempt("pki", *arguments, env=env, cwd=self.token.work, stdin=given)

    def __call__(self, name: str, *arguments: Argument) -> Path:
        """Run the command, which must succeed; its output becomes a file."""
        result = self.attempt(*arguments)
        assert result.code == 0, f"the command failed\n{result}"
        return self.token.file(name, result.stdout)


@dataclass(frozen=True)
class TwoHosts:
    """Moon, whose key is in the token, and sun, whose key is in a file."""

    token: Token

    @classmethod
    def made(cls, token: Token, *, pin: str | None = None,
             certificate: str = "certs = moon.pem", options: str = "",
             module: str | None = None) -> TwoHosts:  # fmt: skip
        """Both hosts' files, but for moon's certificate, which needs the key."""
        hosts = cls(token)
        openssl = token.openssl
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")  # fmt: skip
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-out", "sun.key")  # fmt: skip
        openssl("pkey", "-in", "sun.key", "-pubout", "-out", "sun.pub")
        secrets = SECRETS.format(pin=pin or token.pin)
        hosts._host("moon", "sun", "10.9.1.0/24", "10.9.2.0/24", certificate, secrets,
                    module or MODULE.format(library=token.library, options=options),
                    "remote_addrs = 10.9.0.2")  # fmt: skip
        hosts._host("sun", "moon", "10.9.2.0/24", "10.9.1.0/24", "certs = sun.pem", "", "",
                    "remote_addrs = %any")  # fmt: skip
        (token.work / "sun.key").rename(hosts.swanctl("sun") / "private" / "sun.key")
        hosts.certify("sun", token.work / "sun.pub")
        return hosts

    def swanctl(self, host: str) -> Path:
        """The directory of a host's connections and certificates."""
        return self.token.work / host / "swanctl"

    def certify(self, host: str, public: Path) -> Path:
        """Issue a certificate for a host's public key and put it into its place."""
        certificate = self.swanctl(host) / "x509" / f"{host}.pem"
        names = self.token.file("names", f"subjectAltName=DNS:{host}\n".encode())
        self.token.openssl("x509", "-new", "-subj", f"/CN={host}", "-force_pubkey", public,
                           "-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", names,
                           "-out", certificate)  # fmt: skip
        return certificate

    def certify_moon(self) -> Path:
        """Issue the certificate for the key in the token."""
        public = self.token.work / "moon.pub"
        self.token.openssl("pkey", "-pubin", "-inform", "DER", "-in", self.token.public_key("01"),
                           "-out", public)  # fmt: skip
        return self.certify("moon", public)

    def run(self, commands: str = THROUGH_THE_TUNNEL) -> Result:
        """Start both hosts, run commands, end both."""
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() != 0:
            unshare.append("--map-root-user")
        env = {**self.token.env, "PYTHON": sys.executable}
        return run(*unshare, "bash", TWO_HOSTS, commands, env=env, cwd=self.token.work, timeout=120)

    def _host(self, name: str, peer: str, behind: str, beyond: str, certificate: str, secrets: str,
              module: str, remote: str) -> None:  # fmt: skip
        directory = self.token.work / name
        for part in ("x509", "x509ca", "private"):
            (directory / "swanctl" / part).mkdir(parents=True)
        authority = (self.token.work / "ca.pem").read_bytes()
        (directory / "swanctl" / "x509ca" / "ca.pem").write_bytes(authority)
        daemon = DAEMON.format(directory=directory, module=module,
                               module_name="pkcs11" if module else "")  # fmt: skip
        (directory / "strongswan.conf").write_text(daemon)
        connection = CONNECTION.format(
            remote=remote, name=name, peer=peer, behind=behind, beyond=beyond,
            certificate=certificate, secrets=secrets,
        )  # fmt: skip
        (directory / "swanctl" / "swanctl.conf").write_text(connection)


def log_of(host: str, result: Result) -> str:
    """What a host's daemon logged."""
    return re.split(r"^@@ log of (?=\w)", result.stdout.decode(), flags=re.MULTILINE)[
        1 if host == "moon" else 2
    ]
