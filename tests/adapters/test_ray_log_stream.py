"""The stream of a job's log on a Ray cluster: bytes in, events and requests out.

What a head sends is what a real one sent (Ray 2.60). Every scenario is fed whole, then one byte at
a time, and some cut anywhere: the same outcome.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websocket_bytes import accepted
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage

from adapters.ray.client import RayClient
from adapters.ray.frame_writer import ERROR, GONE, INTERIM, RESULT, STARTED, frames
from adapters.ray.log_events import Outcome, Raised, Returned
from adapters.ray.log_frames import BrokenLogError
from adapters.ray.log_routes import LogRoutes
from adapters.ray.log_stream import RayLogStream
from adapters.ray.streams import RayStreams
from adapters.transport import StreamEndpoint
from runtime_core.commands import OpenStream
from runtime_core.errors import (
    NotAuthorizedError,
    RuntimeJobNotFoundError,
    TransportError,
    UsageError,
)
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)

TOKEN = "a-token-that-must-not-be-shown"
NONCE = "f00dfeed"
NODE = "97c3ab"


def answer(status: int, body: bytes | str, kind: str = "text/plain", more: str = "") -> bytes:
    body = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {status} Words\r\nContent-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nDate: Thu, 26 Nov 2026 15:47:32 GMT\r\n"
        f"Server: Python/3.11 aiohttp/3.14.5\r\n{more}\r\n"
    )
    return head.encode() + body


def document(status: str = "RUNNING", **changes: Any) -> bytes:
    job = {
        "type": "SUBMISSION",
        "job_id": None,
        "submission_id": "job-1",
        "status": status,
        "metadata": {"runtime_core_nonce": NONCE, "runtime_core_program": "p"},
        "driver_node_id": NODE,
    }
    return answer(200, json.dumps(job | changes), "application/json")


LOG_HEAD = (
    b'HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename="file.txt"\r\n'
    b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
    b"Date: Thu, 26 Nov 2026 15:47:32 GMT\r\nServer: Python/3.11 aiohttp/3.14.5\r\n\r\n"
)
PREAMBLE = (
    b"2026-11-26 15:47:29,761\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
    b"Running entrypoint for job job-1: exec python -I _runtime_core/ray_host.py\n"
)
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def frame(kind: str, index: int, text: str = "") -> bytes:
    return b"".join(frames(NONCE, index, kind, text))


STORY = (
    PREAMBLE
    + frame(STARTED, 0)
    + b"hello"
    + frame(INTERIM, 0, '{"i":0}')
    + "wörld\n".encode()
    + frame(INTERIM, 1, '"ü"')
    + frame(INTERIM, 2, "x" * 3000)
)
MESSAGES = ('{"i":0}', '"ü"', "x" * 3000)
RETURNED = frame(RESULT, 3, "42")
LONG = "y" * 60_000  # two frames


class Head:
    """A stream, and what it has asked and told."""

    def __init__(
        self,
        routes: LogRoutes | None = None,
        after: int = 0,
        url: str = "http://localhost:8265",
        job_id: str = "job-1",
    ) -> None:
        self.routes = LogRoutes() if routes is None else routes
        self.outcomes: list[tuple[str, Outcome]] = []
        client = RayClient(url, TOKEN, proxy=None)
        streams = RayStreams(client, lambda *told: self.outcomes.append(told), self.routes)
        endpoint = streams.stream(job_id, OpenStream(7, after))
        assert isinstance(endpoint, StreamEndpoint)
        assert isinstance(endpoint.protocol, RayLogStream)
        self.stream = endpoint.protocol
        self.sent = b""
        self.events: list[StreamEvent] = []
        self.stream.start()
        self.sent += self.stream.data_to_send()

    def feed(self, *parts: bytes) -> list[StreamEvent]:
        """Feed these; give all events, the messages that stand together in one."""
        for part in parts:
            for event in self.stream.receive(part):
                last = self.events[-1] if self.events else None
                if isinstance(event, InterimReceived) and isinstance(last, InterimReceived):
                    self.events[-1] = InterimReceived(7, last.messages + event.messages)
                else:
                    self.events.append(event)
            self.sent += self.stream.data_to_send()
        return self.events

    @property
    def paths(self) -> list[str]:
        lines = self.sent.decode("latin-1").split("\r\n")
        return [line.split(" ")[1] for line in lines if line.endswith(" HTTP/1.1")]


def bytewise(data: bytes) -> list[bytes]:
    """Cut it into bytes; what is long into pieces of a prime number of bytes."""
    size = 1 if len(data) < 10_000 else 997
    return [data[place : place + size] for place in range(0, len(data), size)]


def told(
    data: bytes, *, end: bool = False, after: int = 0, routes: LogRoutes | None = None
) -> tuple[list[StreamEvent], Head]:
    """Feed it whole and byte by byte; give what both times came."""
    last = [b""] if end else []
    quick = True if routes is None else routes.quick
    whole = Head(LogRoutes(quick) if routes is None else routes, after)
    cut = Head(LogRoutes(quick), after)
    assert outline(whole.feed(data, *last)) == outline(cut.feed(*bytewise(data), *last))
    assert whole.paths == cut.paths
    assert whole.outcomes == cut.outcomes
    assert TOKEN not in repr(whole.stream) + repr(whole.events) + repr(whole.routes)
    return whole.events, whole


def outline(events: Sequence[StreamEvent]) -> list[object]:
    return [_outlined(event) for event in events]


def _outlined(event: StreamEvent) -> object:
    if not isinstance(event, StreamFailed):
        return event
    error = event.error
    assert isinstance(error, TransportError)
    return type(error), str(error), error.status_code, error.retryable, error.retry_after


def error_of(events: Sequence[StreamEvent]) -> TransportError:
    last = events[-1]
    assert isinstance(last, StreamFailed)
    assert isinstance(last.error, TransportError)
    assert TOKEN not in str(last.error) + repr(last.error) + repr(last.error.__cause__)
    return last.error


DOCUMENT_PATH = "/api/jobs/job-1"
QUICK_PATH = (
    f"/api/v0/logs/stream?node_id={NODE}&filename=job-driver-job-1.log&lines=-1&interval=0.02"
)
FILE_PATH = f"/api/v0/logs/file?node_id={NODE}&filename=job-driver-job-1.log&lines=-1"
TAIL_PATH = "/api/jobs/job-1/logs/tail"


# ---- the quick way -------------------------------------------------------------------------------


def test_a_log_is_read_as_it_grows_until_it_says_what_the_program_returned() -> None:
    data = document() + LOG_HEAD + chunk(STORY) + chunk(RETURNED)
    events, head = told(data)
    assert events == [StreamOpened(7), InterimReceived(7, MESSAGES), StreamClosed(7)]
    assert head.paths == [DOCUMENT_PATH, QUICK_PATH]
    assert head.outcomes == [("job-1", Returned("42"))]
    assert head.sent.count(f"Authorization: Bearer {TOKEN}\r\n".encode()) == 2
    assert head.sent.count(b"Host: localhost:8265\r\n") == 2
    assert list(head.stream.receive(b"more")) == []


@settings(max_examples=50)
@given(st.lists(st.integers(0, 64_000), max_size=8), st.integers(50, 40_000))
def test_a_log_is_read_cut_anywhere(cuts: list[int], size: int) -> None:
    log = STORY + frame(INTERIM, 3, LONG) + frame(RESULT, 4, "42")
    chunks = [chunk(log[place : place + size]) for place in range(0, len(log), size)]
    data = document() + LOG_HEAD + b"".join(chunks)
    parts = [data[start:end] for start, end in pairwise([0, *sorted(cuts), None])]
    events = Head().feed(*[part for part in parts if part])
    assert events == [StreamOpened(7), InterimReceived(7, (*MESSAGES, LONG)), StreamClosed(7)]


def test_what_is_known_already_is_left_out() -> None:
    events, _ = told(document() + LOG_HEAD + chunk(STORY) + chunk(RETURNED), after=1)
    assert events[1] == InterimReceived(7, MESSAGES[1:])


def test_a_program_that_raised_ends_the_stream_too() -> None:
    events, head = told(document() + LOG_HEAD + chunk(STORY + frame(ERROR, 3, "Traceback ...")))
    assert events[-1] == StreamClosed(7)
    assert head.outcomes == [("job-1", Raised("Traceback ..."))]


def test_a_log_whose_writer_is_gone_is_over_though_the_job_may_not_be() -> None:
    events, head = told(document() + LOG_HEAD + chunk(STORY + frame(GONE, 0)))
    assert events[:2] == [StreamOpened(7), InterimReceived(7, MESSAGES)]
    assert events[2:] == [StreamClosed(7, 1006, "the log ended before the job")]
    assert head.outcomes == []


def test_of_a_job_that_has_ended_the_log_is_read_as_it_is() -> None:
    data = document("FAILED") + LOG_HEAD + chunk(STORY) + END
    events, head = told(data)
    assert events == [StreamOpened(7), InterimReceived(7, MESSAGES), StreamClosed(7)]
    assert head.paths == [DOCUMENT_PATH, FILE_PATH]


def test_a_log_by_http_1_0_is_read_to_its_end() -> None:
    old = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    events, _ = told(document("SUCCEEDED") + old + STORY, end=True)
    assert events == [StreamOpened(7), InterimReceived(7, MESSAGES), StreamClosed(7)]


def test_a_path_before_those_of_the_head_is_kept() -> None:
    head = Head(url="http://localhost/ray/one/")
    head.feed(document())
    assert head.paths == ["/ray/one" + DOCUMENT_PATH, "/ray/one" + QUICK_PATH]
    assert b"Host: localhost\r\n" in head.sent


# ---- jobs without a log, yet or for ever ---------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        document("PENDING", driver_node_id=None),
        document("PENDING"),
        document("RUNNING", driver_node_id=None),
        document() + answer(500, "A file is not found at: /tmp/ray/logs/job-driver-job-1.log"),
        document() + LOG_HEAD + END,  # what comes of the same now and then
    ],
)
def test_a_log_that_is_not_there_yet_is_waited_for(job: bytes) -> None:
    assert told(job)[0] == [StreamNotReady(7)]


def test_a_job_that_never_ran_has_an_empty_stream() -> None:
    events, head = told(document("STOPPED", driver_node_id=None))
    assert events == [StreamOpened(7), StreamClosed(7)]
    assert head.paths == [DOCUMENT_PATH]


@pytest.mark.parametrize(
    "missing",
    [answer(500, "A file is not found at: /tmp/ray/logs/job-driver-job-1.log"), LOG_HEAD + END],
)
def test_the_log_of_a_job_that_has_ended_may_be_lost(missing: bytes) -> None:
    error = error_of(told(document("SUCCEEDED") + missing)[0])
    assert not error.retryable
    assert "its node has no log of it any more" in str(error)


def test_the_node_of_a_log_may_be_gone() -> None:
    gone = answer(500, f"Agent for node id: {NODE} doesn't exist.")
    error = error_of(told(document("FAILED") + gone)[0])
    assert (error.status_code, error.retryable) == (410, False)
    assert str(error).endswith("doesn't exist.")
    assert not str(error).endswith("..")


def test_a_job_of_somebody_elses_has_no_results() -> None:
    error = error_of(told(document("SUCCEEDED", metadata={}))[0])
    assert not error.retryable
    assert "was not submitted by this library" in str(error)


def test_and_while_it_runs_nothing_is_said_of_that() -> None:
    for word in ("PENDING", "RUNNING"):
        assert told(document(word, metadata={}))[0] == [StreamNotReady(7)]


def test_prints_alone_are_a_sign_of_life() -> None:
    head = Head()
    head.feed(document("SUCCEEDED"), LOG_HEAD + chunk(PREAMBLE + frame(STARTED, 0)))
    assert head.stream.receive(chunk(b"printed\n" * 1000)) == [InterimReceived(7, ())]


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Unauthorized: Missing authentication token"),
        (403, "Forbidden: Invalid authentication token"),
    ],
)
@pytest.mark.parametrize("before", [b"", document()])
def test_a_token_that_is_refused_is_said_to_be(status: int, words: str, before: bytes) -> None:
    error = error_of(told(before + answer(status, words))[0])
    assert isinstance(error, NotAuthorizedError)
    assert (error.status_code, error.retryable) == (401, False)
    assert "RAY_AUTH_TOKEN" in str(error)


def test_a_refused_token_is_renewed_for_the_next_stream() -> None:
    tokens = iter(["first", "second"])
    client = RayClient("http://localhost", token_provider=lambda: next(tokens), proxy=None)
    streams = RayStreams(client, lambda *_: None)
    sent = []
    for _ in range(2):
        endpoint = streams.stream("job-1", OpenStream(1, 0))
        assert endpoint.prepare is not None
        endpoint.prepare()
        endpoint.protocol.start()
        sent.append(endpoint.protocol.data_to_send())
        endpoint.protocol.receive(answer(403, "Forbidden: Invalid authentication token"))
    assert b"Bearer first\r\n" in sent[0]
    assert b"Bearer second\r\n" in sent[1]


def test_a_job_that_the_head_does_not_know() -> None:
    error = error_of(told(answer(404, "Job job-1 does not exist"))[0])
    assert isinstance(error, RuntimeJobNotFoundError)
    assert not error.retryable


def test_a_head_that_cannot_just_now_is_asked_again() -> None:
    error = error_of(told(answer(503, "soon", more="Retry-After: 3\r\n"))[0])
    assert (error.status_code, error.retryable, error.retry_after) == (503, True, 3.0)


def test_an_answer_that_repeats_the_token_does_not_tell_it() -> None:
    error_of(told(answer(500, f"Bearer {TOKEN} is unknown"))[0])
    error_of(told(b"HTTP/1.1 200 OK\r\nBad " + TOKEN.encode() + b": x\r\n\r\n")[0])


def test_a_refusal_that_breaks_off_is_still_one() -> None:
    cut = answer(403, "Forbidden: Invalid authentication token")[:-9]
    assert isinstance(error_of(told(cut, end=True)[0]), NotAuthorizedError)


def test_a_refusal_that_does_not_end_is_not_read_to_its_end() -> None:
    endless = b"HTTP/1.1 500 Words\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 70_000
    assert error_of(told(endless)[0]).status_code == 500


# ---- what is no head -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak HTTP"),
        (b"HTTP/9.9 what\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "too long"),
        (b"HTTP/1.1 103 Early\r\n\r\n" * 4000, "too long"),
        (answer(200, "<html>Log in</html>", "text/html"), "no Ray head"),
        (answer(200, "[" * 100_000, "application/json"), "no Ray head"),
        (answer(200, b"\xff", "application/json"), "no Ray head"),
        (answer(200, "x" * 1_100_000, "application/json"), "longer than 1,048,576 bytes"),
        (answer(302, "", more="Location: https://login/\r\n"), "redirected"),
    ],
)
def test_what_is_no_head_is_said_not_to_be(data: bytes, words: str) -> None:
    error = error_of(told(data)[0])
    assert words in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    "log",
    [
        LOG_HEAD + b"zz\r\n",
        LOG_HEAD + b"3\r\nabcdef\r\n",
        LOG_HEAD + b"ffffffffffffffffffffffffff\r\n",
    ],
)
def test_chunks_that_lie_break_the_stream(log: bytes) -> None:
    assert error_of(told(document() + log)[0]).retryable


def test_a_connection_that_breaks_is_made_again() -> None:
    for data in (b"", document()[:20], document()[:-3], document(), document() + LOG_HEAD):
        assert error_of(told(data, end=True)[0]).retryable
    events, _ = told(document() + LOG_HEAD + chunk(STORY) + b"5\r\nab", end=True)
    assert events[:2] == [StreamOpened(7), InterimReceived(7, MESSAGES)]
    assert error_of(events).retryable


def test_messages_before_a_break_in_the_log_are_told() -> None:
    broken = STORY + frame(INTERIM, 5, "too early")
    events, _ = told(document() + LOG_HEAD + chunk(broken))
    assert events[:2] == [StreamOpened(7), InterimReceived(7, MESSAGES)]
    assert isinstance(error_of(events), BrokenLogError)


# ---- connections that are closed after each answer -----------------------------------------------


def test_a_connection_that_is_closed_after_an_answer_is_gone_on_with_by_the_next() -> None:
    closing = document().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    routes = LogRoutes()
    first = Head(routes)
    assert error_of(first.feed(closing)).retryable
    second = Head(routes)
    events = second.feed(LOG_HEAD + chunk(STORY + RETURNED))
    assert second.paths == [QUICK_PATH]
    assert events == [StreamOpened(7), InterimReceived(7, MESSAGES), StreamClosed(7)]
    assert Head(routes).paths == [DOCUMENT_PATH]


def test_what_is_remembered_of_jobs_is_limited() -> None:
    routes = LogRoutes()
    closing = document().replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    Head(routes).feed(closing)
    place = routes.take("job-1")
    assert place is not None
    for number in range(1001):
        routes.keep(f"job-{number}", place)
    assert routes.take("job-0") is None
    assert routes.take("job-1") == place


# ---- the tail ------------------------------------------------------------------------------------

TOO_MANY = answer(
    429,
    '{"result": false, "msg": "Max number of in-progress requests=100 reached. To set a higher '
    "limit, set environment variable: export RAY_STATE_SERVER_MAX_HTTP_REQUEST='xxx'.\", "
    '"data": {"result": null}}',
    "application/json",
)
NO_SUCH_ROUTE = answer(404, "404: Not Found")


def upgraded(head: Head) -> bytes:
    """Accept the upgrade that was asked for."""
    return accepted(head.sent[head.sent.rindex(b"GET ") :])


def tail(log: bytes, *, code: int | None = 1000) -> bytes:
    """The tail's messages: twenty thousand characters each, and the close."""
    server = Connection(ConnectionType.SERVER)
    text = log.decode()
    data = b"".join(
        server.send(TextMessage(text[place : place + 20_000]))
        for place in range(0, len(text), 20_000)
    )
    return data if code is None else data + server.send(CloseConnection(code))


@pytest.mark.parametrize("refusal", [TOO_MANY, NO_SUCH_ROUTE])
@pytest.mark.parametrize("cut", [lambda data: [data], bytewise])
def test_where_the_quick_way_is_refused_the_tail_is_read(refusal: bytes, cut: Any) -> None:
    head = Head()
    assert head.feed(*cut(document() + refusal)) == []
    assert head.paths == [DOCUMENT_PATH, QUICK_PATH, TAIL_PATH]
    assert head.sent.count(f"Authorization: Bearer {TOKEN}\r\n".encode()) == 3
    events = head.feed(*cut(upgraded(head) + tail(STORY + RETURNED)))
    assert events == [StreamOpened(7), InterimReceived(7, MESSAGES), StreamClosed(7)]
    assert head.outcomes == [("job-1", Returned("42"))]
    assert head.routes.quick is (refusal is TOO_MANY)


def test_a_head_without_the_quick_way_is_asked_for_it_once() -> None:
    routes = LogRoutes()
    Head(routes).feed(document() + NO_SUCH_ROUTE)
    second = Head(routes)
    second.feed(document())
    assert second.paths == [DOCUMENT_PATH, TAIL_PATH]


def test_only_so_many_streams_go_the_quick_way_at_once() -> None:
    routes = LogRoutes(max_quick=2)

    def quick(job: int) -> tuple[Head, bool]:
        head = Head(routes, job_id=f"job-{job}")
        head.feed(document())
        return head, "/v0/logs/stream" in head.paths[-1]

    heads = [quick(job) for job in range(3)]
    assert [is_quick for _, is_quick in heads] == [True, True, False]
    heads[0][0].feed(LOG_HEAD + chunk(STORY + RETURNED))
    late, is_quick = quick(3)
    assert is_quick
    late.stream.close()
    del heads[1]  # its connection broke, of which no protocol is told
    gc.collect()
    more = [quick(job) for job in (4, 5, 6)]
    assert [is_quick for _, is_quick in more] == [True, True, False]


def test_the_next_stream_of_a_job_has_the_room_of_the_one_that_broke() -> None:
    routes = LogRoutes(max_quick=1)
    broken, following = Head(routes), Head(routes)
    broken.feed(document() + LOG_HEAD + chunk(STORY))  # no protocol is told that it broke
    following.feed(document() + LOG_HEAD + chunk(STORY))
    assert following.paths[-1] == QUICK_PATH
    broken.stream.close()
    other = Head(routes, job_id="job-2")
    other.feed(document())
    assert "/logs/tail" in other.paths[-1]


def test_a_head_that_does_not_answer_is_asked_for_the_tail_next_time() -> None:
    routes = LogRoutes()
    first = Head(routes)
    assert error_of(first.feed(document(), b"")).retryable  # so a channel gives up waiting
    assert first.paths == [DOCUMENT_PATH, QUICK_PATH]
    assert Head(routes).paths == [TAIL_PATH]


def test_a_quick_stream_that_ended_without_a_message_is_followed_by_the_tail() -> None:
    routes = LogRoutes()
    Head(routes).feed(document() + LOG_HEAD + chunk(STORY), b"")
    assert Head(routes).paths == [DOCUMENT_PATH]
    Head(routes, after=3).feed(document() + LOG_HEAD + chunk(STORY), b"")
    assert Head(routes).paths == [TAIL_PATH]


def test_a_tail_that_closes_says_nothing_about_the_job() -> None:
    for status, closed in (
        ("RUNNING", StreamClosed(7, 1006, "the log ended before the job")),
        ("STOPPED", StreamClosed(7)),
    ):
        head = Head(LogRoutes(quick=False))
        head.feed(document(status))
        events = head.feed(upgraded(head) + tail(STORY))
        assert events == [StreamOpened(7), InterimReceived(7, MESSAGES), closed]


def test_a_tail_is_kept_alive_and_closed() -> None:
    head = Head(LogRoutes(quick=False))
    head.stream.ping()
    head.feed(document())
    head.feed(upgraded(head))
    assert head.events == [StreamOpened(7)]
    head.stream.ping()
    assert head.stream.data_to_send()[0] == 0x89
    head.feed(Connection(ConnectionType.SERVER).send(Ping(b"you?")))
    assert head.events == [StreamOpened(7)]
    head.stream.close()
    assert head.stream.data_to_send()[0] == 0x88


def test_the_outcome_in_a_tail_closes_it() -> None:
    head = Head(LogRoutes(quick=False))
    head.feed(document())
    events = head.feed(upgraded(head) + tail(STORY + RETURNED, code=None))
    assert events[-1] == StreamClosed(7)
    assert head.sent[-8] == 0x88  # a close frame, with a mask and a code


def test_a_quick_stream_has_no_ping_and_no_farewell() -> None:
    head = Head()
    head.feed(document() + LOG_HEAD + chunk(STORY))
    head.stream.ping()
    head.stream.close()
    assert head.stream.data_to_send() == b""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (answer(401, "Unauthorized: Missing authentication token"), "RAY_AUTH_TOKEN"),
        (answer(404, "Job job-1 does not exist"), "does not exist"),
        (b"SSH-2.0\r\n", "not HTTP"),
    ],
)
def test_a_tail_may_be_refused_too(data: bytes, words: str) -> None:
    head = Head(LogRoutes(quick=False))
    head.feed(document())
    assert words in str(error_of(head.feed(data)))


def test_a_tail_is_text() -> None:
    head = Head(LogRoutes(quick=False))
    head.feed(document())
    assert "binary" in str(error_of(head.feed(upgraded(head) + b"\x82\x03abc")))


# ---- anything ------------------------------------------------------------------------------------


@given(
    st.sampled_from([b"", document(), document() + LOG_HEAD, document() + TOO_MANY]),
    st.lists(st.binary(max_size=200), max_size=4),
)
def test_nothing_that_comes_raises(before: bytes, garbage: Iterable[bytes]) -> None:
    head = Head()
    head.feed(before, *garbage, b"")
    assert isinstance(head.events[-1], StreamFailed | StreamClosed | StreamNotReady)


def test_what_cannot_be_asked_for_is_the_callers_mistake() -> None:
    streams = RayStreams(RayClient("http://localhost", TOKEN, proxy=None), lambda *_: None)
    for job_id in ("", "a/b", "ä", "x" * 65):
        with pytest.raises(UsageError):
            streams.stream(job_id, OpenStream(1, 0))
    odd = RayStreams(RayClient("http://localhost/a b", TOKEN, proxy=None), lambda *_: None)
    with pytest.raises(UsageError, match="cannot be asked for"):
        odd.stream("job-1", OpenStream(1, 0))
    assert repr(odd) == "RayStreams('http://localhost/a b')"


def test_streams_do_not_go_by_a_proxy_that_speaks_tls() -> None:
    client = RayClient("https://head", TOKEN, proxy="https://proxy:3128")
    with pytest.raises(UsageError, match="speaks TLS itself"):
        RayStreams(client, lambda *_: None)
