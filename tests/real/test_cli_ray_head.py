"""The command line with the head of a Ray cluster, of which there is as much as it asks for."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cli_runs import call

from adapters.cli.commands import cancel
from adapters.ray.frame_writer import ERROR, INTERIM, RESULT, STARTED, frames
from adapters.services.ray_jobs import NONCE, PROGRAM

TOKEN = "the-token-of-the-head"
NODE = "97c3"
PROGRAM_TEXT = "def main(backend, user_messenger, n):\n    return n\n"


class Head(ThreadingHTTPServer):
    """Answers what a head does, with jobs that a test puts there."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.jobs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.packages: set[str] = set()
        self.submitted: list[dict[str, Any]] = []

    def put(self, job_id: str, status: str, log: str = "") -> None:
        """Have a job of this library, in this state."""
        self.jobs[job_id] = {
            "type": "SUBMISSION",
            "submission_id": job_id,
            "status": status,
            "start_time": 1795343982659,
            "end_time": None if status in ("PENDING", "RUNNING") else 1795343985971,
            "driver_node_id": None if status == "PENDING" else NODE,
            "metadata": {NONCE: "n0nce", PROGRAM: "prog"},
            "runtime_env": {},
        }
        self.logs[job_id] = log


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        head = self.server
        assert isinstance(head, Head)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = self.headers.get("Authorization")
        if said != f"Bearer {TOKEN}":
            kind = "Missing" if said is None else "Invalid"
            return self._say(401 if said is None else 403, f"Un: {kind} authentication token")
        asked = urlsplit(self.path)
        match [method, *asked.path.strip("/").split("/")]:
            case ["GET", "api", "packages", "gcs", name] if name not in head.packages:
                return self._say(404, f"Package {name} does not exist")
            case ["GET" | "PUT", "api", "packages", "gcs", name]:
                head.packages.add(name)
                return self._say(200, "{}")
            case ["POST", "api", "jobs"]:
                submission = json.loads(body)
                head.submitted.append(submission)
                return self._say(200, json.dumps({"submission_id": submission["submission_id"]}))
            case ["GET", "api", "jobs"]:
                return self._say(200, json.dumps(list(head.jobs.values())))
            case [_, "api", "jobs", job_id, *_] if job_id not in head.jobs:
                return self._say(404, f"Job {job_id} does not exist")
            case ["GET", "api", "jobs", job_id]:
                return self._say(200, json.dumps(head.jobs[job_id]))
            case ["GET", "api", "jobs", job_id, "logs"]:
                return self._say(200, json.dumps({"logs": head.logs[job_id]}))
            case ["GET", "api", "v0", "logs", "file"]:
                [file] = parse_qs(asked.query)["filename"]
                job_id = file.removeprefix("job-driver-").removesuffix(".log")
                return self._say(200, head.logs[job_id], "application/octet-stream")
            case ["POST", "api", "jobs", job_id, "stop"]:
                job = head.jobs[job_id]
                ends = job["status"] in ("PENDING", "RUNNING")
                if job["status"] == "RUNNING":
                    head.put(job_id, "STOPPED")
                return self._say(200, json.dumps({"stopped": ends}))
        return self._say(404, "404: Not Found")

    def _say(self, status: int, text: str, kind: str = "") -> None:
        kind = kind or ("application/json" if text[0] in "[{" else "text/plain")
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


def log(printed: str, kind: str, text: str, *published: str) -> str:
    """A log in which the program printed and published this, and ended so."""
    reports = [*frames("n0nce", 0, STARTED), printed.encode()]
    for index, interim in enumerate(published):
        reports += frames("n0nce", index, INTERIM, interim)
    reports += frames("n0nce", len(published), kind, text)
    return f"Ray says something\n{b''.join(reports).decode()}"


@pytest.fixture
def head() -> Iterator[Head]:
    head = Head()
    thread = threading.Thread(target=head.serve_forever, args=(0.02,))
    thread.start()
    yield head
    head.shutdown()
    thread.join()
    head.server_close()


def ray(
    head: Head, *arguments: str | Path, token: str | None = TOKEN
) -> subprocess.CompletedProcess[str]:
    variables = {} if token is None else {"RUNTIME_CORE_TOKEN": token}
    return call(*arguments, "--ray", head.url, **variables)


def told(ended: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return ended.returncode, ended.stdout, ended.stderr


def test_a_submission_carries_what_was_asked_for(head: Head, tmp_path: Path) -> None:
    program = tmp_path / "prog.py"
    program.write_text(PROGRAM_TEXT)
    options = ("--num-cpus", "0.5", "--num-gpus", "1", "--memory", "2G", "--resource", "a=2")
    code, out, err = told(
        ray(
            head,
            *("run", program, "-i", "n=3", "--detach", "--max-time", "70"),
            *(*options, "--env", "MINE=x y", "--pip", "numpy>=2"),
        )
    )
    assert (code, err) == (0, "")
    [submission] = head.submitted
    assert out == f"{submission['submission_id']}\n"
    wanted = {
        "entrypoint_num_cpus": 0.5,
        "entrypoint_num_gpus": 1.0,
        "entrypoint_memory": 2 * 2**30,
        "entrypoint_resources": {"a": 2.0},
    }
    assert {name: submission[name] for name in wanted} == wanted
    assert submission["runtime_env"]["pip"] == ["numpy>=2"]
    variables = submission["runtime_env"]["env_vars"]
    assert variables["MINE"] == "x y"
    order = json.loads(variables["RUNTIME_CORE_RAY_ORDER"])
    assert (json.loads(order["params"]), order["max_time"]) == ({"n": 3}, 70)
    assert TOKEN not in json.dumps(submission)


def test_a_job_reserves_one_cpu_unless_it_is_told_otherwise(head: Head, tmp_path: Path) -> None:
    program = tmp_path / "prog.py"
    program.write_text(PROGRAM_TEXT)
    for options in ((), ("--num-cpus", "0")):
        assert ray(head, "run", program, "-i", "n=3", "--detach", *options).returncode == 0
    assert [each["entrypoint_num_cpus"] for each in head.submitted] == [1, 0]


def test_a_job_is_told_in_our_words(head: Head) -> None:
    head.put("waits", "PENDING")
    head.put("goes", "RUNNING")
    head.put("done", "SUCCEEDED", log("hello\n", RESULT, '{"n": 3}'))
    head.put("failed", "FAILED", log("", ERROR, "ValueError: it went wrong"))
    head.put("over", "STOPPED")
    states = {"waits": "queued", "goes": "running", "done": "done", "failed": "failed"}
    for job_id, state in (states | {"over": "cancelled"}).items():
        assert told(ray(head, "status", job_id)) == (0, f"{state}\n", "")
    listed = [json.loads(line) for line in ray(head, "jobs", "--json").stdout.splitlines()]
    assert {each["job"]: each["state"] for each in listed} == states | {"over": "cancelled"}
    assert {each["program"] for each in listed} == {"prog"}
    assert told(ray(head, "result", "done")) == (0, "{'n': 3}\n", "")
    assert told(ray(head, "logs", "done")) == (0, "hello\n", "")
    assert ray(head, "result", "over").returncode == 3
    failed = ray(head, "result", "failed")
    assert failed.returncode == 1
    assert "ValueError: it went wrong" in failed.stderr


def test_a_job_that_has_ended_is_watched_from_its_beginning(head: Head) -> None:
    head.put("done", "SUCCEEDED", log("hello\n", RESULT, "[2]", '"one"', '{"two": 2}'))
    code, out, err = told(ray(head, "watch", "done"))
    assert (code, err) == (0, "")
    first, *lines = out.splitlines()
    assert first == f"prog: job done on Ray at {head.url}"
    # It is not said to be queued, though Ray tells by its log alone how it ended.
    assert [line.split(" s ")[-1].strip() for line in lines] == ["one", "two=2", "done", "[2]"]
    assert lines[2].startswith("    3.3 s  ")  # which Ray tells


def test_a_running_job_is_cancelled_and_a_second_time_it_was_before(head: Head) -> None:
    head.put("goes", "RUNNING")
    assert told(ray(head, "cancel", "goes")) == (0, "cancelled\n", "")
    assert told(ray(head, "cancel", "goes")) == (0, "it was cancelled before\n", "")


def test_a_queued_job_ends_when_its_turn_comes(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "_PATIENCE", 0.05)
    head.put("waits", "PENDING")
    code, out, err = told(ray(head, "cancel", "waits"))
    assert (code, out) == (4, "")
    assert "is queued after 0.05 s: see what becomes of it with `runtime-core status waits" in err
    assert err.endswith("Ray ends a queued job only when its turn comes.\n")
    assert f"--ray {head.url}" in err


@pytest.mark.parametrize("command", ["watch", "status", "result", "logs", "cancel"])
def test_an_unknown_job_gets_a_sentence(command: str, head: Head) -> None:
    assert told(ray(head, command, "nope")) == (
        2,
        "",
        f"runtime-core: There is no job 'nope' on Ray at {head.url}: "
        f"`runtime-core jobs --ray {head.url}` lists them.\n",
    )


@pytest.mark.parametrize("token", [None, "wr0ng"], ids=["none", "wrong"])
@pytest.mark.parametrize("command", [["jobs"], ["watch", "j"], ["cancel", "j"], ["run"]], ids=str)
def test_a_token_that_is_missing_or_wrong_gets_a_sentence(
    command: list[str], token: str | None, head: Head, tmp_path: Path
) -> None:
    program = tmp_path / "prog.py"
    program.write_text(PROGRAM_TEXT)
    more = [str(program), "-i", "n=3"] if command == ["run"] else []
    code, out, err = told(ray(head, *command, *more, token=token))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "authentication token" in err
    assert err.endswith("It is read from RUNTIME_CORE_TOKEN, or from --token.\n")
    assert "wr0ng" not in err


def test_a_head_that_is_not_there_gets_a_sentence() -> None:
    code, out, err = told(call("jobs", "--ray", "http://127.0.0.1:9"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("Does the head of a Ray cluster run at http://127.0.0.1:9?\n")


def test_what_is_no_head_gets_a_sentence(head: Head) -> None:
    code, out, err = told(call("jobs", "--ray", f"{head.url}/elsewhere", RUNTIME_CORE_TOKEN=TOKEN))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Is this the URL of a Ray head's dashboard" in err
