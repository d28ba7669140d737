"""Tagged JSON: both ways, and what hostile texts cost."""

from __future__ import annotations

import base64
import io
import json
import pickle
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime_core import json_limits, tagged_json_encoder
from runtime_core.errors import DecodeError, EncodeError, UsageError
from runtime_core.json_limits import Allowance, DecodeLimits
from runtime_core.npy import inflate, unpacked_pieces
from runtime_core.tagged_json import decode_tagged, encode_tagged
from runtime_core.tags import KNOWN_TAGS
from runtime_core.value_path import find_path, shown, step

MIB = 1 << 20


def tagged(tag: str, value: object) -> dict[str, object]:
    return {"__type__": tag, "__value__": value}


def tag_text(tag: str, value: object) -> str:
    return json.dumps(tagged(tag, value))


def round_trip(value: object) -> Any:
    return decode_tagged(encode_tagged(value))


def refusal(text: str, limits: DecodeLimits | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode_tagged(text, limits or DecodeLimits())
    return caught.value


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down: 1 is not True, and not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    return bool(one == other)


@contextmanager
def at_most(mebibytes: float) -> Iterator[None]:
    """What Python allocates inside, at its peak."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * MIB, f"{peak / MIB:.1f} MiB"


# ---- both ways ---------------------------------------------------------------------------------

KEYS = st.sampled_from(["__type__", "__value__", "a"]) | st.text(max_size=5)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["set", "dict", "complex", "datetime", "ndarray", "settings"])
    | st.complex_numbers(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-3.5))))
)
HASHABLES = st.recursive(
    SCALARS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4
)
VALUES = st.recursive(
    SCALARS | st.sets(HASHABLES, max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES)
def test_values_round_trip(value: object) -> None:
    assert same(round_trip(value), value)


@settings(deadline=None)
@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)))
def test_arrays_round_trip(array: np.ndarray[Any, Any]) -> None:
    back = round_trip(array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@settings(deadline=None)
@given(st.lists(VALUES.filter(lambda value: not isinstance(value, list)), min_size=1, max_size=5))
def test_arrays_of_objects_round_trip(values: list[object]) -> None:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    assert same(round_trip(array).tolist(), values)
    assert round_trip(array).dtype == object


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, "a"], [None, 2.5]], dtype=object),
        np.array([[], []], dtype=object),
        np.array([], dtype=object),
        np.array([{"a": 1}, {1}], dtype=object),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::3],
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["2024-05-01"], dtype="datetime64[ns]"),
        np.zeros((0, 3)),
        np.zeros(1, [("\u0429", "i4")]),
        np.zeros(65_536, "V0"),
        np.zeros(1, [("\u00e9", "i4")]),
        np.zeros(3, np.dtype([("a", "i4"), ("b", "f8")], align=True)),
        np.zeros(3, [("a", "i4", (2, 3)), ("b", [("c", ">c16"), ("d", "S3")])]),
    ],
)
def test_arrays_of_all_kinds_round_trip(array: np.ndarray[Any, Any]) -> None:
    assert same(round_trip([array])[0], array)


def test_a_ragged_list_is_an_array_of_lists() -> None:
    for rows in ([[1], [2, 3]], [[1], 2], [1, [2]]):
        back = decode_tagged(tag_text("ndarray", rows))
        assert (back.shape, back.dtype, back.tolist()) == ((2,), object, rows)


def test_an_array_has_at_most_64_dimensions() -> None:
    rows: list[Any] = [1]
    for _ in range(69):
        rows = [rows]
    back = decode_tagged(tag_text("ndarray", rows))
    assert back.shape == (1,) * 64
    assert back.item() == [[[[[[1]]]]]]


def test_arrays_inside_an_array_of_objects_stay_its_elements() -> None:
    array = np.empty(2, dtype=object)
    array[0], array[1] = np.arange(3), np.arange(3)
    back = round_trip(array)
    assert back.shape == (2,)
    assert (back[1] == np.arange(3)).all()


def test_nan_and_infinity_are_pythons() -> None:
    text = encode_tagged([float("nan"), float("inf"), -float("inf"), complex(float("nan"), 1)])
    assert text.startswith("[NaN,Infinity,-Infinity,")
    back = decode_tagged(text)
    assert [str(part) for part in back] == ["nan", "inf", "-inf", "(nan+1j)"]


def test_lone_surrogates_pass() -> None:
    assert encode_tagged("\ud800") == '"\\ud800"'
    assert round_trip(["\ud800", {"\udfff": 1}]) == ["\ud800", {"\udfff": 1}]
    assert decode_tagged('"\ud800"') == "\ud800"


def test_of_duplicate_keys_the_last_one_wins() -> None:
    assert decode_tagged('{"a": 1, "a": 2}') == {"a": 2}


def test_a_set_keeps_its_tuples() -> None:
    value = {(1, (2, 3)), frozenset({(4, 5)})}
    assert same(round_trip(value), value)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32(0.5), "0.5"),
        (np.float64(0.1), "0.1"),
        (np.longdouble(0.5), "0.5"),
        (np.int8(-3), "-3"),
        (np.uint64(2**63), "9223372036854775808"),
        (np.bool(True), "true"),
        (np.str_("a"), '"a"'),
        (np.complex64(1 + 2j), '{"__type__":"complex","__value__":[1.0,2.0]}'),
        (np.complex128(1 + 2j), '{"__type__":"complex","__value__":[1.0,2.0]}'),
    ],
)
def test_numpys_scalars_are_plain_numbers(array: object, text: str) -> None:
    assert encode_tagged(array) == text


class Color(Enum):
    RED = "red"
    BOTH = ("red", 1)


class Level(IntEnum):
    LOW = 1


@attrs.frozen
class Point:
    x: int
    rest: object = None


def test_what_comes_back_as_something_else() -> None:
    assert same(round_trip((1, (2,))), [1, [2]])
    assert same(round_trip(frozenset({1})), {1})
    assert same(round_trip(Point(1, Point(2, {3}))), {"x": 1, "rest": {"x": 2, "rest": {3}}})
    assert same(round_trip([Color.RED, Color.BOTH, Level.LOW]), ["red", ["red", 1], 1])


# ---- dicts that look like tags -----------------------------------------------------------------


@pytest.mark.parametrize("tag", sorted(KNOWN_TAGS))
@pytest.mark.parametrize("value", [[1, 2], "2024-05-01", {"a": {1}}, None])
def test_a_dict_that_looks_like_a_tag_stays_a_dict(tag: str, value: object) -> None:
    assert same(round_trip([tagged(tag, value)]), [tagged(tag, value)])
    twice = tagged(tag, tagged(tag, value))
    assert same(round_trip(twice), twice)


@pytest.mark.parametrize(
    "found",
    [
        {"__type__": "set"},
        {"__type__": "set", "__value__": [1], "more": 1},
        {"__type__": ["set"], "__value__": [1]},
        {"__type__": None, "__value__": [1]},
        {"__value__": 1},
    ],
)
def test_a_dict_of_another_form_is_plain_data(found: dict[str, object]) -> None:
    assert same(decode_tagged(json.dumps(found)), found)
    assert json.loads(encode_tagged(found)) == found


@pytest.mark.parametrize(
    "found",
    [
        tagged("Result", {"a": tagged("other", 1)}),
        tagged("QuantumCircuit", "eJw="),
        tagged("settings", {"args": ["id"]}),
        {**tagged("settings", {}), "__module__": "antigravity"},
        {**tagged("to_json", [1]), "__module__": "antigravity", "__class__": "x"},
        {**tagged("set", [1]), "__module__": "antigravity", "__class__": "x"},
    ],
)
def test_nothing_is_imported_because_a_message_names_it(found: dict[str, object]) -> None:
    """CVE-2024-29032: a module named in a result was imported, and a class of it called."""
    before = set(sys.modules)
    assert same(decode_tagged(json.dumps(found)), found)
    assert set(sys.modules) == before
    assert json.loads(encode_tagged(found)) == found


def test_the_content_of_unknown_tags_is_decoded() -> None:
    found = decode_tagged(json.dumps(tagged("Result", [tagged("set", [1])])))
    assert found == tagged("Result", [{1}])


# ---- malformed values under known tags ---------------------------------------------------------


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    packed = header.encode("latin1") + b"\n"
    size = struct.pack("<H" if version[0] == 1 else "<I", len(packed))
    return b"\x93NUMPY" + bytes(version) + size + packed + data


def array_tag(data: bytes) -> str:
    return tag_text("ndarray", base64.b64encode(zlib.compress(data)).decode())


def header(descr: object, shape: object) -> str:
    return repr({"descr": descr, "fortran_order": False, "shape": shape})


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    return file.getvalue()


GOOD = npy(header("<i4", (2,)), b"\0" * 8)
PACKED = zlib.compress(GOOD)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_npy_are_read(version: tuple[int, int]) -> None:
    text = array_tag(npy(header("<i4", (2,)), b"\1\0\0\0\2\0\0\0", version))
    assert decode_tagged(text).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (tag_text("datetime", "yesterday"), "datetime tag is malformed: Invalid isoformat"),
        (tag_text("datetime", 5), "datetime tag is malformed: it is not ISO 8601 text, in 5"),
        (
            tag_text("complex", [1]),
            "complex tag is malformed: it is not a list of two numbers, in ",
        ),
        (tag_text("complex", [1, 2, 3]), "list of two numbers"),
        (tag_text("complex", ["1", 2]), "list of two numbers"),
        (tag_text("complex", [True, 2]), "list of two numbers"),
        (tag_text("complex", "1+2j"), "list of two numbers"),
        (tag_text("complex", [10**400, 0]), "complex tag is malformed: int too large"),
        (tag_text("set", "ab"), "set tag is malformed: it is not a list, in 'ab'"),
        (tag_text("set", [{"a": 1}]), "set tag is malformed: unhashable type: 'dict'"),
        (tag_text("dict", {"a": 1}), "dict tag is malformed: it is not a list of pairs, in "),
        (tag_text("dict", [["a"]]), r"dict tag is malformed: \['a'\] is not a pair"),
        (tag_text("dict", ["ab"]), "'ab' is not a pair"),
        (tag_text("dict", [[1, 2]]), "is not a pair of a text and a value"),
        (tag_text("ndarray", 5), "malformed: it is neither a text nor a list, in 5"),
        (tag_text("ndarray", "not base64!"), "ndarray tag is malformed"),
        (tag_text("ndarray", base64.encodebytes(PACKED).decode()), "ndarray tag is malformed"),
        (tag_text("ndarray", "é"), "ndarray tag is malformed"),
        (tag_text("ndarray", base64.b64encode(b"not zlib").decode()), "it is not zlib"),
        (tag_text("ndarray", ""), "malformed: its zlib data is cut off, in "),
        (tag_text("ndarray", base64.b64encode(PACKED[:-9]).decode()), "is cut off"),
        (
            tag_text("ndarray", base64.b64encode(PACKED + b"x").decode()),
            ": there is more after the",
        ),
        (
            tag_text("ndarray", base64.b64encode(PACKED + b"x" * 65_536).decode()),
            "malformed: there is more after the end of the zlib data, in ",
        ),
        (array_tag(b""), r"its \.npy header does not read"),
        (
            array_tag(b"PK\3\4" + b"\0" * 200),
            r"read: b'PK\\x03\\x04(\\x00){4}' does not begin a \.npy file that is known here, in ",
        ),
        (array_tag(npy("print('x')")), "header does not read"),
        (array_tag(npy("(" * 5000)), "header does not read"),
        (array_tag(npy(header("<i4", (2,)) + " " * 20_000)), "header does not read"),
        (array_tag(npy(header("<i4", "ab"))), "header does not read"),
        (array_tag(npy(header("no such dtype", (2,)))), "header does not read"),
        (array_tag(npy(header("<i4", (2,)), b"", (4, 0))), r"does not begin a \.npy file"),
        (array_tag(npy(header("<i4", (2,)), b"", (1, 1))), r"does not begin a \.npy file"),
        (array_tag(npy(header("<i4", (2,))[:-1] + ", 'more': 1}")), "its keys or their types"),
        (array_tag(npy(header("<i4", (2,)).replace("False", "0"))), "its keys or their types"),
        (
            array_tag(npy(header("<i4", [2]))),
            "read: its keys or their types are not those of the format, in ",
        ),
        (array_tag(npy(header("<i4", (True,)))), "is no shape"),
        (array_tag(npy("{'descr': 'i4'}")), "header does not read"),
        (array_tag(GOOD[:20]), "header does not read: it has"),
        (array_tag(npy(header("<i4", (2,)), b"\0" * 7)), "wants 8 bytes of data, and 7 follow"),
        (array_tag(npy(header("<i4", (2,)), b"\0" * 9)), "wants 8 bytes of data, and 9 follow"),
        (array_tag(npy(header("<f8", (10**12,)))), "wants 8000000000000 bytes"),
        (array_tag(npy(header("<f8", (10**30, 10**30)))), "and 0 follow"),
        (array_tag(npy(header("<i4", (-1, -2)), b"\0" * 8)), "ndarray tag is malformed"),
        (array_tag(npy(header("<i4", (0, 10**30)))), "ndarray tag is malformed"),
        (array_tag(npy(header("<i4", (1,) * 65), b"\0" * 4)), "ndarray tag is malformed"),
        (array_tag(npy(header("|V0", (10**12,)))), ": its items have no size, so any number"),
        (array_tag(npy(header("|O", (1,)), b"\0" * 8)), "holds Python objects"),
        (array_tag(npy(header([("a", "|O")], (1,)), b"\0" * 8)), "holds Python objects"),
        (array_tag(pickled()), "holds Python objects, which would need pickle"),
    ],
)
def test_a_malformed_value_under_a_known_tag_is_an_error(text: str, words: str) -> None:
    with pytest.raises(DecodeError, match=words) as caught:
        decode_tagged(f'[0, {{"a b": {text}}}]')
    assert caught.value.path == "$[1]['a b']"
    assert caught.value.limit == ""
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(("more", "words"), [(-8, "999992 follow"), (1, "more follow")])
def test_a_large_array_has_the_size_that_its_header_says(more: int, words: str) -> None:
    text = array_tag(npy(header("|u1", (1_000_000,)), b"\1" * (1_000_000 + more)))
    assert f"wants 1000000 bytes of data, and {words}" in refusal(text).message


def test_arrays_are_written_as_the_first_version() -> None:
    """Which everything reads that reads `.npy` files."""
    text = json.loads(encode_tagged(np.zeros(3)))["__value__"]
    assert zlib.decompress(base64.b64decode(text))[:8] == b"\x93NUMPY\1\0"


def test_a_header_has_at_most_10_000_characters() -> None:
    long = header("<i4", (2,)).ljust(9_999)  # and a line end
    assert decode_tagged(array_tag(npy(long, bytes(8)))).tolist() == [0, 0]
    assert "read: it has 10001 characters" in refusal(array_tag(npy(long + " ", bytes(8)))).message


def test_an_array_that_is_followed_by_more_in_its_first_piece() -> None:
    head = npy(header("|u1", (10,)))
    text = array_tag(head + bytes(65_536 - len(head)))
    assert f"wants 10 bytes of data, and {65_536 - len(head)} follow" in refusal(text).message


def test_an_array_keeps_the_bytes_of_its_file_and_no_more() -> None:
    assert len(decode_tagged(array_tag(GOOD)).base) == len(GOOD)


def test_headers_that_are_alike_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = encode_tagged(np.array([(1, 2.5)], dtype=[("first seen here", "<i4"), ("b", "<f8")]))
    found = decode_tagged(text)
    monkeypatch.setattr("runtime_core.npy.ast", None)
    again = decode_tagged(text)
    assert again.dtype == found.dtype
    assert again.tolist() == found.tolist()
    again.dtype.names = ("a", "b")  # of this array only
    assert decode_tagged(text).dtype == found.dtype


def test_base64_ends_once() -> None:
    """Also where a piece of it ends that is decoded in one go."""
    whole = base64.b64encode(b"x" * (65_536 // 3 * 3 - 1)).decode()
    assert whole.endswith("=")
    assert b"".join(unpacked_pieces(whole)) == b"x" * (65_536 // 3 * 3 - 1)
    with pytest.raises(ValueError, match=r"^there is more after the end of the base64 text$"):
        list(unpacked_pieces(whole + "AAAA"))


def test_what_follows_in_a_later_piece_is_noticed_too() -> None:
    packed = zlib.compress(b"x" * (65_536 - 11), level=0)
    assert len(packed) == 65_536  # ends with the first piece
    for more, words in [(b"", r".npy header"), (b"x", "more after the end of the zlib data")]:
        text = tag_text("ndarray", base64.b64encode(packed + more).decode())
        assert words in refusal(text).message


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * 65_536, 200_001])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_data_of_every_size_is_inflated_whole(size: int, level: int) -> None:
    for data in (b"\0" * size, np.random.default_rng(1).bytes(size)):
        text = base64.b64encode(zlib.compress(data, level)).decode()
        assert inflate(text, Allowance(DecodeLimits(max_inflated_bytes=size or 1))) == data


def test_nothing_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_: pytest.fail("unpickled"))
    refusal(array_tag(pickled()))


def test_the_first_malformed_value_is_told() -> None:
    bad = tag_text("set", 1)
    error = refusal(f'{{"a": [{bad}, {tag_text("complex", 1)}], "b": {tag_text("set", [1])}}}')
    assert error.path == "$.a[0]"
    assert str(error) == "The set tag is malformed: it is not a list, in 1 (at $.a[0])"


def test_the_path_may_lead_through_a_tag() -> None:
    assert refusal(f'{{"__type__": "set", "__value__": [1, {tag_text("complex", 1)}]}}').path == (
        "$.__value__[1]"
    )


def test_a_malformed_value_that_a_duplicate_key_replaced_has_no_path() -> None:
    assert refusal(f'{{"a": {tag_text("set", 1)}, "a": 1}}').path == ""


def test_text_that_is_not_json_is_shown() -> None:
    error = refusal("<html>" + "x" * 1000)
    assert "'<html>xxx" in error.message
    assert "is not JSON: Expecting value" in error.message
    assert len(error.message) < 200


# ---- without numpy -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", [array_tag(GOOD), tag_text("ndarray", [1, None])])
def test_an_array_without_numpy_says_what_to_install(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    error = refusal(f'{{"a": {text}}}')
    assert error.message == (
        "The text holds an ndarray, and numpy is not installed: pip install 'runtime-core[numpy]'"
    )
    assert error.path == "$.a"


def test_everything_else_works_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert round_trip([{1j}, tagged("Result", "")]) == [{1j}, tagged("Result", "")]
    with pytest.raises(EncodeError, match=r"decimal\.Decimal"):
        encode_tagged(Decimal(1))


# ---- what cannot be written --------------------------------------------------------------------


class Masked:
    value = np.ma.MaskedArray([1, 2], [True, False])


def array_of(*items: object) -> np.ndarray[Any, Any]:
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


class FrozenDict(dict[str, int]):
    def __hash__(self) -> int:  # type: ignore[override] # a dict that can be in a set
        return 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"abc", "A value of type bytes has no form in JSON"),
        (Decimal(1), r"decimal\.Decimal"),
        (object(), "of type object"),
        (Point, "of type type"),
        (range(3), "of type range"),
        ({1: "a"}, "The dict key 1 is of type int: keys must be str"),
        ({None: "a"}, "The dict key None is of type NoneType"),
        ({True: "a"}, "The dict key True is of type bool"),
        ({(1, 2): "a"}, r"The dict key \(1, 2\) is of type tuple"),
        (
            {Point(1)},
            r"Point is inside a set, and is written as a dict, "
            r"which cannot be inside a set when it is read \(at ",
        ),
        ({(1, Point(1))}, "Point is inside a set"),
        ({FrozenDict(a=1)}, "FrozenDict is inside a set"),
        (np.datetime64("2024-05-01"), r"numpy\.datetime64"),
        (np.timedelta64(1, "s"), r"numpy\.timedelta64"),
        (np.bytes_(b"a"), r"numpy\.bytes_"),
        (np.void(b"a"), r"numpy\.void"),
        (Masked.value, r"MaskedArray would lose .* pass numpy\.asarray"),
        (np.zeros(65_537, "V0"), "ndarray cannot be written: its items have no size"),
        (np.zeros(1, [("a", "O")]), "ndarray cannot be written: its dtype .* Python objects"),
        (np.array(["a"], np.dtypes.StringDType()), "ndarray cannot be written: its dtype"),
        (np.zeros(1, [(f"{i:09}", "i4") for i in range(500)]), "header does not read: it has"),
        (np.array(1, dtype=object), "which nested lists cannot tell"),
        (np.zeros((0, 3), dtype=object), r"the shape \(0, 3\), which nested lists cannot tell"),
        (
            array_of([1, 2], [3, 4]),
            r": it is empty, or it has no dimension, or its elements are lists \(at ",
        ),
        (array_of((1, 2), (3, 4)), "its elements are lists"),
        (array_of(object()), "of type object"),
    ],
)
def test_what_cannot_be_written_is_told_with_its_path(value: object, words: str) -> None:
    with pytest.raises(EncodeError, match=words) as caught:
        encode_tagged({"before": [[1]], "circuits": [value]})
    assert caught.value.path.startswith("$.circuits[0]")


def test_the_path_leads_into_attrs_instances_and_tag_like_dicts() -> None:
    with pytest.raises(EncodeError) as caught:
        encode_tagged([Point(1, tagged("set", [1, Point(2, {"a": b""})]))])
    assert caught.value.path == "$[0].rest.__value__[1].rest.a"
    with pytest.raises(EncodeError) as caught:
        encode_tagged(b"")
    assert caught.value.path == "$"


def test_an_int_with_too_many_digits_cannot_be_written() -> None:
    with pytest.raises(EncodeError, match="more digits than Python writes") as caught:
        encode_tagged({"a": [1, "b", 10**5000]})
    assert caught.value.path == "$.a[2]"


@pytest.mark.parametrize("kind", ["list", "dict", "attrs", "array", "far"])
def test_a_value_that_contains_itself_cannot_be_written(kind: str) -> None:
    inner: list[Any] = [1]
    around: dict[str, Any] = {"a": inner}
    value: Any = {
        "list": inner,
        "dict": around,
        "attrs": Point(1, inner),
        "array": array_of(1),
        "far": [inner],
    }[kind]
    inner.append(value)
    if kind == "array":
        value[0] = value
    with pytest.raises(
        EncodeError, match=r"^The (list|dict|numpy\.ndarray|.*Point) contains itself"
    ):
        encode_tagged(value)


def test_a_stack_that_is_too_small_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise RecursionError

    monkeypatch.setattr(json, "dumps", fail)
    with pytest.raises(EncodeError, match=r"^The value nests too deeply$"):
        encode_tagged([])


def test_a_value_has_a_last_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagged_json_encoder, "_MOST_LEVELS", 3)
    assert encode_tagged([[[[1]]]]) == "[[[[1]]]]"  # the last of which has no level of its own
    with pytest.raises(EncodeError, match=r"^The value nests too deeply \(at \$"):
        encode_tagged([[[[[1]]]]])


def test_a_value_may_contain_another_twice() -> None:
    shared = [{"a": 1}]
    assert round_trip([shared, shared, {"b": shared}]) == [shared, shared, {"b": shared}]


def test_a_value_that_nests_too_deeply_cannot_be_written() -> None:
    value: list[Any] = [b""]
    for _ in range(20_000):
        value = [value]
    with pytest.raises(EncodeError, match="no form in JSON"):
        encode_tagged(value)
    while isinstance(value[0], list):  # so that its end does not need the stack either
        value = value[0]
    value = []
    for _ in range(50_000):  # Python 3.12 and 3.13 write a few thousand
        value = [value]
    with pytest.raises(EncodeError, match=r"^The value nests too deeply"):
        encode_tagged(value)


# ---- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "1", None])
@pytest.mark.parametrize("name", [field.name for field in attrs.fields(DecodeLimits)])
def test_a_limit_is_a_positive_int(name: str, wrong: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name} must be an int of at least 1") as caught:
        DecodeLimits(**{name: wrong})
    assert str(caught.value).endswith(f", not {wrong!r}")


@pytest.mark.parametrize(
    ("text", "limits", "words"),
    [
        ('"abc"', {"max_text_bytes": 4}, "The text is longer than 4 bytes"),
        ("[1,2]", {"max_nodes": 2}, "The text holds more than 2 values and keys"),
        ("[[1]]", {"max_depth": 1}, "The text nests lists or dicts more than 1 deep"),
        (
            "[1]",
            {"max_memory_bytes": 1},
            "The values of the text may take more than 1 bytes of memory",
        ),
        (
            array_tag(npy(header("<f8", (1024,)), bytes(8192))),
            {"max_inflated_bytes": 1000},
            "The compressed values of the text decompress to more than 1,000 bytes",
        ),
    ],
)
def test_a_refusal_says_what_is_beyond_which_limit(
    text: str, limits: dict[str, int], words: str
) -> None:
    (limit,) = limits
    error = refusal(text, DecodeLimits(**limits))
    assert (error.message, error.limit) == (f"{words} ({limit})", limit)


def test_the_size_of_a_text_is_counted_in_bytes() -> None:
    limits = DecodeLimits(max_text_bytes=10)
    for fits in ["12345678", "\u00e9" * 4, "\U0001f600" * 2, "\ud80012345"]:
        assert decode_tagged(f'"{fits}"', limits) == fits
    for longer in ["123456789", "\u00e9" * 4 + "a", "\U0001f600" * 2 + "a", "\ud800123456"]:
        assert refusal(f'"{longer}"', limits).limit == "max_text_bytes"
    four_bytes_each = '"' + "\U0001f600" * 8 + '"'
    assert refusal(four_bytes_each, DecodeLimits(max_text_bytes=33)).limit == "max_text_bytes"
    assert len(decode_tagged(four_bytes_each, DecodeLimits(max_text_bytes=34))) == 8


@pytest.fixture(params=[1, 3, 1 << 20], ids=lambda size: f"pieces of {size}")
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is looked at in pieces: wherever it is cut, the outcome is the same."""
    monkeypatch.setattr(json_limits, "_PIECE", request.param)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("[1,2,3]", 4),
        ('{"a":1,"b":2}', 5),
        ("[[1],[2]]", 5),
        ("[]", 2),
        ('["a,b,[{:", "c"]', 3),
        (r'["a\",[,", "\\", "\\\",,,,", ",\\\\"]', 5),
        (r'["\\","\"","[[[["]', 4),
        ('  ["\u00e9,,,,"]', 2),
    ],
)
def test_nodes_are_counted_outside_strings(text: str, nodes: int) -> None:
    assert decode_tagged(text, DecodeLimits(max_nodes=nodes)) == json.loads(text)
    error = refusal(text, DecodeLimits(max_nodes=nodes - 1))
    assert error.limit == "max_nodes"
    assert f"more than {nodes - 1} values" in error.message


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("[[[1]]]", 3),
        ("[[],[],[[]],[]]", 3),
        ('{"a":{"b":[]},"c":{}}', 3),
        ('["[[[[[", ["]]]", ["[\\"["]]]', 3),
        ('["]]", ["]]", ["]]"]]]', 3),
        ('["", ["]", [""]], "[["]', 3),
        (r'["\"]\"", [1]]', 2),
    ],
)
def test_depth_is_counted_outside_strings(text: str, depth: int) -> None:
    assert decode_tagged(text, DecodeLimits(max_depth=depth)) == json.loads(text)
    error = refusal(text, DecodeLimits(max_depth=depth - 1))
    assert error.limit == "max_depth"
    assert f"more than {depth - 1} deep" in error.message


@settings(deadline=None)
@given(VALUES)
def test_limits_are_never_too_low(value: object) -> None:
    """A text within its limits is not parsed into more than they say."""
    text = json.dumps(json.loads(encode_tagged(value)))

    def nodes(plain: Any) -> int:
        if isinstance(plain, dict):
            return 1 + sum(1 + nodes(item) for item in plain.values())
        return 1 + sum(map(nodes, plain)) if isinstance(plain, list) else 1

    count = nodes(json.loads(text))
    decode_tagged(text, DecodeLimits(max_nodes=2 * count))
    if count > 1:
        assert refusal(text, DecodeLimits(max_nodes=count - 1)).limit == "max_nodes"


def deepest(plain: Any) -> int:
    if isinstance(plain, (dict, list)):
        inner = plain.values() if isinstance(plain, dict) else plain
        return 1 + max(map(deepest, inner), default=0)
    return 0


@settings(deadline=None)
@given(VALUES, st.sampled_from([1, 2, 7]), st.sampled_from([None, 2]))
def test_depth_is_exact_however_the_text_is_cut(
    value: object, piece: int, space: int | None
) -> None:
    plain = json.loads(encode_tagged(value))
    text, depth = " " + json.dumps(plain, indent=space), deepest(plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "_PIECE", piece)
        decode_tagged(text, DecodeLimits(max_depth=depth or 1))
        if depth > 1:
            assert refusal(text, DecodeLimits(max_depth=depth - 1)).limit == "max_depth"


@settings(deadline=None)
@given(
    st.recursive(
        st.text("a,: \u00e9", max_size=3) | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("a, ", max_size=2), inner),
    ),
    st.sampled_from([1, 2, 7, 1 << 20]),
)
def test_a_quick_look_is_enough_where_no_string_has_brackets(plain: object, piece: int) -> None:
    text, depth = json.dumps(plain, ensure_ascii=False), deepest(plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "_PIECE", piece)
        assert json_limits._is_shallow(text, depth)
        assert not depth or not json_limits._is_shallow(text, depth - 1)


@settings(deadline=None)
@given(
    st.recursive(
        st.just("a"), lambda inner: st.lists(inner) | st.dictionaries(st.just("b"), inner)
    ),
    st.sampled_from([1, 2, 7, 1 << 20]),
)
def test_taking_out_the_innermost_brackets_tells_the_depth(plain: object, piece: int) -> None:
    text, depth = json.dumps([plain, "c", plain]), deepest([plain])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "_PIECE", piece)
        patch.setattr(json_limits, "_FEW", 0)
        assert not json_limits._is_shallow(text, depth - 1)
        assert json_limits._is_shallow(text, depth) or piece < len(text) or depth > 16
        assert json_limits._is_shallow(text, depth + 16)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("[]", 1),
        ("[[],[],[[]]]", 3),
        ('[["a"], {"b": [1]}, ""]', 3),
        ('{"a": "b", "c": ["", "", "d"], "e": "f"}', 2),
        ("[X]", 1),
    ],
)
def test_a_quick_look_is_exact(text: str, depth: int) -> None:
    assert json_limits._is_shallow(text, depth)
    assert not json_limits._is_shallow(text, depth - 1)


@pytest.mark.parametrize(
    ("text", "max_depth"), [("[" + '["a"],' * 600 + "[]]", 500), ('["]","[",{}]', 3)]
)
def test_what_is_shallow_at_a_glance_is_not_taken_apart(
    text: str, max_depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(json_limits, "_walk")
    found = json_limits.parse_json(text, DecodeLimits(max_depth=max_depth))
    assert found == json.loads(text)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("text", ['["]", [1]]', r'["\"]\""]', '["a", "b]', '["', '["]["]'])
def test_a_quick_look_does_not_guess(text: str) -> None:
    assert not json_limits._is_shallow(text, 500)


@pytest.mark.parametrize("text", ["1,2,3\n" * 50, "a: [[[[[]]]]] {}" * 9, '"a" ,,,,,,,,,,,,,,,,,,'])
def test_plain_text_has_no_nodes(text: str) -> None:
    assert "is not JSON" in refusal(text, DecodeLimits(max_nodes=5, max_depth=2)).message
    assert decode_tagged('",,,,,,,,,,,,,,,[[["', DecodeLimits(max_nodes=1, max_depth=1))


def test_half_a_character_outside_of_strings_is_not_json() -> None:
    assert "is not JSON" in refusal('[\ud800, "[[["]', DecodeLimits(max_depth=1)).message


@pytest.mark.usefixtures("pieces")
def test_an_unfinished_text_is_not_json() -> None:
    text = '[[],[],{"a'
    assert "is not JSON" in refusal(text, DecodeLimits(max_depth=2)).message
    assert refusal(text, DecodeLimits(max_depth=1)).limit == "max_depth"


@pytest.mark.usefixtures("pieces")
def test_white_space_in_front_hides_nothing() -> None:
    assert refusal(" \t\r\n" * 10 + "[[[1]]]", DecodeLimits(max_depth=2)).limit == "max_depth"


def test_what_follows_a_complete_value_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log, say, whose lines begin with a bracket."""
    monkeypatch.setattr(json_limits, "_PIECE", 6)
    text = "[INFO] one, two, [three], {four}, five\n" * 20
    assert "is not JSON" in refusal(text, DecodeLimits(max_nodes=9)).message


def test_24_mb_of_empty_lists_are_refused_before_they_are_made() -> None:
    text = "[" + "[]," * 8_000_000 + "[]]"
    with at_most(20):
        assert refusal(text).limit == "max_memory_bytes"
        assert refusal(text, DecodeLimits(max_memory_bytes=1 << 40)).limit == "max_nodes"


@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_100_000_nested_lists_are_refused(pair: str) -> None:
    text = pair[:-1] * 100_000 + "1" + pair[-1] * 100_000
    with at_most(10):
        assert refusal(text).limit == "max_depth"


def test_python_may_run_out_of_stack_first() -> None:
    text = "[" * 100_000 + "]" * 100_000
    error = refusal(text, DecodeLimits(max_depth=200_000))
    assert error.limit == "max_depth"
    assert error.message == "The text nests lists or dicts deeper than Python's stack allows"


def test_a_million_digits_are_refused() -> None:
    for text in ("1" * 1_000_000, "[-" + "1" * 1_000_000 + "]"):
        error = refusal(text)
        assert "number that Python does not read" in error.message
        assert error.limit == ""
    assert decode_tagged("1" * 4000) == int("1" * 4000)


def test_checking_a_long_text_does_not_copy_it() -> None:
    text = '["' + "x" * (20 * MIB) + '",' + "[]," * 600 + "1]"
    with at_most(20 + 8):  # the string itself, and one piece
        assert len(decode_tagged(text)) == 602


# ---- zip bombs ---------------------------------------------------------------------------------


def bomb(mebibytes: int) -> str:
    return array_tag(npy(header("|u1", (mebibytes * MIB,)), b"\0" * (mebibytes * MIB)))


def test_a_zip_bomb_is_stopped_while_it_inflates() -> None:
    text, limits = bomb(100), DecodeLimits(max_inflated_bytes=MIB)
    with at_most(6):
        error = refusal(text, limits)
    assert error.limit == "max_inflated_bytes"
    assert "max_inflated_bytes" in error.message
    assert error.path == "$"


def test_the_limit_is_for_all_arrays_of_a_text_together() -> None:
    text = f"[{', '.join([bomb(1)] * 8)}]"
    limits = DecodeLimits(max_inflated_bytes=4 * MIB)
    with at_most(12):
        error = refusal(text, limits)
    assert error.limit == "max_inflated_bytes"
    assert error.path == "$[3]"
    assert len(decode_tagged(text)) == 8


def test_the_limit_is_exact() -> None:
    decode_tagged(array_tag(GOOD), DecodeLimits(max_inflated_bytes=len(GOOD)))
    with pytest.raises(DecodeError):
        decode_tagged(array_tag(GOOD), DecodeLimits(max_inflated_bytes=len(GOOD) - 1))


def test_a_giant_shape_allocates_nothing() -> None:
    text = array_tag(npy(header("<f8", (10**12,))))
    with at_most(1):
        refusal(text)


def test_an_array_is_not_copied() -> None:
    text = encode_tagged(np.zeros(2 * MIB))
    with at_most(20 + 3):  # 16 MiB, and what a growing bytearray takes ahead
        decode_tagged(text)


# ---- how messages point at values --------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text"),
    [(3, "[3]"), ("a", ".a"), ("a b", "['a b']"), ("", "['']"), (None, "[None]")],
)
def test_a_step_of_a_path(key: object, text: str) -> None:
    assert step(key) == text


def test_everything_is_shortened() -> None:
    assert shown([[[[1]]], 2, 3, 4, 5]) == "[[[[...]]], 2, 3, 4, ...]"
    assert len(step("x" * 1000)) < 80
    assert step("x" * 60) == "." + "x" * 60
    assert step("x" * 61).startswith("['xxx")
    assert len(shown({str(i) * 100: [[["x" * 100]]] for i in range(1000)})) < 1000


def test_an_array_is_shown_by_its_shape() -> None:
    rows = np.empty(1, dtype=object)
    rows[0] = list(range(100_000))
    assert shown(rows) == "<ndarray of object and shape (1,)>"
    wide = np.zeros(2, dtype=[(f"field{i}", "i4") for i in range(20)])
    assert shown(wide) == f"<ndarray of {str(wide.dtype)[:60]} and shape (2,)>"


def test_a_path_is_found_in_order() -> None:
    root = {"a": [0, {"b": []}], "c": [[1], 2]}
    assert find_path(root, lambda value: value == 2) == "$.c[1]"
    assert find_path(root, lambda value: value == 1) == "$.c[0][0]"
    assert find_path(root, lambda value: value == []) == "$.a[1].b"
    assert find_path(root, lambda value: value is root) == "$"
    assert find_path(root, lambda value: value == 9) == ""


def test_what_is_allowed_if_nobody_says_more() -> None:
    said = DecodeLimits()
    assert (said.max_text_bytes, said.max_inflated_bytes) == (256 << 20, 256 << 20)
    assert (said.max_nodes, said.max_depth) == (10_000_000, 500)
    assert said.max_memory_bytes == 512 << 20


@pytest.mark.parametrize("text", ["[[],[],X]", '["]",[],[],X]'])
def test_a_letter_outside_of_strings_is_no_bracket(text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_tagged(text, DecodeLimits(max_depth=2))
    assert caught.value.limit == ""


@pytest.mark.parametrize(
    ("size", "pieces"),
    [
        (2, [('"a', 0), ("\\n", 1), ('b"', 1)]),
        (3, [('"a', 0), ('\\nb"', 1)]),
    ],
)
def test_a_text_is_not_cut_within_an_escape(
    size: int, pieces: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_limits, "_PIECE", size)
    assert [*json_limits._pieces('"a\\nb"', 0)] == pieces
