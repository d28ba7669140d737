"""The cluster of the tests is what they take it for."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from ray_cluster import RayHead
from ray_programs import PATIENCE, is_running


def test_the_head_says_its_version(head: RayHead) -> None:
    assert head.call("GET", "/api/version")["ray_version"] == "2.60.0"


def test_the_head_wants_the_token(head: RayHead) -> None:
    for token, status in ((None, 401), ("x" * 32, 403)):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(head.url + "/api/jobs/", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        caught.value.close()
        assert caught.value.code == status


ORPHANS = """
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans cannot be asked for")
def test_what_a_node_leaves_behind_is_ended() -> None:
    keeper = Path(__file__).parent / "keeper.py"
    with subprocess.Popen(
        [sys.executable, str(keeper), sys.executable, "-c", ORPHANS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        orphan = int(process.stdout.readline())
        assert is_running(orphan)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    assert not is_running(orphan)
