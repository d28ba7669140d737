"""A dialect as data: words, places, calls, ids, error codes, headers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import (
    CURRENT,
    LEGACY,
    Dialect,
    ErrorAnswer,
    JobCalls,
    RuntimeJob,
    error_codes,
    listed,
    status_words,
)
from adapters.http.failures import status_failure, told_by
from adapters.services.places import Places
from runtime_core import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    TransportError,
    UnknownStatusReported,
    UsageError,
)

read = status_words(
    {
        "SUBMITTED": JobQueued,
        "On Hold": JobQueued(),
        "EXECUTING": JobStarted,
        "SUCCEEDED": JobSucceeded,
        "ABORTED": JobFailed,
        ("ABORTED", "BY_OWNER"): JobCancelled,
        ("ABORTED", 7): JobFailed(reason="no room", reason_code="FULL"),
        "EXPIRED": JobFailed(reason="it took too long", reason_code="TOO_OLD"),
    },
    at="job.state",
    reason=("why.text", "why.detail"),
    code="why.code",
    position="queue.place",
)


def said(state: object, **more: object) -> object:
    return read({"job": {"state": state}, **more}, 3)


# ---- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "event"),
    [
        ({"job": {"state": "SUBMITTED"}}, JobQueued(3)),
        ({"job": {"state": " on\n HOLD "}}, JobQueued(3)),
        ({"job": {"state": "SUBMITTED"}, "queue": {"place": 2}}, JobQueued(3, 2)),
        ({"job": {"state": "executing"}, "why": {"text": "x"}}, JobStarted(3)),
        ({"job": {"state": "SUCCEEDED"}}, JobSucceeded(3)),
        ({"job": {"state": "ABORTED"}}, JobFailed(3)),
        ({"job": {"state": "ABORTED"}, "why": {"text": "a", "code": "B"}}, JobFailed(3, "a", "B")),
        ({"job": {"state": "ABORTED"}, "why": {"detail": "d"}}, JobFailed(3, "d")),
        ({"job": {"state": "ABORTED"}, "why": {"code": "BY_OWNER"}}, JobCancelled(3)),
        ({"job": {"state": "ABORTED"}, "why": {"code": 7}}, JobFailed(3, "no room", 7)),
        ({"job": {"state": "ABORTED"}, "why": {"code": "7"}}, JobFailed(3, "no room", "7")),
        ({"job": {"state": "EXPIRED"}}, JobFailed(3, "it took too long", "TOO_OLD")),
        ({"job": {"state": "EXPIRED"}, "why": {"text": "t"}}, JobFailed(3, "t", "TOO_OLD")),
        ({"job": {"state": "HELD"}}, UnknownStatusReported("HELD", 3)),
        ({"job": {"state": ""}}, UnknownStatusReported("", 3)),
    ],
)
def test_a_word_is_read_with_what_stands_beside_it(document: object, event: object) -> None:
    assert read(document, 3) == event


@pytest.mark.parametrize("place", [None, 0, -1, True, "2", 1.0, {}])
def test_a_place_in_the_queue_is_a_number_from_1_on(place: object) -> None:
    assert said("SUBMITTED", queue={"place": place}) == JobQueued(3)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "expected a job, got NoneType"),
        ([], "expected a job, got list"),
        ({}, r"expected an object at \$.job, got None; there is nothing"),
        ({"id": 1, "status": "x"}, r"at \$.job, got None; there is 'id', 'status'"),
        ({"job": "x"}, r"expected an object at \$.job, got 'x'"),
        ({"job": {"status": "x"}}, r"a text at \$.job.state, got None; there is 'status'"),
        ({"job": {"state": 3}}, r"a text at \$.job.state, got 3\."),
    ],
)
def test_a_document_without_a_word_says_where_it_was_looked_for(
    document: object, words: str
) -> None:
    with pytest.raises(TransportError, match=words) as caught:
        read(document, 3)
    assert not caught.value.retryable


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["SUBMITTED", "ABORTED", "EXPIRED", "?"]), _JSON, _JSON, _JSON)
def test_whatever_stands_beside_a_word_never_raises(
    word: str, why: object, text: object, code: object
) -> None:
    said(word, why=why, queue=why)
    event = said(word, why={"text": text, "code": code}, queue={"place": code})
    if isinstance(event, JobFailed):
        assert type(event.reason) in (str, type(None))
        assert type(event.reason_code) in (int, str, type(None))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"A": JobQueued, " a": JobStarted}, ValueError),
        ({"A": "queued"}, TypeError),
        ({"A": UnknownStatusReported}, TypeError),
    ],
)
def test_words_that_cannot_be_are_refused_at_once(words: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        status_words(words, at="state")


@pytest.mark.parametrize("at", ["", ".state", "a..b"])
def test_a_place_that_cannot_be_is_refused_at_once(at: str) -> None:
    with pytest.raises(ValueError, match="keys joined by dots"):
        status_words({"A": JobQueued}, at=at)


def test_jobs_are_found_in_a_list() -> None:
    find = listed(at="page.tasks", id_at="task")
    jobs = [{"task": "a"}, {"task": 1}, "odd"]
    found = [("a", jobs[0]), ("", jobs[1]), ("", jobs[2])]
    assert find({"page": {"tasks": jobs}}) == found
    with pytest.raises(TransportError, match=r"a list at \$.page.tasks, got 'x'"):
        find({"page": {"tasks": "x"}})


# ---- calls, ids, headers -----------------------------------------------------------------------


def dialect(**more: Any) -> Dialect:
    return Dialect("acme", read, **more)


def test_a_call_is_a_method_and_a_path() -> None:
    calls = JobCalls(status="GET /t/{id}?x=1", result="GET /t/{id}/o", cancel="DELETE /t/{id}")
    assert (calls.cancel.method, calls.cancel.to(id="a%20b")) == ("DELETE", "/t/a%20b")
    assert calls.submit is calls.logs is calls.jobs is None


@pytest.mark.parametrize(
    "call",
    [
        *("/t/{id}", "get /t/{id}", "GET t/{id}", "GET /t", "GET /{id}/{id}", "GET /{id}{x}", ""),
        *("GET /t/{id}}", "GET /}{id}", "GET /{id}{"),
    ],
)
def test_a_call_that_cannot_be_is_refused_at_once(call: str) -> None:
    with pytest.raises(ValueError, match=r"GET /path|must hold"):
        JobCalls(status=call, result="GET /t/{id}", cancel="DELETE /t/{id}")


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a\\b", "a\nb", "T-", "T-1x", " T-1"])
def test_an_id_that_does_not_fit_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="cannot be the id of a job"):
        dialect(id_pattern="T-[0-9]+").checked_id(bad)


def test_an_id_is_quoted() -> None:
    assert dialect(id_pattern="T .*").checked_id("T a?b") == "T%20a%3Fb"
    assert dialect().checked_id("whatever it is") == "whatever%20it%20is"


def test_a_job_whose_id_cannot_be_is_not_made() -> None:
    class Client:
        dialect = Dialect("acme", read, id_pattern="T-[0-9]+")

        def job_get(self, job_id: str) -> dict[str, object]:
            raise AssertionError

        job_results = job_cancel = job_get

    with pytest.raises(UsageError, match=r"'7' cannot be the id of a job: .* match T-\[0-9\]\+"):
        RuntimeJob(None, Client(), None, "7", "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("Authorization: Bearer {token}", {"Authorization": "Bearer k"}),
        ("X-Acme-Key: {token}", {"X-Acme-Key": "k"}),
        ("Authorization: Token token={token}", {"Authorization": "Token token=k"}),
    ],
)
def test_a_token_is_shown_in_its_header(header: str, sent: dict[str, str]) -> None:
    version = {"Acme-Version": "2"}
    acme = dialect(access_header=header, headers=version)
    assert acme.request_headers("k") == {**version, **sent}
    assert acme.request_headers("") == version


@pytest.mark.parametrize("header", ["Authorization", "X: y", "X {token}", "X: {token}\r\nY: z", ""])
def test_a_header_that_cannot_be_is_refused_at_once(header: str) -> None:
    with pytest.raises(ValueError, match="a header is written as"):
        dialect(access_header=header)


def test_the_headers_of_the_services_that_are_known() -> None:
    assert LEGACY.request_headers("k") == {"X-Access-Token": "k"}
    assert CURRENT.request_headers("k")["Authorization"] == "Bearer k"


# ---- error codes -------------------------------------------------------------------------------

CODES: dict[int | str, int] = {"OVER": 409, "SLOW": 429, 17: 503, "NEVER": 400}
codes = error_codes(
    CODES,
    at=("error.code", "code"),
    text="error.text",
    wait="error.wait_ms",
    wait_unit=0.001,
)


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ({"error": {"code": "OVER"}}, ErrorAnswer(409, "OVER")),
        ({"code": 17}, ErrorAnswer(503, 17)),
        ({"code": "17"}, ErrorAnswer(503, "17")),
        ({"error": {"code": "OTHER", "text": "t"}}, ErrorAnswer(422, "OTHER", "t")),
        ({"error": {"code": "SLOW", "wait_ms": 40}}, ErrorAnswer(429, "SLOW", None, 0.04)),
        ({"error": {"code": "SLOW", "wait_ms": -1}}, ErrorAnswer(429, "SLOW")),
        ({"error": {"code": "SLOW", "wait_ms": float("nan")}}, ErrorAnswer(429, "SLOW")),
        ({"error": {"code": "SLOW", "wait_ms": 10**400}}, ErrorAnswer(429, "SLOW")),
        ({"error": {"code": "SLOW", "wait_ms": True}}, ErrorAnswer(429, "SLOW")),
        ({"error": {"text": "t"}}, None),
        ({"error": "OVER"}, None),
        ({"error": {"code": ["OVER"]}}, None),
        (None, None),
        ([], None),
    ],
)
def test_an_error_answer_is_read(document: object, answer: ErrorAnswer | None) -> None:
    assert codes(422, document) == answer


@given(_JSON, _JSON)
def test_an_error_answer_never_raises(code: object, wait: object) -> None:
    codes(500, {"error": {"code": code, "text": wait, "wait_ms": wait}})


@pytest.mark.parametrize("status", [200, 302, 399, 600])
def test_a_code_means_an_error(status: int) -> None:
    with pytest.raises(ValueError, match="from 400 to 599"):
        error_codes({"A": status}, at="code")


@pytest.mark.parametrize(
    ("code", "status", "retryable", "arrived"),
    [
        ("SLOW", 422, True, False),
        ("NEVER", 503, False, False),
        (17, 404, True, True),
        ("OVER", 500, False, False),
        ("?", 503, True, True),
    ],
)
def test_the_status_that_means_the_same_decides(
    code: object, status: int, retryable: bool, arrived: bool
) -> None:
    body = b'{"error": {"code": %s, "text": "so"}}' % (
        str(code).encode() if isinstance(code, int) else f'"{code}"'.encode()
    )
    told = told_by(codes, status, "application/json", body)
    failure = status_failure(status, "application/json", None, body, str, told)
    assert failure.what.startswith(f"was answered {status} ")
    assert failure.what.endswith(f", {code}: so")
    assert (failure.retryable, failure.arrived) == (retryable, arrived)


def test_what_is_no_error_of_the_service_is_not_read_by_it() -> None:
    body = b'{"code": "OVER"}'
    assert told_by(codes, 302, "application/json", body) is None
    assert told_by(codes, 422, "text/html", body) is None
    assert told_by(codes, 422, "", b"{") is None
    assert told_by(None, 422, "", body) is None


def test_a_secret_that_is_repeated_in_a_code_or_in_words_is_hidden() -> None:
    body = b'{"error": {"code": "k3y", "text": "bad k3y"}}'
    told = told_by(codes, 401, "", body, lambda text: text.replace("k3y", "***"))
    assert told == ErrorAnswer(401, "***", "bad ***")


def test_the_first_place_that_holds_something_counts() -> None:
    assert Places.of(("a", "b.c")).text({"a": "", "b": {"c": "x"}}) == "x"
    assert Places.of(()).text({"a": "x"}) is None
