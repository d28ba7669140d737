"""Callers of an `AsyncRuntimeJob` that are cancelled, at every await: nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, count
from typing import Any

import attrs
import pytest
from async_fakes import asyncio_jobs, job_of, loop_of
from fakes import (
    BREAKS,
    CLOSES,
    HANGS,
    OPENS,
    Answer,
    FakeStreams,
    Late,
    Script,
    World,
    failure,
    over_time,
    says,
    world,
)

from adapters.async_job import AsyncRuntimeJob
from adapters.drivers import inbox
from adapters.drivers.async_subscriber import AsyncInterimResults
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import JobTimeoutError
from runtime_core.events import JobStarted, JobSucceeded
from runtime_core.states import JobState
from runtime_core.traits import Resume


@pytest.fixture(autouse=True)
def in_asyncio() -> Iterator[None]:
    with asyncio_jobs():
        yield


# ---- every call, cancelled at every step -------------------------------------------------------

DOCUMENT = {
    "id": "j1",
    "status": "QUEUED",
    "position": 3,
    "params": {"a": 1},
    "created": "2021-05-06T07:08:09Z",
}


@attrs.frozen
class Call:
    """Something that is awaited, and what it gives."""

    make: Callable[[], World]
    call: Callable[[AsyncRuntimeJob], Awaitable[object]]
    gives: object


def soon(*status: Answer, **options: Any) -> Callable[[], World]:
    """A service each of whose answers takes half a second."""
    return lambda: world(*(Late(0.5, word) for word in status), **options)


def streamed(*script: Script, ends: float = 2.0, **options: Any) -> Callable[[], World]:
    """A job that runs, streams, and ends."""

    def make() -> World:
        streams = FakeStreams(Resume.OFFSET)
        w = world(streams=streams, script=script, initial=JobStarted(), **options)
        w.client.now_says(over_time(w.reactor, "RUNNING", (ends, "COMPLETED")))
        return w

    return make


def ended(*script: Script) -> Callable[[], World]:
    """A job that is known to have ended."""
    return lambda: world(streams=Resume.OFFSET, script=script, initial=JobSucceeded())


async def result_with_callback(job: AsyncRuntimeJob) -> object:
    async def callback(job_id: str, value: Any) -> None:
        await asyncio.sleep(0.2)

    if not job._machine.is_streaming and not job._machine.state.is_final:
        job.stream_results(callback)
    return await job.result()


async def first_lines(job: AsyncRuntimeJob) -> str:
    return "".join([part async for part in job.follow_logs()])


async def all_interim_results(job: AsyncRuntimeJob) -> list[Any]:
    async with job.interim_results() as items:
        return [item async for item in items]


LARGE = "1" + " " * 300_000
TWICE: Script = (OPENS, says("1", "2"), 0.5, BREAKS)
AGAIN: Script = (OPENS, says("3"), 3.0, CLOSES)
WHOLE: Script = (OPENS, says("1", "2", "3"), CLOSES)

CALLS = {
    "status": Call(soon("RUNNING"), lambda job: job.status(), JobState.RUNNING),
    "in_final_state": Call(soon("COMPLETED"), lambda job: job.in_final_state(), True),
    "wait_for_final_state": Call(
        soon("QUEUED", "RUNNING", "COMPLETED"), lambda job: job.wait_for_final_state(), None
    ),
    "result": Call(
        soon("RUNNING", "COMPLETED", result=Late(0.5, "42")), lambda job: job.result(), 42
    ),
    "result after failures": Call(
        soon(failure(503, retryable=True), "COMPLETED", result=[failure(502, retryable=True), "1"]),
        lambda job: job.result(),
        1,
    ),
    "result before its timeout": Call(
        soon("RUNNING", "COMPLETED"), lambda job: job.result(timeout=60), 42
    ),
    "a large result": Call(soon("COMPLETED", result=LARGE), lambda job: job.result(), 1),
    "result with a stream": Call(
        streamed((OPENS, says("1"), 2.0, CLOSES), (OPENS, CLOSES)), result_with_callback, 42
    ),
    "result through reconnects": Call(
        streamed(TWICE, AGAIN, (OPENS, CLOSES)), result_with_callback, 42
    ),
    "error_message": Call(soon("FAILED", result="boom"), lambda job: job.error_message(), "boom"),
    "reason": Call(soon("FAILED", result="boom"), lambda job: job.reason(), "boom"),
    "reason_code": Call(soon("FAILED", result="boom"), lambda job: job.reason_code(), None),
    "cancel": Call(soon("CANCELLED", cancel=Late(0.5, "")), lambda job: job.cancel(), None),
    "inputs": Call(lambda: world(Late(0.5, DOCUMENT)), lambda job: job.inputs(), {"a": 1}),
    "queue_position": Call(lambda: world(Late(0.5, DOCUMENT)), lambda job: job.queue_position(), 3),
    "usage": Call(lambda: world(Late(0.5, DOCUMENT)), lambda job: job.usage(), None),
    "tags": Call(lambda: world(Late(0.5, DOCUMENT)), lambda job: job.tags(), None),
    "logs": Call(lambda: world(logs=Late(0.5, "line")), lambda job: job.logs(), "line"),
    "follow_logs": Call(soon("RUNNING", "COMPLETED", logs="a\nb\n"), first_lines, "a\nb\n"),
    "interim_results": Call(ended(*[WHOLE] * 2), all_interim_results, [1, 2, 3]),
    "close": Call(streamed((OPENS,)), lambda job: job.close(), None),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_may_be_cancelled_at_every_step(name: str) -> None:
    """After each number of steps; the call that is made next gives what it would have given."""
    call = CALLS[name]
    steps, done = 0, False
    while not done:
        w = call.make()
        job, loop = job_of(w), loop_of(w)
        task = loop.create_task(made(call, job))
        for _ in range(steps):
            if not task.done():
                w.reactor._step(None)
        done = task.done()
        task.cancel()
        w.reactor.settle()
        assert task.cancelled() is not done
        if name not in ("result with a stream", "result through reconnects"):
            # What was begun for this call is over, but for requests, which cannot be called back.
            assert [trace for trace in w.traces if not trace.startswith("timer")] == []
        if name != "close":
            assert loop.run(made(call, job)) == call.gives
        w.reactor.advance(200.0)
        assert w.traces == []
        assert asyncio.all_tasks(loop) == set()
        assert loop.reactor._channels == set()
        steps += 1
    assert steps > 3 or name == "close"


async def made(call: Call, job: AsyncRuntimeJob) -> object:
    return await call.call(job)


@pytest.mark.parametrize("after", [0.0, 0.25, 0.5, 0.75, 1.0, 1.25])
def test_asyncio_timeout_is_kept_exactly_and_ends_the_wait(after: float) -> None:
    w = world(Late(0.5, "RUNNING"), Late(9.0, "RUNNING"), Late(9.0, "COMPLETED"))

    async def impatient() -> None:
        async with asyncio.timeout(after):
            await job_of(w).result()

    with w.takes(after), pytest.raises(TimeoutError):
        loop_of(w).run(impatient())
    assert not w.job._driver.runner._waiters
    assert w.job.result() == 42


def test_a_call_that_is_cancelled_leaves_the_others_waiting() -> None:
    w = world(Late(1.0, "RUNNING"), Late(1.0, "COMPLETED"), result=Late(1.0, "42"))
    job, loop = job_of(w), loop_of(w)
    tasks = [loop.create_task(job.result()) for _ in range(3)]
    w.reactor._at(w.reactor.now() + 0.5, tasks[0].cancel)
    w.reactor._at(w.reactor.now() + 2.5, tasks[1].cancel)
    w.reactor.run_until(tasks[2].done)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    assert tasks[2].result() == 42
    assert w.client.count("job_results") == 1


def test_our_timeout_inside_of_asyncio_s_and_the_other_way_round() -> None:
    w = world("RUNNING")

    async def ours(seconds: float) -> None:
        async with asyncio.timeout(2.0):
            await job_of(w).result(timeout=seconds)

    with w.takes(1.0), pytest.raises(JobTimeoutError):
        loop_of(w).run(ours(1.0))
    with w.takes(2.0), pytest.raises(TimeoutError) as caught:
        loop_of(w).run(ours(3.0))
    assert not isinstance(caught.value, JobTimeoutError)
    assert w.traces == []


def test_a_request_that_hangs_is_given_up_by_who_is_cancelled() -> None:
    w = world(logs=HANGS)
    task = loop_of(w).create_task(job_of(w).logs())
    w.reactor.advance(1.0)
    assert w.reactor.abandoned == []
    task.cancel()
    w.reactor.settle()
    assert len(w.reactor.abandoned) == 1


def test_a_cancelled_cancel_does_not_take_the_wish_back() -> None:
    w = world("RUNNING", cancel=Late(5.0, ""))
    task = loop_of(w).create_task(job_of(w).cancel())
    w.reactor.advance(1.0)
    task.cancel()
    w.client.now_says("CANCELLED")
    w.reactor.advance(10.0)
    assert task.cancelled()
    assert job_of(w).cancel_outcome() is CancelOutcome.CANCELLED
    assert w.traces == []


# ---- the iterator ------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_an_iterator_that_is_cancelled_again_and_again_loses_nothing(patience: float) -> None:
    script: Script = (0.1, OPENS, says("1", "2"), 0.1, says("3"), 0.2, says("4"), CLOSES)
    w = streamed(script, (OPENS, 0.1, says("5"), CLOSES), ends=0.3)()
    job, items = job_of(w), list[Any]()

    async def impatient() -> None:
        async with job.interim_results() as results:
            while True:
                try:
                    async with asyncio.timeout(patience):
                        items.append(await anext(results))
                except TimeoutError:
                    await asyncio.sleep(0.01)
                except StopAsyncIteration:
                    return

    loop_of(w).run(impatient())
    assert items == [1, 2, 3, 4, 5]
    assert w.traces == []


async def begin(job: AsyncRuntimeJob) -> AsyncInterimResults:
    return job.interim_results()


async def go_on(results: AsyncInterimResults, items: list[Any]) -> None:
    while (item := await anext(results, None)) is not None:
        items.append(item)


def test_an_iterator_that_is_cancelled_at_every_step_loses_nothing() -> None:
    script: Script = (OPENS, says("1", "2"), 0.1, says("3"), says("4"), CLOSES)
    for steps in count():
        w = streamed(script, (OPENS, says("5"), CLOSES), ends=0.05)()
        loop, items = loop_of(w), list[Any]()
        results = loop.run(begin(job_of(w)))

        task = loop.create_task(go_on(results, items))
        for _ in range(steps):
            if not task.done():
                w.reactor._step(None)
        done = task.done()
        task.cancel()
        w.reactor.settle()
        loop.run(go_on(results, items))
        assert items == [1, 2, 3, 4, 5]
        if done:
            break


def test_a_loop_over_interim_results_that_is_left_lets_go_of_the_stream() -> None:
    w = streamed((OPENS, says("1", "2"), 1.0, says("3")), (OPENS, says("1")))()
    job = job_of(w)

    async def leave_early() -> None:
        async with job.interim_results() as items:
            async for item in items:
                assert item == 1
                break
        assert [item async for item in items] == []
        async with job.interim_results() as items:
            assert await anext(items) == 1

    loop_of(w).run(leave_early())
    assert w.traces == []
    assert [channel.log for channel in w.reactor.channels] == [["close"], ["close"]]


def test_an_iterator_that_is_closed_elsewhere_ends_who_waits_for_it() -> None:
    w = streamed((OPENS, says("1")), ends=9.0)()
    job, loop = job_of(w), loop_of(w)

    async def both() -> list[Any]:
        items = job.interim_results()
        loop.call_later(1.0, items.close)
        return [item async for item in items]

    with w.takes(1.0):
        assert loop.run(both()) == [1]
    assert w.traces == []


def test_a_slow_loop_over_interim_results_pauses_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 4)
    parts: list[Script] = [(0.1, says(*f"{n}" * 3)) for n in range(5)]
    script: Script = (OPENS, *chain.from_iterable(parts), 0.1, CLOSES)
    w = streamed(script, (OPENS, CLOSES), ends=0.05)()
    job = job_of(w)

    async def slow() -> list[Any]:
        found, items = [], job.interim_results()
        async for item in items:
            found.append(item)
            assert items._items.inbox._messages < 8
            await asyncio.sleep(1.0)
        return found

    assert loop_of(w).run(slow()) == sorted([*range(5)] * 3)
    log = w.reactor.channels[0].log
    assert log.count("pause") == log.count("resume") > 1
