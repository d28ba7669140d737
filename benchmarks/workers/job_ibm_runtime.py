"""qiskit-ibm-runtime 0.51, the successor of the original, by its own classes: it polls.

Two environment variables that it reads keep it from the company's servers: IAM_URL says who
changes an API key into a bearer token (the server does), and with QISKIT_FUNCTIONS_EXPERIMENTAL the
instance that was asked for is taken for the only one. Programs are run by its service's `_run`,
which its primitives call.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from _protocol import Measure, serve
from _work import TOKEN, in_threads, latency_of, lateness_of, seconds_of, together_of, waits_of

WAY = sys.argv[1]
POLLS = {"default": {}, "fastest": {"poll_interval": 0.1}}
"""The arguments of `result`: half a second is the default, a tenth the least that it takes."""
FOREVER = 3600.0
CRN = "crn:v1:bluemix:public:quantum-computing:local:a/0:0::"

_services: dict[str, Any] = {}


def service_at(url: str) -> Any:
    """The service, made once, as a user's program keeps it."""
    if url not in _services:
        os.environ["IAM_URL"] = url  # read when its modules are imported
        os.environ["QISKIT_FUNCTIONS_EXPERIMENTAL"] = "1"
        from qiskit_ibm_runtime import QiskitRuntimeService

        _services[url] = QiskitRuntimeService(
            channel="ibm_quantum_platform",
            token=TOKEN,
            instance=CRN,
            url=url,
            url_resolver=lambda url, *_: url + "/api/v1",
        )
    return _services[url]


def latency(url: str, share: float, shortest: float, longest: float) -> dict[str, Any]:
    service = service_at(url)
    inputs = {"seconds": seconds_of(shortest, longest, share)}

    def complete() -> tuple[str, Any]:
        job = service._run("p", inputs, {"backend": "local"})  # noqa: SLF001
        return job.job_id(), job.result(**POLLS[WAY])

    return latency_of(url, complete)


def job_at(url: str, job_id: str) -> Any:
    """A job that runs: made as the service makes those that it finds, without asking for it."""
    from qiskit_ibm_runtime import RuntimeJobV2

    service = service_at(url)
    client = service._active_api_client  # noqa: SLF001
    return RuntimeJobV2("local", client, job_id, "p", service)


def together(url: str, size: int, seconds: float) -> dict[str, Any]:
    service_at(url)

    def begin(ids: Sequence[str], done: Callable[[str, Any], None]) -> list[threading.Thread]:
        jobs = [job_at(url, job_id) for job_id in ids]
        return in_threads([partial(one, job, done) for job in jobs])

    def one(job: Any, done: Callable[[str, Any], None]) -> None:
        done(job.job_id(), job.result(**POLLS[WAY]))

    return together_of(url, size, seconds, begin)


def waits(url: str, size: int, settle: float, seconds: float) -> dict[str, Any]:
    def begin(ids: Sequence[str]) -> list[threading.Thread]:
        jobs = [job_at(url, job_id) for job_id in ids]
        return in_threads([partial(job.result, FOREVER, **POLLS[WAY]) for job in jobs])

    service_at(url)
    return waits_of(url, size, settle, seconds, begin)


def late(kind: str, url: str, timeout: float, calls: int) -> dict[str, Any]:
    service_at(url)
    from qiskit_ibm_runtime.exceptions import RuntimeJobTimeoutError

    def prepared() -> AbstractContextManager[Callable[[float], object]]:
        return nullcontext(partial(job_at(url, f"{kind}-0").result, **POLLS[WAY]))

    return lateness_of(timeout, calls, prepared, RuntimeJobTimeoutError)


MEASURES: dict[str, Measure] = {
    "latency": latency,
    "together": together,
    "waits": waits,
    "late-answers": partial(late, "forever"),
    "late-hangs": partial(late, "hangs"),
    "late-drips": partial(late, "drips"),
}

if __name__ == "__main__":
    serve("ibm-runtime", MEASURES, ["qiskit-ibm-runtime", "qiskit", "requests", "urllib3"])
