"""Who does the requests of a job: threads, for a transport that blocks.

For one that is awaited see `task_performer`: without asyncio nobody imports it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias, TypeGuard, cast

from adapters.drivers.loop import Task
from adapters.drivers.reactor import Reactor
from adapters.drivers.reply_rules import interrupted, performed
from adapters.transport import AsyncTransport, Transport
from runtime_core.commands import RequestCommand
from runtime_core.errors import UsageError
from runtime_core.events import ReplyEvent

Tell: TypeAlias = Callable[[ReplyEvent], None]
"""Is called with the one reply to a request, on the loop."""


class Performer(Protocol):
    """Does the requests of one job. Used on the loop."""

    def perform(self, command: RequestCommand, tell: Tell) -> Task:
        """Do a request; give what abandons it, if its reply does not matter any more."""
        ...


class OnThreads:
    """Has a transport do them on threads for requests."""

    def __init__(self, job_id: str, transport: Transport, reactor: Reactor) -> None:
        self._job_id = job_id
        self._transport = transport
        self._reactor = reactor

    def perform(self, command: RequestCommand, tell: Tell) -> Task:
        """See `Performer`."""
        task = partial(self._perform, command, tell)
        self._reactor.run_request(task)
        return partial(self._reactor.abandon_request, task)

    def _perform(self, command: RequestCommand, tell: Tell) -> None:
        """On a worker: do the request; whatever happens, the machine hears of it once."""
        reply: ReplyEvent = interrupted(command)
        try:
            reply = performed(self._transport, self._job_id, command)
        finally:
            self._reactor.call_soon(partial(tell, reply))


def is_awaited(transport: object) -> TypeGuard[AsyncTransport]:
    """Whether the requests of a transport are awaited: `perform` is a coroutine function."""
    return inspect.iscoroutinefunction(getattr(transport, "perform", None))


def blocking(transport: Transport | AsyncTransport) -> Transport:
    """Give the transport itself, if it can be used without an event loop.

    Raises:
        UsageError: if its requests have to be awaited.
    """
    if is_awaited(transport):
        raise UsageError(
            f"{type(transport).__name__} is an AsyncTransport, its perform is a coroutine "
            "function: it is for AsyncRuntimeJob alone."
        )
    return cast("Transport", transport)
