"""The service that is shared: found or started, let go of, started again when it is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conditions import PATIENCE, eventually

from adapters import RuntimeService
from adapters.local import daemon
from adapters.local.client import LocalClient
from adapters.local.daemon import find_or_start
from adapters.local.directory import keep_token, make_private
from adapters.local.lock import LOCK, find_service
from adapters.local.processes import identity_of
from adapters.local.service import LocalRuntimeService
from adapters.local.supervisor import LOST
from runtime_core.errors import (
    EncodeError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    ServiceError,
    TransportError,
    UsageError,
)
from runtime_core.states import JobState
from runtime_core.tags import Tag

WAITS = """
import os, time

def main(backend, user_messenger, until=None):
    user_messenger.publish(os.getpid())
    while until is None or not os.path.exists(until):
        time.sleep(0.01)
    return "done"
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose service is ended after the test."""
    directory = tmp_path / "data"
    yield directory
    record = find_service(directory)
    if record is not None:
        os.kill(record.pid, signal.SIGTERM)
        assert eventually(lambda: find_service(directory) is None)


def opened(data: Path) -> LocalRuntimeService:
    return RuntimeService.local(data=data, workers=1)


def kill(service: LocalRuntimeService) -> None:
    identity = identity_of(service.pid)
    os.kill(service.pid, signal.SIGKILL)
    assert eventually(lambda: identity_of(service.pid) != identity)


def test_who_comes_second_finds_the_first_ones_service(data: Path) -> None:
    with opened(data) as first, opened(data) as second:
        assert first.pid == second.pid
        assert first.url == second.url
        first.upload_program(WAITS, {"name": "waits"})
        assert second._client.programs_get()["count"] == 1


def test_it_is_not_asked_by_the_environments_proxy(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"https://127.0.0.1:{nobody.getsockname()[1]}")
        with opened(data) as service:
            service.upload_program(WAITS, {"name": "waits"})
            job = service.run("waits", inputs={"until": str(data)})
            assert len(list(job.interim_results())) == 1
            assert job.result(timeout=PATIENCE) == "done"


def test_letting_go_ends_nothing(data: Path, tmp_path: Path) -> None:
    until = tmp_path / "until"
    with opened(data) as service:
        service.upload_program(WAITS, {"name": "waits"})
        job_id = service.run("waits", inputs={"until": str(until)}).job_id()
        pid = service.pid
    until.touch()
    with opened(data) as service:
        assert service.pid == pid
        assert service.job(job_id).result(timeout=PATIENCE) == "done"


def test_the_end_of_the_script_that_started_it_ends_nothing(data: Path, tmp_path: Path) -> None:
    until = tmp_path / "until"
    script = textwrap.dedent(
        f"""
        from adapters import RuntimeService
        service = RuntimeService.local(data={str(data)!r}, workers=1)
        service.upload_program({WAITS!r}, {{"name": "waits"}})
        print(service.run("waits", inputs={{"until": {str(until)!r}}}).job_id())
        """
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        start_new_session=True,
    )
    with opened(data) as service:
        job = service.job(said.stdout.strip())
        assert next(iter(job.interim_results()))
        assert job.status() is JobState.RUNNING
        until.touch()
        assert job.result(timeout=PATIENCE) == "done"


def test_two_that_start_it_at_once_get_one(data: Path) -> None:
    found = []
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait()
        found.append(find_or_start(data, workers=1))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * PATIENCE)
    assert len(found) == 4
    assert len({record.process for record in found}) == 1


def test_a_killed_service_is_started_again_and_its_running_job_has_failed(data: Path) -> None:
    with opened(data) as service:
        service.upload_program(WAITS, {"name": "waits"})
        running = service.run("waits")
        child = next(iter(running.interim_results()))
        queued = service.run("waits", inputs={"until": "/"})
        identity, url = identity_of(child), service.url
        kill(service)
        with pytest.raises(RuntimeJobFailureError) as failure:
            running.result(timeout=4 * PATIENCE)
        assert failure.value.reason == LOST
        assert queued.result(timeout=4 * PATIENCE) == "done"
        assert identity_of(child) != identity
        assert service.url == url  # its port was kept, so other clients find it too


def test_a_submission_to_a_service_that_has_gone_is_done_once(data: Path) -> None:
    with opened(data) as service:
        service.upload_program(WAITS, {"name": "waits"})
        kill(service)
        job = service.run("waits", inputs={"until": "/"})
        assert job.result(timeout=PATIENCE) == "done"
        assert [each.job_id() for each in service.jobs()] == [job.job_id()]


def test_a_port_that_another_has_taken_is_not_waited_for(data: Path) -> None:
    with opened(data) as service:
        service.upload_program(WAITS, {"name": "waits"})
        url = service.url
        kill(service)
        # Another client, since who sits there would take this one's request.
        with (
            socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))),
            opened(data) as other,
        ):
            assert other.url != url
            job_id = other.run("waits", inputs={"until": "/"}).job_id()
            assert other.job(job_id).result(timeout=PATIENCE) == "done"


def test_it_ends_by_itself_when_nobody_needs_it(data: Path, tmp_path: Path) -> None:
    record = find_or_start(data, workers=1, idle=0.2)
    with opened(data) as service:
        service.upload_program(WAITS, {"name": "waits"})
        until = tmp_path / "until"
        job_id = service.run("waits", inputs={"until": str(until)}).job_id()
    time.sleep(1.5)  # longer than it would take to end, were it not for the job
    assert find_service(data) is not None
    until.touch()
    assert eventually(lambda: find_service(data) is None)
    assert identity_of(record.pid) != record.process
    with opened(data) as service:
        assert service.pid != record.pid
        assert service.job(job_id).result(timeout=PATIENCE) == "done"


def test_its_other_errors_are_those_of_any_service(data: Path) -> None:
    with opened(data) as service:
        with pytest.raises(TransportError, match="unknown") as caught:
            service.job("unknown")
        assert caught.value.status_code == 404


def test_what_hinders_its_start_is_said(data: Path) -> None:
    data.mkdir(mode=0o700)
    (data / "store.sqlite3").write_text("this is no database, and never was one")
    with pytest.raises(ServiceError, match=r"cannot start: The store in .* cannot be used: file"):
        opened(data)


def test_a_lock_file_of_a_process_that_is_gone_is_no_service(data: Path) -> None:
    with opened(data) as service:
        said = (data / LOCK).read_text()
        kill(service)
    assert find_service(data) is None
    # A process of that number that was started at another time is another one.
    number, _, rest = said.partition(str(service.pid))
    (data / LOCK).write_text(f"{number}{os.getpid()}{rest}")
    assert find_service(data) is None
    with opened(data) as service:
        assert service.jobs() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ServiceError, match="cannot be used: Permission denied"):
        opened(tmp_path / "data")


def test_a_directory_that_others_may_write_to(data: Path) -> None:
    data.mkdir()
    data.chmod(0o777)
    with pytest.raises(ServiceError, match="chmod go-w"):
        opened(data)


def test_a_token_that_others_may_read(data: Path) -> None:
    with opened(data) as service:
        assert (data / "token").stat().st_mode & 0o077 == 0
        kill(service)
        (data / "token").chmod(0o644)
    with pytest.raises(ServiceError, match="Others may read the access token"):
        opened(data)


SAYS_WHERE = """
import os, sys

def main(backend, user_messenger):
    import only_the_submitter_has
    return [os.environ["RUNTIME_CORE_JOB"], sys.executable, only_the_submitter_has.VALUE]
"""


def test_a_program_finds_what_its_submitter_finds(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_the_submitter_has.py").write_text("VALUE = 5")
    with opened(data) as service:  # started without it
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        job = service.run(service.upload_program(SAYS_WHERE))
        assert job.result(timeout=PATIENCE) == [job.job_id(), sys.executable, 5]
        monkeypatch.delenv("PYTHONPATH")
        job = service.run(service.upload_program(SAYS_WHERE))
        with pytest.raises(RuntimeJobFailureError, match="only_the_submitter_has"):
            job.result(timeout=PATIENCE)


def test_a_stranger_does_not_keep_it_from_ending(data: Path) -> None:
    record = find_or_start(data, workers=1, idle=0.2)
    with socket.create_connection(("127.0.0.1", record.port)):
        assert eventually(lambda: find_service(data) is None)


def test_interim_results_of_a_job_that_has_ended_are_read_when_the_service_has_too(
    data: Path,
) -> None:
    with opened(data) as service:
        job = service.run(service.upload_program(WAITS), inputs={"until": "/"})
        assert job.result(timeout=PATIENCE) == "done"
        kill(service)
        assert len(list(job.interim_results())) == 1


IGNORES_SIGTERM = """
import os, signal, time

def main(backend, user_messenger):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    user_messenger.publish(os.getpid())
    time.sleep(60)
"""


def test_a_cancel_that_was_acknowledged_holds_when_the_service_is_killed(data: Path) -> None:
    with opened(data) as service:
        job = service.run(service.upload_program(IGNORES_SIGTERM))
        assert next(iter(job.interim_results()))
        service._client.job_cancel(job.job_id())
        kill(service)
        with pytest.raises(RuntimeJobCancelledError):
            job.result(timeout=4 * PATIENCE)


def test_why_no_service_comes_up_is_said_to_who_streams(data: Path) -> None:
    with opened(data) as service:
        job = service.run(service.upload_program(WAITS), inputs={"until": "/"})
        assert job.result(timeout=PATIENCE) == "done"
        kill(service)
        for path in data.glob("store.sqlite3*"):
            path.write_text("this is no database, and never was one")
        with pytest.raises(TransportError, match=r"could not be prepared: .* cannot start: The"):
            list(job.interim_results())


def test_a_stranger_on_the_port_of_a_service_that_ended_gets_no_token(data: Path) -> None:
    with opened(data) as service:
        service.jobs()
        kill(service)
        with socket.create_server(("127.0.0.1", int(service.url.rpartition(":")[2]))) as stranger:
            stranger.settimeout(0.2)
            assert service.jobs() == []
            with pytest.raises(TimeoutError):
                stranger.accept()


def test_a_new_token_is_followed(data: Path) -> None:
    with opened(data) as service:
        kill(service)
        keep_token(data, "another-token-than-before")
        assert service.jobs() == []
        assert service._client.access_token == "another-token-than-before"


def test_a_client_that_is_closed_while_it_looks_for_a_service_starts_none(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = LocalClient(data)

    def closes_meanwhile(directory: Path) -> None:
        client.close()

    monkeypatch.setattr(daemon, "find_service", closes_meanwhile)
    with pytest.raises(UsageError, match="closed"):
        client.awaken()


def test_a_closed_client_stays_closed_when_its_service_ends(data: Path) -> None:
    with opened(data) as service:
        job = service.run(service.upload_program(WAITS), inputs={"until": "/"})
    kill(service)
    with pytest.raises(UsageError, match="closed"):
        service.jobs()
    assert find_service(data) is None
    with pytest.raises(UsageError, match="closed"):
        job.logs()


def test_the_service_comes_up_though_its_starter_has_gone(data: Path) -> None:
    make_private(data)
    command = [sys.executable, "-P", "-m", "adapters.local.server", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert eventually(lambda: find_service(data) is not None)
        with opened(data) as service:
            assert service.pid == process.pid
            assert service.jobs() == []
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"process": "x"}', '{"process": 5}', "{}"], ids=range(5)
)
def test_a_damaged_lock_file_is_no_service(data: Path, text: str) -> None:
    make_private(data)
    (data / LOCK).write_text(text)
    assert find_service(data) is None
    with opened(data) as service:
        assert service.jobs() == []


def test_a_directory_where_the_log_should_be_is_said_in_a_sentence(data: Path) -> None:
    make_private(data)
    (data / "service.log").mkdir()
    with pytest.raises(ServiceError, match=r"cannot be started in .*: .*Is a directory"):
        opened(data)


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_inputs_may_hold_what_the_callers_tags_say(data: Path) -> None:
    tag = Tag("Point", (Point,), lambda point: point.x, Point)
    source = """
from runtime_core import Tag, decode_tagged, encode_tagged

class Point:
    def __init__(self, x):
        self.x = x

def main(backend, user_messenger, point):
    tag = Tag("Point", (Point,), lambda point: point.x, Point)
    return decode_tagged(encode_tagged(point), tags=[tag]).x + 1
"""
    with RuntimeService.local(data=data, workers=1, tags=[tag]) as service:
        job = service.run(service.upload_program(source), inputs={"point": Point(6)})
        assert job.result(timeout=PATIENCE) == 7
    with opened(data) as service, pytest.raises(EncodeError, match="Point"):
        service.run(job.program_id, inputs={"point": Point(6)})
