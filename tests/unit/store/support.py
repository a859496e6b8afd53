"""What the store's tests share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Value
from pypkcs11.store.pins import KdfCost
from pypkcs11.store.protocol import Record

CHEAP = KdfCost(memory=64, iterations=1)
SO_PIN = b"the so's pin"
USER_PIN = b"1234"
SOURCES = Path(__file__).resolve().parents[3] / "src"
TESTS = Path(__file__).resolve().parents[2]


def record(
    number: int = 0, *, private: bool = False, secret: dict[int, Value] | None = None
) -> Record:
    """A record that looks like an EC key."""
    attributes: dict[int, Value] = {
        0x0: 3,
        0x1: True,
        0x2: private,
        0x3: b"label %d" % number,
        0x100: 3,
        0x102: b"id-%d" % number,
        0x180: bytes.fromhex("06082a8648ce3d030107"),
        0x600: (1, 2, 3),
        0x40000211: ((0x0, 4), (0x162, False)),
    }
    return Record(0, private, attributes, dict(secret or {}))


@contextmanager
def fails(*rvs: int) -> Iterator[None]:
    """The block raises one of these return codes."""
    with pytest.raises(CryptokiError) as caught:
        yield
    assert caught.value.rv in rvs, caught.value


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a Python program that may import the project and these helpers."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{SOURCES}:{TESTS}"},
    )


def run(program: str, *arguments: object) -> str:
    """Run such a program to its end and return what it printed."""
    process = start(program, *arguments)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output
