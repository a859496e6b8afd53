"""OpenSSH around a token: its commands with the PIN at hand, a server, an agent."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clients.harness import Argument, Result, Token, attempt, background, free_port, run, running

SSHD = "/usr/sbin/sshd"
PRIVILEGE_SEPARATION = Path("/run/sshd")

USER = pwd.getpwuid(os.geteuid()).pw_name
"""Who logs in, to this same machine: whoever runs the tests."""

SERVER = """\
Port {port}
ListenAddress 127.0.0.1
UsePAM no
StrictModes no
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
LogLevel VERBOSE
"""

CLIENT = """\
Host server
  HostName 127.0.0.1
  Port {port}
  HostKeyAlias server
  UserKnownHostsFile {hosts}
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  PasswordAuthentication no
  KbdInteractiveAuthentication no
  IdentityFile none
"""

ASKPASS = """\
#!/bin/sh
echo "$*" >> asked
echo "$PIN"
"""


@dataclass(frozen=True)
class Ssh:
    """OpenSSH's commands in a token's environment; PINs are given by SSH_ASKPASS."""

    token: Token

    @classmethod
    def at(cls, token: Token) -> Ssh:
        token.file("askpass", ASKPASS.encode()).chmod(0o755)
        return cls(token)

    @property
    def work(self) -> Path:
        return self.token.work

    @property
    def env(self) -> dict[str, str]:
        return {
            **self.token.env,
            "PIN": self.token.pin,
            "SSH_ASKPASS": str(self.work / "askpass"),
            "SSH_ASKPASS_REQUIRE": "force",
        }

    def __call__(self, *arguments: Argument, **settings: str) -> Result:
        return run(*arguments, env={**self.env, **settings}, cwd=self.work)

    def attempt(self, *arguments: Argument, **settings: str) -> Result:
        """Run a command that may fail."""
        return attempt(*arguments, env={**self.env, **settings}, cwd=self.work)

    def questions(self) -> list[str]:
        """What the user was asked since this was last looked at."""
        asked = self.work / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        asked.unlink(missing_ok=True)
        return lines

    def listed(self) -> list[str]:
        """The token's public keys, one a line: type, key, label."""
        return self("ssh-keygen", "-D", self.token.library).stdout.decode().splitlines()

    def public(self, label: str) -> Path:
        """A file with the one public key of this label."""
        (line,) = (line for line in self.listed() if line.split(" ", 2)[2] == label)
        return self.token.file(f"{label.rpartition('=')[2]}.pub", f"{line}\n".encode())

    def new_key(self, name: str) -> Path:
        """A key pair in files, not in the token."""
        self("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name)
        return self.work / name


@dataclass(frozen=True)
class Agent:
    """An ssh-agent and how it is reached."""

    ssh: Ssh
    socket: Path
    process: subprocess.Popen[bytes]

    def __call__(self, *arguments: Argument) -> Result:
        return self.ssh(*arguments, SSH_AUTH_SOCK=str(self.socket))

    def attempt(self, *arguments: Argument) -> Result:
        """Run a command that may fail."""
        return self.ssh.attempt(*arguments, SSH_AUTH_SOCK=str(self.socket))

    def add(self) -> None:
        """Give the agent the token's keys, and the PIN."""
        self("ssh-add", "-s", self.ssh.token.library)

    def keys(self) -> list[str]:
        """The public keys that the agent holds."""
        return self.attempt("ssh-add", "-L").stdout.decode().splitlines()

    def helper(self) -> int:
        """The process in which the agent has the library."""
        pid = self.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)


@contextmanager
def agent(ssh: Ssh, *options: str, name: str = "agent") -> Iterator[Agent]:
    """An agent that may load the library under test."""
    socket = ssh.work / f"{name}.socket"
    allowed = options or ("-P", os.path.realpath(ssh.token.library))
    command = ["ssh-agent", "-D", "-a", socket, *allowed]
    log = ssh.work / f"{name}.log"
    with running(*command, env=ssh.env, cwd=ssh.work, log=log, ready=socket.exists) as process:
        yield Agent(ssh, socket, process)


@dataclass(frozen=True)
class Server:
    """An sshd, and how its users log in."""

    ssh: Ssh
    log: Path

    def login(self, *options: Argument, via: Ssh | Agent) -> Result:
        """Log in; hand back how that went."""
        return via.attempt(*self.command(*options))

    def command(self, *options: Argument) -> list[str]:
        """The command that logs in and shows that it did."""
        return ["ssh", "-F", "ssh_config", *map(str, options), "server", "echo in as $USER"]


WELCOME = f"in as {USER}\n".encode()
"""What the command of a login writes."""


@contextmanager
def server(ssh: Ssh, *settings: str, host_key: Path | None = None) -> Iterator[Server]:
    """An sshd on localhost whose one user may log in as ``settings`` say.

    Its host key is made for it, unless ``host_key`` names a public key for which ``settings`` name
    an agent.
    """
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    port, work = free_port(), ssh.work
    key = host_key or ssh.new_key("host")
    public = key if host_key else key.with_suffix(".pub")
    hosts = ssh.token.file("known_hosts", b"server " + public.read_bytes())
    ssh.token.file("ssh_config", CLIENT.format(port=port, hosts=hosts).encode())
    lines = SERVER.format(port=port) + "\n".join([f"HostKey {key}", *settings]) + "\n"
    config = ssh.token.file("sshd_config", lines.encode())
    command = [SSHD, "-D", "-e", "-f", config]
    with background(*command, env=ssh.env, cwd=work, port=port) as log:
        yield Server(ssh, log)


def authorized(*keys: Path) -> str:
    """The setting that lets these public keys, and no others, log in."""
    every = keys[0].with_name("authorized_keys")
    every.write_bytes(b"".join(key.read_bytes() for key in keys))
    return f"AuthorizedKeysFile {every}"
