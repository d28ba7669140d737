"""Writes the log of a job on a Ray cluster: what is reported, as frames, and what is printed. Pure.

A Ray job has no return value, only a log, in which its prints stand as well. So what the program
reports goes there as frames: a line break (a print may have left a line open), a record separator,
the job's nonce, an object of ASCII JSON, a line break. With all of that taken out, the line breaks
too, what was printed is again what it was:

    {"q": index, "k": kind, "p": part, "n": parts, "d": text}   a part of something reported
    {"k": "join", "d": text}                                    stands for `text` in what is printed

`index` counts the interim results before it. `log_frames` reads it all. This file runs where this
project is not installed: it imports the standard library only, and Python 3.8 can read it.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

SEPARATOR = b"\n\x1e"
"""What stands before the nonce of a frame."""

STARTED = "started"
"""The kind of the frame before anything of the program's."""

INTERIM = "interim"
"""The kind of the frames with an interim result."""

RESULT = "result"
"""The kind of the frames with what main() returned."""

ERROR = "error"
"""The kind of the frames that say why there is no result."""

GONE = "gone"
"""The kind of the frames after the process that wrote the others is gone, however it ended."""

MAX_CHUNK_BYTES = 48 * 1024
"""The longest encoded text of one frame. Ray's own log tail says nothing of a line of megabytes."""

MAX_LINE = 16 * 1024
"""The longest line that is printed, in characters; a longer one is broken by frames."""


def frames(nonce: str, index: int, kind: str, text: str = "") -> Iterator[bytes]:
    """Give the frames of one thing that was reported, each to be written at once."""
    # What is printable ASCII takes two bytes of JSON at most, any other character twelve.
    most = 2 if text.isascii() and text.isprintable() else 12
    step = MAX_CHUNK_BYTES // most - 1
    parts = max(1, -(-len(text) // step))
    for part in range(parts):
        chunk = json.dumps(text[part * step : (part + 1) * step])
        yield _frame(nonce, f'{{"q":{index},"k":"{kind}","p":{part},"n":{parts},"d":{chunk}}}')


class PrintedText:
    r"""Makes of what a program prints what every reader of a log can take: lines of UTF-8.

    What is no UTF-8 becomes escapes, as in ``\xff``. A line that is too long is broken, and a
    carriage return replaced, which Ray would read as a line break, by frames that undo it.
    """

    def __init__(self, nonce: str) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._break = _frame(nonce, '{"k":"join","d":""}').decode()
        self._return = _frame(nonce, '{"k":"join","d":"\\r"}').decode()
        self._column = 0

    def encode(self, data: bytes, final: bool = False) -> bytes:
        """Give what goes into the log; half a character waits for its rest, unless it is final."""
        lines = self._decoder.decode(data, final).split("\n")
        for index, line in enumerate(lines):
            if index > 0:
                self._column = 0
            self._column += len(line)
            if self._column > MAX_LINE:
                lines[index] = self._broken(line)
        return "\n".join(lines).replace("\r", self._return).encode()

    def _broken(self, line: str) -> str:
        first = len(line) - (self._column - MAX_LINE)
        pieces = [line[:first]]
        pieces += [line[start : start + MAX_LINE] for start in range(first, len(line), MAX_LINE)]
        self._column = len(pieces[-1])
        return self._break.join(pieces)


def _frame(nonce: str, json_text: str) -> bytes:
    return SEPARATOR + f"{nonce}{json_text}\n".encode("ascii")
