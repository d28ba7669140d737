"""The threads on which the user's callbacks run."""

from __future__ import annotations

from collections.abc import Callable

from adapters.drivers.loop import Task
from adapters.drivers.shared_loop import SharedLoop
from adapters.drivers.workers import WorkerPool

CALLBACK_THREADS = 32
"""How many threads there are at most, unless the user sets another limit."""


class CallbackPool:
    """Runs callbacks: on one thread while they return quickly, on more only while some block.

    What comes from the loop in one turn is handed over at its end, all at once: to wake a thread
    for each message costs several times the message.

    All methods may be called from every thread.

    Args:
        loop: where most callbacks come from.
        check_later: see `WorkerPool`.
        limit: how many threads there are at most; further callbacks wait.
    """

    def __init__(
        self,
        loop: SharedLoop,
        check_later: Callable[[float, Task], None],
        limit: int = CALLBACK_THREADS,
    ) -> None:
        self._loop = loop
        self._workers = WorkerPool("runtime-callback", check_later, steady=1, limit=limit)
        self._given: list[Task] = []

    def submit(self, task: Task) -> None:
        """Run a task, after those that were given before it by the same thread."""
        if not self._loop.is_current:
            self._workers.submit(task)
            return
        if not self._given:
            self._loop.call_soon(self._hand_over)
        self._given.append(task)

    def set_limit(self, limit: int) -> None:
        """Change how many threads there are at most."""
        self._workers.set_limit(limit)

    def _hand_over(self) -> None:
        given, self._given = self._given, []
        self._workers.submit(*given)
