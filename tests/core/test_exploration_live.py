"""The machine of services that are live only, explored breadth first: see `test_exploration`."""

from __future__ import annotations

import pytest
from test_exploration import SERVICES, check

from runtime_core.testing import explore


@pytest.mark.parametrize("service", [name for name in SERVICES if name.startswith("live")])
def test_every_reachable_state_with_every_event(service: str) -> None:
    check(explore(SERVICES[service]))
