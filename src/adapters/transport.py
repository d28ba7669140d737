"""What a driver needs of a service: the Protocols that a custom transport implements."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import attrs

from adapters.proxy import Proxy
from runtime_core.commands import OpenStream, RequestCommand
from runtime_core.events import ReplyEvent, StreamEvent
from runtime_core.traits import ServiceTraits

DEFAULT_STATUS_RATE = 10.0
"""How many status requests a service gets in a second at most, for all its jobs together."""


@runtime_checkable
class Transport(Protocol):
    """Performs the requests of jobs and says how their streams are opened.

    One transport serves any number of jobs and threads.
    """

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of the service."""
        ...

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Do one request and return its one reply; may block.

        Failures of the network and of the service are returned as `RequestFailed`, not raised.
        """
        ...

    def stream(self, job_id: str, command: OpenStream) -> Stream:
        """Say where the stream of a job is and how it is read; does no I/O, returns at once.

        Never called where the `traits` say that the service does not push.

        Raises:
            ServiceError: if the service has no streams.
        """
        ...


@runtime_checkable
class AsyncTransport(Protocol):
    """A `Transport` whose requests are awaited; for `AsyncRuntimeJob` alone.

    It is used in the event loop of the jobs that it serves.
    """

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of the service."""
        ...

    async def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Do one request and return its one reply; see `Transport.perform`.

        It is cancelled if it takes longer than a request may.
        """
        ...

    def stream(self, job_id: str, command: OpenStream) -> AnyStream:
        """Say where the stream of a job is and how it is read; see `Transport.stream`."""
        ...


@runtime_checkable
class SubmittingTransport(Protocol):
    """A transport that can submit jobs, too; optional."""

    def submit(self, program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        """Submit a job and give its id; may block.

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
        """How many status requests it may get in a second, for all its jobs together."""
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
    """The sans-IO half of one connection: bytes in, events and bytes out. Used by one thread.

    After every call, send what `data_to_send` returns. A `StreamNotReady`, `StreamClosed` or
    `StreamFailed` is the last event: send what is left, then close the socket.
    """

    def start(self) -> None:
        """The socket is connected: make what opens the stream ready to be sent."""
        ...

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        """Take bytes from the socket; ``b""`` is the end of them. Never raises."""
        ...

    def data_to_send(self) -> bytes:
        """Take what has to be written to the socket now; ``b""`` if there is nothing."""
        ...

    def ping(self) -> None:
        """Ask the peer for a sign of life; what it answers counts like any other bytes."""
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

    It is watched by the loop that all jobs share, and closed there. What `protocol` has to send is
    written to the same descriptor.
    """

    file: HasFileno
    """A pipe's or a socket's end; set to non-blocking by who takes it, and closed by it."""
    protocol: StreamProtocol
    """The reader of this one connection."""


Stream: TypeAlias = StreamEndpoint | StreamFile | Iterator[StreamEvent]
"""The three kinds of streams: a TCP address and a protocol, or an open file and a protocol, both on
the shared loop; or an iterator that blocks, which takes a thread for each stream."""

AnyStream: TypeAlias = Stream | AsyncIterator[StreamEvent]
"""The same, and what an `AsyncTransport` may give besides, which takes a task for each stream."""
