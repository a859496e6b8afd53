"""python-pkcs11 on the module, with a fresh token for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from abi.client import Client

SO_PIN = "so-pin-87654321"
USER_PIN = "user-pin-1234"


@pytest.fixture
def module(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, initialised on an empty token directory with PINs that are cheap to check."""
    configuration = tmp_path / "config.toml"
    configuration.write_text("[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n")
    monkeypatch.setenv("PYPKCS11_CONF", str(configuration))
    monkeypatch.setenv("PYPKCS11_TOKEN_DIR", str(tmp_path / "tokens"))
    module = pkcs11.lib(str(library))
    yield module
    if module.initialized:
        module.finalize()


@pytest.fixture
def token(module: Any) -> pkcs11.Token:
    """A token with both PINs set."""
    (free,) = (
        slot
        for slot in module.get_slots()
        if not slot.get_token().flags & pkcs11.TokenFlag.TOKEN_INITIALIZED
    )
    # python-pkcs11 knows no C_InitToken. Both are one library in one process.
    Client(module.so).init_token(free.slot_id, SO_PIN.encode(), "conformance")
    with module.get_token(token_label="conformance").open(rw=True, so_pin=SO_PIN) as session:
        session.init_pin(USER_PIN)
    return module.get_token(token_label="conformance")  # what it says of itself has changed


@pytest.fixture
def session(token: pkcs11.Token) -> Iterator[pkcs11.Session]:
    """A read/write session with the user logged in."""
    with token.open(rw=True, user_pin=USER_PIN) as session:
        yield session
