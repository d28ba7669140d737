"""One request over urllib3, with every way in which it can end.

What counts as an answer: a status of 200 to 299, no larger than the limit, whole, and not an HTML
page. Everything else is a `TransportError`; `failures.py` and `retry.py` hold the tables.

A 401 is the one answer after which a request is done again, once, if there is another access token
by then: it was refused, so nothing was done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeAlias

import attrs
import urllib3
from urllib3 import exceptions

from adapters.http.access import ServiceAccess
from adapters.http.connections import new_pool
from adapters.http.failures import (
    Failure,
    is_html,
    network_failure,
    status_failure,
    told_by,
)
from adapters.http.refusals import of_kind
from adapters.http.retry import http_date, retry_after_seconds
from adapters.services.error_codes import ErrorReader
from runtime_core.errors import TransportError, UsageError

_CHUNK: Final = 64 * 1024
_MAX_ERROR_BYTES: Final = 64 * 1024
_CODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


@attrs.frozen
class Request:
    """One request to the service."""

    method: str
    """The HTTP method."""
    path: str
    """The path below the service's own, with its query; begins with a slash."""
    body: bytes | None = None
    """What to send."""
    content_type: str = "application/json"
    """What `body` is."""
    first_byte: int | None = None
    """Which part of the answer is wanted: from this byte on; None for all of it (RFC 9110, 14.2).
    A service may answer with all of it anyway."""
    submits: bool = False
    """Whether doing it twice has another effect than once: its errors say if it may have arrived,
    and are retryable only if it has not."""
    repeatable: bool = False
    """Of what submits: whether the service takes it once however often it is sent, since it carries
    an id. Then its errors stay retryable where it may have arrived."""
    not_found: type[TransportError] = TransportError
    """What a 404 is, for the client that makes it of the session's errors."""


Take: TypeAlias = Callable[[bytes], bool]
"""Takes a piece of a body; False if that is enough."""


class AnswerTooLargeError(TransportError):
    """An answer is longer than the client may keep."""


@attrs.frozen
class Answer:
    """A whole answer with a status of 200 to 299."""

    status: int
    """The HTTP status code."""
    content_type: str
    """The `Content-Type`, or empty."""
    body: bytes
    """The body, decompressed."""
    content_range: str = ""
    """Of an answer with status 206: the `Content-Range`, or empty."""
    date: float | None = None
    """When the service answered, by its clock, in seconds since the epoch; None if not told."""


class HttpSession:
    """The connections to one service. All threads may use it at once.

    The constructor opens no connection. After a fork the child has connections of its own.
    """

    def __init__(
        self,
        access: ServiceAccess,
        identify: Callable[[str], Mapping[str, str]],
        read_error: ErrorReader | None = None,
        *,
        connect_timeout: float,
        read_timeout: float,
        max_answer_bytes: int,
        pool_size: int,
    ) -> None:
        self.access = access
        self.max_answer_bytes = max_answer_bytes
        self._identify = identify
        self._read_error = read_error
        self._headers = {"Accept-Encoding": "identity", "User-Agent": _user_agent()}
        self._timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        self._pool_size = pool_size
        # Plain http is not tunnelled: the proxy is told the whole URL (RFC 9112, section 3.2.2).
        is_forwarded = access.proxy is not None and not access.address.is_tls
        self._base = str(access.address) if is_forwarded else access.address.path
        self._pool = new_pool(self.access, self._pool_size)
        self._process = os.getpid()

    def close(self) -> None:
        """Close all idle connections; those in use are closed by who uses them. May be repeated."""
        self._pool.close()

    def send(self, request: Request, take: Take | None = None) -> Answer:
        """Do one request, and read its answer whole; done again once if its token was refused.

        Args:
            request: what to send.
            take: gets the body piece by piece, however long it is; then none is in the answer.

        Raises:
            AnswerTooLargeError: if the body is longer than `max_answer_bytes`, and nobody takes it.
            TransportError: if there is no answer, or another than one of 200 to 299.
            UsageError: if the session is closed.
        """
        token = self.access.credentials.token()
        try:
            return self._exchange(request, token, take)
        except TransportError as error:
            if error.status_code != 401:
                raise
            renewed = self.access.credentials.renewed(token)
            if renewed is None:
                raise
        return self._exchange(request, renewed, take)

    def _exchange(self, request: Request, token: str, take: Take | None) -> Answer:
        headers = {**self._headers, **self._identify(token)}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if request.first_byte is not None:
            headers["Range"] = f"bytes={request.first_byte}-"
        target = self._base + request.path
        try:
            response = self._own_pool().urlopen(
                request.method,
                target,
                body=request.body,
                headers=headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=self._timeout,
                preload_content=False,
            )
            # What interrupts the reading, Ctrl-C too, leaves an answer half read: its connection
            # must not carry another request. A whole answer has given its connection back already.
            try:
                return self._read(request, response, take)
            finally:
                response.close()
        except exceptions.ClosedPoolError as error:
            raise UsageError("This client is closed: make a new one.") from error
        except exceptions.HTTPError as error:
            failure = network_failure(error, self.access.proxy)
            # A broken answer is quoted by the exceptions, and may repeat what it was sent.
            quoted = " ".join(map(repr, _chain(error)))
            told = self.access.hidden(quoted) != quoted
            raise self.error(request, failure) from None if told else error

    def error(
        self,
        request: Request,
        failure: Failure,
        status: int | None = None,
        retry_after: float | None = None,
        reason_code: int | str | None = None,
    ) -> TransportError:
        """Build the error for a request: who was asked what, what came, what to do."""
        retryable = failure.retryable
        place = f"{self.access.address.netloc}{self.access.via}"
        parts = [f"{request.method} {request.path} at {place}: {failure.what.rstrip('.')}."]
        if retry_after is not None:
            parts.append(f"The service asks to wait {retry_after:g} s.")
        if failure.advice:
            parts.append(failure.advice)
        if request.submits and failure.arrived:
            retryable = retryable and request.repeatable
            parts.append("It may have been submitted; look for it before you submit again.")
        elif request.submits:
            parts.append("It was not submitted." if status else "It was not sent.")
        # Services and proxies repeat what they were sent.
        words = self.access.hidden(" ".join(parts))
        return TransportError(words, status, retryable, retry_after, reason_code)

    def _own_pool(self) -> urllib3.HTTPConnectionPool:
        # A forked child must not write on the sockets of its parent. Two threads that come here
        # at once make two pools, of which one is soon forgotten: no harm, and no lock to inherit.
        if self._process != os.getpid():
            self._pool = new_pool(self.access, self._pool_size)
            self._process = os.getpid()
        return self._pool

    def _read(
        self, request: Request, response: urllib3.BaseHTTPResponse, take: Take | None
    ) -> Answer:
        status, headers = response.status, response.headers
        kind = headers.get("Content-Type", "")
        if not 200 <= status < 300:
            raise self._refused(request, status, headers, _read_some(response))
        coding = headers.get("Content-Encoding", "").strip().lower()
        if coding not in _CODINGS:
            failure = Failure(f"the answer is compressed as {coding}, unasked", False, True)
            raise self.error(request, failure, status)
        if take is not None and not is_html(kind):
            while (chunk := response.read(_CHUNK)) and take(chunk):
                pass
            return Answer(status, kind, b"")
        body = self._read_all(request, response)
        if not body and _has_no_frame(response) and request.method == "GET":
            # http.client takes the end of the connection for the end of the headers, too.
            raise self.error(request, Failure("the answer broke off", True, True))
        if body and is_html(kind):
            advice = "A proxy or a place to log in may be in the way: open the URL in a browser."
            raise self.error(
                request, Failure("was answered with an HTML page", False, True, advice), status
            )
        date = http_date(headers.get("Date", ""))
        return Answer(status, kind, body, headers.get("Content-Range", ""), date)

    def _refused(
        self, request: Request, status: int, headers: Mapping[str, str], body: bytes
    ) -> TransportError:
        """Build the error for an answer outside of 200 to 299."""
        kind, hide = headers.get("Content-Type", ""), self.access.hidden
        told = told_by(self._read_error, status, kind, body, hide)
        failure = status_failure(status, kind, headers.get("Location"), body, hide, told)
        now = http_date(headers.get("Date", "")) or time.time()
        wait = retry_after_seconds(headers.get("Retry-After"), now)
        if told is None:
            return self.error(request, failure, status, wait)
        wait = wait if told.retry_after is None else told.retry_after
        return self.error(request, failure, told.status, wait, told.reason_code)

    def _read_all(self, request: Request, response: urllib3.BaseHTTPResponse) -> bytes:
        limit = self.max_answer_bytes
        body = bytearray()
        too_large = (response.length_remaining or 0) > limit
        while not too_large and (chunk := response.read(_CHUNK)):
            body += chunk
            too_large = len(body) > limit
        if too_large:
            advice = "Raise max_answer_bytes, if you trust the service."
            failure = Failure(f"the answer is larger than {limit} bytes", False, True, advice)
            raise of_kind(AnswerTooLargeError, self.error(request, failure, response.status))
        return bytes(body)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an exception and all that its traceback shows before it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _has_no_frame(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether only the end of the connection says where the body ends (RFC 9112, section 6.3)."""
    length = response.headers.get("Content-Length", "").strip()
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return not (length or chunked) and response.status != 204 and response.version >= 11


def _read_some(response: urllib3.BaseHTTPResponse) -> bytes:
    """Read the body of an error, as far as it comes: the status says enough without it."""
    try:
        return response.read(_MAX_ERROR_BYTES) or b""
    except exceptions.HTTPError:
        return b""


def _user_agent() -> str:
    try:
        return f"runtime-core/{version('runtime-core')}"
    except PackageNotFoundError:
        return "runtime-core"
