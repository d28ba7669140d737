"""The lock file: at most one service in a data directory, and where it is found.

The service holds a lock of the kernel's on the file as long as it lives, so two can never run; the
file says who holds it. Readers go by what it says: the process of that number, started at that
time, is alive, or there is no service.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from pathlib import Path
from typing import Self

import attrs

from adapters.closing import Closing
from adapters.local.processes import identity_of

LOCK = "service.lock"
"""The name of the lock file in the data directory."""

# Between fork and exec, a child that a killed service has just started holds the lock as well.
_PATIENCE = 1.0


@attrs.frozen
class ServiceRecord:
    """What the lock file says of the service that holds it."""

    process: str
    """The identity of its process: the number, and when it was started."""
    url: str | None = None
    """Where it listens; None while it starts, and from the moment on when it begins to end."""
    port: int = 0
    """The port there, or of the last one that listened; 0 if none is known."""

    @property
    def pid(self) -> int:
        """The number of its process."""
        return int(self.process.partition(" ")[0])


class ServiceLock(Closing):
    """The lock of a running service. `close` lets go of it, and so does the end of the process."""

    def __init__(self, file: int, port: int) -> None:
        self._file = file
        identity = identity_of(os.getpid())
        assert identity is not None
        self._identity = identity
        self._port = port
        self.withdraw()

    @classmethod
    def take(cls, directory: Path) -> Self | None:
        """Take the lock; None if another service has it.

        Raises:
            OSError: if the file cannot be made or locked.
        """
        file = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _lock(file, directory):
                last = last_service(directory)
                return cls(file, 0 if last is None else last.port)
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        return None

    @property
    def port(self) -> int:
        """The port of the last service here, which its clients may still ask; 0 if unknown."""
        return self._port

    def announce(self, url: str, port: int) -> None:
        """Say where the service listens."""
        self._port = port
        self._write(ServiceRecord(self._identity, url, port))

    def withdraw(self) -> None:
        """Say that nobody should come any more; who does is told to wait for the next service."""
        self._write(ServiceRecord(self._identity, None, self._port))

    def close(self) -> None:
        """Let go of the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, record: ServiceRecord) -> None:
        data = json.dumps(attrs.asdict(record)).encode()
        # In one write over what was there; a reader between the two sees what is no JSON.
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))


def find_service(directory: Path) -> ServiceRecord | None:
    """Say which service runs in a data directory; None if none does."""
    record = last_service(directory)
    if record is None or identity_of(record.pid) != record.process:
        return None
    return record


def last_service(directory: Path) -> ServiceRecord | None:
    """Say which service ran last in a data directory, alive or not; None if nobody knows."""
    try:
        record = ServiceRecord(**json.loads((directory / LOCK).read_bytes()))
        return record if re.match(r"[0-9]+ ", record.process) else None
    except (OSError, ValueError, TypeError):
        return None


def _lock(file: int, directory: Path) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if find_service(directory) is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True
