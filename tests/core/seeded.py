"""Finds the bugs of `seeded_bugs`, each by the rules and by the explorer, and prints a table.

    python tests/core/seeded.py

Fails if a bug is found by neither within ten seconds of testing, or if the machine is blamed for
none.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from seeded_bugs import MUTANTS, Mutant

from runtime_core.testing import JobRules, explore
from runtime_core.traits import Resume, ServiceTraits

EXAMPLES = 1500
"""How many jobs the rules may live through for one bug: about 12 s, where they find nothing."""
STATES = 1000
"""How many states the explorer may look at for one bug, for each kind of service."""
SECONDS = 10.0
"""How long it may take to find a bug."""

KINDS = (
    ServiceTraits(),
    *(
        ServiceTraits(pushes=True, resume=resume, streams_result=streams_result)
        for resume in Resume
        for streams_result in (False, True)
    ),
)


@attrs.frozen
class Found:
    """A bug that was found."""

    rule: str
    """What was said of it."""
    seconds: float
    """Of processor time."""
    count: int
    """The jobs that were lived through, or the kinds of services explored."""


def by_rules(breaks: Mutant, examples: int) -> Found | None:
    """Look for a bug by `JobRules`: by the same jobs each time."""
    jobs = 0

    class Rules(JobRules):
        def begin(self, traits: ServiceTraits) -> None:
            nonlocal jobs
            jobs += 1
            super().begin(traits)

    wanted = settings(
        max_examples=examples,
        stateful_step_count=30,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return _search(breaks, lambda: run_state_machine_as_test(Rules, settings=wanted), lambda: jobs)


def by_explorer(breaks: Mutant, states: int) -> Found | None:
    """Look for a bug by `explore`."""
    kinds = 0

    def search() -> None:
        nonlocal kinds
        for traits in KINDS:
            kinds += 1
            explore(traits, most=states)

    return _search(breaks, search, lambda: kinds)


def _search(breaks: Mutant, search: Callable[[], object], count: Callable[[], int]) -> Found | None:
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        breaks(patch)
        begun = time.process_time()
        try:
            search()
        except Exception as error:  # a machine that is broken may raise anything
            return Found(str(error).splitlines()[0], time.process_time() - begun, count())
    return None


def main() -> int:
    failures = []
    for name, breaks in {"(none)": lambda _: None, **MUTANTS}.items():
        rules = by_rules(breaks, EXAMPLES)
        explorer = by_explorer(breaks, STATES)
        took = min((found.seconds for found in (rules, explorer) if found), default=None)
        if (took is not None and took <= SECONDS) is (name == "(none)"):
            failures.append(name)
        said = next((found.rule for found in (rules, explorer) if found), "")
        line = f"{name:53} {_shown(rules)} jobs {_shown(explorer)} kinds  {said}"
        sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()
    if failures:
        sys.stderr.write(f"seeded: wrong about: {', '.join(failures)}\n")
    return bool(failures)


def _shown(found: Found | None) -> str:
    return f"{'-':>6} s {'-':>5}" if found is None else f"{found.seconds:6.2f} s {found.count:5}"


if __name__ == "__main__":
    sys.exit(main())
