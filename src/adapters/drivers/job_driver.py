"""Carries out what one job's machine orders, on a reactor.

The machine is touched on the reactor's loop only, so no lock is needed, and a Ctrl-C in the
caller's thread cannot tear a step of it apart. A caller hands an event over and waits: for the
machine's refusal, or for the end of its wait.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import assert_never

import attrs

from adapters.drivers.channel import Channel
from adapters.drivers.inbox import Batch, End, Gap, Mark
from adapters.drivers.reactor import Reactor, TimerHandle
from adapters.drivers.shared_loop import Task
from adapters.drivers.subscriber import Subscriber
from adapters.transport import Transport
from runtime_core.commands import (
    CloseStream,
    Command,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    Report,
    RequestCommand,
    SendCancel,
    StartTimer,
    StopTimer,
)
from runtime_core.errors import RuntimeInvalidStateError, TransportError, UsageError
from runtime_core.events import (
    CancelRequested,
    Event,
    ReleaseRequested,
    ReplayRequested,
    RequestFailed,
    StreamEvent,
    StreamFailed,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine

logger = logging.getLogger(__name__)

REQUEST_DEADLINE = 90.0
"""Seconds after which a request is given up, even if its answer keeps dripping in."""

RESULT_DEADLINE = 900.0
"""The same for a result, which may be large."""

SILENCE = 1.0
"""Seconds without a message after which `result()` waits no longer for the end of a stream."""


@attrs.define(eq=False)
class CatchUp:
    """How far the callback of a subscription is behind."""

    reached: threading.Event = attrs.Factory(threading.Event)
    """Set when everything received before is through the callback."""
    moved: threading.Event = attrs.Factory(threading.Event)
    """Set when more was received, or the subscription has ended."""
    is_last: bool = False
    """Whether nothing more follows that has to be waited for."""


@attrs.define(eq=False)
class Waiter:
    """Somebody who blocks until the machine ends their wait."""

    ended: threading.Event = attrs.Factory(threading.Event)
    """Set when the wait is over."""
    error: Exception | None = None
    """What is to be raised."""

    def end(self, error: Exception | None) -> None:
        """Wake who blocks."""
        self.error = error
        self.ended.set()


class JobDriver:
    """Runs one `JobMachine` on a reactor. Every method may be called from every thread."""

    def __init__(self, machine: JobMachine, transport: Transport, reactor: Reactor) -> None:
        self.machine = machine
        self._transport = transport
        self._reactor = reactor
        self._numbers = itertools.count(1)
        self._waiters: dict[int, Waiter] = {}
        self._subscriber: Subscriber | None = None
        self._subscription = 0
        self._timers: dict[TimerName, tuple[TimerFired, TimerHandle]] = {}
        self._deadlines: dict[int, TimerHandle] = {}
        self._requests: set[int] = set()
        self._channel: Channel | None = None
        self._connection = 0
        self._paused = False
        self._held: dict[type[Command], OpenStream | StartTimer] = {}
        self._behind: list[CatchUp] = []
        self._closed = False
        self._lost: list[Event] = []
        reactor.adopt(self)

    # ---- for callers ---------------------------------------------------------------------------

    def release_result(self) -> None:
        """Give the memory of the result's text back; return once the machine has done it."""
        done = threading.Event()
        self._reactor.call_soon(lambda: self._release(done))
        self._reactor.wait(done, None)

    def wait(
        self,
        make_event: Callable[[int], WaitStarted | CancelRequested],
        deadline: float | None,
    ) -> bool:
        """Start a wait and block until the machine ends it; False if the deadline passed first.

        Raises:
            RuntimeCoreError: what the machine ended the wait with, or its refusal.
        """
        number = next(self._numbers)
        waiter = Waiter()
        ended = False
        try:
            self._reactor.call_soon(lambda: self._start_wait(make_event(number), number, waiter))
            ended = self._reactor.wait(waiter.ended, deadline)
        finally:
            if not ended:  # the deadline, or Ctrl-C
                self._reactor.call_soon(lambda: self._end_wait(number))
        if not ended:
            return False
        if waiter.error is not None:
            raise waiter.error
        return True

    def wait_for_callbacks(self, deadline: float | None) -> None:
        """Block until the stream of a job that has ended is through its callback.

        Not beyond the deadline, and not longer than `SILENCE` for a service that leaves the stream
        open and sends nothing.
        """
        while self._subscriber is not None:
            behind = CatchUp()
            self._reactor.call_soon(partial(self._mark, behind))
            if not self._reactor.wait(behind.reached, deadline) or behind.is_last:
                return
            patience = self._reactor.now() + SILENCE
            if deadline is not None:
                patience = min(patience, deadline)
            if not self._reactor.wait(behind.moved, patience):
                return

    def subscribe(
        self,
        make_event: Callable[[int], SubscriptionRequested | ReplayRequested],
        subscriber: Subscriber,
    ) -> None:
        """Start a subscription; return once the machine has taken it.

        Raises:
            RuntimeInvalidStateError: if the machine refuses it.
        """
        waiter = Waiter()
        event = make_event(next(self._numbers))
        try:
            self._reactor.call_soon(lambda: self._subscribe(event, subscriber, waiter))
            self._reactor.wait(waiter.ended, None)
        except BaseException:  # Ctrl-C
            self.unsubscribe(subscriber)
            raise
        if waiter.error is not None:
            raise waiter.error

    def unsubscribe(self, subscriber: Subscriber | None = None) -> None:
        """End a subscription, by default the present one; nothing more is delivered to it."""
        self._reactor.call_soon(lambda: self._unsubscribe(subscriber))

    def adjust(self) -> None:
        """Read from the socket while the subscriber has room, and only then."""
        self._reactor.call_soon(self._adjust)

    @property
    def stream_error(self) -> BaseException | None:
        """Why nothing more is delivered to the present or last subscriber."""
        return None if self._subscriber is None else self._subscriber.error

    @property
    def is_in_callback(self) -> bool:
        """Whether the caller is the present or last subscriber's callback."""
        return self._subscriber is not None and self._subscriber.is_current_thread

    def close(self) -> None:
        """Let go of everything; who waits gets a `UsageError`. The job itself goes on."""
        self._reactor.call_soon(self._close)

    # ---- on the loop: callers ------------------------------------------------------------------

    def _start_wait(
        self, event: WaitStarted | CancelRequested, number: int, waiter: Waiter
    ) -> None:
        if self._closed:
            waiter.end(_closed_error(self.machine.job_id))
            return
        self._catch_up()
        self._waiters[number] = waiter
        try:
            self._receive(event)
        except RuntimeInvalidStateError as refusal:
            del self._waiters[number]
            waiter.end(refusal)

    def _end_wait(self, number: int) -> None:
        if self._waiters.pop(number, None) is not None:
            self._receive(WaitEnded(number))

    def _subscribe(
        self,
        event: SubscriptionRequested | ReplayRequested,
        subscriber: Subscriber,
        waiter: Waiter,
    ) -> None:
        if self._closed:
            waiter.end(_closed_error(self.machine.job_id))
            return
        self._catch_up()
        try:
            self._check_former()
            commands = self.machine.receive(event)
        except RuntimeInvalidStateError as refusal:
            waiter.end(refusal)
            return
        self._subscriber, self._subscription = subscriber, event.subscription
        self._adjust()
        for command in commands:
            self._carry_out(command)
        waiter.end(None)

    def _check_former(self) -> None:
        """Refuse a subscription as long as the last one's callback has still something to get."""
        machine = self.machine
        if machine.is_streaming or self._subscriber is None:
            return
        if self._subscriber.is_behind:
            why = "its interim results are still on their way to a callback"
            legal = (*machine.legal_calls, "cancel_result_streaming")
            raise RuntimeInvalidStateError(
                "stream_results", machine.job_id, machine.state, why, legal
            )

    def _unsubscribe(self, subscriber: Subscriber | None) -> None:
        if self._subscriber is not None and subscriber in (None, self._subscriber):
            self._subscriber.drop()
            self._receive(SubscriptionCancelled(self._subscription))
            self._adjust()

    def _release(self, done: threading.Event) -> None:
        try:
            self._receive(ReleaseRequested())
        finally:
            done.set()

    def _mark(self, behind: CatchUp) -> None:
        if self._subscriber is None or self._closed:
            behind.is_last = True
            behind.reached.set()
            return
        behind.is_last = not (self.machine.is_streaming and self._subscriber.is_waited_for)
        if not behind.is_last:
            self._behind.append(behind)
        self._subscriber.put(Mark(behind.reached.set))

    def _adjust(self) -> None:
        paused = self._subscriber is not None and self._subscriber.is_full
        if paused is self._paused:
            return
        self._paused = paused
        if self._channel is not None:
            (self._channel.pause if paused else self._channel.resume)()
        if not paused:
            held, self._held = self._held, {}
            for command in held.values():
                self._carry_out(command)

    def _close(self) -> None:
        self._unsubscribe(None)
        self._closed = True
        for handle in (*(t for _, t in self._timers.values()), *self._deadlines.values()):
            handle.cancel()
        self._timers.clear()
        self._deadlines.clear()
        self._close_channel()
        for waiter in self._waiters.values():
            waiter.end(_closed_error(self.machine.job_id))
        self._waiters.clear()

    # ---- on the loop: the machine --------------------------------------------------------------

    def _receive(self, event: Event) -> None:
        if self._closed:
            return
        for command in self.machine.receive(event):
            self._carry_out(command)

    def _receive_stream(self, events: Sequence[StreamEvent]) -> None:
        for event in events:
            self._receive(event)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Deliver(messages=messages):
                self._put(Batch(messages))
            case FetchStatus() | FetchResult() | FetchFailure() | SendCancel():
                self._request(command)
            case StartTimer():
                self._start_timer(command)
            case StopTimer(name):
                self._stop_timer(name)
            case OpenStream():
                self._open(command)
            case CloseStream():
                self._held.pop(OpenStream, None)
                self._close_channel()
            case DeliverGap(after=after):
                self._put(Gap(after))
            case EndSubscription(error=error):
                self._put(End(error))
            case EndWait(wait_id, error):
                self._wake(wait_id, error)
            case Report(text=text):
                logger.warning(text)
            case _:
                assert_never(command)

    def _put(self, item: Batch | Gap | End) -> None:
        if self._subscriber is not None:  # it is None for what a fork has ended
            self._subscriber.put(item)
        for behind in self._behind:
            behind.moved.set()
        self._behind.clear()

    def _wake(self, number: int, error: Exception | None) -> None:
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            waiter.end(error)

    # ---- on the loop: timers -------------------------------------------------------------------

    def _start_timer(self, command: StartTimer) -> None:
        self._stop_timer(command.name)
        delay = self._reactor.jittered(command.delay)
        handle = self._reactor.call_later(delay, lambda: self._fire(command))
        self._timers[command.name] = TimerFired(command.name, command.id), handle

    def _stop_timer(self, name: TimerName) -> None:
        if name is TimerName.STREAM:
            self._held.pop(StartTimer, None)
        if name in self._timers:
            self._timers.pop(name)[1].cancel()

    def _fire(self, command: StartTimer) -> None:
        event = self._timers.pop(command.name)[0]
        if command.name is TimerName.STREAM and self._paused:
            # The drain deadline: it is we who do not read, so the service is not late.
            self._held[StartTimer] = command
            return
        self._receive(event)

    # ---- on the loop: requests -----------------------------------------------------------------

    def _request(self, command: RequestCommand) -> None:
        number = command.request
        self._requests.add(number)
        seconds = RESULT_DEADLINE if isinstance(command, FetchResult) else REQUEST_DEADLINE
        perform = partial(self._perform, command)
        abandon = partial(self._abandon, number, seconds, perform)
        self._deadlines[number] = self._reactor.call_later(seconds, abandon)
        self._reactor.run_request(perform)

    def _perform(self, command: RequestCommand) -> None:
        """On a worker: do the request; whatever happens, the machine hears of it once."""
        reply: Event = RequestFailed(
            command.request, TransportError("The request was interrupted.", retryable=True), True
        )
        try:
            reply = self._transport.perform(self.machine.job_id, command)
        except Exception as error:
            failure = TransportError(f"The transport failed: {error}")
            failure.__cause__ = error
            reply = RequestFailed(command.request, failure)
        finally:
            self._reactor.call_soon(lambda: self._reply(command.request, reply))

    def _reply(self, number: int, reply: Event) -> None:
        self._requests.discard(number)
        deadline = self._deadlines.pop(number, None)
        if deadline is not None:
            deadline.cancel()
        self._receive(reply)

    def _abandon(self, number: int, seconds: float, perform: Task) -> None:
        self._reactor.abandon_request(perform)
        message = f"The service did not answer within {seconds:g} s."
        error = TransportError(message, retryable=True)
        self._reply(number, RequestFailed(number, error, retryable=True))

    # ---- on the loop: the stream ---------------------------------------------------------------

    def _open(self, command: OpenStream) -> None:
        if self._paused:  # nothing could be read from it, not even that it is open
            self._held[OpenStream] = command
            return
        self._connection = command.connection
        try:
            endpoint = self._transport.stream(self.machine.job_id, command)
        except Exception as error:
            event = StreamFailed(command.connection, error)
            self._reactor.call_soon(lambda: self._receive(event))
            return
        self._channel = self._reactor.open_channel(
            command.connection, endpoint, self._receive_stream
        )

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    # ---- fork ----------------------------------------------------------------------------------

    def after_fork(self) -> None:
        """In the child of a fork: the parent's subscription and waits end, its requests failed.

        The machine hears of that when the child first uses it: most children never do, and should
        start no thread.
        """
        error = TransportError("The process was forked while this was under way.", retryable=True)
        lost: list[Event] = [SubscriptionCancelled(self._subscription)]
        lost += [WaitEnded(number) for number in self._waiters]
        lost += [RequestFailed(number, error, True) for number in sorted(self._requests)]
        lost += [event for event, _ in self._timers.values()]
        if self._channel is not None:
            lost.append(StreamFailed(self._connection, error))
        self._lost += lost
        self._waiters.clear()
        self._requests.clear()
        self._timers.clear()
        self._deadlines.clear()
        if self._subscriber is not None:
            self._subscriber.after_fork(error)
        self._subscriber = self._channel = None
        self._paused = False
        self._held.clear()
        self._behind.clear()

    def _catch_up(self) -> None:
        while self._lost:
            self._receive(self._lost.pop(0))


def _closed_error(job_id: str) -> UsageError:
    return UsageError(f"The object of job {job_id} is closed; the job itself goes on.")
