"""What is asyncio's own in `AsyncRuntimeJob`: callbacks in tasks, loops, threads, garbage.

What it does as `RuntimeJob` does is in the scenarios of both; callers that are cancelled, in
`test_async_cancel`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from async_fakes import asyncio_jobs, job_of, loop_of
from fakes import BREAKS, CLOSES, OPENS, FakeStreams, Script, World, over_time, says, world

from adapters.async_job import _LARGE, AsyncRuntimeJob
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.asyncio_share import share_of
from adapters.drivers.inbox import Gap
from adapters.drivers.questions import Question
from runtime_core.errors import RuntimeInvalidStateError, UsageError
from runtime_core.events import JobStarted
from runtime_core.states import JobState
from runtime_core.traits import Resume


@pytest.fixture(autouse=True)
def in_asyncio() -> Iterator[None]:
    with asyncio_jobs():
        yield


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="adapters.drivers")


LAST: Script = (OPENS, CLOSES)


def streamed(
    *script: Script, ends: float = 5.0, resume: Resume = Resume.OFFSET, **options: Any
) -> World:
    """A job that runs, and ends after so many seconds."""
    w = world(streams=FakeStreams(resume), script=script, initial=JobStarted(), **options)
    w.client.now_says(over_time(w.reactor, "RUNNING", (ends, "COMPLETED")))
    return w


def stream(
    w: World,
    callback: Callable[[str, Any], Awaitable[object] | object],
    on_gap: Callable[[str, Gap], Awaitable[object] | object] | None = None,
) -> None:
    """Start a stream, and leave the rest to the world."""

    async def start() -> None:
        job_of(w).stream_results(callback, on_gap=on_gap)

    loop_of(w).run(start())


# ---- callbacks ---------------------------------------------------------------------------------


class Callbacks:
    """One callback, in every way to write one."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def plain(self, job_id: str, value: Any) -> None:
        self.items.append(value)

    async def coroutine(self, job_id: str, value: Any) -> None:
        await asyncio.sleep(0.01)
        self.items.append(value)

    @property
    def partly(self) -> Any:
        return partial(self.coroutine)

    @property
    def gives_a_task(self) -> Any:
        return lambda *args: asyncio.ensure_future(self.coroutine(*args))

    async def __call__(self, job_id: str, value: Any) -> None:
        await self.coroutine(job_id, value)


@pytest.mark.parametrize("kind", ["plain", "coroutine", "partly", "gives_a_task", "__call__"])
def test_a_callback_may_be_plain_or_give_something_to_await(kind: str) -> None:
    callbacks = Callbacks()
    w = streamed((OPENS, says("1", "2"), 0.5, says("3"), 5.0, CLOSES), LAST)
    stream(w, getattr(callbacks, kind))
    assert w.job.result() == 42
    assert callbacks.items == [1, 2, 3]
    assert w.traces == []


def test_calls_of_a_callback_do_not_overlap() -> None:
    running: list[int] = []

    async def callback(job_id: str, value: int) -> None:
        running.append(value)
        assert len(running) == 1
        await asyncio.sleep(0.3)
        running.remove(value)

    w = streamed((OPENS, says("1", "2"), 0.1, says("3"), 0.1, says("4"), 5.0, CLOSES), LAST)
    stream(w, callback)
    assert w.job.result() == 42
    assert w.job.stream_error() is None


def test_a_callback_is_called_in_a_task_and_never_in_the_middle_of_a_step() -> None:
    """Also by a task factory that begins tasks at once, as Python 3.12's eager one does."""
    script: Script = (OPENS, says("1"), says("2"))
    w = streamed(script, script)
    runner = job_of(w)._runner
    tasks: set[object] = set()
    seen: list[bool] = []
    carry_out = runner._carry_out
    depth = 0

    def counted(command: Any) -> None:
        nonlocal depth
        depth += 1
        carry_out(command)
        depth -= 1

    runner._carry_out = counted  # type: ignore[method-assign]

    async def callback(job_id: str, value: int) -> None:
        tasks.add(asyncio.current_task())
        seen.append(depth == 0)

    eager = getattr(asyncio, "eager_task_factory", None)
    for factory in (None, eager):
        loop_of(w).set_task_factory(factory)
        stream(w, callback)
        w.reactor.advance(0.1)
        w.job.cancel_result_streaming()
    assert len(seen) == 4
    assert all(seen)
    assert None not in tasks


@pytest.mark.parametrize("error", [ValueError("oops"), asyncio.CancelledError("of my own")])
def test_what_a_coroutine_callback_raises_ends_the_stream_and_is_logged(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    async def callback(job_id: str, value: int) -> None:
        calls.append(value)
        await asyncio.sleep(0.1)
        if value == 2:
            raise error

    w = streamed((OPENS, says("1", "2", "3"), 1.0, says("4"), 5.0, CLOSES), LAST)
    stream(w, callback)
    with caplog.at_level(logging.ERROR, logger="adapters.drivers"):
        assert w.job.result() == 42
    assert calls == [1, 2]
    assert w.job.stream_error() is error
    assert str(error) in caplog.text
    assert "Traceback" in caplog.text
    assert w.traces == []


def test_a_callback_that_awaits_a_cancelled_task_does_not_end_the_job_s_watch() -> None:
    async def callback(job_id: str, value: int) -> None:
        task = asyncio.ensure_future(asyncio.sleep(9))
        task.cancel()
        await task

    w = streamed((OPENS, says("1"), 6.0, CLOSES), LAST)
    stream(w, callback)
    assert w.job.result() == 42
    assert isinstance(w.job.stream_error(), asyncio.CancelledError)


@pytest.mark.parametrize("when", ["before it begins", "in a call", "between calls"])
def test_a_cancelled_task_of_callbacks_keeps_nobody_waiting(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    w = streamed((OPENS, says("1", "2"), 6.0, CLOSES), LAST)
    calls: list[int] = []

    async def callback(job_id: str, value: int) -> None:
        calls.append(value)
        await asyncio.sleep(1.0)

    stream(w, callback)
    subscriber: Any = job_of(w)._runner.subscriber
    if when == "before it begins":
        w.reactor.run_until(lambda: subscriber._task is not None)
    elif when == "in a call":
        w.reactor.advance(0.5)
    else:
        w.reactor.advance(3.0)
        w.reactor.channel.feed(says("3"))
        w.reactor.run_until(lambda: subscriber.delivered == 3)
    if subscriber._task.done():
        w.reactor.channel.feed(says("4"))
    subscriber._task.cancel()
    with caplog.at_level(logging.ERROR, logger="adapters.drivers"):
        assert w.job.result() == 42
    assert isinstance(w.job.stream_error(), asyncio.CancelledError)
    assert caplog.text == ""
    assert w.traces == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_goes_through_and_keeps_nobody_waiting(
    error: type[BaseException],
) -> None:
    def callback(job_id: str, value: int) -> None:
        raise error

    w = streamed((OPENS, says("1", "2"), 6.0, CLOSES), LAST)
    stream(w, callback)
    with pytest.raises(error):
        w.reactor.advance(1.0)
    assert w.job.result() == 42
    assert isinstance(w.job.stream_error(), error)


def test_what_on_gap_gives_is_awaited_too() -> None:
    gaps: list[int] = []

    async def on_gap(job_id: str, gap: Gap) -> None:
        await asyncio.sleep(0.1)
        gaps.append(gap.after)

    w = streamed((OPENS, says("1"), BREAKS), (OPENS, 9.0, CLOSES), resume=Resume.LIVE)
    stream(w, lambda *_: None, on_gap)
    w.reactor.advance(3.0)
    assert gaps[0] == 1


# ---- calls from inside a callback --------------------------------------------------------------


async def directly(job: AsyncRuntimeJob) -> Any:
    return await job.result()


async def in_a_task(job: AsyncRuntimeJob) -> Any:
    return await asyncio.ensure_future(job.result())


async def in_a_group(job: AsyncRuntimeJob) -> Any:
    first, _ = await asyncio.gather(job.result(), job.status())
    return first


async def by_wait_for(job: AsyncRuntimeJob) -> Any:
    return await asyncio.wait_for(job.result(), 60)


@pytest.mark.parametrize("way", [directly, in_a_task, in_a_group, by_wait_for])
def test_result_inside_a_callback_does_not_wait_for_callbacks(
    way: Callable[[AsyncRuntimeJob], Awaitable[Any]],
) -> None:
    values: list[Any] = []
    w = streamed((OPENS, says("1"), 3.0, CLOSES), LAST, ends=2.0)

    async def callback(job_id: str, value: int) -> None:
        values.append(await way(job_of(w)))

    stream(w, callback)
    assert w.job.result(timeout=100) == 42
    assert values == [42]
    assert w.reactor.elapsed < 20


def test_a_task_that_outlives_its_callback_waits_for_callbacks_again() -> None:
    done: list[str] = []
    tasks: list[asyncio.Task[None]] = []
    w = streamed((OPENS, says("1"), 1.5, says("2"), 3.0, CLOSES), LAST, ends=0.5)

    async def later() -> None:
        await asyncio.sleep(1.0)
        assert await job_of(w).status() is JobState.DONE
        await job_of(w).result()
        done.append("result")

    async def callback(job_id: str, value: int) -> None:
        if value == 1:
            tasks.append(asyncio.ensure_future(later()))
        else:
            await asyncio.sleep(10.0)
            done.append("callback")

    stream(w, callback)
    w.reactor.advance(30.0)
    assert done == ["callback", "result"]


def test_cancel_and_a_new_stream_inside_a_callback() -> None:
    items: list[Any] = []
    w = streamed((OPENS, says("1", "2", "3")), (OPENS, says("4"), 6.0, CLOSES), LAST)
    job = job_of(w)

    async def callback(job_id: str, value: int) -> None:
        items.append(value)
        job.cancel_result_streaming()
        job.stream_results(lambda _, value: items.append(value))
        with pytest.raises(RuntimeInvalidStateError):
            job.stream_results(lambda *_: None)
        await job.status()

    stream(w, callback)
    assert w.job.result() == 42
    assert items == [1, 4]
    assert job.stream_error() is None


def test_close_inside_a_callback() -> None:
    w = streamed((OPENS, says("1", "2"), 6.0, CLOSES))
    items: list[Any] = []

    async def callback(job_id: str, value: int) -> None:
        items.append(value)
        await job_of(w).close()

    stream(w, callback)
    with pytest.raises(UsageError, match="closed"):
        w.job.result()
    assert items == [1]
    assert w.traces == []


# ---- results -----------------------------------------------------------------------------------


class Where:
    """A decoder that says whether it was called on the loop."""

    def __init__(self, w: World) -> None:
        self.w = w
        self.on_loop: list[bool] = []

    def decode(self, data: str) -> int:
        self.on_loop.append(self.w.reactor._on_loop)
        return len(data)


@pytest.mark.parametrize(("size", "on_loop"), [(_LARGE - 1, True), (_LARGE, False)])
def test_a_large_result_is_decoded_on_a_thread(size: int, on_loop: bool) -> None:
    w = world("COMPLETED", result="x" * size)
    where = Where(w)
    assert [w.job.result(decoder=where) for _ in range(2)] == [size, size]
    assert where.on_loop == [on_loop]


@pytest.mark.parametrize("size", [_LARGE - 1, _LARGE])
@pytest.mark.parametrize("error", [ValueError("no"), StopIteration(), KeyError()])
def test_a_decoder_that_fails_keeps_nobody_waiting(size: int, error: Exception) -> None:
    class Fails:
        def decode(self, data: str) -> Any:
            raise error

    w = world("COMPLETED", result="x" * size)
    with pytest.raises((type(error), RuntimeError)):  # a coroutine cannot raise StopIteration
        w.job.result(decoder=Fails())


def test_one_task_may_release_what_another_waits_for() -> None:
    w = world("COMPLETED", result="42")
    job, loop = job_of(w), loop_of(w)

    async def release() -> None:
        for _ in range(200):
            await asyncio.sleep(0)
            job.release_result()

    async def both() -> Any:
        task = asyncio.ensure_future(release())
        first = await job.result()
        await task
        return first, await job.result()

    assert loop.run(both()) == (42, 42)


def test_many_jobs_in_one_gather_share_the_loop() -> None:
    w = world("QUEUED", "RUNNING", "COMPLETED")
    worlds = [world("QUEUED", "RUNNING", "COMPLETED", reactor=w.reactor) for _ in range(300)]
    jobs = [job_of(each) for each in worlds]

    async def all_of_them() -> list[Any]:
        results = [job.result() for job in jobs]
        ends = [job.wait_for_final_state() for job in jobs]
        found = await asyncio.gather(*results, *ends)
        return found[:300]

    assert loop_of(w).run(all_of_them()) == [42] * 300
    assert [each.client.count("job_results") for each in worlds] == [1] * 300
    assert all(each.traces == [] for each in worlds)


# ---- event loops -------------------------------------------------------------------------------


class Client:
    """A client that answers at once, or when it is let go."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = threading.Event()
        self.threads: set[str] = set()

    def job_get(self, job_id: str) -> dict[str, object]:
        self.threads.add(f"{threading.current_thread().name} {threading.get_ident()}")
        self.asked.set()
        self.may_answer.wait()
        return {"id": job_id, "status": "RUNNING"}

    def job_results(self, job_id: str) -> str:
        return ""

    def job_cancel(self, job_id: str) -> object:
        return None


def plain_job(client: Client | None = None) -> AsyncRuntimeJob:
    return AsyncRuntimeJob("b", client or Client(), None, "j1", "p")


def test_without_a_loop_it_says_what_to_do() -> None:
    job = plain_job()
    calls: list[Callable[[], object]] = [
        job.release_result,
        job.cancel_result_streaming,
        job.interim_results,
        lambda: job.stream_results(print),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="call it in a running event loop"):
            call()
    assert job.job_id() == "j1"
    assert repr(job) == "<AsyncRuntimeJob 'j1' of 'p': not asked yet>"


def test_a_job_belongs_to_the_loop_in_which_it_is_first_used() -> None:
    job = plain_job()
    assert asyncio.run(job.status()) is JobState.RUNNING
    calls: list[Callable[[], Awaitable[object]]] = [
        job.status,
        job.result,
        job.cancel,
        job.logs,
        job.close,
        job.wait_for_final_state,
    ]

    async def each() -> None:
        for call in calls:
            with pytest.raises(UsageError, match="belongs to another event loop"):
                await call()
        with pytest.raises(UsageError, match="belongs to another event loop"):
            job.cancel_result_streaming()

    asyncio.run(each())


def test_a_loop_may_be_closed_while_a_request_hangs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="adapters.drivers")
    client = Client()
    client.may_answer.clear()

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(plain_job(client).status(), 0.05)

    asyncio.run(impatient(), debug=True)
    assert client.asked.is_set()
    client.may_answer.set()
    for thread in threading.enumerate():
        if thread.name == "runtime-request":
            thread.join(10)
    assert caplog.text == ""


def test_jobs_that_are_made_by_hand_share_a_few_threads() -> None:
    clients = [Client() for _ in range(100)]

    async def many() -> None:
        await asyncio.gather(*(plain_job(client).status() for client in clients))

    asyncio.run(many())
    assert 1 <= len(set[str]().union(*(client.threads for client in clients))) <= 2


def test_jobs_that_are_made_by_hand_share_the_budget_of_their_service() -> None:
    client = Client()

    async def budget() -> object:
        reactor = AsyncioReactor()
        reactor.bind()
        return reactor.budget_of(client)

    async def two() -> tuple[object, object]:
        return await budget(), await budget()

    first, second = asyncio.run(two())
    assert first is second
    assert asyncio.run(budget()) is not first


def test_what_belonged_to_loops_that_have_ended_is_let_go_of() -> None:
    class Client: ...

    client = Client()

    async def scene() -> weakref.ref[asyncio.AbstractEventLoop]:
        loop = asyncio.get_running_loop()
        budget = share_of(loop).budgets.of(client)
        for number in (1, 2):  # the second one has to wait, and its timer is armed at the end
            budget.ask(Question("j1", number, lambda: None, lambda _: None), 0.01)
        for _ in range(5):
            await asyncio.sleep(0)
        return weakref.ref(loop)

    ended = [asyncio.run(scene()) for _ in range(3)]
    gc.collect()
    assert [loop() for loop in ended[:-1]] == [None, None]


def test_a_loop_that_is_gone_takes_along_what_its_jobs_shared() -> None:
    async def used() -> weakref.ref[asyncio.AbstractEventLoop]:
        await AsyncioReactor().call(int)
        assert share_of(asyncio.get_running_loop()) is share_of(asyncio.get_running_loop())
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(used())
    gc.collect()
    assert loop() is None


# ---- garbage -----------------------------------------------------------------------------------


def test_a_job_that_nobody_needs_is_garbage() -> None:
    w = world("RUNNING", "COMPLETED")
    w.job.status()
    assert w.job.result() == 42
    found = weakref.ref(job_of(w))
    w.reactor.timers.clear()  # it is the fake that keeps them
    w.job = None  # type: ignore[assignment]
    gc.collect()
    assert found() is None


def test_a_stream_goes_on_if_nobody_keeps_its_job() -> None:
    items: list[Any] = []
    w = streamed((OPENS, says("1"), 1.0, says("2"), 6.0, CLOSES), LAST)
    stream(w, lambda _, value: items.append(value))
    w.job = None  # type: ignore[assignment]
    gc.collect()
    w.reactor.advance(5.0)
    assert items == [1, 2]


def test_result_returns_at_its_deadline_while_a_callback_does_not_come_to_an_end() -> None:
    async def callback(job_id: str, value: int) -> None:
        await asyncio.get_running_loop().create_future()

    w = streamed((OPENS, says("1")), ends=0.0)
    stream(w, callback)
    w.job.status()
    with w.takes(2.0):
        assert w.job.result(timeout=2) == 42
    w.job.close()
    assert w.traces == []
