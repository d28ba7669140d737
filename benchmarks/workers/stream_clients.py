"""Websockets by those who do nothing else: aiohttp, websockets and picows in asyncio, bare wsproto.

Each gives whole texts, which `json.loads` decodes. None compresses: the server does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from _protocol import Measure, serve
from _work import (
    TOKEN,
    Loop,
    Meter,
    Tally,
    latency_of,
    lateness_of,
    refusing,
    seconds_of,
    stream_url,
    streams_cpu_of,
    streams_of,
    together_of,
    waits_of,
)

WAY = sys.argv[1]
# What is measured has all of its imports, and none of the others'.
if WAY == "aiohttp":
    import aiohttp
elif WAY == "websockets":
    from websockets.asyncio.client import connect
elif WAY == "picows":
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
else:
    import wsproto
    from wsproto import events

HEADERS = {"X-Access-Token": TOKEN}
FINAL = ("Completed", "Failed", "Cancelled")
POLL = 0.5
"""Seconds between two questions of aiohttp."""
OnText = Callable[[str], object]
"""Gets each text of a stream, the acknowledgement too."""


# ---- one stream until its close ----------------------------------------------------------------


async def read_aiohttp(url: str, on_text: OnText) -> None:
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.ws_connect(url, max_msg_size=0, compress=0) as connection,
    ):
        async for message in connection:
            on_text(message.data)


async def read_websockets(url: str, on_text: OnText) -> None:
    async with connect(
        url, max_size=None, compression=None, additional_headers=HEADERS
    ) as connection:
        async for text in connection:
            on_text(text)


async def read_picows(url: str, on_text: OnText) -> None:
    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                on_text(frame.get_payload_as_utf8_text())
            elif frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()

    transport, _ = await ws_connect(Listener, url, extra_headers=HEADERS)
    await transport.wait_disconnected()


READ: dict[str, Callable[[str, OnText], Awaitable[None]]] = {
    "aiohttp": read_aiohttp,
    "websockets": read_websockets,
    "picows": read_picows,
}


class Wsproto:
    """One stream by wsproto over a socket, whose readiness is looked for elsewhere."""

    def __init__(self, url: str, on_text: OnText) -> None:
        self._on_text = on_text
        self._parts: list[str] = []
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80))
        self._ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        headers = [(name.encode(), text.encode()) for name, text in HEADERS.items()]
        request = events.Request(host=parts.netloc, target=parts.path, extra_headers=headers)
        self.socket.sendall(self._ws.send(request))

    def read(self) -> bool:
        """Read what has come; say whether the stream goes on."""
        data = self.socket.recv(1 << 16)
        self._ws.receive_data(data or None)
        for event in self._ws.events():
            match event:
                case events.TextMessage():
                    self._parts.append(event.data)
                    if event.message_finished:
                        self._on_text("".join(self._parts))
                        self._parts.clear()
                case events.Ping():
                    self.socket.sendall(self._ws.send(event.response()))
                case events.CloseConnection():
                    self.socket.sendall(self._ws.send(event.response()))
                    return False
        return bool(data)


def skipping_first(on_text: OnText) -> OnText:
    """Leave out the acknowledgement."""
    seen: list[str] = []

    def skip(text: str) -> None:
        if seen:
            on_text(text)
        else:
            seen.append(text)

    return skip


# ---- what is measured --------------------------------------------------------------------------


def rate(kind: str, url: str, messages: int, cycle: int) -> dict[str, Any]:
    meter = Meter(kind, messages, cycle)
    url = stream_url(url, meter.job_id)

    def take(text: str) -> None:
        meter.callback(meter.job_id, json.loads(text))

    on_text = skipping_first(take)
    if WAY == "wsproto":
        stream = Wsproto(url, on_text)
        while stream.read():
            pass
        stream.socket.close()
    else:
        asyncio.run(_awaited(READ[WAY](url, on_text)))
    return meter.answer()


async def _awaited(call: Awaitable[None]) -> None:
    await call


def start_streams(url: str) -> Callable[[Tally], object]:
    def on_text_of(tally: Tally, job_id: str) -> OnText:
        return skipping_first(lambda text: tally.take(job_id, json.loads(text)))

    def read_all_by_wsproto(tally: Tally) -> None:
        with selectors.DefaultSelector() as selector:
            for job_id in tally.ids:
                stream = Wsproto(stream_url(url, job_id), on_text_of(tally, job_id))
                selector.register(stream.socket, selectors.EVENT_READ, stream)
            while True:
                for key, _ in selector.select():
                    key.data.read()

    async def read_all(tally: Tally) -> None:
        calls = [READ[WAY](stream_url(url, i), on_text_of(tally, i)) for i in tally.ids]
        await asyncio.gather(*calls)

    def start(tally: Tally) -> threading.Thread:
        if WAY == "wsproto":
            return in_thread(lambda: read_all_by_wsproto(tally))
        return in_thread(lambda: asyncio.run(read_all(tally)))

    return start


def streams(url: str, size: int, messages: int, seconds: float) -> dict[str, Any]:
    return streams_of(url, size, messages, seconds, start_streams(url))


def streams_cpu(url: str, size: int, seconds: int) -> dict[str, Any]:
    return streams_cpu_of(url, size, seconds, start_streams(url))


def in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


# ---- jobs by aiohttp ---------------------------------------------------------------------------


async def poll(api: Any, url: str, job_id: str) -> Any:
    """Ask until the job has ended, and for its result."""
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError):  # it may come back
            async with api.get(f"{url}/jobs/{job_id}") as response:
                if (await response.json())["status"] in FINAL:
                    break
        await asyncio.sleep(POLL)
    async with api.get(f"{url}/jobs/{job_id}/results") as response:
        return await response.json(content_type=None)


_LOOP = Loop() if WAY == "aiohttp" else None
_sessions: list[Any] = []


async def session() -> Any:
    """The session of aiohttp, made once, as a user's program keeps it."""
    if not _sessions:
        connector = aiohttp.TCPConnector(limit=0)
        _sessions.append(aiohttp.ClientSession(headers=HEADERS, connector=connector))
    return _sessions[0]


def latency(url: str, share: float, shortest: float, longest: float) -> dict[str, Any]:
    body = {"program_id": "p", "params": {"seconds": seconds_of(shortest, longest, share)}}

    async def complete() -> tuple[str, Any]:
        api = await session()
        async with api.post(f"{url}/jobs", json=body) as response:
            job_id = (await response.json())["id"]
        await read_aiohttp(stream_url(url, job_id), lambda _text: None)
        return job_id, await poll(api, url, job_id)

    return latency_of(url, lambda: _LOOP.run(complete()))


def together(url: str, size: int, seconds: float) -> dict[str, Any]:
    async def one(job_id: str, done: Callable[[str, Any], None]) -> None:
        await read_aiohttp(stream_url(url, job_id), lambda _text: None)
        done(job_id, await poll(await session(), url, job_id))

    async def wait_for_all(ids: Sequence[str], done: Callable[[str, Any], None]) -> None:
        await asyncio.gather(*(one(job_id, done) for job_id in ids))

    return together_of(url, size, seconds, lambda ids, done: _LOOP.begin(wait_for_all(ids, done)))


def waits(url: str, size: int, settle: float, seconds: float) -> dict[str, Any]:
    async def wait_for_all(ids: Sequence[str]) -> None:
        api = await session()
        await asyncio.gather(*(poll(api, url, job_id) for job_id in ids))

    return waits_of(url, size, settle, seconds, lambda ids: _LOOP.begin(wait_for_all(ids)))


def late(kind: str, url: str, timeout: float, calls: int) -> dict[str, Any]:
    if kind == "refuses":
        url = refusing()

    async def wait(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await poll(await session(), url, f"{kind}-0")

    def call(seconds: float) -> None:
        _LOOP.run(wait(seconds))

    return lateness_of(timeout, calls, lambda: contextlib.nullcontext(call), TimeoutError)


MEASURES: dict[str, Measure] = {
    "latency": latency,
    "together": together,
    "rate-small": partial(rate, "small"),
    "rate-large": partial(rate, "large"),
    "streams": streams,
    "streams-cpu": streams_cpu,
    "waits": waits,
    "late-answers": partial(late, "forever"),
    "late-hangs": partial(late, "hangs"),
    "late-drips": partial(late, "drips"),
    "late-refuses": partial(late, "refuses"),
}

if __name__ == "__main__":
    serve(WAY, MEASURES, [WAY])
