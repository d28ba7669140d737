"""Scripts for the world of `adapters.testing.FakeReactor`: of connections, and of a client.

What blocks in the real world (a request, a callback) says with `hold` how long it takes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

import attrs
from blocking_face import make_job

import adapters.testing
from adapters.drivers.channel import Channel
from adapters.job import RuntimeJob
from adapters.transport import AnyStream, StreamEndpoint
from runtime_core.commands import OpenStream
from runtime_core.errors import TransportError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)
from runtime_core.traits import Resume, ServiceTraits

Task: TypeAlias = Callable[[], None]
Listener: TypeAlias = Callable[[Sequence[StreamEvent]], None]

NEVER = math.inf
"""How long something takes that does not end."""


class EventLoop(Protocol):
    """What the world needs of an event loop of asyncio, see `async_fakes`."""

    @property
    def is_busy(self) -> bool: ...

    def turn(self) -> None: ...

    def call_soon_threadsafe(self, callback: Task) -> object: ...


class Interrupted(BaseException):
    """Something like a KeyboardInterrupt, in a worker."""


class FakeReactor(adapters.testing.FakeReactor):
    """One whose connections are scripts, and whose loop may be one of asyncio."""

    ends_a_worker = (SystemExit, Interrupted)

    def __init__(self) -> None:
        super().__init__()
        self.event_loop: EventLoop | None = None
        """asyncio's, which then runs what is for the loop; None without asyncio."""
        self.channels: list[FakeChannel] = []
        """Every connection that was opened, the newest last."""
        self.connections: list[Script] = []
        """What the next connections do; one that has no script stays silent."""

    def open_channel(self, connection: int, stream: AnyStream, listener: Listener) -> Channel:
        if not isinstance(stream, StreamEndpoint):
            return super().open_channel(connection, stream, listener)
        assert self._on_loop, "open_channel is for the loop only"
        assert not any(channel.is_live for channel in self.channels), "one connection at a time"
        channel = FakeChannel(self, connection, stream, listener)
        self.channels.append(channel)
        if self.connections:
            channel.play(self.connections.pop(0))
        return channel

    @property
    def channel(self) -> FakeChannel:
        """The newest connection."""
        return self.channels[-1]

    def hold(self, seconds: float) -> None:
        """Called by a request or a callback that is running: it takes that much longer."""
        assert self.clock.held is not None, "nothing is running that could take time"
        self.clock.sleep(seconds)

    def _put(self, task: Task) -> None:
        if self.event_loop is None:
            super()._put(task)
        else:
            self.event_loop.call_soon_threadsafe(task)

    @property
    def _loop_is_busy(self) -> bool:
        return bool(self._tasks) or (self.event_loop is not None and self.event_loop.is_busy)

    def _run_loop(self) -> None:
        (self._tasks.popleft() if self.event_loop is None else self.event_loop.turn)()


# ---- connections -------------------------------------------------------------------------------


@attrs.frozen
class Opens:
    """The handshake is through."""


@attrs.frozen
class Refuses:
    """The job does not run yet."""


@attrs.frozen
class Says:
    """Messages, all in one read."""

    messages: tuple[str, ...]


@attrs.frozen
class Closes:
    """An orderly close."""

    code: int = 1000


@attrs.frozen
class Breaks:
    """The connection is gone."""


OPENS, REFUSES, CLOSES, BREAKS = Opens(), Refuses(), Closes(), Breaks()


def says(*messages: str) -> Says:
    return Says(messages)


Step: TypeAlias = float | Opens | Refuses | Says | Closes | Breaks
Script: TypeAlias = tuple[Step, ...]
"""What a connection does; a number is a pause in seconds."""


class FakeChannel:
    """A connection whose peer is the test."""

    def __init__(
        self, reactor: FakeReactor, connection: int, endpoint: StreamEndpoint, listener: Listener
    ) -> None:
        self.connection = connection
        self.endpoint = endpoint
        self.log: list[str] = []
        """`pause`, `resume`, `close`, as they were called."""
        self.opened_at = reactor.elapsed
        self.is_live = True
        """Whether neither side has ended it."""
        self.is_paused = False
        self._reactor = reactor
        self._listener = listener
        self._unread: deque[tuple[StreamEvent, ...]] = deque()

    def pause(self) -> None:
        self.log.append("pause")
        self.is_paused = True

    def resume(self) -> None:
        self.log.append("resume")
        self.is_paused = False
        self._reactor.call_soon(self._read)

    def close(self) -> None:
        self.log.append("close")
        self.is_live = False

    def play(self, script: Script) -> None:
        """Do these steps, one after the other."""
        delay = 0.0
        for step in script:
            if isinstance(step, int | float):
                delay += step
            else:
                self._reactor._at(self._reactor.now() + delay, self._later(step))

    def feed(self, *steps: Step) -> None:
        """Send this now, in one read, and have it handled."""
        self._send(tuple(self._event(step) for step in steps))
        self._reactor.settle()

    def _later(self, step: Step) -> Task:
        return lambda: self._send((self._event(step),))

    def _send(self, events: tuple[StreamEvent, ...]) -> None:
        self._unread.append(events)
        self._reactor.call_soon(self._read)

    def _read(self) -> None:
        while self._unread and self.is_live and not self.is_paused:
            events = self._unread.popleft()
            if isinstance(events[-1], StreamNotReady | StreamClosed | StreamFailed):
                self.is_live = False
            self._listener(events)

    def _event(self, step: Step) -> StreamEvent:
        match step:
            case Opens():
                return StreamOpened(self.connection)
            case Refuses():
                return StreamNotReady(self.connection)
            case Says(messages):
                return InterimReceived(self.connection, messages)
            case Closes(code):
                return StreamClosed(self.connection, code)
            case Breaks():
                return StreamFailed(self.connection, TransportError("it broke", retryable=True))
            case _:
                raise TypeError(step)


class SilentProtocol:
    """A `StreamProtocol` that nobody uses: the channel is a fake."""

    def start(self) -> None: ...

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        return ()

    def data_to_send(self) -> bytes:
        return b""

    def ping(self) -> None: ...

    def close(self) -> None: ...


class FakeStreams:
    """Stands for a `RuntimeWebsocketClient`."""

    def __init__(self, resume: Resume = Resume.OFFSET, *, streams_result: bool = False) -> None:
        self.traits = ServiceTraits(pushes=True, resume=resume, streams_result=streams_result)
        self.asked: list[int] = []
        """How many messages each connection was to skip."""
        self.failure: BaseException | None = None
        """What is raised in place of an endpoint."""

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        assert job_id == "j1"
        self.asked.append(command.after)
        if self.failure is not None:
            raise self.failure
        return StreamEndpoint("fake", 1, None, SilentProtocol())


# ---- requests ----------------------------------------------------------------------------------


@attrs.frozen
class Late:
    """An answer that takes its time."""

    seconds: float
    answer: Answer = "QUEUED"


Value: TypeAlias = str | Mapping[str, Any] | BaseException | Late
Answer: TypeAlias = Value | Callable[[], Value]
"""A value to give, an exception to raise, either of them late, or what gives one of these when it
is asked. For `job_get` a text is a status word."""

HANGS = Late(NEVER)
"""A request that does not return."""


class FakeClient:
    """An api client that reads its answers from scripts; the last of each is repeated."""

    def __init__(
        self,
        reactor: FakeReactor,
        *status: Answer,
        result: Answer | list[Answer] = "42",
        cancel: Answer | list[Answer] = "",
        logs: Answer | list[Answer] = "",
    ) -> None:
        self._reactor = reactor
        self._scripts = {
            "job_get": list(status) or ["QUEUED"],
            "job_results": result if isinstance(result, list) else [result],
            "job_cancel": cancel if isinstance(cancel, list) else [cancel],
            "job_logs": logs if isinstance(logs, list) else [logs],
        }
        self.calls: list[tuple[str, float]] = []
        """What was asked for, and when."""

    def count(self, call: str) -> int:
        return len(self.times(call))

    def times(self, call: str) -> list[float]:
        """When it was asked, in seconds since the beginning."""
        return [round(time, 6) for name, time in self.calls if name == call]

    def now_says(self, *status: Answer, result: Answer | None = None) -> None:
        """Change the scripts."""
        if status:
            self._scripts["job_get"] = list(status)
        if result is not None:
            self._scripts["job_results"] = [result]

    def job_get(self, job_id: str) -> Mapping[str, Any]:
        answer = self._next("job_get", job_id)
        return {"id": job_id, "status": answer} if isinstance(answer, str) else answer

    def job_results(self, job_id: str) -> str:
        answer = self._next("job_results", job_id)
        assert isinstance(answer, str)
        return answer

    def job_cancel(self, job_id: str) -> object:
        return self._next("job_cancel", job_id)

    def job_logs(self, job_id: str) -> str:
        answer = self._next("job_logs", job_id)
        assert isinstance(answer, str)
        return answer

    def _next(self, call: str, job_id: str) -> str | Mapping[str, Any]:
        assert job_id == "j1"
        self.calls.append((call, self._reactor.elapsed))
        script = self._scripts[call]
        answer = script.pop(0) if len(script) > 1 else script[0]
        while not isinstance(answer, str | Mapping):
            if isinstance(answer, Late):
                self._reactor.hold(answer.seconds)
                answer = answer.answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                answer = answer()
        return answer


def over_time(reactor: FakeReactor, first: Value, *changes: tuple[float, Value]) -> Answer:
    """An answer that changes with the time since the beginning."""

    def answer() -> Value:
        return [first, *(value for time, value in changes if time <= reactor.elapsed)][-1]

    return answer


def failure(
    status_code: int | None = None, *, retryable: bool = False, after: float | None = None
) -> TransportError:
    return TransportError(f"no luck ({status_code})", status_code, retryable, after)


# ---- a job in all this -------------------------------------------------------------------------


@attrs.define(eq=False)
class World:
    """A reactor, a service and a job."""

    reactor: FakeReactor
    client: FakeClient
    streams: FakeStreams | None
    job: RuntimeJob

    @property
    def traces(self) -> list[str]:
        """What the job has under way: nothing, once nobody is interested in it.

        By the liveness of the machine, there is no wait left in it then either. A request cannot
        be called back: only its deadline is seen here.
        """
        self.reactor.settle()
        found = [f"timer in {delay:g} s" for delay in self.reactor.armed]
        found += [f"connection {c.connection}" for c in self.reactor.channels if c.is_live]
        return found + [f"wait {number}" for number in self.job._driver.runner._waiters]

    @contextmanager
    def takes(self, seconds: float) -> Iterator[None]:
        """What is inside takes exactly so long."""
        start = self.reactor.now()
        yield
        assert self.reactor.now() == start + seconds


def world(
    *status: Answer,
    streams: FakeStreams | Resume | None = None,
    script: Sequence[Script] = (),
    result: Answer | list[Answer] = "42",
    cancel: Answer | list[Answer] = "",
    logs: Answer | list[Answer] = "",
    reactor: FakeReactor | None = None,
    **options: Any,
) -> World:
    """Make a job whose service answers with `status`, and streams with `script`."""
    reactor = FakeReactor() if reactor is None else reactor
    reactor.connections += script
    client = FakeClient(reactor, *status, result=result, cancel=cancel, logs=logs)
    source = FakeStreams(streams) if isinstance(streams, Resume) else streams
    job = make_job("b", client, source, "j1", "p", reactor=reactor, **options)
    return World(reactor, client, source, job)
