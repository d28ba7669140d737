"""Requests and answers on one kept-alive connection, by h11. Pure.

What comes is read however it is cut: heads are handed to h11 whole, whose own limit would depend on
the cuts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs
import h11

from runtime_core.errors import UsageError

MAX_HEAD_BYTES: Final = 64 * 1024
"""The limit of the head of an answer, those of 1xx before it included."""

_HEAD_START: Final = b"HTTP/"
_HEAD_END: Final = re.compile(rb"\n\r?\n")


@attrs.frozen
class Head:
    """The head of an answer."""

    status: int
    """The HTTP status, never a 1xx."""
    headers: dict[str, str] = attrs.field(repr=False)
    """By their names in lower case."""

    @property
    def content_type(self) -> str:
        """What the body is; empty if that is not told."""
        return self.headers.get("content-type", "")


@attrs.frozen
class Body:
    """A part of the body of an answer."""

    data: bytes
    """What came of it in one read."""


@attrs.frozen
class Done:
    """The answer is complete."""

    is_kept: bool
    """Whether the connection takes another request."""


@attrs.frozen
class Broken:
    """What comes is no HTTP, or not what was promised. The last piece."""

    what: str
    """What is wrong with it, to follow a name."""
    began: bool
    """Whether an answer had begun."""


Piece: TypeAlias = Head | Body | Done | Broken
"""What is read of answers."""


class HttpAnswers:
    """The client's side of one connection: one request after the other, each with its answer.

    Args:
        netloc: the value of the Host header.
    """

    def __init__(self, netloc: str) -> None:
        self._netloc = netloc
        self._http = _connection()
        self._buffer = bytearray()
        self._searched = 0
        self._budget = MAX_HEAD_BYTES
        self._in_head = True

    def get(self, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
        """Make a GET request; the answer to the one before it, if there was one, is complete.

        Raises:
            UsageError: if the target or a header cannot be sent; it is not quoted.
        """
        self._http = _connection()  # one may have been used
        self._budget, self._in_head, self._searched = MAX_HEAD_BYTES, True, 0
        try:
            request = h11.Request(
                method="GET",
                target=target,
                headers=[("Host", self._netloc), ("Accept", "*/*"), *headers],
            )
            sent = self._http.send(request)
        except (h11.LocalProtocolError, UnicodeError):
            # What h11 says of it quotes it.
            raise UsageError("The request for a log cannot be sent: check URL and token.") from None
        return (sent or b"") + (self._http.send(h11.EndOfMessage()) or b"")

    def receive(self, data: bytes) -> list[Piece]:
        """Take what was read, ``b""`` at the end; give what is there of the answer. Never raises.

        After `Done` nothing is read before the next request: `take_rest` has it.
        """
        found: list[Piece] = []
        try:
            self._read(data, found)
        except (h11.ProtocolError, UnicodeError) as error:
            # What follows the colon is a part of what came, as it was cut.
            found.append(Broken(str(error).partition(":")[0], not self._in_head))
        return found

    def take_rest(self) -> bytes:
        """Give what came after a complete answer; before the next request."""
        return bytes(self._http.trailing_data[0])

    def _read(self, data: bytes, found: list[Piece]) -> None:
        if self._in_head:
            if not data:
                raise h11.RemoteProtocolError("it closed the connection")
            self._buffer += data
            while self._in_head:
                head = self._take_head()
                if head is None:
                    return
                self._http.receive_data(head)
                self._read_head(found)
            data = bytes(self._buffer)
            self._buffer.clear()
            if data:
                self._http.receive_data(data)
        else:
            self._http.receive_data(data)
        self._read_body(found)

    def _take_head(self) -> bytes | None:
        if not _HEAD_START.startswith(self._buffer[: len(_HEAD_START)]):
            raise h11.RemoteProtocolError("what answers does not speak HTTP")
        end = _HEAD_END.search(self._buffer, self._searched)
        size = len(self._buffer) if end is None else end.end()
        if size > self._budget:
            raise h11.RemoteProtocolError("the head of its answer is too long")
        if end is None:
            self._searched = max(0, size - 2)
            return None
        head = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._searched = 0
        self._budget -= size
        return head

    def _read_head(self, found: list[Piece]) -> None:
        event = self._http.next_event()
        if isinstance(event, h11.Response):
            headers = {
                name.decode("ascii"): value.decode("latin-1") for name, value in event.headers
            }
            found.append(Head(event.status_code, headers))
            self._in_head = False

    def _read_body(self, found: list[Piece]) -> None:
        parts: list[bytes] = []
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Data):
                    parts.append(event.data)
                    continue
                break
        finally:
            if parts:
                found.append(Body(b"".join(parts)))
        if isinstance(event, h11.EndOfMessage):
            found.append(Done(self._http.our_state is h11.DONE is self._http.their_state))


def _connection() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
