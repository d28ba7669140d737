"""What is the same of streams that are iterators, whichever way they are iterated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from adapters.drivers import channel
from adapters.drivers.channel import Listener
from adapters.drivers.loop import Loop, Task, TimerHandle
from adapters.drivers.stream_rules import LAST, StreamRules
from runtime_core.errors import TransportError
from runtime_core.events import StreamFailed


class EventChannel(ABC):
    """A `Channel` that is given events, not bytes. Lives on the loop."""

    def __init__(self, loop: Loop, connection: int, listener: Listener) -> None:
        self.on_gone: Task | None = None
        """See `OwnedChannel`."""
        self._loop = loop
        self._connection = connection
        self._listener: Listener | None = listener
        self._rules = StreamRules(connection)
        self._deadline: TimerHandle | None = loop.call_later(
            channel.OPEN_TIMEOUT, self._on_open_timeout
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection}>"

    def close(self) -> None:
        """See `Channel`."""
        if self._listener is not None:
            self._end()

    def after_fork(self) -> None:
        """See `OwnedChannel`: the iterator is the parent's, and is not touched."""
        self._listener = self._deadline = None

    @abstractmethod
    def _let_go(self) -> None:
        """Nobody is told anything any more: iterate no further, close the iterator."""

    def _tell(self, events: Iterable[object]) -> None:
        """Hand on what the iterator gave, if it is as it must be; and end with the last event."""
        listener = self._listener
        if listener is None:
            return
        checked = self._rules.checked(events)
        if self._rules.is_open:
            self._disarm()
        if checked and isinstance(checked[-1], LAST):
            self._end()
        if checked:
            listener(checked)

    def _on_open_timeout(self) -> None:
        what = f"its iterator gave nothing for {channel.OPEN_TIMEOUT:g} s"
        error = TransportError(f"The stream failed: {what}.", retryable=True)
        self._tell((StreamFailed(self._connection, error),))

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._listener = None
        self._disarm()
        self._let_go()

    def _gone(self) -> None:
        gone, self.on_gone = self.on_gone, None
        if gone is not None:
            gone()
