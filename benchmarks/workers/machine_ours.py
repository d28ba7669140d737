"""Our machine of a job, and two that tell what its time consists of.

ours             a JobMachine whose subscription is active on an open connection, and whose
                 result somebody waits for; all of that is prepared before its lifecycle. Each
                 interim result gives a `Deliver`; the end of the job stops the poll timer, sets
                 the drain deadline and fetches the result; the result ends the wait: seven
                 commands in all.
ours-unfollowed  a JobMachine that nobody follows: the same seven events, and no commands. It
                 is what a list of many jobs consists of, and what the peers do.
dict-of-events   looks the next state up by (state, class of the event), for the same event
                 values as ours. What it takes is mostly the making of these values: the lowest
                 that a machine can come to which is told of events as values.
"""

from __future__ import annotations

import sys

from _machine_measures import Follower, run

from runtime_core import (
    Deliver,
    EndWait,
    Event,
    FetchResult,
    InterimReceived,
    JobMachine,
    JobQueued,
    JobStarted,
    JobState,
    JobSucceeded,
    Need,
    ResultReceived,
    Resume,
    ServiceTraits,
    StartTimer,
    StopTimer,
    StreamOpened,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.lifecycle import LIFECYCLE

PUSHED = ServiceTraits(pushes=True, resume=Resume.OFFSET)
RESULT_REQUEST = 3
"""The number of the request for the result, after that of the status and of the timer."""
TABLE: dict[tuple[JobState, type[Event]], JobState] = {
    **{(state, kind): after for (state, kind), after in LIFECYCLE.items()},
    **{(state, kind): state for state in JobState for kind in (InterimReceived, ResultReceived)},
}


def make() -> JobMachine:
    return JobMachine("j1", PUSHED)


def follow(job: JobMachine) -> None:
    """Subscribe to a job that was submitted, and wait for its result."""
    job.receive(JobQueued())
    job.receive(SubscriptionRequested(1))
    job.receive(StreamOpened(1))
    job.receive(WaitStarted(1, Need.RESULT))


def leave(_: object) -> None:
    """Follow nothing."""


class Bare:
    """A state, and nothing else."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = JobState.QUEUED

    def receive(self, event: Event) -> None:
        self.state = TABLE[self.state, type(event)]


def live(job: JobMachine | Bare) -> None:
    receive = job.receive
    receive(JobQueued())
    receive(JobStarted())
    receive(InterimReceived(1, ("1",)))
    receive(InterimReceived(1, ("2",)))
    receive(InterimReceived(1, ("3",)))
    receive(JobSucceeded())
    receive(ResultReceived(RESULT_REQUEST, "text"))


def start(job: JobMachine | Bare) -> None:
    job.receive(JobQueued())
    job.receive(JobStarted())


def start_followed(job: JobMachine) -> None:
    follow(job)
    job.receive(JobStarted())


def check() -> None:
    """The lifecycle that is timed orders what the docstring says."""
    job = make()
    follow(job)
    messages = [InterimReceived(1, (text,)) for text in "123"]
    result = ResultReceived(RESULT_REQUEST, "text")
    events: list[Event] = [JobQueued(), JobStarted(), *messages, JobSucceeded(), result]
    orders = [[type(command) for command in job.receive(event)] for event in events]
    end = [StopTimer, StartTimer, FetchResult]
    assert orders == [[], [], [Deliver], [Deliver], [Deliver], end, [EndWait]], orders
    assert job.state is JobState.DONE
    assert job.result_text == "text"


CONTENDERS: dict[str, Follower] = {
    "ours": Follower(lambda: make, follow, live, start_followed),
    "ours-unfollowed": Follower(lambda: make, leave, live, start),
    "dict-of-events": Follower(lambda: Bare, leave, live, start),
}


def main() -> None:
    check()
    name = sys.argv[1]
    run(__file__, name, ["runtime-core"], CONTENDERS[name])


if __name__ == "__main__":
    main()
