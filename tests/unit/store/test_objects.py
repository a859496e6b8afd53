"""Objects and what other processes do to them, in every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from unit.store.support import SO_PIN, USER_PIN, fails, record

from pypkcs11.standard.constants import (
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_DEVICE_REMOVED,
    CKR_OBJECT_HANDLE_INVALID,
    CKR_PIN_INCORRECT,
    CKR_TOKEN_NOT_PRESENT,
    CKR_USER_NOT_LOGGED_IN,
    CKR_USER_PIN_NOT_INITIALIZED,
)
from pypkcs11.store import sqlite_token as implementation
from pypkcs11.store.protocol import Directory, Record, Role, TokenStore

SECRET = {0x11: b"very secret", 0x123: b"also"}


@pytest.fixture
def opened(token: TokenStore) -> TokenStore:
    token.unlock(Role.USER, USER_PIN, 0)
    return token


def unlocked(another: Callable[[], TokenStore]) -> TokenStore:
    store = another()
    store.unlock(Role.USER, USER_PIN, 0)
    return store


def test_objects_come_back_as_they_were_put(
    opened: TokenStore, another: Callable[[], TokenStore]
) -> None:
    public, private = record(1, secret=SECRET), record(2, private=True, secret=SECRET)
    ids = opened.insert([public, private])
    assert len(set(ids)) == 2 and 0 not in ids
    for store in (opened, unlocked(another)):
        [one] = store.load(private=False)
        [two] = store.load(private=True)
        assert (one.id, one.private, one.attributes) == (ids[0], False, public.attributes)
        assert (two.id, two.private, two.attributes) == (ids[1], True, private.attributes)
        assert one.secret == two.secret == {}
        assert store.secret(ids[0]) == store.secret(ids[1]) == SECRET


def test_an_object_without_secret_has_none(opened: TokenStore) -> None:
    for id_ in opened.insert([record(1), record(2, private=True)]):
        assert opened.secret(id_) == {}


def test_a_locked_token_shows_and_takes_public_objects_only(opened: TokenStore) -> None:
    [kept] = opened.insert([record(private=True, secret=SECRET)])
    opened.lock()
    [id_] = opened.insert([record(1)])
    assert [one.id for one in opened.load(private=False)] == [id_]
    with fails(CKR_USER_NOT_LOGGED_IN):
        opened.load(private=True)
    with fails(CKR_USER_NOT_LOGGED_IN):
        opened.secret(kept)
    for sealed in (record(private=True), record(secret=SECRET)):
        with fails(CKR_USER_NOT_LOGGED_IN):
            opened.insert([record(2), sealed])
    assert [one.id for one in opened.load(private=False)] == [id_]


def test_attributes_and_secrets_are_replaced_apart(opened: TokenStore) -> None:
    for private in (False, True):
        old = record(1, private=private, secret=SECRET)
        [old.id] = opened.insert([old])
        opened.update(Record(old.id, private, {0x3: b"new"}))
        assert opened.secret(old.id) == SECRET
        opened.update(Record(old.id, private, {0x3: b"newer"}, {0x11: b"other"}), secret=True)
        assert opened.secret(old.id) == {0x11: b"other"}
        [new] = [one for one in opened.load(private=private) if one.id == old.id]
        assert new.attributes == {0x3: b"newer"}
        opened.update(Record(old.id, private, {}), secret=True)
        assert opened.secret(old.id) == {}


def test_a_public_object_is_updated_while_locked_unless_part_of_it_is_sealed(
    opened: TokenStore,
) -> None:
    plain, sealed, private = opened.insert(
        [record(1), record(2, secret=SECRET), record(3, private=True)]
    )
    opened.lock()
    opened.update(Record(plain, False, {0x3: b"new"}))
    for id_ in (sealed, private):
        with fails(CKR_USER_NOT_LOGGED_IN):
            opened.update(Record(id_, False, {0x3: b"new"}))
    opened.unlock(Role.USER, USER_PIN, 0)
    assert {0x3: b"new"} in [one.attributes for one in opened.load(private=False)]


def test_what_is_gone_is_gone(opened: TokenStore) -> None:
    [id_] = opened.insert([record(1, secret=SECRET)])
    opened.delete(id_)
    for call in (
        lambda: opened.delete(id_),
        lambda: opened.secret(id_),
        lambda: opened.update(Record(id_, False, {})),
    ):
        with fails(CKR_OBJECT_HANDLE_INVALID):
            call()
    [again] = opened.insert([record(1)])
    assert again != id_


def test_what_cannot_be_stored_leaves_everything_as_it_was(opened: TokenStore) -> None:
    with fails(CKR_ATTRIBUTE_VALUE_INVALID):
        opened.insert([record(1), Record(0, False, {0: -1})])
    assert opened.load(private=False) == []
    assert opened.insert([record(1)])


def test_records_show_nothing_of_their_values() -> None:
    shown = repr(record(1, private=True, secret=SECRET))
    assert "label" not in shown and "secret" not in shown


# -- what others do --------------------------------------------------------------------------


def test_others_see_each_change_once_and_oneself_none(
    opened: TokenStore, another: Callable[[], TokenStore]
) -> None:
    other, locked = unlocked(another), another()
    assert opened.poll() is other.poll() is locked.poll() is None
    one, two, private = opened.insert([record(1), record(2), record(3, private=True)])
    seen = other.poll()
    assert seen is not None and not seen.everything
    assert [(new.id, new.attributes[3]) for new in seen.changed] == [
        (one, b"label 1"),
        (two, b"label 2"),
        (private, b"label 3"),
    ]
    seen = locked.poll()
    assert seen is not None and [new.id for new in seen.changed] == [one, two]
    opened.delete(one)
    opened.update(Record(two, False, {0x3: b"new"}))
    for store in (other, locked):
        seen = store.poll()
        assert seen is not None
        assert [(new.id, new.attributes) for new in seen.changed] == [(two, {0x3: b"new"})]
        assert list(seen.removed) == [one]
    assert opened.poll() is other.poll() is locked.poll() is None


def test_own_changes_between_others_are_not_reported(
    opened: TokenStore, another: Callable[[], TokenStore]
) -> None:
    other = unlocked(another)
    [theirs] = other.insert([record(1)])
    [own] = opened.insert([record(2)])
    [theirs_too] = other.insert([record(3)])
    opened.delete(own)
    seen = opened.poll()
    assert seen is not None
    assert [new.id for new in seen.changed] == [theirs, theirs_too] and not seen.removed
    seen = other.poll()
    assert seen is None or (not seen.changed and list(seen.removed) == [own])


def test_whoever_was_away_for_long_still_learns_of_removals(
    opened: TokenStore, another: Callable[[], TokenStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(implementation, "REMEMBERED", 8)
    away = another()
    ids = opened.insert([record(n) for n in range(40)])
    away.poll()
    for id_ in ids[:-1]:
        opened.delete(id_)
    seen = away.poll()
    assert seen is not None and not seen.everything
    assert set(ids[:-1]) <= set(seen.removed) and ids[-1] not in seen.removed


def test_initialising_anew_leaves_nothing(
    opened: TokenStore, another: Callable[[], TokenStore]
) -> None:
    other = unlocked(another)
    old = opened.insert([record(1), record(2, private=True, secret=SECRET)])
    other.poll()
    opened.verify_pin(Role.SO, SO_PIN, 0)
    opened.initialise("anew", b"another so pin")
    assert opened.poll() is None
    with fails(CKR_USER_NOT_LOGGED_IN):
        opened.load(private=True)
    description = other.describe()
    assert description.label == "anew" and not description.user_pin_set
    # The other's key is void even before it polls.
    with fails(CKR_USER_NOT_LOGGED_IN):
        other.insert([record(3, private=True)])
    seen = other.poll()
    assert seen is not None and seen.everything and not seen.changed
    assert other.poll() is None
    with fails(CKR_USER_NOT_LOGGED_IN):
        other.secret(old[1])
    for store in (opened, other):
        assert store.load(private=False) == []
        with fails(CKR_USER_PIN_NOT_INITIALIZED):
            store.unlock(Role.USER, USER_PIN, 0)
        with fails(CKR_PIN_INCORRECT):
            store.unlock(Role.SO, SO_PIN, 0)
        store.unlock(Role.SO, b"another so pin", 0)
    [new] = opened.insert([record(1)])
    assert new not in old


def test_a_removed_token_is_gone_for_all(
    directory: Directory, opened: TokenStore, another: Callable[[], TokenStore]
) -> None:
    other = unlocked(another)
    directory.remove(opened.serial)
    assert directory.serials() == []
    for call in (other.poll, other.describe, lambda: other.insert([record(1)])):
        with fails(CKR_DEVICE_REMOVED):
            call()
    with fails(CKR_TOKEN_NOT_PRESENT):
        directory.open(opened.serial)
    with fails(CKR_TOKEN_NOT_PRESENT):
        directory.remove(opened.serial)


def test_tokens_are_listed_as_they_were_made(directory: Directory) -> None:
    made = []
    for number in range(5):
        made.append(directory.next_serial())
        assert directory.next_serial() == made[-1]
        directory.create(made[-1], str(number), SO_PIN)
        with fails(CKR_PIN_INCORRECT):
            directory.create(made[-1], "twice", SO_PIN)
    assert directory.serials() == made
    assert [directory.open(serial).describe().label for serial in made] == list("01234")
    directory.remove(made[2])
    assert directory.serials() == made[:2] + made[3:]
