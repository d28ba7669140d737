"""Machines with a bug each, as somebody might write it: what the test tools must find.

A mutant is a function that breaks the machine of this process, by `pytest.MonkeyPatch`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import pytest

from runtime_core import on_service, on_stream, watch
from runtime_core.cancel import CancelRegion, CancelState
from runtime_core.commands import Command, Deliver, EndWait
from runtime_core.connection import ConnectionState
from runtime_core.events import (
    CancelAccepted,
    CancelRequested,
    Event,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    StreamClosed,
    SubscriptionCancelled,
    UnknownStatusReported,
    WaitStarted,
)
from runtime_core.lifecycle import LIFECYCLE_FROM
from runtime_core.machine import HANDLERS
from runtime_core.polling import retry_delay
from runtime_core.regions import NOTHING, Regions
from runtime_core.result import ResultRegion, ResultState
from runtime_core.states import JobState
from runtime_core.stream import StreamRegion
from runtime_core.waits import Waits
from runtime_core.watch import WatchRegion, WatchSignal

Patch: TypeAlias = pytest.MonkeyPatch
Mutant: TypeAlias = Callable[[Patch], None]
Handler: TypeAlias = Callable[[Regions, Any], tuple[Command, ...]]
QUEUED, RUNNING = JobState.QUEUED, JobState.RUNNING
DONE, ERROR, CANCELLED = JobState.DONE, JobState.ERROR, JobState.CANCELLED

MUTANTS: dict[str, Mutant] = {}
"""All of them by name, with spaces."""


def mutant(breaks: Mutant) -> Mutant:
    MUTANTS[breaks.__name__.replace("_", " ")] = breaks
    return breaks


def handle(patch: Patch, kind: type[Event], wrap: Callable[[Handler], Handler]) -> None:
    """Put something around what follows from a kind of event."""
    patch.setitem(HANDLERS, kind, wrap(HANDLERS[kind]))


def around(patch: Patch, owner: type, name: str, wrap: Callable[[Any], Any]) -> None:
    """Put something around a method."""
    patch.setattr(owner, name, wrap(getattr(owner, name)))


# ---- the lifecycle -----------------------------------------------------------------------------


@mutant
def a_final_state_is_left(patch: Patch) -> None:
    patch.setitem(LIFECYCLE_FROM[CANCELLED], JobStarted, RUNNING)


@mutant
def a_contradiction_overwrites(patch: Patch) -> None:
    patch.setitem(LIFECYCLE_FROM[DONE], JobFailed, ERROR)


@mutant
def a_contradiction_is_not_reported(patch: Patch) -> None:
    patch.setattr(on_service, "contradicts", lambda *_: False)


@mutant
def a_stale_status_is_taken(patch: Patch) -> None:
    patch.setitem(LIFECYCLE_FROM[RUNNING], JobQueued, QUEUED)


@mutant
def a_cancel_is_written_locally(patch: Patch) -> None:
    def cancelled(then: Handler) -> Handler:
        def accepted(job: Regions, event: CancelAccepted) -> tuple[Command, ...]:
            return then(job, event) + on_service.on_lifecycle(job, JobCancelled())

        return accepted

    handle(patch, CancelAccepted, cancelled)


@mutant
def the_close_of_a_stream_is_taken_for_the_end(patch: Patch) -> None:
    def ended(then: Handler) -> Handler:
        def closed(job: Regions, event: StreamClosed) -> tuple[Command, ...]:
            commands = then(job, event)
            if event.code == 1000 and not job.state.is_final:
                commands += on_service.on_lifecycle(job, JobSucceeded())
            return commands

        return closed

    handle(patch, StreamClosed, ended)


@mutant
def a_late_reply_is_taken(patch: Patch) -> None:
    def taken(then: Handler) -> Handler:
        return lambda job, event: then(job, attrs.evolve(event, request=None))

    handle(patch, JobSucceeded, taken)


@mutant
def an_unknown_word_loops(patch: Patch) -> None:
    def polled_on(_: Handler) -> Handler:
        def unknown(job: Regions, event: UnknownStatusReported) -> tuple[Command, ...]:
            is_running = job.state is RUNNING
            return on_service.on_lifecycle(
                job, JobStarted(event.request) if is_running else JobQueued(event.request)
            )

        return unknown

    handle(patch, UnknownStatusReported, polled_on)


# ---- messages ----------------------------------------------------------------------------------


@mutant
def messages_are_repeated_after_a_reconnect(patch: Patch) -> None:
    def at_the_cursor(then: Any) -> Any:
        def opened(stream: StreamRegion, out: list[Command]) -> None:
            then(stream, out)
            stream.position = stream.cursor  # though the service starts at the first

        return opened

    around(patch, StreamRegion, "open", at_the_cursor)


@mutant
def messages_are_lost_after_a_reconnect(patch: Patch) -> None:
    def at_the_first(then: Any) -> Any:
        def opened(stream: StreamRegion, out: list[Command]) -> None:
            then(stream, out)
            stream.position = 0  # though the service starts at the cursor

        return opened

    around(patch, StreamRegion, "open", at_the_first)


@mutant
def the_first_message_of_a_read_is_lost(patch: Patch) -> None:
    def shortened(then: Handler) -> Handler:
        def read(job: Regions, event: InterimReceived) -> tuple[Command, ...]:
            commands = then(job, event)
            return tuple(
                attrs.evolve(c, messages=c.messages[1:])
                if isinstance(c, Deliver) and len(c.messages) > 1
                else c
                for c in commands
            )

        return read

    handle(patch, InterimReceived, shortened)


@mutant
def a_gap_is_not_told(patch: Patch) -> None:
    patch.setattr(StreamRegion, "_gap", lambda *_: None)


@mutant
def the_result_is_shown_as_a_message(patch: Patch) -> None:
    def shown(then: Any) -> Any:
        return lambda stream, _, out: then(stream, None, out)

    around(patch, StreamRegion, "settle_held", shown)


@mutant
def what_was_held_back_is_forgotten(patch: Patch) -> None:
    def forgotten(then: Any) -> Any:
        def settled(stream: StreamRegion, result: str | None, out: list[Command]) -> None:
            if stream.needs_result:
                stream.held = None
                stream.end(out, stream.failure)

        return settled

    around(patch, StreamRegion, "settle_held", forgotten)


@mutant
def an_ended_subscription_still_gets_messages(patch: Patch) -> None:
    def delivered(then: Handler) -> Handler:
        def read(job: Regions, event: InterimReceived) -> tuple[Command, ...]:
            commands = then(job, event)
            stream = job.stream
            if stream is None or stream.is_active or event.connection != stream.current:
                return commands
            return (*commands, Deliver(stream.subscriber, stream.cursor, event.messages))

        return read

    handle(patch, InterimReceived, delivered)


# ---- connections -------------------------------------------------------------------------------


@mutant
def a_second_connection_is_opened(patch: Patch) -> None:
    def opened(job: Regions, out: list[Command]) -> None:
        if job.traits.pushes and job.waits.followed():
            job.the_stream().open(out)

    patch.setattr(Regions, "connect_if_wanted", opened)


@mutant
def a_late_message_is_taken(patch: Patch) -> None:
    def taken(then: Handler) -> Handler:
        def read(job: Regions, event: InterimReceived) -> tuple[Command, ...]:
            current = 0 if job.stream is None else job.stream.current
            return then(job, attrs.evolve(event, connection=current))

        return read

    handle(patch, InterimReceived, taken)


@mutant
def the_connection_is_kept_for_nobody(patch: Patch) -> None:
    def kept(then: Any) -> Any:
        def dropped(stream: StreamRegion, out: list[Command]) -> None:
            if stream.connection is not ConnectionState.OPEN:
                then(stream, out)

        return dropped

    around(patch, StreamRegion, "drop", kept)


# ---- timers and requests -----------------------------------------------------------------------


@mutant
def the_poll_timer_is_lost(patch: Patch) -> None:
    def lost(then: Any) -> Any:
        def paused(region: WatchRegion, delay: float, out: list[Command]) -> None:
            then(region, delay, out)
            if region.failures > 0:
                out.pop()

        return paused

    around(patch, WatchRegion, "_pause", lost)


@mutant
def the_stream_timer_is_lost(patch: Patch) -> None:
    def lost(then: Any) -> Any:
        def armed(stream: StreamRegion, delay: float, out: list[Command]) -> None:
            then(stream, delay, out)
            out.pop()

        return armed

    around(patch, StreamRegion, "_arm", lost)


@mutant
def it_is_polled_while_nobody_is_interested(patch: Patch) -> None:
    def polled(then: Any) -> Any:
        def settled(job: Regions, out: list[Command]) -> bool:
            return not job.waits and not job.is_streaming and job.cancel is None

        return settled

    around(patch, Regions, "settle", polled)


@mutant
def retry_after_is_ignored(patch: Patch) -> None:
    patch.setattr(watch, "retry_delay", lambda failures, _=None: retry_delay(failures))


@mutant
def the_end_of_a_stream_cuts_a_back_off_short(patch: Patch) -> None:
    def hinted(job: Regions, _: int, out: list[Command]) -> None:
        job.watch.signal(WatchSignal.ASK, out)

    patch.setattr(on_stream, "_on_hint", hinted)


@mutant
def a_result_is_fetched_twice(patch: Patch) -> None:
    def again(then: Handler) -> Handler:
        def waited(job: Regions, event: WaitStarted) -> tuple[Command, ...]:
            if event.need is Need.RESULT and job.result.text is not None:
                job.result.state = ResultState.RELEASED
            return then(job, event)

        return waited

    handle(patch, WaitStarted, again)


@mutant
def two_results_are_fetched_at_once(patch: Patch) -> None:
    def at_once(then: Any) -> Any:
        def fetched(result: ResultRegion, *args: Any) -> None:
            then(result, *args)
            result.request = 0

        return fetched

    around(patch, ResultRegion, "fetch", at_once)


# ---- waits and wishes --------------------------------------------------------------------------


@mutant
def a_wait_never_ends(patch: Patch) -> None:
    patch.setattr(Regions, "end_waits_for_the_end", lambda *_: None)


@mutant
def a_wait_ends_with_a_failure_that_may_pass(patch: Patch) -> None:
    patch.setattr(Waits, "impatient", lambda waits: list(waits))


@mutant
def an_old_answer_ends_a_wait(patch: Patch) -> None:
    patch.setattr(Waits, "answered_by", lambda waits, _: [n for n, w in waits.items() if w.mark])


@mutant
def a_wait_for_the_result_ends_without_it(patch: Patch) -> None:
    def content(then: Handler) -> Handler:
        def done(job: Regions, event: JobSucceeded) -> tuple[Command, ...]:
            commands = then(job, event)
            if not job.state.is_final:
                return commands
            ended = tuple(EndWait(number) for number in job.waits)
            job.waits.clear()
            return commands + ended

        return done

    handle(patch, JobSucceeded, content)


@mutant
def a_refused_wish_changes_something(patch: Patch) -> None:
    def first_the_effects(then: Handler) -> Handler:
        def wanted(job: Regions, event: CancelRequested) -> tuple[Command, ...]:
            job.the_cancel().state = CancelState.NONE
            return then(job, event)

        return wanted

    handle(patch, CancelRequested, first_the_effects)


@mutant
def a_second_cancel_is_sent_before_the_first_is_answered(patch: Patch) -> None:
    def forgotten(then: Any) -> Any:
        def sent(cancel: CancelRegion, number: int, out: list[Command]) -> None:
            then(cancel, number, out)
            cancel.state = CancelState.NONE

        return sent

    around(patch, CancelRegion, "send", forgotten)


@mutant
def ending_a_subscription_is_forgotten(patch: Patch) -> None:
    handle(patch, SubscriptionCancelled, lambda _: lambda *_: NOTHING)
