"""The rules of a whole job: ours keep them, and who embeds the core subclasses them."""

from __future__ import annotations

import unittest
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    InterimReceived,
    JobQueued,
    JobSucceeded,
    Need,
    ReplayRequested,
    ReplyEvent,
    ResultReceived,
    StreamClosed,
    StreamEvent,
    StreamOpened,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    WaitStarted,
)
from runtime_core.states import JobState
from runtime_core.testing import JobRules, JobWorld, Truth
from runtime_core.testing.fake_job import EVENT_OF
from runtime_core.traits import Resume, ServiceTraits

FRUGAL = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def run(rules: type[JobRules]) -> None:
    run_state_machine_as_test(rules, settings=FRUGAL)


def test_our_machine_keeps_the_rules() -> None:
    run(JobRules)


def begun(
    traits: ServiceTraits, begins: str, steps: int, *, breaks_at_last: bool = False
) -> JobRules:
    rules = JobRules()
    rules.submit(traits, begins, steps, breaks_at_last)
    return rules


def test_the_rules_by_hand_with_a_result() -> None:
    rules = begun(ServiceTraits(True, Resume.OFFSET, requeues=True), "streamed", 3)
    rules.the_job_publishes(3)
    rules.something_is_read(1)
    rules.something_is_read(3)
    rules.the_connection_breaks(1)
    rules.a_timer_fires(1)
    rules.the_connection_is_refused()
    rules.all_goes_well(6)
    rules.the_connection_is_closed(1000)
    rules.somebody_waits(Need.RESULT, 0.5)
    rules.somebody_waits(Need.FINAL, 5.0)
    rules.somebody_gives_up(1)
    rules.a_request_arrives(0)
    rules.a_request_fails(0, False, True, 2.0)
    rules.the_job_is_requeued()
    rules.the_service_says_something(0)
    rules.the_service_says_something(1)
    rules.the_job_starts()
    rules.the_job_ends(JobState.DONE, True)
    rules.all_goes_well(6)
    rules.all_goes_well(6)
    assert rules.machine.result_text == rules.truth().published[-1]
    rules.the_service_contradicts_itself()
    rules.what_comes_too_late_is_absorbed()
    rules.somebody_releases_the_result()
    rules.somebody_streams(ReplayRequested, 3)
    rules.somebody_streams_no_more()
    rules.teardown()


@pytest.mark.parametrize("ending", [JobState.ERROR, JobState.CANCELLED])
def test_the_rules_by_hand_without_one(ending: JobState) -> None:
    rules = begun(ServiceTraits(), "queued", 0)
    rules.somebody_waits(Need.FINAL, 5.0)
    rules.the_service_says_something(2)  # in answer to the request
    rules.somebody_cancels()
    rules.a_request_fails(0, True, False, None)
    rules.the_job_starts()
    rules.somebody_waits(Need.FINAL, 5.0)
    rules.the_job_ends(ending, False)
    rules.a_request_is_answered(0)
    rules.teardown()
    assert rules.machine.state is ending


def test_the_connection_may_break_at_last() -> None:
    rules = begun(ServiceTraits(True, Resume.OFFSET), "streamed", 6, breaks_at_last=True)
    rules.teardown()
    assert rules.ledger.connections > 1
    assert rules.truth().published == ("message 0", "message 1", "message 2")
    assert rules.ledger.delivered == 3


@pytest.mark.parametrize("begins", ["queued", "streamed"])
def test_there_may_be_nothing_to_break_and_nothing_to_publish(begins: str) -> None:
    rules = begun(ServiceTraits(True, Resume.OFFSET), begins, 2, breaks_at_last=True)
    if begins == "streamed":
        rules.the_job_ends(JobState.DONE, False)
    rules.teardown()
    assert rules.machine.state in (JobState.QUEUED, JobState.DONE)


def test_what_was_broken_before_is_not_looked_at_again() -> None:
    JobRules().teardown()
    rules = begun(ServiceTraits(), "queued", 0)
    rules.tell(WaitStarted(1, Need.FINAL))
    rules.is_broken = True
    rules.teardown()
    assert rules.ledger.waits


def test_a_connection_that_is_not_open_tells_nothing() -> None:
    rules = begun(ServiceTraits(pushes=True), "streamed", 3)
    rules.something_is_read(1)
    assert rules.next_stream_event() is None
    rules.close_stream()
    rules.close_stream()


# ---- a service of one's own --------------------------------------------------------------------


@attrs.define
class Bakery:
    """A service that somebody else has written: orders, with states of its own."""

    traits: ServiceTraits
    state: JobState = JobState.QUEUED
    crumbs: list[str] = attrs.Factory(list)
    cake: str = ""

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        number = command.request
        match command:
            case FetchStatus():
                return EVENT_OF[self.state](number)
            case FetchResult():
                return ResultReceived(number, self.cake)
            case FetchFailure():
                return FailureReceived(number, "burnt")
            case SendCancel():
                return CancelRefused(number) if self.state.is_final else CancelAccepted(number)

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent | None]:
        yield StreamOpened(command.connection)
        at = command.after
        while at < len(self.crumbs) or not self.state.is_final:
            rest = tuple(self.crumbs[at:])
            at += len(rest)
            yield InterimReceived(command.connection, rest) if rest else None
        yield StreamClosed(command.connection)


class BakeryRules(JobRules):
    """The rules, with a bakery for the service."""

    services = st.sampled_from([ServiceTraits(), ServiceTraits(True, Resume.OFFSET)])
    bakery: Bakery

    def make_transport(self, traits: ServiceTraits) -> Bakery:
        self.bakery = Bakery(traits)
        return self.bakery

    def start_job(self) -> None:
        self.bakery.state = JobState.RUNNING

    def publish(self, text: str) -> None:
        self.bakery.crumbs.append(text)

    def finish_job(self, result: str) -> None:
        self.bakery.state, self.bakery.cake = JobState.DONE, result

    def fail_job(self, reason: str) -> None:
        self.bakery.state = JobState.ERROR

    def cancel_job(self) -> None:
        self.bakery.state = JobState.CANCELLED

    def truth(self) -> Truth:
        bakery = self.bakery
        return Truth(bakery.state, tuple(bakery.crumbs), bakery.cake or None)

    def read(self, stream: object) -> StreamEvent | None:
        assert isinstance(stream, Iterator)
        return next(stream, None)


def test_a_service_of_ones_own_keeps_them() -> None:
    run(BakeryRules)


class Confused(Bakery):
    """Its transport takes what was cancelled for done."""

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if isinstance(command, FetchStatus) and self.state.is_final:
            return JobSucceeded(command.request)
        return super().perform(job_id, command)


class Deaf(Bakery):
    """Its transport answers with what was not asked."""

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        return JobQueued(command.request + 1)


class Forgetful(Bakery):
    """Its streams begin one message too late."""

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent | None]:
        return super().stream(job_id, attrs.evolve(command, after=command.after + 1))


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (Confused, "an ending that never was"),
        (Deaf, r"^JobQueued\(request=2.* is no reply to .*request=1\)"),
        (Forgetful, "other messages than the service published|a stream ended before its end"),
    ],
)
def test_a_transport_that_is_wrong_is_found(kind: type[Bakery], rule: str) -> None:
    class Rules(BakeryRules):
        def make_transport(self, traits: ServiceTraits) -> Bakery:
            self.bakery = kind(traits)
            return self.bakery

    with pytest.raises(AssertionError, match=rule):
        run(Rules)


def test_what_is_not_overridden_is_asked_for_by_name() -> None:
    class Rules(JobRules):
        def make_transport(self, traits: ServiceTraits) -> Bakery:
            return Bakery(traits)

    rules = Rules()
    rules.begin(ServiceTraits())
    with pytest.raises(NotImplementedError, match="Rules must say how its service is moved"):
        rules.start_job()
    with pytest.raises(NotImplementedError, match=r"Rules\.read must read 7"):
        rules.read(7)


# ---- what they say when something is wrong -----------------------------------------------------


def test_who_still_waits_at_the_end_is_found() -> None:
    world = JobWorld()
    world.begin(ServiceTraits())
    world.tell(WaitStarted(1, Need.FINAL))
    world.requests.clear()  # it gets lost on its way
    with pytest.raises(AssertionError, match="all is well, and somebody waits"):
        world.come_to_rest()


def test_what_does_not_come_to_rest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime_core.testing.job_world.LAST_STEPS", 0)
    world = JobWorld()
    world.begin(ServiceTraits(True, Resume.OFFSET))
    world.finish_job("r")
    world.tell(JobSucceeded())
    world.ledger.requests[9] = FetchStatus
    with pytest.raises(AssertionError, match="it does not come to rest"):
        world.come_to_rest()


def test_what_changes_with_a_late_event_is_found() -> None:
    world = JobWorld()
    world.begin(ServiceTraits(pushes=True))
    with pytest.raises(AssertionError, match=r"a late event, led to something"):
        world.tell_late(SubscriptionRequested(1))
    with pytest.raises(AssertionError, match=r"^JobSucceeded\(.*, a late event, changed something"):
        world.tell_late(TimerFired(TimerName.POLL, 99), JobSucceeded(), JobQueued())


def test_a_test_case_is_what_pytest_and_unittest_collect() -> None:
    assert issubclass(JobRules.TestCase, unittest.TestCase)
