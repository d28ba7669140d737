"""What the jobs of every service do, from the submission to the result: tests to inherit.

    class TestMine(ServiceStories):
        pass

and a fixture `service`, which gives a `RuntimeService` that `fill` has given the programs.
"""

from __future__ import annotations

import json
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conditions import PATIENCE, Recorder, eventually

from adapters import RuntimeService
from adapters.drivers import inbox
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import (
    DecodeError,
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


class Gate:
    """Lets a `gated` program go on, one message at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, count: int = 1) -> None:
        with self.path.open("a") as file:
            file.write("x" * count)


MANY = 10_000


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


class ServiceStories:
    """The stories; each has programs that `fill` uploads."""

    patience = PATIENCE
    """Seconds that the service may take for anything."""
    at_once = 12
    """How many jobs it is given where they are many."""

    @pytest.fixture
    def gate(self, tmp_path: Path) -> Gate:
        return Gate(tmp_path / "gate")

    def test_a_job_runs_and_says_everything_about_itself(self, service: RuntimeService) -> None:
        recorder = Recorder()
        inputs = {"a": 1, "b": 2 + 3j, "c": [None, "x"]}
        job = service.run("echoes", inputs=inputs, callback=recorder)
        assert job.result(timeout=self.patience) == inputs
        assert recorder.values == [{"backend": job.backend().name}]
        assert job.status() is JobState.DONE
        assert job.in_final_state()
        job.wait_for_final_state(timeout=0)
        assert (job.program_id, job.inputs) == ("echoes", inputs)
        assert job.creation_date is not None
        assert datetime.now(UTC) - job.creation_date < timedelta(minutes=1)
        assert job.creation_date.utcoffset() == datetime.now().astimezone().utcoffset()
        assert job.stream_error() is None
        assert job.error_message() is None
        assert job.cancel_outcome() is None
        assert job.logs() == ""
        assert repr(job) == f"<RuntimeJob {job.job_id()!r} of 'echoes': DONE>"

    def test_the_callback_gets_the_id_of_the_job(self, service: RuntimeService) -> None:
        ids = []
        job = service.run("counts", inputs={"n": 2}, callback=lambda job_id, _: ids.append(job_id))
        job.result(timeout=self.patience)
        assert ids == [job.job_id()] * 2

    def test_falsy_results_are_results_and_fetched_once(self, service: RuntimeService) -> None:
        falsy: tuple[Any, ...] = (None, 0, False, "", [], {})
        jobs = [service.run("counts", inputs={"n": 0, "result": result}) for result in falsy]
        for result, job in zip(falsy, jobs, strict=True):
            for timeout in (self.patience, 0):
                found = job.result(timeout=timeout)
                assert (type(found), found) == (type(result), result)

    def test_interim_results_come_while_the_job_runs(
        self, service: RuntimeService, gate: Gate
    ) -> None:
        job = service.run("gated", inputs={"gate": str(gate.path)})
        results = job.interim_results()
        for number in range(3):
            assert next(results) == number
            assert job.status() is JobState.RUNNING
            gate.open()
        assert list(results) == []
        assert job.result(timeout=self.patience) == "through"

    def test_a_callback_is_called_while_the_job_runs(
        self, service: RuntimeService, gate: Gate
    ) -> None:
        recorder = Recorder()
        job = service.run("gated", inputs={"gate": str(gate.path)}, callback=recorder)
        for number in range(3):
            assert recorder.reached(number + 1, self.patience)
            assert recorder.values == list(range(number + 1))
            gate.open()
        assert job.result(timeout=self.patience) == "through"

    def test_interim_results_are_replayed_after_the_end(self, service: RuntimeService) -> None:
        job = service.run("counts", inputs={"n": 100})
        job.wait_for_final_state(timeout=self.patience)
        for _ in range(2):
            assert list(job.interim_results()) == list(range(100))
        with pytest.raises(RuntimeInvalidStateError):
            job.stream_results(Recorder())

    def test_a_stream_that_starts_late_begins_at_the_first_message(
        self, service: RuntimeService, gate: Gate
    ) -> None:
        job = service.run("gated", inputs={"gate": str(gate.path)})
        with job.interim_results() as results:
            assert next(results) == 0
        recorder = Recorder()
        job.stream_results(recorder)
        gate.open(3)
        assert job.result(timeout=self.patience) == "through"
        assert recorder.values == [0, 1, 2]

    def test_leaving_a_wait_leaves_the_job_running(
        self, service: RuntimeService, gate: Gate
    ) -> None:
        job = service.run("gated", inputs={"gate": str(gate.path)})
        with pytest.raises(JobTimeoutError) as caught:
            job.result(timeout=0.3)
        assert caught.value.timeout == 0.3
        assert job.status() in (JobState.QUEUED, JobState.RUNNING)
        gate.open(3)
        assert job.result(timeout=self.patience) == "through"

    def test_a_closed_job_asks_nothing_and_goes_on_at_the_service(
        self, service: RuntimeService, gate: Gate
    ) -> None:
        job = service.run("gated", inputs={"gate": str(gate.path)}, callback=Recorder())
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(job.result)
            assert eventually(lambda: bool(job._driver.runner._waiters))
            job.close()
            with pytest.raises(UsageError, match="is closed"):
                waiting.result(self.patience)
        with pytest.raises(UsageError, match="is closed"):
            job.status()
        job.close()
        gate.open(3)
        assert service.job(job.job_id()).result(timeout=self.patience) == "through"

    # ---- messages in numbers ---------------------------------------------------------------------

    def test_ten_thousand_quick_messages_come_once_and_in_order(
        self, service: RuntimeService
    ) -> None:
        recorder = Recorder()
        job = service.run("counts", inputs={"n": MANY, "result": 1}, callback=recorder)
        assert job.result(timeout=60) == 1
        assert recorder.values == list(range(MANY))
        assert list(job.interim_results()) == list(range(MANY))

    @pytest.mark.parametrize("wait", [5, 0.02])
    def test_a_callback_that_is_slower_than_the_stream_gets_all_before_the_result(
        self, service: RuntimeService, monkeypatch: pytest.MonkeyPatch, wait: float
    ) -> None:
        monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 50)
        recorder = Recorder()

        def callback(job_id: str, value: object) -> None:
            recorder(job_id, value)
            time.sleep(0.001)

        job = service.run("counts", inputs={"n": 1000, "result": 1}, callback=callback)
        assert job.result(timeout=60, wait=wait) == 1  # known long before, if asked for often
        assert recorder.values == list(range(1000))

    def test_result_returns_when_the_last_callback_has_returned(
        self, service: RuntimeService
    ) -> None:
        ended: list[float] = []

        def callback(job_id: str, value: object) -> None:
            time.sleep(0.2)
            ended.append(time.monotonic())

        job = service.run("counts", inputs={"n": 3}, callback=callback)
        job.result(timeout=self.patience)
        returned = time.monotonic()
        assert len(ended) == 3
        assert returned >= ended[-1]

    def test_many_jobs_at_once_each_get_their_own(self, service: RuntimeService) -> None:
        recorders = [Recorder() for _ in range(self.at_once)]
        jobs = [
            service.run("counts", inputs={"n": 100 + i, "result": i}, callback=recorder)
            for i, recorder in enumerate(recorders)
        ]
        assert [job.result(timeout=60) for job in jobs] == list(range(self.at_once))
        assert [recorder.values for recorder in recorders] == [
            list(range(100 + i)) for i in range(self.at_once)
        ]

    # ---- callbacks -------------------------------------------------------------------------------

    def test_a_failing_callback_ends_the_stream_and_not_the_job(
        self, service: RuntimeService, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls = []

        def callback(job_id: str, value: object) -> None:
            calls.append(value)
            raise ZeroDivisionError("mine")

        job = service.run("counts", inputs={"n": 5, "result": 7}, callback=callback)
        assert job.result(timeout=self.patience) == 7
        assert calls == [0]
        assert isinstance(job.stream_error(), ZeroDivisionError)
        assert "ZeroDivisionError: mine" in caplog.text

    @pytest.mark.parametrize("call", ["result", "status", "cancel", "cancel_result_streaming"])
    def test_a_callback_may_call_its_job(
        self, service: RuntimeService, gate: Gate, call: str
    ) -> None:
        came: list[object] = []

        def callback(job_id: str, value: object) -> None:
            gate.open(3)
            came.append(getattr(jobs[0], call)())

        jobs = [service.run("gated", inputs={"gate": str(gate.path)})]
        jobs[0].stream_results(callback)
        try:
            jobs[0].result(timeout=self.patience)
        except RuntimeJobCancelledError:
            assert call == "cancel"
        assert eventually(lambda: bool(came))
        assert jobs[0].stream_error() is None or call == "cancel"
        if call == "result":
            assert came == ["through"] * 3
        if call == "cancel_result_streaming":
            assert came == [None]

    def test_of_two_simultaneous_streams_one_wins(
        self, service: RuntimeService, gate: Gate
    ) -> None:
        job = service.run("gated", inputs={"gate": str(gate.path)})
        recorders = [Recorder() for _ in range(6)]
        start = threading.Barrier(6)

        def subscribe(recorder: Recorder) -> bool:
            start.wait(self.patience)
            try:
                job.stream_results(recorder)
            except RuntimeInvalidStateError:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            won = list(threads.map(subscribe, recorders))
        assert sum(won) == 1
        gate.open(3)
        job.result(timeout=self.patience)
        assert recorders[won.index(True)].values == [0, 1, 2]
        assert sum(len(recorder.values) for recorder in recorders) == 3

    # ---- decoders --------------------------------------------------------------------------------

    def test_each_decoder_gives_its_own_value_and_keeps_it(self, service: RuntimeService) -> None:
        job = service.run("counts", inputs={"n": 2, "result": {"x": [1, 2]}})
        first = job.result(timeout=self.patience)
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
        assert job.result(timeout=self.patience) == first

    # ---- cancelling ------------------------------------------------------------------------------

    def test_a_running_job_is_cancelled(self, service: RuntimeService) -> None:
        job = service.run("waits")
        with job.interim_results() as results:
            assert next(results) == "waiting"
        job.cancel()
        with pytest.raises(RuntimeJobCancelledError) as caught:
            job.result(timeout=self.patience)
        assert caught.value.job_id == job.job_id()
        assert job.status() is JobState.CANCELLED
        assert job.cancel_outcome() is CancelOutcome.CANCELLED
        with pytest.raises(RuntimeInvalidStateError, match="it has ended"):
            job.cancel()

    def test_a_job_that_ended_meanwhile_is_not_cancelled(self, service: RuntimeService) -> None:
        job = service.run("counts", inputs={"n": 0, "result": 1})
        service.job(job.job_id()).wait_for_final_state(timeout=self.patience)
        with pytest.raises(RuntimeInvalidStateError, match="its service refused"):
            job.cancel()  # which does not know of the end yet
        assert job.cancel_outcome() is CancelOutcome.REJECTED
        assert job.result(timeout=self.patience) == 1

    def test_a_stream_can_be_cancelled_and_begun_again(
        self, service: RuntimeService, gate: Gate
    ) -> None:
        job = service.run("gated", inputs={"gate": str(gate.path)})
        first, second = Recorder(), Recorder()
        job.stream_results(first)
        assert first.reached(1, self.patience)
        job.cancel_result_streaming()
        job.cancel_result_streaming()
        job.stream_results(second)
        gate.open(3)
        job.result(timeout=self.patience)
        assert first.values == [0]
        assert second.values == [0, 1, 2]

    # ---- failing ---------------------------------------------------------------------------------

    def test_a_failed_job_tells_its_traceback(self, service: RuntimeService) -> None:
        recorder = Recorder()
        job = service.run("fails", callback=recorder)
        with pytest.raises(RuntimeJobFailureError, match="ValueError: bad luck") as caught:
            job.result(timeout=self.patience)
        assert caught.value.reason is not None
        assert caught.value.reason.startswith("Traceback (most recent call last):")
        assert job.status() is JobState.ERROR
        assert job.error_message() == caught.value.reason
        assert job.logs() == "about to fail\n"
        assert eventually(lambda: recorder.values == [1])
        found = service.job(job.job_id())
        assert found.error_message() == caught.value.reason
        with pytest.raises(RuntimeJobFailureError):
            found.result(timeout=self.patience)

    # ---- finding jobs again ----------------------------------------------------------------------

    def test_a_job_is_taken_up_again_by_its_id(self, service: RuntimeService, gate: Gate) -> None:
        inputs = {"gate": str(gate.path), "n": 3}
        submitted = service.run("gated", inputs=inputs)
        recorder = Recorder()
        job = service.job(submitted.job_id())
        job.stream_results(recorder)
        assert recorder.reached(1, self.patience)
        assert (job.program_id, job.inputs) == ("gated", inputs)
        assert job.creation_date == submitted.creation_date
        gate.open(3)
        assert (
            job.result(timeout=self.patience)
            == submitted.result(timeout=self.patience)
            == "through"
        )
        assert recorder.values == [0, 1, 2]
        later = service.job(submitted.job_id())
        assert later.result(timeout=self.patience) == "through"
        assert list(later.interim_results()) == [0, 1, 2]

    def test_jobs_are_found_with_filters(self, service: RuntimeService, gate: Gate) -> None:
        source = textwrap.dedent(PROGRAMS["gated"])
        service.upload_program(source, {"name": "listed"})
        inputs = [{"gate": str(gate.path), "n": n} for n in (0, 0, 3)]
        ids = [service.run("listed", inputs=each).job_id() for each in inputs]
        newest = ids[::-1]
        for job_id in ids[:2]:
            service.job(job_id).wait_for_final_state(timeout=self.patience)

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
        assert ended.result(timeout=self.patience) == "through"
        gate.open(3)
        assert running.result(timeout=self.patience) == "through"

    def test_an_unknown_job_is_not_found(self, service: RuntimeService) -> None:
        with pytest.raises(TransportError) as caught:
            service.job("nobody")
        assert caught.value.status_code == 404
