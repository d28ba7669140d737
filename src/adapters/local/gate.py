"""Who may talk to the service: asked of every request and every upgrade, before anything else."""

from __future__ import annotations

import hmac
import json

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket


class Gate:
    """Lets through what names this service in Host, comes from no foreign page, and has the token.

    Host and Origin are checked because browsers reach 127.0.0.1 too: a page whose name was rebound
    to that address sends its own name as Host, and any page at all sends its own Origin.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or answer with 401 or 403."""
        refusal = self._refusal(Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(refusal)
        else:
            # The body stays unread, so the connection closes after the answer.
            await refusal(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        if headers.get("host", "").lower() not in self._hosts:
            return message_response(403, "The Host header does not name this service.")
        origin = headers.get("origin")
        if origin is not None and origin.lower().removeprefix("http://") not in self._hosts:
            return message_response(403, "Requests from other origins are refused.")
        token = headers.get("x-access-token")
        if token is None:
            return message_response(401, "The header X-Access-Token is missing.")
        if not hmac.compare_digest(token.encode(), self._token):
            return message_response(401, "The access token is not the one of this service.")
        return None


def message_response(status_code: int, message: str) -> Response:
    """Give the answer that refuses a request: a JSON object with one sentence."""
    content = json.dumps({"message": message})
    return Response(content, status_code, media_type="application/json")
