"""Carries out on a reactor what one job's machine orders: the half of a driver that is on the loop.

The machine is touched on the reactor's loop only, so no lock is needed, and a Ctrl-C in a caller's
thread cannot tear a step of it apart. How a caller gets here, and how it waits, is what drivers
differ in: `JobDriver` for threads, `AsyncJobDriver` for asyncio.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, assert_never

import attrs

from adapters.drivers.channel import Channel
from adapters.drivers.inbox import Batch, End, Gap, Mark
from adapters.drivers.job_requests import JobRequests
from adapters.drivers.loop import TimerHandle
from adapters.drivers.observing import observed
from adapters.drivers.performers import Performer
from adapters.drivers.reactor import Reactor
from adapters.drivers.stream_rules import StreamRules
from adapters.drivers.subscriber import Subscriber
from adapters.transport import AsyncTransport, Transport
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
    SendCancel,
    StartTimer,
    StopTimer,
)
from runtime_core.errors import RuntimeInvalidStateError, TransportError, UsageError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    CancelRequested,
    Event,
    InterimReceived,
    JobQueued,
    JobStarted,
    LifecycleEvent,
    Need,
    ReleaseRequested,
    ReplayRequested,
    RequestFailed,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.observer import Observer
from runtime_core.scrub import scrubbed
from runtime_core.stream import NORMAL_CLOSE

logger = logging.getLogger(__name__)

_LONGEST_LINE = 2000
"""Characters of a line of the log, which holds what errors of any transport say."""

_NEWS = frozenset({CancelAccepted, CancelRefused, JobQueued, JobStarted, UnknownStatusReported})
"""After these a status request is no routine: a cancel does something, and a request that follows
an answer at once was ordered while that one was under way."""

Waiter: TypeAlias = Callable[[Exception | None], object]
"""Is called when a wait is over, with what is to be raised, or None."""


Listener: TypeAlias = Callable[[Event], object]
"""Is called after the machine has received an event."""


class Signal(Protocol):
    """What somebody waits for: an event of `threading` or of `asyncio`."""

    def set(self) -> None:
        """It has happened."""
        ...


@attrs.define(eq=False)
class CatchUp:
    """How far the callback of a subscription is behind."""

    reached: Signal
    """Set when everything received before is through the callback."""
    moved: Signal
    """Set when more was received, or the subscription has ended."""
    is_last: bool = False
    """Whether nothing more follows that has to be waited for."""


class JobRunner:
    """Runs one `JobMachine` on a reactor. Every method is called on the reactor's loop."""

    def __init__(
        self,
        machine: JobMachine,
        transport: Transport | AsyncTransport,
        performer: Performer,
        reactor: Reactor,
        observer: Observer | None = None,
    ) -> None:
        self.machine = machine
        # All that the machine hears goes by here. Bound once: without an observer it costs nothing.
        self._tell = machine.receive
        if observer is not None:
            self._tell = observed(machine, observer, reactor.now).receive
        self._tell_alone = self._tell
        self._listeners: list[Listener] = []
        self.subscriber: Subscriber | None = None
        """Who gets the interim results, or got them last. May be read from every thread."""
        self.queue_position: int | None = None
        """Which of the queued jobs this was, as last said. May be read from every thread."""
        self._transport = transport
        self._reactor = reactor
        self._requests = JobRequests(machine.job_id, transport, performer, reactor, self._receive)
        self._numbers = itertools.count(1)
        self._waiters: dict[int, Waiter] = {}
        self._subscription = 0
        self._delivered = 0
        self._timers: dict[TimerName, tuple[StartTimer, TimerHandle]] = {}
        self._has_cancelled = False
        self._channel: Channel | None = None
        self._connection = 0
        self._is_open = False
        self._paused = False
        self._held: dict[type[Command], OpenStream | StartTimer] = {}
        self._behind: list[CatchUp] = []
        self._closed = False
        self._lost: list[Event] = []
        reactor.adopt(self)

    def begin(self, initial: LifecycleEvent) -> None:
        """Tell the machine what the service said of the state, before anything else happens.

        Where the job is made, not on the loop: nobody else has it yet.
        """
        self._tell(initial)  # which orders nothing: nobody is interested yet

    def new_number(self) -> int:
        """A number that no other wait or subscription of the job has had. From every thread."""
        return next(self._numbers)

    def delivered(self, start: int) -> int:
        """The cursor of what was delivered to the present or last subscriber. From every thread.

        If there never was one, it is where one would start.
        """
        subscriber = self.subscriber  # a fork may take it away
        if subscriber is not None:
            return subscriber.delivered
        return start if self._subscription == 0 else self._delivered

    @property
    def stream_error(self) -> BaseException | None:
        """Why nothing more is delivered to the present or last subscriber. From every thread."""
        return None if self.subscriber is None else self.subscriber.error

    @property
    def is_in_callback(self) -> bool:
        """Whether the caller is the present or last subscriber's callback. From every thread."""
        return self.subscriber is not None and self.subscriber.is_caller

    # ---- callers -------------------------------------------------------------------------------

    def start_wait(self, event: WaitStarted | CancelRequested, waiter: Waiter) -> None:
        """Start a wait; the waiter is called when the machine ends it, or refuses it."""
        if self._closed:
            waiter(_closed_error(self.machine.job_id))
            return
        self._catch_up()
        number = event.wait_id
        self._waiters[number] = waiter
        try:
            self._receive(event)
        except RuntimeInvalidStateError as refusal:
            del self._waiters[number]
            waiter(refusal)
            return
        if isinstance(event, CancelRequested):
            self._has_cancelled = True
        elif event.need is Need.STATUS:
            self._requests.hurry(impatient=True)

    def end_wait(self, number: int) -> None:
        """Nobody waits any more; the waiter is not called."""
        if self._waiters.pop(number, None) is not None:
            self._receive(WaitEnded(number))

    def listen(self, listener: Listener) -> None:
        """Call it with every event that the machine has received from now on."""
        self._listeners.append(listener)
        self._tell = self._tell_all

    def unlisten(self, listener: Listener) -> None:
        """Call it no more; does nothing if it is not called."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners:
            self._tell = self._tell_alone

    def _tell_all(self, event: Event) -> tuple[Command, ...]:
        commands = self._tell_alone(event)
        for listener in tuple(self._listeners):
            listener(event)
        return commands

    def subscribe(
        self, event: SubscriptionRequested | ReplayRequested, subscriber: Subscriber
    ) -> None:
        """Start a subscription.

        Raises:
            RuntimeInvalidStateError: if the machine refuses it.
            UsageError: if this is closed.
        """
        if self._closed:
            raise _closed_error(self.machine.job_id)
        self._catch_up()
        self._check_former()
        commands = self._tell(event)
        self.subscriber, self._subscription = subscriber, event.subscription
        self.adjust()
        for command in commands:
            self._carry_out(command)

    def _check_former(self) -> None:
        """Refuse a subscription as long as the last one's callback has still something to get."""
        machine = self.machine
        if machine.is_streaming or self.subscriber is None:
            return
        if self.subscriber.is_behind:
            why = "its interim results are still on their way to a callback"
            legal = (*machine.legal_calls, "cancel_result_streaming")
            raise RuntimeInvalidStateError(
                "stream_results", machine.job_id, machine.state, why, legal
            )

    def unsubscribe(self, subscriber: Subscriber | None = None) -> None:
        """End a subscription, by default the present one; nothing more is delivered to it."""
        if self.subscriber is not None and subscriber in (None, self.subscriber):
            self.subscriber.drop()
            self._receive(SubscriptionCancelled(self._subscription))
            self.adjust()

    def release_result(self) -> None:
        """Give the memory of the result's text back."""
        self._receive(ReleaseRequested())

    def mark(self, behind: CatchUp) -> None:
        """Have it told when the callback is through with everything received before."""
        if self.subscriber is None or self._closed:
            behind.is_last = True
            behind.reached.set()
            return
        behind.is_last = not (self.machine.is_streaming and self.subscriber.is_waited_for)
        if not behind.is_last:
            self._behind.append(behind)
        self.subscriber.put(Mark(behind.reached.set))

    def adjust(self) -> None:
        """Read from the socket while the subscriber has room, and only then."""
        paused = self.subscriber is not None and self.subscriber.is_full
        if paused is self._paused:
            return
        self._paused = paused
        if self._channel is not None:
            (self._channel.pause if paused else self._channel.resume)()
        if not paused:
            held, self._held = self._held, {}
            for command in held.values():
                self._carry_out(command)

    def close(self) -> None:
        """Let go of everything; who waits gets a `UsageError`. The job itself goes on."""
        self.unsubscribe()
        self._closed = True
        for _, handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._requests.close()
        self._close_channel()
        for waiter in self._waiters.values():
            waiter(_closed_error(self.machine.job_id))
        self._waiters.clear()

    # ---- the machine ---------------------------------------------------------------------------

    def _receive(self, event: Event) -> None:
        if self._closed:
            return
        if type(event) is JobQueued:
            self.queue_position = event.position
        for command in self._tell(event):
            self._carry_out(command)
        if self._requests.are_queued:
            if type(event) in _NEWS:
                self._requests.hurry()
            elif not self._is_wanted:
                self._requests.drop()

    @property
    def _is_wanted(self) -> bool:
        """Whether anybody is interested in the job, or a cancel is still to be followed up."""
        machine = self.machine
        open_cancel = self._has_cancelled and machine.cancel_outcome is None
        return bool(self._waiters) or machine.is_streaming or open_cancel

    def _receive_stream(self, events: Sequence[StreamEvent]) -> None:
        for event in events:
            self._receive(event)
            if type(event) is not InterimReceived:
                self._attend_to(event)

    def _attend_to(self, event: StreamEvent) -> None:
        """The end of a stream is a hint, and a refusal may say how long the service wants peace."""
        was_open, self._is_open = self._is_open, isinstance(event, StreamOpened)
        if isinstance(event, StreamClosed) and event.code == NORMAL_CLOSE and was_open:
            self._requests.follow_end()
        elif was_open:
            self._requests.hurry()
        if isinstance(event, StreamFailed):
            wait = event.error.retry_after if isinstance(event.error, TransportError) else None
            self._requests.hear(RequestFailed(0, event.error, retry_after=wait))

    def _carry_out(self, command: Command) -> None:
        match command:
            case Deliver(messages=messages):
                self._put(Batch(messages))
            case FetchStatus() | FetchResult() | FetchFailure() | SendCancel():
                self._requests.order(command)
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
                logger.warning(scrubbed(text, limit=_LONGEST_LINE))
            case _:
                assert_never(command)

    def _put(self, item: Batch | Gap | End) -> None:
        if self.subscriber is not None:  # it is None for what a fork has ended
            self.subscriber.put(item)
        for behind in self._behind:
            behind.moved.set()
        self._behind.clear()

    def _wake(self, number: int, error: Exception | None) -> None:
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            waiter(error)

    # ---- timers --------------------------------------------------------------------------------

    def _start_timer(self, command: StartTimer) -> None:
        self._stop_timer(command.name)
        if command.name is TimerName.STREAM and self._paused:
            # The drain deadline: it is we who do not read, so the service is not late. One that ran
            # already when the pause began starts again for the messages that brought the pause.
            self._held[StartTimer] = command
            return
        delay = self._reactor.jittered(command.delay)
        handle = self._reactor.call_later(delay, lambda: self._fire(command))
        self._timers[command.name] = command, handle

    def _stop_timer(self, name: TimerName) -> None:
        if name is TimerName.STREAM:
            self._held.pop(StartTimer, None)
        if name in self._timers:
            self._timers.pop(name)[1].cancel()

    def _fire(self, command: StartTimer) -> None:
        del self._timers[command.name]
        self._receive(TimerFired(command.name, command.id))

    # ---- the stream ----------------------------------------------------------------------------

    def _open(self, command: OpenStream) -> None:
        if self._paused:  # nothing could be read from it, not even that it is open
            self._held[OpenStream] = command
            return
        self._connection, self._is_open = command.connection, False
        try:
            stream = self._transport.stream(self.machine.job_id, command)
            self._channel = self._reactor.open_channel(
                command.connection, stream, self._receive_stream
            )
        except (Exception, SystemExit) as error:  # of the transport, or there are no more threads
            event = StreamRules(command.connection).raised("it could not be opened", error)
            self._reactor.call_soon(lambda: self._receive(event))

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
        lost += self._requests.after_fork(error)
        lost += [TimerFired(timer.name, timer.id) for timer, _ in self._timers.values()]
        if self._channel is not None:
            lost.append(StreamFailed(self._connection, error))
        self._lost += lost
        self._waiters.clear()
        self._listeners.clear()
        self._tell = self._tell_alone
        self._timers.clear()
        if self.subscriber is not None:
            self._delivered = self.subscriber.delivered
            self.subscriber.after_fork(error)
        self.subscriber = self._channel = None
        self._paused = False
        self._held.clear()
        self._behind.clear()

    def _catch_up(self) -> None:
        while self._lost:
            self._receive(self._lost.pop(0))


def _closed_error(job_id: str) -> UsageError:
    return UsageError(f"The object of job {job_id} is closed; the job itself goes on.")
