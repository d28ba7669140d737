"""The types that those see who bring a transport, a dialect, an observer or a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, assert_type

import attrs

from adapters import (
    AsyncTransport,
    BlockingDriver,
    ClientTransport,
    Dialect,
    DialectClient,
    JobCalls,
    RuntimeJob,
    StatusReader,
    StreamFile,
    StreamProtocol,
    SubmittingTransport,
    Transport,
    TransportService,
    status_words,
)
from runtime_core import (
    FetchStatus,
    JobHandle,
    JobMachine,
    JobQueued,
    JobState,
    JobSucceeded,
    LifecycleEvent,
    Need,
    Observer,
    OpenStream,
    ReplyEvent,
    RequestCommand,
    RequestFailed,
    ServiceTraits,
    Step,
    StreamClosed,
    StreamEvent,
    StreamOpened,
    StructuredDecoder,
    TransportError,
    UnknownStatusReported,
)
from runtime_core.testing import FakeClock, FakeTransport


@attrs.frozen
class Energies:
    """What a program gives."""

    values: list[float]


class Own:
    """A transport that inherits nothing; its stream is a generator of events."""

    @property
    def traits(self) -> ServiceTraits:
        return ServiceTraits(pushes=True)

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if isinstance(command, FetchStatus):
            return JobSucceeded(command.request)
        return RequestFailed(command.request, TransportError("no"), retryable=False)

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        yield StreamOpened(command.connection)
        yield StreamClosed(command.connection)

    def submit(self, program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        return "job-7"


class OwnWithFields:
    """`traits` may be a plain attribute, and a stream something with a file descriptor."""

    def __init__(self, file: Any, protocol: StreamProtocol) -> None:
        self.traits = ServiceTraits()
        self._stream = StreamFile(file, protocol)

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        return JobQueued(command.request)

    def stream(self, job_id: str, command: OpenStream) -> StreamFile:
        return self._stream


class Awaited:
    """Requests that are awaited."""

    @property
    def traits(self) -> ServiceTraits:
        return ServiceTraits()

    async def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        return JobQueued(command.request)

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        raise NotImplementedError


def test_what_a_transport_may_look_like() -> None:
    own: Transport = Own()
    submitting: SubmittingTransport = Own()
    awaited: AsyncTransport = Awaited()
    fake: Transport = FakeTransport()
    with_fields: Callable[[Any, StreamProtocol], Transport] = OwnWithFields
    assert_type(own.perform("job-7", FetchStatus(1)), ReplyEvent)
    assert_type(submitting.submit("vqe", {}, {}), str)
    assert isinstance(own, Transport)
    assert isinstance(fake, Transport)
    assert callable(with_fields)
    assert awaited.traits == ServiceTraits()


def test_a_service_by_a_transport_gives_typed_jobs() -> None:
    with TransportService(Own()) as service:
        job = service.run("vqe", result_decoder=StructuredDecoder(Energies))
        assert_type(job, RuntimeJob[Energies])
        assert_type(service.run("vqe"), RuntimeJob[Any])
        assert_type(service.job("job-7"), RuntimeJob[Any])
        assert job.status() is JobState.DONE


def test_a_driver_takes_a_clock_and_an_observer() -> None:
    seen: list[Step] = []
    observer: Observer = seen.append
    driver = BlockingDriver("job-7", Own(), clock=FakeClock(), observer=observer)
    assert_type(driver.wait(Need.FINAL, timeout=1.0), bool)
    assert_type(driver.machine, JobMachine)
    assert_type(driver.machine.state, JobState)
    assert_type(seen[0].job_id, str)
    assert_type(seen[0].at, float)
    assert [step.state for step in seen] == [JobState.QUEUED, JobState.DONE]


def test_a_dialect_is_data() -> None:
    words = status_words({"SPOOLED": JobQueued, "WOVEN": JobSucceeded(None)}, at="phase")
    assert_type(words, StatusReader)
    said = words({"phase": "WOVEN"}, 3)
    assert_type(said, LifecycleEvent | UnknownStatusReported)
    assert said == JobSucceeded(3)
    calls = JobCalls(
        status="GET /w/{id}", result="GET /w/{id}/r", cancel="DELETE /w/{id}", submit="POST /w"
    )
    loom = Dialect(
        "loom",
        words,
        calls=calls,
        write_job=lambda program, inputs, options: dict(inputs),
    )
    with DialectClient("http://127.0.0.1:9", "", dialect=loom) as client:
        transport: Transport = ClientTransport(client)
        assert transport.traits == ServiceTraits()


def test_a_handle_has_typed_fields() -> None:
    handle = JobHandle(job_id="job-7", cursor=3)
    assert_type(handle.cursor, int)
    assert_type(handle.state, JobState | None)
    assert_type(handle.to_json(), str)
    assert_type(JobHandle.from_json(handle.to_json()), JobHandle)
    assert attrs.evolve(handle, cursor=4).cursor == 4


def test_events_of_a_stream_are_of_one_type() -> None:
    events: Sequence[StreamEvent] = list(Own().stream("job-7", OpenStream(1, 0)))
    assert events == [StreamOpened(1), StreamClosed(1)]
