"""Starts the local service as a process of the caller's, and ends it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Self

from adapters.closing import Closing
from runtime_core.errors import ServiceError

_CLOSE_TIMEOUT = 5.0
_TAIL_BYTES = 4000


class LocalServiceProcess(Closing):
    """A local service that lives as long as it is wanted.

    Make one with `start`, end it with `close` or a ``with`` block. If neither happens, it ends by
    itself when this process does, however that ends: it watches a pipe of ours. (A forked child
    holds that pipe too, for as long as it lives.) Ctrl-C in our terminal does not reach it.

    All methods may be called from every thread.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stderr: IO[bytes],
        url: str,
        access_token: str,
    ) -> None:
        self._process = process
        self._stderr = stderr
        self._lock = threading.Lock()
        self.url = url
        """Where it listens, for instance ``http://127.0.0.1:41234``."""
        self.access_token = access_token
        """What it wants to see in ``X-Access-Token``; never written to a log or a command line."""

    @classmethod
    def start(cls, workers: int | None = None, start_timeout: float = 30.0) -> Self:
        """Start a service and return when it listens.

        Args:
            workers: How many jobs run at a time; None for one for each core.
            start_timeout: The seconds that it has to come up.

        Raises:
            ServiceError: if it does not come up, with what it wrote to stderr; or if the extra
                `local` is not installed.
        """
        _require_extra()
        token = secrets.token_urlsafe(32)
        # -P: a file of the caller's working directory must not stand in for a library.
        command = [sys.executable, "-P", "-m", "adapters.local.server"]
        if workers is not None:
            command += ["--workers", str(workers)]
        stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the service
        try:
            process = _spawn(command, stderr)
            try:
                url = _hand_over(process, token, start_timeout)
            except BaseException:
                _end(process, 1.0)
                raise
        except _NotReadyError as error:
            with stderr:
                raise ServiceError(
                    f"The local service {error}. It wrote: {_tail(stderr)}"
                ) from error
        except BaseException:
            stderr.close()
            raise
        return cls(process, stderr, url, token)

    @property
    def pid(self) -> int:
        """The number of the service's process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the service is gone, and its jobs with it: closed, killed or crashed."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the service and all its jobs; returns when it is gone, at most about 5 s later."""
        with self._lock:
            _end(self._process, _CLOSE_TIMEOUT)
            self._stderr.close()

    def __repr__(self) -> str:
        return f"<LocalServiceProcess {self.url} pid={self.pid}>"


class _NotReadyError(Exception):
    """The service did not come up; the message goes on after its name."""


def _require_extra() -> None:
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ServiceError(
            f"The local service needs {' and '.join(missing)}: "
            "install them with `pip install 'runtime-core[local]'`."
        )


def _spawn(command: list[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise _NotReadyError(f"could not be started: {error}") from error


def _hand_over(process: subprocess.Popen[bytes], token: str, timeout: float) -> str:
    """Give the token, take the address."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{token}\n".encode())
    except BrokenPipeError as error:
        raise _NotReadyError("ended while it started") from error
    line = _read_line(process.stdout, timeout)
    try:
        return str(json.loads(line)["url"])
    except (ValueError, KeyError, TypeError) as error:
        raise _NotReadyError(f"said {line[:200]!r} instead of its address") from error


def _read_line(stream: IO[bytes], timeout: float) -> bytes:
    deadline = time.monotonic() + timeout
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise _NotReadyError(f"did not come up within {timeout:g} s")
            part = os.read(stream.fileno(), 4096)
            if not part:
                raise _NotReadyError("ended while it started")
            line += part
    return line


def _end(process: subprocess.Popen[bytes], timeout: float) -> None:
    """End the process: in good order if it takes no longer than `timeout`, else at once."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        # Its jobs hang on a pipe of the service's, and go with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _tail(stderr: IO[bytes]) -> str:
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _TAIL_BYTES))
    return stderr.read().decode(errors="replace").strip() or "nothing"
