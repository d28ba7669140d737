"""The legacy dialect: words, paths and bodies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.services import ibm_legacy as dialect
from adapters.services.promises import as_promised
from runtime_core.documents import read_job, read_job_page, read_program, read_program_page
from runtime_core.errors import DecodeError, TransportError, UsageError
from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    UnknownStatusReported,
)
from runtime_core.traits import Resume

WORDS = {
    "QUEUED": JobQueued(4),
    "RUNNING": JobStarted(4),
    "COMPLETED": JobSucceeded(4),
    "FAILED": JobFailed(4),
    "CANCELLED": JobCancelled(4),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("write", [str.upper, str.lower, str.title, lambda word: f" {word}\n"])
def test_a_status_word_in_any_case(word: str, write: object) -> None:
    assert callable(write)
    assert dialect.status_event({"status": write(word)}, 4) == WORDS[word]


@pytest.mark.parametrize("word", ["CANCELLED - RAN TOO LONG", "Cancelled -  ran too long"])
def test_a_job_that_ran_too_long_failed_and_says_so(word: str) -> None:
    event = dialect.status_event({"status": word}, 4)
    assert isinstance(event, JobFailed)
    assert event.request == 4
    assert event.reason is not None
    assert "maximum execution time" in event.reason
    assert event.reason_code == dialect.RAN_TOO_LONG


@given(st.text())
def test_every_other_word_is_reported_as_it_was_sent(word: str) -> None:
    if word.strip().upper() not in WORDS:
        event = dialect.status_event({"status": word}, 4)
        assert event == UnknownStatusReported(word, 4)


def test_a_status_nobody_asked_for() -> None:
    assert dialect.status_event({"status": "QUEUED"}) == JobQueued(None)


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        ({}, "None"),
        ({"status": 3}, "3"),
        ({"status": None}, "None"),
        (None, "NoneType"),
        ([], "list"),
    ],
)
def test_an_answer_without_a_status_is_refused(answer: object, got: str) -> None:
    with pytest.raises(TransportError, match=f"not what the call promises.*got {got}") as caught:
        dialect.status_event(answer, 4)
    assert not caught.value.retryable


def test_paths() -> None:
    assert dialect.job_path("j1") == "/jobs/j1"
    assert dialect.job_path("j1", "results") == "/jobs/j1/results"
    assert dialect.program_path("p1") == "/programs/p1"
    assert dialect.programs_path(5, 10) == "/programs?limit=5&offset=10"
    assert dialect.jobs_path() == "/jobs?limit=10&offset=0"
    assert dialect.jobs_path(2, 4, True, "a b&c") == (
        "/jobs?limit=2&offset=4&pending=true&program=a+b%26c"
    )
    assert dialect.jobs_path(pending=False).endswith("&pending=false")


def test_an_id_is_quoted() -> None:
    assert dialect.job_path("a b?c#d%2F;é") == "/jobs/a%20b%3Fc%23d%252F%3B%C3%A9"


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "../x", "a/b", "a\\b", "a..b", "a\nb", "a\x00b", "a\x7f", "\ud800"]
)
def test_an_id_that_could_lead_elsewhere_is_refused(bad: str) -> None:
    for path in (dialect.job_path, dialect.program_path):
        with pytest.raises(UsageError, match="cannot be the id of a"):
            path(bad)
    with pytest.raises(UsageError):
        dialect.stream_path(bad, Resume.LIVE)


@given(st.text())
def test_an_id_is_one_segment_of_the_path_or_refused(identifier: str) -> None:
    try:
        path = dialect.job_path(identifier)
    except UsageError:
        return
    assert path.isascii()
    assert path.count("/") == 2
    assert not set(path) & set("?# \r\n")


@pytest.mark.parametrize(
    ("resume", "after", "path"),
    [
        (Resume.OFFSET, 3, "/stream/jobs/j1?after=3"),
        (Resume.OFFSET, 0, "/stream/jobs/j1"),
        (Resume.REPLAY, 3, "/stream/jobs/j1"),
        (Resume.LIVE, 3, "/stream/jobs/j1"),
    ],
)
def test_only_a_service_that_takes_an_offset_gets_one(
    resume: Resume, after: int, path: str
) -> None:
    assert dialect.stream_path("j1", resume, after) == path


def test_the_body_of_a_submission() -> None:
    assert dialect.run_body("p1", {"shots": 1}) == {
        "program_id": "p1",
        "hub": "",
        "group": "",
        "project": "",
        "backend": "",
        "params": {"shots": 1},
        "runtime": "",
    }
    body = dialect.run_body(
        "p1", {}, backend_name="b", image="i", hub="h", group="g", project="p", log_level="DEBUG"
    )
    assert body == {
        "program_id": "p1",
        "hub": "h",
        "group": "g",
        "project": "p",
        "backend": "b",
        "params": {},
        "runtime": "i",
        "log_level": "DEBUG",
    }


NOON = datetime(2021, 10, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2021-10-05T12:00:00Z", NOON),
        ("2021-10-05T12:00:00.000Z", NOON),
        ("2021-10-05T12:00:00", NOON),
        ("2021-10-05T14:00:00+02:00", NOON),
        ("2021-10-05T07:00:00.5-0500", NOON + timedelta(seconds=0.5)),
    ],
)
def test_created_is_a_time_with_an_offset(text: str, time: datetime) -> None:
    created = dialect.created_at(text)
    assert created == time
    assert created.tzinfo is not None


def test_an_offset_is_kept() -> None:
    created = dialect.created_at("2021-10-05T14:00:00+02:00")
    assert created.tzinfo == timezone(timedelta(hours=2))


@pytest.mark.parametrize("text", ["", "yesterday", "2021-13-05T12:00:00Z"])
def test_created_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TransportError, match="ISO 8601"):
        dialect.created_at(text)


@pytest.mark.parametrize("read", [read_job, read_job_page, read_program, read_program_page])
def test_a_document_of_another_shape_is_a_transport_error(read: object) -> None:
    assert callable(read)
    with pytest.raises(TransportError, match="not what the call promises") as caught:
        as_promised(read, ["odd"])
    assert isinstance(caught.value.__cause__, DecodeError)


def test_a_document_is_read() -> None:
    document = as_promised(read_job, {"id": "j1", "status": "Queued"})
    assert (document.id, document.status) == ("j1", "Queued")


MESSAGES = ("ack", "one", "ack", "two")


@pytest.mark.parametrize("cut", range(len(MESSAGES) + 1))
def test_the_first_message_of_a_connection_is_an_acknowledgement(cut: int) -> None:
    reads = (MESSAGES[:cut], MESSAGES[cut:])
    taken = dialect.interim_messages(reads[0], 0) + dialect.interim_messages(reads[1], cut)
    assert taken == ("one", "ack", "two")


@pytest.mark.parametrize(
    ("said", "position"), [(3, 3), (1, 1), (None, None), (0, None), ("3", None), (True, None)]
)
def test_a_queued_job_has_a_place_if_the_service_tells_it(
    said: object, position: int | None
) -> None:
    assert dialect.status_event({"status": "Queued", "position": said}, 4) == JobQueued(4, position)
