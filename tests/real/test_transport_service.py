"""`TransportService`: jobs by a transport of one's own, submitted and taken up again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from conditions import PATIENCE, Recorder, eventually
from scripted_transport import AwaitedTransport, ScriptedTransport

from adapters import (
    AsyncTransportService,
    ParameterNamespace,
    SubmittingTransport,
    TransportService,
    as_completed,
)
from runtime_core.decoders import DecoderRegistry
from runtime_core.errors import InputsError, UnknownStatusError, UsageError
from runtime_core.states import JobState


class Submitting(ScriptedTransport):
    """Takes jobs, and notes what it was given."""

    def __init__(self, *status: str) -> None:
        super().__init__(*status)
        self.given: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = []
        self.closed = 0
        self.id: Any = "j1"

    def submit(self, program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        self.given.append((program_id, inputs, options))
        return self.id  # type: ignore[no-any-return]  # a test makes it wrong

    def close(self) -> None:
        self.closed += 1


class Doubles:
    @classmethod
    def decode(cls, data: str) -> int:
        return 2 * int(data)


def test_a_job_is_submitted_and_runs_to_its_result() -> None:
    transport = Submitting("RUNNING", "DONE")
    assert isinstance(transport, SubmittingTransport)
    with TransportService(transport, "here") as service:
        assert service.can_submit
        job = service.run("p", {"queue": "long"}, {"n": 1})
        assert job.result() == 42
        assert transport.given == [("p", {"n": 1}, {"queue": "long"})]
        assert (job.job_id(), job.program_id, job.backend()) == ("j1", "p", "here")
        assert job.inputs == {"n": 1}
        assert transport.closed == 0
    assert transport.closed == 1


def test_decoders_are_chosen_as_elsewhere() -> None:
    registry = DecoderRegistry()
    registry.register("p", Doubles)
    with TransportService(Submitting("DONE"), decoders=registry) as service:
        assert service.run("p").result() == 84
        assert service.run("q").result() == 42
        assert service.run("q", result_decoder=Doubles).result() == 84
        assert service.job("j1", "p").result() == 84


def test_a_job_is_taken_up_by_its_id() -> None:
    with TransportService(ScriptedTransport("DONE")) as service:
        job = service.job("j1")
        assert job.status() is JobState.DONE
        assert [each.job_id() for each in as_completed([job])] == ["j1"]


def test_an_unknown_word_may_be_known_to_the_service() -> None:
    with pytest.raises(UnknownStatusError):
        TransportService(ScriptedTransport("ODD")).job("j1").status()
    service = TransportService(ScriptedTransport("ODD"), on_unknown_status=JobState.RUNNING)
    assert service.job("j1").status() is JobState.RUNNING


def test_what_cannot_submit_says_so() -> None:
    service = TransportService(ScriptedTransport("DONE"))
    assert not service.can_submit
    with pytest.raises(UsageError, match="ScriptedTransport has no submit"):
        service.run("p")


def test_nothing_is_submitted_of_which_nobody_would_learn_the_id() -> None:
    transport = Submitting("DONE")
    service = TransportService(transport)
    with pytest.raises(UsageError, match="has no streams"):
        service.run("p", callback=Recorder())
    with pytest.raises(UsageError, match="decoder"):
        service.run("p", result_decoder=object())  # type: ignore[arg-type]
    with pytest.raises(InputsError):
        service.run("p", inputs=ParameterNamespace({"properties": {"n": {}}, "required": ["n"]}))
    assert transport.given == []


@pytest.mark.parametrize(("given", "kind"), [(None, "NoneType"), ("", "empty text")])
def test_an_id_that_is_none_is_refused(given: object, kind: str) -> None:
    transport = Submitting("DONE")
    transport.id = given
    with pytest.raises(UsageError, match=rf"Submitting\.submit gave one {kind}, expected the id"):
        TransportService(transport).run("p")


def test_one_that_is_awaited_is_refused() -> None:
    transport: Any = AwaitedTransport(ScriptedTransport("DONE"), lambda: None)
    with pytest.raises(UsageError, match="AwaitedTransport is an AsyncTransport"):
        TransportService(transport)


# ---- for asyncio -------------------------------------------------------------------------------


class AwaitedSubmitting(AwaitedTransport):
    """Takes jobs on the event loop."""

    def __init__(self, inner: Submitting) -> None:
        super().__init__(inner, self.at_once)
        self.submitting = inner

    async def at_once(self) -> None: ...

    async def submit(
        self, program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> str:
        await asyncio.sleep(0)
        return self.submitting.submit(program_id, inputs, options)

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.submitting.close()


async def check_all(kind: str) -> None:
    inner = Submitting("RUNNING", "DONE")
    transport: Any = AwaitedSubmitting(inner) if kind == "awaited" else inner
    async with AsyncTransportService(transport, "here") as service:
        job = await service.run("p", {"queue": "long"}, {"n": 1}, None, Doubles)
        assert await job.result() == 84
        assert inner.given == [("p", {"n": 1}, {"queue": "long"})]
        assert (await job.inputs(), job.backend()) == ({"n": 1}, "here")
        assert await service.job("j1").status() is JobState.DONE
        assert inner.closed == 0
    assert inner.closed == 1


@pytest.mark.parametrize("kind", ["awaited", "on threads"])
def test_for_asyncio_jobs_are_submitted_and_taken_up(kind: str) -> None:
    asyncio.run(check_all(kind))


def test_for_asyncio_what_cannot_be_submitted_says_so() -> None:
    async def check() -> None:
        with pytest.raises(UsageError, match="ScriptedTransport has no submit"):
            await AsyncTransportService(ScriptedTransport("DONE")).run("p")
        inner = Submitting("DONE")
        inner.id = 7
        with pytest.raises(UsageError, match=r"AwaitedSubmitting\.submit gave one int"):
            await AsyncTransportService(AwaitedSubmitting(inner)).run("p")

    asyncio.run(check())


def test_for_asyncio_a_job_whose_caller_is_cancelled_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Slow(Submitting):
        def submit(
            self, program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]
        ) -> str:
            begun.set()
            may_end.wait(PATIENCE)
            return "j1"

    async def check() -> None:
        async with AsyncTransportService(Slow("DONE")) as service:
            running = asyncio.create_task(service.run("p"))
            await asyncio.to_thread(begun.wait)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            may_end.set()
            assert await asyncio.to_thread(
                eventually, lambda: "job j1 was submitted" in caplog.text
            )

    asyncio.run(check())
