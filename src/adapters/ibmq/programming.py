"""What programs of the original import: for annotations, and to be tried without a service."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from adapters.ibmq.codec import RuntimeEncoder


class UserMessenger:
    """Prints what a program publishes; a service gives programs one of its own."""

    def publish(
        self,
        message: Any,
        encoder: type[json.JSONEncoder] = RuntimeEncoder,
        final: bool = False,  # noqa: ARG002 - printed all the same
    ) -> None:
        """Print a message as JSON.

        Args:
            message: what to publish.
            encoder: writes it.
            final: whether it is the result of the program.
        """
        print(json.dumps(message, cls=encoder))  # noqa: T201 - what it is for


class ProgramBackend(ABC):
    """What a program runs its circuits on; the local service gives programs a name and no more."""

    @abstractmethod
    def run(self, circuits: Any, timeout: int | None = None, **run_config: Any) -> Any:
        """Run circuits and return when they have run.

        Args:
            circuits: what to run.
            timeout: seconds to wait.
            **run_config: how to run them.
        """
