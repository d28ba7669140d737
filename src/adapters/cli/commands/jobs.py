"""`runtime-core jobs`: the newest jobs, as a table."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from adapters.cli.options import add_json, add_place, whole_number
from adapters.cli.outcome import Exit

if TYPE_CHECKING:
    from adapters.job import RuntimeJob
    from adapters.services.dialect import Dialect

ABOUT = "List the newest jobs."

_COLUMNS = ("JOB", "PROGRAM", "STATE", "CREATED", "RAN")
_GAP = "  "
_SHORTEST_PROGRAM = 8


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--limit", type=whole_number, default=20, metavar="N", help="how many (default: 20)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--pending", action="store_true", help="only jobs that are queued or running"
    )
    which.add_argument("--finished", action="store_true", help="only jobs that have ended")
    parser.add_argument("--program", metavar="ID", help="only jobs of this program")
    add_json(
        parser,
        'one JSON object a line: {"job": ID, "program": ID, "state": WORD, "position": N or '
        'null, "created": TIME, "started": TIME, "ended": TIME}, times in ISO 8601 or null',
    )
    add_place(parser, of_a_job=False)


def run(options: argparse.Namespace) -> Exit:
    """List them.

    Raises:
        CommandError: if the service cannot be used.
    """
    from adapters.cli.place import Place

    place = Place.given(options)
    pending = True if options.pending else False if options.finished else None
    with place.open() as service:
        jobs = service.jobs(options.limit, 0, pending, options.program)
    if options.json:
        for job in jobs:
            sys.stdout.write(f"{json.dumps(_facts(job, place.dialect))}\n")
    elif jobs:
        now = datetime.now(UTC)
        _print_table([_row(job, place.dialect, now) for job in jobs])
    else:
        kind = "pending " if options.pending else "finished " if options.finished else ""
        sys.stderr.write(f"runtime-core: there are no {kind}jobs.\n")
    return Exit.DONE


def _facts(job: RuntimeJob, dialect: Dialect) -> dict[str, object]:
    from adapters.cli.text import status_word

    said = job.document
    return {
        "job": said.id,
        "program": said.program_id,
        "state": status_word(said.status, dialect),
        "position": said.position,
        "created": said.created or None,
        "started": said.started or None,
        "ended": said.ended or None,
    }


def _row(job: RuntimeJob, dialect: Dialect, now: datetime) -> list[str]:
    from adapters.cli.text import printable, status_word
    from adapters.cli.times import ago, lasting, read_time

    said = job.document
    created, started, ended = map(read_time, (said.created, said.started, said.ended))
    state = status_word(said.status, dialect)
    if said.position is not None:
        state = f"{state} ({said.position})"
    end = ended or (now if started is not None else None)
    ran = lasting((end - started).total_seconds()) if started and end else ""
    return [
        printable(said.id),
        printable(said.program_id),
        printable(state),
        "" if created is None else ago(created, now),
        ran,
    ]


def _print_table(rows: list[list[str]]) -> None:
    """Print the rows below a head; on a terminal, programs are cut so that a row is a line."""
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - sum(widths) - len(_GAP) * (len(widths) - 1)
        widths[1] = max(_SHORTEST_PROGRAM, widths[1] + min(0, room))
    for row in [list(_COLUMNS), *rows]:
        if len(row[1]) > widths[1]:
            row[1] = f"{row[1][: widths[1] - 1]}…"
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        sys.stdout.write(f"{_GAP.join(cells).rstrip()}\n")
