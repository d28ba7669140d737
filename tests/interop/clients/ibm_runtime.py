"""The job life of qiskit-ibm-runtime 0.51, by its own classes, against the current dialect.

Run by ``test_ibm_runtime.py`` with the Python of an environment in which that package is; the
service is named by INTEROP_URL and INTEROP_TOKEN. It has these programs: ``echo`` returns its
inputs, ``talk`` prints "a last word" and returns None, ``fail`` prints "a last word" and raises
``ValueError("the mirror cracked")``, ``sleep`` sleeps for a minute, ``long`` runs longer than it
may.

Nothing of theirs is replaced. Two environment variables that they read keep them from the company's
servers: IAM_URL says who changes an API key into a bearer token (the service does), and with
QISKIT_FUNCTIONS_EXPERIMENTAL the instance that was asked for is taken for the only one.
"""

from __future__ import annotations

import datetime as dt
import os
import uuid
import warnings
from collections.abc import Callable
from typing import Any

os.environ["IAM_URL"] = os.environ["INTEROP_URL"]
os.environ["QISKIT_FUNCTIONS_EXPERIMENTAL"] = "1"

import numpy as np
from checks import eventually, refused, serve
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import QiskitRuntimeService, RuntimeJobV2
from qiskit_ibm_runtime.api.client import RuntimeClient
from qiskit_ibm_runtime.api.client_parameters import ClientParameters
from qiskit_ibm_runtime.decoders.result_decoder import ResultDecoder
from qiskit_ibm_runtime.exceptions import (
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
    RuntimeJobTimeoutError,
    RuntimeProgramNotFound,
)

URL = os.environ["INTEROP_URL"]
CRN = "crn:v1:bluemix:public:quantum-computing:local:a/0:0::"
PATH = "/api/v1"


SERVICE = QiskitRuntimeService(
    channel="ibm_quantum_platform",
    token=os.environ["INTEROP_TOKEN"],
    instance=CRN,
    url=URL,
    url_resolver=lambda url, *_: url + PATH,
)


def _run(program_id: str, inputs: dict[str, Any] | None = None, **options: Any) -> RuntimeJobV2:
    return SERVICE._run(program_id, inputs or {}, {"backend": "local", **options})


def _result(job: RuntimeJobV2, **more: Any) -> Any:
    return job.result(timeout=30, poll_interval=0.1, **more)


# ---- the service -------------------------------------------------------------------------------


def check_the_instance_is_the_one_asked_for() -> None:
    assert SERVICE.active_instance() == CRN
    assert [instance["crn"] for instance in SERVICE.instances()] == [CRN]


def check_the_backend_is_there() -> None:
    backend = SERVICE.backend("local")
    assert backend.name == "local"
    assert backend.simulator is True
    assert isinstance(backend.num_qubits, int)
    assert backend.properties() is None
    assert [each.name for each in SERVICE.backends()] == ["local"]
    assert SERVICE.least_busy().name == "local"


def check_the_backend_has_a_status() -> None:
    status = SERVICE.backend("local").status()
    assert status.operational is True
    assert status.status_msg == "active"
    assert status.pending_jobs >= 0


def check_an_unknown_backend_is_not_found() -> None:
    refused(lambda: SERVICE.backend("no-such-backend"), QiskitBackendNotFoundError)


def check_the_usage_has_no_limit() -> None:
    assert "usage_remaining_seconds" not in SERVICE.usage()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SERVICE._check_instance_usage()


def check_a_wrong_key_is_refused() -> None:
    # One request and no more: after a key that was refused it waits a minute before the next.
    account = ClientParameters(
        channel="ibm_quantum_platform",
        token="not-the-token",
        url=URL,
        instance=CRN,
        url_resolver=lambda url, *_: url + PATH,
    )
    refused(RuntimeClient(account).list_backends, IBMNotAuthorizedError)


# ---- jobs --------------------------------------------------------------------------------------


def check_a_job_runs() -> None:
    job = _run("echo", {"x": [1, "é", None, True]})
    assert job.status() in ("QUEUED", "RUNNING", "DONE")
    assert _result(job) == {"x": [1, "é", None, True]}
    assert job.status() == "DONE"
    assert job.done()
    assert job.in_final_state()
    assert not job.errored()
    assert job.error_message() is None
    assert job.backend().name == "local"
    assert job.instance == CRN
    assert job.primitive_id == "echo"
    assert job.session_id is None
    assert job.usage_estimation == {"quantum_seconds": None}
    assert job.properties() is None


def check_values_go_there_and_back() -> None:
    values: dict[str, Any] = {
        "complex": 1.5 - 2j,
        "set": {1, 2, 3},
        "when": dt.datetime(2022, 5, 17, 12, 30, tzinfo=dt.UTC),
    }
    array = np.linspace(0, 1, 1000)
    job = _run("echo", {**values, "array": array})
    for given in (_result(job), job.inputs, SERVICE.job(job.job_id()).inputs):
        assert {key: given[key] for key in values} == values
        np.testing.assert_array_equal(given["array"], array)


def check_a_decoder_decodes() -> None:
    class Decoder(ResultDecoder):
        @classmethod
        def decode(cls, data: str) -> Any:
            return ("decoded", super().decode(data))

    assert _result(_run("echo", {"x": 1}), decoder=Decoder) == ("decoded", {"x": 1})


def check_nothing_is_a_result() -> None:
    assert _result(_run("talk")) is None


def check_a_job_runs_with_options() -> None:
    job = _run("echo", image="image:1.2", log_level="DEBUG", max_execution_time=30, private=False)
    _result(job)
    assert job.image == "image:1.2"
    assert SERVICE.job(job.job_id()).image == "image:1.2"
    assert SERVICE.job(job.job_id()).private is False


def check_an_unknown_program_is_not_found() -> None:
    refused(lambda: _run("no-such-program"), RuntimeProgramNotFound)


def check_a_job_found_again_is_the_same() -> None:
    job = _run("echo", {"x": 1}, job_tags=["a"])
    _result(job)
    again = SERVICE.job(job.job_id())
    assert again.job_id() == job.job_id()
    assert again.primitive_id == "echo"
    assert again.tags == ["a"]
    assert again.backend().name == "local"
    age = dt.datetime.now(dt.UTC) - again.creation_date
    assert dt.timedelta(0) <= age < dt.timedelta(seconds=30)
    assert job.creation_date == again.creation_date
    assert _result(again) == {"x": 1}


def check_an_unknown_job_is_not_found() -> None:
    refused(lambda: SERVICE.job("no-such-job"), RuntimeJobNotFound)
    refused(lambda: SERVICE.delete_job("no-such-job"), RuntimeJobNotFound)


def check_a_failed_job_says_why() -> None:
    job = _run("fail")
    what = refused(lambda: _result(job), RuntimeJobFailureError)
    assert "ValueError: the mirror cracked" in str(what)
    assert job.status() == "ERROR"
    assert job.errored()
    assert "Traceback (most recent call last)" in job.error_message()
    assert job.error_message().startswith(f"Job {job.job_id()} has failed:\nTraceback")


def check_a_job_that_ran_too_long_says_so() -> None:
    job = _run("long")
    what = refused(lambda: _result(job), RuntimeJobMaxTimeoutError)
    assert "Error code 1305; " in str(what)
    assert job.status() == "ERROR"
    assert "ran longer than maximum execution time" in job.error_message()


def check_a_job_that_runs_longer_than_its_own_limit_says_so() -> None:
    job = _run("sleep", max_execution_time=1)
    refused(lambda: _result(job), RuntimeJobMaxTimeoutError)


def check_a_running_job_is_cancelled() -> None:
    job = _run("sleep")
    eventually(lambda: job.status() == "RUNNING")
    assert job.running()
    job.cancel()
    assert job.cancelled()
    eventually(lambda: SERVICE.job(job.job_id()).status() == "CANCELLED")
    again = SERVICE.job(job.job_id())
    refused(again.cancel, RuntimeInvalidStateError)
    refused(lambda: _result(again), RuntimeInvalidStateError)
    assert again.error_message() is None


def check_a_finished_job_cannot_be_cancelled() -> None:
    job = _run("echo")
    _result(job)
    refused(job.cancel, RuntimeInvalidStateError)


def check_a_wait_times_out() -> None:
    job = _run("sleep")
    refused(lambda: job.wait_for_final_state(0.2, 0.1), RuntimeJobTimeoutError)
    job.cancel()


def check_logs_are_there() -> None:
    for program in ("talk", "fail"):
        job = _run(program)
        job.wait_for_final_state(30, 0.1)
        assert job.logs() == "a last word\n"
    silent = _run("echo")
    _result(silent)
    assert silent.logs() == ""


def check_metrics_and_usage_are_there() -> None:
    job = _run("sleep")
    assert job.usage() == 0
    job.cancel()
    job = _run("echo")
    _result(job)
    eventually(lambda: job.metrics()["usage"]["status"] == "final")
    times = job.metrics()["timestamps"]
    created, running, finished = (
        dt.datetime.fromisoformat(times[key]) for key in ("created", "running", "finished")
    )
    assert created <= running <= finished
    assert created == job.creation_date
    assert 0 <= job.usage() < 30
    assert job.usage(partial=True) == job.usage()


def check_tags_are_changed() -> None:
    job = _run("echo", job_tags=["a", "b"])
    assert job.tags == ["a", "b"]
    assert sorted(job.update_tags(["c", "b"])) == ["b", "c"]
    assert sorted(SERVICE.job(job.job_id()).tags) == ["b", "c"]
    assert job.update_tags([]) == []
    _result(job)
    assert job.update_tags(["late"]) == ["late"]


def check_jobs_are_listed_by_filters() -> None:
    mine = f"mine-{uuid.uuid4().hex}"
    before = dt.datetime.now(dt.UTC)
    done = [_run("echo", job_tags=[mine, f"n{n}"]) for n in range(2)]
    for job in done:
        _result(job)
    between = dt.datetime.now(dt.UTC)
    pending = _run("sleep", job_tags=[mine])

    def ids(**filters: Any) -> list[str]:
        return [job.job_id() for job in SERVICE.jobs(**{"job_tags": [mine], **filters})]

    newest_first = [pending.job_id(), done[1].job_id(), done[0].job_id()]
    assert ids() == newest_first
    assert ids(limit=None) == newest_first
    assert ids(limit=2) == newest_first[:2]
    assert ids(limit=1, skip=1) == newest_first[1:2]
    assert ids(descending=False) == newest_first[::-1]
    assert ids(pending=True) == newest_first[:1]
    assert ids(pending=False) == newest_first[1:]
    assert ids(program_id="echo") == newest_first[1:]
    assert ids(program_id="no-such-program") == []
    assert ids(backend_name="local") == newest_first
    assert ids(backend_name="elsewhere") == []
    assert ids(job_tags=[mine, "n1"]) == newest_first[1:2]
    assert ids(created_after=before) == newest_first
    assert ids(created_after=between) == newest_first[:1]
    assert ids(created_before=between) == newest_first[1:]
    assert ids(session_id="no-such-session") == []
    assert ids(include_mocks=True) == newest_first
    pending.cancel()


def check_jobs_come_by_pages() -> None:
    mine = f"mine-{uuid.uuid4().hex}"
    ids = [_run("echo", {"n": n}, job_tags=[mine]).job_id() for n in range(23)]
    for limit in (None, 22, 100):
        listed = SERVICE.jobs(limit=limit, job_tags=[mine])
        assert [job.job_id() for job in listed] == ids[::-1][:limit]


def check_a_deleted_job_is_not_found() -> None:
    job = _run("echo")
    _result(job)
    SERVICE.delete_job(job.job_id())
    refused(lambda: SERVICE.job(job.job_id()), RuntimeJobNotFound)


def check_a_running_job_is_not_deleted() -> None:
    job = _run("sleep")
    eventually(lambda: job.status() == "RUNNING")
    refused(lambda: SERVICE.delete_job(job.job_id()), IBMRuntimeError)
    job.cancel()


CHECKS: dict[str, Callable[[], None]] = {
    name: value for name, value in list(globals().items()) if name.startswith("check_")
}

if __name__ == "__main__":
    serve(CHECKS)
