"""`JournalFile`: a journal on disk, for a bug report."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import threading
from collections.abc import Collection
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from adapters.closing import Closing
from runtime_core.errors import UsageError
from runtime_core.journal import LEAST_BYTES, MAX_BYTES, Journal
from runtime_core.journal_lines import SCHEMA
from runtime_core.observer import Step

_BEGINNING = f'{{"schema":"{SCHEMA}",'.encode()
_START = 1_000
"""Bytes at the start of a file that are looked at: more than its first line has."""


class JournalFile(Closing):
    """Writes what happens to jobs into a file: give it as `observer` to jobs or services.

    `runtime_core.replay` reads it, and so does ``runtime-core replay FILE``. What stands there and
    what does not, see `runtime_core.Journal`. Thread-safe, and may serve any number of jobs. Each
    step goes to the operating system at once, so it survives the end of this process, SIGKILL too:
    what matters most are the last steps before a hang. A child of a fork writes nothing.

    It opens the file as `open` does, readable by the user alone. A journal that is there already is
    continued. `close()` it, or use it in a `with`; steps after that are not written.

    Args:
        path: the file.
        max_bytes: how long it may become; what is there already counts.
        payloads: whether results, interim results and reasons are written, and not only their
            lengths.
        secrets: what must not be written, wherever it stands: the access token, say. That is not
            part of what is written; it is for services that repeat it in their answers.

    Raises:
        UsageError: if there is something else than a journal, or one that has no room, or that is
            being written already, by this process or another.
        OSError: if it cannot be opened.
        ValueError: if `max_bytes` is less than 1,000.
        TypeError: if `secrets` is one text.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = MAX_BYTES,
        payloads: bool = False,
        secrets: Collection[str] = (),
    ) -> None:
        if max_bytes < LEAST_BYTES:
            raise ValueError(f"max_bytes is {LEAST_BYTES} or more, not {max_bytes!r}")
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._path = os.fspath(path)
        self._file: int | None = _opened(self._path)
        try:
            self._journal = Journal(
                self._write,
                payloads=payloads,
                max_bytes=_room(self._file, self._path, max_bytes),
                salt=os.urandom(32),
                secrets=secrets,
                about=_about(),
            )
        except BaseException:
            os.close(self._file)
            raise

    def __repr__(self) -> str:
        return f"<JournalFile {self._path!r}{' (closed)' if self._file is None else ''}>"

    def __call__(self, step: Step) -> None:
        """Write a step; see `Observer`.

        Raises:
            OSError: if it cannot be written; nothing more is written then.
        """
        if self._process != os.getpid():
            return  # and the lock may be held by a thread that is not there any more
        with self._lock:
            if self._file is not None:
                self._journal(step)

    def close(self) -> None:
        """Close the file. May be repeated."""
        if self._process != os.getpid():
            return  # it is the parent's
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                # A child of a fork has the same open file, and the lock with it, for all its life.
                fcntl.flock(file, fcntl.LOCK_UN)
                os.close(file)

    def _write(self, text: str) -> None:
        assert self._file is not None, "only an open one is written to"
        data = memoryview(text.encode("ascii"))
        while data:
            data = data[os.write(self._file, data) :]


def _opened(path: str) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
    return os.open(path, flags, 0o600)


def _room(file: int, path: str, max_bytes: int) -> int:
    """Say how many bytes may still be written."""
    length = _length(file, path)
    if max_bytes - length < LEAST_BYTES:
        raise UsageError(
            f"The journal {path} has {length} of at most {max_bytes} bytes: "
            "move it away, or take another file."
        )
    return max_bytes - length


def _length(file: int, path: str) -> int:
    """Say how long the journal is that is there; 0 for a new one."""
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise UsageError(f"{path} is no file: a journal can only be written to one.")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            f"The journal {path} is being written already: take another file."
        ) from error
    length = os.fstat(file).st_size
    start = os.pread(file, _START, 0)
    if length and not start.startswith(_BEGINNING):
        raise UsageError(f"There is something else than a journal in {path}: take another file.")
    os.fchmod(file, 0o600)
    if length == len(start) and b"\n" not in start:
        os.ftruncate(file, 0)  # its first line was not written to its end: it tells nothing
        return 0
    if length == 0 or os.pread(file, 1, length - 1) == b"\n":
        return length
    os.write(file, b"\n")  # after a line that a killed process has not written to its end
    return length + 1


def _about() -> dict[str, str]:
    try:
        library = version("runtime-core")
    except PackageNotFoundError:
        library = "unknown"
    return {
        "library": library,
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "platform": sys.platform,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
    }
