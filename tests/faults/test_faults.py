"""Two hundred seeded schedules of faults, over real sockets; `make faults` runs two thousand."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import faults_run
import pytest
from faults_checks import problems
from faults_client import Heard, Record
from faults_schedule import Flow, Kind, Schedule, kind_of, schedule

from adapters.drivers.inbox import Gap
from runtime_core.states import JobState
from runtime_core.traits import Resume

SEED = 20


def test_two_hundred_schedules(caplog: pytest.LogCaptureFixture) -> None:
    # What is logged is kept, urllib3's with errors whose frames hold connections.
    for name in ("adapters", "urllib3"):
        caplog.set_level(logging.ERROR, logger=name)
    report = faults_run.run(SEED, range(200), at_once=32)
    assert not report.complaints, "\n".join(report.complaints)
    assert report.counts["schedules"] == 200
    assert report.counts["kills of the service"] > 0
    assert report.counts["Ctrl-C"] > 0


def test_a_seed_and_a_number_say_everything() -> None:
    assert schedule(3, 7) == schedule(3, 7)
    assert schedule(3, 7) != schedule(4, 7)
    assert schedule(3, 7) != schedule(3, 8)


def test_two_hundred_schedules_are_of_every_kind() -> None:
    plans = [schedule(SEED, number) for number in range(200)]
    assert {plan.kind for plan in plans} == set(Kind)
    assert {plan.flow for plan in plans} == set(Flow)
    assert {plan.resume for plan in plans} == set(Resume)
    assert {plan.final for plan in plans} == {JobState.DONE, JobState.ERROR, JobState.CANCELLED}
    assert all(kind_of(plan.number) is plan.kind for plan in plans)


# ---- the checks can fail -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "resume", "what"),
    [
        ([0, 1, 1, 2], Resume.OFFSET, "repeated"),
        ([1, 0, 2], Resume.REPLAY, "lost without a word"),
        ([0, 2], Resume.OFFSET, "lost without a word"),
        ([0, "gap", 2], Resume.OFFSET, "but kept"),
        ([0, 1], Resume.REPLAY, "the end is missing"),
        ([0, 2], Resume.LIVE, "lost without a word"),
        ([0, "gap", 1, 0, 2], Resume.LIVE, "repeated"),
        ([0, 1], Resume.LIVE, "the end is missing"),
        ([0, "far gap", 2], Resume.LIVE, "a gap after 7"),
        ([0, "other", 1, 2], Resume.OFFSET, "nobody published"),
    ],
)
def test_what_a_subscription_may_not_be_given(
    items: list[int | str], resume: Resume, what: str
) -> None:
    found = problems(*_case(items, resume))
    assert any(what in each for each in found), found


@pytest.mark.parametrize(
    ("items", "resume"),
    [
        ([0, 1, 2], Resume.OFFSET),
        ([0, 1, 2], Resume.LIVE),
        ([0, "gap", 2], Resume.LIVE),
        ([0, "gap"], Resume.LIVE),
        ([0, "gap", 1, 2], Resume.LIVE),
    ],
)
def test_what_a_subscription_may_be_given(items: list[int | str], resume: Resume) -> None:
    assert problems(*_case(items, resume)) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"state": JobState.ERROR}, "the job is"),
        ({"text": ""}, "the result is"),
        ({"ended_at": 0.5}, "it was known at"),
        ({"raised": [ValueError()]}, "waits failed"),
        ({"wrongs": ["it hangs"]}, "it hangs"),
    ],
)
def test_what_may_not_come_of_a_job(changes: dict[str, object], what: str) -> None:
    plan, record, log = _case([0, 1, 2], Resume.OFFSET)
    for name, value in changes.items():
        setattr(record, name, value)
    found = problems(plan, record, log)
    assert any(what in each for each in found), found


def _case(
    items: list[int | str], resume: Resume
) -> tuple[Schedule, Record, dict[str, list[dict[str, Any]]]]:
    plan = attrs.evolve(
        schedule(0, 0),
        resume=resume,
        streams_result=False,
        statuses=((0.0, "Running"), (1.0, "Completed")),
        published=(0.1, 0.2, 0.3),
        padding=(0, 0, 0),
        result_is_last_message=False,
    )
    heard = Heard(is_first=True)
    for item in items:
        match item:
            case int():
                heard.items.append(plan.message(item))
            case "gap":
                heard.items.append(Gap(sum(isinstance(each, str) for each in heard.items)))
            case "far gap":
                heard.items.append(Gap(7))
            case _:
                heard.items.append("[9]")
    record = Record(heard=[heard], state=JobState.DONE, text=plan.result, ended_at=2.0)
    stream = {"start": 0, "sent": 3, "ended": "closed at the end with 1000"}
    return plan, record, {"status": [], "result": [], "streams": [stream]}
