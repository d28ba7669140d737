"""A journal that was replayed, for people: when, what came in, what went out, the state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from adapters.cli.sentences import how_many, what_came, what_goes
from adapters.cli.text import printable, word
from runtime_core.commands import Deliver, FetchStatus, StartTimer
from runtime_core.events import InterimReceived, JobQueued, JobStarted, TimerFired, TimerName
from runtime_core.journal_replay import Replay, ReplayedJob, ReplayedStep
from runtime_core.observer import Step
from runtime_core.states import JobState
from runtime_core.traits import Resume, ServiceTraits

_INDENT = " " * 25
_POLL = "poll"
_FEW_POLLS = 6
"""Polls and answers that are still told one by one."""
_RESUME = {
    Resume.OFFSET: "resume where they are asked to",
    Resume.REPLAY: "start anew",
    Resume.LIVE: "are live only",
}


def timeline(replay: Replay) -> Iterator[str]:
    """Give the lines of all that a journal tells, and at last whether it was replayed."""
    texts = "with" if replay.has_texts else "without"
    yield f"a journal of {_writer(replay.about)}; {texts} the texts of jobs"
    about = replay.about
    for job in replay.jobs:
        if job.about is not about:
            about = job.about
            yield f"then one of {_writer(about)}; its times begin anew"
        yield f"job {job.number}: {printable(job.job_id)}, {_service(job.machine.traits)}"
    yield ""
    shown: dict[int, str] = {}
    many = len(replay.jobs) > 1
    for steps in _runs(replay.steps):
        job = steps[0].job
        name = f"{job.number:>3} " if many else ""
        state = _state(steps[0].step)
        news = state if shown.get(job.number) != state else ""
        shown[job.number] = state
        yield f"{steps[0].step.at:10.3f}  {name}{news:<11}{_what(steps)}".rstrip()
        yield from (f"{_INDENT}{line}" for line in _consequences(steps))
    yield ""
    yield from _verdict(replay)


def _writer(said: Mapping[str, str]) -> str:
    about = {key: printable(value) for key, value in said.items()}
    who = f"runtime-core {about.get('library', 'of an unknown version')}"
    details = [f"Python {about['python']}"] if "python" in about else []
    details += [about[key] for key in ("platform", "begun") if key in about]
    return ", ".join([who, *details])


def _service(traits: ServiceTraits) -> str:
    if not traits.pushes:
        said = ["its service has no streams"]
    else:
        said = [f"its service's streams {_RESUME[traits.resume]}"]
        said += ["carry the result"] * traits.streams_result
    said += ["running jobs may be queued again"] * traits.requeues
    if traits.on_unknown_status is not None:
        said.append(f"unknown words are taken for {word(traits.on_unknown_status)}")
    return ", ".join(said)


def _state(step: Step) -> str:
    return word(step.state) if step.confirmed else "not known"


def _runs(steps: Sequence[ReplayedStep]) -> Iterator[list[ReplayedStep]]:
    """Give the steps that are told together: what a stream carries, and polling without news."""
    keys: list[object] = []
    known: dict[int, tuple[JobState, int | None]] = {}
    for index, replayed in enumerate(steps):
        number, step = replayed.job.number, replayed.step
        before = known.get(number)
        known[number] = after = step.state, _place(step, before)
        is_news = before != after or replayed.differences
        kind = None if is_news else _kind(step)
        keys.append(index if kind is None else (number, kind))
    pairs = zip(keys, steps, strict=True)
    for _, group in groupby(pairs, lambda pair: pair[0]):
        run = [step for _, step in group]
        if isinstance(run[0].step.event, InterimReceived) or len(run) >= _FEW_POLLS:
            yield run
        else:
            yield from ([step] for step in run)


def _place(step: Step, before: tuple[JobState, int | None] | None) -> int | None:
    """Which of the queued jobs it is, as it was told last."""
    told = step.event.position if isinstance(step.event, JobQueued) else None
    return before[1] if told is None and before is not None else told


def _kind(step: Step) -> object:
    """What a step has in common with those that it is told together with; None if it is alone."""
    match step.event, step.commands:
        case InterimReceived(connection), commands:
            return connection if all(isinstance(each, Deliver) for each in commands) else None
        case (TimerFired(TimerName.POLL), (FetchStatus(),)):
            return _POLL
        case ((JobQueued(int(), _) | JobStarted(int())), (StartTimer(TimerName.POLL),)):
            return _POLL
    return None


def _what(steps: Sequence[ReplayedStep]) -> str:
    first, last = steps[0].step, steps[-1].step
    within = f"within {last.at - first.at:.3f} s"
    if len(steps) == 1:
        return what_came(first.event)
    if isinstance(first.event, InterimReceived):
        received = InterimReceived(first.event.connection, _texts(steps))
        return f"{what_came(received)}, in {len(steps):,} reads {within}"
    polls = sum(isinstance(each.step.event, TimerFired) for each in steps)
    return f"time: polled {polls:,} times {within}, and the answers said nothing new"


def _texts(steps: Sequence[ReplayedStep]) -> tuple[str, ...]:
    events = [each.step.event for each in steps]
    return tuple(
        text for event in events if isinstance(event, InterimReceived) for text in event.messages
    )


def _consequences(steps: Sequence[ReplayedStep]) -> Iterator[str]:
    commands = [command for each in steps for command in each.step.commands]
    if len(steps) > 1:
        parts = [each for each in commands if isinstance(each, Deliver)]
        messages = tuple(text for each in parts for text in each.messages)
        commands = [Deliver(parts[0].subscription, parts[0].first, messages)] if parts else []
    for command in commands:
        yield f"-> {what_goes(command)}"
    refusal = steps[0].step.refusal
    if refusal is not None:
        yield f"REFUSED: {printable(refusal.why)}"
    for difference in steps[0].differences:
        yield f"DIFFERS at line {difference.line}, {difference.what}:"
        yield f"    recorded {printable(difference.recorded)}"
        yield f"    replayed {printable(difference.replayed)}"


def _verdict(replay: Replay) -> Iterator[str]:
    if replay.is_cut:
        yield "A last line is not whole: the process was killed while it wrote."
    if replay.is_full:
        yield "The journal had reached its size: what came after that is not told."
    for job in replay.jobs:
        yield f"job {job.number} at the end: {_end(job)}"
    differences = replay.differences
    if differences:
        lines = ", ".join(str(each.line) for each in differences[:10])
        more = " and more" if len(differences) > 10 else ""
        yield f"It was NOT replayed to the same: see line {lines}{more}."
    elif replay.broken is None:
        count = len(replay.steps)
        yield f"{count:,} step{'s' * (count != 1)} replayed to the same states and commands."


def _end(job: ReplayedJob) -> str:
    machine = job.machine
    known = word(machine.state) if machine.confirmed else "not known"
    received = f", {how_many(machine.received)} received" if machine.received else ""
    streaming = ", being streamed" if machine.is_streaming else ""
    outcome = machine.cancel_outcome
    cancelled = "" if outcome is None else f", cancel: {outcome.value}"
    return f"{known}{received}{streaming}{cancelled}"
