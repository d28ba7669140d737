"""The current dialect: words, paths, headers and bodies; and what a dialect is to a transport."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.transport import ClientTransport
from adapters.services import ibm_current as dialect
from adapters.services import ibm_legacy
from adapters.services.dialect import CURRENT, LEGACY, Dialect, dialect_of
from runtime_core.commands import FetchStatus
from runtime_core.errors import TransportError, UsageError
from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
    UnknownStatusReported,
)

WORDS = {
    "QUEUED": JobQueued(4),
    "RUNNING": JobStarted(4),
    "COMPLETED": JobSucceeded(4),
    "FAILED": JobFailed(4),
    "CANCELLED": JobCancelled(4),
}


def said(**state: object) -> LifecycleEvent | UnknownStatusReported:
    return dialect.status_event({"id": "j1", "state": state}, 4)


# ---- the state ---------------------------------------------------------------------------------


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("write", [str.upper, str.lower, str.title, lambda word: f" {word}\n"])
def test_a_status_word_in_any_case(word: str, write: object) -> None:
    assert callable(write)
    assert said(status=write(word)) == WORDS[word]


@given(st.text())
def test_every_other_word_is_reported_as_it_was_sent(word: str) -> None:
    if word.strip().upper() not in WORDS:
        assert said(status=word) == UnknownStatusReported(word, 4)


def test_a_status_nobody_asked_for() -> None:
    assert dialect.status_event({"state": {"status": "Queued"}}) == JobQueued(None)


@pytest.mark.parametrize("key", ["reason_code", "reasonCode"])
@pytest.mark.parametrize("code", [8000, "8000"])
def test_a_failed_job_says_why_with_its_state(key: str, code: object) -> None:
    event = said(status="Failed", reason="the qubits left", **{key: code})
    assert event == JobFailed(4, "the qubits left", code)  # type: ignore[arg-type]


@pytest.mark.parametrize("nothing", [None, "", 0, [], {}, True])
def test_a_reason_that_is_none_is_asked_for_later(nothing: object) -> None:
    assert said(status="Failed", reason=nothing, reason_code=nothing) == JobFailed(4)


@pytest.mark.parametrize("key", ["reason_code", "reasonCode"])
@pytest.mark.parametrize("code", [1305, "1305"])
def test_cancelled_with_1305_ran_too_long_and_is_an_error(key: str, code: object) -> None:
    event = said(status="Cancelled", reason="over 10 s", **{key: code})
    assert event == JobFailed(4, "over 10 s", code)  # type: ignore[arg-type]
    silent = said(status="cancelled", **{key: code})
    assert isinstance(silent, JobFailed)
    assert "maximum execution time" in (silent.reason or "")


def test_the_legacy_words_for_it_are_understood_too() -> None:
    event = said(status="Cancelled - Ran too long")
    assert isinstance(event, JobFailed)
    assert event.reason_code == dialect.RAN_TOO_LONG


@pytest.mark.parametrize("code", [None, 1, "1300", 13050])
def test_cancelled_for_another_reason_is_cancelled(code: object) -> None:
    assert said(status="Cancelled", reason="by its owner", reason_code=code) == JobCancelled(4)


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        ({}, "None"),
        ({"status": "Queued"}, "None"),
        ({"state": "Queued"}, "'Queued'"),
        ({"state": {}}, "None"),
        ({"state": {"status": 3}}, "3"),
        (None, "NoneType"),
        ([], "list"),
    ],
)
def test_an_answer_without_a_state_is_refused(answer: object, got: str) -> None:
    with pytest.raises(TransportError, match=f"not what the call promises.*got {got}") as caught:
        dialect.status_event(answer, 4)
    assert not caught.value.retryable


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["Failed", "Cancelled", "Queued", "?"]), _JSON, _JSON)
def test_whatever_the_reason_is_it_is_a_text_and_a_code(
    word: str, reason: object, code: object
) -> None:
    event = said(status=word, reason=reason, reason_code=code)
    if isinstance(event, JobFailed):
        assert isinstance(event.reason, str | None)
        assert type(event.reason_code) in (int, str, type(None))


# ---- paths, headers, bodies --------------------------------------------------------------------


def test_what_is_polled_leaves_the_inputs_out() -> None:
    status = dialect.CALLS.status
    assert (status.method, status.to(id=CURRENT.checked_id("j 1"))) == (
        "GET",
        "/jobs/j%201?exclude_params=true",
    )


@pytest.mark.parametrize("bad", ["", "..", "a/b", "a\\b", "a\nb"])
def test_an_id_that_could_lead_elsewhere_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="cannot be the id of a job"):
        CURRENT.checked_id(bad)


def test_the_path_of_a_list() -> None:
    assert dialect.jobs_path() == "/jobs?exclude_params=true&limit=10"
    path = dialect.jobs_path(
        2,
        4,
        True,
        "a b&c",
        backend_name="b",
        tags=["x", "y&z"],
        created_after=datetime(2026, 1, 2, tzinfo=UTC),
        created_before=datetime(2026, 1, 3, tzinfo=timezone(timedelta(hours=2))),
        descending=False,
    )
    assert parse_qsl(urlsplit(path).query) == [
        ("exclude_params", "true"),
        ("limit", "2"),
        ("offset", "4"),
        ("pending", "true"),
        ("program", "a b&c"),
        ("backend", "b"),
        ("tags", "x"),
        ("tags", "y&z"),
        ("created_after", "2026-01-02T00:00:00+00:00"),
        ("created_before", "2026-01-03T00:00:00+02:00"),
        ("sort", "ASC"),
    ]
    assert dialect.jobs_path(pending=False).endswith("&pending=false")


def test_a_time_without_an_offset_is_a_local_one() -> None:
    here = datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001
    (sent,) = [
        value
        for key, value in parse_qsl(urlsplit(dialect.jobs_path(created_after=here)).query)
        if key == "created_after"
    ]
    assert datetime.fromisoformat(sent) == here.astimezone()


def test_headers() -> None:
    assert dialect.headers("t", "crn:v1:x::") == {
        "Authorization": "Bearer t",
        "Service-CRN": "crn:v1:x::",
        "IBM-API-Version": dialect.API_VERSION,
    }
    assert dialect.headers("", "") == {"IBM-API-Version": dialect.API_VERSION}


@pytest.mark.parametrize("bad", ["crn x", "crn\r\nX: y", "crn\n", "é"])
def test_an_instance_that_cannot_be_sent_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="instance"):
        dialect.headers("t", bad)


def test_the_body_of_a_submission() -> None:
    assert dialect.run_body("p1", {"shots": 1}) == {"program_id": "p1", "params": {"shots": 1}}
    body = dialect.run_body(
        "p1",
        {},
        backend_name="b",
        image="i",
        log_level="DEBUG",
        tags=("x", "y"),
        max_execution_time=30,
    )
    assert body == {
        "program_id": "p1",
        "params": {},
        "backend": "b",
        "runtime": "i",
        "log_level": "DEBUG",
        "tags": ["x", "y"],
        "cost": 30,
    }


@pytest.mark.parametrize("bad", ["tag", ["a", 3], ["a", ""], [None]])
def test_tags_are_several_texts(bad: list[object]) -> None:
    with pytest.raises(UsageError, match="list of texts"):
        dialect.checked_tags(bad)


# ---- metrics -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["qpu_charge_time_seconds", "quantum_seconds", "seconds"])
def test_usage_is_told_in_seconds(key: str) -> None:
    assert dialect.usage_seconds({"usage": {"status": "final", key: 2}}) == 2.0
    assert dialect.usage_seconds({"usage": {key: 0.5}}) == 0.5


@pytest.mark.parametrize("usage", [None, {}, "2", {"seconds": "2"}, {"seconds": True}])
def test_usage_that_is_not_told_is_none(usage: object) -> None:
    assert dialect.usage_seconds({"usage": usage}) is None


@pytest.mark.parametrize(
    ("told", "position"), [(1, 1), (12, 12), (0, None), (None, None), ("1", None), (True, None)]
)
def test_the_place_in_the_queue(told: object, position: int | None) -> None:
    assert dialect.queue_position({"position_in_queue": told}) == position


# ---- what a dialect is -------------------------------------------------------------------------


@attrs.define
class Client:
    """Somebody's client; with a dialect, if `dialect` is one."""

    answer: dict[str, object]
    dialect: object = None

    def job_get(self, job_id: str) -> dict[str, object]:
        return self.answer

    def job_results(self, job_id: str) -> str:
        return ""

    def job_cancel(self, job_id: str) -> None:
        return None


def test_a_client_says_what_it_speaks() -> None:
    assert dialect_of(Client({}, CURRENT)) is CURRENT
    for client in (Client({}), Client({}, "current"), object()):
        assert dialect_of(client) is LEGACY


def test_a_transport_reads_the_state_in_the_dialect_of_its_client() -> None:
    current: dict[str, object] = {"state": {"status": "Cancelled", "reason_code": 1305}}
    transport = ClientTransport(Client(current, CURRENT))
    assert isinstance(transport.perform("j1", FetchStatus(7)), JobFailed)
    assert not transport.traits.pushes
    legacy = ClientTransport(Client({"status": "Queued"}))
    assert legacy.perform("j1", FetchStatus(7)) == JobQueued(7)


def test_a_dialect_may_be_given_and_may_be_the_callers_own() -> None:
    transport = ClientTransport(Client({"state": {"status": "Running"}}), dialect=CURRENT)
    assert transport.perform("j1", FetchStatus(7)) == JobStarted(7)

    def status_event(document: object, request: int | None = None) -> LifecycleEvent:
        assert document == {"phase": "cooking"}
        return JobStarted(request)

    own = Dialect("kitchen", status_event)
    transport = ClientTransport(Client({"phase": "cooking"}, CURRENT), dialect=own)
    assert transport.perform("j1", FetchStatus(7)) == JobStarted(7)


def test_the_traits_of_the_legacy_dialect_are_those_it_had() -> None:
    assert LEGACY.traits is ibm_legacy.TRAITS


@pytest.mark.parametrize(
    ("said", "position"), [(3, 3), (1, 1), (None, None), (0, None), ("3", None), (True, None)]
)
def test_a_queued_job_has_a_place_if_the_service_tells_it(
    said: object, position: int | None
) -> None:
    assert dialect.status_event({"state": {"status": "Queued"}, "position": said}, 4) == JobQueued(
        4, position
    )
