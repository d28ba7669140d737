"""What goes wrong in the life of one job: plain values, which follow from a seed and a number.

Times are seconds since the job was submitted, on the clock of `faults_clock`. The service plays a
schedule, the client runs through it, the checks compare; none of them needs anything else.
"""

from __future__ import annotations

import random
from enum import Enum
from typing import TypeAlias

import attrs

from runtime_core.states import JobState
from runtime_core.traits import Resume

TOKEN = "s3cr3t-t0k3n"

EARLY = 3.0
"""An early 1000 comes so many seconds before the job's end at least. Closer to it nobody can tell
it from the close that follows the end."""


# ---- answers -----------------------------------------------------------------------------------


class Break(Enum):
    """A way in which a connection ends that is not in order."""

    RESET = "reset"
    """The peer is gone (RST)."""
    HALF_CLOSE = "half-close"
    """It writes no more, and reads on (FIN)."""
    STALL = "stall"
    """Nothing comes any more, not even an answer to a ping."""

    __hash__ = object.__hash__


@attrs.frozen
class Broken:
    """An answer, or a handshake's, that breaks off."""

    how: Break
    part: float
    """How much of it was sent before: 0 for nothing."""

    is_hard = False

    def __str__(self) -> str:
        return f"{self.how.value} after {self.part:.0%} of the answer"


@attrs.frozen
class Refused:
    """An answer with another status than was hoped for."""

    status: int
    retry_after: float | None = None
    html: bool = False

    @property
    def is_hard(self) -> bool:
        """Whether the answer means that there is no use in asking again."""
        return self.status not in (408, 425, 429, 500, 502, 503, 504)

    def __str__(self) -> str:
        after = "" if self.retry_after is None else f", Retry-After {self.retry_after:g}"
        return f"{self.status}{after}{' with a page' if self.html else ''}"


class Odd(Enum):
    """An answer with status 200 that is not as it should be."""

    PAGE = "an HTML page"
    BROKEN_JSON = "half of a JSON text"
    NO_OBJECT = "JSON that is no object"
    NO_STATUS = "no status"
    NUMBER = "a number as status"
    BAD_UTF8 = "bytes that are no UTF-8"
    UNKNOWN_WORD = "an unknown status word"
    MORE_FIELDS = "unknown fields"
    STALE = "the status of a while ago"
    DRIP = "a byte at a time"
    CLOSES = "an answer, and then the end of the connection"

    __hash__ = object.__hash__

    @property
    def is_hard(self) -> bool:
        """Whether who waits is told, since asking again would not help."""
        return self not in (Odd.MORE_FIELDS, Odd.STALE, Odd.DRIP, Odd.CLOSES)

    def __str__(self) -> str:
        return self.value


AnswerFault: TypeAlias = Broken | Refused | Odd


# ---- streams -----------------------------------------------------------------------------------


class Cut(Enum):
    """How the bytes of a stream are cut into writes."""

    WHOLE = "a frame at a time"
    MERGED = "all frames together"
    BYTES = "a byte at a time"
    SPLIT = "cut anywhere"
    FRAGMENTS = "in fragments, with pings between them"

    __hash__ = object.__hash__


@attrs.frozen
class Closes:
    """A close frame; None is one without a code, which is read as 1005."""

    code: int | None

    def __str__(self) -> str:
        return f"close {self.code}"


class Garbage(Enum):
    """Bytes that no websocket peer may send."""

    OPCODE = "an unknown opcode"
    RESERVED = "a reserved bit"
    MASKED = "a masked frame"
    UTF8 = "a text that is no UTF-8"
    HUGE = "a length of 2^62"
    BINARY = "a binary message"
    NOISE = "noise"

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value


Ending: TypeAlias = Break | Closes | Garbage


@attrs.frozen
class Connection:
    """What becomes of one attempt to stream."""

    refusal: Refused | Broken | None = None
    """How the handshake is answered; None for a 101."""
    cut: Cut = Cut.WHOLE
    messages: int = 0
    """How many messages go through before the ending, if there is one."""
    part: float = 0.0
    """How much of the next message's frame is sent before the ending."""
    ending: Ending | None = None
    """How it ends before its time; None if it goes on until the job has ended."""

    def __str__(self) -> str:
        if self.refusal is not None:
            return f"refused: {self.refusal}"
        how = "goes on to the end"
        if self.ending is not None:
            what = self.ending.value if isinstance(self.ending, Break) else str(self.ending)
            how = f"{what} after {self.messages} messages and {self.part:.0%} of the next"
        return f"{self.cut.value}; {how}"


HONEST = Connection()


# ---- the job -----------------------------------------------------------------------------------


class Flow(Enum):
    """What the client does."""

    CALLBACK = "stream_results, then result"
    CONSTRUCTOR = "user_callback, then result"
    ITERATOR = "interim_results, then result"
    RESULT = "result alone"
    FINAL_STATE = "wait_for_final_state, then result"
    RESTREAM = "stream_results, cancelled and begun again"
    LATE = "result in one thread, stream_results later in another"

    __hash__ = object.__hash__


class Kind(Enum):
    """Where client and service live."""

    PLAIN = "plain"
    HANGING = "hanging"
    """The service answers nothing until the client has seen its timeout pass."""
    NOWHERE = "nowhere"
    """Nobody listens where the streams should be."""
    KILLED = "killed"
    """The service is killed with SIGKILL and started again, several times."""
    INTERRUPTED = "interrupted"
    """Ctrl-C comes while the main thread waits."""
    FORKED = "forked"
    """The process forks while it streams; parent and child go on."""

    __hash__ = object.__hash__


@attrs.frozen
class Schedule:
    """The life of one job."""

    seed: int
    number: int
    kind: Kind
    flow: Flow
    resume: Resume
    streams_result: bool
    on_unknown: JobState | None
    statuses: tuple[tuple[float, str], ...]
    """(time, word) in the order of the times; the last one is final."""
    published: tuple[float, ...]
    """When each interim result is published; all before the end."""
    padding: tuple[int, ...]
    """How long each interim result is beside its number, in bytes."""
    lag: float
    """How much later than the status the streams are."""
    refuses_early: bool
    """Whether streams are refused with a 302 while the job is queued."""
    end_code: int | None
    """The code with which streams are closed after the end; None for no code."""
    result_is_last_message: bool
    """Whether the result's text equals that of the last interim result."""
    connections: tuple[Connection, ...]
    """What becomes of the first attempts to stream; all further ones are as they should be."""
    status_faults: tuple[AnswerFault | None, ...]
    result_faults: tuple[AnswerFault | None, ...]
    timeouts: tuple[float, ...]
    """The timeouts of the first calls that wait; all further ones wait without end."""
    moments: tuple[float, ...]
    """When Ctrl-C, the fork, the cancel of the stream comes."""

    @property
    def ends(self) -> float:
        """When the job ends."""
        return self.statuses[-1][0]

    @property
    def final(self) -> JobState:
        """The state in which it ends."""
        return {"COMPLETED": JobState.DONE, "CANCELLED": JobState.CANCELLED}.get(
            self.statuses[-1][1].upper(), JobState.ERROR
        )

    @property
    def result(self) -> str:
        """The text that the service holds as result, or as reason of the failure."""
        if self.result_is_last_message:
            return self.message(len(self.published) - 1)
        return f'{{"result of": "{self.seed}/{self.number}"}}'

    def message(self, index: int) -> str:
        """The text of an interim result."""
        return f'[{index}, "{"x" * self.padding[index]}"]'

    def is_hard(self, fault: AnswerFault) -> bool:
        """Whether who waits is told of it, since asking again would not help."""
        if fault is Odd.UNKNOWN_WORD:
            return self.on_unknown is None
        return fault.is_hard

    def status_at(self, time: float) -> str:
        """The word that the service says then."""
        return [word for at, word in self.statuses if at <= max(time, 0.0)][-1]

    def __str__(self) -> str:
        lines = [
            f"schedule {self.number} of seed {self.seed}: {self.kind.value}, {self.flow.value}",
            f"  streams: {self.resume.value}, result as last message: {self.streams_result}, "
            f"{self.lag:.2f} s late, closed with {self.end_code}"
            f"{', 302 while queued' if self.refuses_early else ''}",
            "  statuses: " + ", ".join(f"{at:.2f} {word}" for at, word in self.statuses),
            f"  unknown words are taken for: {self.on_unknown}",
            "  published: " + ", ".join(f"{at:.2f}" for at in self.published),
            f"  the result is {self.result[:60]!r}",
            f"  timeouts: {self.timeouts}, moments: {[round(at, 2) for at in self.moments]}",
        ]
        lines += [f"  connection {i}: {each}" for i, each in enumerate(self.connections)]
        lines += [f"  status {i}: {f}" for i, f in enumerate(self.status_faults) if f]
        lines += [f"  result {i}: {f}" for i, f in enumerate(self.result_faults) if f]
        return "\n".join(lines)


# ---- the generator -----------------------------------------------------------------------------

SOFT = (408, 429, 500, 502, 503, 504)
HARD = (302, 307, 400, 401, 403, 404, 410)
HANDSHAKE = (302, 302, 301, 400, 401, 403, 404, 426, 429, 429, 500, 502, 503, 503)
CODES = (
    1000,
    1000,
    1001,
    1001,
    1002,
    1003,
    None,
    1007,
    1008,
    1009,
    1011,
    1012,
    1013,
    3000,
    4000,
    4999,
)

_KINDS = {48: Kind.INTERRUPTED, 49: Kind.FORKED, 20: Kind.KILLED, 40: Kind.KILLED}


def kind_of(number: int) -> Kind:
    """Give the kind of a schedule, which only its number decides."""
    if number % 50 in _KINDS:
        return _KINDS[number % 50]
    return {10: Kind.HANGING, 11: Kind.NOWHERE}.get(number % 25, Kind.PLAIN)


def schedule(seed: int, number: int) -> Schedule:
    """Give the schedule that a seed and a number stand for."""
    chance = random.Random(f"{seed}/{number}")
    kind = kind_of(number)
    resume = chance.choice(list(Resume))
    begins = chance.choice((0.0, chance.uniform(0, 2)))
    ends = begins + chance.uniform(0.2, 12)
    last = chance.choice(
        ("Completed",) * 5 + ("COMPLETED", "Failed", "Cancelled", "Cancelled - Ran too long")
    )
    published = _published(chance, begins, ends)
    soft = kind in (Kind.KILLED, Kind.INTERRUPTED, Kind.FORKED)
    faults = chance.choice((0.0, 0.2, 0.5))
    return Schedule(
        seed=seed,
        number=number,
        kind=kind,
        flow=Flow.CALLBACK if kind is Kind.FORKED else chance.choice(list(Flow)),
        resume=resume,
        streams_result=chance.random() < 0.4,
        on_unknown=chance.choice((None, JobState.RUNNING, JobState.QUEUED)),
        statuses=(*_statuses(chance, begins, ends), (ends, last)),
        published=published,
        padding=tuple(chance.choice((0, 0, 1, 100, 130, 1000, 70_000)) for _ in published),
        lag=chance.choice((0.0, 0.0, 0.0, chance.uniform(0, 1))),
        refuses_early=chance.random() < 0.3,
        end_code=chance.choice((1000,) * 7 + (1001, None, 4000)),
        result_is_last_message=len(published) > 0 and chance.random() < 0.1,
        connections=tuple(_connection(chance) for _ in range(chance.choice((0, 0, 1, 1, 2, 3, 5)))),
        status_faults=tuple(_answer(chance, faults, soft, False) for _ in range(8)),
        result_faults=tuple(_answer(chance, faults, soft, True) for _ in range(3)),
        timeouts=tuple(chance.uniform(0, 3) for _ in range(chance.choice((0, 0, 1, 3)))),
        moments=tuple(sorted(chance.uniform(0.1, max(ends, 1.0)) for _ in range(3))),
    )


def _statuses(chance: random.Random, begins: float, ends: float) -> list[tuple[float, str]]:
    """QUEUED, RUNNING, and sometimes back again."""
    found = [(0.0, chance.choice(("Queued", "QUEUED")))]
    if begins < ends:
        found.append((begins, "Running"))
    if chance.random() < 0.2:
        back = chance.uniform(begins, ends)
        found += [(back, "Queued"), (chance.uniform(back, ends), "Running")]
    return found


def _published(chance: random.Random, begins: float, ends: float) -> tuple[float, ...]:
    times = [chance.uniform(begins, ends) for _ in range(chance.choice((0, 1, 3, 8, 20, 40)))]
    if times and chance.random() < 0.5:  # a burst
        times += [chance.choice(times)] * chance.randrange(10)
    return tuple(sorted(times))


def _connection(chance: random.Random) -> Connection:
    kind = chance.random()
    if kind < 0.35:
        refusal: Refused | Broken
        if chance.random() < 0.7:
            after = chance.choice((None, None, 0.0, chance.uniform(0, 3)))
            refusal = Refused(chance.choice(HANDSHAKE), after, chance.random() < 0.3)
        else:
            refusal = _broken(chance)
        return Connection(refusal=refusal)
    cut = chance.choice(list(Cut))
    if kind < 0.45:
        return Connection(cut=cut)
    endings: tuple[Ending, ...] = (
        *(Break.RESET, Break.RESET, Break.HALF_CLOSE, Break.HALF_CLOSE, Break.STALL),
        *(Closes(chance.choice(CODES)),) * 4,
        *(chance.choice(list(Garbage)),) * 2,
    )
    return Connection(
        cut=cut,
        messages=chance.choice((0, 0, 1, 2, 5, 15)),
        part=chance.choice((0.0, 0.0, chance.random())),
        ending=chance.choice(endings),
    )


def _broken(chance: random.Random) -> Broken:
    how = chance.choice((*(Break.RESET, Break.HALF_CLOSE) * 4, Break.STALL))
    return Broken(how, chance.choice((0.0, chance.random(), chance.random())))


def _answer(chance: random.Random, often: float, soft: bool, is_result: bool) -> AnswerFault | None:
    if chance.random() >= often:
        return None
    kind = chance.random()
    if kind < 0.3:
        return _broken(chance)
    if kind < 0.55:
        after = chance.choice((None, None, 0.0, chance.uniform(0, 3)))
        return Refused(chance.choice(SOFT), after, chance.random() < 0.3)
    if kind < 0.65 and not soft:
        return Refused(chance.choice(HARD), None, chance.random() < 0.3)
    if is_result:
        odd = chance.choice((Odd.PAGE, Odd.BAD_UTF8, Odd.DRIP, Odd.CLOSES))
    else:
        odd = chance.choice(list(Odd))
    return Odd.DRIP if soft and odd.is_hard else odd
