"""The sources of programs, each kept once however many programs and jobs have it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from adapters.local.texts import INLINE_BYTES


class Sources:
    """Keeps sources by their SHA-256: small ones in the database, large ones in files beside it.

    As with `Texts`, a file is written before the row that names it; one without a row is removed.
    """

    def __init__(self, connection: sqlite3.Connection, files: Path) -> None:
        self._connection = connection
        self._files = files

    def put(self, digest: str, source: bytes) -> None:
        """Add a source, inside a transaction; one that is there stays as it is."""
        if self._has(digest):
            return  # its file, if it has one, is whole: writing it again could break it
        kept: bytes | None = source
        if len(source) > INLINE_BYTES:
            self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._files / digest).write_bytes(source)
            kept = None
        self._connection.execute(
            "INSERT INTO sources VALUES (?, ?, ?)", (digest, len(source), kept)
        )

    def get(self, digest: str) -> bytes:
        """Give a source that is there."""
        (data,) = self._connection.execute(
            "SELECT data FROM sources WHERE hash = ?", (digest,)
        ).fetchone()
        return (self._files / digest).read_bytes() if data is None else bytes(data)

    def drop_unused(self) -> list[str]:
        """Remove those that neither a program nor a job has, inside a transaction; give which.

        Their files go with `sweep`, after the transaction.
        """
        gone = self._connection.execute(
            "DELETE FROM sources WHERE hash NOT IN (SELECT source FROM programs)"
            " AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.source = sources.hash)"
            " RETURNING hash"
        ).fetchall()
        return [digest for (digest,) in gone]

    def sweep(self, digest: str) -> None:
        """Remove the file of a source that is gone."""
        (self._files / digest).unlink(missing_ok=True)

    def sweep_all(self) -> None:
        """Remove the files of sources that are not there: of a killed service."""
        with contextlib.suppress(FileNotFoundError):
            for path in self._files.iterdir():
                if not self._has(path.name):
                    path.unlink()

    def _has(self, digest: str) -> bool:
        row = self._connection.execute("SELECT 1 FROM sources WHERE hash = ?", (digest,))
        return row.fetchone() is not None
