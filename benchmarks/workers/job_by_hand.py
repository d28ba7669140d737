"""Written by hand with requests and websocket-client, as many SDKs have it.

`default` asks each second, with `requests.get`; `fastest` asks each 10 ms, over one session;
`stream` reads the job's stream by websocket-client until it is closed, and asks then.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import requests
import websocket
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
    stream_url,
    streams_cpu_of,
    streams_of,
    together_of,
    waits_of,
)

WAY = sys.argv[1]
SECONDS = {"default": 1.0, "half": 0.5, "fastest": 0.01, "stream": 0.01}
HEADERS = {"X-Access-Token": TOKEN}
FINAL = ("Completed", "Failed", "Cancelled")
SESSION = requests.Session()
GET: Callable[..., requests.Response] = requests.get if WAY == "default" else SESSION.get


def status(url: str, job_id: str, timeout: float | None = None) -> str:
    response = GET(f"{url}/jobs/{job_id}", headers=HEADERS, timeout=timeout)
    response.raise_for_status()
    return str(response.json()["status"])


def result(url: str, job_id: str, timeout: float | None = None) -> Any:
    """Ask until the job has ended; the timeout is the whole call's, as far as requests can."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(job_id)
        try:
            if status(url, job_id, left) in FINAL:
                break
        except requests.Timeout:
            raise TimeoutError(job_id) from None
        except requests.ConnectionError:
            pass  # it may come back
        left = SECONDS[WAY] if deadline is None else deadline - time.monotonic()
        time.sleep(max(0.0, min(SECONDS[WAY], left)))
    return GET(f"{url}/jobs/{job_id}/results", headers=HEADERS, timeout=timeout).json()


def latency(url: str, share: float, shortest: float, longest: float) -> dict[str, Any]:
    body = {"program_id": "p", "params": {"seconds": seconds_of(shortest, longest, share)}}

    def complete() -> tuple[str, Any]:
        response = SESSION.post(f"{url}/jobs", json=body, headers=HEADERS)
        job_id = response.json()["id"]
        if WAY == "stream":
            read_stream(url, job_id)
        return job_id, result(url, job_id)

    return latency_of(url, complete)


def together(url: str, size: int, seconds: float) -> dict[str, Any]:
    SESSION.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=size))

    def begin(ids: Sequence[str], done: Callable[[str, Any], None]) -> list[threading.Thread]:
        return in_threads([partial(one, job_id, done) for job_id in ids])

    def one(job_id: str, done: Callable[[str, Any], None]) -> None:
        if WAY == "stream":
            read_stream(url, job_id)
        done(job_id, result(url, job_id))

    return together_of(url, size, seconds, begin)


def read_stream(url: str, job_id: str) -> None:
    connection = websocket.create_connection(stream_url(url, job_id), header=HEADERS)
    connection.recv()  # the acknowledgement
    while text := connection.recv():  # empty at the close
        json.loads(text)
    connection.close()


def rate(kind: str, url: str, messages: int, cycle: int) -> dict[str, Any]:
    meter = Meter(kind, messages, cycle)
    connection = websocket.create_connection(stream_url(url, meter.job_id), header=HEADERS)
    connection.recv()  # the acknowledgement
    while text := connection.recv():
        meter.callback(meter.job_id, json.loads(text))
    connection.close()
    return meter.answer()


def start_streams(url: str) -> Callable[[Tally], object]:
    """A thread for each stream; another for its pings is websocket-client's own."""

    def read(tally: Tally, job_id: str) -> None:
        acknowledged: list[str] = []

        def on_message(_app: object, text: str) -> None:
            if acknowledged:
                tally.take(job_id, json.loads(text))
            else:
                acknowledged.append(text)

        websocket.WebSocketApp(
            stream_url(url, job_id), header=HEADERS, on_message=on_message
        ).run_forever(ping_interval=20, ping_timeout=10)

    def start(tally: Tally) -> list[threading.Thread]:
        return in_threads([partial(read, tally, job_id) for job_id in tally.ids])

    return start


def streams(url: str, size: int, messages: int, seconds: float) -> dict[str, Any]:
    return streams_of(url, size, messages, seconds, start_streams(url))


def streams_cpu(url: str, size: int, seconds: int) -> dict[str, Any]:
    return streams_cpu_of(url, size, seconds, start_streams(url))


def waits(url: str, size: int, settle: float, seconds: float) -> dict[str, Any]:
    # As many connections as threads, or its pool would throw them away.
    SESSION.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=size))

    def begin(ids: Sequence[str]) -> list[threading.Thread]:
        return in_threads([partial(result, url, job_id) for job_id in ids])

    return waits_of(url, size, settle, seconds, begin)


def late(kind: str, url: str, timeout: float, calls: int) -> dict[str, Any]:
    if kind == "refuses":
        url = refusing()
    call = partial(result, url, f"{kind}-0")
    return lateness_of(timeout, calls, lambda: nullcontext(call), TimeoutError)


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
    serve("by hand", MEASURES, ["requests", "urllib3", "websocket-client"])
