"""The client's side of a schedule, through the public `RuntimeJob` alone, and what it was told.

`ThreadClient` runs in the caller's thread; `faults_async` fills the same `Record` on an event loop,
and the same checks judge both.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import attrs
import urllib3
from faults_clock import FastReactor, monotonic, sleep
from faults_schedule import TOKEN, Flow, Kind, Schedule
from faults_service import job_id

from adapters import RuntimeClient, RuntimeJob, RuntimeWebsocketClient
from adapters.drivers.inbox import Gap
from runtime_core.errors import (
    JobTimeoutError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    ServiceError,
    TransportError,
    UnknownStatusError,
)
from runtime_core.states import JobState

WAIT = 5.0
"""The longest time between two polls."""

TRIES = 40
"""So many failures of one call in a row are none of the schedule's."""


_PATIENT = urllib3.Retry(total=100, backoff_factor=0.01, backoff_max=0.1)
"""The service may have been killed, and comes again."""


class Text:
    """A decoder that leaves a text as it is."""

    @classmethod
    def decode(cls, data: str) -> str:
        return data


@attrs.define(eq=False)
class Heard:
    """What one subscription was given."""

    is_first: bool = False
    """Whether the job had no connection before it."""
    is_replay: bool = False
    """Whether it began when the job had ended."""
    hears_gaps: bool = True
    """Whether it is told of gaps."""
    was_cancelled: bool = False
    """Whether it was ended by the client."""
    items: list[str | Gap] = attrs.field(factory=list)
    error: BaseException | None = None
    """Why it ended early."""


@attrs.define(eq=False)
class Record:
    """What a client was told of one job."""

    job_id: str = ""
    begun: float = 0.0
    doing: str = "nothing yet"
    """The call that it is in."""
    heard: list[Heard] = attrs.field(factory=list)
    raised: list[ServiceError] = attrs.field(factory=list)
    """What waits ended with that was no word about the job."""
    timeouts: int = 0
    interrupts: int = 0
    state: JobState | None = None
    """What `status()` says in the end."""
    text: str | None = None
    """The result, or the reason of the failure."""
    ended_at: float = 0.0
    """When the client knew."""
    wrongs: list[str] = attrs.field(factory=list)
    """What the client itself saw that should never be."""

    @property
    def now(self) -> float:
        """The seconds since the job was submitted."""
        return monotonic() - self.begun


class Place:
    """A service, and what is shared by all its jobs."""

    def __init__(self, port: int, read_timeout: float) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._read_timeout = read_timeout
        self._control = urllib3.PoolManager(maxsize=8)

    def ask(self, what: str, job: str) -> dict[str, list[dict[str, object]]]:
        """Ask the service what it has done to a job, or tell it to go on."""
        answer = self._control.request("GET", f"{self.url}/control/{what}/{job}", retries=_PATIENT)
        found: dict[str, list[dict[str, object]]] = json.loads(answer.data)
        return found

    def client(self) -> RuntimeClient:
        """Give a client of its own to each job: who shares one, shares its budget of requests."""
        return RuntimeClient(self.url, TOKEN, read_timeout=self._read_timeout)

    def close(self) -> None:
        """Close all connections."""
        self._control.clear()


class ThreadClient:
    """The synchronous API, in the caller's thread.

    Args:
        place: the service.
        reactor: where the jobs live.
        nowhere: a port at which nobody listens.
        arm: called with True before a call that Ctrl-C may end, and with False after it.
    """

    def __init__(
        self,
        place: Place,
        reactor: FastReactor,
        nowhere: int,
        arm: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._place = place
        self._reactor = reactor
        self._nowhere = nowhere
        self._arm = arm

    def run(self, plan: Schedule, record: Record) -> None:
        """Do what the schedule says of the client, and note what comes."""
        port = self._nowhere if plan.kind is Kind.NOWHERE else self._place.port
        streams = RuntimeWebsocketClient(
            f"http://127.0.0.1:{port}",
            TOKEN,
            resume=plan.resume.value,
            streams_result=plan.streams_result,
        )
        record.job_id, record.begun = job_id(plan), monotonic()
        first = Heard(is_first=True, hears_gaps=False)
        api = self._place.client()
        job = RuntimeJob(
            "b",
            api,
            streams,
            record.job_id,
            "p",
            user_callback=_into(first) if plan.flow is Flow.CONSTRUCTOR else None,
            result_decoder=Text,
            on_unknown_status=plan.on_unknown,
            reactor=self._reactor,
        )
        if plan.flow is Flow.CONSTRUCTOR:
            record.heard.append(first)
        with api, job:
            _Run(self._place, self._arm, plan, record, job).run()


@attrs.define(eq=False)
class _Run:
    place: Place
    arm: Callable[[bool], None]
    plan: Schedule
    record: Record
    job: RuntimeJob

    def run(self) -> None:
        plan, record = self.plan, self.record
        helper: threading.Thread | None = None
        match plan.flow:
            case Flow.CALLBACK | Flow.RESTREAM:
                self.stream(is_first=True)
            case Flow.ITERATOR if plan.kind is not Kind.HANGING:
                self.iterate()
            case Flow.LATE:
                helper = threading.Thread(target=self.wait_beside, daemon=True)
                helper.start()
                sleep(plan.moments[0])
                self.stream()
        if plan.kind is Kind.HANGING:
            self.hang()
        if plan.flow is Flow.RESTREAM:
            self.restream()
        if plan.kind is Kind.FORKED:
            self.fork()
        self.outcome()
        record.ended_at = record.now
        self.until_streamed()
        if plan.flow is Flow.LATE and helper is not None:
            with self.doing("join of the other thread"):
                helper.join()
        with self.doing("status()"):
            record.state = self.job.status()

    @contextmanager
    def doing(self, call: str) -> Iterator[None]:
        self.record.doing = f"{call}, begun at {self.record.now:.2f}"
        self.arm(True)
        try:
            yield
        finally:
            self.arm(False)

    # ---- streams -------------------------------------------------------------------------------

    def stream(self, *, is_first: bool = False) -> None:
        """Begin a subscription, unless the job has ended."""
        heard = Heard(is_first=is_first)
        self.record.heard.append(heard)
        try:
            on_gap = _gap_into(heard)
            self.job.stream_results(_into(heard), on_gap=on_gap)
        except RuntimeInvalidStateError:
            self.record.heard.remove(heard)

    def stream_again(self) -> None:
        """Begin another subscription, if a failure has ended the last one."""
        error = self.job.stream_error()
        if self.record.heard and error is not None and not self.record.heard[-1].is_replay:
            self.record.heard[-1].error = error
            self.stream()

    def restream(self) -> None:
        """Cancel a subscription at whatever moment, and begin another."""
        for moment in self.plan.moments[:2]:
            sleep(moment - self.record.now)
            self.note_error()
            if self.record.heard:
                self.record.heard[-1].was_cancelled = True
            self.job.cancel_result_streaming()
            self.stream()

    def iterate(self, *, is_replay: bool = False) -> None:
        """Take all interim results; nothing if the job has ended and they are gone."""
        for _ in range(TRIES):
            heard = Heard(is_first=not self.record.heard and not is_replay, is_replay=is_replay)
            try:
                items = self.job.interim_results()
            except RuntimeInvalidStateError:
                return
            self.record.heard.append(heard)
            while True:
                try:
                    with self.doing("interim_results"):
                        heard.items.append(next(items))
                except StopIteration:
                    return
                except KeyboardInterrupt:
                    self.record.interrupts += 1
                except ServiceError as error:
                    heard.error = error
                    break
            if self.plan.end_code != 1000 and len(heard.items) >= len(self.plan.published):
                return  # its service never closes in order
        if self.plan.kind is not Kind.NOWHERE:
            self.record.wrongs.append("the interim results can never be had")

    def until_streamed(self) -> None:
        """Wait for the end of the subscription; take all once more where they are kept."""
        self.record.doing = "waiting for the end of the subscription"
        while self.is_streaming():
            sleep(0.2)
        self.note_error()
        self.iterate(is_replay=True)

    def is_streaming(self) -> bool:
        """Whether a subscription of the job, which has ended, is not through its callback yet."""
        try:
            self.job.stream_results(lambda *_: None)
        except RuntimeInvalidStateError as refusal:
            return "cancel_result_streaming" in refusal.legal
        raise AssertionError("a job that has ended is streamed")

    def note_error(self) -> None:
        if self.record.heard:
            self.record.heard[-1].error = self.record.heard[-1].error or self.job.stream_error()

    # ---- the end of the job --------------------------------------------------------------------

    def outcome(self) -> None:
        """Wait for the end of the job until it is known, whatever comes in between."""
        record, timeouts = self.record, iter(self.plan.timeouts)
        for _ in range(TRIES):
            try:
                self.call(next(timeouts, None))
            except JobTimeoutError:
                record.timeouts += 1
            except (TransportError, UnknownStatusError) as error:
                record.raised.append(error)
                self.stream_again()
            except KeyboardInterrupt:
                record.interrupts += 1
            else:
                return
        record.wrongs.append("the end of the job can never be had")

    def call(self, timeout: float | None) -> None:
        if self.plan.flow is Flow.FINAL_STATE:
            with self.doing(f"wait_for_final_state({timeout})"):
                self.job.wait_for_final_state(timeout, WAIT)
        try:
            with self.doing(f"result({timeout})"):
                self.record.text = self.job.result(timeout, WAIT)
        except RuntimeJobFailureError as failure:
            self.record.text = failure.reason
        except RuntimeJobCancelledError:
            pass

    def hang(self) -> None:
        """A timeout passes while the service says nothing; only then it goes on."""
        timeout = (*self.plan.timeouts, 1.0)[0]
        for call in (self.job.result, self.job.wait_for_final_state):
            try:
                with self.doing(f"{call.__name__}({timeout}) of a service that hangs"):
                    call(timeout)
                self.record.wrongs.append(f"{call.__name__} knows what nobody has said")
            except JobTimeoutError:
                self.record.timeouts += 1
        self.place.ask("go", self.record.job_id)

    def wait_beside(self) -> None:
        """Another thread, which waits as well, whatever comes of it."""
        for _ in range(TRIES):
            with suppress(ServiceError):
                self.job.wait_for_final_state(None, WAIT)
                return

    # ---- fork ----------------------------------------------------------------------------------

    def fork(self) -> None:
        """Fork; the child follows the job too, and says by its exit code how that went."""
        sleep(self.plan.moments[0] - self.record.now)
        child = os.fork()
        if child:
            self.outcome()
            self.until_streamed()
            with self.doing("wait for the child"):
                _, status = os.waitpid(child, 0)
            if status:
                self.record.wrongs.append("the child of the fork failed: see above")
            return
        code = 1
        try:
            code = self.go_on_in_child()
        finally:
            os._exit(code)

    def go_on_in_child(self) -> int:
        from faults_checks import complain  # not a cycle: it judges what this has noted

        plan = attrs.evolve(self.plan, kind=Kind.PLAIN)
        record = Record(job_id=self.record.job_id, begun=self.record.begun)
        here = attrs.evolve(self, plan=plan, record=record)
        if plan.number % 100 == 49:
            here.stream()
        here.outcome()
        record.ended_at = record.now
        here.until_streamed()
        record.state = self.job.status()
        return int(complain(plan, record, self.place.ask("log", record.job_id)))


def _into(heard: Heard) -> Callable[[str, str], None]:
    return lambda _, text: heard.items.append(text)


def _gap_into(heard: Heard) -> Callable[[str, Gap], None]:
    return lambda _, gap: heard.items.append(gap)
