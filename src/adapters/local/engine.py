"""The thread of a `LocalRunner`: an event loop with the store and the supervisor of its jobs."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import attrs

from adapters.local.directory import make_private
from adapters.local.lock import ServiceLock
from adapters.local.machine import usable_cores
from adapters.local.pipe_stream import REFUSED, frame
from adapters.local.pipe_writer import write_stream
from adapters.local.retention import Retention, RetentionRule
from adapters.local.store import Store
from adapters.local.supervisor import Supervisor
from runtime_core.errors import ServiceError, UsageError

T = TypeVar("T")

# How long the readers of jobs that were ended have to read the rest, in seconds.
_READERS = 1.0


@attrs.frozen
class Machinery:
    """What runs the jobs. It belongs to the engine's thread."""

    store: Store
    """Their inputs, their results, and all between."""
    supervisor: Supervisor
    """Their processes."""
    lock: ServiceLock
    """Keeps other processes out of the directory."""


@attrs.frozen(eq=False)
class _Task:
    """What is to be done on the engine's thread."""

    work: Callable[[Machinery], object]
    refuse: Callable[[Exception], object]
    """Called in place of `work` if the engine is broken or has ended."""


class Engine:
    """Runs jobs in a directory, on a thread of its own. Every method may be called anywhere.

    It starts with `start`, and ends with `close`, at the end of the interpreter, or by `stop`.

    Args:
        data: the directory; None for one that is removed at the end.
        workers: how many jobs run at a time; None for one for each core.
    """

    def __init__(self, data: Path | None, workers: int | None) -> None:
        self._data = data
        self._workers = workers or usable_cores()
        self._loop = asyncio.SelectorEventLoop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="runtime-local", daemon=True)
        # Held for moments only, and never where a collection of garbage could want it too.
        self._lock = threading.Lock()
        self._inbox: deque[_Task] = deque()
        self._machinery: Machinery | None = None
        self._error: Exception | None = None
        self._pipes: dict[asyncio.Task[None], tuple[str, socket.socket]] = {}
        self._pid = os.getpid()

    def start(self) -> None:
        """Start the thread. What fails on it is told to whoever wants something.

        Raises:
            ServiceError: if the machine allows no more threads.
        """
        atexit.register(self.close)
        try:
            self._thread.start()
        except RuntimeError as error:
            atexit.unregister(self.close)
            self._loop.close()
            raise ServiceError(f"The local runner cannot be started: {error}.") from error
        _engines.add(self)

    @property
    def has_ended(self) -> bool:
        """Whether it does nothing any more: closed, or it could not use its directory."""
        return self._error is not None

    def call(self, work: Callable[[Machinery], T]) -> T:
        """Do something on the thread, and give what it gives. What it raises is raised here.

        Raises:
            ServiceError: if the directory cannot be used.
            UsageError: if this is closed.
        """
        reply: Future[T] = Future()

        def answer(machinery: Machinery) -> None:
            try:
                reply.set_result(work(machinery))
            except Exception as error:
                reply.set_exception(error)

        self._post(_Task(answer, reply.set_exception))
        return reply.result()

    def open_stream(self, job_id: str, after: int) -> socket.socket:
        """Give the end of a pipe from which the stream of a job comes; does not block."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)

        def write(machinery: Machinery) -> None:
            watchers = machinery.supervisor.watchers
            writing = write_stream(ours, machinery.store, watchers, job_id, after)
            task = self._loop.create_task(writing)
            self._pipes[task] = job_id, ours
            task.add_done_callback(self._pipes.pop)

        def refuse(error: Exception) -> None:
            with ours, contextlib.suppress(OSError):
                ours.send(frame(REFUSED, str(error).encode(errors="replace")))

        self._post(_Task(write, refuse))
        return theirs

    def stop(self) -> None:
        """End the jobs and the thread, without waiting for that. May be repeated."""
        with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._stopped.set)

    def close(self) -> None:
        """End the jobs that run, and wait until no process and no thread is left."""
        if os.getpid() == self._pid:
            self.stop()
            if threading.current_thread() is not self._thread:
                self._thread.join()

    def forget(self) -> None:
        """In the child of a fork: let go of what keeps the parent's programs and locks alive."""
        if self._machinery is not None:
            self._machinery.supervisor.forget()
            self._machinery.lock.close()
        for _, pipe in self._pipes.values():
            pipe.close()

    # ---- the thread ----------------------------------------------------------------------------

    def _post(self, task: _Task) -> None:
        with self._lock:
            error = self._error
            if error is None:
                self._inbox.append(task)
                self._loop.call_soon_threadsafe(self._work)
        if error is not None:
            task.refuse(error)

    def _work(self) -> None:
        while self._machinery is not None and self._inbox:
            self._inbox.popleft().work(self._machinery)

    def _run(self) -> None:
        error: Exception = UsageError("This local runner is closed: make a new one.")
        try:
            self._loop.run_until_complete(self._live())
        except ServiceError as unusable:
            error = unusable
        except (OSError, sqlite3.Error) as unusable:
            error = ServiceError(f"The local runner cannot use its directory: {unusable}.")
            error.__cause__ = unusable
        finally:
            atexit.unregister(self.close)
            with self._lock:
                self._error = error
                self._loop.close()
            for task in self._inbox:
                task.refuse(error)
            self._inbox.clear()

    async def _live(self) -> None:
        with contextlib.ExitStack() as resources:
            machinery = self._machinery = self._open(resources)
            try:
                rule = Retention(machinery.store, machinery.supervisor.watchers, RetentionRule())
                pruning = self._loop.create_task(rule.prune_hourly())
                self._work()
                await self._stopped.wait()
                pruning.cancel()
                await asyncio.gather(pruning, return_exceptions=True)
                # The jobs first: those who read their streams hear of the end.
                await machinery.supervisor.close()
                await self._end_streams(machinery.store)
            finally:
                self._machinery = None

    def _open(self, resources: contextlib.ExitStack) -> Machinery:
        directory = self._data
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="runtime-core-"))
            resources.callback(shutil.rmtree, directory, ignore_errors=True)
        else:
            make_private(directory)
        lock = ServiceLock.take(directory)
        if lock is None:
            raise ServiceError(
                f"Another local runner, or a local service, uses {directory}: close that one, or "
                "use another directory."
            )
        resources.enter_context(lock)
        store = resources.enter_context(Store.open(directory))
        supervisor = Supervisor(store, directory, self._workers)
        supervisor.open()
        return Machinery(store, supervisor, lock)

    async def _end_streams(self, store: Store) -> None:
        for task, (job_id, _) in self._pipes.items():
            job = store.job(job_id)
            if job is not None and not job.status.is_final:
                task.cancel()  # it waits in the queue, for the next runner in this directory
        tasks = tuple(self._pipes)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_READERS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _forget_all() -> None:
    for engine in tuple(_engines):
        engine.forget()


os.register_at_fork(after_in_child=_forget_all)
