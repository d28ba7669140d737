"""What `waits.py` measures, one way of waiting in each process.

Also run by the Python of the original's environment, in which nothing of ours is: so what is
imported stands in the functions.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

TOKEN = "the-token"
WAIT = 0.5
"""Seconds between two polls, the `wait` of each call."""
FOREVER = 600.0
"""The timeout of waits; they are never waited for to their end."""
SETTLED = 3.0
"""Seconds after the last wait has begun, from which on is measured: the polls have become rarer."""


def original(url: str, ids: list[str]) -> Callable[[], None]:
    """A thread each in `RuntimeJob.result` of qiskit-ibmq-provider."""
    warnings.simplefilter("ignore")
    from qiskit.providers.ibmq.api.clients import RuntimeClient  # pyright: ignore[reportMissingImports]
    from qiskit.providers.ibmq.credentials import Credentials  # pyright: ignore[reportMissingImports]
    from qiskit.providers.ibmq.runtime import RuntimeJob  # pyright: ignore[reportMissingImports]

    credentials = Credentials(
        TOKEN,
        url,
        hub="h",
        group="g",
        project="p",
        access_token=TOKEN,
        services={"runtime": url},
    )
    client = RuntimeClient(credentials)
    jobs = [RuntimeJob("b", client, credentials, job_id, "p") for job_id in ids]
    return lambda: _in_threads([partial(job.result, FOREVER, WAIT) for job in jobs])


def ours(url: str, ids: list[str]) -> Callable[[], None]:
    """The same with ours, by polling."""
    jobs = _jobs(url, ids, streams=False)
    return lambda: _in_threads([partial(job.result, FOREVER, WAIT) for job in jobs])


def ours_with_streams(url: str, ids: list[str]) -> Callable[[], None]:
    """The same with ours, where the service has streams."""
    jobs = _jobs(url, ids, streams=True)
    return lambda: _in_threads([partial(job.result, FOREVER, WAIT) for job in jobs])


def ours_unlimited(url: str, ids: list[str]) -> Callable[[], None]:
    """The same with ours, by polling, each job as often as with the original."""
    jobs = _jobs(url, ids, streams=False, status_rate=1_000.0)
    return lambda: _in_threads([partial(job.result, FOREVER, WAIT) for job in jobs])


def ours_together(url: str, ids: list[str]) -> Callable[[], None]:
    """All of them in one `wait`, in one thread."""
    from adapters import wait

    jobs = _jobs(url, ids, streams=False)
    return lambda: _in_threads([lambda: wait(jobs, FOREVER)])


def _jobs(
    url: str, ids: list[str], *, streams: bool, status_rate: float | None = None
) -> list[Any]:
    from adapters import RuntimeClient, RuntimeJob, RuntimeWebsocketClient

    client = RuntimeClient(url, TOKEN)
    if status_rate is not None:
        client.status_requests_per_second = status_rate
    sockets = RuntimeWebsocketClient(url, TOKEN) if streams else None
    return [RuntimeJob("b", client, sockets, job_id, "p") for job_id in ids]


def _in_threads(calls: list[Callable[[], object]]) -> None:
    for call in calls:
        threading.Thread(target=call, name="caller", daemon=True).start()


CLIENTS = {
    "original": original,
    "ours": ours,
    "ours-streams": ours_with_streams,
    "ours-unlimited": ours_unlimited,
    "wait": ours_together,
}


def main() -> None:
    kind, url, jobs, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 4096), hard))
    begin = CLIENTS[kind](url, [f"job-{number}" for number in range(jobs)])
    before = threading.active_count()
    begin()
    time.sleep(SETTLED)
    cpu, start = time.process_time(), time.monotonic()
    most = 0
    while time.monotonic() < start + seconds:
        time.sleep(0.25)
        most = max(most, threading.active_count() - before)
    cpu = (time.process_time() - cpu) / (time.monotonic() - start)
    callers = sum(thread.name == "caller" for thread in threading.enumerate())
    print(json.dumps({"cpu": cpu, "callers": callers, "threads": most - callers}), flush=True)
    os._exit(0)  # waits that nobody wants to see the end of


if __name__ == "__main__":
    main()
