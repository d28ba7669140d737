"""What a `FakeTransport` can be told to do: the steps of its scripts."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType
from typing import TYPE_CHECKING, TypeAlias

import attrs

from runtime_core.commands import RequestCommand
from runtime_core.errors import TransportError
from runtime_core.events import ReplyEvent
from runtime_core.states import JobState

if TYPE_CHECKING:
    from runtime_core.testing.fake_job import FakeJob

# ---- of a request ------------------------------------------------------------------------------


@attrs.frozen
class Fails:
    """The request fails, and the service never hears of it."""

    status_code: int | None = 503
    """The HTTP status code; None if there was no answer at all."""
    retry_after: float | None = None
    """The seconds that the service asks to wait before the next request."""
    retryable: bool = True
    """Whether the same request may well succeed a little later."""

    @property
    def error(self) -> TransportError:
        """What goes with it."""
        what = "did not answer" if self.status_code is None else f"answered {self.status_code}"
        return TransportError(
            f"The service {what}.", self.status_code, self.retryable, self.retry_after
        )


@attrs.frozen
class Loses:
    """The service does what is asked, and its answer is lost: nobody can tell whether it did."""

    error: TransportError = attrs.Factory(
        lambda: TransportError("The connection broke before the answer.", retryable=True)
    )
    """What is told instead."""


@attrs.frozen
class Says:
    """The service says a status word that its dialect does not know."""

    word: str
    """The word."""


@attrs.frozen
class Hangs:
    """Nothing comes until `FakeTransport.release`.

    The answer to a request is then what was true when it was asked: a late one.
    """


@attrs.frozen
class Late:
    """The request takes so long, on the clock of the transport; its answer is as old as that."""

    seconds: float
    """How long."""


Answer: TypeAlias = Callable[["FakeJob", RequestCommand], ReplyEvent]
"""Whatever else is wanted: a function that gives the reply."""

Step: TypeAlias = JobState | Fails | Loses | Says | Hangs | Late | Answer
"""What one request gets. A `JobState` is what the service says from then on."""

ScriptStep: TypeAlias = Step | EllipsisType
"""One step of the answers to status requests; ``...``, the last, goes on with the truth."""

# ---- of a stream -------------------------------------------------------------------------------


@attrs.frozen
class Breaks:
    """The connection breaks; as the first step of a connection: it cannot be opened."""

    missed: tuple[str, ...] = ()
    """What the job publishes before the next connection."""
    error: TransportError = attrs.Factory(
        lambda: TransportError("The connection was reset.", retryable=True)
    )
    """What is told of it."""


@attrs.frozen
class Closes:
    """The service closes the connection in an orderly way, though there is more to come."""

    code: int = 1000
    """The close code (RFC 6455, section 7.4)."""
    reason: str = ""
    """The service's words for it."""


StreamStep: TypeAlias = str | tuple[str, ...] | Breaks | Closes | Hangs
"""What a stream does next. A text is one message; a tuple, messages that come in one read."""
