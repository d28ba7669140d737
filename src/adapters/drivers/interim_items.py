"""The way of an iterator over interim results through its inbox, whoever waits in front of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from adapters.drivers.inbox import Batch, End, Gap, Inbox, Item, Mark


class Nothing(Enum):
    """Why there is no next item."""

    YET = auto()
    """One may come: wait for it."""
    MORE = auto()
    """The stream is complete, or was let go of."""


class InterimItems:
    """Takes what the machine delivers, and gives it decoded, one by one; waits for nothing.

    The half of a `Subscriber` that is the same for threads and for asyncio.
    """

    def __init__(
        self, inbox: Inbox, decode: Callable[[str], Any], cancel: Callable[[], None], start: int = 0
    ) -> None:
        self.inbox = inbox
        self.ended = False
        """Whether nothing more is given."""
        self.error: BaseException | None = None
        """See `Subscriber`."""
        self.delivered = start
        """See `Subscriber`: who asks for the next one is through with the one before."""
        self._given = 0
        self._decode = decode
        self._cancel = cancel
        self._batch: tuple[str, ...] = ()
        self._next = 0

    @property
    def is_full(self) -> bool:
        """See `Subscriber`."""
        return self.inbox.is_full and not self.ended

    def put(self, item: Item) -> None:
        """See `Subscriber`."""
        if isinstance(item, Mark):
            item.reached()  # who iterates is at no one's service: nobody waits for them
        else:
            self.inbox.put(item)

    def take(self) -> Any:
        """Give the next interim result, or a `Gap`; `Nothing` if there is none.

        Raises:
            DecodeError: if it does not decode; nothing more follows then.
            ServiceError: if the stream cannot be had to its end.
        """
        self.count_given()
        while not self.ended:
            if self._next < len(self._batch):
                message = self._batch[self._next]
                self._next += 1
                value = self._decoded(message)
                self._given = 1
                return value
            item = self.inbox.peek()
            if item is None:
                return Nothing.YET
            self.inbox.take()
            match item:
                case Batch(messages):
                    self._batch, self._next = messages, 0
                case Gap():
                    return item
                case End(error):
                    self.ended = True
                    self.error = error
                    if error is not None:
                        raise error
                case Mark():
                    pass  # not put in
        return Nothing.MORE

    def count_given(self) -> None:
        """Whoever was given the last one is through with it."""
        self.delivered += self._given
        self._given = 0

    def _decoded(self, message: str) -> Any:
        try:
            return self._decode(message)
        except BaseException as error:
            self.error = error
            self.close()
            raise

    def close(self) -> None:
        """Let go of the stream; the job goes on."""
        if not self.ended:
            self.ended = True
            self._cancel()
