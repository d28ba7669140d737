"""What follows when a connection opens, carries messages, or ends."""

from __future__ import annotations

from runtime_core.commands import Command, Deliver, Notice, Report
from runtime_core.connection import ConnectionState, SubscriptionState
from runtime_core.errors import stated
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)
from runtime_core.regions import NOTHING, Regions
from runtime_core.states import JobState
from runtime_core.watch import WatchSignal, WatchState

# A member looked up on its Enum costs ten times what a global does.
_OPEN, _RETRYING = ConnectionState.OPEN, ConnectionState.RETRYING
_ACTIVE, _PAUSED = SubscriptionState.ACTIVE, WatchState.PAUSED


def on_opened(job: Regions, event: StreamOpened) -> tuple[Command, ...]:
    """A handshake is through."""
    stream = job.stream
    if stream is None or event.connection != stream.current:
        return NOTHING
    out: list[Command] = []
    stream.on_opened(job.state.is_final, out)
    # From here on the service tells: polling is only the proof.
    if job.watch.state is _PAUSED and not job.watch.is_backing_off:
        job.poll_later(out)
    return tuple(out)


def on_messages(job: Regions, event: InterimReceived) -> tuple[Command, ...]:
    """A connection carried messages: deliver those that were not there before.

    It works on the region from outside, since a further call would cost this, the most frequent
    event, a tenth of its time.
    """
    stream = job.stream
    if stream is None or event.connection != stream.current or stream.connection is not _OPEN:
        return NOTHING
    messages, position, cursor = event.messages, stream.position, stream.cursor
    stream.position = end = position + len(messages)
    if end <= cursor:
        if not messages:
            stream.armed_at = -1  # a sign of life: a drain deadline that is armed will be extended
        return NOTHING
    stream.attempts = 0
    if stream.subscription is not _ACTIVE:
        stream.cursor = end
        return NOTHING
    if position < cursor:
        messages = messages[cursor - position :]
    if stream.traits.streams_result:
        return stream.hold_last(messages, job.watch.next_number)
    stream.cursor = end
    return (Deliver(stream.subscriber, cursor, messages),)


def on_stream_ended(
    job: Regions, event: StreamClosed | StreamFailed | StreamNotReady
) -> tuple[Command, ...]:
    """A connection ended, or there was none to be had."""
    stream = job.stream
    if stream is None or event.connection != stream.current:
        return NOTHING
    out: list[Command] = []
    if job.state.is_final:
        stream.on_ended_final(event, out)
        if stream.connection is _RETRYING:
            _report_retry(job, event, out)
        job.want_result(out)
        return tuple(out)
    was_open = stream.is_open
    not_running = isinstance(event, StreamNotReady) and job.state is JobState.QUEUED
    if not_running and not was_open:
        stream.on_not_running()
    else:
        stream.on_ended(event, job.watch.next_number, out)
    _report_retry(job, event, out)
    if was_open:
        _on_hint(job, stream.attempts, out)
    return tuple(out)


def _report_retry(
    job: Regions, event: StreamClosed | StreamFailed | StreamNotReady, out: list[Command]
) -> None:
    if isinstance(event, StreamFailed):
        text = f"Job {job.job_id}: {stated(event.error)}; the stream is opened again."
        out.append(Report(Notice.RETRY, text, event.error))


def _on_hint(job: Regions, attempts: int, out: list[Command]) -> None:
    """A stream ended: that may be the end of the job, so ask at once."""
    if attempts == 1:
        job.watch.polls = 0
    # A back-off is not cut short; an answer under way may be older than the hint.
    if not job.watch.is_backing_off:
        job.watch.signal(WatchSignal.ASK, out)
