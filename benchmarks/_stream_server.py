"""A service that streams as fast as it can: what a client does with it is measured elsewhere.

The frames are made beforehand and written about a megabyte at a time, so that the server costs
little beside any client. The job's id says what its stream is: ``small-1000`` is 1,000 messages of
200 bytes, ``large-10`` ten of a megabyte.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import random
import re
import socket
import struct

SMALL, LARGE = 200, 1_000_000
_REQUEST = re.compile(rb"GET \S*/(small|large)-(\d+)[ ?]")
_KEY = re.compile(rb"Sec-WebSocket-Key: *(\S+)", re.IGNORECASE)
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_BLOCK = 1 << 20


def small_message(number: int, generator: random.Random) -> str:
    """One step of an optimizer, padded to its size."""
    values = [round(generator.uniform(-3.2, 3.2), 6) for _ in range(8)]
    step = {"iteration": number, "energy": generator.gauss(-1, 0.2), "parameters": values}
    text = json.dumps(step | {"state": ""})
    return json.dumps(step | {"state": "x" * (SMALL - len(text))})


def large_message(number: int, generator: random.Random) -> str:
    """Measured bits, as base64: numbers in a list would measure the JSON parser only."""
    text = json.dumps({"iteration": number, "samples": ""})
    size = LARGE - len(text)
    samples = base64.b64encode(generator.randbytes(size)).decode()[:size]
    return json.dumps({"iteration": number, "samples": samples})


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([0x80 | opcode, size]) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def make_frames(kind: str) -> list[bytes]:
    """Frames that are sent again and again."""
    generator = random.Random(1)
    make, count = (small_message, 5000) if kind == "small" else (large_message, 4)
    return [frame(1, make(number, generator).encode()) for number in range(count)]


def serve(connection: socket.socket, frames: dict[str, list[bytes]]) -> None:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        data = connection.recv(65536)
        if not data:
            return
        request += data
    wanted, key = _REQUEST.match(request), _KEY.search(request)
    if wanted is None or key is None:
        return
    accept = base64.b64encode(hashlib.sha1(key[1] + _MAGIC).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + frame(1, b"ACK")
    )
    pieces = itertools.islice(itertools.cycle(frames[wanted[1].decode()]), int(wanted[2]))
    block: list[bytes] = []
    size = 0
    for piece in pieces:
        block.append(piece)
        size += len(piece)
        if size >= _BLOCK:
            connection.sendall(b"".join(block))
            block, size = [], 0
    connection.sendall(b"".join(block) + frame(8, struct.pack("!H", 1000)))
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass


def main() -> None:
    frames = {kind: make_frames(kind) for kind in ("small", "large")}
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        # One at a time: streams are measured by themselves. It ends when its parent does.
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                serve(connection, frames)


if __name__ == "__main__":
    main()
