"""The log of a job as it grows, and its place in the queue: a world without sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from async_fakes import each_driver  # noqa: F401 - its fixture
from blocking_face import make_job
from fakes import FakeClient, FakeReactor, failure, over_time, world

from adapters.job_logs import LogPart
from runtime_core.errors import TransportError, UsageError
from runtime_core.events import JobQueued, JobStarted

# ---- the log -----------------------------------------------------------------------------------


class LogClient(FakeClient):
    """A client whose service grows a log with the time: `printed` says what is there by when."""

    def __init__(
        self,
        reactor: FakeReactor,
        *printed: tuple[float, bytes],
        ends: float,
        dropped: Callable[[], int] = lambda: 0,
        failures: list[TransportError] | None = None,
    ) -> None:
        super().__init__(reactor, over_time(reactor, "RUNNING", (ends, "COMPLETED")))
        self.reactor = reactor
        self.printed = printed
        self.dropped = dropped
        self.failures = failures or []
        self.asked: list[int] = []

    def job_logs_part(self, job_id: str, start: int) -> LogPart:
        assert job_id == "j1"
        self.asked.append(start)
        if self.failures:
            raise self.failures.pop(0)
        log = b"".join(text for time, text in self.printed if time <= self.reactor.elapsed)
        start = max(start, self.dropped())
        return LogPart(start, log[start:])


def follow(client: LogClient) -> list[str]:
    job = make_job("b", client, None, "j1", "p", reactor=client.reactor)
    return list(job.follow_logs())


def test_a_log_is_given_as_it_grows_until_the_job_ends() -> None:
    client = LogClient(FakeReactor(), (0, b"one\n"), (5, b"two\n"), (9, b"three\n"), ends=9)
    assert follow(client) == ["one\n", "two\n", "three\n"]
    assert client.reactor.elapsed < 11
    assert client.asked[0] == 0
    assert client.asked[-1] == 14  # each byte is asked for once
    assert len(client.asked) < 30  # a silent job is not asked ten times a second


def test_what_a_job_prints_at_its_very_end_is_not_lost() -> None:
    client = LogClient(FakeReactor(), (0, b"a"), (3.0, b"b"), ends=3.0)
    assert "".join(follow(client)) == "ab"


def test_a_job_that_printed_nothing_has_an_empty_log() -> None:
    assert follow(LogClient(FakeReactor(), ends=2)) == []


def test_letters_that_are_cut_in_two_are_put_together() -> None:
    letters = "é€😀".encode()
    printed = [(float(time), letters[time : time + 1]) for time in range(len(letters))]
    assert "".join(follow(LogClient(FakeReactor(), *printed, ends=20))) == "é€😀"
    assert "".join(follow(LogClient(FakeReactor(), (0, b"a\xff\xc3"), ends=3))) == "a��"


def test_what_the_service_dropped_is_named() -> None:
    reactor = FakeReactor()
    client = LogClient(
        reactor,
        (0, b"abc"),
        (2, b"defghi"),
        ends=4,
        dropped=lambda: 6 if reactor.elapsed >= 2 else 0,
    )
    assert follow(client) == ["abc", "[3 bytes of the log are not kept any more]\n", "ghi"]


def test_a_failure_that_may_pass_is_tried_again_after_a_while() -> None:
    broken = failure(503, retryable=True)
    client = LogClient(FakeReactor(), (0, b"a"), ends=0, failures=[broken, broken])
    assert follow(client) == ["a"]
    assert client.reactor.elapsed >= 1.5  # 0.5 and 1 second, though the job has ended


def test_a_failure_that_will_not_pass_is_raised() -> None:
    client = LogClient(FakeReactor(), (0, b"a"), ends=2, failures=[failure(401)])
    with pytest.raises(TransportError, match="401"):
        follow(client)


def test_a_client_that_knows_whole_logs_only() -> None:
    reactor = FakeReactor()
    changes = over_time(reactor, "RUNNING", (3, "COMPLETED"))
    w = world(changes, logs=["", "a", "ab"], reactor=reactor)
    assert list(w.job.follow_logs()) == ["a", "b"]


def test_following_a_log_needs_a_client_that_has_logs() -> None:
    @attrs.define
    class Bare:
        inner: FakeClient

        def job_get(self, job_id: str) -> Any:
            return self.inner.job_get(job_id)

        def job_results(self, job_id: str) -> str:
            return ""

        def job_cancel(self, job_id: str) -> object:
            return None

    reactor = FakeReactor()
    job = make_job("b", Bare(FakeClient(reactor)), None, "j1", "p", reactor=reactor)
    with pytest.raises(UsageError, match="Bare has no job_logs"):
        next(job.follow_logs())


# ---- the place in the queue --------------------------------------------------------------------


def document(status: str, **more: object) -> dict[str, object]:
    return {"id": "j1", "status": status, **more}


@pytest.mark.parametrize(
    ("said", "position"),
    [
        (document("QUEUED", position=3), 3),
        (document("QUEUED", position=None), None),
        (document("QUEUED"), None),
        (document("RUNNING", position=3), None),
        (document("COMPLETED"), None),
        (document("MELTED", position=3), None),
    ],
)
def test_the_place_in_the_queue_is_asked_for(said: dict[str, object], position: int | None) -> None:
    w = world(said, initial=JobQueued())
    assert w.job.queue_position() == position
    assert w.client.count("job_get") == 1
    assert world(said).job.queue_position() == position


def test_the_place_in_the_queue_is_asked_for_each_time() -> None:
    w = world(document("QUEUED", position=2), document("QUEUED", position=1))
    assert [w.job.queue_position() for _ in range(2)] == [2, 1]


def test_a_job_that_runs_has_no_place_in_the_queue() -> None:
    w = world(document("QUEUED", position=3), initial=JobStarted())
    assert w.job.queue_position() is None
    assert w.client.calls == []


def test_the_document_is_what_the_service_said_first() -> None:
    w = world(document("QUEUED", created="2021-05-06T07:08:09Z"), document("RUNNING"))
    assert w.job.document.status == "QUEUED"
    assert w.job.document.created == "2021-05-06T07:08:09Z"
    assert w.client.count("job_get") == 1
