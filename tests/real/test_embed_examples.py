"""The examples that embed, against their vendor's service: an SDK, and the core alone."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from conditions import PATIENCE, eventually

from adapters import AsyncRuntimeJob, ClientTransport, DialectClient, RuntimeJob, wait
from adapters.transport import SubmittingTransport
from runtime_core import (
    CancelAccepted,
    CancelOutcome,
    CancelRefused,
    FetchResult,
    FetchStatus,
    JobState,
    JobTimeoutError,
    NotAuthorizedError,
    RequestFailed,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    RuntimeJobNotFoundError,
    SendCancel,
    TransportError,
    UnknownStatusError,
    UsageError,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
EMBED = EXAMPLES / "embed_sdk"
SINGULAR = {"matrix": [[1, 2], [2, 4]], "right": [1, 1]}
ENDLESS = {"count": 0, "every": 0.005}
NOBODY = "T-000000000000"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sdk = load(EMBED / "sdk.py")
vendor = load(EMBED / "server.py")
ALONE = EXAMPLES / "embed_core_httpx.py"
alone = load(ALONE)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with vendor.AcmeServer(startup=0.001) as server:
        yield server


@pytest.fixture
def acme(server: Any) -> Iterator[Any]:
    with sdk.Acme(server.url, server.key) as acme:
        yield acme


@pytest.fixture
def http(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"X-Acme-Key": server.key}) as http:
        yield http


def submitted(http: httpx.Client, kernel: str, arguments: object, **options: object) -> str:
    answer = http.post("/tasks", json={"kernel": kernel, "arguments": arguments, **options})
    return str(answer.json()["id"])


# ---- what they promise -------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "most"), [(EMBED / "sdk.py", 60), (ALONE, 66)])
def test_an_example_is_as_short_as_it_says(path: Path, most: int) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= most


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(found):
                names |= {alias.name for alias in found}
            case ast.ImportFrom(str(module)):
                names.add(module)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_what_the_examples_are_built_on() -> None:
    assert imported(ALONE) == {"runtime_core", "httpx"}
    assert imported(EMBED / "sdk.py") == {"runtime_core", "adapters"}
    assert imported(EMBED / "server.py") == set()


def test_the_demo_runs() -> None:
    command = [sys.executable, str(EMBED / "demo.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    first, second, third = done.stdout.splitlines()
    assert first.endswith("{'below': 1000000, 'count': 78498}")
    assert "(code SINGULAR)" in second
    assert "CANCELLED" in third


def test_the_page_of_the_api_tells_all_codes_and_states() -> None:
    page = (EMBED / "README.md").read_text(encoding="utf-8")
    source = (EMBED / "server.py").read_text(encoding="utf-8")
    told = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"', source)) - {"GET", "POST", "DELETE"}
    assert told - set(re.findall(r"`([A-Z_]+)`", page)) == set()
    assert set(vendor.KERNELS) <= set(re.findall(r"`([a-z]+)`", page))


# ---- the SDK -----------------------------------------------------------------------------------


def test_a_task_succeeds(acme: Any) -> None:
    task = acme.submit("primes", {"below": 1000})
    assert isinstance(task, RuntimeJob)
    assert task.result(timeout=PATIENCE) == {"below": 1000, "count": 168}
    assert task.status() is JobState.DONE
    assert task.program_id == "primes"


def test_a_task_is_awaited(server: Any) -> None:
    async def main() -> object:
        with DialectClient(server.url, server.key, dialect=sdk.ACME) as client:
            job_id = client.submit("primes", {"below": 100})
            return await AsyncRuntimeJob(None, client, None, job_id, "").result(timeout=PATIENCE)

    assert asyncio.run(main()) == {"below": 100, "count": 25}


def test_a_task_is_taken_up_from_its_handle(acme: Any, server: Any) -> None:
    handle = acme.submit("primes", {"below": 10}).handle()
    assert (handle.dialect, handle.program_id) == ("acme", "primes")
    text = handle.to_json()
    assert server.key not in text
    with DialectClient(server.url, server.key, dialect=sdk.ACME) as client:
        job = RuntimeJob.from_handle(type(handle).from_json(text), client)
        assert job.result(timeout=PATIENCE)["count"] == 4


def test_a_task_that_fails_says_why_with_its_code(acme: Any) -> None:
    task = acme.submit("solve", SINGULAR)
    with pytest.raises(RuntimeJobFailureError, match="depends on the others") as caught:
        task.result(timeout=PATIENCE)
    assert caught.value.reason_code == "SINGULAR"


def test_a_task_expires(acme: Any) -> None:
    task = acme.submit("ticks", ENDLESS, expires_in=0.03)
    with pytest.raises(RuntimeJobFailureError, match="not over when it expired") as caught:
        task.result(timeout=PATIENCE)
    assert caught.value.reason_code == "TOO_OLD"


def test_a_task_is_aborted(acme: Any) -> None:
    task = acme.submit("ticks", ENDLESS)
    task.cancel()
    with pytest.raises(RuntimeJobCancelledError):
        task.result(timeout=PATIENCE)
    assert task.cancel_outcome() is CancelOutcome.CANCELLED


def test_an_abort_that_comes_too_late_is_refused_by_a_code(acme: Any) -> None:
    over = acme.submit("primes", {"below": 10})
    over.wait_for_final_state(timeout=PATIENCE)
    found = acme.task(over.job_id())  # it has not asked yet, so the service is asked
    with pytest.raises(RuntimeInvalidStateError):
        found.cancel()
    assert found.status() is JobState.DONE
    assert found.cancel_outcome() in {CancelOutcome.REJECTED, CancelOutcome.FINISHED_ANYWAY}


def test_a_state_that_the_sdk_does_not_know(acme: Any, http: httpx.Client) -> None:
    task = acme.submit("primes", {"below": 10}, hold=True)
    with pytest.raises(UnknownStatusError, match="'HELD'"):
        task.result(timeout=PATIENCE)
    http.post(f"/tasks/{task.job_id()}/release")
    assert task.result(timeout=PATIENCE)["count"] == 4


def test_a_task_that_nobody_knows(acme: Any) -> None:
    with pytest.raises(RuntimeJobNotFoundError, match="NO_SUCH_TASK") as caught:
        acme.task(NOBODY).status()
    assert (caught.value.status_code, caught.value.reason_code) == (404, "NO_SUCH_TASK")
    assert not caught.value.retryable


@pytest.mark.parametrize("bad", ["", "T-1", "T-00000000000g", f"{NOBODY}/output", "..", NOBODY[2:]])
def test_what_is_no_id_is_refused_before_anything_is_sent(bad: str) -> None:
    with sdk.Acme("http://127.0.0.1:9", "key") as acme, pytest.raises(UsageError, match="the id"):
        acme.task(bad)


def test_a_key_that_is_not_known_is_shown_nowhere(server: Any) -> None:
    with sdk.Acme(server.url, "some-wrong-key") as acme:
        with pytest.raises(NotAuthorizedError, match="BAD_KEY") as caught:
            acme.submit("primes", {})
        assert "some-wrong-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("kernel", "options", "code"),
    [("fft", {}, "NO_SUCH_KERNEL"), ("primes", {"colour": "red"}, "BAD_REQUEST")],
)
def test_a_submission_is_refused(acme: Any, kernel: str, options: Any, code: str) -> None:
    with pytest.raises(TransportError, match="It was not submitted") as caught:
        acme.submit(kernel, {}, **options)
    assert (caught.value.status_code, caught.value.reason_code) == (422, code)
    assert not caught.value.retryable


def test_a_service_that_asks_to_slow_down_is_obeyed() -> None:
    with (
        vendor.AcmeServer(requests_per_second=20) as server,
        sdk.Acme(server.url, server.key) as acme,
        DialectClient(server.url, server.key, dialect=sdk.ACME) as client,
    ):
        task = acme.submit("primes", {"below": 10})
        with pytest.raises(TransportError, match="SLOW_DOWN") as caught:
            any(client.job_get(task.job_id()) is None for _ in range(1000))
        assert (caught.value.status_code, caught.value.retryable) == (429, True)
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 0.05
        assert task.result(timeout=PATIENCE)["count"] == 4


def test_many_tasks_are_asked_about_at_once_and_know_their_place(server: Any) -> None:
    with (
        vendor.AcmeServer(workers=1) as server,
        sdk.Acme(server.url, server.key) as acme,
        DialectClient(server.url, server.key, dialect=sdk.ACME) as client,
    ):
        first = acme.submit("ticks", ENDLESS)
        eventually(lambda: first.status() is JobState.RUNNING)
        tasks = [acme.submit("primes", {"below": n}) for n in range(2, 12)]
        assert [task.queue_position() for task in tasks] == [*range(1, 11)]
        listing = ClientTransport(client).listing
        assert listing is not None
        page = listing.page(3, 1, {task.job_id() for task in tasks})
        assert [*page.found] == [task.job_id() for task in tasks[-2:-5:-1]]
        assert page.has_more
        first.cancel()
        assert wait(tasks, timeout=PATIENCE).not_done == set()


def test_the_client_in_a_transport_submits(server: Any) -> None:
    with DialectClient(server.url, server.key, dialect=sdk.ACME) as client:
        transport = ClientTransport(client)
        assert isinstance(transport, SubmittingTransport)
        job_id = transport.submit("primes", {"below": 10}, {"expires_in": 5})
        job = RuntimeJob(None, client, None, job_id, "primes")
        assert job.result(timeout=PATIENCE) == {"below": 10, "count": 4}


# ---- the core alone ----------------------------------------------------------------------------


def test_the_core_alone_gets_the_output(http: httpx.Client) -> None:
    task_id = submitted(http, "solve", {"matrix": [[2, 0], [0, 4]], "right": [1, 1]})
    machine = alone.follow(http, task_id, PATIENCE)
    assert machine.state is JobState.DONE
    assert json.loads(machine.result_text) == {"solution": ["1/2", "1/4"]}


@pytest.mark.parametrize(
    ("kernel", "arguments", "options", "code"),
    [("solve", SINGULAR, {}, "SINGULAR"), ("ticks", ENDLESS, {"expires_in": 0.03}, "TOO_OLD")],
)
def test_the_core_alone_hears_of_failures(
    http: httpx.Client, kernel: str, arguments: object, options: dict[str, Any], code: str
) -> None:
    machine = alone.follow(http, submitted(http, kernel, arguments, **options), PATIENCE)
    assert machine.state is JobState.ERROR
    assert machine.failure.reason_code == code


def test_the_core_alone_aborts_at_its_deadline(http: httpx.Client) -> None:
    machine = alone.follow(http, submitted(http, "ticks", ENDLESS), 0.1)
    assert machine.state is JobState.CANCELLED
    assert machine.cancel_outcome is CancelOutcome.CANCELLED


def test_the_core_alone_gives_up_where_nobody_answers() -> None:
    with httpx.Client(base_url="http://127.0.0.1:9") as http, pytest.raises(JobTimeoutError):
        alone.follow(http, NOBODY, 0.05)


def test_the_core_alone_does_not_guess_a_state(http: httpx.Client) -> None:
    with pytest.raises(UnknownStatusError, match="'HELD'"):
        alone.follow(http, submitted(http, "primes", {}, hold=True), PATIENCE)


def test_the_core_alone_is_told_of_a_task_that_nobody_knows(http: httpx.Client) -> None:
    with pytest.raises(TransportError, match="NO_SUCH_TASK"):
        alone.follow(http, NOBODY, PATIENCE)


def test_the_core_alone_cancels(http: httpx.Client) -> None:
    path = f"/tasks/{submitted(http, 'ticks', ENDLESS)}"
    assert alone.perform(http, path, SendCancel(1)) == CancelAccepted(1)
    assert alone.perform(http, path, SendCancel(2)) == CancelRefused(2)
    failed = alone.perform(http, path, FetchResult(3))
    assert isinstance(failed, RequestFailed)
    assert not failed.retryable


def test_the_core_alone_slows_down() -> None:
    with vendor.AcmeServer(requests_per_second=10) as server:
        headers = {"X-Acme-Key": server.key}
        with httpx.Client(base_url=server.url, headers=headers) as http:
            path = f"/tasks/{submitted(http, 'primes', {'below': 10})}"
            replies = [alone.perform(http, path, FetchStatus(n)) for n in range(30)]
            failed = [reply for reply in replies if isinstance(reply, RequestFailed)]
            assert failed
            assert all(reply.retryable and reply.retry_after for reply in failed)
            assert alone.follow(http, path.rpartition("/")[2], PATIENCE).state is JobState.DONE


@pytest.mark.parametrize(
    ("answer", "retryable", "retry_after"),
    [
        (httpx.Response(502, html="<p>no</p>"), True, None),
        (httpx.Response(429, headers={"Retry-After": "3"}), True, 3.0),
        (httpx.Response(503, headers={"Retry-After": "soon"}), True, None),
        (httpx.Response(404, json={"state": "SUCCEEDED"}), False, None),
        (httpx.Response(302, headers={"Location": "/login"}), False, None),
        (httpx.Response(200, html="<p>log in</p>"), False, None),
        (httpx.Response(200, json=["odd"]), False, None),
    ],
)
def test_the_core_alone_takes_nothing_else_for_an_answer(
    answer: httpx.Response, retryable: bool, retry_after: float | None
) -> None:
    mock: Callable[[httpx.Request], httpx.Response] = lambda _: answer  # noqa: E731
    with httpx.Client(base_url="http://acme", transport=httpx.MockTransport(mock)) as http:
        failed = alone.perform(http, "/tasks/x", FetchStatus(7))
    assert isinstance(failed, RequestFailed)
    assert (failed.request, failed.retryable, failed.retry_after) == (7, retryable, retry_after)


# ---- the vendor's events, which neither uses ---------------------------------------------------


def lines(answer: httpx.Response) -> list[Any]:
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_events_go_on_after_the_last_that_one_has(http: httpx.Client) -> None:
    path = f"/tasks/{submitted(http, 'ticks', {'count': 3, 'every': 0.01})}/events"
    got: list[Any] = []
    while not got or "end" not in got[-1]:
        got += lines(http.get(path, params={"after": len(got), "wait_ms": 5000}))
    assert got == [*({"n": n, "data": {"tick": n}} for n in (1, 2, 3)), {"end": "SUCCEEDED"}]
    assert lines(http.get(path, params={"after": 2})) == got[2:]
    assert lines(http.get(path, params={"after": 3})) == [{"end": "SUCCEEDED"}]


def test_events_that_are_not_there_yet_are_an_empty_answer(http: httpx.Client) -> None:
    task_id = submitted(http, "ticks", ENDLESS)
    path = f"/tasks/{task_id}/events"
    assert lines(http.get(path, params={"wait_ms": 5})) == []
    http.delete(f"/tasks/{task_id}")
    assert lines(http.get(path, params={"wait_ms": 5000})) == [{"end": "ABORTED"}]
