"""`runtime-core status`: in one word, how a job is."""

from __future__ import annotations

import argparse
import json
import sys

from adapters.cli.options import add_job, add_json, add_place
from adapters.cli.outcome import Exit

ABOUT = "Say in one word how a job is."


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_job(parser)
    add_json(parser, 'one JSON object: {"job": ID, "state": WORD, "position": N or null}')
    add_place(parser)


def run(options: argparse.Namespace) -> Exit:
    """Ask and tell.

    Raises:
        CommandError: if there is no such job, or the service cannot be used.
    """
    from adapters.cli.job_clock import told
    from adapters.cli.place import Place
    from adapters.cli.text import standing, word
    from runtime_core.states import JobState

    place = Place.given(options)
    with place.reach() as service:
        job = place.find(service, options.job)
        now = job.status()
        state = word(now)
        # The place is of the answer before: a job that has started meanwhile has none.
        document = told(job) if now is JobState.QUEUED else None
        position = None if document is None else document.position
        if options.json:
            said = json.dumps({"job": job.job_id(), "state": state, "position": position})
        else:
            said = state if position is None else f"{state}, {standing(position)}"
    sys.stdout.write(f"{said}\n")
    return Exit.DONE
