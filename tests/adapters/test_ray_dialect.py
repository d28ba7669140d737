"""The dialect of Ray Jobs, on documents and texts as a head of Ray 2.60 sends them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.failures import told_by
from adapters.services import ray_jobs
from adapters.services.ray_errors import last_words, read_error
from adapters.services.ray_jobs import RAY, read_document, status_event, submission
from adapters.services.ray_reason import clean_reason
from runtime_core.documents import JobDocument, ProgramReference
from runtime_core.errors import DecodeError, OptionsError, TransportError, UsageError
from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    UnknownStatusReported,
)

NODE = "9a060bfbe7954cfdb1754536b22ae9722d7634ec06d0430a8f8af68b"

PENDING: dict[str, Any] = {
    "type": "SUBMISSION",
    "job_id": None,
    "submission_id": "j-1",
    "driver_info": None,
    "status": "PENDING",
    "entrypoint": "sleep 3; echo hi",
    "message": "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, "
    "custom resources) to become available.",
    "error_type": None,
    "start_time": 1795706534366,
    "end_time": None,
    "metadata": {"a": "b"},
    "runtime_env": None,
    "driver_agent_http_address": None,
    "driver_node_id": None,
    "driver_exit_code": None,
}
RUNNING = PENDING | {
    "status": "RUNNING",
    "message": "Job is currently running.",
    "driver_agent_http_address": "http://127.0.0.1:52365",
    "driver_node_id": NODE,
}
STOPPED = RUNNING | {
    "status": "STOPPED",
    "message": "Job was intentionally stopped.",
    "end_time": 1795707828107,
}
SUCCEEDED = RUNNING | {
    "status": "SUCCEEDED",
    "message": "Job finished successfully.",
    "end_time": 1795706633087,
    "driver_exit_code": 0,
}
FAILED = RUNNING | {
    "status": "FAILED",
    "message": "Job supervisor actor died: The actor died unexpectedly.",
    "error_type": "JOB_SUPERVISOR_ACTOR_DIED",
    "end_time": 1795706631824,
}
DRIVER = {
    "type": "DRIVER",
    "job_id": "04000000",
    "submission_id": None,
    "driver_info": {"id": "04000000", "node_ip_address": "127.0.0.1", "pid": "7852"},
    "status": "RUNNING",
    "entrypoint": "python -c 'import ray; ray.init()'",
    "message": None,
    "error_type": None,
    "start_time": 1795707879577,
    "end_time": 0,
    "metadata": {},
    "runtime_env": {},
    "driver_agent_http_address": None,
    "driver_node_id": None,
    "driver_exit_code": None,
}


# ---- status words and documents ----------------------------------------------------------------


def test_the_five_words() -> None:
    assert status_event(PENDING, 4) == JobQueued(4)
    assert status_event(RUNNING, 4) == JobStarted(4)
    assert status_event(SUCCEEDED, 4) == JobSucceeded(4)
    assert status_event(STOPPED, 4) == JobCancelled(4)
    reason = "Job supervisor actor died: The actor died unexpectedly."
    assert status_event(FAILED, 4) == JobFailed(4, reason, "JOB_SUPERVISOR_ACTOR_DIED")


def test_a_word_that_nobody_knows_is_reported() -> None:
    assert status_event(PENDING | {"status": "SUSPENDED"}, 4) == UnknownStatusReported(
        "SUSPENDED", 4
    )


@pytest.mark.parametrize("document", [None, [], {"state": "PENDING"}, {"status": None}])
def test_a_document_without_a_status(document: object) -> None:
    with pytest.raises(TransportError, match="not what the call promises"):
        status_event(document)


def test_what_has_ended() -> None:
    ended = [job["status"] for job in (PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED) if final(job)]
    assert ended == ["SUCCEEDED", "FAILED", "STOPPED"]
    assert not final(None)
    assert ray_jobs.end_time(STOPPED) == 1795707828.107
    assert ray_jobs.end_time(RUNNING) is None


def final(document: object) -> bool:
    return ray_jobs.is_final(document)


def test_what_else_a_document_tells() -> None:
    order = {"params": '{"n": 3}', "backend": "ray"}
    job = FAILED | {
        "metadata": {ray_jobs.PROGRAM: "primes", ray_jobs.TAGS: '["a", "b"]'},
        "runtime_env": {"env_vars": {ray_jobs.ORDER_VARIABLE: json.dumps(order), "A": "1"}},
    }
    assert read_document(job) == JobDocument(
        id="j-1",
        status="FAILED",
        program=ProgramReference("primes"),
        params={"n": 3},
        created="2026-11-26T15:22:14.366000+00:00",
        ended="2026-11-26T15:23:51.824000+00:00",
        reason=FAILED["message"],
        reason_code="JOB_SUPERVISOR_ACTOR_DIED",
        tags=("a", "b"),
    )


def test_a_job_of_somebody_else() -> None:
    told = read_document(RUNNING)
    assert (told.program_id, told.params, told.tags, told.reason) == ("", {}, (), None)
    assert ray_jobs.nonce_of(RUNNING) is None
    assert ray_jobs.inputs_of(RUNNING) is None
    for document in (RUNNING | {"metadata": None}, RUNNING | {"metadata": {ray_jobs.NONCE: 3}}, 3):
        assert ray_jobs.nonce_of(document) is None
    assert ray_jobs.nonce_of(RUNNING | {"metadata": {ray_jobs.NONCE: "abc"}}) == "abc"


@pytest.mark.parametrize("order", ["", "{", "[]", "[" * 100_000, '{"params": 3}', '{"params": ""}'])
def test_inputs_that_cannot_be_read_are_not_told(order: str) -> None:
    variables = {ray_jobs.ORDER_VARIABLE: order}
    job = RUNNING | {"runtime_env": {"env_vars": variables}}
    assert not ray_jobs.inputs_of(job)
    assert read_document(job).params == {}


@pytest.mark.parametrize("tags", ["", "{", '{"a": 1}', "3", "[" * 100_000, None, 3])
def test_tags_that_cannot_be_read_are_none(tags: object) -> None:
    assert read_document(RUNNING | {"metadata": {ray_jobs.TAGS: tags}}).tags == ()


def test_a_driver_is_known_by_another_id() -> None:
    told = read_document(DRIVER)
    assert (told.id, told.status, told.ended) == ("04000000", "RUNNING", "")


def test_a_document_of_another_form() -> None:
    for document, path in (
        ([], "$"),
        (RUNNING | {"submission_id": 3}, "$.submission_id"),
        (RUNNING | {"submission_id": None}, "$.job_id"),
        (RUNNING | {"status": None}, "$.status"),
        (RUNNING | {"start_time": "now"}, "$.start_time"),
        (RUNNING | {"start_time": 10**30}, "$.start_time"),
    ):
        with pytest.raises(DecodeError) as wrong:
            read_document(document)
        assert wrong.value.path == path


def test_the_node_of_a_job() -> None:
    assert ray_jobs.node_of(PENDING) is None
    assert ray_jobs.node_of(RUNNING) == NODE


def test_a_list_has_drivers_in_it_which_are_no_jobs() -> None:
    jobs = [RUNNING, DRIVER, 3]
    assert RAY.listed_jobs is not None
    assert RAY.listed_jobs(jobs) == [("j-1", RUNNING), ("", DRIVER), ("", 3)]
    others: list[object] = [{"jobs": []}, "[]", None]
    for answer in others:
        with pytest.raises(TransportError, match="expected a list"):
            RAY.listed_jobs(answer)


def test_the_order_of_a_list() -> None:
    jobs = [RUNNING | {"start_time": None}, RUNNING, DRIVER, 3]
    assert [ray_jobs.start_time(job) for job in jobs] == [0, 1795706534366, 1795707879577, 0]
    named = {"metadata": {ray_jobs.PROGRAM: "primes"}}
    assert [ray_jobs.program_of(job) for job in (RUNNING, named, 3)] == ["", "primes", ""]


# ---- paths and bodies --------------------------------------------------------------------------


def test_paths() -> None:
    assert ray_jobs.job_path("j-1") == "/api/jobs/j-1"
    assert ray_jobs.log_tail_path("j-1") == "/api/jobs/j-1/logs/tail"
    assert ray_jobs.package_path("_ray_pkg_1.zip") == "/api/packages/gcs/_ray_pkg_1.zip"
    stream = urlsplit(ray_jobs.log_stream_path(NODE, "j-1"))
    assert stream.path == "/api/v0/logs/stream"
    of_file = {"node_id": NODE, "filename": "job-driver-j-1.log", "lines": "-1"}
    assert dict(parse_qsl(stream.query)) == of_file | {"interval": "0.1"}
    file = urlsplit(ray_jobs.log_file_path("a&b", "j-1"))
    assert file.path == "/api/v0/logs/file"
    assert dict(parse_qsl(file.query)) == of_file | {"node_id": "a&b"}


@pytest.mark.parametrize("job_id", ["", "a b", "a/b", "a.b", "ä", "j" * 65, "a\n", ".."])
def test_an_id_that_no_job_of_ours_has(job_id: str) -> None:
    for path in (ray_jobs.job_path, ray_jobs.log_tail_path, lambda id_: log_file("n", id_)):
        with pytest.raises(UsageError, match="cannot be the id of a job"):
            path(job_id)


def log_file(node: str, job_id: str) -> str:
    return ray_jobs.log_file_path(node, job_id)


def test_a_submission() -> None:
    plain = submission("j-1", "run it", "_ray_pkg_1.zip", nonce="abc", program_id="primes")
    assert plain == {
        "entrypoint": "run it",
        "submission_id": "j-1",
        "runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip", "env_vars": {}},
        "metadata": {"runtime_core_nonce": "abc", "runtime_core_program": "primes"},
        "entrypoint_num_cpus": 1,
    }
    full = submission(
        "j-1",
        "run it",
        "_ray_pkg_1.zip",
        nonce="abc",
        program_id="primes",
        tags=["a", "b"],
        env_vars={"A": "1"},
        pip=["numpy>=2"],
        num_cpus=0,
        num_gpus=0.5,
        memory=1 << 30,
        resources={"qpu": 2},
    )
    assert full["runtime_env"]["env_vars"] == {"A": "1"}
    assert full["runtime_env"]["pip"] == ["numpy>=2"]
    assert read_document(PENDING | {"metadata": full["metadata"]}).tags == ("a", "b")
    assert {key: value for key, value in full.items() if "entrypoint_" in key} == {
        "entrypoint_num_cpus": 0,
        "entrypoint_num_gpus": 0.5,
        "entrypoint_memory": 1 << 30,
        "entrypoint_resources": {"qpu": 2},
    }


def of_size(variables: dict[str, str]) -> dict[str, Any]:
    return submission("j", "run it", "p.zip", nonce="abc", program_id="p", env_vars=variables)


def test_an_environment_that_ray_cannot_pass_on_is_refused() -> None:
    empty = of_size({"A": ""})
    told = {key: empty[key] for key in ("runtime_env", "metadata")}
    room = ray_jobs.MAX_ENVIRONMENT_BYTES - len(json.dumps(told))
    assert of_size({"A": "x" * room})["submission_id"] == "j"
    for value in ("x" * (room + 1), '"' * (room // 2 + 1), "é" * (room // 6 + 1)):
        with pytest.raises(OptionsError, match="Ray can pass on 120,000") as refused:
            of_size({"A": value})
        assert len(str(refused.value)) < 300


# ---- errors ------------------------------------------------------------------------------------

EXISTS = """Traceback (most recent call last):
  File "/ray/dashboard/modules/job/job_head.py", line 419, in submit_job
    resp = await job_agent_client.submit_job_internal(submit_request)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/ray/dashboard/modules/job/job_head.py", line 134, in _raise_error
    raise RuntimeError(f"Request failed with status code {status}: {error_text}.")
RuntimeError: Request failed with status code 400: Traceback (most recent call last):
  File "/ray/dashboard/modules/job/job_manager.py", line 553, in submit_job
    raise ValueError(
ValueError: Job with submission_id j-1 already exists. Please use a different submission_id.
.
"""
NOT_FINAL = EXISTS.rpartition("ValueError")[0] + (
    "RuntimeError: Attempted to delete job 'j-1', but it is in a non-terminal state PENDING.\n.\n"
)
NOT_UTF8 = EXISTS.rpartition("ValueError")[0] + (
    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 79: "
    "invalid start byte\n.\n"
)
NO_CONNECTION = """Traceback (most recent call last):
  File "/aiohttp/connector.py", line 1345, in _wrap_create_connection
    raise client_error(req.connection_key, exc) from exc
aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.1:52366 \
ssl:default [Connect call failed ('127.0.0.1', 52366)]
"""
NO_AGENT = NO_CONNECTION.rpartition("aiohttp")[0] + (
    "aiohttp.client_exceptions.InvalidUrlClientError: "
    "http://127.0.0.1:-1/api/job_agent/jobs/j-1/logs\n"
)
UNAVAILABLE = """<AioRpcError of RPC that terminated with:
\tstatus = StatusCode.UNAVAILABLE
\tdetails = "failed to connect to all addresses; last error: UNKNOWN"
>"""


@pytest.mark.parametrize(
    ("status", "text", "means", "code"),
    [
        (404, "Job j-1 does not exist", 404, "NO_SUCH_JOB"),
        (404, "Package gcs://_ray_pkg_1.zip does not exist", 404, "NO_SUCH_PACKAGE"),
        (404, "404: Not Found", 404, None),
        (500, EXISTS, 409, "ALREADY_EXISTS"),
        (500, NOT_FINAL, 409, "NOT_FINAL"),
        (500, NOT_UTF8, 400, "NOT_UTF8"),
        (500, NO_CONNECTION, 503, "NODE_SILENT"),
        (500, NO_AGENT, 503, "NODE_SILENT"),
        (500, UNAVAILABLE, 503, "NODE_SILENT"),
        (500, f"Agent for node id: {NODE} doesn't exist.", 410, "NO_NODE"),
        (500, "No available agent to submit job, please try again later.", 503, None),
        (500, "500 Internal Server Error\n\nServer got itself in trouble", 500, None),
        (400, "Can only stop submission type jobs", 400, None),
        (413, "Maximum request body size 104857600 exceeded.", 413, None),
        (401, "Unauthorized: Missing authentication token", 401, None),
        (403, "Forbidden: Invalid authentication token", 401, None),
        (403, "Forbidden", 403, None),
    ],
)
def test_what_a_plain_text_means(status: int, text: str, means: int, code: str | None) -> None:
    told = told_by(read_error, status, "text/plain; charset=utf-8", text.encode())
    assert told is not None
    assert (told.status, told.reason_code) == (means, code)
    assert told.words is not None
    assert "Traceback" not in told.words
    assert "File" not in told.words


def test_what_is_no_plain_text_is_what_its_status_says() -> None:
    body = b"Job j-1 does not exist"
    for kind in ("text/html", "", "application/octet-stream"):
        assert told_by(read_error, 404, kind, body) is None
    assert told_by(read_error, 404, "application/json", b'{"detail": "no"}') is None


def test_a_token_is_named_where_it_is_missing_or_wrong() -> None:
    for text in ("Unauthorized: Missing authentication token", "Invalid authentication token"):
        told = read_error(401, text)
        assert told is not None
        assert "RAY_AUTH_TOKEN" in str(told.words)


def test_the_last_words_of_a_traceback() -> None:
    exists = "Job with submission_id j-1 already exists. Please use a different submission_id."
    assert last_words(EXISTS) == f"ValueError: {exists}"
    assert last_words(" a sentence\n") == "a sentence"
    begin = "Traceback (most recent call last):\n"
    assert last_words(f'{begin}  File "a", line 1\n    x()\nKeyError: 1\nand more\n') == (
        "KeyError: 1\nand more"
    )
    assert last_words(begin) == begin.strip()


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    told = read_error(500, text)
    assert told is not None
    assert 400 <= told.status < 600


# ---- reasons -----------------------------------------------------------------------------------

HEAD = "Job entrypoint command failed with exit code 1"
LOGS = ", last available logs (truncated to 20,000 chars):\n"
STARTED = '\n\x1eabc123{"q":0,"k":"started","p":0,"n":1,"d":""}\n'
RAYS = (
    "2026-11-26 15:23:50,904\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
    "Running entrypoint for job j-1: exec python _runtime_core/ray_host.py\n"
)


def cleaned(logs: str, nonce: str | None = "abc123") -> str:
    return clean_reason(f"{HEAD}{LOGS}{logs}", nonce)


def test_the_lines_that_ray_repeats_are_cleaned() -> None:
    # As a head sent it: splitlines() of Python takes \x1e for a line break, so it was cut there.
    logs = (
        'abc123{"q":0,"k":"interim","p":0,"n":1,"d":"1"}\n and its rest\nxxxx\n'
        '\x1eabc123{"k":"join","d":""}\ny\n\n'
        '\x1eabc123{"q":1,"k":"error","p":0,"n":1,"d":"zzz"}\nlast words\n'
    )
    assert cleaned(logs) == f"{HEAD}{LOGS} and its rest\nxxxxy\nlast words"


def test_a_frame_that_is_cut_in_the_middle() -> None:
    rest = 'z"}\nlast words\n'
    assert cleaned("z" * (20_000 - len(rest)) + rest) == f"{HEAD}{LOGS}last words"
    printed = "z" * 19_999 + "\n"
    assert cleaned(printed) == f"{HEAD}{LOGS}{printed.strip()}"
    short = '"a": {}}\nlast words\n'
    assert cleaned(short) == f"{HEAD}{LOGS}{short.strip()}"


def test_what_a_frame_stands_for_is_put_back() -> None:
    assert cleaned('a\n\x1eabc123{"k":"join","d":"\\r"}\nb\n') == f"{HEAD}{LOGS}a\rb"
    assert cleaned('a\n\x1eabc123{"k":"join","d":3}\nb\n') == f"{HEAD}{LOGS}ab"
    assert cleaned("a\n\x1eabc123{broken\nb\n") == f"{HEAD}{LOGS}ab"


def test_rays_own_lines_go_too_and_with_the_last_the_colon() -> None:
    assert cleaned(f"{RAYS}hello{STARTED}") == f"{HEAD}{LOGS}hello"
    assert cleaned(RAYS + STARTED) == f"{HEAD}."
    assert status_event(
        FAILED
        | {
            "message": f"{HEAD}{LOGS}{RAYS}{STARTED}",
            "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR",
            "metadata": {ray_jobs.NONCE: "abc123"},
        }
    ) == JobFailed(None, f"{HEAD}.", "JOB_ENTRYPOINT_COMMAND_ERROR")


def test_a_message_about_a_job_that_is_not_ours_is_left_alone() -> None:
    assert cleaned(RAYS, None) == f"{HEAD}{LOGS}{RAYS}"
    assert clean_reason(f"Something else{STARTED}", "abc123") == f"Something else{STARTED}"


def test_why_the_job_could_not_be_started() -> None:
    words = (
        "Failed to start supervisor actor j1: 'The precision of the fractional quantity of "
        "resource num_cpus cannot go beyond 0.0001'."
    )
    trace = (
        'Traceback (most recent call last):\n  File "job_manager.py", line 598\nValueError: no\n'
    )
    assert clean_reason(f"{words} Full traceback:\n{trace}", "abc") == words
    assert clean_reason(words, "abc") == words


def test_why_the_environment_was_not_made() -> None:
    message = (
        "runtime_env setup failed: Failed to set up runtime environment.\n"
        "Could not create the actor because its associated runtime env failed to be created.\n"
        f"[Node 127.0.0.1] {NO_CONNECTION.rpartition('aiohttp')[0]}"
        "ray._private.runtime_env.utils.SubprocessCalledProcessError: Run cmd[9] failed.\n"
        "Last 50 lines of stdout:\n"
        "    ERROR: No matching distribution found for nobodys-package==1\n"
    )
    told = clean_reason(message, None)
    assert told.startswith("runtime_env setup failed: Failed to set up runtime environment.\n")
    assert told.endswith("No matching distribution found for nobodys-package==1")
    assert "File" not in told
    assert "[Node 127.0.0.1] ray._private" in told


# ---- the dialect -------------------------------------------------------------------------------


def test_the_dialect_says_how_the_service_behaves() -> None:
    assert (RAY.name, RAY.traits.pushes, RAY.traits.keeps_interim) == ("ray", True, True)
    assert RAY.traits.on_unknown_status is None
    assert RAY.request_headers("t0k3n") == {"Authorization": "Bearer t0k3n"}
    assert RAY.request_headers("") == {}
