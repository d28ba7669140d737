"""`adapters.ibmq`: the original's service and client, over the local service."""

from __future__ import annotations

import base64
import inspect
import json
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conditions import PATIENCE, Recorder
from own_service import OwnService, own_service

from adapters import RuntimeBackend
from adapters.ibmq import (
    IBMQInputValueError,
    IBMQNotAuthorizedError,
    IBMRuntimeService,
    JobStatus,
    QiskitRuntimeError,
    RuntimeClient,
    RuntimeDuplicateProgramError,
    RuntimeInvalidStateError,
    RuntimeJob,
    RuntimeJobFailureError,
    RuntimeJobNotFound,
    RuntimeOptions,
    RuntimeProgram,
    RuntimeProgramNotFound,
)

ECHO = "def main(backend, user_messenger, **inputs): return inputs"

COUNT = """
def main(backend, user_messenger, n):
    for i in range(n):
        user_messenger.publish(i)
    print("counted")
    return n
"""

SLEEP = """
import time
def main(backend, user_messenger):
    user_messenger.publish("started")
    time.sleep(60)
"""

FAIL = "def main(backend, user_messenger): raise ValueError('bad luck')"

OPTIONS = {"backend_name": "local"}

THEIRS = {
    "pprint_programs": "refresh=False detailed=False limit=20 skip=0",
    "programs": "refresh=False limit=20 skip=0",
    "program": "program_id refresh=False",
    "run": "program_id options inputs callback=None result_decoder=None image=''",
    "upload_program": "data metadata=None",
    "update_program": (
        "program_id data=None metadata=None name=None description=None max_execution_time=None "
        "spec=None"
    ),
    "delete_program": "program_id",
    "set_program_visibility": "program_id public",
    "job": "job_id",
    "jobs": "limit=10 skip=0 pending=None program_id=None",
    "delete_job": "job_id",
    "logout": "",
}
"""The methods of the original's `IBMRuntimeService` in qiskit-ibmq-provider 0.20.2."""


@pytest.fixture(scope="module")
def base() -> Iterator[OwnService]:
    with own_service(2) as service:
        yield service


@pytest.fixture(scope="module")
def service(base: OwnService) -> IBMRuntimeService:
    return IBMRuntimeService(base)


class Account:
    """As much of an account provider as the original's service asks for."""

    def __init__(self, service: OwnService, token: str | None = None) -> None:
        self.credentials = SimpleNamespace(
            runtime_url=service.url,
            access_token=service.token if token is None else token,
            hub="a-hub",
            group="a-group",
            project="a-project",
        )

    def get_backend(self, name: str) -> object:
        if name == "gone":
            raise KeyError(name)
        return SimpleNamespace(name=lambda: name)


def facts(**more: Any) -> dict[str, Any]:
    return {
        "name": f"p-{uuid.uuid4().hex[:12]}",
        "description": "A program of the tests.",
        "max_execution_time": 60,
        **more,
    }


def run(service: IBMRuntimeService, source: str, **inputs: Any) -> RuntimeJob:
    return service.run(service.upload_program(source, facts()), OPTIONS, inputs)


@pytest.mark.parametrize("method", THEIRS)
def test_the_parameters_are_the_originals_in_order_and_with_their_defaults(method: str) -> None:
    parameters = list(inspect.signature(getattr(IBMRuntimeService, method)).parameters.values())[1:]
    assert len(parameters) == len(THEIRS[method].split())
    for ours, theirs in zip(parameters, THEIRS[method].split(), strict=True):
        name, _, default = theirs.partition("=")
        assert ours.name == name
        if default:
            assert ours.default == eval(default)


# ---- a whole life ------------------------------------------------------------------------------


def test_a_job_runs_as_with_the_original(service: IBMRuntimeService) -> None:
    recorder = Recorder()
    program_id = service.upload_program(COUNT, facts())
    job = service.run(program_id, OPTIONS, {"n": 3}, callback=recorder)
    assert isinstance(job, RuntimeJob)
    assert job.result(timeout=PATIENCE) == 3
    assert recorder.values == [0, 1, 2]
    assert job.status() is JobStatus.DONE
    assert job.logs() == "counted\n"
    assert job.backend().name() == "local"
    again = service.job(job.job_id())
    assert isinstance(again, RuntimeJob)
    assert (again.inputs, again.program_id, again.status()) == (
        {"n": 3},
        program_id,
        JobStatus.DONE,
    )
    assert [each.job_id() for each in service.jobs(program_id=program_id)] == [job.job_id()]
    service.delete_job(job.job_id())
    with pytest.raises(RuntimeJobNotFound):
        service.job(job.job_id())
    with pytest.raises(RuntimeJobNotFound):
        service.delete_job(job.job_id())


def test_a_failed_job(service: IBMRuntimeService) -> None:
    job = run(service, FAIL)
    with pytest.raises(RuntimeJobFailureError, match=r"has failed:\n(.|\n)*ValueError: bad luck"):
        job.result(timeout=PATIENCE)
    message = job.error_message()
    assert message is not None
    assert message.startswith(f"Job {job.job_id()} has failed:\nTraceback")


def test_a_cancelled_job(service: IBMRuntimeService) -> None:
    recorder = Recorder()
    job = service.run(service.upload_program(SLEEP, facts()), OPTIONS, {}, recorder)
    assert recorder.reached(1)
    with pytest.raises(RuntimeInvalidStateError):
        job.stream_results(recorder)
    job.cancel()
    job.wait_for_final_state(timeout=PATIENCE)
    assert job.status() is JobStatus.CANCELLED
    with pytest.raises(RuntimeInvalidStateError):
        service.job(job.job_id()).cancel()


# ---- whose service -----------------------------------------------------------------------------


def test_an_account_provider_says_where_the_service_is(base: OwnService) -> None:
    with IBMRuntimeService(Account(base)) as service:
        assert repr(service) == f"<IBMRuntimeService {base.url}>"
        recorder = Recorder()
        job = service.run(service.upload_program(COUNT, facts()), OPTIONS, {"n": 2}, recorder)
        assert job.result(timeout=PATIENCE) == 2
        assert recorder.values == [0, 1]
        assert not isinstance(job.backend(), RuntimeBackend)
        assert job.backend().name() == "local"
        document = service.job(job.job_id()).document
        assert (document.hub, document.group, document.project) == ("a-hub", "a-group", "a-project")


def test_a_backend_that_the_account_has_not_does_not_lose_the_job(base: OwnService) -> None:
    with IBMRuntimeService(Account(base)) as service:
        program_id = service.upload_program(ECHO, facts())
        job = service.run(program_id, {"backend_name": "gone"}, {})
        assert isinstance(job.backend(), RuntimeBackend)
        assert job.backend().name() == "gone"


def test_closing_it_leaves_a_service_that_it_was_given(base: OwnService) -> None:
    IBMRuntimeService(base).close()
    assert base.jobs(limit=1) is not None


def test_without_an_account_it_is_this_machine(tmp_path: Path) -> None:
    with IBMRuntimeService() as service:
        assert run(service, ECHO, x=1).result(timeout=PATIENCE) == {"x": 1}


def test_a_wrong_token_is_not_authorised(base: OwnService) -> None:
    with IBMRuntimeService(Account(base, "not-the-token")) as stranger:
        for call in (stranger.jobs, stranger.programs, lambda: stranger.program("p")):
            with pytest.raises(QiskitRuntimeError) as caught:
                call()
            assert isinstance(caught.value, IBMQNotAuthorizedError)
            assert "not-the-token" not in str(caught.value)


# ---- running -----------------------------------------------------------------------------------


def test_a_backend_name_is_required(service: IBMRuntimeService) -> None:
    program_id = service.upload_program(ECHO, facts())
    for options in (None, {}, RuntimeOptions(), {"image": "a:1"}):
        with pytest.raises(IBMQInputValueError, match='"backend_name" is required'):
            service.run(program_id, options, {})
    with pytest.raises(IBMQInputValueError, match="unknown options backend"):
        service.run(program_id, {"backend": "local"}, {})
    with pytest.raises(IBMQInputValueError, match="image_name:tag"):
        service.run(program_id, {"backend_name": "local", "image": "x"}, {})


def test_the_image_is_an_option_and_deprecated_beside_them(service: IBMRuntimeService) -> None:
    program_id = service.upload_program(ECHO, facts())
    options = RuntimeOptions("local", image="image:1", log_level="DEBUG")
    assert service.run(program_id, options, {}).image == "image:1"
    with pytest.warns(DeprecationWarning, match="'image' keyword") as caught:
        job = service.run(program_id, options, {}, image="image:2")
    assert caught[0].filename == __file__
    assert job.image == "image:2"
    assert options.image == "image:1"


def test_parameters_are_inputs(service: IBMRuntimeService) -> None:
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    program_id = service.upload_program(ECHO, facts(spec={"parameters": schema}))
    parameters = service.program(program_id).parameters()
    with pytest.raises(IBMQInputValueError):
        parameters.validate()
    with pytest.raises(IBMQInputValueError):
        service.run(program_id, OPTIONS, parameters)
    parameters.n = 4
    assert service.run(program_id, OPTIONS, parameters).result(timeout=PATIENCE) == {"n": 4}


def test_inputs_that_cannot_be_written_are_an_input_value_error(service: IBMRuntimeService) -> None:
    with pytest.raises(IBMQInputValueError, match=r"\$\.params\.x"):
        service.run(service.upload_program(ECHO, facts()), OPTIONS, {"x": object()})


def test_a_program_that_is_not_there(service: IBMRuntimeService) -> None:
    for call in (
        lambda: service.program("none"),
        lambda: service.run("none", OPTIONS, {}),
        lambda: service.delete_program("none"),
        lambda: service.update_program("none", description="x"),
        lambda: service.set_program_visibility("none", True),
    ):
        with pytest.raises(RuntimeProgramNotFound) as caught:
            call()
        assert caught.value.status_code == 404
    # Of this name in the original.
    with pytest.raises(RuntimeJobNotFound):
        service.set_program_visibility("none", True)


# ---- programs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["name", "description", "max_execution_time"])
def test_three_fields_are_required(service: IBMRuntimeService, key: str) -> None:
    for value in (None, "", 0):
        with pytest.raises(IBMQInputValueError, match=f"{key} is a required metadata field"):
            service.upload_program(ECHO, facts(**{key: value}))
    without = facts()
    del without[key]
    with pytest.raises(IBMQInputValueError, match=f"{key} is a required metadata field"):
        service.upload_program(ECHO, without)


def test_programs_come_from_files(service: IBMRuntimeService, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(ECHO)
    (tmp_path / "program.json").write_text(json.dumps(facts(nonsense=1)))
    source, metadata = str(tmp_path / "program.py"), str(tmp_path / "program.json")
    program_id = service.upload_program(source, metadata)
    program = service.program(program_id)
    assert isinstance(program, RuntimeProgram)
    assert base64.b64decode(program.data).decode() == ECHO
    with pytest.raises(RuntimeDuplicateProgramError):
        service.upload_program(source, metadata)
    with pytest.raises(IBMQInputValueError, match="There is no file"):
        service.upload_program(str(tmp_path / "none.py"), metadata)


def test_programs_are_changed_and_deleted(
    service: IBMRuntimeService, capsys: pytest.CaptureFixture[str]
) -> None:
    program_id = service.upload_program(ECHO, facts())
    program = service.program(program_id)
    service.update_program(program_id, data=COUNT, description="Counts.")
    assert program.description == "Counts."
    service.set_program_visibility(program_id, True)
    assert program.is_public
    service.pprint_programs(refresh=True, limit=None)
    assert "  Description: Counts." in capsys.readouterr().out
    listed = service.programs(limit=None, skip=None)  # as the original lets it be
    assert program_id in [each.program_id for each in listed]
    with pytest.warns(UserWarning, match="Nothing was given"):
        service.update_program(program_id, data="")
    service.delete_program(program_id)
    with pytest.raises(RuntimeProgramNotFound):
        program.refresh()


def test_no_limit_is_none_or_nought(service: IBMRuntimeService) -> None:
    program_id = service.upload_program(ECHO, facts())
    ids = [service.run(program_id, OPTIONS, {}).job_id() for _ in range(23)][::-1]
    for limit in (None, 0, 100):
        listed = service.jobs(limit=limit, program_id=program_id)
        assert [job.job_id() for job in listed] == ids
    service.logout()


# ---- the client --------------------------------------------------------------------------------


def test_the_originals_client(base: OwnService) -> None:
    account = Account(base).credentials
    with RuntimeClient(account) as client, RuntimeClient(base.url, base.token) as other:
        source = base64.b64encode(COUNT.encode()).decode()
        name = facts()["name"]
        program_id = client.program_create(source, name, "Counts.", 60)["id"]
        client.program_update(program_id, description="Counts on.")
        client.program_update(program_id, program_data=source)
        client.set_program_visibility(program_id, True)
        program = client.program_get(program_id)
        assert (program["description"], program["is_public"]) == ("Counts on.", True)
        assert client.list_programs(limit=1)["count"] >= 1
        job_id = client.program_run(program_id, account, "b", {"n": 2}, "", "INFO")["id"]
        job = RuntimeJob("b", other, None, job_id, program_id)
        assert job.result(timeout=PATIENCE, wait=0.05) == 2
        assert client.job_get(job_id)["hub"] == "a-hub"
        assert client.jobs_get(program_id=program_id)["count"] == 1
        assert client.job_results(job_id) == "2"
        assert client.job_logs(job_id) == "counted\n"
        with pytest.raises(QiskitRuntimeError) as caught:
            client.job_cancel(job_id)
        assert getattr(caught.value, "status_code", None) == 409
        client.job_delete(job_id)
        client.program_delete(program_id)
        client.logout()
        with pytest.raises(RuntimeProgramNotFound):
            client.program_get(program_id)
        with pytest.raises(IBMQInputValueError, match="not base64"):
            client.program_create("?", name, "", 1)


def test_nothing_warns_without_a_reason(service: IBMRuntimeService) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(service, ECHO, x=1).result(timeout=PATIENCE) == {"x": 1}
