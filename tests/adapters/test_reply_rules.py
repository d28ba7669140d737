"""What a transport replies that is no reply to the request: nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from async_fakes import each_driver  # noqa: F401 - a fixture
from blocking_face import make_job
from fakes import FakeReactor

from adapters import BlockingDriver
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.errors import RuntimeJobFailureError, TransportError
from runtime_core.events import (
    CancelAccepted,
    FailureReceived,
    JobFailed,
    JobStarted,
    JobSucceeded,
    Need,
    RequestFailed,
    ResultReceived,
)
from runtime_core.traits import ServiceTraits


class Odd:
    """Answers as it must, but to commands of one kind."""

    traits = ServiceTraits()

    def __init__(self, kind: type[RequestCommand], reply: Callable[[int], Any]) -> None:
        self.kind = kind
        self.reply = reply
        self.end: Callable[[int], Any] = JobFailed if kind is FetchFailure else JobSucceeded

    def perform(self, job_id: str, command: RequestCommand) -> Any:
        if isinstance(command, self.kind):
            return self.reply(command.request)
        match command:
            case FetchStatus(request):
                return self.end(request)
            case FetchResult(request):
                return ResultReceived(request, "42")
            case FetchFailure(request):
                return FailureReceived(request, None)
            case SendCancel(request):
                return CancelAccepted(request)

    def stream(self, job_id: str, command: OpenStream) -> Any:
        raise AssertionError


NO_TEXT: Any = b"42"
NO_ERROR: Any = "no"
NO_WAIT: Any = "7"


def raises_no_wait(_: int) -> Any:
    raise TransportError("busy", 503, retryable=True, retry_after=NO_WAIT)


ODD: list[tuple[type[RequestCommand], Callable[[int], Any], str]] = [
    (FetchStatus, lambda _: None, "it is one NoneType, expected one of JobQueued"),
    (FetchStatus, lambda _: "RUNNING", "it is one str"),
    (FetchStatus, lambda _: JobStarted(), "it carries the request None, expected 1"),
    (FetchStatus, lambda n: JobStarted(n + 1), "it carries the request 2, expected 1"),
    (FetchStatus, lambda n: ResultReceived(n, "42"), "it is one ResultReceived, expected"),
    (FetchResult, JobSucceeded, "it is one JobSucceeded, expected one of ResultReceived"),
    (FetchResult, lambda n: ResultReceived(n, NO_TEXT), "the text of its result is one bytes"),
    (FetchResult, lambda n: RequestFailed(n, NO_ERROR), "the error of its RequestFailed is 'no'"),
    (FetchStatus, lambda n: RequestFailed(n, TransportError(""), True, NO_WAIT), "_after is '7'"),
    (FetchStatus, raises_no_wait, "its retry_after is '7', expected seconds or None"),
]


@pytest.mark.parametrize(("kind", "reply", "said"), ODD)
def test_a_reply_that_is_none_has_failed_and_says_which_rule_was_broken(
    kind: type[RequestCommand], reply: Callable[[int], Any], said: str
) -> None:
    job = make_job("b", Odd(kind, reply), None, "j1", "p", reactor=FakeReactor())
    with pytest.raises(TransportError, match=said) as caught:
        job.result()
    assert f"broke a rule in its reply to {kind.__name__}" in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize(("kind", "reply", "said"), ODD)
def test_so_it_is_for_the_driver_without_threads(
    kind: type[RequestCommand], reply: Callable[[int], Any], said: str
) -> None:
    with pytest.raises(TransportError, match=said):
        BlockingDriver("j1", Odd(kind, reply)).wait(Need.RESULT)


def test_the_reason_of_a_failed_job_is_an_own_matter() -> None:
    job = make_job("b", Odd(FetchFailure, JobFailed), None, "j1", "p", reactor=FakeReactor())
    with pytest.raises(RuntimeJobFailureError) as caught:
        job.result()
    assert "it is one JobFailed, expected one of FailureReceived" in str(caught.value.__cause__)


def test_a_cancel_that_has_no_answer_may_have_arrived() -> None:
    odd = Odd(SendCancel, JobStarted)
    odd.end = JobStarted
    job = make_job("b", odd, None, "j1", "p", reactor=FakeReactor())
    with pytest.raises(TransportError, match="expected one of CancelAccepted, CancelRefused"):
        job.cancel()


@pytest.mark.parametrize("fails", ["raised", "returned"])
def test_a_failure_that_is_raised_is_as_good_as_one_that_is_returned(fails: str) -> None:
    """It is retryable, and says when: so it is asked again then."""
    busy = TransportError("busy", 503, retryable=True, retry_after=7.0)
    count = 0

    def reply(request: int) -> Any:
        nonlocal count
        count += 1
        if count > 1:
            return JobSucceeded(request)
        if fails == "raised":
            raise busy
        return RequestFailed(request, busy, busy.retryable, busy.retry_after)

    reactor = FakeReactor()
    job = make_job("b", Odd(FetchStatus, reply), None, "j1", "p", reactor=reactor)
    job.wait_for_final_state()
    assert reactor.elapsed == 7.0
