"""A fork finds no file of a token open, so that parent and child each have locks of their own.

What SQLite knows of an open file it knows by process: a child that opened it as well took its
parent's locks for its own, and lost the file when another process was the last to close it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from abi.compiling import SOURCES, compile_c

TOLD = """\
parent before the fork: 0 objects
parent before the fork: open
child after the fork: closed
child after the fork: 0 objects
child after the command: 2 objects
parent at the end: 2 objects
parent at the end: open
"""

HOST = """\
import ctypes, os, sys
module = ctypes.CDLL(sys.argv[1])
ok = lambda rv: None if rv == 0 else sys.exit(hex(rv))
files = lambda: sum(".token" in os.readlink(f"/proc/self/fd/{n}") for n in fds())
def fds():
    return [n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
def find():
    slots, session, size = (ctypes.c_ulong * 8)(), ctypes.c_ulong(), ctypes.c_ulong(8)
    ok(module.C_GetSlotList(1, slots, ctypes.byref(size)))
    found = (ctypes.c_ulong * 8)()
    ok(module.C_OpenSession(ctypes.c_ulong(slots[0]), 4, None, None, ctypes.byref(session)))
    ok(module.C_FindObjectsInit(session, None, ctypes.c_ulong(0)))
    ok(module.C_FindObjects(session, found, ctypes.c_ulong(8), ctypes.byref(size)))
    ok(module.C_FindObjectsFinal(session))
    return size.value
tell = lambda *what: print(*what, flush=True)
ok(module.C_Initialize(None))
tell("parent before the fork:", find(), "objects")
tell("parent before the fork:", "open" if files() else "closed")
pid = os.fork()
if pid == 0:
    tell("child after the fork:", "open" if files() else "closed")
    ok(module.C_Initialize(None))
    tell("child after the fork:", find(), "objects")
    if os.system(sys.argv[2]) != 0: os._exit(1)
    tell("child after the command:", find(), "objects")
    os._exit(0)
if os.waitpid(pid, 0)[1] != 0: sys.exit("the child failed")
tell("parent at the end:", find(), "objects")
tell("parent at the end:", "open" if files() else "closed")
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(
        SOURCES / "fork_files.c", tmp_path_factory.mktemp("fork") / "fork_files", "-std=gnu11"
    )


@pytest.fixture
def token(library: Path, token_dir: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a token without objects, whose PINs cost little."""
    cheap = tmp_path / "config.toml"
    cheap.write_text("[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n")
    env = {**os.environ, "PYPKCS11_TOKEN_DIR": str(token_dir), "PYPKCS11_CONF": str(cheap)}
    run(env, *tool(library), "--init-token", "--label", "t", "--so-pin", "12345678")
    run(env, *tool(library), "--init-pin", "--login", "--login-type", "so",
        "--so-pin", "12345678", "--pin", "1234")  # fmt: skip
    return env


def tool(library: Path) -> list[str]:
    return ["pkcs11-tool", "--module", str(library)]


def make_objects(library: Path) -> str:
    """A command that makes two public objects, one process after the other."""
    write = [*tool(library), "--write-object", "/dev/null", "--type", "data", "--label", "object",
             "--login", "--pin", "1234"]  # fmt: skip
    return f"{{ {shlex.join(write)} && {shlex.join(write)}; }} > /dev/null 2>&1"


def run(env: dict[str, str], *command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_c_program(library: Path, program: Path, token: dict[str, str]) -> None:
    assert run(token, program, library, make_objects(library)) == TOLD


def test_a_python_host(library: Path, token: dict[str, str]) -> None:
    assert run(token, sys.executable, "-c", HOST, library, make_objects(library)) == TOLD
