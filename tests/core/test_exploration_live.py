"""The machine of services that are live only, explored breadth first: see `test_exploration`."""

from __future__ import annotations

import pytest
from test_exploration import SERVICES, explore, no_collector

__all__ = ["no_collector"]  # the fixture


@pytest.mark.parametrize("service", [name for name in SERVICES if name.startswith("live")])
def test_every_reachable_state_with_every_event(service: str) -> None:
    explore(service)
