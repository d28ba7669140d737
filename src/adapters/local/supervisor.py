"""Which job runs when: as many at a time as there are workers, the rest in order."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
from pathlib import Path

from adapters.local.directory import WORK
from adapters.local.processes import kill_group
from adapters.local.records import Job, JobStatus
from adapters.local.runner import ProgramRun
from adapters.local.store import Store
from adapters.local.watchers import Watchers

LOST = (
    "The service ended while the job ran, so its program was ended too and its result is lost. "
    "Submit it again."
)
"""Why a job has failed that a service which was killed had left running."""

STOPPED = "The service was stopped while the job ran, and the program with it. Submit it again."
"""Why a job has failed that ran when its service was asked to end."""

# Seconds after which starting a job is tried again, when the store had failed.
_RETRY = 2.0

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs the jobs of a store. Belongs to the event loop's thread.

    `open` it before anything else; `close` it, or processes stay. What waits in the queue then is
    run by the next service that opens the store.
    """

    def __init__(self, store: Store, directory: Path, workers: int) -> None:
        self._store = store
        self._workers = workers
        self._runs: dict[str, ProgramRun] = {}
        self._closing = False
        self._retry: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.get_running_loop()
        self._root = directory / WORK
        self.watchers = Watchers()
        """Who waits for changes of jobs."""

    @property
    def workers(self) -> int:
        """How many jobs run at a time."""
        return self._workers

    def open(self) -> None:
        """End what a killed service left, and go on with its queue."""
        for job in self._store.running():
            if job.process is not None:
                kill_group(job.process)
            if job.cancelling:
                self._store.end_job(job, JobStatus.CANCELLED)
            else:
                self._store.end_job(job, JobStatus.FAILED, LOST)
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(mode=0o700, exist_ok=True)
        self._fill_or_log()

    @property
    def closing(self) -> bool:
        """Whether no job is taken any more."""
        return self._closing

    @property
    def is_busy(self) -> bool:
        """Whether there is an unfinished job."""
        return bool(self._runs) or self._store.next_queued() is not None

    def submitted(self) -> None:
        """Say that a job was added to the store; it starts at once if a worker is free."""
        self._fill_or_log()

    def cancel(self, job: Job) -> None:
        """End a job that is not final: take it out of the queue, or end its process group.

        A running job is Cancelled when its processes are gone, not before.
        """
        run = self._runs.get(job.id)
        if run is not None:
            self._store.wish_cancelled(job)
            run.stop(JobStatus.CANCELLED)
        elif job.status is JobStatus.QUEUED:
            self._store.end_job(job, JobStatus.CANCELLED)
            self.watchers.wake(job.id)

    async def close(self) -> None:
        """End what runs, leave what waits, and return when no process is left."""
        self._closing = True
        for run in self._runs.values():
            run.close(STOPPED)
        await self._idle.wait()
        shutil.rmtree(self._root, ignore_errors=True)

    def forget(self) -> None:
        """In the child of a fork: let go of the programs that run, which are the parent's."""
        for run in self._runs.values():
            run.forget()

    def _fill(self) -> None:
        while not self._closing and len(self._runs) < self._workers:
            job = self._store.next_queued()
            if job is None:
                return
            run = ProgramRun(job, self._store, self._root / job.id, self.watchers, self._run_ended)
            try:
                run.start()
            except (OSError, ValueError) as error:
                why = f"The program's process could not be started: {error}"
                self._store.end_job(job, JobStatus.FAILED, why)
                self.watchers.wake(job.id)
            else:
                self._runs[job.id] = run
                self._idle.clear()

    def _run_ended(self, run: ProgramRun) -> None:
        del self._runs[run.job.id]
        if not self._runs:
            self._idle.set()
        # After the readers of this job, which are woken already: a start takes milliseconds.
        self._loop.call_soon(self._fill_or_log)

    def _fill_or_log(self) -> None:
        try:
            self._fill()
        except sqlite3.Error:
            # A full disk, most likely, which may have room again.
            _log.exception("the next job could not be started; trying again")
            if self._retry is not None:
                self._retry.cancel()
            self._retry = self._loop.call_later(_RETRY, self._fill_or_log)
