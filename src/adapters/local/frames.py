"""Reads the frames that a program's process reports: the service's side of `host`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from adapters.local.host import FAILURE, HEADER, INTERIM, RESULT

MAX_FRAME_BYTES = 256 * 1024 * 1024
"""The longest interim result, and the longest result: each is held in memory once."""

MAX_REPORT_BYTES = 8 * 1024**3
"""How much one job may report altogether: a program gone wild must not fill the disk."""


class BrokenReportError(Exception):
    """What came over the report pipe is not a report, or too much of it."""


class FrameReader:
    """Cuts what is read from a pipe into frames, by default from a report pipe.

    Args:
        longest: how many bytes the text of a frame may have.
        limit: how many bytes may come altogether.
        kinds: the kinds of frames that there are.
    """

    def __init__(
        self,
        longest: int = MAX_FRAME_BYTES,
        limit: int = MAX_REPORT_BYTES,
        kinds: Collection[bytes] = (INTERIM, RESULT, FAILURE),
    ) -> None:
        self._longest = longest
        self._limit = limit
        self._kinds = kinds
        self._taken = 0
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        """Give the kind and the text of every frame that is complete now.

        Raises:
            BrokenReportError: if it is no frame, or a limit is passed; nothing more can be read.
        """
        self._taken += len(data)
        self._rest += data
        start = 0
        try:
            while len(self._rest) - start >= HEADER.size:
                kind, length = HEADER.unpack_from(self._rest, start)
                self._check(kind, length, self._taken - len(self._rest) + start + length)
                end = start + HEADER.size + length
                if end > len(self._rest):
                    break
                text = self._rest[start + HEADER.size : end].decode()
                start = end
                yield kind, text
        except UnicodeDecodeError as error:
            raise BrokenReportError(
                "The program's report pipe carried text that is no UTF-8."
            ) from error
        finally:
            del self._rest[:start]

    def _check(self, kind: bytes, length: int, position: int) -> None:
        if kind not in self._kinds:
            raise BrokenReportError(
                "The program's report pipe carried something that is no report: "
                "a file descriptor that is not the program's own was written to."
            )
        if length > self._longest:
            raise BrokenReportError(
                f"One interim result, or the result, is longer than {self._longest >> 20} MiB, "
                "which is the limit."
            )
        if position > self._limit:
            raise BrokenReportError(
                f"The program's interim results and its result are more than "
                f"{self._limit >> 20} MiB altogether, which is the limit of a job."
            )
