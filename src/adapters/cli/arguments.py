"""The arguments: which commands there are, and what may be given to them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from adapters.cli.commands import (
    cancel,
    completion,
    jobs,
    logs,
    prune,
    replay,
    result,
    run,
    serve,
    status,
    watch,
)
from adapters.cli.options import PLACES
from adapters.cli.outcome import Exit

COMMANDS: Final = {
    "run": run,
    "watch": watch,
    "jobs": jobs,
    "status": status,
    "result": result,
    "logs": logs,
    "cancel": cancel,
    "prune": prune,
    "replay": replay,
    "serve": serve,
    "completion": completion,
}
"""The commands by name, in the order in which the help lists them."""

_EPILOG = """\
exit codes: 0 done, 1 the job failed, 2 wrong arguments or a service that cannot
be used, 3 the job was cancelled, 4 the timeout passed, 130 Ctrl-C.
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Take the arguments apart; `do` of what is given is the function of the command.

    Raises:
        SystemExit: after `--help`, `--version`, or a sentence about wrong arguments.
    """
    parser = make_parser()
    given = parser.parse_args(argv)
    if given.command is None:
        parser.error("say what to do, for instance: runtime-core run PROGRAM.py")
    places = [name for name in PLACES if getattr(given, name, None) is not None]
    if len(places) > 1:
        given.parser.error(f"argument --{places[1]}: not allowed with argument --{places[0]}")
    # `serve` has a token as well, and no other place than this machine.
    if hasattr(given, "url") and given.token is not None and places not in (["url"], ["ray"]):
        given.parser.error(
            "--token is for a service at --url or --ray; one on this machine needs none"
        )
    return given


def complete() -> None:
    """Answer a shell that asks how a line goes on, and end the process; else do nothing."""
    try:
        import argcomplete
    except ImportError:
        return
    # An empty line goes on with the commands; options come when a dash is typed.
    argcomplete.autocomplete(make_parser(), always_complete_options=False)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = _Parser(
        prog="runtime-core",
        description="Run programs as jobs, and watch them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in COMMANDS.items():
        about = module.ABOUT
        command = commands.add_parser(
            name,
            help=about[0].lower() + about[1:].rstrip("."),
            description=about,
            epilog=getattr(module, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.define(command)
        command.set_defaults(do=module.run, parser=command)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage that would bury it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(Exit.UNUSABLE, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Looks the version up only if asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        sys.stdout.write(f"runtime-core {version('runtime-core')}\n")
        parser.exit(Exit.DONE)
