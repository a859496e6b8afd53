"""Several processes on one token: at once, killed, forked."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from contextlib import suppress
from pathlib import Path

from unit.store.support import CHEAP, USER_PIN, record, run, start

from pypkcs11.store import database
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import SqliteDirectory, SqliteTokenStore

KILLS = int(os.environ.get("PYPKCS11_TEST_KILLS", "300"))

OPEN = """
import sys
from pathlib import Path
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import SqliteDirectory
from unit.store.support import CHEAP, USER_PIN, record
directory = SqliteDirectory(Path(sys.argv[1]), kdf=CHEAP)
token = directory.open(sys.argv[2])
token.unlock(Role.USER, USER_PIN, 0)
"""

WRITE = (
    OPEN
    + """
for number in range(int(sys.argv[3])):
    [id] = token.insert([record(number, private=True, secret={0x11: b"%d" % number})])
    if number % 3 == 0:
        token.delete(id)
token.poll()
"""
)

#: For each line, the seconds that one more writer lives before it is killed. Writers are forked, so
#: that they begin at once; the nursery itself opens nothing. What they report are ids.
NURSERY = """
import os, signal, sys, time
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import SqliteDirectory
from unit.store.support import CHEAP, USER_PIN, record

def write_pairs(report):
    token = SqliteDirectory(sys.argv[1], kdf=CHEAP).open(sys.argv[2])
    token.unlock(Role.USER, USER_PIN, 0)
    number = 0
    while True:
        secret = {0x11: b"%d" % number}
        pair = [record(number, secret=secret), record(number, private=True, secret=secret)]
        os.write(report, b"%d %d\\n" % tuple(token.insert(pair)))
        number += 1

for line in sys.stdin:
    reading, writing = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(reading)
        write_pairs(writing)
    os.close(writing)
    time.sleep(float(line))
    os.kill(writer, signal.SIGKILL)
    with os.fdopen(reading, "rb") as reports:
        print(*(id.decode() for line in reports for id in line.split()), flush=True)
    assert os.waitpid(writer, 0)[1] == signal.SIGKILL, "it failed before it was killed"
"""

LOGIN = """
import sys
from pathlib import Path
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Role
from pypkcs11.store.sqlite import KdfCost, SqliteDirectory
token = SqliteDirectory(Path(sys.argv[1]), kdf=KdfCost(64, 1)).open(sys.argv[2])
for _ in range(4):
    try:
        token.verify_pin(Role.USER, sys.argv[3].encode(), 10)
        print("ok")
    except CryptokiError as error:
        print(hex(error.rv))
"""


def test_eight_writers_lose_nothing(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    sqlite_token.unlock(Role.USER, USER_PIN, 0)
    each = 60
    writers = [start(WRITE, sqlite.path, sqlite_token.serial, each) for _ in range(8)]
    known: set[int] = set()

    def catch_up() -> None:
        changes = sqlite_token.poll()
        if changes is not None:
            assert not changes.everything
            known.update(new.id for new in changes.changed)
            known.difference_update(changes.removed)

    while any(writer.poll() is None for writer in writers):
        catch_up()
        time.sleep(0.005)
    assert [writer.wait() for writer in writers] == [0] * 8
    catch_up()
    stored = sqlite_token.load(private=True)
    assert len(stored) == 8 * each * 2 // 3
    assert known == {one.id for one in stored}
    for one in stored[::10]:
        number = one.attributes[0x102]
        assert isinstance(number, bytes)
        assert sqlite_token.secret(one.id) == {0x11: number.removeprefix(b"id-")}


def test_others_changes_are_seen_at_once(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    """Not only at the next look into the database, 50 milliseconds later."""
    writer = start(
        OPEN + "\nfor _ in sys.stdin: print(*token.insert([record()]), flush=True)",
        sqlite.path,
        sqlite_token.serial,
    )
    assert writer.stdin and writer.stdout
    for _ in range(50):
        sqlite_token.poll()
        writer.stdin.write("\n")
        writer.stdin.flush()
        id_ = int(writer.stdout.readline())
        changes = sqlite_token.poll()
        assert changes is not None and [new.id for new in changes.changed] == [id_]
    writer.stdin.close()
    assert writer.wait() == 0


def read_everything(store: SqliteTokenStore) -> None:
    assert store.poll() is None
    assert [store.secret(one.id) for one in store.load(private=True)] == [{0x11: b"key"}]
    assert store.describe().label == "a label"


def test_readers_never_wait_for_a_writer(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    """Neither threads nor other processes, while a writer is in the midst of a transaction."""
    other = sqlite.open(sqlite_token.serial)
    for store in (sqlite_token, other):
        store.unlock(Role.USER, USER_PIN, 0)
    sqlite_token.insert([record(1, private=True, secret={0x11: b"key"})])
    other.poll()
    begun, done = threading.Event(), threading.Event()

    def write() -> None:
        with sqlite_token._changing() as change:
            change.next()
            change.connection.execute("DELETE FROM object")
            begun.set()
            assert done.wait(60)
            raise KeyError

    def suppressed() -> None:
        with suppress(KeyError):
            write()

    thread = threading.Thread(target=suppressed)
    thread.start()
    try:
        assert begun.wait(60)
        start_time = time.monotonic()
        read_everything(sqlite_token)
        read_everything(other)
        assert not done.is_set() and thread.is_alive()
        assert time.monotonic() - start_time < 10  # a writer would have waited for 60 seconds
    finally:
        done.set()
        thread.join()
    read_everything(sqlite_token)


def test_a_writer_killed_at_any_instant_leaves_whole_changes(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    """What it had reported is there, and nothing is there by half."""
    observer = sqlite.open(sqlite_token.serial)
    observer.unlock(Role.USER, USER_PIN, 0)
    known: set[int] = set()
    reported: set[int] = set()
    nursery = start(NURSERY, sqlite.path, sqlite_token.serial)
    assert nursery.stdin and nursery.stdout
    for _ in range(KILLS):
        print(random.uniform(0, 0.03), file=nursery.stdin, flush=True)
        reported.update(map(int, nursery.stdout.readline().split()))
        changes = observer.poll()
        if changes is not None:
            assert not changes.everything and not changes.removed
            known.update(new.id for new in changes.changed)
        assert reported <= known
    nursery.stdin.close()
    assert nursery.wait() == 0
    public, private = observer.load(private=False), observer.load(private=True)
    ids = {one.id for one in public + private}
    assert len(public) == len(private) and reported and known == ids
    for one, two in zip(public, private, strict=True):
        assert one.attributes[0x102] == two.attributes[0x102]
        assert observer.secret(one.id) == observer.secret(two.id) != {}
    with observer._database.reading() as now:
        assert now.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_after_a_writer_died_before_its_commit_others_go_on(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    observer = sqlite.open(sqlite_token.serial)
    dying = (
        OPEN
        + """
import os
with token._changing() as change:
    token._writer.counter.announce(change.next())
    os._exit(0)
"""
    )
    run(dying, sqlite.path, sqlite_token.serial)
    for _ in range(3):
        assert observer.poll() is None
    [id_] = sqlite_token.insert([record()])
    changes = observer.poll()
    assert changes is not None and [new.id for new in changes.changed] == [id_]


def test_logins_of_many_processes_are_counted_exactly(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    def outcomes(pin: str) -> list[str]:
        processes = [start(LOGIN, sqlite.path, sqlite_token.serial, pin) for _ in range(4)]
        return sorted("".join(process.communicate()[0] for process in processes).split())

    assert outcomes("1234") == ["ok"] * 16
    assert outcomes("wrong") == ["0xa0"] * 10 + ["0xa4"] * 6
    assert sqlite_token.describe().failures[Role.USER] == 10


def in_child(sqlite: SqliteDirectory, serial: str, store: SqliteTokenStore) -> None:
    """What a forked child does: put the inherited away, and begin its own."""
    inherited = [store._database._connection, store._writer._connection]
    store._database.lock.acquire()  # as if other threads of the parent had held them
    store._writer.lock.acquire()
    sqlite.abandon()
    assert all(any(kept is one for kept in database._abandoned) for one in inherited)
    store.close()
    gc.collect()
    own = SqliteDirectory(sqlite.path, kdf=CHEAP).open(serial)
    own.unlock(Role.USER, USER_PIN, 0)
    assert len(own.load(private=True)) == 1
    own.insert([record(2, private=True)])
    own.close()


def test_a_forked_child_leaves_the_parents_connection_alone(
    sqlite: SqliteDirectory, sqlite_token: SqliteTokenStore
) -> None:
    sqlite_token.unlock(Role.USER, USER_PIN, 0)
    sqlite_token.insert([record(1, private=True)])
    log = Path(sqlite.path) / f"{sqlite_token.serial}.token-wal"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            in_child(sqlite, sqlite_token.serial, sqlite_token)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert log.stat().st_size
    changes = sqlite_token.poll()
    assert changes is not None and len(changes.changed) == 1
    sqlite_token.insert([record(3, private=True)])
    assert len(sqlite_token.load(private=True)) == 3


def test_the_end_of_a_forked_interpreter_does_not_close_what_it_inherited(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from unit.store.support import CHEAP, SO_PIN, record
from pypkcs11.store.sqlite import SqliteDirectory
directory = SqliteDirectory(Path(sys.argv[1]), kdf=CHEAP)
token = directory.create(directory.next_serial(), "", SO_PIN)
token.insert([record()])
log = Path(directory.path) / f"{token.serial}.token-wal"
read, write = os.pipe()
child = os.fork()
if child:
    size = log.stat().st_size
    os.close(write)
    token._writer._connection.close()
    token._database._connection.close()  # the child's would now be the last, and delete the log
    other = SqliteDirectory(directory.path, kdf=CHEAP).open(token.serial)
    other.insert([record()])
    inode = log.stat().st_ino
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    assert log.stat().st_ino == inode
    other.insert([record()])
    assert len(other.load(private=False)) == 3
else:
    os.close(write)
    directory.abandon()
    os.read(read, 1)
    sys.exit(0)
"""
    run(program, tmp_path / "tokens")


def test_a_token_made_by_another_process_is_listed(sqlite: SqliteDirectory) -> None:
    expected = sqlite.next_serial()
    program = """
import sys
from pathlib import Path
from unit.store.support import CHEAP, SO_PIN
from pypkcs11.store.sqlite import SqliteDirectory
directory = SqliteDirectory(Path(sys.argv[1]), kdf=CHEAP)
serial = directory.next_serial()
directory.create(serial, "theirs", SO_PIN)
print(serial)
"""
    assert run(program, sqlite.path).strip() == expected
    assert sqlite.serials() == [expected]
    assert sqlite.open(expected).describe().label == "theirs"
    assert sqlite.next_serial() != expected
