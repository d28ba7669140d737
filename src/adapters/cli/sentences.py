"""Events and commands in words, a line each, for who reads a journal."""

from __future__ import annotations

from typing import assert_never

from adapters.cli.text import printable, standing
from runtime_core.commands import (
    CloseStream,
    Command,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    Report,
    SendCancel,
    StartTimer,
    StopTimer,
)
from runtime_core.errors import TransportError
from runtime_core.events import (
    CallerEvent,
    CancelAccepted,
    CancelRefused,
    CancelRequested,
    Event,
    FailureReceived,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
    Need,
    ReleaseRequested,
    ReplayRequested,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.journal_lines import kind_of

_LIMIT = 300

_NEEDS = {Need.STATUS: "the status", Need.FINAL: "the end", Need.RESULT: "the result"}


def what_came(event: Event) -> str:
    """Say what a machine received."""
    match event:
        case TimerFired(name, number):
            return f"time: the {name.value} timer {number} fires"
        case JobQueued() | JobStarted() | JobSucceeded() | JobFailed() | JobCancelled():
            return f"{_who(event.request)}: {_state(event)}"
        case UnknownStatusReported(word, request):
            return f"{_who(request)}: the unknown status {_brief(repr(word))}"
    if isinstance(event, ReplyEvent):
        return _reply(event)
    return _of_stream(event) if isinstance(event, StreamEvent) else _wish(event)


def what_goes(command: Command) -> str:
    """Say what a machine ordered."""
    match command:
        case FetchStatus(number):
            return f"ask for the status (request {number})"
        case FetchResult(number):
            return f"fetch the result (request {number})"
        case FetchFailure(number):
            return f"fetch the reason (request {number})"
        case SendCancel(number):
            return f"send the cancel (request {number})"
        case OpenStream(number, after):
            return f"open connection {number}" + (f" after {how_many(after)}" if after else "")
        case CloseStream(number):
            return f"close connection {number}"
        case StartTimer(name, number, delay):
            return f"start the {name.value} timer {number}: {delay:g} s"
        case StopTimer(name):
            return f"stop the {name.value} timer"
        case Deliver(number, first, messages):
            return f"deliver {_numbered(first, len(messages))} (subscription {number})"
        case DeliverGap(number, after):
            return f"tell of a gap after {how_many(after)} (subscription {number})"
        case EndSubscription(number, error):
            return f"end subscription {number}{_because(error)}"
        case EndWait(number, error):
            return f"end wait {number}{_because(error)}"
        case Report(_, text):
            return f"log: {_brief(text)}"
    assert_never(command)


def _who(request: int | None) -> str:
    return "service" if request is None else f"answer {request}"


def _state(event: LifecycleEvent) -> str:
    match event:
        case JobQueued(_, position):
            return "queued" if position is None else f"queued, {standing(position)}"
        case JobStarted():
            return "running"
        case JobSucceeded():
            return "done"
        case JobFailed(_, reason, code):
            return f"failed{_code(code)}" + ("" if reason is None else f": {_brief(reason)}")
        case JobCancelled():
            return "cancelled"
    assert_never(event)


def _reply(event: ReplyEvent) -> str:
    match event:
        case ResultReceived(number, text):
            return f"answer {number}: the result, {_brief(text)}"
        case FailureReceived(number, reason, code):
            told = "not told" if reason is None else _brief(reason)
            return f"answer {number}: the reason{_code(code)}, {told}"
        case CancelAccepted(number):
            return f"answer {number}: the cancel is accepted"
        case CancelRefused(number):
            return f"answer {number}: the cancel is refused"
        case RequestFailed(number, error, retryable, retry_after):
            asked = "" if retry_after is None else f", asked to wait {retry_after:g} s"
            again = "may be tried again" if retryable else "final"
            return f"answer {number}: none, {_error(error)} [{again}{asked}]"
        case _:
            raise AssertionError(f"said elsewhere: {event}")


def _of_stream(event: StreamEvent) -> str:
    match event:
        case StreamOpened(number):
            return f"connection {number}: open"
        case StreamNotReady(number):
            return f"connection {number}: refused, the job does not run yet"
        case InterimReceived(number, messages):
            last = f" {_brief(messages[-1])}" if messages else ""
            lead = ", the last" if len(messages) > 1 else ","
            return f"connection {number}: {how_many(len(messages))}{lead}{last}"
        case StreamClosed(number, code, reason):
            why = f" {_brief(reason)}" if reason else ""
            return f"connection {number}: closed by the service, code {code}{why}"
        case StreamFailed(number, error):
            return f"connection {number}: failed, {_error(error)}"
    assert_never(event)


def _wish(event: CallerEvent) -> str:
    match event:
        case WaitStarted(number, need, wait):
            every = "" if need is Need.STATUS else f", polls {wait:g} s apart at most"
            return f"caller: waits for {_NEEDS[need]} (wait {number}{every})"
        case WaitEnded(number):
            return f"caller: waits no longer (wait {number})"
        case CancelRequested(number):
            return f"caller: cancels the job (wait {number})"
        case SubscriptionRequested(number, after):
            return f"caller: streams the results{_from(after)} (subscription {number})"
        case ReplayRequested(number, after):
            return f"caller: streams all results{_from(after)} (subscription {number})"
        case SubscriptionCancelled(number):
            return f"caller: ends the stream (subscription {number})"
        case ReleaseRequested():
            return "caller: gives the memory of the result back"
    assert_never(event)


def _from(after: int) -> str:
    return f" after the first {after:,}" if after else ""


def how_many(count: int) -> str:
    """Say how many messages there are."""
    return f"{count:,} message{'' if count == 1 else 's'}"


def _numbered(first: int, count: int) -> str:
    return f"message {first:,}" if count == 1 else f"messages {first:,} to {first + count - 1:,}"


def _code(code: int | str | None) -> str:
    return "" if code is None else f" (code {_brief(str(code))})"


def _because(error: Exception | None) -> str:
    return "" if error is None else f" with {_error(error)}"


def _error(error: Exception) -> str:
    status = error.status_code if isinstance(error, TransportError) else None
    told = "" if status is None else f" {status}"
    return f"{_brief(kind_of(error))}{told}: {_brief(str(error))}"


def _brief(text: str) -> str:
    """Say a text of somebody else on one line."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LIMIT else f"{line[:_LIMIT]}..."
