"""Which view shows a job: for a terminal, for a file or a pipe, or for a program that reads it."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from adapters.cli.json_view import JsonView
from adapters.cli.outcome import CommandError
from adapters.cli.views import PlainView, View


def open_view(json: bool) -> View:
    """Choose the view.

    Raises:
        CommandError: if what it needs is not installed.
    """
    if json:
        return JsonView(sys.stdout, sys.stderr)
    if not is_terminal():
        return PlainView(sys.stdout, sys.stderr)
    if find_spec("rich") is None:
        raise CommandError(
            "The live display needs rich: install it with `pip install 'runtime-core[cli]'`, "
            "or send the output through a pipe."
        )
    from adapters.cli.live import LiveView

    return LiveView()


def is_terminal() -> bool:
    """Whether somebody looks at the output, on a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
