"""asyncio in the world of `fakes`: its event loop has the fake clock, and runs a turn at a time.

`FakeEventLoop` is asyncio's own, but for the time, and `FakeAsyncioReactor` the real
`AsyncioReactor`, but for its threads and sockets. With `BlockingFace` in front of an
`AsyncRuntimeJob` one scenario runs against both kinds of jobs.
"""

from __future__ import annotations

import asyncio
import gc
import queue
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, cast

import attrs
import pytest
from blocking_face import BlockingFace, blocking_job, job_maker
from fakes import FakeReactor, Listener, Task, World

from adapters.async_job import AsyncRuntimeJob
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.budgets import Budgets
from adapters.drivers.channel import Channel
from adapters.drivers.status_budget import StatusBudget
from adapters.job import RuntimeJob
from adapters.transport import AnyStream

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# ---- the event loop ----------------------------------------------------------------------------


@attrs.define(eq=False)
class LoopTimer:
    """A timer of the event loop, for `FakeReactor.armed`."""

    at: float
    handle: asyncio.TimerHandle
    fired: bool = False

    @property
    def armed(self) -> bool:
        return not self.fired and not self.handle.cancelled()


class FakeEventLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop in a fake world: its timers are there, and it waits for nothing."""

    def __init__(self, world: FakeReactor) -> None:
        self.world = world
        self.is_busy = False
        """Whether there is something to do in the next turn."""
        self.complaints: list[dict[str, Any]] = []
        """What its exception handler was told: a test that expects that takes it out."""
        super().__init__()
        self.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.reactor = FakeAsyncioReactor(self)

    def time(self) -> float:
        return self.world.now()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.is_busy = True
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.is_busy = True
        return super().call_soon_threadsafe(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        timer = LoopTimer(when, handle)

        def fire() -> None:
            if timer.armed:  # it may be cancelled in the turn in which it is to run
                timer.fired = True
                handle._run()

        self.world.timers.append(timer)
        self.world._at(when, lambda: self.call_soon(fire))
        return handle

    def turn(self) -> None:
        """Run what is ready, and nothing that only becomes ready by that."""
        self.is_busy = False
        super().call_soon(self.stop)
        try:
            self.run_forever()
        except BaseException:
            self.is_busy = True  # what comes after it, and the stop, are still to be run
            raise

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the world until a coroutine is done, as `asyncio.run` does.

        Ctrl-C cancels it, and is raised when it has come to its end.
        """
        task = self.create_task(coroutine)
        try:
            self.world.run_until(task.done)
        except BaseException:
            task.cancel()
            self.world.settle()
            if task.done() and not task.cancelled():
                task.exception()
            raise
        return task.result()

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine: from inside a callback, in the task that called that."""
        step: SideStep | None = getattr(SideStep.current, "step", None)
        return self.run(coroutine) if step is None else step.wait_for(coroutine)

    def slow(self, function: Callable[..., object]) -> Callable[..., Awaitable[object]]:
        """Make a coroutine function of a plain one that may block, and takes its time."""

        async def called(*args: Any) -> object:
            return await SideStep(self.world, lambda: function(*args)).run()

        return called

    def end(self) -> None:
        """Cancel what is left, as `asyncio.run` does, and close."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.world.settle()
        assert not asyncio.all_tasks(self), "a task that does not let itself be cancelled"
        self.close()


class FakeAsyncioReactor(AsyncioReactor):
    """The real one on a fake event loop, with threads and connections of the fake world."""

    def __init__(self, loop: FakeEventLoop) -> None:
        super().__init__()
        self._world = loop.world
        self._budgets = Budgets(self)

    def call_soon(self, task: Task) -> None:
        self._world.call_soon(task)  # later, if it comes from a worker that takes its time

    def run_request(self, task: Task) -> None:
        self._world.run_request(task)

    def abandon_request(self, task: Task) -> None:
        self._world.abandon_request(task)

    def jittered(self, delay: float) -> float:
        return delay

    def budget_of(self, service: object) -> StatusBudget:
        return self._budgets.of(service)

    def open_channel(self, connection: int, stream: AnyStream, listener: Listener) -> Channel:
        if isinstance(stream, AsyncIterator):
            return super().open_channel(connection, stream, listener)
        return self._world.open_channel(connection, stream, listener)


# ---- plain functions that call coroutines ------------------------------------------------------


class SideStep:
    """Runs a plain function that may wait for coroutines, which the task that called it awaits.

    The function is on a thread of its own, but never at the same time as the loop: either has to
    wait for the other. With `hold` it says how long it takes, as a callback on a thread does.
    """

    current = threading.local()

    def __init__(self, world: FakeReactor, function: Callable[[], object]) -> None:
        self._world = world
        self._function = function
        self._held: float | None = 0.0
        self._asked: queue.SimpleQueue[Coroutine[Any, Any, Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._outcome: Callable[[], object] = _nothing

    async def run(self) -> object:
        """Call the function, and give what it returns."""
        thread = threading.Thread(target=self._call, daemon=True)
        coroutine = self._after(thread.start)
        while coroutine is not None:
            try:
                answer = _giving(await coroutine)
            except BaseException as error:  # a cancellation is the function's too
                answer = _raising(error)
            coroutine = self._after(partial(self._answers.put, answer))
        thread.join()
        if self._held:
            await self._sleep(self._held)
        return self._outcome()

    def _after(self, go_on: Callable[[], None]) -> Coroutine[Any, Any, Any] | None:
        """Let the function go on to where it waits, and give what for; None if it is through."""
        before, self._world.clock.held = self._world.clock.held, self._held
        go_on()
        coroutine = self._asked.get()
        self._held, self._world.clock.held = self._world.clock.held, before
        return coroutine

    async def _sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self._world._at(self._world.now() + seconds, over.set)
        await over.wait()

    def _call(self) -> None:
        SideStep.current.step = self
        try:
            self._outcome = _giving(self._function())
        except BaseException as error:
            self._outcome = _raising(error)
        self._asked.put(None)

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Called by the function."""
        self._asked.put(coroutine)
        answer: Callable[[], T] = self._answers.get()
        return answer()


def _nothing() -> None:
    """What nobody has given yet."""


def _giving(value: T) -> Callable[[], T]:
    return lambda: value


def _raising(error: BaseException) -> Callable[[], Any]:
    def throw() -> Any:
        raise error

    return throw


# ---- a job -------------------------------------------------------------------------------------


class BlockingJobs:
    """Makes `AsyncRuntimeJob`s with a blocking face, and ends their event loops."""

    def __init__(self) -> None:
        self._loops: list[FakeEventLoop] = []

    def make(self, *args: Any, reactor: FakeReactor, **options: Any) -> RuntimeJob:
        """Make a job in a fake world."""
        loop = self._loop_of(reactor)
        return blocking_job(loop, *args, reactor=loop.reactor, **options)

    def _loop_of(self, world: FakeReactor) -> FakeEventLoop:
        if world.event_loop is None:
            world.event_loop = FakeEventLoop(world)
            self._loops.append(world.event_loop)
            world.event_loop.run(_bind(world.event_loop.reactor))
        assert isinstance(world.event_loop, FakeEventLoop)
        return world.event_loop

    def end(self) -> None:
        """End the event loops; none of them may have had anything to complain of."""
        for loop in self._loops:
            loop.end()
        gc.collect(0)
        complaints = [complaint for loop in self._loops for complaint in loop.complaints]
        assert not complaints, complaints


async def _bind(reactor: AsyncioReactor) -> None:
    reactor.bind()


@contextmanager
def asyncio_jobs() -> Iterator[None]:
    """Have `fakes.make_job` make jobs for asyncio."""
    jobs = BlockingJobs()
    token = job_maker.set(jobs.make)
    yield
    job_maker.reset(token)
    jobs.end()


@pytest.fixture(autouse=True, params=["threads", "asyncio"])
def each_driver(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have `fakes.make_job` make jobs for threads, and then for asyncio."""
    if request.param == "threads":
        yield
        return
    test = re.sub(r"\[asyncio\]|asyncio-|-asyncio", "", request.node.name)
    if test in OTHERWISE_IN_ASYNCIO:
        pytest.skip(OTHERWISE_IN_ASYNCIO[test])
    with asyncio_jobs():
        yield


def loop_of(w: World) -> FakeEventLoop:
    """The event loop of a world that was made for asyncio."""
    assert isinstance(w.reactor.event_loop, FakeEventLoop)
    return w.reactor.event_loop


def job_of(w: World) -> AsyncRuntimeJob:
    """Its job, without the blocking face."""
    return cast("BlockingFace", w.job).inner


OTHERWISE_IN_ASYNCIO = {
    "test_a_result_released_under_a_wait_is_fetched_once_more": (
        "it stands for another thread between two lines; between those no other task comes"
    ),
    "test_an_exception_in_a_callback_ends_the_stream_only[error1]": (
        "a SystemExit ends the event loop, and is meant to"
    ),
}
"""The tests that are about threads, and why; what asyncio does instead is in `test_async_job`."""
