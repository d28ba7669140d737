"""What holds for all tests: Ctrl-C can be tested, and nothing is written into the user's home."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The helpers of other tests, too, are plain modules beside those.
sys.path[:0] = [str(Path(__file__).parent / name) for name in ("core", "adapters", "real", "ray")]
# Last, as one of them is called ray.
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

# Their tests need the environments that `make interop` and `make ray` make, and name.
NEEDED = {"interop": "INTEROP_PYTHON_IBMQ", "ray": "RAY_TESTS_PYTHON"}
collect_ignore = [name for name, variable in NEEDED.items() if variable not in os.environ]
# What they share cannot stand in a conftest.py: for mypy it would be this module's namesake.
pytest_plugins = [] if "ray" in collect_ignore else ["ray_fixtures"]

# A file's tests stay together: the longest begin first, or the last one would end alone.
LONGEST = (
    "test_exploration.py",
    "test_hostile_texts.py",
    "test_faults.py",
    "test_cli.py",
    "test_killed_service.py",
    "test_channel_in_asyncio.py",
    "test_async_streams.py",
    "test_cli_terminal.py",
    "test_cli_commands.py",
    "test_hostile_clients.py",
    "test_local_client.py",
    "test_websocket_fast_path.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


# How long an example takes to draw, or to try, says how busy the machine is and nothing else.
settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")

# Tests speak with this machine, and with names that are nobody's: not by the developer's proxy.
for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
    os.environ.pop(name, None)
    os.environ.pop(name.upper(), None)

# A shell's background jobs ignore SIGINT, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of local services that are not given one."""
    path = tmp_path_factory.mktemp("data")
    before = os.environ.get("RUNTIME_CORE_DATA")
    os.environ["RUNTIME_CORE_DATA"] = str(path)
    yield path
    del os.environ["RUNTIME_CORE_DATA"]
    if before is not None:
        os.environ["RUNTIME_CORE_DATA"] = before
