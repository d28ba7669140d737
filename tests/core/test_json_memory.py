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
from runtime_core.json_memory import MemoryTally, most_memory, rough_memory
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


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("[]", 121 + 32),  # which might be a number
        ("[1.5]", 121 + 32),
        ("[1234]", 121 + 32),
        ("[12345]", 121 + 32 + 1),
        (f"[{'1' * 20}]", 121 + 32 + 16),
        (f"[{'1' * 22}]", 121 + 32 + 16 + 1),
        (f"[{'1' * 22}.5]", 121 + 32 + 2),
        (f"[{'1' * 22},{'1' * 22}]", 121 + 9 + 2 * (32 + 16 + 1)),
        ("[1,2,3]", 121 + 2 * 9 + 3 * 32),
        ("[[],[]]", 3 * 121 + 9 + 2 * 32),
        ("{}", 64 + 32),
        ("[{},{}]", 121 + 9 + 2 * (64 + 32)),
        ('{"a":1}', 64 + 128 + 88 + 64 + 1 + 32),
        ('{"a":1,"a":2}', 64 + 128 + 88 + 64 + 1 + 9 + 2 * 32),
        ('{"a": {"bc":{}}}', 3 * 64 + 2 * (128 + 88 + 64) + 1 + 2 + 32),
        ("{" + ",".join(f'"{i}":1' for i in range(5)) + "}", 64 + 128 + 5 * (153 + 32) + 4 * 9),
        ("{" + ",".join(f'"{i}":1' for i in range(6)) + "}", 64 + 128 + 6 * 185 + 5 * (9 + 44)),
        ('[{"a":"a"},{"a":"b"}]', 121 + 9 + 2 * (64 + 128) + 153 + 2 * 65),
        ('{"a" :1}', 64 + 128 + 88 + 64 + 1 + 32),
        ('["a","bc"]', 121 + 9 + 2 * 64 + 1 + 2),
        ('["a",1]', 121 + 9 + 64 + 1 + 32),
        (r'["\\\\\\"]', 121 + 64 + 3),
        (r'["\"\\"]', 121 + 64 + 2),
        (r'["\n"]', 121 + 64 + 2),
        ('["\u00e9x"]', 121 + 96 + 2),
        (r'["\u00e9"]', 121 + 96 + 2 * 6),
        (r'["\ud83d"]', 121 + 96 + 4 * 6),
        (r'["\uD83D"]', 121 + 96 + 4 * 6),
        ('["\u03c8x"]', 121 + 96 + 2 * 2),
        ('["\U0001f600x"]', 121 + 96 + 4 * 2),
        ('["\U0001f600\\u00e9"]', 121 + 96 + 4 * 7),
        ('["\u00e9\\u00e9"]', 121 + 96 + 2 * 7),
        ('["\u03c8\\ud83d"]', 121 + 96 + 4 * 7),
        ('{"\u00e9":1}', 64 + 128 + 88 + 96 + 1 + 32),
    ],
)
def test_a_bound_is_what_the_table_of_the_module_says(text: str, size: int) -> None:
    assert bound(text) == 4096 + size


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 20])
def test_where_a_text_is_cut_costs_nothing_outside_of_strings(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_limits, "_PIECE", piece)
    assert bound("[12345,[[]],{},{},1.5]") == 4096 + 3 * 121 + 2 * 64 + 4 * 9 + 5 * 32
    assert bound("[" + "1" * 30 + ",1.5]") == 4096 + 121 + 9 + 2 * 32 + 16
    assert bound('"' + "x" * 100 + '"') == 4096 + 32 + 102  # of one string, with its quotes


def test_a_string_that_is_cut_costs_what_it_takes_while_it_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_limits, "_PIECE", 10)
    around = 121 + 240  # of a list, and of a string that may be anything
    for text, size in [
        ('["' + "x" * 100 + '"]', 100),
        (r'["\n' + "x" * 98 + '"]', 100 + 25),
        ('["' + "x" * 7 + r"\n" + "x" * 91 + '"]', 100 + 25),
        (r'["\u00e9' + "x" * 94 + '"]', 200 + 175),
        ('["' + "\u03c8" * 100 + '"]', 200),
    ]:
        assert bound(text) == 4096 + around + size


def test_dicts_in_several_pieces_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_limits, "_PIECE", 9)  # ends after the first dict
    assert bound('[{"a":1},{"b":1}]') == 4096 + 121 + 9 + 2 * (64 + 128 + 153 + 32)
    monkeypatch.setattr(json_limits, "_PIECE", 5)  # after which the key is known to be one
    assert bound('[{"a":1}]') == 4096 + 121 + 64 + 128 + 153 + 32


def test_strings_that_are_cut_are_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_limits, "_PIECE", 10)
    long = '"' + "x" * 100 + '"'
    assert bound(f"[{long},{long},1]") == 4096 + 121 + 2 * 9 + 2 * (100 + 240) + 32


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
def test_the_check_makes_the_same_bound(
    around: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_limits, "_PIECE", 100)
    text = around.format("x" * 1000 + end)
    needs = bound(text)
    assert json_limits._check_structure(text, DecodeLimits(max_memory_bytes=needs)) == needs


@pytest.mark.parametrize(
    ("text", "of_a_character"), [('["abc"]', 1), ('["ab\u00e9"]', 8), ('["ab\\n"]', 8)]
)
def test_a_rough_bound(text: str, of_a_character: int) -> None:
    assert rough_memory(text, 2) == 4096 + 2 * 180 + len(text) * of_a_character


@pytest.mark.parametrize("size", [1, 10, 4096])
def test_most_of_all_takes_a_text_whose_every_character_begins_a_value(size: int) -> None:
    assert most_memory(size) == rough_memory("[" * (size - 1) + "\u00e9", size + 1)


def test_what_is_much_less_than_is_allowed_is_bounded_roughly() -> None:
    text = "[1,2.5,[3]]"
    rough = rough_memory(text, 4)
    limits = DecodeLimits(max_memory_bytes=4 * rough)
    assert json_limits._check_structure(text, limits) == rough
    limits = DecodeLimits(max_memory_bytes=4 * rough - 1)
    assert json_limits._check_structure(text, limits) == bound(text) < rough


@pytest.mark.parametrize("text", ['"[[["', '["[[["]'])
def test_marks_in_a_string_do_not_change_a_rough_bound(text: str) -> None:
    for limits in (DecodeLimits(max_depth=1), DecodeLimits(max_nodes=2)):
        assert json_limits._check_structure(text, limits) == rough_memory(text, text.count("["))


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
        ("ndarray", "1,2,3", 8 * 3),
        ("ndarray", "[1,2],[3,4],[5,6]", 9 * 3 * 2 + 8 * 6),
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
