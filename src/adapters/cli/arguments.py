"""The arguments: what may be given, and what it means."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import attrs

from adapters.cli.outcome import CommandError, Exit
from runtime_core.errors import DecodeError
from runtime_core.tagged_json import load_tagged

TOKEN_VARIABLE = "RUNTIME_CORE_TOKEN"  # noqa: S105 - the name of the variable, no token
"""The environment variable with the access token."""

_EXIT_CODES = """\
exit codes: 0 the job is done, 1 it failed, 2 wrong arguments or a service that
cannot be used, 3 the job was cancelled, 4 the timeout passed, 130 Ctrl-C.

Ctrl-C cancels a job on this machine, whose service ends with this command; a
job at --url goes on.
"""


@attrs.frozen
class RunOptions:
    """What `runtime-core run` was asked for."""

    program: Path
    """The program's file."""
    inputs: dict[str, Any]
    """The inputs of the job."""
    url: str | None
    """The service; None for one on this machine."""
    token: str = attrs.field(repr=False)
    """The access token for `url`; may be empty."""
    timeout: float | None
    """Seconds for everything, or None."""


def parse(argv: Sequence[str] | None) -> RunOptions:
    """Take the arguments apart.

    Raises:
        SystemExit: after `--help`, `--version`, or a sentence about wrong arguments.
        CommandError: if the inputs cannot be read.
    """
    parser, run = _parsers()
    given = parser.parse_args(argv)
    if given.command is None:
        parser.error("say what to do, for instance: runtime-core run PROGRAM.py")
    if given.token is not None and given.url is None:
        run.error("--token is for a service at --url; one on this machine needs none")
    token = os.environ.get(TOKEN_VARIABLE, "") if given.token is None else given.token
    inputs = read_inputs(given.input)
    return RunOptions(Path(given.program), inputs, given.url, token, given.timeout)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage that would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(Exit.UNUSABLE, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Looks the version up only if asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        sys.stdout.write(f"runtime-core {version('runtime-core')}\n")
        parser.exit(Exit.DONE)


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = _Parser(prog="runtime-core", description="Run programs as jobs, and watch them.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a program as a job and show how it goes",
        description="Run a program as a job: show its state, its interim results and its result.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "program",
        metavar="PROGRAM.py",
        help="a Python file with a function main(backend, user_messenger, **inputs)",
    )
    run.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an input for main(): JSON if it can be read as JSON, else text; "
        "NAME=@FILE.json reads it from a JSON file. May be repeated",
    )
    run.add_argument(
        "--url",
        help="the service that runs the job; without it, one is started on this machine, "
        "which ends with this command",
    )
    run.add_argument(
        "--token",
        help=f"the access token for --url. Better set the environment variable {TOKEN_VARIABLE}: "
        "everybody on this machine can see command lines, and shells keep them",
    )
    run.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="give up after that long: a job on this machine is cancelled, one at --url goes on",
    )
    return parser, run


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds greater than 0, not {text!r}")
    return seconds


def read_inputs(given: Sequence[str]) -> dict[str, Any]:
    """Read the values of `-i`; tagged JSON is understood, so a result can be an input again.

    Raises:
        CommandError: if one is not NAME=VALUE, is there twice, or its file cannot be read.
    """
    inputs: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise CommandError(f"-i wants NAME=VALUE with a name as Python has them, not {text!r}.")
        if name in inputs:
            raise CommandError(f"-i gives {name!r} twice.")
        inputs[name] = _from_file(name, value[1:]) if value[:1] == "@" else _value(name, value)
    return inputs


def _value(name: str, text: str) -> Any:
    try:
        return load_tagged(text)
    except json.JSONDecodeError:
        return text
    except DecodeError as error:
        raise CommandError(f"-i {name}: the value cannot be used: {error}") from error


def _from_file(name: str, path: str) -> Any:
    try:
        return load_tagged(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        why = f"{path!r} cannot be read: {error.strerror or error}."
    except UnicodeDecodeError as error:
        why = f"{path!r} is not UTF-8 text: {error}."
    except json.JSONDecodeError as error:
        why = f"{path!r} is not JSON: {error}."
    except DecodeError as error:
        why = f"{path!r} cannot be used: {error}"
    raise CommandError(f"-i {name}: {why}")
