"""What tests of sessions, PINs and slots share: other configurations and other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from abi.client import NULL, ROOT, Client, octets
from abi.conftest import SO_PIN, USER_PIN

from pypkcs11.standard.constants import CKF_TOKEN_INITIALIZED, CKU_SO

#: PINs that are cheap to check.
CHEAP = "[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n"

_PRELUDE = """
import sys
from abi.client import *
from abi.conftest import SO_PIN, USER_PIN
from pypkcs11.standard.constants import *
p11 = Client(sys.argv[1])
p11.do("C_Initialize", NULL)
def slot_of(label):
    padded = label.encode().ljust(32)
    (slot,) = (s for s in p11.slots() if bytes(p11.token_info(s).label) == padded)
    return slot
def tried(call, *arguments):
    try:
        call(*arguments)
    except CallError as error:
        return error.rv
    return RV(0)
"""


def configure(p11: Client, text: str) -> None:
    """Begin anew under another configuration."""
    Path(os.environ["PYPKCS11_CONF"]).write_text(CHEAP + text)
    p11.C_Finalize(NULL)
    p11.do("C_Initialize", NULL)


def free_slots(p11: Client) -> list[int]:
    """Slots whose tokens are not initialised."""
    return [s for s in p11.slots() if not p11.token_info(s).flags & CKF_TOKEN_INITIALIZED]


def make_token(p11: Client, slot: int, label: str = "test token") -> None:
    """Initialise a token and give it both PINs; no session is left."""
    p11.init_token(slot, SO_PIN, label)
    session = p11.open(slot)
    p11.login(session, CKU_SO, SO_PIN)
    init_pin(p11, session, USER_PIN)
    p11.do("C_CloseSession", session)


def init_pin(p11: Client, session: int, pin: bytes) -> None:
    """C_InitPIN."""
    p11.do("C_InitPIN", session, octets(pin), len(pin))


def set_pin(p11: Client, session: int, old: bytes, new: bytes) -> None:
    """C_SetPIN."""
    p11.do("C_SetPIN", session, octets(old), len(old), octets(new), len(new))


def in_another_process(p11: Client, code: str) -> str:
    """Run Python code in another process that has initialised the module as ``p11``.

    :return: what it printed.
    """
    paths = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + code, p11.path],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
