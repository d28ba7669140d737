"""A job's handle, and a job that is taken up from one: at the cursor of what was delivered."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import attrs
import pytest
from async_fakes import (
    asyncio_jobs,
    each_driver,  # noqa: F401 - its fixture
    job_of,
    loop_of,
)
from blocking_face import BlockingFace, make_job
from fakes import (
    BREAKS,
    CLOSES,
    OPENS,
    FakeClient,
    FakeReactor,
    FakeStreams,
    Script,
    SilentProtocol,
    World,
    over_time,
    says,
    world,
)

from adapters.async_job import AsyncRuntimeJob
from adapters.async_service import AsyncRuntimeService
from adapters.drivers.inbox import Batch, End, Gap
from adapters.drivers.subscriber import InterimResults
from adapters.handles import dialect_name, service_name
from adapters.http.client import RuntimeClient
from adapters.http.transport import ClientTransport
from adapters.ibmq.job import RuntimeJob as OriginalJob
from adapters.job import RuntimeJob
from adapters.job_base import JobArguments
from adapters.local.local_runner import LocalRunner
from adapters.service import RuntimeService
from adapters.services.dialect import CURRENT, Dialect
from adapters.transport import StreamEndpoint
from runtime_core.commands import OpenStream
from runtime_core.decoders import DecoderRegistry, ResultDecoder
from runtime_core.errors import RuntimeInvalidStateError, UsageError
from runtime_core.events import JobStarted, JobSucceeded
from runtime_core.job_handle import JobHandle
from runtime_core.states import JobState
from runtime_core.traits import Resume, ServiceTraits

HANDLE = JobHandle(job_id="j1", dialect="legacy", program_id="p", decoder="ResultDecoder", cursor=2)
"""Of a job of the fakes, whose client has no URL, after two interim results."""


class Shout(ResultDecoder):
    @classmethod
    def decode(cls, data: str) -> str:
        return data.upper()


def streamed(*script: Script, resume: Resume = Resume.OFFSET, **options: Any) -> World:
    """A running job that ends after ten seconds."""
    streams = FakeStreams(resume, streams_result=options.pop("streams_result", False))
    w = world(streams=streams, script=script, initial=JobStarted(), **options)
    w.client.now_says(over_time(w.reactor, "RUNNING", (10.0, "COMPLETED")))
    return w


def taken_up(
    handle: JobHandle, *script: Script, resume: Resume = Resume.OFFSET, ends: float = 10.0
) -> World:
    """The job of a handle, in another process: nothing is known of it but the handle."""
    reactor = FakeReactor()
    reactor.connections += script
    client = FakeClient(reactor, over_time(reactor, "RUNNING", (ends, "COMPLETED")))
    streams = FakeStreams(resume)
    given = JobArguments.of(handle, client, streams)
    return World(reactor, client, streams, make_job(**given.keywords, reactor=reactor))


def streams_of(w: World) -> FakeStreams:
    assert w.streams is not None
    return w.streams


# ---- what a handle says ------------------------------------------------------------------------


def test_a_handle_says_what_is_known() -> None:
    w = world("RUNNING")
    assert w.job.handle() == attrs.evolve(HANDLE, cursor=0)
    assert w.job.status() is JobState.RUNNING
    assert w.job.handle() == attrs.evolve(HANDLE, cursor=0, state=JobState.RUNNING)
    assert w.client.count("job_get") == 1


def test_a_handle_names_the_decoder_of_the_job() -> None:
    registry = DecoderRegistry()
    registry.register("p", Shout)
    assert world(decoders=registry).job.handle().decoder == "Shout"
    assert world(result_decoder=Shout).job.handle().decoder == "Shout"


def test_within_a_callback_it_says_the_ones_before() -> None:
    w = streamed((OPENS, says("1", "2"), 1.0, says("3"), CLOSES), (OPENS, CLOSES))
    cursors: list[int] = []
    w.job.stream_results(lambda *_: cursors.append(w.job.handle().cursor))
    w.reactor.advance(0.5)
    assert w.job.handle().cursor == 2
    w.reactor.advance(1.0)
    assert cursors == [0, 1, 2]
    assert w.job.handle().cursor == 3


def test_what_a_callback_could_not_take_comes_again() -> None:
    w = streamed((OPENS, says("1", "2", "3")))

    def take(job_id: str, value: int) -> None:
        if value == 2:
            raise ValueError("the disk is full")

    w.job.stream_results(take)
    w.reactor.advance(1.0)
    assert w.job.handle().cursor == 1


def test_what_is_received_and_waits_for_the_callback_is_not_delivered() -> None:
    w = streamed((OPENS, says("1", "2", "3")))
    seen: list[tuple[int, int]] = []

    def take(job_id: str, value: int) -> None:
        seen.append((w.job._machine.received, w.job.handle().cursor))

    w.job.stream_results(take)
    w.reactor.advance(1.0)
    assert seen == [(3, 0), (3, 1), (3, 2)]


def test_a_message_that_is_held_back_is_not_delivered() -> None:
    w = streamed((OPENS, says("1", "2")), streams_result=True)
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(0.5)
    assert w.job._machine.received == 2
    assert w.job.handle().cursor == 1


def test_a_second_stream_has_a_cursor_of_its_own() -> None:
    w = streamed((OPENS, says("1", "2")), (OPENS, says("1")))
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(0.5)
    w.job.cancel_result_streaming()
    w.reactor.settle()
    assert w.job.handle().cursor == 2
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(0.5)
    assert w.job.handle().cursor == 1


def test_who_iterates_is_through_with_one_when_the_next_is_asked_for() -> None:
    w = streamed((OPENS, says("1", "2"), 11.0, CLOSES))
    results = w.job.interim_results()
    assert w.job.handle().cursor == 0
    assert [w.job.handle().cursor for _ in results] == [0, 1]
    assert w.job.handle().cursor == 2


def test_the_child_of_a_fork_goes_on_where_its_parent_was() -> None:
    w = streamed((OPENS, says("1", "2")))
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(0.5)
    w.job._runner.after_fork()
    assert w.job.handle().cursor == 2


# ---- the iterator, left before the end ---------------------------------------------------------


def an_iterator() -> InterimResults:
    results: InterimResults = InterimResults(FakeReactor(), int, lambda: None, lambda: None, 5)
    results.put(Batch(("1", "2", "x")))
    return results


def test_an_iterator_starts_at_its_cursor() -> None:
    assert an_iterator().delivered == 5


def test_a_loop_that_is_left_in_order_is_through_with_the_last() -> None:
    with an_iterator() as results:
        for value in results:
            if value == 2:
                break
        assert results.delivered == 6
    assert results.delivered == 7


def test_a_loop_that_is_left_by_an_exception_is_not() -> None:
    results = an_iterator()

    def iterate() -> None:
        with results:
            for _ in results:
                raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"):
        iterate()
    assert results.delivered == 5
    assert list(results) == []


def test_closing_says_nothing_of_the_last() -> None:
    results = an_iterator()
    next(results)
    results.close()
    assert results.delivered == 5


def test_what_does_not_decode_and_gaps_do_not_count() -> None:
    results = an_iterator()
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError):
        next(results)
    assert results.delivered == 7
    results = an_iterator()
    results.put(Gap(8))
    results.put(End(None))
    results._items._decode = str
    assert list(results) == ["1", "2", "x", Gap(8)]
    assert results.delivered == 8


@pytest.mark.parametrize(("fails", "cursor"), [(False, 1), (True, 0)])
def test_an_asynchronous_iterator_counts_likewise(fails: bool, cursor: int) -> None:
    with asyncio_jobs():
        w = streamed((OPENS, says("1", "2")))
        job = job_of(w)

        async def iterate() -> None:
            async with job.interim_results() as results:
                assert await anext(results) == 1
                assert job.handle().cursor == 0
                if fails:
                    raise ValueError

        if fails:
            with pytest.raises(ValueError):
                loop_of(w).run(iterate())
        else:
            loop_of(w).run(iterate())
        assert job.handle().cursor == cursor


# ---- a job that is taken up --------------------------------------------------------------------


def by_callback(w: World) -> list[Any]:
    heard: list[Any] = []
    w.job.stream_results(
        lambda _, value: heard.append(value), on_gap=lambda _, gap: heard.append(gap)
    )
    assert w.job.result() == 42
    return heard


def by_iterator(w: World) -> list[Any]:
    return list(w.job.interim_results())


each_way = pytest.mark.parametrize("hear", [by_callback, by_iterator])


@each_way
def test_an_offset_goes_on_at_the_cursor(hear: Callable[[World], list[Any]]) -> None:
    w = taken_up(
        HANDLE, (OPENS, says("3"), 1.0, BREAKS), (OPENS, says("4"), 9.0, CLOSES), (OPENS, CLOSES)
    )
    assert hear(w) == [3, 4]
    assert streams_of(w).asked[:2] == [2, 3]
    assert w.job.handle() == attrs.evolve(HANDLE, cursor=4, state=JobState.DONE)


@each_way
def test_a_replay_skips_what_came_before_the_cursor(hear: Callable[[World], list[Any]]) -> None:
    w = taken_up(
        HANDLE,
        (OPENS, says("1"), says("2", "3"), 9.5, says("4"), 1.0, CLOSES),
        resume=Resume.REPLAY,
    )
    assert hear(w) == [3, 4]
    assert w.job.handle().cursor == 4


@each_way
def test_live_goes_on_after_a_gap(hear: Callable[[World], list[Any]]) -> None:
    w = taken_up(HANDLE, (OPENS, says("7"), 11.0, CLOSES), resume=Resume.LIVE)
    assert hear(w) == [Gap(2), 7]
    assert w.job.handle().cursor == 3


def test_nothing_was_missed_if_nothing_was_delivered() -> None:
    handle = attrs.evolve(HANDLE, cursor=0)
    w = taken_up(handle, (OPENS, says("7"), 11.0, CLOSES), resume=Resume.LIVE)
    assert by_iterator(w) == [7]


def test_every_stream_of_it_begins_at_the_cursor() -> None:
    w = taken_up(HANDLE, (OPENS, says("3", "4")), (OPENS, says("3"), 11.0, CLOSES))
    w.job.stream_results(lambda *_: None)
    w.reactor.advance(1.0)
    w.job.cancel_result_streaming()
    w.reactor.settle()
    assert by_callback(w) == [3]
    assert streams_of(w).asked == [2, 2]


def test_it_has_the_cursor_of_its_handle_until_it_is_streamed() -> None:
    w = taken_up(HANDLE)
    assert w.job.handle() == HANDLE
    assert w.job.result() == 42
    assert w.job.handle().cursor == 2


def test_a_state_that_a_handle_says_is_no_fact() -> None:
    # DONE was known, and the callback had still something to get: the stream must go on.
    w = taken_up(attrs.evolve(HANDLE, state=JobState.DONE), (OPENS, says("3"), CLOSES), ends=0.0)
    assert w.job.handle().state is None
    assert by_callback(w) == [3]
    assert w.client.count("job_get") > 0


def test_a_job_that_is_known_to_have_ended_is_iterated_from_the_cursor_on() -> None:
    w = taken_up(HANDLE, (OPENS, says("3"), CLOSES), ends=0.0)
    assert w.job.result() == 42
    with pytest.raises(RuntimeInvalidStateError):
        w.job.stream_results(lambda *_: None)
    assert by_iterator(w) == [3]


def test_it_is_decoded_by_the_decoder_that_the_handle_names() -> None:
    registry = DecoderRegistry()
    registry.register("p", Shout)
    client = FakeClient(FakeReactor())
    for handle, chosen in ((HANDLE, ResultDecoder), (attrs.evolve(HANDLE, decoder="Shout"), Shout)):
        job: RuntimeJob = RuntimeJob.from_handle(handle, client, decoders=registry)
        assert job._choose(None) is chosen
        assert job.handle() == handle
    with pytest.raises(UsageError, match="give it as result_decoder="):
        RuntimeJob.from_handle(attrs.evolve(HANDLE, decoder="Shout"), client)


def test_a_user_callback_goes_on_at_the_cursor() -> None:
    reactor, streams = FakeReactor(), FakeStreams()
    reactor.connections.append((OPENS, says("3")))
    heard: list[Any] = []
    client = FakeClient(reactor, "RUNNING")
    job: RuntimeJob = RuntimeJob.from_handle(
        HANDLE,
        client,
        streams,
        user_callback=lambda _, value: heard.append(value),
        backend="b",
        reactor=reactor,
    )
    reactor.advance(1.0)
    assert (heard, streams.asked, job.backend()) == ([3], [2], "b")


def test_in_asyncio_a_user_callback_goes_on_at_the_cursor() -> None:
    with asyncio_jobs():
        w = world("RUNNING", streams=FakeStreams(), script=[(OPENS, says("3"))])
        heard: list[Any] = []

        async def take(job_id: str, value: Any) -> None:
            heard.append(value)

        async def take_up() -> AsyncRuntimeJob:
            return AsyncRuntimeJob.from_handle(
                HANDLE, w.client, w.streams, user_callback=take, reactor=loop_of(w).reactor
            )

        job = loop_of(w).run(take_up())
        w.reactor.advance(1.0)
        assert (heard, streams_of(w).asked, job.handle().cursor) == ([3], [2], 3)


# ---- whose it is -------------------------------------------------------------------------------


class Named(FakeClient):
    """A client that says where it asks, and what it speaks."""

    url = "https://me:secret@h.example/v1?key=secret"
    dialect = CURRENT


def test_a_handle_says_where_the_job_is_without_credentials() -> None:
    job: RuntimeJob = RuntimeJob("b", Named(FakeReactor()), None, "j1", "p")
    assert (job.handle().service, job.handle().dialect) == ("https://h.example/v1", "current")
    assert "secret" not in job.handle().to_json()
    RuntimeJob.from_handle(job.handle(), Named(FakeReactor()))


@pytest.mark.parametrize(
    ("service", "dialect", "why"),
    [
        ("https://other.example", "current", "'https://other.example'.*'https://h.example/v1'"),
        ("https://h.example/v1", "legacy", "the dialect 'legacy'.*the dialect 'current'"),
        ("", "current", "the service ''.*'https://h.example/v1'"),
    ],
)
def test_a_client_of_another_service_is_refused(service: str, dialect: str, why: str) -> None:
    handle = attrs.evolve(HANDLE, service=service, dialect=dialect)
    with pytest.raises(UsageError, match=why) as refusal:
        RuntimeJob.from_handle(handle, Named(FakeReactor()))
    assert "secret" not in str(refusal.value)
    moved = attrs.evolve(handle, service="https://h.example/v1", dialect="current")
    assert RuntimeJob.from_handle(moved, Named(FakeReactor())).handle() == moved


class OwnTransport:
    """A transport of somebody else, that says nothing of itself."""

    traits = ServiceTraits()

    def perform(self, job_id: str, command: Any) -> Any:
        raise NotImplementedError

    def stream(self, job_id: str, command: Any) -> Any:
        raise NotImplementedError


class NamedTransport(OwnTransport):
    service_name = "the cluster"
    url = "unused"


class StreamingTransport(NamedTransport):
    traits = ServiceTraits(pushes=True, resume=Resume.OFFSET)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def perform(self, job_id: str, command: Any) -> Any:
        return JobStarted(command.request)

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        self.asked.append(command.after)
        return StreamEndpoint("fake", 1, None, SilentProtocol())


def test_a_job_of_a_transport_is_taken_up_at_the_cursor() -> None:
    handle = attrs.evolve(HANDLE, service="the cluster", dialect="")
    reactor, transport = FakeReactor(), StreamingTransport()
    reactor.connections.append((OPENS, says("3")))
    heard: list[Any] = []
    job: RuntimeJob = RuntimeJob.from_handle(
        handle, transport, user_callback=lambda _, value: heard.append(value), reactor=reactor
    )
    reactor.advance(1.0)
    assert (heard, transport.asked) == ([3], [2])
    assert job.handle() == attrs.evolve(handle, cursor=3, state=JobState.RUNNING)


def test_a_job_of_the_original_s_class_is_taken_up_as_one() -> None:
    client = FakeClient(FakeReactor())
    handle = OriginalJob("b", client, job_id="j1", program_id="p").handle()
    again = OriginalJob.from_handle(handle, client)
    assert isinstance(again, OriginalJob)
    assert again.handle() == handle


def test_a_mock_of_a_client_is_no_transport() -> None:
    client = MagicMock()
    handle = RuntimeJob("b", client, None, "j1", "p").handle()
    assert (handle.service, handle.dialect) == ("", "legacy")
    assert RuntimeJob.from_handle(handle, client).handle() == handle


def test_what_clients_and_transports_are_called() -> None:
    reactor = FakeReactor()
    acme = Dialect("acme", CURRENT.status_event)
    assert (service_name(FakeClient(reactor)), dialect_name(FakeClient(reactor))) == ("", "legacy")
    assert (service_name(OwnTransport()), dialect_name(OwnTransport())) == ("", "")
    assert service_name(NamedTransport()) == "the cluster"
    assert (service_name(LocalRunner()), dialect_name(LocalRunner())) == ("", "")
    assert service_name(LocalRunner(data="/here/../data")) == "local:/here/../data"
    with RuntimeClient("https://H.example:443/", "token") as client:
        assert (service_name(client), dialect_name(client)) == ("https://h.example", "legacy")
        transport = ClientTransport(client, dialect=acme)
        assert (service_name(transport), dialect_name(transport)) == ("https://h.example", "acme")


# ---- services ----------------------------------------------------------------------------------


def test_a_service_takes_a_job_up_and_asks_nothing() -> None:
    handle = attrs.evolve(HANDLE, service="https://h.example")
    with RuntimeService("https://h.example", "token", on_unknown_status=JobState.DONE) as service:
        job = service.take_up(handle)
        assert job.handle() == handle
        assert job._machine.traits.on_unknown_status is JobState.DONE
        shouting = attrs.evolve(handle, decoder="Shout")
        assert service.take_up(shouting, None, Shout).handle() == shouting
        with pytest.raises(UsageError, match="is of the service"):
            service.take_up(HANDLE)


def test_a_service_without_streams_takes_up_without_a_callback() -> None:
    handle = attrs.evolve(HANDLE, service="https://h.example", dialect="current")
    with RuntimeService("https://h.example", "token", dialect="current") as service:
        assert service.take_up(handle).handle() == handle
        with pytest.raises(UsageError, match="the service has no streams"):
            service.take_up(handle, lambda *_: None)


def test_a_service_for_asyncio_takes_a_job_up() -> None:
    handle = attrs.evolve(HANDLE, service="https://h.example")
    with RuntimeService("https://h.example", "token") as service:
        job = AsyncRuntimeService.of(service).take_up(handle)
        assert isinstance(job, AsyncRuntimeJob)
        assert job.handle() == handle


# ---- pickling ----------------------------------------------------------------------------------


def inner(job: Any) -> RuntimeJob | AsyncRuntimeJob:
    found: RuntimeJob | AsyncRuntimeJob = job.inner if isinstance(job, BlockingFace) else job
    return found


@pytest.mark.parametrize("reduce", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_job_is_neither_pickled_nor_copied(reduce: Callable[[object], object]) -> None:
    job = inner(world(initial=JobSucceeded()).job)
    name = type(job).__name__
    with pytest.raises(TypeError) as refusal:
        reduce(job)
    assert str(refusal.value) == (
        f"a {name} can be neither pickled nor copied: it belongs to this process. Send "
        f"job.handle().to_json(), and make another of it by {name}.from_handle()."
    )
