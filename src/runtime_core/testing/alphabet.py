"""Every event that can be tried on a machine: current numbers, late ones, and nonsense."""

from __future__ import annotations

from collections.abc import Iterator

from runtime_core.commands import FetchFailure, FetchResult, FetchStatus, SendCancel
from runtime_core.errors import TransportError
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
from runtime_core.testing.ledger import Ledger, RequestKind

_ERROR = TransportError("the service did not answer", retryable=True)

LATE = 1_000_000
"""A number that no request, connection or timer has."""
WAIT_IDS: dict[Need | None, int] = {Need.STATUS: 1, Need.FINAL: 2, Need.RESULT: 3, None: 4}
"""One wait of each kind at a time keeps the number of states finite."""


def every_event(ledger: Ledger) -> Iterator[Event]:
    """Each event that may do something now; those that are late are in `LATE_EVENTS`."""
    yield from _told(None)
    for number, kind in ledger.requests.items():
        if kind is FetchStatus:
            yield from _told(number)
        yield from _replies(number, kind)
    if ledger.connection:
        yield from _stream_events(ledger.connection)
    for name, number in ledger.timers.items():
        yield TimerFired(name, number)
    for need, wait_id in WAIT_IDS.items():
        if wait_id in ledger.waits:
            yield WaitEnded(wait_id)
        elif need is None:
            yield CancelRequested(wait_id)
        else:
            yield WaitStarted(wait_id, need)
    if ledger.waits:
        yield CancelRequested(next(iter(ledger.waits)))
    yield SubscriptionRequested(1)
    yield ReplayRequested(1)
    yield ReplayRequested(1, 1)
    yield SubscriptionCancelled(1)
    yield ReleaseRequested()


def _told(request: int | None) -> Iterator[Event]:
    yield JobQueued(request)
    yield JobStarted(request)
    yield JobSucceeded(request)
    yield JobFailed(request)
    yield JobFailed(request, "why", 17)
    yield JobCancelled(request)
    yield UnknownStatusReported("Pondering", request)


def _replies(number: int, kind: RequestKind) -> Iterator[Event]:
    if kind is FetchResult:
        yield ResultReceived(number, "m")
        yield ResultReceived(number, "42")
    if kind is FetchFailure:
        yield FailureReceived(number, "why")
        yield FailureReceived(number, None, 17)
    if kind is SendCancel:
        yield CancelAccepted(number)
        yield CancelRefused(number)
    yield RequestFailed(number, _ERROR)
    yield RequestFailed(number, _ERROR, retryable=True)
    yield RequestFailed(number, _ERROR, retryable=True, retry_after=60.0)


def _stream_events(connection: int) -> Iterator[Event]:
    yield StreamOpened(connection)
    yield StreamNotReady(connection)
    yield StreamClosed(connection)
    yield StreamClosed(connection, 1011, "going wrong")
    yield StreamFailed(connection, _ERROR)
    yield InterimReceived(connection, ("m",))
    yield InterimReceived(connection, ("m", "n"))


LATE_EVENTS: tuple[Event, ...] = (
    *_told(LATE),
    *_replies(LATE, FetchResult),
    *_replies(LATE, FetchFailure),
    *_replies(LATE, SendCancel),
    *_stream_events(LATE),
    *(TimerFired(name, LATE) for name in TimerName),
    WaitEnded(LATE),
    SubscriptionCancelled(LATE),
)
"""Events of requests, connections, timers, waits and subscriptions that are no longer current."""
