"""Jobs that another process takes up by their handles, from a real cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from conditions import Recorder
from ray_cluster import RayHead
from ray_programs import PATIENCE, start
from service_stories import Gate

from adapters import RuntimeService
from runtime_core.job_handle import JobHandle

# Says, as a line of JSON, what it got: the interim results and the result.
OTHER = """
import json, os, sys
from adapters import RuntimeService
from runtime_core.job_handle import JobHandle
handle = JobHandle.from_json(sys.argv[1])
with RuntimeService.ray(os.environ["URL"], os.environ["TOKEN"]) as service:
    got = []
    def callback(job_id, value):
        got.append(value)
        print(value, flush=True)
    job = service.take_up(handle, callback)
    print(json.dumps([got, job.result(timeout=90)]))
"""


def other_process(head: RayHead, handle: JobHandle) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OTHER, handle.to_json()],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"URL": head.url, "TOKEN": head.token},
    )


def said(process: subprocess.Popen[str]) -> Any:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def test_another_process_goes_on_where_this_one_stopped(
    head: RayHead, ray: RuntimeService, gate: Gate
) -> None:
    recorder = Recorder()
    job = ray.run("gated", inputs={"gate": str(gate.path), "n": 4}, callback=recorder)
    assert recorder.reached(1, PATIENCE)
    gate.open()
    assert recorder.reached(2, PATIENCE)
    job.cancel_result_streaming()
    with other_process(head, job.handle()) as process:
        assert process.stdout is not None
        gate.open()
        assert process.stdout.readline() == "2\n"
        gate.open(2)
        assert said(process) == [[2, 3], "through"]
    assert recorder.values == [0, 1]
    assert job.result(timeout=PATIENCE) == "through"


def test_another_process_gets_what_a_job_left_that_has_ended(
    head: RayHead, ray: RuntimeService
) -> None:
    source = """
        def main(backend, user_messenger):
            for i in range(5):
                user_messenger.publish({"i": i})
            return ["the", "end"]
        """
    job = start(ray, source)
    handle = job.handle()
    job.wait_for_final_state(timeout=PATIENCE)
    with other_process(head, handle) as process:
        assert said(process) == [[{"i": i} for i in range(5)], ["the", "end"]]
