"""What follows from what happens on this side: the caller's wishes, and the time.

A wish that is not legal is refused before anything has changed.
"""

from __future__ import annotations

from runtime_core.cancel import CancelState
from runtime_core.commands import Command
from runtime_core.connection import ConnectionState
from runtime_core.events import (
    CancelRequested,
    Need,
    ReleaseRequested,
    ReplayRequested,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    WaitEnded,
    WaitStarted,
)
from runtime_core.polling import DEFAULT_WAIT
from runtime_core.regions import NOTHING, Regions, end_wait
from runtime_core.waits import Wait
from runtime_core.watch import WatchSignal

# On Python 3.11 a member costs ten times as much to look up on its Enum as a global.
_STATUS, _RESULT, _ASK = Need.STATUS, Need.RESULT, WatchSignal.ASK


def on_wait_started(job: Regions, event: WaitStarted) -> tuple[Command, ...]:
    """Somebody waits."""
    job.check_new_wait(event.wait_id)
    final = job.state.is_final
    if final and event.need is not _RESULT:
        return (end_wait(event.wait_id),)
    out: list[Command] = []
    wait = Wait(event.need, event.wait)
    job.add_wait(event.wait_id, wait)
    if final:
        job.want_result(out)
    elif event.need is _STATUS:
        wait.mark = job.watch.next_number
        job.watch.signal(_ASK, out)
    else:
        if job.confirmed:
            job.connect_if_wanted(out)
        job.attend(out)
    return tuple(out)


def on_wait_ended(job: Regions, event: WaitEnded) -> tuple[Command, ...]:
    """Somebody no longer waits."""
    out: list[Command] = []
    if event.wait_id in job.waits:
        del job.waits[event.wait_id]
        job.settle(out)
    return tuple(out)


def on_cancel_requested(job: Regions, event: CancelRequested) -> tuple[Command, ...]:
    """Somebody wants the job cancelled, and waits for the answer."""
    job.check_new_wait(event.wait_id)
    if job.state.is_final:
        raise job.refusal("cancel", "it has ended")
    out: list[Command] = []
    cancel = job.the_cancel()
    if cancel.state is not CancelState.REQUESTED:
        cancel.send(job.watch.new_number(), out)
    job.add_wait(event.wait_id, Wait(None, DEFAULT_WAIT))
    return tuple(out)


def on_subscribe(
    job: Regions, event: SubscriptionRequested | ReplayRequested
) -> tuple[Command, ...]:
    """Somebody wants the interim results."""
    final = job.state.is_final
    if event.after < 0:
        why = f"a cursor is the number of messages that were delivered, not {event.after}"
        raise job.refusal("stream_results", why)
    if not job.traits.pushes:
        raise job.refusal("stream_results", "its service has no streams")
    if job.is_streaming:
        raise job.refusal("stream_results", "its results are streamed already")
    if final and isinstance(event, SubscriptionRequested):
        raise job.refusal("stream_results", "it has ended")
    if final and not job.traits.keeps_interim:
        raise job.refusal("interim_results", "it has ended and its service keeps none")
    out: list[Command] = []
    job.the_stream().subscribe(event.subscription, event.after, out)
    if not final:
        job.attend(out)
    return tuple(out)


def on_unsubscribe(job: Regions, event: SubscriptionCancelled) -> tuple[Command, ...]:
    """Somebody wants no more interim results."""
    out: list[Command] = []
    stream = job.stream
    if stream is not None and event.subscription == stream.subscriber:
        stream.end(out)
        job.settle(out)
    return tuple(out)


def on_release(job: Regions, _: ReleaseRequested) -> tuple[Command, ...]:
    """Somebody wants the memory of the result back."""
    job.result.release()
    return NOTHING


def on_timer(job: Regions, event: TimerFired) -> tuple[Command, ...]:
    """A delay has passed."""
    out: list[Command] = []
    if event.name is TimerName.POLL:
        _on_poll_timer(job, event.id, out)
    else:
        _on_stream_timer(job, event.id, out)
    return tuple(out)


def _on_poll_timer(job: Regions, number: int, out: list[Command]) -> None:
    watch = job.watch
    if number != watch.timer:
        return
    watch.timer = 0
    if job.state.is_final:
        watch.finish(out)
        job.want_result(out)
    else:
        watch.signal(WatchSignal.FIRED, out)


def _on_stream_timer(job: Regions, number: int, out: list[Command]) -> None:
    stream = job.stream
    if stream is None or number != stream.timer:
        return
    stream.timer = 0
    if stream.connection is ConnectionState.RETRYING:
        stream.open(out)
    else:
        stream.on_drain_deadline(out)
        job.want_result(out)
