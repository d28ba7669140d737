"""What services send, read into values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import pytest

from runtime_core.documents import (
    BackendDocument,
    JobDocument,
    JobPage,
    ProgramDocument,
    ProgramPage,
    ProgramReference,
    read_backend,
    read_job,
    read_job_page,
    read_program,
    read_program_page,
)
from runtime_core.errors import DecodeError

JOB: dict[str, Any] = {
    "id": "j1",
    "hub": "h",
    "group": "g",
    "project": "p",
    "backend": "b",
    "status": "QUEUED",
    "params": {"shots": 3},
    "program": {"id": "p1"},
    "created": "2021-10-05T12:00:00Z",
    "image": "i",
    "started": "2021-10-05T12:00:01Z",
    "ended": "2021-10-05T12:00:02Z",
    "position": 2,
}
PROGRAM: dict[str, Any] = {
    "id": "p1",
    "name": "n",
    "cost": 60,
    "description": "d",
    "is_public": True,
    "creation_date": "2021-10-05T12:00:00Z",
    "update_date": "2021-10-06T12:00:00Z",
    "spec": {"parameters": {}},
    "data": "code",
}


def test_a_job() -> None:
    job = read_job(JOB)
    assert job == JobDocument(
        id="j1",
        status="QUEUED",
        backend="b",
        program=ProgramReference("p1"),
        params={"shots": 3},
        created="2021-10-05T12:00:00Z",
        image="i",
        hub="h",
        group="g",
        project="p",
        started="2021-10-05T12:00:01Z",
        ended="2021-10-05T12:00:02Z",
        position=2,
    )
    assert job.program_id == "p1"


@pytest.mark.parametrize("params", [{"a": [1]}, [{"a": [1]}]])
def test_params_are_an_object_or_a_list_of_one(params: object) -> None:
    assert read_job(JOB | {"params": params}).params == {"a": [1]}


def test_params_stay_as_they_were_sent() -> None:
    tagged = {"z": {"__type__": "complex", "__value__": [1, 2]}}
    assert read_job(JOB | {"params": tagged}).params == tagged


def test_a_created_that_a_client_has_read_already() -> None:
    read = datetime(2021, 10, 5, 12, tzinfo=UTC)
    assert read_job(JOB | {"created": read}).created == "2021-10-05T12:00:00+00:00"


@pytest.mark.parametrize("absent", [{}, dict.fromkeys(JOB)])
def test_what_is_missing_or_null_gets_its_default(absent: dict[str, Any]) -> None:
    assert read_job(absent | {"id": "j1", "status": "X"}) == JobDocument("j1", "X")
    assert read_program({"id": "p1", "name": None}) == ProgramDocument("p1")
    assert read_job_page({"jobs": None}) == JobPage()
    assert read_program_page({}) == ProgramPage()


@pytest.mark.parametrize(
    "document",
    [
        ProgramReference(),
        JobDocument("j1", "X"),
        JobPage(),
        ProgramDocument("p1"),
        ProgramPage(),
        BackendDocument("b"),
    ],
    ids=lambda document: type(document).__name__,
)
def test_what_a_service_does_not_tell_is_empty_or_none(document: Any) -> None:
    empty = {str: "", int: 0, bool: False, dict: {}, ProgramReference: ProgramReference("")}
    hints = get_type_hints(type(document))
    for field in attrs.fields(type(document)):
        if field.default is not attrs.NOTHING:
            hint, value = hints[field.name], getattr(document, field.name)
            expected: Any = None
            if type(None) not in get_args(hint):
                kind = get_origin(hint) or hint
                expected = () if kind is tuple else empty[kind]
            assert (type(value), value) == (type(expected), expected), field.name


def test_a_job_as_the_current_service_writes_it() -> None:
    current = {
        "id": "j1",
        "backend": "b",
        "state": {"status": "Failed", "reason": "why", "reason_code": 8000},
        "program": {"id": "p1"},
        "runtime": "i",
        "tags": ["x", "y"],
    }
    job = read_job(current)
    assert job == JobDocument(
        "j1",
        "Failed",
        backend="b",
        program=ProgramReference("p1"),
        image="i",
        reason="why",
        reason_code=8000,
        tags=("x", "y"),
    )
    assert read_job_page({"jobs": [current], "count": 1}).jobs == (job,)
    camel = read_job(current | {"state": {"status": "Failed", "reasonCode": "A7", "reason": None}})
    assert (camel.reason, camel.reason_code) == (None, "A7")


@pytest.mark.parametrize("state", [None, {}, [], "Queued", {"status": None}])
def test_a_state_without_a_status_is_no_job(state: object) -> None:
    with pytest.raises(DecodeError) as caught:
        read_job({"id": "j1", "state": state})
    assert caught.value.path == "$.status"


def test_unknown_keys_are_ignored() -> None:
    assert read_job(JOB | {"new": {}, "program": {"id": "p1", "new": 1}}) == read_job(JOB)


def test_a_page_of_jobs() -> None:
    other = JOB | {"id": "j2", "params": [{}], "image": None}
    page = read_job_page({"jobs": [JOB, other], "count": 7})
    assert [job.id for job in page.jobs] == ["j1", "j2"]
    assert page.jobs[1].params == {}
    assert page.count == 7


def test_a_program() -> None:
    program = read_program(PROGRAM)
    assert program == ProgramDocument(**PROGRAM)
    page = {"programs": [PROGRAM, {"id": "p2", "name": None}], "count": 2}
    assert read_program_page(page) == ProgramPage((program, ProgramDocument("p2")), 2)


@pytest.mark.parametrize(
    ("read", "value", "path", "problem"),
    [
        (read_job, None, "$", "expected JobDocument, got None"),
        (read_job, [JOB], "$", "expected JobDocument, got "),
        (read_job, {"status": "X"}, "$.id", "missing, expected str"),
        (read_job, JOB | {"status": 3}, "$.status", "expected str, got 3"),
        (read_job, JOB | {"program": "p1"}, "$.program", "got 'p1'"),
        (read_job, JOB | {"program": {"id": 3}}, "$.program.id", "expected str, got 3"),
        (read_job, JOB | {"params": [{}, {}]}, "$.params", "got [{}, {}]"),
        (read_job, JOB | {"params": []}, "$.params", "got []"),
        (read_job, JOB | {"created": 3}, "$.created", "expected str, got 3"),
        (read_job, JOB | {"position": "next"}, "$.position", "got 'next'"),
        (read_job, JOB | {"tags": "x"}, "$.tags", "got 'x'"),
        (read_job, JOB | {"reason": 3}, "$.reason", "got 3"),
        (read_job_page, [], "$", "expected JobPage, got []"),
        (read_job_page, {"jobs": {}}, "$.jobs", "got {}"),
        (read_job_page, {"jobs": [JOB, 3]}, "$.jobs[1]", "expected JobDocument, got 3"),
        (read_job_page, {"jobs": [JOB | {"id": 3}]}, "$.jobs[0].id", "expected str, got 3"),
        (read_job_page, {"jobs": [], "count": True}, "$.count", "expected int, got True"),
        (read_program, "p1", "$", "expected ProgramDocument, got 'p1'"),
        (read_program, PROGRAM | {"cost": "60"}, "$.cost", "expected int, got '60'"),
        (read_program, PROGRAM | {"is_public": 1}, "$.is_public", "expected bool, got 1"),
        (read_program_page, {"programs": [None]}, "$.programs[0]", "got None"),
        (read_backend, {"name": "b", "workers": "2"}, "$.workers", "got '2'"),
    ],
)
def test_another_type_is_an_error_that_says_where(
    read: Callable[[object], object], value: object, path: str, problem: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        read(value)
    assert caught.value.path == path
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (read_job, "The job does not fit JobDocument: expected JobDocument"),
        (read_job_page, "The list of jobs does not fit JobPage: expected JobPage"),
        (read_program, "The program does not fit ProgramDocument: expected ProgramDocument"),
        (read_program_page, "The list of programs does not fit ProgramPage: expected ProgramPage"),
        (read_backend, "The backend does not fit BackendDocument: expected BackendDocument"),
    ],
)
def test_an_error_says_what_was_read(read: Callable[[object], object], words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(5)
    assert caught.value.message == f"{words}, got 5 (int)"


def test_a_status_wins_over_that_of_the_state() -> None:
    job = read_job(JOB | {"state": {"status": "Running", "reason": "why"}})
    assert (job.status, job.reason) == ("QUEUED", None)


def test_a_backend_says_at_least_its_name() -> None:
    assert read_backend({"name": "b", "workers": None}) == BackendDocument("b")
    told = {"name": "b", "version": "1", "workers": 2, "programs": ["files"]}
    assert read_backend(told) == BackendDocument("b", "1", workers=2, programs=("files",))


def test_what_is_read_is_not_changed() -> None:
    sent = {"jobs": [JOB | {"params": [{}], "image": None}], "count": 1}
    before = repr(sent)
    read_job_page(sent)
    assert repr(sent) == before


def test_cattrs_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, runtime_core.documents; assert 'cattrs' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
