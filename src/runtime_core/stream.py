"""The stream region: one connection at a time, one subscription at a time, and the cursor.

The cursor is the number of messages received, by this machine or by another before it. It makes
what is delivered gapless, in order and without repeats, whatever the service does on a reconnect.
"""

from __future__ import annotations

import attrs

from runtime_core.commands import (
    CloseStream,
    Command,
    Deliver,
    DeliverGap,
    EndSubscription,
    OpenStream,
    StartTimer,
    StopTimer,
)
from runtime_core.connection import (
    CONNECTION,
    SUBSCRIPTION,
    ConnectionSignal,
    ConnectionState,
    SubscriptionSignal,
    SubscriptionState,
)
from runtime_core.errors import TransportError
from runtime_core.events import StreamClosed, StreamFailed, StreamNotReady, TimerName
from runtime_core.numbered import numbered
from runtime_core.polling import retry_delay
from runtime_core.tables import by_state
from runtime_core.traits import Resume, ServiceTraits

DRAIN_DEADLINE = 10.0
"""Seconds without a message after which a connection of a final job is given up, if its service
does not close it."""

LAST_ATTEMPTS = 5
"""How many connections in a row may fail or stay silent, without a message, after the job was found
final."""

NORMAL_CLOSE = 1000

_NO_REQUEST = 2**63
"""Greater than the number of any request."""

# On Python 3.11 a member costs ten times as much to look up on its Enum as a global (53 ns, 5).
_OPEN, _CLOSED = ConnectionState.OPEN, ConnectionState.CLOSED
_OPEN_NOW, _OPENED, _DROP = ConnectionSignal.OPEN, ConnectionSignal.OPENED, ConnectionSignal.DROP
_ACTIVE, _SUBSCRIBE = SubscriptionState.ACTIVE, SubscriptionSignal.SUBSCRIBE
_OFFSET, _REPLAY = Resume.OFFSET, Resume.REPLAY
_STREAM = TimerName.STREAM
_STOP = StopTimer(_STREAM)
_drain_timer = numbered(lambda number: StartTimer(_STREAM, number, DRAIN_DEADLINE))
_CONNECTED_FROM, _SUBSCRIBED_FROM = by_state(CONNECTION), by_state(SUBSCRIPTION)


@attrs.define(eq=False, weakref_slot=False)
class StreamRegion:
    """The streams of one job. `JobMachine` asks; every method appends its commands to `out`."""

    traits: ServiceTraits
    connection: ConnectionState = ConnectionState.CLOSED
    current: int = 0
    """The number of the connection that is OPENING or OPEN; 0 if there is none."""
    opened: int = 0
    """How many connections there have been; the last one's number."""
    position: int = 0
    """The position in the job's stream of the next message on this connection."""
    cursor: int = 0
    """How many messages were received, those before the start of the subscription included."""
    attempts: int = 0
    """How many connections in a row ended without moving the cursor."""
    timer: int = 0
    """The number of the STREAM timer that is armed; 0 if none is."""
    timers: int = 0
    """How many STREAM timers there have been."""
    armed_at: int = 0
    """Where the position stood when the STREAM timer was armed; -1 if the peer was heard since."""
    subscription: SubscriptionState = SubscriptionState.NONE
    subscriber: int = 0
    """The number of the subscription."""
    exposed: bool = False
    """Whether this subscription had or tried a connection before the next one."""
    clean_mark: int = 0
    """If the last connection was closed with 1000, the number that the next request had then; 0
    once the job was seen to go on after that."""
    last_pass: bool = False
    """Whether this is the one connection that is made after the job was found final."""
    held: str | None = None
    """The last message, where it may be the final result; delivered once it is known not to be."""
    held_mark: int = 0
    """The number of the first request whose answer may show that it is not the result."""
    failure: Exception | None = None
    """Why the stream ended early, while the last message is still held."""
    gap_follows: bool = False
    """Whether messages may be missing right after the one that is held."""

    @property
    def is_active(self) -> bool:
        """Whether somebody gets the messages."""
        return self.subscription is _ACTIVE

    @property
    def is_open(self) -> bool:
        """Whether messages may come."""
        return self.connection is _OPEN

    @property
    def needs_result(self) -> bool:
        """Whether only the text of the result can tell what the last message was."""
        return self.held is not None and self.connection is _CLOSED

    # ---- the subscription ----------------------------------------------------------------------

    def subscribe(self, subscriber: int, after: int, out: list[Command]) -> None:
        """Begin a subscription after so many messages, or at now where the service is live only."""
        self.subscription = _SUBSCRIBED_FROM[self.subscription][_SUBSCRIBE]
        self.subscriber = subscriber
        self.last_pass = self.exposed = False
        self.failure = None
        self.cursor = after
        if self.traits.keeps_interim:
            if not self._comes_by(after):
                self.drop(out)
        else:
            self.position = after
            if after > 0:
                # Whatever was published since those were delivered: nobody can get it any more.
                self._gap(out)
        if self.current == 0:
            self.open(out)

    def _comes_by(self, cursor: int) -> bool:
        """Whether the connection, which a wait has opened, will carry the message at the cursor."""
        if self.traits.resume is _OFFSET:
            return self.position == cursor  # a new one is cheaper than all that is to be skipped
        return self.position <= cursor

    def end(self, out: list[Command], error: Exception | None = None) -> None:
        """End the subscription, if there is one; the connection is another matter."""
        if not self.is_active:
            return
        self.subscription = _SUBSCRIBED_FROM[self.subscription][SubscriptionSignal.END]
        self.held, self.gap_follows = None, False
        out.append(EndSubscription(self.subscriber, error))

    # ---- the connection ------------------------------------------------------------------------

    def open(self, out: list[Command]) -> None:
        """Open a connection at the cursor; there must be none."""
        self._disarm(out)
        self.connection = _CONNECTED_FROM[self.connection][_OPEN_NOW]
        self.opened += 1
        self.current = self.opened
        self.position = 0 if self.traits.resume is _REPLAY else self.cursor
        out.append(OpenStream(self.current, self.cursor))

    def drop(self, out: list[Command]) -> None:
        """Have neither a connection nor a timer."""
        self._disarm(out)
        self.connection = _CONNECTED_FROM[self.connection][_DROP]
        if self.current:
            out.append(CloseStream(self.current))
            self.current = 0

    def on_opened(self, final: bool, out: list[Command]) -> None:
        """The handshake is through."""
        self.connection = _CONNECTED_FROM[self.connection][_OPENED]
        if self.is_active and self.exposed and not self.traits.keeps_interim:
            self._gap(out)
        if final:
            self._arm(DRAIN_DEADLINE, out)

    def on_ended(
        self,
        event: StreamClosed | StreamFailed | StreamNotReady,
        next_request: int,
        out: list[Command],
    ) -> None:
        """The current connection ended while the job is not final: try again later."""
        self.exposed = True
        clean = isinstance(event, StreamClosed) and event.code == NORMAL_CLOSE
        self.clean_mark = next_request if clean else 0
        if clean:
            # It looks like the result, and a status may lag behind a stream.
            self.held_mark = _NO_REQUEST
        self._retry_later(event, out)

    def _retry_later(
        self, event: StreamClosed | StreamFailed | StreamNotReady, out: list[Command]
    ) -> None:
        """The current connection has ended, and another follows after a while."""
        self._disarm(out)
        self.current = 0
        self.connection = _CONNECTED_FROM[self.connection][ConnectionSignal.ENDED]
        self.attempts += 1
        # A service may ask for more patience than we have, not for less.
        self._arm(max(retry_delay(self.attempts), _asked_patience(event)), out)

    def on_not_running(self) -> None:
        """The current connection was refused because the job does not run yet."""
        self.current = self.clean_mark = 0
        self.exposed = True
        self.connection = _CONNECTED_FROM[self.connection][ConnectionSignal.HOLD]

    def on_answer(self, request: int, running: bool, out: list[Command]) -> None:
        """The service said, in answer to a request, that the job goes on."""
        if request >= self.clean_mark:
            self.clean_mark = 0
        if running and self.held_mark <= request:
            self.release(out)

    # ---- the end of the job --------------------------------------------------------------------

    def on_final(self, out: list[Command]) -> None:
        """The job has ended: what was published before that may still have to come."""
        if self.connection is _OPEN:
            # `_arm`, written out: every streamed job comes by here, and a call has its price.
            self.armed_at, self.timers = self.position, self.timers + 1
            self.timer = self.timers
            out.append(_drain_timer(self.timer))
        elif not self.is_active:
            self.drop(out)
        elif self.current == 0:
            self._last_pass(self.clean_mark > 0, out)

    def on_ended_final(
        self, event: StreamClosed | StreamFailed | StreamNotReady, out: list[Command]
    ) -> None:
        """The current connection ended, and the job is final."""
        complete = self.is_open and isinstance(event, StreamClosed) and event.code == NORMAL_CLOSE
        if self.is_active and self.last_pass and not complete and self._may_try_again(event):
            self._retry_later(event, out)
            return
        self.current = 0
        self.drop(out)
        if not self.is_active:
            return
        if complete:
            self._finish(out)
        elif self.last_pass:
            self._finish(out, _incomplete(event))
        else:
            self._last_pass(complete, out)

    def _may_try_again(self, event: StreamClosed | StreamFailed | StreamNotReady) -> bool:
        """Whether what is missing of a final job may still be had: its service is away, say."""
        if self.attempts + 1 >= LAST_ATTEMPTS:
            return False
        match event:
            case StreamFailed(error=TransportError(retryable=retryable)):
                return retryable
            case StreamClosed():
                return True
        return False

    def on_drain_deadline(self, out: list[Command]) -> None:
        """The stream of a job that is final is silent, and the service does not close it."""
        if self.position > self.armed_at:
            self._arm(DRAIN_DEADLINE, out)
            return
        self.drop(out)
        if not self.is_active:
            return
        silent = self.attempts + 1 if self.last_pass else 0
        if self.traits.keeps_interim and silent < LAST_ATTEMPTS:
            # Silence proves nothing: it may be the connection that is dead, and messages wait.
            self._last_pass(False, out)
            self.attempts = silent
        else:
            self._gap(out)
            self._finish(out)

    def settle_held(self, result: str | None, out: list[Command]) -> None:
        """The text of the result is here, or cannot be had (None): end what waited for it."""
        if not self.needs_result:
            return
        if self.held == result:
            self._forget_held(out)
        self.release(out)
        self.end(out, self.failure)

    # ---- parts of the above --------------------------------------------------------------------

    def hold_last(self, messages: tuple[str, ...], next_request: int) -> tuple[Command, ...]:
        """Deliver what was held and all but the last of these, which may be the result."""
        out: list[Command] = []
        self.release(out)
        *shown, last = messages
        if shown:
            out.append(Deliver(self.subscriber, self.cursor, tuple(shown)))
        self.cursor += len(messages)
        self.held, self.held_mark = last, next_request
        return tuple(out)

    def _last_pass(self, complete: bool, out: list[Command]) -> None:
        if self.traits.keeps_interim:
            self.last_pass = True
            self.attempts = 0
            self.open(out)
            return
        self.drop(out)
        if not complete:
            self._gap(out)
        self._finish(out)

    def _finish(self, out: list[Command], error: Exception | None = None) -> None:
        """End the subscription, once it is known whether the last message is the result."""
        if self.held is None:
            self.end(out, error)
        else:
            self.failure = error

    def release(self, out: list[Command]) -> None:
        """Deliver the message that was held back."""
        if self.held is not None:
            out.append(Deliver(self.subscriber, self.cursor - 1, (self.held,)))
            self.held = None
            if self.gap_follows:
                self.gap_follows = False
                self._gap(out)

    def _forget_held(self, out: list[Command]) -> None:
        """The message that was held back is the result: nobody is shown it."""
        self.held = None
        if self.gap_follows:
            out.append(DeliverGap(self.subscriber, self.cursor - 1))

    def _gap(self, out: list[Command]) -> None:
        """Tell that messages may be missing here, but not before what is held was delivered."""
        if self.held is None:
            out.append(DeliverGap(self.subscriber, self.cursor))
        else:
            self.gap_follows = True

    def _arm(self, delay: float, out: list[Command]) -> None:
        self.armed_at = self.position
        self.timer = self.timers = self.timers + 1
        out.append(StartTimer(_STREAM, self.timer, delay))

    def _disarm(self, out: list[Command]) -> None:
        if self.timer:
            self.timer = 0
            out.append(_STOP)


def _asked_patience(event: StreamClosed | StreamFailed | StreamNotReady) -> float:
    """The seconds that the service asked to wait before the next connection; 0 if it did not."""
    if isinstance(event, StreamFailed) and isinstance(event.error, TransportError):
        asked = event.error.retry_after
        return 0.0 if asked is None else retry_delay(1, asked)
    return 0.0


def _incomplete(event: StreamClosed | StreamFailed | StreamNotReady) -> Exception:
    """Why the messages of a final job may not be all there."""
    if isinstance(event, StreamFailed):
        return event.error
    if isinstance(event, StreamClosed):
        what = f"was closed with {event.code} {event.reason}".rstrip()
    else:
        what = "was refused, because the job does not run"
    return TransportError(
        f"The stream {what} after the job had ended: its last interim results may be missing.",
        retryable=True,
    )
