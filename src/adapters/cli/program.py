"""The program to run: found and checked, and uploaded under the name that the service makes."""

from __future__ import annotations

import attrs

from adapters.cli.outcome import CommandError
from adapters.programs import read_source
from adapters.service import RuntimeService
from runtime_core.errors import UsageError


@attrs.frozen
class Program:
    """A program that is fit to be uploaded."""

    given: str
    """The file, the folder or the module."""
    max_time: int | None = None
    """The seconds that a job of it may run; None for what is usual."""

    def upload(self, service: RuntimeService) -> str:
        """Upload the program, if the service does not have it yet, and give its id.

        It is read once more: what is uploaded has the name of what was given, and of its content.

        Raises:
            UsageError: if it is no program any more.
            TransportError: if the service does not take it.
        """
        # The longest time is the program's, not the job's: another one makes another program.
        longest = {} if self.max_time is None else {"max_execution_time": self.max_time}
        facts = {"description": "uploaded by runtime-core run", **longest}
        return service.upload_program(self.given, facts)


def check_program(given: str, max_time: int | None = None) -> Program:
    """Check a program: a Python file, a folder with a main module, or a module by its name.

    Raises:
        CommandError: if it is none of these, is not Python, or has no `main`.
    """
    try:
        read_source(given)
    except UsageError as error:
        raise CommandError(str(error)) from error
    return Program(given, max_time)
