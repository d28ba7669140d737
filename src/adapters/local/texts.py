"""The texts of jobs: small ones in the database, large ones in files beside it.

A file is written before the row that names it, so a row never names what is not there. A file
without a row is what a service left that was killed in between; it is removed with its job.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from adapters.local.records import Job

INLINE_BYTES = 64 * 1024
"""The longest text that is kept in the database itself."""


class Kind(IntEnum):
    """What a text of a job is. The numbers stand in stores: they stay."""

    PARAMS = 1
    """The inputs, a JSON object."""
    INTERIM = 2
    """An interim result; numbered from 0 on, in the order published."""
    RESULT = 3
    """The result, or why there is none."""
    LOG = 4
    """A piece of what was printed; its number is where it begins, in bytes from the start."""


class Texts:
    """The texts of all jobs. Who calls what changes something does so inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, files: Path) -> None:
        self._connection = connection
        self._files = files

    def put(self, job: Job, kind: Kind, number: int, data: bytes) -> None:
        """Add a text."""
        kept: bytes | None = data
        if len(data) > INLINE_BYTES:
            path = self._path(job, kind, number)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)
            kept = None
        self._connection.execute(
            "INSERT INTO texts VALUES (?, ?, ?, ?, ?)", (job.key, kind, number, len(data), kept)
        )
        self._grow(job, len(data))

    def get(self, job: Job, kind: Kind, number: int = 0) -> bytes | Path | None:
        """Give a text, or the file that holds it; None if there is no such text."""
        found = next(self.read(job, kind, number, 1), None)
        return None if found is None or found[0] != number else found[1]

    def read(
        self, job: Job, kind: Kind, start: int, limit: int
    ) -> Iterator[tuple[int, bytes | Path]]:
        """Give texts from number `start` on, or their files, each with its number."""
        rows = self._connection.execute(
            "SELECT number, data FROM texts WHERE job = ? AND kind = ? AND number >= ?"
            " ORDER BY number LIMIT ?",
            (job.key, kind, start, limit),
        )
        for number, data in rows:
            yield number, self._path(job, kind, number) if data is None else data

    def extent(self, job: Job, kind: Kind) -> tuple[int, int]:
        """Give where the first text that is kept begins, and where the last one ends, in bytes."""
        first = self._connection.execute(
            "SELECT number FROM texts WHERE job = ? AND kind = ? ORDER BY number LIMIT 1",
            (job.key, kind),
        ).fetchone()
        last = self._connection.execute(
            "SELECT number + size FROM texts WHERE job = ? AND kind = ?"
            " ORDER BY number DESC LIMIT 1",
            (job.key, kind),
        ).fetchone()
        return (first[0], last[0]) if first else (0, 0)

    def pieces(self, job: Job, kind: Kind, start: int) -> bytes:
        """Give what is kept from byte `start` on, of a kind that is numbered by bytes."""
        # A piece is never longer than INLINE_BYTES, so none that begins earlier reaches `start`.
        rows = self._connection.execute(
            "SELECT number, data FROM texts WHERE job = ? AND kind = ? AND number > ?"
            " ORDER BY number",
            (job.key, kind, start - INLINE_BYTES),
        )
        return b"".join(piece[max(0, start - number) :] for number, piece in rows)

    def drop_pieces(self, job: Job, kind: Kind, before: int) -> None:
        """Remove the pieces that end before byte `before`."""
        dropped = self._connection.execute(
            "DELETE FROM texts WHERE job = ? AND kind = ? AND number < ? AND number + size <= ?"
            " RETURNING size",
            (job.key, kind, before, before),
        ).fetchall()
        if dropped:
            self._grow(job, -sum(size for (size,) in dropped))

    def delete(self, job: Job) -> None:
        """Remove all texts of a job; its files go with `sweep`, after the transaction."""
        self._connection.execute("DELETE FROM texts WHERE job = ?", (job.key,))

    def sweep(self, job_id: str) -> None:
        """Remove the files of a job that is gone."""
        shutil.rmtree(self._files / job_id, ignore_errors=True)

    def owners(self) -> Iterator[str]:
        """Give the ids of the jobs that have files, or had some."""
        with contextlib.suppress(FileNotFoundError):
            yield from (path.name for path in self._files.iterdir())

    def _grow(self, job: Job, size: int) -> None:
        self._connection.execute("UPDATE jobs SET size = size + ? WHERE key = ?", (size, job.key))

    def _path(self, job: Job, kind: Kind, number: int) -> Path:
        return self._files / job.id / f"{kind.name.lower()}-{number}"
