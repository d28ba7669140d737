"""What caller and service may expect, each rule broken: the witness finds it, and says which."""

from __future__ import annotations

import attrs
import pytest
from scenes import ERROR, LIVE, LIVE_RESULT, OFFSET, OFFSET_RESULT, POLL, poll

from runtime_core.commands import (
    Command,
    Deliver,
    DeliverGap,
    DeliveryCommand,
    EndSubscription,
    EndWait,
    FetchStatus,
    Notice,
    Report,
    SendCancel,
    StopTimer,
)
from runtime_core.errors import RuntimeInvalidStateError, TransportError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    CancelRequested,
    Event,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    ReleaseRequested,
    ReplayRequested,
    RequestFailed,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.testing import Ledger, Truth, Witness
from runtime_core.testing.message_witness import MessageWitness
from runtime_core.testing.witness import Wish
from runtime_core.traits import ServiceTraits

QUEUED, RUNNING, DONE = JobState.QUEUED, JobState.RUNNING, JobState.DONE
RUNS, ENDED = Truth(RUNNING, ("a", "b", "c")), Truth(DONE, ("a", "b", "c"), "r")
REFUSAL = RuntimeInvalidStateError("cancel", "j1", DONE, "it has ended")
OTHER = TransportError("another one")


class Shown(JobMachine):
    """A machine that shows what a test wants it to."""

    def __init__(self, state: JobState, confirmed: bool, text: str | None) -> None:
        super().__init__("j1")
        self.shown, self.sure, self.text = state, confirmed, text

    @property
    def state(self) -> JobState:
        return self.shown

    @property
    def confirmed(self) -> bool:
        return self.sure

    @property
    def result_text(self) -> str | None:
        return self.text


@attrs.define
class Scene:
    """A witness, and what it looks at."""

    witness: Witness
    ledger: Ledger
    truth: Truth = RUNS

    def look(self, event: Event, *commands: Command, text: str | None = None) -> None:
        self.witness.foresee(event, self.ledger, self.truth)
        machine = Shown(self.witness.state, self.witness.confirmed, text)
        self.witness.check(event, commands, machine, self.ledger, self.truth)


def scene(traits: ServiceTraits = OFFSET, truth: Truth = RUNS) -> Scene:
    """Four wait, one for each thing; a status request, a cancel and a connection are under way."""
    needs = {1: Need.STATUS, 2: Need.FINAL, 3: Need.RESULT, 4: None}
    ledger = Ledger(
        requests={3: FetchStatus, 4: SendCancel},
        connection=1,
        connections=1,
        connected=True,
        waits=dict(needs),
        last_wait=4,
        subscription=1,
        last_subscription=1,
        last_request=4,
    )
    witness = Witness(traits, MessageWitness(traits))
    witness.waits = {number: Wish(need, 2.0, 2) for number, need in needs.items()}
    return Scene(witness, ledger, truth)


# ---- the state ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "rule"),
    [
        (Shown(RUNNING, True, None), "another state than the service said first"),
        (Shown(QUEUED, False, None), "confirmed, and the service said nothing"),
        (Shown(QUEUED, True, "x"), "another result than the service has"),
    ],
)
def test_what_a_machine_shows_is_what_it_was_told(machine: JobMachine, rule: str) -> None:
    at = scene()
    at.witness.foresee(JobQueued(), at.ledger, at.truth)
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        at.witness.check(JobQueued(), (), machine, at.ledger, at.truth)


def test_an_ending_is_one_that_the_service_knows_of() -> None:
    at = scene()
    at.witness.waits.clear()
    with pytest.raises(AssertionError, match="an ending that never was"):
        at.look(JobSucceeded())
    # Who takes an unknown word for an end has said that he wants it so.
    odd = Scene(Witness(ServiceTraits(on_unknown_status=DONE), MessageWitness(OFFSET)), Ledger())
    odd.look(UnknownStatusReported("Pondering"))
    assert odd.witness.state is DONE


def test_the_first_ending_stands_and_stale_news_are_none() -> None:
    at = scene(truth=ENDED)
    at.witness.waits.clear()
    told: list[tuple[Event, JobState]] = [
        (JobQueued(), QUEUED),
        (JobStarted(), RUNNING),
        (JobQueued(), RUNNING),
        (JobQueued(3), RUNNING),
        (JobSucceeded(99), RUNNING),
        (JobSucceeded(), DONE),
        (JobStarted(), DONE),
    ]
    for event, state in told:
        at.look(event)
        assert at.witness.state is state


def test_a_job_goes_back_only_by_a_fresh_answer_where_services_do_so() -> None:
    at = scene(ServiceTraits(requeues=True))
    at.ledger.requests[9] = FetchStatus
    at.witness.waits.clear()
    at.look(JobStarted())
    at.look(JobQueued(3))
    assert at.witness.state is RUNNING
    at.look(JobQueued(9))
    assert at.witness.state is QUEUED


# ---- requests, timers, reports -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "command", "rule"),
    [
        (ReleaseRequested(), SendCancel(5), "a cancel that nobody asked for"),
        (ReleaseRequested(), poll(5, 2.5), "polls are rarer than somebody wants"),
        (
            RequestFailed(3, ERROR, True),
            poll(5, 0.1),
            "a service that failed is asked again too soon",
        ),
        (
            RequestFailed(3, ERROR, True, 1e6),
            poll(5, 8.0),
            "a service that failed is asked again too soon",
        ),
        (
            ReleaseRequested(),
            Report(Notice.RETRY, "x"),
            "a report of retry, and there was none",
        ),
        (
            ReleaseRequested(),
            Report(Notice.UNKNOWN_STATUS, "x"),
            "a report of unknown status, and there was none",
        ),
        (
            ReleaseRequested(),
            Report(Notice.CONTRADICTION, "x"),
            "a report of contradiction, and there was none",
        ),
    ],
)
def test_a_command_that_breaks_a_rule_is_found(event: Event, command: Command, rule: str) -> None:
    at = scene()
    at.witness.waits[1] = Wish(Need.FINAL, 2.0, 2)
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        at.look(event, command)


def test_nobody_asks_where_nobody_is_interested() -> None:
    at = Scene(Witness(OFFSET, MessageWitness(OFFSET)), Ledger(requests={4: SendCancel}))
    at.look(CancelRefused(4), FetchStatus(5))
    with pytest.raises(AssertionError, match="the service is asked, and nobody is interested"):
        at.look(TimerFired(POLL, 2), FetchStatus(6))


def test_nobody_asks_what_is_known() -> None:
    at = scene(truth=ENDED)
    at.witness.waits.clear()
    at.look(JobSucceeded())
    with pytest.raises(AssertionError, match="the state is asked for, and it is known"):
        at.look(ReleaseRequested(), FetchStatus(5))


def test_a_back_off_is_not_cut_short() -> None:
    at = scene()
    at.witness.waits = {2: Wish(Need.FINAL, 2.0, 2)}
    failed = RequestFailed(3, ERROR, True)
    at.look(failed, poll(5, 0.5))
    with pytest.raises(AssertionError, match="the end of a stream cut a back-off short"):
        at.look(StreamFailed(1, ERROR), StopTimer(POLL), FetchStatus(6))
    at.look(failed, poll(5, 0.5))
    at.look(TimerFired(POLL, 5), FetchStatus(6))
    at.look(StreamFailed(1, ERROR), FetchStatus(7))


def test_a_contradiction_is_reported() -> None:
    at = scene(truth=ENDED)
    at.witness.waits.clear()
    at.look(JobSucceeded())
    at.look(JobFailed(), Report(Notice.CONTRADICTION, "x"))
    at.look(JobSucceeded())
    at.look(JobFailed(3))
    with pytest.raises(AssertionError, match="a contradiction was not reported"):
        at.look(JobCancelled())


# ---- waits and wishes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "command", "rule"),
    [
        (JobQueued(), EndWait(1), "a wait ended without a reason"),
        (JobQueued(), EndWait(4), "a wait ended without a reason"),
        (JobQueued(), EndWait(1, REFUSAL), "a wait ended with a refusal, and there was none"),
        (JobQueued(), EndWait(2, ERROR), "a wait ended with an error, and there was none"),
        (
            RequestFailed(3, ERROR),
            EndWait(2, OTHER),
            "a wait ended with another error than there was",
        ),
        (
            RequestFailed(3, ERROR, True),
            EndWait(2, ERROR),
            "a wait ended with a failure that may pass",
        ),
        (
            UnknownStatusReported("Pondering", 3),
            EndWait(2, ERROR),
            "a wait ended with another error",
        ),
        (JobQueued(3), None, "the service answered, and somebody waits for that"),
        (CancelAccepted(4), None, "a cancel was accepted, and somebody waits for that"),
        (JobSucceeded(), None, "the job has ended, and somebody waits for that"),
        (RequestFailed(3, ERROR), None, "the state cannot be had, and somebody waits on"),
        (
            UnknownStatusReported("Pondering", 3),
            None,
            "the state cannot be had, and somebody waits on",
        ),
        (
            SubscriptionCancelled(1),
            None,
            "nobody wants the messages, and the subscription goes on",
        ),
    ],
)
def test_a_wait_ends_for_its_reason_and_then(
    event: Event, command: EndWait | None, rule: str
) -> None:
    at = scene(truth=ENDED if isinstance(event, JobSucceeded) else RUNS)
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        at.look(event, *([] if command is None else [command]))


def test_an_answer_to_an_older_question_is_none() -> None:
    at = scene()
    at.look(WaitStarted(5, Need.STATUS))
    at.look(WaitEnded(1))
    at.look(JobQueued(3))  # it was sent before wait 5 began
    assert set(at.witness.waits) == {2, 3, 4, 5}


def test_a_cancel_that_was_refused_ends_with_the_refusal() -> None:
    at = scene()
    at.look(CancelRequested(5))
    at.look(WaitEnded(1))
    at.look(CancelRefused(4))
    at.look(JobQueued(3), EndWait(4, REFUSAL), EndWait(5, REFUSAL))
    assert set(at.witness.waits) == {2, 3}


@pytest.mark.parametrize(
    ("event", "is_legal"),
    [
        (CancelRequested(9), True),
        (CancelRequested(1), False),
        (WaitStarted(9, Need.FINAL), True),
        (WaitStarted(1, Need.FINAL), False),
        (SubscriptionRequested(2), False),
        (ReplayRequested(2), False),
        (ReleaseRequested(), True),
    ],
)
def test_only_what_is_not_legal_may_be_refused(event: Event, is_legal: bool) -> None:
    at = scene()
    if is_legal:
        with pytest.raises(AssertionError, match="a wish was refused that is legal"):
            at.witness.check_refusal(event, at.ledger)
    else:
        at.witness.check_refusal(event, at.ledger)


# ---- messages ----------------------------------------------------------------------------------


def messages(traits: ServiceTraits, truth: Truth = RUNS) -> MessageWitness:
    """A subscription that was handed the first message, on a connection that is open."""
    witness = MessageWitness(traits)
    witness.note(SubscriptionRequested(1))
    ledger = Ledger(connection=1, connected=True, subscription=1)
    read = InterimReceived(1, ("a",))
    witness.foresee(read, ledger, truth)
    witness.check(Deliver(1, 0, ("a",)), read, truth)
    return witness


TICK = TimerFired(POLL, 1)


@pytest.mark.parametrize(
    ("traits", "command", "rule"),
    [
        (OFFSET, Deliver(1, 1, ("c",)), "other messages than the service published"),
        (OFFSET, Deliver(1, 1, ("a",)), "other messages than the service published"),
        (OFFSET, DeliverGap(1, 1), "a gap where the service keeps all messages"),
        (OFFSET, EndSubscription(1), "a stream ended before its end"),
        (LIVE, EndSubscription(1), "a stream ended before its end"),
        (LIVE, Deliver(1, 1, ("b",)), "another message than the connection carried"),
        (
            OFFSET_RESULT,
            Deliver(1, 1, ("b", "c", "r")),
            "the result was shown as an interim message",
        ),
    ],
)
def test_what_a_subscriber_may_not_get_is_found(
    traits: ServiceTraits, command: DeliveryCommand, rule: str
) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        messages(traits).check(command, StreamClosed(1), ENDED)


@pytest.mark.parametrize(
    ("carried", "rule"),
    [
        ("a", "a message that comes again, or was never published"),
        ("c", "messages were lost in silence"),
    ],
)
def test_what_a_live_connection_carried_is_held_to_the_truth(carried: str, rule: str) -> None:
    witness = messages(LIVE)
    read = InterimReceived(1, (carried,))
    witness.foresee(read, Ledger(connection=1, connected=True, subscription=1), RUNS)
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        witness.check(Deliver(1, 1, (carried,)), read, RUNS)


def test_after_a_gap_messages_may_be_missing() -> None:
    witness = messages(LIVE)
    read = InterimReceived(1, ("c",))
    witness.foresee(read, Ledger(connection=1, connected=True, subscription=1), RUNS)
    witness.check(DeliverGap(1, 1), read, RUNS)
    witness.check(Deliver(1, 1, ("c",)), read, RUNS)
    witness.check(EndSubscription(1), StreamClosed(1), ENDED)


def test_what_was_carried_is_delivered_but_for_the_result() -> None:
    ledger = Ledger(connection=1, connected=True, subscription=1)
    witness = messages(LIVE_RESULT)
    witness.foresee(InterimReceived(1, ("b", "c")), ledger, ENDED)
    with pytest.raises(AssertionError, match="messages were carried, and not delivered"):
        witness.check(EndSubscription(1), StreamClosed(1), ENDED)
    witness.check(Deliver(1, 1, ("b", "c")), TICK, ENDED)
    witness.foresee(InterimReceived(1, ("r",)), ledger, ENDED)
    witness.check(EndSubscription(1), StreamClosed(1), ENDED)


def test_what_another_connection_carries_and_nobody_wants_does_not_count() -> None:
    witness = messages(LIVE)
    read = InterimReceived(1, ("b",))
    witness.foresee(read, Ledger(connection=2, connected=True, subscription=1), RUNS)
    witness.foresee(read, Ledger(connection=1, connected=True), RUNS)
    assert not witness.carried


def test_where_the_result_cannot_be_had_it_may_be_shown() -> None:
    witness = messages(OFFSET_RESULT)
    witness.check(Deliver(1, 1, ("b", "c", "r")), RequestFailed(9, ERROR), ENDED)
    witness.check(EndSubscription(1), RequestFailed(9, ERROR), ENDED)


def test_who_wants_no_more_or_was_told_of_an_error_gets_no_more() -> None:
    witness = messages(OFFSET)
    witness.check(EndSubscription(1, ERROR), TICK, RUNS)
    witness.note(SubscriptionCancelled(1))
    witness.check(EndSubscription(1), TICK, RUNS)


def test_a_stream_that_stays_silent_is_the_one_excuse_for_a_gap() -> None:
    witness = messages(OFFSET)
    witness.check(DeliverGap(1, 1), TICK, ENDED)
    witness.check(EndSubscription(1), TICK, ENDED)


def test_nobody_could_know_that_an_orderly_close_was_not_the_end() -> None:
    witness, ledger = messages(LIVE), Ledger(connection=1, connected=True, subscription=1)
    witness.foresee(StreamClosed(2), ledger, RUNS)
    witness.foresee(StreamClosed(1, 1011), ledger, RUNS)
    witness.foresee(StreamClosed(1), ledger, ENDED)
    assert not witness.is_excused
    witness.foresee(StreamClosed(1), ledger, RUNS)
    assert witness.is_excused


def test_a_subscriber_hears_of_a_live_connection_that_was_lost() -> None:
    at = scene(LIVE)
    at.look(StreamOpened(1))
    at.look(StreamFailed(1, ERROR))
    at.look(StreamOpened(1), DeliverGap(1, 0))
    with pytest.raises(AssertionError, match="what may have been missed is no gap"):
        at.look(StreamOpened(1))
    at.ledger.subscription = 0
    at.look(StreamOpened(1))
