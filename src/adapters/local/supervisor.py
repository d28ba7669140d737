"""Which job runs when: as many at a time as there are workers, the rest in order."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from pathlib import Path

from adapters.local.jobs import Job, JobStatus
from adapters.local.runner import ProgramRun


class Supervisor:
    """Runs jobs. Belongs to the event loop's thread; `close` it, or processes stay."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._queue: deque[Job] = deque()
        self._runs: dict[str, ProgramRun] = {}
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.get_running_loop()
        self._root = tempfile.TemporaryDirectory(prefix="runtime-core-", ignore_cleanup_errors=True)

    @property
    def closing(self) -> bool:
        """Whether no job is taken any more."""
        return self._closing

    def submit(self, job: Job) -> None:
        """Take a job; it starts at once if a worker is free."""
        self._queue.append(job)
        self._fill()

    def cancel(self, job: Job) -> None:
        """Take a job out of the queue, or end its process group; a final one stays as it is.

        A running job is Cancelled when its processes are gone, not before.
        """
        if job.status is JobStatus.QUEUED:
            self._queue.remove(job)
            job.end(JobStatus.CANCELLED)
        elif job.id in self._runs:
            self._runs[job.id].stop(JobStatus.CANCELLED)

    async def close(self) -> None:
        """Cancel everything and return when no process is left."""
        self._closing = True
        for job in list(self._queue):
            self.cancel(job)
        for run in self._runs.values():
            run.stop(JobStatus.CANCELLED)
        await self._idle.wait()
        self._root.cleanup()

    def _fill(self) -> None:
        while self._queue and len(self._runs) < self._workers:
            job = self._queue.popleft()
            run = ProgramRun(job, Path(self._root.name) / job.id, self._run_ended)
            try:
                run.start()
            except OSError as error:
                job.end(JobStatus.FAILED, f"The program's process could not be started: {error}")
            else:
                self._runs[job.id] = run
                self._idle.clear()

    def _run_ended(self, run: ProgramRun) -> None:
        del self._runs[run.job.id]
        if not self._runs:
            self._idle.set()
        # After the readers of this job, which are woken already: a start takes milliseconds.
        self._loop.call_soon(self._fill)
