"""Tools for tests of what is built on the core: yours and ours. Needs the extra `testing`.

A `Ledger` books what a `JobMachine` was told and what it ordered, and holds it to its contract;
`step` feeds one event and checks everything. The strategies make what is fed:

    @given(st.data())
    def test_a_machine_keeps_its_contract(data):
        machine, ledger = JobMachine("j1", traits), Ledger()
        for _ in range(20):
            step(machine, ledger, data.draw(events(ledger)))

The rule that is broken is told by an `AssertionError`, also under ``python -O``.
"""

from runtime_core.testing.ledger import Ledger, RequestKind, step
from runtime_core.testing.strategies import (
    cuts,
    events,
    interim_messages,
    lifecycles,
    service_traits,
)

__all__ = [
    "Ledger",
    "RequestKind",
    "cuts",
    "events",
    "interim_messages",
    "lifecycles",
    "service_traits",
    "step",
]
