"""Plain data into attrs classes: nothing coerced, every problem told."""

from __future__ import annotations

import re
import subprocess
import sys
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import Annotated, Any, Final, Generic, Literal, NewType, Optional, TypeVar, Union

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typing_extensions import TypeAliasType

from runtime_core.errors import DecodeError, UsageError
from runtime_core.json_limits import DecodeLimits
from runtime_core.structured import StructuredDecoder, structure
from runtime_core.tagged_json import encode_tagged
from runtime_core.value_path import shown

T = TypeVar("T")
Shots = NewType("Shots", int)


class Color(Enum):
    RED = "red"
    ONE = 1


class Level(IntEnum):
    LOW = 1


@attrs.frozen
class Box(Generic[T]):
    item: T


@attrs.frozen
class Tree:
    name: str
    left: Tree | None = None
    rest: list[Tree] = attrs.field(factory=list)


@attrs.frozen
class Short:
    x: int


@attrs.frozen
class Long:
    x: int
    y: int


@attrs.frozen
class LongBox(Generic[T]):
    x: int
    item: T


@attrs.frozen
class Picky:
    x: int = attrs.field(validator=attrs.validators.gt(0))


@attrs.frozen
class Whole:
    x: float = attrs.field(validator=attrs.validators.instance_of(int))


@attrs.frozen
class Raising:
    x: int

    def __attrs_post_init__(self) -> None:
        raise RuntimeError


@attrs.frozen
class Result:
    energies: list[float]
    at: datetime
    amplitude: complex
    tags: set[str]
    color: Color
    grid: tuple[int, ...]
    pair: tuple[int, str]
    counts: dict[str, int]
    note: str | None
    tree: Tree
    frozen: frozenset[tuple[int, int]] = frozenset()


@attrs.frozen
class Holder:
    """A field of a type that nothing is made into."""

    data: list[bytes]


class Alias:
    """What `type Name = int` makes in Python 3.12."""

    __value__ = int


Alias.__name__ = "TypeAliasType"


def fit(value: object, cls: Any) -> Any:
    return structure({"item": value}, Box[cls], "box").item


def problem(value: object, cls: Any) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        fit(value, cls)
    return caught.value


NOW = datetime(2024, 5, 1, tzinfo=UTC)
ARRAY = np.arange(3)


@pytest.mark.parametrize(
    ("value", "cls", "expected"),
    [
        ("a", str, "a"),
        (True, bool, True),
        (3, int, 3),
        (None, None, None),
        (1j, complex, 1j),
        (NOW, datetime, NOW),
        (1.5, float, 1.5),
        (2, float, 2.0),
        ([1], Any, [1]),
        ([1], object, [1]),
        ([1, 2], list[int], [1, 2]),
        ([1, "a"], list, [1, "a"]),
        ([1, 2], typing.List[int], [1, 2]),  # noqa: UP006 # older code writes it so
        ([1, 2], Sequence[int], [1, 2]),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, "a"], tuple, (1, "a")),
        ([1, "a"], tuple[int, str], (1, "a")),
        ({1, 2}, set[int], {1, 2}),
        ({1, 2}, frozenset[int], frozenset({1, 2})),
        (frozenset({1, 2}), set[int], {1, 2}),
        ({(1, 2)}, set[tuple[int, int]], {(1, 2)}),
        ({frozenset({1})}, set[frozenset[int]], {frozenset({1})}),
        ({"a": 1}, dict[str, int], {"a": 1}),
        ({"a": 1}, dict, {"a": 1}),
        ({"a": 1}, Mapping[str, float], {"a": 1.0}),
        ({"red": 1}, dict[Color, int], {Color.RED: 1}),
        ("red", Color, Color.RED),
        (1, Color, Color.ONE),
        (1, Level, Level.LOW),
        ("a", Literal["a", 1], "a"),
        (1, Literal["a", 1], 1),
        ("red", Literal[Color.RED], Color.RED),
        (None, Optional[int], None),  # noqa: UP045 # older code writes it so
        (1, Union[int, str], 1),  # noqa: UP007 # older code writes it so
        ("a", int | str, "a"),
        ("red", Color | str, Color.RED),
        ("blue", Color | str, "blue"),
        (1, float | int, 1),
        (1, float | str, 1.0),
        ({"x": 1, "y": 2}, Short | Long | int, Long(1, 2)),  # Short | Long is Long | Short
        ({"x": 1}, Long | Short, Short(1)),
        ({"x": 1, "item": 2}, Short | LongBox[int], LongBox(1, 2)),
        ({"x": 1}, dict[str, int] | Short, Short(1)),
        (5, Short | int, 5),
        ({"item": 1}, Short | Box[int], Box(1)),
        (1, Shots, 1),
        (1, Annotated[int, "positive"], 1),
        (1, Final[int], 1),
        (1, Alias(), 1),
        ({"item": 2}, Box[int], Box(2)),
    ],
)
def test_what_fits(value: object, cls: Any, expected: object) -> None:
    made = fit(value, cls)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("value", "cls", "text"),
    [
        (5, str, "expected str, got 5 (int)"),
        ("5", int, "expected int, got '5' (str)"),
        (True, int, "expected int, got True (bool)"),
        (1.0, int, "expected int, got 1.0 (float)"),
        (1, bool, "expected bool, got 1 (int)"),
        (True, float, "expected float, got True (bool)"),
        ("1.5", float, "expected float, got '1.5' (str)"),
        (10**400, float, "expected float, got 1000"),
        (None, str, "expected str, got None"),
        ("ab", list[str], "expected list[str], got 'ab' (str)"),
        ("ab", set[str], "expected set[str], got 'ab' (str)"),
        (["a"], set[str], "expected set[str], got ['a'] (list)"),
        ({"a"}, list[str], "expected list[str], got {'a'} (set)"),
        ({"a": 1}, list[str], "expected list[str], got {'a': 1} (dict)"),
        ([["a", 1]], dict[str, int], "expected dict[str, int], got [['a', 1]] (list)"),
        ([1], tuple[int, str], "expected tuple[int, str], got [1] (list)"),
        ([1, "a", 2], tuple[int, str], "expected tuple[int, str], got [1, 'a', 2] (list)"),
        ("2024-05-01", datetime, "expected datetime, got '2024-05-01' (str)"),
        (1, complex, "expected complex, got 1 (int)"),
        (True, Literal[1], "expected one of 1, got True (bool)"),
        ("blue", Color, "expected one of 'red', 1, got 'blue' (str)"),
        (True, Color, "expected one of 'red', 1, got True (bool)"),
        ([], int | str, "expected int | str, got [] (list)"),
        ([], Color | str, "expected Color | str, got [] (list)"),
        ([1], NDArray[np.int64], "expected numpy.ndarray"),
        ([1], np.ndarray, "expected ndarray, got [1] (list)"),
        ([1], Tree, "expected Tree, got [1] (list)"),
    ],
)
def test_what_does_not_fit(value: object, cls: Any, text: str) -> None:
    error = problem(value, cls)
    assert text in error.message
    assert error.message.startswith("The box does not fit ")
    assert error.path == "$.item"
    assert str(error).endswith("(at $.item)")


@pytest.mark.parametrize(
    "cls", [NewType("Other", int), Annotated[int, "other"], Final[int], Alias()]
)
def test_what_stands_for_another_type_is_as_strict(cls: Any) -> None:
    assert fit(1, cls) == 1
    assert "expected int, got 'a' (str)" in problem("a", cls).message


@pytest.mark.parametrize("cls", [np.ndarray, NDArray[np.float64]])
def test_arrays_fit(cls: Any) -> None:
    assert fit(ARRAY, cls) is ARRAY


@pytest.mark.parametrize(
    ("value", "cls", "path"),
    [
        ([1, "a"], list[int], "$.item[1]"),
        ([1, "a"], tuple[int, ...], "$.item[1]"),
        (["a", "b"], tuple[str, int], "$.item[1]"),
        ({"a": "x"}, dict[str, int], "$.item.a"),
        ({"a b": "x"}, dict[str, int], "$.item['a b']"),
        ({"1": 1}, dict[int, int], "$.item['1']"),
        ({1}, set[str], "$.item"),
        ({"name": "a", "left": {"name": 5}}, Tree, "$.item.left.name"),
        ({"name": "a", "rest": [{"name": "b"}, {"name": 5}]}, Tree, "$.item.rest[1].name"),
        ({"name": "a", "rest": [{}]}, Tree | None, "$.item.rest[0].name"),
    ],
)
def test_the_path_leads_to_the_value(value: object, cls: Any, path: str) -> None:
    assert problem(value, cls).path == path


def test_every_problem_is_told() -> None:
    with pytest.raises(DecodeError) as caught:
        structure({"name": 5, "left": {}, "rest": ["x", {"name": None}]}, Tree, "tree")
    assert caught.value.path == "$.name"
    assert caught.value.message == (
        "The tree does not fit Tree: expected str, got 5 (int) at $.name; "
        "missing, expected str at $.left.name; "
        "expected Tree, got 'x' (str) at $.rest[0]; "
        "expected str, got None at $.rest[1].name"
    )


def test_of_many_problems_ten_are_told() -> None:
    error = problem(["x"] * 100_000, list[int])
    assert error.message.count("expected int") == 10
    error = problem({"a": {str(i): "x" for i in range(50)}}, dict[str, dict[str, int]])
    assert error.message.count("expected int") == 10


def test_problems_of_several_places_are_ten_together() -> None:
    error = problem({key: ["x"] * 9 for key in "abc"}, dict[str, list[int]])
    assert error.message.count("expected int") == 10


def test_after_ten_problems_the_rest_is_not_looked_at() -> None:
    seen: list[int] = []

    def refuse(_: object, __: object, value: int) -> None:
        seen.append(value)
        raise ValueError(value)

    made = attrs.make_class("Made", {"x": attrs.field(type=int, validator=refuse)})
    problem([{"x": index} for index in range(1000)], list[made])  # type: ignore[valid-type] # made
    assert seen == list(range(10))


def test_a_big_value_is_shortened() -> None:
    error = problem("x" * 1_000_000, int)
    assert len(error.message) < 300
    assert len(problem(list(range(1_000_000)), str).message) < 300


def test_what_the_class_says_against_its_values_is_told() -> None:
    with pytest.raises(DecodeError) as caught:
        structure({"x": -1}, Picky, "thing")
    assert caught.value.message == "The thing does not fit Picky: ValueError: 'x' must be > 0: -1"
    assert caught.value.path == "$"
    with pytest.raises(DecodeError) as caught:
        structure({"x": 1.5}, Whole, "thing")  # whose error has the field, too
    assert caught.value.message.endswith("(got 1.5 that is a <class 'float'>).")
    with pytest.raises(DecodeError) as caught:
        structure({"x": 1}, Raising, "thing")
    assert caught.value.message == "The thing does not fit Raising: RuntimeError"


def test_a_converter_of_a_field_may_fail() -> None:
    def fail(value: int) -> int:
        raise LookupError("nothing there" * 1000)

    made = attrs.make_class("Made", {"x": attrs.field(type=int, converter=fail)})
    with pytest.raises(DecodeError) as caught:
        structure({"x": 1}, made, "thing")
    told = f"LookupError: {'nothing there' * 1000}"[:200]
    assert caught.value.message == f"The thing does not fit Made: {told}"


def test_a_key_that_a_converter_misses_is_no_missing_field() -> None:
    made = attrs.make_class("Made", {"x": attrs.field(type=int, converter={2: "b"}.__getitem__)})
    assert structure({"x": 2}, made, "thing") == made(2)
    with pytest.raises(DecodeError, match="does not fit Made: KeyError: 1"):
        structure({"x": 1}, made, "thing")


def test_a_failing_hook_of_a_field_is_told_with_its_path() -> None:
    deep: Any = {"name": "leaf"}
    for _ in range(2000):
        deep = {"name": "node", "left": deep}
    with pytest.raises(DecodeError, match="RecursionError") as caught:
        structure(deep, Tree, "tree")
    assert re.fullmatch(r"\$(\.left)+(\.name)?", caught.value.path)


def test_unknown_keys_are_ignored_and_defaults_used() -> None:
    assert structure({"name": "a", "new": 1}, Tree, "tree") == Tree("a")


def test_a_missing_field_is_an_error() -> None:
    with pytest.raises(DecodeError, match="missing, expected str"):
        structure({}, Tree, "tree")


@pytest.mark.parametrize("cls", [bytes, bytearray, list[bytes], bytes | int, Holder])
def test_a_type_that_nothing_is_made_into_is_our_error(cls: Any) -> None:
    value = {"data": [1]} if cls is Holder else [1]
    with pytest.raises(UsageError, match="is not a type that plain data is made into") as caught:
        fit(value, cls)
    assert str(caught.value).endswith("; runtime_core.structured has the list of those that are")


def test_an_unsupported_type_below_a_supported_one_is_our_error_too() -> None:
    with pytest.raises(UsageError, match="bytes is not a type"):
        structure({"data": [1]}, Holder, "holder")


def test_a_generic_class_needs_its_type() -> None:
    words = "^Box cannot be made of plain data: Missing type for generic argument T"
    with pytest.raises(UsageError, match=words):
        structure({"item": 1}, Box, "box")


def test_a_field_without_a_type_takes_anything() -> None:
    made = attrs.make_class("Made", ["x"])
    assert structure({"x": [1]}, made, "thing") == made([1])


# ---- the decoder -------------------------------------------------------------------------------


def a_result(name: str = "root", **changes: Any) -> Result:
    result = Result(
        energies=[1.5, 2.0],
        at=NOW,
        amplitude=1 - 2j,
        tags={"a", "b"},
        color=Color.RED,
        grid=(1, 2),
        pair=(1, "x"),
        counts={"00": 5},
        note=None,
        tree=Tree(name, Tree("left"), [Tree("r")]),
        frozen=frozenset({(1, 2)}),
    )
    return attrs.evolve(result, **changes)


@settings(deadline=None)
@given(
    energies=st.lists(st.floats(allow_nan=False)),
    tags=st.sets(st.text()),
    counts=st.dictionaries(st.text(), st.integers(-(10**30), 10**30)),
    note=st.none() | st.text(),
    amplitude=st.complex_numbers(allow_nan=False),
    color=st.sampled_from(Color),
)
def test_instances_round_trip(**changes: Any) -> None:
    result = a_result(**changes)
    assert StructuredDecoder(Result).decode(encode_tagged(result)) == result


def test_arrays_in_a_class_round_trip() -> None:
    decoder: StructuredDecoder[Box[Any]] = StructuredDecoder(Box[NDArray[np.int64]])
    assert (decoder.decode(encode_tagged(Box(ARRAY))).item == ARRAY).all()


def test_a_typed_decoder_needs_json() -> None:
    with pytest.raises(DecodeError, match=r"'<html>' is not JSON"):
        StructuredDecoder(Tree).decode("<html>")


def test_the_decoder_says_what_does_not_fit() -> None:
    with pytest.raises(DecodeError, match="The data does not fit Tree: expected str") as caught:
        StructuredDecoder(Tree).decode('{"name": 1}')
    assert caught.value.path == "$.name"


def test_the_decoder_has_limits() -> None:
    with pytest.raises(DecodeError) as caught:
        StructuredDecoder(Tree, limits=DecodeLimits(max_text_bytes=5)).decode('{"name": 1}')
    assert caught.value.limit == "max_text_bytes"


def test_the_limits_of_a_decoder_are_named() -> None:
    with pytest.raises(TypeError, match="positional"):
        StructuredDecoder(Tree, DecodeLimits())  # type: ignore[call-arg] # what is tested


@pytest.mark.parametrize("cls", [int, dict, "Tree", None, Tree("a"), list[Tree], 5])
def test_the_decoder_needs_an_attrs_class(cls: Any) -> None:
    with pytest.raises(UsageError, match="StructuredDecoder needs an attrs class") as caught:
        StructuredDecoder(cls)
    assert str(caught.value).endswith(f", not {shown(cls)}")


def test_cattrs_and_numpy_are_imported_at_first_use_only() -> None:
    code = (
        "import sys, runtime_core.structured as s, runtime_core.decoders, attrs\n"
        "decoder = s.StructuredDecoder(attrs.make_class('A', ['x']))\n"
        "assert not {'cattrs', 'numpy'} & set(sys.modules)\n"
        "decoder.decode('{\"x\": 1}')\n"
        "assert 'cattrs' in sys.modules and 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_alias_with_a_parameter_stands_for_its_type() -> None:
    item = TypeVar("item")
    pair: Any = TypeAliasType("pair", tuple[item, item], type_params=(item,))  # type: ignore[arg-type]
    assert fit([1, 2], pair[int]) == (1, 2)
    assert "expected int, got 'a'" in str(problem([1, "a"], pair[int]))
