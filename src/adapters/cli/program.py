"""The program to run: found, read, and uploaded under a name that changes with its content."""

from __future__ import annotations

import attrs

from adapters.cli.outcome import CommandError
from adapters.programs import program_name, read_source
from adapters.service import RuntimeService
from runtime_core.errors import TransportError, UsageError


@attrs.frozen
class Program:
    """A program that is fit to be uploaded."""

    name: str
    """Its name at the service."""
    source: bytes = attrs.field(repr=False)
    """What is uploaded."""
    max_time: int | None = None
    """The seconds that a job of it may run; None for what is usual."""

    def upload(self, service: RuntimeService) -> str:
        """Upload the program, if the service does not have it yet, and give its id.

        Raises:
            TransportError: if the service does not take it.
        """
        facts: dict[str, object] = {
            "name": self.name,
            "description": "uploaded by runtime-core run",
        }
        if self.max_time is not None:
            facts["max_execution_time"] = self.max_time
        try:
            return service.upload_program(self.source, facts)
        except TransportError as error:
            if error.status_code == 409:
                return self.name  # it is there already: the name has a hash of the content
            raise


def read_program(given: str, max_time: int | None = None) -> Program:
    """Read a program: a Python file, a folder with a main module, or a module by its name.

    Raises:
        CommandError: if it is none of these, is not Python, or has no `main`.
    """
    try:
        source = read_source(given)
    except UsageError as error:
        raise CommandError(str(error)) from error
    name = program_name(given, source)
    # The longest time is the program's, not the job's: another one makes another program.
    return Program(name if max_time is None else f"{name}-{max_time}s", source, max_time)
