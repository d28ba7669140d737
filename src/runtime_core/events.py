"""The facts that come in: what the service said, what the caller wants, what time it is.

Every event is a frozen value. Hand it to `JobMachine.receive`; do what the commands that come back
say. The number of a request, connection or timer is the one that its command carried; an event
with a number that is no longer current is absorbed.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import attrs


class TimerName(Enum):
    """The timers of a machine: at most one of each is armed at a time."""

    POLL = "poll"
    """When it fires, the service is asked again."""
    STREAM = "stream"
    """When it fires, a stream is opened again, or one that should have ended is given up."""

    __hash__ = object.__hash__


class Need(Enum):
    """What a wait is for, and so what ends it."""

    STATUS = "status"
    """An answer about the state to a request sent after the wait began; any failure ends it."""
    FINAL = "final"
    """A final state."""
    RESULT = "result"
    """The text of the result; of a failed job, the reason; of a cancelled one, that it is so."""

    __hash__ = object.__hash__


# ---- the service said: the state of the job ----------------------------------------------------


@attrs.frozen
class JobQueued:
    """The service holds the job and has not started it."""

    request: int | None = None
    """The status request that this answers; None if the service said it unasked."""
    position: int | None = None
    """Which of the queued jobs this is: 1 is the next to run. None if the service does not tell.
    The machine makes nothing of it; it is for those who look on."""


@attrs.frozen
class JobStarted:
    """The service runs the job."""

    request: int | None = None
    """The status request that this answers; None if the service said it unasked."""


@attrs.frozen
class JobSucceeded:
    """The job ended and has a result."""

    request: int | None = None
    """The status request that this answers; None if the service said it unasked."""


@attrs.frozen
class JobFailed:
    """The job ended without a result."""

    request: int | None = None
    """The status request that this answers; None if the service said it unasked."""
    reason: str | None = None
    """Why, if the service says so here; else it is fetched when somebody wants to know."""
    reason_code: int | str | None = None
    """The service's code for the reason."""


@attrs.frozen
class JobCancelled:
    """The job was cancelled, by whomever."""

    request: int | None = None
    """The status request that this answers; None if the service said it unasked."""


@attrs.frozen
class UnknownStatusReported:
    """The service said a status word that its dialect does not know."""

    word: str
    """The word, as it was sent."""
    request: int | None = None
    """The status request that this answers; None if the service said it unasked."""


# ---- the service said: everything else ---------------------------------------------------------


@attrs.frozen
class ResultReceived:
    """The text of the result is here."""

    request: int
    """The `FetchResult` that this answers."""
    text: str
    """The result, not decoded."""


@attrs.frozen
class FailureReceived:
    """The reason of a failed job is here."""

    request: int
    """The `FetchFailure` that this answers."""
    reason: str | None
    """Why the job failed, or None if the service does not tell."""
    reason_code: int | str | None = None
    """The service's code for the reason."""


@attrs.frozen
class CancelAccepted:
    """The service took the cancel; the job's state changes when the service says so."""

    request: int
    """The `SendCancel` that this answers."""


@attrs.frozen
class CancelRefused:
    """The service refused the cancel, because the job is final in its eyes."""

    request: int
    """The `SendCancel` that this answers."""


@attrs.frozen
class RequestFailed:
    """A request got no answer, or one that is not what the request asks for."""

    request: int
    """The request that failed, of whatever kind."""
    error: Exception
    """What happened; this is what is raised to whoever must know."""
    retryable: bool = False
    """Whether the same request may well succeed a little later."""
    retry_after: float | None = None
    """The seconds that the service asked to wait before the next request."""


@attrs.frozen
class StreamOpened:
    """A connection is open; messages may follow."""

    connection: int
    """The `OpenStream` that this answers."""


@attrs.frozen
class StreamNotReady:
    """The service does not stream a job that is not running yet (a 302 at the handshake)."""

    connection: int
    """The `OpenStream` that this answers."""


@attrs.frozen
class InterimReceived:
    """Messages were read from the stream: one event for all messages of one read."""

    connection: int
    """The connection that carried them."""
    messages: tuple[str, ...]
    """The interim results, in order, not decoded; acknowledgements are already taken out.

    None at all is a sign of life: something was read, and no message is whole yet. Where a job that
    has ended has much else in its stream, it keeps the connection from being taken for silent.
    """


@attrs.frozen
class StreamClosed:
    """The service closed the stream in an orderly way. That is not the end of the job."""

    connection: int
    """The connection that ended."""
    code: int = 1000
    """The close code (RFC 6455, section 7.4)."""
    reason: str = ""
    """The service's words for it."""


@attrs.frozen
class StreamFailed:
    """A stream could not be opened, or broke without an orderly close."""

    connection: int
    """The connection that failed."""
    error: Exception
    """What happened."""


# ---- the time ----------------------------------------------------------------------------------


@attrs.frozen
class TimerFired:
    """The delay of a `StartTimer` has passed."""

    name: TimerName
    """Which of the timers."""
    id: int
    """The number that `StartTimer` carried."""


# ---- the caller wants --------------------------------------------------------------------------


@attrs.frozen
class WaitStarted:
    """Somebody waits; ends with an `EndWait` command, or with `WaitEnded` before that."""

    wait_id: int
    """A number that no other wait of this job has had."""
    need: Need
    """What for."""
    wait: float = 5.0
    """The longest time in seconds between two polls; the smallest of all waits rules."""


@attrs.frozen
class WaitEnded:
    """Somebody no longer waits: a deadline passed, or Ctrl-C. The job goes on."""

    wait_id: int
    """The wait that is over."""


@attrs.frozen
class CancelRequested:
    """The caller wants the job cancelled, and waits for the service's answer to that.

    Raises:
        RuntimeInvalidStateError: from `receive`, if the job is final.
    """

    wait_id: int
    """A number that no other wait of this job has had; ends with an `EndWait`."""


@attrs.frozen
class SubscriptionRequested:
    """The caller wants the interim results of a job that has not ended.

    Raises:
        RuntimeInvalidStateError: from `receive`, if the job is final, is streamed already, its
            service has no streams, or `after` is negative.
    """

    subscription: int
    """A number that no other subscription of this job has had."""
    after: int = 0
    """The cursor at which it starts: how many messages were delivered before, perhaps by another
    process. They are not delivered again. Where the service is live only, what was published since
    then is gone: the subscription begins with a gap if this is not 0."""


@attrs.frozen
class ReplayRequested:
    """The caller wants the interim results, also of a job that has ended, if they were kept.

    Raises:
        RuntimeInvalidStateError: from `receive`, if the job is streamed already, is final and its
            service keeps no interim results, or `after` is negative.
    """

    subscription: int
    """A number that no other subscription of this job has had."""
    after: int = 0
    """The cursor at which it starts, see `SubscriptionRequested`."""


@attrs.frozen
class SubscriptionCancelled:
    """The caller wants no more interim results."""

    subscription: int
    """The subscription to end; one that has ended already is absorbed."""


@attrs.frozen
class ReleaseRequested:
    """The caller wants the memory of the result's text back."""


LifecycleEvent: TypeAlias = JobQueued | JobStarted | JobSucceeded | JobFailed | JobCancelled
"""What the service says of the state of the job."""

ReplyEvent: TypeAlias = (
    LifecycleEvent
    | UnknownStatusReported
    | ResultReceived
    | FailureReceived
    | CancelAccepted
    | CancelRefused
    | RequestFailed
)
"""What ends a request: every request command gets exactly one of these."""

StreamEvent: TypeAlias = (
    StreamOpened | StreamNotReady | InterimReceived | StreamClosed | StreamFailed
)
"""What a connection tells; `StreamNotReady`, `StreamClosed` or `StreamFailed` is its last."""

CallerEvent: TypeAlias = (
    WaitStarted
    | WaitEnded
    | CancelRequested
    | SubscriptionRequested
    | ReplayRequested
    | SubscriptionCancelled
    | ReleaseRequested
)
"""What the local caller wants; the only events that `receive` may refuse by raising."""

Event: TypeAlias = ReplyEvent | StreamEvent | TimerFired | CallerEvent
"""Everything that a machine receives."""
