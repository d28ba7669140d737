"""A handle is a value with a text of its own: what it holds, refuses, and never holds."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core import job_handle
from runtime_core.decoders import Decoder, DecoderRegistry, ResultDecoder, decoder_name
from runtime_core.errors import UsageError
from runtime_core.job_handle import MOST_CHARACTERS, JobHandle
from runtime_core.states import JobState
from runtime_core.structured import StructuredDecoder

VERSION_1 = (
    '{"schema": "runtime-core/job-handle", "version": 1, "job_id": "j1", '
    '"service": "https://runtime.example/v1", "dialect": "legacy", "program_id": "vqe", '
    '"decoder": "Energies", "cursor": 7, "state": "running"}'
)
"""What was written once stays readable for ever: never change this text."""

HANDLE = JobHandle(
    job_id="j1",
    service="https://runtime.example/v1",
    dialect="legacy",
    program_id="vqe",
    decoder="Energies",
    cursor=7,
    state=JobState.RUNNING,
)


def with_field(name: str, value: object) -> str:
    return json.dumps({**json.loads(VERSION_1), name: value})


def refused(text: Any) -> str:
    with pytest.raises(UsageError) as refusal:
        JobHandle.from_json(text)
    return str(refusal.value)


# ---- the text ----------------------------------------------------------------------------------


def test_version_1_is_read() -> None:
    assert JobHandle.from_json(VERSION_1) == HANDLE


def test_version_1_is_written() -> None:
    assert HANDLE.to_json() == VERSION_1


def test_what_is_not_known_is_empty() -> None:
    handle = JobHandle(job_id="j1")
    assert JobHandle.from_json(handle.to_json()) == handle
    assert json.loads(handle.to_json())["state"] is None
    assert (handle.service, handle.dialect, handle.program_id) == ("", "", "")
    assert (handle.decoder, handle.cursor, handle.state) == ("", 0, None)


TEXTS = st.text(max_size=20) | st.just("\U0001f600" * MOST_CHARACTERS) | st.just("\ud800")


@given(
    st.builds(
        JobHandle,
        job_id=TEXTS.filter(bool),
        service=TEXTS.filter(lambda text: "@" not in text),
        dialect=TEXTS,
        program_id=TEXTS,
        decoder=TEXTS,
        cursor=st.integers(0, 2**63 - 1),
        state=st.none() | st.sampled_from(JobState),
    )
)
def test_every_handle_survives_its_text(handle: JobHandle) -> None:
    assert JobHandle.from_json(handle.to_json()) == handle


def test_the_longest_handle_is_within_the_limit_of_its_text() -> None:
    long = "\U0001f600" * MOST_CHARACTERS
    handle = JobHandle(job_id=long, service=long, dialect=long, program_id=long, decoder=long)
    assert JobHandle.from_json(handle.to_json()) == handle


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{}", "The job handle is to be read from a str, not b'{}'."),
        ("", "The text is no job handle: it is not JSON: Expecting value: line 1"),
        ("[1]", "The text is no job handle: expected a JSON object, got [1]."),
        ("{}", "The text is no job handle: expected 'runtime-core/job-handle' at $.schema, got"),
        ('{"schema": "other"}', "at $.schema, got 'other'."),
        (with_field("decoder", "x" * 140_000), "The text is longer than 131,072 bytes"),
        (with_field("cursor", [[]] * 200), "more than 200 values"),
        (f'{{"a": {"[" * 10}{"]" * 10}}}', "nests lists or dicts more than 10 deep"),
        (with_field("cursor", 7)[:-1], "it is not JSON"),
    ],
)
def test_what_is_no_handle_is_refused(text: Any, why: str) -> None:
    assert why in refused(text)


def test_a_later_version_is_refused_by_name() -> None:
    assert refused(with_field("version", 2)) == (
        "The job handle is of version 2 of runtime-core/job-handle, and this release reads the "
        "versions up to 1: use the one that wrote it, or a later one."
    )
    # Whatever else is in it: nobody knows what its fields mean.
    later = {"schema": "runtime-core/job-handle", "version": 3, "job": 1}
    assert "is of version 3 of" in refused(json.dumps(later))


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
def test_what_is_no_version_is_refused(version: object) -> None:
    assert refused(with_field("version", version)) == (
        f"The job handle has no version: expected an int at $.version, got {version!r}."
    )


def test_an_old_version_is_brought_up_to_date_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = {
        1: lambda fields: {**fields, "decoder": fields["decoder"] + "2"},
        2: lambda fields: {**fields, "decoder": fields["decoder"] + "3"},
    }
    monkeypatch.setattr(job_handle, "VERSION", 3)
    monkeypatch.setattr(job_handle, "UPGRADES", steps)
    assert JobHandle.from_json(VERSION_1) == attrs.evolve(HANDLE, decoder="Energies23")
    assert JobHandle.from_json(with_field("version", 2)).decoder == "Energies3"
    assert JobHandle.from_json(with_field("version", 3)) == HANDLE


def test_there_is_a_step_from_each_old_version() -> None:
    assert list(job_handle.UPGRADES) == list(range(1, job_handle.VERSION))


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(JobHandle)])
def test_no_field_may_be_missing_from_the_text(name: str) -> None:
    fields = json.loads(VERSION_1)
    del fields[name]
    assert refused(json.dumps(fields)) == f"The job handle has a field missing, at $.{name}."


def test_a_field_that_is_none_is_refused() -> None:
    assert refused(with_field("token", "s")) == (
        "The job handle has a field that is none, at $.token."
    )


WORDS = "null or one of queued, running, done, error, cancelled"
NO_STATES: tuple[object, ...] = ("RUNNING", "pondering", 7, [], {})


@pytest.mark.parametrize(
    ("name", "value", "expected", "got"),
    [
        *((name, 7, "a text", int) for name in ("job_id", "service", "dialect", "program_id")),
        ("decoder", None, "a text", type(None)),
        ("job_id", "", "the id of a job", ""),
        ("program_id", "x" * 2049, "at most 2,048 characters", 2049),
        *(
            ("cursor", value, "a number of messages, an int of 0 or more", value)
            for value in ("7", 7.0, True, None, -1, 2**63)
        ),
        *(("state", value, WORDS, value) for value in NO_STATES),
    ],
)
def test_what_does_not_fit_is_told_with_its_path(
    name: str, value: object, expected: str, got: object
) -> None:
    assert refused(with_field(name, value)) == (
        f"The job handle does not fit: expected {expected} at $.{name}, got {got!r}."
    )


def test_a_cursor_is_any_that_a_service_can_count_to() -> None:
    for cursor in (0, 1, 2**63 - 1):
        assert JobHandle.from_json(with_field("cursor", cursor)).cursor == cursor


def test_a_handle_is_checked_when_it_is_made() -> None:
    wrong: Any = "running"
    with pytest.raises(UsageError, match=r"a JobState, or None at \$\.state, got 'running'"):
        JobHandle(job_id="j1", state=wrong)
    with pytest.raises(UsageError, match=r"at \$\.cursor"):
        attrs.evolve(HANDLE, cursor=-1)


# ---- no credentials ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("https://me:secret@h.example:8443/v1", "https://h.example:8443/v1"),
        ("HTTPS://me:secret@h.example", "HTTPS://h.example"),
        ("https://secret@h.example", "https://h.example"),
        ("https://a@secret@h.example", "https://h.example"),
        ("https://h.example/v1?token=secret", "https://h.example/v1"),
        ("https://h.example/v1#secret", "https://h.example/v1"),
        ("https://h.example/v1#\nsecret", "https://h.example/v1"),
        ("https://h.example?token=secret\n", "https://h.example"),
        ("jdbc:postgresql://me:secret@h.example/jobs", "jdbc:postgresql://h.example/jobs"),
        ("my_queue://me:secret@h.example", "my_queue://h.example"),
        (" https://me:secret@h.example", " https://h.example"),
        ("//me:secret@h.example/v1?token=secret", "//h.example/v1"),
        ("me:secret@queue:5672", "queue:5672"),
        ("me:sec?ret@queue:5672", "queue:5672"),
        ("h.example/v1?token=\nsecret", "h.example/v1"),
        ("local:/home/me@work/data", "local:/home/me@work/data"),
        ("the cluster", "the cluster"),
        ("", ""),
    ],
)
def test_a_handle_holds_no_credentials(service: str, name: str) -> None:
    handle = JobHandle(job_id="j1", service=service)
    assert handle.service == name
    assert "secret" not in handle.to_json()
    # Nor does one that somebody else has written.
    assert JobHandle.from_json(with_field("service", service)).service == name


@pytest.mark.parametrize(
    "service",
    [
        "https://me:sec/ret@h.example",
        "https://me:sec?ret@h.example",
        "https://me:sec#ret@h.example",
    ],
)
def test_a_url_whose_password_has_no_plain_end_is_refused(service: str) -> None:
    with pytest.raises(UsageError) as refusal:
        JobHandle(job_id="j1", service=service)
    assert str(refusal.value) == (
        "The service's URL has an @ behind its host: leave user and password out, and write an @ "
        "as %40."
    )


def test_a_service_that_is_no_text_is_not_shown() -> None:
    assert "secret" not in refused(with_field("service", ["https://me:secret@h.example"]))


# ---- whose it is -------------------------------------------------------------------------------


def test_a_client_of_the_same_service_is_taken() -> None:
    HANDLE.check_service("https://runtime.example/v1", "legacy")
    HANDLE.check_service("https://me:secret@runtime.example/v1?a=b", "legacy")


def test_a_client_of_another_service_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        HANDLE.check_service("https://me:secret@other.example", "legacy")
    assert str(refusal.value) == (
        "The handle of job j1 is of the service 'https://runtime.example/v1', and the client is of "
        "the service 'https://other.example'. If that is where the job is now, use "
        "attrs.evolve(handle, service='https://other.example')."
    )


def test_a_client_of_another_dialect_is_refused() -> None:
    with pytest.raises(UsageError, match=r"of the dialect 'legacy', and .* the dialect 'current'"):
        HANDLE.check_service(HANDLE.service, "current")


# ---- its decoder -------------------------------------------------------------------------------


class Energies(ResultDecoder):
    pass


class Lengths:
    def decode(self, data: str) -> int:
        return len(data)


class Named(Lengths):
    name = "Energies"


@attrs.frozen
class Point:
    x: int


@pytest.mark.parametrize(
    ("decoder", "name"),
    [
        (ResultDecoder, "ResultDecoder"),
        (Energies, "Energies"),
        (Lengths(), "Lengths"),
        (Named(), "Energies"),
        (StructuredDecoder(Point), "StructuredDecoder[Point]"),
    ],
)
def test_a_decoder_has_a_name(decoder: Decoder[Any], name: str) -> None:
    assert decoder_name(decoder) == name


def registry(default: Decoder[Any] = ResultDecoder, vqe: Decoder[Any] | None = None) -> Any:
    decoders = DecoderRegistry(default)
    if vqe is not None:
        decoders.register("vqe", vqe)
    return decoders


ENERGIES = Named()


@pytest.mark.parametrize(
    ("name", "decoders", "result_decoder", "found"),
    [
        ("Energies", registry(), Energies, Energies),
        ("Energies", registry(vqe=ENERGIES), None, ENERGIES),
        ("Energies", registry(vqe=ENERGIES), Energies, Energies),
        ("Energies", registry(Energies, vqe=Lengths()), None, Energies),
        ("ResultDecoder", registry(), None, ResultDecoder),
        ("ResultDecoder", registry(Energies, ENERGIES), None, ResultDecoder),
        ("ResultDecoder", registry(vqe=ENERGIES), ResultDecoder, ResultDecoder),
        ("", registry(vqe=ENERGIES), None, ENERGIES),
        ("", registry(vqe=ENERGIES), Energies, Energies),
    ],
)
def test_the_decoder_is_found_by_its_name(
    name: str,
    decoders: DecoderRegistry,
    result_decoder: Decoder[Any] | None,
    found: Decoder[Any],
) -> None:
    handle = attrs.evolve(HANDLE, decoder=name)
    assert handle.choose_decoder(decoders, result_decoder) is found


def test_a_decoder_that_is_not_there_is_asked_for() -> None:
    with pytest.raises(UsageError) as refusal:
        HANDLE.choose_decoder(registry(vqe=Lengths()))
    assert str(refusal.value) == (
        "The results of job j1 are decoded by 'Energies', which is not among the decoders: give it "
        "as result_decoder=, or register it in decoders=."
    )


def test_another_decoder_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        HANDLE.choose_decoder(registry(vqe=ENERGIES), Lengths())
    assert str(refusal.value) == (
        "The results of job j1 are decoded by 'Energies', and result_decoder is 'Lengths'. To "
        "decode them by that, use attrs.evolve(handle, decoder='Lengths')."
    )


def test_what_is_no_decoder_is_refused() -> None:
    wrong: Any = "Energies"
    with pytest.raises(UsageError, match="decoder must have a method"):
        HANDLE.choose_decoder(registry(), wrong)
