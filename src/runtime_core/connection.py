"""The tables of the stream region: a connection to the service, and a subscription of the caller.

The two are apart, because a wait opens a connection for the hint that its end is, and because one
subscription outlives many connections.
"""

from __future__ import annotations

from enum import Enum


class ConnectionState(Enum):
    """What there is of a connection."""

    CLOSED = "closed"
    """None, and nothing is planned."""
    OPENING = "opening"
    """It was ordered; the handshake is not through."""
    OPEN = "open"
    """Messages may come."""
    RETRYING = "retrying"
    """None; the STREAM timer is armed, and then it is tried again."""

    __hash__ = object.__hash__


class ConnectionSignal(Enum):
    """What moves a connection."""

    OPEN = "a connection is wanted now"
    OPENED = "the handshake is through"
    HOLD = "the service does not stream the job before it runs"
    ENDED = "it ended, and one is still wanted"
    DROP = "none is wanted any more"

    __hash__ = object.__hash__


class SubscriptionState(Enum):
    """Whether somebody gets the interim results."""

    NONE = "none"
    """Nobody asked for them yet."""
    ACTIVE = "active"
    """Somebody gets them."""
    ENDED = "ended"
    """The last subscription is over; another may follow."""

    __hash__ = object.__hash__


class SubscriptionSignal(Enum):
    """What moves a subscription."""

    SUBSCRIBE = "somebody wants the interim results"
    END = "they are complete, failed, or no longer wanted"

    __hash__ = object.__hash__


_CLOSED, _OPENING = ConnectionState.CLOSED, ConnectionState.OPENING
_OPEN, _RETRYING = ConnectionState.OPEN, ConnectionState.RETRYING

# Columns: OPEN, OPENED, HOLD, ENDED, DROP. A connection that is not current is absorbed before.
_ROWS = {
    _CLOSED: (_OPENING, _CLOSED, _CLOSED, _CLOSED, _CLOSED),
    _OPENING: (_OPENING, _OPEN, _CLOSED, _RETRYING, _CLOSED),
    _OPEN: (_OPEN, _OPEN, _CLOSED, _RETRYING, _CLOSED),
    _RETRYING: (_OPENING, _RETRYING, _RETRYING, _RETRYING, _CLOSED),
}

CONNECTION: dict[tuple[ConnectionState, ConnectionSignal], ConnectionState] = {
    (state, signal): target
    for state, row in _ROWS.items()
    for signal, target in zip(ConnectionSignal, row, strict=True)
}
"""(state, signal) -> the state that follows."""

SUBSCRIPTION: dict[tuple[SubscriptionState, SubscriptionSignal], SubscriptionState] = {
    (SubscriptionState.NONE, SubscriptionSignal.SUBSCRIBE): SubscriptionState.ACTIVE,
    (SubscriptionState.ENDED, SubscriptionSignal.SUBSCRIBE): SubscriptionState.ACTIVE,
    (SubscriptionState.NONE, SubscriptionSignal.END): SubscriptionState.NONE,
    (SubscriptionState.ACTIVE, SubscriptionSignal.END): SubscriptionState.ENDED,
    (SubscriptionState.ENDED, SubscriptionSignal.END): SubscriptionState.ENDED,
}
"""(state, signal) -> the state that follows. The one pair that is not here is refused: of two
simultaneous subscriptions exactly one wins."""
