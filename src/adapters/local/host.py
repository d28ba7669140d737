"""Runs one program inside a process of its own: the child's side of `runner`.

The service starts this file by its path, not as a module: `adapters` imports far more than a
program needs, and every job pays for what is imported here.

What it is given:

- the working directory, private to the job, with the program as ``program.py``;
- the number of a file descriptor as its only argument: the report pipe;
- on stdin an order, a JSON object with ``backend``, ``params`` and ``log_level``, after its length.
  Then stdin stays open, and its end means that the service is gone.

What it reports are frames: `HEADER` (a kind, a length), then that many bytes of UTF-8. Any number
of `INTERIM`, then one `RESULT` or `FAILURE`. What the program prints goes to fds 1 and 2, which the
service keeps as the job's logs.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import sys
import threading
import types
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any

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

PROGRAM_FILE = "program.py"
"""The name of the program's file in the working directory."""


class Backend:
    """What a program is told about the machine that it runs on."""

    def __init__(self, name: str) -> None:
        self.name = name

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

    def publish(self, message: Any, final: bool = False) -> None:
        """Send `message` to whoever streams this job.

        With `final` it becomes the job's result instead, unless main() returns something else than
        None; the last one counts.

        Raises:
            EncodeError: if tagged JSON has no word for the message.
            RuntimeError: in a process forked from the program's: two writers would mix frames.
        """
        text = self._encode(message)
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
    try:
        value = _call_main(order, messenger, decode)
    except UnrunnableError as error:
        return FAILURE, str(error).encode(errors="backslashreplace")
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: there is no result
        return FAILURE, _describe(error).encode(errors="backslashreplace")
    try:
        return RESULT, messenger.result_text(value).encode()
    except Exception as error:
        return FAILURE, f"The result cannot be encoded: {error}".encode(errors="backslashreplace")


def _call_main(
    order: dict[str, Any], messenger: UserMessenger, decode: Callable[[str], Any]
) -> Any:
    function = _load_program().__dict__.get("main")
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


def _load_program() -> types.ModuleType:
    # A module that can be imported by its name: pickle and multiprocessing look functions up so.
    module = types.ModuleType("program")
    module.__file__ = os.path.abspath(PROGRAM_FILE)
    sys.modules["program"] = module
    sys.path.insert(0, os.getcwd())
    sys.argv = [PROGRAM_FILE]
    with open(PROGRAM_FILE, "rb") as file:
        source = file.read()
    # dont_inherit: this file's own __future__ import is not the program's.
    exec(compile(source, PROGRAM_FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


def _describe(error: BaseException) -> str:
    """Give the traceback as the program's author knows it: without the frames of ours."""
    import traceback

    import runtime_core

    ours = (__file__, os.path.dirname(runtime_core.__file__) + os.sep)
    whole = traceback.TracebackException.from_exception(error)
    parts = [whole]
    while parts:
        part = parts.pop()
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(ours)]
        others = (part.__cause__, part.__context__, *(part.exceptions or ()))
        parts += [other for other in others if other is not None]
    return "".join(whole.format())


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
