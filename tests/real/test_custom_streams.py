"""Streams of somebody else's transport: files with a protocol, and iterators, on both drivers."""

from __future__ import annotations

import gc
import io
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from async_threads import LoopThread
from blocking_face import blocking_job, job_maker, make_job
from conditions import PATIENCE, Recorder, eventually
from scripted_transport import ScriptedTransport

from adapters import RuntimeJob, StreamFile
from adapters.drivers import channel, inbox, job_driver
from adapters.drivers.iterator_channel import IteratorChannel
from adapters.drivers.puller import AHEAD
from adapters.transport import AnyStream
from runtime_core import polling
from runtime_core.commands import OpenStream
from runtime_core.errors import TransportError, UsageError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)


@pytest.fixture(autouse=True, params=["threads", "asyncio"])
def each_driver(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "threads":
        yield
        return
    thread = LoopThread()
    token = job_maker.set(partial(blocking_job, thread))
    yield
    job_maker.reset(token)
    thread.end()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(job_driver, "SILENCE", 0.2)
    monkeypatch.setattr(channel, "CLOSE_TIMEOUT", 0.1)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread of a stream outlives a test."""
    yield
    assert eventually(lambda: not stream_threads())


def stream_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "runtime-stream"]


class Lines:
    """The protocol of a peer that says `hello`, then messages, and `bye`, a line each."""

    def __init__(self, connection: int) -> None:
        self.connection = connection
        self.outgoing = b""
        self.rest = b""
        self.pings = 0

    def start(self) -> None: ...

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        *lines, self.rest = (self.rest + data).split(b"\n")
        events = [self.event(line.decode()) for line in lines]
        if not data and not any(isinstance(event, StreamClosed) for event in events):
            error = TransportError("the peer is gone", retryable=True)
            events.append(StreamFailed(self.connection, error))
        return events

    def event(self, line: str) -> StreamEvent:
        if line == "hello":
            return StreamOpened(self.connection)
        if line == "bye":
            return StreamClosed(self.connection)
        return InterimReceived(self.connection, (line,))

    def data_to_send(self) -> bytes:
        data, self.outgoing = self.outgoing, b""
        return data

    def ping(self) -> None:
        self.pings += 1

    def close(self) -> None: ...


class Service(ScriptedTransport):
    """A running job; it is done when the test says so, with `end`."""

    def __init__(self, stream: Callable[[OpenStream], AnyStream]) -> None:
        super().__init__("RUNNING", stream=self.note)
        self.give = stream
        self.opened: list[OpenStream] = []

    def note(self, command: OpenStream) -> AnyStream:
        self.opened.append(command)
        return self.give(command)

    def end(self) -> None:
        self.script = ["DONE"]


def job_by(service: Service) -> RuntimeJob:
    return make_job("b", service, None, "j1", "p")


class Written:
    """The write end of a pipe, by which a job is streamed: of a new one for each connection."""

    def __init__(self) -> None:
        self.ends: list[io.FileIO] = []
        self.protocols: list[Lines] = []
        self.is_over = False
        """Whether there is nothing more to stream."""
        self.write = -1

    def __call__(self, command: OpenStream) -> StreamFile:
        self.hang_up()
        read, self.write = os.pipe()
        if self.is_over:
            self.say("hello", "bye")
        self.ends.append(io.FileIO(read))
        self.protocols.append(Lines(command.connection))
        return StreamFile(self.ends[-1], self.protocols[-1])

    @property
    def are_closed(self) -> bool:
        """Whether we have let go of all files."""
        return all(end.closed for end in self.ends)

    def say(self, *lines: str) -> None:
        assert eventually(lambda: self.write >= 0)
        os.write(self.write, "".join(f"{line}\n" for line in lines).encode())

    def hang_up(self) -> None:
        write, self.write = self.write, -1
        if write >= 0:
            os.close(write)


def fill(pipe: int, line: bytes) -> int:
    """Write a line until the pipe is full, and give how many bytes that were."""
    os.set_blocking(pipe, False)
    written = 0
    with suppress(BlockingIOError):
        while written < 2**24:
            written += os.write(pipe, line)
    assert written < 2**24, "nobody held it up"
    os.set_blocking(pipe, True)
    return written


@pytest.fixture
def pipe() -> Iterator[Written]:
    made = Written()
    yield made
    made.hang_up()
    assert eventually(lambda: made.are_closed)


# ---- files -------------------------------------------------------------------------------------


def test_a_job_is_streamed_through_a_pipe(pipe: Written) -> None:
    service = Service(pipe)
    with job_by(service) as job:
        heard = Recorder()
        job.stream_results(heard)
        pipe.say("hello", "1", "2")
        assert heard.reached(2)
        pipe.say("3")
        assert heard.reached(3)
        service.end()
        pipe.is_over = True
        pipe.say("4", "bye")
        assert job.result() == 42
        assert heard.values == [1, 2, 3, 4]
        assert job.stream_error() is None


def test_the_end_of_a_pipe_without_a_close_is_a_reason_to_go_on_at_the_cursor(
    pipe: Written,
) -> None:
    service = Service(pipe)
    with job_by(service) as job:
        heard = Recorder()
        job.stream_results(heard)
        pipe.say("hello", "1")
        assert heard.reached(1)
        pipe.hang_up()
        pipe.say("hello", "2")
        assert heard.reached(2)
        assert [command.after for command in service.opened] == [0, 1]


def test_a_file_is_closed_when_nobody_listens_any_more(pipe: Written) -> None:
    with job_by(Service(pipe)) as job:
        job.stream_results(lambda *_: None)
        pipe.say("hello")
        job.cancel_result_streaming()
        assert eventually(lambda: pipe.are_closed)


def test_a_socket_is_written_to_as_well() -> None:
    ours, theirs = socket.socketpair()

    class Greeting(Lines):
        def start(self) -> None:
            self.outgoing = b"hi\n"

        def close(self) -> None:
            self.outgoing = b"bye\n"

    with job_by(Service(lambda c: StreamFile(ours, Greeting(c.connection)))) as job, theirs:
        theirs.settimeout(PATIENCE)
        heard = Recorder()
        job.stream_results(heard)
        assert theirs.recv(10) == b"hi\n"
        assert not os.get_blocking(ours.fileno())
        theirs.send(b"hello\n5\n")
        assert heard.reached(1)
        job.cancel_result_streaming()
        assert theirs.recv(10) == b"bye\n"
    assert eventually(lambda: ours.fileno() < 0)


def test_a_slow_callback_holds_the_writer_of_a_pipe_up(
    pipe: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 10)
    service = Service(pipe)
    may_go_on = threading.Event()
    heard: list[object] = []

    def slow(_: str, value: object) -> None:
        may_go_on.wait(PATIENCE)
        heard.append(value)

    with job_by(service) as job:
        job.stream_results(slow)
        pipe.say("hello", *map(str, range(20)))
        assert eventually(lambda: job._driver.runner._paused)
        written = fill(pipe.write, b'"' + 4093 * b"x" + b'"\n')
        may_go_on.set()
        assert eventually(lambda: len(heard) == 20 + written // 4096)


def test_a_protocol_without_pings_is_not_taken_for_dead(
    pipe: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "PING_INTERVAL", 0.02)
    service = Service(pipe)
    with job_by(service) as job:
        heard = Recorder()
        job.stream_results(heard)
        pipe.say("hello")
        assert eventually(lambda: bool(pipe.protocols) and pipe.protocols[0].pings > 3)
        pipe.say("1")
        assert heard.reached(1)
        assert len(service.opened) == 1


def test_a_regular_file_is_refused_with_a_reason(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lines"
    path.write_text("hello\n")
    with job_by(Service(lambda c: StreamFile(path.open("rb"), Lines(c.connection)))) as job:
        job.stream_results(lambda *_: None)
        assert eventually(lambda: "it is no pipe and no socket" in caplog.text)


class Raises(Lines):
    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        raise LookupError("no such word")


class Confuses(Lines):
    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        return [StreamOpened(self.connection + 7)]


class GivesNone(Lines):
    def receive(self, data: bytes) -> Any:
        return None


class CannotStart(Lines):
    def start(self) -> None:
        raise LookupError("no such word")


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (Raises, "its protocol raised: LookupError: no such word"),
        (CannotStart, "its protocol raised: LookupError: no such word"),
        (Confuses, "its StreamOpened carries the connection 8, but the OpenStream carried 1"),
        (GivesNone, "what it gave could not be read: TypeError"),
    ],
)
def test_a_bad_protocol_ends_its_stream_with_a_reason(
    protocol: type[Lines], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = socket.socketpair()
    service = Service(lambda c: StreamFile(ours, protocol(c.connection)))
    with job_by(service) as job, theirs:
        theirs.send(b"hello\n")
        job.stream_results(lambda *_: None)
        assert eventually(lambda: said in caplog.text)
        service.end()
        assert job.result() == 42
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


# ---- iterators ---------------------------------------------------------------------------------


def test_a_job_is_streamed_by_a_generator() -> None:
    ran_in: set[str] = set()
    pulled_on: list[int] = []

    def events(command: OpenStream) -> Iterator[StreamEvent]:
        number = command.connection
        ran_in.add(threading.current_thread().name)
        yield StreamOpened(number)
        yield InterimReceived(number, ("1", "2", "3")[command.after : 2])
        yield InterimReceived(number, ("1", "2", "3")[max(command.after, 2) :])
        service.end()
        yield StreamClosed(number)
        pulled_on.append(number)

    service = Service(events)
    with job_by(service) as job:
        heard = Recorder()
        job.stream_results(heard)
        assert job.result() == 42
        assert heard.values == [1, 2, 3]
        assert job.stream_error() is None
    assert ran_in == {"runtime-stream"}
    assert not pulled_on


def test_order_is_kept_and_a_fast_producer_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 10)
    may_go_on = threading.Event()
    pulled = 0
    heard: list[int] = []

    def events(command: OpenStream) -> Iterator[StreamEvent]:
        nonlocal pulled
        yield StreamOpened(command.connection)
        for pulled in range(command.after, 1000):
            yield InterimReceived(command.connection, (str(pulled),))
        service.end()
        yield StreamClosed(command.connection)

    def slow(_: str, value: int) -> None:
        may_go_on.wait(PATIENCE)
        heard.append(value)

    service = Service(events)
    with job_by(service) as job:
        job.stream_results(slow)
        assert eventually(lambda: job._driver.runner._paused)
        assert pulled < 10 + 4 * AHEAD
        may_go_on.set()
        assert job.result() == 42
        assert heard == list(range(1000))


@pytest.mark.parametrize("ending", ["ends", "raises", "exits"])
def test_an_iterator_that_breaks_off_is_opened_again_at_the_cursor(ending: str) -> None:
    def events(command: OpenStream) -> Iterator[StreamEvent]:
        yield StreamOpened(command.connection)
        if command.after < 3:
            yield InterimReceived(command.connection, (str(command.after),))
        if command.after >= 2:
            service.end()
            yield StreamClosed(command.connection)
        if ending == "raises":
            raise ConnectionError("it broke")
        if ending == "exits":
            raise SystemExit

    service = Service(events)
    with job_by(service) as job:
        heard = Recorder()
        job.stream_results(heard)
        assert job.result() == 42
        assert heard.values == [0, 1, 2]
        assert [command.after for command in service.opened][:3] == [0, 1, 2]


NO_WAIT: Any = "soon"
BUSY = TransportError("busy", 503, retryable=True, retry_after=NO_WAIT)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("messages", "it gave one str, and that is no StreamEvent"),
        (InterimReceived(1, ("1",)), "it gave messages before a StreamOpened"),
        (StreamOpened(9), "its StreamOpened carries the connection 9"),
        (StreamFailed(1, "text"), "the error of its StreamFailed is 'text', no exception"),  # type: ignore[arg-type]
        (StreamFailed(1, BUSY), "the retry_after of its error is 'soon'"),
        (BUSY, "the retry_after of its error is 'soon'"),
    ],
)
def test_an_event_that_is_none_ends_the_stream_with_a_reason(
    given: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    def events(command: OpenStream) -> Iterator[StreamEvent]:
        if command.connection == 1 and isinstance(given, Exception):
            raise given
        yield given if command.connection == 1 else StreamNotReady(command.connection)

    service = Service(events)
    with job_by(service) as job:
        job.stream_results(lambda *_: None)
        assert eventually(lambda: said in caplog.text)
        service.end()
        assert job.result() == 42


@pytest.mark.parametrize("messages", ["text", ["1"], (1,)])
def test_messages_are_a_tuple_of_texts(messages: Any, caplog: pytest.LogCaptureFixture) -> None:
    def events(command: OpenStream) -> Iterator[StreamEvent]:
        yield StreamOpened(command.connection)
        yield InterimReceived(command.connection, messages)

    with job_by(Service(events)) as job:
        job.stream_results(lambda *_: None)
        assert eventually(lambda: "The transport broke a rule of streams" in caplog.text)


def test_what_is_no_stream_is_refused_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(lambda _: "ws://somewhere")  # type: ignore[arg-type, return-value]
    with job_by(service) as job:
        job.stream_results(lambda *_: None)
        said = "Transport.stream gave one str, expected a StreamEndpoint, a StreamFile or"
        assert eventually(lambda: said in caplog.text)


def test_a_generator_that_blocks_is_closed_on_its_own_thread_when_it_yields() -> None:
    let_go, closed_by = threading.Event(), []

    def events(command: OpenStream) -> Iterator[StreamEvent]:
        try:
            yield StreamOpened(command.connection)
            let_go.wait(PATIENCE)
            yield InterimReceived(command.connection, ("1",))
        finally:
            closed_by.append(threading.current_thread().name)

    heard = Recorder()
    with job_by(Service(events)) as job:
        job.stream_results(heard)
        assert eventually(lambda: job._driver.runner._is_open)
        job.cancel_result_streaming()
    assert not closed_by
    let_go.set()
    assert eventually(lambda: closed_by == ["runtime-stream"])
    assert heard.values == []


def test_the_close_of_another_iterator_breaks_its_next_off() -> None:
    class Blocking:
        """Like a subscription of a message bus: `close` ends a `next` that waits."""

        def __init__(self, connection: int) -> None:
            self.events = [StreamOpened(connection)]
            self.over = threading.Event()
            self.closed_by: list[str] = []

        def __iter__(self) -> Blocking:
            return self

        def __next__(self) -> StreamEvent:
            if self.events:
                return self.events.pop()
            assert self.over.wait(PATIENCE)
            raise OSError("closed")

        def close(self) -> None:
            self.closed_by.append(threading.current_thread().name)
            self.over.set()

    made: list[Blocking] = []

    def stream(command: OpenStream) -> Iterator[StreamEvent]:
        made.append(Blocking(command.connection))
        return made[-1]

    with job_by(Service(stream)) as job:
        job.stream_results(lambda *_: None)
        assert eventually(lambda: job._driver.runner._is_open)
        job.cancel_result_streaming()
        assert eventually(lambda: made[0].closed_by == ["runtime-request"])


def test_closes_that_hang_keep_no_request_waiting() -> None:
    let_go = threading.Event()

    class Stuck:
        def __init__(self, command: OpenStream) -> None:
            self.events = iter((StreamOpened(command.connection),))

        def __iter__(self) -> Iterator[StreamEvent]:
            return self

        def __next__(self) -> StreamEvent:
            for event in self.events:
                return event
            let_go.wait(PATIENCE)
            raise StopIteration

        def close(self) -> None:
            let_go.wait(PATIENCE)

    service = Service(Stuck)
    for _ in range(35):  # there are 32 threads for requests at most
        with job_by(service) as job:
            job.stream_results(lambda *_: None)
            assert eventually(lambda job=job: job._runner._is_open)  # type: ignore[misc]
    service.end()
    with job_by(service) as job:
        assert job.result(PATIENCE / 2) == 42
    let_go.set()
    assert eventually(lambda: not stream_threads())


def test_an_iterator_that_never_opens_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel, "OPEN_TIMEOUT", 0.05)
    let_go = threading.Event()

    def events(command: OpenStream) -> Iterator[StreamEvent]:
        let_go.wait(PATIENCE)
        yield StreamOpened(command.connection)

    with job_by(Service(events)) as job:
        job.stream_results(lambda *_: None)
        assert eventually(lambda: "its iterator gave nothing for 0.05 s" in caplog.text)
    let_go.set()


def test_refusals_are_told_as_they_are() -> None:
    def events(command: OpenStream) -> Iterator[StreamEvent]:
        raise UsageError("this transport wants a token")
        yield StreamOpened(command.connection)

    service = Service(events)
    with job_by(service) as job:
        service.end()
        assert job.result() == 42
        with pytest.raises(UsageError, match="wants a token"):
            list(job.interim_results())


# ---- forks, and event loops that end -----------------------------------------------------------


@pytest.mark.parametrize("each_driver", ["threads"], indirect=True)
def test_the_child_of_a_fork_neither_pulls_nor_closes_its_parent_s_iterator() -> None:
    go_on = threading.Event()
    closed_in: list[int] = []

    def events(command: OpenStream) -> Iterator[StreamEvent]:
        try:
            yield StreamOpened(command.connection)
            go_on.wait(PATIENCE)
            yield InterimReceived(command.connection, ("1",))
            service.end()
            yield StreamClosed(command.connection)
        finally:
            if command.connection == 1:  # the child opens others of its own
                closed_in.append(os.getpid())

    service = Service(events)
    with job_by(service) as job:
        heard = Recorder()
        job.stream_results(heard)
        assert eventually(lambda: job._driver.runner._is_open)
        child = os.fork()
        if child == 0:
            try:
                go_on.set()
                service.end()
                is_good = job.result(PATIENCE) == 42
                gc.collect()
                is_good = is_good and not closed_in and not heard.values
                os._exit(0 if is_good else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        go_on.set()
        assert job.result() == 42
        assert heard.values[:1] == [1]
    assert closed_in == [os.getpid()]


class EndedLoop:
    """The loop of a channel, as it is when its event loop has ended: nothing comes of anything."""

    def call_soon(self, task: Callable[[], None]) -> None: ...

    def call_later(self, delay: float, task: Callable[[], None]) -> EndedLoop:
        return self

    def cancel(self) -> None: ...


@pytest.mark.parametrize("each_driver", ["threads"], indirect=True)
def test_where_the_loop_has_ended_the_thread_ends_with_the_channel() -> None:
    def events() -> Iterator[StreamEvent]:
        while True:  # so it stops where it may not pull any further
            yield InterimReceived(1, ("1",))

    loop: Any = EndedLoop()
    made = IteratorChannel(loop, loop, 1, events(), lambda _: None)
    assert stream_threads()
    del made
    gc.collect()
    assert eventually(lambda: not stream_threads())


@pytest.mark.parametrize("each_driver", ["threads"], indirect=True)
def test_the_garbage_collector_does_not_wait_for_a_lock_that_nobody_will_release() -> None:
    loop: Any = EndedLoop()
    made = IteratorChannel(loop, loop, 1, iter(()), lambda _: None)
    lock = made._puller._changed
    assert eventually(lambda: not stream_threads())
    held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            may_end.wait(PATIENCE)

    threading.Thread(target=hold).start()
    held.wait(PATIENCE)
    found = [made]
    del made
    collector = threading.Thread(target=found.clear, daemon=True)
    collector.start()
    collector.join(PATIENCE / 10)
    was_through = not collector.is_alive()
    may_end.set()
    assert was_through
