"""The signals that a failed write may bring, and that as a rule kill the host.

SIGPIPE comes when a reader is gone, SIGXFSZ when a file has reached the process's limit. A Python
program ignores both; in a C program they are as the host has them, and abi gives the functions
here that keep them from the thread meanwhile. The module ``signal`` is no help: importing it takes
SIGINT from the host.
"""

from __future__ import annotations

from collections.abc import Callable


def _nothing() -> None:
    """Python ignores them already."""


_hold: Callable[[], None] = _nothing
_release: Callable[[], None] = _nothing


def provide(hold: Callable[[], None], release: Callable[[], None]) -> None:
    """Say what keeps the signals from the calling thread, and what ends that; they may nest."""
    global _hold, _release
    _hold, _release = hold, release


class FailedWrites:
    """In its block a write that fails is only an error."""

    def __enter__(self) -> None:
        _hold()

    def __exit__(self, *_: object) -> None:
        _release()


#: The only one that is needed.
FAILED_WRITES = FailedWrites()
