"""`runtime-core serve`: this machine's service, in the foreground."""

from __future__ import annotations

import argparse
import os
import re

from adapters.cli.options import TOKEN_VARIABLE, size, whole_number
from adapters.cli.outcome import CommandError, Exit

ABOUT = "Run the service of this machine in the foreground, until Ctrl-C."
EPILOG = f"""\
Commands without --url find the service by its data directory. Any address but a
loopback one needs a token that you choose, in {TOKEN_VARIABLE}: whoever has
it can run any program as you, and plain http shows it to the network.
"""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="the address (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=0, help="the port (default: the last one, or any free one)"
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="where the jobs are kept (default: RUNTIME_CORE_DATA, or a directory of yours)",
    )
    parser.add_argument(
        "--workers",
        type=whole_number,
        metavar="N",
        help="how many jobs run at a time (default: one for each core)",
    )
    parser.add_argument(
        "--keep-days",
        type=_days,
        metavar="DAYS",
        help="how long jobs are kept after their end (default: 30 days)",
    )
    parser.add_argument(
        "--keep-size",
        type=size,
        metavar="SIZE",
        help="how much is kept of all jobs together: 500M, 2G (default: 10 GiB)",
    )
    parser.add_argument(
        "--token",
        help=f"the access token. Better set the environment variable {TOKEN_VARIABLE}: everybody "
        "on this machine can see command lines",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME[:PORT]",
        help="another name by which clients reach it: that of a reverse proxy or a tunnel. May be "
        "repeated",
    )


def run(options: argparse.Namespace) -> Exit:
    """Serve until it is ended.

    Raises:
        CommandError: if it cannot be done, or is too dangerous.
    """
    from adapters.local.serve import serve_in_foreground
    from runtime_core.errors import ServiceError, UsageError

    token = options.token or os.environ.get(TOKEN_VARIABLE) or None
    try:
        return Exit(
            serve_in_foreground(
                host=options.host,
                port=options.port,
                data=options.data,
                workers=options.workers,
                token=token,
                allowed_hosts=options.allow_host,
                keep_seconds=options.keep_days,
                keep_bytes=options.keep_size,
            )
        )
    except (UsageError, ServiceError) as error:
        raise CommandError(str(error)) from error


def _days(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"a number of days, not {text!r}")
    return float(text) * 86400


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port from 0 to 65535, not {text!r}")
    return int(text)
