"""State machines that a user would take instead of ours, with the lifecycle that ours has.

Each follows a job through the five states by the five events of the lifecycle table, and takes
interim results and a fetched result in every state without leaving it; late events are absorbed by
explicit transitions, as ours are. What each does and does not do:

    dict             looks the next state up by (state, word). Nothing is returned, and the word
                     carries nothing: no request number, no message. The lower limit.
    transitions      a Machine for each job, with the job as its model, as its documentation begins.
                     No automatic transitions, and internal transitions where the state stays: both
                     make it quicker and smaller than its defaults. Returns whether it moved.
    transitions, shared
                     one Machine for all jobs, each added by `add_model`, as its documentation
                     advises for many.
    python-statemachine
                     a StateMachine class with an instance for each job; internal transitions where
                     the state stays.
    automat          a machine by TypeMachineBuilder from a Protocol; every input returns None.

None of them says what is to be done because of an event, numbers requests, keeps a cursor, or
knows of timers and connections; ours does, within the time that is measured. Messages are passed
to those whose triggers take arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from _machine_measures import Follower, run

QUEUED, RUNNING, DONE, ERROR, CANCELLED = "queued", "running", "done", "error", "cancelled"
STATES = (QUEUED, RUNNING, DONE, ERROR, CANCELLED)
MOVES = {
    QUEUED: {"started": RUNNING, "succeeded": DONE, "failed": ERROR, "cancelled": CANCELLED},
    RUNNING: {"succeeded": DONE, "failed": ERROR, "cancelled": CANCELLED},
}
INPUTS = {
    "was_queued": "queued",
    "was_started": "started",
    "has_succeeded": "succeeded",
    "has_failed": "failed",
    "was_cancelled": "cancelled",
    "interim": "interim",
    "fetched": "fetched",
}
"""The inputs of the machines; no input may be called as a state is. Then what `MOVES` calls it."""
TABLE = {
    (state, trigger): MOVES.get(state, {}).get(event, state)
    for state in STATES
    for trigger, event in INPUTS.items()
}
"""(state, input) -> the state that follows: 35 rows, those of ours."""


def nothing(_: object) -> None:
    """What precedes a lifecycle, where nothing does."""


# ---- the dict ----------------------------------------------------------------------------------


class Bare:
    """A state, and nothing else."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = QUEUED

    def receive(self, trigger: str) -> None:
        self.state = TABLE[self.state, trigger]


def live_bare(job: Bare) -> None:
    receive = job.receive
    receive("was_queued")
    receive("was_started")
    receive("interim")
    receive("interim")
    receive("interim")
    receive("has_succeeded")
    receive("fetched")


def bare() -> Follower:
    return Follower(lambda: Bare, nothing, live_bare, lambda job: job.receive("was_started"))


# ---- those whose jobs have a method for each event ---------------------------------------------


def live_by_methods(job: Any) -> None:
    job.was_queued()
    job.was_started()
    job.interim("1")
    job.interim("2")
    job.interim("3")
    job.has_succeeded()
    job.fetched("text")


def start_by_method(job: Any) -> None:
    job.was_started()


def by_methods(new_maker: Callable[[], Callable[[], Any]]) -> Follower:
    return Follower(new_maker, nothing, live_by_methods, start_by_method)


class Model:
    """A job as `transitions` wants it."""


def transitions_each() -> Follower:
    from transitions import Machine

    rows = _transitions_rows()

    def make() -> Model:
        job = Model()
        Machine(job, STATES, initial=QUEUED, transitions=rows, auto_transitions=False)
        return job

    return by_methods(lambda: make)


def transitions_shared() -> Follower:
    from transitions import Machine

    rows = _transitions_rows()

    def new_maker() -> Callable[[], Model]:
        machine = Machine(None, STATES, initial=QUEUED, transitions=rows, auto_transitions=False)

        def make() -> Model:
            job = Model()
            machine.add_model(job)
            return job

        return make

    return by_methods(new_maker)


def _transitions_rows() -> list[list[str | None]]:
    # A target of None is an internal transition: nothing is left and entered again.
    return [
        [trigger, state, None if after == state else after]
        for (state, trigger), after in TABLE.items()
    ]


def python_statemachine() -> Follower:
    from statemachine import State, StateMachine

    states = {name: State(name, initial=name == QUEUED) for name in STATES}
    body: dict[str, Any] = {f"in_{name}": state for name, state in states.items()}
    for (state, trigger), after in TABLE.items():
        row = states[state].to(states[after], internal=after == state)
        body[trigger] = body[trigger] | row if trigger in body else row
    job_class = type(StateMachine)("JobMachine", (StateMachine,), body)
    return by_methods(lambda: job_class)


class Inputs(Protocol):
    """What automat's machine takes."""

    def was_queued(self) -> None: ...
    def was_started(self) -> None: ...
    def has_succeeded(self) -> None: ...
    def has_failed(self) -> None: ...
    def was_cancelled(self) -> None: ...
    def interim(self, message: str) -> None: ...
    def fetched(self, text: str) -> None: ...


class Core:
    """What the states of one job share: nothing."""

    __slots__ = ()


def automat() -> Follower:
    from automat import TypeMachineBuilder

    builder = TypeMachineBuilder(Inputs, Core)
    states = {name: builder.state(name) for name in STATES}
    for (state, trigger), after in TABLE.items():
        upon = states[state].upon(getattr(Inputs, trigger))
        (upon.loop() if after == state else upon.to(states[after])).returns(None)
    new = builder.build()
    return by_methods(lambda: lambda: new(Core()))


# ---- the worker --------------------------------------------------------------------------------

CONTENDERS: dict[str, tuple[Callable[[], Follower], str | None]] = {
    "dict": (bare, None),
    "transitions": (transitions_each, "transitions"),
    "transitions-shared": (transitions_shared, "transitions"),
    "python-statemachine": (python_statemachine, "python-statemachine"),
    "automat": (automat, "Automat"),
}
"""What makes each, and the distribution that it is of."""


def main() -> None:
    name = sys.argv[1]
    new_follower, distribution = CONTENDERS[name]
    run(__file__, name, [distribution] if distribution else [], new_follower())


if __name__ == "__main__":
    main()
