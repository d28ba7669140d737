"""The service's process: ``python -P -m adapters.local.server [--workers N] [--port N]``.

It reads the access token from the first line of stdin, and writes one line of JSON to stdout when
it listens: ``{"url": ..., "port": ...}``. It ends, and all its jobs with it, when stdin ends, or at
SIGTERM or SIGINT: whoever started it holds the other end of stdin, and need not be alive to end it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

import uvicorn

from adapters.local.app import create_app
from adapters.local.supervisor import Supervisor

PING_INTERVAL = 20.0
"""The seconds between two pings on a stream: what is silent for a minute gets dropped."""

KEEP_ALIVE = 300
"""The seconds that an idle connection stays open: longer than any sensible interval of polls, so
that a request does not meet a connection that is just being closed."""


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to `serve`."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        port = sockets[0].getsockname()[1]
        print(json.dumps({"url": f"http://127.0.0.1:{port}", "port": port}), flush=True)  # noqa: T201

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(token: str, workers: int, port: int = 0) -> None:
    """Serve until stdin ends, or SIGTERM or SIGINT comes; end all jobs before returning."""
    listener = _listen(port)
    supervisor = Supervisor(workers)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, _watch_stdin, stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = create_app(supervisor, token, listener.getsockname()[1])
    server = _Server(_config(app))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([listener]))
        await stop.wait()
        # The jobs first: those who read their streams hear of the end.
        await supervisor.close()
        server.should_exit = True


def _listen(port: int) -> socket.socket:
    # With the protocol said, which socket.create_server leaves out: only then asyncio turns Nagle's
    # algorithm off, and an answer of two writes would wait 40 ms for a delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="asyncio",
        http="h11",
        ws="wsproto",
        ws_max_size=1 << 16,
        ws_ping_interval=PING_INTERVAL,
        # Not by pongs: a reader that pauses its socket answers none, and one that is dead has its
        # connection reset, since both are on this machine.
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=1,
    )


def _watch_stdin(stop: asyncio.Event) -> None:
    if not os.read(0, 4096):
        asyncio.get_running_loop().remove_reader(0)
        stop.set()


def _read_token() -> str:
    # Not through sys.stdin, whose buffer would swallow what follows.
    line = bytearray()
    while len(line) < 4096:
        byte = os.read(0, 1)
        if byte in (b"", b"\n"):
            break
        line += byte
    return line.decode("ascii").strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service; give the exit code."""
    parser = argparse.ArgumentParser(prog="adapters.local.server", description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error("--workers must be 1 or more")
    token = _read_token()
    if not token:
        parser.error("the first line of stdin must be the access token")
    asyncio.run(serve(token, options.workers, options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
