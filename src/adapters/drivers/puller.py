"""The half of an iterator's stream that is on a thread of its own: it pulls, and it may block."""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

from adapters.drivers.stream_rules import LAST, StreamRules
from runtime_core.events import StreamEvent

logger = logging.getLogger(__name__)

AHEAD = 16
"""How many events are pulled at most before the first of them is taken."""


class Puller:
    """Pulls events from one iterator, a few ahead of who takes them.

    `run` is for the thread; everything else may be called from every thread, and does not block.

    Args:
        events: gives them.
        rules: says what to tell when it raises, or ends too early.
        ring: called when there is something to take, and there was nothing before.
    """

    def __init__(
        self, events: Iterator[StreamEvent], rules: StreamRules, ring: Callable[[], None]
    ) -> None:
        self._events = events
        self._rules = rules
        self._ring = ring
        # Reentrant, since what calls `forget` is the garbage collector, at any moment.
        self._changed = threading.Condition(threading.RLock())
        self._ahead: deque[object] = deque()
        self._is_wanted = True
        self._is_closed = False

    def run(self) -> None:
        """Pull until the stream has ended, or nobody wants more of it; then close the iterator."""
        try:
            while self._is_wanted and self._hand_over(self._next()):
                pass
        finally:
            self._close()

    def take(self) -> list[object]:
        """Give what has been pulled."""
        with self._changed:
            taken = list(self._ahead)
            self._ahead.clear()
            self._changed.notify()
        return taken

    def stop(self) -> None:
        """Nobody wants more: what was pulled is dropped, and nothing is pulled any more."""
        with self._changed:
            self._is_wanted = False
            self._ahead.clear()
            self._changed.notify()

    def forget(self) -> None:
        """The same, for the garbage collector, which waits for nothing.

        In the child of a fork the lock may be held by a thread that is not there.
        """
        self._is_wanted = False
        if self._changed.acquire(blocking=False):
            self._changed.notify()
            self._changed.release()

    @property
    def can_be_broken_off(self) -> bool:
        """Whether the iterator can be closed while the thread is in it. A generator cannot."""
        return not inspect.isgenerator(self._events) and hasattr(self._events, "close")

    def break_off(self) -> None:
        """Close the iterator, which may block; it is the iterator's part to let the thread go."""
        self._close()

    # ---- the thread ----------------------------------------------------------------------------

    def _next(self) -> object:
        try:
            return next(self._events)
        except StopIteration:
            return self._rules.ran_out()
        except BaseException as error:  # a SystemExit, too: the stream is over
            return self._rules.raised("its iterator raised", error)

    def _hand_over(self, event: object) -> bool:
        """Leave an event to be taken; return whether another is wanted."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_wanted or len(self._ahead) < AHEAD)
            if not self._is_wanted:
                return False
            was_empty = not self._ahead
            self._ahead.append(event)
        if was_empty:
            self._ring()
        return not isinstance(event, LAST)

    def _close(self) -> None:
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
        close = getattr(self._events, "close", None)
        if close is None:
            return
        try:
            close()
        except Exception:
            logger.warning("the iterator of a stream could not be closed", exc_info=True)
