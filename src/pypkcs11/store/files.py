"""Files that only their owner can read, made and named so that a crash leaves whole ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_STDERR: Final = 2

#: What a token's file is called: its serial, and this.
SUFFIX: Final = ".token"


def open_descriptor(path: str, flags: int) -> int:
    """Open a file as :func:`os.open` does, mode 0600, never as a standard stream.

    :raises OSError: as it comes.
    """
    with standard_streams_taken():
        return os.open(path, flags | os.O_CLOEXEC, 0o600)


@contextmanager
def standard_streams_taken() -> Iterator[None]:
    """Whatever is opened in the block gets none of the descriptors 0, 1 and 2.

    A host that runs with one of them closed would print into the file that got its number. What
    takes their place meanwhile can be neither read nor written.
    """
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open("/", os.O_PATH | os.O_CLOEXEC))
            if taken[-1] > _STDERR:
                break
        os.close(taken.pop())
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)


def make(path: str) -> None:
    """Make an empty file of mode 0600, whatever the umask.

    :raises OSError: as it comes; FileExistsError when something is there.
    """
    descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
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
    descriptor = open_descriptor(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
