"""The tracing example: the spans of jobs, kept by OpenTelemetry's exporter in memory."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from adapters import JournalFile
from runtime_core import (
    Event,
    InterimReceived,
    JobFailed,
    JobMachine,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    ObservedMachine,
    RequestFailed,
    ResultReceived,
    Resume,
    ServiceTraits,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    SubscriptionRequested,
    TransportError,
    WaitStarted,
)

FILE = Path(__file__).parents[2] / "examples" / "tracing.py"
STREAMED = ServiceTraits(pushes=True, resume=Resume.OFFSET)


def load() -> Any:
    spec = importlib.util.spec_from_file_location("example_tracing", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Traced:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = load().Tracing(self.provider)
        self.failures: list[Exception] = []
        self.now = 100.0

    def tick(self) -> float:
        self.now += 0.5
        return self.now

    def machine(self, *events: Event) -> ObservedMachine:
        machine = JobMachine("j1", STREAMED)
        observed = ObservedMachine(machine, self.tracing, self.tick, self.failures.append)
        for event in events:
            observed.receive(event)
        assert self.failures == []
        return observed

    @property
    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.provider.shutdown()


def test_a_job_has_a_span_and_its_requests_and_streams_are_within(traced: Traced) -> None:
    machine = traced.machine(
        JobQueued(),
        SubscriptionRequested(1),
        WaitStarted(1, Need.RESULT),
        StreamOpened(1),
        JobStarted(),
        InterimReceived(1, ("a", "b")),
        InterimReceived(1, ("c",)),
        JobSucceeded(),
        StreamClosed(1),
        ResultReceived(3, "42"),
    )
    job, stream, fetch = (traced.spans[name] for name in ("job", "stream", "FetchResult"))
    assert len(traced.exporter.get_finished_spans()) == 3
    assert job.parent is None
    assert [span.parent.span_id for span in (stream, fetch)] == [job.context.span_id] * 2
    assert job.attributes == {"runtime.job_id": "j1"}
    states = [(e.attributes["runtime.state"], e.timestamp - job.start_time) for e in job.events]
    assert states == [("queued", 0), ("running", 2 * 10**9), ("done", 35 * 10**8)]
    assert job.end_time - job.start_time == 35 * 10**8
    assert job.status.status_code is StatusCode.OK
    assert stream.attributes == {"runtime.messages": 3}
    assert [event.name for event in stream.events] == ["open"]
    assert stream.status.status_code is StatusCode.UNSET
    machine.receive(WaitStarted(9, Need.FINAL))  # nothing begins anew
    traced.tracing.close()
    assert len(traced.exporter.get_finished_spans()) == 3


def test_what_fails_says_so(traced: Traced) -> None:
    error = TransportError("it broke", 503, retryable=True)
    machine = traced.machine(
        WaitStarted(1, Need.STATUS),
        RequestFailed(1, error, retryable=True),
        JobFailed(None, "my reason"),
    )
    assert traced.spans["FetchStatus"].status.status_code is StatusCode.ERROR
    (event,) = traced.spans["FetchStatus"].events
    assert event.attributes["exception.message"] == "it broke"
    assert traced.spans["job"].status.status_code is StatusCode.ERROR
    assert machine is not None


def test_a_stream_that_breaks_and_a_job_that_nobody_follows_to_its_end(traced: Traced) -> None:
    machine = traced.machine(
        JobStarted(),
        SubscriptionRequested(1),
        StreamOpened(1),
        StreamFailed(1, TransportError("it broke", retryable=True)),
    )
    assert traced.spans["stream"].status.status_code is StatusCode.ERROR
    assert "job" not in traced.spans
    traced.tracing.close()
    assert {"job", "FetchStatus"} < set(traced.spans)
    assert machine is not None


def test_the_example_runs_on_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with JournalFile(path) as journal:
        observed = ObservedMachine(JobMachine("j1", STREAMED), journal, lambda: 1.0, print)
        for event in (JobQueued(), WaitStarted(1, Need.STATUS), JobStarted(1), JobSucceeded()):
            observed.receive(event)
    ran = subprocess.run(
        [sys.executable, FILE, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stderr == ""
    lines = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    assert "job 0.0 ms runtime.job_id=j1 [queued, running, done]" in lines
    assert "FetchStatus 0.0 ms" in lines
