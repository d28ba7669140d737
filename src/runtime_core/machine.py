"""The machine of one job: events in, commands out, by one method, `JobMachine.receive`.

The machine does no I/O, reads no clock and starts no thread, so the same events give the same
commands, always. Tables are consulted first, effects follow; when `receive` raises, nothing has
changed.

Each machine is used by one thread at a time: hold a lock around `receive`, and carry its commands
out in the order in which they were returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime_core.cancel import CancelOutcome, cancel_outcome
from runtime_core.commands import Command
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
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.on_caller import (
    on_cancel_requested,
    on_release,
    on_subscribe,
    on_timer,
    on_unsubscribe,
    on_wait_ended,
    on_wait_started,
)
from runtime_core.on_service import (
    on_cancel_accepted,
    on_cancel_refused,
    on_failure,
    on_lifecycle,
    on_request_failed,
    on_result,
    on_unknown_status,
)
from runtime_core.on_stream import on_messages, on_opened, on_stream_ended
from runtime_core.regions import Regions
from runtime_core.result import Failure
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits

HANDLERS: dict[type[Event], Callable[[Regions, Any], tuple[Command, ...]]] = {
    JobQueued: on_lifecycle,
    JobStarted: on_lifecycle,
    JobSucceeded: on_lifecycle,
    JobFailed: on_lifecycle,
    JobCancelled: on_lifecycle,
    UnknownStatusReported: on_unknown_status,
    ResultReceived: on_result,
    FailureReceived: on_failure,
    CancelAccepted: on_cancel_accepted,
    CancelRefused: on_cancel_refused,
    RequestFailed: on_request_failed,
    StreamOpened: on_opened,
    StreamNotReady: on_stream_ended,
    InterimReceived: on_messages,
    StreamClosed: on_stream_ended,
    StreamFailed: on_stream_ended,
    TimerFired: on_timer,
    WaitStarted: on_wait_started,
    WaitEnded: on_wait_ended,
    CancelRequested: on_cancel_requested,
    SubscriptionRequested: on_subscribe,
    ReplayRequested: on_subscribe,
    SubscriptionCancelled: on_unsubscribe,
    ReleaseRequested: on_release,
}
"""What follows from each event. A dict look-up on the class, where a chain of isinstance or match
costs up to twenty."""

_NO_TRAITS = ServiceTraits()


class JobMachine:
    """What is known of one job, what is wanted of it, and what has to be done about it.

    Start it, tell it what happened with `receive`, and carry out what that returns. A machine
    starts QUEUED and not confirmed; feed it the state that the service gave at submission, for
    instance ``JobQueued()``, if there was one.

    Args:
        job_id: the job, as its service names it.
        traits: what differs between services; shared by all jobs of one.
    """

    __slots__ = ("__weakref__", "_regions")

    def __init__(self, job_id: str, traits: ServiceTraits = _NO_TRAITS) -> None:
        self._regions = Regions(job_id, traits)

    def __repr__(self) -> str:
        known = self.state.name if self.confirmed else "not confirmed"
        return f"<JobMachine of {self.job_id!r}: {known}>"

    @property
    def job_id(self) -> str:
        """The job, as its service names it."""
        return self._regions.job_id

    @property
    def traits(self) -> ServiceTraits:
        """What differs between services."""
        return self._regions.traits

    @property
    def state(self) -> JobState:
        """The state as last confirmed; QUEUED as long as nothing is."""
        return self._regions.state

    @property
    def confirmed(self) -> bool:
        """Whether the service has said anything about the state yet."""
        return self._regions.confirmed

    @property
    def failures(self) -> int:
        """How many requests in a row have failed, and are tried again while somebody waits."""
        return self._regions.watch.failures

    @property
    def result_text(self) -> str | None:
        """The result, not decoded; None if it is not here."""
        return self._regions.result.text

    @property
    def failure(self) -> Failure | None:
        """Why the job failed; None if it did not, or the reason is not here yet."""
        return self._regions.result.failure

    @property
    def cancel_outcome(self) -> CancelOutcome | None:
        """What became of the last cancel; None if there was none, or it is not decided yet."""
        cancel = self._regions.cancel
        return None if cancel is None else cancel_outcome(cancel.state, self.state)

    @property
    def received(self) -> int:
        """The cursor of the present or last subscription: how many messages it has received.

        Those before its start are counted too.
        """
        stream = self._regions.stream
        return 0 if stream is None else stream.cursor

    @property
    def is_streaming(self) -> bool:
        """Whether a subscription is active."""
        return self._regions.is_streaming

    @property
    def legal_calls(self) -> tuple[str, ...]:
        """What the caller may ask for in the present state."""
        return self._regions.legal_calls

    def receive(self, event: Event) -> tuple[Command, ...]:
        """Take one fact in; return what has to be done because of it, in order.

        Raises:
            RuntimeInvalidStateError: if the event is a wish of the caller that the present state
                does not allow. Nothing has changed then.
            TypeError: if it is no event at all.
        """
        try:
            handler = HANDLERS[type(event)]
        except KeyError:
            raise TypeError(f"not an event: {event!r}") from None
        return handler(self._regions, event)
