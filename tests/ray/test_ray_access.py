"""A token that is missing or wrong, at a real cluster: refused, and clear, everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conditions import Recorder
from ray_cluster import RayHead
from ray_programs import PATIENCE
from service_stories import Gate

from adapters import RuntimeJob, RuntimeService
from runtime_core.errors import NotAuthorizedError

WRONG = "wr0ng-t0ken-of-enough-letters"
CALLS: dict[str, Callable[[RuntimeService, str], object]] = {
    "run": lambda service, _: service.run(
        service.upload_program("def main(backend, user_messenger):\n    return 1\n")
    ),
    "job": lambda service, job_id: service.job(job_id),
    "jobs": lambda service, _: service.jobs(),
    "delete": lambda service, job_id: service.delete_job(job_id),
}
JOB_CALLS: dict[str, Callable[[RuntimeJob], object]] = {
    "status": lambda job: job.status(),
    "result": lambda job: job.result(timeout=PATIENCE),
    "stream": lambda job: list(job.interim_results()),
    "cancel": lambda job: job.cancel(),
    "logs": lambda job: job.logs(),
}


@pytest.mark.parametrize("token", [None, WRONG], ids=["none", "wrong"])
class TestToken:
    @pytest.mark.parametrize("call", CALLS)
    def test_a_service_is_refused(self, head: RayHead, token: str | None, call: str) -> None:
        with (
            RuntimeService.ray(head.url, token) as stranger,
            pytest.raises(NotAuthorizedError) as caught,
        ):
            CALLS[call](stranger, "any")
        check(caught.value)

    def test_a_job_is_refused_and_its_stream(
        self,
        head: RayHead,
        ray: RuntimeService,
        gate: Gate,
        token: str | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        submitted = ray.run("gated", inputs={"gate": str(gate.path), "n": 1})
        assert next(submitted.interim_results()) == 0
        with RuntimeService.ray(head.url, token) as stranger:
            for call in JOB_CALLS.values():
                with pytest.raises(NotAuthorizedError) as caught:
                    call(stranger.take_up(submitted.handle()))
                check(caught.value)
            recorder = Recorder()
            streamed = stranger.take_up(submitted.handle(), recorder)
            with pytest.raises(NotAuthorizedError):
                streamed.result(timeout=PATIENCE)
            assert recorder.values == []
        gate.open()
        assert submitted.result(timeout=PATIENCE) == "through"
        assert WRONG not in caplog.text


def check(error: NotAuthorizedError) -> None:
    assert error.status_code == 401  # for a wrong one, too, which Ray answers with 403
    assert "token" in str(error)
    assert WRONG not in str(error) + repr(error)
