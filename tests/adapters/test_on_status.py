"""`wait_for_final_state(on_status=...)`: what changes is told to who waits, there and in time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from async_fakes import each_driver  # noqa: F401 - its fixture
from fakes import CLOSES, OPENS, FakeReactor, Value, World, failure, over_time, says, world

from adapters import StatusUpdate
from runtime_core.errors import JobTimeoutError, TransportError
from runtime_core.events import JobQueued, JobSucceeded
from runtime_core.states import JobState
from runtime_core.traits import Resume

QUEUED, RUNNING, DONE = JobState.QUEUED, JobState.RUNNING, JobState.DONE


def queued(position: object) -> dict[str, object]:
    return {"id": "j1", "status": "QUEUED", "position": position}


def line(reactor: FakeReactor) -> Any:
    """A job that moves up in the queue, runs, and ends."""
    moves: list[tuple[float, Value]] = [(1.5, queued(2)), (2.5, queued(None))]
    return over_time(reactor, queued(3), *moves, (3.5, "RUNNING"), (6.5, "COMPLETED"))


def seen(update: StatusUpdate) -> tuple[JobState, int | None, float]:
    return update.state, update.queue_position, round(update.elapsed, 3)


def waiting(*status: Any, **options: Any) -> World:
    reactor = FakeReactor()
    given = [answer(reactor) if answer is line else answer for answer in status]
    return world(*given, reactor=reactor, **options)


def test_every_change_is_told_in_order_and_once() -> None:
    w = waiting(line)
    w.reactor.advance(0.25)
    updates: list[StatusUpdate] = []
    w.job.wait_for_final_state(wait=1.0, on_status=updates.append)
    told = [seen(update)[:2] for update in updates]
    assert told == [(QUEUED, 3), (QUEUED, 2), (RUNNING, None), (DONE, None)]
    elapsed = [update.elapsed for update in updates]
    assert elapsed[0] == 0.0
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] == w.reactor.elapsed - 0.25
    assert w.traces == []
    assert w.job._runner._listeners == []


def test_what_is_known_is_told_first() -> None:
    w = waiting("RUNNING", initial=JobQueued(position=7))
    updates: list[StatusUpdate] = []
    with pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(5, on_status=updates.append)
    assert [seen(update)[:2] for update in updates] == [(QUEUED, None), (RUNNING, None)]


def test_a_job_that_has_ended_is_told_once() -> None:
    w = waiting("COMPLETED", initial=JobSucceeded())
    updates: list[StatusUpdate] = []
    w.job.wait_for_final_state(0, on_status=updates.append)
    assert [seen(update) for update in updates] == [(DONE, None, 0.0)]
    assert w.client.calls == []


def test_a_stream_that_says_it_first() -> None:
    w = waiting(
        over_time(FakeReactor(), "RUNNING"),
        streams=Resume.OFFSET,
        script=[(0.5, OPENS, 0.5, says("1"), 0.5, CLOSES)],
    )
    updates: list[StatusUpdate] = []
    with pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(3, on_status=updates.append)
    assert [update.state for update in updates] == [RUNNING]


def test_its_exception_ends_the_wait_and_nothing_else() -> None:
    w = waiting(line)
    error = ValueError("my mistake")
    others: list[StatusUpdate] = []

    def fails(update: StatusUpdate) -> None:
        if update.state is RUNNING:
            raise error

    with pytest.raises(ValueError, match="my mistake") as raised:
        w.job.wait_for_final_state(wait=1.0, on_status=fails)
    assert raised.value is error
    assert w.traces == []
    assert w.job._runner._listeners == []
    w.job.wait_for_final_state(wait=1.0, on_status=others.append)
    assert [update.state for update in others] == [RUNNING, DONE]


def test_the_timeout_holds() -> None:
    w = waiting(line)
    updates: list[StatusUpdate] = []
    with w.takes(2.0), pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(2.0, 1.0, on_status=updates.append)
    assert [update.queue_position for update in updates] == [3, 2]
    assert w.traces == []
    w.reactor.advance(10.0)
    assert len(updates) == 2


def test_a_timeout_of_zero_asks_and_tells_nothing() -> None:
    w = waiting(line)
    updates: list[StatusUpdate] = []
    with w.takes(0.0), pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(0, on_status=updates.append)
    assert updates == []
    assert w.client.calls == []


def test_a_service_that_refuses() -> None:
    w = waiting("QUEUED", failure(403))
    updates: list[StatusUpdate] = []
    with pytest.raises(TransportError):
        w.job.wait_for_final_state(on_status=updates.append)
    assert [update.state for update in updates] == [QUEUED]
    assert w.traces == []


def test_it_may_use_the_job() -> None:
    w = waiting("RUNNING", cancel="", script=[])
    if not hasattr(w.job, "inner"):  # the face blocks, and this is called on its loop
        seen_from: list[int] = []

        def cancels(update: StatusUpdate) -> None:
            seen_from.append(threading.get_ident())
            if update.state is RUNNING:
                w.job.cancel()
                w.client.now_says("CANCELLED")

        w.job.wait_for_final_state(on_status=cancels)
        assert set(seen_from) == {threading.get_ident()}
        assert w.job.status() is JobState.CANCELLED


def test_a_slow_callback_does_not_prolong_the_timeout() -> None:
    w = waiting(line)
    if hasattr(w.job, "inner"):
        return  # a coroutine function, below
    updates: list[StatusUpdate] = []

    def slow(update: StatusUpdate) -> None:
        updates.append(update)
        w.reactor.advance(3.0)

    with w.takes(3.0), pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(2.0, 1.0, on_status=slow)
    assert len(updates) == 1


def test_a_job_that_ends_while_the_callback_is_slow_has_ended() -> None:
    w = waiting("COMPLETED", initial=JobQueued())
    if hasattr(w.job, "inner"):
        return
    updates: list[StatusUpdate] = []

    def slow(update: StatusUpdate) -> None:
        updates.append(update)
        w.reactor.advance(3.0)

    w.job.wait_for_final_state(2.0, 0.0, on_status=slow)
    assert [update.state for update in updates] == [QUEUED, DONE]


# ---- asyncio -----------------------------------------------------------------------------------


def test_a_coroutine_function_is_awaited_in_the_task_that_waits() -> None:
    w = waiting(line)
    if not hasattr(w.job, "inner"):
        return
    told: list[tuple[JobState, asyncio.Task[Any] | None]] = []

    async def on_status(update: StatusUpdate) -> None:
        await asyncio.sleep(0.1)
        told.append((update.state, asyncio.current_task()))

    w.job.wait_for_final_state(wait=1.0, on_status=on_status)
    assert [state for state, _ in told] == [QUEUED, QUEUED, RUNNING, DONE]
    assert len({task for _, task in told}) == 1


def test_a_coroutine_is_cancelled_at_the_timeout() -> None:
    w = waiting(line)
    if not hasattr(w.job, "inner"):
        return
    ends: list[str] = []

    async def hangs(_: StatusUpdate) -> None:
        try:
            await asyncio.sleep(1000.0)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    with w.takes(2.0), pytest.raises(JobTimeoutError):
        w.job.wait_for_final_state(2.0, 1.0, on_status=hangs)
    assert ends == ["cancelled"]
    assert w.traces == []


def test_a_timeout_error_of_the_callback_is_its_own() -> None:
    w = waiting(line)
    if not hasattr(w.job, "inner"):
        return

    async def fails(_: StatusUpdate) -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        w.job.wait_for_final_state(2.0, 1.0, on_status=fails)
    assert w.traces == []
