"""System packages: which are needed for what, which are missing, and how to get them.

A requirement is met when the file it is needed for is there, wherever that came from, so a machine
without apt-get works too once its owner has installed the programs. Debian's names are only used to
install what is missing.
"""

from __future__ import annotations

import glob
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from report import SetupError, run


@dataclass(frozen=True)
class Requirement:
    """A Debian package, and the program (a bare name) or file (a pattern) that it is needed for."""

    package: str
    provides: str

    def is_met(self) -> bool:
        if self.provides.startswith("/"):
            return bool(glob.glob(self.provides))
        return shutil.which(self.provides) is not None


BUILD = (
    Requirement("gcc", "cc"),
    Requirement("libc6-dev", "/usr/include/stdio.h"),
)
DEMO = (
    *BUILD,
    Requirement("gnutls-bin", "p11tool"),
    Requirement("opensc", "pkcs11-tool"),
    Requirement("openssl", "openssl"),
)
TEST = (
    *DEMO,
    Requirement("apache2-bin", "/usr/*bin/apache2"),
    Requirement("bind9-utils", "dnssec-verify"),
    Requirement("curl", "curl"),
    Requirement("g++", "c++"),
    Requirement("iproute2", "ip"),
    Requirement("knot-dnssecutils", "kzonesign"),
    Requirement(
        "libcharon-extra-plugins", "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"
    ),
    Requirement("libengine-pkcs11-openssl", "/usr/lib/*/engines-3/pkcs11.so"),
    Requirement("libnss3-tools", "certutil"),
    Requirement("libsofthsm2", "/usr/lib/softhsm/libsofthsm2.so"),
    Requirement("libstrongswan-extra-plugins", "/usr/lib/ipsec/plugins/libstrongswan-pkcs11.so"),
    Requirement(
        "libstrongswan-standard-plugins", "/usr/lib/ipsec/plugins/libstrongswan-openssl.so"
    ),
    Requirement("nginx", "/usr/*bin/nginx"),
    Requirement("openjdk-17-jdk-headless", "javac"),
    Requirement("openssh-client", "ssh-keygen"),
    Requirement("openssh-server", "/usr/sbin/sshd"),
    Requirement("p11-kit", "p11-kit"),
    Requirement("p11-kit-modules", "/usr/lib/*/p11-kit-proxy.so"),
    Requirement("strongswan-charon", "/usr/lib/ipsec/charon"),
    Requirement("strongswan-pki", "pki"),
    Requirement("strongswan-swanctl", "/usr/sbin/swanctl"),
    Requirement("valgrind", "valgrind"),
)
#: What Debian asks before a package starts a service.
POLICY = "/usr/sbin/policy-rc.d"
NEEDED = {"bench": BUILD, "build": BUILD, "demo": DEMO, "fuzz": BUILD, "lint": (), "test": TEST}


def missing(purpose: str) -> list[str]:
    """The Debian packages that ``purpose`` still needs, in a stable order."""
    return [need.package for need in NEEDED[purpose] if not need.is_met()]


def install(names: list[str]) -> None:
    """Install Debian packages, as root or through a sudo that asks for no password.

    Raises SetupError with the one command to run when neither is possible.
    """
    if not names:
        return
    update = ["apt-get", "update", "-qq"]
    add = ["apt-get", "install", "-y", "--no-install-recommends", *names]
    if shutil.which("apt-get") is None:
        raise SetupError(
            "these Debian packages, or what your system calls them, must be installed first:\n"
            f"    {' '.join(names)}"
        )
    prefix = _root_prefix()
    if prefix is None:
        by_hand = f"sudo apt-get update && sudo {shlex.join(add)}"
        raise SetupError(
            "system packages are missing, and this user may not install them.\n"
            f"Run this command, then the same make again:\n\n    {by_hand}\n"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run([*prefix, *update], env=environment)
    with _no_services(prefix):
        run([*prefix, *add], env=environment)


@contextmanager
def _no_services(prefix: list[str]) -> Iterator[None]:
    """Let no package start a service meanwhile: the tests start what they need, where they need it.

    Debian asks this program before a package's scripts start one; 101 forbids it.
    """
    if os.path.lexists(POLICY):
        yield  # the machine's owner has an opinion already
        return
    forbid = f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"
    run([*prefix, "sh", "-c", forbid])
    try:
        yield
    finally:
        run([*prefix, "rm", "-f", POLICY])


def _root_prefix() -> list[str] | None:
    """What to put before apt-get: nothing for root, sudo, or None when neither is possible."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    if allowed.returncode != 0:
        return None
    return ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
