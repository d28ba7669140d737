"""The reader of the local runner's pipes: bytes in, events out.

Every scenario is fed whole, then one byte at a time, then cut anywhere: the same outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.local.frames import MAX_FRAME_BYTES
from adapters.local.host import HEADER, INTERIM, RESULT
from adapters.local.pipe_stream import ALIVE, CLOSED, OPENED, PING, REFUSED, PipeStream, frame
from runtime_core.errors import TransportError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamOpened,
)

BYE = frame(CLOSED)
TEXTS = ("1", '"ü€𝄞"', "", '"' + "x" * 70_000 + '"')
STORY = frame(OPENED) + b"".join(frame(INTERIM, text.encode()) for text in TEXTS)


def fed(parts: Iterable[bytes]) -> list[StreamEvent]:
    """Feed a new reader; give its events, with all messages in one where no other is between."""
    reader = PipeStream(7)
    reader.start()
    events: list[StreamEvent] = []
    for part in parts:
        for event in reader.receive(part):
            last = events[-1] if events else None
            if isinstance(event, InterimReceived) and isinstance(last, InterimReceived):
                events[-1] = InterimReceived(7, last.messages + event.messages)
            else:
                events.append(event)
        assert reader.data_to_send() == b""
    return events


def bytewise(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def error_of(events: Sequence[StreamEvent]) -> TransportError:
    last = events[-1]
    assert isinstance(last, StreamFailed)
    assert last.connection == 7
    assert isinstance(last.error, TransportError)
    return last.error


WHOLE = [StreamOpened(7), InterimReceived(7, TEXTS), StreamClosed(7)]


def test_a_stream_is_read_whole_and_byte_by_byte() -> None:
    story = frame(ALIVE) + STORY + frame(ALIVE) + BYE
    assert fed([story]) == WHOLE
    assert fed(bytewise(story)) == WHOLE


@given(st.lists(st.integers(0, len(STORY + BYE)), max_size=6))
def test_a_stream_is_read_cut_anywhere(cuts: list[int]) -> None:
    data, places = STORY + BYE, [0, *sorted(cuts), None]
    parts = [data[a:b] for a, b in pairwise(places)]
    assert fed([part for part in parts if part]) == WHOLE


def test_the_messages_of_one_read_are_one_event() -> None:
    reader = PipeStream(7)
    assert list(reader.receive(STORY)) == [StreamOpened(7), InterimReceived(7, TEXTS)]
    assert list(reader.receive(frame(INTERIM, b"5") + BYE)) == [
        InterimReceived(7, ("5",)),
        StreamClosed(7),
    ]


@pytest.mark.parametrize("split", [bytewise, lambda data: [data]])
def test_a_refusal_says_why(split: Callable[[bytes], list[bytes]]) -> None:
    error = error_of(fed(split(frame(REFUSED, b"There is no job 'x'."))))
    assert (str(error), error.retryable) == ("There is no job 'x'.", False)


def test_the_close_may_say_why() -> None:
    assert fed([frame(CLOSED, b"enough")]) == [StreamClosed(7, 1000, "enough")]


@pytest.mark.parametrize("end", [0, 1, HEADER.size, len(frame(OPENED)) + 3, len(STORY)])
def test_a_stream_that_breaks_off_may_be_opened_again(end: int) -> None:
    events = fed([*filter(None, [STORY[:end]]), b""])
    assert error_of(events).retryable
    assert sum(isinstance(event, StreamFailed) for event in events) == 1


@pytest.mark.parametrize(
    "nonsense",
    [
        frame(RESULT, b"5"),  # of a program's report, and no part of a stream
        b"HTTP/1.1 400 Bad Request\r\n",
        HEADER.pack(INTERIM, MAX_FRAME_BYTES + 1),
        frame(INTERIM, b"\xff"),
    ],
)
def test_what_is_no_stream_ends_it_after_what_was_good(nonsense: bytes) -> None:
    for parts in ([STORY + nonsense], bytewise(STORY + nonsense)):
        events = fed(parts)
        assert events[:2] == WHOLE[:2]
        assert not error_of(events).retryable


@pytest.mark.parametrize("end", [BYE, frame(REFUSED, b"no"), b"nonsense of twenty bytes", b""])
def test_nothing_comes_after_the_end(end: bytes) -> None:
    reader = PipeStream(7)
    assert len(reader.receive(end)) == 1
    assert list(reader.receive(STORY + BYE)) == []
    assert list(reader.receive(b"")) == []


def test_what_follows_the_end_in_the_same_read_is_dropped() -> None:
    assert fed([STORY + BYE + frame(INTERIM, b"6") + b"nonsense"]) == WHOLE


def test_a_ping_asks_for_a_sign_of_life_once() -> None:
    reader = PipeStream(7)
    assert reader.data_to_send() == b""
    reader.ping()
    assert reader.data_to_send() == PING
    assert reader.data_to_send() == b""
    assert list(reader.receive(frame(ALIVE))) == []
    reader.close()
    assert reader.data_to_send() == b""
