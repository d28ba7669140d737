"""Runs contenders side by side: starts workers, interleaves the rounds, collects what they say.

A contender is a worker script, run by the Python of its own environment; `workers/_protocol.py` is
the other side of what is said here. A scenario is one thing that is measured of several contenders,
maybe for several sizes. All contenders of a scenario take turns, in an order that rotates, after a
warm-up round. Who fails or stalls is kept as a row that says what was seen.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

import attrs

HERE = Path(__file__).parent
ROOT = HERE.parent
FAILURES = 2
"""After so many a contender is not asked again, with `--quick` after one: stalls take long."""
START_SECONDS = 60.0
"""How long a worker may take until it says hello."""


class Role(enum.Enum):
    """What a contender is in a comparison."""

    OURS = "ours"
    PEER = "peer"
    LIMIT = "limit"
    """The least that does the work, written by hand in Python."""


@attrs.frozen
class Contender:
    """Who is measured."""

    name: str
    """As the report shows it."""
    worker: str
    """The script in workers/, without its suffix."""
    role: Role = Role.PEER
    """What it is in the comparison."""
    environment: str = ""
    """The virtual environment's directory, beside the Makefile; ours if empty."""
    way: str = ""
    """Which of the worker's ways to do it: goes to the worker as its argument."""
    args: Mapping[str, Any] = attrs.field(factory=dict)
    """What its measurements get beside the scenario's."""
    sizes: Sequence[int] | None = None
    """At which of the scenario's sizes it takes part; None: at all of them."""
    quick: bool = True
    """Whether it takes part in `--quick`."""

    def takes_part(self, size: int | None) -> bool:
        """Whether it is measured at this size."""
        return size is None or self.sizes is None or size in self.sizes

    @property
    def python(self) -> Path:
        if not self.environment:
            return Path(sys.executable)
        return ROOT / self.environment / "bin" / "python"


@attrs.frozen
class Target:
    """What ours is to reach."""

    words: str
    """As the report shows it."""
    bound: float
    """The ratio to `against`, or the figure itself, that must be kept."""
    against: str = ""
    """Ratio of ours to whom: a contender's name, "best peer", "limit"; empty: ours itself."""
    of: str = "value"
    """What of ours: "value", or the name of a detail."""
    size: int | None = None
    """At which size, if the scenario has sizes; None: at each."""
    at_least: bool = False
    """Whether the bound is the smallest that is allowed, instead of the largest."""


@attrs.frozen
class Scenario:
    """One thing that is measured of several contenders."""

    name: str
    """What the workers know it by, and `--only`."""
    title: str
    """As the report shows it."""
    unit: str
    """Of the figures."""
    contenders: Sequence[Contender]
    """Who is compared."""
    about: str = ""
    """A paragraph of the report: what is done, and how."""
    lower_is_better: bool = True
    """Whether less is better."""
    targets: Sequence[Target] = ()
    """What ours is to reach."""
    args: Mapping[str, Any] = attrs.field(factory=dict)
    """What each measurement gets."""
    quick_args: Mapping[str, Any] = attrs.field(factory=dict)
    """What it gets instead with `--quick`."""
    sizes: Sequence[int] = ()
    """If there are any: it is measured for each of them, which goes to the worker as `size`."""
    quick_sizes: Sequence[int] | None = None
    """The sizes with `--quick`, if others."""
    size_name: str = "size"
    """What the sizes are numbers of."""
    details: Mapping[str, str] = attrs.field(factory=dict)
    """Further columns of the table: names of details, with what the report calls them."""
    limit: float = 60.0
    """Seconds that one measurement may take, before the worker is killed."""
    quick: bool = True
    """Whether it takes part in `--quick`."""
    rounds: int = 7
    """How often each is measured, after the warm-up."""
    quick_rounds: int = 3
    """The same with `--quick`."""
    shares: bool = False
    """Whether rounds differ: each gets its `share`, 0 for the first one and 1 for the last."""
    fresh: bool = False
    """Whether each measurement has a process of its own; else there is one for all rounds."""
    warm_up: bool = True
    """Whether there is a round of which nothing is kept."""
    server: bool = False
    """Whether it needs the server: its address goes to the worker as `url`."""
    plots: Mapping[str, str] = attrs.field(factory=dict)
    """Details that are plotted beside the value, with what their axes say."""


@attrs.frozen
class Measured:
    """What one contender did in one round."""

    scenario: str
    """Which scenario."""
    size: int | None
    """For which size, if there are sizes."""
    contender: str
    """Who."""
    round: int
    """In which round; 0 is the warm-up."""
    value: float | None
    """The figure, unless it failed."""
    details: Mapping[str, Any]
    """What else it said."""
    failed: str | None = None
    """What was seen, if it failed."""


class WorkerFailed(Exception):  # noqa: N818 - says what was seen, in the report's words
    """A worker has died, or was killed as it did not answer."""


class Worker:
    """A contender's process.

    Raises:
        WorkerFailed: if it does not start.
    """

    def __init__(self, contender: Contender) -> None:
        if not contender.python.exists():
            raise WorkerFailed(f"not installed: make {contender.environment}/.stamp")
        environment = dict(os.environ)
        if contender.environment:
            environment.pop("PYTHONPATH", None)
        script = HERE / "workers" / f"{contender.worker}.py"
        command = [str(contender.python), "-W", "ignore", str(script)]
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._process = subprocess.Popen(
            [*command, contender.way] if contender.way else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
        )
        self._received = b""
        try:
            hello = self._answer(START_SECONDS, "it did not start")
        except WorkerFailed:
            self.close()
            raise
        self.versions: dict[str, str] = hello["versions"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def measure(self, name: str, args: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """Have it measure, and give its answer.

        Raises:
            WorkerFailed: if it dies, or does not answer in `limit` seconds. It is of no use then.
        """
        assert self._process.stdin is not None
        line = json.dumps({"measure": name, "args": dict(args)}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError:
            raise WorkerFailed(self._last_words()) from None
        return self._answer(limit, "no answer")

    def _answer(self, limit: float, nothing: str) -> dict[str, Any]:
        begin, so_far = time.monotonic(), nothing
        while True:
            line = self._line(begin + limit)
            if line is None:
                self._process.kill()
                raise WorkerFailed(f"stalled: {so_far} in {limit:g} s")
            if not line:
                raise WorkerFailed(self._last_words())
            answer: dict[str, Any] = json.loads(line)
            if "progress" not in answer:
                return answer
            so_far = answer["progress"]

    def _line(self, deadline: float) -> bytes | None:
        """The next line; empty at the end; None if none has come by the deadline."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                data = os.read(self._process.stdout.fileno(), 1 << 16)
                if not data:
                    return b""
                self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _last_words(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"died with {code}: {lines[-1] if lines else 'it said nothing'}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        self._stderr.close()


@attrs.define
class Runner:
    """Runs scenarios, and keeps what was measured."""

    quick: bool
    """Whether fewer rounds are made."""
    serve: Callable[[], contextlib.AbstractContextManager[str]]
    """Starts the server, gives its address, ends it."""
    rounds: int | None = None
    """How many rounds there are, whatever the scenarios say: for a first look."""
    say: Callable[[str], None] = print
    """Told of what goes on."""
    measured: list[Measured] = attrs.field(init=False, factory=list)
    """All that was measured, the warm-ups too."""
    versions: dict[str, dict[str, str]] = attrs.field(init=False, factory=dict)
    """What each contender said of its versions."""

    def run(self, scenario: Scenario) -> None:
        """Measure all contenders of a scenario, for all its sizes."""
        begin = time.monotonic()
        with contextlib.ExitStack() as stack:
            given = {**scenario.args, **(scenario.quick_args if self.quick else {})}
            if scenario.server:
                given["url"] = stack.enter_context(self.serve())
            for size in self._sizes(scenario):
                args = given if size is None else {**given, "size": size}
                self._run_size(scenario, size, args)
        self.say(f"{scenario.name} took {time.monotonic() - begin:.0f} s")

    def _sizes(self, scenario: Scenario) -> Sequence[int | None]:
        if self.quick and scenario.quick_sizes is not None:
            return scenario.quick_sizes
        return scenario.sizes or [None]

    def _run_size(self, scenario: Scenario, size: int | None, args: Mapping[str, Any]) -> None:
        rounds = scenario.quick_rounds if self.quick else scenario.rounds
        if self.rounds is not None:
            rounds = self.rounds
        workers: dict[str, Worker] = {}
        contenders = [
            c for c in scenario.contenders if c.takes_part(size) and (c.quick or not self.quick)
        ]
        failures: dict[str, int] = dict.fromkeys((c.name for c in contenders), 0)
        with contextlib.ExitStack() as stack:
            for number in range(0 if scenario.warm_up else 1, rounds + 1):
                share = max(0, number - 1) / max(1, rounds - 1)
                given = {**args, "share": share} if scenario.shares else args
                for contender in rotated(contenders, number):
                    if failures[contender.name] < (1 if self.quick else FAILURES):
                        begin = time.monotonic()
                        taken = self._turn(scenario, size, contender, number, given, workers, stack)
                        failures[contender.name] += taken.failed is not None
                        self._keep(taken, scenario.unit, time.monotonic() - begin)

    def _turn(
        self,
        scenario: Scenario,
        size: int | None,
        contender: Contender,
        number: int,
        args: Mapping[str, Any],
        workers: dict[str, Worker],
        stack: contextlib.ExitStack,
    ) -> Measured:
        said: dict[str, Any]
        try:
            worker = workers.pop(contender.name, None)
            if worker is None:
                worker = Worker(contender)
                stack.callback(worker.close)
                self.versions[contender.name] = worker.versions
            said = worker.measure(scenario.name, {**args, **contender.args}, scenario.limit)
            if scenario.fresh:
                worker.close()
            else:
                workers[contender.name] = worker
        except WorkerFailed as failure:
            said = {"failed": str(failure)}
        return Measured(
            scenario.name,
            size,
            contender.name,
            number,
            said.get("value"),
            said.get("details", {}),
            said.get("failed"),
        )

    def _keep(self, taken: Measured, unit: str, took: float) -> None:
        self.measured.append(taken)
        what = taken.scenario if taken.size is None else f"{taken.scenario} {taken.size:,}"
        figure = taken.failed or f"{taken.value:,.4g} {unit}"
        self.say(f"{what}, round {taken.round}, {taken.contender}: {figure} ({took:.1f} s)")


def rotated(contenders: Sequence[Contender], turns: int) -> Iterator[Contender]:
    """Give all of them, beginning with another in each round."""
    first = turns % len(contenders)
    yield from contenders[first:]
    yield from contenders[:first]
