"""What an embedder finds in `runtime_core` itself."""

from __future__ import annotations

from enum import Enum
from typing import Any, get_args

import pytest

import runtime_core
from runtime_core import commands, errors, events
from runtime_core.commands import Notice
from runtime_core.errors import RuntimeCoreError
from runtime_core.events import Need

ERROR = ValueError("no")
UNIONS = {
    name: value
    for module in (events, commands)
    for name, value in vars(module).items()
    if name.endswith(("Event", "Command"))
}


@pytest.mark.parametrize("union", UNIONS)
def test_every_union_and_every_member_is_public(union: str) -> None:
    assert getattr(runtime_core, union) is UNIONS[union]
    assert union in runtime_core.__all__
    for member in get_args(UNIONS[union]):
        assert getattr(runtime_core, member.__name__) is member
        assert member.__name__ in runtime_core.__all__


def test_every_error_is_public() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, RuntimeCoreError):
            assert getattr(runtime_core, name) is value
            assert name in runtime_core.__all__


def test_what_the_machine_takes_and_gives_is_public() -> None:
    names = {"JobMachine", "JobState", "ServiceTraits", "Resume", "Need", "TimerName", "Notice"}
    assert names | {"CancelOutcome", "Failure"} <= set(runtime_core.__all__)


def test_what_is_not_loaded_yet_is_listed_and_found() -> None:
    assert set(runtime_core.__all__) <= set(dir(runtime_core))
    found = runtime_core.__getattr__("JobMachine")
    assert found is runtime_core.JobMachine
    with pytest.raises(AttributeError, match="'runtime_core' has no attribute 'Nothing'"):
        runtime_core.__getattr__("Nothing")


def test_the_public_classes_are_documented() -> None:
    public = runtime_core.__all__
    undocumented = [
        name
        for name in public
        if isinstance(getattr(runtime_core, name), type) and not getattr(runtime_core, name).__doc__
    ]
    assert undocumented == []


def test_the_value_of_a_public_member_is_its_name_in_words() -> None:
    """They are shown to users, and some are words that a client is given."""
    for name in runtime_core.__all__:
        kind = getattr(runtime_core, name)
        if isinstance(kind, type) and issubclass(kind, Enum):
            for member in kind:
                assert member.value.replace(" of ", " ") == member.name.lower().replace("_", " ")
            assert len({*kind}) == len(kind)  # they can be hashed


def test_a_service_of_which_nothing_is_said_does_the_least() -> None:
    assert runtime_core.ServiceTraits() == runtime_core.ServiceTraits(
        pushes=False,
        resume=runtime_core.Resume.LIVE,
        streams_result=False,
        requeues=False,
        on_unknown_status=None,
    )


LEAST: list[tuple[object, object]] = [
    (events.JobQueued(), events.JobQueued(request=None, position=None)),
    (events.JobStarted(), events.JobStarted(request=None)),
    (events.JobSucceeded(), events.JobSucceeded(request=None)),
    (events.JobFailed(), events.JobFailed(request=None, reason=None, reason_code=None)),
    (events.JobCancelled(), events.JobCancelled(request=None)),
    (events.UnknownStatusReported("w"), events.UnknownStatusReported("w", request=None)),
    (events.FailureReceived(1, "no"), events.FailureReceived(1, "no", reason_code=None)),
    (
        events.RequestFailed(1, ERROR),
        events.RequestFailed(1, ERROR, retryable=False, retry_after=None),
    ),
    (events.StreamClosed(1), events.StreamClosed(1, code=1000, reason="")),
    (events.WaitStarted(1, Need.FINAL), events.WaitStarted(1, Need.FINAL, wait=5.0)),
    (events.SubscriptionRequested(1), events.SubscriptionRequested(1, after=0)),
    (events.ReplayRequested(1), events.ReplayRequested(1, after=0)),
    (commands.EndSubscription(1), commands.EndSubscription(1, error=None)),
    (commands.EndWait(1), commands.EndWait(1, error=None)),
    (commands.Report(Notice.RETRY, "t"), commands.Report(Notice.RETRY, "t", error=None)),
]


@pytest.mark.parametrize(("given", "meant"), LEAST, ids=lambda value: type(value).__name__)
def test_what_is_not_said_of_an_event_or_a_command_is_the_least(
    given: object, meant: object
) -> None:
    assert given == meant


def test_the_docstrings_example_runs() -> None:
    space: dict[str, Any] = {name: getattr(runtime_core, name) for name in runtime_core.__all__}
    lines = [ln.strip() for ln in (runtime_core.__doc__ or "").splitlines() if ln[:4] == "    "]
    exec("\n".join(lines), space)
    assert space["commands"] == (runtime_core.FetchStatus(1),)
