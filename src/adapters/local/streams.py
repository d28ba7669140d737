"""One reader of one job's stream: what there is, what comes, the close."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

from starlette.websockets import WebSocket, WebSocketDisconnect

from adapters.local.interim import bursts
from adapters.local.records import Job
from adapters.local.store import Store
from adapters.local.watchers import Watchers


async def send_stream(
    websocket: WebSocket, store: Store, watchers: Watchers, job: Job, after: int
) -> None:
    """Send the acknowledgement, the interim results after the first `after`, and close with 1000.

    It ends when the job has ended, or the reader has left.
    """
    await websocket.accept()
    # The receiver hears of a reader that leaves while there is nothing to send.
    sender = asyncio.create_task(_send(websocket, store, watchers, job, after))
    receiver = asyncio.create_task(_ignore_messages(websocket))
    try:
        await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_COMPLETED)
    finally:
        sender.cancel()
        receiver.cancel()
        sent, _ = await asyncio.gather(sender, receiver, return_exceptions=True)
    # A reader that leaves is no error; what the store cannot read is one, for the service's log.
    if isinstance(sent, Exception) and not isinstance(sent, WebSocketDisconnect):
        raise sent


async def _send(
    websocket: WebSocket, store: Store, watchers: Watchers, job: Job, after: int
) -> None:
    await websocket.send_text(json.dumps({"type": "acknowledgement", "job_id": job.id}))
    async with aclosing(bursts(store, watchers, job, after)) as found:
        async for burst in found:
            for text in burst:
                await websocket.send_text(await _loaded(text))
            await asyncio.sleep(0)  # sending does not wait while the socket takes everything
    await websocket.close(1000)


async def _loaded(text: bytes | Path) -> str:
    data = text if isinstance(text, bytes) else await asyncio.to_thread(text.read_bytes)
    return data.decode()


async def _ignore_messages(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
