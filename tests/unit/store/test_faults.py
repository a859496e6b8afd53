"""Disks that fail: at every call of every kind that a change makes, and for good.

Whatever fails, the token is as it was before the change or after it, the caller is told which kind
of failure it was, the reason names the file, and other tokens go on.
"""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.store.support import SOURCES, TESTS

from pypkcs11.standard.constants import (
    CKR_DEVICE_ERROR,
    CKR_DEVICE_MEMORY,
    CKR_TOKEN_NOT_RECOGNIZED,
    CKR_TOKEN_WRITE_PROTECTED,
)

KINDS = {"open": 1, "write": 2, "sync": 3, "truncate": 4, "read": 5}

#: What strikes: the kind of call, the error, and what the caller may be told.
FAULTS = {
    "full": ("write", errno.ENOSPC, {CKR_DEVICE_MEMORY, CKR_DEVICE_ERROR}),
    "write": ("write", errno.EIO, {CKR_DEVICE_ERROR}),
    "sync": ("sync", errno.EIO, {CKR_DEVICE_ERROR}),
    "truncate": ("truncate", errno.EIO, {CKR_DEVICE_ERROR}),
    # To SQLite a page that ends too early is a damaged one.
    "read": ("read", errno.EIO, {CKR_DEVICE_ERROR, CKR_TOKEN_NOT_RECOGNIZED}),
    # What cannot be opened for writing SQLite opens for reading, where that works.
    "files": ("open", errno.EMFILE, {CKR_DEVICE_ERROR, CKR_TOKEN_WRITE_PROTECTED}),
    "access": ("open", errno.EACCES, {CKR_TOKEN_WRITE_PROTECTED, CKR_DEVICE_ERROR}),
}

CHANGES = {"insert", "update", "delete", "set_pin", "initialise", "create", "remove"}

PROGRAM = """
import ctypes, os, shutil, sys
from pathlib import Path
from pypkcs11.standard.errors import CryptokiError, MediumError
from pypkcs11.store.protocol import Record, Role
from pypkcs11.store.sqlite import SqliteDirectory
from unit.store.support import CHEAP, SO_PIN, USER_PIN, record

faults = ctypes.CDLL(sys.argv[1])
base, kind, error, stays = Path(sys.argv[2]), *map(int, sys.argv[3:6])

first = SqliteDirectory(base / "model", kdf=CHEAP)
model = first.create(first.next_serial(), "model", SO_PIN)
model.unlock(Role.SO, SO_PIN, 0)
model.set_pin(Role.USER, USER_PIN)
kept, changed, gone = model.insert(
    [record(n, private=True, secret={0x11: b"%d" % n}) for n in (1, 2, 3)]
)
other = first.create(first.next_serial(), "other", SO_PIN)
first.close()
serial = model.serial

def contents(directory, serial):
    token = directory.open(serial)
    try:
        token.unlock(Role.USER, USER_PIN, 0)
        with token._database.reading() as now:
            assert now.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [(one.id, one.attributes, token.secret(one.id)) for one in token.load(private=True)]
    finally:
        token.close()

def open_and(change):
    def work(directory):
        token = directory.open(serial)
        try:
            token.unlock(Role.USER, USER_PIN, 0)
            change(token)
        finally:
            token.close()
    return work

CHANGES = {
    "insert": open_and(lambda token: token.insert([record(n, private=True) for n in range(40)])),
    "update": open_and(
        lambda token: token.update(Record(changed, True, {3: b"new"}, {0x11: b"new"}), secret=True)
    ),
    "delete": open_and(lambda token: token.delete(gone)),
    "set_pin": open_and(lambda token: token.set_pin(Role.USER, USER_PIN)),
    "initialise": open_and(lambda token: token.initialise("anew", SO_PIN)),
    "create": lambda directory: directory.create("0123456789ABCDEF", "new", SO_PIN).close(),
    "remove": lambda directory: directory.remove(serial),
}

def observe(directory):
    serials = directory.serials()
    try:
        mine = contents(directory, serial) if serial in serials else None
    except CryptokiError as refusal:
        mine = refusal.rv  # after initialising it has no user PIN
    labels = [directory.open(one).describe().label for one in serials]
    assert "other" in labels
    return labels, mine

work = base / "work"
for name, change in CHANGES.items():
    states = []
    for n in range(2):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(base / "model", work)
        directory = SqliteDirectory(work, kdf=CHEAP)
        if n:
            change(directory)
        states.append(repr(observe(directory)))
        directory.close()
    nth = 0
    struck = True
    while struck:
        nth += 1
        shutil.rmtree(work)
        shutil.copytree(base / "model", work)
        directory = SqliteDirectory(work, kdf=CHEAP)
        rv, reason = 0, ""
        faults.faults_arm(kind, b"/work/", nth, error, stays)
        try:
            change(directory)
        except MediumError as failure:
            rv, reason = failure.rv, failure.reason
        struck = bool(faults.faults_disarm())
        directory.close()
        fresh = SqliteDirectory(work, kdf=CHEAP)
        try:
            state = repr(observe(fresh))
        finally:
            fresh.close()
        old, new = (state == known for known in states)
        print(name, nth, rv, int(old), int(new), reason, sep="|", flush=True)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk that fails, compiled."""
    target = tmp_path_factory.mktemp("faults") / "faults.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source = Path(__file__).parent / "c" / "faults.c"
    options = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*compiler, *options, "-o", target, source, "-ldl"], check=True)
    return target


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where syncing costs nothing, if there is such a place: hundreds of tokens are made."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_leaves_the_old_state_or_the_new(
    shim: Path, place: Path, fault: str, lasting: bool
) -> None:
    kind, error, allowed = FAULTS[fault]
    arguments = [shim, place, *map(str, (KINDS[kind], error, int(lasting)))]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        env={"PYTHONPATH": f"{SOURCES}:{TESTS}", "LD_PRELOAD": str(shim)},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    lines = [line.split("|", 5) for line in done.stdout.splitlines()]
    assert {line[0] for line in lines} == CHANGES
    for change, nth, rv, old, new, reason in lines:
        shown = f"{change}, call {nth}: {int(rv):#x} {reason}"
        if rv == "0":
            assert new == "1", shown
        else:
            assert "1" in (old, new), shown
            assert int(rv) in allowed, shown
            assert str(place / "work") in reason and ": " in reason, shown
    assert any(line[2] != "0" for line in lines)
