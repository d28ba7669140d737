"""Interim results from a real cluster come once and in order, whichever way they come."""

from __future__ import annotations

from conditions import Recorder, eventually
from ray_cluster import RayHead
from ray_programs import PATIENCE, start
from relay import Relay
from service_stories import Gate

from adapters import RuntimeService

QUICK = "/api/v0/logs"
"""Where Ray has the quick stream of a log."""

TICKS = """
    import time
    def main(backend, user_messenger, n):
        for i in range(n):
            user_messenger.publish(i)
            print("tick", i)
            time.sleep(0.01)
        return "through"
    """


def test_a_stream_goes_on_after_its_connection_broke(head: RayHead) -> None:
    with Relay(head.url) as relay, RuntimeService.ray(relay.url, head.token) as service:
        recorder = Recorder()
        job = start(service, TICKS, callback=recorder, n=500)
        for count in (1, 100, 200, 300):
            assert recorder.reached(count, PATIENCE)
            assert relay.cut()
        assert job.result(timeout=PATIENCE) == "through"
        assert recorder.values == [*range(500)]


def test_without_the_quick_stream_there_is_the_tail(head: RayHead, gate: Gate) -> None:
    with Relay(head.url, QUICK) as relay, RuntimeService.ray(relay.url, head.token) as service:
        recorder = Recorder()
        source = """
            import os, time
            def main(backend, user_messenger, gate):
                for i in range(1000):
                    user_messenger.publish(i)
                while not os.path.exists(gate):
                    time.sleep(0.01)
                return "through"
            """
        job = start(service, source, callback=recorder, gate=str(gate.path))
        assert recorder.reached(1000, PATIENCE)  # while it runs
        assert relay.hits >= 1
        assert relay.cut()
        gate.open()
        assert job.result(timeout=PATIENCE) == "through"
        assert recorder.values == [*range(1000)]
        # It is not asked for again: this cluster does not have it.
        hits = relay.hits
        again = Recorder()
        assert start(service, TICKS, callback=again, n=3).result(timeout=PATIENCE) == "through"
        assert eventually(lambda: again.values == [0, 1, 2], PATIENCE)  # the tail is slow
        assert relay.hits == hits


def test_a_job_that_has_ended_gives_all_of_it(head: RayHead, ray: RuntimeService) -> None:
    job_id = start(ray, TICKS, n=20).job_id()
    assert eventually(lambda: head.status(job_id) == "SUCCEEDED", PATIENCE)
    with RuntimeService.ray(head.url, head.token) as other:
        found = other.job(job_id)
        for _ in range(2):
            assert list(found.interim_results()) == [*range(20)]
        assert found.result(timeout=PATIENCE) == "through"


def test_leaving_a_stream_leaves_the_job(ray: RuntimeService, gate: Gate) -> None:
    job = ray.run("gated", inputs={"gate": str(gate.path), "n": 2})
    with job.interim_results() as results:
        assert next(results) == 0
    gate.open(2)
    assert job.result(timeout=PATIENCE) == "through"
    assert list(job.interim_results()) == [0, 1]
