"""What the transport of a Ray cluster replies, by what Ray and the log say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_ray import (
    HEADER,
    NONCE,
    PROGRAM,
    Clock,
    FakeHead,
    document,
    interim,
    log,
    raised,
    result,
    transport,
)

from adapters.http.session import Take
from adapters.job_logs import LogPart
from adapters.ray import ray_host
from adapters.ray.log_events import Raised, Returned
from adapters.ray.outcomes import Outcomes
from adapters.ray.transport import RayTransport
from adapters.services.ray_errors import NO_NODE
from adapters.services.ray_jobs import ORDER_VARIABLE
from adapters.transport import ServiceTransport, SubmittingTransport, Transport
from runtime_core.commands import FetchFailure, FetchResult, FetchStatus, SendCancel
from runtime_core.errors import (
    EncodeError,
    OptionsError,
    RuntimeDuplicateProgramError,
    RuntimeJobNotFoundError,
    RuntimeProgramNotFoundError,
    TransportError,
    UsageError,
)
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    UnknownStatusReported,
)
from runtime_core.traits import Resume

CODE = "JOB_ENTRYPOINT_COMMAND_ERROR"
GONE = TransportError("Agent for node id: 97c3 doesn't exist.", 410, False, None, NO_NODE)
SILENT = TransportError("Cannot connect to host 127.0.0.2:1.", 503, True)
BROKEN = TransportError("a traceback", 500, True)


def status(head: FakeHead, outcomes: Outcomes | None = None) -> ReplyEvent:
    return transport(head, outcomes).perform("j1", FetchStatus(7))


def test_it_is_all_that_a_transport_can_be() -> None:
    made = transport(FakeHead())
    assert isinstance(made, Transport)
    assert isinstance(made, SubmittingTransport)
    assert isinstance(made, ServiceTransport)
    assert (made.traits.pushes, made.traits.resume) == (True, Resume.OFFSET)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("PENDING", JobQueued(7)),
        ("RUNNING", JobStarted(7)),
        ("STOPPED", JobCancelled(7)),
        ("STRANGE", UnknownStatusReported("STRANGE", 7)),
    ],
)
def test_a_job_stands_as_ray_says(word: str, expected: ReplyEvent) -> None:
    assert status(FakeHead(word)) == expected


@pytest.mark.parametrize(
    ("word", "said", "expected"),
    [
        ("SUCCEEDED", log("x", result('"r"')), JobSucceeded(7)),
        ("SUCCEEDED", log(interim(5, "lost ones before"), result('"r"', 6)), JobSucceeded(7)),
        ("FAILED", log(raised("Traceback")), JobFailed(7, "Traceback", CODE)),
        ("FAILED", log(result("1")), JobSucceeded(7)),  # what comes after a result changes it not
        ("FAILED", log("no frame"), JobFailed(7, "Ray's words", CODE)),
        ("FAILED", "", JobFailed(7, "Ray's words", CODE)),
        ("STOPPED", log(result("1")), JobSucceeded(7)),
        ("STOPPED", log(raised("by the signal")), JobCancelled(7)),
        ("STOPPED", log("no frame"), JobCancelled(7)),
    ],
)
def test_a_job_ended_as_ray_and_its_log_say(word: str, said: str, expected: ReplyEvent) -> None:
    head = FakeHead()
    head.tell(document(word, message="Ray's words", error_type=CODE))
    head.logs["j1"] = said
    assert status(head) == expected


def test_one_that_succeeded_without_a_result_has_failed() -> None:
    said = status(FakeHead(log=log("no frame", result("1", nonce="another"))))
    assert isinstance(said, JobFailed)
    assert said.request == 7
    assert said.reason is not None
    assert "holds no result" in said.reason


def test_the_log_is_read_once_and_what_it_says_is_kept() -> None:
    head = FakeHead(log=log(result('"r"')))
    made = transport(head)
    assert made.perform("j1", FetchStatus(1)) == JobSucceeded(1)
    head.logs["j1"] = GONE
    assert made.perform("j1", FetchStatus(2)) == JobSucceeded(2)
    assert made.perform("j1", FetchResult(3)) == ResultReceived(3, '"r"')
    assert head.calls == ["get", "read end of log"]


def test_what_a_stream_has_seen_needs_no_log() -> None:
    outcomes = Outcomes()
    outcomes.put("j1", Raised("seen"))
    head = FakeHead("FAILED", GONE)
    assert status(head, outcomes) == JobFailed(7, "seen")
    assert head.calls == ["get"]


def test_a_result_that_was_seen_is_one_whatever_ray_says() -> None:
    outcomes = Outcomes()
    outcomes.put("j1", Returned("1"))
    for word in ("RUNNING", "SUCCEEDED", "FAILED", "STOPPED"):
        head = FakeHead(word)
        assert status(head, outcomes) == JobSucceeded(7)
        assert head.calls == []


def test_where_a_failure_was_seen_ray_is_asked_until_it_has_seen_the_end_too() -> None:
    outcomes, clock = Outcomes(), Clock()
    outcomes.put("j1", Raised("seen"))
    head = FakeHead()
    head.tell(*[document("RUNNING")] * 5, document("STOPPED"))
    assert transport(head, outcomes, clock).perform("j1", FetchStatus(7)) == JobCancelled(7)
    assert head.calls == ["get"] * 6
    assert 0.1 < clock.time < 0.5


def test_and_not_for_ever() -> None:
    outcomes, clock = Outcomes(), Clock()
    outcomes.put("j1", Raised("seen"))
    head = FakeHead("RUNNING")
    assert transport(head, outcomes, clock).perform("j1", FetchStatus(7)) == JobStarted(7)
    assert 2 <= clock.time < 3
    assert len(head.calls) < 15


def test_a_job_whose_result_was_here_first_is_deleted_when_ray_knows_its_end() -> None:
    outcomes, clock = Outcomes(), Clock()
    outcomes.put("j1", Returned("1"))
    head = FakeHead()
    head.tell(*[document("RUNNING")] * 3, document("SUCCEEDED"))
    transport(head, outcomes, clock).job_delete("j1")
    assert head.calls == ["get"] * 4 + ["delete"]


# ---- logs that cannot be read ------------------------------------------------------------------


def test_a_silent_node_is_asked_again() -> None:
    head = FakeHead(log=SILENT)
    assert status(head) == RequestFailed(7, SILENT, True)
    assert transport(head).perform("j1", FetchResult(8)) == RequestFailed(8, SILENT, True)


@pytest.mark.parametrize("error", [GONE, BROKEN])
def test_a_lost_log_leaves_what_ray_says(error: TransportError) -> None:
    head = FakeHead(log=error)
    assert status(head) == JobSucceeded(7)
    head.tell(document("FAILED", message="Ray's words", error_type=CODE))
    assert status(head) == JobFailed(7, "Ray's words", CODE)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (log(interim(0, "1"), raised("Traceback", 1)), JobFailed(7, "Traceback", CODE)),
        (log(result("1"))[-40:], None),  # cut off in the middle
        (log(interim(0, "1")), None),
        (f"\n\x1e{NONCE}{{nonsense\n", None),
    ],
)
def test_of_a_lost_log_ray_may_have_repeated_the_end(end: str, expected: ReplyEvent | None) -> None:
    message = "failed with exit code 1, last available logs (truncated to 20,000 chars):\n" + end
    head = FakeHead(log=GONE)
    head.tell(document("FAILED", message=message, error_type=CODE))
    said = status(head)
    assert isinstance(said, JobFailed)
    assert expected is None or said == expected
    assert said.reason_code == CODE


def test_a_result_that_ray_has_repeated_is_kept_as_its_log_is_lost() -> None:
    message = "exit code -9, last available logs (truncated to 20,000 chars):\n" + log(result("1"))
    head = FakeHead(log=GONE)
    head.tell(document("FAILED", message=message, error_type=CODE))
    asked = transport(head)
    assert asked.perform("j1", FetchStatus(7)) == JobSucceeded(7)
    assert asked.perform("j1", FetchResult(8)) == ResultReceived(8, "1")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (GONE, "The result of job j1 is lost: it stood in the log on the node that ran the job"),
        (BROKEN, "The result of job j1 cannot be read from its log: a traceback."),
    ],
)
def test_a_result_that_cannot_be_had_is_a_clear_error(error: TransportError, words: str) -> None:
    failed = transport(FakeHead(log=error)).perform("j1", FetchResult(7))
    assert isinstance(failed, RequestFailed)
    assert not failed.retryable
    assert words in str(failed.error)


def test_a_broken_log_is_said_so() -> None:
    broken = log(f"\n\x1e{NONCE}{{nonsense\n")
    head = FakeHead(log=broken)
    assert status(head) == JobSucceeded(7)
    failed = transport(head).perform("j1", FetchResult(7))
    assert isinstance(failed, RequestFailed)
    assert not failed.retryable
    assert "a frame that cannot be read" in str(failed.error)


def test_of_a_long_log_the_end_is_enough() -> None:
    head = FakeHead(log=log("printed\n" * 1000, result('"r"'), "by an exit handler\n" * 9))
    asked = transport(head)
    assert asked.perform("j1", FetchStatus(7)) == JobSucceeded(7)
    assert asked.perform("j1", FetchResult(8)) == ResultReceived(8, '"r"')
    assert head.calls == ["get", "read end of log"]


@pytest.mark.parametrize(
    "said",
    [
        log(result('"r"'), "more\n" * 200),  # it is before what was read first
        log(result('"' + "r" * 3_000_000 + '"')),  # and so is its beginning
    ],
)
def test_where_the_end_does_not_say_it_the_whole_log_is_read_in_pieces(said: str) -> None:
    head = FakeHead(log=said)
    found = transport(head).perform("j1", FetchResult(7))
    assert isinstance(found, ResultReceived)
    assert found.text[:2] == '"r'
    assert head.calls == ["get", "read end of log", "read log"]


def test_what_comes_after_a_result_is_not_waited_for() -> None:
    head = FakeHead(log=log(result('"r"'), "more\n" * 200))
    status(head)
    assert len(head.pieces_left) > 2


def test_a_log_that_takes_long_to_read_leaves_what_ray_says() -> None:
    clock = Clock()
    head = FakeHead(log=log("printed\n" * 1000))
    feed = head.job_log_read

    def slow(job_id: str, node_id: str, take: Take, last_lines: int | None = None) -> None:
        def later(data: bytes) -> bool:
            clock.time += 1
            return take(data)

        feed(job_id, node_id, later, last_lines)

    head.job_log_read = slow  # type: ignore[method-assign]
    asked = transport(head, clock=clock)
    assert asked.perform("j1", FetchStatus(7)) == JobSucceeded(7)
    assert 30 < clock.time < 35
    head.tell(document("FAILED", message="Ray's words", error_type=CODE))
    assert asked.perform("j1", FetchStatus(7)) == JobFailed(7, "Ray's words", CODE)
    # Whoever wants the result waits for it.
    clock.time = 0
    failed = asked.perform("j1", FetchResult(8))
    assert isinstance(failed, RequestFailed)
    assert "has no result" in str(failed.error)
    assert clock.time > 80


@pytest.mark.parametrize("code", [404, 429])
def test_a_head_without_a_call_for_the_end_of_a_log_gives_it_whole(code: int) -> None:
    head = FakeHead(log=log(result('"r"')))
    head.refusal = TransportError("not so", code)
    head.jobs["j2"], head.logs["j2"] = [document("FAILED")], ""
    asked = transport(head)
    assert asked.perform("j1", FetchStatus(7)) == JobSucceeded(7)
    assert asked.perform("j1", FetchResult(8)) == ResultReceived(8, '"r"')
    assert head.calls == ["get", "read end of log", "logs"]
    asked.perform("j2", FetchStatus(9))
    # What it does not have is not asked for again; there may be room another time.
    assert head.calls[3:] == (
        ["get", "logs"] if code == 404 else ["get", "read end of log", "logs"]
    )


def test_a_result_above_the_limit_of_answers_is_refused() -> None:
    head = FakeHead(log=log(result('"' + "r" * 200_000 + '"')))
    head.max_answer_bytes = 100_000
    assert status(head) == JobSucceeded(7)  # as Ray says
    failed = transport(head).perform("j1", FetchResult(7))
    assert isinstance(failed, RequestFailed)
    assert not failed.retryable
    assert "longer than 100,000 characters" in str(failed.error)


def test_one_that_never_ran_has_no_log_to_be_read() -> None:
    head = FakeHead(log=GONE)
    head.tell(document("STOPPED", driver_node_id=None))
    assert status(head) == JobCancelled(7)
    assert head.calls == ["get"]


# ---- the other requests ------------------------------------------------------------------------


def test_a_result_is_fetched_without_having_asked_for_the_status() -> None:
    head = FakeHead(log=log(result('"r"')))
    assert transport(head).perform("j1", FetchResult(7)) == ResultReceived(7, '"r"')


def test_a_result_is_whole_where_interim_results_are_missing() -> None:
    head = FakeHead(log=log(interim(5, "lost ones before"), result('"r"', 7)))
    assert transport(head).perform("j1", FetchResult(7)) == ResultReceived(7, '"r"')


def test_a_result_that_was_given_out_is_the_first_to_go() -> None:
    outcomes = Outcomes(1000)
    outcomes.put("j0", Returned("0"))
    head = FakeHead(log=log(result('"r"')))
    assert transport(head, outcomes).perform("j1", FetchResult(7)) == ResultReceived(7, '"r"')
    outcomes.put("j2", Returned("x" * 500))
    assert outcomes.get("j1") is None
    assert outcomes.get("j0") == Returned("0")


def test_what_has_raised_has_no_result() -> None:
    failed = transport(FakeHead("FAILED", log(raised("x")))).perform("j1", FetchResult(7))
    assert isinstance(failed, RequestFailed)
    assert not failed.retryable
    assert "has no result" in str(failed.error)


def test_the_reason_of_a_failure_is_asked_for() -> None:
    head = FakeHead()
    head.tell(document("FAILED", error_type=CODE))
    head.logs["j1"] = log(raised("Traceback"))
    assert transport(head).perform("j1", FetchFailure(7)) == FailureReceived(7, "Traceback", CODE)
    head = FakeHead("STOPPED")
    assert transport(head).perform("j1", FetchFailure(7)) == FailureReceived(7, None)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("PENDING", CancelAccepted(7)),
        ("RUNNING", CancelAccepted(7)),
        ("SUCCEEDED", CancelRefused(7)),
    ],
)
def test_a_cancel_is_taken_or_not(word: str, expected: ReplyEvent) -> None:
    head = FakeHead(word)
    assert transport(head).perform("j1", SendCancel(7)) == expected
    assert head.calls == ["stop"]


def test_a_cancel_after_the_result_was_seen_is_refused() -> None:
    head, outcomes = FakeHead("RUNNING"), Outcomes()
    outcomes.put("j1", Returned("1"))
    assert transport(head, outcomes).perform("j1", SendCancel(7)) == CancelRefused(7)
    assert head.calls == []


@pytest.mark.parametrize("error", [SILENT, OSError("away"), KeyError("a mistake")], ids=repr)
def test_what_is_raised_is_a_reply(error: Exception) -> None:
    head = FakeHead()
    head.error = error
    for command in FetchStatus(7), FetchResult(7), FetchFailure(7), SendCancel(7):
        failed = transport(head).perform("j1", command)
        assert isinstance(failed, RequestFailed)
        assert failed.request == 7
        assert isinstance(failed.error, TransportError)
        assert failed.retryable is not isinstance(error, KeyError)


def test_an_unknown_job_is_not_found() -> None:
    failed = transport(FakeHead()).perform("j2", FetchStatus(7))
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, RuntimeJobNotFoundError)
    assert not failed.retryable


def test_of_a_job_of_somebody_else_only_what_ray_says_is_told() -> None:
    head = FakeHead(log="hello\n" + result("1").decode())
    head.tell(document("SUCCEEDED", nonce=None))
    made = transport(head)
    assert made.perform("j1", FetchStatus(7)) == JobSucceeded(7)
    failed = made.perform("j1", FetchResult(7))
    assert isinstance(failed, RequestFailed)
    assert not failed.retryable
    assert "not submitted by this library" in str(failed.error)
    assert made.job_logs("j1") == head.logs["j1"]
    with pytest.raises(TransportError, match="not submitted by this library"):
        made.job_params("j1")
    head.tell(document("FAILED", nonce=None, message="Ray's words", error_type=CODE))
    assert made.perform("j1", FetchStatus(7)) == JobFailed(7, "Ray's words", CODE)


# ---- many at once ------------------------------------------------------------------------------


def test_the_list_leaves_out_those_that_have_ended_or_were_seen_to() -> None:
    head = FakeHead("RUNNING")
    head.jobs |= {
        "j2": [document("PENDING")],
        "j3": [document("SUCCEEDED")],
        "j4": [document("RUNNING")],
        "j5": [document("RUNNING")],
    }
    outcomes = Outcomes()
    outcomes.put("j4", Returned("1"))
    listing = transport(head, outcomes).listing
    page = listing.page(2, 0, {"j1", "j2", "j3", "j4", "nobody"})
    assert set(page.found) == {"j1", "j2"}
    assert (page.length, page.has_more) == (5, False)
    assert listing.status_event(page.found["j1"], 3) == JobStarted(3)
    assert listing.status_event(page.found["j2"], 4) == JobQueued(4)


# ---- submissions -------------------------------------------------------------------------------


def ready(head: FakeHead) -> RayTransport:
    made = transport(head)
    made._programs.program_create("counts", PROGRAM, max_execution_time=60)
    head.calls.clear()
    return made


def order_of(body: Any) -> dict[str, Any]:
    order: dict[str, Any] = json.loads(body["runtime_env"]["env_vars"][ORDER_VARIABLE])
    return order


def test_a_job_is_submitted() -> None:
    head = FakeHead()
    made = ready(head)
    options = {
        "num_cpus": 0.5,
        "num_gpus": 1,
        "memory": 1000,
        "resources": {"thing": 2},
        "env_vars": {"MINE": "x"},
        "pip": ["numpy"],
        "log_level": "info",
        "job_tags": ["a", "b"],
        "max_execution_time": 5,
    }
    job_id = made.submit("counts", {"n": 1 + 2j}, options)
    assert head.calls == ["has package", "submit"]
    (body,) = head.submitted
    assert body["submission_id"] == job_id
    assert body["entrypoint_num_cpus"] == 0.5
    assert body["entrypoint_num_gpus"] == 1
    assert body["entrypoint_memory"] == 1000
    assert body["entrypoint_resources"] == {"thing": 2}
    assert body["runtime_env"]["pip"] == ["numpy"]
    assert body["runtime_env"]["working_dir"] == f"gcs://{next(iter(head.packages))}"
    assert body["runtime_env"]["env_vars"]["MINE"] == "x"
    order = order_of(body)
    assert (order["backend"], order["log_level"], order["max_time"]) == ("ray", "INFO", 5)
    assert json.loads(order["params"]) == made.job_params(job_id)
    assert body["metadata"]["runtime_core_program"] == "counts"
    assert (
        body["metadata"]["runtime_core_nonce"]
        == (body["runtime_env"]["env_vars"][ray_host.NONCE_VARIABLE])
    )
    # The metadata is what another process reads.
    assert json.loads(body["metadata"]["runtime_core_tags"]) == ["a", "b"]


def test_without_options_a_job_takes_a_cpu_and_the_time_of_its_program() -> None:
    head = FakeHead()
    made = ready(head)
    ids = {made.submit("counts", {}, None), made.submit("counts", {}, {})}
    assert len(ids) == 2
    first, second = head.submitted
    assert first["entrypoint_num_cpus"] == 1
    assert order_of(first)["max_time"] == 60
    assert first["metadata"]["runtime_core_nonce"] != second["metadata"]["runtime_core_nonce"]


def test_a_package_that_is_gone_is_sent_again() -> None:
    head = FakeHead()
    made = ready(head)
    packages = dict(head.packages)
    head.packages.clear()
    made.submit("counts", {}, {})
    assert head.calls == ["has package", "put package", "submit"]
    assert head.packages == packages


def test_long_inputs_go_with_the_package() -> None:
    head = FakeHead()
    made = ready(head)
    job_id = made.submit("counts", {"text": "x" * 100_000}, {})
    assert head.calls == ["has package", "put package", "submit"]
    (body,) = head.submitted
    assert ORDER_VARIABLE not in body["runtime_env"]["env_vars"]
    assert body["runtime_env"]["working_dir"] == f"gcs://{list(head.packages)[-1]}"
    assert len(json.dumps(body)) < 5000
    with pytest.raises(TransportError, match="long and went in its package"):
        made.job_params(job_id)


@pytest.mark.parametrize(
    ("inputs", "options", "error"),
    [
        ({"n": object()}, {}, EncodeError),
        ({}, {"colour": "red"}, OptionsError),
        ({}, {"image": "x:1"}, OptionsError),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(
    inputs: dict[str, Any], options: dict[str, Any], error: type[Exception]
) -> None:
    head = FakeHead()
    made = ready(head)
    with pytest.raises(error):
        made.submit("counts", inputs, options)
    assert head.calls == []


def test_an_unknown_program_is_not_found_and_it_is_said_why() -> None:
    head = FakeHead()
    with pytest.raises(RuntimeProgramNotFoundError, match=r"keeps no programs.*upload") as caught:
        transport(head).submit("counts", {}, {})
    assert caught.value.status_code == 404
    assert head.calls == []


# ---- programs ----------------------------------------------------------------------------------


def test_programs_are_changed_and_forgotten() -> None:
    head = FakeHead()
    programs = ready(head)._programs
    with pytest.raises(RuntimeDuplicateProgramError):
        programs.program_create("counts", "another", max_execution_time=1)
    programs.program_update("counts", name="counts")
    programs.program_update("counts", name="other", description="it counts", max_execution_time=9)
    programs.set_program_visibility("counts", True)
    programs.program_update_data("counts", "x = 1")
    told = programs.program_get("counts")
    assert told["name"] == "other"
    assert (told["description"], told["cost"], told["is_public"]) == ("it counts", 9, True)
    assert programs.find("counts").source == b"x = 1"
    assert len(head.packages) == 2
    with pytest.raises(RuntimeDuplicateProgramError):
        programs.program_create("other", PROGRAM, max_execution_time=1)
    assert programs.programs_get(10, 0) == {"programs": [told], "count": 1}
    assert programs.programs_get(10, 1) == {"programs": [], "count": 1}
    programs.program_delete("counts")
    for call in (
        lambda: programs.find("counts"),
        lambda: programs.program_get("counts"),
        lambda: programs.program_delete("counts"),
        lambda: programs.program_update("counts", name="x"),
        lambda: programs.program_update_data("counts", "x"),
    ):
        with pytest.raises(RuntimeProgramNotFoundError):
            call()


def test_of_two_uploads_of_one_name_at_once_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = FakeHead()
    programs = transport(head)._programs

    def put(name: str, data: bytes) -> None:
        monkeypatch.undo()
        programs.program_create("p", "the first", max_execution_time=1)

    monkeypatch.setattr(head, "package_put", put)
    with pytest.raises(RuntimeDuplicateProgramError):
        programs.program_create("p", "the second", max_execution_time=1)
    assert programs.find("p").source == b"the first"


@pytest.mark.parametrize("seconds", [0, -1, 1.5, True, "60"])
def test_a_time_that_cannot_be_is_refused(seconds: Any) -> None:
    head = FakeHead()
    with pytest.raises(UsageError, match="max_execution_time"):
        transport(head)._programs.program_create("p", PROGRAM, max_execution_time=seconds)
    assert head.calls == []


# ---- what else a job tells ---------------------------------------------------------------------


WHOLE = ("first\n", interim(0, "1"), "second é\nthird", result("1", 1))


def test_the_log_is_what_was_printed() -> None:
    made = transport(FakeHead(log=log(*WHOLE)))
    assert made.job_logs("j1") == "first\nsecond é\nthird"
    assert made.job_logs_part("j1", 6) == LogPart(6, "second é\nthird".encode())
    assert made.job_logs_part("j1", 100) == LogPart(100, b"")


def test_a_log_that_grows_is_always_the_beginning_of_what_it_becomes() -> None:
    whole = log(*WHOLE).encode()
    final = "first\nsecond é\nthird".encode()
    for length in range(len(whole) + 1):
        text = whole[:length].decode(errors="ignore")
        head = FakeHead("RUNNING", text)
        seen = transport(head).job_logs_part("j1", 0).data
        # A line break may turn out to be the first byte of a frame.
        assert final.startswith((seen, seen.removesuffix(b"\n")))


def test_what_ray_writes_is_told_if_the_program_never_came_to_it() -> None:
    head = FakeHead("PENDING", HEADER)
    assert transport(head).job_logs("j1") == ""
    head.tell(document("FAILED"))
    assert transport(head).job_logs("j1") == HEADER


def test_the_times_are_told_and_no_usage() -> None:
    head = FakeHead()
    head.tell(document("SUCCEEDED", end_time=1795343985971))
    assert transport(head).job_metrics("j1") == {
        "timestamps": {
            "created": "2026-11-22T10:39:42.659000+00:00",
            "finished": "2026-11-22T10:39:45.971000+00:00",
        }
    }
    assert set(transport(FakeHead("RUNNING")).job_metrics("j1")["timestamps"]) == {"created"}


def test_the_variable_of_the_order_is_the_one_that_the_host_reads() -> None:
    assert ORDER_VARIABLE == ray_host.ORDER_VARIABLE
