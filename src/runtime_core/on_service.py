"""What follows when the service says something: a state, an answer, or that there is none."""

from __future__ import annotations

from runtime_core.cancel import CancelSignal
from runtime_core.commands import Command, Notice, Report
from runtime_core.errors import UnknownStatusError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    JobFailed,
    JobQueued,
    JobStarted,
    LifecycleEvent,
    RequestFailed,
    ResultReceived,
    UnknownStatusReported,
)
from runtime_core.lifecycle import LIFECYCLE_FROM, REQUEUED, STATED, contradicts
from runtime_core.regions import NOTHING, Regions
from runtime_core.result import ResultSignal
from runtime_core.states import JobState
from runtime_core.watch import WatchSignal, WatchState

# On Python 3.11 a member costs ten times as much to look up on its Enum as a global.
_RUNNING = JobState.RUNNING

_EVENT_OF = {state: kind for kind, state in STATED.items()}


def on_lifecycle(job: Regions, event: LifecycleEvent) -> tuple[Command, ...]:
    """The service told the state."""
    request = event.request
    if request is not None and request != job.watch.request:
        return NOTHING
    before = job.state
    after = LIFECYCLE_FROM[before][type(event)]
    fresh = not job.confirmed
    if after is before:
        if after.is_final:
            return _contradiction(job, event)
        if job.traits.requeues and _has_requeued(job, event):
            after = REQUEUED[2]
        elif request is None and not fresh:
            return NOTHING
    job.state = after
    job.confirmed = True
    if after is not before:
        job.watch.polls = 0
    if after.is_final:
        return _on_final(job, event)
    started = after is _RUNNING and before is not after
    if started:
        job.running_since = job.watch.next_number
    if request is None and job.stream is not None and job.stream.current:
        return NOTHING  # nobody waits for an answer, and there is a connection already
    out: list[Command] = []
    if request is not None:
        _on_answer(job, event, request, out)
    if started or fresh:
        job.connect_if_wanted(out)
    return tuple(out)


def _has_requeued(job: Regions, event: LifecycleEvent) -> bool:
    return (
        job.state is REQUEUED[1]
        and type(event) is JobQueued
        and event.request is not None
        and event.request >= job.running_since
    )


def _contradiction(job: Regions, event: LifecycleEvent) -> tuple[Command, ...]:
    if not contradicts(job.state, event):
        return NOTHING
    text = (
        f"Job {job.job_id} ended {job.state.name}, and the service now reports "
        f"{STATED[type(event)].name}; the first stands."
    )
    return (Report(Notice.CONTRADICTION, text),)


def _on_answer(job: Regions, event: LifecycleEvent, request: int, out: list[Command]) -> None:
    """A request was answered: the job is not final."""
    job.watch.request = job.watch.failures = 0
    job.watch.signal(WatchSignal.REPLIED, out)
    job.end_waits(job.waits.answered_by(request), out)
    if job.stream is not None:
        job.stream.on_answer(request, type(event) is JobStarted, out)
    if not job.settle(out) and job.watch.state is WatchState.IDLE:
        job.poll_later(out)


def _on_final(job: Regions, event: LifecycleEvent) -> tuple[Command, ...]:
    out: list[Command] = []
    watch = job.watch
    if event.request is not None:
        watch.failures = 0
    watch.finish(out)
    if job.cancel is not None:
        job.cancel.request = 0
    if type(event) is JobFailed:
        job.result.tell_failure(event.reason, event.reason_code)
    if job.stream is not None:
        job.stream.on_final(out)
    job.end_waits_for_the_end(out)
    job.want_result(out)
    return tuple(out)


def on_unknown_status(job: Regions, event: UnknownStatusReported) -> tuple[Command, ...]:
    """The service said a word that its dialect does not know."""
    request = event.request
    if request is not None and request != job.watch.request:
        return NOTHING
    taken_for = job.traits.on_unknown_status
    if taken_for is not None:
        return on_lifecycle(job, _EVENT_OF[taken_for](request))
    if job.state.is_final:
        return NOTHING
    error = UnknownStatusError(job.job_id, event.word)
    out: list[Command] = [Report(Notice.UNKNOWN_STATUS, str(error), error)]
    if request is not None:
        job.give_up(error, out)
    return tuple(out)


def on_request_failed(job: Regions, event: RequestFailed) -> tuple[Command, ...]:
    """A request of whatever kind got no answer."""
    out: list[Command] = []
    if event.request == job.watch.request:
        _on_status_failed(job, event, out)
    elif job.cancel is not None and event.request == job.cancel.request:
        job.cancel.answer(CancelSignal.FAIL)
        job.end_waits(job.waits.cancels(), out, event.error)
        job.settle(out)
    elif event.request == job.result.request:
        _on_result_failed(job, event, out)
    return tuple(out)


def _on_status_failed(job: Regions, event: RequestFailed, out: list[Command]) -> None:
    if not event.retryable:
        job.give_up(event.error, out)
        return
    job.watch.request = 0
    job.watch.signal(WatchSignal.FAILED, out)
    job.watch.failures += 1
    job.end_waits(job.waits.impatient(), out, event.error)
    if not job.settle(out):
        job.retry_later(event, out)


def _on_result_failed(job: Regions, event: RequestFailed, out: list[Command]) -> None:
    if event.retryable and job.wants_result:
        job.result.fail(ResultSignal.RETRY)
        job.watch.failures += 1
        job.retry_later(event, out)
    else:
        job.result.fail(ResultSignal.FAIL)
        job.hand_out(out, event.error)


def on_result(job: Regions, event: ResultReceived) -> tuple[Command, ...]:
    """The text of the result is here."""
    result = job.result
    if event.request != result.request:
        return NOTHING
    result.receive_text(event.text)
    return _on_fetched(job)


def on_failure(job: Regions, event: FailureReceived) -> tuple[Command, ...]:
    """The reason of a failure is here."""
    result = job.result
    if event.request != result.request:
        return NOTHING
    result.receive_failure(event.reason, event.reason_code)
    return _on_fetched(job)


def _on_fetched(job: Regions) -> tuple[Command, ...]:
    job.watch.failures = 0
    out: list[Command] = []
    job.hand_out(out)
    return tuple(out)


def on_cancel_accepted(job: Regions, event: CancelAccepted) -> tuple[Command, ...]:
    """The service took the cancel; what becomes of it, only the state tells."""
    if job.cancel is None or event.request != job.cancel.request:
        return NOTHING
    job.cancel.answer(CancelSignal.ACCEPT)
    out: list[Command] = []
    job.end_waits(job.waits.cancels(), out)
    job.watch.signal(WatchSignal.ASK, out)
    return tuple(out)


def on_cancel_refused(job: Regions, event: CancelRefused) -> tuple[Command, ...]:
    """The service refused the cancel: the job is final in its eyes."""
    if job.cancel is None or event.request != job.cancel.request:
        return NOTHING
    job.cancel.answer(CancelSignal.REFUSE)
    for number in job.waits.cancels():
        # They hear of it together with the state that is asked for now.
        job.waits[number].mark = job.watch.next_number
    out: list[Command] = []
    job.watch.signal(WatchSignal.ASK, out)
    job.settle(out)
    return tuple(out)
