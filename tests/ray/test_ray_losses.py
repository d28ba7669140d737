"""What a real cluster can lose: places for streams, a node, the head; with a head of its own."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator

import pytest
from conditions import Recorder, eventually
from ray_cluster import RayHead, ray_head, ray_node
from ray_programs import PATIENCE, becomes, start
from service_stories import Gate, fill

from adapters import RuntimeService
from runtime_core.errors import JobTimeoutError, TransportError
from runtime_core.states import JobState


@pytest.fixture(scope="module")
def narrow_head() -> Iterator[RayHead]:
    """A head that gives one quick stream at a time; the tests may end it."""
    with ray_head(variables={"RAY_STATE_SERVER_MAX_HTTP_REQUEST": "1"}) as head:
        yield head


@pytest.fixture
def service(narrow_head: RayHead) -> Iterator[RuntimeService]:
    assert not narrow_head.ended(), "the test that ends the head has to be the last one"
    with RuntimeService.ray(narrow_head.url, narrow_head.token) as service:
        yield fill(service)


def test_a_stream_that_is_refused_goes_by_the_tail(
    narrow_head: RayHead, service: RuntimeService, gate: Gate
) -> None:
    first, second = Recorder(), Recorder()
    inputs = {"gate": str(gate.path), "n": 3}
    quick = service.run("gated", inputs=inputs, callback=first)
    assert first.reached(1, PATIENCE)
    assert eventually(lambda: refuses(narrow_head))
    tailed = service.run("gated", inputs=inputs, callback=second)
    assert second.reached(1, PATIENCE)
    assert refuses(narrow_head)
    gate.open(3)
    assert quick.result(timeout=PATIENCE) == "through"
    assert tailed.result(timeout=PATIENCE) == "through"
    assert first.values == second.values == [0, 1, 2]


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_a_stream_that_is_left_gives_its_place_back(
    narrow_head: RayHead, service: RuntimeService, gate: Gate, how: str
) -> None:
    # A head does not notice who leaves while a log is silent, and that of a job that has ended is.
    source = """
        import os, signal, time
        def main(backend, user_messenger, how, gate):
            user_messenger.publish(1)
            while not os.path.exists(gate):
                time.sleep(0.01)
            if how == "is killed":
                os.kill(os.getppid(), signal.SIGKILL)
        """
    recorder = Recorder()
    assert eventually(lambda: not refuses(narrow_head), PATIENCE)
    job = start(service, source, callback=recorder, how=how, gate=str(gate.path))
    # Only then: what has not come out of the pipe dies with the host.
    assert recorder.reached(1, PATIENCE)
    gate.open()
    job.wait_for_final_state(timeout=PATIENCE)
    assert eventually(lambda: not refuses(narrow_head), PATIENCE)
    assert "\x1e" not in job.logs()


def refuses(head: RayHead) -> bool:
    """Say whether the head has no place for a quick stream now."""
    try:
        head.call("GET", "/api/v0/nodes")
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == 429
    return False


def test_a_result_outlives_its_node_if_its_end_was_seen(
    narrow_head: RayHead, service: RuntimeService
) -> None:
    with ray_node(narrow_head, "second") as node:
        inputs = {"n": 3, "result": "kept"}
        jobs = [service.run("counts", {"resources": {"second": 1}}, inputs) for _ in range(2)]
        seen, unseen = jobs
        streamed = Recorder()
        seen.stream_results(streamed)
        seen.wait_for_final_state(timeout=PATIENCE)
        assert streamed.reached(3, PATIENCE)
        assert becomes(narrow_head, unseen, "SUCCEEDED")
        handle = unseen.handle()
        node.end()
        assert seen.result(timeout=PATIENCE) == "kept"
        assert streamed.values == [0, 1, 2]
        # Nobody has asked for this one while its log was there.
        with RuntimeService.ray(narrow_head.url, narrow_head.token) as other:
            late = other.take_up(handle)
            with pytest.raises(TransportError, match="node"):
                late.result(timeout=PATIENCE)
            assert late.status() is JobState.DONE


def test_a_head_that_is_lost_is_a_clear_error_and_what_came_stays(
    narrow_head: RayHead, service: RuntimeService, gate: Gate
) -> None:
    ended = service.run("counts", inputs={"n": 1, "result": "came before"})
    ended.wait_for_final_state(timeout=PATIENCE)
    recorder = Recorder()
    job = service.run("gated", inputs={"gate": str(gate.path)}, callback=recorder)
    assert recorder.reached(1, PATIENCE)
    narrow_head.end()
    with pytest.raises(JobTimeoutError):
        job.result(timeout=3)
    with pytest.raises(TransportError, match="no connection"):
        job.status()
    assert job.stream_error() is None
    assert recorder.values == [0]
    assert ended.result(timeout=PATIENCE) == "came before"
    with pytest.raises(TransportError, match="no connection"):
        service.run("counts", inputs={"n": 1})
