"""The transport over a client; any class that has the three methods is one."""

from __future__ import annotations

import ssl
from typing import Any

import attrs
import pytest

from adapters.defaults import DEFAULT_STATUS_RATE
from adapters.http.retry import RETRYABLE_STATUS
from adapters.http.transport import ClientListing, ClientTransport, as_transport_error
from adapters.services.dialect import CURRENT, LEGACY, Dialect
from adapters.services.ibm_legacy import TRAITS
from adapters.transport import (
    ListedPage,
    ServiceTransport,
    StreamEndpoint,
    Transport,
)
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.errors import ServiceError, TransportError, UsageError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    JobStarted,
    RequestFailed,
    ResultReceived,
    UnknownStatusReported,
)
from runtime_core.traits import Resume, ServiceTraits


@attrs.define
class Client:
    """Answers every call with `answer`, or raises it."""

    answer: Any
    calls: list[tuple[str, str]] = attrs.field(factory=list)

    def job_get(self, job_id: str) -> Any:
        return self._give("job_get", job_id)

    def job_results(self, job_id: str) -> Any:
        return self._give("job_results", job_id)

    def job_cancel(self, job_id: str) -> object:
        return self._give("job_cancel", job_id)

    def _give(self, call: str, job_id: str) -> Any:
        self.calls.append((call, job_id))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class SomebodysError(Exception):
    """As other clients raise them."""

    def __init__(self, status_code: object, retry_after: object = None) -> None:
        super().__init__("no luck")
        self.status_code = status_code
        self.retry_after = retry_after


class ResponseError(OSError):
    """As requests raises them: an OSError even for a 404."""

    def __init__(self, status_code: int) -> None:
        super().__init__("no luck")
        self.response = SomebodysError(status_code)


COMMANDS: list[RequestCommand] = [FetchStatus(7), FetchResult(7), FetchFailure(7), SendCancel(7)]


@pytest.mark.parametrize(
    ("command", "answer", "call", "reply"),
    [
        (FetchStatus(7), {"status": "Running"}, "job_get", JobStarted(7)),
        (FetchStatus(7), {"status": "MAYBE"}, "job_get", UnknownStatusReported("MAYBE", 7)),
        (FetchResult(7), "text", "job_results", ResultReceived(7, "text")),
        (FetchResult(7), "", "job_results", ResultReceived(7, "")),
        (FetchFailure(7), "Traceback", "job_results", FailureReceived(7, "Traceback")),
        (FetchFailure(7), "", "job_results", FailureReceived(7, None)),
        (SendCancel(7), None, "job_cancel", CancelAccepted(7)),
        (SendCancel(7), TransportError("late", 409), "job_cancel", CancelRefused(7)),
        (SendCancel(7), SomebodysError(409), "job_cancel", CancelRefused(7)),
        (FetchFailure(7), SomebodysError(404), "job_results", FailureReceived(7, None)),
    ],
)
def test_a_command_is_one_call_and_one_reply(
    command: RequestCommand, answer: object, call: str, reply: object
) -> None:
    client = Client(answer)
    assert ClientTransport(client).perform("j1", command) == reply
    assert client.calls == [(call, "j1")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_our_error_is_passed_on_as_it_is(command: RequestCommand) -> None:
    error = TransportError("busy", 503, retryable=True, retry_after=2.5)
    reply = ClientTransport(Client(error)).perform("j1", command)
    assert reply == RequestFailed(7, error, retryable=True, retry_after=2.5)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
@pytest.mark.parametrize("error", [ValueError("odd"), KeyError("id"), UsageError("closed")])
def test_any_exception_becomes_a_reply(command: RequestCommand, error: Exception) -> None:
    reply = ClientTransport(Client(error)).perform("j1", command)
    assert isinstance(reply, RequestFailed)
    assert (reply.request, reply.retryable, reply.retry_after) == (7, False, None)
    assert isinstance(reply.error, TransportError)
    assert reply.error.__cause__ is error
    assert type(error).__name__ in str(reply.error)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_an_interrupt_is_raised(command: RequestCommand) -> None:
    with pytest.raises(KeyboardInterrupt):
        ClientTransport(Client(KeyboardInterrupt())).perform("j1", command)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (FetchStatus(7), "RUNNING"),
        (FetchStatus(7), {}),
        (FetchStatus(7), {"status": 3}),
        (FetchResult(7), b"bytes"),
        (FetchFailure(7), None),
    ],
)
def test_an_answer_of_another_type_is_a_failure(command: RequestCommand, answer: object) -> None:
    reply = ClientTransport(Client(answer)).perform("j1", command)
    assert isinstance(reply, RequestFailed)
    assert isinstance(reply.error, TransportError)
    assert "expected" in str(reply.error)


@pytest.mark.parametrize("status", range(300, 600))
@pytest.mark.parametrize("kind", [SomebodysError, ResponseError])
def test_the_status_code_of_others_decides_by_the_same_table(
    status: int, kind: type[SomebodysError | ResponseError]
) -> None:
    wrapped = as_transport_error(kind(status))
    assert wrapped.status_code == status
    assert wrapped.retryable == (status in RETRYABLE_STATUS)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (ConnectionRefusedError("refused"), True),
        (ConnectionResetError("reset"), True),
        (TimeoutError("slow"), True),
        (OSError("no route"), True),
        (ssl.SSLCertVerificationError("self-signed"), False),
        (SomebodysError("503"), False),
        (RuntimeError("bug"), False),
    ],
)
def test_without_a_status_code_a_broken_connection_is_retryable(
    error: Exception, retryable: bool
) -> None:
    assert as_transport_error(error).retryable is retryable


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(3, 3.0), (0.5, 0.5), (-1, None), ("3", None), (None, None), (float("nan"), None)],
)
def test_retry_after_of_others_is_taken_over(theirs: object, ours: float | None) -> None:
    assert as_transport_error(SomebodysError(503, theirs)).retry_after == ours


def test_a_long_message_of_others_is_shortened() -> None:
    assert len(str(as_transport_error(ValueError("x" * 10_000_000)))) <= 300


def test_without_a_stream_source_there_are_no_streams() -> None:
    transport: Transport = ClientTransport(Client(None))
    assert transport.traits == attrs.evolve(TRAITS, pushes=False)
    with pytest.raises(ServiceError, match="no streams"):
        transport.stream("j1", OpenStream(3, after=0))


def test_streams_are_the_business_of_their_source() -> None:
    class Source:
        def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
            asked.append((job_id, command))
            return endpoint

    protocol: Any = object()
    endpoint = StreamEndpoint("localhost", 80, None, protocol)
    asked: list[tuple[str, OpenStream]] = []
    traits = ServiceTraits(pushes=True, resume=Resume.OFFSET)
    transport: Transport = ClientTransport(Client(None), Source(), traits)
    assert transport.traits is traits
    assert transport.stream("j1", OpenStream(3, after=2)) is endpoint
    assert asked == [("j1", OpenStream(3, after=2))]


# ---- the list ----------------------------------------------------------------------------------


@attrs.define
class ListingClient(Client):
    """One with a list."""

    def jobs_get(self, limit: int = 10, skip: int = 0) -> Any:
        return self._give(f"jobs_get {limit} {skip}", "")


def listing(answer: object, dialect: Dialect | None = None) -> ClientListing:
    found = ClientTransport(ListingClient(answer), dialect=dialect).listing
    assert found is not None
    return found


def test_a_page_has_the_documents_of_those_that_were_wanted() -> None:
    jobs = [{"id": "a", "status": "RUNNING"}, {"id": "b"}, "c", {"id": 7}]
    client = ListingClient({"jobs": jobs, "count": 9})
    found = ClientTransport(client).listing
    assert found is not None
    page = found.page(200, 4, frozenset({"a", "z"}))
    assert page == ListedPage(4, {"a": jobs[0]}, True)
    assert client.calls == [("jobs_get 200 4", "")]
    assert found.status_event(page.found["a"], 5) == JobStarted(5)


@pytest.mark.parametrize(
    ("count", "skip", "has_more"),
    [(2, 0, False), (3, 0, True), (3, 1, False), (None, 0, True), ("2", 0, True), (0, 0, False)],
)
def test_whether_there_is_more(count: object, skip: int, has_more: bool) -> None:
    answer = {"jobs": [{"id": "a"}, {"id": "b"}], "count": count}
    assert listing(answer).page(200, skip, ()).has_more is has_more


def test_after_an_empty_page_there_is_nothing() -> None:
    assert listing({"jobs": [], "count": 10**9}).page(200, 0, ()) == ListedPage(0, {}, False)


@pytest.mark.parametrize("answer", [None, [], "html", {}, {"jobs": None}, {"jobs": "a"}])
@pytest.mark.parametrize("dialect", [LEGACY, CURRENT])
def test_a_list_that_is_none(answer: object, dialect: Dialect) -> None:
    with pytest.raises(TransportError, match="expected a list at"):
        listing(answer, dialect).page(200, 0, ())


def test_what_a_list_raises_is_our_error() -> None:
    with pytest.raises(TransportError) as caught:
        listing(SomebodysError(429, 7)).page(200, 0, ())
    assert (caught.value.status_code, caught.value.retry_after) == (429, 7)


def test_without_a_list_there_is_none() -> None:
    mine = Dialect("mine", LEGACY.status_event)
    assert ClientTransport(Client("")).listing is None
    assert ClientTransport(ListingClient(""), dialect=mine).listing is None


def test_the_client_stands_for_the_service() -> None:
    client = Client("")
    transport = ClientTransport(client)
    assert isinstance(transport, ServiceTransport)
    assert transport.service is client
    assert transport.status_requests_per_second == DEFAULT_STATUS_RATE
