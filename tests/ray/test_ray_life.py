"""A job's whole life on a real cluster, and many of them at once."""

from __future__ import annotations

import re
import textwrap
from datetime import UTC, datetime, timedelta

import pytest
from conditions import Recorder, eventually
from ray_cluster import RayHead
from ray_programs import PATIENCE, becomes, start
from service_stories import Gate

from adapters import RuntimeService, as_completed
from runtime_core.errors import RuntimeJobFailureError, TransportError
from runtime_core.states import JobState


def test_a_job_is_queued_runs_publishes_and_ends(
    head: RayHead, ray: RuntimeService, gate: Gate
) -> None:
    before = Gate(gate.path.with_name("before"))
    first = ray.run("gated", {"num_cpus": 2}, {"gate": str(before.path), "n": 1})
    assert next(first.interim_results()) == 0
    recorder = Recorder()
    inputs = {"gate": str(gate.path), "n": 3}
    job = ray.run("gated", inputs=inputs, callback=recorder)
    assert job.status() is JobState.QUEUED
    assert head.status(job.job_id()) == "PENDING"
    assert (job.program_id, job.inputs) == ("gated", inputs)
    assert job.creation_date is not None
    assert abs(datetime.now(UTC) - job.creation_date) < timedelta(minutes=5)
    before.open()
    assert first.result(timeout=PATIENCE) == "through"
    for number in range(3):
        assert recorder.reached(number + 1, PATIENCE)
        assert recorder.values == [*range(number + 1)]
        assert job.status() is JobState.RUNNING
        gate.open()
    assert job.result(timeout=PATIENCE) == "through"
    assert job.status() is JobState.DONE
    assert becomes(head, job, "SUCCEEDED")  # the result may be here before Ray has seen the end
    found = ray.job(job.job_id())
    assert (found.program_id, found.inputs) == ("gated", inputs)
    assert found.creation_date == job.creation_date
    assert found.result(timeout=PATIENCE) == "through"
    assert list(found.interim_results()) == [0, 1, 2]


def test_what_a_program_prints_is_in_its_logs(ray: RuntimeService) -> None:
    source = """
        import sys
        def main(backend, user_messenger):
            print("first")
            user_messenger.publish(1)
            print("to stderr", file=sys.stderr)
            print("last, without an end", end="")
            return 1
        """
    job = start(ray, source)
    assert job.result(timeout=PATIENCE) == 1
    logs = job.logs()
    assert sorted(re.findall("first|to stderr|last, without an end", logs)) == [
        "first",
        "last, without an end",
        "to stderr",
    ]
    assert "\x1e" not in logs
    assert logs.index("first") < logs.index("last")


def test_a_result_of_12_mb_comes_whole(ray: RuntimeService) -> None:
    source = """
        def main(backend, user_messenger, n):
            return [f"{i:07} é\\x1e{{" for i in range(n)]
        """
    count = 800_000
    expected = [f"{i:07} é\x1e{{" for i in range(count)]
    job = start(ray, source, n=count)
    assert job.result(timeout=PATIENCE) == expected
    assert ray.job(job.job_id()).result(timeout=PATIENCE) == expected


def test_large_inputs_reach_the_program(ray: RuntimeService) -> None:
    text = "é\0" * 1_000_000
    job = start(ray, "def main(backend, user_messenger, t): return [len(t), t[:2]]\n", t=text)
    assert job.result(timeout=PATIENCE) == [2_000_000, "é\0"]
    assert job.inputs == {"t": text}
    with pytest.raises(TransportError, match="went in its package"):
        _ = ray.job(job.job_id()).inputs


def test_a_failure_tells_its_traceback(ray: RuntimeService) -> None:
    source = """
        def deeper():
            return {}["missing"]
        def main(backend, user_messenger):
            print("before it fails")
            user_messenger.publish("so far")
            deeper()
        """
    recorder = Recorder()
    job = start(ray, source, callback=recorder)
    with pytest.raises(RuntimeJobFailureError, match="KeyError: 'missing'") as caught:
        job.result(timeout=PATIENCE)
    reason = caught.value.reason
    assert reason is not None
    assert reason.startswith("Traceback (most recent call last):")
    assert "in deeper" in reason
    assert "\x1e" not in reason
    assert caught.value.reason_code == "JOB_ENTRYPOINT_COMMAND_ERROR"
    assert job.status() is JobState.ERROR
    assert eventually(lambda: recorder.values == ["so far"])
    assert "before it fails" in job.logs()
    found = ray.job(job.job_id())
    assert found.error_message() == reason
    assert list(found.interim_results()) == ["so far"]


def test_20_jobs_at_once_on_2_cpus_are_queued_and_all_end_well(
    head: RayHead, ray: RuntimeService
) -> None:
    source = """
        import os, time
        def main(backend, user_messenger, gate, number):
            for i in range(50):
                user_messenger.publish([number, i])
            while not os.path.exists(gate):
                time.sleep(0.01)
            for i in range(50, 100):
                user_messenger.publish([number, i])
            return number
        """
    gate = Gate(head.directory / "twenty")
    program = ray.upload_program(textwrap.dedent(source))
    recorders = [Recorder() for _ in range(20)]
    jobs = [
        ray.run(program, inputs={"gate": str(gate.path), "number": number}, callback=recorder)
        for number, recorder in enumerate(recorders)
    ]

    def count(state: JobState) -> int:
        return [job.status() for job in jobs].count(state)

    assert eventually(lambda: count(JobState.RUNNING) == 2, PATIENCE)
    assert count(JobState.QUEUED) == 18
    gate.open()
    assert {id(job) for job in as_completed(jobs, timeout=2 * PATIENCE)} == {*map(id, jobs)}
    assert [job.result() for job in jobs] == [*range(20)]
    for number, recorder in enumerate(recorders):
        assert recorder.values == [[number, i] for i in range(100)]
        assert becomes(head, jobs[number], "SUCCEEDED")
