"""How jobs on a real cluster end that do not end well: cancelled, killed, ended too late."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import cast

import pytest
from conditions import Recorder, eventually
from ray_cluster import RayHead
from ray_programs import PATIENCE, becomes, is_running, start
from service_stories import Gate

from adapters import RuntimeJob, RuntimeService
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import (
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
)
from runtime_core.states import JobState

# Tells who it is, and who started it, and goes on.
HANGS = """
    import os, time
    def main(backend, user_messenger):
        user_messenger.publish([os.getpid(), os.getppid()])
        time.sleep(600)
    """
STUBBORN = HANGS.replace("import os, time", "import os, signal, time").replace(
    "user_messenger):\n",
    "user_messenger):\n        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
)


def processes_of(job: RuntimeJob) -> tuple[int, int]:
    """Give the numbers of the program's process, and of the host script's."""
    with job.interim_results() as results:
        program, host = next(iter(results))
    assert is_running(program)
    assert is_running(host)
    return program, host


@pytest.mark.parametrize("source", [HANGS, STUBBORN], ids=["ends", "ignores SIGTERM"])
def test_a_running_job_is_cancelled_and_its_processes_end(
    head: RayHead, ray: RuntimeService, source: str
) -> None:
    job = start(ray, source)
    pids = processes_of(job)
    job.cancel()
    with pytest.raises(RuntimeJobCancelledError):
        job.result(timeout=PATIENCE)
    assert job.status() is JobState.CANCELLED
    assert job.cancel_outcome() is CancelOutcome.CANCELLED
    assert head.status(job.job_id()) == "STOPPED"
    assert eventually(lambda: not any(map(is_running, pids)), PATIENCE)
    with pytest.raises(RuntimeInvalidStateError, match="it has ended"):
        job.cancel()


def test_a_queued_job_is_cancelled_when_ray_comes_to_it(
    head: RayHead, ray: RuntimeService, gate: Gate, tmp_path: Path
) -> None:
    first = ray.run("gated", {"num_cpus": 2}, {"gate": str(gate.path), "n": 1})
    assert next(first.interim_results()) == 0
    mark = tmp_path / "ran"
    source = """
        def main(backend, user_messenger, mark):
            open(mark, "w").close()
        """
    recorder = Recorder()
    job = start(ray, source, callback=recorder, mark=str(mark))
    assert job.status() is JobState.QUEUED
    job.cancel()
    # Ray has taken it, and does it when the job gets its CPU.
    assert job.cancel_outcome() is None
    assert job.status() is JobState.QUEUED
    gate.open()
    assert first.result(timeout=PATIENCE) == "through"
    job.wait_for_final_state(timeout=PATIENCE)
    assert job.status() is JobState.CANCELLED
    assert job.cancel_outcome() is CancelOutcome.CANCELLED
    assert head.status(job.job_id()) == "STOPPED"
    assert recorder.values == []
    assert job.stream_error() is None
    assert not mark.exists()


def test_a_program_that_is_killed_has_failed_and_says_so(ray: RuntimeService) -> None:
    job = start(ray, HANGS)
    program, host = processes_of(job)
    os.kill(program, signal.SIGKILL)
    with pytest.raises(RuntimeJobFailureError, match=r"ended by signal 9 \(SIGKILL\)"):
        job.result(timeout=PATIENCE)
    assert job.status() is JobState.ERROR
    assert len(list(job.interim_results())) == 1
    assert eventually(lambda: not is_running(host), PATIENCE)


def test_a_driver_that_is_killed_has_failed_and_takes_its_program_along(
    head: RayHead, ray: RuntimeService
) -> None:
    recorder = Recorder()
    job = start(ray, HANGS, callback=recorder)
    assert recorder.reached(1, PATIENCE)
    program, host = cast("list[int]", recorder.values[0])
    os.kill(host, signal.SIGKILL)
    with pytest.raises(RuntimeJobFailureError) as caught:
        job.result(timeout=PATIENCE)
    assert caught.value.reason_code == "JOB_ENTRYPOINT_COMMAND_ERROR"
    assert caught.value.reason
    assert "\x1e" not in caught.value.reason
    assert becomes(head, job, "FAILED")
    assert eventually(lambda: not is_running(program), PATIENCE)


def test_a_program_that_leaves_without_returning_has_failed(ray: RuntimeService) -> None:
    source = """
        import os
        def main(backend, user_messenger):
            user_messenger.publish(1)
            os._exit(7)
        """
    job = start(ray, source)
    with pytest.raises(RuntimeJobFailureError, match="ended with exit code 7 before main"):
        job.result(timeout=PATIENCE)
    assert list(job.interim_results()) == [1]


def test_a_program_that_runs_too_long_is_ended(ray: RuntimeService) -> None:
    job = start(ray, STUBBORN, {"max_execution_time": 2})
    pids = processes_of(job)
    with pytest.raises(RuntimeJobFailureError, match="ran longer than its 2 s"):
        job.result(timeout=PATIENCE)
    assert eventually(lambda: not any(map(is_running, pids)), PATIENCE)
