"""The kit finds what is wrong with a transport, and names it: each of these breaks one rule."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from unittest import SkipTest

import attrs
import pytest

from adapters import AsyncTransport, Transport
from adapters.testing import AsyncTransportConformance, TransportConformance
from adapters.testing.subject import AnyTransport, Patience
from adapters.transport import AnyStream
from runtime_core import (
    CancelAccepted,
    FailureReceived,
    FetchFailure,
    FetchResult,
    FetchStatus,
    InterimReceived,
    JobQueued,
    JobStarted,
    JobSucceeded,
    OpenStream,
    ReplyEvent,
    RequestCommand,
    RequestFailed,
    ResultReceived,
    Resume,
    SendCancel,
    ServiceError,
    ServiceTraits,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamOpened,
    TransportError,
    UnknownStatusReported,
)
from runtime_core.testing import Fails, FakeStream, FakeTransport, Says

PUSHES = ServiceTraits(pushes=True, resume=Resume.OFFSET)
TEXTS = ["1", "2", "3", "4"]
LIMIT = 1000
"""The longest result that these transports take."""


class Good:
    """A transport that keeps every rule; a service in memory is behind it."""

    def __init__(self, traits: ServiceTraits = PUSHES) -> None:
        self.service = FakeTransport(traits=traits)
        self.known: set[str] = set()

    @property
    def traits(self) -> ServiceTraits:
        return self.service.traits

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if job_id not in self.known:
            return self.unknown(job_id, command)
        reply = self.service.perform(job_id, command)
        if isinstance(reply, ResultReceived) and len(reply.text) > LIMIT:
            return RequestFailed(command.request, TransportError("the result is too large"))
        return reply

    def unknown(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        return RequestFailed(command.request, TransportError(f"there is no job {job_id!r}", 404))

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        if not self.traits.pushes:
            raise ServiceError("there are no streams")
        if job_id not in self.known:
            error = TransportError(f"there is no job {job_id!r}", 404)
            return iter([StreamFailed(command.connection, error)])
        return self.service.stream(job_id, command)

    def close(self) -> None:
        self.service.close()


class Unreachable(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        error = TransportError("connection refused", retryable=True)
        return RequestFailed(command.request, error, retryable=True)


class Kit(TransportConformance):
    """The kit over a transport in memory, with a job for each hook."""

    patience = 0.3
    pause = 0.001
    kind: Callable[[], Good] = Good
    away: Callable[[], Good] = Unreachable

    def make_transport(self) -> AnyTransport:
        self.good = self.kind()
        return self.good

    def job(self, job_id: str) -> Any:
        self.good.known.add(job_id)
        return self.good.service.job(job_id)

    def job_that_succeeds(self) -> tuple[str, str]:
        self.job("good").finish(" [40, 2]\n") if "good" not in self.good.known else None
        return "good", " [40, 2]\n"

    def job_that_fails(self) -> tuple[str, str]:
        self.job("bad").fail("no luck today")
        return "bad", "luck"

    def job_that_hangs(self) -> str:
        self.job("slow").start()
        return "slow"

    def job_that_publishes(self) -> tuple[str, Sequence[str], str]:
        job = self.job("loud")
        if self.good.traits.resume is Resume.LIVE:
            job.result = "the end"
            job.plan.extend(TEXTS)
            job.is_planned = True
        else:
            job.publish(*TEXTS)
            job.finish("the end")
        return "loud", TEXTS, "the end"

    def job_with_unknown_word(self) -> tuple[str, str]:
        self.job("odd").will(FetchStatus, Says("PONDERING"))
        return "odd", "PONDERING"

    def job_with_large_result(self) -> str:
        self.job("large").finish("x" * (LIMIT + 1))
        return "large"

    patience_named: Patience = 3.0

    def job_of_busy_service(self) -> tuple[str, Patience]:
        seconds = None if self.patience_named is None else 3.0
        self.job("busy").will(FetchStatus, Fails(429, retry_after=seconds))
        return "busy", self.patience_named

    def unreachable_transport(self) -> AnyTransport:
        return self.away()


def broken_rules(kit: type[TransportConformance]) -> dict[str, str]:
    """Try every rule; those that are broken, with what was found."""
    found = {}
    for name in dir(kit):
        if name.startswith("test_"):
            subject = kit()
            subject.setup_method()
            try:
                getattr(subject, name)()
            except SkipTest:
                pass
            except AssertionError as error:
                found[name] = str(error)
            finally:
                subject.teardown_method()
    return found


@pytest.mark.parametrize("resume", Resume)
@pytest.mark.parametrize("streams_result", [False, True])
def test_a_good_transport_breaks_no_rule(resume: Resume, streams_result: bool) -> None:
    traits = ServiceTraits(pushes=True, resume=resume, streams_result=streams_result)

    class Tried(Kit):
        def make_transport(self) -> Transport:
            self.good = Good(traits)
            return self.good

    assert broken_rules(Tried) == {}


# ---- transports that break a rule --------------------------------------------------------------


class Changed(Iterator[StreamEvent]):
    """A stream whose every event becomes others. No generator, which could not be closed."""

    def __init__(
        self,
        stream: Iterator[StreamEvent],
        change: Callable[[StreamEvent], Sequence[StreamEvent]],
    ) -> None:
        self.stream = stream
        self.change = change
        self.ready: list[StreamEvent] = []

    def __next__(self) -> StreamEvent:
        while not self.ready:
            self.ready += self.change(next(self.stream))
        return self.ready.pop(0)

    def close(self) -> None:
        close = getattr(self.stream, "close", None)
        if close is not None:
            close()


class ChangesItsTraits(Good):
    @property
    def traits(self) -> ServiceTraits:
        self.asked = not getattr(self, "asked", False)
        return attrs.evolve(PUSHES, requeues=self.asked)


class RepliesWithAnotherNumber(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        reply = super().perform(job_id, command)
        if isinstance(reply, FailureReceived):
            return attrs.evolve(reply, request=command.request + 1)
        return reply


class RepliesToAnotherQuestion(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if isinstance(command, FetchResult) and job_id not in self.known:
            return JobQueued(command.request)
        return super().perform(job_id, command)


class Raises(Good):
    def unknown(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if len(job_id) > 100:
            raise ValueError("the id is too long")
        return super().unknown(job_id, command)


class LeavesTheEnd(Good):
    """Asked again, it says that the job goes on: of one service behind several servers, say."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        reply = super().perform(job_id, command)
        if isinstance(reply, JobSucceeded):
            self.asked += 1
            if self.asked % 2 == 0:
                return JobStarted(command.request)
        return reply


class StripsResults(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        reply = super().perform(job_id, command)
        if isinstance(reply, ResultReceived):
            return attrs.evolve(reply, text=reply.text.strip())
        return reply


class KeepsReasonsToItself(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if isinstance(command, FetchFailure) and job_id in self.known:
            return FailureReceived(command.request, None)
        return super().perform(job_id, command)


class GuessesWords(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        reply = super().perform(job_id, command)
        return JobQueued(reply.request) if isinstance(reply, UnknownStatusReported) else reply


class AsksForEver(Good):
    def unknown(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        return RequestFailed(command.request, TransportError("no such job"), retryable=True)


class GivesUp(Unreachable):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        return RequestFailed(command.request, TransportError("connection refused"))


class Impatient(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        reply = super().perform(job_id, command)
        if isinstance(reply, RequestFailed):
            return attrs.evolve(reply, retry_after=None)
        return reply


class TakesEverything(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if job_id in self.known:
            return self.service.perform(job_id, command)
        return self.unknown(job_id, command)


class CancelsHere(Good):
    """It takes the wish, and the service never hears of it."""

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if isinstance(command, SendCancel) and job_id == "slow":
            return CancelAccepted(command.request)
        return super().perform(job_id, command)


class FailsToCancel(Good):
    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if isinstance(command, SendCancel) and job_id == "good":
            return RequestFailed(command.request, TransportError("it has ended", 409))
        return super().perform(job_id, command)


class GivesEmptyStreams(Good):
    def __init__(self) -> None:
        super().__init__(ServiceTraits())

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        return iter(())


class CountsByItself(Good):
    """Its events carry a number of its own."""

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        return Changed(
            super().stream(job_id, command), lambda event: [attrs.evolve(event, connection=1)]
        )


class OpensTwice(Good):
    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        return Changed(
            super().stream(job_id, command),
            lambda event: [event, event] if isinstance(event, StreamOpened) else [event],
        )


class EndsWithAFailure(Good):
    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        failed = StreamFailed(command.connection, TransportError("it ended"))
        return Changed(
            super().stream(job_id, command),
            lambda event: [failed if isinstance(event, StreamClosed) else event],
        )


class Repeats(Good):
    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        def repeated(event: StreamEvent) -> Sequence[StreamEvent]:
            twice = isinstance(event, InterimReceived) and not command.after
            return [event, event] if twice else [event]

        return Changed(super().stream(job_id, command), repeated)


class StreamsTheResult(Good):
    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        result = InterimReceived(command.connection, ("the end",))

        def with_result(event: StreamEvent) -> Sequence[StreamEvent]:
            ends = isinstance(event, StreamClosed) and not command.after
            return [result, event] if ends else [event]

        return Changed(super().stream(job_id, command), with_result)


class StartsAnew(Good):
    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        return super().stream(job_id, attrs.evolve(command, after=0))


class SharesOneStream(Good):
    """What one connection reads is lost to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[str] = set()

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        def unless_taken(event: StreamEvent) -> Sequence[StreamEvent]:
            if isinstance(event, InterimReceived) and not command.after:
                left = tuple(text for text in event.messages if text not in self.taken)
                self.taken |= set(left)
                return [attrs.evolve(event, messages=left)] if left else []
            return [event]

        return Changed(super().stream(job_id, command), unless_taken)


class StreamsNothing(Good):
    """Of a job that there is not."""

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        if job_id in self.known:
            return super().stream(job_id, command)
        return iter([StreamOpened(command.connection), StreamClosed(command.connection)])


class ForgetsAThread(Good):
    """A stream of it starts a thread that does not end with it."""

    def __init__(self) -> None:
        super().__init__()
        self.end = threading.Event()

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        if job_id == "slow":
            threading.Thread(target=self.end.wait, args=(10,), daemon=True).start()
        return super().stream(job_id, command)

    def close(self) -> None:
        self.end.set()
        super().close()


class HasOnePlaceForAll(Good):
    """It keeps what is asked in an attribute, and other threads write there too."""

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        self.command = command
        time.sleep(0.001)
        return super().perform(job_id, self.command)


class KeepsAThread(Good):
    """Closing it ends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.end = threading.Event()
        threading.Thread(target=self.end.wait, args=(1.0,), daemon=True).start()


class RaisesWhenItIsClosed(Good):
    is_closed = False

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if self.is_closed:
            raise RuntimeError("it is closed")
        return super().perform(job_id, command)

    def close(self) -> None:
        self.is_closed = True
        super().close()


BROKEN: dict[type[Good], str] = {
    ChangesItsTraits: "the_traits_are_data_and_stay_the_same",
    RepliesWithAnotherNumber: "every_reply_carries_the_number_of_its_request",
    RepliesToAnotherQuestion: "every_reply_is_one_that_its_request_can_have",
    Raises: "nothing_is_raised_whatever_the_id",
    LeavesTheEnd: "a_job_that_succeeds_says_so",
    StripsResults: "the_result_is_the_text_that_the_service_has",
    KeepsReasonsToItself: "a_failed_job_says_why",
    GuessesWords: "an_unknown_word_is_reported_as_it_is",
    AsksForEver: "a_job_that_there_is_not_is_a_failure_for_good",
    Impatient: "a_busy_service_is_asked_again_when_it_wants",
    TakesEverything: "a_result_above_the_limit_is_refused_for_good",
    CancelsHere: "a_cancel_is_accepted_and_the_service_ends_the_job",
    FailsToCancel: "a_cancel_of_a_job_that_has_ended_is_refused",
    GivesEmptyStreams: "a_service_without_streams_says_so",
    CountsByItself: "the_events_of_a_stream_carry_its_number",
    OpensTwice: "a_stream_says_that_it_is_open_before_anything_else",
    EndsWithAFailure: "a_stream_ends_in_order_when_its_job_does",
    Repeats: "messages_come_once_and_in_order",
    StreamsTheResult: "messages_come_once_and_in_order",
    StartsAnew: "a_stream_is_resumed_as_the_traits_say",
    SharesOneStream: "streams_do_not_share_what_they_read",
    StreamsNothing: "a_stream_of_a_job_that_there_is_not_fails",
    ForgetsAThread: "a_stream_that_is_closed_leaves_nothing",
    HasOnePlaceForAll: "many_threads_may_use_it_at_once",
    KeepsAThread: "closing_it_leaves_no_thread",
    RaisesWhenItIsClosed: "it_fails_cleanly_when_it_is_closed",
}


@pytest.mark.parametrize("transport", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_transport_breaks_its_rule_and_no_other(transport: type[Good]) -> None:
    class Tried(Kit):
        kind = transport

    found = broken_rules(Tried)
    assert set(found) == {f"test_{BROKEN[transport]}"}, found
    assert all(found.values()), "the rule does not say what was found"


def test_one_that_gives_up_on_a_service_that_is_away() -> None:
    class Tried(Kit):
        away = GivesUp

    assert set(broken_rules(Tried)) == {"test_a_service_that_is_away_may_come_back"}


@pytest.mark.parametrize(
    ("named", "holds"), [(None, True), ((2.0, 4.0), True), ((4.0, 5.0), False), (4.0, False)]
)
def test_how_long_a_busy_service_asks_for_patience(named: Patience, holds: bool) -> None:
    class Tried(Kit):
        patience_named = named

    assert ("test_a_busy_service_is_asked_again_when_it_wants" not in broken_rules(Tried)) == holds


def test_what_a_closed_stream_leaves_is_named_and_so_is_the_cure() -> None:
    class Tried(Kit):
        kind = ForgetsAThread

    (told,) = broken_rules(Tried).values()
    assert re.search(r"threads are left \(.* a close\(\)\), after 0.3 s: Thread-\d+", told)


# ---- those that are awaited --------------------------------------------------------------------


class Awaited:
    """One that is awaited, over one that blocks."""

    def __init__(self, inner: Good) -> None:
        self.inner = inner

    @property
    def traits(self) -> ServiceTraits:
        return self.inner.traits

    async def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        await asyncio.sleep(0)
        return self.inner.perform(job_id, command)

    def stream(self, job_id: str, command: OpenStream) -> AnyStream:
        return in_turn(self.inner.stream(job_id, command))

    async def close(self) -> None:
        self.inner.close()


async def in_turn(stream: Iterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
    """The events of a stream that must not be waited for."""
    poll: Callable[[], StreamEvent | None] = getattr(stream, "poll", lambda: next(stream, None))
    while True:
        event = poll()
        if event is not None:
            yield event
        elif not isinstance(stream, FakeStream):
            return
        await asyncio.sleep(0.001)


class AwaitedKit(AsyncTransportConformance, Kit):
    def make_transport(self) -> AsyncTransport:
        self.good = self.kind()
        return Awaited(self.good)

    def unreachable_transport(self) -> AnyTransport:
        return Awaited(self.away())


def test_a_good_one_that_is_awaited_breaks_no_rule() -> None:
    assert broken_rules(AwaitedKit) == {}


@pytest.mark.parametrize("transport", [StripsResults, Raises, Repeats, RaisesWhenItIsClosed])
def test_one_that_is_awaited_breaks_its_rule_and_no_other(transport: type[Good]) -> None:
    class Tried(AwaitedKit):
        kind = transport

    assert set(broken_rules(Tried)) == {f"test_{BROKEN[transport]}"}


def test_every_rule_is_broken_by_somebody() -> None:
    rules = {name for name in dir(TransportConformance) if name.startswith("test_")}
    broken = {f"test_{rule}" for rule in BROKEN.values()}
    assert rules == broken | {"test_a_service_that_is_away_may_come_back"}


def test_a_rule_whose_hook_is_not_given_is_skipped() -> None:
    class Bare(TransportConformance):
        def make_transport(self) -> Transport:
            return Good(ServiceTraits())

    bare = Bare()
    bare.setup_method()
    with pytest.raises(SkipTest, match="job_that_hangs"):
        bare.test_a_cancel_is_accepted_and_the_service_ends_the_job()
    with pytest.raises(NotImplementedError, match="job_that_succeeds"):
        bare.test_a_job_that_succeeds_says_so()
    bare.teardown_method()
