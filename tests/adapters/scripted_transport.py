"""A service that is a script, as a custom transport: it has requests, and streams of any kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from adapters.transport import AnyStream, Stream
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.events import (
    CancelAccepted,
    FailureReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    ReplyEvent,
    ResultReceived,
    UnknownStatusReported,
)
from runtime_core.traits import Resume, ServiceTraits

WORDS: dict[str, Callable[[int], ReplyEvent]] = {
    "QUEUED": JobQueued,
    "RUNNING": JobStarted,
    "DONE": JobSucceeded,
    "ERROR": JobFailed,
    "CANCELLED": JobCancelled,
}


class ScriptedTransport:
    """Says the words of its script, the last one again and again; is used in one thread.

    Args:
        status: the words; one that there is not is told as unknown.
        stream: gives each stream; None for a service that has none.
    """

    def __init__(
        self, *status: str, stream: Callable[[OpenStream], AnyStream] | None = None
    ) -> None:
        resume = Resume.OFFSET if stream else Resume.LIVE
        self.traits = ServiceTraits(pushes=stream is not None, resume=resume)
        self.script = list(status)
        self.asked: list[RequestCommand] = []
        self.result = "42"
        self._stream = stream

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        assert job_id == "j1"
        self.asked.append(command)
        match command:
            case FetchStatus(request):
                word = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                event = WORDS.get(word)
                return UnknownStatusReported(word, request) if event is None else event(request)
            case FetchResult(request):
                return ResultReceived(request, self.result)
            case FetchFailure(request):
                return FailureReceived(request, "it failed", 7)
            case SendCancel(request):
                self.script = ["CANCELLED"]
                return CancelAccepted(request)

    def stream(self, job_id: str, command: OpenStream) -> Stream:
        assert self._stream is not None
        return cast("Stream", self._stream(command))


class AwaitedTransport:
    """The same for asyncio alone; `before` is awaited before each request."""

    def __init__(self, inner: ScriptedTransport, before: Callable[[], object]) -> None:
        self.inner = inner
        self.traits = inner.traits
        self._before = before

    async def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        await self._before()  # type: ignore[misc]  # a coroutine function of the test's
        return self.inner.perform(job_id, command)

    def stream(self, job_id: str, command: OpenStream) -> AnyStream:
        return self.inner.stream(job_id, command)
