"""A local service that is gone is gone: nobody waits for it to come back."""

from __future__ import annotations

import os
import signal

import pytest

from adapters import RuntimeService
from runtime_core.errors import TransportError

KILLS_ITS_SERVICE = """
import os, signal, time

def main(backend, user_messenger, pid):
    os.kill(pid, signal.SIGKILL)
    time.sleep(60)
"""


def test_a_wait_ends_when_the_local_service_is_killed() -> None:
    with RuntimeService.local(workers=1) as service:
        assert service._local is not None
        service.upload_program(KILLS_ITS_SERVICE, {"name": "killer"})
        job = service.run("killer", inputs={"pid": service._local.pid})
        with pytest.raises(TransportError, match="The local service has ended") as caught:
            job.result(timeout=60)
        assert not caught.value.retryable
        assert service._local.has_ended


def test_its_other_errors_are_those_of_any_service() -> None:
    with RuntimeService.local(workers=1) as service:
        with pytest.raises(TransportError, match="unknown") as caught:
            service.job("unknown")
        assert caught.value.status_code == 404
        assert service._local is not None
        os.kill(service._local.pid, signal.SIGKILL)
        service._local._process.wait()
        with pytest.raises(TransportError, match="submit them again"):
            service.jobs()
