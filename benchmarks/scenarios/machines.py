"""Machines that follow jobs: the time of a lifecycle, the memory of a job, and how both grow."""

from __future__ import annotations

from _runner import Contender, Role, Scenario, Target

_OURS = ".venv-bench-ours"
_PEERS = ".venv-bench-machines"

FOLLOWED = Contender("ours", "machine_ours", Role.OURS, _OURS, "ours")
UNFOLLOWED = Contender("ours, nobody follows", "machine_ours", Role.OURS, _OURS, "ours-unfollowed")
EVENTS = Contender("dict, told event values", "machine_ours", Role.LIMIT, _OURS, "dict-of-events")
WORDS = Contender("dict, told words", "machine_peers", Role.LIMIT, _PEERS, "dict")
PEERS = (
    Contender("automat", "machine_peers", Role.PEER, _PEERS, "automat"),
    Contender("transitions, shared", "machine_peers", Role.PEER, _PEERS, "transitions-shared"),
    Contender("transitions", "machine_peers", Role.PEER, _PEERS, "transitions"),
    Contender("python-statemachine", "machine_peers", Role.PEER, _PEERS, "python-statemachine"),
)

LIFECYCLE = Scenario(
    name="machine-lifecycle",
    title="Machine: the lifecycle of a job",
    unit="us",
    contenders=(FOLLOWED, UNFOLLOWED, *PEERS, EVENTS, WORDS),
    about=(
        "CPU time of seven events: queued, running, three interim results, done, result fetched; "
        "the job was made before. Ours is subscribed, connected and waited for, and orders seven "
        "commands: three deliveries, a timer stopped, another started, the result fetched, the "
        "wait ended. The peers and the dicts move a state and order nothing. Most of the time of "
        "the dict that is told event values is the making of these values, which the dict that is "
        "told words does without."
    ),
    targets=(
        Target(
            "a lifecycle in 2.5 times the time of the dict that is told the same events",
            2.5,
            EVENTS.name,
        ),
        Target("a lifecycle in less than the best peer's time", 1.0, "best peer"),
    ),
    args={"seconds": 0.1},
    quick_args={"seconds": 0.03},
    details={"events_per_second": "events/s"},
)

GROWTH = Scenario(
    name="machine-growth",
    title="Machine: a whole job, as one of many",
    unit="us",
    contenders=(FOLLOWED, UNFOLLOWED, *PEERS, EVENTS, WORDS),
    about=(
        "CPU time of a job from nothing to its end, as one of so many that are there at once: all "
        "are made, then all are followed, then each goes through its lifecycle. For ours that "
        "includes its subscription, its connection and its wait: eleven events."
    ),
    sizes=(10, 100, 1_000, 10_000),
    quick_sizes=(1_000,),
    size_name="jobs",
    limit=120,
)

MEMORY = Scenario(
    name="machine-memory",
    title="Machine: memory of a tracked job, as Python counts it",
    unit="bytes",
    contenders=(UNFOLLOWED, FOLLOWED, *PEERS, EVENTS, WORDS),
    about=(
        "What `tracemalloc` counts for a job that runs, as one of so many; its id is not counted. "
        "Nobody follows it, as in a long list of jobs, but in the row of ours that is subscribed, "
        "connected and waited for. The figure is the same each time, so it is taken but once."
    ),
    targets=(Target("a tracked job in at most 400 bytes", 400),),
    sizes=(10, 100, 1_000, 10_000),
    quick_sizes=(1_000,),
    size_name="jobs",
    limit=120,
    rounds=1,
    quick_rounds=1,
    warm_up=False,
)

RESIDENT = Scenario(
    name="machine-resident",
    title="Machine: memory of a tracked job, as the system counts it",
    unit="bytes",
    contenders=(UNFOLLOWED, FOLLOWED, *PEERS, EVENTS, WORDS),
    about="By how much a fresh process grows for so many jobs that run, divided by them.",
    sizes=(10_000,),
    quick_sizes=(1_000,),
    size_name="jobs",
    limit=120,
    warm_up=False,  # each is a new process
)

SCENARIOS = (LIFECYCLE, GROWTH, MEMORY, RESIDENT)
