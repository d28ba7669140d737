"""Finds the service of a data directory, or starts one that nobody owns."""

from __future__ import annotations

import importlib.util
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from adapters.local.directory import LOG, make_private
from adapters.local.lock import ServiceRecord, find_service
from runtime_core.errors import ServiceError, UsageError

IDLE = 60.0
"""The seconds after which the service ends when there are no clients and no unfinished jobs."""

START_TIMEOUT = 30.0
"""The seconds that a service has to come up."""

# How often one is started that ends without a word, since something killed it.
_STARTS = 5

_TAIL_BYTES = 4000
_MAX_LOG_BYTES = 1 << 20
_POLL = 0.02

# Started in two steps: the first is done at once, so that nobody needs to await the second, which
# has a session of its own and belongs to nobody.
_DETACH = """\
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
os.execv(sys.executable, [sys.executable, "-P", "-m", "adapters.local.server", *sys.argv[1:]])
"""


def find_or_start(
    directory: Path,
    *,
    workers: int | None = None,
    idle: float = IDLE,
    is_wanted: Callable[[], bool] = lambda: True,
) -> ServiceRecord:
    """Give where the service of `directory` listens, after starting one if there is none.

    However many processes do so at once, they get one service. `workers` counts only for one that
    is started now. `is_wanted` is asked before one is started: looking for one may take a while.

    Raises:
        UsageError: if none is wanted any more.
        ServiceError: if none comes up, with what it wrote; or if the extra `local` is missing.
    """
    deadline = time.monotonic() + START_TIMEOUT
    starts = 0
    while True:
        record = find_service(directory)
        if record is not None and record.url is not None:
            return record
        if time.monotonic() >= deadline:
            who = "none" if record is None else f"the one of process {record.pid}"
            raise ServiceError(
                f"There is no local service to speak with: {who} came up in {directory} within "
                f"{START_TIMEOUT:g} s."
            )
        if record is None:
            if not is_wanted():
                raise UsageError("This client is closed: make a new one.")
            require_extra()
            make_private(directory)
            starts += 1
            try:
                _start(directory, workers, idle, deadline)
            except _KilledError:
                if starts >= _STARTS:
                    raise
            except OSError as error:
                raise ServiceError(
                    f"The local service cannot be started in {directory}: {error}."
                ) from error
        else:
            # It is about to listen, or about to end.
            time.sleep(_POLL)


class _KilledError(ServiceError):
    """The service ended while it started, and wrote nothing."""


def require_extra() -> None:
    """Check that what the service needs is installed.

    Raises:
        ServiceError: if it is not.
    """
    needed = ("starlette", "uvicorn", "platformdirs")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ServiceError(
            f"The local service needs {' and '.join(missing)}: "
            "install them with `pip install 'runtime-core[local]'`."
        )


def await_url(
    process: subprocess.Popen[bytes], log: IO[bytes], timeout: float, begin: int = 0
) -> str | None:
    """Read where a service that is starting listens; None if another one has its directory.

    Raises:
        ServiceError: if it does not come up, with what it wrote to `log` from byte `begin` on.
    """
    assert process.stdout is not None
    line = _read_line(process.stdout, timeout)
    try:
        said = json.loads(line or b"")
    except ValueError:
        said = {}
    if said.get("taken"):
        return None
    if "url" in said:
        return str(said["url"])
    if "error" in said:
        raise ServiceError(f"The local service cannot start: {said['error']}")
    wrote = _tail(log, begin)
    how = "did not come up in time" if line is None else "ended while it started"
    error = _KilledError if line == b"" and not wrote else ServiceError
    raise error(f"The local service {how}. It wrote: {wrote or 'nothing'}")


def _start(directory: Path, workers: int | None, idle: float, deadline: float) -> None:
    """Start a service and wait until it listens, or another one does."""
    command = [sys.executable, "-P", "-c", _DETACH, "--data", str(directory), "--idle", str(idle)]
    if workers is not None:
        command += ["--workers", str(workers)]
    with open(directory / LOG, "a+b", opener=_privately) as log:
        if log.tell() > _MAX_LOG_BYTES:
            log.truncate(0)
        begin = log.seek(0, os.SEEK_END)
        with subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            cwd=directory,
        ) as process:
            await_url(process, log, deadline - time.monotonic(), begin)


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read_line(stream: IO[bytes], timeout: float) -> bytes | None:
    """Read a line, or what there is of it at the end; None if it does not come in time."""
    deadline = time.monotonic() + timeout
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            part = os.read(stream.fileno(), 4096)
            if not part:
                break
            line += part
    return line


def _tail(log: IO[bytes], begin: int) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(begin, size - _TAIL_BYTES))
    return log.read().decode(errors="replace").strip()
