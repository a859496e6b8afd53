"""The one library of this process, from C_Initialize to C_Finalize."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from _pypkcs11 import ffi, lib

from pypkcs11.core import log
from pypkcs11.core.config import Config, ConfigError, load
from pypkcs11.core.library import Library
from pypkcs11.core.sessions import Session
from pypkcs11.core.slots import serials_of
from pypkcs11.mechanisms.registry import Mechanism
from pypkcs11.standard.constants import (
    CKR_CRYPTOKI_ALREADY_INITIALIZED,
    CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_GENERAL_ERROR,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Directory
from pypkcs11.store.sqlite import KdfCost, SqliteDirectory

if TYPE_CHECKING:
    from pypkcs11.store.memory import MemoryDirectory


class _Ended(dict[int, Any]):
    """What a library has by number, as long as there is none."""

    def __missing__(self, number: int) -> Any:
        """:raises CryptokiError: CKR_CRYPTOKI_NOT_INITIALIZED."""
        raise CryptokiError(CKR_CRYPTOKI_NOT_INITIALIZED)


_lock = Lock()
_library: Library | None = None
#: Sessions by handle and mechanisms by CKM_. Subscripts raise CKR_SESSION_HANDLE_INVALID and
#: CKR_MECHANISM_INVALID, or CKR_CRYPTOKI_NOT_INITIALIZED when another thread has ended the library.
sessions: Mapping[int, Session] = _Ended()
mechanisms: Mapping[int, Mechanism] = _Ended()

_owner = 0
#: Libraries of a parent process. Nothing of them may be used, closed or collected in the child.
_inherited: list[Library] = []
#: Where tokens are in memory, by process: a child begins with none of its parent's.
_memories: dict[int, MemoryDirectory] = {}


def initialise() -> None:
    """Make the library, as C_Initialize asks.

    :raises CryptokiError: CKR_CRYPTOKI_ALREADY_INITIALIZED; CKR_GENERAL_ERROR for a wrong
        configuration, after one line in the log that says where and what.
    """
    global _library, _owner, mechanisms, sessions
    with _lock:
        if _library is not None:
            if _owner == os.getpid():
                raise CryptokiError(CKR_CRYPTOKI_ALREADY_INITIALIZED)
            _library.directory.abandon()
            _inherited.append(_library)
            _library = None
        config = _configure()
        _library = Library(config, _directory(config))
        sessions, mechanisms = _library.sessions, _library.mechanisms
        _owner = os.getpid()


def finalise() -> None:
    """End the library, as C_Finalize asks.

    :raises CryptokiError: CKR_CRYPTOKI_NOT_INITIALIZED.
    """
    global _library, mechanisms, sessions
    with _lock:
        if _library is None:
            raise CryptokiError(CKR_CRYPTOKI_NOT_INITIALIZED)
        ended, _library = _library, None
        sessions = mechanisms = _Ended()
        ended.close()


def _before_fork() -> None:
    """No call is inside now (boot.py, fork.c), and none comes in before the fork is over."""
    if _library is not None and _owner == os.getpid():
        with suppress(CryptokiError):
            _library.directory.release()


os.register_at_fork(before=_before_fork)


def library() -> Library:
    """The library.

    :raises CryptokiError: CKR_CRYPTOKI_NOT_INITIALIZED when another thread has ended it.
    """
    if _library is None:
        raise CryptokiError(CKR_CRYPTOKI_NOT_INITIALIZED)
    return _library


def _configure() -> Config:
    try:
        config = load(_environment(), trusted=not lib.pypkcs11_secure())
    except ConfigError as error:
        log.error("%s", error)
        raise CryptokiError(CKR_GENERAL_ERROR, "the configuration cannot be used") from None
    log.configure(config.log_level, config.log_file)
    return config


def _environment() -> dict[str, str]:
    """The environment as it is now. That of os.environ is as it was when Python started."""
    environment: dict[str, str] = {}
    entry = lib.pypkcs11_environ()
    while entry[0] != ffi.NULL:
        name, found, value = os.fsdecode(ffi.string(entry[0])).partition("=")
        if found:
            environment.setdefault(name, value)
        entry += 1
    return environment


def _directory(config: Config) -> Directory:
    if config.store_type == "memory":
        return _in_memory(config)
    cost = KdfCost(
        memory=config.store_kdf_memory,
        iterations=config.store_kdf_iterations,
        lanes=config.store_kdf_lanes,
    )
    return SqliteDirectory(config.tokens_directory, kdf=cost)


def _in_memory(config: Config) -> Directory:
    """Tokens that live as long as the process: C_Finalize does not end them."""
    from pypkcs11.store.memory import MemoryDirectory  # here, because it is seldom needed

    directory = _memories.get(os.getpid())
    if directory is None:
        directory = MemoryDirectory()
        given = config.memory_label, config.memory_so_pin, config.memory_user_pin
        if None not in given:
            label, so_pin, user_pin = map(str, given)
            (serial,) = serials_of([label])
            directory.provide(serial, label, so_pin.encode(), user_pin.encode())
        _memories[os.getpid()] = directory
    return directory
