"""Ours: jobs of a service, by threads or in asyncio, with streams or by polling."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from _protocol import Measure, serve
from _work import (
    TOKEN,
    Loop,
    Meter,
    Tally,
    in_threads,
    latency_of,
    lateness_of,
    refusing,
    seconds_of,
    streams_cpu_of,
    streams_of,
    together_of,
    waits_of,
)

from adapters import (
    AsyncRuntimeJob,
    AsyncRuntimeService,
    RuntimeClient,
    RuntimeJob,
    RuntimeService,
    RuntimeWebsocketClient,
    as_completed,
    wait,
)
from runtime_core.errors import JobTimeoutError

WAY = sys.argv[1]
FOREVER = 3600.0
OPTIONS = {"backend_name": "local"}


LOOP = Loop() if WAY == "asyncio" else None
_services: dict[str, Any] = {}


def service_at(url: str) -> Any:
    """The service, made once, as a user's program keeps it."""
    if url not in _services:
        if WAY == "current":
            _services[url] = RuntimeService(url + "/api/v1", TOKEN, dialect="current")
        elif WAY == "asyncio":
            _services[url] = AsyncRuntimeService(url, TOKEN)
        else:
            _services[url] = RuntimeService(url, TOKEN)
    return _services[url]


# ---- completion --------------------------------------------------------------------------------


def latency(url: str, share: float, shortest: float, longest: float) -> dict[str, Any]:
    inputs = {"seconds": seconds_of(shortest, longest, share)}
    service = service_at(url)

    def complete() -> tuple[str, Any]:
        with service.run("p", OPTIONS, inputs, _callback()) as job:
            return job.job_id(), job.result()

    async def complete_in_loop() -> tuple[str, Any]:
        async with await service.run("p", OPTIONS, inputs) as job:
            return job.job_id(), await job.result()

    if LOOP is None:
        return latency_of(url, complete)
    loop = LOOP
    return latency_of(url, lambda: loop.run(complete_in_loop()))


def _callback() -> Any:
    return (lambda _job_id, _value: None) if WAY == "callback" else None


def together(url: str, size: int, seconds: float) -> dict[str, Any]:
    client = RuntimeClient(url, TOKEN)
    sockets = RuntimeWebsocketClient(url, TOKEN)

    def begin(ids: Sequence[str], done: Callable[[str, Any], None]) -> object:
        jobs = [RuntimeJob("b", client, sockets, job_id, "p") for job_id in ids]

        def wait_for(job: RuntimeJob[Any]) -> None:
            done(job.job_id(), job.result())

        def wait_for_all() -> None:
            for job in as_completed(jobs, FOREVER):
                done(job.job_id(), job.result())

        if WAY == "wait":
            return in_threads([wait_for_all])
        return in_threads([partial(wait_for, job) for job in jobs])

    async def wait_in_loop(ids: Sequence[str], done: Callable[[str, Any], None]) -> None:
        async def wait_for_one(job: AsyncRuntimeJob[Any]) -> None:
            done(job.job_id(), await job.result())

        jobs = [AsyncRuntimeJob("b", client, sockets, job_id, "p") for job_id in ids]
        await asyncio.gather(*map(wait_for_one, jobs))

    def begin_in_loop(ids: Sequence[str], done: Callable[[str, Any], None]) -> object:
        assert LOOP is not None
        return LOOP.begin(wait_in_loop(ids, done))

    if LOOP is not None:
        return together_of(url, size, seconds, begin_in_loop)
    return together_of(url, size, seconds, begin)


# ---- streams -----------------------------------------------------------------------------------


def rate(kind: str, url: str, messages: int, cycle: int) -> dict[str, Any]:
    meter = Meter(kind, messages, cycle)
    streams = RuntimeWebsocketClient(url, TOKEN)

    async def read() -> None:
        async with AsyncRuntimeJob("b", client, streams, meter.job_id, "p") as job:
            job.stream_results(meter.callback)
            await job.result()

    with RuntimeClient(url, TOKEN) as client:
        if LOOP is not None:
            LOOP.run(read())
        else:
            with RuntimeJob("b", client, streams, meter.job_id, "p") as job:
                job.stream_results(meter.callback)
                job.result()
        meter.done.wait(5)
    return meter.answer()


def start_streams(url: str) -> Callable[[Tally], list[Any]]:
    client = RuntimeClient(url, TOKEN)
    # Nobody publishes a result here, and the message that may be one would be kept back.
    sockets = RuntimeWebsocketClient(url, TOKEN, streams_result=False)

    async def start_in_loop(tally: Tally) -> list[Any]:
        return [
            AsyncRuntimeJob("b", client, sockets, job_id, "p", user_callback=tally.take)
            for job_id in tally.ids
        ]

    def start(tally: Tally) -> list[Any]:
        if LOOP is not None:
            jobs: list[Any] = LOOP.run(start_in_loop(tally))
            return jobs
        return [
            RuntimeJob("b", client, sockets, job_id, "p", user_callback=tally.take)
            for job_id in tally.ids
        ]

    return start


def streams(url: str, size: int, messages: int, seconds: float) -> dict[str, Any]:
    return streams_of(url, size, messages, seconds, start_streams(url))


def streams_cpu(url: str, size: int, seconds: int) -> dict[str, Any]:
    return streams_cpu_of(url, size, seconds, start_streams(url))


# ---- waits and timeouts ------------------------------------------------------------------------


def waits(url: str, size: int, settle: float, seconds: float) -> dict[str, Any]:
    client = RuntimeClient(url, TOKEN)
    sockets = RuntimeWebsocketClient(url, TOKEN) if WAY == "streams" else None

    def begin(ids: Sequence[str]) -> object:
        jobs = [RuntimeJob("b", client, sockets, job_id, "p") for job_id in ids]
        if WAY == "wait":
            return in_threads([lambda: wait(jobs, FOREVER)])
        return in_threads([partial(job.result, FOREVER) for job in jobs])

    async def begin_in_loop(ids: Sequence[str]) -> None:
        jobs = [AsyncRuntimeJob("b", client, None, job_id, "p") for job_id in ids]
        await asyncio.gather(*(job.result(FOREVER) for job in jobs))

    if LOOP is not None:
        loop = LOOP
        return waits_of(url, size, settle, seconds, lambda ids: loop.begin(begin_in_loop(ids)))
    return waits_of(url, size, settle, seconds, begin)


@contextmanager
def waiting(url: str, job_id: str) -> Iterator[Callable[[float], object]]:
    """A job of ours, and the call that waits for its end."""
    sockets = RuntimeWebsocketClient(url, TOKEN) if WAY == "streams" else None
    with RuntimeClient(url, TOKEN) as client, RuntimeJob("b", client, sockets, job_id, "p") as job:

        def wait_for_one(seconds: float) -> None:
            if not wait([job], seconds).done:
                raise TimeoutError

        calls: dict[str, Callable[[float], object]] = {
            "wait": wait_for_one,
            "final": job.wait_for_final_state,
        }
        yield calls.get(WAY, job.result)


@contextmanager
def waiting_in_loop(url: str, job_id: str) -> Iterator[Callable[[float], object]]:
    loop = LOOP
    assert loop is not None

    async def make() -> AsyncRuntimeJob[Any]:
        return AsyncRuntimeJob("b", client, None, job_id, "p")

    with RuntimeClient(url, TOKEN) as client:
        job = loop.run(make())
        yield lambda seconds: loop.run(job.result(seconds))
        loop.run(job.close())


def late(kind: str, url: str, timeout: float, calls: int) -> dict[str, Any]:
    address = refusing() if kind == "refuses" else url
    prepared = waiting if LOOP is None else waiting_in_loop
    return lateness_of(
        timeout, calls, lambda: prepared(address, f"{kind}-0"), (JobTimeoutError, TimeoutError)
    )


MEASURES: dict[str, Measure] = {
    "latency": latency,
    "together": together,
    "rate-small": partial(rate, "small"),
    "rate-large": partial(rate, "large"),
    "streams": streams,
    "streams-cpu": streams_cpu,
    "waits": waits,
    "late-answers": partial(late, "forever"),
    "late-hangs": partial(late, "hangs"),
    "late-drips": partial(late, "drips"),
    "late-refuses": partial(late, "refuses"),
}

if __name__ == "__main__":
    serve("ours", MEASURES, ["runtime-core", "urllib3", "wsproto"])
