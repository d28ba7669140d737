"""The command line with a real cluster, and the pages that show how it is used."""

from __future__ import annotations

import json
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cli_runs import COMMAND, environment, interrupt, read_until, start
from ray_cluster import RayHead
from ray_programs import PATIENCE

ROOT = Path(__file__).parents[2]
TICKS = """
import time

def main(backend, user_messenger):
    print("here", flush=True)
    for tick in range(1000):
        user_messenger.publish({"tick": tick})
        time.sleep(0.1)
"""


def run(head: RayHead, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments), "--ray", head.url],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(RUNTIME_CORE_TOKEN=head.token),
    )


def test_the_example_spreads_its_work_over_the_cpus(head: RayHead) -> None:
    done = run(head, "run", ROOT / "examples" / "ray_tasks.py", "--num-cpus", "0", "--json")
    assert done.returncode == 0, done
    events = [json.loads(line) for line in done.stdout.splitlines()]
    published = [event["value"] for event in events if event["event"] == "interim"]
    assert [each["progress"] for each in published] == [n / 40 for n in range(1, 41)]
    result = events[-1]["value"]
    assert result["primes"] == 26_355_867  # below 500 million
    assert result["cluster_cpus"] == 2
    assert len(result["workers"]) == 2
    assert sum(worker["parts"] for worker in result["workers"].values()) == 40


def test_who_leaves_can_come_back_from_another_process_and_cancel(
    head: RayHead, tmp_path: Path
) -> None:
    program = tmp_path / "ticks.py"
    program.write_text(TICKS)
    variables = {"RUNTIME_CORE_TOKEN": head.token}
    process = start("run", program, "--ray", head.url, **variables)
    read_until(process, r"tick=3$")
    interrupt(process)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    way_back = said.splitlines()[-1].split()
    assert way_back[:2] == ["runtime-core", "watch"]
    assert way_back[3:] == ["--ray", head.url]
    job_id = way_back[2]
    watching = start(*way_back[1:], **variables)
    seen, _ = read_until(watching, r"tick=5$")
    ticks = [line.split("=")[1] for line in seen.splitlines() if "tick=" in line]
    assert ticks == [str(n) for n in range(len(ticks))]
    assert run(head, "status", job_id).stdout == "running\n"
    assert run(head, "logs", job_id).stdout == "here\n"
    assert run(head, "cancel", job_id).stdout == "cancelled\n"
    rest, _ = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 3
    assert rest.splitlines()[-1].endswith("cancelled")
    listed = run(head, "jobs", "--json", "--finished").stdout.splitlines()
    assert {"job": job_id, "state": "cancelled"} in [
        {name: job[name] for name in ("job", "state")} for job in map(json.loads, listed)
    ]


def test_a_job_is_submitted_and_its_result_fetched_by_another_process(
    head: RayHead, tmp_path: Path
) -> None:
    program = tmp_path / "squares.py"
    program.write_text("def main(backend, user_messenger, n):\n    return {'square': n * n}\n")
    submitted = run(head, "run", program, "-i", "n=12", "--detach")
    assert submitted.returncode == 0, submitted
    job_id = submitted.stdout.strip()
    assert run(head, "result", job_id, "--json").stdout == '{"square":144}\n'
    watched = run(head, "watch", job_id)
    assert watched.returncode == 0
    assert "queued" not in watched.stdout  # it had ended
    assert watched.stdout.splitlines()[-1] == "{'square': 144}"


def test_the_code_of_the_page_runs(head: RayHead, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = import_module("test_docs")  # beside conftest.py
    page = ROOT / "docs" / "ray.md"
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("RUNTIME_CORE_TOKEN", head.token)
    space: dict[str, Any] = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8").replace("http://127.0.0.1:8265", head.url)
    found = [block for block in docs.blocks(text) if block.language == "python"]
    assert any(block.printed for block in found)
    for block in found:
        printed = docs.run_python(block, page, space)
        if block.printed is not None:
            assert docs.matches(block.printed, printed), f"line {block.line} printed\n{printed}"
    space["service"].close()
