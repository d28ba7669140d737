"""The service is killed at any moment: nothing it acknowledged is lost, and nobody waits in vain.

`make soak` does at length what the first test does in a few rounds; the others are what it found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conditions import PATIENCE, eventually

from adapters import RuntimeService
from adapters.local import client as local_client
from adapters.local.daemon import find_or_start
from adapters.local.lock import ServiceRecord, find_service
from adapters.local.records import Program
from adapters.local.store import Store
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import RuntimeJobCancelledError, ServiceError, TransportError

SOAK = Path(__file__).parents[1] / "soak" / "kill.py"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose service is ended after the test."""
    directory = tmp_path / "data"
    yield directory
    record = find_service(directory)
    if record is not None:
        os.kill(record.pid, signal.SIGTERM)
        assert eventually(lambda: find_service(directory) is None)


def at_start(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Have every service that is started run `source` first."""
    folder.mkdir()
    guard = "import sys\nif 'adapters.local.server' in sys.orig_argv:\n"
    lines = "".join(f"    {line}\n" for line in source.splitlines())
    (folder / "sitecustomize.py").write_text(guard + lines)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="looks at Linux's /proc")
def test_eight_moments() -> None:
    done = subprocess.run(
        [sys.executable, SOAK, "--moments", "8", "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=20 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_that_is_killed_while_it_starts_is_started_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"""
import os, signal
with open({str(tmp_path / "starts")!r}, "a") as file:
    file.write("x")
if os.path.getsize({str(tmp_path / "starts")!r}) < 3:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    at_start(tmp_path / "site", monkeypatch, source)
    with RuntimeService.local(data=data, workers=1) as service:
        assert service.jobs() == []
    assert (tmp_path / "starts").read_text() == "xxx"


def test_one_that_always_dies_is_given_up(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_start(tmp_path / "site", monkeypatch, "import os\nos._exit(1)")
    with pytest.raises(ServiceError, match=r"ended while it started\. It wrote: nothing"):
        RuntimeService.local(data=data, workers=1)


def test_one_that_says_why_it_dies_is_started_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.mkdir(mode=0o700)
    (data / "service.log").write_text("something older\n")
    source = f"""
import os
os.write(2, b"out of luck")
os.mkdir({str(tmp_path / "started")!r})
os._exit(1)
"""
    at_start(tmp_path / "site", monkeypatch, source)
    with pytest.raises(ServiceError, match=r"It wrote: out of luck$"):
        RuntimeService.local(data=data, workers=1)


# ---- between what is done and its answer -------------------------------------------------------

WAITS = """
import time

def main(backend, user_messenger):
    time.sleep(600)
"""

DIES_ONCE = """
import os, signal
from adapters.local.store import Store

method = Store.{method}

def dies_once(*arguments):
    try:
        return method(*arguments)
    finally:
        if {condition} and not os.path.exists({flag!r}):
            os.mkdir({flag!r})
            os.kill(os.getpid(), signal.SIGKILL)

Store.{method} = dies_once
"""


@pytest.fixture
def dies_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Has the first service die when it has done this in its store, under that condition."""

    def dies(method: str, condition: str) -> None:
        flag = str(tmp_path / "died")
        source = DIES_ONCE.format(method=method, condition=condition, flag=flag)
        at_start(tmp_path / "site", monkeypatch, source)

    return dies


def test_an_upload_is_done_once(
    data: Path, tmp_path: Path, dies_after: Callable[[str, str], None]
) -> None:
    dies_after("add_program", "True")
    with RuntimeService.local(data=data, workers=1) as service:
        metadata = {"name": "waits", "description": "It waits.", "spec": {"one": [1.5, None]}}
        assert service.upload_program(WAITS, metadata) == "waits"
        assert (tmp_path / "died").exists()
        # Another one of that name is refused as ever.
        with pytest.raises(TransportError, match="409"):
            service.upload_program(WAITS, metadata)


def test_an_upload_that_meets_another_ones_is_refused(
    data: Path, tmp_path: Path, dies_after: Callable[[str, str], None]
) -> None:
    # It dies when it has found that there is one of that name.
    other = str(tmp_path / "other")
    dies_after("add_program", f"os.path.exists({other!r})")
    with RuntimeService.local(data=data, workers=1) as service:
        service.upload_program(WAITS, {"name": "waits"})
        (tmp_path / "other").touch()
        with pytest.raises(TransportError, match="409"):
            service.upload_program(WAITS + "# another", {"name": "waits"})
        assert (tmp_path / "died").exists()


def test_a_cancel_is_done_once(
    data: Path, tmp_path: Path, dies_after: Callable[[str, str], None]
) -> None:
    dies_after("end_job", "True")
    with RuntimeService.local(data=data, workers=1) as service:
        service.upload_program(WAITS, {"name": "waits"})
        running, queued = service.run("waits"), service.run("waits")
        queued.cancel()
        assert (tmp_path / "died").exists()
        assert queued.cancel_outcome() in (None, CancelOutcome.CANCELLED)
        with pytest.raises(RuntimeJobCancelledError):
            queued.result(timeout=PATIENCE)
        assert queued.cancel_outcome() is CancelOutcome.CANCELLED
        running.close()


def test_a_removal_is_done_once(
    data: Path, tmp_path: Path, dies_after: Callable[[str, str], None]
) -> None:
    dies_after("delete_jobs", "True")
    with RuntimeService.local(data=data, workers=1) as service:
        service.upload_program("def main(*_):\n    pass\n", {"name": "short"})
        job = service.run("short")
        job.wait_for_final_state(timeout=PATIENCE)
        service._client.job_delete(job.job_id())
        assert (tmp_path / "died").exists()
        assert service.jobs() == []
        with pytest.raises(TransportError, match="404"):
            service._client.job_delete(job.job_id())


def test_a_killed_service_that_looks_alive_is_followed_too(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RuntimeService.local(data=data, workers=1) as service:
        service.upload_program(WAITS, {"name": "waits"})
        record = find_service(data)
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        looks = 0

        # The kernel closes its connections a moment before it is seen to be gone.
        def dying(directory: Path, **more: Any) -> ServiceRecord:
            nonlocal looks
            looks += 1
            return record if looks < 4 else find_or_start(directory, **more)

        monkeypatch.setattr(local_client, "find_or_start", dying)
        job = service.run("waits")
        assert [each.job_id() for each in service.jobs()] == [job.job_id()]
        job.close()


# ---- while a file is written -------------------------------------------------------------------


class KilledError(BaseException):
    """Stands for the end of the process."""


def test_a_source_that_another_program_has_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = b"#" * 100_000
    with Store.open(tmp_path) as store:
        kept = store.add_program(Program("first", 1), source)

        def torn(path: Path, data: bytes) -> None:
            path.open("wb").close()
            raise KilledError

        monkeypatch.setattr(Path, "write_bytes", torn)
        with contextlib.suppress(KilledError):
            store.add_program(Program("second", 1), source)
        monkeypatch.undo()
    with Store.open(tmp_path) as store:
        assert store.source(kept.source) == source


def test_what_was_left_of_sources_goes_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = b"#" * 100_000
    with Store.open(tmp_path) as store:
        store.add_program(Program("kept", 1), source)
        store.add_program(Program("gone", 1), b"-" * 100_000)

        def killed(path: Path, missing_ok: bool = False) -> None:
            raise KilledError

        monkeypatch.setattr(Path, "unlink", killed)
        with pytest.raises(KilledError):
            store.delete_program("gone")
        monkeypatch.undo()
        assert len(list((tmp_path / "sources").iterdir())) == 2
    with Store.open(tmp_path) as store:
        kept = store.program("kept")
        assert kept is not None
        assert [path.name for path in (tmp_path / "sources").iterdir()] == [kept.source]
        assert store.source(kept.source) == source
