"""A websocket's events as those of a job's stream: acknowledgements, refusals, what is no text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from adapters.transport import StreamProtocol
from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.stream import JobStream
from runtime_core.errors import TransportError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)

TOKEN = "s3cret-token"


class Caller:
    """Who asks: with one token."""

    def __init__(self) -> None:
        self.refused = 0

    def headers(self) -> Sequence[tuple[str, str]]:
        return [("X-Access-Token", TOKEN)]

    def refuse(self) -> None:
        self.refused += 1

    def hidden(self, text: str) -> str:
        return text.replace(TOKEN, "<access token>")


class Peer:
    """A service, and a `JobStream` that is connected with it."""

    def __init__(self, connection: int = 7) -> None:
        websocket = WebSocketProtocol("host.example", "/stream")
        self.caller = Caller()
        self.stream: StreamProtocol = JobStream(connection, websocket, "host.example", self.caller)
        self.stream.start()
        self.server = WSConnection(ConnectionType.SERVER)
        (request,) = self.heard()
        assert isinstance(request, Request)
        assert (b"x-access-token", TOKEN.encode()) in request.extra_headers

    def heard(self) -> list[Event]:
        self.server.receive_data(self.stream.data_to_send())
        return list(self.server.events())

    def say(self, *events: Event) -> Sequence[StreamEvent]:
        """All in one read."""
        return self.stream.receive(b"".join(self.server.send(event) for event in events))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def open_peer(peer: Peer) -> Peer:
    assert peer.say(AcceptConnection(), TextMessage("ack")) == [StreamOpened(7)]
    return peer


def texts(*messages: str) -> list[Event]:
    return [TextMessage(message) for message in messages]


def test_the_acknowledgement_is_no_interim_result(peer: Peer) -> None:
    assert peer.say(AcceptConnection()) == [StreamOpened(7)]
    assert peer.say(*texts("ack")) == []
    assert peer.say(*texts("1")) == [InterimReceived(7, ("1",))]


def test_the_acknowledgement_may_come_with_messages_in_one_read(peer: Peer) -> None:
    events = peer.say(AcceptConnection(), *texts("ack", "1", "2"))
    assert events == [StreamOpened(7), InterimReceived(7, ("1", "2"))]


def test_a_message_like_the_acknowledgement_is_an_interim_result(peer: Peer) -> None:
    events = peer.say(AcceptConnection(), *texts("ack", "ack", "ack"))
    assert events == [StreamOpened(7), InterimReceived(7, ("ack", "ack"))]
    assert peer.say(*texts("ack")) == [InterimReceived(7, ("ack",))]


def test_the_acknowledgement_is_taken_out_of_each_connection() -> None:
    for connection in (1, 2):
        peer = Peer(connection)
        events = peer.say(AcceptConnection(), *texts("ack", "1"))
        assert events == [StreamOpened(connection), InterimReceived(connection, ("1",))]


def test_messages_of_one_read_are_one_event(open_peer: Peer) -> None:
    assert open_peer.say(*texts("1", "", "3")) == [InterimReceived(7, ("1", "", "3"))]


def test_messages_around_a_ping_stay_in_order(open_peer: Peer) -> None:
    events = open_peer.say(*texts("1"), Pong(b""), *texts("2"))
    assert events == [InterimReceived(7, ("1",)), InterimReceived(7, ("2",))]


def test_a_302_means_not_yet(peer: Peer) -> None:
    headers = [(b"Location", b"https://other.example/")]
    assert peer.say(RejectConnection(status_code=302, headers=headers)) == [StreamNotReady(7)]


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(401, False), (403, False), (404, False), (301, False), (200, False), (429, True)]
    + [(status, True) for status in (408, 425, 500, 502, 503, 504)],
)
def test_another_refusal_says_which(peer: Peer, status: int, retryable: bool) -> None:
    (event,) = peer.say(RejectConnection(status_code=status, headers=[(b"Content-Length", b"0")]))
    assert isinstance(event, StreamFailed)
    assert event.connection == 7
    assert isinstance(event.error, TransportError)
    assert (event.error.status_code, event.error.retryable) == (status, retryable)
    assert str(event.error) == f"host.example refused the stream with status {status}."
    assert peer.caller.refused == (status == 401)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"Retry-After", b"120")], 120.0),
        (
            [
                (b"Date", b"Sun, 22 Nov 2026 10:00:00 GMT"),
                (b"Retry-After", b"Sun, 22 Nov 2026 10:00:30 GMT"),
            ],
            30.0,
        ),
        ([(b"Retry-After", b"Sun, 22 Nov 2026 10:00:30 GMT")], None),
        ([(b"Retry-After", b"soon")], None),
        ([], None),
    ],
)
def test_a_refusal_may_say_when_to_come_back(
    peer: Peer, headers: list[tuple[bytes, bytes]], seconds: float | None
) -> None:
    (event,) = peer.say(
        RejectConnection(status_code=429, headers=[(b"Content-Length", b"0"), *headers])
    )
    assert isinstance(event, StreamFailed)
    assert isinstance(event.error, TransportError)
    assert event.error.retry_after == seconds


def test_a_close_is_told_with_its_code_and_reason(open_peer: Peer) -> None:
    assert open_peer.say(CloseConnection(1000, "done")) == [StreamClosed(7, 1000, "done")]
    assert [type(event) for event in open_peer.heard()] == [CloseConnection]


def test_the_token_in_a_close_reason_is_taken_out(open_peer: Peer) -> None:
    (event,) = open_peer.say(CloseConnection(1008, f"bad {TOKEN}!"))
    assert event == StreamClosed(7, 1008, "bad <access token>!")


def test_messages_before_a_close_are_told_first(open_peer: Peer) -> None:
    events = open_peer.say(*texts("1", "2"), CloseConnection(4002, ""))
    assert events == [InterimReceived(7, ("1", "2")), StreamClosed(7, 4002, "")]


def test_a_binary_message_ends_the_stream(open_peer: Peer) -> None:
    events = open_peer.say(*texts("1"), BytesMessage(b"\0" * 9), *texts("2"))
    assert events[0] == InterimReceived(7, ("1",))
    (failed,) = events[1:]
    assert isinstance(failed, StreamFailed)
    assert str(failed.error) == (
        "host.example sent a binary message of 9 bytes; interim results are text."
    )
    (close,) = open_peer.heard()
    assert isinstance(close, CloseConnection)
    assert close.code == 1003


def test_an_end_without_a_close_is_a_failure(open_peer: Peer) -> None:
    (event,) = open_peer.stream.receive(b"")
    assert isinstance(event, StreamFailed)
    assert isinstance(event.error, TransportError)
    assert event.error.retryable


def test_pings_go_both_ways(open_peer: Peer) -> None:
    open_peer.stream.ping()
    assert [type(event) for event in open_peer.heard()] == [Ping]
    assert open_peer.say(Ping(b"x")) == []
    assert open_peer.heard() == [Pong(b"x")]


def test_an_orderly_close_of_ours(open_peer: Peer) -> None:
    open_peer.stream.close()
    (close,) = open_peer.heard()
    assert isinstance(close, CloseConnection)
    assert open_peer.say(close.response()) == [StreamClosed(7, 1000, "")]
