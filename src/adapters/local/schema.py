"""The tables of the store, and how a store of an earlier version becomes one of this version."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from runtime_core.errors import ServiceError

Migration = Callable[[sqlite3.Connection], None]

_VERSION_1 = """
CREATE TABLE programs (
    name TEXT PRIMARY KEY,
    cost INTEGER NOT NULL,
    description TEXT NOT NULL,
    is_public INTEGER NOT NULL,
    spec TEXT NOT NULL,           -- a JSON object
    source TEXT NOT NULL,         -- of sources.hash
    created TEXT NOT NULL,
    updated TEXT NOT NULL
) STRICT;
CREATE TABLE sources (
    hash TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    data BLOB                     -- NULL: in a file
) STRICT;
CREATE TABLE jobs (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    program TEXT NOT NULL,
    source TEXT NOT NULL,         -- of sources.hash
    cost INTEGER NOT NULL,
    backend TEXT NOT NULL,
    image TEXT NOT NULL,
    python TEXT NOT NULL,
    python_path TEXT NOT NULL,
    log_level TEXT,
    status TEXT NOT NULL,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    process TEXT,
    cancelling INTEGER NOT NULL,  -- whether its end was asked for while it ran
    size INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_unfinished ON jobs (key) WHERE ended IS NULL;
CREATE INDEX jobs_program_unfinished ON jobs (program, key) WHERE ended IS NULL;
CREATE INDEX jobs_ended ON jobs (ended, size) WHERE ended IS NOT NULL;
CREATE INDEX jobs_program ON jobs (program, key);
CREATE INDEX jobs_source ON jobs (source);
CREATE TABLE texts (
    job INTEGER NOT NULL,         -- of jobs.key
    kind INTEGER NOT NULL,        -- see texts.Kind
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    data BLOB,                    -- NULL: in a file
    PRIMARY KEY (job, kind, number)
) STRICT;
"""

# Programs get a name beside their id, jobs an account.
_VERSION_2 = """
ALTER TABLE programs RENAME COLUMN name TO id;
ALTER TABLE programs ADD COLUMN name TEXT NOT NULL DEFAULT '';
UPDATE programs SET name = id;
CREATE UNIQUE INDEX programs_name ON programs (name);
ALTER TABLE jobs ADD COLUMN hub TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN "group" TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN project TEXT NOT NULL DEFAULT '';
"""

# Jobs get tags: a JSON list of texts.
_VERSION_3 = """
ALTER TABLE jobs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
"""

MIGRATIONS: tuple[Migration, ...] = (
    lambda connection: _execute(connection, _VERSION_1),
    lambda connection: _execute(connection, _VERSION_2),
    lambda connection: _execute(connection, _VERSION_3),
)
"""What makes version n + 1 of version n, in order; version 0 is an empty database."""


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring the database to the newest version; each step is done whole or not at all.

    Raises:
        ServiceError: if it was made by a newer version of this library.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise ServiceError(
            f"The store was written by a newer version of this library (its schema is {version}, "
            f"this one knows {len(migrations)}): upgrade runtime-core, or use another directory."
        )
    for number in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            migrations[number](connection)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _execute(connection: sqlite3.Connection, script: str) -> None:
    # Not executescript, which would commit first.
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)
