"""The store of the local service, without a service."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from adapters.local import schema
from adapters.local.records import Job, JobFilter, JobStatus, Program
from adapters.local.retention import Retention, RetentionRule
from adapters.local.store import DATABASE, MAX_LOG_BYTES, DuplicateError, Store
from adapters.local.texts import INLINE_BYTES, Kind
from adapters.local.watchers import Watchers
from runtime_core.errors import ServiceError

LARGE = b"x" * (INLINE_BYTES + 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def submit(store: Store, params: str = "{}", program: str = "p") -> Job:
    if store.program(program) is None:
        store.add_program(Program(program, cost=5), b"source of " + program.encode())
    kept = store.program(program)
    assert kept is not None
    return store.add_job(Job(program, kept.source, kept.cost), params)


def files(directory: Path) -> set[str]:
    return {
        str(path.relative_to(directory))
        for name in ("files", "sources")
        for path in (directory / name).rglob("*")
        if path.is_file()
    }


# ---- what is kept ------------------------------------------------------------------------------


def test_what_was_stored_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        program = store.add_program(Program("p", 5, "d", True, {"a": [1]}), LARGE)
        job = store.add_job(
            Job("p", program.source, 5, "b", "i", "/py", "/path", "INFO"), '{"x": 1}'
        )
        job = store.start_job(job, "12 34")
        store.publish(job, 0, ["one", LARGE.decode()])
        store.log(job, 0, b"printed")
        store.end_job(job, JobStatus.COMPLETED, "5")
    with Store.open(tmp_path) as store:
        assert store.program("p") == program
        assert store.source(program.source) == LARGE
        kept = store.job(job.id)
        assert kept is not None
        assert kept.ended is not None
        assert (kept.status, kept.started, kept.process) == (
            JobStatus.COMPLETED,
            job.started,
            "12 34",
        )
        assert (kept.backend, kept.image, kept.log_level) == ("b", "i", "INFO")
        assert (kept.python, kept.python_path) == ("/py", "/path")
        assert store.params(job) == b'{"x": 1}'
        assert store.texts.get(job, Kind.RESULT) == b"5"
        first, second = (text for _, text in store.texts.read(job, Kind.INTERIM, 0, 10))
        assert first == b"one"
        assert isinstance(second, Path)
        assert second.read_bytes() == LARGE
        assert store.texts.pieces(job, Kind.LOG, 2) == b"inted"
        assert kept.size == len('{"x": 1}') + 3 + len(LARGE) + 7 + 1


def test_what_a_killed_process_had_stored_is_there(tmp_path: Path) -> None:
    script = """
        import os, pathlib, signal, sys
        from adapters.local.records import Job, Program
        from adapters.local.store import Store
        store = Store.open(pathlib.Path(sys.argv[1]))
        program = store.add_program(Program("p", 5), b"s")
        while True:
            print(store.add_job(Job("p", program.source, 5), "{}").id, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(50)]
        os.kill(process.pid, signal.SIGKILL)
    with Store.open(tmp_path) as store:
        assert [job.id for job in store.jobs(limit=1000)][::-1][:50] == said


def test_a_program_of_a_name_is_there_once(store: Store) -> None:
    store.add_program(Program("p", 5), b"one")
    with pytest.raises(DuplicateError):
        store.add_program(Program("p", 6), b"two")
    kept = store.program("p")
    assert kept is not None
    assert (kept.cost, store.source(kept.source)) == (5, b"one")


def test_a_change_that_fails_changes_nothing(store: Store) -> None:
    job = submit(store)
    store.publish(job, 0, ["a", "b"])
    before = store.job(job.id)

    def add_two() -> None:
        with store._transaction():
            store.texts.put(job, Kind.INTERIM, 2, b"c")
            store.texts.put(job, Kind.INTERIM, 1, b"again")

    with pytest.raises(sqlite3.IntegrityError):
        add_two()
    assert [number for number, _ in store.texts.read(job, Kind.INTERIM, 0, 9)] == [0, 1]
    assert store.job(job.id) == before


# ---- the queue ---------------------------------------------------------------------------------


def test_jobs_wait_in_the_order_in_which_they_came(store: Store) -> None:
    jobs = [submit(store) for _ in range(4)]
    assert store.next_queued() == jobs[0]
    assert [store.position(job) for job in jobs] == [1, 2, 3, 4]
    running = store.start_job(jobs[0], None)
    store.end_job(jobs[2], JobStatus.CANCELLED)
    assert store.running() == [running]
    assert store.next_queued() == jobs[1]
    assert [store.position(job) for job in (running, jobs[1], jobs[3])] == [None, 1, 2]


def test_the_queue_goes_on_in_order_when_the_store_is_opened_again(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        jobs = [submit(store) for _ in range(3)]
        store.start_job(jobs[0], None)
    with Store.open(tmp_path) as store:
        jobs.append(submit(store))
        assert [store.position(job) for job in jobs[1:]] == [1, 2, 3]
        assert store.next_queued() == jobs[1]


def test_jobs_are_found_newest_first_with_filters(store: Store) -> None:
    jobs = [submit(store, program=name) for name in ("a", "b", "a")]
    store.end_job(jobs[0], JobStatus.FAILED, "why")

    def found(**filters: object) -> list[int]:
        return [job.key - jobs[0].key for job in store.jobs(**filters)]  # type: ignore[arg-type]

    assert found() == [2, 1, 0]
    assert found(pending=True) == [2, 1]
    assert found(pending=False) == [0]
    assert found(program="a") == [2, 0]
    assert found(program="a", pending=True) == [2]
    assert found(limit=1, offset=1) == [1]
    assert store.count_jobs(pending=True, program="b") == 1


def test_jobs_are_found_by_tags_backends_and_times(store: Store) -> None:
    program = store.add_program(Program("p", cost=5), b"s")
    jobs = [
        store.add_job(
            Job("p", program.source, 5, backend, tags=tags, created=f"2026-01-0{day}T00:00"), "{}"
        )
        for day, (backend, tags) in enumerate([("a", ("x",)), ("b", ("x", "y's")), ("a", ())], 1)
    ]

    def found(oldest_first: bool = False, **filters: object) -> list[int]:
        which = JobFilter(**filters)  # type: ignore[arg-type]
        found = store.find_jobs(which, oldest_first=oldest_first)
        assert store.count_found(which) == len(found)
        return [job.key - jobs[0].key for job in found]

    assert found(tags=("x",)) == [1, 0]
    assert found(tags=("y's", "x")) == [1]
    assert found(tags=("y",)) == []
    assert found(backend="a") == [2, 0]
    assert found(backend="a", oldest_first=True) == [0, 2]
    assert found(created_after="2026-01-02T00:00") == [2, 1]
    assert found(created_before="2026-01-02T00:00") == [1, 0]
    assert found(tags=("x",), backend="b", pending=True, program="p") == [1]
    store.tag_job(jobs[1], ["z"])
    assert found(tags=("x",)) == [0]
    assert store.job(jobs[1].id) == attrs.evolve(jobs[1], tags=("z",))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM jobs WHERE id = 'x'",
        "SELECT * FROM jobs ORDER BY key DESC LIMIT 20",
        "SELECT * FROM jobs WHERE program = 'x' ORDER BY key DESC LIMIT 20",
        "SELECT * FROM jobs WHERE ended IS NULL ORDER BY key DESC LIMIT 30",
        "SELECT * FROM jobs WHERE ended IS NULL AND program = 'x' ORDER BY key DESC LIMIT 30",
        "SELECT count(*) FROM jobs WHERE ended IS NULL AND program = 'x'",
        "SELECT ended, size FROM jobs WHERE ended IS NOT NULL ORDER BY ended",
    ],
    ids=[
        "id",
        "newest",
        "of-program",
        "unfinished",
        "unfinished-of-program",
        "count-of-program",
        "ended",
    ],
)
def test_what_is_asked_often_needs_no_scan_of_the_rows_and_no_sorting(
    store: Store, query: str
) -> None:
    plan = [row[3] for row in store._connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert not any("TEMP B-TREE" in step for step in plan)
    whole = [step for step in plan if step.startswith("SCAN") and "INDEX" not in step]
    assert whole == ([] if "20" not in query or "program" in query else ["SCAN jobs"])  # by its key


# ---- logs --------------------------------------------------------------------------------------


def test_logs_are_read_from_any_byte_on(store: Store) -> None:
    job = submit(store)
    data = bytes(range(256)) * 1024
    store.log(job, 0, data[:100])
    store.log(job, 100, data[100:])
    assert store.texts.extent(job, Kind.LOG) == (0, len(data))
    for start in (0, 1, 99, 100, 101, INLINE_BYTES, 100 + INLINE_BYTES, len(data) - 1, len(data)):
        assert store.texts.pieces(job, Kind.LOG, start) == data[start:]


def test_of_long_logs_the_end_is_kept(store: Store) -> None:
    job = submit(store)
    piece = b"y" * (1 << 20)
    for number in range(18):
        store.log(job, number << 20, piece)
    first, end = store.texts.extent(job, Kind.LOG)
    assert end == 18 << 20
    assert end - first == MAX_LOG_BYTES
    kept = store.job(job.id)
    assert kept is not None
    assert kept.size == MAX_LOG_BYTES + len("{}")


# ---- removing ----------------------------------------------------------------------------------


def test_of_a_deleted_job_nothing_is_left(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        job = submit(store)
        store.publish(job, 0, ["a", LARGE.decode()])
        store.log(job, 0, b"l")
        store.end_job(job, JobStatus.COMPLETED, LARGE.decode())
        assert len(files(tmp_path)) == 2
        assert store.delete_program("p")
        assert store.source(job.source) == b"source of p"  # the job has it still
        store.delete_jobs([job])
        assert store.size() == 0
        assert files(tmp_path) == set()
        for table in ("jobs", "texts", "sources", "programs"):
            assert store._number(f"SELECT count(*) FROM {table}") == 0
        assert not store.delete_program("p")


def test_files_of_jobs_that_are_not_there_are_swept(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        job = submit(store, LARGE.decode())
    (tmp_path / "files" / "gone").mkdir()
    (tmp_path / "files" / "gone" / "params-0").write_bytes(LARGE)
    with Store.open(tmp_path) as store:
        assert files(tmp_path) == {f"files/{job.id}/params-0"}
        assert store.params(job) == LARGE


def ended_jobs(store: Store, count: int) -> list[Job]:
    jobs = []
    for day in range(1, count + 1):
        job = submit(store)
        store.end_job(job, JobStatus.COMPLETED, "r" * 98)  # 100 bytes each
        store._connection.execute(
            "UPDATE jobs SET ended = ? WHERE key = ?", (f"2020-01-0{day}T00:00", job.key)
        )
        jobs.append(job)
    return jobs


async def pruned(store: Store, watchers: Watchers, rule: RetentionRule, **how: bool) -> list[str]:
    await Retention(store, watchers, rule).prune(rule, **how)
    return [job.id for job in store.jobs(limit=100)][::-1]


def run(coroutine: object) -> list[str]:
    import asyncio

    return asyncio.run(coroutine)  # type: ignore[arg-type]


def test_what_ended_first_goes_first_until_the_rest_fits(store: Store) -> None:
    jobs = [job.id for job in ended_jobs(store, 5)]
    room = RetentionRule(keep_seconds=1e12, keep_bytes=store.size() - 150)
    assert run(pruned(store, Watchers(), room, dry_run=True)) == jobs
    assert run(pruned(store, Watchers(), room)) == jobs[2:]
    assert run(pruned(store, Watchers(), room)) == jobs[2:]


def test_what_is_too_old_goes_and_what_has_not_ended_stays(store: Store) -> None:
    ended_jobs(store, 3)
    waiting = submit(store)
    recent = submit(store)
    store.end_job(recent, JobStatus.FAILED, "why")
    rule = RetentionRule(keep_seconds=3600, keep_bytes=1 << 40)
    assert run(pruned(store, Watchers(), rule)) == [waiting.id, recent.id]
    everything = RetentionRule(keep_seconds=0, keep_bytes=0)
    assert run(pruned(store, Watchers(), everything)) == [waiting.id]


def test_what_somebody_reads_stays(store: Store) -> None:
    first, _ = ended_jobs(store, 2)
    watchers = Watchers()
    everything = RetentionRule(keep_seconds=0, keep_bytes=0)
    with watchers.watching(first.id):
        assert run(pruned(store, watchers, everything)) == [first.id]
    assert run(pruned(store, watchers, everything)) == []


# ---- the schema --------------------------------------------------------------------------------


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ServiceError, match=r"written by a newer version .* upgrade"):
        Store.open(tmp_path)


def test_an_older_store_is_migrated_whole_or_not_at_all(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        job = submit(store)
    connection = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE jobs ADD COLUMN half TEXT")
        connection.execute("nonsense")

    def sound(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE jobs ADD COLUMN whole TEXT NOT NULL DEFAULT 'new'")

    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, (*schema.MIGRATIONS, broken))
    assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    schema.migrate(connection, (*schema.MIGRATIONS, sound))
    assert connection.execute("SELECT id, whole FROM jobs").fetchall() == [(job.id, "new")]
    columns = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
    assert "half" not in columns
    connection.close()


def test_a_store_of_the_first_version_becomes_one_of_the_newest(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / DATABASE, isolation_level=None) as connection:
        schema.migrate(connection, schema.MIGRATIONS[:1])
        connection.execute("INSERT INTO sources VALUES ('h', 1, x'73')")
        connection.execute(
            "INSERT INTO programs VALUES ('p', 5, 'd', 0, '{}', 'h', '2020-01-01', '2020-01-02')"
        )
        job = {
            "id": "j",
            "program": "p",
            "source": "h",
            "cost": 5,
            "backend": "b",
            "image": "",
            "python": "",
            "python_path": "",
            "status": "Completed",
            "created": "2020-01-03",
            "ended": "2020-01-04",
            "cancelling": 0,
            "size": 2,
        }
        connection.execute(
            f"INSERT INTO jobs ({', '.join(job)}) VALUES ({', '.join('?' * len(job))})",
            (*job.values(),),
        )
    connection.close()
    with Store.open(tmp_path) as store:
        kept = store.job("j")
        assert kept is not None
        assert (kept.program, kept.backend, kept.status) == ("p", "b", JobStatus.COMPLETED)
        assert (kept.hub, kept.group, kept.project, kept.tags) == ("", "", "", ())
        program = store.program("p")
        assert program is not None
        assert (program.id, program.name, program.cost) == ("p", "p", 5)
        store.tag_job(kept, ["new"])
        assert store.find_jobs(JobFilter(tags=("new",))) == [attrs.evolve(kept, tags=("new",))]


def test_what_is_no_store_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_text("a letter, not a database " * 100)
    with pytest.raises(ServiceError, match="cannot be used: file is not a database"):
        Store.open(tmp_path)
