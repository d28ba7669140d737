"""A program whose inputs say what it does: ends well, fails, publishes, hangs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any


def main(
    backend: Any,
    user_messenger: Any,
    publish: Sequence[object] = (),
    result: object = None,
    reason: str | None = None,
    seconds: float = 0.0,
    size: int = 0,
) -> object:
    for text in publish:
        user_messenger.publish(text)
    time.sleep(seconds)
    if reason is not None:
        raise RuntimeError(reason)
    return "x" * size or result
