"""What must hold of what a client was told, whatever went wrong on the way."""

from __future__ import annotations

import json
import sys
from typing import Any

from faults_client import Heard, Record
from faults_schedule import Kind, Odd, Schedule

from adapters.drivers.inbox import Gap
from runtime_core.states import JobState
from runtime_core.traits import Resume


def problems(plan: Schedule, record: Record, log: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Give what is wrong, in words; nothing if all is right."""
    found = list(record.wrongs)
    found += _end(plan, record, log)
    for number, heard in enumerate(record.heard):
        is_last = number + 1 == len(record.heard)
        found += [
            f"subscription {number}: {each}" for each in _heard(plan, heard, log, is_last=is_last)
        ]
    return found


def complain(plan: Schedule, record: Record, log: dict[str, list[dict[str, Any]]]) -> bool:
    """Say what is wrong, with all that helps to understand it; return whether anything is."""
    found = problems(plan, record, log)
    if found:
        sys.stdout.write(described(plan, record, log, found))
        sys.stdout.flush()
    return bool(found)


def described(
    plan: Schedule, record: Record, log: dict[str, list[dict[str, Any]]], found: list[str]
) -> str:
    """Say what is wrong with one schedule, and how to run it again."""
    lines = [f"WRONG: {each}" for each in found]
    lines.append(str(plan))
    lines.append(f"  doing: {record.doing}; raised: {[str(e) for e in record.raised]}")
    for number, heard in enumerate(record.heard):
        items = [str(_index(plan, each)) for each in heard.items]
        lines.append(
            f"  heard {number}{' (replay)' if heard.is_replay else ''}"
            f"{' (cancelled)' if heard.was_cancelled else ''}: {' '.join(items)}; "
            f"error: {heard.error}"
        )
    for what, entries in log.items():
        if isinstance(entries, list):
            lines += [f"  {what}: {json.dumps(each)}" for each in entries[:40]]
    lines.append(f"  again: make faults SEED={plan.seed} SCHEDULE={plan.number}")
    return "\n".join(lines) + "\n"


# ---- the end of the job ------------------------------------------------------------------------


def _end(plan: Schedule, record: Record, log: dict[str, list[dict[str, Any]]]) -> list[str]:
    found = []
    if record.state is not plan.final:
        found.append(f"the job is {record.state}, its service says {plan.final}")
    if record.ended_at < plan.ends:
        found.append(f"it was known at {record.ended_at:.3f} that it ended at {plan.ends:.3f}")
    hard = sum(bool(each["hard"]) for what in ("status", "result") for each in log[what])
    if len(record.raised) > hard:
        found.append(f"{len(record.raised)} waits failed, of which {hard} may")
    text = record.text
    match plan.final:
        case JobState.DONE if text != plan.result:
            found.append(f"the result is {text!r}")
        case JobState.CANCELLED if text is not None:
            found.append(f"a cancelled job has the result {text!r}")
        case JobState.ERROR if not _is_reason(plan, text, log):
            found.append(f"the reason is {text!r}")
    return found


def _is_reason(plan: Schedule, text: str | None, log: dict[str, list[dict[str, Any]]]) -> bool:
    if "Ran too long" in plan.statuses[-1][1]:
        return text is not None and "too long" in text
    if text is None:
        return any(each["hard"] for each in log["result"])
    return text == plan.result


# ---- what a subscription was given -------------------------------------------------------------


def _heard(
    plan: Schedule, heard: Heard, log: dict[str, list[dict[str, Any]]], *, is_last: bool
) -> list[str]:
    found = []
    if heard.error is not None and not _may_fail(plan, log):
        found.append(f"an error without a cause: {heard.error}")
    expected: int | None = 0
    streams = log["streams"]
    if plan.resume is Resume.LIVE:
        expected = None  # it begins at now
        if heard.is_first and plan.kind not in (Kind.NOWHERE, Kind.KILLED):
            expected = (streams[0]["start"] if streams else 0) or 0
    gap = unheard = plan.resume is Resume.LIVE and not heard.hears_gaps
    count = 0
    for item in heard.items:
        if isinstance(item, Gap):
            gap = True
            if item.after != count:
                found.append(f"a gap after {item.after} messages, of which {count} came")
            continue
        index = _index(plan, item)
        count += 1
        if index != expected and item == plan.result and _may_show_result(plan, log):
            continue
        if not isinstance(index, int):
            found.append(f"a message that nobody published: {item[:80]!r}")
            continue
        if expected is not None and index != expected:
            if index < expected:
                found.append(f"message {index} is repeated or out of order")
            elif not gap:
                found.append(f"messages {expected} to {index - 1} are lost without a word")
            elif plan.resume is not Resume.LIVE:
                found.append(f"messages {expected} to {index - 1} are lost, but kept")
        expected, gap = index + 1, unheard
    if heard.was_cancelled or heard.error is not None or expected is None:
        return found
    if expected < len(plan.published) and not _may_miss_end(plan, log, gap or not heard.hears_gaps):
        found.append(f"the end is missing from message {expected} on, gap: {gap}")
    return found


def _may_show_result(plan: Schedule, log: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether the result may be taken for one more interim result, where it is streamed, too.

    The service would not say what the result is; or it said that the job goes on when it had sent
    the result already; or the stream had to be opened again, which shows what was held back.
    """
    if not plan.streams_result:
        return False
    if any(each["hard"] for each in log["result"]):
        return True
    if any(each["fault"] in (str(Odd.STALE), str(Odd.UNKNOWN_WORD)) for each in log["status"]):
        return True
    again = plan.kind is Kind.KILLED or len(log["streams"]) > 1
    return plan.resume is Resume.LIVE and again


def _index(plan: Schedule, item: object) -> int | str:
    """Give the number of an interim result; what it is, if it is none."""
    if not isinstance(item, str):
        return str(item)
    try:
        value = json.loads(item)
        index = value[0]
    except (ValueError, LookupError):
        return item[:40]
    known = isinstance(index, int) and index < len(plan.published)
    return index if known and plan.message(index) == item else item[:40]


def _may_fail(plan: Schedule, log: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether a subscription may end with an error."""
    if plan.kind in (Kind.NOWHERE, Kind.KILLED, Kind.FORKED):
        return True
    if any(each["hard"] for each in log["status"]):
        return True
    return any(each["ended"] != "closed at the end with 1000" for each in log["streams"])


def _may_miss_end(plan: Schedule, log: dict[str, list[dict[str, Any]]], gap: bool) -> bool:
    """Whether the last messages may be missing, and nobody says more than a gap."""
    if plan.kind is Kind.NOWHERE:
        return True
    ends = [each["ended"] for each in log["streams"]]
    if plan.resume is Resume.LIVE:
        last = ends if plan.kind is Kind.FORKED else ends[-1:]
        return gap or "closed early with 1000" in last
    # Where they are kept, only a service can have it come to that which fails again and again, and
    # then falls silent.
    if plan.kind is Kind.KILLED:
        return gap  # who was killed has forgotten how often it failed
    stalls = sum(end == "stall" for end in ends)
    failures = sum(not str(end).startswith("closed at the end") for end in ends)
    return gap and (stalls > 1 or (stalls == 1 and failures > 2))
