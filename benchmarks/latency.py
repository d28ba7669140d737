"""How soon after the end of a job `result()` returns, and with how many HTTP requests.

Twenty jobs of 0.2 to 3 s on the local service, one after the other, default arguments: with a
callback for interim results, without one, and by polling alone. The end of a job is when its
service knew of it, by the clock that both processes share; what the program's own process needs to
exit before that is the service's business, and shown beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
from _tables import Summary, machine_line, print_table, summarize

from adapters import RuntimeClient, RuntimeJob, RuntimeWebsocketClient
from adapters.local.process import LocalServiceProcess
from runtime_core.events import JobQueued

TARGET_MS = 10.0
TARGET_REQUESTS = 4

PROGRAM = """
import time

def main(backend, user_messenger, seconds):
    user_messenger.publish({"half": seconds / 2})
    time.sleep(seconds)
    return time.time()
"""


class CountingClient(RuntimeClient):
    """Counts the requests of each job."""

    def __init__(self, url: str, access_token: str) -> None:
        super().__init__(url, access_token)
        self.requests: Counter[str] = Counter()

    def program_run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        answer = super().program_run(*args, **kwargs)
        self.requests[answer["id"]] += 1
        return answer

    def job_get(self, job_id: str) -> dict[str, Any]:
        self.requests[job_id] += 1
        return super().job_get(job_id)

    def job_results(self, job_id: str) -> str:
        self.requests[job_id] += 1
        return super().job_results(job_id)


@attrs.frozen
class Case:
    """A way of waiting for a result."""

    name: str
    """What it is called in the report."""
    streams: bool
    """Whether the job knows of the service's streams."""
    callback: Callable[[str, Any], None] | None = None
    """Gets interim results."""
    target: float | None = None
    """The latency in milliseconds that the median is to stay below."""


CASES = (
    Case("result() with a callback", True, lambda *_: None, TARGET_MS),
    Case("result() alone", True, None, TARGET_MS),
    Case("result() by polling", False),
)


@attrs.frozen
class Measured:
    """What one way of waiting took."""

    case: Case
    """How it waited."""
    latency: Summary
    """Milliseconds from the end of the job on the service to the return of `result()`."""
    since_return: Summary
    """Milliseconds from the return of the program's `main` to the return of `result()`."""
    requests: int
    """The most HTTP requests of one job, its submission included."""


def run_one(
    client: CountingClient, streams: RuntimeWebsocketClient | None, case: Case, seconds: float
) -> tuple[float, float, int]:
    job_id = client.program_run("latency", params={"seconds": seconds})["id"]
    with RuntimeJob(
        "local", client, streams, job_id, "latency", {}, None, case.callback, initial=JobQueued()
    ) as job:
        returned_from_main = job.result()
        now = time.time()
    requests = client.requests[job_id]
    ended = datetime.fromisoformat(client.job_get(job_id)["ended"]).timestamp()
    return (now - ended) * 1000, (now - returned_from_main) * 1000, requests


def measure(case: Case, service: LocalServiceProcess, jobs: int) -> Measured:
    streams = RuntimeWebsocketClient(service.url, service.access_token, resume="offset")
    with CountingClient(service.url, service.access_token) as client:
        rows = [
            run_one(client, streams if case.streams else None, case, 0.2 + 2.8 * i / (jobs - 1))
            for i in range(jobs)
        ]
    latency, since_return, requests = zip(*rows, strict=True)
    return Measured(case, summarize(latency), summarize(since_return), max(requests))


def spread(summary: Summary) -> str:
    return f"{summary.median:.1f} ({summary.low:.1f} to {summary.high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20, help="how many jobs each case runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    with LocalServiceProcess.start() as service:
        with RuntimeClient(service.url, service.access_token) as client:
            client.program_create("latency", PROGRAM, max_execution_time=60)
        measured = [measure(case, service, options.jobs) for case in CASES]
    if options.json:
        plain = [
            attrs.asdict(row, filter=lambda a, _: a.name not in ("case", "callback"))
            | {"case": row.case.name}
            for row in measured
        ]
        print(json.dumps({"machine": machine_line(), "latency": plain}, indent=2))
        return
    print(machine_line())
    print(f"{options.jobs} jobs of 0.2 to 3 s each; milliseconds: median (10 % to 90 %)")
    header = ("", "after its end", "target", "after main()", "requests", "target")
    print_table(
        header,
        [
            (
                row.case.name,
                spread(row.latency),
                "-" if row.case.target is None else f"{row.case.target:g}",
                spread(row.since_return),
                str(row.requests),
                str(TARGET_REQUESTS) if row.case.streams else "-",
            )
            for row in measured
        ],
    )


if __name__ == "__main__":
    main()
