"""The processes that mutants are tested in: a copy of this one for each, with limits."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "runtime_core"
TESTS = (
    "tests/core",
    "--ignore-glob=tests/core/test_exploration*.py",
    "--ignore=tests/core/test_walks.py",
    "--ignore=tests/core/test_hostile_texts.py",
    "--ignore=tests/core/test_seeded_bugs.py",
    "--ignore=tests/core/test_plugin.py",
)
"""The tests that kill: those of `make core-cover`, but for pytest within pytest."""
OPTIONS = ("-qq", "-s", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist")
LIBRARIES = (
    "transitions",
    "cattrs",
    "numpy",
    "scipy.sparse",
    "hypothesis.stateful",
    "hypothesis.extra.numpy",
)
"""What the core and its tests import, beside the tools of this file."""

MEMORY = 2 << 30
"""How many bytes a mutant's tests may take beyond what the process had."""
SHORTEST, FACTOR = 1.0, 5.0
"""A test may take this many seconds of CPU, and this many times as long as without a mutant."""
HANGS = 120
"""A mutant whose tests are not through after so many seconds hangs, though it takes no CPU."""


class Outcome(Enum):
    """What the tests said of a mutant."""

    ALIVE = "alive"
    KILLED = "killed"
    TIMED_OUT = "timed out"


def prepare() -> None:
    """Load what the mutants' processes have in common; tests behave the same in each."""
    sys.path[:0] = [str(SOURCES.parent)]
    for library in LIBRARIES:
        importlib.import_module(library)
    with (
        tempfile.TemporaryDirectory() as nothing,
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        # pytest, too: all but what might import the core.
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        pytest.main([*OPTIONS[:-2], "--rootdir", nothing, nothing])
    if "runtime_core" in sys.modules:
        raise RuntimeError("the core is imported already, so no mutant could be")
    # An example is not made smaller: that it was found is enough.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", phases=phases, deadline=None, database=None, derandomize=True
    )
    hypothesis.settings.load_profile("mutants")


class Killer:
    """Ends the process at the first failure; a test that takes too long is ended by a signal."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        limit = SHORTEST + FACTOR * self.seconds.get(nodeid, 1.0)
        signal.setitimer(signal.ITIMER_PROF, limit)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os._exit(1)


def limit_this_process() -> None:
    """Limit what this process may take, and let no output through."""
    size = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        if sys.platform == "linux"
        else 0
    )
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(HANGS)
    signal.setitimer(signal.ITIMER_PROF, 10.0)  # for what comes before the first test
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)


def in_child(work: Callable[[], object]) -> Outcome:
    """Do the work in a copy of this process; say how that ended."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            os._exit(2)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if -status in (signal.SIGPROF, signal.SIGALRM):
        return Outcome.TIMED_OUT
    return Outcome.KILLED if status else Outcome.ALIVE
