"""What must not type-check. It is never run.

Each line that is wrong on purpose says so, and `make types` checks that: strict mypy tells of every
`type: ignore` that is not needed, and so does pyright by the line below.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import asyncio
from typing import assert_never

from adapters import AsyncRuntimeJob, RuntimeJob, RuntimeService, as_completed, wait
from adapters.transport import Transport
from runtime_core import (
    Command,
    Decoder,
    DecoderRegistry,
    Event,
    FetchStatus,
    JobMachine,
    JobState,
    JobSucceeded,
    ReplyEvent,
    RequestCommand,
    ResultReceived,
    ServiceTraits,
    StructuredDecoder,
    TimerFired,
    WaitStarted,
    decode_result,
)


class IntDecoder:
    @classmethod
    def decode(cls, data: str) -> int:
        return int(data)


class NoDecoder:
    def decode(self, data: bytes) -> int:
        return int(data)


def decoders(registry: DecoderRegistry) -> None:
    registry.register("vqe", NoDecoder())  # type: ignore[arg-type]
    registry.register("vqe", NoDecoder)  # type: ignore[arg-type]
    StructuredDecoder("Energies")  # type: ignore[arg-type]
    text: str = decode_result("1", None, registry, IntDecoder)  # type: ignore[assignment]
    as_text: Decoder[str] = IntDecoder()  # type: ignore[assignment]
    print(text, as_text)


def results(job: RuntimeJob[int]) -> None:
    text: str = job.result()  # type: ignore[assignment]
    also: str = RuntimeJob(None, client(), None, "7", "vqe", result_decoder=IntDecoder).result()  # type: ignore[assignment]
    job.result(decoder=NoDecoder())  # type: ignore[call-overload]
    job.result(decoder="json")  # type: ignore[call-overload]
    job.result("soon")  # type: ignore[call-overload]
    texts: RuntimeJob[str] = job  # type: ignore[assignment]
    job.status = JobState.DONE  # type: ignore[method-assign, assignment]
    print(text, also, texts)


def client() -> Client:
    return Client()


class Client:
    def job_get(self, job_id: str) -> dict[str, object]:
        return {}

    def job_results(self, job_id: str) -> str:
        return ""

    def job_cancel(self, job_id: str) -> None: ...


def streams(job: RuntimeJob) -> None:
    def on_text(job_id: str, interim: str) -> None: ...

    def on_one(interim: str) -> None: ...

    job.stream_results(on_text, IntDecoder)  # type: ignore[call-overload]
    job.stream_results(on_one)  # type: ignore[arg-type]
    for interim in job.interim_results(decoder=IntDecoder):
        print(interim + 1)  # type: ignore[operator]


async def awaited(job: AsyncRuntimeJob[int]) -> None:
    number: int = job.result()  # type: ignore[assignment]
    text: str = await job.result()  # type: ignore[assignment]
    wait([job])  # type: ignore[type-var]
    await asyncio.sleep(number)
    print(text)


def many(jobs: list[RuntimeJob[int]]) -> None:
    for job in as_completed(jobs):
        print(job.result().upper())  # type: ignore[attr-defined]
    as_completed(["job-7"])  # type: ignore[type-var]


def services(service: RuntimeService) -> None:
    service.run("vqe", result_decoder=NoDecoder)  # type: ignore[arg-type]
    job: RuntimeJob[str] = service.run("vqe", result_decoder=IntDecoder)  # type: ignore[arg-type]
    RuntimeService("https://example.org", "token", dialect="latest")  # type: ignore[arg-type]
    print(job)


def machine(machine: JobMachine) -> None:
    machine.receive(FetchStatus(1))  # type: ignore[arg-type]
    machine.receive("JobSucceeded")  # type: ignore[arg-type]
    machine.receive(WaitStarted(1, "result"))  # type: ignore[arg-type]
    machine.receive(TimerFired("poll", 1))  # type: ignore[arg-type]
    machine.state = JobState.DONE  # type: ignore[misc]
    event = JobSucceeded(1)
    event.request = 2  # type: ignore[misc]


def half_of_the_commands(command: Command) -> None:
    match command:
        case FetchStatus():
            return
    assert_never(command)  # type: ignore[arg-type]


def half_of_the_events(event: Event) -> None:
    if isinstance(event, ResultReceived):
        return
    assert_never(event)  # type: ignore[arg-type]


class WithoutStream:
    @property
    def traits(self) -> ServiceTraits:
        return ServiceTraits()

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        return ResultReceived(command.request, "")


class RepliesWithText(WithoutStream):
    def perform(self, job_id: str, command: RequestCommand) -> str:  # type: ignore[override]
        return ""

    def stream(self, job_id: str, command: object) -> object:
        return None


no_stream: Transport = WithoutStream()  # type: ignore[assignment]
no_reply: Transport = RepliesWithText()  # type: ignore[assignment]
