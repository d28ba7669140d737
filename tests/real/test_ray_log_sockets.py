"""Streams of logs over real sockets, on the loop that all jobs share."""

from __future__ import annotations

import errno
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conditions import PATIENCE, eventually
from scripted_server import End, Script, ScriptedServer, answer

from adapters import RuntimeJob
from adapters.drivers.connector import keep_alive
from adapters.ray import log_ending
from adapters.ray.client import RayClient
from adapters.ray.frame_writer import GONE, INTERIM, RESULT, STARTED, frames
from adapters.ray.log_events import Outcome, Returned
from adapters.ray.log_frames import FrameReader
from adapters.ray.streams import RayStreams
from adapters.transport import StreamEndpoint
from runtime_core import polling
from runtime_core.commands import FetchStatus, OpenStream, RequestCommand
from runtime_core.events import JobStarted, JobSucceeded, ReplyEvent, ResultReceived
from runtime_core.traits import ServiceTraits

NONCE = "f00dfeed"
LOG_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_RETRY", 0.02)


def document(status: str = "RUNNING") -> bytes:
    metadata = {"runtime_core_nonce": NONCE}
    job = {"status": status, "driver_node_id": "n", "metadata": metadata}
    return answer(200, json.dumps(job))


def frame(kind: str, index: int, text: str = "") -> bytes:
    return b"".join(frames(NONCE, index, kind, text))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


FIRST = chunk(frame(STARTED, 0) + frame(INTERIM, 0, "1"))
SECOND = chunk(frame(INTERIM, 1, "2"))
LAST = chunk(frame(RESULT, 2, "42"))


class Cluster:
    """A transport of one job, which runs until a stream has read what it returned."""

    status_requests_per_second = 1000.0

    def __init__(self, url: str) -> None:
        self.outcomes: list[tuple[str, Outcome]] = []
        self.streams = RayStreams(RayClient(url, "t", proxy=None), self._on_outcome)

    def _on_outcome(self, job_id: str, outcome: Outcome) -> None:
        self.outcomes.append((job_id, outcome))

    @property
    def traits(self) -> ServiceTraits:
        return self.streams.traits

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if not isinstance(command, FetchStatus):
            return ResultReceived(command.request, "42")
        return (JobSucceeded if self.outcomes else JobStarted)(command.request)

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        return self.streams.stream(job_id, command)


def streamed(*scripts: Script | bytes) -> tuple[list[object], list[str]]:
    """Stream a job from a head that answers so; what came, and what was asked."""
    with ScriptedServer(*scripts) as server:
        cluster = Cluster(server.url)
        with RuntimeJob(None, cluster, None, "job-1", "p") as job:
            found = list(job.interim_results())
        assert cluster.outcomes[0] == ("job-1", Returned("42"))
        return found, [line.split(" ")[1].partition("?")[0] for line in server.lines]


DOCUMENT, QUICK, TAIL = "/api/jobs/job-1", "/api/v0/logs/stream", "/api/jobs/job-1/logs/tail"


def test_a_stream_goes_on_where_it_broke_without_gap_or_repeat() -> None:
    found, asked = streamed(
        document(),
        (LOG_HEAD + FIRST, 0.05, End.RESET),
        document(),
        (LOG_HEAD + FIRST + SECOND[:20], 0.05, SECOND[20:], 0.05, LAST),
        document("SUCCEEDED"),
        LOG_HEAD + FIRST + SECOND + LAST + b"0\r\n\r\n",
    )
    assert found == [1, 2]
    assert asked[:4] == [DOCUMENT, QUICK, DOCUMENT, QUICK]


def test_behind_a_proxy_that_closes_after_each_answer_a_stream_takes_two_connections() -> None:
    closing = document().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    found, asked = streamed(
        (closing, End.CLOSE),
        LOG_HEAD + FIRST + SECOND + LAST,
        (closing, End.CLOSE),
        LOG_HEAD + FIRST + SECOND + LAST,
    )
    assert found == [1, 2]
    assert asked[:2] == [DOCUMENT, QUICK]


def test_a_refused_stream_goes_on_by_the_tail_on_the_same_connection() -> None:
    with ScriptedServer(document(), answer(404, "404: Not Found"), (End.CLOSE,)) as server:
        cluster = Cluster(server.url)
        with RuntimeJob(None, cluster, None, "job-1", "p") as job:
            job.stream_results(lambda *_: None)
            assert eventually(lambda: len(server.received) >= 3)
        asked = [(each.connection, each.line.split(" ")[1]) for each in server.received[:3]]
    assert [path.partition("?")[0] for _, path in asked] == [DOCUMENT, QUICK, TAIL]
    assert {connection for connection, _ in asked} == {1}
    assert server.received[2].headers["upgrade"] == "websocket"
    assert server.received[2].headers["authorization"] == "Bearer t"


def test_the_system_watches_over_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    original = socket.socket.connect_ex

    def connect_ex(sock: socket.socket, address: tuple[str, int]) -> int:
        kept.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        return original(sock, address)

    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)
    whole = LOG_HEAD + FIRST + SECOND + LAST
    streamed(document(), whole, document("SUCCEEDED"), whole + b"0\r\n\r\n")
    assert kept
    assert all(kept)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="needs the option")
def test_the_system_asks_a_silent_peer_after_twenty_seconds() -> None:
    with socket.socket() as sock:
        keep_alive(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 20
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3


def test_a_system_that_has_no_such_option_is_connected_from_all_the_same() -> None:
    class Plain(socket.socket):
        def setsockopt(self, level: int, *more: Any) -> None:
            if level == socket.IPPROTO_TCP:
                raise OSError(errno.ENOPROTOOPT, "Protocol not available")
            super().setsockopt(level, *more)

    with Plain() as sock:
        keep_alive(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# ---- the end of a log ----------------------------------------------------------------------------

WRITER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from adapters.ray.log_ending import end_the_log
end_the_log(sys.argv[2].encode(), "0 0 0")
print("going on", flush=True)
time.sleep(60)
"""


def test_the_end_of_a_log_is_written_however_its_writer_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    source = str(Path(log_ending.__file__).parents[2])
    with log.open("wb") as file:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, source, frame(GONE, 0).decode()], stdout=file
        )
    assert eventually(lambda: b"going on" in log.read_bytes())
    assert log.read_bytes() == b"going on\n"
    writer.send_signal(signal.SIGKILL)
    assert writer.wait(PATIENCE) == -signal.SIGKILL
    assert eventually(lambda: log.read_bytes() == b"going on\n" + 3 * frame(GONE, 0))
    reader = FrameReader(NONCE)
    assert reader.feed(log.read_bytes()) == []
    assert reader.is_over
    assert reader.outcome is None
