"""The sans-IO websocket client against wsproto's server role, and against bytes made by hand.

Every scenario is fed whole, then one byte at a time, then cut anywhere: the same outcome.
"""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websocket_bytes import (
    BYE,
    HELLO,
    LIMIT,
    TOKEN,
    WORLD,
    Answer,
    Broken,
    Outcome,
    accepted,
    bytewise,
    client,
    close_frame,
    cut,
    frame,
    frames,
    header,
    normalise,
    raw,
    run,
    text,
    whole,
)
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.ws_events import (
    BinaryReceived,
    Closed,
    Failed,
    Opened,
    PongReceived,
    Rejected,
    TextReceived,
    WebSocketEvent,
    WebSocketState,
)
from runtime_core.errors import UsageError


def broken(what: str, code: int | None, *, retryable: bool) -> Broken:
    return Broken(f"host.example {what}.", retryable, None, code)


OPENED = Opened(())
LOST = broken("ended the connection without a close frame", 1006, retryable=True)
TOO_BIG = broken("sent a message of more than 4096 bytes", 1009, retryable=False)
NOT_UTF8 = broken("sent text that is not UTF-8", 1007, retryable=False)


def breach(words: str) -> Broken:
    return broken(f"broke the websocket protocol: {words}", 1002, retryable=True)


def no_handshake(words: str) -> Broken:
    return broken(f"did not answer with a websocket handshake: {words}", None, retryable=False)


def rejection(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = "Transfer-Encoding: chunked"
CHUNKED_HEADERS = (("transfer-encoding", "chunked"),)
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

SCENARIOS: dict[str, tuple[Answer, list[WebSocketEvent | Broken], list[Event]]] = {
    # -- messages
    "texts": (frames(HELLO, WORLD), [OPENED, TextReceived(("hello", "wörld")), LOST], []),
    "empty text": (frames(text("")), [OPENED, TextReceived(("",)), LOST], []),
    "binary": (frames(frame(2, b"\0\xff")), [OPENED, BinaryReceived(b"\0\xff"), LOST], []),
    "longer lengths": (
        frames(text("a" * 126), frame(2, b"b" * LIMIT)),
        [OPENED, TextReceived(("a" * 126,)), BinaryReceived(b"b" * LIMIT), LOST],
        [],
    ),
    "text in fragments, a ping between, characters split": (
        frames(
            frame(1, "wö".encode()[:2], fin=False),
            frame(9, b"?"),
            frame(0, "wö".encode()[2:], fin=False),
            frame(0, b"", fin=False),
            frame(0, b"rld\r\n"),
        ),
        [OPENED, TextReceived(("wörld\r\n",)), LOST],
        [Pong(b"?")],
    ),
    "binary in fragments": (
        frames(frame(2, b"ab", fin=False), frame(0, b"", fin=False), frame(0, b"cd")),
        [OPENED, BinaryReceived(b"abcd"), LOST],
        [],
    ),
    "an end in the middle of a message": (
        frames(text("hel", fin=False), HELLO[:1]),
        [OPENED, LOST],
        [],
    ),
    # -- control frames
    "pings are answered, and part no texts": (
        frames(HELLO, frame(9, b"1"), frame(9), WORLD),
        [OPENED, TextReceived(("hello", "wörld")), LOST],
        [Pong(b"1"), Pong(b"")],
    ),
    "pong": (
        frames(HELLO, frame(10, b"!"), WORLD),
        [OPENED, TextReceived(("hello",)), PongReceived(b"!"), TextReceived(("wörld",)), LOST],
        [],
    ),
    "close, and bytes after it": (
        frames(HELLO, BYE, WORLD, b"\xff\xff"),
        [OPENED, TextReceived(("hello",)), Closed(1000, "bye")],
        [CloseConnection(1000, "bye")],
    ),
    "close without a code": (
        frames(frame(8)),
        [OPENED, Closed(1005, "")],
        [CloseConnection(1005, "")],
    ),
    "close with a code of the service's": (
        frames(close_frame(4321)),
        [OPENED, Closed(4321, "")],
        [CloseConnection(4321, "")],
    ),
    # -- close frames that are none
    **{
        f"close code {code}": (
            frames(HELLO, close_frame(code)),
            [OPENED, TextReceived(("hello",)), breach(words)],
            [CloseConnection(1002, "")],
        )
        for code, words in {
            0: "CLOSE with invalid code",
            999: "CLOSE with invalid code",
            5000: "CLOSE with invalid code",
            1004: "CLOSE with unknown reserved code",
            2999: "CLOSE with unknown reserved code",
            1005: "remote CLOSE with local-only reason",
            1006: "remote CLOSE with local-only reason",
            1015: "remote CLOSE with local-only reason",
        }.items()
    },
    "close of one byte": (
        frames(frame(8, b"\3")),
        [OPENED, breach("CLOSE with 1 byte payload")],
        [CloseConnection(1002, "")],
    ),
    "close reason that is not UTF-8": (
        frames(close_frame(1000, b"\xff")),
        [OPENED, NOT_UTF8],
        [CloseConnection(1007, "")],
    ),
    # -- breaches: what came before them is delivered, what comes after them is not
    "reserved bit": (
        frames(HELLO, frame(1, b"x", rsv=4), WORLD, BYE),
        [OPENED, TextReceived(("hello",)), breach("Reserved bit set unexpectedly")],
        [CloseConnection(1002, "")],
    ),
    "unknown opcode": (
        frames(HELLO, frame(3), WORLD),
        [OPENED, TextReceived(("hello",)), breach("Invalid opcode 0x3")],
        [CloseConnection(1002, "")],
    ),
    "masked frame": (
        frames(b"\x81\x81\0\0\0\0a"),
        [OPENED, breach("client received unexpected masked frame")],
        [CloseConnection(1002, "")],
    ),
    "stray continuation": (
        frames(frame(0, b"x")),
        [OPENED, breach("unexpected CONTINUATION")],
        [CloseConnection(1002, "")],
    ),
    "stray continuation after a long message": (
        frames(text("a" * 4000), frame(0, b"x" * 100)),
        [OPENED, TextReceived(("a" * 4000,)), breach("unexpected CONTINUATION")],
        [CloseConnection(1002, "")],
    ),
    "long control frame": (
        frames(frame(9, b"x" * 126)),
        [OPENED, breach("Control frame with payload len > 125")],
        [CloseConnection(1002, "")],
    ),
    "invalid UTF-8": (
        frames(HELLO, frame(1, b"aa\xff"), WORLD),
        [OPENED, TextReceived(("hello",)), NOT_UTF8],
        [CloseConnection(1007, "")],
    ),
    "invalid UTF-8 in a frame that never ends": (
        frames(struct.pack("!BBH", 0x81, 126, 4000), b"ok\xff"),
        [OPENED, NOT_UTF8],
        [CloseConnection(1007, "")],
    ),
    "UTF-8 cut off at the end of a message": (
        frames(frame(1, b"\xc3", fin=False), frame(0)),
        [OPENED, NOT_UTF8],
        [CloseConnection(1007, "")],
    ),
    # -- the limit
    "message of the limit": (
        frames(text("a" * 4000, fin=False), frame(0, b"b" * 96)),
        [OPENED, TextReceived(("a" * 4000 + "b" * 96,)), LOST],
        [],
    ),
    "frame over the limit": (
        frames(HELLO, frame(2, b"a" * (LIMIT + 1))),
        [OPENED, TextReceived(("hello",)), TOO_BIG],
        [CloseConnection(1009, "")],
    ),
    "fragments over the limit": (
        frames(text("a" * 4000, fin=False), frame(9), frame(0, b"b" * 97)),
        [OPENED, TOO_BIG],
        [Pong(b""), CloseConnection(1009, "")],
    ),
    "frame of 2^62 bytes": (
        frames(header(1, 2**62)),
        [OPENED, TOO_BIG],
        [CloseConnection(1009, "")],
    ),
    # -- the handshake
    "accepted with headers": (
        lambda request: accepted(request, "X-Region: eu", "Set-Cookie: a=\xe4") + BYE,
        [
            Opened((("x-region", "eu"), ("set-cookie", "a=\xe4"))),
            Closed(1000, "bye"),
        ],
        [CloseConnection(1000, "bye")],
    ),
    "1xx before the 101": (
        lambda request: b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY_HINTS + accepted(request) + HELLO,
        [OPENED, TextReceived(("hello",)), LOST],
        [],
    ),
    "1xx before a 404": (
        raw(EARLY_HINTS + rejection(404, "Content-Length: 0")),
        [Rejected(404, (("content-length", "0"),), b"")],
        [],
    ),
    "1xx before a shorter 404": (
        raw(EARLY_HINTS + b"HTTP/1.1 404\r\n\r\n"),
        [Rejected(404, (), b"")],
        [],
    ),
    "1xx without end": (
        raw(EARLY_HINTS * 2000),
        [no_handshake("its headers are too long")],
        [],
    ),
    "long headers": (
        lambda request: accepted(request, "X-Long: " + "a" * 60_000) + HELLO,
        [Opened((("x-long", "a" * 60_000),)), TextReceived(("hello",)), LOST],
        [],
    ),
    "headers too long": (
        lambda request: accepted(request, "X-Long: " + "a" * 65_536),
        [no_handshake("its headers are too long")],
        [],
    ),
    "headers too long, no end": (
        raw(b"HTTP/1.1 101 " + b"a" * 70_000),
        [no_handshake("its headers are too long")],
        [],
    ),
    "wrong accept value": (
        lambda request: accepted(request).replace(b"Accept: ", b"Accept: x"),
        [no_handshake("Bad accept token")],
        [],
    ),
    "no upgrade header": (
        lambda request: accepted(request).replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        [no_handshake("Missing header, 'Upgrade: websocket'")],
        [],
    ),
    "no connection header": (
        lambda request: accepted(request).replace(b"Connection: Upgrade\r\n", b""),
        [no_handshake("Missing header, 'Connection: Upgrade'")],
        [],
    ),
    "an extension that nobody offered": (
        lambda request: accepted(request, "Sec-WebSocket-Extensions: permessage-deflate"),
        [no_handshake("unrecognized extension")],
        [],
    ),
    "the size guard, named by the service": (
        lambda request: accepted(request, "Sec-WebSocket-Extensions: size-guard"),
        [no_handshake("unrecognized extension")],
        [],
    ),
    "a subprotocol that nobody offered": (
        lambda request: accepted(request, "Sec-WebSocket-Protocol: graphql-ws"),
        [no_handshake("unrecognized subprotocol")],
        [],
    ),
    "a header of the handshake that is not ASCII": (
        lambda request: accepted(request, "Sec-WebSocket-Protocol: \xe4"),
        [no_handshake("a header is not ASCII")],
        [],
    ),
    "garbage": (raw(b"\x16\x03\x01garbage"), [no_handshake("not HTTP")], []),
    "another protocol": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), [no_handshake("not HTTP")], []),
    "garbage after a 103": (raw(EARLY_HINTS + b"\r\n"), [no_handshake("not HTTP")], []),
    "bad HTTP": (raw(b"HTTP/1.1 OK\r\n\r\n"), [no_handshake("Bad HTTP message")], []),
    "an end instead of an answer": (
        raw(b"HTTP/1.1 101"),
        [broken("closed the connection during the handshake", None, retryable=True)],
        [],
    ),
    # -- rejections
    "302, told at once": (
        raw(rejection(302, "Location: /soon", "Content-Length: 9999")),
        [Rejected(302, (("location", "/soon"), ("content-length", "9999")), b"")],
        [],
    ),
    "404 without a length, told at once": (
        raw(rejection(404, "Server: x", body=b"never waited for")),
        [Rejected(404, (("server", "x"),), b"")],
        [],
    ),
    "401 with a body": (
        raw(rejection(401, "Content-Length: 4", body=b"nope" + b"and more")),
        [Rejected(401, (("content-length", "4"),), b"nope")],
        [],
    ),
    "403 in chunks": (
        raw(rejection(403, CHUNKED, body=chunk(b"no") + chunk(b"pe") + b"0\r\n\r\n")),
        [Rejected(403, CHUNKED_HEADERS, b"nope")],
        [],
    ),
    "500 whose body is cut off": (
        raw(rejection(500, "Content-Length: 99", body=b"half")),
        [Rejected(500, (("content-length", "99"),), b"half")],
        [],
    ),
    "500 with a long body": (
        raw(rejection(500, "Content-Length: 999999", body=b"x" * 20_000)),
        [Rejected(500, (("content-length", "999999"),), b"x" * 16_384)],
        [],
    ),
    "502 with broken chunks": (
        raw(rejection(502, CHUNKED, body=chunk(b"ok") + b"zz\r\nmore")),
        [Rejected(502, CHUNKED_HEADERS, b"ok")],
        [],
    ),
    "502 with a chunk header without end": (
        raw(rejection(502, CHUNKED, body=chunk(b"ok") + b"1;" + b"a" * 40_000 + b"\r\nx")),
        [Rejected(502, CHUNKED_HEADERS, b"ok")],
        [],
    ),
    "200 is a rejection": (
        raw(rejection(200, "Content-Length: 2", body=b"hi")),
        [Rejected(200, (("content-length", "2"),), b"hi")],
        [],
    ),
}

scenarios = pytest.mark.parametrize("name", SCENARIOS)


NEED_AN_END = {"an end instead of an answer", "500 whose body is cut off"}


def check(name: str, cutter: Callable[[bytes], list[bytes]]) -> None:
    answer, events, sent = SCENARIOS[name]
    outcome = run(answer, cutter, eof=LOST in events or name in NEED_AN_END)
    assert outcome == Outcome(tuple(events), tuple(sent), WebSocketState.CLOSED)


@scenarios
def test_scenario_fed_whole(name: str) -> None:
    check(name, whole)


@scenarios
def test_scenario_fed_one_byte_at_a_time(name: str) -> None:
    check(name, bytewise)


@scenarios
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_scenario_cut_anywhere(name: str, data: st.DataObject) -> None:
    def cutter(stream: bytes) -> list[bytes]:
        places = st.integers(1, max(1, len(stream) - 1))
        return cut(stream, data.draw(st.lists(places, max_size=6)))

    check(name, cutter)


FRAMES = st.one_of(
    st.sampled_from([HELLO, WORLD, BYE, frame(9, b"?"), frame(10), header(2, 2**62), frame(3)]),
    st.builds(text, st.text(max_size=200), fin=st.booleans()),
    st.builds(frame, st.sampled_from([0, 0, 2]), st.binary(max_size=200), fin=st.booleans()),
    st.binary(max_size=8),
)


@settings(deadline=None)
@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(1, 1500), max_size=8), st.booleans())
def test_any_frames_cut_anywhere(parts: list[bytes], cuts: list[int], eof: bool) -> None:
    answer = frames(*parts)
    expected = run(answer, whole, eof=eof)
    assert run(answer, lambda data: cut(data, cuts), eof=eof) == expected
    assert run(answer, bytewise, eof=eof) == expected


HEADS = st.sampled_from(
    [
        *(b"HTTP/1.1 ", b"101 Ok\r\n", b"404 No\r\n", EARLY_HINTS, b"Content-Length: 3\r\n"),
        *(b"\r\n", b"Transfer-Encoding: chunked\r\n", b"Upgrade: websocket\r\n", b"\xff: \xff\r\n"),
        b"5\r\n",
    ]
)


@settings(deadline=None)
@given(
    st.lists(HEADS | st.binary(max_size=20), max_size=15).map(b"".join),
    st.lists(st.integers(1, 300), max_size=5),
)
def test_random_bytes_before_a_handshake_never_raise(data: bytes, cuts: list[int]) -> None:
    outcome = run(raw(data), whole, eof=True)
    assert outcome.state is WebSocketState.CLOSED
    assert run(raw(data), lambda stream: cut(stream, cuts), eof=True) == outcome


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(1, 400), max_size=5))
def test_random_bytes_after_a_handshake_never_raise(data: bytes, cuts: list[int]) -> None:
    outcome = run(frames(data), whole, eof=True)
    assert outcome.events[0] == OPENED
    assert outcome.state is WebSocketState.CLOSED
    assert run(frames(data), lambda stream: cut(stream, cuts), eof=True) == outcome


# ---- with wsproto as the server ----------------------------------------------------------------


class Peer:
    """A client under test and wsproto's server, joined by hand."""

    def __init__(self, **options: Any) -> None:
        self.client = client(**options)
        self.server = WSConnection(ConnectionType.SERVER)
        self.client.start()
        (request,) = self.to_server()
        assert isinstance(request, Request)
        self.request = request

    def to_server(self) -> list[Event]:
        self.server.receive_data(self.client.data_to_send())
        return list(self.server.events())

    def to_client(self, *events: Event) -> tuple[WebSocketEvent, ...]:
        return self.client.receive(b"".join(self.server.send(event) for event in events))

    def open(self) -> Peer:
        assert self.to_client(AcceptConnection()) == (OPENED,)
        assert self.client.state is WebSocketState.OPEN
        return self


def test_the_request() -> None:
    request = Peer().request
    assert (request.host, request.target) == ("host.example", "/stream")
    assert request.extensions == []
    assert request.subprotocols == []
    assert (b"authorization", TOKEN.encode()) in request.extra_headers


def test_nothing_is_sent_before_start() -> None:
    protocol = client()
    assert protocol.data_to_send() == b""
    protocol.start()
    assert protocol.data_to_send().startswith(b"GET /stream HTTP/1.1\r\n")
    assert protocol.data_to_send() == b""


def test_a_conversation() -> None:
    peer = Peer().open()
    assert peer.to_client(TextMessage("a"), Ping(b"?"), TextMessage("b"), BytesMessage(b"c")) == (
        TextReceived(("a", "b")),
        BinaryReceived(b"c"),
    )
    peer.client.send_text("ä" * 100)
    peer.client.send_binary(b"b" * 70_000)
    assert peer.to_server() == [Pong(b"?"), TextMessage("ä" * 100), BytesMessage(b"b" * 70_000)]
    peer.client.ping(b"x" * 125)
    (ping,) = peer.to_server()
    assert isinstance(ping, Ping)
    assert peer.to_client(ping.response()) == (PongReceived(b"x" * 125),)
    peer.client.close(4000, "done")
    assert state_of(peer.client) is WebSocketState.CLOSING
    assert peer.to_server() == [CloseConnection(4000, "done")]
    assert peer.to_client(CloseConnection(4000, "done")) == (Closed(4000, "done"),)
    assert state_of(peer.client) is WebSocketState.CLOSED
    assert peer.client.data_to_send() == b""


def state_of(protocol: WebSocketProtocol) -> WebSocketState:
    """Read the state where a type checker would take it for unchanged."""
    return protocol.state


def test_a_rejection_by_wsproto() -> None:
    peer = Peer()
    headers = [(b"content-length", b"4")]
    assert peer.to_client(RejectConnection(status_code=403, headers=headers, has_body=True)) == ()
    assert peer.to_client(RejectData(b"nope")) == (
        Rejected(403, (("content-length", "4"),), b"nope"),
    )


@pytest.mark.parametrize("status", [302, 404])
def test_a_rejection_without_a_length_is_not_waited_for(status: int) -> None:
    protocol = client()
    assert protocol.receive(rejection(status, "Server: x")) == (
        Rejected(status, (("server", "x"),), b""),
    )
    assert protocol.receive(b"body") == protocol.receive(b"") == ()


def test_adjacent_texts_of_one_read_are_one_event() -> None:
    peer = Peer().open()
    many = [TextMessage(str(i)) for i in range(30_000)]  # more than wsproto is fed at a time
    assert peer.to_client(*many) == (TextReceived(tuple(str(i) for i in range(30_000))),)


# ---- the traps of wsproto, by name -------------------------------------------------------------


@pytest.mark.parametrize(
    "extension",
    [
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=8",
        "x-webkit-deflate-frame",
    ],
)
def test_trap_compression_is_not_offered_and_refused_if_it_comes_unasked(extension: str) -> None:
    peer = Peer()
    assert peer.request.extensions == []
    protocol = client()
    protocol.start()
    request = protocol.data_to_send()
    assert b"extensions" not in request.lower()
    answer = accepted(request, f"Sec-WebSocket-Extensions: {extension}")
    events = protocol.receive(answer + frame(1, b"deflated", rsv=4))
    assert normalise(events) == (no_handshake("unrecognized extension"),)
    assert protocol.state is WebSocketState.CLOSED


def test_trap_a_compressed_frame_is_a_breach() -> None:
    peer = Peer().open()
    events = peer.client.receive(HELLO + frame(1, b"\xf2\x48\xcd", rsv=4))
    assert normalise(events) == (
        TextReceived(("hello",)),
        breach("Reserved bit set unexpectedly"),
    )


@pytest.mark.parametrize("status", [100, 103])
def test_trap_an_interim_response_is_neither_an_answer_nor_a_rejection(status: int) -> None:
    protocol = client()
    protocol.start()
    answer = accepted(protocol.data_to_send())
    assert protocol.receive(f"HTTP/1.1 {status} Wait\r\n\r\n".encode()) == ()
    assert state_of(protocol) is WebSocketState.CONNECTING
    assert protocol.receive(answer + HELLO) == (OPENED, TextReceived(("hello",)))


def test_trap_a_rejection_without_a_length_does_not_wait_for_the_end_of_its_body() -> None:
    protocol = client()
    (rejected,) = protocol.receive(rejection(503, "Server: x"))
    assert rejected == Rejected(503, (("server", "x"),), b"")
    assert protocol.receive(b"") == ()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed the connection during the handshake"),
        (b"\0\1garbage", "did not answer with a websocket handshake: not HTTP"),
        (b"HTTP/1.1 1x1\r\n\r\n", "did not answer with a websocket handshake: Bad HTTP message"),
        (b"HTTP/1.1 101 Ok\r\nA: " + b"a" * 70_000, "its headers are too long"),
    ],
)
def test_trap_an_end_garbage_and_long_headers_are_told_apart(answer: bytes, words: str) -> None:
    (failed,) = client().receive(answer)
    assert isinstance(failed, Failed)
    assert words in failed.error.message


def test_trap_wsproto_gets_64_kib_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(max_message_bytes=1_000_000).open()
    sizes = []
    receive = Connection.receive_data

    def record(connection: Connection, data: bytes | None) -> None:
        sizes.append(len(data or b""))
        receive(connection, data)

    monkeypatch.setattr(Connection, "receive_data", record)
    assert peer.client.receive(frame(2, b"x" * 200_000)) == (BinaryReceived(b"x" * 200_000),)
    assert sum(sizes) > 200_000
    assert max(sizes) == 64 * 1024


def test_trap_fragments_are_put_together() -> None:
    peer = Peer(max_message_bytes=1_000_000).open()
    data = frame(1, b"x" * 500_000, fin=False) + frame(0, b"y" * 500_000)
    reads = [peer.client.receive(data[i : i + 65_536]) for i in range(0, len(data), 65_536)]
    assert [event for events in reads for event in events] == [
        TextReceived(("x" * 500_000 + "y" * 500_000,))
    ]


def test_trap_after_a_parse_error_bytes_do_not_pile_up() -> None:
    peer = Peer().open()
    (failed,) = peer.client.receive(frame(3) + HELLO)
    assert isinstance(failed, Failed)
    assert peer.client.state is WebSocketState.CLOSED
    tracemalloc.start()
    try:
        for _ in range(100):
            assert peer.client.receive(b"x" * 65_536) == ()
        assert tracemalloc.get_traced_memory()[0] < 65_536
    finally:
        tracemalloc.stop()
    assert peer.to_server() == [CloseConnection(1002, "")]
    assert peer.client.receive(b"") == ()


def test_trap_the_end_after_an_orderly_close_is_no_second_end() -> None:
    peer = Peer().open()
    assert peer.to_client(CloseConnection(1001)) == (Closed(1001, ""),)
    assert peer.client.receive(b"") == ()
    assert peer.to_server() == [CloseConnection(1001, "")]


def test_trap_bytes_after_the_close_do_not_raise() -> None:
    peer = Peer().open()
    assert peer.client.receive(BYE) == (Closed(1000, "bye"),)
    assert peer.client.receive(HELLO) == ()
    peer = Peer().open()
    peer.client.close()
    assert peer.client.receive(BYE + HELLO) == (Closed(1000, "bye"),)
    assert peer.client.receive(HELLO) == ()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
def test_trap_close_codes_to_be_sent_are_checked(code: int) -> None:
    peer = Peer().open()
    with pytest.raises(ValueError, match=str(code)):
        peer.client.close(code)
    assert peer.client.state is WebSocketState.OPEN
    assert peer.client.data_to_send() == b""


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 1013, 3000, 4999])
def test_close_codes_that_may_be_sent(code: int) -> None:
    peer = Peer().open()
    peer.client.close(code, "ä" * 61)
    assert peer.to_server() == [CloseConnection(code, "ä" * 61)]


def test_trap_a_long_reason_and_a_long_ping_are_refused() -> None:
    peer = Peer().open()
    with pytest.raises(ValueError, match="123 bytes"):
        peer.client.close(1000, "ä" * 62)
    with pytest.raises(ValueError, match="125 bytes"):
        peer.client.ping(b"x" * 126)
    assert peer.client.state is WebSocketState.OPEN
    assert peer.client.data_to_send() == b""


@pytest.mark.parametrize(
    "host", ["a" * 64 + ".example", "ä" * 64, "a..b", "", "a b", "a\r\nX: y", "a/b", "u@h"]
)
def test_trap_a_host_that_is_none_is_a_value_error(host: str) -> None:
    with pytest.raises(ValueError, match="host of the URL") as raised:
        WebSocketProtocol(host, "/")
    assert raised.type is ValueError


@pytest.mark.parametrize("target", ["/jöb", "", "job", "/a b", "/a\r\nX: y", "/a#b", "/\x7f"])
def test_trap_a_target_that_is_none_is_a_value_error(target: str) -> None:
    with pytest.raises(ValueError, match="path and query of the URL") as raised:
        WebSocketProtocol("host.example", target)
    assert raised.type is ValueError
    assert target == "" or target not in str(raised.value)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x7f", "ä", "\r\nX-Other: y"])
def test_trap_a_bad_header_value_is_refused_and_not_shown(end: str) -> None:
    with pytest.raises(ValueError, match="Authorization") as raised:
        WebSocketProtocol("host.example", "/", [("Authorization", TOKEN + end)])
    assert TOKEN not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä"])
def test_a_bad_header_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a token"):
        WebSocketProtocol("host.example", "/", [(name, "x")])


@pytest.mark.parametrize("name", ["Host", "Connection", "SEC-WebSocket-Extensions"])
def test_headers_of_the_handshake_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="belongs to the handshake"):
        WebSocketProtocol("host.example", "/", [(name, "permessage-deflate")])


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:9", "bücher.example"])
def test_hosts_that_are_fine(host: str) -> None:
    protocol = WebSocketProtocol(host, "/a?b=%20~", [("X-Empty", ""), ("X-Tab", " a\tb ")])
    protocol.start()
    sent = protocol.data_to_send()
    assert b"Host: " + host.encode("idna") + b"\r\n" in sent
    assert b"X-Empty: \r\nX-Tab: a\tb\r\n" in sent


def test_more_headers_may_come_at_the_start() -> None:
    protocol = WebSocketProtocol("host.example", "/", [("X-First", "1")])
    protocol.start([("X-Second", "2")])
    assert b"X-First: 1\r\nX-Second: 2\r\n" in protocol.data_to_send()


@pytest.mark.parametrize(
    ("name", "value"), [("Authorization", f"{TOKEN}\r\n"), ("a b", TOKEN), ("Host", TOKEN)]
)
def test_a_bad_header_at_the_start_is_refused_and_not_shown(name: str, value: str) -> None:
    protocol = WebSocketProtocol("host.example", "/")
    with pytest.raises(ValueError) as raised:
        protocol.start([(name, value)])
    assert TOKEN not in str(raised.value)
    assert protocol.data_to_send() == b""


@settings(deadline=None)
@given(st.text(max_size=70), st.text(max_size=10), st.text(max_size=10), st.text(max_size=10))
def test_a_constructor_works_or_raises_a_value_error_of_ours(
    host: str, path: str, name: str, value: str
) -> None:
    kinds = set()
    try:
        WebSocketProtocol(host, "/" + path, [(name, value)])
    except ValueError as error:
        kinds.add(type(error))
    assert kinds <= {ValueError}  # never its UnicodeError, which quotes what it was given


# ---- misuse, and calls that come too late ------------------------------------------------------


def test_messages_can_be_sent_while_open_only() -> None:
    peer = Peer()
    with pytest.raises(UsageError, match="CONNECTING"):
        peer.client.send_text("x")
    peer.open()
    with pytest.raises(ValueError, match="surrogates"):
        peer.client.send_text("\ud800")
    peer.client.close()
    with pytest.raises(UsageError, match="CLOSING"):
        peer.client.send_binary(b"x")
    assert peer.to_server() == [CloseConnection(1000, "")]


def test_a_ping_or_a_close_that_comes_too_late_does_nothing() -> None:
    peer = Peer()
    peer.client.ping()
    assert peer.client.data_to_send() == b""
    peer.open()
    peer.client.close()
    peer.client.close(1001)
    peer.client.ping()
    assert peer.to_server() == [CloseConnection(1000, "")]
    peer.client.receive(BYE)
    peer.client.close()
    peer.client.ping()
    assert peer.client.data_to_send() == b""


def test_close_while_connecting_ends_it_without_an_event() -> None:
    peer = Peer()
    peer.client.close()
    assert peer.client.state is WebSocketState.CLOSED
    assert peer.client.data_to_send() == b""
    assert peer.to_client(AcceptConnection()) == peer.client.receive(b"") == ()


def test_messages_still_come_while_closing_and_pings_stay_unanswered() -> None:
    peer = Peer().open()
    peer.client.close()
    assert peer.client.receive(frame(9) + HELLO) == (TextReceived(("hello",)),)
    assert peer.to_server() == [CloseConnection(1000, "")]
    assert normalise(peer.client.receive(b"")) == (LOST,)


def test_a_breach_while_closing_sends_no_second_close_frame() -> None:
    peer = Peer().open()
    peer.client.close()
    assert normalise(peer.client.receive(frame(3))) == (breach("Invalid opcode 0x3"),)
    assert peer.to_server() == [CloseConnection(1000, "")]


def test_an_answer_before_start_is_taken() -> None:
    protocol = client()
    (rejected,) = protocol.receive(rejection(408, "Content-Length: 0"))
    assert isinstance(rejected, Rejected)
    protocol.start()
    assert protocol.data_to_send() == b""


# ---- secrets and memory ------------------------------------------------------------------------


@scenarios
def test_no_secret_is_shown(name: str) -> None:
    protocol = client()
    shown = repr(protocol)
    protocol.start()
    answer = SCENARIOS[name][0](protocol.data_to_send())
    for event in (*protocol.receive(answer), *protocol.receive(b"")):
        shown += repr(event)
        if isinstance(event, Failed):
            shown += str(event.error)
            assert event.error.__cause__ is event.error.__context__ is None
    shown += repr(protocol)
    assert TOKEN not in shown
    for value in ("permessage-deflate", "graphql-ws", "a=\xe4", "/soon", "eu'"):
        assert value not in shown


def test_the_repr_tells_host_and_state() -> None:
    assert repr(client()) == "<WebSocketProtocol host.example CONNECTING>"


def peak_of(protocol: WebSocketProtocol, pieces: Sequence[bytes], times: int) -> int:
    """Feed the same pieces again and again; the peak of memory in bytes."""
    tracemalloc.start()
    try:
        for _ in range(times):
            for piece in pieces:
                protocol.receive(piece)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_frame_of_2_to_the_62_is_refused_by_its_header() -> None:
    peer = Peer(max_message_bytes=2**40).open()
    (failed,) = peer.client.receive(header(2, 2**62))
    assert isinstance(failed, Failed)
    assert failed.close_code == 1009
    assert peak_of(peer.client, [b"x" * 65_536], 50) < 100_000


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_message_of_endless_fragments_stays_within_the_limit(opcode: int, size: int) -> None:
    limit = 15_000
    peer = Peer(max_message_bytes=limit).open()
    peer.client.receive(frame(opcode, b"", fin=False))
    fragment = frame(0, b"x" * size, fin=False)
    assert peak_of(peer.client, [fragment], 20_000 // max(1, size)) < 3 * limit
    assert peer.client.state is (WebSocketState.CLOSED if size else WebSocketState.OPEN)


def test_a_message_that_drips_stays_within_the_limit() -> None:
    limit = 15_000
    peer = Peer(max_message_bytes=limit).open()
    peer.client.receive(struct.pack("!BBH", 0x81, 126, limit))
    assert peak_of(peer.client, bytewise("€".encode()), 4_900) < 3 * limit
    assert peer.client.state is WebSocketState.OPEN


def test_the_request_is_forgotten_once_open() -> None:
    peer = Peer().open()
    assert TOKEN not in repr(attributes_of(peer.client))


def attributes_of(thing: object) -> list[object]:
    """All that hangs on an object, however deep."""
    found: list[object] = []
    for value in vars(thing).values():
        found.append(value)
        if hasattr(value, "__dict__") and not isinstance(value, type):
            found += attributes_of(value)
    return found
