"""How a command can end."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the command."""

    DONE = 0
    """The job ended with a result; of other commands: what was asked for was done."""
    FAILED = 1
    """The job failed; of `replay`: the machines did something else than what was recorded."""
    UNUSABLE = 2
    """The arguments, the program, or the service cannot be used."""
    CANCELLED = 3
    """The job was cancelled, by whomever."""
    TIMEOUT = 4
    """`--timeout` passed first; the job goes on."""
    INTERRUPTED = 130
    """Ctrl-C: 128 and the number of SIGINT, as shells have it; the job goes on."""
    UNREAD = 141
    """Who read the output has gone: 128 and the number of SIGPIPE."""


class CommandError(Exception):
    """The command cannot be carried out; the message is one sentence that says what to do."""

    def __init__(self, message: str, code: Exit = Exit.UNUSABLE) -> None:
        super().__init__(message)
        self.code = code
        """How the command ends."""
