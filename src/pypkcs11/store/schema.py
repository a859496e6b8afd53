"""The tables of a token's file, and how older ones are brought up to date."""

from __future__ import annotations

from functools import lru_cache
from sqlite3 import Connection, connect
from typing import Final

from pypkcs11.standard.constants import CKR_TOKEN_NOT_RECOGNIZED
from pypkcs11.standard.errors import MediumError

#: In the file's header at offset 68 ("P#11"), so that file(1) and we know it.
APPLICATION_ID: Final = 0x50233131

_VERSION_1 = """
CREATE TABLE token (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    serial      TEXT    NOT NULL,
    created     INTEGER NOT NULL,  -- microseconds since 1970
    generation  BLOB    NOT NULL,  -- 16 random octets, new with every initialisation
    label       TEXT    NOT NULL,
    tag         BLOB    NOT NULL,  -- authenticates label and created
    change      INTEGER NOT NULL,  -- number of the last change
    forgotten   INTEGER NOT NULL   -- removals up to this change are no longer listed
);
CREATE TABLE pin (
    role          INTEGER PRIMARY KEY CHECK (role IN (0, 1)),  -- CKU_SO, CKU_USER
    failures      INTEGER NOT NULL,
    to_be_changed INTEGER NOT NULL,
    memory        INTEGER NOT NULL,  -- Argon2id, KiB
    iterations    INTEGER NOT NULL,
    lanes         INTEGER NOT NULL,
    salt          BLOB    NOT NULL,
    envelope      BLOB    NOT NULL   -- the token key
);
CREATE TABLE object (
    id         INTEGER PRIMARY KEY,  -- the change that made it, so never used twice
    change     INTEGER NOT NULL,     -- the last change to it
    private    INTEGER NOT NULL CHECK (private IN (0, 1)),
    attributes BLOB    NOT NULL,     -- sealed when private
    secret     BLOB,                 -- sealed; NULL for none
    tag        BLOB                  -- of a public object; NULL when written without a key
);
CREATE INDEX object_change ON object (change);
CREATE TABLE removed (
    change INTEGER PRIMARY KEY,
    id     INTEGER NOT NULL
);
"""

#: Statements that lead from version i to version i + 1.
MIGRATIONS: Final = (_VERSION_1,)
VERSION: Final = len(MIGRATIONS)


def check(connection: Connection, name: str) -> None:
    """See that a file is a token's, and migrate it when it is of an older version.

    :raises CryptokiError: CKR_TOKEN_NOT_RECOGNIZED.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise MediumError(CKR_TOKEN_NOT_RECOGNIZED, f"{name} is not a token of this module")
    version = _version(connection)
    if not 1 <= version <= VERSION:
        raise MediumError(
            CKR_TOKEN_NOT_RECOGNIZED, f"{name} is of version {version}, this module's is {VERSION}"
        )
    if version < VERSION:
        migrate(connection)
    # Whoever alters a table or adds a trigger wants to be run by us, or to break what we rely on.
    if _statements(connection) != _expected(VERSION):
        raise MediumError(CKR_TOKEN_NOT_RECOGNIZED, f"{name} has other tables than a token")


def migrate(connection: Connection) -> None:
    """Bring an empty or older file to the present version, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for version in range(_version(connection), VERSION):
            for statement in MIGRATIONS[version].split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(connection: Connection) -> list[tuple[str]]:
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql"
    return connection.execute(query).fetchall()


@lru_cache
def _expected(version: int) -> list[tuple[str]]:
    """What a file of this version holds, from our own hand."""
    connection = connect(":memory:", isolation_level=None)
    try:
        migrate(connection)
        return _statements(connection)
    finally:
        connection.close()
