"""Runs the tests against mutants: a process for each, forked where much of the work is done.

A mutant inside of a function takes the place of that function's code, in a copy of a process that
has collected all tests. One that takes effect at import, and whatever survived the first way (its
function may have been called at import), is imported anew, in a copy of a process that has loaded
the libraries only. A test that fails, uses up its time or its memory kills the mutant.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import io
import multiprocessing
import os
import pickle
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import NoReturn

import attrs
import coverage
import hypothesis
import pytest
from mutants_make import Mutant

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "runtime_core"
TESTS = (
    "tests/core",
    "--ignore-glob=tests/core/test_exploration*.py",
    "--ignore=tests/core/test_walks.py",
    "--ignore=tests/core/test_hostile_texts.py",
)
"""The tests that kill: those of `make core-cover`."""
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
SLOW, SLOW_ELSEWHERE = 0.5, 0.1
"""A test is not asked if it takes more seconds than this; or than this, if it reaches the mutant's
module by another one only."""
HANGS = 120
"""A mutant whose tests are not through after so many seconds hangs, though it takes no CPU."""


class Outcome(Enum):
    """What the tests said of a mutant."""

    ALIVE = "alive"
    KILLED = "killed"
    TIMED_OUT = "timed out"


@attrs.frozen
class Baseline:
    """What the tests do without a mutant."""

    seconds: dict[str, float]
    """How long each test takes, in seconds of CPU."""
    reached: dict[str, dict[int, list[str]]]
    """Module -> line -> the tests that reach it."""

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that reach a mutant, the fastest first."""
        lines = self.reached.get(mutant.module, {})
        return self._sorted({test for line in mutant.lines for test in lines.get(line, ())})

    def tests_by_import(self, mutant: Mutant) -> list[str]:
        """The tests that may notice what a mutant does at import, the fastest first."""
        files = tuple(
            f"tests/core/{path.name}::" for path in _importing(mutant.module, "tests/core")
        )
        near = self._reaching(mutant.module) | {t for t in self.seconds if t.startswith(files)}
        # What a module makes at import is used by those that import it, too.
        far = set().union(*map(self._reaching, _importers(mutant.module)))
        return self._sorted(near | {test for test in far if self.seconds[test] < SLOW_ELSEWHERE})

    def _reaching(self, module: str) -> set[str]:
        return {test for tests in self.reached.get(module, {}).values() for test in tests}

    def _sorted(self, tests: Iterable[str]) -> list[str]:
        quick = [test for test in tests if self.seconds[test] < SLOW]
        return sorted(quick, key=lambda test: (self.seconds[test], test))


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


def _importing(module: str, folder: str) -> list[Path]:
    """The files of a folder that import a module of the core."""
    line = re.compile(rf"\s*(from runtime_core\.{module} import|import runtime_core\.{module}\b)")
    return [
        path
        for path in ROOT.glob(f"{folder}/*.py")
        if any(map(line.match, path.open(encoding="utf-8")))
    ]


def _importers(module: str) -> list[str]:
    return [path.stem for path in _importing(module, "src/runtime_core") if path.stem != "__init__"]


# ---- in the child ------------------------------------------------------------------------------


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


class _Measurer:
    """Books what each test reaches, and how long it takes."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(
            data_file=None, config_file=False, include=[f"{SOURCES}/*.py"]
        )
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)
        self.seconds[nodeid] = -time.process_time()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] += time.process_time()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid}: {report.longrepr}")

    def result(self) -> Baseline:
        self.coverage.stop()
        data = self.coverage.get_data()
        return Baseline(
            dict(self.seconds),
            {Path(file).stem: data.contexts_by_lineno(file) for file in data.measured_files()},
        )


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


# ---- mutants that take the place of a function's code ------------------------------------------


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of each function that is inside of no other."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & 0x1:  # CO_OPTIMIZED: a function; else the body of a class
                yield inner
            else:
                yield from _codes(inner)


def _code_at(code: CodeType, place: tuple[str, int]) -> CodeType:
    name, count = place
    return [inner for inner in _codes(code) if inner.co_qualname == name][count - 1]


class Session:
    """A process that has collected all tests, and forks for each mutant; a plugin of pytest."""

    def __init__(self) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = os.fork()
        if not self._process:
            self._pipe = theirs
            self._serve()
        theirs.close()
        self.baseline: Baseline = self._pipe.recv()

    def test(self, mutant: Mutant) -> Outcome | None:
        """Run what can kill a mutant inside of a function.

        Returns:
            What the tests said; None if the function was called already when the tests were
            imported, so that only a new import shows what the mutant does.
        """
        self._pipe.send(mutant)
        outcome: Outcome | None = self._pipe.recv()
        return outcome

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        os.waitpid(self._process, 0)

    # ---- on the other side of the pipe ----

    def _serve(self) -> NoReturn:
        self._called: set[CodeType] = set()
        sys.setprofile(self._book_call)
        pytest.main([*OPTIONS, *TESTS], plugins=[self])
        os._exit(1)

    def _book_call(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(SOURCES)):
            self._called.add(frame.f_code)

    def pytest_runtestloop(self, session: pytest.Session) -> NoReturn:
        """Serve, instead of running the tests."""
        sys.setprofile(None)
        self._config = session.config
        self._items = {item.nodeid: item for item in session.items}
        self._functions = self._find_functions()
        gc.collect()
        gc.freeze()
        self.baseline = self._measure()
        self._pipe.send(self.baseline)
        with contextlib.suppress(EOFError):
            while True:
                self._pipe.send(self._test(self._pipe.recv()))
        os._exit(0)

    def _test(self, mutant: Mutant) -> Outcome | None:
        assert mutant.place is not None
        path = SOURCES / f"{mutant.module}.py"
        old = _code_at(compile(path.read_text("utf-8"), path, "exec"), mutant.place)
        new = _code_at(compile(mutant.source, path, "exec"), mutant.place)
        functions = self._functions[mutant.module, old.co_qualname, old.co_firstlineno]
        if new.co_freevars != old.co_freevars or any(f.__code__ in self._called for f in functions):
            return None

        def work() -> None:
            limit_this_process()
            for function in functions:
                function.__code__ = new
            self._run(self.baseline.tests_of(mutant), Killer(self.baseline.seconds))

        return in_child(work)

    def _find_functions(self) -> dict[tuple[str, str, int], list[FunctionType]]:
        found = defaultdict(list)
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType):
                code = thing.__code__
                if (path := Path(code.co_filename)).parent == SOURCES:
                    found[path.stem, code.co_qualname, code.co_firstlineno].append(thing)
        return found

    def _run(self, tests: Sequence[str], plugin: object) -> None:
        self._config.pluginmanager.register(plugin)
        items = [self._items[test] for test in tests]
        for item, following in zip(items, [*items[1:], None], strict=False):
            self._config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _measure(self) -> Baseline:
        with tempfile.NamedTemporaryFile() as file:

            def work() -> None:
                measurer = _Measurer()
                self._run([*self._items], measurer)
                if measurer.failed:
                    print(
                        "These fail without a mutant:", *measurer.failed, sep="\n", file=sys.stderr
                    )
                    os._exit(1)
                Path(file.name).write_bytes(pickle.dumps(measurer.result()))

            if in_child(work) is not Outcome.ALIVE:
                raise RuntimeError("the tests do not pass without a mutant")
            baseline: Baseline = pickle.load(file)
            return baseline


# ---- mutants that are imported -----------------------------------------------------------------


class _Finder(SourceFileLoader):
    """Imports a mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(f"runtime_core.{mutant.module}", str(SOURCES / f"{mutant.module}.py"))
        self.source = mutant.source

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


class _Order:
    """Runs these tests only, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.places),
            key=lambda item: self.places[item.nodeid],
        )


def import_and_test(mutant: Mutant, baseline: Baseline) -> Outcome:
    """Run the tests against a mutant from its import on: first the files that reach it most."""
    tests = baseline.tests_by_import(mutant)
    files = Counter(test.partition("::")[0] for test in tests)
    own = f"tests/core/test_{mutant.module}.py"
    first = [own] if own in files else [file for file, _ in files.most_common(2)]
    rest = sorted(files.keys() - {*first})
    outcome = Outcome.ALIVE
    for part in filter(None, (first, rest)):
        chosen = [test for test in tests if test.partition("::")[0] in part]

        def work(part: list[str] = part, chosen: list[str] = chosen) -> None:
            limit_this_process()
            sys.meta_path.insert(0, _Finder(mutant))
            importlib.import_module("runtime_core")  # which is the end of many
            plugins = [_Order(chosen), Killer(baseline.seconds)]
            os._exit(pytest.main([*OPTIONS, *part], plugins=plugins))

        outcome = in_child(work)
        if outcome is not Outcome.ALIVE:
            break
    return outcome
