"""Tokens in memory, through the library: nothing on disk, and there for as long as the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from abi.client import NULL, ROOT, Client
from abi.conftest import SO_PIN

from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_LABEL,
    CKA_TOKEN,
    CKA_VALUE,
    CKF_TOKEN_INITIALIZED,
    CKO_DATA,
    CKR_OK,
)

PROVIDED = """
import sys
from abi.client import NULL, Client
from pypkcs11.standard.constants import CKU_SO, CKU_USER
p11 = Client(sys.argv[1])
p11.do("C_Initialize", NULL)
slot = p11.slots()[0]
for user, pin in ((CKU_SO, b"87654321"), (CKU_USER, b"12345678")):
    session = p11.open(slot)
    p11.login(session, user, pin)
    p11.do("C_CloseSession", session)
print(slot, bytes(p11.token_info(slot).label).decode().strip())
"""


def test_a_token_lives_in_the_process_and_nowhere_else(
    loaded: Client, environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYPKCS11_STORE", "memory")
    assert loaded.C_Initialize(NULL) == CKR_OK
    try:
        (free,) = loaded.slots()
        loaded.init_token(free, SO_PIN, "fleeting")
        attributes = {CKA_CLASS: CKO_DATA, CKA_TOKEN: True, CKA_VALUE: b"value", CKA_LABEL: b"x"}
        loaded.create(loaded.open(free), attributes)
        loaded.do("C_Finalize", NULL)
        loaded.do("C_Initialize", NULL)
        assert loaded.token_info(free).flags & CKF_TOKEN_INITIALIZED
        session = loaded.open(free)
        (found,) = loaded.find(session, {CKA_LABEL: b"x"})
        assert loaded.get(session, found, CKA_VALUE) == b"value"
    finally:
        loaded.do("C_Finalize", NULL)
    assert not os.path.exists(tmp_path / "tokens")


def test_the_configuration_provides_a_token(library: Path, tmp_path: Path) -> None:
    """With both PINs, at the same slot in every process."""
    configuration = tmp_path / "config.toml"
    configuration.write_text(
        '[store]\ntype = "memory"\n'
        '[memory]\nlabel = "scratch"\nso_pin = "87654321"\nuser_pin = "12345678"\n'
    )
    environment = {
        **os.environ,
        "PYPKCS11_CONF": str(configuration),
        "PYPKCS11_TOKEN_DIR": str(tmp_path / "tokens"),
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}",
    }
    command = [sys.executable, "-c", PROVIDED, str(library)]
    seen = {subprocess.check_output(command, env=environment, text=True) for _ in range(2)}
    (line,) = seen
    assert line.split()[1] == "scratch"
    assert not os.path.exists(tmp_path / "tokens")
