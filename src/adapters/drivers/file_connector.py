"""A stream over a file that is open already: a pipe, or a socket that somebody else connected."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from adapters.drivers.loop import Loop
from adapters.transport import HasFileno, StreamFile
from runtime_core.errors import TransportError


class OpenFile:
    """A file descriptor with the calls of a socket that channels make.

    Args:
        file: what it is of; it does not block from now on.

    Raises:
        OSError: if it is closed.
        ValueError: the same, or it is no pipe, no socket and no device.
    """

    def __init__(self, file: HasFileno) -> None:
        self._file = file
        self._number = file.fileno()
        mode = os.fstat(self._number).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
            raise ValueError("it is no pipe and no socket, so nothing tells when there is more")
        os.set_blocking(self._number, False)

    def fileno(self) -> int:
        """Give the descriptor; -1 once it is closed."""
        return self._number

    def recv(self, size: int) -> bytes:
        """Read what is there; see `socket.socket`."""
        return os.read(self._number, size)

    def send(self, data: bytes | bytearray) -> int:
        """Write what it takes; see `socket.socket`."""
        return os.write(self._number, data)

    def shutdown(self, how: int) -> None:
        """Say that nothing more is written; see `socket.socket`.

        Raises:
            OSError: if it is a pipe, where only `close` says that: there is no answer to wait for.
        """
        shutdown = getattr(self._file, "shutdown", None)
        if shutdown is None:
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
        shutdown(how)

    def close(self) -> None:
        """Close it."""
        self._number = -1
        self._file.close()


class FileConnector:
    """Hands over a file that is open already, on the next turn of the loop; see `Connector`."""

    missing = "it did not open"
    """What has not come yet, in words."""

    def __init__(
        self,
        loop: Loop,
        stream: StreamFile,
        connected: Callable[[OpenFile], None],
        failed: Callable[[TransportError], None],
    ) -> None:
        self._file: HasFileno | None = stream.file
        self._connected = connected
        self._failed = failed
        # Not at once: who opens a channel has to have it before it is told anything.
        loop.call_soon(self._hand_over)

    def stop(self) -> None:
        """Close the file, if it was not handed over; nothing is told any more."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def after_fork(self) -> None:
        """In the child of a fork: let go of the parent's file."""
        self.stop()

    def _hand_over(self) -> None:
        if self._file is None:
            return
        try:
            made = OpenFile(self._file)
        except (OSError, ValueError) as error:
            self.stop()
            failure = TransportError(f"The stream's file cannot be used: {error}.")
            failure.__cause__ = error
            self._failed(failure)
            return
        self._file = None
        self._connected(made)
