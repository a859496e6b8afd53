"""Files that only their owner can read, made and named so that a crash leaves whole ones."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

#: What a token's file is called: its serial, and this.
SUFFIX: Final = ".token"


def make(path: str) -> None:
    """Make an empty file of mode 0600, whatever the umask.

    :raises OSError: as it comes; FileExistsError when something is there.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        # SQLite gives its companions the mode that the file has.
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def make_directory(path: str) -> None:
    """Make a directory of mode 0700, and those that it is in, unless it is there."""
    if os.path.isdir(path):
        return
    make_directory(os.path.dirname(path))
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, 0o700)


def publish(temporary: str, path: str) -> bool:
    """Give a file its name; return False, and do nothing, when the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        os.rename(temporary, path)  # a file system without links
    return True


def unlink(path: str) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def unlink_companions(path: str) -> None:
    """Remove what lies beside a database: SQLite's own files, and the number of changes."""
    for companion in ("-wal", "-shm", "-journal"):
        unlink(path + companion)
    if path.endswith(SUFFIX):
        unlink(path.removesuffix(SUFFIX) + ".changes")


def sync(path: str) -> None:
    """See that a file, or what a directory lists, is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
