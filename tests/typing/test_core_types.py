"""The types of the core as an embedder's type checker sees them; what runs shows they are true.

`assert_type` is checked by mypy and by pyright (`make types`), and does nothing when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, assert_never, assert_type, get_args

import attrs
import pytest

from runtime_core import (
    LIFECYCLE,
    CancelAccepted,
    CancelOutcome,
    CancelRefused,
    CancelRequested,
    CloseStream,
    Command,
    DecodeError,
    DecodeLimits,
    Decoder,
    DecoderRegistry,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    Event,
    Failure,
    FailureReceived,
    FetchFailure,
    FetchResult,
    FetchStatus,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobMachine,
    JobQueued,
    JobStarted,
    JobState,
    JobSucceeded,
    JobTimeoutError,
    LifecycleEvent,
    Need,
    Notice,
    OpenStream,
    ReleaseRequested,
    ReplayRequested,
    Report,
    RequestFailed,
    ResultDecoder,
    ResultReceived,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    SendCancel,
    ServiceTraits,
    StartTimer,
    StopTimer,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    StructuredDecoder,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    TransportError,
    UnknownStatusError,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
    WaitTimeoutError,
    decode_result,
    decode_tagged,
    may_become,
)


@attrs.frozen
class Energies:
    """What a program gives."""

    values: list[float]


class LengthDecoder:
    """A class whose `decode` is a classmethod is a decoder."""

    @classmethod
    def decode(cls, data: str) -> int:
        return len(data)


class Scaled:
    """An instance with a `decode` is one too."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def decode(self, data: str) -> float:
        return float(data) * self.factor


def needs_decoder(decoder: Decoder[float]) -> float:
    return decoder.decode("2")


def test_a_decoder_says_what_it_makes() -> None:
    registry = DecoderRegistry()
    registry.register("vqe", StructuredDecoder(Energies))
    registry.register("length", LengthDecoder)
    assert_type(registry.default, Decoder[Any])
    assert_type(registry.for_program("vqe"), Decoder[Any] | None)

    text = '{"values": [1.5]}'
    structured = StructuredDecoder(Energies, limits=DecodeLimits(max_nodes=10))
    assert_type(structured, StructuredDecoder[Energies])
    energies = structured.decode(text)
    assert_type(energies, Energies)
    assert energies == Energies([1.5])

    length = decode_result(text, None, registry, LengthDecoder)
    assert_type(length, int)
    assert length == 17
    scaled = decode_result("2", None, registry, Scaled(1.5))
    assert_type(scaled, float)
    assert scaled == 3.0
    assert_type(decode_result(text, "vqe", registry), Any)
    assert_type(ResultDecoder.decode(text), Any)
    assert_type(decode_tagged(text), Any)
    # A decoder of something narrower will do.
    assert needs_decoder(Scaled(1.0)) == 2.0
    assert needs_decoder(LengthDecoder) == 1


def test_a_machine_takes_events_and_gives_commands() -> None:
    machine = JobMachine("job-7", ServiceTraits())
    commands = machine.receive(WaitStarted(1, Need.RESULT))
    assert_type(commands, tuple[Command, ...])
    assert_type(machine.job_id, str)
    assert_type(machine.traits, ServiceTraits)
    assert_type(machine.state, JobState)
    assert_type(machine.confirmed, bool)
    assert_type(machine.result_text, str | None)
    assert_type(machine.failure, Failure | None)
    assert_type(machine.cancel_outcome, CancelOutcome | None)
    assert_type(LIFECYCLE, dict[tuple[JobState, type[LifecycleEvent]], JobState])
    assert_type(may_become(JobState.QUEUED), frozenset[JobState])
    assert described(commands[0]) == "request"


def described(command: Command) -> str:
    """Exhaustive: a command that is new makes `assert_never` an error of types."""
    match command:
        case FetchStatus(number) | FetchResult(number) | FetchFailure(number) | SendCancel(number):
            assert_type(number, int)
            return "request"
        case OpenStream(connection, after):
            assert_type(connection, int)
            assert_type(after, int)
            return "stream"
        case CloseStream(connection):
            assert_type(connection, int)
            return "stream"
        case StartTimer(name, number, delay):
            assert_type(name, TimerName)
            assert_type(number, int)
            assert_type(delay, float)
            return "timer"
        case StopTimer(name):
            assert_type(name, TimerName)
            return "timer"
        case Deliver(subscription, first, messages):
            assert_type(subscription, int)
            assert_type(first, int)
            assert_type(messages, tuple[str, ...])
            return "delivery"
        case DeliverGap(subscription, after):
            assert_type(subscription, int)
            assert_type(after, int)
            return "delivery"
        case EndSubscription(subscription, failure):
            assert_type(subscription, int)
            assert_type(failure, Exception | None)
            return "delivery"
        case EndWait(wait_id, failure):
            assert_type(wait_id, int)
            assert_type(failure, Exception | None)
            return "wait"
        case Report(notice, text, failure):
            assert_type(notice, Notice)
            assert_type(text, str)
            assert_type(failure, Exception | None)
            return "log"
    assert_never(command)


def source(event: Event) -> str:
    """Exhaustive: an event that is new makes `assert_never` an error of types."""
    match event:
        case (
            JobQueued()
            | JobStarted()
            | JobSucceeded()
            | JobFailed()
            | JobCancelled()
            | UnknownStatusReported()
        ):
            assert_type(event.request, int | None)
            return "state"
        case (
            ResultReceived()
            | FailureReceived()
            | CancelAccepted()
            | CancelRefused()
            | RequestFailed()
        ):
            assert_type(event.request, int)
            return "reply"
        case (
            StreamOpened() | StreamNotReady() | InterimReceived() | StreamClosed() | StreamFailed()
        ):
            assert_type(event.connection, int)
            return "stream"
        case TimerFired():
            return "time"
        case (
            WaitStarted()
            | WaitEnded()
            | CancelRequested()
            | SubscriptionRequested()
            | ReplayRequested()
            | SubscriptionCancelled()
            | ReleaseRequested()
        ):
            return "caller"
    assert_never(event)


SAMPLES: Mapping[str, object] = {
    "request": 1,
    "connection": 1,
    "after": 0,
    "name": TimerName.POLL,
    "id": 1,
    "delay": 0.5,
    "subscription": 1,
    "first": 0,
    "messages": (),
    "wait_id": 1,
    "notice": Notice.RETRY,
    "text": "",
    "word": "",
    "reason": None,
    "error": TransportError("lost"),
    "need": Need.FINAL,
}


def samples(union: UnionType) -> list[Any]:
    """One value of each member of a union, with what has no default filled in."""
    return [
        kind(
            **{
                field.name: SAMPLES[field.name]
                for field in attrs.fields(kind)
                if field.default is attrs.NOTHING
            }
        )
        for kind in get_args(union)
    ]


@pytest.mark.parametrize("event", samples(Event), ids=lambda event: type(event).__name__)
def test_the_match_over_events_knows_every_one(event: Event) -> None:
    assert source(event) in {"state", "reply", "stream", "time", "caller"}


@pytest.mark.parametrize("command", samples(Command), ids=lambda command: type(command).__name__)
def test_the_match_over_commands_knows_every_one(command: Command) -> None:
    assert described(command) in {"request", "stream", "timer", "delivery", "wait", "log"}


def test_errors_carry_typed_facts() -> None:
    machine = JobMachine("job-7")
    machine.receive(JobSucceeded())
    with pytest.raises(RuntimeInvalidStateError) as refused:
        machine.receive(CancelRequested(1))
    error = refused.value
    assert_type(error.job_id, str)
    assert_type(error.state, JobState)
    assert_type(error.action, str)
    assert_type(error.legal, Sequence[str])
    assert (error.action, error.state) == ("cancel", JobState.DONE)

    failed = RuntimeJobFailureError("job-7", "out of memory", 1305)
    assert_type(failed.reason, str | None)
    assert_type(failed.reason_code, int | str | None)
    lost = TransportError("lost", 503, True, 2.0)
    assert_type(lost.status_code, int | None)
    assert_type(lost.retryable, bool)
    assert_type(lost.retry_after, float | None)
    assert_type(DecodeError("no").path, str)
    assert_type(UnknownStatusError("job-7", "LOST").word, str)
    late = JobTimeoutError("job-7", "its end", 1.0, JobState.RUNNING)
    assert_type(late.timeout, float)
    assert_type(WaitTimeoutError(1, 2, 1.0).pending, int)
    both: TimeoutError = late
    assert both is late
