"""`--journal`: the real command writes down what happens, killed or not, and `replay` shows it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runs import COUNT, SLEEP, call, read_until, start
from conditions import eventually

from adapters import RuntimeService
from adapters.local.process import LocalServiceProcess
from runtime_core import JobState, replay
from runtime_core.events import CancelRequested, InterimReceived, ResultReceived
from runtime_core.observer import Step


@pytest.fixture(scope="module")
def home() -> Iterator[LocalServiceProcess]:
    with LocalServiceProcess.start(2) as process:
        yield process


def test_a_run_and_a_watch_are_written_down(home: LocalServiceProcess, tmp_path: Path) -> None:
    program, path = tmp_path / "count.py", tmp_path / "journal"
    program.write_text(COUNT)
    place: list[str | Path] = ["--url", home.url, "--resume", "offset", "--journal", path]
    secret = {"RUNTIME_CORE_TOKEN": home.access_token}
    ran = call("run", program, *place, **secret)
    assert ran.returncode == 0, ran.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = replay(path.read_text("ascii").splitlines())
    assert found.is_same
    assert [job.state for job in found.jobs] == [JobState.DONE]
    assert {InterimReceived, ResultReceived} < {type(each.step.event) for each in found.steps}
    watched = call("watch", found.jobs[0].job_id, *place, **secret)
    assert watched.returncode == 0, watched.stderr
    found = replay(path.read_text("ascii").splitlines())
    assert found.is_same
    assert [job.state for job in found.jobs] == [JobState.DONE] * 2
    assert home.access_token not in path.read_text("ascii")
    assert "energy" not in path.read_text("ascii")
    shown = call("replay", path)
    assert shown.returncode == 0
    assert "steps replayed to the same states and commands." in shown.stdout


def test_what_a_killed_command_has_written_is_there(
    home: LocalServiceProcess, tmp_path: Path
) -> None:
    program, path, until = tmp_path / "sleep.py", tmp_path / "journal", tmp_path / "until"
    program.write_text(SLEEP)
    place: list[str | Path] = ["--url", home.url, "--resume", "offset", "--journal", path]
    waits = ["-i", f"until={until}"]
    process = start("run", program, *waits, *place, RUNTIME_CORE_TOKEN=home.access_token)
    with process:
        read_until(process, r"running")
        assert eventually(lambda: "InterimReceived" in path.read_text("ascii"))
        process.kill()
    found = replay(path.read_text("ascii").splitlines())
    assert found.is_same
    (job,) = found.jobs
    assert (job.state, job.machine.received, job.machine.is_streaming) == (
        *(JobState.RUNNING, 1),
        True,
    )
    assert call("replay", path).returncode == 0
    until.touch()


def test_a_service_of_this_machine_hands_the_observer_on(
    home: LocalServiceProcess, tmp_path: Path
) -> None:
    seen: list[Step] = []
    with RuntimeService.local(data=home.data, observer=seen.append) as service:
        program = tmp_path / "sleep.py"
        program.write_text(SLEEP)
        with service.run(service.upload_program(program)) as job:
            job.cancel()
            job.wait_for_final_state(20)
    assert CancelRequested in {type(step.event) for step in seen}
    assert seen[-1].state is JobState.CANCELLED
