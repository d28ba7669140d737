"""Jobs on a real cluster, awaited."""

from __future__ import annotations

import asyncio
import textwrap

import pytest
from ray_cluster import RayHead
from ray_programs import PATIENCE
from service_stories import PROGRAMS, Gate

from adapters import AsyncRuntimeService
from runtime_core.errors import RuntimeJobCancelledError, RuntimeJobFailureError
from runtime_core.states import JobState


def test_jobs_are_submitted_streamed_cancelled_and_awaited(head: RayHead, gate: Gate) -> None:
    async def scene() -> None:
        async with asyncio.timeout(2 * PATIENCE), service:
            for name, source in PROGRAMS.items():
                await service.upload_program(textwrap.dedent(source), {"name": name})
            got: list[tuple[str, int]] = []

            async def callback(job_id: str, value: int) -> None:
                await asyncio.sleep(0)
                got.append((job_id, value))

            job = await service.run("gated", inputs={"gate": str(gate.path)}, callback=callback)
            stopped = await service.run("waits")
            failing = await service.run("fails")
            async for message in stopped.interim_results():
                assert message == "waiting"
                await stopped.cancel()
            with pytest.raises(RuntimeJobCancelledError):
                await stopped.result()
            with pytest.raises(RuntimeJobFailureError, match="ValueError: bad luck"):
                await failing.result()
            gate.open(3)
            assert await job.result() == "through"
            assert got == [(job.job_id(), i) for i in range(3)]
            found = await service.job(job.job_id())
            assert [value async for value in found.interim_results()] == [0, 1, 2]
            assert await found.status() is JobState.DONE

    service = AsyncRuntimeService.ray(head.url, head.token)
    asyncio.run(scene(), debug=True)
