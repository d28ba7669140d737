"""Tests mutants inside of functions: forks from a process that has collected all tests.

The changed code is put into the function that is there already.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import pickle
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import NoReturn

import pytest
from mutants_baseline import Baseline, Measurer
from mutants_child import OPTIONS, SOURCES, TESTS, Killer, Outcome, in_child, limit_this_process
from mutants_make import Mutant


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
        for path in SOURCES.glob("[!_]*.py"):  # also those that are imported at first use only
            importlib.import_module(f"runtime_core.{path.stem}")
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
        if any(function.__code__ in self._called for function in functions):
            return None
        if not functions or new.co_freevars != old.co_freevars:
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
                measurer = Measurer()
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
