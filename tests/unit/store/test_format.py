"""Files that released versions wrote: the present one opens them, and always will.

``files/VERSION.token`` was written by that release; no file is ever written again. After the next
release whose format differs, one more is added.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from unit.store.support import CHEAP, SO_PIN, USER_PIN, fails, record

from pypkcs11.standard.constants import CKR_PIN_INCORRECT
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import SqliteDirectory

FILES = sorted((Path(__file__).parent / "files").glob("*.token"))
SERIAL = "0123456789ABCDEF"


def test_a_file_of_each_release_is_kept() -> None:
    assert "0.1.0.token" in [path.name for path in FILES]


@pytest.mark.parametrize("kept", FILES, ids=[path.stem for path in FILES])
def test_a_released_versions_file_is_read_and_written(kept: Path, tmp_path: Path) -> None:
    directory = SqliteDirectory(tmp_path, kdf=CHEAP)
    shutil.copyfile(kept, tmp_path / f"{SERIAL}.token")
    assert directory.serials() == [SERIAL]
    token = directory.open(SERIAL)
    description = token.describe()
    assert description.label == "Schlüssel 0.1.0" and description.user_pin_set
    assert description.failures == {Role.SO: 0, Role.USER: 1}
    with fails(CKR_PIN_INCORRECT):
        token.unlock(Role.USER, SO_PIN, 0)
    token.verify_pin(Role.SO, SO_PIN, 0)
    token.unlock(Role.USER, USER_PIN, 0)
    public, private = token.load(private=False), token.load(private=True)
    assert [one.id for one in private] == [1, 2] and [one.id for one in public] == [3, 4, 7]
    for number, one in zip((1, 2, 3, 4, 6), private + public, strict=True):
        assert one.attributes == record(number, private=one.private).attributes
        secret = {0x11: b"key %d" % number} if number in (1, 3) else {}
        assert token.secret(one.id) == secret
    [new] = token.insert([record(7, private=True, secret={0x11: b"key 7"})])
    assert new > 7 and token.secret(new) == {0x11: b"key 7"}
    directory.close()
