"""A store in trouble, as a program and its operator see it: a clear code, and one line in the log.

The line names the file and the cause; other tokens go on as if nothing were.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from abi.client import NULL, ROOT, Client, refused
from abi.compiling import compile_c
from abi.conftest import SO_PIN, Token

from pypkcs11.standard import constants as C  # noqa: N812
from pypkcs11.store import schema

DATA = {C.CKA_CLASS: C.CKO_DATA, C.CKA_TOKEN: True, C.CKA_LABEL: b"kept"}


@pytest.fixture
def log(environment: None, tmp_path: Path) -> Path:
    """The library's log, from the next C_Initialize on."""
    path = tmp_path / "log"
    with (tmp_path / "config.toml").open("a") as configuration:
        configuration.write(f'[log]\nfile = "{path}"\nlevel = "error"\n')
    return path


def file_of(p11: Client, slot: int, tmp_path: Path) -> Path:
    serial = bytes(p11.token_info(slot).serialNumber).decode()
    return tmp_path / "tokens" / f"{serial}.token"


def overwrite(place: int, octets: bytes) -> Callable[[Path], None]:
    """Change part of a file."""

    def harm(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(place)
            file.write(octets)

    return harm


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(6000)


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (lambda path: path.write_bytes(b"no database at all" * 99), "not a database"),
        (lambda path: path.write_bytes(b""), "not a token of this module"),
        (cut, "malformed"),
        (overwrite(20, b"\x55"), "malformed"),
        (overwrite(60, (schema.VERSION + 1).to_bytes(4, "big")), "version 2"),
    ],
    ids=["other", "empty", "cut", "overwritten", "newer"],
)
def test_a_file_that_is_no_token(
    log: Path,
    p11: Client,
    token: Token,
    tmp_path: Path,
    harm: Callable[[Path], object],
    cause: str,
) -> None:
    path = file_of(p11, token.slot, tmp_path)
    (free,) = (s for s in p11.slots() if not p11.token_info(s).flags & C.CKF_TOKEN_INITIALIZED)
    p11.init_token(free, SO_PIN, "good")
    p11.create(p11.open(free), DATA)
    p11.do("C_Finalize", NULL)
    harm(path)
    p11.do("C_Initialize", NULL)
    with refused(C.CKR_TOKEN_NOT_RECOGNIZED):
        p11.open(token.slot)
    assert len(p11.find(p11.open(free), DATA)) == 1
    (line,) = log.read_text().splitlines()
    assert " error: C_OpenSession: CKR_TOKEN_NOT_RECOGNIZED " in line
    assert str(path) in line
    assert cause in line


#: A disk that fails at the first call of a kind, and then no longer.
PROGRAM = """
import ctypes, sys
from abi.client import CallError, Client, NULL
from pypkcs11.standard.constants import *

faults = ctypes.CDLL(sys.argv[1])
p11 = Client(sys.argv[2])
p11.do("C_Initialize", NULL)
(slot,) = (s for s in p11.slots() if p11.token_info(s).flags & CKF_TOKEN_INITIALIZED)
session = p11.open(slot)
data = {CKA_CLASS: CKO_DATA, CKA_TOKEN: True, CKA_PRIVATE: False, CKA_LABEL: b"kept"}
p11.create(session, data)
faults.faults_arm(int(sys.argv[3]), b".token", 1, int(sys.argv[4]), 0)
try:
    p11.create(session, data)
except CallError as error:
    print(error.rv + 0)
assert faults.faults_disarm()
assert len(p11.find(session, data)) == 1
p11.create(session, data)
assert len(p11.find(session, data)) == 2
"""


@pytest.fixture(scope="module")
def failing_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("faults") / "faults.so"
    source = ROOT / "tests" / "unit" / "store" / "c" / "faults.c"
    # ISO C does not let dlsym give functions.
    return compile_c(source, target, "-Wno-pedantic", "-shared", "-fPIC")


@pytest.mark.parametrize(
    ("kind", "error", "rv", "cause"),
    [
        (2, errno.ENOSPC, C.CKR_DEVICE_MEMORY, "full"),
        (2, errno.EIO, C.CKR_DEVICE_ERROR, "disk I/O error"),
        (3, errno.EIO, C.CKR_DEVICE_ERROR, "disk I/O error"),
    ],
    ids=["full", "write", "sync"],
)
def test_a_disk_that_fails(
    log: Path,
    p11: Client,
    token: Token,
    library: Path,
    failing_disk: Path,
    tmp_path: Path,
    kind: int,
    error: int,
    rv: int,
    cause: str,
) -> None:
    path = file_of(p11, token.slot, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, failing_disk, library, str(kind), str(error)],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PATH": os.environ["PATH"],
            "LD_PRELOAD": str(failing_disk),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}",
            "PYPKCS11_CONF": str(tmp_path / "config.toml"),
            "PYPKCS11_TOKEN_DIR": str(tmp_path / "tokens"),
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(rv)
    (line,) = log.read_text().splitlines()
    assert " error: C_CreateObject: " in line
    assert str(path) in line
    assert cause in line


def test_a_token_that_was_removed(log: Path, p11: Client, token: Token, tmp_path: Path) -> None:
    path = file_of(p11, token.slot, tmp_path)
    session = p11.open(token.slot)
    path.unlink()
    with refused(C.CKR_DEVICE_REMOVED):
        p11.create(session, DATA)
    (line,) = log.read_text().splitlines()
    assert str(path) in line
