"""Does again what a journal tells: the same events, and so the same states and commands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from runtime_core.commands import Command
from runtime_core.errors import JournalError, RuntimeInvalidStateError
from runtime_core.events import Event
from runtime_core.journal_lines import (
    SCHEMA,
    VERSION,
    Json,
    Writing,
    as_number,
    as_object,
    as_state,
    message_count,
    read_event,
    read_traits,
)
from runtime_core.machine import JobMachine
from runtime_core.observer import Step
from runtime_core.states import JobState
from runtime_core.value_path import shown

MOST_MESSAGES = 2**24
"""How many messages a journal is believed to tell of: what stands for them takes 128 MB."""
LONGEST_LINE = 2**22
"""Characters of a line that is read. Our drivers write none that is longer; what JSON makes of one
can take 25 times as much."""


@attrs.frozen
class Difference:
    """Where the replay did something else than what was recorded."""

    line: int
    """The line of the journal, from 1 on."""
    job_id: str
    """The job."""
    what: str
    """What differs: ``commands``, ``state`` or ``refusal``."""
    recorded: str
    """What the journal says, as JSON."""
    replayed: str
    """What the machine did now, as JSON."""

    def __str__(self) -> str:
        return (
            f"line {self.line}, job {self.job_id}: another {self.what} than recorded: "
            f"expected {self.recorded}, got {self.replayed}"
        )


@attrs.frozen(eq=False)
class ReplayedJob:
    """One machine of a journal, and how it stands at the end."""

    number: int
    """Which of the journal's machines: several may be of the same job."""
    job_id: str
    """The job."""
    machine: JobMachine
    """The machine that received the events, as it is after the last of them."""
    about: dict[str, str]
    """What is said of who wrote its journal: a file may hold several, see `replay`."""

    @property
    def state(self) -> JobState:
        """The state at the end."""
        return self.machine.state


@attrs.frozen(eq=False)
class ReplayedStep:
    """A step that was done again."""

    line: int
    """Its line in the journal, from 1 on."""
    job: ReplayedJob
    """Whose it is."""
    step: Step
    """What came in, and what the machine did now; its time is in seconds since the first step."""
    differences: tuple[Difference, ...]
    """What it did otherwise when it was recorded."""


@attrs.define(eq=False)
class Replay:
    """What `replay` found."""

    about: dict[str, str] = attrs.Factory(dict)
    """What the first line says of who wrote the journal, or the first of them."""
    has_texts: bool = False
    """Whether the texts were recorded; if not, there are stand-ins in their place."""
    jobs: list[ReplayedJob] = attrs.Factory(list)
    """The machines, in the order in which they came."""
    steps: list[ReplayedStep] = attrs.Factory(list)
    """The steps, in the order in which they happened."""
    is_cut: bool = False
    """Whether a last line is not whole: the process was killed while it wrote."""
    is_full: bool = False
    """Whether the journal had reached its size, so that the end is not told."""
    broken: JournalError | None = None
    """What cannot be read; what stands before it was replayed."""

    @property
    def differences(self) -> list[Difference]:
        """All that was recorded otherwise; empty if the replay did the same."""
        return [difference for step in self.steps for difference in step.differences]

    @property
    def is_same(self) -> bool:
        """Whether all could be read, and the machines did the same."""
        return self.broken is None and not self.differences


def replay(lines: Iterable[str]) -> Replay:
    """Feed the events of a journal to fresh machines, and compare what they do.

    The lines may come from anywhere: nothing in them is trusted. Journals that were written one
    after the other into one file are replayed one after the other.

    Raises:
        JournalError: if they are no journal, or one of a version that this one does not read.
    """
    reader = _Reader()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            reader.read(number, text)
        except (ValueError, RecursionError) as error:
            reader.break_off(number, error)
            break
    return reader.end()


class _Reader:
    def __init__(self) -> None:
        self._replay = Replay()
        self._about: dict[str, str] = {}
        self._jobs: dict[int, ReplayedJob] = {}
        self._has_begun = False
        self._torn = 0
        """The number of a line that is not whole, as long as it may be the last one; else 0."""
        self._messages = 0

    def read(self, number: int, text: str) -> None:
        """Read a line.

        Raises:
            ValueError: if it cannot be read.
            RecursionError: if it is nested too deeply.
        """
        if len(text) > LONGEST_LINE:
            raise ValueError(f"it has more than {LONGEST_LINE:,} characters")
        line = _object_in(text)
        if line is not None and "schema" in line:
            self._begin(line)
        elif not self._has_begun:
            raise ValueError(f"it does not begin with a line of {SCHEMA!r}")
        elif self._torn:
            raise ValueError("it is no JSON object")
        elif line is None:
            self._torn = number
        else:
            self._follow(number, line)

    def break_off(self, number: int, error: Exception) -> None:
        """A line cannot be read, and no further one is."""
        self._replay.broken = JournalError(str(error), self._torn or number)
        self._torn = 0

    def end(self) -> Replay:
        """All lines were read."""
        if not self._has_begun:
            raise self._replay.broken or JournalError("it is empty", 1)
        if self._torn:
            self._replay.is_cut = True
        return self._replay

    # ---- lines ---------------------------------------------------------------------------------

    def _begin(self, line: Mapping[str, Json]) -> None:
        self._replay.is_cut |= self._torn > 0
        self._torn = 0
        schema, version = line["schema"], line.get("version")
        if schema != SCHEMA or version != VERSION:
            raise ValueError(
                f"it is {shown(schema)} of version {shown(version)}, "
                f"and what can be read is {SCHEMA!r} of version {VERSION}"
            )
        about = as_object(line.get("about", {}))
        self._about = {key: str(value) for key, value in about.items()}
        if not self._has_begun:
            self._replay.about = self._about
            self._has_begun = True
        self._replay.has_texts |= line.get("texts") == "whole"
        self._jobs = {}

    def _follow(self, number: int, line: dict[str, Json]) -> None:
        if "traits" in line:
            self._meet(line)
        elif "in" in line:
            self._step(number, line)
        elif line.get("end") == "max_bytes":
            self._replay.is_full = True
        else:
            raise ValueError("it is none of the lines of a journal")

    def _meet(self, line: Mapping[str, Json]) -> None:
        known, job_id = line.get("job"), line.get("id")
        if type(known) is not int or known in self._jobs or not isinstance(job_id, str):
            raise ValueError("a job needs a number of its own, and an id")
        machine = JobMachine(job_id, read_traits(line["traits"]))
        job = ReplayedJob(len(self._replay.jobs) + 1, job_id, machine, self._about)
        self._jobs[known] = job
        self._replay.jobs.append(job)

    def _step(self, number: int, line: Mapping[str, Json]) -> None:
        known = line.get("job")
        job = self._jobs.get(known) if type(known) is int else None
        if job is None:
            raise ValueError(f"no line says what job {shown(known)} is")
        event, state = read_event(line["in"]), as_state(line.get("state"))
        self._messages += message_count(event)
        if self._messages > MOST_MESSAGES:
            raise ValueError("it tells of too many messages")
        step = _done_again(job.machine, event, as_number(line.get("at")))
        recorded: dict[str, Json] = {
            "commands": line.get("out"),
            "state": [state.value, line.get("confirmed", True)],
            "refusal": line.get("refused"),
        }
        self._replay.steps.append(
            ReplayedStep(number, job, step, _compared(number, step, recorded))
        )


def _object_in(text: str) -> dict[str, Json] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _done_again(machine: JobMachine, event: Event, at: float) -> Step:
    commands: tuple[Command, ...] = ()
    refusal = None
    try:
        commands = machine.receive(event)
    except RuntimeInvalidStateError as error:
        refusal = error
    return Step(
        machine.job_id,
        machine.traits,
        at,
        event,
        commands,
        machine.state,
        machine.confirmed,
        refusal,
        machine,
    )


def _compared(line: int, step: Step, recorded: Mapping[str, Json]) -> tuple[Difference, ...]:
    refusal = step.refusal
    now: dict[str, Any] = {
        "commands": [_WRITING.command(command) for command in step.commands],
        "state": [step.state.value, step.confirmed],
        "refusal": None if refusal is None else refusal.why,
    }
    return tuple(
        Difference(line, step.job_id, what, json.dumps(recorded[what]), json.dumps(done))
        for what, done in now.items()
        if recorded[what] != done
    )


_WRITING = Writing()
