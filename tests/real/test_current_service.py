"""The local service in the current dialect, call by call, over real sockets."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from conditions import eventually
from own_service import OwnService, own_service

ECHO = "def main(backend, user_messenger, **inputs):\n    return inputs\n"
SLEEP = """
    import time
    def main(backend, user_messenger):
        time.sleep(60)
"""
FAIL = """
    def main(backend, user_messenger):
        print("a last word")
        raise ValueError("the mirror cracked")
"""


class Current:
    """Raw calls in the current dialect."""

    def __init__(self, service: OwnService) -> None:
        self.service = service
        self._pool = urllib3.PoolManager(retries=False, timeout=20)
        self._headers = {"Authorization": f"Bearer {service.token}", "Service-CRN": "crn:v1:"}
        for name, source in (("echo", ECHO), ("sleep", SLEEP), ("fail", FAIL)):
            self.upload(name, source)
        self.upload("long", SLEEP, 1)

    def upload(self, name: str, source: str, cost: int = 60) -> None:
        metadata = {"name": name, "description": name, "max_execution_time": cost}
        self.service.upload_program(textwrap.dedent(source).encode(), metadata)

    def call(self, method: str, path: str, body: object = None) -> urllib3.BaseHTTPResponse:
        data = None if body is None else json.dumps(body)
        url = f"{self.service.url}/api/v1{path}"
        return self._pool.request(method, url, body=data, headers=self._headers)

    def get(self, path: str, **query: object) -> Any:
        answer = self.call("GET", f"{path}?{urlencode(query, doseq=True)}")
        assert answer.status == 200, answer.data
        return answer.json()

    def run(self, program: str, **body: object) -> str:
        answer = self.call("POST", "/jobs", {"program_id": program, "params": {}, **body})
        assert answer.status == 200, answer.data
        assert answer.json()["backend"] == "local"
        return str(answer.json()["id"])

    def state(self, job: str) -> dict[str, Any]:
        state: dict[str, Any] = self.get(f"/jobs/{job}", exclude_params="true")["state"]
        return state

    def ended(self, job: str) -> dict[str, Any]:
        assert eventually(lambda: self.state(job)["status"] not in ("Queued", "Running"))
        return self.state(job)

    def ids(self, **query: object) -> list[str]:
        page = self.get("/jobs", **query)
        assert all("params" in job for job in page["jobs"]) or "exclude_params" in query
        return [job["id"] for job in page["jobs"]]


@pytest.fixture(scope="module")
def current() -> Iterator[Current]:
    with own_service(2) as service:
        yield Current(service)


def test_a_job_runs(current: Current) -> None:
    job = current.run("echo", params={"x": [1]}, runtime="i:1", tags=["a"], cost=9)
    assert current.ended(job) == {"status": "Completed"}
    document = current.get(f"/jobs/{job}")
    assert document["params"] == {"x": [1]}
    assert (document["program"], document["runtime"]) == ({"id": "echo"}, "i:1")
    assert (document["tags"], document["cost"]) == (["a"], 9)
    assert "params" not in current.get(f"/jobs/{job}", exclude_params="True")
    assert current.call("GET", f"/jobs/{job}/results").json() == {"x": [1]}
    assert current.call("GET", f"/jobs/{job}/logs").status == 404
    metrics = current.get(f"/jobs/{job}/metrics")
    times = [datetime.fromisoformat(metrics["timestamps"][key]) for key in TIMES]
    assert times == sorted(times)
    seconds = (times[2] - times[1]).total_seconds()
    assert metrics["usage"] == {"status": "final", "qpu_charge_time_seconds": seconds}
    assert metrics["position_in_queue"] is None


TIMES = ("created", "running", "finished")


def test_a_failed_job_says_why_in_its_results(current: Current) -> None:
    job = current.run("fail")
    assert current.ended(job) == {"status": "Failed"}
    assert b"the mirror cracked" in current.call("GET", f"/jobs/{job}/results").data
    assert current.call("GET", f"/jobs/{job}/logs").data == b"a last word\n"


@pytest.mark.parametrize(("program", "cost"), [("long", 50), ("sleep", 1)])
def test_a_job_that_ran_too_long_is_cancelled_with_1305(
    current: Current, program: str, cost: int
) -> None:
    state = current.ended(current.run(program, cost=cost))
    assert (state["status"], state["reason_code"]) == ("Cancelled", 1305)
    assert "ran longer than its 1 s" in state["reason"]


def test_a_job_is_cancelled_and_removed(current: Current) -> None:
    job = current.run("sleep")
    assert current.call("DELETE", f"/jobs/{job}").status == 409
    assert eventually(lambda: current.state(job)["status"] == "Running")
    usage = current.get(f"/jobs/{job}/metrics")["usage"]
    assert usage["status"] == "pending"
    assert current.call("POST", f"/jobs/{job}/cancel").status == 204
    assert current.ended(job) == {"status": "Cancelled"}
    assert current.call("POST", f"/jobs/{job}/cancel").status == 409
    assert current.call("DELETE", f"/jobs/{job}").status == 204
    assert current.call("GET", f"/jobs/{job}").status == 404


def test_a_queued_job_says_its_place(current: Current) -> None:
    jobs = [current.run("sleep") for _ in range(4)]
    assert eventually(lambda: current.state(jobs[1])["status"] == "Running")
    places = [current.get(f"/jobs/{job}/metrics")["position_in_queue"] for job in jobs]
    assert places == [None, None, 1, 2]
    assert current.get("/backends")["devices"][0]["queue_length"] >= 4
    for job in reversed(jobs):
        assert current.call("POST", f"/jobs/{job}/cancel").status == 204
    for job in jobs:
        current.ended(job)


def test_tags_are_changed_and_found_by(current: Current) -> None:
    job = current.run("echo", tags=["one", "two", "one"])
    assert current.get(f"/jobs/{job}")["tags"] == ["one", "two"]
    assert current.call("PUT", f"/jobs/{job}/tags", {"tags": ["b", "é & ü"]}).status == 204
    assert current.get(f"/jobs/{job}")["tags"] == ["b", "é & ü"]
    assert current.ids(tags=["é & ü", "b"]) == [job]
    assert current.ids(tags=["one", "b"]) == []
    assert current.call("PUT", f"/jobs/{job}/tags", {"tags": []}).status == 204
    assert current.get(f"/jobs/{job}")["tags"] == []


def test_lists_have_filters_and_pages(current: Current) -> None:
    before = datetime.now(UTC)
    done = [current.run("echo", tags=["mine"]) for _ in range(2)]
    for job in done:
        current.ended(job)
    between = datetime.now(UTC)
    running = current.run("sleep", tags=["mine"])
    newest = [running, *reversed(done)]
    mine = {"tags": "mine", "exclude_params": "true"}
    assert current.ids(**mine) == newest
    assert current.ids(**mine, sort="ASC") == newest[::-1]
    assert current.ids(**mine, limit=1, offset=1) == newest[1:2]
    assert current.ids(**mine, pending="true") == newest[:1]
    assert current.ids(**mine, pending="false") == newest[1:]
    assert current.ids(**mine, program="echo") == newest[1:]
    assert current.ids(**mine, backend="local", include_mocks="True") == newest
    assert current.ids(**mine, backend="elsewhere") == []
    assert current.ids(**mine, session_id="s") == []
    for moment in (between, between.astimezone(EAST), between.replace(tzinfo=None)):
        assert current.ids(**mine, created_after=moment.isoformat()) == newest[:1]
        assert current.ids(**mine, created_before=moment.isoformat()) == newest[1:]
    assert current.ids(**mine, created_after=before.isoformat()) == newest
    assert current.get("/jobs", **mine, limit=1)["count"] == 3
    assert current.call("POST", f"/jobs/{running}/cancel").status == 204


EAST = timezone(timedelta(hours=5))


def test_the_machine_is_a_backend(current: Current) -> None:
    (device,) = current.get("/backends", include_mocks="True")["devices"]
    assert device["name"] == "local"
    configuration = current.get("/backends/local/configuration")
    assert (configuration["backend_name"], configuration["simulator"]) == ("local", True)
    assert datetime.fromisoformat(configuration["online_date"]).utcoffset() == timedelta(0)
    status = current.get("/backends/local/status")
    assert (status["status"], status["state"]) == ("active", True)
    assert status["backend_version"] == configuration["backend_version"]
    assert current.get("/backends/local/properties") == {}
    assert current.get("/instances/usage") == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/jobs/none", None, 404),
        ("GET", "/jobs/none/metrics", None, 404),
        ("PUT", "/jobs/none/tags", {"tags": []}, 404),
        ("GET", "/jobs?created_after=yesterday", None, 400),
        ("GET", "/jobs?created_before=0001-01-01T00:00%2B23:00", None, 400),
        ("GET", "/jobs?limit=-1", None, 400),
        ("GET", "/jobs?pending=perhaps", None, 400),
        ("POST", "/jobs", {"program_id": "none", "params": {}}, 404),
        ("POST", "/jobs", {"params": {}}, 400),
        ("POST", "/jobs", {"program_id": "echo", "cost": 0}, 400),
        ("POST", "/jobs", {"program_id": "echo", "cost": True}, 400),
        ("POST", "/jobs", {"program_id": "echo", "tags": "a"}, 400),
        ("POST", "/jobs", {"program_id": "echo", "tags": [1]}, 400),
        ("POST", "/jobs", {"program_id": "echo", "tags": [""]}, 400),
        ("POST", "/jobs", {"program_id": "echo", "tags": ["\ud800"]}, 400),
        ("POST", "/jobs", {"program_id": "echo", "tags": ["x" * 129]}, 400),
        ("POST", "/jobs", {"program_id": "echo", "tags": ["x"] * 65}, 400),
        ("POST", "/jobs", {"program_id": "echo", "session_id": "s"}, 400),
        ("POST", "/jobs", {"program_id": "echo", "start_session": True}, 400),
        ("POST", "/jobs", {"program_id": "echo", "private": True}, 400),
        ("GET", "/backends/elsewhere/configuration", None, 404),
        ("GET", "/backends/elsewhere/properties", None, 404),
        ("GET", "/backends/elsewhere/status", None, 404),
        ("GET", "/programs", None, 404),
        ("PATCH", "/jobs", None, 405),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(
    current: Current, method: str, path: str, body: object, status: int
) -> None:
    answer = current.call(method, path, body)
    assert answer.status == status, answer.data
    assert answer.json()["message"].endswith(".")


def test_tags_must_be_said_to_be_changed(current: Current) -> None:
    job = current.run("echo", tags=["a"])
    for body in ({}, {"tags": None}, {"tags": "a"}):
        assert current.call("PUT", f"/jobs/{job}/tags", body).status == 400
    assert current.get(f"/jobs/{job}")["tags"] == ["a"]
