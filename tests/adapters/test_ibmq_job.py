"""`adapters.ibmq.RuntimeJob`: the original's signature, words and errors, and clients of others."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from fakes import (
    CLOSES,
    OPENS,
    FakeClient,
    FakeReactor,
    FakeStreams,
    Script,
    failure,
    over_time,
    says,
)

from adapters import ibmq
from adapters.ibmq import (
    JOB_FINAL_STATES,
    IBMQError,
    IBMQInputValueError,
    JobStatus,
    JobTimeoutError,
    QiskitRuntimeError,
    RequestsApiError,
    ResultDecoder,
    RuntimeInvalidStateError,
    RuntimeJob,
    RuntimeJobFailureError,
    RuntimeJobNotFound,
)
from runtime_core.errors import (
    RuntimeJobCancelledError,
    RuntimeJobNotFoundError,
    UnknownStatusError,
)
from runtime_core.traits import Resume

THEIRS = {
    "__init__": (
        "backend api_client credentials job_id program_id params=None creation_date=None "
        "user_callback=None result_decoder=ResultDecoder image=''"
    ),
    "result": "timeout=None wait=5 decoder=None",
    "cancel": "",
    "status": "",
    "error_message": "",
    "wait_for_final_state": "timeout=None wait=5",
    "stream_results": "callback decoder=None",
    "cancel_result_streaming": "",
    "logs": "",
    "job_id": "",
    "backend": "",
}
"""The methods of the original's `RuntimeJob` in qiskit-ibmq-provider 0.20.2."""

PROPERTIES = ("image", "inputs", "program_id", "creation_date")
"""Its properties."""


def made(*status: Any, **options: Any) -> tuple[RuntimeJob, FakeClient, FakeReactor]:
    reactor = FakeReactor()
    scripts = {key: options.pop(key) for key in ("result", "cancel", "logs") if key in options}
    client = FakeClient(reactor, *status, **scripts)
    return RuntimeJob("b", client, None, "j1", "p", reactor=reactor, **options), client, reactor


class Heard(list[Any]):
    def __call__(self, job_id: str, value: Any) -> None:
        assert job_id == "j1"
        self.append(value)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="adapters.drivers")


def streamed(*script: Script, ends: float = 5.2, **options: Any) -> tuple[RuntimeJob, FakeReactor]:
    """A running job that ends after so many seconds."""
    reactor = FakeReactor()
    reactor.connections += script
    client = FakeClient(reactor, over_time(reactor, "RUNNING", (ends, "COMPLETED")))
    streams = FakeStreams(Resume.OFFSET)
    return RuntimeJob("b", client, streams, "j1", "p", reactor=reactor, **options), reactor


# ---- the signatures ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", THEIRS)
def test_the_parameters_are_the_originals_in_order_and_with_their_defaults(method: str) -> None:
    parameters = list(inspect.signature(getattr(RuntimeJob, method)).parameters.values())[1:]
    for ours, theirs in zip(parameters, THEIRS[method].split(), strict=False):
        name, _, default = theirs.partition("=")
        assert ours.name == name
        if default:
            assert ours.default == eval(default)
    added = parameters[len(THEIRS[method].split()) :]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in added)


@pytest.mark.parametrize("name", PROPERTIES)
def test_what_is_a_property_is_one_here(name: str) -> None:
    assert isinstance(inspect.getattr_static(RuntimeJob, name), property)


def test_what_was_given_is_given_back() -> None:
    backend = object()
    job = RuntimeJob(
        backend=backend,
        api_client=FakeClient(FakeReactor()),
        credentials=None,
        job_id="j1",
        program_id="p",
        params={"a": 1},
        creation_date="2021-05-06T07:08:09",
        result_decoder=ResultDecoder,
        image="image:1",
    )
    assert job.backend() is backend
    assert (job.job_id(), job.program_id, job.inputs) == ("j1", "p", {"a": 1})
    assert (job.image, made()[0].image) == ("image:1", "")
    assert job.creation_date == datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_a_job_needs_its_id_and_its_programs() -> None:
    with pytest.raises(TypeError, match="needs a job_id and a program_id"):
        RuntimeJob("b", FakeClient(FakeReactor()), ws_client=None)


def test_credentials_say_where_the_streams_are() -> None:
    heard = Heard()
    reactor = FakeReactor()
    account = SimpleNamespace(runtime_url="https://runtime.example/api", access_token="t")
    client = FakeClient(reactor, "RUNNING")
    job = RuntimeJob("b", client, account, "j1", "p", user_callback=heard, reactor=reactor)
    reactor.advance(0.1)
    (channel,) = reactor.channels
    assert channel.endpoint.host == "runtime.example"
    assert channel.endpoint.tls is not None
    job.close()


def test_a_client_of_streams_stands_for_credentials() -> None:
    for place in ("credentials", "ws_client"):
        heard = Heard()
        reactor = FakeReactor()
        reactor.connections += [(OPENS, says("1"))]
        options: dict[str, Any] = {place: FakeStreams(Resume.OFFSET)}
        job = RuntimeJob(
            "b",
            FakeClient(reactor, "RUNNING"),
            job_id="j1",
            program_id="p",
            user_callback=heard,
            reactor=reactor,
            **options,
        )
        reactor.advance(1.0)
        assert heard == [1]
        job.close()


# ---- the state ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("QUEUED", JobStatus.QUEUED),
        ("Running", JobStatus.RUNNING),
        ("completed", JobStatus.DONE),
        ("FAILED", JobStatus.ERROR),
        ("Cancelled", JobStatus.CANCELLED),
        ("CANCELLED - RAN TOO LONG", JobStatus.ERROR),
    ],
)
def test_the_words_of_the_service_in_any_case(word: str, status: JobStatus) -> None:
    job, *_ = made(word)
    assert job.status() is status
    assert job.in_final_state() is (status in JOB_FINAL_STATES)


def test_a_final_status_is_not_asked_for_again() -> None:
    job, client, _ = made("RUNNING", "COMPLETED", "RUNNING")
    assert [job.status() for _ in range(3)] == [JobStatus.RUNNING, *[JobStatus.DONE] * 2]
    assert client.count("job_get") == 2


def test_an_unknown_status_is_an_ibmq_error() -> None:
    job, *_ = made("Pondering")
    with pytest.raises(IBMQError, match="unknown status 'Pondering'") as caught:
        job.status()
    assert isinstance(caught.value, UnknownStatusError)
    assert caught.value.word == "Pondering"


def test_a_request_that_fails_is_a_requests_api_error() -> None:
    job, *_ = made(failure(503))
    with pytest.raises(RequestsApiError) as caught:
        job.status()
    assert isinstance(caught.value, IBMQError)
    assert caught.value.status_code == 503
    assert caught.value.message == str(caught.value) == "no luck (503)"


def test_a_job_that_is_gone_is_a_runtime_job_not_found() -> None:
    job, *_ = made(RuntimeJobNotFoundError("no job", 404))
    with pytest.raises(RuntimeJobNotFound) as caught:
        job.status()
    assert caught.value.status_code == 404


# ---- waiting -----------------------------------------------------------------------------------


def test_waiting_returns_in_every_final_state() -> None:
    for word in ("COMPLETED", "FAILED", "CANCELLED"):
        job, *_ = made("RUNNING", word)
        job.wait_for_final_state(wait=0.1)
        assert job.status() in JOB_FINAL_STATES


@pytest.mark.parametrize("call", ["result", "wait_for_final_state"])
def test_a_timeout_is_kept_also_where_wait_is_longer(call: str) -> None:
    job, _, reactor = made("RUNNING")
    start = reactor.now()
    with pytest.raises(JobTimeoutError):
        getattr(job, call)(timeout=1, wait=5)
    assert reactor.now() == start + 1
    assert not issubclass(JobTimeoutError, IBMQError)  # it is none in the original


# ---- the result --------------------------------------------------------------------------------


class Boxed(ResultDecoder):
    @classmethod
    def decode(cls, data: str) -> Any:
        return [super().decode(data)]


def test_the_result_is_decoded_by_the_calls_decoder_or_by_the_jobs() -> None:
    job, client, _ = made("COMPLETED", result='{"z": {"__type__": "complex", "__value__": [1, 2]}}')
    assert job.result() == {"z": 1 + 2j}
    assert job.result(decoder=Boxed) == [{"z": 1 + 2j}]
    assert job.result(None, 5, Boxed) == [{"z": 1 + 2j}]
    assert job.result() == {"z": 1 + 2j}
    assert client.count("job_results") == 1
    assert made("COMPLETED", result_decoder=Boxed)[0].result() == [42]
    assert made("COMPLETED", result="no JSON")[0].result() == "no JSON"


def test_the_result_of_a_failed_job_is_an_error_in_the_originals_words() -> None:
    job, *_ = made("FAILED", result="Traceback: boom")
    with pytest.raises(RuntimeJobFailureError) as caught:
        job.result()
    text = "Unable to retrieve job result. Job j1 has failed:\nTraceback: boom"
    assert str(caught.value) == caught.value.message == text
    assert isinstance(caught.value, QiskitRuntimeError)
    assert (caught.value.job_id, caught.value.reason) == ("j1", "Traceback: boom")


def test_the_result_of_a_job_that_ran_too_long_says_so() -> None:
    job, *_ = made("CANCELLED - RAN TOO LONG", result="")
    with pytest.raises(RuntimeJobFailureError, match="ran longer than maximum execution time"):
        job.result()


def test_the_result_of_a_cancelled_job_is_a_runtime_error_of_its_own() -> None:
    job, *_ = made("CANCELLED")
    with pytest.raises(QiskitRuntimeError, match="was cancelled: it has no result") as caught:
        job.result()
    assert isinstance(caught.value, RuntimeJobCancelledError)
    assert not isinstance(caught.value, RuntimeJobFailureError)


def test_a_result_that_cannot_be_fetched_is_a_runtime_error() -> None:
    job, *_ = made("COMPLETED", result=failure(403))
    with pytest.raises(QiskitRuntimeError) as caught:
        job.result()
    assert caught.value.message == "no luck (403)"


# ---- why it failed -----------------------------------------------------------------------------


def test_error_message_is_none_unless_the_job_failed() -> None:
    for word in ("QUEUED", "RUNNING", "COMPLETED", "CANCELLED"):
        assert made(word)[0].error_message() is None


def test_error_message_is_in_the_originals_words() -> None:
    assert made("FAILED", result="boom")[0].error_message() == "Job j1 has failed:\nboom"
    assert made("FAILED", result="")[0].error_message() == "Job j1 has failed:\n"
    told = made("CANCELLED - RAN TOO LONG", result="the log")[0].error_message()
    assert told is not None
    assert told.startswith("Job j1 ran longer than maximum execution time. Job was cancelled:\n")


def test_the_reason_and_its_code_are_the_services() -> None:
    job, *_ = made("FAILED", result="boom")
    assert (job.reason, job.reason_code) == ("boom", None)
    late, *_ = made("CANCELLED - RAN TOO LONG")
    assert late.reason_code == "RAN_TOO_LONG"
    assert made("COMPLETED")[0].reason_code is None


# ---- cancelling --------------------------------------------------------------------------------


def test_cancel_asks_and_the_service_decides() -> None:
    job, client, _ = made("RUNNING", "CANCELLED")
    job.cancel()
    assert client.count("job_cancel") == 1
    assert job.status() is JobStatus.CANCELLED


def test_cancel_of_a_job_that_has_ended_is_an_invalid_state() -> None:
    job, *_ = made("COMPLETED", cancel=failure(409))
    with pytest.raises(RuntimeInvalidStateError) as caught:
        job.cancel()
    assert isinstance(caught.value, QiskitRuntimeError)
    assert "cannot cancel" in caught.value.message


def test_cancel_that_fails_is_a_runtime_error() -> None:
    job, *_ = made("RUNNING", cancel=failure(500))
    with pytest.raises(QiskitRuntimeError):
        job.cancel()


# ---- streaming ---------------------------------------------------------------------------------


def test_the_callback_gets_the_id_and_each_decoded_interim_result() -> None:
    heard = Heard()
    job, reactor = streamed((OPENS, says("1", '"two"'), 5.5, CLOSES), (OPENS, CLOSES))
    job.stream_results(heard)
    assert job.result() == 42
    reactor.settle()
    assert heard == [1, "two"]
    job.cancel_result_streaming()


def test_a_streams_decoder_is_the_calls_or_the_jobs() -> None:
    heard, other = Heard(), Heard()
    job, _ = streamed((OPENS, says("1"), 5.5, CLOSES), (OPENS, CLOSES))
    job.stream_results(heard, Boxed)
    assert job.result() == 42
    second, _ = streamed(
        (OPENS, says("1"), 5.5, CLOSES), (OPENS, CLOSES), result_decoder=Boxed, user_callback=other
    )
    assert second.result() == [42]
    assert heard == other == [[1]]


def test_a_job_is_streamed_once_at_a_time_and_again_after_that() -> None:
    first, second = Heard(), Heard()
    job, reactor = streamed((OPENS, says("1")), (OPENS, says("1")))
    job.stream_results(first)
    with pytest.raises(RuntimeInvalidStateError, match="cannot stream"):
        job.stream_results(first)
    reactor.advance(1.0)
    job.cancel_result_streaming()
    job.stream_results(second)
    reactor.advance(1.0)
    assert first == second == [1]


def test_a_job_that_is_known_to_have_ended_is_not_streamed() -> None:
    job, reactor = streamed(ends=0)
    reactor.advance(0.1)
    assert job.status() is JobStatus.DONE
    with pytest.raises(RuntimeInvalidStateError, match="it has ended"):
        job.stream_results(Heard())


def test_cancelling_a_stream_that_is_not_there_does_nothing() -> None:
    made("RUNNING")[0].cancel_result_streaming()


def test_a_failing_callback_ends_the_stream_and_not_the_job() -> None:
    def callback(job_id: str, value: Any) -> None:
        raise ZeroDivisionError

    job, _ = streamed((OPENS, says("1", "2"), 5.5, CLOSES), (OPENS, CLOSES))
    job.stream_results(callback)
    assert job.result() == 42
    assert isinstance(job.stream_error(), ZeroDivisionError)


# ---- clients of others -------------------------------------------------------------------------


class TheirError(Exception):
    """What a client of somebody else raises."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"theirs: {status_code}")
        self.status_code = status_code


@attrs.define
class TheirClient:
    """A client written for the original: its method names, its dicts, an exception of its own."""

    status: list[str]
    refuses: dict[str, int] = attrs.field(factory=dict)
    calls: list[str] = attrs.field(factory=list)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refuses:
            raise TheirError(self.refuses[name])

    def job_get(self, job_id: str) -> Mapping[str, Any]:
        self._call("job_get")
        word = self.status.pop(0) if len(self.status) > 1 else self.status[0]
        return {
            "id": job_id,
            "hub": "h",
            "group": "g",
            "project": "p",
            "backend": "b",
            "status": word,
            "params": [{"n": 3}],
            "program": {"id": "p"},
            "created": "2021-05-06T07:08:09.123456",
        }

    def job_results(self, job_id: str) -> str:
        self._call("job_results")
        return "7"

    def job_cancel(self, job_id: str) -> None:
        self._call("job_cancel")

    def job_logs(self, job_id: str) -> str:
        self._call("job_logs")
        return "printed"


def theirs(*status: str, **refuses: int) -> tuple[RuntimeJob, TheirClient]:
    client = TheirClient(list(status), refuses)
    return RuntimeJob("b", client, None, "j1", "p", reactor=FakeReactor()), client


def test_a_client_of_others_does_everything_but_streaming_by_polling() -> None:
    job, client = theirs("QUEUED", "Running", "RUNNING", "Completed")
    assert job.status() is JobStatus.QUEUED
    assert job.result(wait=0.1) == 7
    assert job.status() is JobStatus.DONE
    assert job.inputs == {"n": 3}
    assert job.creation_date is not None
    assert job.creation_date.microsecond == 123456
    assert job.logs() == "printed"
    assert job.error_message() is None
    assert client.calls.count("job_results") == 1
    job.cancel_result_streaming()


def test_without_a_client_of_streams_there_is_no_streaming() -> None:
    job, _ = theirs("RUNNING")
    with pytest.raises(RuntimeInvalidStateError, match="no streams"):
        job.stream_results(Heard())
    with pytest.raises(RuntimeInvalidStateError, match="no streams"):
        RuntimeJob("b", TheirClient(["RUNNING"]), None, "j1", "p", user_callback=Heard())


def test_a_failed_job_of_a_client_of_others() -> None:
    job, _ = theirs("Failed")
    with pytest.raises(RuntimeJobFailureError, match="Job j1 has failed:\n7"):
        job.result()


def test_a_client_of_others_cancels() -> None:
    job, client = theirs("RUNNING", "Cancelled")
    job.cancel()
    assert client.calls[0] == "job_cancel"
    assert job.status() is JobStatus.CANCELLED
    ended, _ = theirs("Completed", job_cancel=409)
    with pytest.raises(RuntimeInvalidStateError):
        ended.cancel()


@pytest.mark.parametrize("call", ["status", "logs", "result", "cancel"])
def test_what_a_client_of_others_raises_is_a_runtime_error_with_its_status_code(call: str) -> None:
    job, _ = theirs("COMPLETED", job_get=401, job_logs=401, job_results=401, job_cancel=401)
    with pytest.raises(QiskitRuntimeError) as caught:
        getattr(job, call)()
    assert isinstance(caught.value, RequestsApiError)
    assert caught.value.status_code == 401
    assert isinstance(caught.value.__cause__, TheirError)


@pytest.mark.parametrize("name", ["inputs", "creation_date"])
def test_facts_that_a_client_of_others_does_not_give(name: str) -> None:
    job, _ = theirs("COMPLETED", job_get=500)
    with pytest.raises(RequestsApiError) as caught:
        getattr(job, name)
    assert caught.value.status_code == 500


def test_no_logs_are_an_empty_text() -> None:
    assert theirs("COMPLETED", job_logs=404)[0].logs() == ""


def test_logs_need_a_client_that_has_them() -> None:
    client: Any = SimpleNamespace(job_get=None, job_results=None, job_cancel=None)
    job = RuntimeJob("b", client, None, "j1", "p", reactor=FakeReactor())
    with pytest.raises(IBMQInputValueError, match="has no job_logs"):
        job.logs()


def test_our_own_client_has_the_originals_methods() -> None:
    names = "job_get job_results job_cancel job_logs job_delete jobs_get logout list_programs"
    names += " program_create program_get program_run program_delete program_update"
    for name in [*names.split(), "set_program_visibility"]:
        assert callable(getattr(ibmq.RuntimeClient, name))
