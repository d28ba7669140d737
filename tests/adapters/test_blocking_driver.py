"""The driver without threads, on a clock that only moves when it sleeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapters import BlockingDriver, StreamEndpoint
from runtime_core.cancel import CancelOutcome
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.errors import RuntimeInvalidStateError, TransportError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
)
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits

BUSY = TransportError("busy", 503, retryable=True)
GONE = TransportError("gone", 404)


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class ScriptedTransport:
    """Gives one reply after the other, whatever is asked, and notes when it was asked."""

    traits = ServiceTraits(pushes=True)

    def __init__(self, clock: FakeClock, *replies: Callable[[int], ReplyEvent]) -> None:
        self.clock = clock
        self.replies = list(replies)
        self.asked: list[tuple[float, type[RequestCommand]]] = []

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        assert job_id == "j1"
        self.asked.append((round(self.clock.now - 100, 6), type(command)))
        reply = self.replies[0] if len(self.replies) == 1 else self.replies.pop(0)
        return reply(command.request)

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        raise AssertionError("a driver without threads opens no stream")


def busy(request: int) -> ReplyEvent:
    return RequestFailed(request, BUSY, retryable=True)


def driver(*replies: Callable[[int], ReplyEvent]) -> tuple[BlockingDriver, ScriptedTransport]:
    clock = FakeClock()
    transport = ScriptedTransport(clock, *replies)
    return BlockingDriver("j1", transport, clock), transport


def test_it_polls_by_the_polling_rule_and_fetches_the_result() -> None:
    blocking, transport = driver(
        JobQueued, JobStarted, JobStarted, JobSucceeded, lambda n: ResultReceived(n, "42")
    )
    assert blocking.wait(Need.RESULT)
    assert blocking.machine.result_text == "42"
    assert transport.asked == [
        (0.0, FetchStatus),
        (0.05, FetchStatus),
        (0.1, FetchStatus),
        (0.175, FetchStatus),
        (0.175, FetchResult),
    ]


def test_a_timeout_holds_whatever_wait_is() -> None:
    blocking, transport = driver(JobStarted)
    assert not blocking.wait(Need.FINAL, timeout=1.0, wait=5.0)
    assert transport.clock.now == 101.0
    assert blocking.machine.state is JobState.RUNNING
    assert blocking.wait(Need.STATUS)  # it can be used again


def test_a_failed_job_tells_why() -> None:
    blocking, _ = driver(JobFailed, lambda n: FailureReceived(n, "division by zero"))
    assert blocking.wait(Need.RESULT)
    assert blocking.machine.failure is not None
    assert blocking.machine.failure.reason == "division by zero"


def test_failures_back_off_and_are_reported() -> None:
    clock = FakeClock()
    transport = ScriptedTransport(clock, busy, busy, JobCancelled)
    lines: list[str] = []
    assert BlockingDriver("j1", transport, clock, lines.append).wait(Need.FINAL)
    assert [when for when, _ in transport.asked] == [0.0, 0.5, 1.5]
    assert len(lines) == 2
    assert "busy" in lines[0]


def test_what_is_not_retryable_is_raised() -> None:
    blocking, _ = driver(lambda n: RequestFailed(n, GONE))
    with pytest.raises(TransportError, match="gone"):
        blocking.wait(Need.RESULT)


def test_cancel_is_accepted_and_then_seen() -> None:
    blocking, transport = driver(CancelAccepted, JobStarted, JobCancelled)
    blocking.cancel()
    assert blocking.machine.cancel_outcome is None
    assert blocking.wait(Need.FINAL)
    assert blocking.machine.cancel_outcome is CancelOutcome.CANCELLED
    assert [kind for _, kind in transport.asked] == [SendCancel, FetchStatus, FetchStatus]


def test_cancel_is_refused() -> None:
    blocking, _ = driver(CancelRefused, JobSucceeded)
    with pytest.raises(RuntimeInvalidStateError, match="DONE"):
        blocking.cancel()


@pytest.mark.parametrize("kind", [FetchStatus, FetchResult])
def test_ctrl_c_in_a_request_leaves_it_usable(kind: type[RequestCommand]) -> None:
    def interrupt(request: int) -> ReplyEvent:
        raise KeyboardInterrupt

    before: list[Callable[[int], ReplyEvent]] = [] if kind is FetchStatus else [JobSucceeded]
    blocking, transport = driver(*before, interrupt, JobSucceeded)
    with pytest.raises(KeyboardInterrupt):
        blocking.wait(Need.RESULT)
    assert transport.asked[-1][1] is kind
    if kind is FetchResult:
        transport.replies[:] = [lambda n: ResultReceived(n, "42")]
    assert blocking.wait(Need.FINAL)
    assert blocking.machine.state is JobState.DONE


def test_a_reason_that_cannot_be_had_is_an_error() -> None:
    blocking, transport = driver(JobFailed, lambda n: RequestFailed(n, GONE))
    with pytest.raises(TransportError):
        blocking.wait(Need.RESULT)
    assert transport.asked[-1][1] is FetchFailure
    assert blocking.machine.state is JobState.ERROR


def test_ctrl_c_while_a_cancel_is_undecided_leaves_it_usable() -> None:
    def interrupt(request: int) -> ReplyEvent:
        raise KeyboardInterrupt

    blocking, transport = driver(CancelAccepted, JobStarted, interrupt, JobCancelled)
    blocking.cancel()
    with pytest.raises(KeyboardInterrupt):
        blocking.wait(Need.FINAL)
    assert blocking.wait(Need.FINAL)
    assert blocking.machine.cancel_outcome is CancelOutcome.CANCELLED
    assert len(transport.asked) == 4
