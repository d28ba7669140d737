"""What a text takes in memory is never more than what was bounded before it was parsed."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime_core import DecodeError, json_limits
from runtime_core.json_limits import Allowance, DecodeLimits, parse_json
from runtime_core.json_memory import MemoryTally, rough_memory
from runtime_core.tagged_json import decode_tagged

UNITS = 10_000

SHAPES: dict[str, Callable[[int], str]] = {
    "empty lists": lambda i: "[]",
    "lists of one": lambda i: "[1.5]",
    "lists of five": lambda i: "[1.5,2.5,3.5,4.5,5.5]",
    "empty dicts": lambda i: "{}",
    "dicts of one key": lambda i: '{"a":1}',
    "dicts of six keys": lambda i: '{"a":1.5,"b":1.5,"c":1.5,"d":1.5,"e":1.5,"f":1.5}',
    "dicts of other keys": lambda i: f'{{"k{i}":1.5}}',
    "dicts of keys that differ by escapes": lambda i: f'{{"{escapes(i)}":1.5}}',
    "nested": lambda i: f'{{"k{i}":[{{"l{i}":[]}}]}}',
    "floats": lambda i: f"{i}.5",
    "exact floats": lambda i: repr(i / 7),
    "ints": lambda i: str(i + 1000),
    "long ints": lambda i: str(i + 10**18),
    "longer ints": lambda i: "9" * 400,
    "short texts": lambda i: f'"{i}"',
    "long texts": lambda i: f'"{"x" * 400}{i}"',
    "escaped texts": lambda i: f'"\\n\\"{i}\\\\"',
    "escaped accents": lambda i: f'"{i}\\u00e9"',
    "escaped emoji": lambda i: f'"{i}\\ud83d\\ude00"',
    "accents": lambda i: f'"{i}\u00e9"',
    "greek": lambda i: f'"{i} and a few more \u03c8"',
    "emoji": lambda i: f'"{i} and a few more \U0001f600"',
}


def escapes(i: int) -> str:
    """Texts of one length, that only differ by which characters are escaped."""
    return "".join('\\"' if i >> bit & 1 else "\\\\" for bit in range(16))


def bound(text: str) -> int:
    """What is bounded by a look at every value."""
    tally = MemoryTally("\\" in text)
    if json_limits._FIRST_BRACKET.match(text):
        json_limits._walk(text, 0, DecodeLimits(max_memory_bytes=1 << 40, max_nodes=1 << 40), tally)
        return tally.total
    return json_limits._memory_of_one(text)


def taken(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        kept = work()
        del kept
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_list_of_them_takes_no_more_than_its_bound(shape: str) -> None:
    text = f"[{','.join(map(SHAPES[shape], range(UNITS)))}]"
    peak = taken(lambda: json.loads(text))
    assert peak <= bound(text) <= 4 * peak + 4096
    assert bound(text) <= rough_memory(text, json_limits._brackets(text) + text.count(",") * 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_dict_of_them_takes_no_more_than_its_bound(shape: str) -> None:
    text = "{" + ",".join(f'"{i}":' + SHAPES[shape](i) for i in range(UNITS)) + "}"
    peak = taken(lambda: json.loads(text))
    assert peak <= bound(text) <= 4 * peak + 4096


@pytest.mark.parametrize("start", ["x", "\\n", "\\u00e9", "\\u03c8", "\\ud83d\\ude00", "\u03c8"])
@pytest.mark.parametrize("end", ["x", "\\n", "\\u00e9", "\\u03c8", "\\ud83d\\ude00", "\U0001f600"])
@pytest.mark.parametrize("around", ['"{}"', '["{}",1]', '{{"{}":2}}'])
def test_a_long_text_takes_no_more_than_its_bound(start: str, end: str, around: str) -> None:
    text = around.format(start + "x" * 1_500_000 + end)
    peak = taken(lambda: json.loads(text))
    assert peak <= bound(text) <= 4 * peak + 4096
    assert peak <= rough_memory(text, 3)


def test_an_escape_may_be_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '["' + "x" * 50 + '\\ud83d\\ude00","\\\\\\"",{"a\\"\\\\":1}]'
    peak = taken(lambda: json.loads(text))
    for size in range(1, len(text)):
        monkeypatch.setattr(json_limits, "_PIECE", size)
        assert peak <= bound(text) <= 4 * peak + 8192


def test_a_key_in_every_piece_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[" + ",".join(['{"key":1}'] * 1000) + "]"
    whole = bound(text)
    monkeypatch.setattr(json_limits, "_PIECE", len(text) // 10 * 10 // 5)
    assert bound(text) < whole + 5 * 500


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    ),
    st.sampled_from([1, 3, 50, 1 << 20]),
    st.booleans(),
)
def test_any_value_takes_no_more_than_its_bound(value: Any, piece: int, is_ascii: bool) -> None:
    text = f"[{json.dumps(value, ensure_ascii=is_ascii)}]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "_PIECE", piece)
        limit = bound(text)
    assert taken(lambda: json.loads(text)) <= limit


def test_the_limit_is_on_what_was_bounded() -> None:
    text = f"[{','.join(['{}'] * 1000)}]"
    needs = bound(text)
    assert len(parse_json(text, DecodeLimits(max_memory_bytes=needs))) == 1000
    with pytest.raises(DecodeError, match="more than 1,000 bytes of memory") as caught:
        parse_json(text, DecodeLimits(max_memory_bytes=1000))
    assert caught.value.limit == "max_memory_bytes"


@pytest.mark.parametrize("end", ["", "\\n", "\\ud83d\\ude00"])
@pytest.mark.parametrize("around", ['["{}"]', '"{}"'])
def test_the_check_makes_the_same_bound(around: str, end: str) -> None:
    text = around.format("x" * 1000 + end)
    needs = bound(text)
    assert json_limits._check_structure(text, DecodeLimits(max_memory_bytes=needs)) == needs


def test_a_single_text_has_a_bound_too() -> None:
    text = '"' + "x" * 1000 + '\\ud83d\\ude00"'
    assert len(parse_json(text, DecodeLimits(max_memory_bytes=20_000))) == 1001
    with pytest.raises(DecodeError):
        parse_json(text, DecodeLimits(max_memory_bytes=8000))
    with pytest.raises(json.JSONDecodeError):  # it is no JSON: nothing is made of it
        parse_json("x" * 10_000, DecodeLimits(max_memory_bytes=8000))


def test_by_default_it_is_twice_the_larger_size() -> None:
    assert DecodeLimits().max_memory_bytes == 512 << 20
    assert DecodeLimits(max_text_bytes=1 << 30).max_memory_bytes == 2 << 30
    assert DecodeLimits(max_text_bytes=1, max_inflated_bytes=1).max_memory_bytes == 2
    assert DecodeLimits(max_inflated_bytes=1 << 30).max_memory_bytes == 2 << 30


@pytest.mark.parametrize("numbers", [str, lambda i: repr(i / 7), lambda i: "0.1"])
def test_ten_million_numbers_in_a_list_are_allowed(numbers: Callable[[int], str]) -> None:
    some = ",".join(numbers(random.Random(i).randrange(10**7)) for i in range(10_000))
    text = f"[{','.join([some] * 100)}]"
    assert 10 * bound(text) <= DecodeLimits().max_memory_bytes


# ---- what tags make of it ----------------------------------------------------------------------


def spent(text: str) -> int:
    """What was allowed in the end, the values of tags included."""
    low, high = 1, 1 << 40
    while low < high:
        middle = (low + high) // 2
        try:
            decode_tagged(text, DecodeLimits(max_memory_bytes=middle))
            high = middle
        except DecodeError:
            low = middle + 1
    return low


@pytest.mark.parametrize(
    ("tag", "shape"),
    [
        ("set", lambda i: str(i + 1000)),
        ("set", lambda i: f'"{i}"'),
        ("set", lambda i: f"[{i}.5]"),
        ("set", lambda i: f'[{i}.5,[{i},"{i}"]]'),
        ("set", lambda i: f'{{"__type__":"set","__value__":[{i}]}}'),
        ("dict", lambda i: f'["{i}",{i}]'),
        ("ndarray", lambda i: str(i)),
        ("ndarray", lambda i: "[[[1,2]]]"),
        ("ndarray", lambda i: "[]"),
    ],
)
def test_a_tags_value_takes_no_more_than_what_was_counted(
    tag: str, shape: Callable[[int], str]
) -> None:
    decode_tagged('{"__type__":"ndarray","__value__":[1]}')  # numpy is there
    inner = ",".join(map(shape, range(2000)))
    text = f'{{"__type__":"{tag}","__value__":[{inner}]}}'
    assert taken(lambda: decode_tagged(text)) <= spent(text)


@pytest.mark.parametrize(
    ("tag", "inner", "size"),
    [
        ("set", f"[{','.join(['0'] * 100)}]", 400 + 64 + 8 * 100),
        ("set", ",".join(map(str, range(100))), 400 * 100),
        ("dict", ",".join(f'["{i}",1]' for i in range(100)), 100 * 100),
        ("set", '{"__type__":"set","__value__":[1,2,3]}', 400 + 400 * 3),
    ],
)
def test_every_item_of_a_tag_is_counted(tag: str, inner: str, size: int) -> None:
    def text(name: str) -> str:
        return f'{{"__type__":"{name}","__value__":[{inner}]}}'

    unknown = tag[::-1]  # costs what its text costs
    assert spent(text(tag)) - spent(text(unknown)) == size


def test_integers_as_keys_take_no_more_than_what_was_counted() -> None:
    inner = ",".join(f'"{i}":1' for i in range(2000))
    text = (
        '{"__type__":"settings","__module__":"m","__class__":"C",'
        f'"__value__":{{"a":{{{inner},"__int_keys__":true}}}}}}'
    )
    assert taken(lambda: decode_tagged(text)) <= spent(text)


def test_an_allowance_counts_both() -> None:
    allowance = Allowance(DecodeLimits(max_inflated_bytes=10, max_memory_bytes=15))
    allowance.take(5)
    allowance.take_inflated(10)
    with pytest.raises(DecodeError) as caught:
        allowance.take(1)
    assert caught.value.limit == "max_memory_bytes"
    with pytest.raises(DecodeError) as caught:
        allowance.take_inflated(1)
    assert caught.value.limit == "max_inflated_bytes"
