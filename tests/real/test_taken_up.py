"""A process is killed while it streams a job; another one takes the job up from its last handle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conditions import PATIENCE, eventually

from adapters import RuntimeService
from adapters.local.lock import find_service
from runtime_core.job_handle import JobHandle
from runtime_core.states import JobState

TICKS = """
import os, time

def main(backend, user_messenger, until):
    number = 0
    while not os.path.exists(until):
        user_messenger.publish(number)
        number += 1
        time.sleep(0.001)
    return number
"""

STREAMS = {
    "threads": """
        import json, os, sys, time
        from adapters import RuntimeService

        given = json.loads(sys.argv[1])
        file = given["file"]

        def save(job_id, value):
            assert job.handle().cursor == value  # so many were before this one
            with open(file + ".new", "w") as new:
                new.write(job.handle().to_json())
            os.replace(file + ".new", file)

        service = RuntimeService.local(data=given["data"])
        job = service.run("ticks", inputs={"until": given["until"]})
        job.stream_results(save)
        job.result()
        """,
    "asyncio": """
        import asyncio, json, os, sys
        from adapters import AsyncRuntimeService

        given = json.loads(sys.argv[1])
        file = given["file"]

        async def main():
            service = await AsyncRuntimeService.local(data=given["data"])
            job = await service.run("ticks", inputs={"until": given["until"]})

            async def save(job_id, value):
                await asyncio.sleep(0)
                assert job.handle().cursor == value
                with open(file + ".new", "w") as new:
                    new.write(job.handle().to_json())
                os.replace(file + ".new", file)

            job.stream_results(save)
            await job.result()

        asyncio.run(main())
        """,
}
"""Runs a job and streams it; keeps its handle in a file, as of each interim result."""

TAKES_UP = {
    "threads": """
        import json, sys
        from adapters import RuntimeService
        from runtime_core import JobHandle

        given = json.loads(sys.argv[1])
        handle = JobHandle.from_json(open(given["file"]).read())
        heard = []

        def hear(job_id, value):
            heard.append(value)
            open(given["until"], "w").close()

        with RuntimeService.local(data=given["data"]) as service:
            job = service.take_up(handle, hear)
            result, cursor = job.result(), job.handle().cursor
            again = list(service.take_up(handle).interim_results())
        print(json.dumps([heard, result, cursor, again]))
        """,
    "asyncio": """
        import asyncio, json, sys
        from adapters import AsyncRuntimeService
        from runtime_core import JobHandle

        given = json.loads(sys.argv[1])
        handle = JobHandle.from_json(open(given["file"]).read())
        heard = []

        async def hear(job_id, value):
            heard.append(value)
            open(given["until"], "w").close()

        async def main():
            async with await AsyncRuntimeService.local(data=given["data"]) as service:
                job = service.take_up(handle, hear)
                result, cursor = await job.result(), job.handle().cursor
                again = [value async for value in service.take_up(handle).interim_results()]
            print(json.dumps([heard, result, cursor, again]))

        asyncio.run(main())
        """,
}
"""Takes the job of a handle up, lets it end, and prints what came of it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a service of this machine, which is ended after the tests."""
    directory = tmp_path_factory.mktemp("handles") / "data"
    with RuntimeService.local(data=directory, workers=2) as service:
        service.upload_program(TICKS, {"name": "ticks"})
        yield directory
    record = find_service(directory)
    if record is not None:
        os.kill(record.pid, signal.SIGTERM)
        assert eventually(lambda: find_service(directory) is None)


def started(source: str, given: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(source), json.dumps(given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def saved(file: Path) -> JobHandle | None:
    return JobHandle.from_json(file.read_text()) if file.exists() else None


@pytest.mark.parametrize(("first", "second"), [("threads", "asyncio"), ("asyncio", "threads")])
def test_a_killed_process_s_job_is_taken_up_from_its_last_handle(
    data: Path, tmp_path: Path, first: str, second: str
) -> None:
    file, until = tmp_path / "handle.json", tmp_path / "until"
    given = {"data": str(data), "file": str(file), "until": str(until)}

    def has_come_far() -> bool:
        handle = saved(file)
        return handle is not None and handle.cursor >= 30

    streaming = started(STREAMS[first], given)
    try:
        assert eventually(has_come_far)
    finally:
        streaming.kill()
        streaming.communicate()
    assert streaming.returncode == -signal.SIGKILL
    handle = saved(file)
    assert handle is not None
    assert (handle.service, handle.dialect) == (f"local:{data}", "legacy")
    assert (handle.program_id, handle.decoder) == ("ticks", "ResultDecoder")
    assert handle.state in (None, JobState.QUEUED, JobState.RUNNING)

    output, _ = started(TAKES_UP[second], given).communicate(timeout=2 * PATIENCE)
    heard, result, cursor, again = json.loads(output)
    # Nothing is missing from the handle's cursor on, nothing comes twice, and nothing of before.
    assert heard == list(range(handle.cursor, result))
    assert cursor == result
    # The job has ended since: the same handle still gives all of it.
    assert again == heard


def test_a_handle_of_this_machine_s_service_outlives_the_service(data: Path) -> None:
    with RuntimeService.local(data=data) as service:
        job: Any = service.run("ticks", inputs={"until": str(data)})
        handle = JobHandle.from_json(job.handle().to_json())
        assert job.result() == 0
        pid = service.pid
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: find_service(data) is None)
    with RuntimeService.local(data=data) as service:
        assert service.pid != pid
        assert service.take_up(handle).result() == 0
