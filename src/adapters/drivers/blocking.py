"""A driver without threads: one loop in the caller's thread, by polling.

For those who embed the core in a program of their own and want nothing to happen behind it.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs

from adapters.drivers.observing import observed
from adapters.drivers.performers import blocking
from adapters.drivers.reply_rules import interrupted, performed
from adapters.transport import Transport
from runtime_core.commands import (
    Command,
    EndWait,
    Report,
    RequestCommand,
    StartTimer,
    StopTimer,
)
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import (
    CancelRequested,
    Event,
    Need,
    TimerFired,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.observer import Observer


class Clock(Protocol):
    """What time it is, and a way to let it pass."""

    def monotonic(self) -> float:
        """The time in seconds; it never goes back."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Return that many seconds later."""
        ...


class BlockingDriver:
    """Follows one job in the caller's thread. Used by one thread at a time.

    It polls: a service's streams are not opened. A request is not interrupted, so a deadline holds
    as far as the transport's own timeouts do.

    Args:
        job_id: the job.
        transport: does the requests.
        clock: by default the system's.
        report: gets the lines that are for a log.
        observer: is called with each `Step` of the machine, in the caller's thread.

    Raises:
        UsageError: if the requests of the transport have to be awaited.
    """

    def __init__(
        self,
        job_id: str,
        transport: Transport,
        clock: Clock = time,
        report: Callable[[str], None] = lambda _: None,
        observer: Observer | None = None,
    ) -> None:
        self.machine = JobMachine(job_id, attrs.evolve(transport.traits, pushes=False))
        self._transport = blocking(transport)
        self._clock = clock
        self._report = report
        self._show = _show_nobody
        if observer is not None:
            self._show = observed(self.machine, observer, clock.monotonic).show
        self._waits = itertools.count(1)
        self._timer: tuple[float, TimerFired] | None = None
        self._ended: dict[int, Exception | None] = {}

    def wait(self, need: Need, timeout: float | None = None, wait: float = 5.0) -> bool:
        """Wait for what is needed; False if `timeout` seconds passed first.

        What came of it is then at ``machine.state``, ``machine.result_text`` and
        ``machine.failure``.

        Raises:
            ServiceError: if it cannot be had.
        """
        return self._run(WaitStarted(next(self._waits), need, wait), timeout)

    def cancel(self) -> None:
        """Ask the service to cancel the job, and wait for its answer to that.

        Raises:
            RuntimeInvalidStateError: if the job has ended.
            TransportError: if it is not known whether the wish has arrived.
        """
        self._run(CancelRequested(next(self._waits)), None)

    def _run(self, event: WaitStarted | CancelRequested, timeout: float | None) -> bool:
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        number = event.wait_id
        try:
            self._feed(event)
            while number not in self._ended:
                if not self._sleep(deadline):
                    return False
        finally:
            if number not in self._ended:  # the deadline, or Ctrl-C
                self._feed(WaitEnded(number))
        error = self._ended.pop(number)
        if error is not None:
            raise error
        return True

    def _sleep(self, deadline: float | None) -> bool:
        """Sleep until the timer fires, and let it; False if the deadline comes first."""
        assert self._timer is not None, "the machine keeps every wait alive"
        due, event = self._timer
        wake = due if deadline is None else min(due, deadline)
        self._clock.sleep(max(0.0, wake - self._clock.monotonic()))
        if deadline is not None and deadline <= due:
            return False
        self._timer = None
        self._feed(event)
        return True

    def _feed(self, event: Event) -> None:
        todo: deque[Command] = deque()
        try:
            self._receive(event, todo)
            while todo:
                # Taken out when it is through, so that an interruption finds it there.
                command = todo[0]
                if isinstance(command, RequestCommand):
                    reply = performed(self._transport, self.machine.job_id, command)
                    self._receive(reply, todo)
                else:
                    self._carry_out(command)
                todo.popleft()
        except BaseException:
            # Ctrl-C in the middle of a request must not leave the machine waiting for ever.
            self._interrupt(todo)
            raise

    def _receive(self, event: Event, todo: deque[Command]) -> None:
        """Tell the machine, and add what is to be done."""
        try:
            commands = self.machine.receive(event)
        except RuntimeInvalidStateError as refusal:
            self._show(event, (), refusal)
            raise
        todo.extend(commands)  # first: an interruption of the observer finds them there
        self._show(event, commands)

    def _interrupt(self, todo: deque[Command]) -> None:
        """Fail the requests among the commands, and carry out the others, which need no I/O."""
        while todo:
            command = todo.popleft()
            if isinstance(command, RequestCommand):
                self._receive(interrupted(command), todo)
            else:
                self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartTimer(name, number, delay):
                self._timer = self._clock.monotonic() + delay, TimerFired(name, number)
            case StopTimer():
                self._timer = None
            case EndWait(wait_id, error):
                self._ended[wait_id] = error
            case Report(text=text):
                self._report(text)
            case _:
                raise AssertionError(f"the machine of a service without streams: {command}")


def _show_nobody(
    event: Event, commands: tuple[Command, ...], refusal: RuntimeInvalidStateError | None = None
) -> None:
    """There is no observer."""
