"""What a program printed, as far as it is kept."""

from __future__ import annotations

MAX_LOG_BYTES = 16 * 1024 * 1024
"""How much of a job's output is kept: the end of it."""


class LogBuffer:
    """The last bytes of an output of any length."""

    def __init__(self, limit: int = MAX_LOG_BYTES) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._dropped = 0

    def append(self, data: bytes) -> None:
        """Add output; what no longer fits is dropped at the beginning."""
        self._kept += data
        excess = len(self._kept) - self._limit
        if excess > 0:
            del self._kept[:excess]
            self._dropped += excess

    def text(self) -> str:
        """Give what is kept; its first line says how much is missing, if something is."""
        kept = self._kept.decode(errors="replace")
        if not self._dropped:
            return kept
        return (
            f"[The first {self._dropped} bytes of the output were dropped: "
            f"the last {self._limit} bytes are kept.]\n{kept}"
        )
