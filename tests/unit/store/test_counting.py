"""The number that only goes up: see TokenStore.count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from unit.store.support import SO_PIN, USER_PIN

from pypkcs11.standard.constants import CKA_LABEL
from pypkcs11.store.protocol import Record, Role, TokenStore


def test_it_goes_up_whatever_happens(token: TokenStore, another: Callable[[], TokenStore]) -> None:
    other = another()
    numbers = [token.count(), token.count(), other.count(), token.count()]
    (made,) = token.insert([Record(0, False, {CKA_LABEL: b"x"})])
    numbers.append(other.count())
    token.delete(made)
    numbers.append(token.count())
    token.unlock(Role.SO, SO_PIN, 0)
    token.initialise("anew", SO_PIN)
    numbers.append(token.count())
    other.poll()
    numbers.append(other.count())
    assert numbers == sorted(set(numbers))


def test_it_changes_nothing_else(token: TokenStore, another: Callable[[], TokenStore]) -> None:
    other = another()
    token.insert([Record(0, False, {CKA_LABEL: b"x"})])
    other.load(private=False)
    other.poll()
    for _ in range(3):
        token.count()
        assert token.poll() is None
        assert other.poll() is None
    assert [record.attributes for record in other.load(private=False)] == [{CKA_LABEL: b"x"}]


@pytest.mark.parametrize("role", [None, Role.USER])
def test_nobody_has_to_be_logged_in(token: TokenStore, role: Role | None) -> None:
    if role is not None:
        token.unlock(role, USER_PIN, 0)
    assert token.count() < token.count()
