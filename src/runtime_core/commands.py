"""The orders that go out: what the driver has to do, in this order, and nothing else.

Every command is a frozen value that `JobMachine.receive` returns. Each request ends in exactly one
reply event with its number, even if the driver is interrupted: `RequestFailed` if nothing else.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import attrs

from runtime_core.events import TimerName


class Notice(Enum):
    """What a `Report` is about."""

    CONTRADICTION = "contradiction"
    """The service told of two different endings; the first stands."""
    RETRY = "retry"
    """A request or a stream failed and will be tried again."""
    UNKNOWN_STATUS = "unknown status"
    """The service said a word that the dialect does not know."""

    __hash__ = object.__hash__


@attrs.frozen
class FetchStatus:
    """Ask the service for the state; answer with a lifecycle event or `UnknownStatusReported`."""

    request: int
    """The number that the reply carries."""


@attrs.frozen
class FetchResult:
    """Ask the service for the result; answer with `ResultReceived`."""

    request: int
    """The number that the reply carries."""


@attrs.frozen
class FetchFailure:
    """Ask the service why the job failed; answer with `FailureReceived`."""

    request: int
    """The number that the reply carries."""


@attrs.frozen
class SendCancel:
    """Ask the service to cancel the job; answer with `CancelAccepted` or `CancelRefused`."""

    request: int
    """The number that the reply carries."""


@attrs.frozen
class OpenStream:
    """Open a connection; tell of it with `StreamOpened`, or with an event that ends it."""

    connection: int
    """The number that the connection's events carry."""
    after: int
    """How many messages to skip, where the service takes an offset; else ignore it."""


@attrs.frozen
class CloseStream:
    """Close the connection; nothing needs to be told of it any more."""

    connection: int
    """The connection to close; if it has ended already, do nothing."""


@attrs.frozen
class StartTimer:
    """Wait, then tell `TimerFired`. It replaces the timer of that name, if one is armed."""

    name: TimerName
    """Which of the timers."""
    id: int
    """The number that `TimerFired` carries."""
    delay: float
    """Seconds from now. The driver may add jitter to it."""


@attrs.frozen
class StopTimer:
    """Disarm the timer of that name; if none is armed, do nothing."""

    name: TimerName
    """Which of the timers."""


@attrs.frozen
class Deliver:
    """Hand messages to the subscriber, in order, after everything delivered before."""

    subscription: int
    """The subscription that gets them."""
    first: int
    """The position of the first of them in the job's stream, from 0 (where the service is live
    only, in what was delivered: from the cursor at which the subscription started)."""
    messages: tuple[str, ...]
    """The interim results, not decoded, none of them delivered before."""


@attrs.frozen
class DeliverGap:
    """Tell the subscriber that messages may be missing at this point."""

    subscription: int
    """The subscription that has the gap."""
    after: int
    """The cursor at the gap: how many messages were delivered before it."""


@attrs.frozen
class EndSubscription:
    """Tell the subscriber that nothing more follows, once all that was delivered is through."""

    subscription: int
    """The subscription that has ended."""
    error: Exception | None = None
    """Why it ended early; None if it is complete, or the subscriber wanted its end."""


@attrs.frozen
class EndWait:
    """Wake the one who waits, once all that was delivered is through."""

    wait_id: int
    """The wait that is over."""
    error: Exception | None = None
    """What to raise; None if what was waited for is here."""


@attrs.frozen
class Report:
    """Write a line to the log; nobody waits for this."""

    notice: Notice
    """What it is about."""
    text: str
    """The line, without any secret."""
    error: Exception | None = None
    """What went wrong, if something did."""


RequestCommand: TypeAlias = FetchStatus | FetchResult | FetchFailure | SendCancel
"""What a transport performs, one reply event each."""

StreamCommand: TypeAlias = OpenStream | CloseStream
"""What is done to a connection."""

TimerCommand: TypeAlias = StartTimer | StopTimer
"""What is done to a timer."""

DeliveryCommand: TypeAlias = Deliver | DeliverGap | EndSubscription
"""What goes to the subscriber, in this order."""

Command: TypeAlias = (
    RequestCommand | StreamCommand | TimerCommand | DeliveryCommand | EndWait | Report
)
"""Everything that a machine orders."""
