"""The machine of one job: the regions put together behind one method, `JobMachine.receive`.

Events go in, commands come out. The machine does no I/O, reads no clock and starts no thread, so
the same events give the same commands, always. Tables are consulted first, effects follow; when
`receive` raises, nothing has changed.

Each machine is used by one thread at a time: hold a lock around `receive`, and carry its commands
out in the order in which they were returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from runtime_core.cancel import CANCEL, CancelOutcome, CancelSignal, CancelState, cancel_outcome
from runtime_core.commands import (
    Command,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    Notice,
    Report,
    SendCancel,
    StartTimer,
    StopTimer,
)
from runtime_core.connection import ConnectionState
from runtime_core.errors import RuntimeInvalidStateError, UnknownStatusError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    CancelRequested,
    Event,
    FailureReceived,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
    Need,
    ReleaseRequested,
    ReplayRequested,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.lifecycle import LIFECYCLE, REQUEUED, STATED, contradicts
from runtime_core.polling import DEFAULT_WAIT, poll_delay, retry_delay
from runtime_core.result import RESULT, Failure, ResultSignal, ResultState
from runtime_core.states import JobState
from runtime_core.stream import StreamRegion
from runtime_core.traits import ServiceTraits
from runtime_core.watch import WATCH, Wait, WatchSignal, WatchState

NOTHING: tuple[Command, ...] = ()

_EVENT_OF = {state: kind for kind, state in STATED.items()}
_POLLED = frozenset({Need.FINAL, Need.RESULT})


@attrs.define(eq=False)
class JobMachine:
    """What is known of one job, what is wanted of it, and what has to be done about it.

    Start it, tell it what happened with `receive`, and carry out what that returns. A machine
    starts QUEUED and not confirmed; feed it the state that the service gave at submission, for
    instance ``JobQueued()``, if there was one.
    """

    job_id: str
    """The job, as its service names it."""
    traits: ServiceTraits = ServiceTraits()
    """What differs between services; shared by all jobs of one."""

    _state: JobState = attrs.field(default=JobState.QUEUED, init=False)
    _confirmed: bool = attrs.field(default=False, init=False)
    _next_id: int = attrs.field(default=1, init=False)

    _watch: WatchState = attrs.field(default=WatchState.IDLE, init=False)
    _status_request: int = attrs.field(default=0, init=False)
    _running_since: int = attrs.field(default=0, init=False)
    _poll_timer: int = attrs.field(default=0, init=False)
    _poll_delay: float = attrs.field(default=0.0, init=False)
    _polls: int = attrs.field(default=0, init=False)
    _failures: int = attrs.field(default=0, init=False)
    _waits: dict[int, Wait] | None = attrs.field(default=None, init=False)

    _cancel: CancelState = attrs.field(default=CancelState.NONE, init=False)
    _cancel_request: int = attrs.field(default=0, init=False)

    _result: ResultState = attrs.field(default=ResultState.UNKNOWN, init=False)
    _result_request: int = attrs.field(default=0, init=False)
    _result_text: str | None = attrs.field(default=None, init=False)
    _failure: Failure | None = attrs.field(default=None, init=False)

    # Most jobs of a long list are never streamed.
    _stream: StreamRegion | None = attrs.field(default=None, init=False)

    # ---- what is known -------------------------------------------------------------------------

    @property
    def state(self) -> JobState:
        """The state as last confirmed; QUEUED as long as nothing is."""
        return self._state

    @property
    def confirmed(self) -> bool:
        """Whether the service has said anything about the state yet."""
        return self._confirmed

    @property
    def result_text(self) -> str | None:
        """The result, not decoded; None if it is not here."""
        return self._result_text

    @property
    def failure(self) -> Failure | None:
        """Why the job failed; None if it did not, or the reason is not here yet."""
        return self._failure if self._result is ResultState.HELD else None

    @property
    def cancel_outcome(self) -> CancelOutcome | None:
        """What became of the last cancel; None if there was none, or it is not decided yet."""
        return cancel_outcome(self._cancel, self._state)

    @property
    def received(self) -> int:
        """The cursor: how many messages the present or last subscription has received."""
        return 0 if self._stream is None else self._stream.cursor

    @property
    def is_streaming(self) -> bool:
        """Whether a subscription is active."""
        return self._stream is not None and self._stream.is_active

    @property
    def legal_calls(self) -> tuple[str, ...]:
        """What the caller may ask for in the present state."""
        calls = ["status", "result"]
        if not self._state.is_final:
            calls.append("cancel")
            if self.traits.pushes and not self.is_streaming:
                calls.append("stream_results")
        if self.is_streaming:
            calls.append("cancel_result_streaming")
        return tuple(calls)

    # ---- the one way in ------------------------------------------------------------------------

    def receive(self, event: Event) -> tuple[Command, ...]:
        """Take one fact in; return what has to be done because of it, in order.

        Raises:
            RuntimeInvalidStateError: if the event is a wish of the caller that the present state
                does not allow. Nothing has changed then.
            TypeError: if it is no event at all.
        """
        handler = HANDLERS.get(event.__class__)
        if handler is None:
            raise TypeError(f"not an event: {event!r}")
        return handler(self, event)

    # ---- the service told the state ------------------------------------------------------------

    def _on_lifecycle(self, event: LifecycleEvent) -> tuple[Command, ...]:
        request = event.request
        if request is not None and request != self._status_request:
            return NOTHING
        before = self._state
        after = LIFECYCLE[before, event.__class__]
        if after is before and request is None and self._confirmed:
            return self._contradiction(event) if contradicts(before, event) else NOTHING
        if self._has_requeued(event):
            after = REQUEUED[2]
        out: list[Command] = []
        started = after is JobState.RUNNING and before is not after
        fresh = not self._confirmed
        self._state = after
        self._confirmed = True
        if after is not before:
            self._polls = 0
        if started:
            self._running_since = self._next_id
        if request is not None:
            self._status_request = 0
            self._failures = 0
        if after.is_final:
            self._on_final(event, out)
            return tuple(out)
        if request is not None:
            self._on_answer(request, out)
        if started or fresh:
            self._open_for_who_wants(out)
        return tuple(out)

    def _has_requeued(self, event: LifecycleEvent) -> bool:
        return (
            self.traits.requeues
            and self._state is REQUEUED[1]
            and event.__class__ is JobQueued
            and event.request is not None
            and event.request >= self._running_since
        )

    def _contradiction(self, event: LifecycleEvent) -> tuple[Command, ...]:
        text = (
            f"Job {self.job_id} ended {self._state.name}, and the service now reports "
            f"{STATED[event.__class__].name}; the first stands."
        )
        return (Report(Notice.CONTRADICTION, text),)

    def _on_answer(self, request: int, out: list[Command]) -> None:
        """A request was answered: the job is not final."""
        self._signal_watch(WatchSignal.REPLIED, out)
        self._end_waits((n for n, wait in self._each_wait() if 0 < wait.mark <= request), out)
        if self._stream is not None:
            self._stream.on_answer(request, self._state is JobState.RUNNING, out)
        if not self._settle(out) and self._watch is WatchState.IDLE:
            self._pause(out)

    def _on_final(self, event: LifecycleEvent, out: list[Command]) -> None:
        self._signal_watch(WatchSignal.FINISH, out)
        self._status_request = 0
        self._cancel_request = 0
        if isinstance(event, JobFailed):
            self._failure = Failure(event.reason, event.reason_code)
            if event.reason is not None:
                self._result = RESULT[self._result, ResultSignal.RECEIVE]
        if self._stream is not None:
            self._stream.on_final(out)
        self._end_waits((n for n, w in self._each_wait() if w.need is not Need.RESULT), out)
        self._want_result(out)
        self._settle(out)

    def _on_unknown_status(self, event: UnknownStatusReported) -> tuple[Command, ...]:
        request = event.request
        if request is not None and request != self._status_request:
            return NOTHING
        taken_for = self.traits.on_unknown_status
        if taken_for is not None:
            return self._on_lifecycle(_EVENT_OF[taken_for](request))
        if self._state.is_final:
            return NOTHING
        error = UnknownStatusError(self.job_id, event.word)
        out: list[Command] = [Report(Notice.UNKNOWN_STATUS, str(error), error)]
        if request is not None:
            self._give_up(error, out)
        return tuple(out)

    # ---- the service answered something else ---------------------------------------------------

    def _on_failed(self, event: RequestFailed) -> tuple[Command, ...]:
        out: list[Command] = []
        if event.request == self._status_request:
            self._on_status_failed(event, out)
        elif event.request == self._cancel_request:
            self._cancel_request = 0
            self._cancel = CANCEL[self._cancel, CancelSignal.FAIL]
            self._end_waits(self._unanswered_cancels(), out, event.error)
            self._settle(out)
        elif event.request == self._result_request:
            self._on_result_failed(event, out)
        return tuple(out)

    def _on_status_failed(self, event: RequestFailed, out: list[Command]) -> None:
        if not event.retryable:
            self._give_up(event.error, out)
            return
        self._status_request = 0
        self._signal_watch(WatchSignal.FAILED, out)
        self._end_waits((n for n, w in self._each_wait() if w.mark), out, event.error)
        self._failures += 1
        if not self._settle(out):
            self._pause_after_failure(event, out)

    def _on_result_failed(self, event: RequestFailed, out: list[Command]) -> None:
        self._result_request = 0
        if event.retryable and self._wants_result():
            self._result = RESULT[self._result, ResultSignal.RETRY]
            self._failures += 1
            self._pause_after_failure(event, out)
            return
        self._result = RESULT[self._result, ResultSignal.FAIL]
        self._settle_held(out)
        self._end_waits((n for n, _ in self._each_wait()), out, event.error)
        self._settle(out)

    def _pause_after_failure(self, event: RequestFailed, out: list[Command]) -> None:
        delay = retry_delay(self._failures, event.retry_after)
        self._pause(out, delay)
        text = f"Job {self.job_id}: {event.error}; trying again in {delay:g} s."
        out.append(Report(Notice.RETRY, text, event.error))

    def _give_up(self, error: Exception, out: list[Command]) -> None:
        """The state cannot be had: end every wait. The next call starts afresh."""
        self._status_request = self._failures = 0
        self._signal_watch(WatchSignal.FAILED, out)
        self._cancel = CANCEL[self._cancel, CancelSignal.LOSE]
        waiting = set(self._unanswered_cancels())
        self._end_waits((n for n, _ in self._each_wait() if n not in waiting), out, error)
        if self._stream is not None and not self._stream.is_open:
            self._stream.end(out, error)
        self._settle(out)

    def _on_result(self, event: ResultReceived | FailureReceived) -> tuple[Command, ...]:
        if event.request != self._result_request:
            return NOTHING
        self._result_request = 0
        self._failures = 0
        self._result = RESULT[self._result, ResultSignal.RECEIVE]
        if isinstance(event, ResultReceived):
            self._result_text = event.text
        else:
            told = self._failure.reason_code if self._failure else None
            code = told if event.reason_code is None else event.reason_code
            self._failure = Failure(event.reason, code)
        out: list[Command] = []
        self._settle_held(out)
        self._end_waits((n for n, _ in self._each_wait()), out)
        self._settle(out)
        return tuple(out)

    def _on_cancel_accepted(self, event: CancelAccepted) -> tuple[Command, ...]:
        if event.request != self._cancel_request:
            return NOTHING
        self._cancel_request = 0
        self._cancel = CANCEL[self._cancel, CancelSignal.ACCEPT]
        out: list[Command] = []
        self._end_waits(self._unanswered_cancels(), out)
        self._signal_watch(WatchSignal.ASK, out)
        return tuple(out)

    def _on_cancel_refused(self, event: CancelRefused) -> tuple[Command, ...]:
        if event.request != self._cancel_request:
            return NOTHING
        self._cancel_request = 0
        self._cancel = CANCEL[self._cancel, CancelSignal.REFUSE]
        # The refusal means that the job is final: those who wait hear in which state.
        for number in self._unanswered_cancels():
            self._all_waits()[number].mark = self._next_id
        out: list[Command] = []
        self._signal_watch(WatchSignal.ASK, out)
        self._settle(out)
        return tuple(out)

    # ---- the stream ----------------------------------------------------------------------------

    def _on_messages(self, event: InterimReceived) -> tuple[Command, ...]:
        stream = self._stream
        if stream is None or event.connection != stream.current:
            return NOTHING
        return stream.on_messages(event.messages, self._next_id)

    def _on_opened(self, event: StreamOpened) -> tuple[Command, ...]:
        stream = self._stream
        if stream is None or event.connection != stream.current:
            return NOTHING
        out: list[Command] = []
        stream.on_opened(self._state.is_final, out)
        # From here on the service tells: polling is only the proof.
        if self._watch is WatchState.PAUSED and not self._failures:
            self._pause(out)
        return tuple(out)

    def _on_stream_ended(
        self, event: StreamClosed | StreamFailed | StreamNotReady
    ) -> tuple[Command, ...]:
        stream = self._stream
        if stream is None or event.connection != stream.current:
            return NOTHING
        out: list[Command] = []
        if self._state.is_final:
            stream.on_ended_final(event, out)
            self._want_result(out)
            self._settle(out)
            return tuple(out)
        was_open = stream.is_open
        not_running = isinstance(event, StreamNotReady) and self._state is JobState.QUEUED
        if not_running and not was_open:
            stream.on_not_running()
        else:
            stream.on_ended(event, self._next_id, out)
        if isinstance(event, StreamFailed):
            text = f"Job {self.job_id}: {event.error}; the stream is opened again."
            out.append(Report(Notice.RETRY, text, event.error))
        if was_open:
            self._on_hint(stream.attempts, out)
        return tuple(out)

    def _on_hint(self, attempts: int, out: list[Command]) -> None:
        """A stream ended: that may be the end of the job, so ask at once."""
        if attempts == 1:
            self._polls = 0
        # A back-off is not cut short; an answer under way may be older than the hint.
        if not (self._failures and self._watch is WatchState.PAUSED):
            self._signal_watch(WatchSignal.ASK, out)

    def _open_for_who_wants(self, out: list[Command]) -> None:
        """Open a connection if there is none, and somebody has a use for one."""
        if not self.traits.pushes:
            return
        if not (self.is_streaming or any(w.need in _POLLED for _, w in self._each_wait())):
            return
        stream = self._the_stream()
        if stream.connection is ConnectionState.CLOSED:
            stream.open(out)

    def _the_stream(self) -> StreamRegion:
        if self._stream is None:
            self._stream = StreamRegion(self.traits)
        return self._stream

    # ---- the time ------------------------------------------------------------------------------

    def _on_timer(self, event: TimerFired) -> tuple[Command, ...]:
        out: list[Command] = []
        match event.name:
            case TimerName.POLL if event.id == self._poll_timer:
                self._poll_timer = 0
                if self._state.is_final:
                    self._signal_watch(WatchSignal.FINISH, out)
                    self._want_result(out)
                else:
                    self._signal_watch(WatchSignal.FIRED, out)
            case TimerName.STREAM if self._stream is not None and event.id == self._stream.timer:
                self._stream.timer = 0
                if self._stream.connection is ConnectionState.RETRYING:
                    self._stream.open(out)
                else:
                    self._stream.on_drain_deadline(out)
                    self._want_result(out)
                    self._settle(out)
            case _:
                pass
        return tuple(out)

    # ---- the caller wants ----------------------------------------------------------------------

    def _on_wait_started(self, event: WaitStarted) -> tuple[Command, ...]:
        self._check_new_wait(event.wait_id)
        final = self._state.is_final
        if final and event.need is not Need.RESULT:
            return (EndWait(event.wait_id),)
        out: list[Command] = []
        wait = Wait(event.need, event.wait)
        self._all_waits()[event.wait_id] = wait
        if final:
            self._want_result(out)
        elif event.need is Need.STATUS:
            wait.mark = self._next_id
            self._signal_watch(WatchSignal.ASK, out)
        else:
            if self._confirmed:
                self._open_for_who_wants(out)
            self._attend(out)
        return tuple(out)

    def _on_wait_ended(self, event: WaitEnded) -> tuple[Command, ...]:
        out: list[Command] = []
        if self._waits is not None and self._waits.pop(event.wait_id, None) is not None:
            self._settle(out)
        return tuple(out)

    def _on_cancel_requested(self, event: CancelRequested) -> tuple[Command, ...]:
        self._check_new_wait(event.wait_id)
        if self._state.is_final:
            raise self._refusal("cancel", "it has ended")
        out: list[Command] = []
        if self._cancel is not CancelState.REQUESTED:
            self._cancel_request = self._new_id()
            out.append(SendCancel(self._cancel_request))
        self._cancel = CANCEL[self._cancel, CancelSignal.REQUEST]
        self._all_waits()[event.wait_id] = Wait(None, DEFAULT_WAIT)
        return tuple(out)

    def _on_subscribe(self, event: SubscriptionRequested | ReplayRequested) -> tuple[Command, ...]:
        final = self._state.is_final
        if not self.traits.pushes:
            raise self._refusal("stream_results", "its service has no streams")
        if self.is_streaming:
            raise self._refusal("stream_results", "its results are streamed already")
        if final and isinstance(event, SubscriptionRequested):
            raise self._refusal("stream_results", "it has ended")
        if final and not self.traits.keeps_interim:
            raise self._refusal("interim_results", "it has ended and its service keeps none")
        out: list[Command] = []
        self._the_stream().subscribe(event.subscription, out)
        if not final:
            self._attend(out)
        return tuple(out)

    def _on_unsubscribe(self, event: SubscriptionCancelled) -> tuple[Command, ...]:
        out: list[Command] = []
        stream = self._stream
        if stream is not None and event.subscription == stream.subscriber:
            stream.end(out)
            self._settle(out)
        return tuple(out)

    def _on_release(self, _: ReleaseRequested) -> tuple[Command, ...]:
        if self._result_text is not None:
            self._result = RESULT[self._result, ResultSignal.RELEASE]
            self._result_text = None
        return NOTHING

    def _check_new_wait(self, wait_id: int) -> None:
        if self._waits is not None and wait_id in self._waits:
            raise self._refusal("wait", f"wait {wait_id} is under way already")

    def _refusal(self, action: str, why: str) -> RuntimeInvalidStateError:
        return RuntimeInvalidStateError(action, self.job_id, self._state, why, self.legal_calls)

    # ---- interest, and asking ------------------------------------------------------------------

    def _attend(self, out: list[Command]) -> None:
        """Somebody new follows the job: see to it that the service is asked in time."""
        if self._watch is WatchState.IDLE and not (self._confirmed and self._next_id == 1):
            self._signal_watch(WatchSignal.ASK, out)
            return
        # What the service said at the submission is fresh: it need not be asked again at once.
        self._polls = 0
        if self._watch is WatchState.IDLE or (
            self._watch is WatchState.PAUSED
            and not self._failures
            and self._next_delay() < self._poll_delay
        ):
            self._pause(out)

    def _settle(self, out: list[Command]) -> bool:
        """If nobody is interested any more, let go of timer and stream; return whether it is so."""
        if self._waits or self.is_streaming:
            return False
        unresolved = self._cancel in (CancelState.REQUESTED, CancelState.ACCEPTED)
        if unresolved and not self._state.is_final:
            return False
        self._signal_watch(WatchSignal.REST, out)
        if self._stream is not None:
            self._stream.drop(out)
        return True

    def _signal_watch(self, signal: WatchSignal, out: list[Command]) -> None:
        after = WATCH[self._watch, signal]
        self._watch = after
        if after is not WatchState.PAUSED and self._poll_timer:
            self._poll_timer = 0
            out.append(StopTimer(TimerName.POLL))
        if after is WatchState.ASKING and self._status_request == 0:
            self._status_request = self._new_id()
            out.append(FetchStatus(self._status_request))

    def _pause(self, out: list[Command], delay: float | None = None) -> None:
        """Ask again after a delay: the given one, or the one of the polling rule."""
        self._watch = WATCH[self._watch, WatchSignal.PAUSE]
        if delay is None:
            delay = self._next_delay()
            self._polls += 1
        self._poll_timer = self._new_id()
        self._poll_delay = delay
        out.append(StartTimer(TimerName.POLL, self._poll_timer, delay))

    def _next_delay(self) -> float:
        wait = min((w.wait for _, w in self._each_wait() if w.need in _POLLED), default=None)
        wait = DEFAULT_WAIT if wait is None else wait
        if self._stream is not None and self._stream.is_open:
            return poll_delay(_LATE, wait)
        return poll_delay(self._polls, wait)

    def _wants_result(self) -> bool:
        held = self._stream is not None and self._stream.needs_result
        return held or bool(self._waits)

    def _want_result(self, out: list[Command]) -> None:
        """The job is final: fetch what is wanted of its end, or hand out what is here."""
        if self._state is not JobState.DONE:
            self._settle_held(out)
        if not self._wants_result():
            return
        if self._state is JobState.CANCELLED or self._result is ResultState.HELD:
            self._settle_held(out)
            self._end_waits((n for n, _ in self._each_wait()), out)
            self._settle(out)
            return
        if self._result is ResultState.FETCHING or self._watch is WatchState.PAUSED:
            return
        self._result = RESULT[self._result, ResultSignal.FETCH]
        self._result_request = self._new_id()
        done = self._state is JobState.DONE
        fetch = FetchResult if done else FetchFailure
        out.append(fetch(self._result_request))

    def _settle_held(self, out: list[Command]) -> None:
        if self._stream is not None:
            self._stream.settle_held(self._result_text, out)

    # ---- waits ---------------------------------------------------------------------------------

    def _all_waits(self) -> dict[int, Wait]:
        if self._waits is None:
            self._waits = {}
        return self._waits

    def _each_wait(self) -> Iterable[tuple[int, Wait]]:
        return () if self._waits is None else tuple(self._waits.items())

    def _unanswered_cancels(self) -> list[int]:
        return [n for n, w in self._each_wait() if w.need is None and w.mark == 0]

    def _end_waits(
        self, numbers: Iterable[int], out: list[Command], error: Exception | None = None
    ) -> None:
        for number in tuple(numbers):
            wait = self._all_waits().pop(number)
            refused = wait.need is None and wait.mark > 0
            why = "its service refused, since it has ended"
            out.append(EndWait(number, self._refusal("cancel", why) if refused else error))

    def _new_id(self) -> int:
        number = self._next_id
        self._next_id = number + 1
        return number


# Enough polls for the delay to have grown to the caller's `wait`.
_LATE = 100

# A dict look-up on the class, where a chain of isinstance or match costs up to twenty.
HANDLERS: dict[type[Event], Callable[[JobMachine, Any], tuple[Command, ...]]] = {
    JobQueued: JobMachine._on_lifecycle,
    JobStarted: JobMachine._on_lifecycle,
    JobSucceeded: JobMachine._on_lifecycle,
    JobFailed: JobMachine._on_lifecycle,
    JobCancelled: JobMachine._on_lifecycle,
    UnknownStatusReported: JobMachine._on_unknown_status,
    ResultReceived: JobMachine._on_result,
    FailureReceived: JobMachine._on_result,
    CancelAccepted: JobMachine._on_cancel_accepted,
    CancelRefused: JobMachine._on_cancel_refused,
    RequestFailed: JobMachine._on_failed,
    StreamOpened: JobMachine._on_opened,
    StreamNotReady: JobMachine._on_stream_ended,
    InterimReceived: JobMachine._on_messages,
    StreamClosed: JobMachine._on_stream_ended,
    StreamFailed: JobMachine._on_stream_ended,
    TimerFired: JobMachine._on_timer,
    WaitStarted: JobMachine._on_wait_started,
    WaitEnded: JobMachine._on_wait_ended,
    CancelRequested: JobMachine._on_cancel_requested,
    SubscriptionRequested: JobMachine._on_subscribe,
    ReplayRequested: JobMachine._on_subscribe,
    SubscriptionCancelled: JobMachine._on_unsubscribe,
    ReleaseRequested: JobMachine._on_release,
}
