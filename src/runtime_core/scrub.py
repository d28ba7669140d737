"""Takes out of a text what looks like a credential, so that the rest can be shown to others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

HIDDEN = "***"
"""What stands for what was taken out."""

_MOST = 65_536
"""Characters of a text that are looked at: far more than are shown, so that no secret which was cut
in two is taken for none."""

# Each of them takes time in proportion to the text, whatever it is.
_PATTERNS = (
    # https://user:password@host
    (re.compile(r"://[^\s/@]*@"), f"://{HIDDEN}@"),
    # ?token=... of a URL: some services take it there
    (re.compile(r"(?<=[^\s?])\?[^\s\"'<>?]+"), f"?{HIDDEN}"),
    # Authorization: Bearer ...
    (
        re.compile(r"\b(bearer|basic|digest|negotiate)\s+[^\s,;\"']+", re.IGNORECASE),
        rf"\1 {HIDDEN}",
    ),
    # Authorization: ApiKey ... and other schemes: two words
    (
        re.compile(
            r"(authorization[\"']?\s?[:=]\s?[\"']?)[^\s\"',;&]+(?:\s+[^\s\"',;&]+)?",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # X-Access-Token: ..., "password": "...", api_key=...
    (
        re.compile(
            r"((?:token|secret|passw(?:or)?d|api[_-]?key|cookie|credentials?"
            r"|signature)[\"']?\s?[:=]\s?[\"']?)[^\s\"',;&]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)
_LONG_WORD = re.compile(r"(?<![\w+=-])[\w+=-]{40,}")
"""Keys and signatures are long, and no word of a language is."""
_JWT = re.compile(r"eyJ[\w-]+\.[\w.-]+")


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Take these out of a text, also as they stand in a URL."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        quoted = quote(secret, safe="", errors="replace")
        text = text.replace(secret, HIDDEN).replace(quoted, HIDDEN)
    return text


def scrubbed(text: str, secrets: Iterable[str] = (), limit: int = 500) -> str:
    """Take out these secrets and whatever looks like one, and shorten to `limit` characters.

    That is what stands behind ``Bearer``, user and password of a URL, its query, what is called a
    token, key or password, and words that are too long to be any. It may take out too much.
    """
    text = without_secrets(text, secrets)[:_MOST]
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    text = _JWT.sub(HIDDEN, text)
    text = _LONG_WORD.sub(_opaque, text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _opaque(found: re.Match[str]) -> str:
    word = found[0]
    letters = any(map(str.isalpha, word))
    return HIDDEN if letters and any(map(str.isdigit, word)) else word
