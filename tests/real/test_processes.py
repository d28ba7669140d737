"""Whole processes: Ctrl-C, the end of the interpreter, and forks in the middle of things."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conditions import PATIENCE, eventually
from own_service import OwnService, own_service
from scripted_server import answer
from stream_service import Peer, StreamService, silent

from runtime_core.states import JobState

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PROGRAMS = {
    "waits": """
        import time
        def main(backend, user_messenger):
            user_messenger.publish("waiting")
            time.sleep(60)
        """,
    "ticks": """
        import os, time
        def main(backend, user_messenger, until):
            i = 0
            while not os.path.exists(until):
                user_messenger.publish(i)
                i += 1
                time.sleep(0.001)
            return i
        """,
}

PRELUDE = """
    import json, os, sys, threading, time
    from adapters import RuntimeClient, RuntimeJob, RuntimeService, RuntimeWebsocketClient
    given = json.loads(sys.stdin.readline())

    def say(*words):
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())

    def job_of(job_id):
        client = RuntimeClient(given["url"], given["token"])
        streams = RuntimeWebsocketClient(given["url"], given["token"], resume="offset")
        return RuntimeJob("b", client, streams, job_id, "p")
"""

FORK_WARNING = "ignore:This process:DeprecationWarning"


@pytest.fixture(scope="module")
def service() -> Iterator[OwnService]:
    with own_service(8) as service:
        for name, source in PROGRAMS.items():
            service.upload_program(textwrap.dedent(source), {"name": name})
        yield service


class Script:
    """A process that runs a script of a test; `given` is what the script knows of it."""

    def __init__(self, source: str, **given: Any) -> None:
        code = textwrap.dedent(PRELUDE) + textwrap.dedent(source)
        self.process = subprocess.Popen(
            # From 3.12 on, Python warns of every fork of a process that has threads.
            [sys.executable, "-X", "dev", "-W", FORK_WARNING, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdout = self.process.stdout
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """Wait for the next line."""
        return self.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; give exit code, output and errors."""
        try:
            output, errors = self.process.communicate(timeout=2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, errors = self.process.communicate()
            pytest.fail(f"it did not end; it said: {output} {errors}")
        return self.process.returncode, output, errors

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


Run = Callable[..., Script]


@pytest.fixture
def run(service: OwnService) -> Iterator[Run]:
    started: list[Script] = []

    def start(source: str, **given: Any) -> Script:
        script = Script(source, **{"url": service.url, "token": service.token, **given})
        started.append(script)
        return script

    yield start
    for script in started:
        script.close()


# ---- Ctrl-C --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "streamed"),
    [
        ("result", False),
        ("result", True),
        ("wait_for_final_state", False),
        ("wait_for_final_state", True),
        ("interim_results", False),
    ],
)
def test_ctrl_c_leaves_a_wait_and_leaves_the_job_running(
    service: OwnService, run: Run, call: str, streamed: bool
) -> None:
    job = service.run("waits")
    script = run(
        """
        job = job_of(given["job"])
        if given["streamed"]:
            job.stream_results(lambda *_: None)
        try:
            say("waiting")
            if given["call"] == "interim_results":
                list(job.interim_results())
            else:
                getattr(job, given["call"])(timeout=60)
        except KeyboardInterrupt:
            say("interrupted", job.status().name)
        """,
        job=job.job_id(),
        call=call,
        streamed=streamed,
    )
    assert script.line() == "waiting"
    time.sleep(0.1)  # where in its wait it is hit is a matter of chance, and must not matter
    began = time.monotonic()
    script.process.send_signal(signal.SIGINT)
    code, output, errors = script.end()
    assert time.monotonic() - began < 3
    assert (code, output, errors) == (0, "interrupted RUNNING\n", "")
    assert job.status() is JobState.RUNNING
    job.cancel()


def test_ctrl_c_during_a_call_that_hangs_is_prompt_too(run: Run) -> None:
    hanging = threading.Event()
    with StreamService() as service:

        def hang() -> bytes:
            hanging.set()
            service.stopping.wait()
            return b""

        service.answers["GET /jobs/j1 "] = hang
        script = run("job_of('j1').result()", url=service.url)
        assert hanging.wait(PATIENCE)
        began = time.monotonic()
        script.process.send_signal(signal.SIGINT)
        code, _, errors = script.end()
        assert time.monotonic() - began < 3
        assert code == -signal.SIGINT
        assert errors.rstrip().endswith("KeyboardInterrupt")


# ---- the end of the interpreter ------------------------------------------------------------

ENDINGS = {
    "a callback is active": "job.stream_results(lambda *_: (say('called'), time.sleep(60)))",
    "a callback is busy": """
def busy(*_):
    say('called')
    while True:
        sum(range(1000))
job.stream_results(busy)
""",
    "a stream is open": "results = job.interim_results(); next(results); say('called')",
    "somebody waits": """
threading.Thread(target=job.result, daemon=True).start()
job.stream_results(lambda *_: say('called'))
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_of_ours_keeps_the_interpreter_from_ending(
    service: OwnService, run: Run, ending: str
) -> None:
    job = service.run("waits")
    source = textwrap.dedent(
        """
        job = job_of(given["job"])
        exec(given["ending"])
        assert sys.stdin.readline()
        """
    )
    script = run(source, job=job.job_id(), ending=ENDINGS[ending])
    assert script.line() == "called"
    began = time.monotonic()
    assert script.process.stdin is not None
    script.process.stdin.write("end\n")
    script.process.stdin.flush()
    code, _, errors = script.end()
    assert time.monotonic() - began < 3
    assert (code, errors) == (0, "")
    assert job.status() is JobState.RUNNING
    job.cancel()


def test_a_request_that_hangs_does_not_keep_the_interpreter_from_ending(run: Run) -> None:
    with StreamService(silent) as service:
        service.answers["GET /jobs/j1 "] = lambda: bytes(service.stopping.wait())
        script = run(
            """
            from runtime_core.errors import JobTimeoutError
            try:
                job_of("j1").result(timeout=0.2)
            except JobTimeoutError:
                say("timed out")
            """,
            url=service.url,
        )
        assert script.line() == "timed out"
        began = time.monotonic()
        assert script.end() == (0, "", "")
        assert time.monotonic() - began < 3


def test_a_job_that_is_only_named_starts_no_thread_and_opens_no_socket(run: Run) -> None:
    script = run(
        """
        job = job_of("j1")
        repr(job), job.job_id(), job.program_id, job.cancel_outcome(), job.stream_error()
        say([thread.name for thread in threading.enumerate()])
        """
    )
    assert script.end() == (0, "['MainThread']\n", "")


# ---- forks ---------------------------------------------------------------------------------

FORKS = {
    "os.fork": """
def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return lambda: os.waitpid(pid, 0)[1]
""",
    "multiprocessing": """
def in_child(work):
    import multiprocessing
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    def wait():
        process.join()
        return process.exitcode
    return wait
""",
}


@needs_fork
@pytest.mark.parametrize("fork", FORKS)
def test_a_fork_in_the_middle_of_a_stream_disturbs_nobody(
    service: OwnService, run: Run, fork: str, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    job = service.run("ticks", inputs={"until": str(until)})
    script = run(
        """
        exec(given["fork"])
        got, here = [], os.getpid()
        job = job_of(given["job"])

        def callback(job_id, value):
            assert os.getpid() == here
            got.append(value)

        def work():
            began = len(got)
            say("child", job.status().name)
            assert list(zip(range(3), job.interim_results()))[2] == (2, 2)
            say("child waits")
            result = job.result(timeout=30)
            assert len(got) == began, "the child has got messages of its parent"
            say("child has", result)

        job.stream_results(callback)
        while len(got) < 50:
            time.sleep(0.01)
        waits = [in_child(work) for _ in range(2)]
        forked = len(got)
        while len(got) < forked + 50:
            time.sleep(0.01)
        say("parent goes on")
        result = job.result(timeout=30)
        codes = [wait() for wait in waits]
        assert got == list(range(result)), (len(got), result)
        say("parent", result, *codes)
        """,
        job=job.job_id(),
        fork=FORKS[fork],
    )
    lines = sorted(script.line() for _ in range(5))
    if lines != ["child RUNNING"] * 2 + ["child waits"] * 2 + ["parent goes on"]:
        pytest.fail(f"{lines}, and then {script.end()}")
    until.touch()
    code, output, errors = script.end()
    assert (code, errors) == (0, "")
    result = job.result(timeout=PATIENCE)
    expected = [f"child has {result}"] * 2 + [f"parent {result} 0 0"]
    assert sorted(output.splitlines()) == expected


@needs_fork
def test_a_child_that_ends_closes_nothing_of_its_parent(service: OwnService, run: Run) -> None:
    """No close frame, no byte, comes from the child on the parent's sockets."""
    release = threading.Event()

    def play(peer: Peer) -> None:
        peer.accept()
        for text in ["0", "1"][peer.after :]:
            peer.send(text)
            release.wait(PATIENCE)
        peer.service.status = "Completed"
        peer.close()

    with StreamService(play) as service_here:
        script = run(
            """
            import gc
            got = []
            job = job_of("j1")
            job.stream_results(lambda _, value: got.append(value))
            while not got:
                time.sleep(0.01)
            if os.fork() == 0:
                job.close()
                gc.collect()
                sys.exit(0)
            code = os.wait()[1]
            say("forked", code)
            assert job.result(timeout=30) == "the result"
            say(got)
            """,
            url=service_here.url,
        )
        assert script.line() == "forked 0"
        assert service_here.peers[0].heard == []
        release.set()
        assert script.end() == (0, "[0, 1]\n", "")


@needs_fork
def test_a_fork_while_a_request_is_in_flight(run: Run) -> None:
    asked, release = threading.Event(), threading.Event()
    with StreamService() as service:

        def slow() -> bytes:
            if not asked.is_set():
                asked.set()
                release.wait(PATIENCE)
                return answer(body='{"id": "j1", "status": "Queued"}')
            return answer(body='{"id": "j1", "status": "Running"}')

        service.answers["GET /jobs/j1 "] = slow
        script = run(
            """
            job = job_of("j1")
            parents = []
            thread = threading.Thread(target=lambda: parents.append(job.status().name))
            thread.start()
            assert sys.stdin.readline()
            pid = os.fork()
            if pid == 0:
                say("child", job.status().name)
                os._exit(0)
            say("parent", os.waitpid(pid, 0)[1])
            thread.join()
            say("parent", *parents)
            """,
            url=service.url,
        )
        assert asked.wait(PATIENCE)
        assert script.process.stdin is not None
        script.process.stdin.write("fork\n")
        script.process.stdin.flush()
        assert [script.line(), script.line()] == ["child RUNNING", "parent 0"]
        release.set()
        assert script.end() == (0, "parent QUEUED\n", "")


@needs_fork
def test_what_a_parent_iterates_ends_in_the_child_with_the_reason(
    service: OwnService, run: Run
) -> None:
    job = service.run("waits")
    script = run(
        """
        job = job_of(given["job"])
        results = job.interim_results()
        assert next(results) == "waiting"
        pid = os.fork()
        if pid == 0:
            try:
                next(results)
            except Exception as error:
                say(type(error).__name__, error)
            os._exit(0)
        say(os.waitpid(pid, 0)[1])
        """,
        job=job.job_id(),
    )
    code, output, errors = script.end()
    assert (code, errors) == (0, "")
    assert output.splitlines()[0].startswith("TransportError The process was forked")
    assert output.splitlines()[1:] == ["0"]
    job.cancel()


@needs_fork
def test_sockets_of_the_parent_are_closed_in_the_child_once_and_for_all(
    service: OwnService, run: Run
) -> None:
    """A number that is free again is used again: what closes it twice closes somebody else's."""
    job = service.run("waits")
    script = run(
        """
        import gc, socket
        job = job_of(given["job"])
        results = job.interim_results()
        assert next(results) == "waiting"
        job.status()  # so that the stream is not what the loop has seen last
        gc.disable()
        pid = os.fork()
        if pid == 0:
            pairs = [socket.socketpair() for _ in range(10)]
            del results
            job.close()
            del job
            gc.collect()
            for one, other in pairs:
                one.send(b"x")
                assert other.recv(1) == b"x"
            say("whole")
            os._exit(0)
        say(os.waitpid(pid, 0)[1])
        """,
        job=job.job_id(),
    )
    assert script.end() == (0, "whole\n0\n", "")
    job.cancel()


@needs_fork
@pytest.mark.parametrize("paused", [False, True])
def test_a_parent_that_ends_lets_go_of_its_stream_though_its_child_lives(
    run: Run, paused: bool
) -> None:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.send("0", "1", "2")
        peer.until_gone()

    with StreamService(play) as service:
        script = run(
            """
            from adapters.drivers import inbox
            inbox.MESSAGE_LIMIT = 1 if given["paused"] else 100
            called = threading.Event()

            def callback(*_):
                called.set()
                time.sleep(60)

            job = job_of("j1")
            job.stream_results(callback)
            called.wait()
            while job._driver.runner._paused is not given["paused"]:
                time.sleep(0.01)
            if os.fork() == 0:
                sys.stdin.readline()
            os._exit(0)
            """,
            url=service.url,
            paused=paused,
        )
        assert script.process.wait(PATIENCE) == 0
        assert eventually(lambda: service.peers[0].gone)
        script.end()
