"""Run real programs against the library, and say everything when one of them fails."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

Argument = str | Path

TIMEOUT = 60.0
"""Seconds that one command may take."""

SETTINGS = ("PYPKCS11_", "PKCS11_", "P11_KIT_", "GNUTLS_", "OPENSSL_", "OPENSC_", "SSH_", "XDG_")
"""Prefixes of variables that steer the programs or the library; no test inherits them."""

EC_ATTRIBUTE = re.compile(r"(EC_POINT|EC_PARAMS): +([0-9a-f]+)")


@dataclass(frozen=True)
class Result:
    """What a command wrote and how it ended."""

    command: str
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output and standard error, one after the other."""
        return self.stdout.decode(errors="replace") + self.stderr.decode(errors="replace")

    def __str__(self) -> str:
        return f"$ {self.command}\nexit code: {self.code}\n{_printable(self)}"


def run(
    *arguments: Argument,
    env: Mapping[str, str],
    cwd: Path,
    stdin: bytes = b"",
    timeout: float = TIMEOUT,
) -> Result:
    """Run a command that must succeed; fail with all that it wrote otherwise."""
    result = attempt(*arguments, env=env, cwd=cwd, stdin=stdin, timeout=timeout)
    assert result.code == 0, f"the command failed\n{result}"
    return result


def attempt(
    *arguments: Argument,
    env: Mapping[str, str],
    cwd: Path,
    stdin: bytes = b"",
    timeout: float = TIMEOUT,
) -> Result:
    """Run a command and hand back its result, whatever its exit code; fail if it hangs."""
    command = [str(argument) for argument in arguments]
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, input=stdin, capture_output=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as late:
        result = Result(shlex.join(command), -1, late.stdout or b"", late.stderr or b"")
        raise AssertionError(f"no end after {timeout} seconds\n{result}") from None
    return Result(shlex.join(command), done.returncode, done.stdout, done.stderr)


def clean_environment(home: Path, **settings: str | Path) -> dict[str, str]:
    """This process's environment with a home of its own and none of the settings under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {
        **kept,
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
        **{k: str(v) for k, v in settings.items()},
    }


@dataclass(frozen=True)
class Token:
    """A token in a directory of its own, and how the programs reach it."""

    library: Path
    work: Path
    env: dict[str, str]
    label: str = "test token"
    so_pin: str = "12345678"
    pin: str = "1234"

    @property
    def openssl(self) -> Openssl:
        """The openssl command, which knows nothing of this token."""
        return Openssl(self.work, self.env)

    @property
    def url(self) -> str:
        """The token's PKCS #11 URI (RFC 7512)."""
        return f"pkcs11:token={self.label.replace(' ', '%20')}"

    def run(self, *arguments: Argument, **settings: str) -> Result:
        """Run any program in the token's environment; it must succeed."""
        return run(*arguments, env={**self.env, **settings}, cwd=self.work)

    def initialise(self) -> None:
        """Initialise the token in the first free slot, and its user PIN, with pkcs11-tool."""
        self.run("pkcs11-tool", "--module", self.library,
                 "--init-token", "--label", self.label, "--so-pin", self.so_pin)  # fmt: skip
        self.public("--init-pin", "--so-pin", self.so_pin, "--pin", self.pin)

    def initialise_again(self) -> None:
        """Empty the token, keeping its label and PINs."""
        self.public("--init-token", "--label", self.label, "--so-pin", self.so_pin)
        self.public("--init-pin", "--so-pin", self.so_pin, "--pin", self.pin)

    def public(self, *arguments: Argument) -> Result:
        """pkcs11-tool on this token, without a login."""
        return self.run(*self._tool(), *arguments)

    def user(self, *arguments: Argument) -> Result:
        """pkcs11-tool on this token, logged in as the user."""
        return self.run(*self._tool(), "--login", "--pin", self.pin, *arguments)

    def attempt(self, *arguments: Argument) -> Result:
        """pkcs11-tool on this token, where a failure is what the test looks for."""
        return attempt(*self._tool(), *arguments, env=self.env, cwd=self.work)

    def _tool(self) -> list[Argument]:
        return ["pkcs11-tool", "--module", self.library, "--token-label", self.label]

    def file(self, name: str, content: bytes) -> Path:
        """Write a file into the working directory."""
        path = self.work / name
        path.write_bytes(content)
        return path

    def generate(self, key_type: str, key_id: str, label: str, *arguments: str) -> None:
        """Generate a key pair."""
        self.user("--keypairgen", "--key-type", key_type, "--id", key_id, "--label", label,
                  *arguments)  # fmt: skip

    def public_key(self, key_id: str) -> Path:
        """Export a public key for openssl; a DER SubjectPublicKeyInfo.

        An EC key is put together from its listed attributes: pkcs11-tool 0.23 uses memory that it
        freed when it exports one, and fails on P-384.
        """
        path = self.work / f"public-{key_id}.der"
        listing = self.public("--list-objects", "--type", "pubkey", "--id", key_id).text
        if "Public Key Object; RSA" in listing:
            self.public("--read-object", "--type", "pubkey", "--id", key_id, "--output-file", path)
        else:
            path.write_bytes(_ec_public_key_info(listing))
        return path

    def sign(self, key_id: str, mechanism: str, data: Path, *arguments: str) -> Path:
        """Sign a file with pkcs11-tool; return the signature's path."""
        path = data.with_name(f"{data.name}.{key_id}.{mechanism}.sig")
        self.user("--sign", "--id", key_id, "--mechanism", mechanism, "--input-file", data,
                  "--output-file", path, *arguments)  # fmt: skip
        return path


@dataclass(frozen=True)
class Openssl:
    """The openssl command as the other side of an exchange."""

    work: Path
    env: Mapping[str, str]

    def __call__(self, *arguments: Argument) -> Result:
        return run("openssl", *arguments, env=self.env, cwd=self.work)

    def verifies(self, public_key: Path, data: Path, signature: Path, *arguments: str) -> None:
        """Verify a signature over a file with SHA-256 unless told otherwise."""
        result = self("dgst", *(arguments or ("-sha256",)), "-verify", public_key,
                      "-keyform", "DER", "-signature", signature, data)  # fmt: skip
        assert result.stdout == b"Verified OK\n", result


def free_port() -> int:
    """A TCP port on localhost that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for a condition, and fail with its name when it does not come in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what} after {seconds} seconds"
        time.sleep(0.05)


def accepts_connections(port: int) -> bool:
    """Whether something on localhost accepts TCP connections on this port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def background(
    *arguments: Argument, env: Mapping[str, str], cwd: Path, port: int
) -> Iterator[Path]:
    """Run a server for as long as the block lasts, from when it listens on ``port``.

    Gives the path of the file that receives the server's output.
    """
    log = cwd / f"server-{port}.log"
    with running(*arguments, env=env, cwd=cwd, log=log, ready=lambda: accepts_connections(port)):
        yield log


@contextmanager
def running(
    *arguments: Argument,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    ready: Callable[[], bool],
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for as long as the block lasts, from when it is ``ready``.

    ``log`` is the file that receives its output.
    """
    with log.open("wb") as output:
        program = subprocess.Popen(
            [str(argument) for argument in arguments],
            env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: ready() or program.poll() is not None, str(arguments[0]))
        assert program.poll() is None, f"it ended at once\n{log.read_text(errors='replace')}"
        yield program
    finally:
        program.terminate()
        try:
            program.wait(10)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(10)
        with suppress(ProcessLookupError):  # children that a server leaves behind
            os.killpg(program.pid, signal.SIGKILL)


def _ec_public_key_info(listing: str) -> bytes:
    """The SubjectPublicKeyInfo (RFC 5480) of the one EC key in a listing of pkcs11-tool."""
    found = {name: bytes.fromhex(value) for name, value in re.findall(EC_ATTRIBUTE, listing)}
    point = found["EC_POINT"][2 if found["EC_POINT"][1] < 0x80 else 3 :]
    algorithm = _der(0x30, bytes.fromhex("06072a8648ce3d0201") + found["EC_PARAMS"])
    return _der(0x30, algorithm + _der(0x03, b"\0" + point))


def _der(tag: int, content: bytes) -> bytes:
    """One DER value of at most 255 bytes."""
    length = bytes([len(content)] if len(content) < 0x80 else [0x81, len(content)])
    return bytes([tag]) + length + content


def _printable(result: Result) -> str:
    parts = (("stdout", result.stdout), ("stderr", result.stderr))
    return "\n".join(f"--- {name}\n{data.decode(errors='replace')}" for name, data in parts if data)
