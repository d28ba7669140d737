"""What a job prints, as it prints it."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Generator
from typing import Any, TypeAlias

import attrs

from runtime_core.errors import TransportError
from runtime_core.polling import retry_delay

_SOONEST = 0.1
_LATEST = 1.0


@attrs.frozen
class LogPart:
    """A part of a job's log."""

    start: int
    """Where it begins: so many bytes of the log are before it."""
    data: bytes = attrs.field(repr=False)
    """What stands there, to the end of what there is now."""


@attrs.frozen
class ReadFrom:
    """Ask for the log from this byte on; send the `LogPart`, or the `TransportError`."""

    start: int
    """How many bytes of the log are not wanted."""


@attrs.frozen
class PauseFor:
    """Wait; send None."""

    seconds: float
    """How long."""


@attrs.frozen
class EndsWithin:
    """Wait until the job ends; send whether it has ended."""

    seconds: float
    """How long at most."""


LogStep: TypeAlias = ReadFrom | PauseFor | EndsWithin | str
"""What is to be done next; a text is for whoever follows the log, and needs no answer."""


def log_steps() -> Generator[LogStep, Any, None]:
    """Say step by step how a log is followed until its job has ended; does no I/O itself.

    Failures of the service that may pass are tried again, without end. Where the service has
    dropped something that was not read yet, a line in square brackets says how much.

    Raises:
        TransportError: if the service refuses to tell.
    """
    decoder = getincrementaldecoder("utf-8")(errors="replace")
    position, failures, delay = 0, 0, _SOONEST
    has_ended = yield EndsWithin(0)
    while True:
        part = yield ReadFrom(position)
        if isinstance(part, TransportError):
            if not part.retryable:
                raise part
            failures += 1
            yield PauseFor(retry_delay(failures, part.retry_after))
            continue
        failures = 0
        missing = part.start - position
        data = part.data[max(0, -missing) :]
        if data and missing > 0:
            yield f"{decoder.decode(b'', True)}[{missing} bytes of the log are not kept any more]\n"
            position = part.start
        position += len(data)
        if text := decoder.decode(data):
            yield text
        if has_ended and not data:
            break
        if not has_ended:
            delay = _SOONEST if data else min(2 * delay, _LATEST)
            # The log is read once more after the end, so that its last words are not lost.
            has_ended = yield EndsWithin(delay)
    if rest := decoder.decode(b"", True):
        yield rest
