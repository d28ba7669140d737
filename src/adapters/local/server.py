"""The service's process: ``python -P -m adapters.local.server --data DIRECTORY ...``.

It writes one line of JSON to stdout: ``{"url": ...}`` when it listens, ``{"taken": true}`` if
another service has the directory, ``{"error": ...}`` if it cannot start. It ends at SIGTERM or
SIGINT, with ``--lifeline`` when its stdin ends, and with ``--idle`` after that many seconds without
a connection and without an unfinished job. What runs then is ended, what is queued is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import uvicorn

from adapters.local.app import create_app
from adapters.local.directory import keep_token, make_private
from adapters.local.door import ACCEPT_BATCH, QUEUE, Doorkeeper, raise_file_limit
from adapters.local.gate import Gate, names_of
from adapters.local.lock import ServiceLock
from adapters.local.machine import usable_cores
from adapters.local.retention import Retention, RetentionRule
from adapters.local.store import Store
from adapters.local.supervisor import Supervisor
from runtime_core.errors import ServiceError

PING_INTERVAL = 20.0
"""The seconds between two pings on a stream: what is silent for a minute gets dropped."""

KEEP_ALIVE = 300
"""The seconds that an idle connection stays open: longer than any sensible interval of polls, so
that a request does not meet a connection that is just being closed."""

# Between two looks at whether the service is idle, and how long who has just read the lock file
# has to connect.
_LOOK = 0.5


@attrs.frozen
class ServiceOptions:
    """What a service is told at its start."""

    data: Path
    """The data directory."""
    workers: int
    """How many jobs run at a time."""
    host: str = "127.0.0.1"
    """The address or name to listen at."""
    port: int = 0
    """The port to listen at; 0 for the last one, if it is free, or any."""
    allowed_hosts: tuple[str, ...] = ()
    """By which other names it is reached: ``name`` or ``name:port``."""
    token: str | None = attrs.field(default=None, repr=False)
    """The access token; None for the one in the data directory."""
    idle: float | None = None
    """The seconds after which it ends when nobody needs it; None for never."""
    rule: RetentionRule = attrs.field(factory=RetentionRule)
    """How long jobs are kept."""


class TakenError(Exception):
    """Another service has the data directory."""


async def serve(
    options: ServiceOptions, listening: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Serve until `stop` is set, or nobody needs the service; call `listening` with its URL.

    Raises:
        TakenError: if another service has the data directory.
        ServiceError: if the directory or the store in it cannot be used, or it cannot listen where
            it should.
        OSError, sqlite3.Error: if the directory cannot be written to, or the store is broken.
    """
    make_private(options.data)
    lock = ServiceLock.take(options.data)
    if lock is None:
        raise TakenError
    with lock, Store.open(options.data) as store:
        token = keep_token(options.data, options.token)
        try:
            listener = _listen(options.host, options.port, lock.port)
        except OSError as error:
            raise ServiceError(
                f"{options.host} port {options.port} cannot be listened at: "
                f"{error.strerror or error}."
            ) from error
        supervisor = Supervisor(store, options.data, options.workers)
        retention = Retention(store, supervisor.watchers, options.rule)
        supervisor.open()
        port = listener.getsockname()[1]
        app = create_app(store, supervisor, retention)
        gate = Gate(app, token, port, names_of(options.host, options.allowed_hosts))
        doorkeeper = Doorkeeper(gate, raise_file_limit())
        server = _Server(_config(gate, doorkeeper), doorkeeper)
        url = f"http://{_reachable(options.host)}:{port}"

        def announce() -> None:
            lock.announce(url, port)

        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve([listener]))
            pruning = tasks.create_task(retention.prune_hourly())
            await server.listening.wait()
            announce()
            listening(url)
            await _ended(options.idle, stop, supervisor, server, lock, announce)
            lock.withdraw()
            pruning.cancel()
            # The jobs first: those who read their streams hear of the end.
            await supervisor.close()
            server.should_exit = True
            await serving


async def _ended(
    idle: float | None,
    stop: asyncio.Event,
    supervisor: Supervisor,
    server: _Server,
    lock: ServiceLock,
    announce: Callable[[], None],
) -> None:
    """Return when the service is to end."""
    if idle is None:
        await stop.wait()
        return

    def is_needed() -> bool:
        return supervisor.is_busy or server.has_clients

    loop = asyncio.get_running_loop()
    needed = loop.time()
    while not stop.is_set():
        if is_needed():
            needed = loop.time()
        elif loop.time() - needed >= idle:
            # Who has read where we are may be about to connect: nobody else comes any more.
            lock.withdraw()
            await asyncio.sleep(_LOOK)
            if not is_needed():
                return
            announce()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(_LOOK, idle))


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to `serve`."""

    def __init__(self, config: uvicorn.Config, doorkeeper: Doorkeeper) -> None:
        super().__init__(config)
        self._doorkeeper = doorkeeper
        self.listening = asyncio.Event()

    @property
    def has_clients(self) -> bool:
        """Whether anybody is connected who has shown the token."""
        return len(self.server_state.connections) > self._doorkeeper.guests

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(QUEUE)  # asyncio has called it with its batch
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int, last_port: int) -> socket.socket:
    """Listen at `port`, or else at the last service's, so that its clients find this one."""
    if port == 0 and last_port != 0:
        with contextlib.suppress(OSError):
            return _listen(host, last_port, 0)
    family, kind, protocol, _, address = socket.getaddrinfo(
        # With the protocol said, which socket.create_server leaves out: only then asyncio turns
        # Nagle's algorithm off, and an answer of two writes would wait 40 ms for a delayed
        # acknowledgement.
        host,
        port,
        type=socket.SOCK_STREAM,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_PASSIVE,
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _reachable(host: str) -> str:
    """Give the host part of the URL by which this machine reaches what listens at `host`."""
    loopback = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104
    host = loopback.get(host, host)
    return f"[{host}]" if ":" in host else host


def _config(gate: Gate, doorkeeper: Doorkeeper) -> uvicorn.Config:
    return uvicorn.Config(
        gate,
        loop="asyncio",
        http=doorkeeper.protocol(),
        backlog=ACCEPT_BATCH,
        # Below are warnings of what strangers send, with which they could fill the disk.
        log_level="error",
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


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def _stop_with_stdin(stop: asyncio.Event) -> None:
    def look() -> None:
        if not os.read(0, 4096):
            asyncio.get_running_loop().remove_reader(0)
            stop.set()

    asyncio.get_running_loop().add_reader(0, look)


def _say(**what: object) -> None:
    """Write the one line, and close stdout: who waits for the line waits no longer."""
    with contextlib.suppress(BrokenPipeError):  # who started us may have gone; others come
        os.write(1, json.dumps(what).encode() + b"\n")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


async def _main(options: ServiceOptions, *, lifeline: bool) -> int:
    stop = asyncio.Event()
    stop_on_signals(stop)
    if lifeline:
        _stop_with_stdin(stop)
    try:
        await serve(options, lambda url: _say(url=url), stop)
    except TakenError:
        _say(taken=True)
    except (ServiceError, OSError, sqlite3.Error) as error:
        _say(error=str(error))
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service; give the exit code."""
    parser = argparse.ArgumentParser(prog="adapters.local.server", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--idle", type=float)
    parser.add_argument("--lifeline", action="store_true")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    if options.workers < 1:
        _say(error="workers must be 1 or more.")
        return 2
    service = ServiceOptions(options.data, options.workers, idle=options.idle)
    return asyncio.run(_main(service, lifeline=options.lifeline))


if __name__ == "__main__":
    sys.exit(main())
