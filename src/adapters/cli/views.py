"""What the views have in common, and the one for files and pipes."""

from __future__ import annotations

import pprint
from types import TracebackType
from typing import IO, Any, Protocol, Self

from adapters.cli.text import pairs, printable, progress, standing


class View(Protocol):
    """Shows how a job goes. Used by one thread, inside a `with`.

    Times are seconds since the job was submitted; None if that is not known.
    """

    def begin(self, what: str) -> None:
        """Say what goes on before there is a job."""
        ...

    def job(self, event: str, program: str, job_id: str, where: str) -> None:
        """Say which job it is, and whether it was ``submitted`` or ``found``."""
        ...

    def state(self, seconds: float | None, word: str) -> None:
        """Show that the job is ``queued`` or ``running``."""
        ...

    def queued(self, seconds: float | None, position: int) -> None:
        """Show which place a queued job has; 1 is the next to run."""
        ...

    def interim(self, seconds: float | None, value: Any) -> None:
        """Show an interim result."""
        ...

    def note(self, text: str) -> None:
        """Show something that is not of the job, for instance a request that is tried again."""
        ...

    def aside(self, text: str) -> None:
        """Say something about the command itself, to who sits before it."""
        ...

    def tick(self, seconds: float | None) -> None:
        """Show the time; called about ten times a second."""
        ...

    # One of these is the last, though an `aside` may follow.

    def result(self, seconds: float | None, value: Any) -> None:
        """Show that the job is done, and its result."""
        ...

    def failed(self, seconds: float | None, reason: str | None, code: int | str | None) -> None:
        """Show that the job failed, and why."""
        ...

    def cancelled(self, seconds: float | None) -> None:
        """Show that the job was cancelled."""
        ...

    def left(self, why: str, job_id: str | None, text: str) -> None:
        """Say that the job is left: ``why`` is ``interrupt`` or ``timeout``."""
        ...

    def error(self, text: str) -> None:
        """Say why the job cannot be followed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class PlainView:
    """One line for each thing that happens, each flushed at once. See `View`."""

    def __init__(self, out: IO[str], err: IO[str]) -> None:
        self._out = out
        self._err = err

    def begin(self, what: str) -> None:
        """Nothing: a pipe does not wait."""

    def job(self, event: str, program: str, job_id: str, where: str) -> None:  # noqa: ARG002
        """See `View`."""
        self._line(printable(f"{program + ': ' if program else ''}job {job_id} {where}"))

    def state(self, seconds: float | None, word: str) -> None:
        """See `View`."""
        self._line(f"{clock(seconds)}  {word}")

    def queued(self, seconds: float | None, position: int) -> None:
        """See `View`."""
        self._line(f"{clock(seconds)}  queued, {standing(position)}")

    def interim(self, seconds: float | None, value: Any) -> None:
        """See `View`."""
        share = progress(value)
        parts = [] if share is None else [percent(share)]
        parts += [f"{name}={said}" if name else said for name, said in pairs(value)]
        self._line(f"{clock(seconds)}  {'  '.join(parts)}")

    def note(self, text: str) -> None:
        """See `View`."""
        self._line(f"note: {text}")

    def aside(self, text: str) -> None:
        """See `View`."""
        say(self._err, text)

    def tick(self, seconds: float | None) -> None:
        """Nothing: time is no line."""

    def result(self, seconds: float | None, value: Any) -> None:
        """See `View`."""
        self._line(f"{clock(seconds)}  done")
        self._line(shown(value))

    def failed(self, seconds: float | None, reason: str | None, code: int | str | None) -> None:
        """See `View`."""
        self._line(f"{clock(seconds)}  {failed(code)}")
        self._err.write(because(reason))

    def cancelled(self, seconds: float | None) -> None:
        """See `View`."""
        self._line(f"{clock(seconds)}  cancelled")

    def left(self, why: str, job_id: str | None, text: str) -> None:  # noqa: ARG002
        """See `View`."""
        say(self._err, text)

    def error(self, text: str) -> None:
        """See `View`."""
        say(self._err, text)

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


def say(err: IO[str], text: str) -> None:
    """Say something about the command itself."""
    err.write(f"runtime-core: {text}\n")
    err.flush()


def clock(seconds: float | None) -> str:
    """Give a time as the first column of a line."""
    return " " * 9 if seconds is None else f"{seconds:7.1f} s"


def percent(share: float) -> str:
    """Give a share of 1 as a text of four letters."""
    return f"{int(share * 100):3}%"


def failed(code: int | str | None) -> str:
    """Give the word for a job that failed."""
    return "failed" if code is None else printable(f"failed (code {code})")


def because(reason: str | None) -> str:
    """Give why a job failed, as lines."""
    return printable(reason or "The service gives no reason.").rstrip("\n") + "\n"


def shown(value: Any) -> str:
    """Lay a result out for people: text as it is, else as Python writes it."""
    if isinstance(value, str):
        return printable(value)
    return pprint.pformat(value, width=78, sort_dicts=False)
