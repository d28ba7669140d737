"""The cluster that the tests here share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray_cluster import RayHead, ray_head


@pytest.fixture(scope="session")
def head() -> Iterator[RayHead]:
    """A head with 2 CPUs."""
    with ray_head() as head:
        yield head
