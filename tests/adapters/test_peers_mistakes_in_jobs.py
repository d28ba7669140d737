"""What the peers get wrong, one test each, on a fake clock.

The list stands in the design; what it takes sockets to show is in `tests/real`.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from async_fakes import each_driver  # noqa: F401 - its fixture
from blocking_face import make_job
from fakes import (
    BREAKS,
    CLOSES,
    OPENS,
    REFUSES,
    FakeClient,
    FakeReactor,
    FakeStreams,
    Late,
    Opens,
    Script,
    failure,
    over_time,
    says,
    world,
)
from many_jobs import ListedJobs, ManyJobs, follow

from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import (
    JobTimeoutError,
    RuntimeJobFailureError,
    TransportError,
    UnknownStatusError,
)
from runtime_core.events import JobQueued, JobStarted
from runtime_core.states import JobState
from runtime_core.traits import Resume


class Lines:
    @classmethod
    def decode(cls, data: str) -> list[str]:
        return data.splitlines()


@pytest.fixture
def heard() -> list[Any]:
    return []


def test_cancel_writes_cancelled_by_itself() -> None:
    w = world("RUNNING", "RUNNING", "COMPLETED")
    w.job.cancel()
    assert w.job.status() is not JobState.CANCELLED
    assert w.job.result() == 42
    assert w.job.status() is JobState.DONE
    assert w.job.cancel_outcome() is CancelOutcome.FINISHED_ANYWAY


def test_timeout_1_wait_5_blocks_for_five_seconds() -> None:
    w = world("RUNNING")
    with w.takes(1.0), pytest.raises(JobTimeoutError):
        w.job.result(timeout=1, wait=5)


def test_sleeps_go_past_the_deadline() -> None:
    w = world(failure(503, retryable=True, after=300))
    with w.takes(1.0), pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(timeout=1, wait=5)


def test_wall_clock_time_ends_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: pytest.fail("somebody asked a clock on the wall"))
    w = world("RUNNING", "COMPLETED")
    assert w.job.result(timeout=1) == 42


def test_a_result_cached_under_one_decoder_is_returned_for_another() -> None:
    w = world("COMPLETED", result="[1,\n2]")
    assert w.job.result() == [1, 2]
    assert w.job.result(decoder=Lines) == ["[1,", "2]"]
    assert w.job.result() == [1, 2]


@pytest.mark.parametrize("text", ["0", "null", "[]", '""'])
def test_falsy_results_are_fetched_again(text: str) -> None:
    w = world("COMPLETED", result=text)
    for _ in range(3):
        assert not w.job.result()
    assert w.client.count("job_results") == 1


def test_close_code_1000_is_taken_for_finished(heard: list[Any]) -> None:
    script: list[Script] = [(OPENS, says("1"), 1.0, CLOSES), (OPENS, says("2"), 9.0, CLOSES)]
    w = world(streams=Resume.OFFSET, script=[*script, (OPENS, CLOSES)], initial=JobStarted())
    w.client.now_says(over_time(w.reactor, "RUNNING", (8.0, "COMPLETED")))
    w.job.stream_results(lambda _, value: heard.append(value))
    assert w.job.result() == 42
    assert heard == [1, 2]
    assert w.reactor.elapsed >= 8.0


@pytest.mark.parametrize("result", ["42", "43"])
def test_the_final_result_is_shown_as_interim(heard: list[Any], result: str) -> None:
    streams = FakeStreams(Resume.LIVE, streams_result=True)
    script: Script = (OPENS, says("1"), 3.0, says(result), CLOSES)
    w = world(streams=streams, script=[script], result="42", initial=JobStarted())
    w.client.now_says(over_time(w.reactor, "RUNNING", (3.0, "COMPLETED")))
    w.job.stream_results(lambda _, value: heard.append(value))
    assert w.job.result() == 42
    assert heard == ([1] if result == "42" else [1, 43])


@pytest.mark.parametrize("resume", [Resume.OFFSET, Resume.REPLAY])
def test_reconnecting_replays_from_the_start(heard: list[Any], resume: Resume) -> None:
    again = says("1", "2", "3") if resume is Resume.REPLAY else says("3")
    script: list[Script] = [(OPENS, says("1", "2"), BREAKS), (OPENS, again)]
    w = world("RUNNING", streams=resume, script=script, initial=JobStarted())
    w.job.stream_results(lambda _, value: heard.append(value))
    w.reactor.advance(5.0)
    assert heard == [1, 2, 3]


def test_reconnecting_goes_on_from_now_and_nobody_hears_of_the_loss(heard: list[Any]) -> None:
    script: list[Script] = [(OPENS, says("1", "2"), BREAKS), (OPENS, says("4"))]
    streams = FakeStreams(Resume.LIVE)
    w = world("RUNNING", streams=streams, script=script, initial=JobStarted())
    w.job.stream_results(
        lambda _, value: heard.append(value), on_gap=lambda _, gap: heard.append(gap.after)
    )
    w.reactor.advance(5.0)
    assert heard == [1, 2, 2, 4]


def test_a_replayed_message_resets_the_retry_count() -> None:
    script: Script = (OPENS, says("1"), BREAKS)
    w = world("RUNNING", streams=Resume.REPLAY, script=[script] * 100, initial=JobStarted())
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(60.0)
    opened = [channel.opened_at for channel in w.reactor.channels]
    assert len(opened) <= 12
    assert opened[-1] - opened[-2] == 8.0


@pytest.mark.parametrize(
    "text", ['{"status": "COMPLETED"}', "EOF", "", "close", "[DONE]", '"__end__"']
)
def test_a_message_whose_text_equals_an_end_marker_ends_the_stream(
    heard: list[Any], text: str
) -> None:
    script: Script = (OPENS, says("1", text, "2"), 0.5, says("3"))
    w = world("RUNNING", streams=Resume.OFFSET, script=[script], initial=JobStarted())
    w.job.stream_results(lambda _, value: heard.append(value))
    w.reactor.advance(2.0)
    assert [heard[0], *heard[2:]] == [1, 2, 3]


def test_an_unknown_status_loops_for_ever() -> None:
    w = world("RUNNING", "SUSPENDED")
    with pytest.raises(UnknownStatusError):
        w.job.result()


def test_an_unknown_status_is_passed_on_as_a_raw_string() -> None:
    w = world("SUSPENDED", on_unknown_status=JobState.QUEUED)
    assert w.job.status() is JobState.QUEUED


@pytest.mark.parametrize("streams", [None, Resume.OFFSET])
def test_the_error_message_is_lost_if_the_second_of_two_requests_fails_once(
    streams: Resume | None,
) -> None:
    w = world("FAILED", result=[failure(502, retryable=True), "boom"], streams=streams)
    with pytest.raises(RuntimeJobFailureError, match="boom"):
        w.job.result()
    assert w.job.error_message() == "boom"


def test_cancelling_a_stream_during_a_back_off_waits_for_it_and_connects_once_more() -> None:
    w = world("RUNNING", streams=Resume.OFFSET, script=[(BREAKS,)] * 9, initial=JobStarted())
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(10.0)
    before = len(w.reactor.channels)
    with w.takes(0.0):
        w.job.cancel_result_streaming()
        w.reactor.settle()
    assert w.traces == []
    w.reactor.advance(100.0)
    assert len(w.reactor.channels) == before


@pytest.mark.parametrize("first", [OPENS, REFUSES, BREAKS, CLOSES])
def test_cancelling_a_stream_right_after_its_start_is_lost(first: Any, heard: list[Any]) -> None:
    script: Script = (first, says("1")) if isinstance(first, Opens) else (first,)
    w = world("RUNNING", streams=Resume.OFFSET, script=[script] * 9, initial=JobQueued())
    w.job.stream_results(lambda _, value: heard.append(value))
    w.job.cancel_result_streaming()
    w.reactor.advance(100.0)
    assert heard == []
    assert w.traces == []
    assert len(w.reactor.channels) <= 1


def test_429_and_retry_after_are_ignored() -> None:
    busy = failure(429, retryable=True, after=60)
    w = world(busy, busy, "COMPLETED")
    assert w.job.result(wait=0.1) == 42
    assert w.client.times("job_get") == [0.0, 60.0, 120.0]


def test_an_endless_retry_after_is_obeyed() -> None:
    w = world(failure(503, retryable=True, after=1e9), "COMPLETED")
    assert w.job.result() == 42
    assert w.client.times("job_get") == [0.0, 300.0]


def test_retry_after_of_the_result_is_ignored() -> None:
    w = world("COMPLETED", result=[failure(429, retryable=True, after=60), "42"])
    with w.takes(60.0):
        assert w.job.result() == 42


@pytest.mark.parametrize("service", [ManyJobs, ListedJobs])
def test_a_thousand_waiting_jobs_poll_a_thousand_times_a_second(service: type[ManyJobs]) -> None:
    many = service(FakeReactor())
    for job in many.jobs(1000):
        follow(job)
    many.reactor.advance(30.0)
    before = len(many.calls)
    many.reactor.advance(10.0)
    # Polled every five seconds; ten pages of a list tell of all of them.
    assert len(many.calls) - before == (2 * 10 if service is ListedJobs else 100)
    assert most_in_a_second(many) <= (10 if service is ListedJobs else 20)


def most_in_a_second(many: ManyJobs) -> int:
    times = [time for _, _, time in many.calls]
    return max(sum(start <= time < start + 1 for time in times) for start in times)


def test_the_token_appears_in_an_exception_a_log_line_or_a_repr(
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = "s3cret-token"
    reactor = FakeReactor()
    reactor.connections += [(BREAKS,)] * 9
    streams = RuntimeWebsocketClient("https://host.example", token)
    client = FakeClient(reactor, "RUNNING")
    job = make_job("b", client, streams, "j1", "p", reactor=reactor, initial=JobStarted())
    with caplog.at_level(logging.DEBUG):
        job.stream_results(lambda *_: None)
        reactor.advance(3.0)
    assert "j1" in caplog.text
    shown = [caplog.text, repr(job), repr(streams), repr(reactor.channel.endpoint)]
    assert token not in "".join(shown)


def test_ctrl_c_leaves_threads_behind_or_cancels_the_job() -> None:
    w = world("RUNNING", streams=Resume.OFFSET, script=[(OPENS,)], initial=JobStarted())
    w.reactor.interrupt(3.0)
    with pytest.raises(KeyboardInterrupt):
        w.job.result()
    assert w.traces == []
    assert w.client.count("job_cancel") == 0


def test_leaving_a_with_block_cancels_a_job_that_was_meant_to_go_on() -> None:
    w = world("RUNNING", streams=Resume.OFFSET, initial=JobStarted())
    with w.job as job:
        job.stream_results(lambda *_: None)
    w.reactor.advance(10.0)
    assert w.client.count("job_cancel") == 0
    assert w.traces == []


def test_one_slow_request_holds_up_what_another_call_can_answer() -> None:
    w = world(Late(60.0, "RUNNING"), cancel="")
    w.reactor.at(1.0, w.job.cancel)
    with w.takes(2.0), pytest.raises(JobTimeoutError):
        w.job.result(timeout=2)
    assert w.client.times("job_cancel") == [1.0]


def test_a_refused_cancel_is_swallowed() -> None:
    w = world("RUNNING", cancel=failure(500))
    with pytest.raises(TransportError):
        w.job.cancel()
    assert w.job.cancel_outcome() is CancelOutcome.UNKNOWN
