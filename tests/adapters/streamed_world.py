"""A job whose streams are real down to the bytes, and what its callback must have got."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
from fake_network import NetworkReactor
from fake_service import StreamService
from fakes import FakeClient, World

from adapters.drivers.inbox import Gap
from adapters.job import RuntimeJob
from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.events import JobStarted
from runtime_core.traits import Resume


@attrs.define(eq=False)
class StreamedWorld(World):
    """A reactor, a service with streams, and a job."""

    network: NetworkReactor
    service: StreamService
    heard: list[Any] = attrs.field(factory=list)
    """What the callback was called with, gaps included."""

    @property
    def traces(self) -> list[str]:
        return super().traces + [f"socket {sock.number}" for sock in self.network.open_sockets]

    def listen(self, first: Callable[[str], object] = str) -> None:
        """Stream into `heard`; something else may be done with each text first."""

        def callback(_: str, text: str) -> None:
            first(text)
            self.heard.append(text)

        self.job.stream_results(
            callback,
            AsText,
            on_gap=lambda _, gap: self.heard.append(gap),
        )

    @property
    def texts(self) -> list[str]:
        """The interim results that the callback got."""
        return [item for item in self.heard if not isinstance(item, Gap)]


class AsText:
    """Decodes nothing."""

    @classmethod
    def decode(cls, data: str) -> str:
        return data


def streamed_world(service: StreamService, *, result: str = "42", **options: Any) -> StreamedWorld:
    """Make a running job of this service; it ends when the service says."""
    network = NetworkReactor(service.accept)
    done = service.ends if service.done is None else service.done
    client = FakeClient(
        network, lambda: service.end if network.time >= done else "RUNNING", result=result
    )
    streams = RuntimeWebsocketClient(
        "ws://service.example",
        "s3cret-token",
        resume=service.resume.value,
        streams_result=service.result is not None,
    )
    options = {"initial": JobStarted()} | options
    job = RuntimeJob("b", client, streams, "j1", "p", reactor=network, **options)
    return StreamedWorld(network, client, None, job, network, service)


def account(world: StreamedWorld) -> None:
    """Hold what the callback heard against what the service published.

    Where it keeps what it published, that is exactly this, and no gap; it is the beginning of it if
    the stream has an error. Where not, it is what came through, in order, once each, and wherever
    something was missed there is a gap.
    """
    service, heard = world.service, world.heard
    if service.resume is not Resume.LIVE:
        whole = world.job.stream_error() is None
        assert heard == service.texts[: None if whole else len(heard)]
        return
    arrived = service.arrived
    streamed = service.result is not None and service.end == "COMPLETED"
    if streamed and arrived[-1:] == [service.result]:
        arrived.pop()
    assert world.texts == arrived
    assert missed(heard, service.texts) == []
    assert [item for item in heard if isinstance(item, Gap)] == [
        Gap(sum(isinstance(other, str) for other in heard[:at]))
        for at, item in enumerate(heard)
        if isinstance(item, Gap)
    ]


def missed(heard: Iterable[Any], texts: list[str]) -> list[str]:
    """What is missing in `heard` without a gap in its place; the texts all differ."""
    found: list[str] = []
    at = 0
    may_skip = False
    for item in heard:
        if isinstance(item, Gap):
            may_skip = True
            continue
        where = texts.index(item, at)
        if not may_skip:
            found += texts[at:where]
        at, may_skip = where + 1, False
    return found if may_skip else found + texts[at:]
