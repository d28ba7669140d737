"""Which HTTP answers are worth a second try, and when.

| answer | the same request may succeed a little later |
|---|---|
| 408, 425, 429, 500, 502, 503, 504 | yes |
| every other status, redirects among them | no |
"""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

RETRYABLE_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The status codes after which the same request may well succeed a little later."""


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Read a `Retry-After` header (RFC 9110, section 10.2.3): seconds, or an HTTP date.

    `now` is the time that a date is compared with, in seconds since the epoch. Gives seconds, 0
    for what has passed already, and None where there is nothing to read.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        date = http_date(value)
        if date is None:
            return None
        seconds = date - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


def http_date(value: str) -> float | None:
    """Read an HTTP date as seconds since the epoch; None if it is none."""
    try:
        date = parsedate_to_datetime(value)
        # "-0000" gives a naive time, which Python would take for a local one.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
