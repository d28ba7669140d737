"""What the server sends, made before it is asked: texts in frames, and the bytes around them."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import struct

SMALL, LARGE = 200, 1_000_000
"""Bytes of a message."""
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
CLOSE = b"\x88\x02\x03\xe8"
"""A close with 1000."""
CYCLE = {"small": 5_000, "large": 4}
"""How many different messages there are: they are sent again and again, numbered from 0."""


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


def text_frame(text: str) -> bytes:
    """A text message, as a server sends it."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes([0x81, size]) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def frames(kind: str) -> list[bytes]:
    """All different messages of a kind."""
    generator = random.Random(1)
    make = small_message if kind == "small" else large_message
    return [text_frame(make(number, generator)) for number in range(CYCLE[kind])]


def upgrade(key: bytes) -> bytes:
    """The answer to a websocket's handshake, and the acknowledgement, the first message."""
    accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + text_frame('{"type": "acknowledgement"}')
    )


def answer(body: object, status: str = "200 OK") -> bytes:
    """An answer of HTTP: a text as it is, anything else as JSON, nothing for None."""
    if body is None:
        return f"HTTP/1.1 {status}\r\n\r\n".encode()
    kind, text = ("text/plain", body) if isinstance(body, str) else ("application/json", None)
    data = (json.dumps(body) if text is None else text).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8"
    return f"{head}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
