"""A change made of what is no longer true is not written: see TokenStore.update."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from unit.store.support import USER_PIN

from pypkcs11.standard.constants import CKA_ID, CKA_LABEL, CKA_SENSITIVE
from pypkcs11.store.protocol import Record, Role, TokenStore

BEFORE = {CKA_LABEL: b"x", CKA_ID: b"", CKA_SENSITIVE: False}


@pytest.mark.parametrize("private", [True, False])
def test_a_change_of_what_has_changed(
    token: TokenStore, another: Callable[[], TokenStore], private: bool
) -> None:
    other = another()
    for store in (token, other):
        store.unlock(Role.USER, USER_PIN, 0)
    (number,) = token.insert([Record(0, private, dict(BEFORE))])
    theirs = BEFORE | {CKA_SENSITIVE: True}
    assert other.update(Record(number, private, theirs), known=BEFORE)
    mine = BEFORE | {CKA_LABEL: b"y"}
    assert not token.update(Record(number, private, mine), known=BEFORE)
    changes = token.poll()
    assert changes is not None
    assert [record.attributes for record in changes.changed] == [theirs]
    both = theirs | {CKA_LABEL: b"y"}
    assert token.update(Record(number, private, dict(both)), known=theirs)
    assert token.poll() is None
    (found,) = other.load(private=private)
    assert found.attributes == both
