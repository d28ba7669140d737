"""Who has an engine: starts it when it is first needed, asks it, ends it."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from adapters.closing import Closing
from adapters.local.engine import Engine, Machinery
from adapters.local.records import Job
from adapters.local.replies import found_job
from runtime_core.errors import RuntimeCoreError, TransportError, UsageError

T = TypeVar("T")


class EngineOwner(Closing):
    """What a `LocalRunner` is made of: it says what each argument is. Thread-safe.

    Raises:
        UsageError: if there are no workers.
    """

    def __init__(self, workers: int | None, data: str | os.PathLike[str] | None) -> None:
        if workers is not None and workers < 1:
            raise UsageError("The number of workers must be 1 or more.")
        self._workers = workers
        self._data = None if data is None else Path(data).expanduser().absolute()
        self._engine: Engine | None = None
        self._closed = False
        # Held for moments only; in the child of a fork it is not touched.
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def close(self) -> None:
        """End the programs that run, and wait until nothing of them is left. May be repeated.

        It takes some seconds at most, where a program does not end at once when it is told to.
        """
        if os.getpid() != self._pid:
            return  # they are the parent's
        with self._lock:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.close()

    def __repr__(self) -> str:
        where = "" if self._data is None else f" in {str(self._data)!r}"
        return f"<LocalRunner{where}>"

    def _running(self) -> Engine:
        """Give the engine, started if it was not.

        Raises:
            UsageError: if this is closed, or was made before a fork.
            ServiceError: if the machine allows no more threads.
        """
        if os.getpid() != self._pid:
            raise UsageError(
                "This local runner belongs to the process from which this one was forked: make "
                "one here."
            )
        with self._lock:
            if self._closed:
                raise UsageError("This local runner is closed: make a new one.")
            engine = self._engine
            if engine is None or engine.has_ended:
                engine = self._engine = Engine(self._data, self._workers)
                engine.start()
                # Nobody can reach its jobs any more. It is not waited for, wherever that happens.
                weakref.finalize(self, engine.stop).atexit = False
            return engine

    def _asked(self, work: Callable[[Machinery], T]) -> T:
        """Do something where the jobs are.

        Raises:
            TransportError: if the store does not do what it should.
        """
        try:
            return self._running().call(work)
        except (sqlite3.Error, OSError) as error:
            raise as_transport_error(error) from error

    def _asked_of(self, job_id: str, work: Callable[[Machinery, Job], T]) -> T:
        """Do something with a job, where it is.

        Raises:
            RuntimeJobNotFoundError: if there is none.
            TransportError: if the store does not do what it should.
        """
        return self._asked(lambda here: work(here, found_job(here, job_id)))


def as_transport_error(error: Exception) -> TransportError:
    """Give what is told of an error to whoever awaits a reply."""
    if isinstance(error, TransportError):
        return error
    if isinstance(error, RuntimeCoreError):
        failure = TransportError(str(error))
    else:  # the disk may have room again
        what = f"The local runner's store cannot be used: {error}."
        failure = TransportError(what, retryable=isinstance(error, sqlite3.Error | OSError))
    failure.__cause__ = error
    return failure
