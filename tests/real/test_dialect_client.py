"""`DialectClient`, over sockets: what it sends, and what it makes of the answers."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from scripted_server import End, ScriptedServer, answer

from adapters import (
    LEGACY,
    Dialect,
    DialectClient,
    JobCalls,
    RuntimeJob,
    error_codes,
    listed,
    status_words,
)
from runtime_core import (
    JobDocument,
    JobQueued,
    JobStarted,
    JobState,
    JobSucceeded,
    NotAuthorizedError,
    RuntimeInvalidStateError,
    RuntimeJobNotFoundError,
    RuntimeProgramNotFoundError,
    TransportError,
    UsageError,
)

DONE = answer(200, '{"state": "S"}')
ACME = Dialect(
    "acme",
    status_words({"Q": JobQueued, "E": JobStarted, "S": JobSucceeded}, at="state"),
    listed_jobs=listed(at="tasks"),
    id_pattern="T-.+",
    calls=JobCalls(
        submit="POST /tasks",
        status="GET /tasks/{id}?short=1",
        result="GET /tasks/{id}/output",
        cancel="DELETE /tasks/{id}",
        logs="GET /tasks/{id}/log",
        jobs="GET /tasks?limit={limit}&skip={skip}",
    ),
    write_job=lambda kernel, args, options: {"kernel": kernel, "args": args, **options},
    submitted_id="task.id",
    read_error=error_codes(
        {"BAD_KEY": 401, "GONE": 404, "OVER": 409, "SLOW": 429},
        at="code",
        wait="wait_ms",
        wait_unit=0.001,
    ),
    access_header="X-Acme-Key: {token}",
    headers={"Acme-Version": "2"},
)


def client(server: ScriptedServer, key: str | None = "key-of-mine", **more: Any) -> DialectClient:
    return DialectClient(server.url, key, dialect=ACME, **more)


def refused(code: str, status: int = 422, **more: object) -> bytes:
    return answer(status, json.dumps({"code": code, **more}))


def test_every_call_goes_where_the_dialect_says() -> None:
    submitted = answer(200, '{"task": {"id": "T-1 a"}}')
    texts = [answer(200, '{"x": 1}'), answer(200, "a line\n", Content_Type="text/plain")]
    with (
        ScriptedServer(submitted, DONE, *texts, answer(204, ""), answer()) as server,
        client(server) as acme,
    ):
        job_id = acme.submit("primes", {"below": 3}, {"expires_in": 5})
        assert job_id == "T-1 a"
        assert acme.job_get(job_id) == {"state": "S"}
        assert acme.job_results(job_id) == '{"x": 1}'
        assert acme.job_logs(job_id) == "a line\n"
        acme.job_cancel(job_id)
        assert acme.jobs_get(5, 10) == {}
        assert [line.removesuffix(" HTTP/1.1") for line in server.lines] == [
            "POST /tasks",
            "GET /tasks/T-1%20a?short=1",
            "GET /tasks/T-1%20a/output",
            "GET /tasks/T-1%20a/log",
            "DELETE /tasks/T-1%20a",
            "GET /tasks?limit=5&skip=10",
        ]
        body = json.loads(server.received[0].body)
        assert body == {"kernel": "primes", "args": {"below": 3}, "expires_in": 5}
        for received in server.received:
            assert received.headers["x-acme-key"] == "key-of-mine"
            assert received.headers["acme-version"] == "2"
            assert "authorization" not in received.headers


def test_it_speaks_the_legacy_dialect_as_the_other_client_does() -> None:
    done = answer(200, '{"id": "j1", "status": "Completed"}')
    with (
        ScriptedServer(answer(200, '{"id": "j1"}'), done, answer(200, "[1]")) as server,
        DialectClient(server.url, "key-of-mine", dialect=LEGACY) as legacy,
    ):
        job = RuntimeJob(None, legacy, None, legacy.submit("p1", {"n": 1}, {"backend": "b"}), "p1")
        assert job.result(timeout=20) == [1]
        assert server.lines[1:] == ["GET /jobs/j1 HTTP/1.1", "GET /jobs/j1/results HTTP/1.1"]
        body = json.loads(server.received[0].body)
        assert body == {"program_id": "p1", "params": {"n": 1}, "backend": "b"}
        assert server.received[0].headers["x-access-token"] == "key-of-mine"


def test_a_code_for_a_key_that_is_no_longer_good_asks_for_another() -> None:
    with (
        ScriptedServer(refused("BAD_KEY"), DONE) as server,
        client(server, token_provider=lambda: "another-key") as acme,
    ):
        assert acme.job_get("T-1") == {"state": "S"}
        keys = [received.headers["x-acme-key"] for received in server.received]
        assert keys == ["key-of-mine", "another-key"]


@pytest.mark.parametrize(
    ("script", "kind", "status", "retryable", "wait", "code"),
    [
        (refused("BAD_KEY"), NotAuthorizedError, 401, False, None, "BAD_KEY"),
        (refused("GONE"), RuntimeJobNotFoundError, 404, False, None, "GONE"),
        (answer(404), RuntimeJobNotFoundError, 404, False, None, None),
        (refused("SLOW", wait_ms=250), TransportError, 429, True, 0.25, "SLOW"),
        (refused("ODD", 503), TransportError, 503, True, None, "ODD"),
        (answer(503, "{}", Retry_After="7"), TransportError, 503, True, 7.0, None),
    ],
)
def test_what_an_error_answer_is(
    script: bytes,
    kind: type[TransportError],
    status: int,
    retryable: bool,
    wait: float | None,
    code: str | None,
) -> None:
    with ScriptedServer(script) as server, client(server) as acme:
        with pytest.raises(TransportError) as caught:
            acme.job_get("T-1")
        error = caught.value
        assert type(error) is kind
        assert (error.status_code, error.retryable) == (status, retryable)
        assert (error.retry_after, error.reason_code) == (wait, code)
        assert "key-of-mine" not in str(error)


def test_a_result_that_is_not_there_is_no_job_that_is_not_there() -> None:
    with ScriptedServer(refused("GONE")) as server, client(server) as acme:
        with pytest.raises(TransportError) as caught:
            acme.job_results("T-1")
        assert type(caught.value) is TransportError
        assert acme.job_logs("T-1") == ""
        with pytest.raises(RuntimeProgramNotFoundError):
            acme.submit("primes")


def test_a_cancel_that_is_too_late_is_refused_whatever_the_status() -> None:
    with ScriptedServer(refused("OVER"), DONE) as server, client(server) as acme:
        job = RuntimeJob(None, acme, None, "T-1", "")
        with pytest.raises(RuntimeInvalidStateError):
            job.cancel()
        assert job.status() is JobState.DONE


def test_a_key_that_the_service_repeats_is_cut_out() -> None:
    script = answer(422, '{"code": "key-of-mine", "message": "key-of-mine is odd"}')
    with ScriptedServer(script) as server, client(server) as acme:
        with pytest.raises(TransportError) as caught:
            acme.job_get("T-1")
        assert "key-of-mine" not in f"{caught.value} {caught.value!r}"


def test_the_key_follows_no_redirect() -> None:
    with ScriptedServer(DONE) as other:
        moved = answer(307, "", Location=f"{other.url}/tasks/T-1")
        raises = pytest.raises(TransportError, match="was redirected")
        with ScriptedServer(moved) as server, client(server) as acme, raises:
            acme.job_get("T-1")
        assert other.received == []


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ("{}", "expected a text, got nothing"),
        ('{"task": {"id": 7}}', "expected a text, got one int"),
        ('{"task": {"id": "x/../y"}}', "'x/../y' cannot be the id of a job"),
    ],
)
def test_a_submission_without_an_id_may_have_arrived(told: str, what: str) -> None:
    said = rf"no id at \$.task.id: {what}.*may have been submitted"
    raises = pytest.raises(TransportError, match=said)
    with ScriptedServer(answer(200, told)) as server, client(server) as acme, raises:
        acme.submit("primes")


def test_an_id_that_is_the_key_is_not_shown() -> None:
    told = json.dumps({"task": {"id": "key-of-mine/.."}})
    with ScriptedServer(answer(200, told)) as server, client(server) as acme:
        with pytest.raises(TransportError, match="holds the access token") as caught:
            acme.submit("primes")
        assert "key-of-mine" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("script", "retryable", "words"),
    [
        ((End.CLOSE,), False, "may have been submitted"),
        ((refused("SLOW", 503),), True, "was not submitted"),
        ((refused("ODD", 503),), False, "may have been submitted"),
    ],
)
def test_a_submission_is_not_repeated(script: Any, retryable: bool, words: str) -> None:
    with ScriptedServer(script) as server, client(server) as acme:
        with pytest.raises(TransportError, match=words) as caught:
            acme.submit("primes")
        assert caught.value.retryable is retryable
        assert len(server.received) == 1


def test_what_a_dialect_does_not_have_is_said() -> None:
    words = status_words({"S": JobSucceeded}, at="state")
    with pytest.raises(UsageError, match="acme does not say how to ask for jobs"):
        DialectClient("http://127.0.0.1:9", "k", dialect=Dialect("acme", words))
    calls = JobCalls(status="GET /{id}", result="GET /{id}/r", cancel="DELETE /{id}")
    bare = Dialect("acme", words, calls=calls)
    with DialectClient("http://127.0.0.1:9", "k", dialect=bare) as acme:
        for call in (acme.submit, acme.job_logs):
            with pytest.raises(UsageError, match="The dialect acme"):
                call("x")
        with pytest.raises(UsageError, match="The dialect acme"):
            acme.jobs_get()


def test_a_key_without_tls_is_warned_of_where_the_client_is_made() -> None:
    with pytest.warns(UserWarning, match="without TLS") as warned:
        DialectClient("http://acme.example", "k", dialect=ACME, proxy=None).close()
    assert warned[0].filename == __file__


def test_the_network_is_as_for_every_client() -> None:
    with ScriptedServer(answer(200, '{"state": "S"}' + " " * 99)) as server:
        raises = pytest.raises(TransportError, match="larger than 50 bytes")
        with client(server, max_answer_bytes=50) as acme, raises:
            acme.job_get("T-1")
        with pytest.raises(UsageError, match="closed"):
            acme.job_get("T-1")


def test_what_a_dialect_does_not_read_is_not_known() -> None:
    with ScriptedServer(DONE) as server, client(server) as acme:
        job = RuntimeJob(None, acme, None, "T-1", "")
        assert (job.creation_date, job.tags, job.queue_position()) == (None, None, None)
        for ask in (lambda: job.inputs, lambda: job.document):
            with pytest.raises(UsageError, match="dialect acme, which has no read_document"):
                ask()


def test_what_a_dialect_reads_is_known() -> None:
    def read(job: object) -> JobDocument:
        assert isinstance(job, dict)
        return JobDocument("T-1", job["state"], created=job["at"], tags=("a",))

    reading = attrs.evolve(ACME, read_document=read)
    told = answer(200, '{"state": "Q", "at": "2026-01-31T12:00:00Z"}')
    with ScriptedServer(told) as server, DialectClient(server.url, "k", dialect=reading) as acme:
        job = RuntimeJob(None, acme, None, "T-1", "")
        assert job.creation_date == datetime(2026, 1, 31, 12, tzinfo=UTC)
        assert job.tags == ["a"]
        assert job.queue_position() is None
