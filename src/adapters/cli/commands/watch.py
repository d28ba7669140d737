"""`runtime-core watch`: follow a job that is there already, from its beginning."""

from __future__ import annotations

import argparse

from adapters.cli.options import FOLLOWING_EPILOG, add_following, add_job
from adapters.cli.outcome import Exit

ABOUT = "Follow a job that is there already, from its beginning."
EPILOG = FOLLOWING_EPILOG


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_job(parser)
    add_following(parser)


def run(options: argparse.Namespace) -> Exit:
    """Follow the job and give the exit code.

    Raises:
        CommandError: if there is no such job, or the service cannot be used.
    """
    from adapters.cli.attend import Errand, attend
    from adapters.cli.place import Place

    place = Place.given(options)
    errand = Errand(
        lambda: lambda service: place.find(service, options.job), "found", "looking for the job"
    )
    return attend(options, errand)
