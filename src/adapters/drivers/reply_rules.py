"""What a transport may reply: every request gets exactly one reply, and it is one to that request.

A machine waits for the reply to its request, however long that takes; one that is not a reply to it
is absorbed. So what breaks a rule becomes a `RequestFailed` here, which says what rule it was.
"""

from __future__ import annotations

import inspect

from adapters.drivers.stream_rules import is_wait
from adapters.transport import Transport
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    RequestCommand,
    SendCancel,
)
from runtime_core.errors import TransportError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    UnknownStatusReported,
)

REPLIES: dict[type[RequestCommand], tuple[type[ReplyEvent], ...]] = {
    FetchStatus: (
        *(JobQueued, JobStarted, JobSucceeded, JobFailed, JobCancelled),
        UnknownStatusReported,
        RequestFailed,
    ),
    FetchResult: (ResultReceived, RequestFailed),
    FetchFailure: (FailureReceived, RequestFailed),
    SendCancel: (CancelAccepted, CancelRefused, RequestFailed),
}
"""What each command may be answered with."""


def performed(transport: Transport, job_id: str, command: RequestCommand) -> ReplyEvent:
    """Have a request done, and give its one reply, whatever the transport does instead.

    Only what is no `Exception`, for instance a KeyboardInterrupt, is raised.
    """
    try:
        reply: object = transport.perform(job_id, command)
    except Exception as error:
        return raised(command, error)
    return checked(command, reply)


def checked(command: RequestCommand, reply: object) -> ReplyEvent:
    """Give the reply itself if it is one to this command, else what it is instead: a failure."""
    kinds = REPLIES[type(command)]
    if isinstance(reply, kinds):
        flaw = _flaw(command.request, reply)
        if flaw is None:
            return reply
    else:
        expected = ", ".join(kind.__name__ for kind in kinds)
        flaw = f"it is one {type(reply).__name__}, expected one of {expected}"
        if inspect.iscoroutine(reply):
            reply.close()  # or Python complains that nobody awaits it
            flaw += "; a perform that is awaited is for AsyncRuntimeJob, and an `async def` there"
    name = type(command).__name__
    error = TransportError(f"The transport broke a rule in its reply to {name}: {flaw}.")
    return RequestFailed(command.request, error)


def raised(command: RequestCommand, error: Exception) -> ReplyEvent:
    """Give the reply to a request whose transport raised: that should have been its reply."""
    if isinstance(error, TransportError):
        failed = RequestFailed(command.request, error, error.retryable, error.retry_after)
        return checked(command, failed)
    failure = TransportError(f"The transport failed: {type(error).__name__}: {error}".rstrip(": "))
    failure.__cause__ = error
    return RequestFailed(command.request, failure)


def interrupted(command: RequestCommand) -> RequestFailed:
    """Give the reply to a request that was not brought to its end."""
    error = TransportError("The request was interrupted.", retryable=True)
    return RequestFailed(command.request, error, retryable=True)


def _flaw(request: int, reply: ReplyEvent) -> str | None:
    if reply.request != request:
        return f"it carries the request {reply.request!r}, expected {request}"
    if isinstance(reply, ResultReceived) and not isinstance(reply.text, str):
        return f"the text of its result is one {type(reply.text).__name__}"
    if isinstance(reply, RequestFailed) and not isinstance(reply.error, Exception):
        return f"the error of its RequestFailed is {reply.error!r}, no exception"
    if isinstance(reply, RequestFailed) and not is_wait(reply.retry_after):
        return f"its retry_after is {reply.retry_after!r}, expected seconds or None"
    return None
