"""Measures ours side by side with what a user would pick instead, and writes a report.

`make bench` makes the environments of the others and runs this; `make bench-quick` has fewer
rounds.
The report is `report.md` with its plots, and `raw.json` with each single measurement.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import attrs
from _machine_facts import MachineFacts, machine_facts
from _plots import draw
from _report import Outcome, markdown
from _runner import HERE, Measured, Runner, Scenario
from _serving import serving
from scenarios import ALL


def chosen(names: Sequence[str] | None) -> list[Scenario]:
    """The scenarios of those names, or whose names begin so; all of them without any.

    Raises:
        SystemExit: if there is no such scenario.
    """
    if not names:
        return list(ALL)
    known = ", ".join(scenario.name for scenario in ALL)
    for name in names:
        if not any(scenario.name.startswith(name) for scenario in ALL):
            raise SystemExit(f"There is no scenario {name!r}; there are {known}.")
    return [s for s in ALL if any(s.name.startswith(name) for name in names)]


def read(folder: Path) -> Outcome:
    """What a run has found, from its raw figures."""
    raw = json.loads((folder / "raw.json").read_text(encoding="utf-8"))
    measured = [Measured(**one) for one in raw["measured"]]
    names = {one.scenario for one in measured}
    return Outcome(
        [scenario for scenario in ALL if scenario.name in names],
        measured,
        raw["versions"],
        MachineFacts(**raw["begin"]),
        MachineFacts(**raw["end"]),
        raw["command"],
        findings(),
    )


def findings() -> str:
    """What people wrote of what holds ours back, in `findings.md`."""
    path = HERE / "findings.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def write(outcome: Outcome, folder: Path, plots: dict[str, list[str]]) -> None:
    """Write the report, the plots that are not there yet, and the raw figures."""
    folder.mkdir(parents=True, exist_ok=True)
    for scenario in outcome.scenarios:
        if scenario.name not in plots:
            plots[scenario.name] = draw(scenario, outcome.measured, folder)
    (folder / "report.md").write_text(markdown(outcome, plots), encoding="utf-8")
    raw = {
        "command": outcome.command,
        "begin": attrs.asdict(outcome.begin),
        "end": attrs.asdict(outcome.end),
        "versions": outcome.versions,
        "measured": [attrs.asdict(one) for one in outcome.measured],
    }
    (folder / "raw.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a scenario, or how it begins"
    )
    parser.add_argument("--out", type=Path, default=HERE / "report", metavar="DIR")
    parser.add_argument("--rounds", type=int, help="so many, whatever the scenarios say")
    parser.add_argument("--list", action="store_true", help="list the scenarios, and end")
    parser.add_argument("--again", action="store_true", help="write DIR's report from its raw.json")
    options = parser.parse_args()
    scenarios = chosen(options.only)
    if options.list:
        print("\n".join(f"{scenario.name:20} {scenario.title}" for scenario in scenarios))
        return
    if options.again:
        write(read(options.out), options.out, {})
        return
    begin = machine_facts()
    runner = Runner(
        options.quick, serving, options.rounds, say=lambda line: print(line, flush=True)
    )
    if options.quick and not options.only:
        scenarios = [scenario for scenario in scenarios if scenario.quick]
    command = ["python", "benchmarks/bench.py"]
    command += ["--quick"] if options.quick else []
    command += [word for name in options.only or () for word in ("--only", name)]
    command += ["--rounds", str(options.rounds)] if options.rounds else []
    plots: dict[str, list[str]] = {}
    for number, scenario in enumerate(scenarios, 1):
        runner.run(scenario)
        outcome = Outcome(
            scenarios[:number],
            runner.measured,
            runner.versions,
            begin,
            machine_facts(),
            shlex.join(command),
            findings(),
        )
        write(outcome, options.out, plots)  # after each: who is interrupted has the others
    print(f"bench: see {options.out / 'report.md'}")


if __name__ == "__main__":
    main()
