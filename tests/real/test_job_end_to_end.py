"""Jobs against the local service: from the submission to the result, and every way besides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conditions import PATIENCE, Recorder
from own_service import OwnService, own_service
from scripted_server import CERTIFICATE
from service_stories import PROGRAMS, Gate, ServiceStories, fill

from adapters import RuntimeClient, RuntimeJob, RuntimeService, RuntimeWebsocketClient
from runtime_core.errors import (
    EncodeError,
    JobTimeoutError,
    RuntimeJobFailureError,
    TransportError,
    UsageError,
)
from runtime_core.states import JobState


@pytest.fixture(scope="module")
def service() -> Iterator[OwnService]:
    with own_service(4) as service:
        fill(service)
        yield service


@pytest.fixture(scope="module")
def lone_worker() -> Iterator[RuntimeService]:
    with own_service(1) as service:
        yield fill(service)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


class TestLocalService(ServiceStories):
    """Its jobs do what those of every service do."""


def test_a_job_says_where_it_runs(service: OwnService) -> None:
    recorder = Recorder()
    job = service.run("echoes", {"backend_name": "here"}, callback=recorder)
    job.result(timeout=PATIENCE)
    assert recorder.values == [{"backend": "here"}]
    assert job.backend().name == service.job(job.job_id()).backend().name == "here"


FIRST_JOB = """
import sys
from adapters import RuntimeService

service = RuntimeService(*sys.argv[1:], resume="offset")
before = set(sys.modules)
interim = []
inputs = {"n": 2, "result": 3}
with service.run("counts", None, inputs, lambda _, value: interim.append(value)) as job:
    assert (job.result(timeout=20), interim) == (3, [0, 1])
print(*sorted(set(sys.modules) - before))
"""


def test_a_first_job_imports_nothing_any_more(service: OwnService) -> None:
    """Threads with deadlines would wait for it."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_JOB, service.url, service.token],
        check=True,
        capture_output=True,
        text=True,
    )
    # What the name of a host is encoded with, by Python itself.
    assert set(done.stdout.split()) <= {"encodings.idna", "stringprep"}


# ---- cancelling ----------------------------------------------------------------------------


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


# ---- failing -------------------------------------------------------------------------------


def test_a_job_that_ran_too_long_failed_and_says_so(service: OwnService) -> None:
    source = textwrap.dedent(PROGRAMS["waits"])
    service.upload_program(source, {"name": "too-long", "max_execution_time": 1})
    job = service.run("too-long")
    with pytest.raises(RuntimeJobFailureError, match="ran too long") as caught:
        job.result(timeout=PATIENCE)
    assert caught.value.reason_code == "RAN_TOO_LONG"
    assert job.status() is JobState.ERROR


# ---- refusals ------------------------------------------------------------------------------


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
