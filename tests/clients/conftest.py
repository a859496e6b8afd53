"""A token per test, initialised by pkcs11-tool as its users do it."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients.harness import Token, clean_environment
from clients.web import Site, make_site

CHEAP_PINS = """\
[store]
kdf_memory = 64
kdf_iterations = 1
kdf_lanes = 1
"""


@pytest.fixture
def env(tmp_path: Path, token_dir: Path) -> dict[str, str]:
    """An environment with an empty home and the tokens in a directory of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return clean_environment(home, PYPKCS11_TOKEN_DIR=token_dir)


@pytest.fixture
def blank_token(library: Path, tmp_path: Path, env: dict[str, str]) -> Token:
    """A token that is not initialised yet, whose PINs cost little to derive keys from."""
    return new_token(library, tmp_path, env)


@pytest.fixture
def token(blank_token: Token) -> Token:
    """A token with a label, an SO PIN and a user PIN, and no objects."""
    blank_token.initialise()
    return blank_token


@pytest.fixture(scope="session")
def site(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A token with the keys of a web server, which no test changes: making them takes seconds."""
    directory = tmp_path_factory.mktemp("site")
    for name in ("home", "tokens"):
        (directory / name).mkdir(mode=0o700)
    env = clean_environment(directory / "home", PYPKCS11_TOKEN_DIR=directory / "tokens")
    token = new_token(library, directory, env)
    token.initialise()
    return make_site(token)


def new_token(library: Path, directory: Path, env: dict[str, str]) -> Token:
    """A token in the next free slot, with a working directory and a configuration of its own."""
    work = directory / "work"
    work.mkdir()
    configuration = directory / "config.toml"
    configuration.write_text(CHEAP_PINS)
    return Token(library, work, {**env, "PYPKCS11_CONF": str(configuration)})
