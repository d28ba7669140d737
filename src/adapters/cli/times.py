"""Times and sizes, as people say them."""

from __future__ import annotations

from datetime import datetime

from adapters.job_facts import local_time
from runtime_core.errors import TransportError

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def read_time(text: str) -> datetime | None:
    """Read a time of a service as local time; None if it is none."""
    try:
        return local_time(text)
    except TransportError:
        return None


def ago(moment: datetime, now: datetime) -> str:
    """Say when something was, and how long ago: ``14:03 (5 min ago)``."""
    age = max(0.0, (now - moment).total_seconds())
    is_today = moment.date() == now.astimezone(moment.tzinfo).date()
    said = moment.strftime("%H:%M" if is_today else "%Y-%m-%d")
    return f"{said} ({_coarse(age)} ago)"


def lasting(seconds: float) -> str:
    """Say how long something took: ``2.3 s``, ``4 min 05 s``, ``3 h 12 min``."""
    seconds = max(0.0, seconds)
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def sized(count: int) -> str:
    """Say a number of bytes: ``12.3 MB``, in powers of 1024."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{count} bytes" if unit == "bytes" else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:,.1f} TB"


def _coarse(age: float) -> str:
    for length, unit in _UNITS:
        if age >= length:
            return f"{int(age // length)} {unit}"
    return "0 s"


def days(seconds: float) -> str:
    """Say a long time: ``30 days``, ``12 h``."""
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:g} days"
    return lasting(seconds) if seconds < 3600 else f"{seconds / 3600:g} h"
