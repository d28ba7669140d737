"""One job's machine, its service, and what is under way between them: what `JobRules` acts on."""

from __future__ import annotations

from typing import Protocol

from runtime_core.commands import (
    CloseStream,
    Command,
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
    StartTimer,
)
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    Event,
    FailureReceived,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    StreamEvent,
    StreamOpened,
    TimerFired,
    UnknownStatusReported,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.testing.fake_job import FakeJob
from runtime_core.testing.fake_stream import FakeStream
from runtime_core.testing.fake_transport import FakeTransport
from runtime_core.testing.ledger import Ledger, require, step
from runtime_core.testing.message_witness import MessageWitness
from runtime_core.testing.snapshots import copy_of, snapshot
from runtime_core.testing.truth import Truth
from runtime_core.testing.witness import Witness
from runtime_core.traits import ServiceTraits

LAST_RESULT = "the last result"
"""The result of a job that has not ended when the rules have."""

LAST_STEPS = 300
"""How many steps it may take, when everything works again, until nobody waits any more."""


class RulesTransport(Protocol):
    """What the rules need of a transport: see `adapters.Transport`."""

    @property
    def traits(self) -> ServiceTraits:
        """The kind of service."""
        ...

    def perform(self, job_id: str, command: RequestCommand, /) -> ReplyEvent:
        """Do one request."""
        ...

    def stream(self, job_id: str, command: OpenStream, /) -> object:
        """Open a stream."""
        ...


class JobWorld:
    """A machine under test, its service, and the network between them.

    `tell` makes one step and checks everything; the hooks are what a subclass puts in the place
    of ours, which is a `FakeTransport`.
    """

    job_id: str = "j1"
    """The job."""
    transport: RulesTransport
    """What the machine's requests are carried out by."""
    machine: JobMachine
    """The machine under test."""
    ledger: Ledger
    """What is under way on its behalf."""
    witness: Witness
    """What must be so."""

    # ---- hooks: what a subclass may put in the place of ours -----------------------------------

    def make_machine(self, traits: ServiceTraits) -> JobMachine:
        """Make the machine under test."""
        return JobMachine(self.job_id, traits)

    def make_transport(self, traits: ServiceTraits) -> RulesTransport:
        """Make the transport, with a job at its service that is queued."""
        return FakeTransport(traits=traits)

    def start_job(self) -> None:
        """Have the service run the job."""
        self._fake_job.start()

    def requeue_job(self) -> None:
        """Have the service put the running job back into its queue, where it does such things."""
        self._fake_job.requeue()

    def publish(self, text: str) -> None:
        """Have the job publish a message; no two are equal."""
        self._fake_job.publish(text)

    def finish_job(self, result: str) -> None:
        """Have the job end with this result."""
        self._fake_job.finish(result)

    def fail_job(self, reason: str) -> None:
        """Have the job fail."""
        self._fake_job.fail(reason)

    def cancel_job(self) -> None:
        """Have the job end cancelled: the service obeys, or somebody else has cancelled it."""
        self._fake_job.cancel()

    def truth(self) -> Truth:
        """Look what is so at the service, without asking by the transport."""
        job = self._fake_job
        result = job.result if job.state is JobState.DONE else None
        return Truth(job.state, tuple(job.published), result)

    def read(self, stream: object) -> StreamEvent | None:
        """Give the next event of a stream; None if there is none yet. Does not block for long."""
        if not isinstance(stream, FakeStream):
            raise NotImplementedError(f"{type(self).__name__}.read must read {stream!r}")
        return stream.poll()

    @property
    def _fake_job(self) -> FakeJob:
        if not isinstance(self.transport, FakeTransport):
            what = f"{type(self).__name__} must say how its service is moved and looked at"
            raise NotImplementedError(what)
        return self.transport.job(self.job_id)

    # ---- the beginning -------------------------------------------------------------------------

    def begin(self, traits: ServiceTraits) -> None:
        """Submit a job to a service of this kind; what the transport says of its kind rules."""
        self.transport = self.make_transport(traits)
        self.machine = self.make_machine(self.transport.traits)
        self.ledger = Ledger()
        self.witness = Witness(self.machine.traits, MessageWitness(self.machine.traits))
        self.requests: dict[int, RequestCommand] = {}
        self.replies: dict[int, ReplyEvent] = {}
        self.answered: list[int] = []
        self.timers: list[TimerFired] = []
        self.unread: tuple[str, ...] = ()
        self.is_broken = False
        self._stream: object = None
        if isinstance(self.transport, FakeTransport):
            self._fake_job.obeys_cancel = False  # `cancel_job` does it, later or never

    # ---- one step ------------------------------------------------------------------------------

    def tell(self, event: Event) -> tuple[Command, ...] | None:
        """Tell the machine something and check everything; None if it refused.

        Raises:
            AssertionError: if a rule is broken.
        """
        self.is_broken = True  # until it is through
        before, truth = snapshot(self.machine), self.truth()
        self.witness.foresee(event, self.ledger, truth)
        commands = step(self.machine, self.ledger, event)
        if commands is None:
            self.witness.check_refusal(event, self.ledger)
            require(snapshot(self.machine) == before, "a refused wish changed something")
        else:
            self.witness.check(event, commands, self.machine, self.ledger, truth)
            self._order(commands)
        self.is_broken = False
        return commands

    def tell_late(self, *events: Event) -> None:
        """Tell the machine what is no longer current, which must change nothing.

        Raises:
            AssertionError: if it does.
        """
        self.is_broken = True
        before, twin = snapshot(self.machine), copy_of(self.machine)
        for event in events:
            if self.machine.receive(event) != ():
                raise AssertionError(f"{event!r}, a late event, led to something")
        if snapshot(self.machine) != before:
            changes = (event for event in events if twin.receive(event) or snapshot(twin) != before)
            raise AssertionError(f"{next(changes)!r}, a late event, changed something")
        self.is_broken = False

    def _order(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            if isinstance(command, RequestCommand):
                self.requests[command.request] = command
            elif isinstance(command, OpenStream):
                self._stream = self.transport.stream(self.job_id, command)
            elif isinstance(command, StartTimer):
                self.timers.append(TimerFired(command.name, command.id))
            elif isinstance(command, CloseStream):
                self.close_stream()

    # ---- the network ---------------------------------------------------------------------------

    def send(self, number: int) -> ReplyEvent:
        """Have a request carried out, once; what comes of it stays on its way until it is told.

        Raises:
            AssertionError: if the transport gives something that is no reply to it.
        """
        if number not in self.replies:
            command = self.requests[number]
            reply = self.transport.perform(self.job_id, command)
            fits = isinstance(reply, _REPLIES[type(command)]) and reply.request == number
            require(fits, f"{reply!r} is no reply to {command!r}")
            self.replies[number] = reply
        return self.replies[number]

    def tell_reply(self, number: int, reply: ReplyEvent) -> None:
        """Tell the machine what came of a request; whatever else is on its way is lost."""
        del self.requests[number]
        self.replies.pop(number, None)
        self.answered.append(number)
        self.tell(reply)

    def next_stream_event(self) -> StreamEvent | None:
        """Take the next event of the connection that is there; None if there is none yet."""
        if self.unread:
            return InterimReceived(self.ledger.connection, self.unread)
        return self.read(self._stream)

    def tell_stream(self, event: StreamEvent, count: int = 1_000_000) -> None:
        """Tell the machine an event of the connection, but of the messages only the first few."""
        if isinstance(event, InterimReceived):
            self.unread = event.messages[count:]
            event = InterimReceived(event.connection, event.messages[:count])
        elif not isinstance(event, StreamOpened):
            self.close_stream()
        self.tell(event)

    def close_stream(self) -> None:
        """Let go of the connection, and of what came by it and was not told."""
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()
        self._stream, self.unread = None, ()

    # ---- the end -------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """From now on everything works: then everybody who waits must get an answer.

        Raises:
            AssertionError: if somebody still waits, or something is still under way.
        """
        if not self.truth().state.is_final:
            self.finish_job(LAST_RESULT)
        self._rest()
        for _ in range(2):  # what is known by then is not asked for again
            self.tell(WaitStarted(self.ledger.last_wait + 1, Need.RESULT))
            self._rest()

    def _rest(self) -> None:
        for _ in range(LAST_STEPS):
            if not self.go_on():
                break
        ledger = self.ledger
        require(not ledger.has_interest, "the job has ended, all is well, and somebody waits")
        idle = not (ledger.timers or ledger.connection or ledger.requests)
        require(idle, "nobody is interested, and it does not come to rest")

    def go_on(self) -> bool:
        """Let happen what is next where everything works; False if nothing is under way."""
        for number in self.requests:
            self.tell_reply(number, self.send(number))
            return True
        if self.ledger.connection:
            event = self.next_stream_event()
            if event is not None:
                self.tell_stream(event)
                return True
        for name, number in self.ledger.timers.items():
            self.tell(TimerFired(name, number))
            return True
        return False


_STATUS = (JobQueued, JobStarted, JobSucceeded, JobFailed, JobCancelled, UnknownStatusReported)
_REPLIES: dict[type[RequestCommand], tuple[type[ReplyEvent], ...]] = {
    FetchStatus: (*_STATUS, RequestFailed),
    FetchResult: (ResultReceived, RequestFailed),
    FetchFailure: (FailureReceived, RequestFailed),
    SendCancel: (CancelAccepted, CancelRefused, RequestFailed),
}
