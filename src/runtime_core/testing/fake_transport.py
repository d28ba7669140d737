"""A transport for tests: a service that is not there, and a network that fails as you like."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from types import EllipsisType
from typing import Any

import attrs

from runtime_core.commands import FetchStatus, OpenStream, RequestCommand
from runtime_core.events import ReplyEvent
from runtime_core.testing.fake_clock import FakeClock
from runtime_core.testing.fake_job import FakeJob
from runtime_core.testing.fake_script import Hangs, Late, ScriptStep, Step, StreamStep
from runtime_core.testing.fake_stream import FakeStream
from runtime_core.traits import Resume, ServiceTraits

LONGEST_HANG = 60.0
"""Real seconds after which what hangs is let go: a test that forgot to does not hang for ever."""


@attrs.frozen
class Asked:
    """Something that a transport was asked for."""

    job_id: str
    """The job."""
    command: RequestCommand | OpenStream
    """What was to be done."""
    at: float
    """When, on the transport's clock; 0 without one."""


@attrs.frozen
class Submitted:
    """A job that was submitted."""

    program_id: str
    """What it runs."""
    inputs: dict[str, Any]
    """What the program gets."""
    options: dict[str, Any]
    """What else the caller wanted."""


class FakeTransport:
    """A service with jobs, and the way to it: what `adapters.Transport` asks for, from memory.

    The service is a model. Its jobs (`FakeJob`) have a state, messages and a result, and from
    these and the traits follow all answers: where a stream goes on after it broke, say. On top of
    that comes what you script:

        transport = FakeTransport(
            JobState.QUEUED, JobState.RUNNING, Fails(503, retry_after=3.0), JobState.DONE,
            result="[1, 2]",
            stream=["a", "b", Breaks(), "c"],
        )

    Each job gets the same script. Without one, move the jobs by hand, as by
    ``transport.job("j1").start()``. For every thread.

    Args:
        script: what the status requests of a job get, one step each. After the last step, if that
            is neither ``...`` nor the job's end, a further request fails with an `AssertionError`.
        traits: the kind of service; by default one that has streams if `stream` is given, and
            resumes them by offset.
        result: the text of every job's result.
        reason: why jobs fail, if they do.
        reason_code: the service's code for that.
        stream: what the stream of a job does, over as many connections as it takes; it is complete
            then, and closes with 1000. Without a script for the status, a job starts with the first
            message and ends, DONE, with the last. None for streams that tell what happens.
        answers: what the first requests of other kinds get, before they get the truth.
        refuses_queued: whether there is no stream of a job that does not run yet.
        clock: what `Late` takes its time from, and `Asked` its times.
    """

    def __init__(
        self,
        *script: ScriptStep,
        traits: ServiceTraits | None = None,
        result: str = "null",
        reason: str | None = None,
        reason_code: int | str | None = None,
        stream: Sequence[StreamStep] | None = None,
        answers: Mapping[type[RequestCommand], Sequence[Step]] | None = None,
        refuses_queued: bool = False,
        clock: FakeClock | None = None,
    ) -> None:
        if ... in script[:-1]:
            raise ValueError("`...` goes on with the truth: it can only be the last step")
        if traits is None:
            traits = ServiceTraits(pushes=stream is not None, resume=Resume.OFFSET)
        self._traits = traits
        self._script = script
        self._told: dict[str, Any] = {
            "result": result,
            "reason": reason,
            "reason_code": reason_code,
            "is_planned": stream is not None,
        }
        self._is_scripted = bool(script) and script[-1] is not ...
        self._told["follows_plan"] = stream is not None and not self._is_scripted
        self._plan: Sequence[StreamStep] = () if stream is None else stream
        self._answers = {} if answers is None else dict(answers)
        self._refuses_queued = refuses_queued
        self._clock = clock
        self._jobs: dict[str, FakeJob] = {}
        self.submitted: list[Submitted] = []
        """What was submitted, in order."""
        self._asked: list[Asked] = []
        self._streams: list[FakeStream] = []
        # One for all jobs, and reentrant: a function in a script may look at the transport.
        self._changed = threading.Condition(threading.RLock())
        self._hanging: list[threading.Event] = []

    # ---- what drivers need ---------------------------------------------------------------------

    @property
    def traits(self) -> ServiceTraits:
        """The kind of service."""
        return self._traits

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Give the reply to a request; blocks while it hangs.

        Raises:
            AssertionError: if the script says no more, and the job has not ended.
        """
        with self._changed:
            self._note(job_id, command)
            job = self.job(job_id)
            step = job.take(type(command))
            reply = job.reply(command, step)
            gate = self._hang() if isinstance(step, Hangs) else None
            self._changed.notify_all()
        if gate is not None and not gate.wait(LONGEST_HANG):
            raise AssertionError(f"{command!r} of job {job_id} hangs, and nobody released it")
        if isinstance(step, Late):
            self._let_pass(step.seconds)
        return reply

    def stream(self, job_id: str, command: OpenStream) -> FakeStream:
        """Give the events of one connection."""
        with self._changed:
            self._note(job_id, command)
            stream = FakeStream(
                self.job(job_id),
                command.connection,
                command.after,
                self._refuses_queued,
            )
            self._streams.append(stream)
        return stream

    def submit(self, program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        """Make a job and give its id: ``fake-1``, ``fake-2`` and so on."""
        with self._changed:
            self.submitted.append(Submitted(program_id, dict(inputs), dict(options)))
            return self.job(f"fake-{len(self.submitted)}").id

    def close(self) -> None:
        """Let go of what hangs, and end all streams. May be repeated."""
        self.release()
        for stream in self._streams:
            stream.close()

    # ---- for tests -----------------------------------------------------------------------------

    def job(self, job_id: str) -> FakeJob:
        """The job of that id; one that nobody has heard of yet is QUEUED."""
        with self._changed:
            if job_id not in self._jobs:
                self._jobs[job_id] = self._new_job(job_id)
            return self._jobs[job_id]

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Everything that it was asked for, in order."""
        with self._changed:
            return tuple(self._asked)

    def asked_for(self, kind: type[RequestCommand | OpenStream]) -> int:
        """How many requests, or connections, of a kind it was asked for."""
        return sum(isinstance(asked.command, kind) for asked in self.asked)

    @property
    def streams(self) -> tuple[FakeStream, ...]:
        """Every stream that was asked for, the newest last."""
        with self._changed:
            return tuple(self._streams)

    def wait_until_hanging(self, count: int = 1) -> None:
        """Block until so many requests hang, in other threads.

        Raises:
            AssertionError: if they do not within a minute.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._hanging) >= count, LONGEST_HANG):
                raise AssertionError(f"{len(self._hanging)} requests hang, not {count}")

    def release(self) -> None:
        """Let go of every request and every stream that hangs now."""
        with self._changed:
            for gate in self._hanging:
                gate.set()
            self._hanging.clear()
            for job in self._jobs.values():
                if job.plan and isinstance(job.plan[0], Hangs):
                    job.plan.popleft()
                    job.say()
            self._changed.notify_all()

    # ---- parts of the above --------------------------------------------------------------------

    def _new_job(self, job_id: str) -> FakeJob:
        steps = {kind: deque(given) for kind, given in self._answers.items()}
        said = [step for step in self._script if not isinstance(step, EllipsisType)]
        steps.setdefault(FetchStatus, deque()).extend(said)
        return FakeJob(
            job_id,
            self._traits,
            steps=steps,
            plan=deque(self._plan),
            is_scripted=self._is_scripted,
            changed=self._changed,
            **self._told,
        )

    def _note(self, job_id: str, command: RequestCommand | OpenStream) -> None:
        at = 0.0 if self._clock is None else self._clock.monotonic()
        self._asked.append(Asked(job_id, command, at))

    def _hang(self) -> threading.Event:
        gate = threading.Event()
        self._hanging.append(gate)
        return gate

    def _let_pass(self, seconds: float) -> None:
        if self._clock is None:
            raise ValueError("`Late` takes its time from a clock: FakeTransport(..., clock=...)")
        self._clock.sleep(seconds)
