"""Reads the log of a job on a Ray cluster: what `frame_writer` wrote there. Pure."""

from __future__ import annotations

import json
import re
from typing import AnyStr

from adapters.ray.frame_writer import ERROR, GONE, INTERIM, RESULT, SEPARATOR, STARTED
from adapters.ray.log_events import LogEvent, Outcome, Published, Raised, Returned
from runtime_core.errors import TransportError

MAX_TEXT = 256 * 1024 * 1024
"""The longest interim result, and the longest result, in characters, as on the other side."""

MAX_FRAME_BYTES = 64 * 1024
"""The longest frame, which is longer than any that is written."""

_HEAD = re.compile(
    rb'\{"q":(\d{1,15}),"k":"([a-z]{1,20})","p":(\d{1,9}),"n":(\d{1,9}),"d":(?=".*"\}\Z)', re.DOTALL
)
_JOIN = b'{"k":"join","d":'


class BrokenLogError(TransportError):
    """The log of a job is not what the job wrote: something in it is missing or has changed."""

    before: tuple[LogEvent, ...] = ()
    """What was complete before that, in what was read last."""


class FrameReader:
    """Finds in a log what the program reported. Everything else in it is passed over.

    Args:
        nonce: what the frames of this job begin with.
        after: how many interim results are known already; they are not given again.
        max_text: the longest interim result, and the longest result, in characters; no more than
            what the other side writes.
    """

    def __init__(self, nonce: str, after: int = 0, max_text: int = MAX_TEXT) -> None:
        self._mark = SEPARATOR + nonce.encode()
        self._max_text = min(max_text, MAX_TEXT)
        self._next = after
        self._rest = b""
        self._searched = 0
        self._kind = b""
        self._parts: list[str] = []
        self._size = 0
        self.outcome: Outcome | None = None
        """How the program ended; None as long as the log does not say it."""
        self.is_over = False
        """Whether what writes the log is gone without having said how the program ended."""

    def feed(self, data: bytes) -> list[LogEvent]:
        """Read the next piece of the log, cut anywhere; give what is complete now.

        With the outcome it ends: what the threads that a program forgot publish is passed over.

        Raises:
            BrokenLogError: if an interim result or a part of something is missing, something is
                longer than is allowed, or a frame is none. Nothing more can be read then.
        """
        events: list[LogEvent] = []
        try:
            self._read(data, events)
        except BrokenLogError as error:
            error.before = tuple(events)
            raise
        return events

    def _read(self, data: bytes, events: list[LogEvent]) -> None:
        rest = self._rest + data if self._rest else data
        mark = self._mark
        start = 0
        searched = self._searched
        while (begin := rest.find(mark, start)) >= 0:
            begin += len(mark)
            end = rest.find(b"\n", max(begin, searched))
            if end < 0:
                if len(rest) - begin > MAX_FRAME_BYTES:
                    raise BrokenLogError(
                        f"The job's log has a frame that is longer than {MAX_FRAME_BYTES:,} bytes."
                    )
                self._rest = rest[begin - len(mark) :]
                self._searched = len(self._rest)
                return
            self._take(rest[begin:end], events)
            start = end + 1
        # The beginning of a mark may be the last that came.
        self._rest = rest[max(start, len(rest) - len(mark) + 1) :]
        self._searched = 0

    def _take(self, frame: bytes, events: list[LogEvent]) -> None:
        if self.outcome is not None:
            return  # where a stream ends; whoever gets more at once is told no more
        head = _HEAD.match(frame)
        if head is None:
            if not frame.startswith(_JOIN):
                raise BrokenLogError("The job's log has a frame that cannot be read.")
            return
        index, kind, part, parts = int(head[1]), head[2], int(head[3]), int(head[4])
        if kind == _INTERIM:
            if index < self._next:
                return
        elif kind not in (_RESULT, _ERROR):
            self.is_over = self.is_over or kind == _GONE
            return
        if index > self._next:
            raise BrokenLogError(
                f"The job's log is not whole: after {self._next} interim results comes what the "
                f"program reported after {index}."
            )
        if part != len(self._parts) or (part > 0 and kind != self._kind):
            raise BrokenLogError(
                "The job's log is not whole: a part of something that the program reported is "
                "missing."
            )
        text = self._chunk(frame, head.end())
        if part + 1 < parts:
            self._keep(kind, text)
            return
        if part > 0:
            self._keep(kind, text)
            text = "".join(self._parts)
            self._parts.clear()
            self._size = 0
        events.append(self._event(kind, text))

    @staticmethod
    def _chunk(frame: bytes, start: int) -> str:
        try:
            text = json.loads(frame[start:-1].decode("ascii"))
        except ValueError as error:
            raise BrokenLogError("The job's log has a frame that cannot be read.") from error
        assert isinstance(text, str)  # it begins and ends with a quotation mark
        return text

    def _keep(self, kind: bytes, text: str) -> None:
        self._kind = kind
        self._parts.append(text)
        self._size += len(text)
        if self._size > self._max_text:
            raise BrokenLogError(
                f"The job's log has an interim result, or a result, that is longer than "
                f"{self._max_text:,} characters, which is the limit."
            )

    def _event(self, kind: bytes, text: str) -> LogEvent:
        if kind == _INTERIM:
            self._next += 1
            return Published(self._next - 1, text)
        self.outcome = Returned(text) if kind == _RESULT else Raised(text)
        return self.outcome


_INTERIM, _RESULT, _ERROR = INTERIM.encode(), RESULT.encode(), ERROR.encode()
_GONE = GONE.encode()


def printed(log: AnyStr, nonce: str) -> AnyStr:
    """Give what the program printed: the log without frames, and without what Ray wrote before it.

    A log that the program never came to is given as it is: it may say why.
    """
    if isinstance(log, str):
        return printed(log.encode(errors="surrogatepass"), nonce).decode(errors="surrogatepass")
    mark = SEPARATOR + nonce.encode()
    if (started := log.find(b'%b{"q":0,"k":"%b"' % (mark, STARTED.encode()))) >= 0:
        log = log[started:]
    return re.sub(re.escape(mark) + rb"([^\n]*)(?:\n|\Z)", _stands_for, log)


def _stands_for(frame: re.Match[bytes]) -> bytes:
    if frame[1].startswith(_JOIN):
        try:
            text = json.loads(frame[1])["d"]
        except ValueError:
            return b""  # the log ends within it
        return str(text).encode()
    return b""
