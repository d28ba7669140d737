"""What `ray.py` measures: it publishes the time now and then, and ends with the time.

Ours runs its `main`; for the clients of Ray it is a script, which prints. All processes share the
clock.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


class Printer:
    """Publishes as a plain Ray job does."""

    def publish(self, message: float) -> None:
        """Print it."""
        print(f"PUBLISHED {message}", flush=True)


def main(backend: object, user_messenger: Any, gaps: list[float]) -> float:  # noqa: ARG001
    """Sleep, publish; and so on; the last one is before the end."""
    *before, last = gaps
    for gap in before:
        time.sleep(gap)
        user_messenger.publish(time.monotonic())
    time.sleep(last)
    return time.monotonic()


if __name__ == "__main__":
    print(f"RETURNED {main(None, Printer(), json.loads(sys.argv[1]))}", flush=True)
