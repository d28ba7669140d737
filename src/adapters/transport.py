"""What a driver needs of a service: the Protocols that a custom transport implements."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import attrs

from adapters.defaults import DEFAULT_STATUS_RATE
from adapters.proxy import Proxy
from runtime_core.commands import OpenStream, RequestCommand
from runtime_core.events import ReplyEvent, StreamEvent
from runtime_core.traits import ServiceTraits


def usable_rate(said: object) -> float:
    """Give how many status requests a second were said, or ten if that is no number above 0."""
    return float(said) if isinstance(said, int | float) and said > 0 else DEFAULT_STATUS_RATE


@runtime_checkable
class Transport(Protocol):
    """Performs the requests of jobs and says how their streams are opened.

    Give it to `RuntimeJob` or `AsyncRuntimeJob` as `api_client`, with ``ws_client=None``; or to
    `TransportService`. One transport serves any number of jobs, for each of which everything is
    called with the job's id.

    **Threads.** `perform` is called on daemon threads for requests, several at once, also for the
    same job (a cancel beside a status request); `stream` and `traits` on the loop that all jobs
    share, so they must return at once. The `BlockingDriver` calls `perform` in the caller's thread.

    **Rules.** What breaks one is not passed on: a request then has failed with a `TransportError`
    that says which rule it was, and is not tried again; a stream has failed, and is opened again.

    **Forks.** In the child of a fork jobs begin afresh: requests that were under way have failed,
    streams have ended. What the transport itself holds open, a pool of connections say, it has to
    open anew there; a lock that it has may have been held at the fork.

    **Closing.** A job closes no transport; `TransportService` calls `close()`, if there is one.

    **What else a job tells**, its inputs, logs and so on, comes from these methods, where the
    transport has them. They may block, and raise `TransportError`s. Without them a job tells what
    it was given, or None, or says in a `UsageError` what is missing.

    | method | gives |
    |---|---|
    | `job_params(job_id)` | the inputs, as a dict |
    | `job_logs(job_id)` | the whole log, as a text |
    | `job_logs_part(job_id, start)` | a `LogPart`: the log from that byte on |
    | `job_metrics(job_id)` | what was measured, as a dict |
    | `job_get(job_id)` | a description, read by `read_document` of the attribute `dialect`; \
    without that attribute, by `read_job` |
    | `job_tag(job_id, tags)` | nothing; gives the job these tags. Needs `job_get`, too |
    """

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of the service: the same as long as the transport lives."""
        ...

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Do one request and return its one reply; may block.

        | command | reply |
        |---|---|
        | `FetchStatus` | `JobQueued`, `JobStarted`, `JobSucceeded`, `JobFailed`, `JobCancelled`; \
        `UnknownStatusReported` for a word that the transport does not know |
        | `FetchResult` | `ResultReceived` with the text, not decoded |
        | `FetchFailure` | `FailureReceived`; without a reason where the service has none |
        | `SendCancel` | `CancelAccepted`; `CancelRefused` if the job had ended |
        | any | `RequestFailed` |

        The reply carries the number of the request, ``command.request``.

        Failures of the network and of the service are returned as `RequestFailed`, not raised; its
        `retryable` says whether the same request may succeed a little later, and then it is made
        again by the machine (a cancel is not): never in here. One that is not retryable ends every
        wait with its error. What is raised all the same is no reply of a good transport, but harms
        no job: a `TransportError` counts as the `RequestFailed` that it describes, any other
        exception as one that is not retryable.

        A request is given up after 90 seconds, the one for a result after 15 minutes; its thread
        is not waited for any more. So timeouts of your own should be shorter.
        """
        ...

    def stream(self, job_id: str, command: OpenStream) -> Stream:
        """Say where the stream of a job is and how it is read; does no I/O, returns at once.

        Called for every connection anew, and only one of a job is open at a time. Never called
        where the `traits` say that the service does not push; it has to be there all the same.

        Whichever kind of `Stream` it is, these are the rules of its events: each carries
        ``command.connection``; the first is `StreamOpened`, or one of the last; messages come as
        `InterimReceived`, with a tuple of texts in order, those of one read in one event, an empty
        one for a sign of life; the last is `StreamClosed`, `StreamFailed` or `StreamNotReady`.
        Where the traits say ``Resume.OFFSET`` the first ``command.after`` messages of the job are
        left out; with ``REPLAY`` the stream starts at the first message each time; with ``LIVE`` at
        now.

        A stream that has told nothing of the kind within 30 seconds is given up: so a long poll
        asks the first time without a wait. A stream that fails is opened again, after longer and
        longer delays; when the job has ended, only if its error is retryable.

        Raises:
            ServiceError: if the service has no streams; like all that is raised it counts as a
                stream that failed.
        """
        ...


@runtime_checkable
class AsyncTransport(Protocol):
    """A `Transport` whose requests are awaited; for `AsyncRuntimeJob` alone.

    It is told from a `Transport` by this: `perform` is a coroutine function. Everything is called
    on the event loop of the jobs that it serves, so nothing in it may block. `RuntimeJob`, the
    `BlockingDriver` and the command line refuse it.
    """

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of the service; see `Transport.traits`."""
        ...

    async def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Do one request and return its one reply; see `Transport.perform`.

        Each is a task of its own. It is cancelled if it takes longer than a request may; what it
        returns then does not matter.
        """
        ...

    def stream(self, job_id: str, command: OpenStream) -> AnyStream:
        """Say where the stream of a job is and how it is read; see `Transport.stream`.

        It may be an asynchronous iterator, too: a task iterates. While its subscriber is behind,
        nothing more is asked of it. At the end the task is cancelled, if it is inside of the
        iterator, and then awaits `aclose()`, if there is one, for two seconds at most. A plain
        iterator has a thread here as well.
        """
        ...


@runtime_checkable
class SubmittingTransport(Protocol):
    """A transport that can submit jobs, too; optional, and needed for `TransportService.run`."""

    def submit(self, program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        """Submit a job and give its id; may block. Called in the thread of whoever submits.

        It is called once: if it is not known whether the job has arrived, say so in the error, and
        never submit again behind the caller's back. That of an `AsyncTransport` may be a coroutine
        function.

        Args:
            program_id: what to run.
            inputs: what the program gets.
            options: what else the caller wants of the run, in the service's own words.

        Raises:
            UsageError: if an option or an input cannot be used.
            TransportError: if the service did not take the job, or did not say so.
        """
        ...


@runtime_checkable
class ServiceTransport(Transport, Protocol):
    """A transport that says which service it speaks with, and how much that may be asked; optional.

    All that name the same service share one budget of status requests. A transport that says
    nothing of this has a budget of its own, of the usual size.
    """

    @property
    def service(self) -> object:
        """What stands for the service: the same object for all transports to it, a client say."""
        ...

    @property
    def status_requests_per_second(self) -> float:
        """How many status requests it may get in a second, for all its jobs together.

        The one, once a job, that follows the end of its stream is not counted. `math.inf` is no
        limit; what is no number above 0 counts as ten.
        """
        ...

    @property
    def listing(self) -> JobListing | None:
        """What asks it about many jobs at once; None if it must be asked about each alone."""
        ...


class JobListing(Protocol):
    """Asks a service for the list of its jobs, the newest first, a page at a time."""

    def page(self, limit: int, skip: int, wanted: Collection[str]) -> ListedPage:
        """Ask for at most `limit` jobs after the newest `skip`; may block.

        Args:
            limit: how many; the service may give fewer.
            skip: how many to leave out.
            wanted: the ids of the jobs to tell of.

        Raises:
            TransportError: if there is no such answer.
        """
        ...

    def status_event(self, document: object, request: int) -> ReplyEvent:
        """Say what the document of a job means for a request that was ordered before the page.

        Does no I/O.

        Raises:
            TransportError: if there is no state in it.
        """
        ...


@attrs.frozen
class ListedPage:
    """One page of the list of a service's jobs."""

    length: int
    """How many jobs the service gave; the next page begins after them."""
    found: Mapping[str, object]
    """The documents of those that were wanted, by their ids."""
    has_more: bool
    """Whether there may be jobs after these."""


class StreamProtocol(Protocol):
    """The sans-IO half of one connection: bytes in, events and bytes out.

    It does no I/O, reads no clock, and is called on the loop alone: `start` once, then `receive`
    for every read. After every call, what `data_to_send` returns is sent. A `StreamNotReady`,
    `StreamClosed` or `StreamFailed` is the last event: what is left is sent, then the connection
    is closed. What any of the calls raises ends the stream as one that failed.
    """

    def start(self) -> None:
        """The socket is connected: make what opens the stream ready to be sent."""
        ...

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        """Take bytes from the socket; ``b""`` is the end of them, and needs a last event.

        The bytes are cut anywhere. What the peer sends, however wrong, is no reason to raise.
        """
        ...

    def data_to_send(self) -> bytes:
        """Take what has to be written to the socket now; ``b""`` if there is nothing."""
        ...

    def ping(self) -> None:
        """Ask the peer for a sign of life; what it answers counts like any other bytes.

        Called every 20 seconds from `StreamOpened` on. A peer that sends nothing from one to the
        next is taken for dead, unless nothing was made ready to be sent: where there is no such
        question, over a pipe for instance, do nothing.
        """
        ...

    def close(self) -> None:
        """Make an orderly close ready to be sent."""
        ...


@attrs.frozen
class StreamEndpoint:
    """Where a stream is, and how its bytes are read."""

    host: str
    """A name or an address."""
    port: int
    """The TCP port."""
    tls: ssl.SSLContext | None
    """How to secure the connection; None for plain TCP."""
    protocol: StreamProtocol
    """The reader of this one connection."""
    prepare: Callable[[], object] | None = None
    """Called before the connection is made, on a thread where it may block; None for nothing to do.
    What it raises is why there is no connection; a `TransportError` is told as it is."""
    proxy: Proxy | None = None
    """The HTTP proxy that leads there, by CONNECT; None for a direct connection. One that speaks
    TLS itself cannot."""


class HasFileno(Protocol):
    """A socket, a pipe: what a selector can watch."""

    def fileno(self) -> int:
        """Give the file descriptor."""
        ...

    def close(self) -> object:
        """Close it."""
        ...


@attrs.frozen
class StreamFile:
    """A connection that is there already, as a file descriptor, and how its bytes are read.

    It is watched by the loop that all jobs share, so that it takes no thread, and closed there
    when the stream is over or nobody wants it any more. While the subscriber is behind, it is not
    read: the peer's writes block then. What `protocol` has to send is written to the same
    descriptor; over a pipe, which is read only, that must be nothing. The bytes are plain: a
    socket with TLS is none of these.

    The end of the file is told by ``protocol.receive(b"")``.
    """

    file: HasFileno
    """A pipe's or a socket's end; set to non-blocking by who takes it, and closed by it. Not a
    regular file, which is always ready."""
    protocol: StreamProtocol
    """The reader of this one connection. It has to tell `StreamOpened` within 30 seconds, so the
    peer has to send something at once: messages may be long in coming."""


Stream: TypeAlias = StreamEndpoint | StreamFile | Iterator[StreamEvent]
"""The three kinds of streams: a TCP address and a protocol, or an open file and a protocol, both on
the shared loop; or an iterator that blocks, which takes a daemon thread for each stream.

The thread pulls a few events ahead (16), and then none until the subscriber has caught up. An
iterator that ends without a last event, or raises, is a stream that broke, and is opened again.
When nobody wants the stream any more, a generator is closed on its own thread, as soon as it yields
next; another iterator's `close()`, if it has one, is called once, from a thread for requests, and
has to end a `next` that waits; two seconds later it is given up. The thread is not waited for. In
the child of a fork it is not there, and the iterator is neither pulled nor closed."""

AnyStream: TypeAlias = Stream | AsyncIterator[StreamEvent]
"""The same, and what an `AsyncTransport` may give besides, which takes a task for each stream."""
