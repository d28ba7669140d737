"""The program whose jobs run while the service is killed, and what is expected of it.

Everything that a job says follows from its number, so every reader can check what it gets.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any


def message(number: int, index: int) -> dict[str, Any]:
    """Give an interim result; every fifth is larger than what is kept in the database itself."""
    size = 35_000 if index % 5 == 4 else 8
    return {"job": number, "index": index, "pad": _chance(f"{number}/{index}", size)}


def result(number: int, size: int) -> str:
    """Give the result: that many letters."""
    return _chance(f"{number}", size // 2)


def main(
    backend: object,
    user_messenger: Any,
    number: int,
    traces: str,
    messages: int = 0,
    size: int = 0,
    seconds: float = 0.0,
    children: int = 0,
) -> str:
    """Leave a trace, start processes, publish for some seconds, return."""
    # Who runs this job a second time finds the file there, and fails.
    with open(os.path.join(traces, str(number)), "x"):
        pass
    for _ in range(children):
        _start_child()
    for index in range(messages):
        user_messenger.publish(message(number, index))
        time.sleep(seconds / messages)
    if not messages:
        time.sleep(seconds)
    return result(number, size)


def _chance(seed: str, size: int) -> str:
    return random.Random(seed).randbytes(size).hex()


def _start_child() -> None:
    """Start a process that starts one of its own; neither would end by itself for long."""
    if os.fork() == 0:
        os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
        time.sleep(600)
        os._exit(0)
