"""What is for people in a Ray head's message about a failed job. Pure."""

from __future__ import annotations

import json
import re
from typing import Final

from adapters.services.ray_errors import TRACEBACK, last_words

_LAST_LOGS: Final = re.compile(r", last available logs \(truncated to [\d,]+ chars\):\n")
_MAX_LAST_LOGS: Final = 20_000  # characters, which Ray cuts at
_RAYS_OWN: Final = re.compile(
    r"^(?:[\d-]+ [\d:,]+\tINFO job_manager\.py:\d+ -- .*|Running entrypoint for job .*)(?:\n|\Z)",
    re.MULTILINE,
)


def clean_reason(message: str, nonce: str | None) -> str:
    """Take what is not for people out of Ray's message of a failed job.

    Of a job that could not be started, that is the traceback of what Ray did for it. Of one that
    has this nonce, it is our lines, and Ray's, among the last ten of its log, which Ray repeats.
    Those are cut off after so many characters from the end, so they may begin in one of ours.
    """
    if message.startswith("Failed to start supervisor actor"):
        return message.partition(f" Full traceback:\n{TRACEBACK}")[0]
    if message.startswith("runtime_env setup failed") and TRACEBACK in message:
        return f"{message.partition(TRACEBACK)[0]}{last_words(message)}"
    found = _LAST_LOGS.search(message)
    if nonce is None or found is None:
        return message
    head, lines = message[: found.start()], message[found.end() :]
    if len(lines) >= _MAX_LAST_LOGS:
        first, _, rest = lines.partition("\n")
        # Ours end so. If it was none of ours, it was cut off anyway.
        lines = rest if first.endswith("}") else lines
    ours = rf"(?:\n?\x1e|\A){re.escape(nonce)}(\{{[^\n]*)(?:\n|\Z)"
    lines = re.sub(ours, lambda frame: _printed(frame[1]), lines)
    lines = _RAYS_OWN.sub("", lines).strip("\n\x1e")
    return f"{head}{found[0]}{lines}" if lines else f"{head}."


def _printed(frame: str) -> str:
    """Give what one of our lines stands for among those that were printed: mostly for nothing."""
    try:
        told = json.loads(frame)
    except (ValueError, RecursionError):
        return ""
    match told:
        case {"k": "join", "d": str(text)}:
            return text
    return ""
