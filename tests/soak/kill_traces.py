"""What the service leaves in the machine: processes (Linux's /proc) and files."""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

import attrs

from adapters.local.texts import Kind

MARKER = "RUNTIME_CORE_SOAK"
"""In the environment of everything that comes from here."""

_PROC = Path("/proc")


def mark() -> None:
    """Mark this process, and so everything that it starts from now on."""
    os.environ[MARKER] = secrets.token_hex(8)


@attrs.frozen
class Process:
    """One process that comes from here."""

    pid: int
    parent: int
    group: int
    arguments: tuple[str, ...]
    job: str
    """The id of the job that it belongs to; empty if it belongs to none."""
    folder: str
    """The working directory: of a job its own, in the data directory."""
    data: str
    """The data directory, of a service; else empty."""


def processes() -> list[Process]:
    """Give every process that comes from here, but for this one."""
    mine = f"{MARKER}={os.environ[MARKER]}"
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_text(errors="replace").split("\0")
            if mine not in environment:
                continue
            arguments = tuple((entry / "cmdline").read_text(errors="replace").split("\0")[:-1])
            folder = os.readlink(entry / "cwd")
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it is gone, or somebody else's
            continue
        if fields[0] in "ZX":
            continue
        values = {key: value for key, _, value in (each.partition("=") for each in environment)}
        is_service = arguments[2:4] == ("-m", "adapters.local.server")
        data = arguments[arguments.index("--data") + 1] if is_service else ""
        job = values.get("RUNTIME_CORE_JOB", "")
        pid, parent, group = int(entry.name), int(fields[1]), int(fields[2])
        found.append(Process(pid, parent, group, arguments, job, folder, data))
    return found


def services(directory: Path) -> list[int]:
    """Give the processes that are the service of a directory, or were started to become it."""
    return [each.pid for each in processes() if each.data == str(directory) and not each.job]


def of_jobs(directory: Path) -> list[Process]:
    """Give the processes of the jobs of a directory."""
    inside = f"{directory}{os.sep}"
    return [each for each in processes() if each.job and each.folder.startswith(inside)]


def strange_files(directory: Path) -> list[str]:
    """Say what is wrong with the files of a directory whose service has ended in order."""
    store = sqlite3.connect(f"file:{directory / 'store.sqlite3'}?mode=ro", uri=True)
    try:
        (said,) = store.execute("PRAGMA integrity_check").fetchone()
        (vacuum,) = store.execute("PRAGMA auto_vacuum").fetchone()
        jobs = {job for (job,) in store.execute("SELECT id FROM jobs")}
        sources = {name for (name,) in store.execute("SELECT hash FROM sources WHERE data IS NULL")}
        unused = store.execute(
            "SELECT count(*) FROM sources WHERE hash NOT IN"
            " (SELECT source FROM programs UNION SELECT source FROM jobs)"
        ).fetchone()[0]
        strays = store.execute(
            "SELECT count(*) FROM texts WHERE job NOT IN (SELECT key FROM jobs)"
        ).fetchone()[0]
        sizes = store.execute(
            "SELECT id FROM jobs WHERE size !="
            " (SELECT total(texts.size) FROM texts WHERE texts.job = jobs.key)"
        ).fetchall()
        large = store.execute(
            "SELECT id, kind, number, texts.size FROM texts JOIN jobs ON key = job"
            " WHERE data IS NULL"
        ).fetchall()
    finally:
        store.close()
    wrongs = [] if said == "ok" else [f"integrity_check: {said}"]
    wrongs += [] if vacuum == 2 else [f"auto_vacuum is {vacuum}"]
    wrongs += [f"files of no job: {job}" for job in sorted(_names(directory / "files") - jobs)]
    for job, kind, number, size in large:
        path = directory / "files" / job / f"{Kind(kind).name.lower()}-{number}"
        if not (path.is_file() and path.stat().st_size == size):
            wrongs.append(f"not what the store says: {path.name} of {job}")
    kept = _names(directory / "sources")
    wrongs += [f"a source that nobody has: {name}" for name in sorted(kept - sources)]
    wrongs += [f"a source without its file: {name}" for name in sorted(sources - kept)]
    wrongs += [f"left in work/: {name}" for name in sorted(_names(directory / "work"))]
    wrongs += [f"{unused} sources of nothing"] if unused else []
    wrongs += [f"{strays} texts of no job"] if strays else []
    return wrongs + [f"the size of {job} is not that of its texts" for (job,) in sizes]


def strange_work(directory: Path, running: set[str]) -> list[str]:
    """Give the working directories of jobs that do not run."""
    return sorted(_names(directory / "work") - running)


def _names(directory: Path) -> set[str]:
    try:
        return {entry.name for entry in directory.iterdir()}
    except FileNotFoundError:
        return set()
