"""Fixtures of the tests through the C boundary: the module, a fresh token, open sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from abi.client import NULL, Client, octets

from pypkcs11.standard.constants import CKF_TOKEN_INITIALIZED, CKR_OK, CKU_SO, CKU_USER

SO_PIN = b"so-pin-87654321"
USER_PIN = b"user-pin-1234"


@dataclass(frozen=True)
class Token:
    """A token with both PINs set."""

    slot: int
    label: str = "test token"
    so_pin: bytes = SO_PIN
    user_pin: bytes = USER_PIN


@pytest.fixture(scope="session")
def loaded(library: Path) -> Client:
    """The module, loaded once."""
    return Client(library)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token directory of the test's own, and PINs that are cheap to check."""
    configuration = tmp_path / "config.toml"
    configuration.write_text("[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n")
    monkeypatch.setenv("PYPKCS11_CONF", str(configuration))
    monkeypatch.setenv("PYPKCS11_TOKEN_DIR", str(tmp_path / "tokens"))


@pytest.fixture
def p11(loaded: Client, environment: None) -> Iterator[Client]:
    """The module between C_Initialize and C_Finalize, without any token."""
    assert loaded.C_Initialize(NULL) == CKR_OK
    yield loaded
    loaded.C_Finalize(NULL)


@pytest.fixture
def token(p11: Client) -> Token:
    """A token that has been initialised and given both PINs; nobody is logged in."""
    (free,) = (s for s in p11.slots() if not p11.token_info(s).flags & CKF_TOKEN_INITIALIZED)
    p11.init_token(free, SO_PIN, "test token")
    session = p11.open(free)
    p11.login(session, CKU_SO, SO_PIN)
    p11.do("C_InitPIN", session, octets(USER_PIN), len(USER_PIN))
    p11.do("C_CloseSession", session)
    return Token(free)


def restart(p11: Client, token: Token) -> int:
    """End the library and begin anew: a read/write session with the user logged in."""
    p11.do("C_Finalize", NULL)
    p11.do("C_Initialize", NULL)
    label = token.label.encode().ljust(32)
    (slot,) = (s for s in p11.slots() if bytes(p11.token_info(s).label) == label)
    session = p11.open(slot)
    p11.login(session, CKU_USER, token.user_pin)
    return session


@pytest.fixture
def session(p11: Client, token: Token) -> int:
    """A read/write session with the user logged in."""
    session = p11.open(token.slot)
    p11.login(session, CKU_USER, token.user_pin)
    return session
