"""`runtime-core replay`: a journal as a timeline, and whether it can be done again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from io import TextIOWrapper

from adapters.cli.outcome import CommandError, Exit

ABOUT = "Show what a journal tells of jobs, and do it again."
EPILOG = """\
`run` and `watch` write a journal with --journal FILE, programs with
`adapters.JournalFile`. No service is asked for anything.

exit codes: 0 the machines did the same again, 1 they did something else, 2 it
cannot be read.
"""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="the journal; - for the standard input")


def run(options: argparse.Namespace) -> Exit:
    """Show the timeline and give the exit code.

    Raises:
        CommandError: if the journal cannot be read.
    """
    from adapters.cli.timeline import timeline
    from runtime_core.errors import JournalError
    from runtime_core.journal_replay import Replay, replay

    def replayed(lines: Iterable[str]) -> Replay:
        try:
            return replay(lines)
        except JournalError as error:
            raise CommandError(f"{options.file}: {error}") from error

    if options.file == "-":
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="replace")
        found = replayed(sys.stdin or ())  # it may be closed
    else:
        try:
            with open(options.file, encoding="utf-8", errors="replace") as file:
                found = replayed(file)
        except OSError as error:
            raise CommandError(f"{options.file} cannot be read: {error.strerror}.") from error
    for line in timeline(found):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    if found.broken is not None:
        raise CommandError(f"{options.file}: {found.broken} What stands before it is above.")
    return Exit.FAILED if found.differences else Exit.DONE
