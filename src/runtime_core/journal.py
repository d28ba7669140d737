"""The record of what machines received and ordered, from which it can be done again.

    with open("job.journal", "w") as file:
        journal = Journal(file.write)

is an `Observer` for any number of jobs. `replay` reads what it has written. A line is a JSON
object: first what wrote it, then for each machine its job and its service's traits, and a line for
each step: what came in (``in``), what was ordered (``out``), and the state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from runtime_core.journal_lines import SCHEMA, VERSION, Json, Writing
from runtime_core.observer import Step

MAX_BYTES: Final = 10_000_000
"""How long a journal may become, if nobody says otherwise: some fifty thousand steps."""
LEAST_BYTES: Final = 1_000
"""What nothing fits in is refused."""
_NOTHING: Final[Mapping[str, str]] = {}
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """Writes the steps of jobs as lines of text; what it needs of memory is bounded.

    It holds nothing back: each step is one call of `write`. Used by one thread at a time.

    What jobs publish and give as their results, and why they failed, is not written, but its length
    and a digest by which equal texts are seen to be equal. Access tokens are no part of events;
    what looks like one in the words of an error is taken out, see `runtime_core.scrub`.

    Args:
        write: takes a text of whole lines, in ASCII.
        payloads: whether results, interim results and reasons are written as they are, if they are
            not longer than 64 KiB.
        max_bytes: how much is written at most, the last line included, which says that this was
            reached.
        salt: the key of the digests; without a secret one, who has the journal finds short texts
            by trying.
        secrets: what must not be written, wherever it stands.
        about: what the first line says besides: the version of the library, for instance.

    Raises:
        ValueError: if `max_bytes` is less than 1,000.
        TypeError: if `secrets` is one text: it would be taken for its letters.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        payloads: bool = False,
        max_bytes: int = MAX_BYTES,
        salt: bytes = b"",
        secrets: Collection[str] = (),
        about: Mapping[str, str] = _NOTHING,
    ) -> None:
        if max_bytes < LEAST_BYTES:
            raise ValueError(f"max_bytes is {LEAST_BYTES} or more, not {max_bytes!r}")
        if isinstance(secrets, str):
            raise TypeError("secrets are several texts: secrets=[token], not a str")
        self._write = write
        self._writing = Writing(payloads, hashlib.blake2b(salt).digest(), tuple(secrets))
        self._about = dict(about)
        self._end = _line({"end": "max_bytes", "max_bytes": max_bytes})
        self._left = max_bytes - len(self._end)
        self._is_over = False
        self._origin: float | None = None
        self._machines = 0
        self._numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._nameless: dict[str, int] = {}

    @property
    def is_over(self) -> bool:
        """Whether nothing more is written: it is full, or a step could not be written."""
        return self._is_over

    def __call__(self, step: Step) -> None:
        """Write a step; see `Observer`. Raises what `write` does; nothing is written after that."""
        if self._is_over:
            return
        # If a step cannot be written, what followed would have a hole before it.
        self._is_over = True
        lines = []
        if self._origin is None:
            self._origin = step.at
            lines.append(_line(self._header()))
        number = self._number(step)
        if number is None:
            number = self._count(step)
            lines.append(_line(self._job(step, number)))
        lines.append(_line(self._step(step, number, step.at - self._origin)))
        self._put("".join(lines))

    def _put(self, text: str) -> None:
        self._left -= len(text)
        if self._left < 0:
            self._numbers.clear()
            self._nameless.clear()
            self._write(self._end)
            return
        self._write(text)
        self._is_over = False

    # ---- which machine -------------------------------------------------------------------------

    def _number(self, step: Step) -> int | None:
        if step.source is None:
            return self._nameless.get(step.job_id)
        return self._numbers.get(step.source)

    def _count(self, step: Step) -> int:
        self._machines += 1
        if step.source is None:
            self._nameless[step.job_id] = self._machines
        else:
            self._numbers[step.source] = self._machines
        return self._machines

    # ---- the lines -----------------------------------------------------------------------------

    def _header(self) -> dict[str, Json]:
        how = "whole" if self._writing.payloads else "digests"
        return {"schema": SCHEMA, "version": VERSION, "texts": how, "about": self._about}

    def _job(self, step: Step, number: int) -> dict[str, Json]:
        writing = self._writing
        traits = writing.traits(step.traits)
        return {"job": number, "id": writing.name(step.job_id), "traits": traits}

    def _step(self, step: Step, number: int, at: float) -> dict[str, Json]:
        writing = self._writing
        line: dict[str, Json] = {
            "job": number,
            "at": round(at, 6),
            "in": writing.event(step.event),
            "out": [writing.command(command) for command in step.commands],
            "state": step.state.value,
        }
        if not step.confirmed:
            line["confirmed"] = False
        if step.refusal is not None:
            line["refused"] = step.refusal.why
        return line


def _line(value: dict[str, Json]) -> str:
    return f"{_encode(value)}\n"
