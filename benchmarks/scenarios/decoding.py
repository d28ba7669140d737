"""Decoding of tagged JSON: interim results, and results of much data."""

from __future__ import annotations

from typing import Any

import attrs
from _runner import Contender, Role, Scenario, Target

from scenarios.people import IBM_RUNTIME, IBMQ, ORIGINAL

_BENCH = ".venv-bench-decoders"

OURS = Contender("ours", "decoders", Role.OURS, _BENCH, "ours")
FAST = Contender("ours, with the extra fast", "decoders", Role.OURS, _BENCH, "ours-fast")
ORIGINALS = (
    Contender(ORIGINAL, "decoders", Role.PEER, IBMQ, "ibmq"),
    Contender("qiskit-ibm-runtime", "decoders", Role.PEER, IBM_RUNTIME, "ibm-runtime"),
)
# They take seconds to start.
ORIGINALS_AT_LENGTH = tuple(attrs.evolve(each, quick=False) for each in ORIGINALS)
PARSERS = (
    Contender("json and a hook", "decoders", Role.PEER, _BENCH, "json"),
    Contender("orjson and a walk", "decoders", Role.LIMIT, _BENCH, "orjson"),
    Contender("msgspec and a walk", "decoders", Role.LIMIT, _BENCH, "msgspec"),
)


def near(what: str, bound: float = 1.5) -> tuple[Target, ...]:
    """The target of a scenario: to be near to what the quickest parsers take."""
    return (Target(f"{what} in at most {bound:g} times the limit's time", bound, "limit"),)


TIMED: dict[str, Any] = {
    "unit": "us",
    "args": {"seconds": 0.3},
    "quick_args": {"seconds": 0.03},
    "details": {"MB_per_second": "MB/s"},
}

INTERIM = Scenario(
    name="decode-interim",
    title="Decoding: an interim result",
    contenders=(OURS, FAST, *ORIGINALS_AT_LENGTH, *PARSERS),
    about=(
        "CPU time of 177 characters of plain JSON. The two packages decode with `json` and a hook "
        "of their own. orjson and msgspec take no hook: what they made is walked over to undo the "
        "same tags, if there is one in the text. Only ours bounds the size, the depth and the "
        "memory of what it decodes; the others trust the service. With the extra `fast` it parses "
        "with msgspec what has no tags; without it with `json`, whose scanner alone takes three "
        "times as long as theirs: `python benchmarks/profiling.py decoding interim`."
    ),
    targets=near("an interim result"),
    **TIMED,
)
INTERIM_TAGGED = Scenario(
    name="decode-interim-tagged",
    title="Decoding: an interim result with tags",
    contenders=(OURS, *ORIGINALS, *PARSERS),
    about="247 characters, with a time and two complex numbers as tagged values.",
    targets=near("an interim result with tags"),
    **TIMED,
)
TAGGED = Scenario(
    name="decode-tagged",
    title="Decoding: complex numbers",
    contenders=(OURS, *ORIGINALS_AT_LENGTH, *PARSERS),
    about="A list of so many, each a tagged value of 80 characters.",
    targets=near("complex numbers"),
    sizes=(10, 100, 1_000, 10_000),
    quick_sizes=(10_000,),
    size_name="numbers",
    **TIMED,
)
NUMBERS = Scenario(
    name="decode-numbers",
    title="Decoding: 100,000 floats in a list",
    contenders=(OURS, FAST, *PARSERS),
    about="2 MB of plain JSON. The originals do here what json does.",
    targets=near("100,000 floats"),
    **TIMED,
)
NOISE = Scenario(
    name="decode-array-noise",
    title="Decoding: an array that does not compress",
    contenders=(OURS, *ORIGINALS_AT_LENGTH, *PARSERS),
    about=(
        "An array of so many floats, as base64 of zlib of a `.npy` file. All but ours undo each "
        "step as a whole."
    ),
    targets=near("an array that does not compress", 1.2),
    sizes=(10, 1_000, 100_000, 2_000_000),
    quick_sizes=(100_000,),
    size_name="floats",
    **TIMED,
)
WAVE = Scenario(
    name="decode-array-wave",
    title="Decoding: an array that compresses well",
    contenders=(OURS, *PARSERS),
    about="A wave to four digits.",
    targets=near("an array that compresses well", 1.2),
    sizes=(10, 1_000, 100_000, 2_000_000),
    quick_sizes=(100_000,),
    size_name="floats",
    **TIMED,
)
MEMORY = Scenario(
    name="memory-array-noise",
    title="Decoding: memory for an array that does not compress",
    unit="arrays",
    contenders=(OURS, *PARSERS),
    about=(
        "The most that Python and numpy allocate at once while they decode an array, in times of "
        "its size, the text itself not counted. The figure is the same each time, so it is taken "
        "but twice."
    ),
    targets=(Target("an array in at most 3.2 times its own memory", 3.2),),
    sizes=(100_000, 2_000_000),
    quick_sizes=(100_000,),
    size_name="floats",
    details={"MB": "MB"},
    rounds=2,
    quick_rounds=1,
)

SCENARIOS = (INTERIM, INTERIM_TAGGED, TAGGED, NUMBERS, NOISE, WAVE, MEMORY)
