"""What a job does, as OpenTelemetry spans: one for the job, within it its requests and streams.

    python examples/tracing.py
    python examples/tracing.py job.journal

The first runs `pi.py` on the local service and prints the spans as they end, the second makes them
of a journal (`runtime-core run --journal job.journal ...`). In a program of yours, give `Tracing()`
as `observer` to a service or a job, and set up the exporter that you have anyway.

A `BatchSpanProcessor` exports on a thread of its own. A `SimpleSpanProcessor` would export on the
loop that all jobs share, and hold them up.

It needs opentelemetry-sdk; `Tracing` alone needs opentelemetry-api.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import Span, Status, StatusCode

from adapters import RuntimeService
from runtime_core import (
    CloseStream,
    Command,
    Event,
    InterimReceived,
    JobState,
    OpenStream,
    ReplyEvent,
    RequestCommand,
    RequestFailed,
    Step,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    replay,
)


class JobSpans:
    """The spans of one job that have not ended."""

    def __init__(self, tracer: trace.Tracer, step: Step, now: int) -> None:
        self._tracer = tracer
        self._state: JobState | None = None
        self._messages = 0
        self._open: dict[tuple[str, int], Span] = {}
        self._job = tracer.start_span(
            "job", attributes={"runtime.job_id": step.job_id}, start_time=now
        )

    def see(self, step: Step, now: int) -> None:
        """Begin and end what the step begins and ends."""
        self._hear(step.event, now)
        for command in step.commands:
            self._order(command, now)
        if step.confirmed and step.state is not self._state:
            self._state = step.state
            self._job.add_event("state", {"runtime.state": step.state.value}, now)
            if step.state.is_final:
                failed = step.state is JobState.ERROR
                self._job.set_status(Status(StatusCode.ERROR if failed else StatusCode.OK))
                self._job.end(now)  # the result is fetched later, in a span below this one

    def _hear(self, event: Event, now: int) -> None:
        if isinstance(event, ReplyEvent) and event.request is not None:
            error = event.error if isinstance(event, RequestFailed) else None
            self._end(("request", event.request), now, error)
        elif isinstance(event, StreamOpened):
            if span := self._open.get(("stream", event.connection)):
                span.add_event("open", timestamp=now)
        elif isinstance(event, InterimReceived):
            self._messages += len(event.messages)
        elif isinstance(event, StreamClosed | StreamFailed | StreamNotReady):
            error = event.error if isinstance(event, StreamFailed) else None
            self._end(("stream", event.connection), now, error)

    def _order(self, command: Command, now: int) -> None:
        if isinstance(command, RequestCommand):
            self._begin(("request", command.request), type(command).__name__, now)
        elif isinstance(command, OpenStream):
            self._messages = 0
            self._begin(("stream", command.connection), "stream", now)
        elif isinstance(command, CloseStream):
            self._end(("stream", command.connection), now)

    def _begin(self, key: tuple[str, int], name: str, now: int) -> None:
        within = trace.set_span_in_context(self._job)
        self._open[key] = self._tracer.start_span(name, within, start_time=now)

    def _end(self, key: tuple[str, int], now: int, error: Exception | None = None) -> None:
        span = self._open.pop(key, None)
        if span is None:
            return  # a late answer: it was ended already
        if key[0] == "stream":
            span.set_attribute("runtime.messages", self._messages)
        if error is not None:
            span.record_exception(error, timestamp=now)
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        span.end(now)

    def close(self, now: int) -> None:
        """Nothing more is seen."""
        for key in tuple(self._open):
            self._end(key, now)
        if self._state is None or not self._state.is_final:
            self._job.end(now)


class Tracing:
    """An observer that makes spans. `close()` ends those of jobs that have not ended."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("runtime-core", tracer_provider=provider)
        self._offset: int | None = None
        self._jobs: WeakKeyDictionary[object, JobSpans] = WeakKeyDictionary()
        self._now = 0

    def __call__(self, step: Step) -> None:
        """See `runtime_core.Observer`."""
        moment = int(step.at * 1e9)
        if self._offset is None:  # from the driver's clock to the world's
            self._offset = time.time_ns() - moment
        self._now = moment + self._offset
        spans = self._jobs.get(step.source)
        if spans is None:
            spans = self._jobs[step.source] = JobSpans(self._tracer, step, self._now)
        spans.see(step, self._now)

    def close(self) -> None:
        """End all spans that are open."""
        for spans in tuple(self._jobs.values()):
            spans.close(self._now)
        self._jobs.clear()


def line(span: ReadableSpan) -> str:
    """Say what a span is, on one line."""
    begun, ended = span.start_time or 0, span.end_time or 0
    indent = "" if span.parent is None else "  "
    told = "  ".join(f"{key}={value}" for key, value in (span.attributes or {}).items())
    events = ", ".join(str((event.attributes or {}).get("runtime.state")) for event in span.events)
    states = f"  [{events}]" if span.name == "job" else ""
    return f"{indent}{span.name:<14}{(ended - begun) / 1e6:10.1f} ms  {told}{states}\n"


if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=line)))
    tracing = Tracing(provider)
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="ascii") as journal:
            found = replay(journal)
        for each in found.steps:
            tracing(each.step)
    else:
        program = Path(__file__).with_name("pi.py")
        with (
            RuntimeService.local(observer=tracing) as service,
            service.run(service.upload_program(program), callback=lambda *_: None) as job,
        ):
            job.result()
    tracing.close()
    provider.shutdown()
