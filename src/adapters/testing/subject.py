"""The transport under test: how it is made, which jobs it is tried on, how it is asked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn, TypeAlias
from unittest import SkipTest

from adapters.drivers.reactor import Reactor, shared_reactor
from adapters.testing.connection import Connection
from adapters.transport import AnyStream, AsyncTransport, Transport
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
    JobCancelled,
    JobFailed,
    JobSucceeded,
    LifecycleEvent,
    ReplyEvent,
    ResultReceived,
    StreamNotReady,
    UnknownStatusReported,
)

Patience: TypeAlias = float | tuple[float, float] | None
"""For how many seconds a service asks for patience: exactly, between two bounds, or not at all."""

_CURE = (
    "end what a stream has begun when it is closed; a generator is closed only where it yields, "
    "so one that blocks is better an iterator with a close()"
)

AnyTransport: TypeAlias = Transport | AsyncTransport
"""What is tried: one that blocks, or one that is awaited."""

_ENDINGS = (JobSucceeded, JobFailed, JobCancelled)
_OURS = ("runtime-loop", "runtime-request", "runtime-callback")
"""What the threads are called that all jobs share, and that are not a transport's."""


class Subject:
    """A transport and the jobs that it is tried on: what `TransportConformance` asks for.

    `make_transport` and `job_that_succeeds` must be given; a rule is skipped if it needs another
    hook that is not. Each call of a hook of jobs makes a new job; it may put another transport in
    the place of `self.transport`, one that speaks with a server which misbehaves, for instance.
    """

    patience: float = 20.0
    """How many seconds the service may take for anything, at most. A job of a hook has to end by
    itself within them, unless it is one that hangs."""
    pause: float = 0.02
    """The seconds between two questions for the state of a job."""
    unknown_job: str = "no-such-job"
    """The id of a job that there is not."""

    # ---- hooks ---------------------------------------------------------------------------------

    def make_transport(self) -> AnyTransport:
        """Make the transport under test."""
        raise NotImplementedError("make_transport: return the transport under test")

    def job_that_succeeds(self) -> tuple[str, str]:
        """Start a job that ends well; give its id, and the text of its result.

        Blanks where nobody writes them, as in ``{"a":  1}``, find a transport that parses the text
        and writes it anew.
        """
        raise NotImplementedError("job_that_succeeds: return a job's id and its result's text")

    def job_that_fails(self) -> tuple[str, str]:
        """Start a job that fails; give its id, and a part of the reason that its service tells.

        The part may be empty, if the service does not tell.
        """
        raise SkipTest("there is no job_that_fails")

    def job_that_hangs(self) -> str:
        """Start a job that goes on until it is cancelled, and can be cancelled; give its id."""
        raise SkipTest("there is no job_that_hangs")

    def job_that_publishes(self) -> tuple[str, Sequence[str], str]:
        """Start a job that publishes and succeeds; give its id, what it publishes, its result.

        It publishes at least four different texts. Where the service is live only, it should wait
        for a moment before the first: until a stream is open.
        """
        raise SkipTest("there is no job_that_publishes")

    def job_with_unknown_word(self) -> tuple[str, str]:
        """Give the id of a job whose state is a word that the transport does not know, and it."""
        raise SkipTest("there is no job_with_unknown_word")

    def job_with_large_result(self) -> str:
        """Start a job that succeeds with a result above the transport's limit; give its id."""
        raise SkipTest("there is no job_with_large_result")

    def job_of_busy_service(self) -> tuple[str, Patience]:
        """Give the id of a job about which the next question is refused: too many requests.

        And for how many seconds the service asks for patience; None if it names none, the least and
        the most of them if it counts down.
        """
        raise SkipTest("there is no job_of_busy_service")

    def unreachable_transport(self) -> AnyTransport:
        """Make a transport to a service that is not there: nothing listens at its address."""
        raise SkipTest("there is no unreachable_transport")

    # ---- before and after each rule ------------------------------------------------------------

    def setup_method(self) -> None:
        """Make the transport."""
        self._numbers = iter(range(7, 1_000_000))
        self._connections: list[Connection] = []
        self._threads = set(threading.enumerate())
        self.transport = self.make_transport()

    def teardown_method(self) -> None:
        """Close what was opened."""
        for connection in self._connections:
            connection.close()
        self._close(self.transport)

    # ---- what the rules share ------------------------------------------------------------------

    @property
    def _reactor(self) -> Reactor:
        return shared_reactor()

    def _ask(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Have the transport do a request."""
        return self._asked(self.transport, job_id, command)

    def _asked(self, transport: AnyTransport, job_id: str, command: RequestCommand) -> ReplyEvent:
        reply = transport.perform(job_id, command)
        assert not isinstance(reply, Coroutine), "inherit from AsyncTransportConformance for these"
        return reply

    def _asked_at_once(
        self, job_id: str, commands: Sequence[RequestCommand]
    ) -> Sequence[ReplyEvent]:
        """Have it do requests at the same time."""
        with ThreadPoolExecutor(8) as pool:
            return [*pool.map(lambda command: self._ask(job_id, command), commands)]

    def _close(self, transport: AnyTransport) -> None:
        """Close what can be closed."""
        close = getattr(transport, "close", None)
        if close is not None:
            close()

    def _stream(self, job_id: str, command: OpenStream) -> AnyStream:
        return self.transport.stream(job_id, command)

    def _perform(self, job_id: str, kind: type[RequestCommand]) -> ReplyEvent:
        return self._ask(job_id, kind(next(self._numbers)))

    def _requests(self) -> Iterator[tuple[str, RequestCommand]]:
        """One request of each kind, of jobs that there are and that there are not."""
        job_id, _ = self.job_that_succeeds()
        yield job_id, FetchStatus(next(self._numbers))
        self._ending(job_id)
        yield job_id, FetchStatus(next(self._numbers))
        yield job_id, FetchResult(next(self._numbers))
        yield job_id, SendCancel(next(self._numbers))
        for kind in (FetchStatus, FetchResult, FetchFailure, SendCancel):
            yield self.unknown_job, kind(next(self._numbers))
        try:
            failed, _ = self.job_that_fails()
        except SkipTest:
            return
        self._ending(failed)
        yield failed, FetchFailure(next(self._numbers))

    def _ending(self, job_id: str) -> LifecycleEvent:
        """Ask until the job has ended; give the event of its end."""
        reply: ReplyEvent | None = None

        def has_ended() -> bool:
            nonlocal reply
            reply = self._perform(job_id, FetchStatus)
            return isinstance(reply, _ENDINGS)

        self._until(has_ended, f"job {job_id} has not ended", lambda: repr(reply))
        assert isinstance(reply, _ENDINGS)
        return reply

    def _until(
        self, holds: Callable[[], bool], what: str, more: Callable[[], str] = lambda: ""
    ) -> None:
        deadline = time.monotonic() + self.patience
        while not holds():
            if time.monotonic() > deadline:
                found = more()
                fail(f"{what}, after {self.patience:g} s" + (f": {found}" if found else ""))
            time.sleep(self.pause)

    def _need_streams(self) -> None:
        if not self.transport.traits.pushes:
            raise SkipTest("the service has no streams")

    def _publishes(self) -> tuple[str, list[str], str]:
        self._need_streams()
        job_id, published, result = self.job_that_publishes()
        assert len(set(published)) >= 4, "job_that_publishes: at least four different texts"
        return job_id, list(published), result

    def _streamed(self, published: Sequence[str], result: str) -> list[str]:
        return [*published, *([result] if self.transport.traits.streams_result else ())]

    def _open(self, job_id: str, command: OpenStream) -> Connection:
        stream = self._stream(job_id, command)
        connection = Connection(self._reactor, command.connection, stream)
        self._connections.append(connection)
        return connection

    def _opened(self, job_id: str, after: int = 0) -> tuple[Connection, OpenStream]:
        """Open a stream, again if the job is not running yet, and wait until it tells anything."""
        deadline = time.monotonic() + self.patience
        while True:
            command = OpenStream(next(self._numbers), after)
            connection = self._open(job_id, command)
            told = connection.wait_until(lambda: bool(connection.events), self.patience)  # noqa: B023
            require(told, f"the stream told nothing within {self.patience:g} s")
            if not isinstance(connection.events[-1], StreamNotReady):
                return connection, command
            require(time.monotonic() < deadline, f"not ready within {self.patience:g} s")
            time.sleep(self.pause)

    def _end_of(self, connection: Connection) -> None:
        ended = connection.wait_until(lambda: connection.has_ended, self.patience)
        require(ended, f"the stream did not end within {self.patience:g} s: {connection.events}")

    @contextmanager
    def _nothing_left(self) -> Iterator[None]:
        """What is opened inside is gone a while after it."""
        threads, files = set(threading.enumerate()), _open_files()
        yield
        self._until_no_threads(threads)
        self._until(lambda: _open_files() <= files, f"files are left open ({_CURE})")

    def _until_no_threads(self, before: set[threading.Thread]) -> None:
        def names() -> str:
            return ", ".join(self._new_threads(before))

        self._until(lambda: not self._new_threads(before), f"threads are left ({_CURE})", names)

    def _new_threads(self, before: set[threading.Thread]) -> list[str]:
        new = set(threading.enumerate()) - before
        return [thread.name for thread in new if not thread.name.startswith(_OURS)]


REPLIES: Final[dict[type[RequestCommand], tuple[type[ReplyEvent], ...]]] = {
    FetchStatus: (*LifecycleEvent.__args__, UnknownStatusReported),
    FetchResult: (ResultReceived,),
    FetchFailure: (FailureReceived,),
    SendCancel: (CancelAccepted, CancelRefused),
}
"""Which replies each request can have, beside `RequestFailed`."""


def _open_files() -> int:
    return len(os.listdir("/dev/fd")) if Path("/dev/fd").is_dir() else 0


def require(holds: bool, what: str) -> None:
    """Say what was found, if the rule does not hold.

    Raises:
        AssertionError: then.
    """
    # Not an assert: a tool that finds nothing under `python -O` is worse than none.
    if not holds:
        raise AssertionError(what)


def fail(what: str, cause: Exception | None = None) -> NoReturn:
    """Say what was found: the rule does not hold.

    Raises:
        AssertionError: always.
    """
    raise AssertionError(what) from cause
