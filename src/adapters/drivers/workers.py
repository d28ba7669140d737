"""Daemon threads for what blocks: requests, name look-ups, the user's callbacks.

Not `concurrent.futures`, whose threads are joined when the interpreter ends: a request that hangs
would keep it from ending.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

LINGER = 1.0
"""Seconds without a task after which a thread ends, unless it is kept."""

ABANDONED_LIMIT = 100
"""How many tasks that hang are written off; what hangs beyond that keeps its place."""

PATIENCE = 0.1
"""The longest time in seconds that a task waits for a thread while all of them hang."""

CHECK = PATIENCE / 2
"""Seconds between two looks at tasks that wait: by the second at the latest it is seen that all
threads hang."""

QUICK = 10
"""How many tasks a thread takes between two looks if none hangs: each within five milliseconds,
after which Python lets another thread run anyway. More threads would not be quicker then."""


class WorkerPool:
    """Runs tasks on a few threads: one or two while they return quickly, more while some hang.

    All methods may be called from every thread.

    Args:
        name: what the threads are called.
        check_later: calls a function after some seconds; so the pool itself needs no thread that
            watches the others.
        steady: how many threads there are at most while tasks return quickly.
        limit: how many there are at most while some hang; further tasks wait.
        is_needed: says whether there may be tasks again: then as many threads as are steady are
            kept. To start one takes longer than many a request, just when somebody waits for it.
    """

    def __init__(
        self,
        name: str,
        check_later: Callable[[float, Callable[[], None]], None],
        steady: int = 2,
        limit: int = 32,
        is_needed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = name
        self._check_later = check_later
        self._steady = steady
        self._limit = limit
        self._is_needed = is_needed
        # To take the lock of a condition by way of it costs a call in Python each time.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._tasks: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._idle = 0
        self._taken = 0
        self._waited = 0
        self._checking = False
        self._running: set[Callable[[], None]] = set()
        self._abandoned: set[Callable[[], None]] = set()

    @property
    def size(self) -> int:
        """How many threads there are now."""
        return self._threads

    def submit(self, *tasks: Callable[[], None]) -> None:
        """Run tasks, after those that were given before them have been started."""
        with self._lock:
            self._tasks.extend(tasks)
            self._changed.notify(len(tasks))
            if len(self._tasks) <= self._idle:
                return
            if self._threads < min(self._steady, self._limit):
                self._start()
                if len(self._tasks) <= self._idle + 1:
                    return
            if self._checking or self._threads >= self._limit:
                return
            self._look()
        self._check_later(CHECK, self._check)

    def set_limit(self, limit: int) -> None:
        """Change how many threads there are at most; those above it end with their tasks."""
        with self._lock:
            self._limit = limit
            self._changed.notify_all()
            if self._checking or not self._tasks:
                return
            self._look()
        self._check_later(CHECK, self._check)

    def abandon(self, task: Callable[[], None]) -> None:
        """Nobody waits for this task any more: if it hangs, let it not take another one's place.

        A task that has not been started is not started at all.
        """
        with self._lock:
            if task in self._tasks:
                self._tasks.remove(task)
            elif task in self._running and len(self._abandoned) < ABANDONED_LIMIT:
                self._abandoned.add(task)
                self._threads -= 1
            # At the limit nobody looked any more after those that wait for a thread.
            if self._checking or len(self._tasks) <= self._idle:
                return
            self._look()
        self._check_later(CHECK, self._check)

    def _look(self) -> None:
        """Remember what waits, to see later what has become of it."""
        self._checking = True
        self._waited = len(self._tasks)
        self._taken = 0

    def _check(self) -> None:
        """A while ago all threads were busy: if it goes on slowly since then, start one more."""
        with self._lock:
            self._checking = len(self._tasks) > self._idle and self._threads < self._limit
            if not self._checking:
                return
            if self._taken < min(self._waited, QUICK * max(1, self._threads)):
                self._start()
            self._look()
        self._check_later(CHECK, self._check)

    def _start(self) -> None:
        threading.Thread(target=self._run, name=self._name, daemon=True).start()
        self._threads += 1

    def _run(self) -> None:
        while (task := self._next()) is not None:
            # Tasks report their own failures; what comes here is a mistake of ours, or a
            # SystemExit in somebody's callback. Neither may cost a thread.
            try:
                task()
            except BaseException:
                logger.exception("a task of %s failed", self._name)
            with self._lock:
                self._running.discard(task)
                if task in self._abandoned:  # another thread has its place
                    self._abandoned.discard(task)
                    return
            del task

    @property
    def _is_kept(self) -> bool:
        """Whether a thread stays that has nothing to do."""
        return self._threads <= self._steady and self._is_needed()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            while not self._tasks and self._threads <= self._limit:
                self._idle += 1
                told = self._changed.wait(LINGER)
                self._idle -= 1
                if not told and not self._tasks and not self._is_kept:
                    self._threads -= 1
                    return None
            if self._threads > self._limit:
                self._threads -= 1
                self._changed.notify()  # it may have been this one that was told of a task
                return None
            task = self._tasks.popleft()
            self._taken += 1
            self._running.add(task)
            return task
