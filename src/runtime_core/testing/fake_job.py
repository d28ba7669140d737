"""A job as its service knows it: the truth that a `FakeTransport` tells of."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

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
    LifecycleEvent,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    UnknownStatusReported,
)
from runtime_core.lifecycle import STATED
from runtime_core.states import JobState
from runtime_core.testing.fake_script import Fails, Loses, Says, Step, StreamStep
from runtime_core.traits import ServiceTraits

EVENT_OF: dict[JobState, type[LifecycleEvent]] = {state: kind for kind, state in STATED.items()}
"""What a service says of a job that is in this state."""


@attrs.define(eq=False)
class FakeJob:
    """One job at the service: what is true of it, and what will go wrong when it is asked.

    Move it with `start`, `requeue`, `publish`, `finish`, `fail` and `cancel`, from every thread;
    what follows for those who ask, or stream it, follows from that and the service's traits.
    """

    id: str
    """What the service calls it."""
    traits: ServiceTraits
    """What kind of service it is."""
    state: JobState = JobState.QUEUED
    """What is true, whether or not it was told."""
    published: list[str] = attrs.Factory(list)
    """The interim messages so far; one that was published before its job is final for good."""
    result: str = "null"
    """The text of the result."""
    reason: str | None = None
    """Why it failed, if it has."""
    reason_code: int | str | None = None
    """The service's code for that."""
    obeys_cancel: bool = True
    """Whether a cancel that was accepted ends it at once; else it goes on until `cancel`."""
    steps: dict[type[RequestCommand], deque[Step]] = attrs.Factory(dict)
    """What the next requests of each kind get, before they get the truth."""
    is_scripted: bool = False
    """Whether status requests get the steps alone, and no truth while the job goes on."""
    plan: deque[StreamStep] = attrs.Factory(deque)
    """What its stream will do next."""
    is_planned: bool = False
    """Whether the stream is complete when the plan is used up; else when the job has ended."""
    follows_plan: bool = False
    """Whether it starts and ends as the plan goes on."""
    # A plain lock would do but for a function in a script that looks at the job.
    changed: threading.Condition = attrs.Factory(lambda: threading.Condition(threading.RLock()))
    """Held by who looks at it or changes it; notified of changes."""

    # ---- what happens at the service -----------------------------------------------------------

    def start(self) -> None:
        """The service runs it."""
        with self._becoming(JobState.RUNNING):
            pass

    def requeue(self) -> None:
        """The service puts it back into its queue."""
        with self._becoming(JobState.QUEUED):
            pass

    def publish(self, *texts: str) -> None:
        """It publishes interim messages."""
        with self._changing("publish"):
            self.published.extend(texts)

    def finish(self, result: str | None = None) -> None:
        """It ends with a result: this text, or the one that it was made with."""
        with self._becoming(JobState.DONE):
            self.result = self.result if result is None else result

    def fail(self, reason: str | None = None, reason_code: int | str | None = None) -> None:
        """It ends without a result."""
        with self._becoming(JobState.ERROR):
            self.reason = self.reason if reason is None else reason
            self.reason_code = self.reason_code if reason_code is None else reason_code

    def cancel(self) -> None:
        """It is cancelled, by whomever."""
        with self._becoming(JobState.CANCELLED):
            pass

    def say(self, *texts: str) -> None:
        """It publishes what the next step of the plan says; that may be known of after its end."""
        with self.changed:
            self.published.extend(texts)
            if self.follows_plan and not self.state.is_final:
                self.state = JobState.RUNNING if self.plan else JobState.DONE

    def will(self, kind: type[RequestCommand], *steps: Step) -> None:
        """Say what the next requests of a kind get, after what they were to get already."""
        with self.changed:
            self.steps.setdefault(kind, deque()).extend(steps)

    @contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        with self.changed:
            if self.state.is_final:
                raise ValueError(f"Job {self.id} has ended {self.state.name}: it cannot {what}.")
            yield
            self.changed.notify_all()

    @contextmanager
    def _becoming(self, state: JobState) -> Iterator[None]:
        with self._changing(f"become {state.name}"):
            self.state = state
            yield

    # ---- what is said of it --------------------------------------------------------------------

    @property
    def news(self) -> LifecycleEvent:
        """What the service says of it unasked."""
        return EVENT_OF[self.state]()

    @property
    def stream(self) -> list[str]:
        """Every message that its stream has for a client so far."""
        is_complete = self.state is JobState.DONE or (self.is_planned and not self.plan)
        if self.traits.streams_result and is_complete:
            return [*self.published, self.result]
        return self.published

    @property
    def is_streamed(self) -> bool:
        """Whether its stream has no more to say."""
        return not self.plan and (self.is_planned or self.state.is_final)

    def take(self, kind: type[RequestCommand]) -> Step | None:
        """Take the next step for a request of this kind; None is the truth.

        Raises:
            AssertionError: if the script says no more, and the job has not ended.
        """
        steps = self.steps.get(kind)
        if kind is FetchStatus and self.state.is_final:
            return None  # whatever was to be said after the end
        if steps:
            return steps.popleft()
        if kind is FetchStatus and self.is_scripted:
            raise AssertionError(
                f"the script of job {self.id} is used up: it last said {self.state.name}, and its "
                "status is asked for once more. Give it an end, or `...` for the truth from there"
            )
        return None

    def reply(self, command: RequestCommand, step: Step | None) -> ReplyEvent:
        """Give the reply to a request, made of this step."""
        number = command.request
        match step:
            case JobState():
                self.state = step
                return self.truth(command)
            case Fails(retryable=retryable, retry_after=after):
                return RequestFailed(number, step.error, retryable, after)
            case Loses(error=error):
                self.truth(command)
                return RequestFailed(number, error, error.retryable, error.retry_after)
            case Says(word=word):
                return UnknownStatusReported(word, number)
            case _ if callable(step):
                return step(self, command)
            case _:
                return self.truth(command)

    def truth(self, command: RequestCommand) -> ReplyEvent:
        """Give the honest reply to a request, after doing what it asks for."""
        number = command.request
        match command:
            case FetchResult() if self.state is JobState.DONE:
                return ResultReceived(number, self.result)
            case FetchFailure() if self.state is JobState.ERROR:
                return FailureReceived(number, self.reason, self.reason_code)
            case FetchResult() | FetchFailure():
                error = TransportError(f"Job {self.id} is {self.state.name}: there is none.", 404)
                return RequestFailed(number, error)
            case SendCancel():
                return self._cancelled(number)
            case _:
                return EVENT_OF[self.state](number)

    def _cancelled(self, number: int) -> ReplyEvent:
        if self.state.is_final:
            return CancelRefused(number)
        if self.obeys_cancel:
            self.state = JobState.CANCELLED
        return CancelAccepted(number)
