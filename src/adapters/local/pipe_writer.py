"""Writes the stream of one job into a pipe, at the pace of who reads it: see `pipe_stream`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import attrs

from adapters.local.host import HEADER, INTERIM
from adapters.local.interim import bursts
from adapters.local.pipe_stream import ALIVE, CLOSED, OPENED, REFUSED, frame
from adapters.local.store import Store
from adapters.local.watchers import Watchers

# How much is written at once, but for a single text that is kept in the database.
_PIECE = 1 << 18

_log = logging.getLogger(__name__)


async def write_stream(
    pipe: socket.socket, store: Store, watchers: Watchers, job_id: str, after: int
) -> None:
    """Write the interim results after the first `after`, and the end; close the pipe.

    It ends when the job has ended, or the reader has left.
    """
    writer = _Writer(pipe)
    with pipe:
        sender = asyncio.create_task(_send(writer, store, watchers, job_id, after))
        answerer = asyncio.create_task(writer.answer())
        try:
            await asyncio.wait((sender, answerer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sender.cancel()
            answerer.cancel()
            sent, _ = await asyncio.gather(sender, answerer, return_exceptions=True)
    # A reader that leaves is no error; what the store cannot read is one. The reader tries again.
    if isinstance(sent, Exception) and not isinstance(sent, ConnectionError):
        _log.error("the stream of job %s could not be read", job_id, exc_info=sent)


async def _send(writer: _Writer, store: Store, watchers: Watchers, job_id: str, after: int) -> None:
    job = store.job(job_id)
    if job is None:
        await writer.write([frame(REFUSED, f"There is no job {job_id[:100]!r}.".encode())])
        return
    await writer.write([frame(OPENED)])
    async with aclosing(bursts(store, watchers, job, after)) as found:
        async for burst in found:
            await writer.write(_pieces(burst))
            await asyncio.sleep(0)  # writing does not wait while the pipe takes everything
    await writer.write([frame(CLOSED)])


@attrs.frozen
class _Writer:
    """The writing end of a pipe; each write is whole."""

    pipe: socket.socket
    turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    async def write(self, pieces: Iterator[bytes] | list[bytes]) -> None:
        """Write, as fast as the reader reads."""
        loop = asyncio.get_running_loop()
        async with self.turn:
            for piece in pieces:
                await loop.sock_sendall(self.pipe, piece)

    async def answer(self) -> None:
        """Give the reader a sign of life whenever it asks for one; end when it has left."""
        loop = asyncio.get_running_loop()
        while await loop.sock_recv(self.pipe, 256):
            await self.write([frame(ALIVE)])


def _pieces(burst: list[bytes | Path]) -> Iterator[bytes]:
    """Cut the frames of a burst into pieces that are not many, nor large."""
    piece = bytearray()
    for text in burst:
        if isinstance(text, bytes):
            piece += frame(INTERIM, text)
        else:
            with text.open("rb") as file:
                piece += HEADER.pack(INTERIM, os.fstat(file.fileno()).st_size)
                while part := file.read(_PIECE):
                    yield bytes(piece)
                    piece = bytearray(part)
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
