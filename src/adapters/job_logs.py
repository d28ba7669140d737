"""What a job prints, as it prints it."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator

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


def follow_log(
    read: Callable[[int], LogPart],
    ends_within: Callable[[float], bool],
    pause: Callable[[float], object],
) -> Iterator[str]:
    """Give what a job has printed, then what it prints, until it has ended.

    Failures of the service that may pass are tried again, without end. Where the service has
    dropped something that was not read yet, a line in square brackets says how much.

    Args:
        read: asks for the log from a byte on.
        ends_within: waits until the job ends, at most so many seconds; whether it has ended.
        pause: waits so many seconds.

    Raises:
        TransportError: if the service refuses to tell.
    """
    decoder = getincrementaldecoder("utf-8")(errors="replace")
    position, failures, delay = 0, 0, _SOONEST
    has_ended = ends_within(0)
    while True:
        try:
            part = read(position)
        except TransportError as error:
            if not error.retryable:
                raise
            failures += 1
            pause(retry_delay(failures, error.retry_after))
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
            has_ended = ends_within(delay)
    if rest := decoder.decode(b"", True):
        yield rest
