"""What libraries of this kind get wrong, as far as the core decides it: a test by name for each."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from scenes import (
    ERROR,
    FATAL,
    LIVE,
    LIVE_RESULT,
    OFFSET,
    POLLED,
    REPLAY,
    STOP_POLL,
    STOP_STREAM,
    Scene,
    fired,
    poll,
    polls,
    retry,
    retrying,
    streaming,
    waiting,
)

from runtime_core.cancel import CancelOutcome
from runtime_core.commands import (
    CloseStream,
    Command,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    Report,
    SendCancel,
    StartTimer,
)
from runtime_core.decoders import DecoderRegistry, decode_result
from runtime_core.errors import DecodeError, UnknownStatusError
from runtime_core.events import (
    CancelAccepted,
    CancelRequested,
    FailureReceived,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobStarted,
    JobSucceeded,
    Need,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.json_limits import DecodeLimits
from runtime_core.states import JobState
from runtime_core.tagged_json import decode_tagged
from runtime_core.traits import ServiceTraits


def test_cancel_writes_cancelled_by_itself_and_disagrees_with_the_service_for_ever() -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1), CancelAccepted(1))
    assert scene.state() is JobState.RUNNING
    scene.tell(JobSucceeded(2))
    assert scene.state() is JobState.DONE
    assert scene.outcome() is CancelOutcome.FINISHED_ANYWAY


def test_a_timeout_of_one_second_blocks_for_a_wait_of_five() -> None:
    scene = waiting(wait=5.0)
    polls(scene, 14)
    scene.tell(JobStarted(29))
    # Whoever waits may go at any time; nothing is left that could hold them up.
    assert scene.tell(WaitEnded(1)) == (STOP_POLL,)


class Length:
    @classmethod
    def decode(cls, data: str) -> int:
        return len(data)


def test_a_result_cached_under_one_decoder_is_returned_for_another() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, Need.RESULT), ResultReceived(1, "[1]"))
    text = scene.machine.result_text
    assert text is not None
    registry = DecoderRegistry()
    values = [decode_result(text, None, registry, decoder) for decoder in (Length, None, Length)]
    assert values == [3, [1], 3]


@pytest.mark.parametrize("text", ["", "0", "false", "null", "[]"])
def test_a_falsy_result_is_fetched_again(text: str) -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, Need.RESULT), ResultReceived(1, text))
    assert scene.tell(WaitStarted(2, Need.RESULT)) == (EndWait(2),)


def test_close_code_1000_is_taken_for_finished_while_the_job_runs() -> None:
    scene = streaming(OFFSET)
    assert scene.tell(StreamClosed(1, 1000)) == (retry(1, 0.5), STOP_POLL, FetchStatus(3))
    scene.tell(JobStarted(3))
    assert scene.state() is JobState.RUNNING
    assert scene.machine.is_streaming
    assert scene.tell(fired(retry(1, 0.5))) == (OpenStream(2, 0),)


def test_the_final_result_is_shown_as_an_interim_one() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("42", "42")))  # an interim result that is equal, and the result
    scene.tell(StreamClosed(1), JobSucceeded(3))
    assert scene.tell(ResultReceived(4, "42")) == (EndSubscription(1),)
    assert scene.ledger.delivered == 1


@pytest.mark.parametrize("traits", [OFFSET, REPLAY])
def test_a_reconnect_duplicates_messages_or_loses_them(traits: ServiceTraits) -> None:
    messages = tuple(f"m{number}" for number in range(6))
    scene = streaming(traits)
    got: list[str] = []
    connection = 1
    for cut in range(1, 7):
        first = connection - 1 if traits is OFFSET else 0
        for order in scene.tell(InterimReceived(connection, messages[first:cut])):
            assert isinstance(order, Deliver)
            got.extend(order.messages)
        closed: tuple[Command, ...] = scene.tell(StreamClosed(connection, 1006))
        (timer,) = (c for c in closed if isinstance(c, StartTimer))
        connection += 1
        assert scene.tell(fired(timer)) == (OpenStream(connection, cut),)
        scene.tell(StreamOpened(connection))
    assert tuple(got) == messages


def test_a_live_service_loses_messages_in_silence() -> None:
    scene = streaming(LIVE)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1, 1006), fired(retry(1, 0.5)))
    assert scene.tell(StreamOpened(2)) == (DeliverGap(1, 1),)


def test_a_replayed_message_resets_the_retry_count() -> None:
    scene = streaming(REPLAY)
    scene.tell(InterimReceived(1, ("m",)))
    delays = []
    for connection in range(1, 7):
        closed = scene.tell(StreamClosed(connection))
        (timer,) = (c for c in closed if isinstance(c, StartTimer))
        delays.append(timer.delay)
        scene.tell(fired(timer), StreamOpened(connection + 1))
        assert scene.tell(InterimReceived(connection + 1, ("m",))) == ()
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize("text", ["", "poison_pill", "DONE", "null", '{"type": "end"}', "\x00"])
def test_a_message_whose_text_equals_an_end_marker_ends_the_stream(text: str) -> None:
    scene = streaming(OFFSET)
    assert scene.tell(InterimReceived(1, (text, text))) == (Deliver(1, 0, (text, text)),)
    assert scene.machine.is_streaming


def test_an_unknown_status_loops_for_ever_or_is_passed_on_as_a_raw_string() -> None:
    scene = waiting()
    report, end = scene.tell(UnknownStatusReported("Pondering", 1))
    assert isinstance(report, Report)
    assert isinstance(report.error, UnknownStatusError)
    assert end == EndWait(1, report.error)
    assert scene.state() is JobState.QUEUED


def test_a_proxys_error_page_becomes_the_result() -> None:
    # The transport says that it is no result; the core holds none then.
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, Need.RESULT))
    assert scene.tell(RequestFailed(1, FATAL)) == (EndWait(1, FATAL),)
    assert scene.machine.result_text is None


def test_the_error_message_is_lost_if_the_second_of_two_requests_fails_once() -> None:
    scene = Scene(POLLED, WaitStarted(1, Need.RESULT))
    assert scene.tell(JobFailed(1, None, 17)) == (FetchFailure(2),)
    out = scene.tell(RequestFailed(2, ERROR, retryable=True))
    assert out == (poll(3, 0.5), retrying("0.5"))
    assert scene.tell(fired(poll(3, 0.5))) == (FetchFailure(4),)
    assert scene.tell(FailureReceived(4, "boom")) == (EndWait(1),)
    failure = scene.machine.failure
    assert failure is not None
    assert (failure.reason, failure.reason_code) == ("boom", 17)


def test_cancelling_a_stream_during_a_back_off_waits_for_it_and_connects_once_more() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobStarted(3))
    assert scene.tell(SubscriptionCancelled(1)) == (EndSubscription(1), STOP_POLL, STOP_STREAM)
    assert scene.tell(fired(retry(1, 0.5))) == ()  # it had fired already


def test_cancelling_a_stream_right_after_its_start_is_lost() -> None:
    scene = Scene(OFFSET, JobStarted(), SubscriptionRequested(1))
    out = scene.tell(SubscriptionCancelled(1))
    assert out == (EndSubscription(1), STOP_POLL, CloseStream(1))
    assert scene.tell(StreamOpened(1)) == ()
    assert scene.tell(InterimReceived(1, ("m",))) == ()


def test_retry_after_is_ignored() -> None:
    scene = waiting(wait=0.02)
    out = scene.tell(RequestFailed(1, ERROR, retryable=True, retry_after=120.0))
    assert out == (poll(2, 120.0), retrying("120"))
    assert scene.tell(WaitStarted(2, Need.RESULT, 0.02)) == ()


def test_a_waiting_job_polls_a_thousand_times_a_second() -> None:
    assert min(polls(waiting(wait=0.0), 50)) == 0.02


def test_code_runs_because_a_result_names_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "named_by_a_result.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    named = {"__module__": "named_by_a_result", "__class__": "X", "x": 1}
    text = json.dumps({"__type__": "to_json", **named})
    assert decode_tagged(text) == json.loads(text)
    assert "named_by_a_result" not in sys.modules


def tagged_array(data: bytes) -> str:
    packed: Any = base64.b64encode(zlib.compress(data)).decode()
    return json.dumps({"__type__": "ndarray", "__value__": packed})


def test_a_small_message_inflates_to_gigabytes() -> None:
    with pytest.raises(DecodeError) as refusal:
        decode_tagged(tagged_array(bytes(1 << 20)), DecodeLimits(max_inflated_bytes=1 << 10))
    assert refusal.value.limit == "max_inflated_bytes"


def test_a_small_text_takes_a_lot_of_memory_as_objects() -> None:
    with pytest.raises(DecodeError) as refusal:
        decode_tagged("[" + "[]," * 1000 + "[]]", DecodeLimits(max_nodes=1000))
    assert refusal.value.limit == "max_nodes"


def test_an_interrupted_wait_cancels_the_job() -> None:
    scene = waiting()
    scene.tell(JobStarted(1))
    assert scene.tell(WaitEnded(1)) == (STOP_POLL,)
    assert scene.outcome() is None


def test_a_cancel_is_repeated_for_everybody_who_asks() -> None:
    scene = Scene(POLLED, CancelRequested(1))
    assert scene.tell(CancelRequested(2)) == ()
    assert list(scene.ledger.requests.values()) == [SendCancel]


def test_the_result_of_a_cancelled_job_is_fetched_and_nothing_is_decoded() -> None:
    scene = Scene(POLLED, WaitStarted(1, Need.RESULT))
    assert scene.tell(JobCancelled(1)) == (EndWait(1),)
    assert scene.machine.result_text is None


def test_two_waits_fetch_the_result_twice() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, Need.RESULT))
    assert scene.tell(WaitStarted(2, Need.RESULT)) == ()
    assert list(scene.ledger.requests.values()) == [FetchResult]


def test_the_stream_is_closed_before_its_last_messages_came() -> None:
    scene = streaming(OFFSET)
    assert scene.tell(JobSucceeded()) == (STOP_POLL, retry(1, 10.0))
    assert scene.tell(InterimReceived(1, ("last",))) == (Deliver(1, 0, ("last",)),)
    assert scene.tell(StreamClosed(1)) == (STOP_STREAM, EndSubscription(1))
