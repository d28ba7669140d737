"""The job life of qiskit-ibmq-provider 0.20.2, by its own classes, against our local service.

Run by ``test_ibmq_provider.py`` with the Python of an environment in which that package is; the
service is named by INTEROP_URL and INTEROP_TOKEN.

What of the original is replaced: the account. An `AccountProvider` logs in at the company's
servers, and all that the runtime's classes ask of it are its credentials and its backends.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import sys
import tempfile
import threading
import types
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from checks import eventually, refused, serve
from qiskit.providers.exceptions import JobTimeoutError
from qiskit.providers.ibmq.api.clients import RuntimeClient
from qiskit.providers.ibmq.api.exceptions import RequestsApiError
from qiskit.providers.ibmq.credentials import Credentials
from qiskit.providers.ibmq.exceptions import IBMQInputValueError, IBMQProviderError
from qiskit.providers.ibmq.runtime import IBMRuntimeService, ResultDecoder, RuntimeJob
from qiskit.providers.ibmq.runtime.exceptions import (
    QiskitRuntimeError,
    RuntimeDuplicateProgramError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobNotFound,
    RuntimeProgramNotFound,
)
from qiskit.providers.jobstatus import JobStatus

OPTIONS = {"backend_name": "local"}

ECHO = """
def main(backend, user_messenger, **inputs):
    return inputs
"""

COUNT = """
def main(backend, user_messenger, count, go=None):
    import os, time
    while go is not None and not os.path.exists(go):
        time.sleep(0.01)
    for number in range(count):
        user_messenger.publish({"number": number})
    print("counted to", count)
    user_messenger.publish({"counted": count}, final=True)
"""

SLEEP = """
import time
def main(backend, user_messenger, seconds=60):
    user_messenger.publish("started")
    time.sleep(seconds)
"""

FAIL = """
def main(backend, user_messenger):
    print("a last word")
    raise ValueError("the mirror cracked")
"""

SPEC = {
    "backend_requirements": {"min_num_qubits": 5},
    "parameters": {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "properties": {"count": {"description": "How far.", "type": "integer"}},
        "required": ["count"],
    },
    "return_values": {"type": "object", "description": "How far it went."},
    "interim_results": {"type": "object", "description": "Each number."},
}


class _Url(str):
    """The service's URL. The original makes its websocket URL of it by replacing https by wss."""

    def replace(self, old: str, new: str, count: int = -1) -> str:  # type: ignore[override]
        return super().replace("http", "ws", 1) if (old, new) == ("https", "wss") else self


class _Account:
    """All that the runtime's classes ask of an `AccountProvider`."""

    def __init__(self, token: str) -> None:
        url = _Url(os.environ["INTEROP_URL"])
        self.credentials = Credentials(
            token,
            url,
            hub="a-hub",
            group="a-group",
            project="a-project",
            access_token=token,
            services={"runtime": url},
        )
        self._factory = self  # where the providers of other people's jobs are looked for

    def get_backend(self, name: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(name=lambda: name)

    def get_provider(self, hub: str, group: str, project: str) -> None:
        raise IBMQProviderError(f"there is no provider for {hub}/{group}/{project}")


def _service(token: str = os.environ["INTEROP_TOKEN"]) -> IBMRuntimeService:
    return IBMRuntimeService(_Account(token))


SERVICE = _service()


class Gathered:
    """A callback that keeps what it gets."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.ids: set[str] = set()

    def __call__(self, job_id: str, result: Any) -> None:
        self.ids.add(job_id)
        self.results.append(result)


def _upload(source: str, **metadata: Any) -> str:
    facts = {
        "name": f"p-{uuid.uuid4().hex[:12]}",
        "description": "A program of the tests.",
        "max_execution_time": 60,
        **metadata,
    }
    program_id: str = SERVICE.upload_program(source, facts)
    return program_id


def _run(source: str, inputs: dict[str, Any] | None = None, **more: Any) -> RuntimeJob:
    return SERVICE.run(_upload(source), OPTIONS, inputs or {}, **more)


def _result(job: RuntimeJob, **more: Any) -> Any:
    return job.result(timeout=30, wait=0.05, **more)


# ---- programs ----------------------------------------------------------------------------------


def check_an_uploaded_program_is_described() -> None:
    before = dt.datetime.now(dt.UTC)
    name = f"p-{uuid.uuid4().hex}"
    program_id = _upload(ECHO, name=name, description="Echoes.", max_execution_time=77, spec=SPEC)
    for program in (
        SERVICE.program(program_id),
        next(each for each in SERVICE.programs(refresh=True, limit=None) if each.name == name),
    ):
        assert program.program_id == program_id
        assert program.name == name
        assert program.description == "Echoes."
        assert program.max_execution_time == 77
        assert program.is_public is False
        assert program.backend_requirements == SPEC["backend_requirements"]
        assert program.return_values == SPEC["return_values"]
        assert program.interim_results == SPEC["interim_results"]
        assert program.parameters().metadata == SPEC["parameters"]
        created = dt.datetime.fromisoformat(program.creation_date)
        assert abs(created - before) < dt.timedelta(seconds=10)
        assert program.update_date
        assert "Required: True" in str(program)
        assert program.to_dict()["max_execution_time"] == 77


def check_a_programs_source_is_given_back() -> None:
    import base64

    program = SERVICE.program(_upload(ECHO))
    assert base64.b64decode(program.data).decode() == ECHO


def check_a_program_is_uploaded_from_files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, metadata = Path(folder) / "program.py", Path(folder) / "program.json"
        source.write_text(ECHO)
        name = f"p-{uuid.uuid4().hex}"
        facts = {"name": name, "description": "From files.", "max_execution_time": 5}
        metadata.write_text(json.dumps(facts))
        program_id = SERVICE.upload_program(str(source), str(metadata))
    assert SERVICE.program(program_id).description == "From files."


def check_a_public_program_is_public() -> None:
    assert SERVICE.program(_upload(ECHO, is_public=True)).is_public is True


def check_the_same_name_twice_is_a_duplicate() -> None:
    name = f"p-{uuid.uuid4().hex}"
    _upload(ECHO, name=name)
    refused(lambda: _upload(COUNT, name=name), RuntimeDuplicateProgramError)


def check_required_metadata_are_required() -> None:
    refused(lambda: _upload(ECHO, description=""), IBMQInputValueError)


def check_a_name_may_have_spaces() -> None:
    name = f"A program, by me (élève) {uuid.uuid4().hex[:6]}"
    program_id = _upload(ECHO, name=name)
    assert SERVICE.program(program_id).name == name
    assert _result(SERVICE.run(program_id, OPTIONS, {"x": 1})) == {"x": 1}


def check_a_description_may_be_long() -> None:
    text = "line\n" * 1000 + "café"
    assert SERVICE.program(_upload(ECHO, description=text)).description == text


def check_programs_come_by_pages() -> None:
    ids = {_upload(ECHO) for _ in range(23)}
    everything = {program.program_id for program in SERVICE.programs(refresh=True, limit=None)}
    assert ids <= everything
    assert len(SERVICE.programs(limit=5, skip=3)) == 5


def check_programs_are_printed() -> None:
    program_id = _upload(ECHO, description="To be printed.", spec=SPEC)
    for detailed in (False, True):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            SERVICE.pprint_programs(refresh=True, detailed=detailed, limit=None)
        assert program_id in printed.getvalue()
        assert "To be printed." in printed.getvalue()


def check_an_unknown_program_is_not_found() -> None:
    refused(lambda: SERVICE.program("no-such-program"), RuntimeProgramNotFound)
    refused(lambda: SERVICE.delete_program("no-such-program"), RuntimeProgramNotFound)
    what = refused(lambda: SERVICE.run("no-such-program", OPTIONS, {}), RequestsApiError)
    assert what.status_code == 404


def check_a_deleted_program_is_not_found() -> None:
    program_id = _upload(ECHO)
    SERVICE.delete_program(program_id)
    refused(lambda: SERVICE.program(program_id), RuntimeProgramNotFound)


def check_a_programs_metadata_are_updated() -> None:
    program_id = _upload(ECHO, spec=SPEC)
    before = SERVICE.program(program_id)
    updated = before.update_date
    SERVICE.update_program(program_id, description="Newer.", max_execution_time=99)
    program = SERVICE.program(program_id, refresh=True)
    assert (program.description, program.max_execution_time) == ("Newer.", 99)
    assert program.interim_results == SPEC["interim_results"]
    assert program.update_date > updated
    SERVICE.update_program(program_id, spec={"return_values": {"type": "string"}})
    program = SERVICE.program(program_id, refresh=True)
    assert program.return_values == {"type": "string"}
    assert program.description == "Newer."


def check_a_program_is_renamed() -> None:
    program_id = _upload(ECHO)
    name = f"renamed-{uuid.uuid4().hex}"
    SERVICE.update_program(program_id, name=name)
    program = SERVICE.program(program_id, refresh=True)
    assert (program.program_id, program.name) == (program_id, name)


def check_a_programs_source_is_updated() -> None:
    program_id = _upload(ECHO)
    SERVICE.update_program(program_id, data=COUNT)
    assert _result(SERVICE.run(program_id, OPTIONS, {"count": 2})) == {"counted": 2}


def check_source_and_metadata_are_updated_together() -> None:
    program_id = _upload(ECHO)
    SERVICE.update_program(program_id, data=COUNT, metadata={"description": "Counts."})
    assert SERVICE.program(program_id, refresh=True).description == "Counts."
    assert _result(SERVICE.run(program_id, OPTIONS, {"count": 1})) == {"counted": 1}


def check_an_unknown_program_is_not_updated() -> None:
    missing = "no-such-program"
    refused(lambda: SERVICE.update_program(missing, description="x"), RuntimeProgramNotFound)
    refused(lambda: SERVICE.update_program(missing, data=ECHO), RuntimeProgramNotFound)


def check_a_programs_visibility_is_set() -> None:
    program_id = _upload(ECHO)
    SERVICE.set_program_visibility(program_id, public=True)
    assert SERVICE.program(program_id, refresh=True).is_public is True
    SERVICE.set_program_visibility(program_id, public=False)
    assert SERVICE.program(program_id, refresh=True).is_public is False
    # Of this name in the original, too.
    refused(lambda: SERVICE.set_program_visibility("no-such", public=True), RuntimeJobNotFound)


# ---- jobs --------------------------------------------------------------------------------------


def check_a_job_runs_with_a_callback() -> None:
    gathered = Gathered()
    with tempfile.TemporaryDirectory() as folder:
        go = Path(folder) / "go"
        job = _run(COUNT, {"count": 5, "go": str(go)}, callback=gathered)
        assert job.status() in (JobStatus.QUEUED, JobStatus.RUNNING)
        eventually(lambda: job.status() is JobStatus.RUNNING)
        go.touch()
        assert _result(job) == {"counted": 5}
    assert job.status() is JobStatus.DONE
    assert job.error_message() is None
    eventually(lambda: len(gathered.results) == 5)
    assert gathered.results == [{"number": number} for number in range(5)]
    assert gathered.ids == {job.job_id()}


def check_a_stream_needs_one_connection() -> None:
    gathered = Gathered()
    with tempfile.TemporaryDirectory() as folder:
        go = Path(folder) / "go"
        job = _run(COUNT, {"count": 3000, "go": str(go)}, callback=gathered)
        socket = job._ws_client
        opened: list[object] = []
        counted = socket.on_open
        socket.on_open = lambda wsa: (opened.append(wsa), counted(wsa))
        eventually(lambda: opened or socket.connected)
        go.touch()
        job._ws_client_future.result(30)  # raises what the stream ended with
    eventually(lambda: len(gathered.results) == 3000)
    assert [result["number"] for result in gathered.results] == list(range(3000))
    assert len(opened) <= 1
    assert socket._current_retry == 0
    assert not job._is_streaming()


def check_streaming_starts_later_and_again() -> None:
    first, second = Gathered(), Gathered()
    job = _run(SLEEP)
    job.stream_results(first)
    refused(lambda: job.stream_results(first), RuntimeInvalidStateError)
    eventually(lambda: first.results == ["started"])
    job.cancel_result_streaming()
    eventually(lambda: not job._is_streaming())
    job.stream_results(second)
    eventually(lambda: second.results == ["started"])
    job.cancel()
    eventually(lambda: not job._is_streaming())
    refused(lambda: job.stream_results(first), RuntimeInvalidStateError)


def check_a_large_interim_result_arrives() -> None:
    gathered = Gathered()
    source = """
def main(backend, user_messenger, size):
    user_messenger.publish("x" * size)
    return size
"""
    job = _run(source, {"size": 5_000_000}, callback=gathered)
    assert _result(job) == 5_000_000
    eventually(lambda: [len(text) for text in gathered.results] == [5_000_000])


def check_interim_results_of_a_finished_job_are_there() -> None:
    gathered = Gathered()
    job = _run(COUNT, {"count": 3})
    eventually(lambda: SERVICE.job(job.job_id()).status() is JobStatus.DONE)
    job.stream_results(gathered)  # it has not asked for the status and so does not refuse
    eventually(lambda: len(gathered.results) == 3)


def check_a_decoder_decodes() -> None:
    class Numbers(ResultDecoder):
        @classmethod
        def decode(cls, data: str) -> Any:
            return ("decoded", super().decode(data))

    gathered = Gathered()
    with tempfile.TemporaryDirectory() as folder:
        go = Path(folder) / "go"
        job = _run(COUNT, {"count": 1, "go": str(go)}, callback=gathered, result_decoder=Numbers)
        go.touch()
        assert _result(job) == ("decoded", {"counted": 1})
    eventually(lambda: gathered.results == [("decoded", {"number": 0})])
    assert SERVICE.job(job.job_id()).result(decoder=Numbers) == ("decoded", {"counted": 1})


def check_values_go_there_and_back() -> None:
    values: dict[str, Any] = {
        "complex": 1.5 - 2j,
        "set": {1, 2, 3},
        "when": dt.datetime(2022, 5, 17, 12, 30, tzinfo=dt.UTC),
        "nested": [{"deep": [None, True, 1e300, "é\u2028"]}],
    }
    arrays = {
        "floats": np.linspace(0, 1, 1000),
        "complexes": np.array([[1 + 2j, 3], [4, 5j]]),
        "bytes": np.arange(256, dtype=np.uint8).reshape(16, 16),
    }
    job = _run(ECHO, values | arrays)
    assert job.inputs == values | arrays
    result = _result(job)
    assert {key: result[key] for key in values} == values
    for key, array in arrays.items():
        assert result[key].dtype == array.dtype
        np.testing.assert_array_equal(result[key], array)
    again = SERVICE.job(job.job_id()).inputs
    assert {key: again[key] for key in values} == values
    np.testing.assert_array_equal(again["floats"], arrays["floats"])


def check_parameters_are_inputs() -> None:
    # It sends the private attributes of its namespace too: its own template takes **kwargs.
    source = "def main(backend, user_messenger, count, **kwargs): return count"
    program_id = _upload(source, spec=SPEC)
    parameters = SERVICE.program(program_id).parameters()
    refused(parameters.validate, IBMQInputValueError)
    parameters.count = 4
    assert _result(SERVICE.run(program_id, OPTIONS, parameters)) == 4


def check_options_are_taken() -> None:
    source = """
import logging
def main(backend, user_messenger):
    logging.getLogger().debug("a debug line")
"""
    options = {"backend_name": "elsewhere", "image": "image:1.2", "log_level": "DEBUG"}
    job = SERVICE.run(_upload(source), options, {})
    assert job.image == "image:1.2"
    job.wait_for_final_state(timeout=30, wait=0.05)
    assert "a debug line" in job.logs()
    assert job.backend().name() == "elsewhere"
    assert SERVICE.job(job.job_id()).backend().name() == "elsewhere"


def check_a_job_found_again_is_the_same() -> None:
    job = _run(ECHO, {"x": [1, 2]})
    _result(job)
    again = SERVICE.job(job.job_id())
    assert again.job_id() == job.job_id()
    assert again.program_id == job.program_id
    assert again.inputs == {"x": [1, 2]}
    assert again.backend().name() == "local"
    age = dt.datetime.now(dt.UTC) - again.creation_date
    assert dt.timedelta(0) <= age < dt.timedelta(seconds=30)
    assert job.creation_date == again.creation_date
    assert again.status() is JobStatus.DONE
    assert again.result() == {"x": [1, 2]}


def check_a_job_keeps_its_hub_group_and_project() -> None:
    raw = SERVICE._api_client.job_get(_run(ECHO).job_id())
    assert (raw["hub"], raw["group"], raw["project"]) == ("a-hub", "a-group", "a-project")


def check_a_job_found_again_has_the_accounts_backend() -> None:
    backend = SERVICE.job(_run(ECHO).job_id()).backend()
    assert isinstance(backend, types.SimpleNamespace), f"it is a {type(backend).__name__}"


def check_a_job_knows_its_image() -> None:
    job = SERVICE.run(_upload(ECHO), {**OPTIONS, "image": "image:1.2"}, {})
    assert SERVICE._api_client.job_get(job.job_id())["image"] == "image:1.2"


def check_a_running_job_is_cancelled() -> None:
    gathered = Gathered()
    job = _run(SLEEP, callback=gathered)
    eventually(lambda: gathered.results == ["started"])
    job.cancel()
    assert job.status() is JobStatus.CANCELLED
    eventually(lambda: SERVICE.job(job.job_id()).status() is JobStatus.CANCELLED)
    eventually(lambda: not job._is_streaming())
    refused(SERVICE.job(job.job_id()).cancel, RuntimeInvalidStateError)
    assert SERVICE.job(job.job_id()).error_message() is None


def check_a_queued_job_is_cancelled() -> None:
    blockers = [_run(SLEEP) for _ in range(2)]
    job = _run(ECHO)
    assert job.status() is JobStatus.QUEUED
    job.cancel()
    assert SERVICE.job(job.job_id()).status() is JobStatus.CANCELLED
    for blocker in blockers:
        blocker.cancel()


def check_a_finished_job_cannot_be_cancelled() -> None:
    job = _run(ECHO)
    _result(job)
    refused(job.cancel, RuntimeInvalidStateError)


def check_a_failed_job_says_why() -> None:
    job = _run(FAIL)
    what = refused(lambda: _result(job), RuntimeJobFailureError)
    assert "Traceback (most recent call last)" in str(what)
    assert "ValueError: the mirror cracked" in str(what)
    assert f"Job {job.job_id()} has failed" in str(what)
    assert job.status() is JobStatus.ERROR
    assert "ValueError: the mirror cracked" in job.error_message()
    assert "a last word" in job.logs()


def check_a_job_that_ran_too_long_says_so() -> None:
    job = SERVICE.run(_upload(SLEEP, max_execution_time=1), OPTIONS, {})
    what = refused(lambda: _result(job), RuntimeJobFailureError)
    assert "ran longer than maximum execution time" in str(what)
    assert job.status() is JobStatus.ERROR


def check_a_wait_times_out() -> None:
    job = _run(SLEEP)
    refused(lambda: job.wait_for_final_state(timeout=0.2, wait=0.05), JobTimeoutError)
    job.cancel()


def check_logs_are_there() -> None:
    job = _run(COUNT, {"count": 3})
    _result(job)
    assert job.logs() == "counted to 3\n"
    silent = _run(ECHO)
    _result(silent)
    assert silent.logs() == ""


def check_jobs_are_listed_by_filters() -> None:
    program_id = _upload(SLEEP)
    done = [SERVICE.run(program_id, OPTIONS, {"seconds": 0}) for _ in range(3)]
    for job in done:
        job.wait_for_final_state(timeout=30, wait=0.05)
    pending = SERVICE.run(program_id, OPTIONS, {})

    def ids(**filters: Any) -> list[str]:
        return [job.job_id() for job in SERVICE.jobs(program_id=program_id, **filters)]

    newest_first = [pending.job_id(), *(job.job_id() for job in reversed(done))]
    assert ids() == newest_first
    assert ids(limit=None) == newest_first
    assert ids(limit=2) == newest_first[:2]
    assert ids(limit=2, skip=1) == newest_first[1:3]
    assert ids(pending=True) == newest_first[:1]
    assert ids(pending=False) == newest_first[1:]
    assert SERVICE.jobs(program_id="no-such-program") == []
    assert pending.job_id() in [job.job_id() for job in SERVICE.jobs(pending=True)]
    pending.cancel()


def check_jobs_come_by_pages() -> None:
    program_id = _upload(ECHO)
    ids = [SERVICE.run(program_id, OPTIONS, {"n": n}).job_id() for n in range(23)]
    for limit in (None, 22, 100):
        listed = SERVICE.jobs(limit=limit, program_id=program_id)
        assert [job.job_id() for job in listed] == ids[::-1][:limit]
    assert listed[0].inputs == {"n": 22}
    for job in listed:
        job.wait_for_final_state(timeout=30, wait=0.05)


def check_a_deleted_job_is_not_found() -> None:
    job = _run(ECHO)
    _result(job)
    SERVICE.delete_job(job.job_id())
    refused(lambda: SERVICE.job(job.job_id()), RuntimeJobNotFound)
    refused(lambda: SERVICE.delete_job(job.job_id()), RuntimeJobNotFound)


def check_an_unknown_job_is_not_found() -> None:
    refused(lambda: SERVICE.job("no-such-job"), RuntimeJobNotFound)
    what = refused(lambda: SERVICE._api_client.job_results("no-such-job"), RequestsApiError)
    assert what.status_code == 404


def check_inputs_that_do_not_fit_fail_the_job() -> None:
    job = _run(COUNT, {"no_such_input": 1})
    what = refused(lambda: _result(job), RuntimeJobFailureError)
    assert "no_such_input" in str(what)


def check_more_streams_than_workers() -> None:
    # Not more than two: its pool has cpu+4 threads, and a stream takes two of them.
    gathered = [Gathered(), Gathered()]
    jobs = [_run(COUNT, {"count": 50}, callback=each) for each in gathered]
    for job, each in zip(jobs, gathered, strict=True):
        assert _result(job) == {"counted": 50}
        eventually(lambda: len(each.results) == 50)  # noqa: B023 - called in its own turn


def check_a_program_publishes_with_an_encoder() -> None:
    source = """
import json

class Encoder(json.JSONEncoder):
    def default(self, value):
        return "encoded"

def main(backend, user_messenger):
    user_messenger.publish({"value": object()}, encoder=Encoder)
    user_messenger.publish({"value": object()}, Encoder)
    user_messenger.publish({"value": object()}, Encoder, True)
"""
    gathered = Gathered()
    job = _run(source, callback=gathered)
    assert _result(job) == {"value": "encoded"}
    eventually(lambda: gathered.results == [{"value": "encoded"}] * 2)


def check_a_programs_backend_has_a_name_method() -> None:
    assert _result(_run("def main(backend, user_messenger): return backend.name()")) == "local"


# ---- the service -------------------------------------------------------------------------------


def check_logout_changes_nothing_here() -> None:
    SERVICE.logout()
    assert _result(_run(ECHO, {"x": 1})) == {"x": 1}


def check_a_wrong_token_is_refused() -> None:
    stranger = _service("not-the-token")
    what = refused(lambda: stranger.jobs(), RequestsApiError)
    assert what.status_code == 401
    assert "not-the-token" not in str(what)
    refused(lambda: stranger.upload_program(ECHO, _facts()), QiskitRuntimeError)


def _facts() -> dict[str, Any]:
    return {"name": "a-name", "description": "x", "max_execution_time": 1}


def check_many_threads_share_a_client() -> None:
    client: RuntimeClient = SERVICE._api_client
    job = _run(ECHO)
    _result(job)
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(client.job_get(job.job_id())["status"]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == ["Completed"] * 8


CHECKS: dict[str, Callable[[], None]] = {
    name: value for name, value in list(globals().items()) if name.startswith("check_")
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(CHECKS)
    # Its pool's threads are joined at exit, and a failed check may have left a stream open.
    sys.stdout.flush()
    os._exit(0)
