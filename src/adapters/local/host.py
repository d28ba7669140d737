"""Runs one program inside a process of its own: the child's side of `runner`.

The service starts this file by its path, not as a module: with that would come `adapters`, and
every job pays for what is imported here. Of `runtime_core` that is what reads and writes values.

What it is given:

- the working directory, private to the job, with the program as the one file that `program_file`
  names: ``program.py``, or the archive of a folder, which is unpacked there;
- the number of a file descriptor as its only argument: the report pipe;
- on stdin an order, a JSON object with ``backend``, ``params`` and ``log_level``, after its length.
  Then stdin stays open, and its end means that the service is gone.

Where this project is not installed the order says two more things: ``libraries``, the folders in
which to look for modules first, and ``unpacked``, whether the program is a folder that is unpacked
in the working directory already.

What it reports are frames: `HEADER` (a kind, a length), then that many bytes of UTF-8. Any number
of `INTERIM`, then one `RESULT` or `FAILURE`. What the program prints goes to fds 1 and 2, which the
service keeps as the job's logs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import json
import os
import signal
import stat
import struct
import sys
import threading
import types
from collections.abc import Callable
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zipfile

HEADER = struct.Struct(">cQ")
"""The head of a frame: its kind, and the length in bytes of the text that follows."""

LENGTH = struct.Struct(">Q")
"""What stands before the order on stdin: its length in bytes."""

INTERIM = b"I"
"""The kind of a frame with an interim result."""

RESULT = b"R"
"""The kind of the frame with what main() returned."""

FAILURE = b"F"
"""The kind of the frame that says why there is no result."""

JOB_VARIABLE = "RUNTIME_CORE_JOB"
"""The environment variable in which a program finds the id of its job."""

PROGRAM_FILE = "program.py"
"""The name in the working directory of a program that is one file."""

ARCHIVE_FILE = "program.zip"
"""The name in the working directory of a program that is a packed folder; gone once unpacked."""

MAX_UNPACKED_BYTES = 512 * 1024 * 1024
"""The most that the files of an archive may have together."""

MAX_UNPACKED_ENTRIES = 20_000
"""The most files and folders in an archive."""


def program_file(source: bytes) -> str:
    """Give the name under which a program is to be put into the working directory."""
    # The two beginnings of a zip archive, with and without entries; of Python neither is.
    packed = source.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    return ARCHIVE_FILE if packed else PROGRAM_FILE


class BackendName(str):
    """A name that can be called too: some programs say `backend.name`, some `backend.name()`."""

    __slots__ = ()

    def __call__(self) -> str:
        """Give the name."""
        return str(self)


class Backend:
    """What a program is told about the machine that it runs on."""

    def __init__(self, name: str) -> None:
        self.name = BackendName(name)

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


class UserMessenger:
    """How a program publishes interim results. Usable from every thread of the program."""

    def __init__(self, report: int, encode: Callable[[Any], str]) -> None:
        self._report = report
        self._encode = encode
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._final: str | None = None

    def publish(
        self,
        message: Any,
        encoder: type[json.JSONEncoder] | None = None,
        final: bool = False,
    ) -> None:
        """Send `message` to whoever streams this job.

        With `final` it becomes the job's result instead, unless main() returns something else than
        None; the last one counts. An `encoder` of the program's own writes it in place of ours.

        Raises:
            EncodeError: if tagged JSON has no word for the message.
            RuntimeError: in a process forked from the program's: two writers would mix frames.
        """
        text = self._encode(message) if encoder is None else json.dumps(message, cls=encoder)
        if os.getpid() != self._owner:
            raise RuntimeError("publish() works only in the program's own process, not in a fork")
        if final:
            self._final = text
        else:
            self.send(INTERIM, text.encode())

    def send(self, kind: bytes, data: bytes) -> None:
        """Write one frame."""
        frame = memoryview(HEADER.pack(kind, len(data)) + data)
        with self._lock:
            while frame:
                frame = frame[os.write(self._report, frame) :]

    def result_text(self, value: Any) -> str:
        """Encode what main() returned, or take what was published as final."""
        if value is None and self._final is not None:
            return self._final
        return self._encode(value)


class UnrunnableError(Exception):
    """The program cannot be called; the message says why, and a traceback would say nothing."""


def main() -> None:
    """Take the order, run the program, report how it went."""
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    order = _take_order()
    _set_up_streams(order["log_level"])
    sys.path[:0] = order.get("libraries", ())
    # After the streams are set up: its errors belong into the logs.
    from runtime_core.tagged_json import decode_tagged, encode_tagged

    messenger = UserMessenger(report, encode_tagged)
    owner = os.getpid()
    kind, data = _run(order, messenger, decode_tagged)
    if os.getpid() == owner:  # a fork of the program may return from main() as well
        messenger.send(kind, data)


def _run(
    order: dict[str, Any], messenger: UserMessenger, decode: Callable[[str], Any]
) -> tuple[bytes, bytes]:
    folder = os.getcwd()  # now, as the program may go elsewhere
    try:
        value = _call_main(folder, order, messenger, decode)
    except UnrunnableError as error:
        return FAILURE, str(error).encode(errors="backslashreplace")
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: there is no result
        return FAILURE, _describe(error, folder).encode(errors="backslashreplace")
    try:
        return RESULT, messenger.result_text(value).encode()
    except Exception as error:
        why = str(error) or type(error).__name__  # a MemoryError has nothing to say
        return FAILURE, f"The result cannot be encoded: {why}".encode(errors="backslashreplace")


def _call_main(
    folder: str, order: dict[str, Any], messenger: UserMessenger, decode: Callable[[str], Any]
) -> Any:
    unpacked = order.get("unpacked", False)
    program = _load_folder(folder) if unpacked else _load_program(folder)
    function = program.__dict__.get("main")
    if not callable(function):
        raise UnrunnableError(
            "The program has no function main(backend, user_messenger, **inputs)."
        )
    try:
        inputs = decode(order["params"])
    except Exception as error:
        raise UnrunnableError(f"The inputs cannot be decoded: {error}") from error
    if not isinstance(inputs, dict):
        raise UnrunnableError(f"The inputs are of type {type(inputs).__name__}, not an object.")
    try:
        return function(Backend(order["backend"]), messenger, **inputs)
    except TypeError as error:
        # No frame below this one: the call itself failed, not something inside main().
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise UnrunnableError(f"main() does not take these inputs: {error}") from error
        raise


def _load_program(folder: str) -> types.ModuleType:
    try:
        with open(PROGRAM_FILE, "rb") as file:
            source = file.read()
    except FileNotFoundError:
        _unpack()
        return _load_folder(folder)
    # A module that can be imported by its name: pickle and multiprocessing look functions up so.
    module = types.ModuleType("program")
    module.__file__ = os.path.abspath(PROGRAM_FILE)
    sys.modules["program"] = module
    sys.path.insert(0, folder)
    sys.argv = [PROGRAM_FILE]
    # dont_inherit: this file's own __future__ import is not the program's.
    exec(compile(source, PROGRAM_FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


def _load_folder(folder: str) -> types.ModuleType:
    # While it is certain to be Python's: the folder may have modules of the same names.
    import traceback  # noqa: F401

    if not (os.path.exists("main.py") or os.path.exists(os.path.join("main", "__init__.py"))):
        raise UnrunnableError("The program's folder has no main module: there is no file main.py.")
    sys.path.insert(0, folder)
    sys.argv = ["main.py"]
    return __import__("main")  # unlike importlib's functions it adds no frames to a traceback


def _unpack() -> None:
    """Unpack the archive into the working directory, and remove it.

    Raises:
        UnrunnableError: if it is not what a packed folder is.
    """
    import zipfile

    try:
        with zipfile.ZipFile(ARCHIVE_FILE) as archive:
            os.unlink(ARCHIVE_FILE)  # a file of the folder may have this name
            entries = archive.infolist()
            check_entries(entries)
            for entry in entries:
                _unpack_entry(archive, entry)
    except UnrunnableError:
        raise
    except Exception as error:  # zipfile does not say what it raises of a broken archive
        why = str(error) or type(error).__name__
        raise UnrunnableError(f"The program's archive cannot be unpacked: {why}.") from error


def check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """Look at what is in an archive before anything of it is unpacked.

    Raises:
        UnrunnableError: if it is too much, or not what a packed folder has.
    """
    if len(entries) > MAX_UNPACKED_ENTRIES:
        raise UnrunnableError(
            f"The program's archive has more than {MAX_UNPACKED_ENTRIES:,} files and folders."
        )
    # Nothing longer than it says of itself is read from an entry, so this holds whatever they say.
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise UnrunnableError(
            f"The program's archive has more than {MAX_UNPACKED_BYTES >> 20} MiB in its files."
        )
    names = set()
    for entry in entries:
        name = entry.filename.removesuffix("/")
        why = None
        if any(part in ("", ".", "..") for part in name.split("/")):
            why = "leads out of the folder"
        elif stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            why = "is neither a file nor a folder"
        elif entry.flag_bits & 0x1:
            why = "is encrypted"
        elif entry.compress_type not in (0, 8):  # stored, deflated
            why = "is compressed in a way that is not used here"
        elif name in names:
            why = "is there twice"
        if why is not None:
            raise UnrunnableError(f"The program's archive is refused: {entry.filename!r} {why}.")
        names.add(name)


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    if entry.filename.endswith("/"):
        os.makedirs(entry.filename, exist_ok=True)
        return
    if folder := os.path.dirname(entry.filename):
        os.makedirs(folder, exist_ok=True)
    with archive.open(entry) as packed, open(entry.filename, "xb") as file:
        while part := packed.read(1 << 20):
            file.write(part)
        if entry.external_attr >> 16 & stat.S_IXUSR:
            os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) | stat.S_IXUSR)


def _describe(error: BaseException, folder: str) -> str:
    """Give the traceback as the program's author knows it.

    Without the frames of ours, and with names of files as they are in the program's `folder`.
    """
    if isinstance(error, MemoryError):
        _free(error)
    import traceback

    ours = (__file__, *(path + os.sep for path in sys.modules["runtime_core"].__path__))
    whole = traceback.TracebackException.from_exception(error)
    parts = [whole]
    while parts:
        part = parts.pop()
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(ours)]
        for place in (*part.stack, part):  # a SyntaxError has a place of its own
            if (name := getattr(place, "filename", None)) is not None:
                place.filename = name.removeprefix(folder + os.sep)
        others = (part.__cause__, part.__context__, *(part.exceptions or ()))
        parts += [other for other in others if other is not None]
    return "".join(whole.format())


def _free(error: BaseException) -> None:
    """Let go of what the functions held that did not return: describing needs memory as well."""
    place = error.__traceback__
    while place is not None:
        with contextlib.suppress(RuntimeError):  # a function that runs, as ours
            place.tb_frame.clear()
        place = place.tb_next


def _take_order() -> dict[str, Any]:
    (length,) = LENGTH.unpack(_read_exactly(LENGTH.size))
    order: dict[str, Any] = json.loads(_read_exactly(length))
    return order


def _read_exactly(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(0, min(size - len(data), 1 << 20))
        if not part:
            os._exit(1)  # the service went away before it had said what to do
        data += part
    return bytes(data)


def _set_up_streams(log_level: str | None) -> None:
    lifeline = os.dup(0)  # not inheritable, so no process that the program starts holds it
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _die_with_service(lifeline)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # By the line: the log is read while the job runs, and a process may die abruptly.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    # A crash in a C library says nothing else of where it was.
    faulthandler.enable(file=2)
    if log_level is not None:
        import logging

        logging.basicConfig(level=log_level)


def _die_with_service(lifeline: int) -> None:
    """Have the whole process group killed when the service's end of `lifeline` closes."""
    if sys.platform == "linux":
        # The kernel does it: a thread that waits would make every fork() of the program warn.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        try:
            os.read(lifeline, 1)
        except BlockingIOError:
            return
        os.killpg(0, signal.SIGKILL)  # it had closed before the kernel was asked
    else:

        def watch() -> None:
            os.read(lifeline, 1)
            os.killpg(0, signal.SIGKILL)

        threading.Thread(target=watch, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    main()
