"""The local runner with real processes, read as a driver of somebody else would read it."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conditions import PATIENCE, eventually, open_fds, our_threads

from adapters import LocalRunner, ServiceTransport, StreamFile, SubmittingTransport, Transport
from adapters.local.processes import identity_of
from runtime_core.commands import FetchFailure, FetchResult, FetchStatus, OpenStream, SendCancel
from runtime_core.errors import RuntimeJobNotFoundError, ServiceError, TransportError, UsageError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamOpened,
)
from runtime_core.traits import Resume

PUBLISHES = """
def main(backend, user_messenger, count=5, size=0):
    for number in range(count):
        user_messenger.publish("x" * size if size else number)
    print("done")
    return {"count": count}
"""
SLEEPS = """
import os, time
def main(backend, user_messenger):
    user_messenger.publish(os.getpid())
    time.sleep(60)
"""
FAILS = """
def main(backend, user_messenger):
    raise ValueError("on purpose")
"""

FINAL = JobSucceeded | JobFailed | JobCancelled
LAST = StreamClosed | StreamFailed


@pytest.fixture(scope="module")
def runner() -> Iterator[LocalRunner]:
    with LocalRunner(workers=2) as runner:
        yield runner


class Reader:
    """Reads one stream with a selector of its own."""

    def __init__(self, stream: StreamFile) -> None:
        self._stream = stream
        self._file = stream.file
        os.set_blocking(self._file.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._file, selectors.EVENT_READ)
        self.events: list[StreamEvent] = []
        stream.protocol.start()

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert self._selector.select(deadline - time.monotonic()), self.events
            self.events += self._stream.protocol.receive(os.read(self._file.fileno(), 1 << 16))

    def to_the_end(self) -> list[StreamEvent]:
        self.until(lambda: bool(self.events) and isinstance(self.events[-1], LAST))
        self.close()
        return self.events

    def ask(self) -> None:
        self._stream.protocol.ping()
        os.write(self._file.fileno(), self._stream.protocol.data_to_send())

    @property
    def messages(self) -> list[str]:
        found = [event.messages for event in self.events if isinstance(event, InterimReceived)]
        return [message for messages in found for message in messages]

    def close(self) -> None:
        self._selector.close()
        self._file.close()


def read(runner: LocalRunner, job_id: str, after: int = 0) -> Reader:
    return Reader(runner.stream(job_id, OpenStream(9, after)))


def run(runner: LocalRunner, program: str, **inputs: object) -> str:
    return runner.submit(program, inputs, {})


def ended(runner: LocalRunner, job_id: str) -> ReplyEvent:
    """Wait for the end of a job by its stream; give what the status is then."""
    read(runner, job_id).to_the_end()
    return runner.perform(job_id, FetchStatus(1))


def sleeping(runner: LocalRunner) -> tuple[str, int]:
    """Start a program that sleeps; give the job and the number of its process."""
    job_id = run(runner, SLEEPS)
    reader = read(runner, job_id)
    reader.until(lambda: bool(reader.messages))
    reader.close()
    return job_id, int(reader.messages[0])


def is_gone(pid: int) -> bool:
    return eventually(lambda: identity_of(pid) is None)


def error_of(reply: ReplyEvent) -> Exception:
    assert isinstance(reply, RequestFailed)
    assert reply.request == 8
    return reply.error


# ---- requests ------------------------------------------------------------------------------------


def test_it_is_a_transport_that_submits_and_may_be_asked_as_often_as_one_likes() -> None:
    runner = LocalRunner()
    assert isinstance(runner, Transport)
    assert isinstance(runner, SubmittingTransport)
    assert isinstance(runner, ServiceTransport)
    assert runner.traits.pushes
    assert runner.traits.resume is Resume.OFFSET
    assert not runner.traits.streams_result


def test_a_job_that_succeeds(runner: LocalRunner) -> None:
    job_id = run(runner, PUBLISHES, count=3)
    assert ended(runner, job_id) == JobSucceeded(1)
    assert runner.perform(job_id, FetchResult(2)) == ResultReceived(2, '{"count":3}')
    assert runner.perform(job_id, SendCancel(3)) == CancelRefused(3)
    assert runner.perform(job_id, FetchFailure(4)) == FailureReceived(4, None)


def test_a_large_result_and_large_messages_come_whole(runner: LocalRunner) -> None:
    source = """
def main(backend, user_messenger, size):
    user_messenger.publish("m" * size)
    user_messenger.publish("small")
    return "r" * size
"""
    job_id = run(runner, source, size=300_000)
    reader = read(runner, job_id)
    reader.to_the_end()
    assert reader.messages == ['"' + "m" * 300_000 + '"', '"small"']
    assert runner.perform(job_id, FetchResult(2)) == ResultReceived(2, '"' + "r" * 300_000 + '"')


def test_a_job_that_fails_says_why(runner: LocalRunner) -> None:
    job_id = run(runner, FAILS)
    assert ended(runner, job_id) == JobFailed(1)
    reply = runner.perform(job_id, FetchFailure(2))
    assert isinstance(reply, FailureReceived)
    assert reply.reason is not None
    assert reply.reason.endswith("ValueError: on purpose\n")
    assert reply.reason_code is None
    assert str(error_of(runner.perform(job_id, FetchResult(8)))) == (
        f"Job {job_id} is Failed and has no result."
    )


def test_running_and_queued_jobs_are_cancelled(runner: LocalRunner) -> None:
    with LocalRunner(workers=1) as alone:
        running, pid = sleeping(alone)
        waiting = run(alone, PUBLISHES)
        assert alone.perform(running, FetchStatus(1)) == JobStarted(1)
        assert alone.perform(waiting, FetchStatus(2)) == JobQueued(2, 1)
        assert alone.job_get(waiting)["position"] == 1
        for job_id in (waiting, running):
            assert alone.perform(job_id, SendCancel(3)) == CancelAccepted(3)
            assert ended(alone, job_id) == JobCancelled(1)
        assert is_gone(pid)


def test_an_unknown_job_is_one_for_every_command(runner: LocalRunner) -> None:
    for command in (FetchStatus(8), FetchResult(8), FetchFailure(8), SendCancel(8)):
        reply = runner.perform("nobody", command)
        assert isinstance(error_of(reply), RuntimeJobNotFoundError)
        assert isinstance(reply, RequestFailed)
        assert not reply.retryable
    (failed,) = read(runner, "nobody").to_the_end()
    assert isinstance(failed, StreamFailed)
    assert str(failed.error) == "There is no job 'nobody'."
    with pytest.raises(RuntimeJobNotFoundError):
        runner.job_logs("nobody")


def test_a_store_that_fails_is_worth_another_try(
    runner: LocalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adapters.local.store.Store.job", full)
    reply = runner.perform("any", FetchStatus(8))
    assert "No space left" in str(error_of(reply))
    assert isinstance(reply, RequestFailed)
    assert reply.retryable


def test_what_else_a_job_tells(runner: LocalRunner) -> None:
    job_id = runner.submit(PUBLISHES, {"count": 2}, {"job_tags": ["a"], "backend_name": "mine"})
    assert ended(runner, job_id) == JobSucceeded(1)
    document = runner.job_get(job_id)
    assert (document["params"], document["backend"]) == ({"count": 2}, "mine")
    assert runner.job_logs(job_id) == "done\n"
    part = runner.job_logs_part(job_id, 2)
    assert (part.start, part.data) == (2, b"ne\n")
    assert runner.job_logs_part(job_id, 99).data == b""
    assert runner.job_metrics(job_id)["timestamps"]["finished"] is not None
    assert runner.job_get(job_id)["tags"] == ["a"]
    runner.job_tag(job_id, ["b", "c"])
    assert runner.job_get(job_id)["tags"] == ["b", "c"]


# ---- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 3, 5, 9])
def test_a_stream_goes_on_after_what_was_seen(runner: LocalRunner, after: int) -> None:
    job_id = run(runner, PUBLISHES, count=5)
    reader = read(runner, job_id, after)
    events = reader.to_the_end()
    assert reader.messages == [str(number) for number in range(after, 5)]
    assert (events[0], events[-1]) == (StreamOpened(9), StreamClosed(9))


def test_a_reader_that_does_not_read_holds_up_nobody_and_loses_nothing(
    runner: LocalRunner,
) -> None:
    count, size = 150, 60_000  # far more than a pipe holds
    job_id = run(runner, PUBLISHES, count=count, size=size)
    slow = read(runner, job_id)
    assert ended(runner, job_id) == JobSucceeded(1)
    assert slow.events == []
    slow.to_the_end()
    assert slow.messages == ['"' + "x" * size + '"'] * count


def test_a_quiet_stream_gives_a_sign_of_life_when_it_is_asked(runner: LocalRunner) -> None:
    job_id, _ = sleeping(runner)
    reader = read(runner, job_id, 1)
    reader.until(lambda: reader.events == [StreamOpened(9)])
    reader.ask()
    assert reader._selector.select(PATIENCE)
    assert list(reader._stream.protocol.receive(os.read(reader._file.fileno(), 100))) == []
    runner.perform(job_id, SendCancel(1))
    assert reader.to_the_end() == [StreamOpened(9), StreamClosed(9)]


def test_a_reader_that_leaves_is_forgotten(runner: LocalRunner) -> None:
    job_id, _ = sleeping(runner)
    reader = read(runner, job_id)
    reader.until(lambda: bool(reader.events))
    engine = runner._engine
    assert engine is not None
    assert job_id in [watched for watched, _ in engine._pipes.values()]
    reader.close()
    assert eventually(lambda: not engine._pipes)
    runner.perform(job_id, SendCancel(1))


# ---- the life of a runner ------------------------------------------------------------------------


def test_it_does_nothing_before_it_is_used(tmp_path: Path) -> None:
    threads, files = our_threads(), open_fds()
    with LocalRunner(data=tmp_path / "jobs"):
        assert (our_threads(), open_fds()) == (threads, files)
    assert not (tmp_path / "jobs").exists()
    with pytest.raises(UsageError):
        LocalRunner(workers=0)


def test_closing_ends_everything() -> None:
    files = open_fds()
    runner = LocalRunner(workers=1)
    job_id, pid = sleeping(runner)
    waiting = run(runner, PUBLISHES)
    reader = read(runner, job_id)
    engine = runner._engine
    assert engine is not None
    assert engine._machinery is not None
    directory = engine._machinery.store.texts._files.parent
    assert directory.exists()
    runner.close()
    runner.close()
    assert identity_of(pid) is None
    assert not directory.exists()
    # Of what was read it hears the end, as the job has ended.
    assert reader.to_the_end()[-1] == StreamClosed(9)
    assert not engine._thread.is_alive()
    assert eventually(lambda: open_fds() <= files)  # who attended to a process closes its stdin
    for attempt in (lambda: run(runner, PUBLISHES), lambda: read(runner, waiting)):
        with pytest.raises(UsageError, match="is closed: make a new one"):
            attempt()
    error = error_of(runner.perform(job_id, FetchStatus(8)))
    assert isinstance(error, TransportError)
    assert "is closed: make a new one" in str(error)


def test_what_nobody_refers_to_ends_by_itself() -> None:
    runner = LocalRunner(workers=1)
    _, pid = sleeping(runner)
    engine = runner._engine
    assert engine is not None
    del runner
    gc.collect()
    assert is_gone(pid)
    assert eventually(lambda: engine.has_ended)


def test_jobs_stay_in_a_directory_that_was_given(tmp_path: Path) -> None:
    with LocalRunner(workers=1, data=tmp_path) as runner:
        running, _ = sleeping(runner)
        waiting = run(runner, PUBLISHES)
        other = LocalRunner(data=tmp_path)
        with pytest.raises(ServiceError, match="Another local runner"):
            run(other, PUBLISHES)
        assert "Another local runner" in str(error_of(other.perform(waiting, FetchStatus(8))))
        (refused,) = read(other, waiting).to_the_end()
        assert isinstance(refused, StreamFailed)
        late = read(runner, waiting)
        late.until(lambda: late.events == [StreamOpened(9)])
    # It waits for the next runner: its stream breaks off, and may be opened again.
    lost = late.to_the_end()[-1]
    assert isinstance(lost, StreamFailed)
    with other:
        assert ended(other, waiting) == JobSucceeded(1)
        assert other.perform(running, FetchStatus(1)) == JobFailed(1)


def test_many_threads_start_it_once() -> None:
    with LocalRunner(workers=1) as runner:
        replies: list[ReplyEvent] = []
        threads = [
            threading.Thread(target=lambda: replies.append(runner.perform("x", FetchStatus(8))))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {type(error_of(reply)) for reply in replies} == {RuntimeJobNotFoundError}
        assert our_threads().count("runtime-local") <= 2  # the module's, and this one


# ---- the process ---------------------------------------------------------------------------------


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=4 * PATIENCE)
    assert (process.returncode, err) == (0, "")
    return out


def test_it_needs_the_library_only_and_no_network() -> None:
    """Without the extra, with SIGCHLD ignored; no socket but those of pairs is made."""
    script = """
        import signal, socket, sys
        for name in ("starlette", "uvicorn", "platformdirs", "rich", "numpy", "hypothesis"):
            sys.modules[name] = None
        # Here: urllib3 tries by a socket whether there is IPv6 when it is imported.
        from adapters import LocalRunner
        from runtime_core.commands import FetchResult, OpenStream
        made = []

        def audit(event, arguments):
            if event == "socket.__new__" and arguments[1] != socket.AF_UNIX:
                made.append(arguments[1:])
            if event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
                made.append(event)

        sys.addaudithook(audit)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with LocalRunner() as runner:
            job = runner.submit(sys.argv[1], {"count": 2}, {})
            stream = runner.stream(job, OpenStream(1, 0))
            events = []
            while "StreamClosed" not in str(events[-1:]):
                events += stream.protocol.receive(stream.file.recv(65536))
            stream.file.close()
            print(runner.perform(job, FetchResult(2)).text, made)
        """
    assert said(python(script, PUBLISHES)) == '{"count":2} []\n'


def test_the_end_of_the_interpreter_ends_its_programs(tmp_path: Path) -> None:
    script = """
        import sys, tempfile
        tempfile.tempdir = sys.argv[2]
        from adapters import LocalRunner
        from runtime_core.commands import OpenStream
        runner = LocalRunner()
        job = runner.submit(sys.argv[1], {}, {})
        stream = runner.stream(job, OpenStream(1, 0))
        events = []
        while "InterimReceived" not in str(events):
            events += stream.protocol.receive(stream.file.recv(65536))
        print(events[-1].messages[0])
        stream.file.close()
        """
    assert is_gone(int(said(python(script, SLEEPS, str(tmp_path)))))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_program_though_its_fork_lives(tmp_path: Path) -> None:
    script = """
        import os, sys, tempfile, time, warnings
        tempfile.tempdir = sys.argv[2]
        from adapters import LocalRunner
        from runtime_core.commands import FetchStatus, OpenStream
        runner = LocalRunner()
        job = runner.submit(sys.argv[1], {}, {})
        stream = runner.stream(job, OpenStream(1, 0))
        events = []
        while "InterimReceived" not in str(events):
            events += stream.protocol.receive(stream.file.recv(65536))
        warnings.simplefilter("ignore")  # newer Pythons: that it is forked with threads
        child = os.fork()
        if child == 0:
            reply = runner.perform(job, FetchStatus(1))
            runner.close()
            print(reply.error, flush=True)
            time.sleep(60)
        sys.stdin.readline()
        print(runner.perform(job, FetchStatus(1)), events[-1].messages[0], child, flush=True)
        time.sleep(60)
        """
    with python(script, SLEEPS, str(tmp_path)) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        refusal = parent.stdout.readline()
        assert refusal.startswith("This local runner belongs to the process from which this one")
        parent.stdin.write("\n")
        parent.stdin.flush()
        state, program, child = parent.stdout.readline().split()
        try:
            assert state == "JobStarted(request=1)"
            assert identity_of(int(program)) is not None
            parent.kill()
            assert is_gone(int(program))
        finally:
            os.kill(int(child), signal.SIGKILL)
