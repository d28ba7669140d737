"""What is told of a job to whoever asks, over HTTP or in this process: its document, its log."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from adapters.local.records import Job, now
from adapters.local.store import Store
from adapters.local.texts import Kind


def job_text(store: Store, job: Job) -> str:
    """Give the JSON of a job, see `JobDocument`.

    Its params are kept as text: a poll need not encode them.
    """
    document = {
        "id": job.id,
        "hub": job.hub,
        "group": job.group,
        "project": job.project,
        "backend": job.backend,
        "status": job.status.value,
        "program": {"id": job.program},
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "position": store.position(job),
        "image": job.image,
    }
    return f'{json.dumps(document)[:-1]}, "params": {store.params(job).decode()}}}'


def job_metrics(store: Store, job: Job) -> dict[str, Any]:
    """Give what was measured of a job, in the words of the current protocol."""
    ran = _seconds(job.started, job.ended or now()) if job.started else 0
    return {
        "timestamps": {"created": job.created, "running": job.started, "finished": job.ended},
        "usage": {
            "status": "final" if job.status.is_final else "pending",
            "qpu_charge_time_seconds": ran,
        },
        "position_in_queue": store.position(job),
    }


def log_text(store: Store, job: Job) -> str:
    """Give what a job has printed; says so if only the end of it is kept."""
    first, end = store.texts.extent(job, Kind.LOG)
    text = store.texts.pieces(job, Kind.LOG, 0).decode(errors="replace")
    if first:
        kept = f"the last {end - first} bytes are kept"
        text = f"[The first {first} bytes of the output were dropped: {kept}.]\n{text}"
    return text


def log_part(store: Store, job: Job, start: int) -> tuple[int, bytes]:
    """Give what a job has printed from byte `start` on, and where that begins.

    It begins later, if only the end of a long log is kept.
    """
    first, _ = store.texts.extent(job, Kind.LOG)
    start = max(first, start)
    return start, store.texts.pieces(job, Kind.LOG, start)


def _seconds(start: str, end: str) -> float:
    passed = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return max(0.0, passed.total_seconds())
