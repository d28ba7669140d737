"""Jobs against the local service: from the submission to the result, and every way besides."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conditions import PATIENCE, Recorder, eventually
from own_service import OwnService, own_service
from scripted_server import CERTIFICATE

from adapters import RuntimeClient, RuntimeJob, RuntimeService, RuntimeWebsocketClient
from adapters.drivers import inbox
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import (
    DecodeError,
    EncodeError,
    JobTimeoutError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    TransportError,
    UsageError,
)
from runtime_core.states import JobState

PROGRAMS = {
    "counts": """
        def main(backend, user_messenger, n, result=None):
            for i in range(n):
                user_messenger.publish(i)
            return result
        """,
    # Publishes a number each time that the file named `gate` has grown, until it is long enough.
    "gated": """
        import os, time
        def main(backend, user_messenger, gate, n=3):
            for i in range(n):
                user_messenger.publish(i)
                while not os.path.exists(gate) or os.path.getsize(gate) <= i:
                    time.sleep(0.005)
            return "through"
        """,
    "waits": """
        import time
        def main(backend, user_messenger):
            user_messenger.publish("waiting")
            time.sleep(60)
        """,
    "fails": """
        def main(backend, user_messenger):
            print("about to fail")
            user_messenger.publish(1)
            raise ValueError("bad luck")
        """,
    "echoes": """
        def main(backend, user_messenger, **inputs):
            user_messenger.publish({"backend": backend.name})
            return inputs
        """,
}


def fill(service: RuntimeService) -> RuntimeService:
    for name, source in PROGRAMS.items():
        service.upload_program(textwrap.dedent(source), {"name": name})
    return service


@pytest.fixture(scope="module")
def service() -> Iterator[OwnService]:
    with own_service(4) as service:
        fill(service)
        yield service


@pytest.fixture(scope="module")
def lone_worker() -> Iterator[RuntimeService]:
    with own_service(1) as service:
        yield fill(service)


class Gate:
    """Lets a `gated` program go on, one message at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, count: int = 1) -> None:
        with self.path.open("a") as file:
            file.write("x" * count)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


# ---- a whole life --------------------------------------------------------------------------


def test_a_job_runs_and_says_everything_about_itself(service: OwnService) -> None:
    recorder = Recorder()
    inputs = {"a": 1, "b": 2 + 3j, "c": [None, "x"]}
    job = service.run("echoes", {"backend_name": "here"}, inputs, recorder)
    assert job.result(timeout=PATIENCE) == inputs
    assert recorder.values == [{"backend": "here"}]
    assert job.status() is JobState.DONE
    assert job.in_final_state()
    job.wait_for_final_state(timeout=0)
    assert (job.backend().name, job.program_id, job.inputs) == ("here", "echoes", inputs)
    assert job.creation_date is not None
    assert datetime.now(UTC) - job.creation_date < timedelta(minutes=1)
    assert job.creation_date.utcoffset() == datetime.now().astimezone().utcoffset()
    assert job.stream_error() is None
    assert job.error_message() is None
    assert job.cancel_outcome() is None
    assert job.logs() == ""
    assert repr(job) == f"<RuntimeJob {job.job_id()!r} of 'echoes': DONE>"


def test_the_callback_gets_the_id_of_the_job(service: OwnService) -> None:
    ids = []
    job = service.run("counts", inputs={"n": 2}, callback=lambda job_id, _: ids.append(job_id))
    job.result(timeout=PATIENCE)
    assert ids == [job.job_id()] * 2


@pytest.mark.parametrize("result", [None, 0, False, "", [], {}])
def test_falsy_results_are_results_and_fetched_once(service: OwnService, result: Any) -> None:
    job = service.run("counts", inputs={"n": 0, "result": result})
    assert job.result(timeout=PATIENCE) == result
    assert job.result(timeout=0) == result


def test_interim_results_come_while_the_job_runs(service: OwnService, gate: Gate) -> None:
    job = service.run("gated", inputs={"gate": str(gate.path)})
    results = job.interim_results()
    for number in range(3):
        assert next(results) == number
        assert job.status() is JobState.RUNNING
        gate.open()
    assert list(results) == []
    assert job.result(timeout=PATIENCE) == "through"


def test_a_callback_is_called_while_the_job_runs(service: OwnService, gate: Gate) -> None:
    recorder = Recorder()
    job = service.run("gated", inputs={"gate": str(gate.path)}, callback=recorder)
    for number in range(3):
        assert recorder.reached(number + 1)
        assert recorder.values == list(range(number + 1))
        gate.open()
    assert job.result(timeout=PATIENCE) == "through"


def test_interim_results_are_replayed_after_the_end(service: OwnService) -> None:
    job = service.run("counts", inputs={"n": 100})
    job.wait_for_final_state(timeout=PATIENCE)
    for _ in range(2):
        assert list(job.interim_results()) == list(range(100))
    with pytest.raises(RuntimeInvalidStateError):
        job.stream_results(Recorder())


def test_a_stream_that_starts_late_begins_at_the_first_message(
    service: OwnService, gate: Gate
) -> None:
    job = service.run("gated", inputs={"gate": str(gate.path)})
    with job.interim_results() as results:
        assert next(results) == 0
    recorder = Recorder()
    job.stream_results(recorder)
    gate.open(3)
    assert job.result(timeout=PATIENCE) == "through"
    assert recorder.values == [0, 1, 2]


def test_leaving_a_wait_leaves_the_job_running(service: OwnService, gate: Gate) -> None:
    job = service.run("gated", inputs={"gate": str(gate.path)})
    with pytest.raises(JobTimeoutError) as caught:
        job.result(timeout=0.3)
    assert caught.value.timeout == 0.3
    assert job.status() is JobState.RUNNING
    gate.open(3)
    assert job.result(timeout=PATIENCE) == "through"


def test_a_closed_job_asks_nothing_and_goes_on_at_the_service(
    service: OwnService, gate: Gate
) -> None:
    job = service.run("gated", inputs={"gate": str(gate.path)}, callback=Recorder())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(job.result)
        assert eventually(lambda: bool(job._driver.runner._waiters))
        job.close()
        with pytest.raises(UsageError, match="is closed"):
            waiting.result(PATIENCE)
    with pytest.raises(UsageError, match="is closed"):
        job.status()
    job.close()
    gate.open(3)
    assert service.job(job.job_id()).result(timeout=PATIENCE) == "through"


# ---- messages in numbers -------------------------------------------------------------------

MANY = 10_000


def test_ten_thousand_quick_messages_come_once_and_in_order(service: OwnService) -> None:
    recorder = Recorder()
    job = service.run("counts", inputs={"n": MANY, "result": 1}, callback=recorder)
    assert job.result(timeout=60) == 1
    assert recorder.values == list(range(MANY))
    assert list(job.interim_results()) == list(range(MANY))


@pytest.mark.parametrize("wait", [5, 0.02])
def test_a_callback_that_is_slower_than_the_stream_gets_all_before_the_result(
    service: OwnService, monkeypatch: pytest.MonkeyPatch, wait: float
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 50)
    recorder = Recorder()

    def callback(job_id: str, value: object) -> None:
        recorder(job_id, value)
        time.sleep(0.001)

    job = service.run("counts", inputs={"n": 1000, "result": 1}, callback=callback)
    assert job.result(timeout=60, wait=wait) == 1  # known long before, if asked for often
    assert recorder.values == list(range(1000))


def test_result_returns_when_the_last_callback_has_returned(service: OwnService) -> None:
    ended: list[float] = []

    def callback(job_id: str, value: object) -> None:
        time.sleep(0.2)
        ended.append(time.monotonic())

    job = service.run("counts", inputs={"n": 3}, callback=callback)
    job.result(timeout=PATIENCE)
    returned = time.monotonic()
    assert len(ended) == 3
    assert returned >= ended[-1]


def test_many_jobs_at_once_each_get_their_own(service: OwnService) -> None:
    recorders = [Recorder() for _ in range(12)]
    jobs = [
        service.run("counts", inputs={"n": 100 + i, "result": i}, callback=recorder)
        for i, recorder in enumerate(recorders)
    ]
    assert [job.result(timeout=60) for job in jobs] == list(range(12))
    assert [recorder.values for recorder in recorders] == [list(range(100 + i)) for i in range(12)]


# ---- callbacks -----------------------------------------------------------------------------


def test_a_failing_callback_ends_the_stream_and_not_the_job(
    service: OwnService, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def callback(job_id: str, value: object) -> None:
        calls.append(value)
        raise ZeroDivisionError("mine")

    job = service.run("counts", inputs={"n": 5, "result": 7}, callback=callback)
    assert job.result(timeout=PATIENCE) == 7
    assert calls == [0]
    assert isinstance(job.stream_error(), ZeroDivisionError)
    assert "ZeroDivisionError: mine" in caplog.text


@pytest.mark.parametrize("call", ["result", "status", "cancel", "cancel_result_streaming"])
def test_a_callback_may_call_its_job(service: OwnService, gate: Gate, call: str) -> None:
    came: list[object] = []

    def callback(job_id: str, value: object) -> None:
        gate.open(3)
        came.append(getattr(jobs[0], call)())

    jobs = [service.run("gated", inputs={"gate": str(gate.path)})]
    jobs[0].stream_results(callback)
    try:
        jobs[0].result(timeout=PATIENCE)
    except RuntimeJobCancelledError:
        assert call == "cancel"
    assert eventually(lambda: bool(came))
    assert jobs[0].stream_error() is None or call == "cancel"
    if call == "result":
        assert came == ["through"] * 3
    if call == "cancel_result_streaming":
        assert came == [None]


def test_of_two_simultaneous_streams_one_wins(service: OwnService, gate: Gate) -> None:
    job = service.run("gated", inputs={"gate": str(gate.path)})
    recorders = [Recorder() for _ in range(6)]
    start = threading.Barrier(6)

    def subscribe(recorder: Recorder) -> bool:
        start.wait(PATIENCE)
        try:
            job.stream_results(recorder)
        except RuntimeInvalidStateError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(subscribe, recorders))
    assert sum(won) == 1
    gate.open(3)
    job.result(timeout=PATIENCE)
    assert recorders[won.index(True)].values == [0, 1, 2]
    assert sum(len(recorder.values) for recorder in recorders) == 3


# ---- decoders ------------------------------------------------------------------------------


class Text:
    """Leaves a result as it is."""

    @classmethod
    def decode(cls, data: str) -> str:
        return data


class Fussy:
    """Likes nothing."""

    @classmethod
    def decode(cls, data: str) -> object:
        raise DecodeError(f"I do not like {data}")


def test_each_decoder_gives_its_own_value_and_keeps_it(service: OwnService) -> None:
    job = service.run("counts", inputs={"n": 2, "result": {"x": [1, 2]}})
    first = job.result(timeout=PATIENCE)
    assert first == {"x": [1, 2]}
    assert json.loads(job.result(decoder=Text)) == first
    with pytest.raises(DecodeError, match="do not like"):
        job.result(decoder=Fussy)
    assert job.result() is first
    assert list(job.interim_results(decoder=Text)) == ["0", "1"]
    with pytest.raises(DecodeError, match="do not like 0"):
        list(job.interim_results(decoder=Fussy))
    assert isinstance(job.stream_error(), DecodeError)
    job.release_result()
    assert job.result(timeout=PATIENCE) == first


# ---- cancelling ----------------------------------------------------------------------------


def test_a_running_job_is_cancelled(service: OwnService) -> None:
    job = service.run("waits")
    with job.interim_results() as results:
        assert next(results) == "waiting"
    job.cancel()
    with pytest.raises(RuntimeJobCancelledError) as caught:
        job.result(timeout=PATIENCE)
    assert caught.value.job_id == job.job_id()
    assert job.status() is JobState.CANCELLED
    assert job.cancel_outcome() is CancelOutcome.CANCELLED
    with pytest.raises(RuntimeInvalidStateError, match="it has ended"):
        job.cancel()


def test_a_queued_job_is_cancelled_and_its_stream_ends(lone_worker: RuntimeService) -> None:
    first = lone_worker.run("waits")
    recorder = Recorder()
    second = lone_worker.run("counts", inputs={"n": 1}, callback=recorder)
    assert second.status() is JobState.QUEUED
    second.cancel()
    second.wait_for_final_state(timeout=PATIENCE)
    assert second.status() is JobState.CANCELLED
    assert recorder.values == []
    assert second.stream_error() is None
    assert first.status() is JobState.RUNNING
    first.cancel()
    first.wait_for_final_state(timeout=PATIENCE)


def test_a_job_that_ended_meanwhile_is_not_cancelled(service: OwnService) -> None:
    job = service.run("counts", inputs={"n": 0, "result": 1})
    service.job(job.job_id()).wait_for_final_state(timeout=PATIENCE)
    with pytest.raises(RuntimeInvalidStateError, match="its service refused"):
        job.cancel()  # which does not know of the end yet
    assert job.cancel_outcome() is CancelOutcome.REJECTED
    assert job.result(timeout=PATIENCE) == 1


def test_a_stream_can_be_cancelled_and_begun_again(service: OwnService, gate: Gate) -> None:
    job = service.run("gated", inputs={"gate": str(gate.path)})
    first, second = Recorder(), Recorder()
    job.stream_results(first)
    assert first.reached(1)
    job.cancel_result_streaming()
    job.cancel_result_streaming()
    job.stream_results(second)
    gate.open(3)
    job.result(timeout=PATIENCE)
    assert first.values == [0]
    assert second.values == [0, 1, 2]


# ---- failing -------------------------------------------------------------------------------


def test_a_failed_job_tells_its_traceback(service: OwnService) -> None:
    recorder = Recorder()
    job = service.run("fails", callback=recorder)
    with pytest.raises(RuntimeJobFailureError, match="ValueError: bad luck") as caught:
        job.result(timeout=PATIENCE)
    assert caught.value.reason is not None
    assert caught.value.reason.startswith("Traceback (most recent call last):")
    assert job.status() is JobState.ERROR
    assert job.error_message() == caught.value.reason
    assert job.logs() == "about to fail\n"
    assert eventually(lambda: recorder.values == [1])
    found = service.job(job.job_id())
    assert found.error_message() == caught.value.reason
    with pytest.raises(RuntimeJobFailureError):
        found.result(timeout=PATIENCE)


def test_a_job_that_ran_too_long_failed_and_says_so(service: OwnService) -> None:
    source = textwrap.dedent(PROGRAMS["waits"])
    service.upload_program(source, {"name": "too-long", "max_execution_time": 1})
    job = service.run("too-long")
    with pytest.raises(RuntimeJobFailureError, match="ran too long") as caught:
        job.result(timeout=PATIENCE)
    assert caught.value.reason_code == "RAN_TOO_LONG"
    assert job.status() is JobState.ERROR


# ---- finding jobs again --------------------------------------------------------------------


def test_a_job_is_taken_up_again_by_its_id(service: OwnService, gate: Gate) -> None:
    inputs = {"gate": str(gate.path), "n": 3}
    submitted = service.run("gated", {"backend_name": "here"}, inputs)
    recorder = Recorder()
    job = service.job(submitted.job_id())
    job.stream_results(recorder)
    assert recorder.reached(1)
    assert (job.program_id, job.inputs, job.backend().name) == ("gated", inputs, "here")
    assert job.creation_date == submitted.creation_date
    gate.open(3)
    assert job.result(timeout=PATIENCE) == submitted.result(timeout=PATIENCE) == "through"
    assert recorder.values == [0, 1, 2]
    later = service.job(submitted.job_id())
    assert later.result(timeout=PATIENCE) == "through"
    assert list(later.interim_results()) == [0, 1, 2]


def test_jobs_are_found_with_filters(service: OwnService, gate: Gate) -> None:
    source = textwrap.dedent(PROGRAMS["gated"])
    service.upload_program(source, {"name": "listed"})
    inputs = [{"gate": str(gate.path), "n": n} for n in (0, 0, 3)]
    ids = [service.run("listed", inputs=each).job_id() for each in inputs]
    newest = ids[::-1]
    for job_id in ids[:2]:
        service.job(job_id).wait_for_final_state(timeout=PATIENCE)

    def found(**filters: Any) -> list[str]:
        return [job.job_id() for job in service.jobs(program_id="listed", **filters)]

    assert found() == newest
    assert found(limit=2) == newest[:2]
    assert found(limit=1, skip=1) == newest[1:2]
    assert found(pending=True) == newest[:1]
    assert found(pending=False) == newest[1:]
    assert found(skip=3) == []
    assert len(service.jobs(limit=2)) == 2
    running, ended, _ = service.jobs(program_id="listed")
    assert ended.result(timeout=PATIENCE) == "through"
    gate.open(3)
    assert running.result(timeout=PATIENCE) == "through"


# ---- refusals ------------------------------------------------------------------------------


def test_an_unknown_job_is_not_found(service: OwnService) -> None:
    with pytest.raises(TransportError) as caught:
        service.job("nobody")
    assert caught.value.status_code == 404


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("call", ["status", "result", "wait_for_final_state", "cancel"])
def test_a_job_that_is_gone_raises_what_the_service_says(
    service: OwnService, call: str, streamed: bool
) -> None:
    client = RuntimeClient(service.url, service.token)
    streams = RuntimeWebsocketClient(service.url, service.token, resume="offset")
    with client, RuntimeJob("b", client, streams, "gone", "p") as job:
        if streamed:
            job.stream_results(Recorder())
        with pytest.raises(TransportError) as caught:
            getattr(job, call)()
        assert caught.value.status_code == 404


def test_the_interim_results_of_a_job_that_is_gone_end_with_the_reason(
    service: OwnService,
) -> None:
    client = RuntimeClient(service.url, service.token)
    streams = RuntimeWebsocketClient(service.url, service.token, resume="offset")
    with client, RuntimeJob("b", client, streams, "gone", "p") as job:
        with pytest.raises(TransportError) as caught:
            list(job.interim_results())
        assert caught.value.status_code == 404


WRONG_TOKEN_CALLS: dict[str, Callable[[RuntimeService], object]] = {
    "run": lambda wrong: wrong.run("counts", inputs={"n": 1}),
    "job": lambda wrong: wrong.job("any"),
    "jobs": lambda wrong: wrong.jobs(),
    "upload": lambda wrong: wrong.upload_program("x = 1\n", {"name": "no"}),
}


@pytest.mark.parametrize("call", WRONG_TOKEN_CALLS)
def test_a_wrong_token_is_refused_and_not_told(
    service: OwnService, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RuntimeService(service.url, "wr0ng-t0ken") as wrong:
        with pytest.raises(TransportError, match="Check the access token") as caught:
            WRONG_TOKEN_CALLS[call](wrong)
        assert caught.value.status_code == 401
        assert "wr0ng-t0ken" not in str(caught.value) + repr(caught.value) + repr(wrong)
    assert "wr0ng-t0ken" not in caplog.text


def test_a_wrong_token_ends_what_waits_for_a_job(service: OwnService, gate: Gate) -> None:
    submitted = service.run("gated", inputs={"gate": str(gate.path)})
    client = RuntimeClient(service.url, "wr0ng-t0ken")
    streams = RuntimeWebsocketClient(service.url, "wr0ng-t0ken", resume="offset")
    with client, RuntimeJob("b", client, streams, submitted.job_id(), "p") as job:
        for call in (job.result, job.status, job.wait_for_final_state, job.cancel):
            with pytest.raises(TransportError) as caught:
                call()
            assert caught.value.status_code == 401
    gate.open(3)
    assert submitted.result(timeout=PATIENCE) == "through"


def test_a_stream_that_wants_tls_where_there_is_none_fails_clearly(
    service: OwnService,
) -> None:
    job_id = service.run("counts", inputs={"n": 1, "result": 5}).job_id()
    secure = service.url.replace("http://127.0.0.1", "wss://localhost")
    streams = RuntimeWebsocketClient(secure, service.token, resume="offset", ca_certs=CERTIFICATE)
    client = RuntimeClient(service.url, service.token)
    with client, RuntimeJob("b", client, streams, job_id, "p") as job:
        with pytest.raises(TransportError, match=r"Does the service speak TLS on this port\?"):
            list(job.interim_results())
        assert job.result(timeout=PATIENCE) == 5


def test_uploads_that_cannot_be_are_refused(service: OwnService, tmp_path: Path) -> None:
    with pytest.raises(TransportError) as caught:
        service.upload_program("x = 1\n", {"name": "counts"})
    assert caught.value.status_code == 409
    with pytest.raises(TransportError) as caught:
        service.upload_program("x = 1\n", {"name": "a\nb"})
    assert caught.value.status_code == 400
    with pytest.raises(UsageError, match="name of a program must be a text"):
        service.upload_program("x = 1\n", {"name": ""})
    with pytest.raises(UsageError, match="There is no file or folder"):
        service.upload_program(tmp_path / "none.py", {"name": "n"})
    with pytest.raises(UsageError, match="the metadata cannot be read"):
        service.upload_program("x = 1\n", tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UsageError, match="are not JSON"):
        service.upload_program("x = 1\n", tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UsageError, match="must be a JSON object"):
        service.upload_program("x = 1\n", tmp_path / "list.json")


def test_a_program_is_uploaded_from_files(service: OwnService, tmp_path: Path) -> None:
    (tmp_path / "five.py").write_text("def main(backend, user_messenger): return 5")
    (tmp_path / "five.json").write_text('{"name": "five"}')
    program = service.upload_program(tmp_path / "five.py", str(tmp_path / "five.json"))
    assert service.run(program).result(timeout=PATIENCE) == 5


def test_the_same_program_uploaded_without_a_name_is_the_same(
    service: OwnService, tmp_path: Path
) -> None:
    file = tmp_path / "my prog.py"
    file.write_text("def main(backend, user_messenger): return 6")
    first = service.upload_program(file)
    assert first.startswith("my-prog-")
    assert service.upload_program(file) == first
    assert service.run(first).result(timeout=PATIENCE) == 6
    short = service.upload_program(file, {"max_execution_time": 7})
    assert short != first
    assert service._client.program_get(short)["cost"] == 7
    file.write_text("def main(backend, user_messenger): return 7")
    assert service.upload_program(file) not in (first, short)


def test_submissions_that_cannot_be_are_refused(service: OwnService) -> None:
    before = len(service.jobs(limit=1000))
    with pytest.raises(TransportError) as caught:
        service.run("nothing like it")
    assert caught.value.status_code == 404
    assert "not submitted" in str(caught.value)
    with pytest.raises(UsageError, match="unknown options colour"):
        service.run("counts", {"colour": "red"})
    with pytest.raises(EncodeError):
        service.run("counts", inputs={"n": object()})
    assert len(service.jobs(limit=1000)) == before


def test_a_service_that_goes_away_ends_no_wait_before_its_timeout(
    gate: Gate,
) -> None:
    with own_service(1) as going:
        fill(going)
        recorder = Recorder()
        job = going.run("gated", inputs={"gate": str(gate.path)}, callback=recorder)
        assert recorder.reached(1)
        os.kill(going.process.pid, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(JobTimeoutError):
            job.result(timeout=0.5)
        assert time.monotonic() - began < 2.5
        with pytest.raises(TransportError, match="no connection"):
            job.status()
        job.close()
