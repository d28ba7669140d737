"""The fakes of `runtime_core.testing` are what drivers take: no thread, no socket, no sleep."""

from __future__ import annotations

import pytest

from adapters.drivers.blocking import BlockingDriver, Clock
from adapters.transport import SubmittingTransport, Transport
from runtime_core.commands import FetchResult, FetchStatus, SendCancel
from runtime_core.errors import TransportError
from runtime_core.events import Need
from runtime_core.states import JobState
from runtime_core.testing import Fails, FakeClock, FakeTransport, Late, Loses


def driven(fake: FakeTransport, clock: FakeClock) -> BlockingDriver:
    return BlockingDriver("j1", fake, clock)


def test_the_fakes_fit_where_a_transport_and_a_clock_are_taken() -> None:
    transport: Transport = FakeTransport()  # also for the type checkers
    submitting: SubmittingTransport = FakeTransport()
    clock: Clock = FakeClock()
    assert isinstance(transport, Transport)
    assert isinstance(submitting, SubmittingTransport)
    assert clock.monotonic() == 0.0


def test_a_script_is_lived_through_without_any_waiting() -> None:
    clock = FakeClock()
    transport = FakeTransport(
        JobState.QUEUED, JobState.RUNNING, Fails(503, retry_after=3.0), JobState.DONE, result="42"
    )
    driver = driven(transport, clock)
    assert driver.wait(Need.RESULT)
    assert driver.machine.result_text == "42"
    # Two polls, 50 ms after each answer that moved nothing or something; then what was asked for.
    assert clock.monotonic() == pytest.approx(0.05 + 0.05 + 3.0)
    assert (transport.asked_for(FetchStatus), transport.asked_for(FetchResult)) == (4, 1)


def test_a_deadline_passes_on_the_same_clock() -> None:
    clock = FakeClock()
    driver = driven(FakeTransport(Late(2.0), ..., clock=clock), clock)
    assert not driver.wait(Need.FINAL, timeout=10.0)
    assert clock.monotonic() == 10.0


def test_a_cancel_whose_answer_was_lost() -> None:
    transport = FakeTransport(answers={SendCancel: [Loses()]})
    driver = driven(transport, FakeClock())
    with pytest.raises(TransportError, match="broke before the answer"):
        driver.cancel()
    assert driver.wait(Need.FINAL)
    assert driver.machine.state is JobState.CANCELLED


def test_a_script_that_is_used_up_is_said_to_the_test() -> None:
    driver = driven(FakeTransport(JobState.QUEUED), FakeClock())
    with pytest.raises(TransportError, match="script of job j1 is used up"):
        driver.wait(Need.FINAL)
