"""The rules of transports that are awaited."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.reactor import Reactor
from adapters.testing.conformance import TransportConformance
from adapters.testing.subject import AnyTransport
from adapters.transport import AnyStream, AsyncTransport
from runtime_core.commands import OpenStream, RequestCommand
from runtime_core.events import ReplyEvent

T = TypeVar("T")


class AsyncTransportConformance(TransportConformance):
    """The rules of an `AsyncTransport`. Inherit, give `make_transport` and the jobs, run pytest.

    Every rule has an event loop of its own, on a thread of its own; the hooks are called in the
    thread of the tests. If the transport's `close` is a coroutine function it is awaited.
    """

    def make_transport(self) -> AsyncTransport:
        """Make the transport under test."""
        raise NotImplementedError("make_transport: return the transport under test")

    def setup_method(self) -> None:
        """Start the event loop, and make the transport."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rules", daemon=True)
        self._thread.start()
        self._own_reactor = AsyncioReactor()
        self._run(self._bind())
        super().setup_method()

    def teardown_method(self) -> None:
        """Close what was opened, and end the event loop."""
        super().teardown_method()
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _bind(self) -> None:
        self._own_reactor.bind()

    async def _end(self) -> None:
        await self._own_reactor.drain()
        await self._loop.shutdown_asyncgens()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @property
    def _reactor(self) -> Reactor:
        return self._own_reactor

    def _asked(self, transport: AnyTransport, job_id: str, command: RequestCommand) -> ReplyEvent:
        async def ask() -> ReplyEvent:
            reply = transport.perform(job_id, command)
            return await reply if inspect.isawaitable(reply) else reply

        return self._run(ask())

    def _asked_at_once(
        self, job_id: str, commands: Sequence[RequestCommand]
    ) -> Sequence[ReplyEvent]:
        async def ask() -> Sequence[ReplyEvent]:
            transport = self.transport
            assert isinstance(transport, AsyncTransport)
            return await asyncio.gather(*(transport.perform(job_id, each) for each in commands))

        return self._run(ask())

    def _stream(self, job_id: str, command: OpenStream) -> AnyStream:
        async def open_one() -> AnyStream:
            return self.transport.stream(job_id, command)

        return self._run(open_one())

    def _close(self, transport: AnyTransport) -> None:
        async def close() -> None:
            closing = getattr(transport, "close", None)
            if closing is not None and inspect.isawaitable(closed := closing()):
                await closed

        self._run(close())
