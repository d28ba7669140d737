"""The stream of a job on a Ray cluster: what its log says, as it grows. Pure.

All on one connection:

1. The job's document tells the node that has its log, and the nonce that marks our lines in it.
2. The log itself, over HTTP: as it grows, which never ends, or as it is if the job has ended.
3. Where that is refused, since this head has it not or too many are at it, the log's tail, over a
   websocket: the way that Ray documents, a second or so slower.

A log is read from its beginning each time, and what is known already is left out. What the program
reports last ends the stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, Protocol, assert_never

import attrs

from adapters.ray.http_answers import Body, Broken, Done, Head, HttpAnswers
from adapters.ray.log_events import LogEvent, Outcome, Published
from adapters.ray.log_frames import BrokenLogError, FrameReader
from adapters.ray.log_routes import NO_SUCH_CALL, LogPlace, LogRoutes
from adapters.services import ray_jobs
from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.ws_events import (
    BinaryReceived,
    Closed,
    Failed,
    Opened,
    PongReceived,
    Rejected,
    TextReceived,
    WebSocketEvent,
)
from runtime_core.errors import TransportError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)

INTERVAL: Final = 0.02
"""Seconds between two looks of the node at the log.

Half of it is how late a message comes (with 0.1 the median was 52 ms, with 0.02 it is 12 ms). Each
stream costs the node about a thousandth of a core.
"""

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""The limit of a job's document."""

MAX_REFUSAL_BYTES: Final = 64 * 1024
"""What is read of the body of a refusal; after more the connection is of no use."""

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""The limit of a message of the tail; Ray's have some 20,000 characters, or one line more."""

INCOMPLETE: Final = 1006
"""The close code of a log that ended while its job had not, nor said how it ends."""

_TOO_MANY: Final = b"Max number of in-progress requests"
_NO_LOG: Final = b"A file is not found at"


class Caller(Protocol):
    """Says to the head who asks for one stream, and what its refusals mean."""

    def headers(self) -> Sequence[tuple[str, str]]:
        """Give what says who asks: the token as it is now."""
        ...

    def refusal(self, status: int, headers: dict[str, str], body: bytes) -> TransportError:
        """Read an answer that is not what was asked for; takes note of a refused token."""
        ...

    def hidden(self, text: str) -> str:
        """Give a text of the head's in one short line, without secrets in it."""
        ...


class RayLogStream:
    """The `StreamProtocol` of one connection to the log of one job.

    Args:
        connection: the number that the events carry.
        job_id: the job.
        after: how many interim results are known already.
        base: what comes before every path of the head.
        netloc: the head's host and port.
        caller: says who asks.
        routes: what is known of the head; shared by all its streams.
        on_outcome: gets what the program ended with, before the stream ends. Called on the loop:
            it must return at once.
        interval: seconds between two looks of the node at the log.

    Raises:
        UsageError: if the id of the job cannot be one.
        ValueError: if the head's name or the paths below `base` cannot stand in a request.
    """

    def __init__(
        self,
        connection: int,
        job_id: str,
        after: int,
        *,
        base: str,
        netloc: str,
        caller: Caller,
        routes: LogRoutes,
        on_outcome: Callable[[Outcome], object],
        interval: float = INTERVAL,
    ) -> None:
        self._connection = connection
        self._job_id = job_id
        self._after = after
        self._base = base
        self._netloc = netloc
        self._caller = caller
        self._routes = routes
        self._on_outcome = on_outcome
        self._interval = interval
        self._http = HttpAnswers(netloc)
        self._tail = WebSocketProtocol(
            netloc, base + ray_jobs.log_tail_path(job_id), max_message_bytes=MAX_MESSAGE_BYTES
        )
        self._document = base + ray_jobs.job_path(job_id)
        self._outbox = bytearray()
        self._place: LogPlace | None = None
        self._reader: FrameReader | None = None
        self._head: Head | None = None
        self._body = bytearray()
        self._in_tail = False
        self._is_open = False
        self._brought = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<RayLogStream {self._connection} of {self._job_id} from {self._netloc}>"

    # ---- StreamProtocol ------------------------------------------------------------------------

    def start(self) -> None:
        """See `StreamProtocol`."""
        place = self._routes.take(self._job_id)
        if place is None:
            self._ask(self._document)
        else:
            self._ask_for_log(place)

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        """See `StreamProtocol`."""
        events: list[StreamEvent] = []
        if self._ended:
            return ()
        if self._in_tail:
            self._take_tail(data, events)
        else:
            self._take_answer(data, events)
        return events

    def data_to_send(self) -> bytes:
        """See `StreamProtocol`."""
        data = bytes(self._outbox) + self._tail.data_to_send()
        self._outbox.clear()
        return data

    def ping(self) -> None:
        """See `StreamProtocol`. Over HTTP there is no such question: TCP keeps watch."""
        self._tail.ping()

    def close(self) -> None:
        """See `StreamProtocol`. Only the tail has a word for it."""
        self._routes.end_quick(self._job_id, self)
        self._tail.close()

    # ---- asking --------------------------------------------------------------------------------

    def _ask(self, target: str) -> None:
        self._head = None
        self._body.clear()
        self._outbox += self._http.get(target, self._caller.headers())

    def _ask_for_log(self, place: LogPlace) -> None:
        self._place = place
        self._reader = FrameReader(place.nonce, self._after)
        if place.by_tail or not self._routes.quick:
            self._start_tail()
        elif place.is_final:
            self._ask(self._base + ray_jobs.log_file_path(place.node_id, self._job_id))
        elif not self._routes.begin_quick(self._job_id, self):
            self._start_tail()
        else:
            path = ray_jobs.log_stream_path(place.node_id, self._job_id, self._interval)
            self._ask(self._base + path)

    def _start_tail(self) -> None:
        self._in_tail = True
        self._tail.start(self._caller.headers())

    # ---- answers over HTTP ---------------------------------------------------------------------

    def _take_answer(self, data: bytes, events: list[StreamEvent]) -> None:
        for piece in self._http.receive(data):
            if self._ended:
                return
            match piece:
                case Head():
                    self._head = piece
                case Body(body):
                    self._take_body(body, events)
                case Done(is_kept):
                    self._take_end(is_kept, events)
                case Broken(what, began):
                    self._take_broken(what, began, not data, events)
                case _:
                    assert_never(piece)

    @property
    def _is_log(self) -> bool:
        """Whether what comes is the log."""
        return self._place is not None and self._head is not None and self._head.status == 200

    def _take_body(self, data: bytes, events: list[StreamEvent]) -> None:
        if self._is_log:
            # Not before: an answer without a word means that there is no log.
            self._open(events)
            self._take_log(data, events)
            return
        self._body += data
        assert self._head is not None
        if self._head.status != 200:
            if len(self._body) > MAX_REFUSAL_BYTES:
                del self._body[MAX_REFUSAL_BYTES:]
                self._take_end(False, events)
        elif len(self._body) > MAX_DOCUMENT_BYTES:
            self._fail(
                f"the description of the job is longer than {MAX_DOCUMENT_BYTES:,} bytes", events
            )

    def _take_end(self, is_kept: bool, events: list[StreamEvent]) -> None:
        """An answer is complete: go on with the next request."""
        if self._place is not None and self._is_log:
            if self._is_open:
                self._close_log(events)
            else:
                self._on_no_log(self._place, events)
        elif self._place is not None:
            self._on_refused(self._place, is_kept, events)
        else:
            place = self._on_document(events)
            if place is not None:
                self._go_on(place, is_kept, events)

    def _take_broken(self, what: str, began: bool, ended: bool, events: list[StreamEvent]) -> None:
        if self._head is not None and not self._is_log and self._head.status != 200:
            # Its status says more than a body that broke off.
            self._take_end(False, events)
            return
        if self._place is not None and ended and not self._brought:
            # Past its hundred streams a head may say nothing, until the connection is given up. And
            # it ends each after five minutes, of which its node hears when the log grows: of a
            # quiet log one after the other would be kept there.
            self._routes.keep(self._job_id, attrs.evolve(self._place, by_tail=True))
        self._fail(self._caller.hidden(what), events, retryable=began or ended)

    def _go_on(self, place: LogPlace, is_kept: bool, events: list[StreamEvent]) -> None:
        if is_kept:
            rest = self._http.take_rest()
            self._ask_for_log(place)
            if rest:  # unasked for; no different than if it had come a moment later
                events += self.receive(rest)
            return
        self._routes.keep(self._job_id, place)
        what = "the connection was closed after an answer; the next one goes on from there"
        self._fail(what, events, retryable=True)

    # ---- the job's document --------------------------------------------------------------------

    def _on_document(self, events: list[StreamEvent]) -> LogPlace | None:
        """Read the answer of the first request; None if that was all."""
        head = self._head
        assert head is not None
        if head.status != 200:
            self._refuse(events)
            return None
        try:
            document = json.loads(self._body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            self._fail(
                "what answers is no Ray head: is this the URL of its dashboard, for instance "
                "http://head:8265?",
                events,
            )
            return None
        node, nonce = ray_jobs.node_of(document), ray_jobs.nonce_of(document)
        final = ray_jobs.is_final(document)
        if nonce is None and final:
            # Not before: as long as it runs it can be waited for, and the stream would be tried
            # again, and complained of, all the time.
            what = f"job {self._job_id} was not submitted by this library, so it has no results"
            self._fail(what, events)
        elif nonce is not None and node is not None and document.get("status") != "PENDING":
            return LogPlace(node, nonce, final)
        elif final:
            self._open(events)
            self._end(StreamClosed(self._connection), events)
        else:
            self._end(StreamNotReady(self._connection), events)
        return None

    # ---- the log -------------------------------------------------------------------------------

    def _on_refused(self, place: LogPlace, is_kept: bool, events: list[StreamEvent]) -> None:
        """The quick way to the log is refused."""
        assert self._head is not None
        status, body = self._head.status, bytes(self._body)
        error = self._caller.refusal(status, self._head.headers, body)
        self._routes.end_quick(self._job_id, self)
        by_tail = attrs.evolve(place, by_tail=True)
        if status in NO_SUCH_CALL:
            self._routes.quick = False
            self._go_on(by_tail, is_kept, events)
        elif _TOO_MANY in body:
            self._go_on(by_tail, is_kept, events)
        elif _NO_LOG in body:
            self._on_no_log(place, events)
        else:
            self._end(StreamFailed(self._connection, error), events)

    def _on_no_log(self, place: LogPlace, events: list[StreamEvent]) -> None:
        """The node has no such log: not yet, or not any more."""
        if place.is_final:
            self._fail("its node has no log of it any more", events)
        else:
            self._end(StreamNotReady(self._connection), events)

    def _take_log(self, data: bytes, events: list[StreamEvent]) -> None:
        assert self._reader is not None
        broken: BrokenLogError | None = None
        found: Sequence[LogEvent]
        try:
            found = self._reader.feed(data)
        except BrokenLogError as error:
            broken, found = error, error.before
        messages = tuple([event.text for event in found if isinstance(event, Published)])
        self._brought = self._brought or bool(messages)
        # Without a message as well: prints may go on for longer than silence is waited for.
        events.append(InterimReceived(self._connection, messages))
        if broken is not None:
            self._end(StreamFailed(self._connection, broken), events)
            return
        if self._reader.outcome is not None or self._reader.is_over:
            self._close_log(events)

    def _close_log(self, events: list[StreamEvent]) -> None:
        """The log is over, or says how the program ended."""
        assert self._reader is not None
        assert self._place is not None
        outcome = self._reader.outcome
        if outcome is not None:
            self._on_outcome(outcome)
        if outcome is not None or self._place.is_final:
            self._end(StreamClosed(self._connection), events)
        else:
            why = "the log ended before the job"
            self._end(StreamClosed(self._connection, INCOMPLETE, why), events)

    # ---- its tail ------------------------------------------------------------------------------

    def _take_tail(self, data: bytes, events: list[StreamEvent]) -> None:
        for event in self._tail.receive(data):
            if self._ended:
                return
            self._take_tail_event(event, events)

    def _take_tail_event(self, event: WebSocketEvent, events: list[StreamEvent]) -> None:
        match event:
            case TextReceived(texts):
                self._take_log("".join(texts).encode("utf-8", "surrogatepass"), events)
                if self._ended:
                    self._tail.close()
            case Opened():
                self._open(events)
            case PongReceived():
                pass
            case Closed():
                self._close_log(events)
            case Rejected(status, headers, body):
                error = self._caller.refusal(status, dict(headers), body)
                self._end(StreamFailed(self._connection, error), events)
            case Failed(error):
                self._end(StreamFailed(self._connection, error), events)
            case BinaryReceived(data):
                self._tail.close(1003, "a log is text")
                self._fail(f"a message of {len(data)} bytes is binary; a log is text", events)
            case _:
                assert_never(event)

    # ---- the end -------------------------------------------------------------------------------

    def _refuse(self, events: list[StreamEvent]) -> None:
        assert self._head is not None
        error = self._caller.refusal(self._head.status, self._head.headers, bytes(self._body))
        self._end(StreamFailed(self._connection, error), events)

    def _fail(self, what: str, events: list[StreamEvent], *, retryable: bool = False) -> None:
        message = f"The log of job {self._job_id} from {self._netloc} cannot be read: {what}."
        error = TransportError(message, retryable=retryable)
        self._end(StreamFailed(self._connection, error), events)

    def _open(self, events: list[StreamEvent]) -> None:
        if not self._is_open:
            self._is_open = True
            events.append(StreamOpened(self._connection))

    def _end(self, event: StreamEvent, events: list[StreamEvent]) -> None:
        self._routes.end_quick(self._job_id, self)
        events.append(event)
        self._ended = True
