"""`runtime-core serve`: the service in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sqlite3
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from adapters.local.daemon import require_extra
from adapters.local.directory import TOKEN, data_directory
from adapters.local.lock import find_service
from adapters.local.retention import RetentionRule
from runtime_core.errors import ServiceError, UsageError

_SHORTEST_TOKEN = 16

_MEANING = """\
Everybody who has the token and reaches {host} can run any program as you on this machine.
The token and all data cross the network unencrypted: put TLS before it (a reverse proxy, a tunnel),
or let only a network that you trust reach it.
"""


def serve_in_foreground(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    data: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    token: str | None = None,
    allowed_hosts: Sequence[str] = (),
    keep_seconds: float | None = None,
    keep_bytes: int | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM, and give the exit code. Says on stderr what there is to know.

    Args:
        host: the address or name to listen at.
        port: the port there; 0 for the last one of this directory, or any.
        data: the data directory; None for the usual one.
        workers: how many jobs run at a time; None for one for each core.
        token: the access token from now on; None for the one in the data directory. Without
            loopback it must be given.
        allowed_hosts: by which other names clients reach it, ``name`` or ``name:port``: those of a
            reverse proxy, or of a tunnel.
        keep_seconds: how long jobs are kept after their end.
        keep_bytes: the size of everything above which the oldest jobs go.

    Raises:
        UsageError: if an argument is wrong.
        ServiceError: if the directory cannot be used, another service has it, the address cannot
            be listened at, or the extra `local` is not installed.
    """
    require_extra()
    from adapters.local.machine import usable_cores
    from adapters.local.server import ServiceOptions, TakenError, serve, stop_on_signals

    if workers is not None and workers < 1:
        raise UsageError("The number of workers must be 1 or more.")
    if not 0 <= port < 1 << 16:
        raise UsageError("The port must be from 0 to 65535.")
    _check_token(host, token)
    rule = RetentionRule()
    options = ServiceOptions(
        data_directory(data),
        workers or usable_cores(),
        host=host,
        port=port,
        token=token,
        allowed_hosts=tuple(allowed_hosts),
        rule=RetentionRule(
            rule.keep_seconds if keep_seconds is None else keep_seconds,
            rule.keep_bytes if keep_bytes is None else keep_bytes,
        ),
    )

    def listening(url: str) -> None:
        lines = [
            f"Serving at {url}, {options.workers} jobs at a time.",
            f"Everything is kept in {options.data}; the access token is in {options.data / TOKEN}.",
            "Ctrl-C ends it: what runs is ended, what waits runs at the next start.",
        ]
        meaning = "" if is_loopback(host) else _MEANING.format(host=host)
        _say("\n".join(lines) + "\n" + meaning)

    async def run() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await serve(options, listening, stop)

    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    try:
        asyncio.run(run())
    except TakenError:
        other = find_service(options.data)
        who = "" if other is None else f": process {other.pid}"
        if other is not None and other.url is not None:
            who += f", at {other.url}"
        raise ServiceError(
            f"A service runs in {options.data} already{who}. End it, or use another --data."
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise _unusable(options.data, error) from error
    return 0


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _say(text: str) -> None:
    """Write to stderr; if who read it has gone, the service goes on all the same."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        # What is left in the buffer, and what is logged later, goes into nothing.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stderr.fileno())
        os.close(null)


def _unusable(directory: Path, error: OSError | sqlite3.Error) -> ServiceError:
    why = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f": {os.fsdecode(error.filename)}"
        why = f"{error.strerror}{where}"
    return ServiceError(f"The data directory {directory} cannot be used: {why}.")


def _check_token(host: str, token: str | None) -> None:
    if token is not None and not (
        len(token) >= _SHORTEST_TOKEN
        and token.isascii()
        and token.isprintable()
        and " " not in token
    ):
        raise UsageError(
            f"The token must have {_SHORTEST_TOKEN} characters or more, of ASCII, without spaces: "
            'make one with python3 -c "import secrets; print(secrets.token_urlsafe(32))".'
        )
    if token is None and not is_loopback(host):
        raise UsageError(
            f"To listen at {host}, which other machines reach, choose a token yourself and set "
            "RUNTIME_CORE_TOKEN: everybody who has it can run any program as you."
        )
    try:
        socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"{host!r} is no address or name of this machine: {error}.") from error
