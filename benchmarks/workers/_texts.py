"""The texts that are decoded: the same in every environment, made without numpy.

interim          177 characters of plain JSON, as a program publishes them by the thousand
interim-tagged   247 characters, with a time and two complex numbers
numbers          100,000 floats in a list
tagged           so many complex numbers in a list, each a tagged value
array-noise      an array of so many floats that does not compress, as measured values do not
array-wave       one that compresses well
"""

from __future__ import annotations

import base64
import json
import math
import random
import zlib
from array import array
from collections.abc import Callable
from typing import Any

INTERIM = {
    "iteration": 1041,
    "energy": -1.1372838344885023,
    "parameters": [0.5403023058681398, -1.1283791670955126, 2.0943951023931953, 0.0072973525],
    "note": "gradient below tolerance",
}


def tagged(kind: str, value: object) -> dict[str, object]:
    """One value as tagged JSON writes it."""
    return {"__type__": kind, "__value__": value}


def interim(_: int) -> str:
    return json.dumps(INTERIM)


def interim_tagged(_: int) -> str:
    amplitudes = [tagged("complex", [0.7071067811865476, part]) for part in (-0.5, 0.5)]
    at = tagged("datetime", "2026-01-02T03:04:05.678900+00:00")
    return json.dumps({"iteration": 1041, "at": at, "amplitudes": amplitudes})


def numbers(_: int) -> str:
    numbers = random.Random(1)
    return json.dumps({"result": [numbers.gauss(0, 1) for _ in range(100_000)]})


def tagged_values(items: int) -> str:
    numbers = random.Random(1)
    values = [tagged("complex", [numbers.random(), numbers.random()]) for _ in range(items)]
    return json.dumps({"result": values})


def noise(items: int) -> bytes:
    """Floats from 1 up to 2, of which all 52 bits differ."""
    data = bytearray(random.Random(1).randbytes(8 * items))
    data[7::8] = b"\x3f" * items
    data[6::8] = bytes(byte | 0xF0 for byte in data[6::8])
    return bytes(data)


def wave(items: int) -> bytes:
    """A wave to four digits, over and over."""
    period = array("d", (round(math.sin(step / 1e4), 4) for step in range(62_832)))
    return (period.tobytes() * (items // len(period) + 1))[: 8 * items]


def array_text(data: bytes) -> str:
    """An array of floats as the `ndarray` tag has it: base64 of zlib of a `.npy` file."""
    said = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({len(data) // 8},), }}"
    header = said.ljust(117) + "\n"
    file = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + data
    packed = base64.b64encode(zlib.compress(file)).decode()
    return json.dumps({"result": tagged("ndarray", packed), "shots": 4000})


PLAIN: dict[str, Callable[[int], str]] = {
    "interim": interim,
    "interim-tagged": interim_tagged,
    "numbers": numbers,
    "tagged": tagged_values,
}
ARRAYS: dict[str, Callable[[int], bytes]] = {"array-noise": noise, "array-wave": wave}

NAMES = (*PLAIN, *ARRAYS)
"""All of them."""


def make_text(name: str, items: int) -> str:
    """The text of that name, of so many items where that is to be said."""
    return array_text(ARRAYS[name](items)) if name in ARRAYS else PLAIN[name](items)


def check(name: str, items: int, value: Any) -> None:
    """Refuse what was not decoded as it should be: nobody is measured at less than the work."""
    if name == "interim":
        right = value == INTERIM
    elif name == "interim-tagged":
        right = value["amplitudes"][1] == complex(0.7071067811865476, 0.5)
        right = right and value["at"].microsecond == 678_900
    elif name == "numbers":
        right = len(value["result"]) == 100_000 and value["result"][0] == random.Random(1).gauss(
            0, 1
        )
    elif name == "tagged":
        numbers = random.Random(1)
        right = value["result"][0] == complex(numbers.random(), numbers.random())
        right = (
            right
            and len(value["result"]) == items
            and all(type(item) is complex for item in value["result"])
        )
    else:
        right = value["result"].tobytes() == ARRAYS[name](items)
    if not right:
        raise ValueError(f"{name} was decoded to something else")
