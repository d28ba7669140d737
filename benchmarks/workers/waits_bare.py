"""Waits by the standard library alone: what any timeout rests on."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from _protocol import serve, value

SECONDS = 0.01
WAYS: dict[str, Callable[[float], object]] = {
    "event": threading.Event().wait,
    "sleep": time.sleep,
}


def noise(waits: int) -> dict[str, Any]:
    late = []
    for _ in range(waits):
        begin = time.perf_counter()
        WAYS[sys.argv[1]](SECONDS)
        late.append((time.perf_counter() - begin - SECONDS) * 1000)
    return value(statistics.median(late), "ms too late", worst=max(late))


if __name__ == "__main__":
    serve(sys.argv[1], {"noise": noise})
