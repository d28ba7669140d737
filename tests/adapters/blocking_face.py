"""The blocking calls of `RuntimeJob` before an `AsyncRuntimeJob`: one test fits both."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, Protocol, Self, TypeAlias, TypeVar, cast

from adapters.async_job import AsyncRuntimeJob
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.inbox import Gap
from adapters.job import RuntimeJob
from runtime_core.decoders import Decoder

T = TypeVar("T")

Plain: TypeAlias = Callable[..., object]
Coroutines: TypeAlias = Callable[..., Awaitable[object]]

job_maker: ContextVar[Callable[..., RuntimeJob]] = ContextVar("job_maker", default=RuntimeJob)
"""Makes jobs for threads, unless a fixture has set something else."""


def make_job(*args: Any, **options: Any) -> RuntimeJob:
    """Make a job for the driver that the test is run with."""
    return job_maker.get()(*args, **options)


class Waiting(Protocol):
    """An event loop, seen by who blocks."""

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and give what it gives."""
        ...

    def slow(self, function: Plain) -> Coroutines:
        """Make a coroutine function of a plain one that may block."""
        ...


def blocking_job(
    waiting: Waiting,
    *args: Any,
    reactor: AsyncioReactor | None = None,
    user_callback: Plain | None = None,
    **options: Any,
) -> RuntimeJob:
    """Make an `AsyncRuntimeJob` on a loop; give its blocking face."""
    callback = None if user_callback is None else waiting.slow(user_callback)

    async def made() -> AsyncRuntimeJob:
        job_options: Any = {**options, "reactor": reactor, "user_callback": callback}
        return AsyncRuntimeJob(*args, **job_options)

    return cast("RuntimeJob", BlockingFace(waiting, waiting.wait_for(made())))


_CALLS = {
    *("cancel", "close", "error_message", "in_final_state", "logs", "metrics", "queue_position"),
    *("result", "status", "update_tags", "usage", "wait_for_final_state"),
    *("cancel_result_streaming", "release_result"),
}
"""What is called, and then waited for if it has to be."""
_PROPERTIES = {"creation_date", "document", "inputs", "reason", "reason_code", "tags"}
"""What is awaited in asyncio, and a property of `RuntimeJob`."""


class BlockingFace:
    """An `AsyncRuntimeJob` with the calls of `RuntimeJob`."""

    def __init__(self, waiting: Waiting, job: AsyncRuntimeJob) -> None:
        self._waiting = waiting
        self.inner = job

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name in _PROPERTIES:
            return self._waiting.wait_for(found())
        if name not in _CALLS:
            return found

        async def called(*args: Any, **options: Any) -> Any:
            returned = found(*args, **options)
            return await returned if inspect.isawaitable(returned) else returned

        return lambda *args, **options: self._waiting.wait_for(called(*args, **options))

    def __repr__(self) -> str:
        return repr(self.inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stream_results(
        self,
        callback: Callable[[str, Any], object],
        decoder: Decoder[Any] | None = None,
        *,
        on_gap: Callable[[str, Gap], object] | None = None,
    ) -> None:
        slow = self._waiting.slow

        async def called() -> None:
            told = None if on_gap is None else slow(on_gap)
            self.inner.stream_results(slow(callback), decoder, on_gap=told)

        self._waiting.wait_for(called())

    def interim_results(self, decoder: Decoder[Any] | None = None) -> BlockingIterator:
        async def called() -> Any:
            return self.inner.interim_results(decoder)

        return BlockingIterator(self._waiting, self._waiting.wait_for(called()))

    def follow_logs(self) -> Iterator[str]:
        return BlockingIterator(self._waiting, self.inner.follow_logs())


class BlockingIterator(Iterator[Any]):
    """An asynchronous iterator as a plain one."""

    def __init__(self, waiting: Waiting, items: AsyncIterator[Any]) -> None:
        self._waiting = waiting
        self._items = items

    def __next__(self) -> Any:
        end = object()

        async def called() -> Any:
            return await anext(self._items, end)

        item = self._waiting.wait_for(called())
        if item is end:
            raise StopIteration
        return item

    def close(self) -> None:
        async def called() -> None:
            cast("Any", self._items).close()

        self._waiting.wait_for(called())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
