"""`RuntimeJob`: what it is, its state, its result, and the deadlines of all that."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from async_fakes import each_driver  # noqa: F401 - its fixture
from blocking_face import make_job
from fakes import (
    CLOSES,
    HANGS,
    NEVER,
    OPENS,
    FakeClient,
    FakeReactor,
    Interrupted,
    Late,
    World,
    failure,
    over_time,
    says,
    world,
)

from runtime_core.decoders import DecoderRegistry
from runtime_core.errors import (
    DecodeError,
    JobTimeoutError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    TransportError,
    UnknownStatusError,
    UsageError,
)
from runtime_core.events import JobFailed, JobQueued, JobStarted, JobSucceeded
from runtime_core.states import JobState
from runtime_core.traits import Resume


class Text:
    """Gives the text as it is, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def decode(self, data: str) -> str:
        self.calls += 1
        return data


def boxed(data: str) -> list[str]:
    return [data]


class Box:
    @classmethod
    def decode(cls, data: str) -> list[str]:
        return boxed(data)


# ---- what the job is ---------------------------------------------------------------------------


def test_constructing_asks_the_service_for_nothing() -> None:
    w = world("RUNNING", streams=Resume.OFFSET)
    w.reactor.advance(100)
    assert w.client.calls == []
    assert w.traces == []
    assert w.reactor.channels == []


def test_what_was_given_is_given_back_without_asking() -> None:
    reactor = FakeReactor()
    backend = object()
    job = make_job(backend, FakeClient(reactor), None, "j1", "p", {"a": 1}, reactor=reactor)
    assert job.backend() is backend
    assert (job.job_id(), job.program_id, job.inputs) == ("j1", "p", {"a": 1})


def test_the_inputs_are_a_copy() -> None:
    given = {"a": 1}
    job = world(params=given).job
    job.inputs["a"] = 2
    given["a"] = 3
    assert job.inputs == {"a": 1}


def test_inputs_and_creation_date_that_were_not_given_are_asked_for_once() -> None:
    document = {
        "id": "j1",
        "status": "RUNNING",
        "params": {"z": {"__type__": "complex", "__value__": [1.0, 2.0]}},
        "created": "2021-05-06T07:08:09.123Z",
    }
    w = world(document)
    assert w.job.inputs == {"z": 1 + 2j}
    assert w.job.creation_date == datetime(2021, 5, 6, 7, 8, 9, 123000, UTC)
    assert w.job.inputs == {"z": 1 + 2j}
    assert w.client.count("job_get") == 1


def test_a_creation_date_that_the_service_does_not_tell_is_none_and_asked_for_once() -> None:
    w = world({"id": "j1", "status": "RUNNING"})
    assert w.job.creation_date is None
    assert w.job.creation_date is None
    assert w.client.count("job_get") == 1


def test_inputs_of_a_service_that_cannot_be_asked() -> None:
    w = world(failure(503, retryable=True), {"id": "j1", "status": "RUNNING", "params": {"a": 1}})
    with pytest.raises(TransportError):
        _ = w.job.inputs
    assert w.job.inputs == {"a": 1}


def test_an_answer_that_is_no_job_is_the_service_s_mistake() -> None:
    with pytest.raises(TransportError, match="promises"):
        _ = world({"nonsense": 1}).job.inputs


MOMENT = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        "2021-05-06T07:08:09",
        "2021-05-06T07:08:09Z",
        "2021-05-06T09:08:09+02:00",
        "2021-05-06T02:08:09-0500",
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.astimezone(timezone(timedelta(hours=9))),
    ],
)
def test_the_creation_date_is_local_time(given: str | datetime) -> None:
    w = world(creation_date=given)
    found = w.job.creation_date
    assert found == MOMENT
    assert found is not None
    assert found.utcoffset() == MOMENT.astimezone().utcoffset()
    assert w.client.calls == []


def test_the_repr_says_what_is_known() -> None:
    job = world("RUNNING").job
    assert repr(job).replace("<Async", "<") == "<RuntimeJob 'j1' of 'p': not asked yet>"
    job.status()
    assert repr(job).replace("<Async", "<") == "<RuntimeJob 'j1' of 'p': RUNNING>"


# ---- its state ---------------------------------------------------------------------------------


def test_status_asks_each_time_until_the_state_is_final() -> None:
    w = world("QUEUED", "Running", "COMPLETED", "RUNNING")
    said = [w.job.status() for _ in range(5)]
    done = JobState.DONE
    assert said == [JobState.QUEUED, JobState.RUNNING, done, done, done]
    assert w.client.count("job_get") == 3
    assert w.traces == []


def test_status_of_a_job_that_the_submission_told_of_asks_all_the_same() -> None:
    w = world("RUNNING", initial=JobQueued())
    assert w.job.status() is JobState.RUNNING


def test_in_final_state() -> None:
    w = world("RUNNING", "CANCELLED")
    assert [w.job.in_final_state(), w.job.in_final_state()] == [False, True]


@pytest.mark.parametrize("error", [failure(503, retryable=True, after=300), failure(401)])
def test_status_raises_a_failure_at_once_and_does_not_try_again(error: TransportError) -> None:
    w = world(error)
    with w.takes(0.0), pytest.raises(TransportError) as caught:
        w.job.status()
    assert caught.value is error
    w.reactor.advance(1000)
    assert w.client.count("job_get") == 1
    assert w.traces == []


def test_status_gives_up_a_request_that_drips_after_ninety_seconds() -> None:
    w = world(HANGS, "COMPLETED")
    with w.takes(90.0), pytest.raises(TransportError, match="90 s"):
        w.job.status()
    assert w.job.status() is JobState.DONE


def test_an_answer_after_its_deadline_is_absorbed() -> None:
    w = world(Late(95.0, "COMPLETED"), "RUNNING")
    with pytest.raises(TransportError):
        w.job.status()
    assert w.job.status() is JobState.RUNNING
    w.reactor.advance(10)
    assert w.job.status() is JobState.RUNNING


def test_an_answer_in_time_stops_the_request_s_deadline() -> None:
    w = world(Late(89.0, "RUNNING"))
    assert w.job.status() is JobState.RUNNING
    assert w.traces == []


def test_a_request_that_was_interrupted_does_not_leave_the_wait_hanging() -> None:
    w = world(Interrupted(), "COMPLETED")
    with w.takes(0.0), pytest.raises(TransportError, match="interrupted"):
        w.job.status()
    assert w.job.status() is JobState.DONE


def test_an_unknown_status_is_raised_with_its_word() -> None:
    w = world("PAUSED")
    for call in (w.job.status, w.job.in_final_state, w.job.error_message, w.job.result):
        with w.takes(0.0), pytest.raises(UnknownStatusError, match="'PAUSED'"):
            call()
    with pytest.raises(UnknownStatusError):
        w.job.wait_for_final_state(timeout=5)
    assert w.traces == []


def test_an_unknown_status_is_taken_for_what_was_said() -> None:
    w = world("PAUSED", "WHATEVER", "COMPLETED", on_unknown_status=JobState.RUNNING)
    assert w.job.status() is JobState.RUNNING
    assert w.job.result() == 42


def test_an_unknown_status_may_be_taken_for_a_final_state() -> None:
    w = world("EVICTED", on_unknown_status=JobState.CANCELLED, streams=Resume.OFFSET)
    assert w.job.status() is JobState.CANCELLED


def test_error_message_of_a_failed_job() -> None:
    w = world("RUNNING", "FAILED", result="Traceback: boom")
    assert w.job.error_message() is None
    assert w.job.error_message() == "Traceback: boom"
    assert w.job.error_message() == "Traceback: boom"
    assert w.client.count("job_results") == 1


def test_error_message_of_a_service_that_does_not_tell() -> None:
    assert world("FAILED", result="").job.error_message() is None
    assert world("FAILED", result=failure(404)).job.error_message() is None


def test_error_message_raises_if_the_reason_cannot_be_asked_for() -> None:
    w = world("FAILED", result=[failure(401), "boom"])
    with pytest.raises(TransportError):
        w.job.error_message()
    assert w.job.error_message() == "boom"


def test_logs() -> None:
    assert world(logs="line\n").job.logs() == "line\n"


def test_logs_need_a_client_that_has_them() -> None:
    class Bare:
        def job_get(self, job_id: str) -> dict[str, object]:
            return {}

        def job_results(self, job_id: str) -> str:
            return ""

        def job_cancel(self, job_id: str) -> object:
            return None

    job = make_job("b", Bare(), None, "j1", "p", reactor=FakeReactor())
    with pytest.raises(UsageError, match="Bare has no job_logs"):
        job.logs()


# ---- waiting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["COMPLETED", "FAILED", "CANCELLED", "CANCELLED - RAN TOO LONG"])
def test_wait_for_final_state_returns_however_the_job_ends(word: str) -> None:
    w = world("QUEUED", "RUNNING", word)
    w.job.wait_for_final_state()
    assert w.job.status().is_final
    assert w.client.count("job_results") == 0
    assert w.traces == []


def test_wait_for_final_state_of_a_job_known_to_be_final_asks_nothing() -> None:
    w = world(initial=JobSucceeded())
    w.job.wait_for_final_state(timeout=0)
    assert w.client.calls == []


def test_polls_come_slower_up_to_wait() -> None:
    w = world("RUNNING")
    with pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(timeout=20, wait=2)
    times = w.client.times("job_get")
    pauses = [round(after - before, 6) for before, after in pairwise(times)]
    assert pauses[:3] == [0.05, 0.075, 0.1125]
    assert max(pauses) == 2
    assert pauses == sorted(pauses)


def times_out(call: Callable[[], object]) -> None:
    with pytest.raises(JobTimeoutError):
        call()


def test_the_smallest_wait_rules() -> None:
    w = world("RUNNING", initial=JobStarted())
    w.reactor.at(10.0, lambda: times_out(lambda: w.job.result(timeout=5, wait=0.5)))
    with pytest.raises(JobTimeoutError):
        w.job.result(timeout=20, wait=9)
    times = [time for time in w.client.times("job_get") if 12 < time < 15]
    assert len(times) >= 5


def test_wait_zero_still_leaves_the_service_some_time() -> None:
    w = world("RUNNING")
    with pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(timeout=1, wait=0)
    assert w.client.count("job_get") <= 51


@pytest.mark.parametrize("number", [math.nan, -1.0, -math.inf, -1e-9])
@pytest.mark.parametrize("name", ["timeout", "wait"])
def test_seconds_that_are_none_are_refused(name: str, number: float) -> None:
    w = world("COMPLETED")
    calls: list[Callable[..., object]] = [w.job.result, w.job.wait_for_final_state]
    for call in calls:
        with pytest.raises(ValueError, match=name):
            call(**{name: number})
    assert w.client.calls == []


def test_a_timeout_without_end() -> None:
    assert world("QUEUED", "COMPLETED").job.result(timeout=math.inf, wait=math.inf) == 42


def slow(w: World, call: str) -> Callable[[float], object]:
    if call == "result":
        return lambda timeout: w.job.result(timeout=timeout, wait=5)
    return lambda timeout: w.job.wait_for_final_state(timeout=timeout, wait=5)


@pytest.mark.parametrize("call", ["result", "wait_for_final_state"])
def test_a_timeout_says_that_the_service_did_not_answer(call: str) -> None:
    w = world("RUNNING", failure(retryable=True))
    with pytest.raises(
        JobTimeoutError, match=r"RUNNING when it was last seen: .* failed"
    ) as caught:
        slow(w, call)(30)
    assert caught.value.failures > 2
    w = world(failure(retryable=True), "RUNNING")
    with pytest.raises(JobTimeoutError, match="The job goes on") as caught:
        slow(w, call)(30)
    assert caught.value.failures == 0


@pytest.mark.parametrize("call", ["result", "wait_for_final_state"])
@pytest.mark.parametrize(
    "status",
    [
        pytest.param(HANGS, id="hangs"),
        pytest.param(Late(7.0, "COMPLETED"), id="slow"),
        pytest.param(failure(503, retryable=True, after=300), id="busy"),
        pytest.param(failure(retryable=True), id="away"),
        pytest.param("RUNNING", id="running"),
    ],
)
@pytest.mark.parametrize("streams", [None, Resume.OFFSET, Resume.LIVE])
def test_a_timeout_is_kept_exactly(call: str, status: Any, streams: Resume | None) -> None:
    w = world(status, streams=streams)
    for _ in range(3):
        with w.takes(1.0), pytest.raises(JobTimeoutError) as caught:
            slow(w, call)(1)
        assert caught.value.timeout == 1
        assert isinstance(caught.value, TimeoutError)
    assert [trace for trace in w.traces if not trace.startswith("timer")] == []


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_a_timeout_is_kept_while_a_stream_is_open_and_silent(after: float) -> None:
    w = world("RUNNING", streams=Resume.OFFSET, script=[(after, OPENS)], initial=JobStarted())
    with w.takes(1.0), pytest.raises(JobTimeoutError):
        w.job.result(timeout=1)
    assert w.traces == []
    assert w.reactor.channel.log == ["close"]


@pytest.mark.parametrize(
    "result", [HANGS, Late(3.0, "42"), failure(503, retryable=True, after=300)]
)
def test_a_timeout_is_kept_while_the_result_is_fetched(result: Any) -> None:
    w = world("COMPLETED", result=result)
    with w.takes(1.0), pytest.raises(JobTimeoutError, match="DONE"):
        w.job.result(timeout=1)


def test_a_result_that_comes_later_than_one_timeout_is_there_for_the_next() -> None:
    w = world("COMPLETED", result=Late(3.0, "42"))
    with pytest.raises(JobTimeoutError):
        w.job.result(timeout=1)
    with w.takes(2.0):
        assert w.job.result(timeout=5) == 42
    assert w.client.count("job_results") == 1


def test_what_comes_just_in_time_is_in_time() -> None:
    w = world(Late(0.5, "COMPLETED"), result=Late(0.499, "42"))
    assert w.job.result(timeout=1) == 42


def test_timeout_zero_asks_for_nothing() -> None:
    w = world("COMPLETED", streams=Resume.OFFSET)
    for call in (w.job.result, w.job.wait_for_final_state):
        with w.takes(0.0), pytest.raises(JobTimeoutError):
            call(timeout=0)
    assert w.client.calls == []
    assert w.reactor.channels == []
    w.job.result()
    assert w.job.result(timeout=0) == 42
    w.job.wait_for_final_state(timeout=0)


def test_failures_that_may_pass_are_tried_again_and_back_off() -> None:
    away = failure(502, retryable=True)
    w = world(away, away, away, "COMPLETED")
    assert w.job.result(wait=0.1) == 42
    assert w.client.times("job_get") == [0.0, 0.5, 1.5, 3.5]


def test_a_back_off_ends_at_eight_seconds() -> None:
    w = world(failure(retryable=True))
    with pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(timeout=60)
    times = w.client.times("job_get")
    assert times == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 23.5, 31.5, 39.5, 47.5, 55.5]


def test_a_failure_that_will_not_pass_ends_the_wait_and_the_next_starts_afresh() -> None:
    denied = failure(401)
    w = world("RUNNING", denied, "COMPLETED")
    with pytest.raises(TransportError) as caught:
        w.job.result()
    assert caught.value is denied
    assert w.traces == []
    assert w.job.result() == 42


def test_a_job_without_streams_polls() -> None:
    w = world("QUEUED", "RUNNING", "COMPLETED")
    assert w.job.result() == 42
    assert w.reactor.channels == []


def test_the_end_of_the_stream_wakes_the_wait() -> None:
    script = (0.1, OPENS)
    w = world(initial=JobStarted(), streams=Resume.OFFSET, script=[script])
    w.client.now_says(over_time(w.reactor, "RUNNING", (7.3, "COMPLETED")))
    w.reactor.at(7.35, lambda: w.reactor.channel.feed(CLOSES))
    with w.takes(7.35):
        assert w.job.result(wait=60) == 42


# ---- its result --------------------------------------------------------------------------------


def test_a_result_is_fetched_and_decoded_once() -> None:
    text = Text()
    w = world("COMPLETED", result_decoder=text)
    assert [w.job.result() for _ in range(3)] == ["42"] * 3
    assert w.client.count("job_results") == 1
    assert text.calls == 1


@pytest.mark.parametrize("text", ["0", "false", '""', "[]", "{}", "null", ""])
def test_falsy_and_none_results_are_results(text: str) -> None:
    w = world("COMPLETED", result=text)
    values = [w.job.result() for _ in range(3)]
    assert all(not value for value in values)
    assert values[0] is values[1] is values[2]
    assert w.client.count("job_results") == 1
    assert w.client.count("job_get") == 1


def test_each_decoder_has_a_value_of_its_own_and_keeps_it() -> None:
    w = world("COMPLETED", result='{"a": 1}')
    text = Text()
    plain, texted, boxed_ = w.job.result(), w.job.result(decoder=text), w.job.result(decoder=Box)
    assert (plain, texted, boxed_) == ({"a": 1}, '{"a": 1}', ['{"a": 1}'])
    assert w.job.result() is plain
    assert w.job.result(decoder=text) is texted
    assert w.job.result(decoder=Box) is boxed_
    assert text.calls == 1
    assert w.client.count("job_results") == 1


def test_two_equal_decoders_are_two() -> None:
    class Equal(Text):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

        def decode(self, data: str) -> str:
            return f"{id(self)}"

    w = world("COMPLETED")
    first, second = Equal(), Equal()
    assert w.job.result(decoder=first) == f"{id(first)}"
    assert w.job.result(decoder=second) == f"{id(second)}"


def test_which_decoder_is_used() -> None:
    decoders = DecoderRegistry()
    assert world("COMPLETED", decoders=decoders).job.result() == 42
    decoders.register("p", Box)
    assert world("COMPLETED", decoders=decoders).job.result() == ["42"]
    job = world("COMPLETED", decoders=decoders, result_decoder=Text()).job
    assert job.result() == "42"
    assert job.result(decoder=Box) == ["42"]


def test_what_is_no_decoder_is_refused_before_anything_is_asked() -> None:
    nothing: Any = object()
    with pytest.raises(UsageError):
        world(result_decoder=nothing)
    w = world("COMPLETED", streams=Resume.OFFSET)
    calls: list[Callable[[], object]] = [
        lambda: w.job.result(decoder=nothing),
        lambda: w.job.stream_results(print, decoder=nothing),
        lambda: w.job.interim_results(decoder=nothing),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            call()
    assert w.client.calls == []


def test_a_result_that_does_not_decode_may_be_tried_with_another_decoder() -> None:
    w = world("COMPLETED", result='{"__type__": "complex", "__value__": "no"}')
    for _ in range(2):
        with pytest.raises(DecodeError):
            w.job.result()
    assert w.job.result(decoder=Box) == ['{"__type__": "complex", "__value__": "no"}']
    assert w.client.count("job_results") == 1


def test_a_released_result_is_fetched_and_decoded_again() -> None:
    text = Text()
    w = world("COMPLETED", result=["1", "2"], result_decoder=text)
    assert w.job.result() == "1"
    w.job.release_result()
    w.reactor.settle()
    assert w.job._machine.result_text is None
    with pytest.raises(JobTimeoutError):
        w.job.result(timeout=0)
    assert w.job.result() == "2"
    assert text.calls == 2


def test_releasing_what_is_not_there_changes_nothing() -> None:
    w = world("COMPLETED")
    w.job.release_result()
    assert w.job.result() == 42


def test_concurrent_waits_share_one_request() -> None:
    w = world(Late(1.0, "COMPLETED"), result=Late(1.0, "42"))
    values: list[object] = []
    for delay in (0.2, 1.2, 1.4):
        w.reactor.at(delay, lambda: values.append(w.job.result()))
    values.append(w.job.result())
    assert values == [42] * 4
    assert w.client.calls == [("job_get", 0.0), ("job_results", 1.0)]


def test_a_result_released_under_a_wait_is_fetched_once_more() -> None:
    w = world("COMPLETED", result=Late(1.0, "42"))
    release: Any = w.job.release_result
    known = w.job._known_result

    def released_first() -> str | None:
        if w.client.count("job_results") == 1:
            release()
            w.reactor.settle()
        return known()

    w.job._known_result = released_first  # type: ignore[method-assign]
    assert w.job.result() == 42
    assert w.client.count("job_results") == 2


# ---- no result ---------------------------------------------------------------------------------


def test_the_result_of_a_failed_job_says_why() -> None:
    w = world("RUNNING", "FAILED", result="Traceback: boom")
    for _ in range(2):
        with pytest.raises(RuntimeJobFailureError, match="boom") as caught:
            w.job.result()
        assert (caught.value.job_id, caught.value.reason) == ("j1", "Traceback: boom")
    assert w.client.count("job_results") == 1


def test_a_reason_that_came_with_the_state_is_not_asked_for() -> None:
    w = world("CANCELLED - RAN TOO LONG")
    with pytest.raises(RuntimeJobFailureError) as caught:
        w.job.result()
    assert caught.value.reason_code == "RAN_TOO_LONG"
    assert w.client.count("job_results") == 0


def test_a_reason_given_at_the_start() -> None:
    w = world(initial=JobFailed(reason="boom", reason_code=7))
    with pytest.raises(RuntimeJobFailureError, match="boom") as caught:
        w.job.result(timeout=0)
    assert caught.value.reason_code == 7


def test_a_failed_job_whose_reason_cannot_be_fetched_failed_all_the_same() -> None:
    denied = failure(401)
    w = world("FAILED", result=[denied, "boom"])
    with pytest.raises(RuntimeJobFailureError) as caught:
        w.job.result()
    assert caught.value.reason is None
    assert caught.value.__cause__ is denied
    with pytest.raises(RuntimeJobFailureError, match="boom"):
        w.job.result()


def test_the_result_of_a_cancelled_job_is_an_error_of_its_own() -> None:
    w = world("CANCELLED", result="x")
    for timeout in (None, 0):
        with pytest.raises(RuntimeJobCancelledError):
            w.job.result(timeout=timeout)
    assert w.client.count("job_results") == 0


def test_a_result_that_cannot_be_fetched_may_be_asked_for_again() -> None:
    w = world("COMPLETED", result=[failure(403), "42"])
    with pytest.raises(TransportError):
        w.job.result()
    assert w.job.result() == 42


def test_a_result_whose_request_fails_once_is_fetched_again() -> None:
    w = world("COMPLETED", result=[failure(502, retryable=True), "42"])
    with w.takes(0.5):
        assert w.job.result() == 42


def test_a_client_with_a_mistake_of_its_own_does_not_leave_the_wait_hanging() -> None:
    w = world("COMPLETED", result=[AttributeError("oops"), "42"])
    with pytest.raises(TransportError, match="oops"):
        w.job.result()
    assert w.job.result() == 42


# ---- Ctrl-C ------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [None, Resume.OFFSET, Resume.LIVE])
@pytest.mark.parametrize("delay", [0.0, 0.02, 3.0])
def test_ctrl_c_leaves_nothing_behind(streams: Resume | None, delay: float) -> None:
    w = world("RUNNING", streams=streams, script=[(0.01, OPENS)], initial=JobStarted())
    w.reactor.interrupt(delay)
    with w.takes(delay), pytest.raises(KeyboardInterrupt):
        w.job.result()
    assert w.traces == []
    w.client.now_says("COMPLETED")
    assert w.job.result() == 42


def test_ctrl_c_during_a_request_leaves_only_its_own_deadline() -> None:
    w = world(Late(5.0, "RUNNING"), "COMPLETED")
    w.reactor.interrupt(1.0)
    with pytest.raises(KeyboardInterrupt):
        w.job.result()
    assert w.traces == ["timer in 89 s"]
    w.reactor.advance(5.0)
    assert w.traces == []
    assert w.client.count("job_get") == 1
    assert w.job.result() == 42


def test_ctrl_c_while_a_callback_is_late() -> None:
    w = world("RUNNING", streams=Resume.OFFSET, script=[(OPENS,)])
    w.job.stream_results(lambda *_: w.reactor.hold(NEVER))
    w.reactor.settle()
    w.reactor.channel.feed(says("1"))
    w.client.now_says("COMPLETED")
    w.reactor.interrupt(7.0)
    with pytest.raises(KeyboardInterrupt):
        w.job.result()
    assert w.job.result(timeout=0) == 42


def test_ctrl_c_while_a_stream_is_started_leaves_no_stream() -> None:
    w = world("RUNNING", streams=Resume.OFFSET)
    w.reactor.interrupt(0.0)
    with pytest.raises(KeyboardInterrupt):
        w.job.stream_results(print)
    assert w.traces == []
    w.job.stream_results(print)


# ---- the object --------------------------------------------------------------------------------


def test_close_wakes_who_waits() -> None:
    w = world("RUNNING", streams=Resume.OFFSET, script=[(OPENS,)], initial=JobStarted())
    w.reactor.at(2.0, w.job.close)
    with w.takes(2.0), pytest.raises(UsageError, match="closed"):
        w.job.result()
    assert w.traces == []


def test_after_close_what_is_known_stays_known_and_nothing_more_can_be_asked() -> None:
    w = world("COMPLETED", streams=Resume.OFFSET)
    with w.job as job:
        job.result()
    job.close()
    assert job.status() is JobState.DONE
    assert job.result() == 42
    other = world("RUNNING", streams=Resume.OFFSET)
    other.job.close()
    calls: list[Callable[[], object]] = [
        other.job.status,
        other.job.result,
        other.job.cancel,
        other.job.interim_results,
        lambda: other.job.stream_results(print),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="closed"):
            call()
    assert other.client.calls == []
    assert other.traces == []


def test_an_answer_after_close_is_absorbed() -> None:
    w = world(Late(5.0, "COMPLETED"))
    w.reactor.at(1.0, w.job.close)
    with pytest.raises(UsageError):
        w.job.result()
    w.reactor.advance(10.0)
    assert w.traces == []
    assert w.client.count("job_results") == 0


def test_cancel_of_a_job_that_has_ended_says_what_may_be_called() -> None:
    w = world("COMPLETED")
    w.job.result()
    with pytest.raises(RuntimeInvalidStateError, match="DONE") as caught:
        w.job.cancel()
    assert caught.value.legal == ("status", "result")


def test_a_creation_date_that_is_no_time_is_the_callers_mistake() -> None:
    with pytest.raises(UsageError, match="creation_date is no ISO 8601 time: 'yesterday'"):
        world(creation_date="yesterday")
