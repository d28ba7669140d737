"""The view for programs that read the output."""

from __future__ import annotations

import json
from types import TracebackType
from typing import IO, Any, Self

from adapters.cli.tagged import valid_json
from adapters.cli.text import progress
from adapters.cli.views import say


class JsonView:
    """One JSON object a line for each thing that happens; see `options.FOLLOWING_EPILOG`.

    Values are expected with their tags, as they came. Sentences for people go to stderr.
    """

    def __init__(self, out: IO[str], err: IO[str]) -> None:
        self._out = out
        self._err = err

    def begin(self, what: str) -> None:
        """Nothing: there is no job to tell of."""

    def job(self, event: str, program: str, job_id: str, where: str) -> None:  # noqa: ARG002
        """See `View`."""
        self._event(event, job=job_id, program=program)

    def state(self, seconds: float | None, word: str) -> None:
        """See `View`."""
        self._event("state", seconds=_rounded(seconds), state=word, position=None)

    def queued(self, seconds: float | None, position: int) -> None:
        """See `View`."""
        self._event("state", seconds=_rounded(seconds), state="queued", position=position)

    def interim(self, seconds: float | None, value: Any) -> None:
        """See `View`."""
        self._event("interim", seconds=_rounded(seconds), progress=progress(value), value=value)

    def note(self, text: str) -> None:
        """See `View`."""
        self._event("note", text=text)

    def aside(self, text: str) -> None:
        """See `View`."""
        say(self._err, text)

    def tick(self, seconds: float | None) -> None:
        """Nothing: time is no event."""

    def result(self, seconds: float | None, value: Any) -> None:
        """See `View`."""
        self._event("result", seconds=_rounded(seconds), value=value)

    def failed(self, seconds: float | None, reason: str | None, code: int | str | None) -> None:
        """See `View`."""
        self._event("failed", seconds=_rounded(seconds), reason=reason, code=code)

    def cancelled(self, seconds: float | None) -> None:
        """See `View`."""
        self._event("cancelled", seconds=_rounded(seconds))

    def left(self, why: str, job_id: str | None, text: str) -> None:
        """See `View`."""
        say(self._err, text)
        self._event("left", why=why, job=job_id)

    def error(self, text: str) -> None:
        """See `View`."""
        self._event("error", message=text)
        say(self._err, text)

    def _event(self, event: str, **facts: Any) -> None:
        self._out.write(f"{valid_json(json.dumps({'event': event, **facts}))}\n")
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


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
