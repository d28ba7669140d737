"""The view for a terminal: a history that scrolls, and below it one line that is alive."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.pretty import Pretty
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from adapters.cli.text import Pairs, pairs, printable, progress, standing
from adapters.cli.views import because, clock, failed, percent, say

_FRAME = 0.1
_STYLES = {"queued": "yellow", "running": "cyan"}


class LiveView:
    """See `View`."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        # No thread of its own: the caller ticks. At the end the history and the result remain.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._word = ""
        self._standing = ""
        self._seconds: float | None = None
        self._share: float | None = None
        self._widths: dict[str, int] = {}
        self._drawn = 0.0

    def begin(self, what: str) -> None:
        """See `View`."""
        self._word = what
        self._draw()

    def job(self, event: str, program: str, job_id: str, where: str) -> None:  # noqa: ARG002
        """See `View`."""
        self._word = ""
        self._print(Text.assemble((printable(program), "bold"), f"  job {job_id} {where}"))

    def state(self, seconds: float | None, word: str) -> None:
        """See `View`."""
        self._word, self._standing = word, ""
        self._state(seconds, word, _STYLES.get(word, ""))

    def queued(self, seconds: float | None, position: int) -> None:
        """See `View`."""
        # In the line that is alive only: the history of a long queue would fill the screen.
        self._seconds, self._standing = seconds, f", {standing(position)}"
        self._draw()

    def interim(self, seconds: float | None, value: Any) -> None:
        """See `View`."""
        share, said = progress(value), pairs(value)
        self._share = self._share if share is None else share
        if said:
            self._print(_line(seconds, "" if share is None else percent(share), self._text(said)))

    def note(self, text: str) -> None:
        """See `View`."""
        self._print(Text(f"note: {text}", "yellow"))

    def aside(self, text: str) -> None:
        """See `View`."""
        self._print(Text(f"runtime-core: {text}", "yellow"))

    def tick(self, seconds: float | None) -> None:
        """See `View`."""
        self._seconds = seconds
        if time.monotonic() - self._drawn >= _FRAME:
            self._draw()

    def result(self, seconds: float | None, value: Any) -> None:
        """See `View`."""
        self._end(seconds, "done", "bold green")
        self._console.print(Text(printable(value)) if isinstance(value, str) else Pretty(value))

    def failed(self, seconds: float | None, reason: str | None, code: int | str | None) -> None:
        """See `View`."""
        self._end(seconds, failed(code), "bold red")
        sys.stderr.write(because(reason))

    def cancelled(self, seconds: float | None) -> None:
        """See `View`."""
        self._end(seconds, "cancelled", "yellow")

    def left(self, why: str, job_id: str | None, text: str) -> None:  # noqa: ARG002
        """See `View`."""
        self.error(text)

    def error(self, text: str) -> None:
        """See `View`."""
        self._live.stop()
        say(sys.stderr, text)

    def _state(self, seconds: float | None, word: str, style: str) -> None:
        self._seconds = seconds
        self._print(_line(seconds, "", Text(word, style)))

    def _end(self, seconds: float | None, word: str, style: str) -> None:
        self._state(seconds, word, style)
        self._live.stop()

    def _text(self, said: Pairs) -> Text:
        text = Text()
        for index, (name, value) in enumerate(said):
            if index:
                text.append("  ")
            if name:
                text.append(f"{name}=", "dim")
            # Values stand below each other, unless one was that long that it would tear holes.
            width = max(self._widths.get(name, 0), len(value))
            self._widths[name] = width if width <= 20 else 0
            text.append(value.ljust(self._widths[name]) if index < len(said) - 1 else value)
        return text

    def _print(self, what: RenderableType) -> None:
        self._drawn = time.monotonic()
        self._live.update(self._status())
        self._console.print(what)  # draws the line below anew as well

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        self._live.update(self._status(), refresh=True)

    def _status(self) -> RenderableType:
        """The line that is alive."""
        if self._seconds is None:
            return Text(self._word, "dim")
        line = Table.grid(padding=(0, 2, 0, 0))
        cells: list[RenderableType] = [
            Text(clock(self._seconds), "bold"),
            Text(self._word + self._standing, _STYLES.get(self._word, "")),
        ]
        if self._share is not None:
            bar = ProgressBar(
                1.0, self._share, width=30, complete_style="cyan", finished_style="green"
            )
            cells += [bar, Text(percent(self._share))]
        line.add_row(*cells)
        return line

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()


def _line(seconds: float | None, share: str, text: Text) -> Table:
    """One line of the history; what is too long goes on below its own column."""
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True)
    if share:
        line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    moment = Text(clock(seconds), "dim")
    line.add_row(*((moment, share, text) if share else (moment, text)))
    return line
