"""What carries out the orders of a machine, seen from below: commands, failures, forks."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import pytest
from fakes import CLOSES, NEVER, OPENS, FakeReactor, FakeStreams, says

from adapters.drivers.inbox import Batch, End, Item
from adapters.drivers.job_driver import JobDriver
from adapters.drivers.job_requests import REQUEST_DEADLINE, RESULT_DEADLINE
from adapters.drivers.performers import OnThreads
from adapters.transport import StreamEndpoint
from runtime_core.commands import FetchResult, FetchStatus, OpenStream, RequestCommand, SendCancel
from runtime_core.errors import RuntimeInvalidStateError, TransportError, UsageError
from runtime_core.events import (
    CancelAccepted,
    CancelRequested,
    JobStarted,
    JobSucceeded,
    Need,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits


@attrs.define(eq=False)
class FakeTransport:
    """Answers with what `reply` makes of a command."""

    reply: Callable[[RequestCommand], ReplyEvent]
    streams: FakeStreams = attrs.field(factory=FakeStreams)
    commands: list[RequestCommand] = attrs.field(factory=list)

    @property
    def traits(self) -> ServiceTraits:
        return self.streams.traits

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        assert job_id == "j1"
        self.commands.append(command)
        return self.reply(command)

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        return self.streams.stream(job_id, command)


@attrs.define(eq=False)
class Listener:
    """A `Subscriber` that keeps what it gets."""

    items: list[Item] = attrs.field(factory=list)
    drops: int = 0
    delivered: int = 0
    is_full: bool = False
    is_caller: bool = False
    is_waited_for: bool = True
    is_behind: bool = False
    error: BaseException | None = None

    def put(self, item: Item) -> None:
        self.items.append(item)

    def drop(self) -> None:
        self.drops += 1

    def after_fork(self, error: Exception) -> None:
        self.error = error


@attrs.define(eq=False)
class Bench:
    reactor: FakeReactor
    transport: FakeTransport
    driver: JobDriver

    def ask(self, need: Need = Need.STATUS, deadline: float | None = None) -> bool:
        return self.driver.wait(lambda number: WaitStarted(number, need), deadline)


def bench(reply: Callable[[RequestCommand], ReplyEvent]) -> Bench:
    reactor = FakeReactor()
    transport = FakeTransport(reply)
    machine = JobMachine("j1", transport.traits)
    return Bench(reactor, transport, JobDriver(machine, transport, reactor))


def running(command: RequestCommand) -> ReplyEvent:
    return JobStarted(command.request)


def done(command: RequestCommand) -> ReplyEvent:
    if isinstance(command, FetchResult):
        return ResultReceived(command.request, "42")
    return JobSucceeded(command.request)


def test_it_is_known_to_the_reactor_for_forks() -> None:
    b = bench(done)
    assert b.reactor.children == [b.driver.runner]


def test_a_wait_ends_with_the_answer() -> None:
    b = bench(done)
    assert b.ask(Need.RESULT)
    assert b.driver.runner.machine.result_text == "42"
    assert [type(command) for command in b.transport.commands] == [FetchStatus, FetchResult]


def test_a_transport_that_raises_has_failed_and_is_not_asked_again() -> None:
    def reply(command: RequestCommand) -> ReplyEvent:
        raise ZeroDivisionError("mistake")

    b = bench(reply)
    with pytest.raises(TransportError, match="mistake") as caught:
        b.ask(Need.FINAL)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(b.transport.commands) == 1


def test_a_result_may_take_longer_than_other_requests() -> None:
    def reply(command: RequestCommand) -> ReplyEvent:
        if isinstance(command, FetchResult):
            b.reactor.hold(RESULT_DEADLINE - 1)
        return done(command)

    b = bench(reply)
    assert b.ask(Need.RESULT)
    assert b.reactor.elapsed == RESULT_DEADLINE - 1
    assert b.reactor.abandoned == []


def test_a_result_that_never_comes_is_asked_for_again() -> None:
    def reply(command: RequestCommand) -> ReplyEvent:
        if len(b.transport.commands) == 2:
            b.reactor.hold(NEVER)
        return done(command)

    b = bench(reply)
    assert b.ask(Need.RESULT)
    assert b.reactor.elapsed == RESULT_DEADLINE + 0.5
    assert len(b.reactor.abandoned) == 1


def test_a_request_s_deadline_leads_to_another_request() -> None:
    def reply(command: RequestCommand) -> ReplyEvent:
        if len(b.transport.commands) == 1:
            b.reactor.hold(NEVER)
        return done(command)

    b = bench(reply)
    assert b.ask(Need.FINAL)
    assert b.reactor.elapsed == REQUEST_DEADLINE + 0.5
    assert b.reactor.armed == []


def test_what_is_to_be_reported_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def reply(command: RequestCommand) -> ReplyEvent:
        if len(b.transport.commands) == 1:
            return RequestFailed(command.request, TransportError("no luck"), retryable=True)
        return done(command)

    b = bench(reply)
    with caplog.at_level(logging.WARNING):
        b.ask(Need.FINAL)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "no luck" in caplog.text


def test_the_delays_are_those_that_the_reactor_makes_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    b = bench(running)
    monkeypatch.setattr(b.reactor, "jittered", lambda delay: delay + 7)
    assert not b.ask(Need.FINAL, b.reactor.now() + 8)
    assert [command.request for command in b.transport.commands][:1] == [1]
    assert len(b.transport.commands) == 2


def test_a_refusal_reaches_the_caller_and_changes_nothing() -> None:
    b = bench(running)
    first, second = Listener(), Listener()
    b.driver.subscribe(SubscriptionRequested, first)
    with pytest.raises(RuntimeInvalidStateError):
        b.driver.subscribe(SubscriptionRequested, second)
    b.reactor.settle()
    b.reactor.channel.feed(OPENS, says("1"))
    assert first.items == [Batch(("1",))]
    assert second.items == []


def test_only_the_present_subscriber_can_be_ended() -> None:
    b = bench(running)
    first, second = Listener(), Listener()
    b.driver.subscribe(SubscriptionRequested, first)
    b.driver.unsubscribe(first)
    b.driver.subscribe(SubscriptionRequested, second)
    b.driver.unsubscribe(first)
    b.reactor.settle()
    assert (first.drops, second.drops) == (1, 0)
    b.driver.unsubscribe()
    b.reactor.settle()
    assert second.drops == 1
    assert second.items == [End(None)]


def test_all_events_of_one_read_are_taken_though_one_ends_the_connection() -> None:
    b = bench(running)
    listener = Listener()
    b.driver.subscribe(SubscriptionRequested, listener)
    b.reactor.settle()
    b.reactor.channel.feed(OPENS, says("1"), says("2"), CLOSES)
    assert listener.items == [Batch(("1",)), Batch(("2",))]
    b.reactor.advance(1.0)
    assert len(b.reactor.channels) == 2


@pytest.mark.parametrize("failure", [UsageError("no"), SystemExit("no")])
def test_a_stream_that_the_transport_cannot_say_is_tried_again_later(
    failure: BaseException,
) -> None:
    b = bench(running)
    b.transport.streams.failure = failure
    b.driver.subscribe(SubscriptionRequested, Listener())
    b.reactor.advance(60.0)
    assert 5 < len(b.transport.streams.asked) < 20
    b.transport.streams.failure = None
    b.reactor.advance(8.0)
    assert len(b.reactor.channels) == 1


def test_waiting_for_callbacks_without_a_subscriber_takes_no_time() -> None:
    b = bench(running)
    b.driver.wait_for_callbacks(None)
    assert b.driver.runner.stream_error is None
    assert not b.driver.runner.is_in_callback


def test_close_may_be_repeated() -> None:
    b = bench(running)
    b.driver.subscribe(SubscriptionRequested, Listener())
    b.driver.close()
    b.driver.close()
    b.reactor.settle()
    assert b.reactor.armed == []
    assert not any(channel.is_live for channel in b.reactor.channels)


# ---- fork --------------------------------------------------------------------------------------


def forked(b: Bench) -> FakeReactor:
    """Do as in the child of a fork: everything that the reactor had is gone."""
    b.reactor = FakeReactor()
    b.driver._reactor = b.driver.runner._reactor = b.driver.runner._requests._reactor = b.reactor
    performer = b.driver.runner._requests._performer
    assert isinstance(performer, OnThreads)
    performer._reactor = b.reactor
    b.driver.runner.after_fork()
    return b.reactor


def interrupted(b: Bench, need: Need = Need.FINAL, delay: float = 0.3) -> None:
    """A wait is under way in a thread that the child does not have."""
    ends: list[Exception | None] = []
    b.reactor.call_soon(lambda: b.driver.runner.start_wait(WaitStarted(99, need), ends.append))
    b.reactor.advance(delay)
    assert ends == []


def test_the_child_of_a_fork_starts_nothing_by_itself() -> None:
    b = bench(running)
    interrupted(b)
    reactor = forked(b)
    reactor.advance(100.0)
    assert reactor.armed == []


def test_the_child_of_a_fork_asks_afresh() -> None:
    b = bench(running)
    interrupted(b)
    forked(b)
    b.transport.reply = done
    assert b.ask(Need.RESULT)
    assert b.driver.runner.machine.state is JobState.DONE


def test_a_request_that_was_under_way_at_the_fork_is_made_again() -> None:
    def hangs(command: RequestCommand) -> ReplyEvent:
        b.reactor.hold(NEVER)
        return done(command)

    b = bench(hangs)
    interrupted(b)
    forked(b)
    b.transport.reply = done
    assert b.ask(Need.FINAL)
    assert b.reactor.elapsed < 1


def cancelled(command: RequestCommand) -> ReplyEvent:
    """The service takes a cancel, and then cannot be asked: there is something left to find out."""
    if isinstance(command, SendCancel):
        return CancelAccepted(command.request)
    return RequestFailed(command.request, TransportError("no luck"), retryable=True)


def test_a_timer_that_was_armed_at_the_fork_has_fired() -> None:
    b = bench(cancelled)
    b.driver.wait(CancelRequested, None)
    b.reactor.advance(10.0)
    assert len(b.reactor.armed) == 1
    forked(b)
    b.transport.reply = done
    assert b.ask(Need.FINAL)


def test_a_connection_of_the_parent_has_failed_in_the_child() -> None:
    b = bench(cancelled)
    b.driver.runner.machine.receive(JobStarted())
    b.driver.subscribe(SubscriptionRequested, Listener())
    b.reactor.settle()
    b.reactor.channel.feed(OPENS)
    b.driver.wait(CancelRequested, None)
    reactor = forked(b)
    b.driver.subscribe(SubscriptionRequested, Listener())
    reactor.advance(1.0)
    assert len(reactor.channels) == 1


def test_the_parent_s_subscription_ends_in_the_child() -> None:
    b = bench(running)
    parents, own = Listener(), Listener()
    b.driver.subscribe(SubscriptionRequested, parents)
    b.reactor.settle()
    b.reactor.channel.feed(OPENS, says("1"))
    reactor = forked(b)
    b.driver.subscribe(SubscriptionRequested, own)
    reactor.settle()
    reactor.advance(8.0)
    reactor.channel.feed(OPENS, says("1"))
    assert parents.items == [Batch(("1",))]
    assert own.items == [Batch(("1",))]


def test_a_full_subscriber_of_the_parent_does_not_pause_the_child() -> None:
    b = bench(running)
    parents = Listener()
    b.driver.subscribe(SubscriptionRequested, parents)
    b.reactor.settle()
    b.reactor.channel.feed(OPENS, says("1"))
    parents.is_full = True
    b.driver.adjust()
    b.reactor.settle()
    assert b.reactor.channel.log == ["pause"]
    reactor = forked(b)
    b.driver.subscribe(SubscriptionRequested, Listener())
    reactor.advance(8.0)
    assert reactor.channel.log == []
