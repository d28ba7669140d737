"""The peer of `ray.py`: Ray's own client, in an environment that has it. Run with ``python -P``.

A line of JSON on stdin is a job, one on stdout what was measured of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import sys
import time
from typing import Any

from ray.job_submission import JobSubmissionClient

PROGRAM = "_ray_program.py"


def submitted(client: JobSubmissionClient, folder: str, gaps: list[float]) -> str:
    """Submit the program as Ray's documentation says."""
    job_id: str = client.submit_job(
        entrypoint=f"python {PROGRAM} {shlex.quote(json.dumps(gaps))}",
        runtime_env={"working_dir": folder},
        entrypoint_num_cpus=1,
    )
    return job_id


def returned(client: JobSubmissionClient, job_id: str) -> float:
    """Read the result from the log; give how long ago the program ended."""
    logs: str = client.get_job_logs(job_id)
    (line,) = (line for line in logs.splitlines() if line.startswith("RETURNED "))
    return time.monotonic() - float(line.split()[1])


def by_poll(client: JobSubmissionClient, job_id: str, interval: float) -> dict[str, Any]:
    """Wait as the documentation does: ask, sleep, ask."""
    while not client.get_job_status(job_id).is_terminal():
        time.sleep(interval)
    return {"end": returned(client, job_id), "publish": []}


async def by_tail(client: JobSubmissionClient, job_id: str) -> dict[str, Any]:
    """Follow the log to its end, then read the result."""
    delays: list[float] = []
    rest = ""
    async for text in client.tail_job_logs(job_id):
        now = time.monotonic()
        *lines, rest = (rest + text).split("\n")
        delays += [now - float(line.split()[1]) for line in lines if line.startswith("PUBLISHED ")]
    while not client.get_job_status(job_id).is_terminal():
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs
    return {"end": returned(client, job_id), "publish": delays}


def main() -> None:
    """Serve until stdin ends."""
    logging.disable(logging.INFO)  # Ray tells of every package and every close
    url, token = sys.argv[1:]
    client = JobSubmissionClient(url, headers={"Authorization": f"Bearer {token}"})
    for line in sys.stdin:
        order = json.loads(line)
        job_id = submitted(client, order["folder"], order["gaps"])
        if order["how"] == "tail":
            measured = asyncio.run(by_tail(client, job_id))
        else:
            measured = by_poll(client, job_id, order["interval"])
        print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
