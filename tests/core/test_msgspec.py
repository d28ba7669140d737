"""With msgspec, every text comes to what it comes to without it."""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from decimal import Decimal, localcontext
from importlib.util import find_spec

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parsers import parsed_by
from test_json_memory import SHAPES, bound, taken
from test_small_texts import TEXTS, outcome

from runtime_core.fast_json import Parse, fast_parser, is_fit
from runtime_core.json_limits import DecodeLimits, parse_json
from runtime_core.json_memory import memory_of_keys
from runtime_core.tagged_json import load_tagged

pytestmark = pytest.mark.skipif(not find_spec("msgspec"), reason="msgspec is missing")

LIMITS = DecodeLimits()
NUMBER = r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?"


def agree(text: str, limits: DecodeLimits = LIMITS) -> None:
    """Refuse a text of which msgspec makes something that `json` does not."""
    outcomes = []
    for parser in ("json", "msgspec"):
        with parsed_by(parser):
            found = outcome(lambda: load_tagged(text, limits))
            outcomes.append((found, outcome(lambda: parse_json(text, limits))))
    assert outcomes[0] == outcomes[1]


@pytest.fixture
def parse() -> Parse:
    found = fast_parser()
    assert found is not None
    return found


WHOLE = [sign * 2**bits + more for bits in (63, 64) for sign in (1, -1) for more in (-1, 0, 1)]
DOUBTFUL = [
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "0e999999", "-0", "-0.0"),
    *("01", "1.", ".5", "+1", "1e", "-", "1E+2", "1e5", "0x1", "1_0", "1e0000000000005"),
    *map(str, WHOLE),
    *("19999999999999999999", "18446744073709551620", "9" * 4300, "9" * 4301),
    *("1e99999", "1e100000", "1e-100000", "0.1e999999999999999999999"),
    *('"\ud800"', r'"\ud800"', r'"\udc00"', r'"\ud83d\ude00"', r'"\ud83d\u0041"', r'"\uD83D"'),
    *('"\x01"', '"\x7f"', '"\x85\u2028"', r'"\u0000"', '"\0"', r'"\x"', r'"\/"', r'"\u12G4"'),
    *('{"a":1,"b":2,"a":3}', '{"a":1,}', "{1:2}", "[1,]", '{"a" 1}', "'a'", "nul", "True"),
    *("", " ", "\ufeff1", "1\x0b", "\xa01", "1 2", "/**/1", "1//", "\t1\r\n"),
    r'{"\u0061":1,"a":2}',
]


@pytest.mark.parametrize("around", ["{}", "[1, {}, 2]", "[" + "1.5," * 2000 + "{}]"])
@pytest.mark.parametrize("text", DOUBTFUL)
def test_what_is_doubtful(text: str, around: str) -> None:
    agree(around.replace("{}", text))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_whatever_the_text_is(text: str) -> None:
    agree(text)


@settings(max_examples=300, deadline=None)
@given(st.from_regex(NUMBER, fullmatch=True))
@example("9007199254740993.0")
@example("2.2250738585072011e-308")
def test_numbers(text: str) -> None:
    agree(text)


def test_floats_and_what_is_half_way_between_two(parse: Parse) -> None:
    some, texts = random.Random(1), []
    with localcontext() as context:
        context.prec = 800
        for _ in range(1000):
            (low,) = struct.unpack("d", some.randbytes(8))
            if math.isfinite(low) and math.isfinite(high := math.nextafter(low, math.inf)):
                middle = f"{(Decimal(low) + Decimal(high)) / 2:.780e}"
                texts += [repr(low), middle, middle.replace("e", "1e")]
    text = f"[{','.join(texts)}]"
    assert repr(parse(text)) == repr(json.loads(text))


@pytest.mark.parametrize("size", [9_500, 9_999, 12_300, 99_999])
@pytest.mark.parametrize("before", ["", "1,", "1," * 2047, "1," * 2048, "1," * 5000])
def test_exponents_of_six_digits(size: int, before: str) -> None:
    """It reads five of them, so that numbers that go with such an exponent are misread."""
    for number in (f"0.{'0' * size}1e{size + 1}", f"0.{'0' * size}1e100000"):
        agree(f"[{before}{number}]")
        agree(f"[{before}{number},1]")


def test_it_does_misread_them(parse: Parse) -> None:
    assert parse(f"0.{'0' * 100_000}1e100001") == 0  # else there is nothing to be careful of


def test_a_stack_that_is_too_small() -> None:
    text = "[" * 1500 + "]" * 1500
    agree(text)
    agree(text, DecodeLimits(max_depth=2000))


def test_fewer_digits_may_be_allowed() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        agree("1" * 641)
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_it_takes_is_within_the_bound(shape: str, parse: Parse) -> None:
    text = f"[{','.join(map(SHAPES[shape], range(3000)))}]"
    if is_fit(text):
        peak = taken(lambda: parse(text))
        assert peak <= bound(text) + memory_of_keys(len(text), text.count(":"))


def test_what_long_keys_take_is_within_the_bound(parse: Parse) -> None:
    text = f"[{','.join([json.dumps({'k' * 100: 1})] * 3000)}]"
    peak = taken(lambda: parse(text))
    assert bound(text) < peak <= bound(text) + memory_of_keys(len(text), text.count(":"))


class Derived(str):
    """What a transport of somebody else may give as a text."""


@pytest.mark.parametrize("text", ["[1]", "not JSON", "[" + "1.5," * 2000 + "{}]"])
def test_a_text_of_a_class_of_its_own_is_read(text: str) -> None:
    agree(Derived(text))
