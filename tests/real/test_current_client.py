"""The client of the current service over real sockets: what it sends, and what it must not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from scripted_server import Script, ScriptedServer, answer

from adapters.http.current_client import CurrentRuntimeClient
from adapters.services.dialect import CURRENT, dialect_of
from adapters.services.ibm_current import API_VERSION
from runtime_core.errors import TransportError, UsageError

TOKEN = "ey.secret.bearer"
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"

Served = Callable[..., tuple[ScriptedServer, CurrentRuntimeClient]]


@pytest.fixture
def served() -> Iterator[Served]:
    with ExitStack() as opened:

        def start(*scripts: Script | bytes) -> tuple[ScriptedServer, CurrentRuntimeClient]:
            server = opened.enter_context(ScriptedServer(*scripts))
            url = f"{server.url}/api/v1"
            client = CurrentRuntimeClient(url, TOKEN, CRN, read_timeout=2.0)
            return server, opened.enter_context(client)

        yield start


@pytest.mark.parametrize(
    ("call", "line", "body"),
    [
        (lambda c: c.job_get("j 1"), "GET /api/v1/jobs/j%201?exclude_params=true", None),
        (lambda c: c.job_params("j1"), "GET /api/v1/jobs/j1", None),
        (lambda c: c.jobs_get(5), "GET /api/v1/jobs?exclude_params=true&limit=5", None),
        (
            lambda c: c.jobs_get(2, 4, True, "p", tags=("x", "y"), descending=False),
            "GET /api/v1/jobs?exclude_params=true&limit=2&offset=4&pending=true&program=p"
            "&tags=x&tags=y&sort=ASC",
            None,
        ),
        (lambda c: c.job_results("j1"), "GET /api/v1/jobs/j1/results", None),
        (lambda c: c.job_logs("j1"), "GET /api/v1/jobs/j1/logs", None),
        (lambda c: c.job_metrics("j1"), "GET /api/v1/jobs/j1/metrics", None),
        (lambda c: c.job_cancel("j1"), "POST /api/v1/jobs/j1/cancel", None),
        (lambda c: c.job_delete("j1"), "DELETE /api/v1/jobs/j1", None),
        (lambda c: c.job_tag("j1", iter("xy")), "PUT /api/v1/jobs/j1/tags", {"tags": ["x", "y"]}),
        (
            lambda c: c.program_run("p1", "b1", {"z": 1 + 2j}, tags=["x"], max_execution_time=9),
            "POST /api/v1/jobs",
            {
                "program_id": "p1",
                "backend": "b1",
                "params": {"z": {"__type__": "complex", "__value__": [1.0, 2.0]}},
                "tags": ["x"],
                "cost": 9,
            },
        ),
    ],
)
def test_each_call_is_one_request_that_says_who_asks_for_what(
    served: Served, call: Callable[[CurrentRuntimeClient], object], line: str, body: object
) -> None:
    server, client = served(answer(body='{"id": "x1"}'))
    call(client)
    (request,) = server.received
    assert request.line == f"{line} HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["service-crn"] == CRN
    assert request.headers["ibm-api-version"] == API_VERSION
    assert "x-access-token" not in request.headers
    assert body is None or json.loads(request.body) == body


def test_it_says_which_dialect_it_speaks(served: Served) -> None:
    _, client = served(answer())
    assert dialect_of(client) is CURRENT


def test_a_backend_by_its_name_or_the_first(served: Served) -> None:
    configuration = '{"backend_name": "b 1", "backend_version": "2.0", "n_qubits": 3}'
    server, client = served(
        answer(body='{"devices": [{"name": "b 1"}, {"name": "b2"}]}'), answer(body=configuration)
    )
    for name in (None, "b 1"):
        assert client.backend_get(name) == {"name": "b 1", "version": "2.0"}
    described = "GET /api/v1/backends/b%201/configuration HTTP/1.1"
    assert server.lines == ["GET /api/v1/backends HTTP/1.1", described, described]


@pytest.mark.parametrize("devices", ["{}", '{"devices": []}', '{"devices": [{"name": 3}]}'])
def test_no_backend_is_said_to_be_none(served: Served, devices: str) -> None:
    _, client = served(answer(body=devices))
    with pytest.raises(TransportError, match="expected a name"):
        client.backend_get()


def test_inputs_that_are_not_told_are_none(served: Served) -> None:
    _, client = served(answer(body='{"id": "j1"}'))
    assert client.job_params("j1") == {}


def test_the_token_is_in_no_error(served: Served) -> None:
    _, client = served(answer(401, json.dumps({"message": f"Bearer {TOKEN} has expired"})))
    with pytest.raises(TransportError) as caught:
        client.job_get("j1")
    assert caught.value.status_code == 401
    assert TOKEN not in str(caught.value)
    assert "<access token> has expired" in str(caught.value)
    assert TOKEN not in repr(client)


def test_the_token_goes_to_no_other_host(served: Served) -> None:
    other, _ = served(answer())
    server, client = served(answer(302, Location=f"{other.url}/jobs/j1"))
    with pytest.raises(TransportError, match="redirected"):
        client.job_get("j1")
    assert len(server.received) == 1
    assert not other.received


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.program_create("n", "code", max_execution_time=1),
        lambda c: c.programs_get(),
        lambda c: c.program_get("p"),
        lambda c: c.program_delete("p"),
    ],
)
def test_programs_are_not_its_own(
    served: Served, call: Callable[[CurrentRuntimeClient], object]
) -> None:
    server, client = served(answer())
    with pytest.raises(UsageError, match="takes no programs"):
        call(client)
    assert not server.received


def test_what_only_the_legacy_service_knows_is_refused(served: Served) -> None:
    server, client = served(answer())
    with pytest.raises(UsageError, match="give an instance"):
        client.program_run("p", hub="h")
    client.logout()
    assert not server.received


@pytest.mark.parametrize("bad", ["a b", "a\r\nX: y", "é"])
def test_what_cannot_be_sent_is_refused_before_anything_is(bad: str) -> None:
    with pytest.raises(ValueError, match="access token"):
        CurrentRuntimeClient("http://localhost:1/api/v1", bad)
    with pytest.raises(ValueError, match="instance"):
        CurrentRuntimeClient("http://localhost:1/api/v1", TOKEN, bad)
