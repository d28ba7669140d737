"""Long random walks: a service in any mood, and an honest one behind a network that is not."""

from __future__ import annotations

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import ERROR

from runtime_core.commands import (
    Command,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    Notice,
    OpenStream,
    Report,
    SendCancel,
)
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    CancelRequested,
    Event,
    FailureReceived,
    InterimReceived,
    JobQueued,
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
    TimerName,
    WaitEnded,
    WaitStarted,
)
from runtime_core.lifecycle import STATED
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.testing import Ledger, RequestKind, events, lifecycles, service_traits, step
from runtime_core.traits import Resume, ServiceTraits

FRUGAL = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@FRUGAL
@given(service_traits(), st.data())
def test_a_service_in_any_mood(traits: ServiceTraits, data: st.DataObject) -> None:
    machine, twin, ledger = JobMachine("j1", traits), JobMachine("j1", traits), Ledger()
    for _ in range(data.draw(st.integers(0, 40))):
        event = data.draw(events(ledger))
        commands = step(machine, ledger, event)
        if commands is not None:  # a refused event was none: the twin never heard of it
            assert repr(twin.receive(event)) == repr(commands)


@FRUGAL
@given(lifecycles())
def test_what_is_told_is_known_and_costs_nothing(told: tuple[Event, ...]) -> None:
    machine, ledger = JobMachine("j1"), Ledger()
    for event in told:
        commands = step(machine, ledger, event)
        assert commands == ()
    assert machine.confirmed
    assert machine.state.is_final


# ---- an honest service, and what can be expected of it ------------------------------------------

EVENT_OF = {state: kind for kind, state in STATED.items()}
ENDINGS = (JobState.DONE, JobState.ERROR, JobState.CANCELLED)


@attrs.define
class World:
    """A job as its service knows it, the network in between, and a caller."""

    machine: JobMachine
    ledger: Ledger = attrs.Factory(Ledger)
    truth: JobState = JobState.QUEUED
    told: JobState = JobState.QUEUED
    """What the service has said unasked."""
    asked_at: dict[int, JobState] = attrs.Factory(dict)
    """The truth when each status request was sent: the oldest that its answer may tell."""
    published: list[str] = attrs.Factory(list)
    result: str = "r"
    sent: int = 0
    """How far the present connection has come in the stream."""
    under_way: list[int] = attrs.Factory(list)
    """Which messages were handed to the machine for the subscription and not delivered yet."""
    last: int | None = None
    """The last message delivered to the subscription, None where it is not known yet."""
    excused: bool = False
    """Whether something may be missing from here on: a gap was told, or nobody could know."""
    cancelled: bool = False
    """Whether the subscription was ended by the caller."""

    # ---- what may happen next ------------------------------------------------------------------

    @property
    def traits(self) -> ServiceTraits:
        return self.machine.traits

    @property
    def stream(self) -> list[str]:
        """Everything that the service sends, in order."""
        shows_result = self.traits.streams_result and self.truth is JobState.DONE
        return [*self.published, self.result] if shows_result else self.published

    def choices(self) -> list[Event | JobState | str]:
        """Events for the machine; a state or a text is something that happens at the service."""
        return [
            *self.at_the_service(),
            *(
                e
                for number, kind in self.ledger.requests.items()
                for e in self.replies(number, kind)
            ),
            *self.of_the_connection(),
            *(TimerFired(name, number) for name, number in self.ledger.timers.items()),
            *self.wishes(),
        ]

    def at_the_service(self) -> list[Event | JobState | str]:
        happens: list[Event | JobState | str] = []
        if not self.truth.is_final:
            happens += [JobState.RUNNING, *ENDINGS]
        if self.truth is JobState.RUNNING:
            happens += ["m", "n", "r"]
        if self.told is not self.truth:
            happens.append(EVENT_OF[self.truth]())
        return happens

    def replies(self, number: int, kind: RequestKind) -> list[Event]:
        failed: list[Event] = [
            RequestFailed(number, ERROR),
            RequestFailed(number, ERROR, retryable=True),
            RequestFailed(number, ERROR, retryable=True, retry_after=2.0),
        ]
        return [self.answer(number, kind), *failed]

    def answer(self, number: int, kind: RequestKind) -> Event:
        if kind is FetchStatus:
            # Slow answers are as good as quick ones where they say the same.
            old = self.asked_at.pop(number, self.truth)
            return EVENT_OF[old](number)
        if kind is FetchResult:
            return ResultReceived(number, self.result)
        if kind is FetchFailure:
            return FailureReceived(number, "why")
        assert kind is SendCancel
        return CancelRefused(number) if self.truth.is_final else CancelAccepted(number)

    def of_the_connection(self) -> list[Event]:
        number = self.ledger.connection
        if not number:
            return []
        failed = StreamFailed(number, ERROR)
        if not self.ledger.connected:
            ready: Event = StreamOpened(number)
            return [ready, failed, *([StreamNotReady(number)] * (self.truth is JobState.QUEUED))]
        rest = tuple(self.stream[self.sent :])
        reads: list[Event] = [InterimReceived(number, rest[:n]) for n in range(1, len(rest) + 1)]
        # An honest service closes with 1000 when all is said, or long before the end.
        close = [StreamClosed(number)] * (not rest or not self.truth.is_final)
        return [*reads, *close, failed, StreamClosed(number, 1011)]

    def wishes(self) -> list[Event]:
        wait, subscription = self.ledger.last_wait + 1, self.ledger.last_subscription + 1
        wished: list[Event] = [WaitEnded(number) for number in self.ledger.waits]
        if len(wished) < 3:
            wished += [WaitStarted(wait, need) for need in Need]
            wished.append(CancelRequested(wait))
        if self.ledger.subscription:
            wished.append(SubscriptionCancelled(self.ledger.subscription))
        else:
            wished += [SubscriptionRequested(subscription), ReplayRequested(subscription)]
            had = len(self.published)
            wished.append(SubscriptionRequested(subscription, (had + 1) // 2))
            wished.append(ReplayRequested(subscription, had))
        return [*wished, ReleaseRequested()]

    # ---- and what it means ---------------------------------------------------------------------

    def happen(self, choice: Event | JobState | str) -> None:
        if isinstance(choice, str):
            self.published.append(choice)
        elif isinstance(choice, JobState):
            self.truth = choice
        else:
            self.tell(choice)

    def tell(self, event: Event) -> None:
        before = len(self.under_way)
        self.enter(event)
        commands = step(self.machine, self.ledger, event)
        if commands is None:
            del self.under_way[before:]
            return
        if isinstance(event, SubscriptionRequested | ReplayRequested):
            if self.traits.keeps_interim:
                self.last = event.after - 1
            else:
                # On an open connection it starts where that stands.
                self.last = self.sent - 1 if self.ledger.connected else None
            self.under_way.clear()
            self.excused = self.cancelled = False
        for command in commands:
            self.see(command)
        state = self.machine.state
        assert not state.is_final or state is self.truth, "an ending that never was"

    def enter(self, event: Event) -> None:
        """Note what the machine is about to be told."""
        match event:
            case InterimReceived(messages=messages):
                reading = range(self.sent, self.sent + len(messages))
                self.sent = reading.stop
                if self.ledger.subscription:
                    known = self.under_way[-1] if self.under_way else self.last
                    self.under_way += [n for n in reading if known is None or n > known]
            case StreamOpened() if self.traits.resume is Resume.LIVE:
                self.sent = len(self.stream)
            case StreamClosed(code=1000) if not self.truth.is_final:
                # If the job ends before it is asked for, nobody can know that it was not the end.
                self.excused |= self.traits.resume is Resume.LIVE
            case SubscriptionCancelled():
                self.cancelled = True
            case _:
                if type(event) in STATED and getattr(event, "request", None) is None:
                    self.told = STATED[type(event)]  # type: ignore[index]

    def see(self, command: Command) -> None:
        match command:
            case FetchStatus(request=number):
                self.asked_at[number] = self.truth
            case OpenStream(after=after):
                self.sent = after if self.traits.resume is Resume.OFFSET else 0
            case Deliver(messages=messages):
                for text in messages:
                    number = self.under_way.pop(0)
                    assert text == self.stream[number], "another message than was sent"
                    self.check_from(number)
                    self.last, self.excused = number, False
            case DeliverGap():
                self.excused = True
            case EndSubscription(error=None) if not self.cancelled:
                # Where the result cannot be had, the last message is shown though it may be it.
                shown = 0 if self.last is None else self.last + 1
                self.check_from(max(shown, len(self.published)))
            case Report(notice=notice):
                assert notice is Notice.RETRY
            case _:
                pass

    def check_from(self, number: int) -> None:
        """All messages before this one were delivered, or the subscriber knows of a gap."""
        if self.traits.keeps_interim:
            assert number == (-1 if self.last is None else self.last) + 1 or self.excused
        elif self.last is not None:
            assert number <= self.last + 1 or self.excused, "lost in silence"

    # ---- the end -------------------------------------------------------------------------------

    def come_to_an_end(self) -> None:
        """From now on everything works: then everybody who waits gets an answer."""
        if not self.truth.is_final:
            self.truth = JobState.DONE
        for _ in range(60):
            event = self.next_good_thing()
            if event is None:
                break
            self.tell(event)
        assert self.ledger == attrs.evolve(
            self.ledger, requests={}, timers={}, connection=0, waits={}, subscription=0
        ), "it does not come to rest"

    def next_good_thing(self) -> Event | None:
        for number, kind in self.ledger.requests.items():
            self.asked_at[number] = self.truth
            return self.answer(number, kind)
        number = self.ledger.connection
        if number and not self.ledger.connected:
            return StreamOpened(number)
        if number:
            rest = tuple(self.stream[self.sent :])
            return InterimReceived(number, rest) if rest else StreamClosed(number)
        for name in TimerName:
            if name in self.ledger.timers:
                return TimerFired(name, self.ledger.timers[name])
        return None


def honest(pushes: bool, resume: Resume, streams_result: bool) -> ServiceTraits:
    return ServiceTraits(pushes=pushes, resume=resume, streams_result=streams_result)


@settings(FRUGAL, max_examples=600)
@given(
    st.builds(honest, st.booleans() | st.just(True), st.sampled_from(Resume), st.booleans()),
    # Hypothesis makes lists short where it may.
    st.lists(st.integers(0, 5039), max_size=60) | st.lists(st.integers(0, 5039), min_size=40),
)
def test_an_honest_service_behind_a_bad_network(traits: ServiceTraits, picks: list[int]) -> None:
    world = World(JobMachine("j1", traits))
    world.tell(JobQueued())
    for pick in picks:
        choices = world.choices()
        world.happen(choices[pick % len(choices)])
    world.come_to_an_end()


def test_every_wait_ends_with_an_answer() -> None:
    world = World(JobMachine("j1"))
    for number, need in enumerate(Need, start=1):
        world.tell(WaitStarted(number, need))
    world.come_to_an_end()
    assert world.machine.result_text == "r"
    assert step(world.machine, world.ledger, WaitStarted(9, Need.RESULT)) == (EndWait(9),)
