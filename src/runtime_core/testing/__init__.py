"""Tools for tests of what is built on the core: yours and ours. Needs the extra `testing`.

A `Ledger` books what a `JobMachine` was told and what it ordered, and holds it to its contract;
`step` feeds one event and checks everything. The strategies make what is fed:

    @given(st.data())
    def test_a_machine_keeps_its_contract(data):
        machine, ledger = JobMachine("j1", traits), Ledger()
        for _ in range(20):
            step(machine, ledger, data.draw(events(ledger)))

The rule that is broken is told by an `AssertionError`, also under ``python -O``.

A `FakeTransport` is a service for what drives a machine, and a `FakeClock` the time for it:

    clock = FakeClock()
    transport = FakeTransport(JobState.QUEUED, Fails(503, retry_after=3.0), JobState.DONE)
    BlockingDriver("j1", transport, clock=clock).wait(Need.FINAL)
    assert clock.monotonic() > 3.0

`JobRules` puts a machine, a service and the network between them through everything that can happen
to a job, and `explore` through every state that there is.
"""

from runtime_core.testing.alphabet import LATE_EVENTS, every_event
from runtime_core.testing.documents import (
    broken_job_documents,
    encoded_results,
    job_documents,
    result_values,
)
from runtime_core.testing.explorer import (
    PAIRS,
    Alphabet,
    Exploration,
    Pair,
    RegionState,
    explore,
    explore_sequences,
)
from runtime_core.testing.fake_clock import FakeClock, FakeTimer
from runtime_core.testing.fake_job import FakeJob
from runtime_core.testing.fake_script import (
    Answer,
    Breaks,
    Closes,
    Fails,
    Hangs,
    Late,
    Loses,
    Says,
    ScriptStep,
    Step,
    StreamStep,
)
from runtime_core.testing.fake_stream import FakeStream
from runtime_core.testing.fake_transport import Asked, FakeTransport, Submitted
from runtime_core.testing.job_rules import JobRules
from runtime_core.testing.job_world import JobWorld
from runtime_core.testing.ledger import Ledger, RequestKind, step
from runtime_core.testing.strategies import (
    cuts,
    event_sequences,
    events,
    honest_services,
    interim_messages,
    lifecycles,
    service_traits,
)
from runtime_core.testing.truth import Truth
from runtime_core.testing.witness import Witness

__all__ = [
    "LATE_EVENTS",
    "PAIRS",
    "Alphabet",
    "Answer",
    "Asked",
    "Breaks",
    "Closes",
    "Exploration",
    "Fails",
    "FakeClock",
    "FakeJob",
    "FakeStream",
    "FakeTimer",
    "FakeTransport",
    "Hangs",
    "JobRules",
    "JobWorld",
    "Late",
    "Ledger",
    "Loses",
    "Pair",
    "RegionState",
    "RequestKind",
    "Says",
    "ScriptStep",
    "Step",
    "StreamStep",
    "Submitted",
    "Truth",
    "Witness",
    "broken_job_documents",
    "cuts",
    "encoded_results",
    "event_sequences",
    "events",
    "every_event",
    "explore",
    "explore_sequences",
    "honest_services",
    "interim_messages",
    "job_documents",
    "lifecycles",
    "result_values",
    "service_traits",
    "step",
]
