"""The number of a token's last change, in a small file that all processes read.

Asking SQLite whether something changed costs several system calls and its locks; reading eight
octets costs one. A writer, alone because it holds SQLite's write lock, puts the number that its
change will have into the file ``<SERIAL>.changes`` before its COMMIT. So a reader that finds the
number it knows knows that there is nothing newer, and one that finds another looks into the
database, as often as need be: where a writer was killed before its COMMIT, until the next one has
committed.

The number is a hint that saves time, never the truth: readers also look into the database at
intervals (:data:`INTERVAL`), so that a file which was removed, replaced or could not be made
delays what they see by that much at the most.

The file is read, not mapped: who touches memory of a file that somebody has truncated meanwhile is
killed by SIGBUS. Readers keep it open. Writers open it anew, because a host that closes
descriptors which are not its own may have another file under the number.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from pypkcs11.store import files

#: Seconds between looks into the database while the number stays the same.
INTERVAL: Final = 0.05

#: How long an attempt at a PIN waits for the one before it, in seconds.
PATIENCE: Final = 20.0

_SIZE: Final = 8
_NO_DESCRIPTOR: Final = -1
_ORDER: Final = sys.byteorder


def octets(number: int) -> bytes:
    """A change's number as it stands in the file."""
    return number.to_bytes(_SIZE, _ORDER)


class Counter:
    """The shared number of one token.

    ``read`` gives its octets, as :func:`octets` does. They are none's where there is no number to
    be read, as before the first :meth:`renew`; a host that has closed the file makes it raise
    OSError. It is no method, because it is called for nearly every function of the standard.
    """

    read: Callable[[], bytes]

    def __init__(self, path: str | None) -> None:
        """:param path: the file, or None for a number of this process alone."""
        self.path = path
        self._descriptor = _NO_DESCRIPTOR
        self._identity: tuple[int, int] | None = None
        self.read = bytes if path else partial(bytes, octets(0))

    def renew(self) -> None:
        """See that what is open is the file that is now there; open it when it is not."""
        if self.path is None:
            return
        try:
            status = os.stat(self.path)
            there = (status.st_dev, status.st_ino)
            if there == self._identity == self._identify() and status.st_size >= _SIZE:
                return
        except OSError:
            pass
        self.close()
        with suppress(OSError):  # it may be there, for others to write
            self._make(self.path)
        try:
            self._descriptor = files.open_descriptor(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            self.read = partial(os.pread, self._descriptor, _SIZE, 0)
            self._identity = self._identify()
        except OSError:
            return

    def close(self) -> None:
        """Close the file, unless the host has done so and opened another in its place."""
        descriptor, self._descriptor = self._descriptor, _NO_DESCRIPTOR
        identity, self._identity = self._identity, None
        if descriptor == _NO_DESCRIPTOR:
            return
        self.read = bytes
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == identity:
                os.close(descriptor)
        except OSError:
            return

    def _identify(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_dev, status.st_ino

    def _make(self, path: str) -> None:
        descriptor = files.open_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            size = os.fstat(descriptor).st_size
            if size < _SIZE:
                os.fchmod(descriptor, 0o600)
                os.pwrite(descriptor, bytes(_SIZE - size), size)
        finally:
            os.close(descriptor)

    def announce(self, number: int) -> None:
        """Say what number the last change has or is about to have. Under the write lock only."""
        if self.path is None:
            self.read = partial(bytes, octets(number))
            return
        try:
            descriptor = files.open_descriptor(self.path, os.O_WRONLY | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            os.pwrite(descriptor, octets(number), 0)
        except OSError:
            return
        finally:
            os.close(descriptor)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one, of all threads and processes, for as long as the block runs.

        A lock of the kernel's on the counter's file, through a descriptor of its own, which the
        end of the process releases. Whoever cannot have it in :data:`PATIENCE` goes on without.
        """
        descriptor = self._lock()
        try:
            yield
        finally:
            if descriptor is not None:
                # A child forked meanwhile shares the lock; closing alone would leave it held.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)

    def _lock(self) -> int | None:
        if self.path is None:
            return None
        self.renew()
        try:
            descriptor = files.open_descriptor(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.005)
                    continue
            except OSError:
                pass
            else:
                return descriptor
            os.close(descriptor)
            return None
