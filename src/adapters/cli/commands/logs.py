"""`runtime-core logs`: what a job printed, and with `--follow` what it prints."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable

from adapters.cli.options import add_job, add_json, add_place
from adapters.cli.outcome import Exit

ABOUT = "Print what a job printed."

# Colours, and progress bars that are drawn anew: the only orders to a terminal that pass.
_HARMLESS = re.compile(r"(\x1b\[[0-9;]*m|\r)")


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_job(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what it prints, until it ends"
    )
    add_json(parser, 'for each piece of the log one JSON object a line: {"text": TEXT}')
    add_place(parser)


def run(options: argparse.Namespace) -> Exit:
    """Print the log.

    Raises:
        CommandError: if there is no such job, or the service cannot be used.
    """
    from adapters.cli.place import Place

    place = Place.given(options)
    with place.reach() as service:
        job = place.find(service, options.job)
        pieces: Iterable[str] = job.follow_logs() if options.follow else filter(None, [job.logs()])
        last = ""
        for last in pieces:
            if options.json:
                sys.stdout.write(f"{json.dumps({'text': last})}\n")
            else:
                sys.stdout.write(_harmless(last) if sys.stdout.isatty() else last)
            sys.stdout.flush()
    if not last:
        sys.stderr.write(f"runtime-core: job {options.job} has printed nothing.\n")
    elif sys.stdout.isatty() and not last.endswith("\n"):
        sys.stdout.write("\n")
    return Exit.DONE


def _harmless(text: str) -> str:
    from adapters.cli.text import printable

    parts = _HARMLESS.split(text)
    return "".join(part if index % 2 else printable(part) for index, part in enumerate(parts))
