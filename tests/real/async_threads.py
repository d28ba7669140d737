"""Jobs for asyncio, on an event loop in a thread, for tests that are written for blocking jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import pytest
from blocking_face import blocking_job, job_maker

T = TypeVar("T")


class LoopThread:
    """An event loop in debug mode that runs in a thread; callbacks that may block have others."""

    def __init__(self) -> None:
        self.complaints: list[dict[str, Any]] = []
        """What its exception handler was told."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_debug(True)
        self._loop.slow_callback_duration = 60  # this machine is shared
        self._loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self._loop.set_default_executor(ThreadPoolExecutor(32, "callback"))
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop")
        self._thread.start()

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and block for it; in no coroutine."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def slow(self, function: Callable[..., object]) -> Callable[..., Awaitable[object]]:
        """Make a coroutine function of a plain one, which runs on a thread."""

        async def called(*args: Any) -> object:
            return await asyncio.to_thread(function, *args)

        return called

    def end(self) -> None:
        """Cancel what is left, end the thread; nothing may have been complained of."""
        self.wait_for(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        assert not self.complaints, self.complaints

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 10)
        await self._loop.shutdown_default_executor()


OTHERWISE_IN_ASYNCIO = {
    "test_a_slow_callback_stops_the_reading_and_loses_nothing": (
        "a thread for each of 25,000 calls; test_async_streams has slow callbacks that await"
    ),
}
"""The tests that are not run for asyncio, and why."""


@pytest.fixture(autouse=True)
def jobs_for_asyncio(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the tests of a module make jobs for asyncio."""
    why = OTHERWISE_IN_ASYNCIO.get(request.node.originalname)
    if why is not None:
        pytest.skip(why)
    thread = LoopThread()
    token = job_maker.set(partial(blocking_job, thread))
    yield
    job_maker.reset(token)
    thread.end()
