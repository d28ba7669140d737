"""A Ray cluster that a test has for itself: its processes end with it, and its files go."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

TOKEN = "the-token-of-the-tests-0123456789"  # Ray takes 16 characters and more
VARIABLE = "RAY_TESTS_PYTHON"
"""Names the Python of the environment that has Ray; `make ray` sets it."""
START = 120.0
"""Seconds that a node has to start."""

_KEEPER = Path(__file__).parent / "keeper.py"


class RayNode:
    """The processes of a node, in the care of one that ends them."""

    def __init__(self, arguments: list[str], variables: Mapping[str, str] | None = None) -> None:
        python = os.environ.get(VARIABLE)
        assert python, f"{VARIABLE} must name a Python that has Ray: `make ray` does it"
        environment = Path(python).absolute().parent
        # Its sockets' paths must stay below 107 characters, and macOS's own folder is deep.
        self.directory = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.log = self.directory / "start.log"
        # Not what the developer has set for a cluster of his own.
        kept = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
        ours = {
            "PATH": f"{environment}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_TMPDIR": str(self.directory),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        command = [str(environment / "ray"), "start", "--block", "--node-ip-address=127.0.0.1"]
        with self.log.open("wb") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, str(_KEEPER), *command, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**kept, **ours, **(variables or {})},
                start_new_session=True,  # Ctrl-C is for the tests
            )

    def ended(self) -> bool:
        """Say whether all of its processes have ended."""
        return self._keeper.poll() is not None

    def end(self) -> None:
        """End its processes at once, and see that none is left; once more does nothing."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        left = self._keeper.wait(timeout=60)
        shutil.rmtree(self.directory, ignore_errors=True)
        assert left == 0, f"{left} processes of the Ray node are left"


class RayHead(RayNode):
    """A head node, which is a cluster by itself.

    Args:
        cpus: how many it says that it has.
        variables: more of the environment, by which Ray is configured.
    """

    def __init__(self, cpus: int, variables: Mapping[str, str] | None = None) -> None:
        ports = unused_ports(4)
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.token = TOKEN
        self.address = f"127.0.0.1:{ports[1]}"
        super().__init__(
            [
                "--head",
                f"--num-cpus={cpus}",
                "--dashboard-host=127.0.0.1",
                f"--dashboard-port={ports[0]}",
                f"--port={ports[1]}",
                f"--dashboard-agent-listen-port={ports[2]}",
                f"--ray-client-server-port={ports[3]}",
                "--object-store-memory=100000000",
                "--disable-usage-stats",
            ],
            variables,
        )

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the head as anybody can, past the code under test; give what its JSON says."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def submit(self, entrypoint: str, **more: object) -> str:
        """Submit a plain Ray job, which is none of ours; give its id."""
        body = {"entrypoint": entrypoint, "entrypoint_num_cpus": 1, **more}
        job_id: str = self.call("POST", "/api/jobs/", body)["submission_id"]
        return job_id

    def status(self, job_id: str) -> str:
        """Give Ray's own word for the state of a job."""
        word: str = self.call("GET", f"/api/jobs/{job_id}")["status"]
        return word

    def wait_until_it_works(self) -> None:
        """Wait for the head to answer, and to have run a job: the first takes long."""
        self._wait(self._answers)
        job_id = self.submit("true")
        self._wait(lambda: self.status(job_id) == "SUCCEEDED")

    def _answers(self) -> bool:
        try:
            return "ray_version" in self.call("GET", "/api/version")
        except (urllib.error.URLError, OSError):
            return False

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START
        while not condition():
            assert not self.ended(), f"the head has ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"no head: {self.log.read_text()}"
            time.sleep(0.1)


def unused_ports(count: int) -> list[int]:
    """Ports that nobody listens at just now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextmanager
def ray_head(cpus: int = 2, variables: Mapping[str, str] | None = None) -> Iterator[RayHead]:
    """A cluster of one node that has run its first job."""
    head = RayHead(cpus, variables)
    try:
        head.wait_until_it_works()
        yield head
    finally:
        head.end()


@contextmanager
def ray_node(head: RayHead, resource: str) -> Iterator[RayNode]:
    """Another node of a cluster, which has what only jobs get that ask for it."""
    ports = unused_ports(1)
    node = RayNode(
        [
            f"--address={head.address}",
            "--num-cpus=1",
            f"--resources={json.dumps({resource: 1})}",
            f"--dashboard-agent-listen-port={ports[0]}",
            "--object-store-memory=100000000",
            "--disable-usage-stats",
        ]
    )
    try:
        yield node
    finally:
        node.end()
