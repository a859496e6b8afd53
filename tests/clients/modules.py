"""A PKCS #11 module, ours or another, with a token of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from abi.client import NULL, Client, octets

from pypkcs11.standard.constants import CKU_SO, CKU_USER

PIN: Final = b"12345678"


class Place(NamedTuple):
    """A module, and a session in which the user is logged in."""

    p11: Client
    session: int


@contextmanager
def opened(path: Path) -> Iterator[Place]:
    """A module with a fresh token, from C_Initialize to C_Finalize."""
    p11 = Client(path)
    p11.do("C_Initialize", NULL)
    try:
        slot = p11.slots()[-1]
        p11.init_token(slot, PIN, "keys")
        label = b"keys".ljust(32)
        (slot,) = (slot for slot in p11.slots() if bytes(p11.token_info(slot).label) == label)
        session = p11.open(slot)
        p11.login(session, CKU_SO, PIN)
        p11.do("C_InitPIN", session, octets(PIN), len(PIN))
        p11.do("C_Logout", session)
        p11.login(session, CKU_USER, PIN)
        yield Place(p11, session)
    finally:
        p11.do("C_Finalize", NULL)
