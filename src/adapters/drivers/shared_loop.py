"""The background loop: one daemon thread that owns timers, sockets and the machines of jobs.

It is started when there is something to do and ends by itself a second after there is not.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import deque

from adapters.drivers.loop import Ready, Task
from adapters.transport import HasFileno

logger = logging.getLogger(__name__)

LINGER = 1.0
"""Seconds without anything to do after which the thread ends."""

FEW = 50
"""So many sockets are looked at as they come: that costs little, and each is heard at once."""

CROWD = 0.005
"""Seconds a socket: if there are more, always others are ready, and more often than this, they are
a crowd."""

REST = 0.05
"""Seconds between two looks at a crowd. To wake up costs more than a message does, and what runs
rarely runs slowly: looked at like this, a thousand streams of a message a second are fifty at a
time, and take half the CPU. What comes alone, or more from the same socket, does not wait, nor do
tasks; timers do, they are only ever late by this."""

TIMERS_LIMIT = 256
"""At so many timers those that were cancelled are thrown away: the deadlines of requests are long,
and almost all of them are cancelled soon."""


class Timer:
    """A task that runs later, unless it is cancelled. Belongs to the loop's thread."""

    __slots__ = ("task",)

    def __init__(self, task: Task) -> None:
        self.task: Task | None = task

    def cancel(self) -> None:
        """See to it that the task does not run."""
        self.task = None


class SharedLoop:
    """A `Loop`: runs tasks, timers and socket handlers on one thread, one after the other.

    `call_soon` may be called from every thread; everything else only from a task on the loop.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._calls: deque[Task] = deque()
        self._thread: threading.Thread | None = None
        self._ident = 0
        self._wake_fd: socket.socket | None = None
        self._awake = False
        self._timers: list[tuple[float, int, Timer]] = []
        self._timers_limit = TIMERS_LIMIT
        self._count = itertools.count()
        self._selector: selectors.BaseSelector | None = None
        self._bell: selectors.BaseSelector | None = None
        self._handlers: dict[int, tuple[int, Ready]] = {}
        self._looked = 0.0
        self._seen: set[int] = set()
        self._rest_until = 0.0
        self.turn = threading.Lock()
        """Held while tasks run, so that a fork can wait for a moment in which none does."""

    # ---- from every thread ---------------------------------------------------------------------

    def call_soon(self, task: Task) -> None:
        """Run a task on the loop, after those that were given before."""
        with self._lock:
            self._calls.append(task)
            if self._thread is None:
                self._start()
            elif not self._awake:
                # In this order: a Ctrl-C in between may cost a byte, but no wake-up.
                self._wake()
                self._awake = True

    def now(self) -> float:
        """The time in seconds, on a monotonic clock."""
        return time.monotonic()

    @property
    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    @property
    def is_current(self) -> bool:
        """Whether the caller is a task on the loop."""
        return self._ident == threading.get_ident()

    # ---- on the loop ---------------------------------------------------------------------------

    def call_later(self, delay: float, task: Task) -> Timer:
        """Run a task after `delay` seconds."""
        if len(self._timers) >= self._timers_limit:
            self._timers = [entry for entry in self._timers if entry[2].task is not None]
            heapq.heapify(self._timers)
            self._timers_limit = max(TIMERS_LIMIT, 2 * len(self._timers))
        timer = Timer(task)
        heapq.heappush(self._timers, (self.now() + delay, next(self._count), timer))
        return timer

    def watch(self, sock: HasFileno, mask: int, ready: Ready) -> None:
        """Call `ready` whenever the socket is ready for what `mask` says; 0 stops that."""
        assert self._selector is not None
        number = sock.fileno()
        if number < 0:
            return  # closed, and so not watched any more
        known = self._handlers.get(number)
        if not mask:
            if known is not None:
                del self._handlers[number]
                self._selector.unregister(sock)
            return
        self._handlers[number] = mask, ready
        if known is None:
            self._selector.register(sock, mask)
        elif known[0] != mask:
            self._selector.modify(sock, mask)

    # ---- the thread ----------------------------------------------------------------------------

    def _start(self) -> None:
        wake, wake_fd = socket.socketpair()
        wake.setblocking(False)
        wake_fd.setblocking(False)
        selector, bell = selectors.DefaultSelector(), selectors.DefaultSelector()
        selector.register(wake, selectors.EVENT_READ)
        bell.register(wake, selectors.EVENT_READ)
        thread = threading.Thread(target=self._run, args=(wake,), name=self._name, daemon=True)
        self._thread, self._wake_fd, self._awake = thread, wake_fd, True
        self._selector, self._bell = selector, bell
        try:
            thread.start()
        except BaseException:
            # No more threads, or Ctrl-C: then the thread may be there, and sees that it is not it.
            self._thread = None
            selector.close()
            bell.close()
            wake.close()
            wake_fd.close()
            raise

    def _wake(self) -> None:
        assert self._wake_fd is not None
        with contextlib.suppress(BlockingIOError):  # it is full of wake-ups already
            self._wake_fd.send(b"\0")

    def _run(self, wake: socket.socket) -> None:
        with self._lock:  # held by the starter until it is through
            if self._thread is not threading.current_thread():
                return
            assert self._selector is not None
            assert self._bell is not None
            selector, bell = self._selector, self._bell
            self._ident = threading.get_ident()
        idle_until = self.now() + LINGER
        while True:
            rest = self._rest_until - self.now()
            timeout = self._timeout(idle_until)
            if rest > 0.0:
                # Timers that become due meanwhile wait as well: they are many, too.
                ready = bell.select(0.0 if timeout == 0.0 else rest)
            else:
                ready = selector.select(timeout)
            with self.turn:
                self._awake = True
                self._serve(ready, wake)
                called = self._run_calls()
                self._run_timers()
                if self._timers or self._handlers or ready or called:
                    idle_until = self.now() + LINGER
                elif self.now() >= idle_until and self._stop(wake):
                    return

    def _timeout(self, idle_until: float) -> float | None:
        """Say how long the thread may sleep; from here on, whoever has a task must wake it."""
        with self._lock:
            if self._calls:
                return 0.0
            self._awake = False
        while self._timers and self._timers[0][2].task is None:
            heapq.heappop(self._timers)
        if self._timers:
            return max(0.0, self._timers[0][0] - self.now())
        return None if self._handlers else max(0.0, idle_until - self.now())

    def _serve(self, ready: list[tuple[selectors.SelectorKey, int]], wake: socket.socket) -> None:
        """Call the handlers of the sockets that are ready."""
        seen = {key.fd for key, _ in ready}
        if wake.fileno() in seen:
            seen.discard(wake.fileno())
            with contextlib.suppress(BlockingIOError):
                while len(wake.recv(4096)) == 4096:
                    pass
        if not seen:
            return
        now = self.now()
        is_dense = now - self._looked < CROWD * len(seen)
        if is_dense and len(self._handlers) > FEW and self._seen.isdisjoint(seen):
            self._rest_until = now + REST
        self._looked, self._seen = now, seen
        for key, mask in ready:
            handler = self._handlers.get(key.fd)
            if handler is not None:  # it is not the wake-up, nor one that was just closed
                try:
                    handler[1](mask)
                except BaseException:  # see _guard
                    logger.exception("a task on the background loop failed")

    def _run_calls(self) -> int:
        count = len(self._calls)
        for _ in range(count):
            self._guard(self._calls.popleft())
        return count

    def _run_timers(self) -> None:
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.task is not None:
                self._guard(timer.task)

    def _guard(self, task: Task) -> None:
        # All jobs of the process live on this thread: a mistake in the handling of one of them
        # must not end the others, nor may a SystemExit of somebody's transport.
        try:
            task()
        except BaseException:
            logger.exception("a task on the background loop failed")

    def _stop(self, wake: socket.socket) -> bool:
        """End the thread, unless something came in at the last moment."""
        with self._lock:
            if self._calls:
                return False
            assert self._wake_fd is not None
            assert self._selector is not None
            assert self._bell is not None
            self._selector.close()
            self._bell.close()
            wake.close()
            self._wake_fd.close()
            self._thread = None
            self._ident = 0  # the next thread of all may get the same
            return True

    def forget(self) -> None:
        """In the child of a fork: close what the parent's loop had open. It is not used again.

        The lock may be held by a thread that is not there any more, so it is not taken.
        """
        if self._thread is None:
            return
        assert self._selector is not None
        assert self._bell is not None
        assert self._wake_fd is not None
        for key in tuple(self._selector.get_map().values()):
            # Not its number: the object would close that again, when it is somebody else's.
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._bell.close()
        self._wake_fd.close()
