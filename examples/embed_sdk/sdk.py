"""The SDK of Acme Kernels: its dialect is data, the life of a task is the library's."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from adapters import Dialect, DialectClient, JobCalls, RuntimeJob, error_codes, listed, status_words
from runtime_core import JobCancelled, JobFailed, JobQueued, JobStarted, JobSucceeded

CODES = {"BAD_KEY": 401, "NO_SUCH_TASK": 404, "TASK_OVER": 409, "SLOW_DOWN": 429, "TRY_LATER": 503}

ACME = Dialect(
    "acme",
    status_words(
        {
            "SUBMITTED": JobQueued,
            "SCHEDULED": JobQueued,
            "EXECUTING": JobStarted,
            "SUCCEEDED": JobSucceeded,
            "ABORTED": JobFailed,
            ("ABORTED", "BY_OWNER"): JobCancelled,
            "EXPIRED": JobFailed,
        },
        at="state",
        reason="failure.text",
        code="failure.code",
        position="queue.place",
    ),
    listed_jobs=listed(at="tasks"),
    id_pattern="T-[0-9a-f]{12}",
    calls=JobCalls(
        submit="POST /tasks",
        status="GET /tasks/{id}",
        result="GET /tasks/{id}/output",
        cancel="DELETE /tasks/{id}",
        jobs="GET /tasks?limit={limit}&skip={skip}",
    ),
    write_job=lambda kernel, args, options: {"kernel": kernel, "arguments": args, **options},
    read_error=error_codes(CODES, at="error.code", wait="error.wait_ms", wait_unit=0.001),
    access_header="X-Acme-Key: {token}",
)


class Acme(AbstractContextManager["Acme"]):
    """Acme's service at `url`: submits tasks, and finds them again."""

    def __init__(self, url: str, key: str) -> None:
        self._client = DialectClient(url, key, dialect=ACME)

    def submit(self, kernel: str, arguments: Mapping[str, Any], **options: Any) -> RuntimeJob:
        """Submit a task; the options are those of the API, for instance `expires_in`."""
        return self.task(self._client.submit(kernel, arguments, options), kernel)

    def task(self, task_id: str, kernel: str = "") -> RuntimeJob:
        """Find a task again by its id."""
        return RuntimeJob(self, self._client, None, task_id, kernel)

    def __exit__(self, *_: object) -> None:
        self._client.close()
