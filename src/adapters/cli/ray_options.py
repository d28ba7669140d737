"""The options of `run` that only a Ray cluster takes: what the job needs, and what it runs in."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from adapters.cli.options import size

_Amount = TypeVar("_Amount")


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    """Add them, in a group of their own."""
    group = parser.add_argument_group("what the job gets, with --ray")
    group.add_argument(
        "--num-cpus",
        type=amount,
        metavar="N",
        help="the CPUs that are reserved for it (default: 1); it is queued until they are free",
    )
    group.add_argument("--num-gpus", type=amount, metavar="N", help="the GPUs, likewise")
    group.add_argument(
        "--memory",
        type=size,
        metavar="SIZE",
        help="the memory, likewise, for instance 2G; it may take more",
    )
    group.add_argument(
        "--resource",
        type=_pair(amount, "NAME=AMOUNT, for instance license=1"),
        action="append",
        metavar="NAME=AMOUNT",
        help="a resource that the cluster has by that name. May be repeated",
    )
    group.add_argument(
        "--env",
        type=_pair(str, "NAME=VALUE"),
        action="append",
        metavar="NAME=VALUE",
        help="an environment variable of the program; whoever may list the cluster's jobs sees "
        "it. May be repeated",
    )
    group.add_argument(
        "--pip",
        action="append",
        metavar="REQUIREMENT",
        help="what the cluster installs for it, for instance numpy==2.3.5. May be repeated",
    )


def ray_options(options: argparse.Namespace) -> dict[str, Any]:
    """Give what was asked for, as the options of `RuntimeService.run`.

    Ends with a sentence if there is something, and no cluster that it could be for.
    """
    wanted: dict[str, Any] = {
        "num_cpus": options.num_cpus,
        "num_gpus": options.num_gpus,
        "memory": options.memory,
        "resources": _once(options, "resource"),
        "env_vars": _once(options, "env"),
        "pip": options.pip,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if options.ray is not None:
        return wanted
    for name in ("num_cpus", "num_gpus", "memory", "resource", "env", "pip"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            options.parser.error(f"{option} is for a Ray cluster: it goes with --ray URL")
    return {}


def amount(text: str) -> float:
    """Read how much of a resource is wanted, for instance ``2`` or ``0.5``.

    Raises:
        argparse.ArgumentTypeError: if it is no such number.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"a number that is not below 0, not {text!r}")
    return number


def _pair(read: Callable[[str], _Amount], wanted: str) -> Callable[[str], tuple[str, _Amount]]:
    def pair(text: str) -> tuple[str, _Amount]:
        name, equals, value = text.partition("=")
        # Without the text: the value of a variable may be a secret.
        if not equals or not re.fullmatch(r"[^\s=]+", name):
            raise argparse.ArgumentTypeError(f"wants {wanted}")
        return name, read(value)

    return pair


def _once(options: argparse.Namespace, name: str) -> dict[str, Any] | None:
    pairs: list[tuple[str, Any]] | None = getattr(options, name)
    if pairs is None:
        return None
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(each for each in found if [key for key, _ in pairs].count(each) > 1)
        options.parser.error(f"--{name} gives {twice!r} twice")
    return found
