"""How a command can end."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the command."""

    DONE = 0
    """The job ended with a result."""
    FAILED = 1
    """The job failed."""
    UNUSABLE = 2
    """The arguments, the program, or the service cannot be used."""
    CANCELLED = 3
    """The job was cancelled, by whomever."""
    TIMEOUT = 4
    """`--timeout` passed first."""
    INTERRUPTED = 130
    """Ctrl-C: 128 and the number of SIGINT, as shells have it."""
    UNREAD = 141
    """Who read the output has gone: 128 and the number of SIGPIPE."""


class CommandError(Exception):
    """The command cannot be carried out; the message is one sentence that says what to do."""
