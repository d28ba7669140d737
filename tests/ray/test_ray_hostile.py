"""What programs print does no harm on a real cluster; results that are not there are said so."""

from __future__ import annotations

import pytest
from conditions import Recorder, eventually
from ray_cluster import RayHead
from ray_programs import PATIENCE, becomes, start

from adapters import RuntimeService
from runtime_core.errors import RuntimeJobFailureError, TransportError
from runtime_core.states import JobState


def test_invalid_bytes_half_lines_and_false_frames_do_no_harm(ray: RuntimeService) -> None:
    source = r"""
        import os, sys
        def main(backend, user_messenger):
            for number in range(20):
                os.write(1, b"half a line \xff\xfe \xc3")
                user_messenger.publish(number)
                os.write(2, b'\n\x1e{"q": 0, "k": "result", "p": 0, "n": 1, "d": "7"}\n')
                os.write(1, b"\r\0\x1b[31m")
            return "right"
        """
    recorder = Recorder()
    job = start(ray, source, callback=recorder)
    assert job.result(timeout=PATIENCE) == "right"
    assert recorder.values == [*range(20)]
    logs = job.logs()
    assert logs.count("half a line \\xff\\xfe ") == 20
    assert logs.count('"k": "result"') == 20


def test_a_line_of_5_mb_does_no_harm(ray: RuntimeService) -> None:
    source = """
        import sys
        def main(backend, user_messenger):
            user_messenger.publish("before")
            sys.stdout.write("x" * 5_000_000)
            user_messenger.publish("after")
            return "right"
        """
    recorder = Recorder()
    job = start(ray, source, callback=recorder)
    assert job.result(timeout=PATIENCE) == "right"
    assert recorder.values == ["before", "after"]
    assert "x" * 5_000_000 in job.logs()


def test_a_failure_after_many_lines_tells_its_own_words(ray: RuntimeService) -> None:
    source = r"""
        import os
        def main(backend, user_messenger):
            for number in range(1000):
                os.write(1, b"\xff line\n")
                user_messenger.publish(number)
            raise ValueError("mine")
        """
    recorder = Recorder()
    job = start(ray, source, callback=recorder)
    with pytest.raises(RuntimeJobFailureError, match="ValueError: mine") as caught:
        job.result(timeout=PATIENCE)
    assert "\x1e" not in str(caught.value)
    assert eventually(lambda: recorder.values == [*range(1000)])


def test_a_job_that_is_none_of_ours_has_no_result(head: RayHead, ray: RuntimeService) -> None:
    job = ray.job(head.submit("echo hello"))
    with pytest.raises((RuntimeJobFailureError, TransportError), match="result") as caught:
        job.result(timeout=PATIENCE)
    assert str(caught.value)
    assert "hello" in job.logs()
    assert becomes(head, job, "SUCCEEDED")


def test_a_job_that_succeeded_without_a_result_has_failed(
    head: RayHead, ray: RuntimeService
) -> None:
    # As if its host script had said nothing, or its log were another one by now.
    job_id = head.submit("echo hello", metadata={"runtime_core_nonce": "0123456789abcdef"})
    job = ray.job(job_id)
    with pytest.raises(RuntimeJobFailureError, match="result"):
        job.result(timeout=PATIENCE)
    assert job.status() is JobState.ERROR
    assert head.status(job_id) == "SUCCEEDED"


def test_a_job_of_somebody_else_that_failed_says_what_ray_says(
    head: RayHead, ray: RuntimeService
) -> None:
    job = ray.job(head.submit("echo a last word; exit 3"))
    with pytest.raises(RuntimeJobFailureError, match="a last word") as caught:
        job.result(timeout=PATIENCE)
    assert caught.value.reason_code == "JOB_ENTRYPOINT_COMMAND_ERROR"
