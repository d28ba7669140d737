"""A stream of a `FakeTransport`: an iterator of events, each made of what is true then."""

from __future__ import annotations

from collections.abc import Iterator

from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)
from runtime_core.states import JobState
from runtime_core.testing.fake_job import FakeJob
from runtime_core.testing.fake_script import Breaks, Closes, Hangs
from runtime_core.traits import Resume


class FakeStream(Iterator[StreamEvent]):
    """One connection: `next` blocks until there is an event; `poll` does not.

    Where it starts follows from the service's traits: after the message that the client names, at
    the first one, or with what is published from now on. After the event that ends it, it ends.

    Args:
        job: whose messages it carries.
        connection: the number that its events carry.
        after: how many messages the client has, where the service takes an offset.
        refuses_queued: whether it is not to be had before the job runs.
    """

    def __init__(
        self, job: FakeJob, connection: int, after: int, refuses_queued: bool = False
    ) -> None:
        self.job = job
        self.connection = connection
        self.is_open = False
        """Whether its handshake is through, and it has not ended."""
        self.has_ended = False
        """Whether its last event was told, or somebody closed it."""
        self._position = after
        self._refuses_queued = refuses_queued

    def __next__(self) -> StreamEvent:
        with self.job.changed:
            while not self.has_ended:
                event = self._next_event()
                if event is not None:
                    return event
                self.job.changed.wait()
        raise StopIteration

    def poll(self) -> StreamEvent | None:
        """Give the next event; None if there is none yet, or it has ended."""
        with self.job.changed:
            return None if self.has_ended else self._next_event()

    def close(self) -> None:
        """End it from this side: a blocked `next` ends, too. May be repeated."""
        with self.job.changed:
            self.is_open, self.has_ended = False, True
            self.job.changed.notify_all()

    # ---- what comes next -----------------------------------------------------------------------

    def _next_event(self) -> StreamEvent | None:
        return self._carried() if self.is_open else self._opened()

    def _opened(self) -> StreamEvent | None:
        job = self.job
        if job.plan and isinstance(job.plan[0], Breaks):
            return self._planned()
        if job.plan and isinstance(job.plan[0], Hangs):
            return None
        if self._refuses_queued and job.state is JobState.QUEUED:
            self.has_ended = True
            return StreamNotReady(self.connection)
        self.is_open = True
        if not job.plan:
            job.say()
        if job.traits.resume is Resume.REPLAY:
            self._position = 0
        elif job.traits.resume is Resume.LIVE:
            self._position = len(job.stream)
        return StreamOpened(self.connection)

    def _carried(self) -> StreamEvent | None:
        job = self.job
        rest = tuple(job.stream[self._position :])
        if not rest and job.plan:
            planned = self._planned()
            if planned is not None:
                return planned
            rest = tuple(job.stream[self._position :])
        if rest:
            self._position += len(rest)
            return InterimReceived(self.connection, rest)
        return self._ended(StreamClosed(self.connection)) if job.is_streamed else None

    def _planned(self) -> StreamEvent | None:
        """Do the next step of the plan; None if it published something, or hangs."""
        job = self.job
        step = job.plan[0]
        if isinstance(step, Hangs):
            return None
        job.plan.popleft()
        match step:
            case Breaks(missed=missed, error=error):
                job.say(*missed)
                return self._ended(StreamFailed(self.connection, error))
            case Closes(code=code, reason=reason):
                job.say()
                return self._ended(StreamClosed(self.connection, code, reason))
            case str():
                job.say(step)
            case _:
                job.say(*step)
        return None

    def _ended(self, event: StreamEvent) -> StreamEvent:
        self.is_open, self.has_ended = False, True
        return event
