"""The number of a token's last change, in memory shared by all processes that have it open.

Asking SQLite whether something changed costs system calls; reading eight octets of shared memory
costs none. The file ``<SERIAL>.changes`` is mapped by every process. A writer, alone because it
holds SQLite's write lock, puts the number that its change will have there before its COMMIT. So
a reader that finds the number it knows knows that there is nothing newer, and one that finds
another looks into the database, as often as need be: where a writer was killed before its COMMIT,
until the next one has committed.

The number is a hint that saves time, never the truth: readers also look into the database at
intervals (:data:`INTERVAL`), so that a file which was removed, replaced or could not be made
delays what they see by that much at the most.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

#: Seconds between looks into the database while the number stays the same.
INTERVAL: Final = 0.05

#: How long an attempt at a PIN waits for the one before it, in seconds.
PATIENCE: Final = 20.0

_SIZE = 8
_ABSENT: Final[Sequence[int]] = (-1,)  # never a change's number: always look


class Counter:
    """The shared number of one token."""

    def __init__(self, path: str | None) -> None:
        """:param path: the file, or None for a number of this process alone."""
        self.path = path
        self._view: memoryview | None = None
        self._identity: tuple[int, int] | None = None
        self.values: Sequence[int] = _ABSENT  #: its only element is the number
        if path is None:
            self._view = memoryview(bytearray(_SIZE)).cast("Q")
            self.values = self._view
        else:
            self.renew()

    def renew(self) -> None:
        """See that the mapping is of the file that is now there; map it when it is not."""
        if self.path is None:
            return
        try:
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == self._identity and status.st_size >= _SIZE:
                return
        except OSError:
            pass
        self._view, self._identity, self.values = None, None, _ABSENT
        try:
            self._map(self.path, os.O_RDWR | os.O_CREAT)
        except OSError:
            try:
                self._map(self.path, os.O_RDONLY)
            except (OSError, ValueError):
                return

    def _map(self, path: str, flags: int) -> None:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            status = os.fstat(descriptor)
            writable = bool(flags & os.O_RDWR)
            if writable and status.st_size < _SIZE:
                os.fchmod(descriptor, 0o600)
                # Written, not truncated to size: a hole could fault when the disk is full.
                os.pwrite(descriptor, bytes(_SIZE - status.st_size), status.st_size)
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            mapping = mmap.mmap(descriptor, _SIZE, access=access)
        finally:
            os.close(descriptor)
        view = memoryview(mapping).cast("Q")
        self._identity, self.values = (status.st_dev, status.st_ino), view
        if writable:
            self._view = view

    def announce(self, number: int) -> None:
        """Say what number the last change has or is about to have. Under the write lock only."""
        if self._view is not None:
            self._view[0] = number

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
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
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
