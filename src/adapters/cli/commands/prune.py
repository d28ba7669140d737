"""`runtime-core prune`: remove old jobs from the store of this machine."""

from __future__ import annotations

import argparse
import json
import sys

import attrs

from adapters.cli.options import add_json, add_place, duration, size
from adapters.cli.outcome import CommandError, Exit

ABOUT = "Remove jobs that have ended from this machine's store, the oldest first."
EPILOG = """\
Without an option it does what the service does by itself now and then: it
removes what the rule does not keep. Jobs that have not ended are never removed.
"""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--older-than",
        type=duration,
        metavar="AGE",
        help="remove jobs that ended that long ago: 12h, 7d, 2w",
    )
    parser.add_argument(
        "--keep-size",
        type=size,
        metavar="SIZE",
        help="remove the oldest jobs until the rest takes no more than that: 500M, 2G",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    add_json(
        parser,
        'one JSON object: {"removed": {"jobs": N, "size": BYTES}, "dry_run": BOOL, "stored": '
        '{"jobs", "unfinished", "programs", "size", "oldest", "keep_seconds", "keep_bytes"}}',
    )
    add_place(parser, of_a_job=False)


def run(options: argparse.Namespace) -> Exit:
    """Remove them, and say what is left.

    Raises:
        CommandError: if the service cannot be used.
    """
    if options.ray is not None:
        raise CommandError(
            "prune works on this machine's store only; a Ray cluster keeps jobs as it likes."
        )
    if options.url is not None:
        raise CommandError(
            "prune works on this machine's store only: run it on the machine of the service, "
            "without --url."
        )
    from adapters.cli.place import Place
    from adapters.local.service import LocalRuntimeService

    with Place.given(options).open() as service:
        assert isinstance(service, LocalRuntimeService)
        pruned = service.prune(options.older_than, options.keep_size, dry_run=options.dry_run)
        stored = service.storage()
    if options.json:
        said = {
            "removed": {"jobs": pruned.jobs, "size": pruned.size},
            "dry_run": options.dry_run,
            "stored": attrs.asdict(stored),
        }
        sys.stdout.write(f"{json.dumps(said)}\n")
        return Exit.DONE
    from adapters.cli.times import days, read_time, sized

    would = "would remove" if options.dry_run else "removed"
    oldest = read_time(stored.oldest or "")
    since = "" if oldest is None else f", the oldest of {oldest:%Y-%m-%d %H:%M}"
    unfinished = f" ({stored.unfinished} not ended)" if stored.unfinished else ""
    sys.stdout.write(
        f"{would}  {_jobs(pruned.jobs)}, {sized(pruned.size)}\n"
        f"stored   {_jobs(stored.jobs)}{unfinished}, {sized(stored.size)}{since}\n"
        f"rule     jobs are kept for {days(stored.keep_seconds)} after their end, as long as "
        f"everything takes less than {sized(stored.keep_bytes)}\n"
    )
    return Exit.DONE


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"
