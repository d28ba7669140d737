"""A way through an HTTP proxy: CONNECT, and what it answers (RFC 9110, section 9.3.6). Pure.

| answer | outcome | retryable |
|---|---|---|
| 1xx | the answer is still to come | |
| 2xx, and nothing behind its headers | the way is open | |
| 407 | it wants another user and password | no |
| any other status | it refuses | as `retry.py` says |
| no HTTP, or more than 64 KiB of it | it is no proxy | no |
| the end of the connection | it hung up | yes |

What the proxy says in its own words is not repeated: it has seen a password.
"""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from typing import Final, TypeAlias

import attrs

from adapters.http.retry import RETRYABLE_STATUS, http_date, retry_after_seconds

_MAX_BYTES: Final = 64 * 1024
WHO_ASKS: Final = "Give them in the proxy's URL: http://user:password@host:port."
"""What to do about a 407."""

_START: Final = b"HTTP/"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_HOST: Final = re.compile(r"[A-Za-z0-9._~:%-]+")


@attrs.frozen
class TunnelOpen:
    """From now on the bytes are the service's."""


@attrs.frozen
class TunnelRefused:
    """There is no way through."""

    what: str
    """What the proxy did, to follow its name; ends without a full stop."""
    retryable: bool
    """Whether it may well go better a little later."""
    advice: str = ""
    """What to do, as a sentence; empty if that is not known."""
    retry_after: float | None = None
    """The seconds that the proxy asked to wait."""


TunnelOutcome: TypeAlias = TunnelOpen | TunnelRefused
"""How it ended."""


class Tunnel:
    """The client's side of one CONNECT.

    Send `request`, and hand what arrives to `receive` until it returns an outcome.

    Args:
        host: the service's, a name or an address without brackets.
        port: its TCP port.
        authorization: the value of `Proxy-Authorization`, for the proxy alone; empty for none.

    Raises:
        ValueError: if host or authorization cannot stand in a request.
    """

    def __init__(self, host: str, port: int, authorization: str = "") -> None:
        name = host.encode("idna").decode("ascii")
        sendable = authorization.isascii() and authorization.isprintable()
        if not _HOST.fullmatch(name) or not sendable:
            raise ValueError("The host, or what the proxy is to get, cannot stand in a request.")
        target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if authorization:
            lines.append(f"Proxy-Authorization: {authorization}")
        self._known = bool(authorization)
        self._buffer = bytearray()
        self._searched = 0
        self._room = _MAX_BYTES
        self.request: bytes = "\r\n".join([*lines, "", ""]).encode("ascii")
        """What to send to the proxy."""

    def receive(self, data: bytes) -> TunnelOutcome | None:
        """Take bytes, ``b""`` for the end of them; None while the outcome is not known.

        How the answer is cut makes no difference. Never raises.
        """
        if not data:
            return TunnelRefused("closed the connection instead of answering", True)
        self._buffer += data
        while (head := self._take_head()) is not None:
            outcome = head if isinstance(head, TunnelRefused) else self._read(head)
            if outcome is not None:
                return outcome
        return None

    def _take_head(self) -> bytes | TunnelRefused | None:
        """Cut the next head off the buffer; None while it is not whole."""
        if not _START.startswith(self._buffer[: len(_START)]):
            return TunnelRefused("does not speak HTTP", False, "Check its URL.")
        found = _HEAD_END.search(self._buffer, self._searched)
        size = found.end() if found else len(self._buffer)
        if size > self._room:
            what = f"answered with headers of more than {_MAX_BYTES} bytes"
            return TunnelRefused(what, False, "Check its URL.")
        if found is None:
            self._searched = max(0, size - 3)
            return None
        head = bytes(self._buffer[: found.start()])
        del self._buffer[:size]
        self._searched = 0
        self._room -= size
        return head

    def _read(self, head: bytes) -> TunnelOutcome | None:
        first, *rest = head.split(b"\n")
        found = _STATUS.fullmatch(first.rstrip(b"\r"))
        if found is None:
            return TunnelRefused("does not speak HTTP 1", False, "Check its URL.")
        status = int(found[1])
        if status < 200:
            return None
        if status >= 300:
            return refused(status, self._known, _retry_after(rest))
        # The service cannot know yet that we are there: whoever speaks now is not it.
        if self._buffer:
            return TunnelRefused("sent more than its answer", False, "Check its URL.")
        return TunnelOpen()


def refused(status: int, known: bool, retry_after: float | None = None) -> TunnelRefused:
    """Say what an answer to CONNECT outside of 200 to 299 means.

    `known` is whether the proxy was told a user and a password.
    """
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        what = "did not accept the" if known else "wants a"
        return TunnelRefused(f"{what} user and password (407)", False, WHO_ASKS)
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    retryable = status in RETRYABLE_STATUS
    advice = "" if retryable else "Does it allow connections to this host and port?"
    return TunnelRefused(f"refused the connection: {words}", retryable, advice, retry_after)


def _retry_after(lines: list[bytes]) -> float | None:
    found = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        found[name.strip().lower()] = value.strip()
    sent = http_date(found.get("date", ""))
    return retry_after_seconds(found.get("retry-after"), math.inf if sent is None else sent)
