"""What is asyncio's own of streams over real sockets. The rest is `test_channel_in_asyncio`."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conditions import PATIENCE, eventually, our_threads
from stream_service import Peer, StreamService, completed_after, silent
from wsproto.events import TextMessage

from adapters import AsyncRuntimeJob, Gap, RuntimeJob
from adapters.drivers import inbox, job_driver
from runtime_core import polling
from runtime_core.errors import JobTimeoutError
from runtime_core.events import JobStarted
from runtime_core.states import JobState

Play = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-offs, and waiting for silent streams, as always, but five times as fast."""
    monkeypatch.setattr(polling, "FIRST_RETRY", 0.1)
    monkeypatch.setattr(job_driver, "SILENCE", 0.2)


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Play]:
    """Run a coroutine on an event loop in debug mode, which has nothing to complain of."""
    make = asyncio.new_event_loop
    if request.param == "uvloop":
        make = pytest.importorskip("uvloop").new_event_loop

    async def within(coroutine: Coroutine[Any, Any, Any]) -> Any:
        asyncio.get_running_loop().slow_callback_duration = 60  # this machine is shared
        async with asyncio.timeout(2 * PATIENCE):
            return await coroutine

    with caplog.at_level(logging.WARNING, "asyncio"):
        with asyncio.Runner(debug=True, loop_factory=make) as runner:
            yield lambda coroutine: runner.run(within(coroutine))
        gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def job_of(service: StreamService, resume: str = "offset", job_id: str = "j1") -> AsyncRuntimeJob:
    return AsyncRuntimeJob("b", *service.clients(resume), job_id, "p", initial=JobStarted())


def numbers(start: int, end: int) -> list[str]:
    return [str(number) for number in range(start, end)]


def in_pieces(resume: str, size: int = 10, count: int = 30) -> Callable[[Peer], None]:
    """Send messages in pieces, and drop the connection after each."""
    published = 0

    def play(peer: Peer) -> None:
        nonlocal published
        peer.accept()
        start = {"offset": peer.after, "replay": 0, "live": published}[resume]
        published = min(count, published + size)
        peer.send(*numbers(start, published))
        if published == count:
            peer.service.status = "Completed"
            peer.close(1000)

    return play


# ---- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("resume", ["offset", "replay", "live"])
def test_interim_results_come_through_reconnects(play: Play, resume: str, tls: bool) -> None:
    async def scene() -> None:
        async with job_of(service, resume) as job:
            found = [item async for item in job.interim_results()]
            assert [item for item in found if not isinstance(item, Gap)] == list(range(30))
            gaps = [item.after for item in found if isinstance(item, Gap)]
            assert gaps == ([10, 20] if resume == "live" else [])
            assert await job.result() == "the result"

    with StreamService(in_pieces(resume), tls=tls) as service:
        play(scene())


def test_a_slow_callback_stops_the_reading_and_loses_nothing(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 100)
    count, text = 2000, json.dumps("x" * 20_000)  # 40 MB
    got: list[int] = []

    def sends(peer: Peer) -> None:
        peer.accept()
        for _ in range(peer.after, count):
            peer.send(text)
        peer.service.status = "Completed"
        peer.close()

    async def scene() -> None:
        go_on = asyncio.Event()

        async def callback(job_id: str, value: str) -> None:
            await go_on.wait()
            got.append(len(value))

        async with job_of(service) as job:
            job.stream_results(callback)
            assert await asyncio.to_thread(eventually, lambda: len(service.peers) == 1)
            peer, before = service.peers[0], -1
            while peer.sent != before:  # that nothing happens can only be seen by waiting
                before = peer.sent
                await asyncio.sleep(0.2)
            assert peer.sent < count
            assert got == []
            assert await job.status() is JobState.RUNNING  # a full inbox blocks nothing else
            go_on.set()
            assert await job.result() == "the result"

    with StreamService(sends) as service:
        play(scene())
    assert got == [20_000] * count


@pytest.mark.parametrize("tls", [False, True])
def test_a_slow_loop_over_interim_results_stops_the_reading(
    play: Play, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 100)
    count, text = 5000, json.dumps("x" * 10_000)  # 50 MB: more than all buffers on the way hold

    def sends(peer: Peer) -> None:
        peer.accept()
        for _ in range(peer.after, count):
            peer.send(text)
        peer.service.status = "Completed"
        peer.close()

    async def scene() -> None:
        async with job_of(service) as job:
            results = job.interim_results()
            assert await anext(results) == "x" * 10_000
            peer, before = service.peers[0], -1
            while peer.sent != before:  # that nothing happens can only be seen by waiting
                before = peer.sent
                await asyncio.sleep(0.2)
            assert peer.sent < count
            assert results.is_full
            assert 1 + len([item async for item in results]) == count
            assert await job.result() == "the result"

    with StreamService(sends, tls=tls) as service:
        play(scene())


def test_many_jobs_stream_in_one_loop_and_none_has_a_thread(play: Play) -> None:
    count, go_on = 150, threading.Event()

    def sends(peer: Peer) -> None:
        peer.accept()
        peer.send("0")
        go_on.wait(PATIENCE)
        peer.send(*numbers(1, 20))
        peer.service.status = "Completed"
        peer.close()

    async def one(number: int, opened: list[int]) -> list[Any]:
        async with job_of(service, job_id=f"j{number}") as job, job.interim_results() as results:
            found = [await anext(results)]
            opened.append(number)
            while len(found) < 20:
                found.append(await anext(results))
            return found

    async def scene() -> None:
        opened: list[int] = []
        tasks = [asyncio.create_task(one(number, opened)) for number in range(count)]
        assert await asyncio.to_thread(eventually, lambda: len(opened) == count)
        # The look-ups of names are through, and nobody asks for the state: there is no thread.
        assert await asyncio.to_thread(eventually, lambda: not our_threads())
        go_on.set()
        assert await asyncio.gather(*tasks) == [list(range(20))] * count

    with StreamService(sends) as service:
        play(scene())


def test_the_only_threads_are_for_requests(play: Play) -> None:
    names: set[str] = set()

    async def callback(job_id: str, value: int) -> None:
        names.update(thread.name for thread in threading.enumerate())

    async def scene() -> None:
        async with job_of(service) as job:
            job.stream_results(callback)
            await job.result()
            names.update(our_threads())

    with StreamService(in_pieces("offset")) as service:
        assert eventually(lambda: not our_threads())
        play(scene())
    assert {name for name in names if name.startswith("runtime-")} == {"runtime-request"}


# ---- cancellation, and the end -----------------------------------------------------------------


def never_answers(peer: Peer) -> None:
    peer.until_gone()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("answers", [silent, never_answers])
def test_cancelled_at_any_moment_it_leaves_no_socket(
    play: Play, answers: Callable[[Peer], None], tls: bool
) -> None:
    left: list[Peer] = []

    def until_we_leave(peer: Peer) -> None:
        try:
            answers(peer)
        finally:
            left.append(peer)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        job = job_of(service)
        for turns in itertools.chain(range(12), (20, 40, 80)):
            task = asyncio.create_task(job.wait_for_final_state(wait=60))
            for _ in range(turns):
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        with pytest.raises(JobTimeoutError):
            await job.result(timeout=0.05)
        await job.close()
        assert asyncio.all_tasks(loop) == {asyncio.current_task(loop)}

    with StreamService(until_we_leave, tls=tls) as service:
        play(scene())
        assert eventually(lambda: len(left) == len(service.peers))


def test_close_waits_for_the_orderly_close(play: Play) -> None:
    async def scene() -> None:
        job = job_of(service)
        results = job.interim_results()
        assert await anext(results) == 0
        await job.close()
        # A close frame of the client has the mask bit and two bytes for its code: 1000.
        assert service.peers[0].heard[-1][:2] == b"\x88\x82"
        assert await asyncio.to_thread(eventually, lambda: service.peers[0].gone)
        assert not job._reactor._channels
        assert [item async for item in results] == []

    def sends(peer: Peer) -> None:
        peer.accept()
        peer.send("0")
        peer.service.stopping.wait(0.3)  # it takes its time to answer
        peer.until_gone()

    with StreamService(sends) as service:
        play(scene())


def test_close_waits_no_longer_than_two_seconds_for_who_does_not_answer(play: Play) -> None:
    release = threading.Event()

    async def scene() -> None:
        job = job_of(service)
        results = job.interim_results()
        assert await anext(results) == 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        await job.close()
        assert loop.time() - began < PATIENCE
        assert not job._reactor._channels
        release.set()

    def deaf(peer: Peer) -> None:
        peer.accept()
        peer.send("0")
        release.wait(2 * PATIENCE)

    with StreamService(deaf) as service:
        play(scene())


def test_a_run_may_end_in_the_middle_of_a_stream(play: Play) -> None:
    """asyncio.run cancels the task of the callbacks; the job object is closed by a finally."""
    calls: list[int] = []

    async def callback(job_id: str, value: int) -> None:
        calls.append(value)
        await asyncio.sleep(60)

    async def scene() -> None:
        async with job_of(service) as job:
            job.stream_results(callback)
            assert await asyncio.to_thread(eventually, lambda: bool(calls))

    with StreamService(in_pieces("offset", count=1000)) as service:
        play(scene())
    assert calls == [0]


SCRIPT = """
    import asyncio, sys
    from adapters import AsyncRuntimeJob, RuntimeClient, RuntimeWebsocketClient

    async def main(url):
        with RuntimeClient(url, "t") as client:
            streams = RuntimeWebsocketClient(url, "t", resume="offset")
            async with AsyncRuntimeJob("b", client, streams, "j1", "p") as job:
                async for value in job.interim_results():
                    print(value)
                    if value == 15:
                        break
            assert "runtime-loop" not in str(sys.modules.get("threading").enumerate())
            async with AsyncRuntimeJob("b", client, streams, "j1", "p") as job:
                job.stream_results(lambda _, value: None)
                print(await job.result())

    asyncio.run(main(sys.argv[1]), debug=True)
    """


def test_a_program_in_development_mode_has_nothing_to_warn_of() -> None:
    code = textwrap.dedent(SCRIPT)
    with StreamService(in_pieces("offset", size=30)) as service:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", code, service.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if " took " not in line]  # slow, no more
    assert lines == []
    assert done.stdout.splitlines() == [*numbers(0, 16), "the result"]


INTERRUPTED = """
    import asyncio, sys
    from adapters import AsyncRuntimeJob, RuntimeClient, RuntimeWebsocketClient

    async def callback(job_id, value):
        print("called", flush=True)
        await asyncio.sleep(60)

    async def main(url):
        with RuntimeClient(url, "t") as client:
            streams = RuntimeWebsocketClient(url, "t", resume="offset")
            async with AsyncRuntimeJob("b", client, streams, "j1", "p") as job:
                job.stream_results(callback)
                await job.result()

    asyncio.run(main(sys.argv[1]), debug=True)
    """


def test_ctrl_c_ends_a_program_at_once_and_in_good_order() -> None:
    def sends(peer: Peer) -> None:
        peer.accept()
        peer.send("0")
        peer.until_gone()

    code = textwrap.dedent(INTERRUPTED)
    with (
        StreamService(sends) as service,
        subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-c", code, service.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program,
    ):
        assert program.stdout is not None
        assert program.stdout.readline() == "called\n"
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
        assert program.returncode == -signal.SIGINT
        assert said.splitlines()[-1] == "KeyboardInterrupt"
        assert "never retrieved" not in said
        assert "Warning" not in said
        assert service.peers[0].heard[-1][:2] == b"\x88\x82"  # a close frame
        assert service.asked("POST") == 0  # the job goes on


# ---- a notebook --------------------------------------------------------------------------------


def test_blocking_jobs_work_inside_of_a_running_loop(play: Play) -> None:
    items: list[int] = []

    async def scene() -> None:
        with service.job() as job:
            assert isinstance(job, RuntimeJob)
            job.stream_results(lambda _, value: items.append(value))
            assert job.result(timeout=PATIENCE) == "the result"  # blocks the loop, and comes back
            assert await asyncio.to_thread(job.result) == "the result"
            assert await asyncio.to_thread(lambda: list(job.interim_results())) == list(range(30))

    with StreamService(in_pieces("offset")) as service:
        play(scene())
    assert items == list(range(30))


def test_blocking_jobs_and_those_of_asyncio_work_beside_each_other(play: Play) -> None:
    async def scene() -> None:
        with service.job() as blocking:
            async with job_of(service) as ours:
                first = asyncio.create_task(asyncio.to_thread(blocking.result, PATIENCE, 0.1))
                found = await asyncio.gather(first, ours.result(wait=0.1))
        assert list(found) == ["the result"] * 2

    with StreamService(status=completed_after(4)) as service:
        play(scene())


def test_event_loops_in_several_threads_keep_to_themselves() -> None:
    async def scene(number: int) -> list[Any]:
        async with job_of(service, job_id=f"j{number}") as job:
            found = [item async for item in job.interim_results()]
            assert await job.result() == "the result"
            return found

    def sends(peer: Peer) -> None:
        peer.accept()
        peer.send(*numbers(peer.after, 30))
        peer.service.status = "Completed"
        peer.close()

    with StreamService(sends) as service, ThreadPoolExecutor(8) as threads:
        found = [*threads.map(lambda number: asyncio.run(scene(number)), range(16))]
    assert found == [list(range(30))] * 16


def test_large_messages_arrive_whole(play: Play) -> None:
    large = [json.dumps("x" * size) for size in (1, 200_000, 3 << 20)]

    def sends(peer: Peer) -> None:
        peer.accept()
        peer.raw(b"".join(peer.frame(TextMessage(text)) for text in large[peer.after :]))
        peer.service.status = "Completed"
        peer.close()

    async def scene() -> None:
        async with job_of(service) as job:
            found = [item async for item in job.interim_results()]
        assert [json.dumps(item) for item in found] == large

    with StreamService(sends) as service:
        play(scene())
