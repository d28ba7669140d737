"""Tests the tests of the core: changes it in thousands of places, one at a time.

`make mutants` takes all modules, `make mutants MODULES="stream watch"` some; `MODULES=--again` asks
only those mutants again which the last run left alive. It fails if a mutant is alive that
`survivors.toml` does not explain, or if more than one in twenty is.

A mutant inside of a function takes the place of that function's code in a copy of a process that
has collected all tests. One that takes effect at import, or whose function is called then, is
imported anew. A test that fails, or uses up its time or its memory, kills the mutant.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import attrs
from mutants_child import ROOT, SOURCES, Outcome, prepare
from mutants_import import import_and_test
from mutants_make import mutants_of
from mutants_session import Session

SURVIVORS = Path(__file__).parent / "survivors.toml"
RESULTS = ROOT / "build" / "mutants"
"""Where the result of each module is written as soon as it is known."""
MOST_ALIVE = 0.05


@attrs.frozen
class Result:
    """What became of the mutants of one module."""

    module: str
    outcomes: Counter[Outcome]
    alive: dict[str, str]
    """The keys of those that are alive, and the operators that made them."""

    def line(self) -> str:
        """What the report says of it."""
        counts = [f"{self.outcomes[outcome]:5} {outcome.value}" for outcome in Outcome]
        total = self.outcomes.total()
        share = self.outcomes[Outcome.ALIVE] / max(total, 1)
        return f"{self.module:20} {total:5} mutants: {', '.join(counts)} ({share:.1%})"


def test_module(module: str, session: Session, before: Result | None) -> Result:
    """Test the mutants of a module; all of them, or those that were alive before."""
    result = Result(module, Counter(), {})
    if before is not None:
        result.outcomes.update(before.outcomes)
        del result.outcomes[Outcome.ALIVE]
    for mutant in mutants_of(SOURCES / f"{module}.py"):
        if before is not None and mutant.key not in before.alive:
            continue
        outcome = session.test(mutant) if mutant.place is not None else None
        if outcome is None:
            outcome = import_and_test(mutant, session.baseline)
        result.outcomes[outcome] += 1
        if outcome is Outcome.ALIVE:
            result.alive[mutant.key] = mutant.operator
    return result


def write(result: Result) -> None:
    """Keep a module's result, whatever happens to those that follow."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    outcomes = {outcome.value: result.outcomes[outcome] for outcome in Outcome}
    text = json.dumps({"outcomes": outcomes, "alive": result.alive}, indent=1, ensure_ascii=False)
    (RESULTS / f"{result.module}.json").write_text(text, encoding="utf-8")


def last_result(module: str) -> Result | None:
    """The result of the last run, if there was one."""
    file = RESULTS / f"{module}.json"
    if not file.exists():
        return None
    value = json.loads(file.read_text("utf-8"))
    outcomes = {Outcome(name): count for name, count in value["outcomes"].items()}
    return Result(module, Counter(outcomes), value["alive"])


def explanations() -> dict[str, str]:
    """Why each mutant that is known to be alive is."""
    if not SURVIVORS.exists():
        return {}
    entries = tomllib.loads(SURVIVORS.read_text("utf-8"))["explained"]
    return {key: entry["why"] for entry in entries for key in entry["mutants"]}


def main() -> int:
    """Test the mutants of the modules named; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    every = sorted(path.stem for path in SOURCES.glob("*.py") if path.stem != "__init__")
    parser.add_argument("modules", nargs="*", metavar="module", help="by default all of the core")
    parser.add_argument("--again", action="store_true", help="only what the last run left alive")
    arguments = parser.parse_args()
    began = time.monotonic()
    prepare()
    session = Session()
    print(f"{len(session.baseline.seconds)} tests pass without a mutant", flush=True)
    explained, total = explanations(), Result("together", Counter(), {})
    unexplained = 0
    for module in arguments.modules or every:
        result = test_module(module, session, last_result(module) if arguments.again else None)
        write(result)
        print(result.line(), flush=True)
        for key, operator in result.alive.items():
            if key not in explained:
                unexplained += 1
                print(f"    not explained: {key}  [{operator}]", flush=True)
        for key in explained.keys() - result.alive.keys():
            if key.startswith(f"{module}."):
                print(f"    explained, but not alive any more: {key}", flush=True)
        total.outcomes.update(result.outcomes)
    session.close()
    print(total.line(), f"in {time.monotonic() - began:.0f} s")
    too_many = total.outcomes[Outcome.ALIVE] > MOST_ALIVE * total.outcomes.total()
    print(f"{unexplained} that live are not explained in {SURVIVORS.relative_to(ROOT)}")
    if too_many:
        print(f"more than {MOST_ALIVE:.0%} are alive")
    return bool(unexplained or too_many)


if __name__ == "__main__":
    sys.exit(main())
