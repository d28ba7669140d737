"""The opening handshake of a websocket client: what is asked, and how the answer is read.

The request is checked here, part by part, because what h11 and wsproto say of a bad one quotes it,
and it holds the access token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, RejectConnection, RejectData, Request
from wsproto.handshake import H11Handshake
from wsproto.utilities import ProtocolError, RemoteProtocolError

from adapters.websocket.ws_events import Failed, Headers, Opened, Rejected
from runtime_core.errors import TransportError

_BODY_BYTES = 16 * 1024
"""What is read of a rejection's body, on the wire: room for any error message."""

_HEAD_START = b"HTTP/"
_HEAD_END = re.compile(rb"\n\r?\n")

_HOST = re.compile(r"[A-Za-z0-9._~:%\[\]-]+")
_TARGET = re.compile(r"/[!-\"$-~]*")
_HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")

_OWN_HEADERS = frozenset({"host", "upgrade", "connection", "content-length", "transfer-encoding"})
_OWN_PREFIX = "sec-websocket-"


class Handshake:
    """The client's side of one opening handshake.

    Send what `request` returns, hand what arrives to `receive` until it returns an outcome; after
    an `Opened`, `rest` is the beginning of the frames.

    Raises:
        ValueError: if the host, the target or a header cannot stand in a request. Only the name of
            the part is told, never its value.
    """

    def __init__(
        self, host: str, target: str, headers: Sequence[tuple[str, str]], max_bytes: int
    ) -> None:
        self._host = host
        self._max_bytes = max_bytes
        self._http = H11Handshake(ConnectionType.CLIENT)
        self._buffer = bytearray()
        self._searched = 0
        self._rejection: RejectConnection | None = None
        self._body = bytearray()
        self._body_budget = _BODY_BYTES
        _check_host(host)
        _check_target(target)
        self._target = target
        self._headers = _encode_headers(headers)

    def request(self, headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """Make the request, with these headers too; call it once.

        Raises:
            ValueError: if a header cannot stand in a request; its value is not told.
        """
        extra = [*self._headers, *_encode_headers(headers)]
        return self._http.send(Request(host=self._host, target=self._target, extra_headers=extra))

    def receive(self, data: bytes) -> Opened | Rejected | Failed | None:
        """Take bytes; return the outcome, or None while it is not known. Never raises.

        A redirect is told at once, and so is a rejection whose body only ends with the connection:
        some services never end it. Other rejections are told when their body is complete, or
        has 16 KiB.
        """
        self._buffer += data
        try:
            while self._rejection is None:
                head = self._take_head()
                if head is None:
                    return None
                opened = self._read_head(head)
                if opened is not None:
                    return opened
        except (ProtocolError, UnicodeError) as error:
            # UnicodeError: wsproto decodes some of the answer's values as ASCII.
            return self._failed(
                f"did not answer with a websocket handshake: {_fault(error)}", retryable=False
            )
        return self._read_body(self._rejection)

    def receive_end(self) -> Rejected | Failed:
        """Take the end of the connection: a body ends where it is, an answer is missing."""
        if self._rejection is not None:
            return self._rejected(self._rejection)
        return self._failed("closed the connection during the handshake", retryable=True)

    def rest(self) -> bytes:
        """Return what came after the handshake's answer."""
        return bytes(self._buffer)

    def _take_head(self) -> bytes | None:
        """Cut the next whole response head off the buffer; None if there is none yet.

        h11 gets whole heads only. It has a limit of its own for pieces of one, so that what it
        accepts would depend on how the stream is cut.

        Raises:
            RemoteProtocolError: if this is no HTTP, or all heads together are too long.
        """
        if not _HEAD_START.startswith(self._buffer[: len(_HEAD_START)]):
            raise RemoteProtocolError("not HTTP")
        found = _HEAD_END.search(self._buffer, self._searched)
        size = len(self._buffer) if found is None else found.end()
        if size > self._max_bytes:
            raise RemoteProtocolError("its headers are too long")
        if found is None:
            self._searched = max(0, size - 2)
            return None
        head = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._searched = 0
        self._max_bytes -= size
        return head

    def _read_head(self, head: bytes) -> Opened | None:
        self._http.receive_data(head)
        for event in self._http.events():
            if isinstance(event, AcceptConnection):
                return Opened(_decode_headers(event.extra_headers))
            # wsproto rejects for a 100 or 103, too; the answer is still to come
            # (RFC 9110, section 15.2).
            if isinstance(event, RejectConnection) and event.status_code >= 200:
                self._rejection = event
                break
        return None

    def _read_body(self, rejection: RejectConnection) -> Rejected | None:
        if _tells_at_once(rejection):
            return self._rejected(rejection)
        # The limit is on the wire, chunk headers included: so it is met at the same byte however
        # the stream is cut, and nothing in a body can grow.
        piece = bytes(self._buffer[: self._body_budget])
        self._buffer.clear()
        self._body_budget -= len(piece)
        finished = self._body_budget == 0
        try:
            if piece:
                self._http.receive_data(piece)
        except ProtocolError:
            finished = True  # The status is known, and more important than a broken body.
        for event in self._http.events():
            if isinstance(event, RejectData):
                self._body += event.data
                finished = finished or event.body_finished
        return self._rejected(rejection) if finished else None

    def _rejected(self, rejection: RejectConnection) -> Rejected:
        return Rejected(
            rejection.status_code, _decode_headers(rejection.headers), bytes(self._body)
        )

    def _failed(self, what: str, *, retryable: bool) -> Failed:
        # No __cause__: h11 and wsproto quote header values in theirs.
        return Failed(TransportError(f"{self._host} {what}.", retryable=retryable), None)


def _tells_at_once(rejection: RejectConnection) -> bool:
    framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in rejection.headers)
    return 300 <= rejection.status_code < 400 or not framed


def _fault(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "a header is not ASCII"
    words = str(error).split()
    # "unrecognized extension x", "unrecognized subprotocol x": x is a header's value.
    return " ".join(words[:2] if words[0] == "unrecognized" else words)


def _check_host(host: str) -> None:
    try:
        ascii_host = host.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_host = ""
    if not _HOST.fullmatch(ascii_host):
        raise ValueError(
            "The host of the URL is not one: labels have 1 to 63 characters (a port after the "
            "last one counts), and no spaces or separators."
        )


def _check_target(target: str) -> None:
    if not _TARGET.fullmatch(target):
        raise ValueError(
            "The path and query of the URL must begin with a slash and be visible ASCII without "
            "a fragment (#): percent-encode anything else."
        )


def _encode_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    encoded = []
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("The name of a header is not a token (RFC 9110, section 5.1).")
        if name.lower() in _OWN_HEADERS or name.lower().startswith(_OWN_PREFIX):
            raise ValueError(f"The header {name} belongs to the handshake itself: leave it out.")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"The value of the header {name} has a line break, a control character or one "
                "that is not ASCII. (A token read from a file often ends in a line break.)"
            )
        encoded.append((name.encode("ascii"), value.strip(" \t").encode("ascii")))
    return encoded


def _decode_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in headers)
