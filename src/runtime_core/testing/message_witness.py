"""What a subscriber may expect: every message once, in order, and gaps only where they can be."""

from __future__ import annotations

from collections import deque

import attrs

from runtime_core.commands import Command, Deliver, DeliverGap, DeliveryCommand, EndSubscription
from runtime_core.events import (
    Event,
    InterimReceived,
    ReplayRequested,
    RequestFailed,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
)
from runtime_core.testing.ledger import Ledger, require
from runtime_core.testing.truth import Truth
from runtime_core.traits import ServiceTraits

_LAST = (StreamClosed, StreamFailed, StreamNotReady)


@attrs.define
class MessageWitness:
    """What must be delivered to the present subscription.

    The texts of the messages must differ, or it could not tell one from another.
    """

    traits: ServiceTraits
    """The kind of service."""
    cursor: int = 0
    """How many messages the subscription has, where the service keeps them."""
    carried: deque[str] = attrs.Factory(deque)
    """What a live connection carried for the subscription, and was not delivered yet."""
    last: int | None = None
    """The place of the last message that a live subscription was handed; None if there is none."""
    is_excused: bool = False
    """Whether messages may be missing here: a gap was told, or nobody could know of one."""
    is_cut: bool = False
    """Whether a connection has ended since the subscription began."""
    is_cancelled: bool = False
    """Whether the caller ended the subscription."""

    def foresee(self, event: Event, ledger: Ledger, truth: Truth) -> None:
        """Note what the machine is about to be told."""
        if isinstance(event, InterimReceived):
            carried = ledger.connected and event.connection == ledger.connection
            if carried and ledger.subscription and not self.traits.keeps_interim:
                self.carried.extend(event.messages)
        elif isinstance(event, _LAST) and event.connection == ledger.connection:
            self.is_cut = True
            if not isinstance(event, StreamClosed):
                return
            # If the job ends before it is asked for, nobody can know that it was not the end.
            known_to_go_on = truth.state.is_final or event.code != 1000
            self.is_excused |= not (self.traits.keeps_interim or known_to_go_on)

    def note(self, event: Event) -> None:
        """Note what the machine took."""
        match event:
            case SubscriptionRequested(after=after) | ReplayRequested(after=after):
                self.cursor = after
                self.carried.clear()
                self.last = None
                self.is_excused = self.is_cut = self.is_cancelled = False
            case SubscriptionCancelled():
                self.is_cancelled = True
            case _:
                pass

    def check(self, command: DeliveryCommand, event: Event, truth: Truth) -> None:
        """Check what the subscriber gets.

        Raises:
            AssertionError: if a rule is broken.
        """
        match command:
            case Deliver(messages=messages):
                if self.traits.keeps_interim:
                    self._check_kept(messages, event, truth)
                else:
                    self._check_live(messages, truth)
            case DeliverGap():
                # A connection that stays silent, again and again, is the one excuse.
                may_be = not self.traits.keeps_interim or isinstance(event, TimerFired)
                require(may_be, "a gap where the service keeps all messages")
                self.is_excused = True
            case EndSubscription(error=None) if not self.is_cancelled:
                self._check_end(truth)
            case _:
                pass

    def check_reopened(self, commands: tuple[Command, ...]) -> None:
        """Check that a subscriber whose live connection was lost hears of it with the next one.

        Raises:
            AssertionError: if it does not.
        """
        # Where the last message may be the result, it is held back, and the gap with it.
        is_gap = self.is_cut and not self.traits.keeps_interim and not self.traits.streams_result
        is_told = any(isinstance(command, DeliverGap) for command in commands)
        require(is_told or not is_gap, "what may have been missed is no gap")

    def _check_kept(self, messages: tuple[str, ...], event: Event, truth: Truth) -> None:
        end = self.cursor + len(messages)
        expected = truth.stream(self.traits)[self.cursor : end]
        require(messages == expected, "other messages than the service published")
        self.cursor = end
        if end > len(truth.published):
            self._check_shown_result(event)

    def _check_live(self, messages: tuple[str, ...], truth: Truth) -> None:
        for text in messages:
            known = bool(self.carried) and self.carried.popleft() == text
            require(known, "another message than the connection carried")
            place = truth.place_of(text, self.last, self.traits)
            require(place is not None, "a message that comes again, or was never published")
            is_next = self.last is None or place == self.last + 1
            require(is_next or self.is_excused, "messages were lost in silence")
            self.last, self.is_excused = place, False

    def _check_shown_result(self, event: Event) -> None:
        # Where the result cannot be had, nobody can tell that the last message was it.
        require(isinstance(event, RequestFailed), "the result was shown as an interim message")

    def _check_end(self, truth: Truth) -> None:
        count = len(truth.published)
        if self.traits.keeps_interim:
            is_complete = self.cursor >= count
        else:
            is_complete = self.last is None or self.last + 1 >= count
            left = tuple(self.carried)
            result = (truth.result,) if self.traits.streams_result else ()
            require(left in ((), result), "messages were carried, and not delivered")
        require(is_complete or self.is_excused, "a stream ended before its end")
