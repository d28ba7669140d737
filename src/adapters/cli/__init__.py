"""The command line: `runtime-core run PROGRAM.py` runs a program as a job and shows how it goes.

Exit codes: see `Exit`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from adapters.cli.arguments import RunOptions, parse
from adapters.cli.outcome import CommandError, Exit

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks for, and give the exit code.

    Args:
        argv: the arguments after the command's name; None for those of this process.

    Raises:
        SystemExit: after `--help`, `--version`, and with code 2 if the arguments are wrong.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A program may publish what the terminal's encoding has no word for.
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(parse(argv))
    except CommandError as error:
        sys.stderr.write(f"runtime-core: {error}\n")
        return Exit.UNUSABLE
    except KeyboardInterrupt:
        sys.stderr.write("runtime-core: interrupted.\n")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone. The interpreter flushes once more at exit: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.UNREAD


def _run(options: RunOptions) -> Exit:
    from adapters.cli.run import run

    return run(options)
