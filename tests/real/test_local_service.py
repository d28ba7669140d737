"""The local service over real sockets, with real child processes."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from wsclient import RejectedError, WebSocketClient

from adapters import RuntimeService
from adapters.local.process import LocalServiceProcess
from adapters.local.texts import INLINE_BYTES
from runtime_core.errors import ServiceError

PI = Path(__file__).parents[2] / "examples" / "pi.py"


class Client:
    """Raw calls to one service."""

    def __init__(self, service: LocalServiceProcess) -> None:
        self.service = service
        self.port = int(service.url.rsplit(":", 1)[1])
        self.pool = urllib3.HTTPConnectionPool("127.0.0.1", self.port, retries=False, timeout=20)
        self.headers = {"X-Access-Token": service.access_token}
        self._count = 0

    def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.pool.request(method, path, body=body, headers=self.headers | extra)

    def upload(self, source: str, cost: int = 60) -> str:
        self._count += 1
        name = f"program-{self._count}"
        data = base64.b64encode(textwrap.dedent(source).encode()).decode()
        answer = self.call("POST", "/programs", {"name": name, "data": data, "cost": cost})
        assert answer.status == 201, answer.data
        return name

    def submit(self, program: str, /, **params: Any) -> str:
        body = {"program_id": program, "backend": "here", "params": params, "runtime": "img"}
        answer = self.call("POST", "/jobs", body)
        assert answer.status == 201, answer.data
        return str(answer.json()["id"])

    def run(self, source: str, /, **params: Any) -> str:
        return self.submit(self.upload(source), **params)

    def stream(self, job: str, query: str = "") -> WebSocketClient:
        return WebSocketClient(self.port, f"/stream/jobs/{job}{query}", dict(self.headers))

    def interim(self, job: str, query: str = "") -> list[str]:
        """Await the end of the job by its stream; give the messages without the acknowledgement."""
        with self.stream(job, query) as stream:
            messages = stream.messages()
            assert stream.close_code == 1000
        assert json.loads(messages[0]) == {"type": "acknowledgement", "job_id": job}
        return messages[1:]

    def status(self, job: str) -> str:
        return str(self.call("GET", f"/jobs/{job}").json()["status"])

    def ended(self, job: str) -> tuple[str, str]:
        """Await the end; give the status and the text of the results."""
        self.interim(job)
        return self.status(job), self.call("GET", f"/jobs/{job}/results").data.decode()

    def close(self) -> None:
        self.pool.close()
        self.service.close()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    client = Client(LocalServiceProcess.start(workers=4))
    yield client
    client.close()


@pytest.fixture
def lone_worker() -> Iterator[Client]:
    client = Client(LocalServiceProcess.start(workers=1))
    yield client
    client.close()


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has collected yet does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    # Of a process that is no child of ours nothing tells the end.
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


WAITS = """
    import os, time
    def main(backend, user_messenger):
        user_messenger.publish(os.getpid())
        time.sleep(60)
"""


def start_waiting(client: Client, source: str = WAITS) -> tuple[str, list[int]]:
    """Start a program that publishes the numbers of its processes and waits."""
    job = client.run(source)
    with client.stream(job) as stream:
        stream.receive()
        published = json.loads(stream.receive() or "")
    return job, published if isinstance(published, list) else [published]


# ---- running -----------------------------------------------------------------------------------


def test_a_program_runs_and_its_job_says_everything_about_it(client: Client) -> None:
    job = client.run(
        """
        def main(backend, user_messenger, a, b=0):
            user_messenger.publish({"backend": backend.name, "a": a})
            return {"sum": a + b, "z": 1j}
        """,
        a=2,
        b=3,
    )
    assert [json.loads(text) for text in client.interim(job)] == [{"backend": "here", "a": 2}]
    document = client.call("GET", f"/jobs/{job}").json()
    assert document["id"] == job
    assert document["status"] == "Completed"
    assert document["params"] == {"a": 2, "b": 3}
    assert (document["backend"], document["image"]) == ("here", "img")
    assert (document["hub"], document["group"], document["project"]) == ("", "", "")
    assert document["created"].endswith("+00:00")
    results = client.call("GET", f"/jobs/{job}/results")
    assert results.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert results.json() == {
        "sum": 5,
        "z": {"__type__": "complex", "__value__": [0.0, 1.0]},
    }


def test_the_example_estimates_pi(client: Client) -> None:
    job = client.run(PI.read_text(), samples=40_000, batches=4, seed=1)
    interim = [json.loads(text) for text in client.interim(job)]
    assert [part["progress"] for part in interim] == [0.25, 0.5, 0.75, 1.0]
    final = client.call("GET", f"/jobs/{job}/results").json()
    assert final == interim[-1]
    assert abs(final["estimate"] - 3.14159) < 5 * final["error"]


def test_what_is_published_as_final_is_the_result_and_not_interim(client: Client) -> None:
    job = client.run("def main(backend, user_messenger):\n user_messenger.publish(1, final=True)")
    assert client.interim(job) == []
    assert client.call("GET", f"/jobs/{job}/results").data == b"1"


def test_threads_publish_whole_messages(client: Client) -> None:
    job = client.run(
        """
        import threading
        def main(backend, user_messenger):
            def publish(n):
                for _ in range(50):
                    user_messenger.publish(str(n) * 5000)
            threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        """
    )
    messages = client.interim(job)
    assert sorted(messages) == [json.dumps(str(n) * 5000) for n in range(4) for _ in range(50)]
    assert client.status(job) == "Completed"


def test_functions_of_a_program_can_go_to_processes_of_its_own(client: Client) -> None:
    job = client.run(
        """
        import multiprocessing
        def double(n):
            return 2 * n
        def main(backend, user_messenger):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(double, [1, 2])
        """
    )
    assert client.ended(job) == ("Completed", "[2,4]")


def test_jobs_beyond_the_workers_wait_in_order(lone_worker: Client) -> None:
    program = lone_worker.upload(
        """
        import time
        def main(backend, user_messenger):
            start = time.monotonic()
            time.sleep(0.1)
            return [start, time.monotonic()]
        """
    )
    jobs = [lone_worker.submit(program) for _ in range(3)]
    assert [lone_worker.status(job) for job in jobs] == ["Running", "Queued", "Queued"]
    assert lone_worker.interim(jobs[-1]) == []  # a queued job's stream waits for its end
    spans = [lone_worker.call("GET", f"/jobs/{job}/results").json() for job in jobs]
    assert spans == sorted(spans)
    assert all(spans[i][1] <= spans[i + 1][0] for i in range(2))


# ---- the stream --------------------------------------------------------------------------------

COUNTS = """
    def main(backend, user_messenger, n):
        for i in range(n):
            user_messenger.publish(i)
"""


def test_interim_results_are_replayed_from_the_start_or_after_some(client: Client) -> None:
    job = client.run(COUNTS, n=200)
    everything = [str(i) for i in range(200)]
    assert client.interim(job) == everything
    assert client.interim(job) == everything
    assert client.interim(job, "?after=197") == everything[197:]
    assert client.interim(job, "?after=0") == everything
    assert client.interim(job, "?after=999") == []


def test_two_readers_get_everything_and_a_slow_one_holds_up_nobody(client: Client) -> None:
    job = client.run(
        """
        def main(backend, user_messenger):
            for i in range(200):
                user_messenger.publish("x" * 100_000)
        """
    )
    with client.stream(job) as slow:  # more than the sockets hold, and not read yet
        assert len(client.interim(job)) == 200
        assert client.status(job) == "Completed"
        assert len(slow.messages()) == 201
        assert slow.close_code == 1000


def test_messages_are_sent_live(client: Client) -> None:
    job = client.run(WAITS)
    with client.stream(job) as stream:
        stream.receive()
        assert stream.receive() is not None
        assert client.status(job) == "Running"
        client.call("POST", f"/jobs/{job}/cancel")
        assert stream.receive() is None
        assert client.status(job) == "Cancelled"  # final before the close is sent


def test_the_close_follows_the_end_of_the_process_at_once(client: Client) -> None:
    delays = []
    for _ in range(5):
        job, (pid,) = start_waiting(client)
        with client.stream(job) as stream:
            assert stream.receive()
            assert stream.receive()
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            assert stream.receive() is None
            delays.append(stream.closed_at - killed)
    assert (
        min(delays) < 0.02
    )  # a few milliseconds; the least of five, since others use this machine


@pytest.mark.parametrize(("path", "status"), [("none", 404), ("{job}?after=-1", 400)])
def test_a_stream_that_cannot_be_is_refused_at_the_handshake(
    client: Client, path: str, status: int
) -> None:
    job = client.run(COUNTS, n=0)
    with pytest.raises(RejectedError) as rejected:
        client.stream(path.format(job=job))
    assert rejected.value.status_code == status
    assert set(json.loads(rejected.value.body)) == {"message"}


# ---- failures ----------------------------------------------------------------------------------


def test_an_exception_gives_the_traceback_of_the_program_alone(client: Client) -> None:
    job = client.run(
        """
        def main(backend, user_messenger):
            try:
                return helper()
            except ZeroDivisionError as error:
                raise ValueError("bad luck") from error
        def helper():
            return 1 / 0
        """
    )
    status, text = client.ended(job)
    assert status == "Failed"
    assert text.startswith("Traceback (most recent call last):\n")
    assert 'File "program.py", line 8, in helper\n    return 1 / 0\n' in text
    assert text.endswith("ValueError: bad luck\n")
    assert {line.split(",")[0] for line in text.splitlines() if "File" in line} == {
        '  File "program.py"'
    }


FAILURES = {
    "exit": (
        "import os\ndef main(backend, user_messenger): os._exit(7)",
        "ended with exit code 7 before main() returned",
    ),
    "signal": (
        "import os\ndef main(backend, user_messenger): os.kill(os.getpid(), 9)",
        "ended by signal 9 (SIGKILL)",
    ),
    "sys.exit": ("import sys\ndef main(backend, user_messenger): sys.exit(3)", "SystemExit: 3"),
    "syntax": ("def main(:\n pass", "SyntaxError"),
    "import": ("import nothing_like_it", "No module named 'nothing_like_it'"),
    "no main": ("x = 1", "has no function main(backend, user_messenger, **inputs)"),
    "not callable": ("main = 1", "has no function main(backend, user_messenger, **inputs)"),
    "arguments": (
        "def main(backend, user_messenger, samples): pass",
        "main() does not take these inputs: main() missing 1 required positional argument",
    ),
    "own TypeError": (
        "def main(backend, user_messenger): len(1)",
        'File "program.py", line 1, in main',
    ),
    "result": (
        "def main(backend, user_messenger): return [object()]",
        "The result cannot be encoded:",
    ),
    "interim": (
        "def main(backend, user_messenger): user_messenger.publish(object())",
        "EncodeError:",
    ),
    "frames": (
        "import os\ndef main(backend, user_messenger):\n"
        " [os.write(fd, b'nonsense!' * 9) for fd in range(3, 20) if writable(fd)]\n"
        " import time; time.sleep(30)\n"
        "def writable(fd):\n"
        " import fcntl\n"
        " try: return fcntl.fcntl(fd, fcntl.F_GETFL) & 3 == os.O_WRONLY\n"
        " except OSError: return False",
        "carried something that is no report",
    ),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_every_failure_says_what_happened(client: Client, kind: str) -> None:
    source, expected = FAILURES[kind]
    status, text = client.ended(client.run(source))
    assert status == "Failed"
    assert expected in text
    assert "host.py" not in text


def test_a_result_that_was_reported_stands_whatever_the_process_does_then(client: Client) -> None:
    job = client.run(
        """
        import atexit, os, signal
        def main(backend, user_messenger):
            atexit.register(os.kill, os.getpid(), signal.SIGSEGV)
            return 1
        """
    )
    assert client.ended(job) == ("Completed", "1")


# ---- ending ------------------------------------------------------------------------------------


def test_cancelling_a_running_job_ends_its_whole_process_group(client: Client) -> None:
    job, pids = start_waiting(
        client,
        """
        import os, subprocess, time
        def main(backend, user_messenger):
            child = subprocess.Popen(["sleep", "60"])
            fork = os.fork()
            if fork:
                user_messenger.publish([os.getpid(), child.pid, fork])
            time.sleep(60)
        """,
    )
    assert len(pids) == 3
    assert all(alive(pid) for pid in pids)
    assert client.call("POST", f"/jobs/{job}/cancel").status == 204
    client.interim(job)
    assert client.status(job) == "Cancelled"
    assert client.call("GET", f"/jobs/{job}/results").status == 404
    assert eventually(lambda: not any(alive(pid) for pid in pids))


def test_processes_that_a_program_leaves_behind_end_with_it(client: Client) -> None:
    job = client.run(
        """
        import subprocess
        def main(backend, user_messenger):
            return subprocess.Popen(["sleep", "60"]).pid
        """
    )
    status, pid = client.ended(job)
    assert status == "Completed"
    assert eventually(lambda: not alive(int(pid)))


def test_a_program_that_ignores_sigterm_is_killed(client: Client) -> None:
    job = client.run(
        """
        import signal, time
        def main(backend, user_messenger):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            user_messenger.publish("ready")
            while True:
                time.sleep(1)
        """
    )
    with client.stream(job) as stream:
        assert stream.receive()
        assert stream.receive()
        start = time.monotonic()
        assert client.call("POST", f"/jobs/{job}/cancel").status == 204
        assert client.call("POST", f"/jobs/{job}/cancel").status == 204
        assert client.status(job) == "Running"
        assert stream.receive() is None
    assert 2.9 < time.monotonic() - start < 4
    assert client.status(job) == "Cancelled"


def test_a_queued_job_is_cancelled_without_being_started(lone_worker: Client) -> None:
    first, _ = start_waiting(lone_worker)
    second = lone_worker.run("def main(backend, user_messenger): print('ran')")
    with lone_worker.stream(second) as stream:
        stream.receive()
        assert lone_worker.call("POST", f"/jobs/{second}/cancel").status == 204
        assert stream.receive() is None
    assert lone_worker.status(second) == "Cancelled"
    assert lone_worker.call("GET", f"/jobs/{second}/logs").status == 404
    assert lone_worker.status(first) == "Running"


def test_a_job_that_runs_longer_than_its_cost_is_ended(client: Client) -> None:
    job = client.submit(client.upload(WAITS, cost=1))
    assert client.ended(job) == (
        "Cancelled - Ran too long",
        "The program ran longer than its 1 s and was ended.",
    )


# ---- logs --------------------------------------------------------------------------------------


def test_logs_hold_everything_that_was_written_to_the_standard_streams(client: Client) -> None:
    source = """
        import logging, os, subprocess, sys
        def main(backend, user_messenger):
            print("printed \\u00e9", "\\udcff")
            os.write(1, b"written \\xff\\n")
            subprocess.run(["echo", "echoed"])
            print("error", file=sys.stderr)
            logging.info("logged")
            print("stdin:", sys.stdin.read())
    """
    body = {"program_id": client.upload(source), "log_level": "info"}
    job = str(client.call("POST", "/jobs", body).json()["id"])
    assert client.ended(job) == ("Completed", "null")
    logs = client.call("GET", f"/jobs/{job}/logs")
    assert logs.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert logs.data.decode().splitlines() == [
        "printed \u00e9 \\udcff",
        "written \ufffd",
        "echoed",
        "error",
        "INFO:root:logged",
        "stdin: ",
    ]


def test_logs_can_be_read_while_the_job_runs(client: Client) -> None:
    job, _ = start_waiting(
        client,
        """
        import time
        def main(backend, user_messenger):
            print("so far")
            user_messenger.publish(0)
            time.sleep(60)
        """,
    )
    assert client.call("GET", f"/jobs/{job}/logs").data == b"so far\n"
    client.call("POST", f"/jobs/{job}/cancel")


def test_of_very_long_logs_the_end_is_kept(client: Client) -> None:
    job = client.run(
        """
        def main(backend, user_messenger):
            for _ in range(17):
                print("x" * (1 << 20), end="")
            print("the end")
        """
    )
    client.interim(job)
    text = client.call("GET", f"/jobs/{job}/logs").data.decode()
    first, text = text.split("\n", 1)
    dropped = int(first.removeprefix("[The first ").split()[0])
    kept = f"the last {(17 << 20) + 8 - dropped} bytes are kept"
    assert first == f"[The first {dropped} bytes of the output were dropped: {kept}.]"
    # Whole pieces are dropped.
    assert 0 <= (1 << 20) + 8 - dropped < INLINE_BYTES
    assert len(text) == (17 << 20) + 8 - dropped
    assert text.endswith("xthe end\n")


# ---- programs and lists ------------------------------------------------------------------------


def test_a_program_is_described_listed_and_deleted(client: Client) -> None:
    data = base64.b64encode(b"def main(backend, user_messenger): return 5").decode()
    spec = {"parameters": {"type": "object"}}
    body = {"name": "a.b-c_1", "data": data, "cost": 7, "description": "d", "spec": spec}
    assert client.call("POST", "/programs", body | {"is_public": True}).json() == {"id": "a.b-c_1"}
    assert client.call("POST", "/programs", body).status == 409
    document = client.call("GET", "/programs/a.b-c_1").json()
    assert document["data"] == data
    assert (document["id"], document["name"], document["cost"]) == ("a.b-c_1", "a.b-c_1", 7)
    assert (document["description"], document["is_public"]) == ("d", True)
    assert document["spec"] == spec
    listed = client.call("GET", "/programs?limit=1000").json()
    assert listed["count"] == len(listed["programs"])
    assert "a.b-c_1" in [program["id"] for program in listed["programs"]]
    assert len(client.call("GET", "/programs?limit=1&offset=1").json()["programs"]) == 1
    job = client.submit("a.b-c_1")
    assert client.call("DELETE", "/programs/a.b-c_1").status == 204
    assert client.call("GET", "/programs/a.b-c_1").status == 404
    assert client.ended(job) == ("Completed", "5")


def test_jobs_are_listed_newest_first_and_deleted_when_final(client: Client) -> None:
    program = client.upload(COUNTS)
    jobs = [client.submit(program, n=0) for _ in range(3)]
    for job in jobs:
        client.interim(job)
    waiting = client.upload(WAITS)
    running = client.submit(waiting)

    def listed(query: str) -> list[str]:
        answer = client.call("GET", f"/jobs?{query}").json()
        return [job["id"] for job in answer["jobs"]]

    assert listed(f"program={program}") == jobs[::-1]
    assert listed(f"program={program}&limit=1&offset=1") == [jobs[1]]
    assert client.call("GET", f"/jobs?program={program}&limit=1").json()["count"] == 3
    assert listed(f"program={program}&pending=true") == []
    assert listed(f"program={program}&pending=false") == jobs[::-1]
    assert listed(f"program={waiting}&pending=true") == [running]
    assert client.call("DELETE", f"/jobs/{running}").status == 409
    assert client.call("GET", f"/jobs/{running}/results").status == 404
    assert client.call("POST", f"/jobs/{running}/cancel").status == 204
    client.interim(running)
    assert client.call("POST", f"/jobs/{running}/cancel").status == 409
    assert client.call("DELETE", f"/jobs/{running}").status == 204
    assert client.call("GET", f"/jobs/{running}").status == 404


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/jobs/none", None, 404),
        ("GET", "/jobs/none/results", None, 404),
        ("GET", "/jobs/none/logs", None, 404),
        ("POST", "/jobs/none/cancel", None, 404),
        ("DELETE", "/jobs/none", None, 404),
        ("GET", "/programs/none", None, 404),
        ("DELETE", "/programs/none", None, 404),
        ("GET", "/nowhere", None, 404),
        ("PUT", "/jobs", None, 405),
        ("GET", "/jobs?limit=x", None, 400),
        ("GET", "/jobs?offset=-1", None, 400),
        ("GET", "/jobs?pending=perhaps", None, 400),
        ("POST", "/jobs", b"{", 400),
        ("POST", "/jobs", b"\xff", 400),
        ("POST", "/jobs", b"[" * 100_000, 400),
        ("POST", "/jobs", [], 400),
        ("POST", "/jobs", {}, 400),
        ("POST", "/jobs", {"program_id": "none"}, 404),
        ("POST", "/programs", {"name": "x", "data": "?"}, 400),
        ("POST", "/programs", {"name": "x/y", "data": ""}, 400),
        ("POST", "/programs", {"name": "two\nlines", "data": "eA=="}, 400),
        ("POST", "/programs", {"name": "x" * 257, "data": "eA=="}, 400),
        ("POST", "/programs", {"name": "x", "data": "eA==", "cost": 0}, 400),
        ("POST", "/programs", {"name": "x", "data": "eA==", "cost": True}, 400),
        ("POST", "/programs", {"name": "x", "data": "eA==", "spec": []}, 400),
    ],
)
def test_refusals_say_why_in_one_sentence(
    client: Client, method: str, path: str, body: Any, status: int
) -> None:
    answer = client.call(method, path, body)
    assert answer.status == status
    assert list(answer.json()) == ["message"]
    assert answer.json()["message"].endswith(".")


@pytest.mark.parametrize("body", [{"params": []}, {"log_level": "loud"}, {"backend": 1}])
def test_a_job_with_wrong_fields_is_refused(client: Client, body: dict[str, Any]) -> None:
    answer = client.call("POST", "/jobs", {"program_id": client.upload(COUNTS)} | body)
    assert answer.status == 400


def test_a_body_that_is_too_long_is_refused_and_answered(client: Client) -> None:
    answer = client.call("POST", "/programs", b" " * (64 * 1024 * 1024 + 1))
    assert answer.status == 413
    assert "64 MiB" in answer.json()["message"]


def test_an_answer_does_not_wait_for_an_acknowledgement(client: Client) -> None:
    durations = []
    for _ in range(10):
        start = time.monotonic()
        client.call("GET", "/jobs?limit=1")
        durations.append(time.monotonic() - start)
    assert min(durations) < 0.03  # 44 ms with Nagle's algorithm


def test_logout_is_answered(client: Client) -> None:
    assert client.call("POST", "/logout").status == 204


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Access-Token": "wrong"}, 401),
        ({"X-Access-Token": "\u00e9"}, 401),
        ({"X-Access-Token": ""}, 401),
        ({"Host": "example.org"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Origin": "http://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:{port}", "Origin": "http://127.0.0.1:{port}"}, 403),
    ],
)
def test_the_gate_stands_before_calls_and_streams(
    client: Client, headers: dict[str, str], status: int
) -> None:
    filled = {name: value.format(port=client.port) for name, value in headers.items()}
    answer = client.call("GET", "/jobs/none", **filled)
    assert answer.status == status
    assert list(answer.json()) == ["message"]
    with pytest.raises(RejectedError) as rejected:
        WebSocketClient(client.port, "/stream/jobs/none", client.headers | filled)
    assert rejected.value.status_code == status
    assert list(json.loads(rejected.value.body)) == ["message"]


def test_without_a_token_nothing_is_told(client: Client) -> None:
    assert client.pool.request("GET", "/nowhere").status == 401
    with pytest.raises(RejectedError) as rejected:
        WebSocketClient(client.port, "/stream/jobs/none", {})
    assert rejected.value.status_code == 401


def test_other_addresses_of_this_machine_are_not_listened_on(client: Client) -> None:
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", client.port), timeout=1):
        pass


# ---- the process of the service ----------------------------------------------------------------


def test_close_ends_the_service_and_its_jobs(lone_worker: Client) -> None:
    job, (pid,) = start_waiting(lone_worker)
    with lone_worker.stream(job) as stream:
        start = time.monotonic()
        lone_worker.service.close()
        assert time.monotonic() - start < 3
        assert len(stream.messages()) == 2
        assert stream.close_code == 1000
    lone_worker.service.close()
    assert not alive(lone_worker.service.pid)
    assert not alive(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_jobs_do_not_outlive_their_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # SIGKILL leaves a directory behind
    client = Client(LocalServiceProcess.start(workers=1))
    _, (pid,) = start_waiting(client)
    os.kill(client.service.pid, number)
    assert eventually(lambda: not alive(pid))
    assert eventually(lambda: not alive(client.service.pid))
    client.close()
    assert number is signal.SIGKILL or list(tmp_path.iterdir()) == []


def test_service_and_jobs_end_when_their_owner_is_killed(tmp_path: Path) -> None:
    owner_source = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        from test_local_service import Client, start_waiting
        from adapters.local.process import LocalServiceProcess
        client = Client(LocalServiceProcess.start(workers=1))
        print(client.service.pid, *start_waiting(client)[1], flush=True)
        time.sleep(60)
        """
    )
    command = [sys.executable, "-c", owner_source, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        owner.kill()
    assert eventually(lambda: not any(alive(pid) for pid in pids))


def test_a_failed_start_says_what_the_service_wrote() -> None:
    with pytest.raises(ServiceError, match="workers must be 1 or more"):
        LocalServiceProcess.start(workers=0)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServiceError, match=r"runtime-core\[local\]"):
        LocalServiceProcess.start()


def test_starting_one_needs_nothing_of_the_extra() -> None:
    code = "import adapters.local.process, sys; print({'starlette', 'uvicorn'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert output.stdout == b"set()\n"


# ---- what no service should fall over ----------------------------------------------------------


@pytest.mark.parametrize("key", ["backend", "runtime", "python", "python_path", "hub"])
@pytest.mark.parametrize("text", ["/a\0b", "\ud800"], ids=["nul", "surrogate"])
def test_a_text_that_no_system_takes_is_refused(client: Client, key: str, text: str) -> None:
    program = client.upload("def main(backend, user_messenger): pass")
    answer = client.call("POST", "/jobs", {"program_id": program, key: text})
    assert answer.status == 400
    assert f"The body's {key} holds" in answer.json()["message"]


def test_a_body_that_would_take_too_much_memory_is_refused(client: Client) -> None:
    program = client.upload("def main(backend, user_messenger): pass")
    many = b'{"program_id": "%s", "params": {"x": [' % program.encode() + b"[]," * 8_000_000
    answer = client.call("POST", "/jobs", many + b"[]]}}")
    assert answer.status == 400
    assert "memory" in answer.json()["message"]


def test_a_steady_publisher_may_publish_more_than_one_message_may_hold(client: Client) -> None:
    job = client.run(
        """
        def main(backend, user_messenger):
            for i in range(280):
                user_messenger.publish("x" * 1_000_000)
        """
    )
    assert client.ended(job) == ("Completed", "null")


def test_a_list_of_jobs_with_large_inputs_comes_in_parts(client: Client) -> None:
    program = client.upload("def main(backend, user_messenger, **inputs): pass")
    jobs = [client.submit(program, x="y" * 9_000_000) for _ in range(3)]
    page = client.call("GET", f"/jobs?program={program}").json()
    assert page["count"] == 3
    assert [job["id"] for job in page["jobs"]] == [jobs[2], jobs[1]]
    with RuntimeService(client.service.url, client.service.access_token) as service:
        assert [job.job_id() for job in service.jobs(program_id=program)] == jobs[::-1]
