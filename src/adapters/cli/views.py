"""What the views have in common, and the one for files and pipes."""

from __future__ import annotations

import pprint
from types import TracebackType
from typing import IO, Any, Protocol, Self

from adapters.cli.text import Pairs, printable


class View(Protocol):
    """Shows how a job goes. Used by one thread, inside a `with`; times are seconds since start."""

    def begin(self, what: str) -> None:
        """Say what goes on before there is a job."""
        ...

    def job(self, program: str, job_id: str, where: str) -> None:
        """Say which job it is."""
        ...

    def state(self, seconds: float, word: str, *, failed: bool = False) -> None:
        """Show that the job came into a state."""
        ...

    def interim(self, seconds: float, share: float | None, said: Pairs) -> None:
        """Show an interim result: how far the job is, if it says so, and the rest."""
        ...

    def note(self, text: str) -> None:
        """Show something that is not of the job, for instance a request that is tried again."""
        ...

    def tick(self, seconds: float) -> None:
        """Show the time; called about ten times a second."""
        ...

    def result(self, value: Any) -> None:
        """Show the result; the last call."""
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

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def begin(self, what: str) -> None:
        """Nothing: a pipe does not wait."""

    def job(self, program: str, job_id: str, where: str) -> None:
        """See `View`."""
        self._line(f"{program}: job {job_id} {where}")

    def state(self, seconds: float, word: str, *, failed: bool = False) -> None:  # noqa: ARG002
        """See `View`."""
        self._line(f"{seconds:7.1f} s  {word}")

    def interim(self, seconds: float, share: float | None, said: Pairs) -> None:
        """See `View`."""
        parts = [] if share is None else [percent(share)]
        parts += [f"{name}={value}" if name else value for name, value in said]
        self._line(f"{seconds:7.1f} s  {'  '.join(parts)}")

    def note(self, text: str) -> None:
        """See `View`."""
        self._line(f"note: {text}")

    def tick(self, seconds: float) -> None:
        """Nothing: time is no line."""

    def result(self, value: Any) -> None:
        """See `View`."""
        self._line(printable(value) if isinstance(value, str) else pretty(value))

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


def percent(share: float) -> str:
    """Give a share of 1 as a text of four letters."""
    return f"{int(share * 100):3}%"


def pretty(value: Any) -> str:
    """Lay a result out for people."""
    return pprint.pformat(value, width=78, sort_dicts=False)
