"""The store: programs and jobs in SQLite, each change one transaction.

The database is in WAL mode with `synchronous=NORMAL`: what a method has done survives the death of
the process at any moment after it. If the machine itself loses power, the store stays consistent,
and may lack what was done since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import attrs

from adapters.closing import Closing
from adapters.local.records import (
    ALL_JOBS,
    Job,
    JobFilter,
    JobStatus,
    Program,
    now,
    other_program_id,
)
from adapters.local.schema import migrate
from adapters.local.sources import Sources
from adapters.local.texts import INLINE_BYTES, Kind, Texts
from runtime_core.errors import ServiceError

DATABASE = "store.sqlite3"
"""The name of the database in the data directory."""

MAX_LOG_BYTES = 16 * 1024 * 1024
"""How much of a job's output is kept: the end of it."""

_JOB_FIELDS = [field.name for field in attrs.fields(Job)]
_JOB_COLUMNS = ", ".join(f'"{name}"' for name in _JOB_FIELDS)
_PROGRAM_FIELDS = [field.name for field in attrs.fields(Program)]
_PROGRAM_COLUMNS = ", ".join(_PROGRAM_FIELDS)
_PROGRAM_MARKS = ", ".join("?" * len(_PROGRAM_FIELDS))


class DuplicateError(Exception):
    """There is a program of that name already."""


class Store(Closing):
    """Keeps programs and jobs in a directory. Belongs to one thread, and to one process at a time.

    Its methods block for as long as the disk takes, which is well below a millisecond for all but
    large texts: SQLite appends to a file, and waits for the disk only at its checkpoints.
    """

    def __init__(self, connection: sqlite3.Connection, directory: Path) -> None:
        self._connection = connection
        # The keys of the jobs that wait, in order: counting them in SQL takes too long for lists.
        self._waiting: list[int] = []
        self._sources = Sources(connection, directory / "sources")
        self.texts = Texts(connection, directory / "files")
        """The texts of the jobs."""

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the store in `directory`, or make one; an older one is migrated.

        Raises:
            ServiceError: if there is none and none can be made, or it is of a newer version, or no
                store at all.
        """
        path = directory / DATABASE
        try:
            # The files that SQLite makes beside it get the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise _unusable(directory, error) from error
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA busy_timeout = 5000")
            migrate(connection)
        except sqlite3.Error as error:
            connection.close()
            raise _unusable(directory, error) from error
        except BaseException:
            connection.close()
            raise
        store = cls(connection, directory)
        store._waiting += (
            job.key for job in reversed(store.jobs(pending=True)) if job.status is JobStatus.QUEUED
        )
        store._sweep()
        return store

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            if self._connection.in_transaction:  # SQLite may have rolled back by itself
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # ---- programs ------------------------------------------------------------------------------

    def add_program(self, program: Program, source: bytes) -> Program:
        """Add a program; give it as it is kept.

        Raises:
            DuplicateError: if there is one of that name.
        """
        program = attrs.evolve(program, source=hashlib.sha256(source).hexdigest())
        with self._transaction():
            if self._has_program("id", program.id) and not self._has_program("name", program.name):
                # That one had this name once.
                program = attrs.evolve(program, id=other_program_id(program.name))
            self._sources.put(program.source, source)
            self._write_program(
                f"INSERT INTO programs ({_PROGRAM_COLUMNS}) VALUES ({_PROGRAM_MARKS})", program
            )
        return program

    def change_program(self, program: Program, source: bytes | None = None) -> Program:
        """Keep a program as it is now, and its new source if there is one; give it as it is kept.

        Raises:
            DuplicateError: if another one has its name.
        """
        program = attrs.evolve(program, updated=now())
        unused: list[str] = []
        with self._transaction():
            if source is not None:
                program = attrs.evolve(program, source=hashlib.sha256(source).hexdigest())
                self._sources.put(program.source, source)
            self._write_program(
                f"UPDATE programs SET ({_PROGRAM_COLUMNS}) = ({_PROGRAM_MARKS}) WHERE id = ?",
                program,
                program.id,
            )
            if source is not None:
                unused = self._sources.drop_unused()
        for digest in unused:
            self._sources.sweep(digest)
        return program

    def _write_program(self, statement: str, program: Program, *more: str) -> None:
        row = attrs.asdict(program) | {"spec": json.dumps(program.spec)}
        try:
            self._connection.execute(statement, (*row.values(), *more))
        except sqlite3.IntegrityError as error:
            raise DuplicateError(program.name) from error

    def _has_program(self, column: str, value: str) -> bool:
        found = self._connection.execute(f"SELECT 1 FROM programs WHERE {column} = ?", (value,))
        return found.fetchone() is not None

    def program(self, name: str) -> Program | None:
        """Find a program by its id, or else by its name."""
        for column in ("id", "name"):
            row = self._connection.execute(
                f"SELECT {_PROGRAM_COLUMNS} FROM programs WHERE {column} = ?", (name,)
            ).fetchone()
            if row is not None:
                return _program(row)
        return None

    def programs(self, limit: int, offset: int) -> list[Program]:
        """Give programs in the order in which they came."""
        rows = self._connection.execute(
            f"SELECT {_PROGRAM_COLUMNS} FROM programs ORDER BY rowid LIMIT ? OFFSET ?",
            (limit, offset),
        )
        return [_program(row) for row in rows]

    def count_programs(self) -> int:
        """Give how many programs there are."""
        return self._number("SELECT count(*) FROM programs")

    def delete_program(self, program_id: str) -> bool:
        """Remove a program, not its jobs; say whether there was one."""
        with self._transaction() as connection:
            found = connection.execute("DELETE FROM programs WHERE id = ?", (program_id,)).rowcount
            unused = self._sources.drop_unused()
        for digest in unused:
            self._sources.sweep(digest)
        return found > 0

    def source(self, digest: str) -> bytes:
        """Give a program's source."""
        return self._sources.get(digest)

    # ---- jobs ----------------------------------------------------------------------------------

    def add_job(self, job: Job, params: str) -> Job:
        """Add a job with its inputs, a JSON object as text; give it as it is kept."""
        with self._transaction() as connection:
            row = attrs.asdict(job) | {"status": job.status.value, "key": None}
            row["tags"] = json.dumps(job.tags)
            key = connection.execute(
                f"INSERT INTO jobs ({_JOB_COLUMNS}) VALUES ({', '.join('?' * len(row))})",
                (*row.values(),),
            ).lastrowid
            assert key is not None
            job = attrs.evolve(job, key=key)
            data = params.encode()
            self.texts.put(job, Kind.PARAMS, 0, data)
        self._waiting.append(key)
        return attrs.evolve(job, size=len(data))

    def job(self, job_id: str) -> Job | None:
        """Find a job."""
        return next(self._jobs("WHERE id = ?", (job_id,)), None)

    def jobs(
        self,
        pending: bool | None = None,
        program: str | None = None,
        limit: int = -1,
        offset: int = 0,
    ) -> list[Job]:
        """Give the matching jobs, the newest first.

        `pending` picks those that have not ended (True), those that have (False), or both (None).
        """
        return self.find_jobs(JobFilter(pending, program), limit, offset)

    def find_jobs(
        self,
        which: JobFilter,
        limit: int = -1,
        offset: int = 0,
        *,
        oldest_first: bool = False,
    ) -> list[Job]:
        """Give the matching jobs, the newest first if not said otherwise."""
        where, values = _where(which)
        order = "ORDER BY key" if oldest_first else "ORDER BY key DESC"
        return list(self._jobs(f"{where} {order} LIMIT ? OFFSET ?", (*values, limit, offset)))

    def count_jobs(self, pending: bool | None = None, program: str | None = None) -> int:
        """Give how many jobs match."""
        return self.count_found(JobFilter(pending, program))

    def count_found(self, which: JobFilter = ALL_JOBS) -> int:
        """Give how many jobs match."""
        where, values = _where(which)
        return self._number(f"SELECT count(*) FROM jobs {where}", values)

    def tag_job(self, job: Job, tags: Iterable[str]) -> None:
        """Give a job other tags."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE jobs SET tags = ? WHERE key = ?", (json.dumps([*tags]), job.key)
            )

    def next_queued(self) -> Job | None:
        """Give the job that has waited longest."""
        return next(self._jobs("WHERE key = ?", self._waiting[:1]), None) if self._waiting else None

    def position(self, job: Job) -> int | None:
        """Give the place of a job in the queue, from 1 on; None if it does not wait."""
        if job.status is not JobStatus.QUEUED:
            return None
        return bisect_right(self._waiting, job.key)

    def _waits_no_more(self, job: Job) -> None:
        place = bisect_left(self._waiting, job.key)
        if self._waiting[place : place + 1] == [job.key]:
            del self._waiting[place]

    def running(self) -> list[Job]:
        """Give the jobs that were started and not ended."""
        return list(self._jobs("WHERE status = 'Running' AND ended IS NULL ORDER BY key"))

    def start_job(self, job: Job, process: str | None) -> Job:
        """Record that the process of a job was started, see `processes.identity_of`."""
        job = attrs.evolve(job, status=JobStatus.RUNNING, started=now(), process=process)
        with self._transaction() as connection:
            connection.execute(
                "UPDATE jobs SET status = ?, started = ?, process = ? WHERE key = ?",
                (job.status.value, job.started, process, job.key),
            )
        self._waits_no_more(job)
        return job

    def params(self, job: Job) -> bytes:
        """Give the inputs of a job: a JSON object."""
        found = self.texts.get(job, Kind.PARAMS)
        assert found is not None
        return found.read_bytes() if isinstance(found, Path) else found

    def wish_cancelled(self, job: Job) -> None:
        """Record that the end of a running job was asked for."""
        with self._transaction() as connection:
            connection.execute("UPDATE jobs SET cancelling = 1 WHERE key = ?", (job.key,))

    def publish(self, job: Job, first: int, texts: Iterable[str]) -> None:
        """Add interim results, the first of them with number `first`."""
        with self._transaction():
            for number, text in enumerate(texts, first):
                self.texts.put(job, Kind.INTERIM, number, text.encode())

    def log(self, job: Job, position: int, data: bytes) -> None:
        """Add output, which begins at byte `position` of all; keep the last of it."""
        with self._transaction():
            for start in range(0, len(data), INLINE_BYTES):
                piece = data[start : start + INLINE_BYTES]
                self.texts.put(job, Kind.LOG, position + start, piece)
            excess = position + len(data) - MAX_LOG_BYTES
            if excess > 0:
                self.texts.drop_pieces(job, Kind.LOG, excess)

    def end_job(self, job: Job, status: JobStatus, result: str | None = None) -> None:
        """Give the job its final status, and its result or the reason why there is none."""
        with self._transaction() as connection:
            if result is not None:
                data = result.encode(errors="backslashreplace")
                self.texts.put(job, Kind.RESULT, 0, data)
            connection.execute(
                "UPDATE jobs SET status = ?, ended = ? WHERE key = ?",
                (status.value, now(), job.key),
            )
        self._waits_no_more(job)

    def delete_jobs(self, jobs: Iterable[Job]) -> None:
        """Remove jobs and all that is kept of them."""
        jobs = list(jobs)
        with self._transaction() as connection:
            for job in jobs:
                connection.execute("DELETE FROM jobs WHERE key = ?", (job.key,))
                self.texts.delete(job)
            unused = self._sources.drop_unused()
        for job in jobs:
            self.texts.sweep(job.id)
        for digest in unused:
            self._sources.sweep(digest)
        # Gives what is free at the end of the file back, a bit at a time.
        self._connection.execute("PRAGMA incremental_vacuum(1000)").fetchall()

    def ended_jobs(self, limit: int) -> list[Job]:
        """Give the jobs that ended first."""
        return list(self._jobs("WHERE ended IS NOT NULL ORDER BY ended LIMIT ?", (limit,)))

    def ended_sizes(self) -> list[tuple[str, int]]:
        """Give when each job that has ended did so, and its size in bytes; the oldest first."""
        return self._connection.execute(
            "SELECT ended, size FROM jobs WHERE ended IS NOT NULL ORDER BY ended"
        ).fetchall()

    def size(self) -> int:
        """Give the bytes of all jobs and programs."""
        return self._number("SELECT total(size) FROM jobs") + self._number(
            "SELECT total(size) FROM sources"
        )

    def oldest(self) -> str | None:
        """Give when the oldest job was submitted."""
        row = self._connection.execute("SELECT created FROM jobs ORDER BY key LIMIT 1").fetchone()
        return None if row is None else str(row[0])

    # ---- reading -------------------------------------------------------------------------------

    def _jobs(self, clause: str, values: Iterable[Any] = ()) -> Iterator[Job]:
        for row in self._connection.execute(
            f"SELECT {_JOB_COLUMNS} FROM jobs {clause}", (*values,)
        ):
            fields: dict[str, Any] = dict(zip(_JOB_FIELDS, row, strict=True))
            fields["status"] = JobStatus(fields["status"])
            fields["tags"] = tuple(json.loads(fields["tags"]))
            yield Job(**fields)

    def _number(self, query: str, values: Iterable[Any] = ()) -> int:
        (number,) = self._connection.execute(query, (*values,)).fetchone()
        return int(number)

    def _sweep(self) -> None:
        """Remove the files of jobs and sources that are not there: of a killed service."""
        for job_id in self.texts.owners():
            if self.job(job_id) is None:
                self.texts.sweep(job_id)
        self._sources.sweep_all()


def _where(which: JobFilter) -> tuple[str, list[Any]]:
    conditions, values = [], []
    if which.pending is not None:
        conditions.append("ended IS NULL" if which.pending else "ended IS NOT NULL")
    wanted = [
        ("program = ?", which.program),
        ("backend = ?", which.backend),
        ("created >= ?", which.created_after),
        ("created <= ?", which.created_before),
        *(("? IN (SELECT value FROM json_each(jobs.tags))", tag) for tag in which.tags),
    ]
    for condition, value in wanted:
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), values


def _program(row: tuple[Any, ...]) -> Program:
    fields: dict[str, Any] = dict(zip(_PROGRAM_FIELDS, row, strict=True))
    fields |= {"is_public": bool(fields["is_public"]), "spec": json.loads(fields["spec"])}
    return Program(**fields)


def _unusable(directory: Path, error: Exception) -> ServiceError:
    return ServiceError(
        f"The store in {directory} cannot be used: {error}. Use another directory, or move what "
        "is in this one away."
    )
