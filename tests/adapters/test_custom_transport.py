"""A transport of somebody else in the place of a client, on both drivers."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from async_fakes import each_driver  # noqa: F401 - a fixture
from blocking_face import make_job
from fakes import FakeClient, FakeReactor, FakeStreams
from scripted_transport import ScriptedTransport

from adapters import ClientTransport
from adapters.job import RuntimeJob
from runtime_core.cancel import CancelOutcome
from runtime_core.commands import RequestCommand
from runtime_core.documents import JobDocument
from runtime_core.errors import (
    JobTimeoutError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    TransportError,
    UnknownStatusError,
    UsageError,
)
from runtime_core.events import JobQueued, ReplyEvent
from runtime_core.states import JobState
from runtime_core.testing import FakeJob, FakeTransport
from runtime_core.traits import ServiceTraits


def job_by(transport: object, reactor: FakeReactor | None = None, **options: Any) -> RuntimeJob:
    reactor = FakeReactor() if reactor is None else reactor
    return make_job("b", transport, None, "j1", "p", reactor=reactor, **options)


# ---- what it does ------------------------------------------------------------------------------


def test_a_job_is_polled_to_its_result() -> None:
    transport = ScriptedTransport("QUEUED", "RUNNING", "DONE")
    job = job_by(transport)
    assert job.result() == 42
    assert [type(command).__name__ for command in transport.asked] == 3 * ["FetchStatus"] + [
        "FetchResult"
    ]
    assert job.status() is JobState.DONE


def test_a_job_fails_with_reason_and_code() -> None:
    with pytest.raises(RuntimeJobFailureError) as caught:
        job_by(ScriptedTransport("ERROR")).result()
    assert (caught.value.reason, caught.value.reason_code) == ("it failed", 7)


def test_a_job_is_cancelled() -> None:
    job = job_by(ScriptedTransport("RUNNING"))
    job.cancel()
    with pytest.raises(RuntimeJobCancelledError):
        job.result()
    assert job.cancel_outcome() is CancelOutcome.CANCELLED


def test_an_unknown_word_is_raised_or_taken_for_what_the_job_was_told() -> None:
    with pytest.raises(UnknownStatusError, match="ODD"):
        job_by(ScriptedTransport("ODD")).status()
    job = job_by(ScriptedTransport("ODD"), on_unknown_status=JobState.RUNNING)
    assert job.status() is JobState.RUNNING


def test_without_streams_there_is_nothing_to_subscribe_to() -> None:
    with pytest.raises(RuntimeInvalidStateError):
        job_by(ScriptedTransport("RUNNING")).stream_results(lambda *_: None)


# ---- what it is told by ------------------------------------------------------------------------


def test_streams_beside_a_transport_are_refused() -> None:
    with pytest.raises(UsageError, match="ScriptedTransport is a transport and has its own strea"):
        make_job("b", ScriptedTransport("DONE"), FakeStreams(), "j1", "p", reactor=FakeReactor())


def test_a_transport_that_lacks_something_is_refused_with_what_it_needs() -> None:
    no_traits: Any = ScriptedTransport("DONE")
    no_traits.traits = {"pushes": False}
    no_stream = SimpleNamespace(traits=ServiceTraits(), perform=print)
    for lacking in (no_traits, no_stream):
        with pytest.raises(UsageError, match=r"is no transport: it needs traits, .* a ServiceTra"):
            job_by(lacking)


@pytest.mark.parametrize("rate", [0, -1, math.nan, "10", None])
def test_a_rate_that_is_none_is_the_usual_one(rate: Any) -> None:
    transport: Any = ScriptedTransport("RUNNING")
    transport.service, transport.listing = transport, None
    transport.status_requests_per_second = rate
    with pytest.raises(JobTimeoutError):
        job_by(transport).wait_for_final_state(timeout=10, wait=0.02)
    assert 50 < len(transport.asked) < 120


def test_a_mock_is_a_client_and_no_transport() -> None:
    client = MagicMock()
    client.job_get.return_value = {"id": "j1", "status": "COMPLETED"}
    client.job_results.return_value = "42"
    assert job_by(client).result() == 42


def test_a_client_s_transport_tells_what_its_client_does() -> None:
    reactor = FakeReactor()
    job = job_by(ClientTransport(FakeClient(reactor, "RUNNING", logs="printed")), reactor)
    assert job.logs() == "printed"
    assert job.document.id == "j1"


# ---- what else a job tells ---------------------------------------------------------------------


@pytest.mark.parametrize(("given", "job_id"), [("j1", "j1"), (7, "7")])
def test_a_client_may_submit(given: object, job_id: str) -> None:
    client: Any = MagicMock(spec=["submit"])
    client.submit.return_value = given
    assert ClientTransport(client).submit("p", {}, {}) == job_id


def test_a_client_that_gives_no_id_may_have_submitted_the_job() -> None:
    client: Any = MagicMock(spec=["submit"])
    client.submit.return_value = None
    with pytest.raises(TransportError, match=r"gave one NoneType.* may have been submitted"):
        ClientTransport(client).submit("p", {}, {})


def test_what_was_given_is_known() -> None:
    document = JobDocument("j1", "RUNNING", created="2024-05-06T07:08:09Z", tags=("a",))
    job = job_by(ScriptedTransport("RUNNING"), document=document, params={"n": 1})
    assert job.inputs == {"n": 1}
    assert job.tags == ["a"]
    assert job.creation_date is not None
    assert job.document is document


def test_the_place_in_the_queue_is_what_the_status_says() -> None:
    def place(number: int) -> Callable[[FakeJob, RequestCommand], ReplyEvent]:
        return lambda _, command: JobQueued(command.request, number)

    transport = FakeTransport(place(3), place(2), JobState.QUEUED, JobState.RUNNING)
    job = job_by(transport)
    assert [job.queue_position() for _ in range(4)] == [3, 2, None, None]
    assert job.queue_position() is None
    assert len(transport.asked) == 4


def test_what_was_not_given_is_none_or_refused_with_what_to_give() -> None:
    job = job_by(ScriptedTransport("QUEUED"))
    assert job.creation_date is None
    assert job.tags is None
    assert job.queue_position() is None
    assert job.metrics() is None
    assert job.usage() is None
    for ask, said in (
        (lambda: job.inputs, "has no job_params nor a job_get, so it cannot be .* give params="),
        (lambda: job.document, "has no job_get, so it cannot be .* give document="),
        (job.logs, "has no job_logs"),
        (lambda: job.update_tags(["a"]), "has no job_tag"),
    ):
        with pytest.raises(UsageError, match=f"ScriptedTransport {said}"):
            ask()


class Telling(ScriptedTransport):
    """Has the calls of clients as well."""

    def job_get(self, job_id: str) -> dict[str, object]:
        return {"id": job_id, "status": "QUEUED", "created": "2024-05-06T07:08:09Z"}

    def job_params(self, job_id: str) -> dict[str, int]:
        return {"n": 2}

    def job_logs(self, job_id: str) -> str:
        return f"{job_id} printed"

    def job_metrics(self, job_id: str) -> dict[str, object]:
        return {"usage": {"seconds": 3}}


def test_a_transport_may_tell_more() -> None:
    job = job_by(Telling("QUEUED"))
    assert job.inputs == {"n": 2}
    assert job.logs() == "j1 printed"
    assert job.metrics() == {"usage": {"seconds": 3}}
    assert job.usage() == 3
    assert job.creation_date is not None
    assert job.queue_position() is None
