"""Bugs that were sown into the machine are found, each within a few hundred jobs or states.

These are the quick ones; `make seeded` looks for all of them, by both tools.
"""

from __future__ import annotations

import pytest
from seeded import by_explorer, by_rules
from seeded_bugs import MUTANTS

JOBS = 300
STATES = 500

BY_RULES = """
a contradiction is not reported
a cancel is written locally
the close of a stream is taken for the end
a late reply is taken
an unknown word loops
messages are repeated after a reconnect
the result is shown as a message
what was held back is forgotten
a late message is taken
the poll timer is lost
the stream timer is lost
the first message of a read is lost
a stale status is taken
a wait never ends
a refused wish changes something
ending a subscription is forgotten
""".strip().splitlines()

BY_EXPLORER = """
a final state is left
a contradiction overwrites
a late reply is taken
an ended subscription still gets messages
a second connection is opened
the connection is kept for nobody
the poll timer is lost
it is polled while nobody is interested
a result is fetched twice
two results are fetched at once
a wait for the result ends without it
a second cancel is sent before the first is answered
""".strip().splitlines()


@pytest.mark.parametrize("name", BY_RULES)
def test_the_rules_find(name: str) -> None:
    assert by_rules(MUTANTS[name], JOBS)


@pytest.mark.parametrize("name", BY_EXPLORER)
def test_the_explorer_finds(name: str) -> None:
    assert by_explorer(MUTANTS[name], STATES)


def test_the_machine_itself_is_not_blamed() -> None:
    assert by_rules(lambda _: None, JOBS) is None
    assert by_explorer(lambda _: None, STATES) is None
