"""Serials: 16 upper-case hex digits, and the one that the next token will have.

A slot's id is made of the end of its token's serial, so the next token's serial must be the same
in all processes and from run to run: it is kept in the file ``next`` of the directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from pypkcs11.store import files

_SERIAL = re.compile(r"[0-9A-F]{16}")


def is_serial(text: str) -> bool:
    """Whether a text is a serial."""
    return _SERIAL.fullmatch(text) is not None


def slot_id(serial: str) -> int:
    """Return the id of the slot that a token is in: 31 bits, because SunPKCS11 needs it."""
    return int(serial[-8:], 16) & 0x7FFF_FFFF


def new_serial(taken: Collection[str]) -> str:
    """Return a random serial whose slot id is not 0 and not that of any in ``taken``."""
    slots = {slot_id(serial) for serial in taken} | {0}
    while True:
        serial = os.urandom(8).hex().upper()
        if slot_id(serial) not in slots:
            return serial


def is_free(serial: str, taken: Collection[str]) -> bool:
    """Whether a next token may have this serial."""
    return is_serial(serial) and slot_id(serial) not in {0, *map(slot_id, taken)}


def read_next(path: str) -> str:
    """Return what a file holds, which need not be a serial; empty when it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def write_next(path: str, serial: str) -> None:
    """Replace a file at once and for good.

    :raises OSError: as it comes.
    """
    temporary = f"{path}.{os.urandom(8).hex()}"
    descriptor = files.open_descriptor(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, serial.encode("ascii") + b"\n")
        os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
