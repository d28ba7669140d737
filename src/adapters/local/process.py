"""A local service of one's own: with a directory of its own, ending with who started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Self

from adapters.closing import Closing
from adapters.local.daemon import await_url, require_extra
from adapters.local.directory import read_token
from runtime_core.errors import ServiceError

_CLOSE_TIMEOUT = 5.0


class LocalServiceProcess(Closing):
    """A local service that lives as long as it is wanted: for tests, and for trying things.

    Make one with `start`, end it with `close` or a ``with`` block. If neither happens, it ends by
    itself when this process does, however that ends: it watches a pipe of ours. (A forked child
    holds that pipe too, for as long as it lives.) Ctrl-C in our terminal does not reach it.

    All methods may be called from every thread.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        resources: contextlib.ExitStack,
        data: Path,
        url: str,
        access_token: str,
    ) -> None:
        self._process = process
        self._resources = resources
        self._lock = threading.Lock()
        self.data = data
        """Its data directory."""
        self.url = url
        """Where it listens, for instance ``http://127.0.0.1:41234``."""
        self.access_token = access_token
        """What it wants to see in ``X-Access-Token``; never written to a log or a command line."""

    @classmethod
    def start(
        cls,
        workers: int | None = None,
        start_timeout: float = 30.0,
        data: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Start a service and return when it listens.

        Args:
            workers: How many jobs run at a time; None for one for each core.
            start_timeout: The seconds that it has to come up.
            data: Its data directory, which stays; None for one that is removed with it.

        Raises:
            ServiceError: if it does not come up, with what it wrote to stderr; if another service
                has the directory; or if the extra `local` is not installed.
        """
        require_extra()
        with contextlib.ExitStack() as resources:
            if data is None:
                data = resources.enter_context(
                    tempfile.TemporaryDirectory(prefix="runtime-core-", ignore_cleanup_errors=True)
                )
            directory = Path(data).absolute()
            stderr = resources.enter_context(tempfile.TemporaryFile())
            command = ["--data", str(directory), "--lifeline"]
            if workers is not None:
                command += ["--workers", str(workers)]
            process = _spawn(command, stderr)
            try:
                url = await_url(process, stderr, start_timeout)
                token = read_token(directory)
            except BaseException:
                _end(process, 1.0)
                raise
            if url is None:
                _end(process, 1.0)
                raise ServiceError(f"Another local service runs in {directory}.")
            return cls(process, resources.pop_all(), directory, url, token)

    @property
    def pid(self) -> int:
        """The number of the service's process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the service is gone: closed, killed or crashed."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the service and what runs; returns when it is gone, at most about 5 s later."""
        with self._lock:
            _end(self._process, _CLOSE_TIMEOUT)
            self._resources.close()

    def __repr__(self) -> str:
        return f"<LocalServiceProcess {self.url} pid={self.pid}>"


def _spawn(arguments: list[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            # -P: a file of the caller's working directory must not stand in for a library.
            [sys.executable, "-P", "-m", "adapters.local.server", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise ServiceError(f"The local service could not be started: {error}.") from error


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
