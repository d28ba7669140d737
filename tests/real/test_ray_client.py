"""`RayClient`, over sockets: what it sends, what it makes of a head's answers, when it repeats."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from scripted_server import End, ScriptedServer, Step, answer

from adapters.http.session import AnswerTooLargeError
from adapters.ray.client import RayClient
from adapters.services import ray_errors
from runtime_core import (
    NotAuthorizedError,
    RuntimeJobNotFoundError,
    TransportError,
    UsageError,
)

TOKEN = "secret-token-123456"
BODY: dict[str, Any] = {
    "entrypoint": "run it",
    "submission_id": "j-1",
    "runtime_env": {"working_dir": "gcs://p.zip", "env_vars": {"A": "s3cret"}},
    "metadata": {"runtime_core_nonce": "abc", "runtime_core_program": "p"},
    "entrypoint_num_cpus": 1,
}
JOB = {
    "type": "SUBMISSION",
    "submission_id": "j-1",
    "status": "PENDING",
    "entrypoint": "run it",
    "message": "Job has not started yet.",
    "start_time": 1795706534366,
    "end_time": None,
    "metadata": BODY["metadata"],
    "driver_node_id": None,
}
SUBMITTED = answer(200, '{"job_id": "j-1", "submission_id": "j-1"}')


def plain(status: int, text: str, **headers: str) -> bytes:
    """Make an error answer as a head sends them."""
    return answer(status, text, Content_Type="text/plain; charset=utf-8", **headers)


def trace(last: str) -> bytes:
    """Make the answer of a head in which something was raised on a node."""
    return plain(
        500,
        "Traceback (most recent call last):\n"
        '  File "/ray/dashboard/modules/job/job_head.py", line 134, in _raise_error\n'
        '    raise RuntimeError(f"Request failed with status code {status}: {error_text}.")\n'
        "RuntimeError: Request failed with status code 400: Traceback (most recent call last):\n"
        '  File "/ray/dashboard/modules/job/job_manager.py", line 553, in submit_job\n'
        f"    raise ValueError(\n{last}\n.\n",
    )


EXISTS = trace(
    "ValueError: Job with submission_id j-1 already exists. Please use a different submission_id."
)
UNKNOWN = plain(404, "Job j-1 does not exist")
BUSY = plain(500, "No available agent to submit job, please try again later.")


def document(**more: object) -> bytes:
    """Make the answer that describes the job."""
    return answer(200, json.dumps(JOB | more))


class Clocked(RayClient):
    """A client whose pauses take no time."""

    def __init__(self, url: str, token: str | None = TOKEN, **network: Any) -> None:
        super().__init__(url, token, **network)
        self.pauses: list[float] = []
        self.time = 0.0
        self._pause = self._skip
        self._now = lambda: self.time

    def _skip(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds


def calls(server: ScriptedServer) -> list[str]:
    return [line.removesuffix(" HTTP/1.1") for line in server.lines]


# ---- the calls ---------------------------------------------------------------------------------


def test_every_call_goes_where_a_head_has_it() -> None:
    version = '{"version": "4", "ray_version": "2.60.0", "ray_commit": "b7", "session_name": "s"}'
    answers = [
        SUBMITTED,
        document(),
        answer(200, '{"stopped": true}'),
        answer(200, '[{"type": "DRIVER"}, 3]'),
        answer(200, '{"logs": "a line\\n"}'),
        answer(200, ""),
        answer(200, ""),
        answer(200, version),
        answer(200, '{"authentication_mode": "token"}'),
    ]
    with ScriptedServer(*answers) as server, Clocked(server.url) as head:
        assert head.submit_job(BODY) == "j-1"
        assert head.job_get("j-1")["status"] == "PENDING"
        assert head.job_stop("j-1") is True
        assert head.jobs_list() == [{"type": "DRIVER"}]
        assert head.job_logs_text("j-1") == "a line\n"
        assert head.package_exists("p.zip")
        head.package_put("p.zip", b"PK")
        assert head.version()["ray_version"] == "2.60.0"
        assert head.authentication_mode() == "token"
        assert calls(server) == [
            "POST /api/jobs/",
            "GET /api/jobs/j-1",
            "POST /api/jobs/j-1/stop",
            "GET /api/jobs/",
            "GET /api/jobs/j-1/logs",
            "GET /api/packages/gcs/p.zip",
            "PUT /api/packages/gcs/p.zip",
            "GET /api/version",
            "GET /api/authentication_mode",
        ]
        assert json.loads(server.received[0].body) == BODY
        assert server.received[6].body == b"PK"
        assert {r.headers["authorization"] for r in server.received} == {f"Bearer {TOKEN}"}
        assert server.connections == 1
        assert head.pauses == []


def test_a_head_that_asks_nobody_is_told_nothing() -> None:
    with ScriptedServer(document()) as server, RayClient(server.url) as head:
        head.job_get("j-1")
        assert "authorization" not in server.received[0].headers


def test_a_token_may_come_from_a_provider() -> None:
    with (
        ScriptedServer(document()) as server,
        RayClient(server.url, token_provider=lambda: "given") as head,
    ):
        head.job_get("j-1")
        assert server.received[0].headers["authorization"] == "Bearer given"


def test_a_token_without_tls_is_warned_of_where_the_client_is_made() -> None:
    with pytest.warns(UserWarning, match="without TLS") as warned:
        RayClient("http://head.example:8265", TOKEN).close()
    assert [warning.filename for warning in warned] == [__file__]


def test_an_id_that_is_not_ours_is_not_sent() -> None:
    with ScriptedServer(document()) as server, Clocked(server.url) as head:
        for call in (head.job_get, head.job_stop, head.job_delete, head.job_logs_text):
            with pytest.raises(UsageError, match="cannot be the id of a job"):
                call("raysubmit.1")
        for job_id in ("a/b", None):
            with pytest.raises(UsageError):
                head.submit_job(BODY | {"submission_id": job_id})
        assert server.lines == []


def test_a_stop_that_comes_too_late() -> None:
    with ScriptedServer(answer(200, '{"stopped": false}')) as server, Clocked(server.url) as head:
        assert head.job_stop("j-1") is False
        with pytest.raises(TransportError, match="has ended: it is not stopped") as late:
            head.job_cancel("j-1")
        assert late.value.status_code == 409


def test_a_job_that_is_unknown() -> None:
    with ScriptedServer(UNKNOWN) as server, Clocked(server.url) as head:
        for call in (head.job_get, head.job_stop, head.job_delete, head.job_logs_text):
            with pytest.raises(RuntimeJobNotFoundError, match="Job j-1 does not exist"):
                call("j-1")


def test_results_are_not_to_be_had_here() -> None:
    with RayClient("http://127.0.0.1:9") as head, pytest.raises(UsageError, match="no results"):
        head.job_results("j-1")


# ---- a submission, again -----------------------------------------------------------------------

TWICE: dict[str, tuple[Step, ...]] = {
    "no answer, closed": (End.CLOSE,),
    "no answer, reset": (End.RESET,),
    "half an answer": (SUBMITTED[:-5], End.CLOSE),
    "busy": (BUSY,),
    "502": (plain(502, "Bad Gateway"),),
    "503": (plain(503, "Unavailable"),),
    "504": (plain(504, "Timeout"),),
    "429": (plain(429, "Slow down", Retry_After="7"),),
}


@pytest.mark.parametrize("first", TWICE)
def test_a_submission_is_sent_again_with_the_same_id(first: str) -> None:
    with ScriptedServer(TWICE[first], SUBMITTED) as server, Clocked(server.url) as head:
        assert head.submit_job(BODY) == "j-1"
        assert [json.loads(received.body) for received in server.received] == [BODY, BODY]
        assert head.pauses == [7.0 if first == "429" else 0.5]


def test_one_that_arrived_the_first_time_is_found() -> None:
    with (
        ScriptedServer((End.CLOSE,), EXISTS, document(status="RUNNING")) as server,
        Clocked(server.url) as head,
    ):
        assert head.submit_job(BODY) == "j-1"
        assert calls(server)[1:] == ["POST /api/jobs/", "GET /api/jobs/j-1"]


@pytest.mark.parametrize("other", [{"metadata": {}}, {"metadata": None}, {"entrypoint": "other"}])
def test_another_job_of_that_id_is_not_taken_for_it(other: dict[str, object]) -> None:
    with ScriptedServer(EXISTS, document(**other)) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="already exists") as refused:
            head.submit_job(BODY)
        assert refused.value.status_code == 409
        assert refused.value.reason_code == ray_errors.ALREADY_EXISTS
        assert not refused.value.retryable


def test_one_that_may_have_arrived_is_said_to_where_it_cannot_be_asked_for() -> None:
    lost: tuple[Step, ...] = (End.CLOSE,)
    with ScriptedServer(lost, EXISTS, lost) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="Job j-1 may have been submitted"):
            head.submit_job(BODY)
        assert calls(server)[2:] == ["GET /api/jobs/j-1"] * 4
    with ScriptedServer(lost, EXISTS, lost, document()) as server, Clocked(server.url) as head:
        assert head.submit_job(BODY) == "j-1"


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 422])
def test_a_refusal_is_final(status: int) -> None:
    with ScriptedServer(plain(status, "No.")) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="It was not submitted") as refused:
            head.submit_job(BODY)
        assert refused.value.status_code == status
        assert not refused.value.retryable
        assert len(server.received) == 1
        assert head.pauses == []


def test_it_is_not_sent_for_ever() -> None:
    with ScriptedServer((End.CLOSE,)) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="may have been submitted") as failed:
            head.submit_job(BODY)
        assert failed.value.retryable
        assert len(server.received) == 4
        assert head.pauses == [0.5, 1.0, 2.0]
    with Clocked(server.url) as head:
        with pytest.raises(TransportError, match="It was not sent"):
            head.submit_job(BODY)
        assert head.pauses == [0.5, 1.0, 2.0]


def test_nor_waited_for_longer_than_a_minute() -> None:
    for wait, pauses in (("31", []), ("29", [29.0, 29.0])):
        with (
            ScriptedServer(plain(503, "Later.", Retry_After=wait)) as server,
            Clocked(server.url) as head,
        ):
            with pytest.raises(TransportError, match=f"asks to wait {wait} s") as failed:
                head.submit_job(BODY)
            assert failed.value.retry_after == float(wait)
            assert head.pauses == pauses


def test_an_answer_without_the_id_is_none() -> None:
    for body in ('{"submission_id": "j-2"}', '{"job_id": "j-1"}', "[]"):
        with ScriptedServer(answer(200, body)) as server, Clocked(server.url) as head:
            with pytest.raises(TransportError) as failed:
                head.submit_job(BODY)
            assert "s3cret" not in str(failed.value)
            assert not failed.value.retryable
            assert len(server.received) == 1


# ---- a deletion --------------------------------------------------------------------------------

END = 1795706631824
DELETED = answer(200, '{"deleted": true}')
ENDED = answer(200, '{"stopped": false}')
ENDING = answer(200, '{"stopped": true}')
STOP = "POST /api/jobs/j-1/stop"


def ended(age: float, **more: str) -> bytes:
    """Make the answer that describes the job, that many seconds after its end."""
    job = JOB | {"status": "FAILED", "end_time": END}
    return answer(200, json.dumps(job), Date=formatdate(END / 1000 + age, usegmt=True), **more)


def test_a_job_that_ended_long_ago_is_deleted_at_once() -> None:
    with ScriptedServer(ended(90), DELETED) as server, Clocked(server.url) as head:
        head.job_delete("j-1")
        assert calls(server) == ["GET /api/jobs/j-1", "DELETE /api/jobs/j-1"]
        assert head.pauses == []


@pytest.mark.parametrize("age", [0, 50, -3600])
def test_one_that_has_just_ended_when_ray_has_put_it_away(age: float) -> None:
    # False is said twice, then True: the supervisor of a job that runs on another node, say.
    script = [ended(age), ENDING, ENDED, ENDED, ENDING, *[ENDED] * 6, DELETED]
    with ScriptedServer(*script) as server, Clocked(server.url) as head:
        head.job_delete("j-1")
        assert calls(server)[1:] == [STOP] * 10 + ["DELETE /api/jobs/j-1"]
        assert sum(head.pauses) == 5.0


def test_an_end_or_a_time_that_is_not_told() -> None:
    undated = ended(90).replace(b"Date:", b"Other:")
    for job in (undated, document(status="FAILED"), document(status="FAILED", end_time="x")):
        with ScriptedServer(job, *[ENDED] * 6, DELETED) as server, Clocked(server.url) as head:
            head.job_delete("j-1")
            assert calls(server)[1:] == [STOP] * 6 + ["DELETE /api/jobs/j-1"]


def test_a_job_that_ray_does_not_put_away_is_not_deleted() -> None:
    with ScriptedServer(ended(1), ENDING) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="Try again later") as failed:
            head.job_delete("j-1")
        assert failed.value.retryable
        assert sum(head.pauses) <= 31
        assert "DELETE /api/jobs/j-1" not in calls(server)


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "SUSPENDED"])
def test_a_job_that_has_not_ended_is_not_deleted(status: str) -> None:
    with ScriptedServer(document(status=status)) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="has not ended") as refused:
            head.job_delete("j-1")
        assert (refused.value.status_code, refused.value.reason_code) == (409, "NOT_FINAL")
        assert calls(server) == ["GET /api/jobs/j-1"]


def test_a_deletion_that_is_not_confirmed() -> None:
    for said in (answer(200, '{"deleted": false}'), answer(200, "{}")):
        with (
            ScriptedServer(ended(90), said) as server,
            Clocked(server.url) as head,
            pytest.raises(TransportError, match="expected true at"),
        ):
            head.job_delete("j-1")


# ---- logs --------------------------------------------------------------------------------------

NO_TEXT = trace("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 79")
NO_NODE = trace("aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 10.0.0.7")
ON_NODE = document(status="SUCCEEDED", driver_node_id="97c3")
LOG_FILE = "GET /api/v0/logs/file?node_id=97c3&filename=job-driver-j-1.log&lines=-1"


def test_a_log_that_is_no_text_is_had_otherwise() -> None:
    raw = answer(200, b"a\xffb\n", Content_Type="text/plain")
    with ScriptedServer(NO_TEXT, ON_NODE, raw) as server, Clocked(server.url) as head:
        assert head.job_logs("j-1") == "a\\xffb\n"
        assert calls(server) == ["GET /api/jobs/j-1/logs", "GET /api/jobs/j-1", LOG_FILE]


def test_a_log_of_a_job_that_has_not_run() -> None:
    for script in ([answer(200, '{"logs": ""}')], [NO_TEXT, document()]):
        with ScriptedServer(*script) as server, Clocked(server.url) as head:
            assert head.job_logs_text("j-1") == ""


def test_the_log_of_a_node_that_does_not_answer() -> None:
    silent = plain(500, "<AioRpcError\n\tstatus = StatusCode.UNAVAILABLE\n>")
    with ScriptedServer(NO_NODE, ON_NODE, silent) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="UNAVAILABLE") as failed:
            head.job_logs_text("j-1")
        assert failed.value.retryable
        assert failed.value.reason_code == ray_errors.NODE_SILENT
        assert calls(server)[2] == LOG_FILE


def test_the_log_of_a_node_that_is_gone() -> None:
    gone = plain(500, "Agent for node id: 97c3 doesn't exist.")
    with ScriptedServer(NO_NODE, ON_NODE, gone) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="97c3 doesn't exist") as failed:
            head.job_logs_text("j-1")
        assert (failed.value.status_code, failed.value.retryable) == (410, False)
        assert failed.value.reason_code == ray_errors.NO_NODE


def test_a_log_that_is_too_long_to_keep_is_said_to_be_and_can_be_read_in_pieces() -> None:
    raw = answer(200, b"a\xffb\n" * 50_000, Content_Type="text/plain")
    long = answer(200, json.dumps({"logs": "a" * 2000}))
    with (
        ScriptedServer(long, raw, raw) as server,
        Clocked(server.url, max_answer_bytes=1000) as head,
    ):
        with pytest.raises(AnswerTooLargeError, match="larger than 1000 bytes") as failed:
            head.job_logs_text("j-1")
        assert "Is this the URL" not in str(failed.value)
        pieces: list[bytes] = []

        def take(piece: bytes) -> bool:
            pieces.append(piece)
            return len(pieces) < stop

        stop = 1000
        head.job_log_read("j-1", "97c3", take)
        assert b"".join(pieces) == b"a\xffb\n" * 50_000
        assert len(pieces) > 2
        assert calls(server)[1:] == [LOG_FILE]
        pieces.clear()
        stop = 1
        head.job_log_read("j-1", "97c3", take, 100)
        assert len(pieces) == 1
        assert calls(server)[2] == LOG_FILE.replace("lines=-1", "lines=100")


# ---- packages ----------------------------------------------------------------------------------


def test_a_package_that_is_not_there_yet() -> None:
    missing = plain(404, "Package gcs://p.zip does not exist")
    with ScriptedServer(missing) as server, Clocked(server.url) as head:
        assert not head.package_exists("p.zip")
    with (
        ScriptedServer(plain(404, "404: Not Found")) as server,
        Clocked(server.url) as head,
        pytest.raises(TransportError, match="Is this the URL of a Ray head"),
    ):
        head.package_exists("p.zip")


def test_a_package_that_is_too_large() -> None:
    large = plain(413, "Maximum request body size 104857600 exceeded.")
    with ScriptedServer(large) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="larger than the service takes") as refused:
            head.package_put("p.zip", b"PK")
        assert "Maximum request body size 104857600 exceeded" in str(refused.value)
        assert refused.value.status_code == 413
        assert len(server.received) == 1


def test_a_package_is_sent_again() -> None:
    with ScriptedServer((End.CLOSE,), answer(200, "")) as server, Clocked(server.url) as head:
        head.package_put("p.zip", b"PK")
        assert [received.body for received in server.received] == [b"PK", b"PK"]


# ---- who is there ------------------------------------------------------------------------------


def test_a_token_that_is_missing_or_wrong() -> None:
    missing = plain(401, "Unauthorized: Missing authentication token")
    wrong = plain(403, "Forbidden: Invalid authentication token")
    for refused in (missing, wrong):
        with ScriptedServer(refused) as server, Clocked(server.url) as head:
            for call in (head.version, head.jobs_list, lambda: head.submit_job(BODY)):
                with pytest.raises(NotAuthorizedError, match="RAY_AUTH_TOKEN") as failed:
                    call()
                assert failed.value.status_code == 401
                assert TOKEN not in str(failed.value)
            assert head.pauses == []


def test_a_wrong_token_is_renewed_though_ray_calls_it_forbidden() -> None:
    wrong = plain(403, "Forbidden: Invalid authentication token")
    with (
        ScriptedServer(wrong, document()) as server,
        Clocked(server.url, token_provider=lambda: "another") as head,
    ):
        head.job_get("j-1")
        assert server.received[1].headers["authorization"] == "Bearer another"


def test_what_is_forbidden_for_other_reasons_stays_so() -> None:
    with (
        ScriptedServer(plain(403, "Not from here.")) as server,
        Clocked(server.url) as head,
        pytest.raises(NotAuthorizedError, match="Not from here") as failed,
    ):
        head.job_get("j-1")
    assert failed.value.status_code == 403


PAGE = answer(200, "<!doctype html><title>Sign in</title>", Content_Type="text/html")


@pytest.mark.parametrize(
    "other",
    [
        answer(404, '{"detail": "Not Found"}'),
        answer(404, "<h1>404</h1>", Content_Type="text/html"),
        plain(404, "404 page not found"),
        plain(405, "Method Not Allowed"),
        answer(200, "hello", Content_Type="text/plain"),
        answer(200, "[1, 2]"),
        answer(200, '{"version": "7.1"}'),
        PAGE,
    ],
)
def test_what_is_no_head_is_said_to_be_none(other: bytes) -> None:
    with ScriptedServer(other) as server, Clocked(server.url) as head:
        with pytest.raises(TransportError, match="Is this the URL of a Ray head") as failed:
            head.version()
        assert not isinstance(failed.value, RuntimeJobNotFoundError)
        assert not failed.value.retryable


def test_a_job_is_not_missing_where_there_is_no_head() -> None:
    with ScriptedServer(answer(404, '{"detail": "Not Found"}')) as server:
        with Clocked(server.url) as head, pytest.raises(TransportError) as failed:
            head.job_get("j-1")
        assert type(failed.value) is TransportError


@pytest.mark.parametrize("body", ["[]", "3", '{"logs": 3}', '{"stopped": "no"}', "{}"])
def test_answers_of_another_form(body: str) -> None:
    with ScriptedServer(answer(200, body)) as server, Clocked(server.url) as head:
        for call in (head.job_stop, head.job_logs_text):
            with pytest.raises(TransportError, match="expected") as failed:
                call("j-1")
            assert not failed.value.retryable
        with pytest.raises(TransportError, match="expected"):
            head.authentication_mode()
    with (
        ScriptedServer(answer(200, '{"jobs": []}')) as server,
        Clocked(server.url) as head,
        pytest.raises(TransportError, match="expected a list of jobs"),
    ):
        head.jobs_list()


def test_nobody_is_there() -> None:
    with ScriptedServer() as server:
        pass
    with Clocked(server.url) as head, pytest.raises(TransportError, match="no connection") as gone:
        head.version()
    assert gone.value.retryable


def test_pauses_are_real_where_nothing_else_is_said() -> None:
    with RayClient("http://127.0.0.1:9") as head:
        assert (head._pause, head._now) == (time.sleep, time.monotonic)
