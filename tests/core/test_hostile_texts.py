"""Hostile texts: none runs code, or takes more memory than twice the size limit, or for ever.

Each is decoded in a process of its own, at the default limits: 256 MiB of text, as much of
arrays. What it may take is measured from outside of Python, by the system.
"""

# ruff: noqa: E501 # an expression is easier to read on one line

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

MIB = 1 << 20
SIZE_LIMIT = 256 * MIB
SECONDS = 60.0  # with other tests beside it; the slowest takes three

DECODE = """
import json, mmap, os, resource, sys, tempfile, time
import numpy
from runtime_core import DecodeError, decode_tagged

exec(sys.stdin.read())  # MAKES, FORBIDDEN and decode: from the test
UNIT = 1 if sys.platform == "darwin" else 1024

def built(make):  # in another process, so that this one never takes more than the text
    with tempfile.TemporaryFile() as file:
        child = os.fork()
        if child == 0:
            file.write(eval(make).encode("utf-8", "surrogatepass"))
            file.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, make
        with mmap.mmap(file.fileno(), 0) as data:
            return str(data, "utf-8", "surrogatepass")

def memory(word):  # Linux tells both; ru_maxrss there includes the parent's, from before exec
    try:
        with open("/proc/self/status") as file:
            return int(file.read().partition(word)[2].split()[0]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT

def watch(event, args):
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "pickle.find_class"):
        sys.exit(f"it ran code: {event}")
    if event == "import" and args[0].partition(".")[0] in FORBIDDEN:
        sys.exit(f"it imported {args[0]}")

texts = [built(make) for make in MAKES]
sys.addaudithook(watch)
for text in texts:
    before, start = memory("VmRSS:"), time.perf_counter()
    try:
        kind, limit = type(decode(text)).__name__, ""
    except DecodeError as error:
        kind, limit = "DecodeError", error.limit
        str(error)
    print(json.dumps([kind, limit, time.perf_counter() - start, memory("VmHWM:") - before]))
"""

PREFACE = """
import base64, io, json, pickle, zlib
FORBIDDEN = {"antigravity", "this", "turtle", "hostile_module"}
MIB = 1 << 20

def tag(name, value, **more):
    return json.dumps({"__type__": name, **more, "__value__": value})

def packed(data, level=9):
    return base64.b64encode(zlib.compress(data, level)).decode()

def npy(descr, shape, data=b""):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\\n"
    return b"\\x93NUMPY\\1\\0" + len(header).to_bytes(2, "little") + header + data

def repeated(unit, mebibytes):
    return "[" + unit * (mebibytes * MIB // len(unit)) + "0]"

class Runs:
    def __reduce__(self):
        import os
        return os.system, ("false",)
"""


@attrs.frozen
class Outcome:
    """What became of a text."""

    kind: str
    limit: str
    seconds: float
    grown: int
    """The bytes by which the process grew, at most; the length of the text at least."""


def decoded(makes: Sequence[str], decode: str = "decode_tagged") -> list[Outcome]:
    source = f"{PREFACE}\nMAKES = {list(makes)!r}\ndecode = {decode}"
    ran = subprocess.run(
        [sys.executable, "-c", DECODE],
        input=source,
        capture_output=True,
        text=True,
        timeout=SECONDS * 3,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return [Outcome(*json.loads(line)) for line in ran.stdout.splitlines()]


VALUE = "a value"

SMALL: dict[str, tuple[str, str]] = {
    "settings of a module": (
        r"""tag("settings", {}, __module__="antigravity", __class__="x")""",
        "Settings",
    ),
    "settings that call": (
        r"""tag("settings", {"args": "id", "shell": True}, __module__="subprocess", __class__="Popen")""",
        "Settings",
    ),
    "settings inside of everything": (
        r"""'[{"a":' + tag("set", [1]) + '},' + tag("to_json", json.loads(tag("settings", {"command": "id"}, __module__="os", __class__="_wrap_close"))) + ']'""",
        "list",
    ),
    "to_json of a module": (
        r"""tag("to_json", {"__module__": "antigravity", "__class__": "x", "py/object": "this"})""",
        "dict",
    ),
    "to_json with a module": (
        r"""tag("to_json", {}, __module__="antigravity", __class__="x")""",
        "dict",
    ),
    "a tag that is a module": (
        r"""tag("antigravity", {"__module__": "this"})""",
        "dict",
    ),
    "a pickle": (
        r"""tag("ndarray", packed(pickle.dumps(Runs())))""",
        "DecodeError",
    ),
    "an array of a pickle": (
        r"""tag("ndarray", packed(npy("|O", (1,), pickle.dumps([Runs()]))))""",
        "DecodeError",
    ),
    "an array with a field of a pickle": (
        r"""tag("ndarray", packed(npy([("a", "|O")], (1,), pickle.dumps([Runs()]))))""",
        "DecodeError",
    ),
    "a header that calls": (
        r"""tag("ndarray", packed(b"\x93NUMPY\1\0\x26\0__import__('antigravity').x()         "))""",
        "DecodeError",
    ),
    "a deep header": (
        r"""tag("ndarray", packed(b"\x93NUMPY\1\0\x10\x27" + b"-" * 10000))""",
        "DecodeError",
    ),
    "a sparse matrix of a pickle": (
        r"""tag("spmatrix", base64.b64encode(pickle.dumps(Runs())).decode())""",
        "DecodeError",
    ),
    "a shape of nothing": (
        r"""tag("ndarray", packed(npy("|V0", (10 ** 15,))))""",
        "DecodeError",
    ),
    "lists 100,000 deep": (
        r"""'[' * 100_000 + ']' * 100_000""",
        "max_depth",
    ),
    "dicts 100,000 deep": (
        r"""'{"a":' * 100_000 + '1' + '}' * 100_000""",
        "max_depth",
    ),
    "lists 100,000 deep, unfinished": (
        r"""'[' * 100_000""",
        "max_depth",
    ),
    "tags 100,000 deep": (
        r"""'{"__type__":"set","__value__":[' * 100_000 + ']}' * 100_000""",
        "max_depth",
    ),
    "lists 499 deep in a set": (
        r"""tag("set", json.loads("[" * 490 + "]" * 490))""",
        VALUE,
    ),
    "a million digits": (
        r"""'1' * 1_000_000""",
        "DecodeError",
    ),
    "a million digits in a list": (
        r"""'[-' + '1' * 1_000_000 + ']'""",
        "DecodeError",
    ),
    "a million digits after the point": (
        r"""'[0.' + '1' * 1_000_000 + ']'""",
        "list",
    ),
    "an exponent of a million digits": (
        r"""'[1e' + '9' * 1_000_000 + ']'""",
        "list",
    ),
    "many long integers": (
        r"""repeated('9' * 4300 + ',', 24)""",
        VALUE,
    ),
    "a key of a million digits": (
        r"""tag("settings", {"1" * 1_000_000: 1, "__int_keys__": True}, __module__="m", __class__="c")""",
        "Settings",
    ),
    "NaN": (
        r"""'[NaN,Infinity,-Infinity,{"a":NaN}]'""",
        "list",
    ),
    "duplicate keys": (
        r"""'{"a":1,"a":{"b":2,"b":3}}'""",
        "dict",
    ),
    "duplicate tags": (
        r"""'{"__type__":"to_json","__type__":"settings","__module__":"antigravity",' '"__class__":"x","__value__":{}}'""",
        "Settings",
    ),
    "lone surrogates": (
        r"""'["\\ud800","\\udfff\\ud800",{"\\udc00":1}]'""",
        "list",
    ),
    "lone surrogates as they are": (
        r"""'["\ud800",{"\udc00":1}]'""",
        "list",
    ),
    "a large value in a message": (
        r"""tag("complex", json.loads(tag("settings", {"a": list(range(1_000_000))}, __module__="m", __class__="c")))""",
        "DecodeError",
    ),
    "a large array in a message": (
        r"""tag("complex", json.loads(tag("ndarray", [list(range(1_000_000)), 1])))""",
        "DecodeError",
    ),
    "a large set in a message": (
        r"""tag("datetime", json.loads(tag("set", list(range(500_000)))))""",
        "DecodeError",
    ),
}

LARGE: dict[str, tuple[str, str]] = {
    "10 GiB in an array": (
        r"""tag("ndarray", packed(zlib.decompress(zlib.compress(npy("|u1", (10 << 30,)))) + bytes(300 * MIB)))""",
        "max_inflated_bytes",
    ),
    "two arrays of 200 MiB": (
        r""""[" + ",".join([tag("ndarray", packed(npy("|u1", (200 * MIB,), bytes(200 * MIB)), 1))] * 2) + "]" """,
        "max_inflated_bytes",
    ),
    "an array of 250 MiB": (
        r"""tag("ndarray", packed(npy("|u1", (250 * MIB,), bytes(250 * MIB)), 1))""",
        "ndarray",
    ),
    "a thousand arrays that lie": (
        r""""[" + ",".join([tag("ndarray", packed(npy("|u1", (255 * MIB,), bytes(MIB))))] * 1000) + "]" """,
        "DecodeError",
    ),
    "24 million digits": (
        r"""'[' + '1' * 24 * MIB + ']'""",
        "DecodeError",
    ),
    "24 MiB of NaN": (
        r"""repeated('NaN,', 24)""",
        "list",
    ),
    "24 MiB of duplicate keys": (
        r"""'{' + '"a":1,' * (4 * MIB) + '"a":2}'""",
        VALUE,
    ),
    "24 MiB of lone surrogates": (
        r"""repeated('"\\ud800",', 24)""",
        VALUE,
    ),
    "a wide text": (
        r"""'["' + 'x' * (100 * MIB) + '\\ud83d\\ude00"]'""",
        VALUE,
    ),
    "a text of 256 MiB": (
        r"""'"' + 'x' * (256 * MIB - 2) + '"'""",
        "str",
    ),
    "a text of more": (
        r"""'"' + 'x' * (256 * MIB - 1) + '"'""",
        "max_text_bytes",
    ),
    "24 MiB of backslashes": (
        r"""'"' + chr(92) * (24 * MIB) + '"'""",
        "str",
    ),
    "24 MiB of lists": (
        r"""repeated('[],', 24)""",
        "max_memory_bytes",
    ),
    "24 MiB of dicts": (
        r"""repeated('{},', 24)""",
        "max_nodes",
    ),
    "24 MiB of dicts with a key": (
        r"""repeated('{"a":1},', 24)""",
        "max_memory_bytes",
    ),
    "12 MiB of dicts with a key": (
        r"""repeated('{"a":1},', 12)""",
        "list",
    ),
    "24 MiB of lists of one": (
        r"""repeated('[1.5],', 24)""",
        "max_memory_bytes",
    ),
    "24 MiB of short texts": (
        r"""repeated('"ab",', 24)""",
        VALUE,
    ),
    "24 MiB of digits": (
        r"""repeated('1,', 24)""",
        "max_nodes",
    ),
    "200 MiB of numbers": (
        r"""repeated('1234567890.12345678,', 180)""",
        VALUE,
    ),
    "24 MiB of keys": (
        r"""'{' + ','.join(f'"{i}":1' for i in range(2 * MIB)) + '}'""",
        VALUE,
    ),
    "24 MiB of tags": (
        r"""repeated('{"__type__":"set","__value__":[]},', 24)""",
        VALUE,
    ),
    "24 MiB of dates": (
        r"""repeated('{"__type__":"datetime","__value__":"2024-05-01"},', 24)""",
        VALUE,
    ),
    "a set of a million numbers": (
        r"""tag("set", list(range(1_000_000)))""",
        "set",
    ),
    "a set of three million numbers": (
        r"""tag("set", list(range(3_000_000)))""",
        VALUE,
    ),
    "a set of one hash": (
        r"""tag("set", [i * (2 ** 61 - 1) for i in range(500_000)])""",
        "DecodeError",
    ),
    "a set of tuples of one hash": (
        r"""tag("set", [[i * (2 ** 61 - 1), 1] for i in range(300_000)])""",
        "DecodeError",
    ),
    "many sets of one hash": (
        r"""'[' + ','.join([tag("set", [i * (2 ** 61 - 1) for i in range(100)])] * 10_000) + ']'""",
        "list",
    ),
    "keys of one hash": (
        r"""tag("settings", {**{str(i * (2 ** 61 - 1)): 1 for i in range(300_000)}, "__int_keys__": True}, __module__="m", __class__="c")""",
        "DecodeError",
    ),
}


@pytest.fixture(scope="module")
def small_outcomes() -> dict[str, Outcome]:
    """They take little, so one process decodes them all."""
    return dict(zip(SMALL, decoded([make for make, _ in SMALL.values()]), strict=True))


@pytest.mark.parametrize("name", SMALL)
def test_a_small_hostile_text_is_harmless(name: str, small_outcomes: dict[str, Outcome]) -> None:
    check(small_outcomes[name], SMALL[name][1])
    assert small_outcomes[name].grown < 100 * MIB


@pytest.mark.parametrize("name", LARGE)
def test_a_large_hostile_text_is_harmless(name: str) -> None:
    make, expected = LARGE[name]
    [outcome] = decoded([make])
    check(outcome, expected)


def check(outcome: Outcome, expected: str) -> None:
    assert outcome.seconds < SECONDS
    assert outcome.grown <= 2 * SIZE_LIMIT, f"{outcome.grown / MIB:.0f} MiB"
    if expected != VALUE:
        assert expected in (outcome.kind, outcome.limit), outcome


@pytest.mark.parametrize(
    ("decode", "words"),
    [
        ("lambda text: __import__('antigravity')", "it imported antigravity"),
        ("lambda text: pickle.loads(pickle.dumps(Runs()))", "it ran code: pickle.find_class"),
        ("lambda text: __import__('os').system('true')", "it ran code: os.system"),
    ],
)
def test_what_runs_code_would_be_noticed(decode: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        decoded(["'[]'"], decode)


def test_what_takes_more_would_be_noticed() -> None:
    [outcome] = decoded(["'[]'"], "lambda text: b'x' * (513 * MIB)")
    assert outcome.grown > 2 * SIZE_LIMIT
