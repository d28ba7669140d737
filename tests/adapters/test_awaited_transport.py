"""A transport that is awaited: requests and streams are tasks of the event loop, no threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from async_fakes import asyncio_jobs, loop_of
from blocking_face import make_job
from fakes import FakeClient, FakeReactor, World
from scripted_transport import AwaitedTransport, ScriptedTransport

from adapters import AsyncRuntimeJob, AsyncTransport, BlockingDriver, RuntimeJob
from adapters.drivers import channel, inbox
from adapters.drivers.channel import OPEN_TIMEOUT
from adapters.drivers.job_requests import REQUEST_DEADLINE
from adapters.transport import AnyStream
from runtime_core.commands import OpenStream, RequestCommand
from runtime_core.errors import (
    JobTimeoutError,
    RuntimeJobCancelledError,
    TransportError,
    UsageError,
)
from runtime_core.events import (
    InterimReceived,
    JobStarted,
    ReplyEvent,
    StreamClosed,
    StreamEvent,
    StreamOpened,
)
from runtime_core.states import JobState


@pytest.fixture(autouse=True)
def in_asyncio() -> Iterator[None]:
    with asyncio_jobs():
        yield


async def at_once() -> None: ...


def awaited(
    *status: str,
    before: Callable[[], Awaitable[object]] = at_once,
    stream: Callable[[OpenStream], AnyStream] | None = None,
    **options: Any,
) -> tuple[World, ScriptedTransport]:
    """A job by a transport that is awaited."""
    inner = ScriptedTransport(*status, stream=stream)
    reactor = FakeReactor()
    transport = AwaitedTransport(inner, before)
    job = make_job("b", transport, None, "j1", "p", reactor=reactor, **options)
    return World(reactor, FakeClient(reactor), None, job), inner


# ---- requests ----------------------------------------------------------------------------------


def test_both_of_the_tests_transports_are_what_they_are_meant_to_be() -> None:
    assert isinstance(AwaitedTransport(ScriptedTransport("DONE"), at_once), AsyncTransport)


def test_requests_are_awaited_on_the_loop() -> None:
    threads: set[threading.Thread] = set()

    async def before() -> None:
        threads.add(threading.current_thread())
        await asyncio.sleep(0.25)

    w, inner = awaited("QUEUED", "RUNNING", "DONE", before=before)
    assert w.job.result() == 42
    assert len(inner.asked) == 4
    assert w.reactor.elapsed > 1.0
    assert threads == {threading.current_thread()}
    assert w.traces == []


def test_a_job_is_cancelled() -> None:
    w, _ = awaited("RUNNING")
    w.job.cancel()
    with pytest.raises(RuntimeJobCancelledError):
        w.job.result()


def test_what_takes_too_long_is_cancelled_and_asked_again() -> None:
    cancelled: list[float] = []

    async def before() -> None:
        if cancelled:
            return
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(w.reactor.elapsed)
            raise

    w, _ = awaited("DONE", before=before)
    w.job.wait_for_final_state()
    assert cancelled == [REQUEST_DEADLINE]


def test_what_takes_too_long_is_cancelled_though_the_job_was_closed_meanwhile() -> None:
    cancelled: list[float] = []

    async def before() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(w.reactor.elapsed)
            raise

    w, _ = awaited("DONE", before=before)
    with pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(timeout=1)
    w.job.close()
    w.reactor.advance(REQUEST_DEADLINE)
    assert cancelled == [REQUEST_DEADLINE]
    assert w.reactor.armed == []


def test_a_request_whose_task_somebody_cancels_is_asked_again() -> None:
    async def before() -> None:
        if w.reactor.elapsed == 0:
            raise asyncio.CancelledError

    w, inner = awaited("DONE", before=before)
    w.job.wait_for_final_state()
    assert len(inner.asked) == 1


def test_a_request_that_is_cancelled_before_it_has_begun_is_asked_again() -> None:
    w, inner = awaited("DONE")
    loop = loop_of(w)

    async def wait() -> None:
        waiting = asyncio.create_task(w.job.inner.wait_for_final_state())  # type: ignore[attr-defined]
        found: list[asyncio.Task[Any]] = []
        for _ in range(20):
            found = [each for each in asyncio.all_tasks() if "FetchStatus" in each.get_name()]
            if found:
                found[0].cancel()
                break
            await asyncio.sleep(0)
        assert found
        await waiting

    loop.run(wait())
    assert len(inner.asked) == 1


def test_what_it_raises_is_told() -> None:
    async def before() -> None:
        raise LookupError("no such word")

    w, _ = awaited("DONE", before=before)
    with pytest.raises(TransportError, match="The transport failed: LookupError: no such word"):
        w.job.status()


def test_it_has_a_budget() -> None:
    w, inner = awaited("RUNNING")
    with pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(timeout=10, wait=0.02)
    assert 50 < len(inner.asked) < 120


# ---- streams -----------------------------------------------------------------------------------


def streamed(
    events: Callable[[OpenStream], AsyncIterator[StreamEvent]],
) -> tuple[World, ScriptedTransport]:
    return awaited("RUNNING", stream=events, initial=JobStarted())


def test_a_stream_is_an_asynchronous_iterator() -> None:
    async def events(command: OpenStream) -> AsyncIterator[StreamEvent]:
        number = command.connection
        yield StreamOpened(number)
        for text in ("1", "2", "3")[command.after :]:
            await asyncio.sleep(1)
            yield InterimReceived(number, (text,))
        inner.script = ["DONE"]
        yield StreamClosed(number)
        raise AssertionError("nothing is iterated after the end")

    w, inner = streamed(events)
    heard: list[Any] = []
    w.job.stream_results(lambda _, value: heard.append(value))
    assert w.job.result() == 42
    assert heard == [1, 2, 3]
    assert w.reactor.elapsed >= 3
    assert w.traces == []


@pytest.mark.parametrize("ending", ["ends", "raises"])
def test_one_that_breaks_off_is_opened_again_at_the_cursor(ending: str) -> None:
    asked: list[int] = []

    async def events(command: OpenStream) -> AsyncIterator[StreamEvent]:
        asked.append(command.after)
        yield StreamOpened(command.connection)
        yield InterimReceived(command.connection, (str(command.after),))
        if ending == "raises":
            raise ConnectionError("it broke")

    w, _ = streamed(events)
    heard: list[Any] = []
    w.job.stream_results(lambda _, value: heard.append(value))
    w.reactor.advance(0.9)
    assert asked == [0, 1]
    assert heard == [0, 1]


def test_a_slow_callback_holds_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 10)
    given = 0

    async def events(command: OpenStream) -> AsyncIterator[StreamEvent]:
        nonlocal given
        yield StreamOpened(command.connection)
        for given in range(1000):
            yield InterimReceived(command.connection, (str(given),))
        await asyncio.Event().wait()

    w, _ = streamed(events)
    heard: list[Any] = []

    def slow(_: str, value: object) -> None:
        heard.append(value)
        w.reactor.hold(1.0)

    w.job.stream_results(slow)
    w.reactor.advance(5.0)
    assert given < 30
    w.reactor.advance(1000.0)
    assert heard == list(range(1000))
    w.job.cancel_result_streaming()
    assert w.traces == []


def test_one_that_waits_is_cancelled_and_closed_when_nobody_listens() -> None:
    ends: list[str] = []

    class Waiting:
        def __aiter__(self) -> Waiting:
            return self

        async def __anext__(self) -> StreamEvent:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise
            raise AssertionError

        async def aclose(self) -> None:
            await asyncio.sleep(0.5)
            ends.append("closed")

    w, _ = streamed(lambda _: Waiting())
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(0.1)
    with w.takes(0.5):
        w.job.close()
    assert ends == ["cancelled", "closed"]
    assert w.traces == []


def test_a_close_that_hangs_is_given_up() -> None:
    async def events(command: OpenStream) -> AsyncIterator[StreamEvent]:
        try:
            yield StreamOpened(command.connection)
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    w, _ = streamed(events)
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(0.1)
    with w.takes(channel.CLOSE_TIMEOUT):
        w.job.close()
    assert w.traces == []


def test_one_that_is_cancelled_before_it_begins_is_closed() -> None:
    async def events(command: OpenStream) -> AsyncIterator[StreamEvent]:
        raise AssertionError("nobody wants it")
        yield StreamOpened(command.connection)

    w, _ = streamed(events)

    async def begin_and_end() -> None:
        job: AsyncRuntimeJob = w.job.inner  # type: ignore[attr-defined]
        job.stream_results(lambda *_: None)
        job.cancel_result_streaming()

    loop_of(w).run(begin_and_end())
    assert w.traces == []


def test_one_that_never_opens_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def events(command: OpenStream) -> AsyncIterator[StreamEvent]:
        await asyncio.Event().wait()
        yield StreamOpened(command.connection)

    w, _ = streamed(events)
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(OPEN_TIMEOUT + 0.1)
    assert f"its iterator gave nothing for {OPEN_TIMEOUT:g} s" in caplog.text


def test_what_is_no_event_ends_it_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def events(command: OpenStream) -> AsyncIterator[StreamEvent]:
        yield InterimReceived(command.connection, ("1",))

    w, _ = streamed(events)
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(0.1)
    assert "it gave messages before a StreamOpened" in caplog.text


# ---- without an event loop ---------------------------------------------------------------------


async def opened(command: OpenStream) -> AsyncIterator[StreamEvent]:
    yield StreamOpened(command.connection)
    await asyncio.Event().wait()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_an_event_loop_that_ends_leaves_no_task_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Though the job was not closed."""

    async def never() -> None:
        await asyncio.Event().wait()

    async def leave() -> None:
        transport: Any = AwaitedTransport(ScriptedTransport("RUNNING", stream=opened), never)
        job = AsyncRuntimeJob("b", transport, None, "j1", "p", initial=JobStarted())
        job.stream_results(lambda *_: None)
        await turns()
        assert job._runner._is_open

    asyncio.run(leave())
    gc.collect()
    assert caplog.text == ""


def test_a_stream_whose_task_somebody_cancels_is_opened_again() -> None:
    commands: list[OpenStream] = []

    def stream(command: OpenStream) -> AsyncIterator[StreamEvent]:
        commands.append(command)
        return opened(command)

    w, _ = streamed(stream)
    loop = loop_of(w)

    async def cancel() -> None:
        job: AsyncRuntimeJob = w.job.inner  # type: ignore[attr-defined]
        job.stream_results(lambda *_: None)
        await turns()
        assert job._runner._is_open
        (found,) = [each for each in asyncio.all_tasks() if each.get_name() == "runtime-stream"]
        found.cancel()

    loop.run(cancel())
    w.reactor.advance(5.0)
    assert len(commands) == 2


def test_it_is_refused_where_nobody_awaits() -> None:
    transport: Any = AwaitedTransport(ScriptedTransport("DONE"), at_once)
    said = "AwaitedTransport is an AsyncTransport.* it is for AsyncRuntimeJob alone"
    with pytest.raises(UsageError, match=said):
        RuntimeJob("b", transport, None, "j1", "p", reactor=FakeReactor())
    with pytest.raises(UsageError, match=said):
        BlockingDriver("j1", transport)


def test_a_coroutine_in_the_place_of_a_reply_is_no_reply() -> None:
    """Nobody can see that this `perform` is to be awaited; nor must its coroutine be left."""
    inner = AwaitedTransport(ScriptedTransport("DONE"), at_once)

    class Hidden:
        traits = inner.traits

        def perform(self, job_id: str, command: RequestCommand) -> Awaitable[ReplyEvent]:
            return inner.perform(job_id, command)

        def stream(self, job_id: str, command: OpenStream) -> AnyStream:
            raise AssertionError

    hidden: Any = Hidden()
    job = RuntimeJob("b", hidden, None, "j1", "p", reactor=FakeReactor())
    with pytest.raises(TransportError, match=r"it is one coroutine, expected .*AsyncRuntimeJob"):
        job.status()
    assert not job._machine.state.is_final
    assert job._machine.state is JobState.QUEUED
