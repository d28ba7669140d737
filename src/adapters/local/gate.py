"""Who may talk to the service: asked of every request and every upgrade, before anything else.

The rules look at the head of a request only. They are asked twice: by the door (`adapters.local.
door`) as soon as the head is read, so that a stranger costs no task and no body is parsed for one;
and by the ASGI application that they stand before, so that whatever server runs it, nobody passes.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Container, Iterable, Mapping

import attrs
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from adapters.local.bearer import MAX_FORM_BYTES, BearerTokens, is_token_request

LOOPBACK: frozenset[str] = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""The names of a service that listens to this machine only."""

MAX_HEAD_BYTES = 16 * 1024
"""The longest head that a request may have: its first line and its headers."""

RequestHeaders = Iterable[tuple[bytes, bytes]]
"""Names in lower case, and values, as they came."""

_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")

_HTTP_PORT = 80


@attrs.frozen
class Refusal:
    """Why a request is not let in."""

    status_code: int
    """The HTTP status of the answer."""
    message: str
    """One sentence for the client; nothing of the request is repeated in it."""


class Gate:
    """Lets through what names this service in Host, comes from no foreign page, and has the token.

    Host and Origin are checked because browsers reach 127.0.0.1 too: a page whose name was rebound
    to that address sends its own name as Host, and any page at all sends its own Origin.

    The token is shown as it is, in ``X-Access-Token``, or as a bearer token in ``Authorization``;
    who asks for one of these shows it in the body (`adapters.local.bearer`), which is short.

    Who tries tokens is not slowed down: of 256 random bits nobody guesses one, and a delay would be
    a means to hold up others.

    Args:
        app: What gets the requests that are let through.
        token: What must be shown.
        port: Where the service listens.
        names: The hosts that Host may name (`names_of` gives them), in lower case: ``name`` with
            this port, or ``name:port``.
    """

    def __init__(
        self, app: ASGIApp, token: str, port: int, names: Container[str] = LOOPBACK
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._bearer = BearerTokens(token)
        self._port = port
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or answer why not."""
        method = scope.get("method", "GET").encode()
        refusal = self.refusal(method, scope["raw_path"], scope["headers"])
        if refusal is None:
            # Who goes in the middle of a body leaves nobody to answer, and nothing to log.
            app = self._bearer.answer if is_token_request(method, scope["raw_path"]) else self._app
            with contextlib.suppress(ClientDisconnect):
                await app(scope, receive, send)
        elif scope["type"] == "websocket":
            response = message_response(refusal.status_code, refusal.message)
            await WebSocket(scope, receive, send).send_denial_response(response)
        else:
            response = message_response(refusal.status_code, refusal.message)
            response.headers["Connection"] = "close"  # the body stays unread
            await response(scope, receive, send)

    def refusal(self, method: bytes, target: bytes, headers: RequestHeaders) -> Refusal | None:
        """Judge the head of a request; None lets it through."""
        values: dict[bytes, list[bytes]] = {}
        length = len(method) + len(target)
        for name, value in headers:
            values.setdefault(name, []).append(value)
            length += len(name) + len(value)
        if length > MAX_HEAD_BYTES:
            return Refusal(431, f"The request's head is longer than {MAX_HEAD_BYTES >> 10} KiB.")
        return (
            _malformed(target, values)
            or self._foreign(values)
            or (_form(values) if is_token_request(method, target) else self._unknown(values))
            or _bad_upgrade(method, values)
        )

    def _foreign(self, values: dict[bytes, list[bytes]]) -> Refusal | None:
        host = values[b"host"][0].lower()
        if not self._is_ours(host):
            return Refusal(403, "The Host header does not name this service.")
        # Never another one of our names: who listens at localhost need not be who listens at ::1.
        if any(origin.lower() != b"http://" + host for origin in values.get(b"origin", [])):
            return Refusal(403, "Requests from other origins are refused.")
        # Of a request that a page makes without a script, an image say, this alone tells.
        if not {b"same-origin", b"none"}.issuperset(values.get(b"sec-fetch-site", [])):
            return Refusal(403, "Requests from other sites are refused.")
        return None

    def _is_ours(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name, port = match[1].decode(), int(match[2] or _HTTP_PORT)
        return (port == self._port and name in self._names) or f"{name}:{port}" in self._names

    def _unknown(self, values: Mapping[bytes, list[bytes]]) -> Refusal | None:
        tokens, bearers = values.get(b"x-access-token"), values.get(b"authorization")
        if tokens is not None:
            known = len(tokens) == 1 and hmac.compare_digest(tokens[0], self._token)
        elif bearers is not None:
            known = len(bearers) == 1 and self._bearer.accepts(bearers[0])
        else:
            return Refusal(401, "There is no header X-Access-Token, nor a bearer token.")
        return None if known else Refusal(401, "The access token is not one of this service.")


def names_of(address: str, allowed: Iterable[str] = ()) -> Container[str]:
    """Give the names by which a service is called that listens at `address`.

    At a loopback address: this and `LOOPBACK`. At any other one, a wildcard too: the names that
    this machine has for itself, and every IP address, since whoever rebinds DNS needs a name of
    their own in Host. `allowed` are further ones, ``name`` or ``name:port``, for a service that is
    reached through another machine's name or a forwarded port.

    It may ask the name service, except at a loopback address.
    """
    names = LOOPBACK | {name.lower() for name in allowed}
    parsed = _address(address)
    if parsed is not None:
        names |= {f"[{parsed}]" if parsed.version == 6 else str(parsed)}
    else:
        names |= {address.lower()}
    if address.lower() == "localhost" or (parsed is not None and parsed.is_loopback):
        return names
    return _NamesAndAddresses(names | {socket.gethostname().lower(), socket.getfqdn().lower()})


class _NamesAndAddresses(frozenset[str]):
    """These names, and every IP address."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or _address(str(name).strip("[]")) is not None


def message_response(status_code: int, message: str) -> Response:
    """Give the answer that refuses a request: a JSON object with one sentence."""
    return Response(message_body(message), status_code, media_type="application/json")


def message_body(message: str) -> bytes:
    """Give the body of the answer that refuses a request."""
    return json.dumps({"message": message}).encode()


def _malformed(target: bytes, values: dict[bytes, list[bytes]]) -> Refusal | None:
    # Absolute targets are for proxies: there the name in Host would not count (RFC 9112, 3.2.2).
    if not target.startswith(b"/"):
        return Refusal(400, "The target of the request must be a path.")
    # Two who disagree where a body ends disagree what the next request is (RFC 9112, 6.1).
    if b"transfer-encoding" in values and b"content-length" in values:
        return Refusal(400, "Transfer-Encoding and Content-Length exclude each other.")
    if len(values.get(b"host", [])) != 1:
        return Refusal(400, "The request must have one Host header.")
    return None


def _form(values: Mapping[bytes, list[bytes]]) -> Refusal | None:
    """Refuse a request for a bearer token whose body may be long: a stranger sends it."""
    length = values.get(b"content-length", [])
    if b"transfer-encoding" in values or len(length) != 1:
        return Refusal(411, "The request must have one Content-Length.")
    if not (length[0].isdigit() and len(length[0]) <= 20 and int(length[0]) <= MAX_FORM_BYTES):
        return Refusal(413, f"The body is longer than {MAX_FORM_BYTES >> 10} KiB.")
    return None


def _bad_upgrade(method: bytes, values: dict[bytes, list[bytes]]) -> Refusal | None:
    """Refuse the handshakes that would not reach the application, or only break in its server."""
    if [value.lower() for value in values.get(b"upgrade", [])] != [b"websocket"]:
        return None
    if (
        method != b"GET"
        or b"transfer-encoding" in values
        or values.get(b"content-length", [b"0"]) != [b"0"]
        or values.get(b"sec-websocket-version") != [b"13"]
        or len(values.get(b"sec-websocket-key", [])) != 1
        or not all(value.isascii() for several in values.values() for value in several)
    ):
        return Refusal(
            400, "A websocket needs a GET without a body, Sec-WebSocket-Version 13 and a key."
        )
    return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
