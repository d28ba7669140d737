"""The machine of services with streams, explored: for `make explore`, since it takes its time."""

from __future__ import annotations

import pytest
from test_exploration import SERVICES, check

from runtime_core.testing import explore, explore_sequences


@pytest.mark.parametrize("service", [name for name in SERVICES if SERVICES[name].pushes])
def test_every_reachable_state_with_every_event(service: str) -> None:
    check(explore(SERVICES[service]))


def test_every_sequence_of_five_events() -> None:
    assert explore_sequences(SERVICES["offset"], 5) > 1000
