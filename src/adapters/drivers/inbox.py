"""What a subscriber has still to get: bounded, in order, filled on the loop, emptied elsewhere."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import attrs

MESSAGE_LIMIT = 10_000
"""How many messages wait for the subscriber before the socket is not read any more."""
BYTE_LIMIT = 64 * 1024 * 1024
"""How many characters of messages wait before the socket is not read any more."""


@attrs.frozen
class Batch:
    """Messages, none of them decoded."""

    messages: tuple[str, ...]
    """The interim results, in order."""


@attrs.frozen
class Gap:
    """Interim results may be missing here: the service does not keep them."""

    after: int
    """How many interim results there were before this."""


@attrs.frozen
class End:
    """Nothing more follows."""

    error: Exception | None
    """Why it ended early; None if it is complete, or the subscriber wanted its end."""


@attrs.frozen
class Mark:
    """Everything before this is through."""

    reached: Callable[[], None]
    """What is called then."""


Item: TypeAlias = Batch | Gap | End | Mark


class Inbox:
    """A queue for one subscriber.

    `put` is called on the loop and never blocks; `take` by one thread at a time. When more waits
    than the limits allow it is full, until half of that has been taken; `on_change` is called when
    this changes, from the thread that caused it.
    """

    __slots__ = ("_full", "_items", "_lock", "_messages", "_on_change", "_size")

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._messages = 0
        self._size = 0
        self._full = False
        self._on_change = on_change

    @property
    def is_full(self) -> bool:
        """Whether no more should be put in for now."""
        return self._full

    def put(self, item: Item) -> bool:
        """Add an item; return whether the queue was empty before."""
        with self._lock:
            was_empty = not self._items
            self._items.append(item)
            changed = False
            if isinstance(item, Batch):
                self._messages += len(item.messages)
                self._size += sum(map(len, item.messages))
                over = self._messages > MESSAGE_LIMIT or self._size > BYTE_LIMIT
                changed = over and not self._full
                self._full = self._full or over
        if changed:
            self._on_change()
        return was_empty

    def peek(self) -> Item | None:
        """The next item, which stays; None if there is none. Called by who takes."""
        return self._items[0] if self._items else None

    def take(self) -> bool:
        """Remove the next item; return whether there are more."""
        with self._lock:
            item = self._items.popleft()
            more = bool(self._items)
            if isinstance(item, Batch):
                self._messages -= len(item.messages)
                self._size -= sum(map(len, item.messages))
            changed = (
                self._full
                and self._messages <= MESSAGE_LIMIT // 2
                and self._size <= BYTE_LIMIT // 2
            )
            if changed:
                self._full = False
        if changed:
            self._on_change()
        return more
