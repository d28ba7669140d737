"""The stories that every service's jobs go through, on a real cluster."""

from __future__ import annotations

import pytest
from ray_programs import PATIENCE
from service_stories import ServiceStories

from adapters import RuntimeService


class TestRay(ServiceStories):
    patience = PATIENCE
    at_once = 4  # there are twenty in test_ray_life

    @pytest.fixture
    def service(self, ray: RuntimeService) -> RuntimeService:
        return ray
