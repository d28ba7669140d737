"""Everything that can happen to a job, as hypothesis wants it: subclass `JobRules`, and run it."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import SearchStrategy

from runtime_core.commands import FetchStatus
from runtime_core.errors import TransportError
from runtime_core.events import (
    CancelAccepted,
    CancelRequested,
    Event,
    FailureReceived,
    InterimReceived,
    JobSucceeded,
    Need,
    ReleaseRequested,
    ReplayRequested,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.states import JobState
from runtime_core.testing.alphabet import LATE_EVENTS
from runtime_core.testing.fake_job import EVENT_OF
from runtime_core.testing.job_world import JobWorld
from runtime_core.testing.strategies import honest_services
from runtime_core.traits import ServiceTraits

T = TypeVar("T")

_PICKS = st.integers(0, 59)  # which of several; most of their numbers divide 60
_ENDINGS = (JobState.DONE, JobState.ERROR, JobState.CANCELLED)
_LOST = TransportError("the connection was lost", retryable=True)


class JobRules(JobWorld, RuleBasedStateMachine):
    """Everything that can happen to one job, in any order, with every rule of the design checked.

    A caller wishes, a service moves on, requests are carried out (by `transport.perform`), fail, or
    are answered late, streams break, timers fire. After each step the machine is held to the rules
    of the `Ledger` and of the `Witness`; at the end everything works, and then everybody who waits
    must get an answer.

    As it is, it tests `JobMachine` against a `FakeTransport`:

        TestTheMachine = JobRules.TestCase

    To test something of yours, subclass it and run the `TestCase` of that:

    - another machine: `make_machine`;
    - another transport, with a service behind it: `services` (of its kind alone),
      `make_transport`, how the service is moved (`start_job`, `requeue_job`, `publish`,
      `finish_job`, `fail_job`, `cancel_job`) and looked at (`truth`), and, if it has streams,
      `read`.

    How often and how long is for hypothesis to say: ``TestCase.settings``.
    """

    services: SearchStrategy[ServiceTraits] = honest_services()
    """The kinds of services. They may not take an unknown word for an end, which is a lie."""

    @initialize(
        traits=st.runner().flatmap(lambda rules: rules.services),
        begins=st.sampled_from(["queued", "running", "streamed", "streamed"]),
        steps=st.integers(0, 8),
        breaks_at_last=st.booleans(),
    )
    def submit(
        self, traits: ServiceTraits, begins: str, steps: int, breaks_at_last: bool = False
    ) -> None:
        """A job was submitted; perhaps it runs already, and is streamed, and went well so far.

        At the end, before everything works, the connection breaks once more, or it does not.
        """
        self.begin(traits)
        self._breaks_at_last = breaks_at_last
        if begins != "queued":
            self.start_job()
            self._publish(1)
        if begins == "streamed":
            self.tell(SubscriptionRequested(1))
        self.all_goes_well(steps)

    def teardown(self) -> None:
        """From now on everything works."""
        if not hasattr(self, "machine") or self.is_broken:
            return
        if self._breaks_at_last and self.ledger.connection:
            self.the_connection_breaks(1)
            self.all_goes_well(3)
            if self.truth().state is JobState.RUNNING:
                self._publish(1)
        self.come_to_rest()

    # ---- the caller ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.ledger.waits) < 3)
    @rule(need=st.sampled_from(Need), wait=st.sampled_from([5.0, 0.5, -1.0]))
    def somebody_waits(self, need: Need, wait: float) -> None:
        """Somebody waits."""
        self.tell(WaitStarted(self.ledger.last_wait + 1, need, wait))

    @precondition(lambda self: self.ledger.waits)
    @rule(pick=_PICKS)
    def somebody_gives_up(self, pick: int) -> None:
        """A deadline passed, or there was a Ctrl-C."""
        self.tell(WaitEnded(_pick(list(self.ledger.waits), pick)))

    @precondition(lambda self: not (self.machine.state.is_final and self.ledger.waits))
    @rule()
    def somebody_cancels(self) -> None:
        """Somebody wants the job cancelled."""
        self.tell(CancelRequested(self.ledger.last_wait + 1))

    @rule(kind=st.sampled_from([SubscriptionRequested, ReplayRequested]), pick=_PICKS)
    def somebody_streams(
        self, kind: type[SubscriptionRequested | ReplayRequested], pick: int
    ) -> None:
        """Somebody wants the interim results, from the first or from a later one on."""
        cursors = [0, 0, 0, *range(1, len(self.truth().published) + 1)]
        self.tell(kind(self.ledger.last_subscription + 1, _pick(cursors, pick)))

    @precondition(lambda self: self.ledger.last_subscription)
    @rule()
    def somebody_streams_no_more(self) -> None:
        """The subscriber wants no more."""
        self.tell(SubscriptionCancelled(self.ledger.last_subscription))

    @precondition(lambda self: self.machine.result_text is not None)
    @rule()
    def somebody_releases_the_result(self) -> None:
        """Somebody wants the memory back."""
        self.tell(ReleaseRequested())

    # ---- the service ---------------------------------------------------------------------------

    @precondition(lambda self: self.truth().state is JobState.QUEUED)
    @rule()
    def the_job_starts(self) -> None:
        """The service runs the job."""
        self.start_job()

    @precondition(
        lambda self: self.machine.traits.requeues and self.truth().state is JobState.RUNNING
    )
    @rule()
    def the_job_is_requeued(self) -> None:
        """The service puts the job back."""
        self.requeue_job()

    @precondition(lambda self: self.truth().state is JobState.RUNNING)
    @rule(count=st.integers(1, 3))
    def the_job_publishes(self, count: int) -> None:
        """The job publishes some more messages."""
        self._publish(count)

    def _publish(self, count: int) -> None:
        for _ in range(count):
            self.publish(f"message {len(self.truth().published)}")

    @precondition(lambda self: not self.truth().state.is_final)
    @rule(ending=st.sampled_from(_ENDINGS), like_a_message=st.booleans())
    def the_job_ends(self, ending: JobState, like_a_message: bool) -> None:
        """The job ends, perhaps with a result that reads like its last message."""
        published = self.truth().published
        match ending:
            case JobState.DONE:
                self.finish_job(published[-1] if published and like_a_message else "result")
            case JobState.ERROR:
                self.fail_job("reason")
            case _:
                self.cancel_job()

    @rule(pick=_PICKS)
    def the_service_says_something(self, pick: int) -> None:
        """Unasked, the service says what is so; or a word that nobody knows, also as an answer."""
        words: list[Event] = [EVENT_OF[self.truth().state](), UnknownStatusReported("Pondering")]
        asked = [n for n, command in self.requests.items() if isinstance(command, FetchStatus)]
        words += [UnknownStatusReported("Pondering", number) for number in asked]
        said = _pick(words, pick)
        if isinstance(said, UnknownStatusReported) and said.request is not None:
            self.tell_reply(said.request, said)
        else:
            self.tell(said)

    @precondition(lambda self: self.machine.state.is_final)
    @rule()
    def the_service_contradicts_itself(self) -> None:
        """A job that has ended is said to be in each of the states, and stays as it is."""
        for kind in EVENT_OF.values():
            self.tell(kind())

    # ---- the network ---------------------------------------------------------------------------

    @rule(steps=st.integers(1, 6))
    def all_goes_well(self, steps: int) -> None:
        """For a while, requests are answered, streams are read, and timers fire."""
        for _ in range(steps):
            self.go_on()

    @precondition(lambda self: self.requests)
    @rule(pick=_PICKS)
    def a_request_is_answered(self, pick: int) -> None:
        """A request is carried out, if it was not before, and its reply arrives."""
        number = _pick(list(self.requests), pick)
        self.tell_reply(number, self.send(number))

    @precondition(lambda self: self.requests.keys() - self.replies.keys())
    @rule(pick=_PICKS)
    def a_request_arrives(self, pick: int) -> None:
        """A request is carried out; its reply takes its time."""
        self.send(_pick([n for n in self.requests if n not in self.replies], pick))

    @precondition(lambda self: self.requests)
    @rule(
        pick=_PICKS,
        arrives=st.booleans(),
        retryable=st.booleans(),
        after=st.sampled_from([None, None, 0.0, 2.0, 1e6]),
    )
    def a_request_fails(
        self, pick: int, arrives: bool, retryable: bool, after: float | None
    ) -> None:
        """A request fails, perhaps after it was carried out."""
        number = _pick(list(self.requests), pick)
        if arrives:
            self.send(number)
        self.tell_reply(number, RequestFailed(number, _LOST, retryable, after))

    @precondition(lambda self: self.ledger.connection)
    @rule(count=st.integers(1, 3))
    def something_is_read(self, count: int) -> None:
        """The connection tells something, if there is anything."""
        event = self.next_stream_event()
        if event is not None:
            self.tell_stream(event, count)

    @precondition(lambda self: self.ledger.connection)
    @rule(missed=st.integers(0, 2))
    def the_connection_breaks(self, missed: int) -> None:
        """The connection cannot be made, or breaks, perhaps while the job publishes something."""
        self.tell_stream(StreamFailed(self.ledger.connection, _LOST))
        if self.truth().state is JobState.RUNNING:
            self._publish(missed)

    @precondition(lambda self: self.ledger.connection and not self.ledger.connected)
    @rule()
    def the_connection_is_refused(self) -> None:
        """The service does not stream this job now."""
        self.tell_stream(StreamNotReady(self.ledger.connection))

    @precondition(lambda self: self.ledger.connected and not self.unread)
    @rule(code=st.sampled_from([1000, 1001, 1011]))
    def the_connection_is_closed(self, code: int) -> None:
        """The service closes the connection early; with 1000 only if the job goes on."""
        is_honest = code != 1000 or not self.truth().state.is_final
        self.tell_stream(StreamClosed(self.ledger.connection, code if is_honest else 1001))

    # ---- the time, and what comes too late -----------------------------------------------------

    @precondition(lambda self: self.ledger.timers)
    @rule(pick=_PICKS)
    def a_timer_fires(self, pick: int) -> None:
        """A delay has passed."""
        self.tell(TimerFired(*_pick(list(self.ledger.timers.items()), pick)))

    @invariant()
    def what_comes_too_late_is_absorbed(self) -> None:
        """Events of requests, connections and timers of long ago change nothing."""
        self.tell_late(*self._late_events(), *LATE_EVENTS)

    def _late_events(self) -> list[Event]:
        late: list[Event] = []
        if self.answered:
            number = self.answered[-1]
            late += [JobSucceeded(number), ResultReceived(number, "late")]
            late += [CancelAccepted(number), FailureReceived(number, "late")]
            late.append(RequestFailed(number, _LOST))
        number = self.ledger.connections - bool(self.ledger.connection)
        if number > 0:
            late += [StreamOpened(number), InterimReceived(number, ("late",))]
            late += [StreamClosed(number), StreamFailed(number, _LOST)]
        late += [
            fired for fired in self.timers[-2:] if self.ledger.timers.get(fired.name) != fired.id
        ]
        return late


def _pick(things: list[T], pick: int) -> T:
    return things[pick % len(things)]
