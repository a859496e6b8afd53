"""The first Python of the library that runs: imports the entries, and says in one line why not.

src/embed/boot.c calls `start` once, after CFFI has made the module `_pypkcs11`.
"""

from __future__ import annotations

import importlib
import os
from types import TracebackType

CRYPTOGRAPHY_NEEDED = 50

REINSTALL = "reinstall pypkcs11 and what it depends on"


class _UnusableError(Exception):
    """Something the library needs is there, but not as it must be; args: what, what to do."""


def start(in_host: bool) -> tuple[str, str] | None:
    """Import and define every entry; return None, or what failed and what to do about it.

    :param in_host: whether this Python is the host's.
    """
    try:
        _check_cryptography()
        _load_openssl()
        importlib.import_module("pypkcs11.abi.entries")
        _check_entries()
        if in_host:
            _watch_forks()
    except _UnusableError as unusable:
        what, remedy = unusable.args
        return what, remedy
    except Exception as error:
        return f"{type(error).__name__}: {error}{_place(error.__traceback__)}", REINSTALL
    return None


def _check_cryptography() -> None:
    """Name an old version here: it would fail later, with the name of something it lacks."""
    import cryptography

    version = cryptography.__version__
    if int(version.partition(".")[0]) < CRYPTOGRAPHY_NEEDED:
        raise _UnusableError(
            f"cryptography {version} in {cryptography.__path__[0]} is too old:"
            f" version {CRYPTOGRAPHY_NEEDED} is the least",
            f"install cryptography {CRYPTOGRAPHY_NEEDED} or later there",
        )


def _load_openssl() -> None:
    """Load the OpenSSL of `cryptography` without the host's configuration of another OpenSSL."""
    from _pypkcs11 import lib

    lib.pypkcs11_hide_openssl_settings()
    try:
        importlib.import_module("cryptography.hazmat.bindings._rust")
    finally:
        lib.pypkcs11_show_openssl_settings()


def _check_entries() -> None:
    """CFFI answers 0, which is CKR_OK, for an entry that nobody has defined."""
    from _pypkcs11 import ffi, lib

    name = lib.pypkcs11_undefined_entry()
    if name != ffi.NULL:
        raise _UnusableError(
            f"the Python side does not define {ffi.string(name).decode()}",
            "install a library and Python files of the same version",
        )


def _watch_forks() -> None:
    """Have os.fork wait for calls; where Python is our own, C's fork handlers do (fork.c).

    A child has only the thread that forked. What another held at that moment, of SQLite's or
    OpenSSL's locks, nobody would ever release in the child.
    """
    from _pypkcs11 import lib

    os.register_at_fork(before=lib.pypkcs11_hold_calls, after_in_parent=lib.pypkcs11_let_calls_go)


def _place(traceback: TracebackType | None) -> str:
    """Return the innermost file and line, for whoever has to mend it."""
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f" ({traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno})"
