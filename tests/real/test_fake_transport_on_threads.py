"""The scripted service, on the threads and in the loop of a real `RuntimeJob`."""

from __future__ import annotations

import pytest

from adapters import RuntimeJob
from runtime_core.commands import FetchStatus
from runtime_core.errors import JobTimeoutError
from runtime_core.states import JobState
from runtime_core.testing import Breaks, Fails, FakeTransport, Hangs


def test_a_script_from_the_first_status_to_the_result() -> None:
    transport = FakeTransport(
        JobState.QUEUED,
        JobState.RUNNING,
        Fails(503, retry_after=0.05),
        JobState.DONE,
        result='"ok"',
        stream=['"a"', '"b"', Breaks(), '"c"'],
    )
    seen: list[object] = []
    with RuntimeJob(None, transport, None, "j1", "p") as job:
        job.stream_results(lambda _, value: seen.append(value))
        assert job.result(timeout=30) == "ok"
    assert seen == ["a", "b", "c"]
    transport.close()


def test_a_request_that_hangs_does_not_hold_the_caller() -> None:
    transport = FakeTransport(Hangs(), ...)
    with RuntimeJob(None, transport, None, "j1", "p") as job:
        with pytest.raises(JobTimeoutError):
            job.wait_for_final_state(timeout=0.05)
        transport.wait_until_hanging()
        transport.job("j1").finish()
        transport.release()
        assert job.result(timeout=30) is None
    assert transport.asked_for(FetchStatus) >= 2
