"""The library says nothing by itself; what it logs, if asked to, holds no secret."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

import adapters
from adapters import RuntimeJob
from runtime_core import FetchStatus, JobTimeoutError, RequestFailed, ServiceTraits, TransportError
from runtime_core.commands import OpenStream, RequestCommand
from runtime_core.events import ReplyEvent

PROGRAM = """
import logging, sys
from adapters import RuntimeJob, RuntimeClient
from runtime_core import JobTimeoutError

if "--log" in sys.argv:
    logging.basicConfig(level=logging.DEBUG)

def fails(step):
    raise ValueError("my observer")

with RuntimeClient("http://127.0.0.1:1", "t0ken-of-mine") as client:
    with RuntimeJob("b", client, None, "j1", "p", observer=fails) as job:
        try:
            job.wait_for_final_state(0.3, 0.1)
        except JobTimeoutError:
            print("timeout")
"""


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *options], capture_output=True, text=True, timeout=30
    )


def test_nothing_is_printed_by_default() -> None:
    ran = run()
    assert (ran.stdout, ran.stderr, ran.returncode) == ("timeout\n", "", 0)


def test_a_program_that_sets_logging_up_sees_what_is_wrong() -> None:
    said = run("--log").stderr
    assert "WARNING:adapters.drivers.job_runner:Job j1: " in said
    assert "trying again in" in said
    assert said.count("ERROR:adapters.drivers.observing:the observer of job j1 failed") == 1
    assert "ValueError: my observer" in said
    assert "t0ken" not in said


class Chatty:
    """A transport whose errors say what they should not."""

    traits = ServiceTraits()

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        assert isinstance(command, FetchStatus)
        text = "refused: https://me:hunter2@host/jobs?key=hunter2 with Bearer hunter2"
        error = TransportError(text, 503, retryable=True)
        return RequestFailed(command.request, error, retryable=True)

    def stream(self, job_id: str, command: OpenStream) -> adapters.StreamEndpoint:
        raise AssertionError(job_id)


def test_what_a_transport_says_too_much_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with RuntimeJob("b", Chatty(), None, "j1", "p") as job, pytest.raises(JobTimeoutError):
        job.wait_for_final_state(0.3, 0.1)
    (record, *_) = caplog.records
    assert (record.name, record.levelno) == ("adapters.drivers.job_runner", logging.WARNING)
    assert "refused: https://***@host/jobs?*** with Bearer ***" in record.getMessage()
    assert "hunter2" not in caplog.text


def test_the_only_handler_of_our_own_does_nothing() -> None:
    handlers = logging.getLogger("adapters").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
