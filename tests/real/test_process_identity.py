"""Which process is which, with real ones."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest
from conditions import eventually

from adapters.local.processes import identity_of, kill_group

LEADER = """
    import os, sys, time
    member = os.fork()
    if member:
        print(member, flush=True)
        sys.stdin.read()
    else:
        time.sleep(60)
"""


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[str]]:
    """The leader of a process group with one more member, whose number it prints."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LEADER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def member_of(leader: subprocess.Popen[str]) -> int:
    assert leader.stdout is not None
    return int(leader.stdout.readline())


def test_a_process_has_one_identity_and_another_has_another(leader: subprocess.Popen[str]) -> None:
    assert identity_of(leader.pid) == identity_of(leader.pid)
    assert identity_of(leader.pid) != identity_of(os.getpid())


def test_who_has_ended_has_none_even_if_nobody_collected_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identity_of(process.pid) is None
    process.wait()
    assert identity_of(process.pid) is None


def test_a_group_is_killed_by_its_leaders_identity(leader: subprocess.Popen[str]) -> None:
    member, identity = member_of(leader), identity_of(leader.pid)
    assert identity is not None
    kill_group(identity)
    assert leader.wait(10) == -signal.SIGKILL
    assert eventually(lambda: identity_of(member) is None)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_a_leader_left_behind_is_killed_too(leader: subprocess.Popen[str]) -> None:
    member, identity = member_of(leader), identity_of(leader.pid)
    assert identity is not None
    leader.kill()
    leader.wait(10)
    assert identity_of(member) is not None
    kill_group(identity)
    assert eventually(lambda: identity_of(member) is None)


@pytest.mark.parametrize("part", [1, 2], ids=["start", "boot"])
def test_a_process_that_only_has_the_same_number_is_spared(
    leader: subprocess.Popen[str], part: int
) -> None:
    member, identity = member_of(leader), identity_of(leader.pid)
    assert identity is not None
    parts = identity.split(" ")
    parts[part] = "1" + parts[part]
    kill_group(" ".join(parts))
    assert identity_of(leader.pid) == identity
    assert identity_of(member) is not None
