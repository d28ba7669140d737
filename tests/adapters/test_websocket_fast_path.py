"""The fast path against wsproto alone: the same events at the same bytes, the same answers.

Whatever the bytes are, and however they are cut; first by enumeration, then at random.
"""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websocket_bytes import (
    BYE,
    HELLO,
    LIMIT,
    WORLD,
    Broken,
    accepted,
    bytewise,
    client,
    cut,
    frame,
    header,
    normalise,
    sent_frames,
    text,
    whole,
)
from wsproto.connection import Connection
from wsproto.events import Event

from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.ws_events import WebSocketEvent, WebSocketState
from adapters.websocket.ws_fast_path import FastPath

SMALL_LIMIT = 300
"""The limit of a message: some of the frames below are longer."""

# ---- both ways ---------------------------------------------------------------------------------


@attrs.frozen
class Trace:
    """What came of a stream, read by read."""

    reads: tuple[tuple[WebSocketEvent | Broken, ...], ...]
    """The events of each read, adjacent texts merged."""
    sent: tuple[Event, ...]
    state: WebSocketState


def opened(*, fast_path: bool, limit: int = SMALL_LIMIT) -> WebSocketProtocol:
    protocol = client(max_message_bytes=limit, fast_path=fast_path)
    protocol.start()
    protocol.receive(accepted(protocol.data_to_send()))
    return protocol


def trace(pieces: Sequence[bytes], *, fast_path: bool, close_after: int | None, eof: bool) -> Trace:
    protocol = opened(fast_path=fast_path)
    reads = []
    data = [*pieces, b""] if eof else pieces
    for number, piece in enumerate(data):
        if number == close_after:
            protocol.close(4000, "enough")
        reads.append(normalise(protocol.receive(piece)))
    return Trace(tuple(reads), sent_frames(protocol.data_to_send()), protocol.state)


def check(pieces: Sequence[bytes], *, close_after: int | None = None, eof: bool = False) -> None:
    fast = trace(pieces, fast_path=True, close_after=close_after, eof=eof)
    alone = trace(pieces, fast_path=False, close_after=close_after, eof=eof)
    assert fast == alone


# ---- by enumeration ----------------------------------------------------------------------------

SECOND_BYTES = [0, 1, 5, 125, 126, 127, 0x80, 0x85, 0xFE, 0xFF]
"""Lengths that are short and long, unmasked and masked."""


@pytest.mark.parametrize("before", [b"", text("a", fin=False)], ids=["between", "in fragments"])
@pytest.mark.parametrize("cutter", [whole, bytewise])
def test_every_first_byte(before: bytes, cutter: Callable[[bytes], list[bytes]]) -> None:
    for first, second in product(range(256), SECOND_BYTES):
        check(cutter(before + bytes([first, second]) + b"\0\x05hello\x81\x01x"))


KINDS = {
    "text": HELLO,
    "empty": text(""),
    "wide": text("ä€𝄞"),
    "long": text("a" * 130),
    "too long": text("a" * (SMALL_LIMIT + 1)),
    "not UTF-8": frame(1, b"a\xff"),
    "UTF-8 cut off": frame(1, b"a\xe2\x82"),
    "surrogate": frame(1, b"\xed\xa0\x80"),
    "needlessly long length": b"\x81\x7e\0\x05hello",
    "needlessly longer length": b"\x81\x7f" + bytes(7) + b"\x05hello",
    "enormous": header(1, 2**62),
    "beyond 63 bits": header(1, 2**63),
    "masked": b"\x81\x81\0\0\0\0a",
    "reserved bit": frame(1, b"a", rsv=4),
    "binary": frame(2, b"\xff"),
    "first fragment": frame(1, b"\xe2\x82", fin=False),
    "fragment": frame(0, b"\xac", fin=False),
    "last fragment": frame(0, b"\xac"),
    "ping": frame(9, b"?"),
    "pong": frame(10),
    "close": BYE,
    "long ping": frame(9, b"x" * 126),
    "opcode 3": frame(3),
}
TAIL = text("end")


def single_cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole, bytewise, and in two at every place where there is something to be cut."""
    yield whole(data)
    if len(data) < 100:
        yield bytewise(data)
    edges = {*range(min(len(data), 24)), *range(max(0, len(data) - 24), len(data))}
    for at in sorted(edges - {0}):
        yield cut(data, [at])


@pytest.mark.parametrize("first", KINDS)
def test_every_pair_of_frames_cut_at_every_place(first: str) -> None:
    for second in KINDS:
        for pieces in single_cuts(KINDS[first] + KINDS[second]):
            check(pieces)


@pytest.mark.parametrize("first", KINDS)
def test_every_three_frames(first: str) -> None:
    for second, third in product(KINDS, KINDS):
        check([KINDS[first] + KINDS[second] + KINDS[third] + TAIL], eof=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_close_of_ours_in_the_middle_of_a_frame(kind: str) -> None:
    data = HELLO + KINDS[kind] + HELLO + BYE
    for at in range(1, min(len(data), 40)):
        check(cut(data, [at]), close_after=1)


# ---- at random ---------------------------------------------------------------------------------

LENGTHS = st.sampled_from([0, 1, 125, 126, 127, 255, SMALL_LIMIT - 1, SMALL_LIMIT, SMALL_LIMIT + 1])
TEXTS = st.one_of(
    st.text(max_size=60).map(text),
    LENGTHS.map(lambda size: frame(1, b"a" * size)),
    LENGTHS.map(lambda size: frame(1, "€".encode() * (size // 3))),
)
ODD = st.one_of(
    st.sampled_from(list(KINDS.values())),
    st.builds(
        frame,
        st.integers(0, 15),
        st.binary(max_size=20),
        fin=st.booleans(),
        rsv=st.sampled_from([0, 0, 0, 4]),
    ),
)
HEADERS = st.builds(
    lambda first, second, size, rest: bytes([first, second]) + size + rest,
    st.sampled_from([0x81, 0x81, 0x01, 0x80, 0x00, 0x82, 0x89]),
    st.sampled_from([5, 125, 126, 127, 0xFE, 0xFF]),
    st.sampled_from([b"\0\x05", b"\0\xff", struct.pack("!Q", 5), struct.pack("!Q", 65536), b""]),
    st.binary(max_size=30),
)
SESSIONS = st.lists(st.one_of(TEXTS, TEXTS, ODD, HEADERS), max_size=12).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(SESSIONS))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            match draw(st.sampled_from(["set", "delete", "insert"])):
                case "set":
                    data[at] = draw(st.integers(0, 255))
                case "delete":
                    del data[at]
                case _:
                    data.insert(at, draw(st.integers(0, 255)))
    return bytes(data)


STREAMS = st.one_of(SESSIONS, mutated(), st.binary(max_size=60))


@settings(max_examples=400, deadline=None)
@given(STREAMS, st.data(), st.none() | st.integers(0, 5), st.booleans())
def test_any_stream_cut_anywhere(
    stream: bytes, data: st.DataObject, close_after: int | None, eof: bool
) -> None:
    places = st.lists(st.integers(1, max(1, len(stream) - 1)), max_size=8)
    check(cut(stream, data.draw(places)), close_after=close_after, eof=eof)


@settings(max_examples=100, deadline=None)
@given(STREAMS)
@example(text("a" * 4000, fin=False) + frame(0, b"b") + HELLO + frame(0, b"c" * 200))
def test_any_stream_byte_by_byte(stream: bytes) -> None:
    check(bytewise(stream), eof=True)


# ---- what is the fast path's, and what is not --------------------------------------------------


def parts(pieces: Sequence[bytes], limit: int = LIMIT) -> list[list[str] | bytes]:
    path = FastPath(limit)
    return [part for piece in pieces for part in path.cut(piece)]


PING = frame(9, b"?")
LONG = "a" * 70_000


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([HELLO + WORLD], [["hello", "wörld"]]),
        ([HELLO + PING + WORLD], [["hello"], PING, ["wörld"]]),
        ([HELLO + PING[:2], PING[2:] + WORLD], [["hello"], PING[:2], PING[2:], ["wörld"]]),
        ([text("a" * 200) + HELLO[:4], HELLO[4:] + WORLD], [["a" * 200], ["hello"], ["wörld"]]),
        ([HELLO[:2], HELLO[2:]], [["hello"]]),
        ([HELLO[:1], HELLO[1:] + WORLD], [HELLO[:1], HELLO[1:], ["wörld"]]),
        (bytewise(HELLO), bytewise(HELLO)),
        ([text(LONG)], [[LONG]]),
        ([text(LONG)[:30_000], text(LONG)[30_000:] + HELLO], [[LONG], ["hello"]]),
        ([text("€")[:3], text("€")[3:] + text("€")[:4], text("€")[4:]], [["€"], ["€"]]),
        ([frame(1, b"a\xff")], [frame(1, b"a\xff")]),
        ([frame(1, b"a\xff" + b"b" * 99)[:7]], [frame(1, b"a\xff" + b"b" * 99)[:7]]),
        (
            [b"\x81\x04a\xe2", b"\x28\xa1" + HELLO[:4], HELLO[4:]],
            [b"\x81\x04a\xe2\x28\xa1", ["hello"]],
        ),
        ([b"\x81\x04a\xff", b"bc" + HELLO[:4], HELLO[4:]], [b"\x81\x04a\xff", b"bc", ["hello"]]),
        (
            [text("a", fin=False) + PING + frame(0, b"b") + HELLO],
            [text("a", fin=False) + PING + frame(0, b"b"), ["hello"]],
        ),
        ([frame(2, b"b") + HELLO], [frame(2, b"b"), ["hello"]]),
        ([text("a" * (LIMIT + 1))], [text("a" * (LIMIT + 1))]),
    ],
)
def test_what_it_cuts(pieces: list[bytes], expected: list[list[str] | bytes]) -> None:
    assert parts(pieces, limit=100_000 if len(pieces[0]) > 20_000 else LIMIT) == expected


def test_a_length_of_64_bits_is_for_wsproto_to_refuse_whatever_the_limit() -> None:
    assert parts([header(1, 2**63)], limit=2**64) == [header(1, 2**63)]
    assert parts([header(1, 2**63 - 1)], limit=2**64) == []


def test_nothing_is_allocated_because_a_header_announces_it() -> None:
    path = FastPath(2**40)
    tracemalloc.start()
    try:
        assert list(path.cut(header(1, 2**39) + b"abc")) == []
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_a_message_is_kept_once_while_it_comes() -> None:
    size = 1_000_000
    path = FastPath(size)
    piece = b"a" * 1000
    assert list(path.cut(header(1, size))) == []
    tracemalloc.start()
    try:
        for _ in range(999):
            assert list(path.cut(piece)) == []
        assert tracemalloc.get_traced_memory()[1] < 1.3 * size  # it grows by an eighth at a time
        assert list(path.cut(piece)) == [["a" * size]]
        assert tracemalloc.get_traced_memory()[0] < 1.1 * size
    finally:
        tracemalloc.stop()


def test_plain_messages_do_not_reach_wsproto(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    protocol = opened(fast_path=True)
    receive = Connection.receive_data

    def record(connection: Connection, data: bytes | None) -> None:
        seen.append(data)
        receive(connection, data)

    monkeypatch.setattr(Connection, "receive_data", record)
    protocol.receive(HELLO * 1000 + PING + WORLD[:3])
    protocol.receive(WORLD[3:])
    assert seen == [PING]


def test_whole_messages_are_cut_in_one_step_and_nothing_else_is() -> None:
    path = FastPath(1000)
    both = b"\x81\x01a\x81\x02bc"
    assert path.cut_whole(both) == ["a", "bc"]
    for other in (both + b"\x81", both + b"\x89\x00", b"\x01\x01a", b"\x82\x01a", b"\x81\x01\xff"):
        assert path.cut_whole(other) == []
    assert list(path.cut(both)) == [["a", "bc"]]  # nothing of the others was kept
    list(path.cut(b"\x81\x02b"))
    assert path.cut_whole(b"c") == path.cut_whole(both) == []  # a message is incomplete
    list(path.cut(b"c\x01\x01a"))
    assert path.cut_whole(both) == []  # in a fragmented one
