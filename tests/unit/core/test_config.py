"""The configuration file and the environment, as an operator meets them."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pypkcs11.core import config, log
from pypkcs11.core.config import KEYS, Config, ConfigError, load
from pypkcs11.standard.constants import CKM_AES_GCM, CKM_MD5, CKM_RC4, CKM_SEED_ECB, CKM_SHA256

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"

Load = Callable[[str], Config]


@pytest.fixture(autouse=True)
def no_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SYSTEM_FILE", str(tmp_path / "etc.toml"))


@pytest.fixture
def read(tmp_path: Path) -> Load:
    """Load a configuration out of its text."""

    def read(text: str) -> Config:
        path = tmp_path / "c.toml"
        path.write_text(text, encoding="utf-8")
        return load({"PYPKCS11_CONF": str(path), "HOME": "/home/me"})

    return read


def as_user(monkeypatch: pytest.MonkeyPatch, uid: int = 1234) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)


# -- which file, which directory ---------------------------------------------------------------


def test_no_file_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch)
    found = load({"HOME": "/home/me"})
    assert found == Config(tokens_directory="/home/me/.local/share/pypkcs11")
    assert found.source is None


def test_without_a_file_no_parser_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pypkcs11.core.config import load; load({'HOME': sys.argv[1]});"
        "bad = {'tomllib', 'difflib', 're', 'logging', 'pypkcs11.standard.constants'};"
        "print(sorted(bad & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-S", "-c", code, str(tmp_path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    # dataclasses itself needs re; what matters is that our own lazy imports stay out.
    assert set(re.findall(r"'([\w.]+)'", run.stdout)) <= {"re"}


def test_files_are_looked_for_in_order(tmp_path: Path) -> None:
    def write(path: Path, description: str) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'[slots]\ndescription = "{description}"\n')
        return str(path)

    home, xdg = tmp_path / "home", tmp_path / "xdg"
    write(tmp_path / "etc.toml", "system")
    assert load({"HOME": str(home)}).slots_description == "system"
    assert load({}).slots_description == "system"

    write(home / ".config" / "pypkcs11" / "config.toml", "home")
    assert load({"HOME": str(home)}).slots_description == "home"
    assert load({"HOME": ""}).slots_description == "system"

    environment = {"HOME": str(home), "XDG_CONFIG_HOME": str(xdg)}
    assert load(environment).slots_description == "system"
    write(xdg / "pypkcs11" / "config.toml", "xdg")
    assert load(environment).slots_description == "xdg"
    assert load(environment | {"XDG_CONFIG_HOME": "relative"}).slots_description == "home"

    named = write(tmp_path / "named.toml", "named")
    found = load(environment | {"PYPKCS11_CONF": named})
    assert (found.slots_description, found.source) == ("named", named)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: PYPKCS11_CONF"):
        load({"PYPKCS11_CONF": str(tmp_path / "missing.toml"), "HOME": "/home/me"})


def test_the_environment_is_not_trusted_with_more_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_user(monkeypatch, 0)
    evil = tmp_path / "pypkcs11" / "config.toml"
    evil.parent.mkdir()
    evil.write_text("[slots]\nfree = false\n")
    environment = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
        "PYPKCS11_CONF": str(evil),
        "PYPKCS11_TOKEN_DIR": str(tmp_path),
    }
    assert load(environment).slots_free is False
    assert load(environment, trusted=False) == Config(tokens_directory="/var/lib/pypkcs11")


@pytest.mark.parametrize(
    ("uid", "environment", "directory"),
    [
        (0, {"HOME": "/root"}, "/var/lib/pypkcs11"),
        (1234, {"HOME": "/home/me"}, "/home/me/.local/share/pypkcs11"),
        (1234, {"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, "/data/pypkcs11"),
        (1234, {"HOME": "/home/me", "XDG_DATA_HOME": "data"}, "/home/me/.local/share/pypkcs11"),
        (1234, {"HOME": "/home/me", "PYPKCS11_TOKEN_DIR": "/t/"}, "/t"),
        (1234, {"PYPKCS11_TOKEN_DIR": "/t"}, "/t"),
        (0, {"PYPKCS11_TOKEN_DIR": "/t"}, "/t"),
    ],
)
def test_the_token_directory(
    monkeypatch: pytest.MonkeyPatch, uid: int, environment: dict[str, str], directory: str
) -> None:
    as_user(monkeypatch, uid)
    assert load(environment).tokens_directory == directory


def test_a_relative_directory_in_the_environment_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"PYPKCS11_TOKEN_DIR": "tokens"}).tokens_directory == str(tmp_path / "tokens")


def test_without_home_the_user_database_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = pwd.getpwnam("daemon")
    as_user(monkeypatch, daemon.pw_uid)
    expected = os.path.join(daemon.pw_dir, ".local/share/pypkcs11")
    assert load({}).tokens_directory == expected


def test_a_user_without_any_home_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 4_000_000_001)
    with pytest.raises(ConfigError, match="PYPKCS11_TOKEN_DIR"):
        load({})
    assert load({"PYPKCS11_TOKEN_DIR": "/t"}).tokens_directory == "/t"


def test_paths_in_a_file(read: Load, tmp_path: Path) -> None:
    found = read('[tokens]\ndirectory = "~/tokens"\n[log]\nfile = "log/p11.log"\n')
    assert found.tokens_directory == "/home/me/tokens"
    assert found.log_file == str(tmp_path / "log" / "p11.log")
    assert read('[tokens]\ndirectory = "/a/b"\n').tokens_directory == "/a/b"


# -- what a file may say -----------------------------------------------------------------------


def test_the_environment_overrides_the_files_directory(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[tokens]\ndirectory = "/file"\n')
    environment = {"PYPKCS11_CONF": str(path), "PYPKCS11_TOKEN_DIR": "/environment"}
    assert load(environment).tokens_directory == "/environment"


def test_mechanisms(read: Load) -> None:
    assert read("").offers(CKM_MD5)
    denied = read('[mechanisms]\ndeny = ["CKM_MD5", 0x80000001]\n')
    assert denied.mechanisms_deny == {CKM_MD5, 0x80000001}
    assert not denied.offers(CKM_MD5)
    assert denied.offers(CKM_SHA256)
    allowed = read('[mechanisms]\nallow = ["CKM_AES_GCM"]\n')
    assert allowed.offers(CKM_AES_GCM)
    assert not allowed.offers(CKM_SHA256)
    assert not read("[mechanisms]\nallow = []\n").offers(CKM_SHA256)


def test_old_mechanisms_are_asked_for(read: Load) -> None:
    assert not read("").offers(CKM_RC4, legacy=True)
    assert not read('[mechanisms]\ndeny = ["CKM_MD5"]\n').offers(CKM_RC4, legacy=True)
    named = read('[mechanisms]\nenable = ["CKM_RC4"]\n')
    assert named.offers(CKM_RC4, legacy=True)
    assert not named.offers(CKM_SEED_ECB, legacy=True)
    assert named.offers(CKM_SHA256)
    every = read('[mechanisms]\nenable = "all"\ndeny = ["CKM_RC4"]\n')
    assert every.offers(CKM_SEED_ECB, legacy=True)
    assert not every.offers(CKM_RC4, legacy=True)
    allowed = read('[mechanisms]\nallow = ["CKM_RC4"]\n')
    assert allowed.offers(CKM_RC4, legacy=True)
    assert not allowed.offers(CKM_SEED_ECB, legacy=True)


def test_levels_may_be_in_capitals(read: Load) -> None:
    assert read('[log]\nlevel = "DEBUG"\n').log_level == log.DEBUG


WRONG = [
    # text, line, what the message says
    ('[log]\n\nlevel = "warn"', 3, 'log.level: unknown level "warn"; did you mean warning?'),
    ('[log]\nlevel = "loud"', 2, '"error", "warning", "info", "debug"'),
    ("[log]\nlevel = 3", 2, "log.level: 3 is not a string"),
    ('[log]\nfile = ""', 2, "log.file"),
    ('[log]\nfile = "a\\u0000b"', 2, "NUL"),
    ('[log]\nlevl = "info"', 2, "log.levl: there is no such key; did you mean log.level?"),
    ('[tokens]\ndirctory = "/x"', 2, "did you mean tokens.directory?"),
    ('\n[token]\ndirectory = "/x"', 3, "did you mean tokens.directory?"),
    ("[token]", 1, "did you mean tokens?"),
    ('tokens = "/x"', 1, "write [tokens]"),
    ("colour = true", 1, "keys stand in tables"),
    ("[slots]\nfree = 1", 2, "slots.free: 1 is neither true nor false; accepted: true or false"),
    ('[slots]\nremovable = "yes"', 2, 'slots.removable: "yes" is neither'),
    (f'[slots]\ndescription = "{"é" * 33}"', 2, "longer than 64 octets"),
    ("[pins]\nmin_length = true", 2, "pins.min_length: true is not a whole number"),
    ("[pins]\nmin_length = 0", 2, "accepted: a whole number from 1 to 255"),
    ("[pins]\nmax_length = 256", 2, "pins.max_length: 256 is out of range"),
    ("[pins]\nmax_length = 3", 2, "the shortest PIN (4) is longer than the longest (3)"),
    ("[pins]\nuser_retries = -1", 2, "pins.user_retries: -1 is out of range"),
    ("[pins]\nso_retries = 1.5", 2, "pins.so_retries: 1.5 is not a whole number"),
    ("[store]\nkdf_lanes = 64\nkdf_memory = 256", 3, "512 for 64 lanes"),
    ('[mechanisms]\nallow = "CKM_MD5"', 2, "accepted: a list of names"),
    (
        '[mechanisms]\ndeny = [\n"CKM_MD6",\n]',
        2,
        'unknown mechanism "CKM_MD6"; did you mean CKM_MD',
    ),
    ('[mechanisms]\ndeny = ["CKK_AES"]', 2, 'unknown mechanism "CKK_AES"'),
    ("[mechanisms]\ndeny = [-1]", 2, "-1 is no mechanism's number"),
    ('[mechanisms]\nallow = ["CKM_MD5"]\ndeny = []', 3, "give it or mechanisms.allow, not both"),
    ('directories.tokendir = "/x"', 1, "a key of SoftHSM: here it is tokens.directory"),
    ('[mechanisms]\nallow = []\nenable = "all"', 3, "give it or mechanisms.allow, not both"),
    ('[mechanisms]\nenable = "every"', 2, 'accepted: "all", or a list of names'),
    ('[mechanisms]\nenable = ["CKM_RC5X"]', 2, "did you mean CKM_RC"),
    ('[slots]\nmechanisms = "ALL"', 2, "here it is mechanisms.allow or mechanisms.deny"),
    ("# softhsm2.conf\ndirectories.tokendir = /var/lib/softhsm", 2, "not TOML"),
    ("[log]\nlevel = 'info'\nlevel = 'info'", 3, "not TOML"),
    ('[log]\nlevel = "info', 2, "not TOML"),
]


@pytest.mark.parametrize(("text", "line", "message"), WRONG, ids=[w[2][:40] for w in WRONG])
def test_a_wrong_file_is_refused_with_its_place(
    read: Load, tmp_path: Path, text: str, line: int, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'c.toml'}:{line}: ")
    assert message in said
    assert said.isprintable()


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"# fine\n\xff\n")
    with pytest.raises(ConfigError, match=r"c\.toml:2: the file is not UTF-8"):
        load({"PYPKCS11_CONF": str(path)})


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load({"PYPKCS11_CONF": str(tmp_path)})


# -- the page ----------------------------------------------------------------------------------


def page_rows() -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+?) \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def page_example() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_page_and_the_code_know_the_same_keys() -> None:
    assert list(page_rows()) == list(KEYS)
    named = {key.replace(".", "_") for key in KEYS}
    assert named == set(Config._fields) - {"source"}


def test_the_pages_defaults_are_the_codes() -> None:
    default = Config(tokens_directory="/t")
    for key, text in page_rows().items():
        value = getattr(default, key.replace(".", "_"))
        if key == "log.level":
            value = {number: name for name, number in log.LEVELS.items()}[value]
        if text.startswith("`"):
            assert tomllib.loads(f"x = {text.strip('`')}")["x"] == value, key
        else:
            assert key == "tokens.directory" or value in (None, frozenset(), ()), key


def test_the_pages_example_loads(read: Load) -> None:
    example = page_example()
    tables = tomllib.loads(example)
    tables |= {"slot": tables["slot"][0]}
    shown = {f"{table}.{key}" for table, keys in tables.items() for key in keys}
    assert shown == set(KEYS) - {"mechanisms.allow"}  # one of the two, as the page says
    found = read(example)
    assert found.tokens_directory == "/srv/signer/tokens"
    assert found.pins_min_length == 8
    assert 0x80000001 in found.mechanisms_deny


def test_the_pages_error_is_what_one_sees(read: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read('[log]\nlevel = "warn"\n')
    line = str(caught.value).replace(str(tmp_path / "c.toml"), "/etc/pypkcs11/config.toml")
    assert f"    {line}\n" in PAGE.read_text()


def test_the_environment_names_the_store(read: Load, tmp_path: Path) -> None:
    assert read("").store_type == "sqlite"
    assert read('[store]\ntype = "memory"').store_type == "memory"
    environ = {"PYPKCS11_STORE": "memory", "HOME": str(tmp_path)}
    assert load(environ).store_type == "memory"
    with pytest.raises(ConfigError, match=r'^PYPKCS11_STORE: unknown store "memry"; did you mean'):
        load({**environ, "PYPKCS11_STORE": "memry"})


def test_a_pin_in_a_file_is_never_shown(read: Load) -> None:
    whole = '[memory]\nlabel = "l"\nso_pin = "4711-0815"\nuser_pin = "4711-0816"\n'
    config = read(whole)
    assert config.memory_so_pin == "4711-0815" and "4711" not in repr(config)
    for wrong in (
        whole.replace('"4711-0815"', '"4711\\u0000"'),
        whole.replace('"4711-0815"', "4711"),
    ):
        with pytest.raises(ConfigError) as caught:
            read(wrong)
        assert "4711" not in str(caught.value)


def test_a_token_in_memory_has_all_or_nothing(read: Load) -> None:
    with pytest.raises(ConfigError, match=r"memory\.label: memory\.so_pin is missing"):
        read('[memory]\nlabel = "l"\n')
