"""Hypothesis strategies: what a service says, what a caller wants, and how bytes arrive."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

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
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.testing.ledger import Ledger, RequestKind, step
from runtime_core.traits import Resume, ServiceTraits

# Few different texts, so that equal ones meet: an interim result and the result, or two of them.
_TEXTS = st.sampled_from(["", "0", "null", "[1, 2]", '{"energy": -1.5}']) | st.text(max_size=8)
_REASONS = st.none() | st.text(max_size=8)
_CODES = st.none() | st.integers(0, 99) | st.text(max_size=4)
_ERRORS = st.builds(TransportError, st.text(min_size=1, max_size=8), st.none() | st.just(503))
_AFTER = st.none() | st.floats(min_value=-1.0, max_value=1e6)
_WAITS = st.floats(min_value=-1.0, max_value=60.0)
_CLOSE_CODES = st.sampled_from([1000, 1000, 1001, 1006, 1011, 4002])


def interim_messages(
    texts: SearchStrategy[str] = _TEXTS, *, most: int = 4
) -> SearchStrategy[tuple[str, ...]]:
    """The messages of one read: at least one, at most `most`, equal ones among them."""
    return st.lists(texts, min_size=1, max_size=most).map(tuple)


def service_traits() -> SearchStrategy[ServiceTraits]:
    """Every kind of service."""
    return st.builds(
        ServiceTraits,
        pushes=st.booleans(),
        resume=st.sampled_from(Resume),
        streams_result=st.booleans(),
        requeues=st.booleans(),
        on_unknown_status=st.none() | st.sampled_from(JobState),
    )


def honest_services() -> SearchStrategy[ServiceTraits]:
    """Every kind of service that does not take a word that it does not know for an end."""
    goes_on = st.sampled_from([None, JobState.QUEUED, JobState.RUNNING])
    # Streams are where most can go wrong.
    return st.builds(
        ServiceTraits,
        pushes=st.sampled_from([True, True, True, False]),
        resume=st.sampled_from(Resume),
        streams_result=st.booleans(),
        requeues=st.booleans(),
        on_unknown_status=goes_on,
    )


@st.composite
def lifecycles(draw: st.DrawFn, *, ends: bool = True) -> tuple[LifecycleEvent, ...]:
    """What an honest service says of one job, unasked, from its submission on.

    It says some things twice and leaves others out, but never goes back. If `ends`, the last
    event is the end of the job; else it may still be going on.
    """
    told: list[LifecycleEvent] = [JobQueued()] * draw(st.integers(0, 2))
    told += [JobStarted()] * draw(st.integers(0, 2))
    ending: SearchStrategy[LifecycleEvent] = st.one_of(
        st.just(JobSucceeded()), st.builds(JobFailed, st.none(), _REASONS, _CODES), _CANCELLED
    )
    if ends or draw(st.booleans()):
        told += [draw(ending)] * draw(st.integers(1, 2))
    return tuple(told)


_CANCELLED = st.just(JobCancelled())


def events(ledger: Ledger) -> SearchStrategy[Event]:
    """An event that a machine with this ledger may receive next, whatever the service's mood.

    It is an answer to one of the requests, something of the connection, a timer that fires, news
    that nobody asked for, or a wish of the caller; sometimes one that is no longer current. A wish
    may be one that the machine refuses.
    """
    return st.one_of(*_possible(ledger))


def _possible(ledger: Ledger) -> Iterator[SearchStrategy[Event]]:
    yield _told(None)
    for number, kind in ledger.requests.items():
        yield _REPLIES[kind](number)
    if ledger.connection:
        yield _carried(ledger.connection, ledger.connected)
    for name, number in ledger.timers.items():
        yield st.just(TimerFired(name, number))
    yield from _wishes(ledger)
    late = ledger.last_request - 1
    if late > 0 and late not in ledger.requests:
        yield _of_status(late)
    if ledger.connections > 1:
        yield _carried(ledger.connections - 1, True)


# Cached: hypothesis looks into each strategy at its first use, which costs more than the draw.
@functools.lru_cache(maxsize=1024)
def _told(request: int | None) -> SearchStrategy[Event]:
    number = st.just(request)
    return st.one_of(
        st.sampled_from((JobQueued, JobStarted, JobSucceeded, JobCancelled)).map(
            lambda kind: kind(request)
        ),
        st.builds(JobFailed, number, _REASONS, _CODES),
        st.builds(UnknownStatusReported, st.text(max_size=8), number),
    )


@functools.lru_cache(maxsize=1024)
def _failed(request: int) -> SearchStrategy[Event]:
    return st.builds(RequestFailed, st.just(request), _ERRORS, st.booleans(), _AFTER)


@functools.lru_cache(maxsize=1024)
def _of_status(request: int) -> SearchStrategy[Event]:
    return st.one_of(_told(request), _failed(request))


@functools.lru_cache(maxsize=1024)
def _of_result(request: int) -> SearchStrategy[Event]:
    received = st.builds(ResultReceived, st.just(request), _TEXTS)
    return st.one_of(received, _failed(request))


@functools.lru_cache(maxsize=1024)
def _of_failure(request: int) -> SearchStrategy[Event]:
    received = st.builds(FailureReceived, st.just(request), _REASONS, _CODES)
    return st.one_of(received, _failed(request))


@functools.lru_cache(maxsize=1024)
def _of_cancel(request: int) -> SearchStrategy[Event]:
    answers = st.sampled_from((CancelAccepted(request), CancelRefused(request)))
    return st.one_of(answers, _failed(request))


_REPLIES: dict[RequestKind, Callable[[int], SearchStrategy[Event]]] = {
    FetchStatus: _of_status,
    FetchResult: _of_result,
    FetchFailure: _of_failure,
    SendCancel: _of_cancel,
}


@functools.lru_cache(maxsize=1024)
def _carried(number: int, connected: bool) -> SearchStrategy[Event]:
    connection = st.just(number)
    failed = st.builds(StreamFailed, connection, _ERRORS)
    if not connected:
        return st.one_of(st.just(StreamOpened(number)), st.just(StreamNotReady(number)), failed)
    return st.one_of(
        st.builds(InterimReceived, connection, interim_messages()),
        st.builds(StreamClosed, connection, _CLOSE_CODES, st.text(max_size=8)),
        failed,
    )


def _wishes(ledger: Ledger) -> Iterator[SearchStrategy[Event]]:
    yield _waits(ledger.last_wait + 1)
    yield _subscriptions(ledger.last_subscription + 1)
    if ledger.waits:
        yield st.sampled_from(tuple(WaitEnded(number) for number in ledger.waits))
    if ledger.last_subscription:
        yield st.just(SubscriptionCancelled(ledger.last_subscription))


@functools.lru_cache(maxsize=1024)
def _waits(number: int) -> SearchStrategy[Event]:
    wait_id = st.just(number)
    started = st.builds(WaitStarted, wait_id, st.sampled_from(Need), _WAITS)
    return st.one_of(started, st.just(CancelRequested(number)))


@functools.lru_cache(maxsize=1024)
def _subscriptions(number: int) -> SearchStrategy[Event]:
    after = st.sampled_from((0, 0, 1, 3, -1))
    return st.one_of(
        st.builds(SubscriptionRequested, st.just(number), after),
        st.builds(ReplayRequested, st.just(number), after),
        st.just(ReleaseRequested()),
    )


@st.composite
def event_sequences(
    draw: st.DrawFn, traits: ServiceTraits, *, legal: bool = True, most: int = 20
) -> list[Event]:
    """Events for a fresh machine of this kind of service, in an order in which they can come.

    Answers carry the numbers of the requests that `JobMachine` makes of what went before. If
    `legal`, no event is one that it refuses; else at least one is, a wish of the caller.
    """
    machine, ledger = JobMachine("j1", traits), Ledger()
    told: list[Event] = []
    refused = 0
    for _ in range(draw(st.integers(0 if legal else 1, most))):
        event = draw(events(ledger))
        if step(machine, ledger, event) is None:
            if legal:
                continue
            refused += 1
        told.append(event)
    if not legal and not refused:
        told.append(draw(st.sampled_from([*_refused(ledger, machine.state)])))
    return told


def _refused(ledger: Ledger, state: JobState) -> Iterator[Event]:
    """Wishes that are refused now."""
    subscription = ledger.last_subscription + 1
    yield SubscriptionRequested(subscription, -1)
    yield ReplayRequested(subscription, -1)
    for number in ledger.waits:
        yield WaitStarted(number, Need.STATUS)
        yield CancelRequested(number)
    if state.is_final:
        yield CancelRequested(ledger.last_wait + 1)
        yield SubscriptionRequested(subscription)
    if ledger.subscription:
        yield ReplayRequested(subscription)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Bytes as they may arrive: whole, one by one, or cut anywhere. Joined, they are `data`.

    None of the pieces is empty: an empty read is the end of a connection.
    """
    how = draw(st.sampled_from(["whole", "one by one", "anywhere"]))
    if how == "whole" or len(data) < 2:
        return [data] if data else []
    if how == "one by one":
        return [data[index : index + 1] for index in range(len(data))]
    places = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=20)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
