"""`runtime-core cancel`: ask for the end of a job, and say what came of it."""

from __future__ import annotations

import argparse
import json
import sys

from adapters.cli.options import add_job, add_json, add_place
from adapters.cli.outcome import CommandError, Exit

ABOUT = "Cancel a job, and say what came of it."
EPILOG = """\
exit codes: 0 the job is cancelled, 2 it had ended otherwise, or the service
cannot be used, 4 it was asked to end and has not ended yet.
"""

_PATIENCE = 10.0


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_job(parser)
    add_json(parser, 'one JSON object: {"job": ID, "state": WORD}')
    add_place(parser)


def run(options: argparse.Namespace) -> Exit:
    """Cancel it and wait a few seconds for the end.

    Raises:
        CommandError: if it has not ended so, there is no such job, or the service cannot be used.
    """
    from adapters.cli.place import Place
    from adapters.cli.text import word
    from runtime_core.errors import JobTimeoutError, RuntimeInvalidStateError
    from runtime_core.states import JobState

    place = Place.given(options)
    with place.reach() as service:
        job = place.find(service, options.job)
        had_ended = False
        try:
            job.cancel()
        except RuntimeInvalidStateError:
            had_ended = True
        try:
            job.wait_for_final_state(_PATIENCE, 0.5)
        except JobTimeoutError as error:
            waits = place.ray is not None and error.state is JobState.QUEUED
            why = " Ray ends a queued job only when its turn comes." if waits else ""
            raise CommandError(
                f"job {options.job} was asked to end, and is {word(error.state)} after "
                f"{_PATIENCE:g} s: see what becomes of it with "
                f"`{place.command('status', options.job)}`.{why}",
                Exit.TIMEOUT,
            ) from error
        state = job.status()
    if options.json:
        sys.stdout.write(f"{json.dumps({'job': options.job, 'state': word(state)})}\n")
    if state is not JobState.CANCELLED:
        before = "had ended before" if had_ended else "ended before it could be cancelled"
        raise CommandError(f"job {options.job} {before}: it is {word(state)}.")
    if not options.json:
        sys.stdout.write("it was cancelled before\n" if had_ended else "cancelled\n")
    return Exit.DONE
