"""The machine, explored: breadth first through every reachable state, and every short sequence."""

from __future__ import annotations

import pytest

from runtime_core.connection import ConnectionState, SubscriptionState
from runtime_core.states import JobState
from runtime_core.testing import Exploration, explore, explore_sequences
from runtime_core.traits import Resume, ServiceTraits

SERVICES = {
    "polled": ServiceTraits(),
    "requeues": ServiceTraits(requeues=True, on_unknown_status=JobState.RUNNING),
    "offset": ServiceTraits(pushes=True, resume=Resume.OFFSET),
    "replay": ServiceTraits(pushes=True, resume=Resume.REPLAY),
    "live": ServiceTraits(pushes=True),
    "live, streams the result": ServiceTraits(pushes=True, streams_result=True),
}

STREAMED = {*ConnectionState, *SubscriptionState} - {ConnectionState.CLOSED, SubscriptionState.NONE}
"""What there is only where there are streams."""


def check(exploration: Exploration) -> None:
    """Everything that can be reached was, and every event was tried in all of it."""
    assert exploration.is_complete
    assert exploration.unreached == (set() if exploration.traits.pushes else STREAMED)
    assert {state for state, _ in exploration.missing} == exploration.unreached


# Those with streams have nearly all of the states: see `test_exploration_streams`.
@pytest.mark.parametrize("service", [name for name in SERVICES if not SERVICES[name].pushes])
def test_every_reachable_state_with_every_event(service: str) -> None:
    check(explore(SERVICES[service]))


def test_every_sequence_of_five_events() -> None:
    assert explore_sequences(SERVICES["polled"], 5) > 1000
