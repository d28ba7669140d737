"""`runtime-core result`: wait for the result of a job, and print it."""

from __future__ import annotations

import argparse
import sys

from adapters.cli.options import add_job, add_json, add_place, seconds
from adapters.cli.outcome import CommandError, Exit

ABOUT = "Wait for the result of a job, and print it."
EPILOG = """\
exit codes: 0 done, 1 the job failed (stderr says why), 2 wrong arguments or a
service that cannot be used, 3 the job was cancelled, 4 the timeout passed,
130 Ctrl-C.

JSON has no NaN and no Infinity: with --json they are the texts "NaN",
"Infinity" and "-Infinity".
"""

_POLL = 1.0


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_job(parser)
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="wait that long at most")
    add_json(parser, "the tagged JSON as the service keeps it")
    add_place(parser)


def run(options: argparse.Namespace) -> Exit:
    """Wait and print.

    Raises:
        CommandError: if there is no result, no such job, or the service cannot be used.
    """
    from adapters.cli.place import Place
    from adapters.cli.tagged import AsItCame
    from adapters.cli.views import because, shown
    from runtime_core.errors import (
        JobTimeoutError,
        RuntimeJobCancelledError,
        RuntimeJobFailureError,
    )

    place = Place.given(options)
    again = place.command("result", options.job)
    goes_on = f"job {options.job} goes on. Ask again with\n    {again}"
    try:
        with place.reach() as service:
            job = place.find(service, options.job)
            try:
                value = job.result(options.timeout, _POLL, AsItCame if options.json else None)
            except JobTimeoutError as error:
                why = f"timeout after {error.timeout:g} s: {goes_on}"
                raise CommandError(why, Exit.TIMEOUT) from error
            except RuntimeJobCancelledError as error:
                raise CommandError(str(error), Exit.CANCELLED) from error
            except RuntimeJobFailureError as error:
                sys.stderr.write(because(error.reason))
                return Exit.FAILED
    except KeyboardInterrupt:
        raise CommandError(f"interrupted: {goes_on}", Exit.INTERRUPTED) from None
    sys.stdout.write(f"{value if options.json else shown(value)}\n")
    return Exit.DONE
