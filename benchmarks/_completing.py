"""Where the milliseconds go between the end of a job and the return of `result()`.

By an observer, which is told each event of the job's machine and when it came; the end itself is
the service's word. Both processes read the same clock.
"""

from __future__ import annotations

import itertools
import statistics
import time

from _serving import serving
from _work import TOKEN, ask

from adapters import RuntimeService
from runtime_core import JobSucceeded, ResultReceived, Step, StreamClosed

JOBS = 40
"""How many jobs are run; their medians are shown."""
SECONDS = 0.3
"""How long each of them runs."""

STAGES = (
    "the service's close is read, and known to be one",
    "the status is asked for, and here",
    "the result is asked for, and here",
    "it is decoded, and `result()` returns",
)
"""What ends with the stream's close, the status, the result's text, and the return."""


def completing() -> None:
    """Print the median of each stage, in milliseconds."""
    seen: dict[type, float] = {}

    def observe(step: Step) -> None:
        seen[type(step.event)] = step.at + time.time() - time.monotonic()

    stages: list[list[float]] = []
    with serving() as url:
        service = RuntimeService(url, TOKEN, observer=observe)
        for _ in range(JOBS):
            seen.clear()
            with service.run("p", {"backend_name": "local"}, {"seconds": SECONDS}) as job:
                job.result()
                returned = time.time()
            ended = ask(url, f"counts?job={job.job_id()}")["ended"]
            events = [seen[StreamClosed], seen[JobSucceeded], seen[ResultReceived]]
            pairs = itertools.pairwise([ended, *events, returned])
            stages.append([(end - begin) * 1000 for begin, end in pairs])
    for words, taken in zip(STAGES, zip(*stages, strict=True), strict=True):
        print(f"{words:50}{statistics.median(taken):8.2f} ms")
    print(f"{'together':50}{statistics.median(map(sum, stages)):8.2f} ms")
