"""`runtime-core completion`: what a shell needs to complete commands, options and job ids."""

from __future__ import annotations

import argparse
import sys

from adapters.cli.outcome import CommandError, Exit

ABOUT = "Print what a shell needs to complete command lines."
EPILOG = """\
bash, in ~/.bashrc:  eval "$(runtime-core completion bash)"
zsh, in ~/.zshrc:    eval "$(runtime-core completion zsh)", after compinit
fish, in ~/.config/fish/config.fish:  runtime-core completion fish | source
"""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell")


def run(options: argparse.Namespace) -> Exit:
    """Print it.

    Raises:
        CommandError: if what it needs is not installed.
    """
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError as error:
        raise CommandError(
            "Completion needs argcomplete: install it with `pip install 'runtime-core[cli]'`."
        ) from error
    sys.stdout.write(shellcode(["runtime-core"], shell=options.shell))
    return Exit.DONE
