"""What a stream may tell: its events are held against that, whoever's protocol or iterator it is.

The machine takes what it is told for true. So what breaks a rule goes no further than here: it ends
the stream, with an error that says which rule it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runtime_core.errors import RuntimeCoreError, TransportError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)

LAST = (StreamNotReady, StreamClosed, StreamFailed)
"""After one of these there is nothing more."""
_KINDS = (StreamOpened, InterimReceived, *LAST)


class StreamRules:
    """Checks the events of one connection. Used by one thread at a time.

    Args:
        connection: the number that they have to carry.
    """

    __slots__ = ("_connection", "is_open")

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self.is_open = False
        """Whether `StreamOpened` was among them."""

    def checked(self, events: Iterable[object]) -> Sequence[StreamEvent]:
        """Give the events up to the last one of the stream, or to the first that breaks a rule.

        In the place of that stands a `StreamFailed`.
        """
        good: list[StreamEvent] = []
        try:
            for event in events:
                good.append(self._checked(event))
                if isinstance(good[-1], LAST):
                    break
        except Exception as error:  # of somebody's iterable
            good.append(self.raised("what it gave could not be read", error))
        return good

    def raised(self, what: str, error: BaseException) -> StreamFailed:
        """Give the event of a stream whose reader, or iterator, raised; it may be tried again."""
        if isinstance(error, RuntimeCoreError):
            return self._checked_failure(StreamFailed(self._connection, error))
        message = f"The stream failed: {what}: {type(error).__name__}: {error}"
        failure = TransportError(message.rstrip(": "), retryable=True)
        failure.__cause__ = error
        return StreamFailed(self._connection, failure)

    def ran_out(self) -> StreamFailed:
        """Give the event of a stream whose iterator ended before the stream did; so it broke."""
        message = "The stream failed: its iterator ended, and had not said that the stream does."
        return StreamFailed(self._connection, TransportError(message, retryable=True))

    def failed(self, what: str) -> StreamFailed:
        """Give the event of a stream that broke a rule: the transport is to be mended."""
        return StreamFailed(
            self._connection, TransportError(f"The transport broke a rule of streams: {what}.")
        )

    def _checked(self, event: object) -> StreamEvent:
        if not isinstance(event, _KINDS):
            return self.failed(f"it gave one {type(event).__name__}, and that is no StreamEvent")
        if event.connection != self._connection:
            return self.failed(
                f"its {type(event).__name__} carries the connection {event.connection!r}, but the "
                f"OpenStream carried {self._connection}"
            )
        if isinstance(event, InterimReceived):
            return self._checked_messages(event)
        if isinstance(event, StreamOpened):
            self.is_open = True
        elif isinstance(event, StreamFailed):
            return self._checked_failure(event)
        return event

    def _checked_failure(self, event: StreamFailed) -> StreamFailed:
        if not isinstance(event.error, Exception):
            return self.failed(f"the error of its StreamFailed is {event.error!r}, no exception")
        if isinstance(event.error, TransportError) and not is_wait(event.error.retry_after):
            return self.failed(f"the retry_after of its error is {event.error.retry_after!r}")
        return event

    def _checked_messages(self, event: InterimReceived) -> StreamEvent:
        if not self.is_open:
            return self.failed("it gave messages before a StreamOpened")
        messages: object = event.messages
        if not isinstance(messages, tuple):
            return self.failed(f"messages are a tuple of texts, not one {type(messages).__name__}")
        # Nearly always they are all of the very type, and then this is quick.
        if set(map(type, messages)) - _TEXT and not all(isinstance(each, str) for each in messages):
            return self.failed("it gave a message that is no text")
        return event


def is_wait(seconds: object) -> bool:
    """Whether this can be how long a service asked to wait: a number of seconds, or None."""
    return seconds is None or isinstance(seconds, int | float)


_TEXT = {str}
