"""The options that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
import math
import re
from typing import Final

TOKEN_VARIABLE: Final = "RUNTIME_CORE_TOKEN"  # noqa: S105 - the name of the variable, no token
"""The environment variable with the access token."""

PLACES: Final = ("url", "ray", "data", "transport")
"""The options that say which service is meant: of each command at most one is given."""

_DURATIONS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_SIZES: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def add_place(parser: argparse.ArgumentParser, *, of_a_job: bool = True) -> argparse._ArgumentGroup:
    """Add the options that say which service is meant, and give their group.

    Args:
        parser: gets them.
        of_a_job: whether it is about one job: then a transport is enough of a service.
    """
    # argparse has groups for that, which it writes on one line of the usage, however long.
    place = parser.add_argument_group("which service", "the one on this machine, or one of:")
    place.add_argument("--url", help="a service somewhere else")
    place.add_argument(
        "--ray", metavar="URL", help="a Ray cluster, by its head: http://head:8265 for instance"
    )
    place.add_argument(
        "--data",
        metavar="DIR",
        help="where the service on this machine keeps its jobs (default: RUNTIME_CORE_DATA, or a "
        "directory of yours)",
    )
    if of_a_job:
        place.add_argument(
            "--transport",
            metavar="MODULE:NAME",
            help="a transport of yours, or what makes one; the module is imported",
        )
    place.add_argument(
        "--token",
        help="the access token for --url or --ray. Better set the environment variable "
        f"{TOKEN_VARIABLE}: everybody on this machine can see command lines, and shells keep them",
    )
    return place


def add_job(parser: argparse.ArgumentParser) -> None:
    """Add the job that the command is about."""
    from adapters.cli.job_ids import complete_job_ids

    job = parser.add_argument("job", metavar="JOB", help="the id of the job, as `jobs` lists it")
    job.completer = complete_job_ids  # type: ignore[attr-defined]  # of argcomplete


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option for programs that read the output."""
    parser.add_argument("--json", action="store_true", help=what)


def add_following(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that follow a job to its end."""
    add_json(parser, "one JSON object a line on stdout, see below")
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="leave after that long; the job goes on",
    )
    parser.add_argument(
        "--cancel-on-interrupt",
        action="store_true",
        help="cancel the job at the first Ctrl-C, instead of leaving it running",
    )
    parser.add_argument(
        "--journal",
        metavar="FILE",
        help="write down what happens, without results and tokens, for a bug report: `replay` "
        "shows it",
    )
    add_place(parser).add_argument(
        "--resume",
        choices=["live", "replay", "offset"],
        help="what the service at --url sends when a stream is opened again: only what comes then "
        "(live, the default), everything (replay), or from where it is asked to (offset, as "
        "`serve` can)",
    )


FOLLOWING_EPILOG: Final = """\
Ctrl-C leaves the job running and says how to come back to it; a second one
within 2 seconds cancels the job.

exit codes: 0 done, 1 the job failed, 2 wrong arguments or a service that cannot
be used, 3 the job was cancelled, 4 the timeout passed, 130 Ctrl-C.

With --json each line is an object with an "event" and these keys; any of them
may be null, "seconds" are since the submission:
  submitted   job, program (of watch: found)
  state       seconds, state (queued or running), position (1 is next to run)
  interim     seconds, progress (0 to 1), value (tagged JSON)
  note        text
and the last line is one of these:
  result      seconds, value (tagged JSON)
  failed      seconds, reason, code
  cancelled   seconds
  left        why (interrupt or timeout), job
  error       message
JSON has no NaN and no Infinity: they are the texts "NaN", "Infinity" and
"-Infinity".
"""
"""What the help of such a command says below."""


def seconds(text: str) -> float:
    """Read a number of seconds.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds greater than 0, not {text!r}")
    return number


def duration(text: str) -> float:
    """Read an age, for instance ``7d``, as seconds.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip().lower(), re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"an age like 90s, 30m, 12h, 7d or 2w, not {text!r}")
    return float(found[1]) * _DURATIONS[found[2]]


def size(text: str) -> int:
    """Read a size, for instance ``2G``, as bytes.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    pattern = r"(\d+(?:\.\d+)?)([KMGT]?)(?:I?B)?"
    found = re.fullmatch(pattern, text.strip().upper(), re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"a size like 500M, 2G or 0, not {text!r}")
    return int(float(found[1]) * _SIZES[found[2]])


def whole_number(text: str) -> int:
    """Read a whole number from 1 on.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return int(text)
