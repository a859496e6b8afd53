"""The configuration: where tokens are, and what an operator may choose about them.

Everything has a default and no file is needed. docs/configuration.md is the page for operators;
``KEYS`` below is the one list of what may be in a file. A file that is wrong in any way is refused
whole, with one line that names the file, the line, the key, and what is accepted: a key that is
misspelt must not silently leave a default in force.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from pypkcs11.core import log
from pypkcs11.core.config_text import line_of, nearest, quote, show

SYSTEM_FILE = "/etc/pypkcs11/config.toml"
#: Where tokens may live.
STORES = ("sqlite", "memory")
SYSTEM_TOKENS = "/var/lib/pypkcs11"


class ConfigError(Exception):
    """The configuration cannot be used. ``str()`` is one line for the operator."""


class Config(NamedTuple):
    """What was configured. A field is named after its key: ``pins_min_length``, pins.min_length.

    :param tokens_directory: an absolute path; it need not exist.
    :param tokens_login: whether tokens that are made from now on require a login.
    :param log_level: ``log.ERROR`` to ``log.DEBUG``.
    :param log_file: None for standard error.
    :param mechanisms_allow: the only CKM_ to offer; None for all.
    :param mechanisms_deny: CKM_ not to offer.
    :param mechanisms_enable: legacy CKM_ to offer; None for all.
    :param slots_removable: whether slots say CKF_REMOVABLE_DEVICE.
    :param slots_free: whether a slot with an uninitialised token is offered.
    :param slots_description: CK_SLOT_INFO.slotDescription, at most 64 octets; None for the
        library's own.
    :param slot_label: of the slots that are there in any case, in order; each at most 64 octets.
    :param sessions_max: sessions that an application may have with a token; 0 for any number.
    :param sessions_max_read_write: read/write sessions among them; 0 for any number.
    :param pins_min_length: octets.
    :param pins_max_length: octets.
    :param pins_so_retries: wrong SO PINs in a row that lock it; 0 for never.
    :param pins_user_retries: the same for the user's PIN.
    :param pins_change_after_init: whether users must change the PIN that the SO gave them.
    :param store_type: "sqlite" for files in ``tokens_directory``, "memory" for none.
    :param store_kdf_memory: KiB that Argon2id uses to derive a key from a PIN set from now on.
    :param store_kdf_iterations: its passes.
    :param store_kdf_lanes: its lanes.
    :param memory_label: of the token that there is from the beginning in memory, if any.
    :param memory_so_pin: its SO PIN.
    :param memory_user_pin: its user's PIN.
    :param policy_strict: whether what the standard permits and attacks need is refused.
    :param policy_weak_keys: whether RSA, DSA and DH keys of fewer than 2048 bits are generated.
    :param source: the file that was read, if any.
    """

    tokens_directory: str
    tokens_login: bool = True
    log_level: int = log.WARNING
    log_file: str | None = None
    mechanisms_allow: frozenset[int] | None = None
    mechanisms_deny: frozenset[int] = frozenset()
    mechanisms_enable: frozenset[int] | None = frozenset()
    slots_removable: bool = False
    slots_free: bool = True
    slots_description: str | None = None
    slot_label: tuple[str, ...] = ()
    sessions_max: int = 0
    sessions_max_read_write: int = 0
    pins_min_length: int = 4
    pins_max_length: int = 255
    pins_so_retries: int = 10
    pins_user_retries: int = 10
    pins_change_after_init: bool = False
    store_type: str = "sqlite"
    store_kdf_memory: int = 32768
    store_kdf_iterations: int = 2
    store_kdf_lanes: int = 1
    memory_label: str | None = None
    memory_so_pin: str | None = None
    memory_user_pin: str | None = None
    policy_strict: bool = False
    policy_weak_keys: bool = False
    source: str | None = None

    def offers(self, mechanism: int, *, legacy: bool = False) -> bool:
        """Return whether the operator lets ``mechanism`` (a CKM_) be used.

        :param legacy: whether it is too old to be offered to those who have not asked for it.
        """
        if self.mechanisms_allow is not None:
            return mechanism in self.mechanisms_allow
        enabled = self.mechanisms_enable
        if legacy and enabled is not None and mechanism not in enabled:
            return False
        return mechanism not in self.mechanisms_deny


def load(environ: Mapping[str, str], *, trusted: bool = True) -> Config:
    """Find the configuration file, read it, and return what is in force.

    :param environ: the process's environment.
    :param trusted: False in a program that runs with more rights than its caller (AT_SECURE):
        ``environ`` is then ignored, and only the system's file is looked for.
    :raises ConfigError: for a file that is wrong, unreadable or named and missing.
    """
    if not trusted:
        environ = {}
    home = _absolute(environ, "HOME")
    path, text = _find(environ, home)
    values = _read(text, path, home) if path is not None else {}
    _override_store(environ, values)
    directory = environ.get("PYPKCS11_TOKEN_DIR")
    if directory:
        values["tokens_directory"] = os.path.abspath(directory)
    elif "tokens_directory" not in values:
        values["tokens_directory"] = _default_directory(environ, home)
    return Config(source=path, **values)  # type: ignore[arg-type]


def _override_store(environ: Mapping[str, str], values: dict[str, object]) -> None:
    store = environ.get("PYPKCS11_STORE")
    if store:
        try:
            values["store_type"] = _store(store)
        except _WrongError as wrong:
            accepted = KEYS["store.type"].accepts
            raise ConfigError(f"PYPKCS11_STORE: {wrong}; accepted: {accepted}") from None


def _absolute(environ: Mapping[str, str], name: str) -> str | None:
    """A directory from the environment. What is not absolute is no directory (XDG says so)."""
    value = environ.get(name, "")
    return value if value.startswith("/") else None


def _find(environ: Mapping[str, str], home: str | None) -> tuple[str | None, str]:
    named = environ.get("PYPKCS11_CONF")
    if named:
        path = os.path.abspath(named)
        try:
            return path, _contents(path)
        except FileNotFoundError:
            raise ConfigError(f"{show(path)}: PYPKCS11_CONF names it, but there is none") from None
    base = _absolute(environ, "XDG_CONFIG_HOME") or (home and os.path.join(home, ".config"))
    candidates = [os.path.join(base, "pypkcs11", "config.toml")] if base else []
    for path in (*candidates, SYSTEM_FILE):
        # A daemon may have inherited the HOME of somebody whose directories it cannot search:
        # then exists() is false, and the file is as good as not there.
        if os.path.exists(path):
            return path, _contents(path)
    return None, ""


def _contents(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise ConfigError(f"{show(path)}: cannot be read: {problem.strerror}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise ConfigError(f"{show(path)}:{line}: the file is not UTF-8") from None


def _default_directory(environ: Mapping[str, str], home: str | None) -> str:
    if os.geteuid() == 0:
        return SYSTEM_TOKENS
    base = _absolute(environ, "XDG_DATA_HOME")
    if base is None:
        base = os.path.join(home or _home_of_user(), ".local", "share")
    return os.path.join(base, "pypkcs11")


def _home_of_user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        raise ConfigError(
            f"user {os.geteuid()} has no home directory to keep tokens in:"
            " set tokens.directory in the configuration, or PYPKCS11_TOKEN_DIR"
        ) from None


# -- what is in a file ------------------------------------------------------------------------


class _WrongError(Exception):
    """A value is not accepted; the text says why, without the place."""


class _Key(NamedTuple):
    """One key: what it accepts, in words, and what reads its value or raises ``_WrongError``."""

    accepts: str
    read: Callable[[object], object]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongError(f"{quote(value)} is not a string")
    if not value or "\0" in value:
        raise _WrongError(f"{quote(value)} is empty or has a NUL in it")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongError(f"{quote(value)} is neither true nor false")
    return value


def _level(value: object) -> int:
    level = log.LEVELS.get(_text(value).lower())
    if level is None:
        raise _WrongError(f"unknown level {quote(value)}{nearest(_text(value), log.LEVELS)}")
    return level


def _store(value: object) -> str:
    store = _text(value)
    if store not in STORES:
        raise _WrongError(f"unknown store {quote(store)}{nearest(store, STORES)}")
    return store


def _token_label(value: object) -> str:
    if len(_text(value).encode("utf-8", "surrogatepass")) > 32:
        raise _WrongError(f"{quote(value)} is longer than 32 octets")
    return _text(value)


class _Pin(str):
    """A PIN, which does not show itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<PIN>"


def _pin(value: object) -> str:
    # Whatever is wrong with it, it is not shown.
    if not isinstance(value, str) or not value or "\0" in value:
        raise _WrongError("not a string with something in it")
    if len(value.encode("utf-8", "surrogatepass")) > 255:
        raise _WrongError("longer than 255 octets")
    return _Pin(value)


def _description(value: object) -> str:
    if len(_text(value).encode("utf-8", "surrogatepass")) > 64:
        raise _WrongError(f"{quote(value)} is longer than 64 octets")
    return _text(value)


def _labels(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _WrongError("write [[slot]], for each slot a table of its own")
    labels = tuple(_description(label) for label in value)
    for label in labels:
        if labels.count(label) > 1:
            raise _WrongError(f"two slots have the label {quote(label)}")
    return labels


def _number(low: int, high: int) -> _Key:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _WrongError(f"{quote(value)} is not a whole number")
        if not low <= value <= high:
            raise _WrongError(f"{value} is out of range")
        return value

    return _Key(f"a whole number from {low} to {high}", read)


def _mechanisms(value: object) -> frozenset[int]:
    if not isinstance(value, list):
        raise _WrongError(f"{quote(value)} is not a list")
    return frozenset(_mechanism(entry) for entry in value)


def _enabled(value: object) -> frozenset[int] | None:
    return None if value == _ALL else _mechanisms(value)


def _mechanism(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < 1 << 64:
            return value
        raise _WrongError(f"{value} is no mechanism's number")
    from pypkcs11.standard import constants

    name = _text(value)
    number = getattr(constants, name, None) if name.startswith("CKM_") else None
    if isinstance(number, int):
        return number
    known = [other for other in vars(constants) if other.startswith("CKM_")]
    raise _WrongError(f"unknown mechanism {quote(name)}{nearest(name, known)}")


_PATH = "a path: absolute, beginning with ~/, or relative to this file's directory"
_MECHANISMS = 'a list of names such as "CKM_AES_GCM" and of numbers'
_ALL = "all"
_RETRIES = _number(0, 1_000_000)
_SESSIONS = _number(0, 1_000_000)

#: Every key there is. The field of :class:`Config` is the key with ``_`` for the dot.
KEYS: dict[str, _Key] = {
    "tokens.directory": _Key(_PATH, _text),
    "tokens.login": _Key("true or false", _switch),
    "log.level": _Key(", ".join(f'"{name}"' for name in log.LEVELS), _level),
    "log.file": _Key(_PATH, _text),
    "mechanisms.allow": _Key(_MECHANISMS, _mechanisms),
    "mechanisms.deny": _Key(_MECHANISMS, _mechanisms),
    "mechanisms.enable": _Key(f'"{_ALL}", or {_MECHANISMS}', _enabled),
    "slots.removable": _Key("true or false", _switch),
    "slots.free": _Key("true or false", _switch),
    "slots.description": _Key("a string of at most 64 octets", _description),
    "slot.label": _Key("a string of at most 64 octets, in tables [[slot]]", _labels),
    "sessions.max": _SESSIONS,
    "sessions.max_read_write": _SESSIONS,
    "pins.min_length": _number(1, 255),
    "pins.max_length": _number(1, 255),
    "pins.so_retries": _RETRIES,
    "pins.user_retries": _RETRIES,
    "pins.change_after_init": _Key("true or false", _switch),
    "store.type": _Key('"sqlite", "memory"', _store),
    "store.kdf_memory": _number(64, 4 * 1024 * 1024),
    "store.kdf_iterations": _number(1, 1000),
    "store.kdf_lanes": _number(1, 64),
    "memory.label": _Key("a string of at most 32 octets", _token_label),
    "memory.so_pin": _Key("a string of at most 255 octets", _pin),
    "memory.user_pin": _Key("a string of at most 255 octets", _pin),
    "policy.strict": _Key("true or false", _switch),
    "policy.weak_keys": _Key("true or false", _switch),
}

_MEMORY = ("memory.label", "memory.so_pin", "memory.user_pin")
_PATHS = ("tokens.directory", "log.file")

#: What SoftHSM v2 calls things, for people who bring their file along.
_SOFTHSM = {
    "directories.tokendir": "here it is tokens.directory",
    "objectstore.backend": "here it is store.type",
    "objectstore.umask": "here files are always readable by their owner alone",
    "slots.mechanisms": "here it is mechanisms.allow or mechanisms.deny",
    "library.reset_on_fork": "here a forked child always starts anew",
}


def _read(text: str, path: str, home: str | None) -> dict[str, object]:
    import tomllib

    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise _syntax_error(path, str(problem), text) from None

    values: dict[str, object] = {}
    for key, value in _flat(tables):
        try:
            values[key] = _value(key, value, path, home)
        except _WrongError as wrong:
            raise _error(path, text, key, str(wrong)) from None
    _check_together(values, path, text)
    return {key.replace(".", "_"): value for key, value in values.items()}


def _flat(tables: dict[str, object]) -> Iterable[tuple[str, object]]:
    known = {key.partition(".")[0] for key in KEYS}
    for table, entries in tables.items():
        if table == "slot" and isinstance(entries, list):
            yield from _of_slots(entries)
        elif not isinstance(entries, dict) or (table not in known and not entries):
            yield table, entries  # a key outside all tables, or an unknown and empty table
        else:
            yield from ((f"{table}.{name}", value) for name, value in entries.items())


def _of_slots(tables: list[object]) -> Iterable[tuple[str, object]]:
    """The tables [[slot]]: the labels as one value, so that they can be held against each other."""
    entries = [entry if isinstance(entry, dict) else {} for entry in tables]
    yield from (
        (f"slot.{key}", value) for e in entries for key, value in e.items() if key != "label"
    )
    yield "slot.label", [entry.get("label", "") for entry in entries]


def _value(key: str, value: object, path: str, home: str | None) -> object:
    row = KEYS.get(key)
    if row is None:
        if key in _SOFTHSM:
            raise _WrongError(f"this is a key of SoftHSM: {_SOFTHSM[key]}")
        raise _WrongError(_unknown(key))
    try:
        result = row.read(value)
    except _WrongError as wrong:
        raise _WrongError(f"{wrong}; accepted: {row.accepts}") from None
    return _resolve(str(result), path, home) if key in _PATHS else result


def _resolve(value: str, path: str, home: str | None) -> str:
    if value.startswith("~/"):
        value = os.path.join(home or _home_of_user(), value[2:])
    return os.path.normpath(os.path.join(os.path.dirname(path), value))


def _check_together(values: dict[str, object], path: str, text: str) -> None:
    for key in ("mechanisms.deny", "mechanisms.enable"):
        if "mechanisms.allow" in values and key in values:
            raise _error(path, text, key, "give it or mechanisms.allow, not both")

    def number(key: str) -> int:
        default = getattr(Config(tokens_directory=""), key.replace(".", "_"))
        return int(str(values.get(key, default)))

    low, high = number("pins.min_length"), number("pins.max_length")
    if low > high:
        key = "pins.min_length" if "pins.min_length" in values else "pins.max_length"
        problem = f"the shortest PIN ({low}) is longer than the longest ({high})"
        raise _error(path, text, key, problem)
    most, most_read_write = number("sessions.max"), number("sessions.max_read_write")
    if most and most_read_write > most:
        problem = f"more read/write sessions ({most_read_write}) than sessions ({most})"
        raise _error(path, text, "sessions.max_read_write", problem)
    given = [key for key in _MEMORY if key in values]
    if given and len(given) < len(_MEMORY):
        missing = next(key for key in _MEMORY if key not in values)
        raise _error(path, text, given[0], f"{missing} is missing: give all three or none")
    memory, lanes = number("store.kdf_memory"), number("store.kdf_lanes")
    if memory < 8 * lanes:
        key = "store.kdf_memory" if "store.kdf_memory" in values else "store.kdf_lanes"
        raise _error(path, text, key, f"Argon2id needs 8 KiB a lane: {8 * lanes} for {lanes} lanes")


# -- saying what is wrong ---------------------------------------------------------------------


def _error(path: str, text: str, key: str, problem: str) -> ConfigError:
    line = line_of(text, key)
    place = f"{show(path)}:{line}" if line else show(path)
    return ConfigError(f"{place}: {show(key)}: {problem}")


def _syntax_error(path: str, problem: str, text: str) -> ConfigError:
    import re

    found = re.search(r"at line (\d+)", problem)
    line = int(found[1]) if found else text.count("\n") + 1
    hint = '; a file has tables and keys like: [log] level = "info", strings in quotes'
    return ConfigError(f"{show(path)}:{line}: not TOML: {show(problem)}{hint}")


def _unknown(key: str) -> str:
    tables = sorted({known.partition(".")[0] for known in KEYS})
    if key in tables:
        return f"this is a table: write [{key}], and its keys below"
    if "." not in key:
        return f"there is no such table, and keys stand in tables{nearest(key, tables)}"
    table = key.partition(".")[0]
    siblings = [known for known in KEYS if known.startswith(f"{table}.")]
    return f"there is no such key{nearest(key, siblings or KEYS)}"
