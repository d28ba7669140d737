"""Programs, backends and lists of a service, over the local service."""

from __future__ import annotations

import base64
import json
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from conditions import PATIENCE
from own_service import OwnService, own_service

from adapters import RuntimeService
from adapters.backend import RuntimeBackend
from adapters.http.session import Request
from adapters.local.records import Program
from adapters.local.store import DuplicateError, Store
from adapters.run_options import RunOptions
from runtime_core.errors import (
    InputsError,
    NotAuthorizedError,
    OptionsError,
    RuntimeDuplicateProgramError,
    RuntimeJobNotFoundError,
    RuntimeProgramNotFoundError,
    TransportError,
    UsageError,
)

ECHO = "def main(backend, user_messenger, **inputs):\n    return inputs\n"
OTHER = "def main(backend, user_messenger, **inputs):\n    return 'other'\n"

SPEC: dict[str, Any] = {
    "backend_requirements": {"min_num_qubits": 5},
    "parameters": {
        "description": "What it takes.",
        "type": "object",
        "properties": {"maxCount": {"type": "integer", "description": "How far."}},
        "required": ["maxCount"],
    },
    "return_values": {"type": "object", "description": "What was given."},
    "interim_results": {},
}


@pytest.fixture(scope="module")
def service() -> Iterator[OwnService]:
    with own_service(2) as service:
        yield service


def fresh() -> str:
    return f"p-{uuid.uuid4().hex[:12]}"


def upload(service: RuntimeService, source: str = ECHO, **metadata: Any) -> str:
    return service.upload_program(source, {"name": fresh(), **metadata})


# ---- programs ----------------------------------------------------------------------------------


def test_a_program_says_what_it_was_uploaded_with(service: OwnService) -> None:
    name = fresh()
    facts: dict[str, Any] = {
        "description": "Echoes.",
        "max_execution_time": 77,
        "is_public": True,
        "spec": SPEC,
    }
    program = service.program(upload(service, name=name, **facts))
    assert (program.program_id, program.name, program.description) == (name, name, "Echoes.")
    assert (program.max_execution_time, program.is_public) == (77, True)
    assert program.backend_requirements == {"min_num_qubits": 5}
    assert program.parameters().metadata == SPEC["parameters"]
    assert program.return_values == SPEC["return_values"]
    assert program.interim_results == {}
    assert program.creation_date == program.update_date != ""
    assert base64.b64decode(program.data) == program.source == ECHO.encode()
    assert program.to_dict()["max_execution_time"] == 77
    assert program.document.spec == SPEC
    assert repr(program) == f"<RuntimeProgram {name!r}>"
    assert str(program) == "\n".join(
        [
            f"{name}:",
            f"  Name: {name}",
            "  Description: Echoes.",
            f"  Creation date: {program.creation_date}",
            f"  Update date: {program.update_date}",
            "  Max execution time: 77",
            "  Input parameters:",
            "    Description: What it takes.",
            "    Type: object",
            "    Properties:",
            "        - maxCount:",
            "            Type: integer",
            "            Description: How far.",
            "            Required: True",
            "  Interim results:",
            "    none",
            "  Returns:",
            "    Description: What was given.",
            "    Type: object",
        ]
    )


def test_programs_are_given_in_pages_and_kept(service: OwnService) -> None:
    ids = [upload(service) for _ in range(23)]
    listed = [program.program_id for program in service.programs(refresh=True, limit=None)]
    assert listed[-23:] == ids
    assert [program.program_id for program in service.programs()] == listed[:20]
    assert [program.program_id for program in service.programs(limit=2, skip=3)] == listed[3:5]
    assert service.programs(limit=0) == []
    assert service.programs(limit=None)[-1] is service.program(ids[-1])
    with OwnService(service.process) as other:
        late = upload(other)
    assert late not in [program.program_id for program in service.programs(limit=None)]
    refreshed = service.programs(refresh=True, limit=None)
    assert refreshed[-1].program_id == late
    for limit, skip in ((-1, 0), (20, -1)):
        with pytest.raises(UsageError, match="from 0 on"):
            service.programs(False, limit, skip)


def test_what_was_uploaded_here_is_listed_without_a_refresh(service: OwnService) -> None:
    service.programs()
    program_id = upload(service)
    assert program_id in [program.program_id for program in service.programs(limit=None)]


def test_programs_are_printed(service: OwnService, capsys: pytest.CaptureFixture[str]) -> None:
    program_id = upload(service, description="To be printed.", spec=SPEC)
    service.pprint_programs(refresh=True, limit=None)
    short = f"{program_id}:\n  Name: {program_id}\n  Description: To be printed.\n"
    assert "=" * 50 + "\n" + short in capsys.readouterr().out
    service.pprint_programs(detailed=True, limit=None)
    assert "            Required: True" in capsys.readouterr().out


def test_a_program_is_changed(service: OwnService, tmp_path: Path) -> None:
    program_id = upload(service, spec=SPEC)
    program = service.program(program_id)
    before = program.update_date
    service.update_program(program_id, description="Newer.", max_execution_time=99)
    assert (program.description, program.max_execution_time) == ("Newer.", 99)
    assert program.update_date > before
    assert program.document.spec == SPEC
    (tmp_path / "facts.json").write_text('{"description": "From a file.", "is_public": true}')
    service.update_program(
        program_id, OTHER, tmp_path / "facts.json", max_execution_time=5, spec={"return_values": {}}
    )
    assert (program.description, program.max_execution_time) == ("From a file.", 5)
    assert program.document.spec == {"return_values": {}}
    assert program.is_public is False
    assert program.source == OTHER.encode()
    assert service.run(program_id).result(timeout=PATIENCE) == "other"
    with pytest.warns(UserWarning, match="Nothing was given"):
        service.update_program(program_id)


def test_a_renamed_program_keeps_its_id_and_leaves_its_name(service: OwnService) -> None:
    first, name = upload(service), f"An easier name, {uuid.uuid4()}"
    service.update_program(first, name=name)
    assert (service.program(first).program_id, service.program(first).name) == (first, name)
    second = upload(service, OTHER, name=first)
    assert second != first
    assert service.program(second).name == first
    assert service.run(first, inputs={"x": 1}).result(timeout=PATIENCE) == {"x": 1}
    with pytest.raises(RuntimeDuplicateProgramError) as caught:
        service.update_program(second, name=name)
    assert caught.value.status_code == 409


def test_a_name_for_people_may_be_any_text(service: OwnService) -> None:
    name = f"A program / by me (élève) {uuid.uuid4().hex[:6]}"
    program_id = upload(service, name=name)
    assert program_id.startswith("A-program-by-me-l-ve-")
    assert service.program(program_id).name == name
    with pytest.raises(RuntimeDuplicateProgramError):
        upload(service, name=name)


def test_a_job_runs_with_the_source_of_its_submission(service: OwnService) -> None:
    program_id = upload(service, "import time\ndef main(backend, user_messenger): return 'old'\n")
    jobs = [service.run(program_id) for _ in range(3)]
    service.update_program(program_id, OTHER)
    assert [job.result(timeout=PATIENCE) for job in jobs] == ["old"] * 3


def test_a_program_is_made_public_and_private(service: OwnService) -> None:
    program = service.program(upload(service))
    service.set_program_visibility(program.program_id, public=True)
    assert program.is_public is True
    service.set_program_visibility(program.program_id, False)
    assert program.is_public is False


def test_a_deleted_program_is_not_found(service: OwnService) -> None:
    program = service.program(upload(service))
    service.delete_program(program.program_id)
    with pytest.raises(RuntimeProgramNotFoundError):
        program.refresh()
    assert program.program_id not in [each.program_id for each in service.programs(limit=None)]


@pytest.mark.parametrize(
    "call",
    [
        lambda service: service.program("none"),
        lambda service: service.run("none"),
        lambda service: service.delete_program("none"),
        lambda service: service.update_program("none", description="x"),
        lambda service: service.update_program("none", ECHO),
        lambda service: service.set_program_visibility("none", True),
    ],
)
def test_a_program_that_is_not_there(service: OwnService, call: Any) -> None:
    with pytest.raises(RuntimeProgramNotFoundError) as caught:
        call(service)
    assert caught.value.status_code == 404
    assert isinstance(caught.value, TransportError)


def test_the_store_keeps_names_and_ids_apart(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        first = store.add_program(Program("a", 5), b"one")
        second = store.add_program(Program("b", 5), b"two")
        with pytest.raises(DuplicateError):
            store.change_program(Program("b", 5, id="a"))
        assert store.program("a") == first
        changed = store.change_program(first, b"three")
        assert (store.source(changed.source), changed.created) == (b"three", first.created)
        assert store.size() == len(b"two" + b"three")
        assert store.program("b") == second


# ---- running -----------------------------------------------------------------------------------


def test_parameters_are_inputs(service: OwnService) -> None:
    program_id = upload(service, spec=SPEC)
    parameters = service.program(program_id).parameters()
    with pytest.raises(InputsError, match="'maxCount' is a required property"):
        service.run(program_id, inputs=parameters)
    parameters.maxCount = 4
    parameters.more = 1j
    job = service.run(program_id, inputs=parameters)
    assert job.result(timeout=PATIENCE) == job.inputs == {"maxCount": 4, "more": 1j}


def test_options_are_a_class_too(service: OwnService) -> None:
    source = """
import logging
def main(backend, user_messenger):
    logging.getLogger().debug("a debug line")
    return [backend.name, backend.name()]
"""
    options = RunOptions("elsewhere", "image:1", "DEBUG")
    job = service.run(upload(service, source), options)
    assert job.result(timeout=PATIENCE) == ["elsewhere"] * 2
    assert "a debug line" in job.logs()
    assert service.job(job.job_id()).document.image == "image:1"
    other = service.run(upload(service), {"image": "image:1"}, image="image:2")
    assert service.job(other.job_id()).document.image == "image:2"
    with pytest.raises(OptionsError, match="unknown options backend"):
        service.run("echo", {"backend": "x"})


def test_a_program_publishes_with_an_encoder_of_its_own(service: OwnService) -> None:
    source = """
import json
class Encoder(json.JSONEncoder):
    def default(self, value):
        return "encoded"
def main(backend, user_messenger):
    user_messenger.publish(object(), Encoder)
    user_messenger.publish(object(), encoder=Encoder, final=True)
"""
    job = service.run(upload(service, source))
    assert list(job.interim_results()) == ["encoded"]
    assert job.result(timeout=PATIENCE) == "encoded"


# ---- backends ----------------------------------------------------------------------------------


def test_the_backend_of_this_machine_says_what_it_can_run(service: OwnService) -> None:
    backend = service.backend()
    assert (backend.name, backend.name(), str(backend)) == ("local",) * 3
    assert backend.version
    assert backend.document.workers == 2
    assert backend.document.python.startswith("3.")
    assert "a Python file" in backend.document.programs
    assert backend.document.max_execution_time
    assert repr(backend) == "<RuntimeBackend local>"


def test_every_name_is_this_machine(service: OwnService) -> None:
    job = service.run(upload(service), {"backend_name": "elsewhere"})
    backend = job.backend()
    assert isinstance(backend, RuntimeBackend)
    assert backend.name == "elsewhere"
    assert backend == service.backend("elsewhere") == service.job(job.job_id()).backend()
    assert hash(backend) == hash(service.backend("elsewhere"))
    assert backend != service.backend()
    assert backend.version == service.backend().version


def test_a_job_that_names_no_backend_runs_on_the_usual_one(service: OwnService) -> None:
    job = service.run(upload(service))
    assert job.backend() == service.job(job.job_id()).backend() == service.backend()


# ---- jobs --------------------------------------------------------------------------------------


def test_jobs_come_in_pages(service: OwnService) -> None:
    program_id = upload(service)
    ids = [service.run(program_id, inputs={"n": n}).job_id() for n in range(45)][::-1]

    def found(**how: Any) -> list[str]:
        return [job.job_id() for job in service.jobs(program_id=program_id, **how)]

    assert found() == ids[:10]
    assert found(limit=None) == ids
    assert found(limit=43) == ids[:43]
    assert found(limit=1000, skip=40) == ids[40:]
    assert found(limit=0) == []
    with pytest.raises(UsageError, match="from 0 on"):
        service.jobs(limit=-1)


def test_a_deleted_job_is_not_found(service: OwnService) -> None:
    job = service.run(upload(service))
    job.result(timeout=PATIENCE)
    service.delete_job(job.job_id())
    for call in (service.job, service.delete_job):
        with pytest.raises(RuntimeJobNotFoundError) as caught:
            call(job.job_id())
        assert caught.value.status_code == 404


def test_a_job_that_runs_is_not_deleted(service: OwnService) -> None:
    source = "import time\ndef main(backend, user_messenger): time.sleep(60)\n"
    job = service.run(upload(service, source))
    with pytest.raises(TransportError, match="cancel it first") as caught:
        service.delete_job(job.job_id())
    assert caught.value.status_code == 409
    job.cancel()


def test_logging_out_is_of_no_consequence_here(service: OwnService) -> None:
    service.logout()
    assert service.programs(refresh=True)


def test_a_wrong_token_is_not_authorised(service: OwnService) -> None:
    with RuntimeService(service.url, "not-the-token") as stranger:
        for call in (stranger.programs, stranger.jobs, lambda: upload(stranger)):
            with pytest.raises(NotAuthorizedError) as caught:
                call()
            assert caught.value.status_code == 401
            assert "not-the-token" not in str(caught.value)


# ---- on the wire -------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", [bytes, base64.b64encode], ids=["raw", "base64"])
def test_a_source_is_put_as_it_is_or_in_base64(service: OwnService, encode: Any) -> None:
    program_id = upload(service)
    path = f"/programs/{program_id}/data"
    body = encode(OTHER.encode())
    answer = service._client._send(Request("PUT", path, body, "application/octet-stream"))
    assert answer.status == 204
    assert service.program(program_id).source == OTHER.encode()


@pytest.mark.parametrize(
    ("method", "part", "body", "status"),
    [
        ("PUT", "/data", b"", 400),
        ("PATCH", "", b"[]", 400),
        ("PATCH", "", b'{"name": ""}', 400),
        ("PATCH", "", b'{"name": 3}', 400),
        ("PATCH", "", b'{"cost": 0}', 400),
        ("PATCH", "", b'{"spec": []}', 400),
        ("PATCH", "", b'{"description": 3}', 400),
        ("POST", "/public", b"", 405),
    ],
)
def test_changes_that_cannot_be_are_refused_and_change_nothing(
    service: OwnService, method: str, part: str, body: bytes, status: int
) -> None:
    program = service.program(upload(service, spec=SPEC))
    before = program.document
    with pytest.raises(TransportError) as caught:
        service._client._send(Request(method, f"/programs/{program.program_id}{part}", body))
    assert caught.value.status_code == status
    program.refresh()
    assert attrs.evolve(program.document, data="") == attrs.evolve(before, data="")


def test_a_job_keeps_the_account_that_it_is_submitted_for(service: OwnService) -> None:
    program_id = upload(service)
    answer = service._client.program_run(
        program_id, hub="a-hub", group="a-group", project="a-project"
    )
    job_id = answer["id"]
    document = service.job(job_id).document
    assert (document.hub, document.group, document.project) == ("a-hub", "a-group", "a-project")


def test_an_upload_that_was_not_heard_of_is_not_a_duplicate(tmp_path: Path) -> None:
    body = {
        "data": base64.b64encode(ECHO.encode()).decode(),
        "cost": 5,
        "description": "",
        "is_public": False,
    }
    with RuntimeService.local(data=tmp_path / "data", workers=1) as local:
        client = local._client
        sent: dict[str, Any] = {}
        for name in ("plain", "with spaces"):
            sent["id"] = client.program_create(name, ECHO, max_execution_time=5)["id"]
            again = Request("POST", "/programs", json.dumps(body | {"name": name}).encode())
            answer = client._own_effect(again, 409)
            assert answer is not None
            assert json.loads(answer.body) == sent
            changed = json.dumps(body | {"name": name, "cost": 6}).encode()
            assert client._own_effect(Request("POST", "/programs", changed), 409) is None
        slash = json.dumps(body | {"name": "a/b"}).encode()
        assert client._own_effect(Request("POST", "/programs", slash), 409) is None
        os.kill(local.pid, signal.SIGTERM)
