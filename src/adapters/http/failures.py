"""What went wrong with a request: in words, and whether it is worth a second try. Pure.

| failure | retryable | the request |
|---|---|---|
| name not found, connection refused, no connection in time | yes | was not sent |
| the same of the proxy, or no answer from it in time | yes | was not sent |
| the proxy refuses to connect | as `tunnel.py` says | was not sent |
| certificate not accepted, theirs or ours, or ours is missing | no | was not sent |
| no answer in time, connection reset or closed, answer broken off | yes | may have arrived |
| any other failure of TLS | no | may have arrived |
| what answers does not speak HTTP, or compresses wrongly | no | may have arrived |
| 408, 5xx | as `retry.py` says | may have been carried out |
| any other 4xx | as `retry.py` says | was refused |
| 3xx | no | may have been carried out (303 follows a success) |
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import attrs
from urllib3 import exceptions

from adapters.http.one_line import shortened
from adapters.http.retry import RETRYABLE_STATUS
from adapters.http.tunnel import WHO_ASKS, refused
from adapters.proxy import Proxy
from adapters.services.error_codes import ErrorAnswer, ErrorReader
from adapters.tls import tls_fault

Hide: TypeAlias = Callable[[str], str]
"""Gives a text without the secrets in it."""

_CUT_STATUS_LINE: Final = re.compile(r"H(T(T(P(/[\d.]*( \d{0,2})?)?)?)?)?", re.ASCII)

_ADVICE: Final = {
    401: "Check the access token.",
    403: "This access token is not allowed to do that.",
    404: "There is no such thing here, or this access token may not see it.",
    407: f"The proxy wants a user and a password. {WHO_ASKS}",
    413: "It is larger than the service takes.",
}


@attrs.frozen
class Failure:
    """One way in which a request failed."""

    what: str
    """What happened, in words; ends without a full stop."""
    retryable: bool
    """Whether the same request may well succeed a little later."""
    arrived: bool
    """Whether the service may have done what was asked."""
    advice: str = ""
    """What to do, as a sentence; empty if that is not known."""


def network_failure(error: exceptions.HTTPError, proxy: Proxy | None = None) -> Failure:
    """Say what an exception of urllib3 means; `proxy` is what the request went by."""
    match error:
        case exceptions.ProxyError():
            return _proxy_failure(error.original_error, proxy)
        case exceptions.NameResolutionError():
            advice = "Check the URL and the network."
            return Failure("the name of the host was not found", True, False, advice)
        case exceptions.NewConnectionError():
            return Failure(f"no connection: {error.__cause__ or 'refused'}", True, False)
        case exceptions.ConnectTimeoutError():
            return Failure("no connection within connect_timeout", True, False)
        case exceptions.ReadTimeoutError() if proxy is not None and error.url == proxy.url:
            return Failure("no connection by the proxy within connect_timeout", True, False)
        case exceptions.TimeoutError():
            return Failure("nothing came within read_timeout", True, True)
        case exceptions.SSLError():
            fault = tls_fault(error.args[0] if error.args else error)
            return Failure(fault.what, fault.retryable, fault.arrived, fault.advice)
        case exceptions.ProtocolError():
            return _broken_connection(error.args[-1])
    return Failure(f"{type(error).__name__}: {error}", False, True)


def _proxy_failure(cause: Exception, proxy: Proxy | None) -> Failure:
    """Say why there is no way through the proxy."""
    # What http.client says of a CONNECT that is not answered with 200.
    said = re.match(r"Tunnel connection failed: ([1-5][0-9]{2})\b", str(cause))
    if said is not None:
        told = refused(int(said[1]), bool(proxy and proxy.authorization))
        return Failure(f"the proxy {told.what}", told.retryable, False, told.advice)
    if not isinstance(cause, exceptions.HTTPError):
        return Failure(f"no connection to the proxy: {cause}", isinstance(cause, OSError), False)
    failure = network_failure(cause)
    advice = "Check the proxy's URL: is it one for TLS, https://?"
    if isinstance(cause, exceptions.SSLError) and failure.arrived:
        return Failure(f"of the proxy: {failure.what}", False, False, advice)
    return attrs.evolve(failure, what=f"of the proxy: {failure.what}", arrived=False)


def _broken_connection(cause: object) -> Failure:
    if isinstance(cause, http.client.IncompleteRead):
        return Failure(f"the answer broke off: {cause!r}", True, True)
    if isinstance(cause, http.client.BadStatusLine) and _is_cut(cause.args[0]):
        return Failure("the answer broke off", True, True)
    if isinstance(cause, OSError):
        return Failure(f"the connection broke: {cause}", True, True)
    advice = "Check the URL: what answers there does not speak HTTP."
    return Failure(f"the answer is not HTTP: {cause!r}", False, True, advice)


def _is_cut(line: str) -> bool:
    """Whether a status line is the beginning of a good one (RFC 9112, section 4)."""
    return _CUT_STATUS_LINE.fullmatch(line) is not None


def told_by(
    read_error: ErrorReader | None, status: int, content_type: str, body: bytes, hide: Hide = str
) -> ErrorAnswer | None:
    """Read an error answer by its dialect; None if that has nothing to say of it.

    `hide` takes secrets out of its words and its code.
    """
    if read_error is None or status < 400:
        return None
    document = _NO_JSON if is_html(content_type) else _parsed(body)
    if document is _NO_JSON:
        document = body.decode("utf-8", errors="replace") if _is_plain(content_type) else None
    told = read_error(status, document)
    if told is None:
        return None
    code = told.reason_code
    code = shortened(hide(code)) if isinstance(code, str) else code
    words = None if told.words is None else shortened(hide(told.words))
    return attrs.evolve(told, reason_code=code, words=words)


def status_failure(
    status: int,
    content_type: str,
    location: str | None,
    body: bytes,
    hide: Hide = str,
    told: ErrorAnswer | None = None,
) -> Failure:
    """Say what an answer outside of 200 to 299 means; `hide` takes secrets out of its words.

    Where the dialect has `told` of it, the status that it says means the same decides.
    """
    if 300 <= status < 400:
        what = f"was redirected ({status}) to {_without_query(hide(location or 'nowhere'))}"
        advice = (
            "Redirects are not followed, so that the token goes to no other host. "
            "If the service has moved, use its new URL."
        )
        return Failure(what, False, True, advice)
    what = f"was answered {status} {http.client.responses.get(status, '')}".rstrip()
    words = service_words(content_type, body, hide)
    if told is not None:
        status, words = told.status, words if told.words is None else told.words
        what = what if told.reason_code is None else f"{what}, {told.reason_code}"
    retryable = status in RETRYABLE_STATUS
    advice = _ADVICE.get(status, "Try again later." if retryable else "")
    arrived = status == 408 or not 400 <= status < 500
    return Failure(f"{what}: {words}" if words else what, retryable, arrived, advice)


def is_html(content_type: str) -> bool:
    """Whether an answer is a page for people: of a proxy, or of a place to log in."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")


def _is_plain(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "text/plain"


def service_words(content_type: str, body: bytes, hide: Hide = str) -> str:
    """Find what the service itself says in the body of an error, and shorten it to one line.

    `hide` takes secrets out of it, before that: half of one could not be found any more.
    """
    if is_html(content_type):
        return "an HTML page"
    document = _parsed(body)
    text = body.decode("utf-8", errors="replace") if document is _NO_JSON else _words(document)
    return shortened(hide(text))


_NO_JSON: Final = object()


def _parsed(body: bytes) -> object:
    """Read the JSON of an error; `_NO_JSON` if it is none."""
    with suppress(ValueError, RecursionError):
        return json.loads(body.decode("utf-8", errors="replace"))
    return _NO_JSON


def _words(value: object) -> str:
    match value:
        case str():
            return value
        case {"message": str(words)}:
            return words
        case list():
            return "; ".join(filter(None, (_words(item) for item in value[:5])))
        case {"errors": inner} | {"error": inner} | {"detail": inner}:
            return _words(inner)
    return ""


def _without_query(location: str) -> str:
    # The query of a place to log in often holds a secret.
    try:
        parts = urlsplit(location)
    except ValueError:
        return "a place that is no URL"
    host = parts.netloc.rpartition("@")[2]
    return shortened(f"{parts.scheme}://{host}{parts.path}" if host else parts.path)
