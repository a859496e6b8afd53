"""The log of the library: one line of text to standard error or to a file.

The ``logging`` package is not used: it costs start-up time, and in a Python host it is shared with
the host. A level that is off costs one comparison of integers. Nothing here ever raises: a full
disk, a closed standard error or a message that cannot be formatted must not fail a caller.

A message is a ``%`` format and its arguments, put together only when the line is wanted::

    log.info("token %s: %d objects", serial, count)

A line is the time (UTC), the process, the level and the message, in one write(2) to a file opened
for appending, so that processes that share a log file do not mix their lines. What is not
printable is escaped: a label with a line feed in it cannot forge a line.
"""

from __future__ import annotations

import os
import time

from pypkcs11.standard.signals import FAILED_WRITES

ERROR = 1
WARNING = 2
INFO = 3
DEBUG = 4

#: The levels by the names that the configuration gives them, most important first.
LEVELS = {"error": ERROR, "warning": WARNING, "info": INFO, "debug": DEBUG}

_NAMES = {number: name for name, number in LEVELS.items()}
_STDERR = 2

_level = WARNING
_fd = _STDERR


def configure(level: int, path: str | None) -> None:
    """Say what is logged and where.

    :param level: one of ``ERROR``, ``WARNING``, ``INFO`` and ``DEBUG``; it and what is more
        important is logged.
    :param path: a file, made with mode 0600 and appended to; None is standard error. When it
        cannot be opened the log goes to standard error, and its first line says why.
    """
    global _fd, _level
    old, _level = _fd, level
    _fd = _STDERR
    if old != _STDERR:
        _close(old)
    if path is not None:
        try:
            _fd = _open(path)
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            error("the log file %s cannot be opened (%s): logging to standard error", path, reason)


def enabled(level: int) -> bool:
    """Return whether lines of this level are written: ask before costly preparations."""
    return level <= _level


def error(message: str, *arguments: object) -> None:
    """Log what keeps the library or a token from working; the operator has to act."""
    if _level >= ERROR:
        _emit(ERROR, message, arguments)


def warning(message: str, *arguments: object) -> None:
    """Log what works but is not as it should be."""
    if _level >= WARNING:
        _emit(WARNING, message, arguments)


def info(message: str, *arguments: object) -> None:
    """Log what a program was refused, and other things that explain its doings."""
    if _level >= INFO:
        _emit(INFO, message, arguments)


def debug(message: str, *arguments: object) -> None:
    """Log what helps to find an error in a program that uses the library."""
    if _level >= DEBUG:
        _emit(DEBUG, message, arguments)


def _emit(level: int, message: str, arguments: tuple[object, ...]) -> None:
    try:
        _write(_fd, _line(level, message, arguments).encode("utf-8", "backslashreplace"))
    except Exception:  # the promise of this module
        return


def _line(level: int, message: str, arguments: tuple[object, ...]) -> str:
    if arguments:
        try:
            message = message % arguments
        except Exception:  # an error of ours, not of the caller
            message = f"{message} (the arguments do not fit this message)"
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    name = _NAMES.get(level, "error")
    text = message if message.isprintable() else _escape(message)
    return f"{stamp}.{int(now * 1000) % 1000:03d}Z {os.getpid()} {name}: {text}\n"


def _escape(text: str) -> str:
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def _open(path: str) -> int:
    # O_NONBLOCK: a FIFO that nobody reads must not hang the host. It changes nothing for files.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
    if fd > _STDERR:
        return fd
    # The host runs with a standard stream closed. What it prints there must not reach our file.
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
    finally:
        os.close(fd)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return


def _write(fd: int, data: bytes) -> None:
    with FAILED_WRITES:
        os.write(fd, data)
