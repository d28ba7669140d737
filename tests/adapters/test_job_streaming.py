"""The interim results of a `RuntimeJob`: callbacks, the iterator, and who waits for whom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from async_fakes import each_driver  # noqa: F401 - its fixture
from fakes import (
    BREAKS,
    CLOSES,
    NEVER,
    OPENS,
    REFUSES,
    Answer,
    FakeStreams,
    Script,
    World,
    over_time,
    says,
    world,
)

from adapters.drivers import inbox
from adapters.drivers.inbox import Gap
from adapters.drivers.job_driver import SILENCE
from runtime_core.decoders import ResultDecoder
from runtime_core.errors import (
    DecodeError,
    JobTimeoutError,
    RuntimeInvalidStateError,
    TransportError,
)
from runtime_core.events import JobQueued, JobStarted, JobSucceeded
from runtime_core.stream import LAST_ATTEMPTS
from runtime_core.traits import Resume

LAST: Script = (OPENS, CLOSES)
"""A connection that has nothing more to tell."""
MALFORMED = '{"__type__": "complex", "__value__": "no"}'


@attrs.define(eq=False)
class Heard:
    """A callback that keeps what it gets."""

    items: list[Any] = attrs.field(factory=list)

    def __call__(self, job_id: str, value: Any) -> None:
        assert job_id == "j1"
        self.items.append(value)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="adapters.drivers")


def streamed(
    *script: Script, ends: float = 5.2, resume: Resume = Resume.OFFSET, **kw: Any
) -> World:
    """A running job that ends after so many seconds."""
    w = world(streams=FakeStreams(resume), script=script, initial=JobStarted(), **kw)
    w.client.now_says(over_time(w.reactor, "RUNNING", (ends, "COMPLETED")))
    return w


# ---- callbacks ---------------------------------------------------------------------------------


def test_a_callback_gets_every_interim_result_in_order(heard: Heard) -> None:
    w = streamed((0.1, OPENS, says("1"), 0.5, says("[2]", "null"), 4.9, CLOSES), LAST)
    w.job.stream_results(heard)
    assert w.job.result() == 42
    w.reactor.settle()
    assert heard.items == [1, [2], None]
    assert w.traces == []
    assert w.job.stream_error() is None


def test_a_user_callback_starts_the_stream(heard: Heard) -> None:
    w = streamed((OPENS, says("1"), 5.5, CLOSES), LAST, user_callback=heard)
    assert w.job.result() == 42
    assert heard.items == [1]


def test_a_user_callback_needs_a_service_with_streams(heard: Heard) -> None:
    with pytest.raises(RuntimeInvalidStateError, match="no streams"):
        world(user_callback=heard)


def test_a_stream_that_is_not_ready_is_opened_when_the_job_starts() -> None:
    script: list[Script] = [(REFUSES,), (OPENS, says("1"))]
    w = world(streams=Resume.OFFSET, script=script, initial=JobQueued())
    w.client.now_says(over_time(w.reactor, "QUEUED", (30.0, "RUNNING")))
    found = Heard()
    w.job.stream_results(found)
    w.reactor.advance(29.0)
    assert len(w.reactor.channels) == 1
    w.reactor.advance(8.0)
    assert len(w.reactor.channels) == 2
    assert found.items == [1]


def test_interim_results_are_decoded_as_results_are() -> None:
    class Shouting:
        @classmethod
        def decode(cls, data: str) -> str:
            return data + "!"

    for job_s, call_s in ((Shouting, None), (ResultDecoder, Shouting)):
        w = streamed((OPENS, says("1")), result_decoder=job_s)
        found = Heard()
        w.job.stream_results(found, call_s)
        w.reactor.advance(1.0)
        assert found.items == ["1!"]


@pytest.mark.parametrize("second", ["stream_results", "interim_results"])
def test_a_job_is_streamed_once_at_a_time(second: str, heard: Heard) -> None:
    w = streamed((OPENS, says("1"), 1.0, says("2")))
    w.job.stream_results(heard)
    with pytest.raises(RuntimeInvalidStateError, match="streamed already"):
        w.job.interim_results() if second == "interim_results" else w.job.stream_results(print)
    w.reactor.advance(2.0)
    assert heard.items == [1, 2]


def test_a_refused_stream_leaves_the_error_of_the_former_one() -> None:
    w = streamed((OPENS, says(MALFORMED)))
    w.job.stream_results(print)
    w.reactor.advance(1.0)
    error = w.job.stream_error()
    assert isinstance(error, DecodeError)
    w.job.wait_for_final_state()
    with pytest.raises(RuntimeInvalidStateError, match="has ended"):
        w.job.stream_results(print)
    assert w.job.stream_error() is error


def test_a_new_stream_has_no_error() -> None:
    w = streamed((OPENS, says(MALFORMED)), (OPENS, says("1")))
    w.job.stream_results(print)
    w.reactor.advance(1.0)
    assert w.job.stream_error() is not None
    w.job.stream_results(lambda *_: None)
    assert w.job.stream_error() is None


def test_a_job_known_to_have_ended_is_not_streamed(heard: Heard) -> None:
    for resume in Resume:
        w = world("COMPLETED", streams=resume)
        w.job.status()
        with pytest.raises(RuntimeInvalidStateError, match="has ended"):
            w.job.stream_results(heard)
        assert w.traces == []


def test_a_reconnect_goes_on_where_it_stopped(heard: Heard) -> None:
    w = streamed((OPENS, says("1", "2"), 1.0, BREAKS), (OPENS, says("3"), 1.0, BREAKS), (OPENS,))
    w.job.stream_results(heard)
    w.job.result()
    assert heard.items == [1, 2, 3]
    assert w.streams is not None
    assert w.streams.asked[:3] == [0, 2, 3]  # and perhaps once more after the end


def test_a_reconnect_of_a_service_that_keeps_nothing_is_a_gap(heard: Heard) -> None:
    gaps: list[tuple[str, Gap]] = []
    script: list[Script] = [(OPENS, says("1", "2"), 1.0, BREAKS), (OPENS, says("4"), 6.0, CLOSES)]
    w = streamed(*script, resume=Resume.LIVE)
    w.job.stream_results(heard, on_gap=lambda job_id, gap: gaps.append((job_id, gap)))
    w.job.result()
    assert heard.items == [1, 2, 4]
    assert gaps[0] == ("j1", Gap(2))


def test_a_gap_that_nobody_wants_to_hear_of_is_no_error(heard: Heard) -> None:
    w = streamed((OPENS, says("1"), 1.0, BREAKS), (OPENS, says("2")), resume=Resume.LIVE)
    w.job.stream_results(heard)
    w.reactor.advance(4.0)
    assert heard.items == [1, 2]
    assert w.job.stream_error() is None


# ---- the user's mistakes -----------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(3)])
def test_an_exception_in_a_callback_ends_the_stream_only(error: BaseException) -> None:
    calls: list[Any] = []

    def callback(job_id: str, value: Any) -> None:
        calls.append(value)
        if value == 2:
            raise error

    w = streamed((OPENS, says("1", "2", "3"), 1.0, says("4"), 6.0, CLOSES))
    w.job.stream_results(callback)
    assert w.job.result() == 42
    assert calls == [1, 2]
    assert w.job.stream_error() is error
    assert w.traces == []


def test_an_exception_in_a_callback_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def callback(job_id: str, value: Any) -> None:
        raise ValueError("oops")

    w = streamed((OPENS, says("1")))
    w.job.stream_results(callback)
    with caplog.at_level(logging.ERROR, logger="adapters.drivers"):
        w.reactor.advance(1.0)
    assert "oops" in caplog.text
    assert "Traceback" in caplog.text


def test_an_exception_in_on_gap_ends_the_stream(heard: Heard) -> None:
    error = RuntimeError("gap")

    def on_gap(job_id: str, gap: Gap) -> None:
        raise error

    w = streamed((OPENS, BREAKS), (OPENS, says("1")), resume=Resume.LIVE)
    w.job.stream_results(heard, on_gap=on_gap)
    w.reactor.advance(4.0)
    assert w.job.stream_error() is error
    assert heard.items == []


def test_an_interim_result_that_does_not_decode_ends_the_stream_only(heard: Heard) -> None:
    w = streamed((OPENS, says("1", MALFORMED, "3")))
    w.job.stream_results(heard)
    assert w.job.result() == 42
    assert heard.items == [1]
    assert isinstance(w.job.stream_error(), DecodeError)


def test_a_failing_callback_of_an_ended_stream_does_not_end_the_next(heard: Heard) -> None:
    w = streamed((OPENS, says("1")), (OPENS, says("2"), 1.0, says("3")))

    def callback(job_id: str, value: Any) -> None:
        w.job.cancel_result_streaming()
        w.job.stream_results(heard)
        raise ValueError("oops")

    w.job.stream_results(callback)
    w.reactor.advance(4.0)
    assert heard.items == [2, 3]
    assert w.job.stream_error() is None


# ---- cancelling the stream ---------------------------------------------------------------------


def test_after_cancel_result_streaming_no_callback_is_called(heard: Heard) -> None:
    w = streamed((OPENS, says("1"), 1.0, says("2")))
    w.job.stream_results(heard)
    w.reactor.advance(0.5)
    w.job.cancel_result_streaming()
    assert w.traces == []
    w.reactor.advance(2.0)
    assert heard.items == [1]
    assert w.job.stream_error() is None
    assert w.reactor.channel.log == ["close"]


def test_cancel_result_streaming_inside_a_callback_stops_within_the_batch() -> None:
    calls: list[Any] = []

    def callback(job_id: str, value: Any) -> None:
        calls.append(value)
        w.job.cancel_result_streaming()
        w.job.status()  # so that the loop has had its turn

    w = streamed((OPENS, says("1", "2", "3")))
    w.job.stream_results(callback)
    assert w.job.result() == 42
    assert calls == [1]


def test_cancel_result_streaming_without_a_stream() -> None:
    w = streamed()
    w.job.cancel_result_streaming()
    assert w.traces == []
    assert w.job.result() == 42


def test_a_stream_that_was_cancelled_may_be_started_again(heard: Heard) -> None:
    w = streamed((OPENS, says("1")), (OPENS, says("1", "2")))
    w.job.stream_results(print, decoder=Silent)
    w.reactor.advance(0.5)
    w.job.cancel_result_streaming()
    w.job.stream_results(heard)
    w.reactor.advance(0.5)
    assert heard.items == [1, 2]


class Silent:
    @classmethod
    def decode(cls, data: str) -> str:
        return ""


def test_close_ends_the_stream(heard: Heard) -> None:
    w = streamed((OPENS, says("1"), 1.0, says("2")))
    w.job.stream_results(heard)
    w.reactor.advance(0.5)
    w.job.close()
    w.reactor.advance(2.0)
    assert heard.items == [1]
    assert w.traces == []


# ---- result and callbacks ----------------------------------------------------------------------


def slowly(w: World, seconds: float, items: list[Any]) -> Callable[[str, Any], None]:
    def callback(job_id: str, value: Any) -> None:
        w.reactor.hold(seconds)
        items.append(value)

    return callback


def test_result_waits_for_the_callbacks() -> None:
    items: list[Any] = []
    w = streamed((OPENS, says("1"), says("2")), ends=0.0)
    w.job.stream_results(slowly(w, 3.0, items))
    w.job.status()
    with w.takes(6.0 + SILENCE):  # the stream is left open
        assert w.job.result(timeout=20) == 42
    assert items == [1, 2]


def test_result_returns_at_its_deadline_if_only_a_callback_is_late() -> None:
    w = streamed((OPENS, says("1")), ends=0.0)
    w.job.stream_results(slowly(w, NEVER, []))
    w.job.status()
    with w.takes(2.0):
        assert w.job.result(timeout=2) == 42


def test_a_result_that_is_here_waits_for_the_callbacks_too() -> None:
    items: list[Any] = []
    w = streamed((OPENS, says("1"), says("2")), ends=0.0)
    w.job.stream_results(slowly(w, 3.0, items))
    w.job.status()
    assert w.job.result(timeout=1) == 42
    with w.takes(0.0):
        assert w.job.result(timeout=0) == 42
    with w.takes(5.0 + SILENCE):  # the stream is left open
        assert w.job.result() == 42
    assert items == [1, 2]


def test_result_inside_a_callback_does_not_wait_for_callbacks() -> None:
    values: list[Any] = []
    w = streamed((OPENS, says("1")), ends=2.0)
    w.job.stream_results(lambda *_: values.append(w.job.result()))
    with w.takes(2.0 + SILENCE):  # the last pass is left open
        w.reactor.at(2.0, lambda: w.reactor.channel.feed(CLOSES))
        assert w.job.result() == 42
    assert values == [42]


def test_result_inside_on_gap_does_not_wait_for_callbacks() -> None:
    values: list[Any] = []
    w = streamed((OPENS, BREAKS), (OPENS,), resume=Resume.LIVE, ends=0.2)
    w.job.stream_results(print, on_gap=lambda *_: values.append(w.job.result()))
    w.reactor.advance(15.0)
    assert 42 in values


def test_wait_for_final_state_does_not_wait_for_callbacks() -> None:
    w = streamed((OPENS, says("1")), ends=0.0)
    w.job.stream_results(slowly(w, NEVER, []))
    w.job.status()
    w.job.wait_for_final_state()
    assert w.reactor.elapsed == 0.0


def test_after_close_result_waits_for_no_callback() -> None:
    w = streamed((OPENS, says("1")), ends=0.0)
    w.job.stream_results(slowly(w, NEVER, []))
    w.job.status()
    w.job.result(timeout=1)
    w.job.close()
    assert w.job.result() == 42


# ---- the iterator ------------------------------------------------------------------------------


def test_interim_results_come_in_order_and_end() -> None:
    w = streamed((OPENS, says("1", "2"), 1.0, says("3"), 5.0, CLOSES), LAST)
    assert list(w.job.interim_results()) == [1, 2, 3]
    assert w.reactor.elapsed == 6.0
    assert w.traces == []
    assert w.job.result() == 42


def test_interim_results_do_not_wait_for_the_end_of_the_job() -> None:
    w = streamed((OPENS, 0.5, says("1")))
    items = w.job.interim_results()
    with w.takes(0.5):
        assert next(items) == 1


def test_a_gap_is_an_item() -> None:
    script: list[Script] = [(OPENS, says("1"), 1.0, BREAKS), (OPENS, says("3"), 6.0, CLOSES)]
    w = streamed(*script, resume=Resume.LIVE)
    assert list(w.job.interim_results()) == [1, Gap(1), 3]


def test_interim_results_of_a_job_that_has_ended_where_they_are_kept() -> None:
    for resume in (Resume.OFFSET, Resume.REPLAY):
        script = (OPENS, says("1", "2"), CLOSES)
        w = world("COMPLETED", streams=resume, script=[script, script])
        w.job.wait_for_final_state()
        assert list(w.job.interim_results()) == [1, 2]
        assert list(w.job.interim_results()) == [1, 2]
        assert w.traces == []


def test_interim_results_of_a_job_that_has_ended_where_they_are_not_kept() -> None:
    w = world("COMPLETED", streams=Resume.LIVE)
    w.job.wait_for_final_state()
    with pytest.raises(RuntimeInvalidStateError, match="keeps none"):
        w.job.interim_results()


def test_interim_results_of_a_service_without_streams() -> None:
    with pytest.raises(RuntimeInvalidStateError, match="no streams"):
        world("RUNNING").job.interim_results()


def test_an_interim_result_that_does_not_decode_is_raised_and_ends_the_iterator() -> None:
    w = streamed((OPENS, says("1", MALFORMED, "3")))
    items = w.job.interim_results()
    assert next(items) == 1
    with pytest.raises(DecodeError):
        next(items)
    assert isinstance(w.job.stream_error(), DecodeError)
    assert list(items) == []
    assert w.traces == []
    assert w.job.result() == 42


def test_a_stream_that_cannot_be_had_to_its_end_is_raised() -> None:
    away = [(BREAKS,)] * LAST_ATTEMPTS
    w = world("COMPLETED", streams=Resume.OFFSET, script=[(OPENS, says("1"), BREAKS), *away])
    w.job.wait_for_final_state()
    items = w.job.interim_results()
    assert next(items) == 1
    with w.takes(0.5 + 1 + 2 + 4), pytest.raises(TransportError):
        next(items)
    assert list(items) == []
    assert isinstance(w.job.stream_error(), TransportError)


def test_leaving_early_ends_the_subscription() -> None:
    w = streamed((OPENS, says("1", "2"), 1.0, says("3")), (OPENS, says("1")))
    with w.job.interim_results() as items:
        assert next(items) == 1
    assert w.traces == []
    assert w.reactor.channel.log == ["close"]
    assert list(items) == []
    assert next(w.job.interim_results()) == 1


def test_closing_an_iterator_twice_does_not_end_the_next_stream() -> None:
    w = streamed((OPENS, says("1")), (OPENS, says("1"), 1.0, says("2")))
    first = w.job.interim_results()
    next(first)
    w.job.cancel_result_streaming()
    heard = Heard()
    w.job.stream_results(heard)
    first.close()
    first.close()
    w.reactor.advance(2.0)
    assert heard.items == [1, 2]


@pytest.mark.parametrize("how", ["cancel_result_streaming", "close"])
def test_ending_the_stream_ends_the_iterator_that_waits(how: str) -> None:
    w = streamed((OPENS, says("1")))
    items = w.job.interim_results()
    assert next(items) == 1
    w.reactor.at(2.0, getattr(w.job, how))
    with w.takes(2.0):
        assert list(items) == []
    assert w.traces == []


def test_ending_the_stream_drops_what_the_iterator_has_not_taken() -> None:
    w = streamed((OPENS, says("1", "2"), says("3")))
    items = w.job.interim_results()
    assert next(items) == 1
    w.reactor.settle()
    w.job.cancel_result_streaming()
    w.reactor.settle()
    assert list(items) == []


def test_closing_the_job_after_the_stream_s_end_ends_the_iterator() -> None:
    w = world("COMPLETED", streams=Resume.OFFSET, script=[(OPENS, says("1"), CLOSES)])
    w.job.wait_for_final_state()
    items = w.job.interim_results()
    w.reactor.advance(1.0)
    w.job.close()
    w.reactor.settle()
    assert list(items) == []


def test_nobody_waits_for_an_iterator() -> None:
    w = streamed((OPENS, says("1")), ends=0.0)
    items = w.job.interim_results()
    w.job.status()
    with w.takes(0.0):
        assert w.job.result() == 42
    assert next(items) == 1


def test_ctrl_c_in_an_iterator_leaves_it_usable() -> None:
    w = streamed((OPENS, 2.0, says("1")))
    items = w.job.interim_results()
    w.reactor.interrupt(1.0)
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert next(items) == 1


# ---- back-pressure -----------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 4)


@pytest.mark.usefixtures("small")
def test_a_full_inbox_pauses_the_connection_and_room_resumes_it() -> None:
    w = streamed((OPENS, says("1", "2", "3"), says("4", "5"), 1.0, says("6"), 9.0, CLOSES), LAST)
    items = w.job.interim_results()
    w.reactor.advance(2.0)
    assert w.reactor.channel.log == ["pause"]
    assert [next(items) for _ in range(3)] == [1, 2, 3]
    w.reactor.settle()
    assert w.reactor.channel.log == ["pause", "resume"]
    assert list(items) == [4, 5, 6]


@pytest.mark.usefixtures("small")
def test_slow_callbacks_pause_the_connection_too() -> None:
    items: list[Any] = []
    w = streamed((OPENS, says("1"), says("2", "3", "4", "5"), 1.0, says("6")))
    w.job.stream_results(slowly(w, 2.0, items))
    w.reactor.advance(1.5)
    assert (items, w.reactor.channel.log) == ([1], ["pause"])
    w.reactor.advance(9.0)
    assert w.reactor.channel.log == ["pause", "resume"]
    w.reactor.advance(3.0)
    assert items == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ends", [0.5, 2.5])
def test_the_drain_deadline_does_not_run_out_while_the_connection_is_paused(ends: float) -> None:
    w = streamed((OPENS, says(*"12345"), 2.0, says("6"), 1.0, CLOSES), ends=ends)
    items = w.job.interim_results()
    w.job.wait_for_final_state()
    w.reactor.advance(60.0)
    assert w.reactor.channel.is_live
    assert w.reactor.channel.log == ["pause"]
    assert list(items) == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("small")
def test_after_a_pause_the_drain_deadline_runs_from_its_start() -> None:
    w = streamed((OPENS, says(*"12345"), 72.0, says("6")), LAST, ends=0.5)
    items = w.job.interim_results()
    w.job.wait_for_final_state()
    w.reactor.advance(60.0 - w.reactor.elapsed)
    assert [next(items) for _ in range(5)] == [1, 2, 3, 4, 5]
    with w.takes(10.0):
        assert list(items) == []
    assert w.traces == []


@pytest.mark.usefixtures("small")
def test_a_pause_that_ends_just_before_the_drain_deadline_leaves_all_of_it() -> None:
    script: Script = (OPENS, says(*"12345"), 10.6, says("6"), 9.0, says("7"), CLOSES)
    w = streamed(script, ends=0.5, resume=Resume.LIVE)
    items = w.job.interim_results()
    w.job.wait_for_final_state(wait=0.5)
    assert w.reactor.elapsed == 0.5
    w.reactor.advance(9.9)
    assert list(items) == [1, 2, 3, 4, 5, 6, 7]
    assert w.traces == []


@pytest.mark.usefixtures("small")
def test_a_drain_deadline_that_runs_already_stands_still_during_a_pause() -> None:
    script: Script = (OPENS, 1.0, says(*"12345"), 24.0, says("6"), 0.5, CLOSES)
    w = streamed(script, ends=0.5, resume=Resume.LIVE)
    items = w.job.interim_results()
    w.job.wait_for_final_state(wait=0.5)
    w.reactor.advance(19.5)
    assert list(items) == [1, 2, 3, 4, 5, 6]
    assert w.reactor.elapsed == 25.5
    assert w.traces == []


@pytest.mark.usefixtures("small")
def test_a_full_iterator_that_is_closed_does_not_pause_the_next_stream(heard: Heard) -> None:
    w = streamed((OPENS, says(*"12345")), (OPENS, says("1"), 1.0, says("2")))
    with w.job.interim_results():
        w.reactor.advance(1.0)
        assert w.reactor.channel.is_paused
    w.job.stream_results(heard)
    w.reactor.advance(2.0)
    assert heard.items == [1, 2]
    assert w.reactor.channel.log == []


@pytest.mark.usefixtures("small")
def test_a_full_callback_queue_that_was_dropped_does_not_resume_the_next_stream() -> None:
    w = streamed((OPENS, says("1"), says(*"23456")), (OPENS, says(*"12345"), 9.0, says("6")))
    w.job.stream_results(slowly(w, 4.0, []))
    w.reactor.advance(1.0)
    assert w.reactor.channel.is_paused
    w.job.cancel_result_streaming()
    w.job.interim_results()
    w.reactor.advance(6.0)
    assert w.reactor.channel.log == ["pause"]


@pytest.mark.usefixtures("small")
def test_a_stream_is_not_opened_again_while_the_subscriber_is_full() -> None:
    second: Script = (OPENS, says("6"), CLOSES)
    w = streamed((OPENS, says(*"12345")), second, LAST, ends=3.0)
    items = w.job.interim_results()
    w.reactor.advance(0.5)
    channel = w.reactor.channel
    channel.is_paused = False
    channel.feed(BREAKS)  # it broke while we did not read
    w.reactor.advance(60.0)
    assert len(w.reactor.channels) == 1
    assert list(items) == [1, 2, 3, 4, 5, 6]
    assert w.job.result() == 42


@pytest.mark.usefixtures("small")
def test_result_comes_while_the_subscriber_is_full() -> None:
    w = streamed((OPENS, says(*"12345")), ends=3.0)
    w.job.interim_results()
    assert w.job.result(timeout=10) == 42


@pytest.mark.usefixtures("small")
def test_a_closed_job_with_a_full_subscriber_leaves_nothing() -> None:
    w = streamed((OPENS, says(*"12345")), ends=3.0)
    items = w.job.interim_results()
    w.job.wait_for_final_state()
    w.reactor.advance(30.0)
    w.job.close()
    assert w.traces == []
    assert list(items) == []


def test_a_wait_for_ever_on_a_stream_that_never_ends_is_what_was_asked_for() -> None:
    w = streamed((OPENS,), ends=NEVER)
    with pytest.raises(JobTimeoutError):
        w.job.result(timeout=3600)


def test_a_stream_that_cannot_be_asked_for_leaves_polling() -> None:
    streams = FakeStreams()
    streams.failure = ValueError("no")
    w = world("RUNNING", streams=streams, initial=JobStarted())
    w.client.now_says(over_time(w.reactor, "RUNNING", (3.0, "COMPLETED")))
    assert w.job.result() == 42
    assert w.reactor.channels == []


def test_a_final_job_given_at_the_start_may_be_replayed() -> None:
    status: Answer = "COMPLETED"
    script: Script = (OPENS, says("1"), CLOSES)
    w = world(status, streams=Resume.OFFSET, script=[script], initial=JobSucceeded())
    assert list(w.job.interim_results()) == [1]


def test_closing_an_iterator_whose_stream_has_ended_does_not_end_the_next() -> None:
    script: Script = (OPENS, says("1"), CLOSES)
    w = world(streams=Resume.OFFSET, script=[script, (OPENS, 1.0, says("1"), CLOSES)])
    w.client.now_says("COMPLETED")
    w.job.wait_for_final_state()
    first = w.job.interim_results()
    w.reactor.settle()
    second = w.job.interim_results()
    first.close()
    assert list(second) == [1]


@pytest.mark.usefixtures("small")
def test_a_full_iterator_whose_stream_has_ended_does_not_hold_back_the_next() -> None:
    w = world("COMPLETED", streams=Resume.OFFSET, script=[(), (OPENS, says("1"), CLOSES)])
    w.job.wait_for_final_state()
    first = w.job.interim_results()
    w.reactor.settle()
    w.reactor.channel.feed(OPENS, says(*"12345"), CLOSES)
    assert list(w.job.interim_results()) == [1]
    assert list(first) == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["iterator", "callback"])
def test_a_full_subscriber_that_leaves_lets_a_wait_read_on(kind: str) -> None:
    w = streamed((OPENS, says("0"), says(*"12345"), 3.0, CLOSES), LAST, ends=2.9)
    if kind == "iterator":
        w.reactor.at(1.0, w.job.interim_results().close)
    else:
        w.job.stream_results(slowly(w, NEVER, []))
        w.reactor.at(1.0, w.job.cancel_result_streaming)
    with w.takes(3.0):
        w.job.wait_for_final_state(wait=60)
    assert w.reactor.channels[0].log == ["pause", "resume"]


@pytest.mark.usefixtures("small")
def test_a_connection_that_was_held_back_is_not_opened_for_who_has_left() -> None:
    w = streamed((OPENS, says(*"12345")), LAST, ends=0.7)
    items = w.job.interim_results()
    w.reactor.advance(0.5)
    channel = w.reactor.channel
    channel.is_paused = False
    channel.feed(BREAKS)  # it broke while we did not read
    w.job.wait_for_final_state(wait=0.1)
    assert len(w.reactor.channels) == 1
    items.close()
    assert w.traces == []
    assert len(w.reactor.channels) == 1
