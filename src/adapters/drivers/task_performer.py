"""Does the requests of a job in tasks of asyncio, for a transport that is awaited."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TypeAlias

from adapters.drivers.loop import Task
from adapters.drivers.performers import Tell
from adapters.drivers.reply_rules import checked, interrupted, raised
from adapters.transport import AsyncTransport
from runtime_core.commands import RequestCommand

Request: TypeAlias = asyncio.Task[object]


class InTasks:
    """A `Performer` that awaits a transport in tasks of the event loop that runs."""

    def __init__(self, job_id: str, transport: AsyncTransport) -> None:
        self._job_id = job_id
        self._transport = transport
        self._requests: set[Request] = set()

    def perform(self, command: RequestCommand, tell: Tell) -> Task:
        """See `Performer`. What abandons a request cancels its task."""
        name = f"runtime-request {type(command).__name__}"
        request = asyncio.get_running_loop().create_task(self._perform(command), name=name)
        self._requests.add(request)  # an event loop keeps no task alive
        # By this and not in the task: one that is cancelled before it begins never runs.
        request.add_done_callback(partial(self._tell, command, tell))
        return partial(_cancel, request)

    async def _perform(self, command: RequestCommand) -> object:
        return await self._transport.perform(self._job_id, command)

    def _tell(self, command: RequestCommand, tell: Tell, request: Request) -> None:
        self._requests.discard(request)
        error = None if request.cancelled() else request.exception()
        if isinstance(error, Exception):
            tell(raised(command, error))
        elif request.cancelled() or error is not None:
            tell(interrupted(command))
        else:
            tell(checked(command, request.result()))


def _cancel(request: Request) -> None:
    request.cancel()
