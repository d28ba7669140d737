"""The rules about streams: their events, their order, how they are resumed and closed."""

from __future__ import annotations

from unittest import SkipTest

from adapters.testing.subject import Subject, fail, require
from runtime_core.commands import FetchStatus, OpenStream, SendCancel
from runtime_core.errors import ServiceError
from runtime_core.events import StreamClosed, StreamFailed, StreamOpened
from runtime_core.traits import Resume


class StreamTests(Subject):
    """What holds for the streams of every transport that has some."""

    def test_a_service_without_streams_says_so(self) -> None:
        """Where the traits say that it does not push, `stream` raises a `ServiceError`."""
        if self.transport.traits.pushes:
            raise SkipTest("the service has streams")
        try:
            self._stream(self.unknown_job, OpenStream(7, 0))
        except ServiceError:
            return
        except Exception as error:
            fail(f"it raised {error!r}", error)
        fail("it gave a stream")

    def test_the_events_of_a_stream_carry_its_number(self) -> None:
        """The `connection` of each event is that of the `OpenStream`."""
        job_id, _, _ = self._publishes()
        connection, command = self._opened(job_id)
        self._end_of(connection)
        wrong = connection.numbers - {command.connection}
        require(not wrong, f"connection {command.connection} told of {wrong}")

    def test_a_stream_says_that_it_is_open_before_anything_else(self) -> None:
        """The first event is `StreamOpened`, and there is one of it."""
        job_id, _, _ = self._publishes()
        connection, _ = self._opened(job_id)
        self._end_of(connection)
        first, *others = connection.events
        require(isinstance(first, StreamOpened), f"it began with {first!r}")
        once = not any(isinstance(event, StreamOpened) for event in others)
        require(once, f"it opened more than once: {connection.events}")

    def test_a_stream_ends_in_order_when_its_job_does(self) -> None:
        """The last event is `StreamClosed`, not a failure."""
        job_id, _, _ = self._publishes()
        connection, _ = self._opened(job_id)
        self._end_of(connection)
        last = connection.events[-1]
        require(isinstance(last, StreamClosed), f"it ended with {last!r}")

    def test_messages_come_once_and_in_order(self) -> None:
        """All of them, each once; the result is none, unless the traits say `streams_result`."""
        job_id, published, result = self._publishes()
        connection, _ = self._opened(job_id)
        self._end_of(connection)
        expected = self._streamed(published, result)
        what = f"{expected} came as {connection.messages}, then {connection.events[-1]!r}"
        require(connection.messages == expected, what)

    def test_a_stream_is_resumed_as_the_traits_say(self) -> None:
        """``OFFSET`` goes on after so many messages, ``REPLAY`` begins at the first."""
        job_id, published, result = self._publishes()
        resume = self.transport.traits.resume
        if resume is Resume.LIVE:
            raise SkipTest("the service is live only: nothing is resumed")
        first, _ = self._opened(job_id)
        first.wait_until(lambda: len(first.messages) >= 2 or first.has_ended, self.patience)
        first.close()
        after = 2
        connection, _ = self._opened(job_id, after)
        self._end_of(connection)
        expected = self._streamed(published, result)[after if resume is Resume.OFFSET else 0 :]
        what = f"{expected} came as {connection.messages}, then {connection.events[-1]!r}"
        require(connection.messages == expected, what)

    def test_streams_do_not_share_what_they_read(self) -> None:
        """Two streams of one job give the same."""
        job_id, _, _ = self._publishes()
        if self.transport.traits.resume is Resume.LIVE:
            raise SkipTest("the service is live only: a later stream may give less")
        first, second = (self._opened(job_id)[0] for _ in range(2))
        self._end_of(first)
        self._end_of(second)
        same = first.messages == second.messages
        require(same, f"one gave {first.messages}, the other {second.messages}")

    def test_a_stream_of_a_job_that_there_is_not_fails(self) -> None:
        """It ends with `StreamFailed`; it neither stays open nor is empty."""
        self._need_streams()
        command = OpenStream(next(self._numbers), 0)
        connection = self._open(self.unknown_job, command)
        self._end_of(connection)
        last = connection.events[-1]
        require(isinstance(last, StreamFailed), f"it ended with {last!r}")

    def test_a_stream_that_is_closed_leaves_nothing(self) -> None:
        """Neither a thread nor an open file, though its job goes on."""
        self._need_streams()
        job_id = self.job_that_hangs()
        self._perform(
            job_id, FetchStatus
        )  # what a transport keeps from then on is not the stream's
        with self._nothing_left():
            connection, _ = self._opened(job_id)
            connection.close()
        self._perform(job_id, SendCancel)
