"""`AsyncRuntimeService` against the local service: jobs, programs, callers that are cancelled."""

from __future__ import annotations

import asyncio
import inspect
import logging
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from conditions import PATIENCE, eventually
from own_service import OwnService, own_service

from adapters import (
    AsyncRuntimeJob,
    AsyncRuntimeService,
    RuntimeJob,
    RuntimeProgram,
    RuntimeService,
)
from adapters.service import ServiceOptions
from runtime_core.errors import (
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    RuntimeJobNotFoundError,
    UsageError,
)
from runtime_core.states import JobState

COUNTS = """
    def main(backend, user_messenger, n=3):
        for i in range(n):
            user_messenger.publish(i)
        return n
    """
WAITS = """
    import time
    def main(backend, user_messenger):
        user_messenger.publish("waiting")
        time.sleep(60)
    """
FAILS = """
    def main(backend, user_messenger):
        print("a word")
        raise ValueError("on purpose")
    """


@pytest.fixture(scope="module")
def process() -> Iterator[OwnService]:
    with own_service(workers=2) as service:
        for name, source in (("counts", COUNTS), ("waits", WAITS), ("fails", FAILS)):
            service.upload_program(textwrap.dedent(source).encode(), {"name": name})
        yield service


Scene = Callable[[AsyncRuntimeService], Coroutine[Any, Any, None]]


@pytest.fixture
def play(process: OwnService) -> Callable[[Scene], None]:
    """Run a scene in an event loop of its own, which takes no longer than `PATIENCE`."""

    async def run(scene: Scene) -> None:
        made = AsyncRuntimeService(process.url, process.token, resume="offset")
        async with asyncio.timeout(PATIENCE), made as service:
            await scene(service)

    return lambda scene: asyncio.run(run(scene), debug=True)


def test_a_job_is_submitted_streamed_and_awaited(play: Callable[[Scene], None]) -> None:
    async def scene(service: AsyncRuntimeService) -> None:
        got: list[tuple[str, int]] = []

        async def callback(job_id: str, value: int) -> None:
            await asyncio.sleep(0)
            got.append((job_id, value))

        job = await service.run("counts", inputs={"n": 5}, callback=callback)
        assert await job.result() == 5
        assert got == [(job.job_id(), i) for i in range(5)]
        assert await job.inputs() == {"n": 5}
        assert job.program_id == "counts"

    play(scene)


def test_a_job_is_found_again_and_its_results_iterated(play: Callable[[Scene], None]) -> None:
    async def scene(service: AsyncRuntimeService) -> None:
        first = await service.run("counts", inputs={"n": 4})
        await first.wait_for_final_state()
        job = await service.job(first.job_id())
        assert [value async for value in job.interim_results()] == [0, 1, 2, 3]
        assert await job.status() is JobState.DONE
        assert await job.creation_date() is not None
        assert first.job_id() in [each.job_id() for each in await service.jobs(limit=50)]
        await service.delete_job(first.job_id())
        with pytest.raises(RuntimeJobNotFoundError):
            await service.job(first.job_id())

    play(scene)


def test_many_jobs_are_awaited_at_once(play: Callable[[Scene], None]) -> None:
    async def scene(service: AsyncRuntimeService) -> None:
        jobs = await asyncio.gather(*(service.run("counts", inputs={"n": n}) for n in range(12)))
        assert await asyncio.gather(*(job.result() for job in jobs)) == list(range(12))
        names = {thread.name for thread in threading.enumerate()}
        assert "runtime-loop" not in names

    play(scene)


def test_a_failure_says_why_and_its_log_is_read(play: Callable[[Scene], None]) -> None:
    async def scene(service: AsyncRuntimeService) -> None:
        job = await service.run("fails")
        with pytest.raises(RuntimeJobFailureError, match="on purpose"):
            await job.result()
        assert "on purpose" in (await job.error_message() or "")
        assert "a word" in await job.logs()
        assert "a word" in "".join([piece async for piece in job.follow_logs()])

    play(scene)


def test_a_job_is_cancelled(play: Callable[[Scene], None]) -> None:
    async def scene(service: AsyncRuntimeService) -> None:
        job = await service.run("waits")
        async for message in job.interim_results():
            assert message == "waiting"
            await job.cancel()
        with pytest.raises(RuntimeJobCancelledError):
            await job.result()
        with pytest.raises(RuntimeInvalidStateError):
            await job.cancel()

    play(scene)


def test_programs_are_uploaded_changed_and_removed(play: Callable[[Scene], None]) -> None:
    async def scene(service: AsyncRuntimeService) -> None:
        source = textwrap.dedent(COUNTS).encode()
        name = await service.upload_program(source, {"name": "for-async"})
        await service.update_program(name, description="counts")
        program = await service.program(name)
        assert isinstance(program, RuntimeProgram)
        assert program.description == "counts"
        await service.set_program_visibility(name, public=True)
        assert (await service.program(name, refresh=True)).is_public
        listed = [each.program_id for each in await service.programs(refresh=True, limit=None)]
        assert name in listed
        await service.delete_program(name)
        assert (await service.backend()).name
        await service.logout()

    play(scene)


def test_a_job_that_is_submitted_after_its_caller_has_gone_is_named_in_the_log(
    process: OwnService, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = RuntimeService(process.url, process.token)
    sent, go_on = threading.Event(), threading.Event()
    submit = client._submitted

    def slowly(*arguments: Any) -> Any:
        sent.set()
        go_on.wait(PATIENCE)
        return submit(*arguments)

    monkeypatch.setattr(client, "_submitted", slowly)

    async def scene() -> None:
        async with AsyncRuntimeService.of(client) as service:
            task = asyncio.create_task(service.run("counts"))
            await asyncio.to_thread(sent.wait, PATIENCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            with caplog.at_level(logging.WARNING, "adapters.async_submission"):
                assert await asyncio.to_thread(eventually, lambda: "was submitted" in caplog.text)

    asyncio.run(scene())


def test_it_belongs_to_the_loop_in_which_it_was_first_used(process: OwnService) -> None:
    with RuntimeService(process.url, process.token) as client:
        service = AsyncRuntimeService.of(client)
        job = asyncio.run(service.run("counts"))
        with pytest.raises(UsageError, match="another event loop"):
            asyncio.run(service.jobs())
        with pytest.raises(UsageError, match="another event loop"):
            asyncio.run(job.result())
        with pytest.raises(UsageError, match="running event loop"):
            job.stream_results(print)


def test_it_takes_what_the_synchronous_one_takes() -> None:
    named = inspect.signature(RuntimeService).parameters
    taken = {name: each.annotation for name, each in [*named.items()][2:]}
    options = ServiceOptions.__annotations__
    assert {name: hint.__forward_arg__ for name, hint in options.items()} == taken


def test_it_has_the_names_of_the_synchronous_one() -> None:
    for ours, theirs in ((AsyncRuntimeService, RuntimeService), (AsyncRuntimeJob, RuntimeJob)):
        names = {name for name in dir(theirs) if not name.startswith("_")}
        assert names - set(dir(ours)) <= {"pprint_programs", "program_class"}


def test_a_callback_is_refused_before_the_submission_where_there_are_no_streams() -> None:
    async def scene() -> None:
        async with AsyncRuntimeService("http://127.0.0.1:1", "t", dialect="current") as service:
            with pytest.raises(UsageError, match="has no streams"):
                await service.run("counts", callback=print)

    asyncio.run(scene())


def test_the_service_of_this_machine_is_found_or_started() -> None:
    async def scene() -> None:
        async with await AsyncRuntimeService.local() as service:
            name = await service.upload_program(textwrap.dedent(COUNTS).encode())
            job = await service.run(name, inputs={"n": 2})
            assert [value async for value in job.interim_results()] == [0, 1]
            assert await job.result() == 2
            assert service.url in repr(service)

    asyncio.run(scene())
