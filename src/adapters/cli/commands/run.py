"""`runtime-core run`: a program as a job, from the file to the exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from adapters.cli.options import FOLLOWING_EPILOG, add_following, whole_number
from adapters.cli.outcome import Exit
from adapters.cli.ray_options import add_ray_options, ray_options

if TYPE_CHECKING:
    from adapters.cli.place import AnyService
    from adapters.job import RuntimeJob

ABOUT = "Run a program as a job and show how it goes."
EPILOG = FOLLOWING_EPILOG


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "program",
        metavar="PROGRAM",
        help="a Python file, a folder with a main.py, or the name of a module, with a function "
        "main(backend, user_messenger, **inputs); with --transport, the program's id there",
    )
    parser.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an input for main(): JSON if it can be read as JSON, else text; "
        "NAME=@FILE.json reads it from a JSON file. May be repeated",
    )
    parser.add_argument(
        "--max-time",
        type=whole_number,
        metavar="SECONDS",
        help="how long the job may run before its service stops it (default: an hour)",
    )
    parser.add_argument(
        "--detach", action="store_true", help="only submit the job, and print its id"
    )
    add_following(parser)
    add_ray_options(parser)


def run(options: argparse.Namespace) -> Exit:
    """Run the program, show how it goes, and give the exit code.

    Raises:
        CommandError: if the program or the service cannot be used.
    """
    if options.detach:
        for name in ("timeout", "cancel_on_interrupt", "journal"):
            if getattr(options, name):
                options.parser.error(f"--{name.replace('_', '-')} has no meaning with --detach")
        return _submit_only(options)
    from adapters.cli.attend import Errand, attend

    is_local = options.url is None and options.ray is None and options.transport is None
    beginning = "finding the service on this machine" if is_local else "submitting"
    return attend(options, Errand(lambda: _submission(options), "submitted", beginning))


def _submission(options: argparse.Namespace) -> Callable[[AnyService], RuntimeJob]:
    """Check everything that is submitted, and give what does it."""
    from adapters.cli.inputs import read_inputs
    from adapters.cli.program import check_program
    from adapters.service import RuntimeService

    wanted = ray_options(options)
    if options.transport is not None:
        if options.max_time is not None:
            options.parser.error("--max-time is for a program that is uploaded")
        given = read_inputs(options.input)
        return lambda service: service.run(options.program, inputs=given)
    program = check_program(options.program, options.max_time)
    inputs = read_inputs(options.input)

    def submit(service: AnyService) -> RuntimeJob:
        assert isinstance(service, RuntimeService), "there is no transport"
        return service.run(program.upload(service), wanted or None, inputs)

    return submit


def _submit_only(options: argparse.Namespace) -> Exit:
    from adapters.cli.place import Place

    submit = _submission(options)
    with Place.given(options).reach(may_be_new=True) as service, submit(service) as job:
        known = {"event": "submitted", "job": job.job_id(), "program": job.program_id}
        sys.stdout.write(f"{json.dumps(known) if options.json else job.job_id()}\n")
    return Exit.DONE
