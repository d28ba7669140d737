"""The regions of one job side by side, and what a change of one means for the others.

A region knows itself only. Who is interested, what that calls for, and when it is over, is decided
here; `on_service`, `on_stream` and `on_caller` say what follows from each event.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from runtime_core.cancel import CancelRegion
from runtime_core.commands import Command, EndWait, FetchFailure, FetchResult, Notice, Report
from runtime_core.connection import ConnectionState, SubscriptionState
from runtime_core.errors import RuntimeInvalidStateError, stated
from runtime_core.events import Need, RequestFailed
from runtime_core.numbered import numbered
from runtime_core.result import ResultRegion, ResultState
from runtime_core.states import JobState
from runtime_core.stream import StreamRegion
from runtime_core.traits import ServiceTraits
from runtime_core.waits import NOBODY, Wait, Waits
from runtime_core.watch import WatchRegion, WatchSignal, WatchState

# On Python 3.11 a member costs ten times as much to look up on its Enum as a global.
_RESULT = Need.RESULT
_DONE, _CANCELLED = JobState.DONE, JobState.CANCELLED
_IDLE, _PAUSED, _ASK = WatchState.IDLE, WatchState.PAUSED, WatchSignal.ASK
_HELD, _CLOSED = ResultState.HELD, ConnectionState.CLOSED
_ACTIVE, _REST = SubscriptionState.ACTIVE, WatchSignal.REST

_fetch_result, _fetch_failure = numbered(FetchResult), numbered(FetchFailure)
end_wait: Callable[[int], EndWait] = numbered(EndWait)

NOTHING: tuple[Command, ...] = ()


@attrs.define(eq=False, weakref_slot=False)
class Regions:
    """All that is known of one job. Methods append their commands to `out`."""

    job_id: str
    """The job, as its service names it."""
    traits: ServiceTraits
    """What differs between services."""
    state: JobState = JobState.QUEUED
    """The lifecycle: the state as last confirmed."""
    confirmed: bool = False
    """Whether the service has said anything about the state yet."""
    running_since: int = 0
    """The number that the next request had when the job was last known to have started."""
    watch: WatchRegion = attrs.Factory(WatchRegion)
    """When the service is asked."""
    result: ResultRegion = attrs.Factory(ResultRegion)
    """What the job left behind."""
    # What most jobs of a long list never have, is made when it is first needed.
    waits: Waits = NOBODY
    """Who waits."""
    cancel: CancelRegion | None = None
    """The cancel, if one was ever asked for."""
    stream: StreamRegion | None = None
    """The connection and the subscription, if there ever was one of them."""

    # ---- what may be asked for -----------------------------------------------------------------

    @property
    def is_streaming(self) -> bool:
        """Whether a subscription is active."""
        return self.stream is not None and self.stream.is_active

    @property
    def legal_calls(self) -> tuple[str, ...]:
        """What the caller may ask for in the present state."""
        calls = ["status", "result"]
        if not self.state.is_final:
            calls.append("cancel")
            if self.traits.pushes and not self.is_streaming:
                calls.append("stream_results")
        if self.is_streaming:
            calls.append("cancel_result_streaming")
        return tuple(calls)

    def refusal(self, action: str, why: str) -> RuntimeInvalidStateError:
        """What is raised to a caller whose wish is not legal now."""
        return RuntimeInvalidStateError(action, self.job_id, self.state, why, self.legal_calls)

    # ---- the regions that come late ------------------------------------------------------------

    def the_stream(self) -> StreamRegion:
        """The stream region; from now on there is one."""
        if self.stream is None:
            self.stream = StreamRegion(self.traits)
        return self.stream

    def the_cancel(self) -> CancelRegion:
        """The cancel region; from now on there is one."""
        if self.cancel is None:
            self.cancel = CancelRegion()
        return self.cancel

    # ---- waits ---------------------------------------------------------------------------------

    def check_new_wait(self, wait_id: int) -> None:
        """Refuse the number of a wait that is under way."""
        if wait_id in self.waits:
            raise self.refusal("wait", f"wait {wait_id} is under way already")

    def add_wait(self, wait_id: int, wait: Wait) -> None:
        """Somebody waits."""
        if self.waits is NOBODY:
            self.waits = Waits()
        self.waits[wait_id] = wait

    def end_waits_for_the_end(self, out: list[Command]) -> None:
        """The job has ended: that is all that some have waited for."""
        content = []
        for number, wait in self.waits.items():
            if wait.need is not _RESULT:
                content.append(number)
        if content:
            self.end_waits(content, out)

    def end_waits(
        self, numbers: list[int], out: list[Command], error: Exception | None = None
    ) -> None:
        """End these waits, with an error or with what was waited for."""
        for number in numbers:
            self._end(number, self.waits.pop(number), out, error)

    def _end(self, number: int, wait: Wait, out: list[Command], error: Exception | None) -> None:
        # What waits for the answer to a cancel is marked once the service has refused it.
        if wait.need is None and wait.mark > 0:
            error = self.refusal("cancel", "its service refused, since it has ended")
        out.append(end_wait(number) if error is None else EndWait(number, error))

    # ---- interest, and what it calls for -------------------------------------------------------

    def attend(self, out: list[Command]) -> None:
        """Somebody new follows the job: see to it that the service is asked in time."""
        watch = self.watch
        if watch.state is _IDLE and not (self.confirmed and watch.next_number == 1):
            watch.signal(_ASK, out)
            return
        # What the service said at the submission is fresh: it need not be asked again at once.
        watch.polls = 0
        may_be_sooner = watch.state is _PAUSED and not watch.is_backing_off
        if watch.state is _IDLE or (may_be_sooner and self._next_delay() < watch.delay):
            self.poll_later(out)

    def settle(self, out: list[Command]) -> bool:
        """If nobody is interested any more, let go of timer and stream; return whether it is so."""
        stream = self.stream
        if self.waits or (stream is not None and stream.subscription is _ACTIVE):
            return False
        unresolved = self.cancel is not None and self.cancel.is_unresolved
        if unresolved and not self.state.is_final:
            return False
        self.waits = NOBODY
        self.watch.signal(_REST, out)
        if stream is not None:
            stream.drop(out)
        return True

    def connect_if_wanted(self, out: list[Command]) -> None:
        """Open a connection if there is none, and somebody has a use for one."""
        if not self.traits.pushes:
            return
        stream = self.stream
        if stream is not None and stream.connection is not _CLOSED:
            return
        if self.is_streaming or (self.waits and self.waits.followed()):
            self.the_stream().open(out)

    def poll_later(self, out: list[Command]) -> None:
        """Ask again after the delay of the polling rule."""
        self.watch.poll_later(self._next_delay(), out)

    def _next_delay(self) -> float:
        pushed = self.stream is not None and self.stream.is_open
        return self.watch.next_delay(self.waits.shortest(), pushed)

    # ---- failures ------------------------------------------------------------------------------

    def retry_later(self, event: RequestFailed, out: list[Command]) -> None:
        """Try again what has failed, when the service had some time."""
        delay = self.watch.retry_later(event.retry_after, out)
        text = f"Job {self.job_id}: {stated(event.error)}; trying again in {delay:g} s."
        out.append(Report(Notice.RETRY, text, event.error))

    def give_up(self, error: Exception, out: list[Command]) -> None:
        """The state cannot be had: end every wait. The next call starts afresh."""
        self.watch.request = self.watch.failures = 0
        self.watch.signal(WatchSignal.FAILED, out)
        if self.cancel is not None:
            self.cancel.lose()
        # The answer to a cancel is another one's to give.
        answered_otherwise = self.waits.cancels()
        self.end_waits([n for n in self.waits if n not in answered_otherwise], out, error)
        if self.stream is not None and not self.stream.is_open:
            self.stream.end(out, error)
        if not self.settle(out) and self.is_streaming:
            # An open stream goes on, and polling is still the proof of how the job ends.
            self.poll_later(out)

    # ---- the end -------------------------------------------------------------------------------

    @property
    def wants_result(self) -> bool:
        """Whether anybody, the stream included, has a use for the text of the result."""
        return bool(self.waits) or (self.stream is not None and self.stream.needs_result)

    def want_result(self, out: list[Command]) -> None:
        """The job is final: fetch what is wanted of its end, hand out what is here, or rest."""
        if self.state is not _DONE:
            self.settle_held(out)
        if not (self.waits or self.wants_result):
            self.settle(out)
            return
        result, watch = self.result, self.watch
        if self.state is _CANCELLED or result.state is _HELD:
            self.hand_out(out)
        elif result.request == 0 and watch.state is not _PAUSED:
            fetch = _fetch_result if self.state is _DONE else _fetch_failure
            number = watch.next_number
            watch.next_number = number + 1
            result.fetch(fetch(number), out)

    def hand_out(self, out: list[Command], error: Exception | None = None) -> None:
        """The result is here, or cannot be had: end what waited for it."""
        self.settle_held(out)
        waits, self.waits = self.waits, NOBODY
        for number, wait in waits.items():
            self._end(number, wait, out, error)
        self.settle(out)

    def settle_held(self, out: list[Command]) -> None:
        """Let the stream compare its last message with the result, if it is waiting for that."""
        stream = self.stream
        if stream is not None and stream.held is not None:
            stream.settle_held(self.result.text, out)
