"""The life of PINs, in every store."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from unit.store.support import SO_PIN, USER_PIN, fails, record

from pypkcs11.standard.constants import (
    CKR_OK,
    CKR_PIN_INCORRECT,
    CKR_PIN_LOCKED,
    CKR_USER_NOT_LOGGED_IN,
    CKR_USER_PIN_NOT_INITIALIZED,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store import pins
from pypkcs11.store.pins import KdfCost
from pypkcs11.store.protocol import Directory, Role, TokenStore
from pypkcs11.store.sqlite import SqliteDirectory, SqliteTokenStore


def test_a_new_token_has_a_label_and_no_user_pin(directory: Directory) -> None:
    token = directory.create(directory.next_serial(), "Schlüssel", SO_PIN)
    description = token.describe()
    assert description.label == "Schlüssel"
    assert not description.user_pin_set and not description.user_pin_to_be_changed
    assert description.failures == {Role.SO: 0, Role.USER: 0}
    with fails(CKR_USER_PIN_NOT_INITIALIZED):
        token.unlock(Role.USER, USER_PIN, 0)


def test_each_role_has_its_pin(token: TokenStore) -> None:
    assert token.describe().user_pin_set
    token.unlock(Role.USER, USER_PIN, 3)
    token.lock()
    token.unlock(Role.SO, SO_PIN, 3)
    token.lock()
    for role, pin in ((Role.USER, SO_PIN), (Role.SO, USER_PIN), (Role.USER, b"")):
        with fails(CKR_PIN_INCORRECT):
            token.unlock(role, pin, 0)


def test_setting_a_pin_needs_the_key(token: TokenStore) -> None:
    with fails(CKR_USER_NOT_LOGGED_IN):
        token.set_pin(Role.USER, b"5678")


def test_failures_are_counted_cleared_and_lock(
    token: TokenStore, another: Callable[[], TokenStore]
) -> None:
    for failures in (1, 2):
        with fails(CKR_PIN_INCORRECT):
            token.unlock(Role.USER, b"wrong", 3)
        assert another().describe().failures == {Role.SO: 0, Role.USER: failures}
    another().unlock(Role.USER, USER_PIN, 3)
    assert token.describe().failures[Role.USER] == 0
    for _ in range(3):
        with fails(CKR_PIN_INCORRECT):
            token.verify_pin(Role.USER, b"wrong", 3)
    for store in (token, another()):
        with fails(CKR_PIN_LOCKED):
            store.unlock(Role.USER, USER_PIN, 3)
    assert token.describe().failures[Role.USER] == 3


def test_the_so_frees_a_locked_pin(token: TokenStore) -> None:
    with fails(CKR_PIN_INCORRECT):
        token.unlock(Role.USER, b"wrong", 1)
    token.unlock(Role.SO, SO_PIN, 1)
    token.set_pin(Role.USER, b"new one", to_be_changed=True)
    token.lock()
    assert token.describe().user_pin_to_be_changed
    token.change_pin(Role.USER, b"new one", b"mine", 1)
    description = token.describe()
    assert not description.user_pin_to_be_changed and description.failures[Role.USER] == 0
    token.unlock(Role.USER, b"mine", 1)


def test_changing_a_pin_needs_the_old_one_and_counts(token: TokenStore) -> None:
    with fails(CKR_PIN_INCORRECT):
        token.change_pin(Role.USER, b"wrong", b"5678", 2)
    assert token.describe().failures[Role.USER] == 1
    token.change_pin(Role.USER, USER_PIN, b"5678", 2)
    with fails(CKR_USER_NOT_LOGGED_IN):
        token.load(private=True)
    with fails(CKR_PIN_INCORRECT):
        token.unlock(Role.USER, USER_PIN, 0)
    token.unlock(Role.USER, b"5678", 0)


def test_verifying_a_pin_leaves_the_lock_as_it_is(token: TokenStore) -> None:
    token.verify_pin(Role.USER, USER_PIN, 0)
    with fails(CKR_USER_NOT_LOGGED_IN):
        token.load(private=True)
    token.unlock(Role.USER, USER_PIN, 0)
    with fails(CKR_PIN_INCORRECT):
        token.verify_pin(Role.SO, b"wrong", 0)
    assert token.load(private=True) == []


def test_objects_outlive_changed_pins(token: TokenStore) -> None:
    token.unlock(Role.USER, USER_PIN, 0)
    [id_] = token.insert([record(private=True, secret={0x11: b"key"})])
    token.change_pin(Role.USER, USER_PIN, b"5678", 0)
    token.lock()
    token.unlock(Role.USER, b"5678", 0)
    assert token.secret(id_) == {0x11: b"key"}


def try_at_once(stores: list[TokenStore], pin: bytes, limit: int) -> list[int]:
    results: list[int] = []

    def attempt(store: TokenStore) -> None:
        try:
            store.verify_pin(Role.USER, pin, limit)
            results.append(CKR_OK)
        except CryptokiError as error:
            results.append(error.rv)

    threads = [threading.Thread(target=attempt, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_no_race_gives_a_free_try(token: TokenStore, another: Callable[[], TokenStore]) -> None:
    results = try_at_once([another() for _ in range(12)], b"wrong", 5)
    assert results.count(CKR_PIN_INCORRECT) == 5
    assert results.count(CKR_PIN_LOCKED) == 7


def test_right_pins_at_once_lock_nothing(
    token: TokenStore, another: Callable[[], TokenStore]
) -> None:
    assert try_at_once([another() for _ in range(12)], USER_PIN, 1) == [CKR_OK] * 12


def test_a_crash_while_a_pin_is_tried_costs_the_try(
    sqlite_token: SqliteTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pins, "_derive", power_cut)
    with pytest.raises(KeyboardInterrupt):
        sqlite_token.unlock(Role.USER, USER_PIN, 3)
    assert sqlite_token.describe().failures[Role.USER] == 1


def test_a_higher_cost_takes_hold_at_the_next_login(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    dearer = KdfCost(memory=256, iterations=2)
    store = SqliteDirectory(sqlite.path, kdf=dearer).open(sqlite_token.serial)

    def cost() -> tuple[int, int]:
        with sqlite_token._database.reading() as now:
            query = "SELECT memory, iterations FROM pin WHERE role = 1"
            memory, iterations = now.connection.execute(query).fetchone()
            return memory, iterations

    with fails(CKR_PIN_INCORRECT):
        store.unlock(Role.USER, b"wrong", 0)
    assert cost() == (64, 1)
    store.unlock(Role.USER, USER_PIN, 0)
    assert cost() == (256, 2)
    sqlite_token.unlock(Role.USER, USER_PIN, 0)
    assert cost() == (256, 2)
