"""A token kept in SQLite: the :class:`~pypkcs11.store.protocol.TokenStore` of files and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from sqlite3 import Connection
from time import monotonic

from pypkcs11.standard.constants import (
    CKR_DEVICE_ERROR,
    CKR_OBJECT_HANDLE_INVALID,
    CKR_TOKEN_NOT_RECOGNIZED,
    CKR_TOKEN_WRITE_PROTECTED,
    CKR_USER_NOT_LOGGED_IN,
)
from pypkcs11.standard.errors import CryptokiError, MediumError
from pypkcs11.standard.values import Attributes, Value
from pypkcs11.store import changes
from pypkcs11.store.attempts import Attempts
from pypkcs11.store.birth import Birth, authenticate
from pypkcs11.store.database import Database, Transaction
from pypkcs11.store.pins import FREE, KdfCost
from pypkcs11.store.protocol import Changes, Description, Record, Role
from pypkcs11.store.rows import (
    COLUMNS,
    SEALED_COLUMNS,
    Row,
    open_row,
    open_secret,
    seal_row,
    seal_tag,
)
from pypkcs11.store.sealing import Sealer

#: How many changes back removals are listed one by one; see :meth:`SqliteTokenStore._removed`.
REMEMBERED = 16384


class SqliteTokenStore:
    """One token, over a :class:`~pypkcs11.store.database.Database`."""

    def __init__(self, database: Database, writer: Database, serial: str, kdf: KdfCost) -> None:
        """:param database: what reads.
        :param writer: what writes; the same where there can be only one.
        :raises CryptokiError: CKR_TOKEN_NOT_RECOGNIZED when it is another token's file."""
        self.serial = serial
        self._database = database
        self._kdf = kdf
        self._sealer: Sealer | None = None
        self._verified = 0  # public objects are known to be authentic up to this change
        # Connections of their own, so that threads which read never wait for one that writes.
        # Whoever takes both locks takes the writer's first.
        self._writer = writer
        self._attempts = Attempts(writer, serial, kdf)
        # What poll() reports from: the state as of change _seen, but for our own changes since.
        self._own: set[int] = set()
        self._due = 0.0
        with database.reading() as now:
            (kept,) = now.connection.execute("SELECT serial FROM token").fetchone()
            if kept != serial:
                raise MediumError(
                    CKR_TOKEN_NOT_RECOGNIZED, f"{database.name} holds another token than {serial}"
                )
            self._opened = database.opened
            self._generation, self._seen = now.generation, now.number

    @property
    def closed(self) -> bool:
        """Whether it was closed, and is of no more use."""
        return self._database.closed

    def close(self) -> None:
        """Let go of files and memory; in a forked child, without touching the parent's."""
        self._sealer = None
        self._writer.close()
        self._database.close()

    def release(self) -> None:
        """Have no file open until the token is next used."""
        with self._writer.lock, self._database.lock:
            self._writer.release()
            self._database.release()

    def abandon(self) -> None:
        """For a forked child: as :meth:`close`, but whoever holds a lock, and for good."""
        self._sealer = None
        self._writer.abandon()
        self._database.abandon()

    @property
    def _seen(self) -> int:
        return self._seen_number

    @_seen.setter
    def _seen(self, number: int) -> None:
        self._seen_number = number
        self._mark = changes.octets(number)  # as unchanged() finds it

    # -- the token ----------------------------------------------------------------------------

    def describe(self) -> Description:
        """Return the token's label, PIN states and failure counters as they now are."""
        with self._database.reading() as now:
            (label,) = now.connection.execute("SELECT label FROM token").fetchone()
            pins = now.connection.execute("SELECT role, failures, to_be_changed, memory FROM pin")
            rows = {role: tuple(row) for role, *row in pins}
        if type(label) is not str or not all(type(row[0]) is int for row in rows.values()):
            raise MediumError(CKR_DEVICE_ERROR, f"{self._database.name} is damaged")
        read_only = self._database.read_only
        failures = {
            role: rows[role][0] + self._attempts.uncounted[role] for role in Role if role in rows
        }
        return Description(
            label=label,
            user_pin_set=Role.USER in rows,
            failures={Role.SO: 0, Role.USER: 0} | failures,
            user_pin_to_be_changed=Role.USER in rows and bool(rows[Role.USER][1]),
            user_pin_empty=Role.USER in rows and rows[Role.USER][2] == FREE.memory,
            write_protected=read_only,
        )

    def initialise(self, label: str, so_pin: bytes) -> None:
        """Begin anew: all objects and the user PIN are gone, the SO PIN and label are set."""
        birth = Birth(self.serial, label, so_pin, self._kdf)
        with self._writer.lock, self._database.lock:
            with self._changing() as change:
                change.next()
                for table in ("object", "removed", "pin"):
                    change.connection.execute(f"DELETE FROM {table}")
                birth.write(change.connection)
                change.connection.execute("UPDATE token SET forgotten = ?", (change.number,))
            # Our own doing: poll() has nothing to say about it.
            self._generation, self._seen = birth.generation, change.number
            self._sealer, self._verified = None, 0
            self._own.clear()

    # -- PINs ---------------------------------------------------------------------------------

    def unlock(self, role: Role, pin: bytes, limit: int) -> None:
        """Check a PIN and take the token key in hand."""
        self._take(self._attempts.prove(role, pin, limit))

    def verify_pin(self, role: Role, pin: bytes, limit: int) -> None:
        """Check a PIN, and no more."""
        self._attempts.prove(role, pin, limit)

    def lock(self) -> None:
        """Forget the token key and everything unsealed with it."""
        self._sealer = None

    def set_pin(self, role: Role, pin: bytes, *, to_be_changed: bool = False) -> None:
        """Seal the token key under a new PIN for ``role`` and clear its counter. Unlocked only."""
        sealer = self._unlocked()
        sealed = self._attempts.seal(sealer, role, pin, to_be_changed=to_be_changed)
        with self._writer.writing() as now:
            self._same(sealer, now)
            sealed.write(now.connection)

    def change_pin(self, role: Role, old: bytes, new: bytes, limit: int) -> None:
        """Prove the old PIN as :meth:`unlock` does, set the new; stays locked or unlocked."""
        self._attempts.change(role, old, new, limit)

    def _take(self, sealer: Sealer) -> None:
        """Take the token key in hand, once what it authenticates has been seen to be authentic."""
        with self._writer.lock:
            if not self._sealer or self._sealer.generation != sealer.generation:
                self._verified = 0
            untagged = self._verify(sealer)
            if untagged:
                self._tag(sealer, untagged)
            self._sealer = sealer

    def _verify(self, sealer: Sealer) -> list[int]:
        """Authenticate the token's row and new public objects; return ids of those without tag."""
        untagged: list[int] = []
        with self._database.reading() as now:
            self._same(sealer, now)
            authenticate(now.connection, sealer, self._database.name)
            rows = now.connection.execute(
                f"SELECT {COLUMNS} FROM object WHERE private = 0 AND change > ?", (self._verified,)
            )
            for row in rows:
                open_row(row, sealer)
                if row[4] is None:
                    untagged.append(row[0])
            self._verified = now.number
        return untagged

    def _tag(self, sealer: Sealer, ids: Sequence[int]) -> None:
        """Authenticate what was written without a key, from now on."""
        try:
            with self._writer.writing() as now:
                self._same(sealer, now)
                for record_id in ids:
                    row = self._row(now.connection, record_id)
                    if row and not row[1] and row[4] is None:
                        now.connection.execute(
                            "UPDATE object SET tag = ? WHERE id = ?",
                            (seal_tag(row, sealer, now.number), record_id),
                        )
        except CryptokiError as error:
            if error.rv != CKR_TOKEN_WRITE_PROTECTED:
                raise

    def _unlocked(self) -> Sealer:
        sealer = self._sealer
        if sealer is None:
            raise CryptokiError(CKR_USER_NOT_LOGGED_IN, "the token is locked")
        return sealer

    def _same(self, sealer: Sealer, now: Transaction) -> None:
        if sealer.generation != now.generation:
            self._sealer = None
            raise CryptokiError(CKR_USER_NOT_LOGGED_IN, "another process initialised the token")

    # -- what others do -----------------------------------------------------------------------

    def unchanged(self) -> bool:
        """Whether :meth:`poll` has nothing to say."""
        read = self._database.counter.read
        try:
            return read() == self._mark and monotonic() < self._due
        except OSError:
            return False

    def poll(self) -> Changes | None:
        """What other processes have changed since the last poll; None for nothing."""
        if self.unchanged():
            return None
        with self._database.lock:
            return self._look()

    def _look(self) -> Changes | None:
        database = self._database
        if monotonic() >= self._due:
            database.renew()
            self._due = monotonic() + changes.INTERVAL
        known = self._opened, self._generation, self._seen
        if (database.opened, *database.peek()) == known:
            return None
        with database.reading() as now:
            anew = (database.opened, now.generation) != known[:2] or now.number < self._seen
            news = self._start_over(now) if anew else self._difference(now)
        self._opened, self._generation, self._seen = database.opened, now.generation, now.number
        self._own = {number for number in self._own if number > now.number}
        return news

    def _start_over(self, now: Transaction) -> Changes:
        self._sealer, self._verified = None, 0
        rows = now.connection.execute(f"SELECT {COLUMNS} FROM object WHERE private = 0")
        return Changes([open_row(row, None) for row in rows], [], everything=True)

    def _difference(self, now: Transaction) -> Changes | None:
        sealer, own = self._sealer, self._own
        rows = now.connection.execute(
            f"SELECT {COLUMNS}, change FROM object WHERE change > ? AND private <= ?",
            (self._seen, int(sealer is not None)),
        )
        changed = [open_row(row[:5], sealer) for row in rows if row[5] not in own]
        removed = self._removed(now)
        return Changes(changed, removed) if changed or removed else None

    def _removed(self, now: Transaction) -> Sequence[int]:
        """Ids removed by others since ``_seen``; every number that is none once they are forgotten.

        Removals are kept for :data:`REMEMBERED` changes. Whoever looks less often is told of all
        ids that are not there, which is true, if long.
        """
        if self._seen < now.forgotten:
            there = {id_ for (id_,) in now.connection.execute("SELECT id FROM object")}
            return [id_ for id_ in range(1, now.number + 1) if id_ not in there]
        rows = now.connection.execute(
            "SELECT id, change FROM removed WHERE change > ?", (self._seen,)
        )
        return [id_ for id_, change in rows if change not in self._own]

    # -- objects ------------------------------------------------------------------------------

    def load(self, *, private: bool) -> list[Record]:
        """All public objects, or all private ones (unlocked only)."""
        with self._database.reading() as now:
            sealer = self._unlocked() if private else self._sealer
            if sealer and private:
                self._same(sealer, now)
            elif sealer and sealer.generation != now.generation:
                sealer = self._sealer = None
            columns = SEALED_COLUMNS if private else COLUMNS
            rows = now.connection.execute(
                f"SELECT {columns} FROM object WHERE private = ? ORDER BY id", (int(private),)
            )
            return [open_row(row, sealer) for row in rows]

    def secret(self, record_id: int) -> dict[int, Value]:
        """The sealed attributes of one object."""
        sealer = self._unlocked()
        with self._database.reading() as now:
            self._same(sealer, now)
            row = self._row(now.connection, record_id)
            if row is None:
                raise _gone(record_id)
            return open_secret(row, sealer)

    def insert(self, records: Sequence[Record]) -> list[int]:
        """Store new objects, all or none, and return their ids in order."""
        ids: list[int] = []
        with self._changing() as change:
            for record in records:
                number = change.next()
                ids.append(number)
                row = seal_row(number, record, self._sealer, number)
                change.connection.execute(
                    "INSERT INTO object (id, private, attributes, secret, tag, change)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (*row, number),
                )
        for record, record_id in zip(records, ids, strict=True):
            record.id = record_id
        return ids

    def update(
        self, record: Record, *, secret: bool = False, known: Attributes | None = None
    ) -> bool:
        """Replace an object's attributes, and with ``secret`` its sealed part as well."""
        with self._changing() as change:
            old = self._row(change.connection, record.id)
            if old is None:
                raise _gone(record.id)
            if old[1] and self._sealer is None:
                raise CryptokiError(CKR_USER_NOT_LOGGED_IN, f"object {record.id} is sealed")
            if known is not None and open_row(old, self._sealer).attributes != known:
                return False
            kept = None if secret else old[3]
            new = record if secret else Record(record.id, record.private, record.attributes)
            number = change.next()
            row = seal_row(record.id, new, self._sealer, number, kept)
            record.packed = new.packed
            change.connection.execute(
                "UPDATE object SET private = ?, attributes = ?, secret = ?, tag = ?, change = ?"
                " WHERE id = ?",
                (*row[1:], number, record.id),
            )
            return True

    def delete(self, record_id: int) -> None:
        """Destroy one object."""
        with self._changing() as change:
            deleted = change.connection.execute("DELETE FROM object WHERE id = ?", (record_id,))
            if deleted.rowcount != 1:
                raise _gone(record_id)
            number = change.next()
            change.connection.execute("INSERT INTO removed VALUES (?, ?)", (number, record_id))
            if number - change.forgotten > 2 * REMEMBERED:
                limit = (number - REMEMBERED,)
                change.connection.execute("DELETE FROM removed WHERE change <= ?", limit)
                change.connection.execute("UPDATE token SET forgotten = ?", limit)

    def count(self) -> int:
        """A number greater than any that was returned before: that of a change of nothing."""
        with self._changing() as change:
            return change.next()

    @contextmanager
    def _changing(self) -> Iterator[Transaction]:
        """A transaction of ours, which poll() will not report back to us."""
        own: Sequence[int] = ()
        with self._writer.lock:
            try:
                with self._writer.writing() as change:
                    if self._sealer and self._sealer.generation != change.generation:
                        self._sealer = None  # another process initialised the token
                    first = change.number
                    yield change
                    # Other threads may look as soon as it is committed.
                    own = range(first + 1, change.number + 1)
                    with self._database.lock:
                        self._own.update(own)
            except BaseException:
                if own:
                    with self._database.lock:
                        self._own.difference_update(own)
                        # Another process may have used the numbers while they counted as ours.
                        self._seen = min(self._seen, first)
                raise
            with self._database.lock:
                if first == self._seen and change.generation == self._generation:
                    self._seen = change.number
                    self._own.difference_update(own)

    def _row(self, connection: Connection, record_id: int) -> Row | None:
        row: Row | None = connection.execute(
            f"SELECT {COLUMNS} FROM object WHERE id = ?", (record_id,)
        ).fetchone()
        return row


def _gone(record_id: int) -> CryptokiError:
    return CryptokiError(CKR_OBJECT_HANDLE_INVALID, f"object {record_id} is gone")
