"""qiskit-ibmq-provider 0.20.2, the original of `RuntimeJob`, by its own classes.

What is replaced is the account: logging in asks the company's servers, and all that jobs need of it
is their credentials.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from _protocol import Measure, serve
from _work import (
    TOKEN,
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
from qiskit.providers.exceptions import JobTimeoutError
from qiskit.providers.ibmq.api.clients import RuntimeClient
from qiskit.providers.ibmq.credentials import Credentials
from qiskit.providers.ibmq.runtime import IBMRuntimeService, RuntimeJob

WAY = sys.argv[1]
WAITS = {"default": {}, "callback": {}, "half": {"wait": 0.5}, "fastest": {"wait": 0.01}}
"""The arguments of `result`: `wait` is the seconds between two questions, by default 5."""
FOREVER = 3600.0


class Url(str):
    """The service's; the original makes its websockets' of it by replacing https by wss."""

    def replace(self, old: str, new: str, count: int = -1) -> str:  # noqa: ARG002
        return super().replace("http", "ws", 1) if (old, new) == ("https", "wss") else self


class Account:
    """All that the runtime's classes ask of an account."""

    def __init__(self, url: str) -> None:
        self.credentials = Credentials(
            TOKEN,
            Url(url),
            hub="h",
            group="g",
            project="p",
            access_token=TOKEN,
            services={"runtime": Url(url)},
        )
        self.client = RuntimeClient(self.credentials)

    def get_backend(self, name: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(name=lambda: name)

    def job(self, job_id: str) -> RuntimeJob:
        return RuntimeJob("b", self.client, self.credentials, job_id, "p")


_services: dict[str, Any] = {}


def latency(url: str, share: float, shortest: float, longest: float) -> dict[str, Any]:
    if url not in _services:
        _services[url] = IBMRuntimeService(Account(url))
    service = _services[url]
    inputs = {"seconds": seconds_of(shortest, longest, share)}
    callback = (lambda _job_id, _value: None) if WAY == "callback" else None

    def complete() -> tuple[str, Any]:
        job = service.run("p", {"backend_name": "local"}, inputs, callback)
        return job.job_id(), job.result(**WAITS[WAY])

    return latency_of(url, complete)


def together(url: str, size: int, seconds: float) -> dict[str, Any]:
    account = Account(url)

    def begin(ids: Sequence[str], done: Callable[[str, Any], None]) -> list[threading.Thread]:
        jobs = [account.job(job_id) for job_id in ids]
        return in_threads([partial(one, job, done) for job in jobs])

    def one(job: RuntimeJob, done: Callable[[str, Any], None]) -> None:
        done(job.job_id(), job.result(**WAITS[WAY]))

    return together_of(url, size, seconds, begin)


def rate(kind: str, url: str, messages: int, cycle: int) -> dict[str, Any]:
    meter = Meter(kind, messages, cycle)
    job = Account(url).job(meter.job_id)
    job.stream_results(meter.callback)
    meter.done.wait()
    return meter.answer()


def start_streams(url: str) -> Callable[[Tally], list[Any]]:
    account = Account(url)

    def start(tally: Tally) -> list[Any]:
        jobs = [account.job(job_id) for job_id in tally.ids]
        for job in jobs:
            job.stream_results(tally.take)
        return jobs

    return start


def streams(url: str, size: int, messages: int, seconds: float) -> dict[str, Any]:
    return streams_of(url, size, messages, seconds, start_streams(url))


def streams_cpu(url: str, size: int, seconds: int) -> dict[str, Any]:
    return streams_cpu_of(url, size, seconds, start_streams(url))


def waits(url: str, size: int, settle: float, seconds: float) -> dict[str, Any]:
    account = Account(url)

    def begin(ids: Sequence[str]) -> list[threading.Thread]:
        jobs = [account.job(job_id) for job_id in ids]
        return in_threads([partial(job.result, FOREVER, **WAITS[WAY]) for job in jobs])

    return waits_of(url, size, settle, seconds, begin)


def late(kind: str, url: str, timeout: float, calls: int) -> dict[str, Any]:
    account = Account(refusing() if kind == "refuses" else url)

    def prepared() -> AbstractContextManager[Callable[[float], object]]:
        return nullcontext(partial(account.job(f"{kind}-0").result, **WAITS[WAY]))

    return lateness_of(timeout, calls, prepared, JobTimeoutError)


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
    serve("ibmq", MEASURES, ["qiskit-ibmq-provider", "qiskit-terra", "websocket-client"])
