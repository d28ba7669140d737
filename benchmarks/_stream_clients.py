"""One client that reads one stream into a callback, decoded: run as a program, by throughput.py.

    python _stream_clients.py CLIENT PORT JOB_ID COUNT

It prints the seconds from the first call of the callback to the last, and the CPU time that the
process took in them. The original runs in an environment of its own, without our packages: so each
client imports what it needs.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any


class Meter:
    """The user's callback: counts, and takes the times at the first call and at the last."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._seen = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.done = threading.Event()

    def __call__(self, _job_id: str, value: Any) -> None:
        if not self._seen:
            assert isinstance(value, dict), value
            self.seconds, self.cpu_seconds = -time.perf_counter(), -time.process_time()
        self._seen += 1
        if self._seen == self._count:
            self.seconds += time.perf_counter()
            self.cpu_seconds += time.process_time()
            self.done.set()


class Api:
    """The service's HTTP side, which is not measured: the job runs until its stream has ended."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def job_get(self, job_id: str) -> dict[str, Any]:
        return {"id": job_id, "status": "Completed" if self._meter.done.is_set() else "Running"}

    def job_results(self, job_id: str) -> str:  # noqa: ARG002 - called by its name
        return "null"

    def job_cancel(self, job_id: str) -> None:
        raise NotImplementedError


def ours(port: int, job_id: str, meter: Meter) -> None:
    from adapters import RuntimeJob, RuntimeWebsocketClient

    streams = RuntimeWebsocketClient(f"http://127.0.0.1:{port}", "")
    with RuntimeJob("backend", Api(meter), streams, job_id, "program") as job:
        job.stream_results(meter)
        job.result()


def ours_asyncio(port: int, job_id: str, meter: Meter) -> None:
    from adapters import AsyncRuntimeJob, RuntimeWebsocketClient

    async def read() -> None:
        streams = RuntimeWebsocketClient(f"http://127.0.0.1:{port}", "")
        async with AsyncRuntimeJob("backend", Api(meter), streams, job_id, "program") as job:
            job.stream_results(meter)
            await job.result()

    asyncio.run(read())


def original(port: int, job_id: str, meter: Meter) -> None:
    # Not there where types are checked.
    from qiskit.providers.ibmq import credentials, runtime  # pyright: ignore[reportMissingImports]

    url = f"ws://127.0.0.1:{port}"
    account = credentials.Credentials("", url, access_token="", services={"runtime": url})
    job = runtime.RuntimeJob("backend", Api(meter), account, job_id, "program")
    job.stream_results(meter)
    meter.done.wait()


def websocket_client(port: int, job_id: str, meter: Meter) -> None:
    import websocket

    connection = websocket.create_connection(f"ws://127.0.0.1:{port}/stream/jobs/{job_id}")
    connection.recv()  # the acknowledgement
    while not meter.done.is_set():
        meter(job_id, json.loads(connection.recv()))
    connection.close()


def aiohttp(port: int, job_id: str, meter: Meter) -> None:
    import aiohttp

    async def read() -> None:
        url = f"http://127.0.0.1:{port}/stream/jobs/{job_id}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, max_msg_size=0, compress=0) as connection,
        ):
            await connection.receive()  # the acknowledgement
            async for message in connection:
                meter(job_id, json.loads(message.data))

    asyncio.run(read())


def websockets(port: int, job_id: str, meter: Meter) -> None:
    from websockets.asyncio.client import connect

    async def read() -> None:
        url = f"ws://127.0.0.1:{port}/stream/jobs/{job_id}"
        async with connect(url, max_size=None, compression=None) as connection:
            await connection.recv()  # the acknowledgement
            async for message in connection:
                meter(job_id, json.loads(message))

    asyncio.run(read())


CLIENTS = {
    "ours": ours,
    "ours, asyncio": ours_asyncio,
    "original": original,
    "websocket-client": websocket_client,
    "aiohttp": aiohttp,
    "websockets": websockets,
}


def main() -> None:
    name, port, job_id, count = sys.argv[1:]
    meter = Meter(int(count))
    CLIENTS[name](int(port), job_id, meter)
    if not meter.done.is_set():
        raise SystemExit(f"{name} got fewer than {count} messages")
    print(meter.seconds, meter.cpu_seconds)


if __name__ == "__main__":
    main()
