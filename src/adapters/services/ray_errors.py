"""What the error answers of a Ray head mean. Pure.

They are plain texts, a sentence or a traceback, and the HTTP status is 500 where another would be
meant. So they are known by Ray's words, those of Ray 2.60; an answer in other words is what its
status says.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from adapters.services.error_codes import ErrorAnswer

TRACEBACK: Final = "Traceback (most recent call last):\n"
"""How a traceback begins."""

NO_SUCH_JOB: Final = "NO_SUCH_JOB"
"""The reason code of an error that says there is no such job (404)."""
NO_SUCH_PACKAGE: Final = "NO_SUCH_PACKAGE"
"""The reason code of an error that says there is no such package (404)."""
ALREADY_EXISTS: Final = "ALREADY_EXISTS"
"""The reason code of an error that says there is a job of that id (409)."""
NOT_FINAL: Final = "NOT_FINAL"
"""The reason code of an error that says a job has not ended (409)."""
NOT_UTF8: Final = "NOT_UTF8"
"""The reason code of an error that says a log holds bytes that are no text (400)."""
NODE_SILENT: Final = "NODE_SILENT"
"""The reason code of an error that says the node of a log does not answer the head (503)."""
NO_NODE: Final = "NO_NODE"
"""The reason code of an error that says the node of a log is no longer there, nor the log (410)."""

_ADVICE: Final = "give what the head was started with as RAY_AUTH_TOKEN"
_ANEW: Final = "a head that was started anew knows nothing of what was before"


@attrs.frozen
class _Answer:
    """What some words of Ray's mean."""

    pattern: str
    status: int
    code: str | None = None
    advice: str = ""


# Ray has no codes: what it means is known by its words only.
_ANSWERS: Final = (
    _Answer(r"Job \S* does not exist", 404, NO_SUCH_JOB, _ANEW),
    _Answer(r"Package \S* does not exist", 404, NO_SUCH_PACKAGE),
    _Answer(r"submission_id \S* already exists", 409, ALREADY_EXISTS),
    _Answer(r"Attempted to delete job .* non-terminal state", 409, NOT_FINAL),
    _Answer(r"\AUnicodeDecodeError", 400, NOT_UTF8),
    _Answer(r"Agent for node id: \S* doesn't exist", 410, NO_NODE),
    _Answer(r"Cannot connect to host|StatusCode\.UNAVAILABLE", 503, NODE_SILENT),
    # The node has no agent: its port was taken when it started.
    _Answer(r"InvalidUrlClientError", 503, NODE_SILENT),
    _Answer(r"No available agent to submit job", 503),
    _Answer(r"Missing authentication token", 401, None, _ADVICE),
    # A token of another kind may come from a provider: 401 asks it, 403 would not.
    _Answer(r"Invalid authentication token", 401, None, _ADVICE),
)


def read_error(status: int, document: object, /) -> ErrorAnswer | None:
    """Say what an error answer of a head means; an `ErrorReader`.

    They are plain texts: a sentence, or a traceback of which the last one counts.
    """
    if not isinstance(document, str):
        return None
    words = last_words(document)
    for answer in _ANSWERS:
        if re.search(answer.pattern, words):
            advised = f"{words.rstrip('.')}: {answer.advice}" if answer.advice else words
            return ErrorAnswer(answer.status, answer.code, advised)
    return ErrorAnswer(status, None, words)


def last_words(text: str) -> str:
    """Give what a text says for people: of a traceback, also of one in another, its last words."""
    _, found, trace = text.rpartition(TRACEBACK)
    if not found:
        return text.strip()
    lines = trace.splitlines()
    # The frames are indented; the exception is not, and may have several lines.
    begin = next((at for at, line in enumerate(lines) if line[:1].strip()), len(lines))
    said = "\n".join(lines[begin:]).rstrip().removesuffix("\n.")
    return said or text.strip()
