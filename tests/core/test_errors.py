"""The tree of errors, and what each of them says."""

from __future__ import annotations

import pickle

import pytest

from runtime_core import errors
from runtime_core.errors import (
    DecodeError,
    EncodeError,
    InputsError,
    JobError,
    JobTimeoutError,
    NotAuthorizedError,
    OptionsError,
    RuntimeCoreError,
    RuntimeDuplicateProgramError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    RuntimeJobNotFoundError,
    RuntimeProgramNotFoundError,
    ServiceError,
    TransportError,
    UnknownStatusError,
    UsageError,
    WaitTimeoutError,
    stated,
)
from runtime_core.states import JobState

EXAMPLES: list[tuple[RuntimeCoreError, type[RuntimeCoreError], str]] = [
    (
        RuntimeInvalidStateError(
            "cancel", "j1", JobState.DONE, "it has ended", ("status", "result")
        ),
        UsageError,
        "Job j1 is DONE: cannot cancel, it has ended. Legal now: status, result.",
    ),
    (
        RuntimeInvalidStateError("wait", "j1", JobState.QUEUED, "wait 1 is under way already"),
        UsageError,
        "Job j1 is QUEUED: cannot wait, wait 1 is under way already.",
    ),
    (EncodeError("An object", "$.a"), UsageError, "An object (at $.a)"),
    (EncodeError("An object"), UsageError, "An object"),
    (OptionsError("no backend_name"), UsageError, "no backend_name"),
    (
        InputsError(["'x' is not an integer (at $.n)", "'m' is missing"]),
        UsageError,
        "The inputs do not fit the program's parameters: "
        "'x' is not an integer (at $.n); 'm' is missing.",
    ),
    (TransportError("no answer", 503, True, 2.0), ServiceError, "no answer"),
    (NotAuthorizedError("not you", 403), TransportError, "not you"),
    (RuntimeJobNotFoundError("no job", 404), TransportError, "no job"),
    (RuntimeProgramNotFoundError("no program", 404), TransportError, "no program"),
    (RuntimeDuplicateProgramError("two", 409), TransportError, "two"),
    (
        UnknownStatusError("j1", "Pondering"),
        ServiceError,
        "The service reports the unknown status 'Pondering' for job j1. "
        "Pass on_unknown_status=<a JobState> to say what it should be taken for.",
    ),
    (DecodeError("Too many", "$", "max_nodes"), ServiceError, "Too many (at $)"),
    (DecodeError("Too many"), ServiceError, "Too many"),
    (
        JobTimeoutError("j1", "its result", 0.5, JobState.DONE),
        ServiceError,
        "Job j1 is DONE: its result did not come within 0.5 s. Ask again.",
    ),
    (
        JobTimeoutError("j1", "the result", 1.50, JobState.RUNNING),
        ServiceError,
        "Job j1 is RUNNING: the result did not come within 1.5 s. "
        "The job goes on; wait again, or cancel() it.",
    ),
    (
        JobTimeoutError("j1", "its result", 40, JobState.RUNNING, 5),
        ServiceError,
        "Job j1 was RUNNING when it was last seen: its result did not come within 40 s, and the "
        "last 5 requests failed: status() says why. Wait again when the service answers.",
    ),
    (
        JobTimeoutError("j1", "its end", 40, JobState.QUEUED, 1),
        ServiceError,
        "Job j1 was QUEUED when it was last seen: its end did not come within 40 s, and the "
        "last request failed: status() says why. Wait again when the service answers.",
    ),
    (
        WaitTimeoutError(2, 10, 1.50),
        ServiceError,
        "2 of 10 jobs have not ended within 1.5 s. They go on; wait again, or cancel() them.",
    ),
    (
        RuntimeJobFailureError("j1"),
        JobError,
        "Job j1 failed: the service gives no reason; job.logs() may tell more",
    ),
    (RuntimeJobFailureError("j1", "boom", 17), JobError, "Job j1 failed (code 17): boom"),
    (RuntimeJobFailureError("j1", "boom", 0), JobError, "Job j1 failed (code 0): boom"),
    (RuntimeJobCancelledError("j1"), JobError, "Job j1 was cancelled: it has no result."),
]
IDS = [type(error).__name__ for error, _, _ in EXAMPLES]


@pytest.mark.parametrize(("error", "family", "message"), EXAMPLES, ids=IDS)
def test_an_error_belongs_to_a_family_and_says_what_happened(
    error: RuntimeCoreError, family: type[RuntimeCoreError], message: str
) -> None:
    assert isinstance(error, family)
    assert str(error) == message


@pytest.mark.parametrize(("error", "family", "message"), EXAMPLES, ids=IDS)
def test_an_error_survives_the_way_to_another_process(
    error: RuntimeCoreError, family: type[RuntimeCoreError], message: str
) -> None:
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert str(twin) == message
    assert vars(twin) == vars(error)


def test_what_an_error_is_not_told_it_does_not_know() -> None:
    assert RuntimeInvalidStateError("cancel", "j1", JobState.DONE, "it has ended").legal == ()
    assert EncodeError("An object").path == ""
    refused = TransportError("no answer")
    assert (refused.status_code, refused.retryable) == (None, False)
    assert (refused.retry_after, refused.reason_code) == (None, None)
    assert (DecodeError("Too many").path, DecodeError("Too many").limit) == ("", "")
    failed = RuntimeJobFailureError("j1")
    assert (failed.reason, failed.reason_code) == (None, None)


def test_a_timeout_is_a_timeout_error() -> None:
    assert issubclass(JobTimeoutError, TimeoutError)
    assert issubclass(WaitTimeoutError, TimeoutError)


def test_every_error_is_in_the_tree_that_the_module_draws() -> None:
    kinds = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, RuntimeCoreError)
    ]
    assert len(kinds) >= 12
    drawn = errors.__doc__ or ""
    assert [kind for kind in kinds if kind.__name__ not in drawn] == []
    families = (UsageError, ServiceError, JobError)
    assert all(issubclass(kind, families) for kind in kinds if kind is not RuntimeCoreError)


def test_what_an_error_says_can_stand_inside_of_a_sentence() -> None:
    assert stated(TransportError("No answer.")) == "No answer"
    assert stated(TransportError("no answer")) == "no answer"
