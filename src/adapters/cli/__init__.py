# PYTHON_ARGCOMPLETE_OK
"""The command line: `runtime-core run PROGRAM` runs a program as a job and shows how it goes.

`arguments` says what may be given, each file of `commands` does one thing, and what `run` and
`watch` share stands in `attend` (the user's side) and `follow` (the job's side). Exit codes: see
`Exit`. stdout carries what was asked for, stderr sentences for people.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from adapters.cli.arguments import complete, parse
from adapters.cli.outcome import CommandError, Exit

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks for, and give the exit code.

    Args:
        argv: the arguments after the command's name; None for those of this process.

    Raises:
        SystemExit: after `--help`, `--version`, and with code 2 if the arguments are wrong.
    """
    _open_closed_output()
    if "_ARGCOMPLETE" in os.environ:
        complete()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A program may publish what the terminal's encoding has no word for.
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parse(argv)
        code: Exit = options.do(options)
        sys.stdout.flush()
    except CommandError as error:
        sys.stderr.write(f"runtime-core: {error}\n")
        return error.code
    except KeyboardInterrupt:
        sys.stderr.write("runtime-core: interrupted.\n")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _forget_output()  # who read it has gone
        return Exit.UNREAD
    except OSError as error:
        # What else fails has its own sentence: it is the output, to a full disk for instance.
        _forget_output()
        sys.stderr.write(f"runtime-core: The output cannot be written: {error.strerror}.\n")
        return Exit.UNUSABLE
    return code


def _open_closed_output() -> None:
    """Python has no object for what was closed before it started, as by ``>&-`` in a shell."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _forget_output() -> None:
    """The interpreter flushes once more at exit: into nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
