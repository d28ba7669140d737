"""Bytes as the service sends them: HTTP answers and websocket frames, written by hand.

By hand, so that they can be wrong, and cut anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import random
import struct
from collections.abc import Iterator, Mapping

from faults_schedule import Cut, Garbage

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

PAGE = b"<html><body><h1>Please log in</h1></body></html>"


def answer(status: int, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    """Make an HTTP answer; header names are written with underscores."""
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Words\r\n{head}\r\n".encode() + body


def accepted(headers: Mapping[str, str]) -> bytes:
    """Make the 101 of a handshake."""
    key = headers["sec-websocket-key"].encode()
    token = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {token}\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes, *, fin: bool = True, bits: int = 0) -> bytes:
    """Make a frame as a server sends it: without a mask (RFC 6455, section 5.2)."""
    first = (0x80 if fin else 0) | bits | opcode
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 126, size)
    else:
        head = struct.pack("!BBQ", first, 127, size)
    return head + payload


def close_frame(code: int | None, reason: str = "") -> bytes:
    """Make a close frame; None is one without a code."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


def garbage(kind: Garbage) -> bytes:
    """Make bytes that no peer may send."""
    match kind:
        case Garbage.OPCODE:
            return frame(5, b"?")
        case Garbage.RESERVED:
            return frame(TEXT, b"?", bits=0x40)
        case Garbage.MASKED:
            return b"\x81\x81\0\0\0\0?"
        case Garbage.UTF8:
            return frame(TEXT, b"\xff\xfe")
        case Garbage.HUGE:
            return struct.pack("!BBQ", 0x81, 127, 1 << 62)
        case Garbage.BINARY:
            return frame(BINARY, b"?")
        case Garbage.NOISE:
            return random.Random(0).randbytes(64)


def pieces(texts: list[str], cut: Cut, chance: random.Random) -> Iterator[bytes]:
    """Give the writes by which messages are sent; each begins and ends between frames' bytes."""
    frames = [frame(TEXT, text.encode()) for text in texts]
    match cut:
        case Cut.WHOLE:
            yield from frames
        case Cut.MERGED:
            yield b"".join(frames)
        case Cut.BYTES:
            data = b"".join(frames)
            # A large one drips at its beginning only, or the schedule would be about nothing else.
            yield from (data[i : i + 1] for i in range(min(len(data), 300)))
            if data[300:]:
                yield data[300:]
        case Cut.SPLIT:
            data = b"".join(frames)
            places = sorted(chance.randrange(len(data) + 1) for _ in range(len(texts) + 2))
            yield from (data[i:j] for i, j in zip([0, *places], [*places, len(data)], strict=True))
        case Cut.FRAGMENTS:
            for text in texts:
                data = text.encode()
                middle = chance.randrange(len(data) + 1)
                yield frame(TEXT, data[:middle], fin=False)
                yield frame(PING, b"between")
                yield frame(0, data[middle:])


class Incoming:
    """The frames of a client, masked; (opcode, payload) each."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes; give the frames that are whole now."""
        self._buffer += data
        found = []
        while (one := self._take()) is not None:
            found.append(one)
        return found

    def _take(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 6:
            return None
        size = buffer[1] & 0x7F  # a client of ours sends control frames only
        if len(buffer) < 6 + size:
            return None
        mask = bytes(buffer[2:6])
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(buffer[6 : 6 + size]))
        opcode = buffer[0] & 0x0F
        del buffer[: 6 + size]
        return opcode, payload
