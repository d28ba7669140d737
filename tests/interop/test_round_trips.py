"""Our tagged JSON and the original's, both ways, for every tag: what one writes the other reads.

Its encoder and decoder run in an environment of their own, with the Python that the environment
variable INTEROP_PYTHON_IBMQ names. Circuits need Qiskit on our side too; to be read there, they are
written in the version of QPY that both know.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import described
import numpy as np
import pytest
from described import build, describe
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime_core import Settings, SettingsTag, decode_tagged, encode_tagged
from runtime_core.tags import AnyTag

EXAMPLES = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CLIENT = Path(__file__).parent / "clients" / "ibmq_codec.py"


class Theirs:
    """Their encoder and decoder."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def encode(self, words: Any) -> str:
        answer = self._ask({"encode": words})
        assert "error" not in answer, answer["error"]
        text: str = answer["text"]
        return text

    def decode(self, text: str) -> Any:
        answer = self._ask({"decode": text})
        assert "error" not in answer, answer["error"]
        return answer["words"]

    def refuses(self, question: dict[str, Any]) -> str:
        error: str = self._ask(question).get("error", "")
        return error


@pytest.fixture(scope="module")
def theirs() -> Iterator[Theirs]:
    python = os.environ.get("INTEROP_PYTHON_IBMQ")
    if not python:
        pytest.skip("INTEROP_PYTHON_IBMQ does not name the Python of the original")
    process = subprocess.Popen(
        [python, str(CLIENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield Theirs(process)
        assert process.stdin is not None
        process.stdin.close()


# ---- values, in words --------------------------------------------------------------------------

TEXT = st.text(max_size=8) | st.characters(categories=["Cs"])
KEYS = TEXT.filter(lambda key: not key.startswith("__"))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | TEXT
# Whole minutes: theirs reads no other offset. Years of four digits, which no parser guesses at.
ZONES = st.none() | st.integers(-14 * 60, 14 * 60).map(lambda minutes: minutes * 60)
SCALARS = (
    PLAIN.map(describe)
    | st.complex_numbers(allow_nan=False, allow_infinity=False).map(describe)
    | st.tuples(st.datetimes().filter(lambda when: when.year >= 1000), ZONES).map(
        lambda both: ["datetime", both[0].isoformat(), both[1]]
    )
)
# Theirs makes no tuples of the lists in a set, so it can have none.
SETS = st.sets(st.integers() | TEXT | FINITE, max_size=4).map(describe)

DTYPES: st.SearchStrategy[Any] = (
    hnp.scalar_dtypes()
    | hnp.array_dtypes(st.deferred(lambda: DTYPES) | hnp.scalar_dtypes(), max_size=3)
    | st.sampled_from(["<f16", "<c32", "|V5", "|V0", "<M8[25s]", ">U3", "|S2", "<m8"]).map(np.dtype)
    | st.just(np.dtype([("a", "i1"), ("b", ">f8")], align=True))
    | st.just(np.dtype([("\u0429", "<i4"), ("b", "<f8", (2, 3))]))
)


@st.composite
def arrays(draw: st.DrawFn, dtype: Any = None, shape: tuple[int, ...] | None = None) -> Any:
    dtype = draw(DTYPES) if dtype is None else dtype
    if shape is None:
        shape = draw(hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
    if "U" in dtype.str or dtype.names:
        array = np.zeros(shape, dtype)  # not all bytes are characters
        for name in dtype.names or ():
            array[name] = build(draw(arrays(dtype[name].base, array[name].shape)))
        if not dtype.names and array.size:
            array[...] = draw(st.text(max_size=3))
        return describe(array)
    size = int(np.prod(shape)) * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if dtype.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return ["array", repr(np.lib.format.dtype_to_descr(dtype)), list(shape), to_base64(data)]


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4).map(lambda items: ["list", items]) | st.dictionaries(
        KEYS, inner, max_size=4
    ).map(lambda d: ["dict", sorted(([describe(k), v] for k, v in d.items()), key=str)])


VALUES = st.recursive(SCALARS | SETS | arrays(), containers, max_leaves=12)

INT_KEYS = st.dictionaries(st.integers(-5, 10**20), SCALARS, max_size=3)
STR_KEYS = st.dictionaries(
    KEYS.filter(lambda k: not k.strip(" -").isdecimal()), SCALARS, max_size=3
)
NESTED = (INT_KEYS | STR_KEYS).map(
    lambda d: ["dict", sorted(([describe(k), v] for k, v in d.items()), key=str)]
)
SETTINGS = st.dictionaries(st.sampled_from(["maxiter", "by", "deep"]), SCALARS | NESTED).map(
    lambda d: ["settings", sorted(([describe(k), v] for k, v in d.items()), key=str)]
)


# ---- both ways ---------------------------------------------------------------------------------


@EXAMPLES
@given(VALUES)
def test_what_they_write_we_read(theirs: Theirs, words: Any) -> None:
    assert describe(decode_tagged(theirs.encode(words))) == words


@EXAMPLES
@given(VALUES)
def test_what_we_write_they_read(theirs: Theirs, words: Any) -> None:
    assert theirs.decode(encode_tagged(build(words))) == words


@EXAMPLES
@given(arrays())
@example(["array", "'|V0'", [3], ""])
def test_arrays_of_every_dtype(theirs: Theirs, words: Any) -> None:
    assert describe(decode_tagged(theirs.encode(words))) == words
    assert theirs.decode(encode_tagged(build(words))) == words


@EXAMPLES
@given(st.lists(PLAIN.map(describe) | NESTED, min_size=1, max_size=6))
def test_arrays_of_objects(theirs: Theirs, items: list[Any]) -> None:
    items = [item for item in items if not is_nested_int(item)]
    for shape in ([len(items)], [1, len(items)]) if items else ():
        words = ["objects", shape, items]
        assert describe(decode_tagged(theirs.encode(words))) == words


def is_nested_int(item: Any) -> bool:
    return item[0] == "dict" and any(key[0] == "int" for key, _ in item[1])


def test_they_read_our_arrays_of_objects_as_numpy_guesses(theirs: Theirs) -> None:
    array = np.array([[1, None], ["a", 2.5]], dtype=object)
    assert theirs.decode(encode_tagged(array)) == describe(array)
    # A list of numbers alone is an array of numbers to them: the tag does not tell.
    assert theirs.decode(encode_tagged(np.array([1, 2], dtype=object)))[0] == "array"


@EXAMPLES
@given(st.dates().filter(lambda day: day.year >= 1000))
def test_dates(theirs: Theirs, day: Any) -> None:
    midnight = ["datetime", f"{day.isoformat()}T00:00:00", None]
    assert describe(decode_tagged(theirs.encode(["date", day.isoformat()]))) == midnight
    assert theirs.decode(encode_tagged(day)) == midnight


@EXAMPLES
@given(VALUES)
def test_to_json(theirs: Theirs, words: Any) -> None:
    assert describe(decode_tagged(theirs.encode(["to_json", words]))) == words
    assert theirs.decode(encode_tagged(build(["to_json", words]))) == words


@EXAMPLES
@given(SETTINGS)
def test_settings(theirs: Theirs, words: Any) -> None:
    text = theirs.encode(words)
    inert = decode_tagged(text)
    assert isinstance(inert, Settings)
    assert (inert.module, inert.class_name) == ("described", "Tuned")
    assert describe(inert) == words
    made = decode_tagged(text, tags=[SettingsTag(described.Tuned)])
    assert type(made) is described.Tuned
    assert describe(made) == words
    for value in (inert, made):
        assert theirs.decode(encode_tagged(value)) == words


@EXAMPLES
@given(
    st.sampled_from(["csr", "csc", "bsr", "dia", "coo"]),
    hnp.arrays(
        st.sampled_from(["<i4", "<i8", "<f8", "<c16", "|b1", "<f4"]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=4),
        elements={"min_value": 0, "max_value": 2},
    ),
)
def test_sparse_matrices(theirs: Theirs, form: str, array: Any) -> None:
    pytest.importorskip("scipy")
    # No negative zero, nor a part of a number that is one: scipy adds what it stores to zeros.
    array = array + array.dtype.type(0)
    words = ["sparse", f"{form}_matrix", describe(array)]
    assert describe(decode_tagged(theirs.encode(words))) == words
    assert theirs.decode(encode_tagged(build(words))) == words


# ---- Qiskit ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def read() -> tuple[AnyTag, ...]:
    pytest.importorskip("qiskit", reason="circuits need Qiskit on our side")
    from adapters.qiskit import qiskit_tags

    return qiskit_tags()


@pytest.fixture(scope="module")
def write(read: tuple[AnyTag, ...]) -> tuple[AnyTag, ...]:
    from adapters.qiskit import qiskit_tags
    from runtime_core import UsageError

    try:
        return qiskit_tags(10)  # the newest that they read
    except UsageError as error:
        pytest.skip(str(error))


ANGLES = st.floats(-3, 3).map(lambda angle: ["number", angle])
EXPRESSIONS = st.lists(
    st.sampled_from(["a", "b", "theta", "\u03c6"]), min_size=1, max_size=3, unique=True
).map(lambda names: ["expression", *named(sorted(names))])
GATES = st.one_of(
    st.tuples(st.just("h"), st.just([]), st.integers(0, 2).map(lambda q: [q])),
    st.tuples(st.just("cx"), st.just([]), st.sampled_from([[0, 1], [2, 0]])),
    st.tuples(
        st.just("rx"),
        st.lists(ANGLES, min_size=1, max_size=1),
        st.integers(0, 2).map(lambda q: [q]),
    ),
).map(lambda gate: [*gate])


def named(names: list[str]) -> tuple[list[str], float]:
    """The words of 1*a + 2*b + ..., as they are described."""
    return names, round(sum((i + 1) * (0.5 + 0.25 * i) for i in range(len(names))), 9)


CIRCUITS = st.lists(GATES, max_size=5).map(lambda gates: ["circuit", 3, gates])
WITH_PARAMETERS = EXPRESSIONS.map(lambda words: ["circuit", 1, [["rx", [words], [0]]]])
INSTRUCTIONS = st.sampled_from([["instruction", "h", []], ["instruction", "cx", []]]) | st.one_of(
    ANGLES, EXPRESSIONS
).map(lambda angle: ["instruction", "rx", [angle]])


@EXAMPLES
@given(CIRCUITS | WITH_PARAMETERS | INSTRUCTIONS)
def test_their_circuits(theirs: Theirs, read: tuple[AnyTag, ...], words: Any) -> None:
    assert describe(decode_tagged(theirs.encode(words), tags=read)) == words


@EXAMPLES
@given(CIRCUITS | WITH_PARAMETERS | INSTRUCTIONS)
def test_our_circuits(theirs: Theirs, write: tuple[AnyTag, ...], words: Any) -> None:
    assert theirs.decode(encode_tagged(build(words), write)) == words


@EXAMPLES
@given(EXPRESSIONS)
def test_expressions(
    theirs: Theirs, read: tuple[AnyTag, ...], write: tuple[AnyTag, ...], words: Any
) -> None:
    refusal = theirs.refuses({"encode": words})
    if "use_symengine" in refusal:
        # From Terra 0.24 on, the original calls it in a way that it no longer has. Then we are
        # held to what we write ourselves.
        assert describe(decode_tagged(encode_tagged(build(words), write), tags=read)) == words
        return
    assert describe(decode_tagged(theirs.encode(words), tags=read)) == words
    assert theirs.decode(encode_tagged(build(words), write)) == words


@EXAMPLES
@given(st.integers(1, 1000), st.lists(st.integers(0, 7), max_size=4, unique=True))
def test_results(theirs: Theirs, read: tuple[AnyTag, ...], shots: int, states: list[int]) -> None:
    plain = {
        "backend_name": "here",
        "backend_version": "1.0",
        "qobj_id": "q",
        "job_id": "j",
        "success": True,
        "results": [
            {
                "shots": shots,
                "success": True,
                "data": {"counts": {hex(state): shots for state in states}},
                "header": {"name": "circuit", "memory_slots": 3},
            }
        ],
    }
    text = theirs.encode(["result", describe(plain)])
    ours = decode_tagged(text, tags=read)
    assert ours.get_counts() == {f"{state:03b}": shots for state in states}
    again = theirs.decode(encode_tagged(ours, read))
    assert again == theirs.decode(text)


# ---- what theirs does and ours does not --------------------------------------------------------


def test_their_decoder_runs_what_settings_name_and_ours_does_not(
    theirs: Theirs, tmp_path: Path
) -> None:
    """CVE-2024-29032."""
    proof = tmp_path / "ran"
    text = json.dumps(
        {
            "__type__": "settings",
            "__module__": "subprocess",
            "__class__": "Popen",
            "__value__": {"args": ["touch", str(proof)]},
        }
    )
    assert decode_tagged(text) == Settings("subprocess", "Popen", {"args": ["touch", str(proof)]})
    assert not proof.exists()
    theirs.refuses({"decode": text})  # or describes it: by then it ran
    for _ in range(500):
        if proof.exists():
            break
        subprocess.run(["sleep", "0.01"], check=True)
    assert proof.exists()
