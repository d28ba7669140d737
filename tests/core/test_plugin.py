"""The pytest plugin: opted into by its name, its fixtures do what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import threading

import pytest

from runtime_core import FetchStatus, JobStarted, JobState, Need, SubscriptionRequested, WaitStarted
from runtime_core.testing import Hangs, Late

PERFORMED = []


def test_the_clock_and_the_transport_go_together(fake_clock, fake_transport):
    transport = fake_transport(Late(3.0), JobState.DONE)
    transport.perform("j1", FetchStatus(1))
    assert fake_clock.monotonic() == 3.0
    assert fake_transport() is not transport


def test_the_clock_is_a_new_one(fake_clock):
    assert fake_clock.monotonic() == 0.0


def test_something_hangs(fake_transport):
    transport = fake_transport(Hangs(), ...)
    ask = lambda: PERFORMED.append(transport.perform("j1", FetchStatus(1)))
    PERFORMED.append(threading.Thread(target=ask))
    PERFORMED[0].start()
    transport.wait_until_hanging()
    assert len(PERFORMED) == 1


def test_and_was_let_go():
    PERFORMED[0].join()
    assert len(PERFORMED) == 2


def test_machines_are_held_to_the_rules(job_machine, ledger):
    booked = job_machine()
    assert booked.tell() == ()
    assert booked.tell(JobStarted(), WaitStarted(1, Need.STATUS)) == (FetchStatus(1),)
    assert booked.ledger.requests == {1: FetchStatus}
    assert ledger.requests == {}
    with pytest.raises(AssertionError, match="SubscriptionRequested.* was refused"):
        booked.tell(SubscriptionRequested(1))
"""


def test_its_fixtures_work(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["runtime_core.testing.plugin"]')
    pytester.makepyfile(TESTS)
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=5)


def test_it_is_no_part_of_a_run_that_does_not_ask_for_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_clock(fake_clock): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'fake_clock' not found"])


def test_the_tools_do_not_need_pytest() -> None:
    code = "import sys, runtime_core.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
