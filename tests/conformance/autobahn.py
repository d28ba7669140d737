"""The Autobahn cases against the websocket client, as it is used: channel, loop and protocol.

The fuzzing server is a process of its own, in an environment of its own; the client echoes what it
gets. The cases of compression (12 and 13) find it declined at the handshake, as it should be.

Some cases send a message and a breach at once, and take it for non-strict if the message is not
echoed. Where both come in one read the client learns of the breach first: it has the message, but
the connection is over. With small reads fed byte by byte nothing is left to be non-strict.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import attrs

from adapters.drivers import channel
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.channel import Listener
from adapters.drivers.reactor import shared_reactor
from adapters.transport import StreamEndpoint
from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.ws_events import (
    BinaryReceived,
    Closed,
    Failed,
    Opened,
    PongReceived,
    Rejected,
    TextReceived,
    WebSocketEvent,
    WebSocketState,
)
from runtime_core.errors import TransportError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamOpened,
)

CASE_TIMEOUT = 120.0
"""Seconds after which a case has hung: the longest that the suite itself gives one."""

LARGEST = 32 * 1024 * 1024
"""The limit of a message in bytes: the suite's largest has 16 MiB."""

CASES = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1}
"""How many there are in each group: one that is not run is no success."""
COMPRESSION = {"12": 90, "13": 126}

# ---- the client --------------------------------------------------------------------------------

Cutter: TypeAlias = Callable[[bytes], Sequence[bytes]]


def as_read(data: bytes) -> Sequence[bytes]:
    return (data,)


def byte_by_byte(data: bytes) -> Sequence[bytes]:
    """Cut a small read into its bytes, but none of those cases that are about speed."""
    return [data[i : i + 1] for i in range(len(data))] if 0 < len(data) <= 256 else (data,)


class Echo:
    """The `StreamProtocol` that the suite asks for: it sends back what it gets."""

    def __init__(self, websocket: WebSocketProtocol, cutter: Cutter, *, echoes: bool) -> None:
        self._websocket = websocket
        self._cutter = cutter
        self._echoes = echoes
        self.start = websocket.start
        self.data_to_send = websocket.data_to_send
        self.ping = websocket.ping
        self.close = websocket.close

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        """See `StreamProtocol`."""
        events: list[StreamEvent] = []
        for piece in self._cutter(data):
            found = map(self._take, self._websocket.receive(piece))
            events += [event for event in found if event is not None]
        return events

    def _take(self, event: WebSocketEvent) -> StreamEvent | None:
        match event:
            case Opened():
                return StreamOpened(1)
            case TextReceived(texts):
                if not self._echoes:
                    return InterimReceived(1, texts)
                for text in texts:
                    self._echo(text)
            case BinaryReceived(data):
                self._echo(data)
            case PongReceived():
                pass
            case Closed(code, reason):
                return StreamClosed(1, code, reason)
            case Failed(error):
                return StreamFailed(1, error)
            case Rejected(status):
                return StreamFailed(1, TransportError("The suite refused.", status))
        return None

    def _echo(self, message: str | bytes) -> None:
        if self._websocket.state is not WebSocketState.OPEN:
            return  # the same read had the end of the connection
        if isinstance(message, str):
            self._websocket.send_text(message)
        else:
            self._websocket.send_binary(message)


Opener: TypeAlias = Callable[[StreamEndpoint, Listener], None]
"""Opens a connection on a loop; may be called from every thread."""


@contextmanager
def on_shared_loop() -> Iterator[Opener]:
    reactor = shared_reactor()

    def open_channel(endpoint: StreamEndpoint, listener: Listener) -> None:
        def task() -> None:
            reactor.open_channel(1, endpoint, listener)

        reactor.call_soon(task)

    yield open_channel


@contextmanager
def on_asyncio() -> Iterator[Opener]:
    loop, reactor = asyncio.new_event_loop(), AsyncioReactor()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def open_channel(endpoint: StreamEndpoint, listener: Listener) -> None:
        def task() -> None:
            reactor.bind()
            reactor.open_channel(1, endpoint, listener)

        loop.call_soon_threadsafe(task)

    try:
        yield open_channel
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


Loop: TypeAlias = Callable[[], AbstractContextManager[Opener]]

CLIENTS: dict[str, tuple[Loop, Cutter]] = {
    "shared": (on_shared_loop, as_read),
    "shared-bytewise": (on_shared_loop, byte_by_byte),
    "asyncio": (on_asyncio, as_read),
}
"""What runs the client, and how it feeds it, by the name under which the suite reports on it."""


@attrs.define
class Visit:
    """One connection to the fuzzing server, from its start to its end."""

    open_channel: Opener
    """Opens it."""
    cutter: Cutter
    """Cuts what is read."""
    echoes: bool
    """Whether messages are sent back; else they are kept."""
    texts: list[str] = attrs.Factory(list)
    """What was kept."""
    ended: threading.Event = attrs.Factory(threading.Event)
    """Set at the last event."""

    def make(self, port: int, target: str) -> None:
        websocket = WebSocketProtocol(f"127.0.0.1:{port}", target, max_message_bytes=LARGEST)
        protocol = Echo(websocket, self.cutter, echoes=self.echoes)
        self.open_channel(StreamEndpoint("127.0.0.1", port, None, protocol), self._hear)
        if not self.ended.wait(CASE_TIMEOUT):
            raise SystemExit(f"conformance: {target} did not end within {CASE_TIMEOUT:g} s")

    def _hear(self, events: Sequence[StreamEvent]) -> None:
        for event in events:
            if isinstance(event, InterimReceived):
                self.texts += event.messages
            elif isinstance(event, StreamClosed | StreamFailed):
                self.ended.set()


# ---- the suite ---------------------------------------------------------------------------------


@contextmanager
def fuzzing_server(python: Path, reports: Path, only: Sequence[str]) -> Iterator[int]:
    """Start the server on a port of its choice; at the end, wait until it has written reports."""
    # For this machine alone: it does what anybody asks of it.
    command = [str(python.parent / "kosoku"), "-m", "fuzzingserver", "127.0.0.1:0"]
    command += ["-o", str(reports), *(f"-i={case}" for case in only)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr is not None
            port = re.search(r":(\d+)$", server.stderr.readline().strip())
            if port is None:
                raise SystemExit(f"conformance: {command[0]} did not start")
            yield int(port[1])
            server.wait(CASE_TIMEOUT)
        finally:
            server.kill()


def run_cases(open_channel: Opener, cutter: Cutter, agent: str, port: int) -> None:
    counting = Visit(open_channel, cutter, echoes=False)
    counting.make(port, "/getCaseCount")
    for case in range(1, int(counting.texts[0]) + 1):
        visit = Visit(open_channel, cutter, echoes=True)
        visit.make(port, f"/runCase?case={case}&agent={agent}")
    Visit(open_channel, cutter, echoes=False).make(port, f"/updateReports?agent={agent}")


# ---- the verdict -------------------------------------------------------------------------------


WORDS = ("OK", "NON-STRICT", "INFORMATIONAL", "DECLINED", "FAILED")


def verdict(case: Mapping[str, str]) -> str:
    """One word for a case: the exchange and the close must both be right."""
    if case["behavior"] in ("OK", "NON-STRICT", "INFORMATIONAL"):
        return case["behavior"] if case["behaviorClose"] in ("OK", "INFORMATIONAL") else "FAILED"
    return "DECLINED" if case["behavior"] == "UNIMPLEMENTED" else "FAILED"


def report(results: Mapping[str, Mapping[str, str]], whole: bool) -> bool:
    """Print a line for each group, and what failed; return whether all is as it should be."""
    groups: dict[str, Counter[str]] = {}
    for case, result in results.items():
        groups.setdefault(case.split(".")[0], Counter())[verdict(result)] += 1
    print_line("group", "cases", "ok", "non-strict", "informational", "declined", "failed")
    right = not whole or {group: groups[group].total() for group in groups} == CASES | COMPRESSION
    for group, counts in groups.items():
        print_line(group, counts.total(), *(counts[word] for word in WORDS))
        declined = counts.total() if group in COMPRESSION else 0
        right = right and not counts["FAILED"] and counts["DECLINED"] == declined
    for case, result in results.items():
        if verdict(result) == "FAILED":
            print(f"failed: {case} {result['behavior']}, close: {result['behaviorClose']}")
    return right


def print_line(*cells: object) -> None:
    widths = (7, 7, 7, 12, 15, 10, 8)
    print("".join(str(cell).rjust(width) for cell, width in zip(cells, widths, strict=True)))


def in_order(results: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """The results by the numbers in the names of the cases: 9 before 10."""
    names = sorted(results, key=lambda case: [int(number) for number in case.split(".")])
    return {name: results[name] for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, default=Path(".venv-conformance/bin/python"))
    parser.add_argument("--reports", type=Path, default=Path("build/conformance"))
    parser.add_argument("--client", choices=CLIENTS, action="append", help="by default all")
    parser.add_argument("--case", action="append", default=[], help="for instance 9.1.*")
    options = parser.parse_args()
    # What waits to be written is limited to less than the suite's largest echo: our own clients
    # send no more than answers to pings.
    channel.WRITE_LIMIT = LARGEST
    right = True
    for name in options.client or CLIENTS:
        loop, cutter = CLIENTS[name]
        reports = options.reports / name
        (reports / "index.json").unlink(missing_ok=True)
        with (
            loop() as open_channel,
            fuzzing_server(options.python, reports, options.case) as port,
        ):
            run_cases(open_channel, cutter, name, port)
        results = in_order(json.loads((reports / "index.json").read_text())[name])
        print(f"conformance: {name}, {len(results)} cases; see {reports}/index.html")
        right = report(results, whole=not options.case) and right
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
