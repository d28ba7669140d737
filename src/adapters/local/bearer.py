"""Bearer tokens, as the clients of the current dialect send them.

What is accepted is the access token itself, and what `BearerTokens.answer` gives for it, as an
identity service does: a JSON web token (RFC 7519) that says until when it holds, signed with the
access token (HS256). Nothing is kept of them, so all of them end when the access token changes.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

TOKEN_PATH: Final = "/identity/token"  # noqa: S105 - a path, no token
"""Where a bearer token is given for the access token, which is called an API key there."""

MAX_FORM_BYTES: Final = 4096
"""The longest body of a request for a bearer token."""

LIFETIME: Final = 3600
"""The seconds for which a bearer token holds."""

_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)


def is_token_request(method: bytes, target: bytes) -> bool:
    """Whether a request is one for a bearer token, which needs none."""
    return method == b"POST" and target == TOKEN_PATH.encode()


class BearerTokens:
    """Gives bearer tokens to who has the access token, and knows them again."""

    def __init__(self, access_token: str, clock: Callable[[], float] = time.time) -> None:
        self._key = access_token.encode()
        self._clock = clock

    def accepts(self, authorization: bytes) -> bool:
        """Whether the value of an Authorization header is a bearer token that holds."""
        match = _BEARER.fullmatch(authorization)
        if match is None:
            return False
        token = match[1]
        if hmac.compare_digest(token, self._key):
            return True
        signed, _, signature = token.rpartition(b".")
        # What we have signed needs no further check: we made it.
        if not hmac.compare_digest(signature, self._signature(signed)):
            return False
        payload = signed.rpartition(b".")[2]
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        return bool(self._clock() < claims["exp"])

    def issue(self) -> dict[str, Any]:
        """Make a bearer token; give the answer that carries it."""
        now = int(self._clock())
        parts = ({"alg": "HS256", "typ": "JWT"}, {"iat": now, "exp": now + LIFETIME})
        signed = b".".join(_base64(json.dumps(part).encode()) for part in parts)
        return {
            "access_token": b".".join((signed, self._signature(signed))).decode(),
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "expiration": now + LIFETIME,
        }

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a bearer token, a form with the `apikey`; an ASGI application.

        The connection ends with it: who asks has shown nothing when the head is judged.
        """
        form = parse_qs((await Request(scope, receive).body()).decode("latin-1"))
        keys = [key.encode("utf-8", "replace") for key in form.get("apikey", [])]
        headers = {"Connection": "close", "Cache-Control": "no-store"}
        if len(keys) == 1 and hmac.compare_digest(keys[0], self._key):
            response = JSONResponse(self.issue(), headers=headers)
        else:
            message = "The apikey is not the access token of this service."
            response = JSONResponse({"message": message}, 401, headers)
        await response(scope, receive, send)

    def _signature(self, signed: bytes) -> bytes:
        return _base64(hmac.digest(self._key, signed, "sha256"))


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
