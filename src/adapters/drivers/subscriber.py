"""Who gets interim results: a callback on the callback threads, or an iterator in the caller's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from adapters.closing import Closing
from adapters.drivers.inbox import Batch, End, Gap, Inbox, Item, Mark
from adapters.drivers.interim_items import InterimItems, Nothing
from adapters.drivers.reactor import ThreadReactor
from adapters.value_type import Value

logger = logging.getLogger(__name__)


class Subscriber(Protocol):
    """Takes what the machine delivers, in order. All methods are called on the loop."""

    @property
    def error(self) -> BaseException | None:
        """Why nothing more is delivered: the user's exception or the service's failure."""
        ...

    @property
    def delivered(self) -> int:
        """The cursor of what was delivered: those messages that the user is through with.

        Those before the start of the subscription are counted too. May be read from every thread.
        """
        ...

    @property
    def is_full(self) -> bool:
        """Whether it has enough to do for now."""
        ...

    @property
    def is_caller(self) -> bool:
        """Whether the caller is the user's callback."""
        ...

    @property
    def is_waited_for(self) -> bool:
        """Whether `result()` returns only when this has got everything."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether the user's callback has still to get something."""
        ...

    def put(self, item: Item) -> None:
        """Take one item; must not block."""
        ...

    def drop(self) -> None:
        """The subscriber wants nothing more: forget what it has not got yet."""
        ...

    def after_fork(self, error: Exception) -> None:
        """In the child of a fork: nothing more comes, and the error says why."""
        ...


class CallbackSubscriber:
    """Calls the user's callback for each message, one after the other, never on the loop.

    Args:
        reactor: whose callback threads are used.
        inbox: what waits for the callback.
        receive: decodes one message and calls the user's callback with it.
        on_gap: the user's callback for gaps, if there is one.
        cancel: called when the callback has failed, to end the subscription.
        start: the cursor at which the subscription starts.
    """

    def __init__(
        self,
        reactor: ThreadReactor,
        inbox: Inbox,
        receive: Callable[[str], object],
        on_gap: Callable[[Gap], object] | None,
        cancel: Callable[[], None],
        start: int = 0,
    ) -> None:
        self._reactor = reactor
        self._inbox = inbox
        self._receive = receive
        self._on_gap = on_gap
        self._cancel = cancel
        self._dropped = False
        self._complete = False
        self._runner: int | None = None
        self.error: BaseException | None = None
        """See `Subscriber`."""
        self.delivered = start
        """See `Subscriber`: it moves when a call of the callback has returned."""

    @property
    def is_caller(self) -> bool:
        """Whether the caller is this subscriber's callback."""
        return self._runner == threading.get_ident()

    @property
    def is_waited_for(self) -> bool:
        """See `Subscriber`."""
        return True

    @property
    def is_behind(self) -> bool:
        """See `Subscriber`."""
        return not (self._dropped or self._complete)

    @property
    def is_full(self) -> bool:
        """See `Subscriber`."""
        return self._inbox.is_full and not self._dropped

    def put(self, item: Item) -> None:
        """See `Subscriber`."""
        if self._inbox.put(item):
            self._reactor.run_callback(self._run)

    def drop(self) -> None:
        """See `Subscriber`."""
        self._dropped = True

    def after_fork(self, error: Exception) -> None:
        """See `Subscriber`."""
        self._dropped = True
        self.error = error

    def _run(self) -> None:
        """Handle one item. Others may have to be handled in between, so this is not a loop."""
        item = self._inbox.peek()
        assert item is not None
        self._runner = threading.get_ident()
        try:
            self._handle(item)
        except BaseException as error:
            # The user's code: its failure, be it a SystemExit, is theirs to see, and must not end
            # the job's watch.
            logger.exception("the callback for interim results failed; no more are delivered")
            self._dropped = True
            self.error = error
            self._cancel()
        finally:
            self._runner = None
            if self._inbox.take():
                self._reactor.run_callback(self._run)

    def _handle(self, item: Item) -> None:
        match item:
            case Mark(reached):
                reached()
            case End(error):
                self._complete = True
                if not self._dropped:
                    self.error = error
            case Gap():
                if self._on_gap is not None and not self._dropped:
                    self._on_gap(item)
            case Batch(messages):
                for message in messages:
                    if self._dropped:
                        return
                    self._receive(message)
                    self.delivered += 1


class InterimResults(Closing, Iterator[Value]):
    """The interim results of a job, decoded, as they come; `Gap` where some may be missing.

    Ends when the stream is complete. Made by `RuntimeJob.interim_results`; used by one thread.
    `close()` it, or use it in a `with`, if you leave before the end.

    An interim result counts as delivered, for `RuntimeJob.handle`, when the next one is asked for,
    or the `with` is left without an exception.
    """

    def __init__(
        self,
        reactor: ThreadReactor,
        decode: Callable[[str], object],
        cancel: Callable[[], None],
        on_change: Callable[[], None],
        start: int = 0,
    ) -> None:
        self._reactor = reactor
        self._on_change = on_change
        self._items = InterimItems(Inbox(on_change), decode, cancel, start)
        self._arrived = threading.Event()

    @property
    def error(self) -> BaseException | None:
        """See `Subscriber`."""
        return self._items.error

    @property
    def delivered(self) -> int:
        """See `Subscriber`."""
        return self._items.delivered

    @property
    def is_caller(self) -> bool:
        """See `Subscriber`."""
        return False

    @property
    def is_waited_for(self) -> bool:
        """See `Subscriber`: who iterates is at no one's service."""
        return False

    @property
    def is_behind(self) -> bool:
        """See `Subscriber`: it has no callback."""
        return False

    @property
    def is_full(self) -> bool:
        """See `Subscriber`."""
        return self._items.is_full

    def put(self, item: Item) -> None:
        """See `Subscriber`."""
        self._items.put(item)
        self._arrived.set()

    def drop(self) -> None:
        """See `Subscriber`."""
        self._items.ended = True
        self._arrived.set()

    def after_fork(self, error: Exception) -> None:
        """See `Subscriber`."""
        # New ones: a thread that is not there any more may hold the locks of the old.
        self._items.inbox = Inbox(self._on_change)
        self._arrived = threading.Event()
        self.put(End(error))

    def __next__(self) -> Value:
        """Wait for the next interim result.

        Raises:
            StopIteration: when the stream is complete.
            DecodeError: if an interim result does not decode; nothing more follows then.
            ServiceError: if the stream cannot be had to its end.
        """
        while (item := self._items.take()) is Nothing.YET:
            self._reactor.wait(self._arrived, None)
            self._arrived.clear()
        if item is Nothing.MORE:
            raise StopIteration
        found: Value = item  # which type that is, says who gave the decoder
        return found

    def close(self) -> None:
        """Let go of the stream; the job goes on."""
        self._items.close()

    def __exit__(self, *raised: object) -> None:
        if raised[0] is None:
            self._items.count_given()
        self.close()
