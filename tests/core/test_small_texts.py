"""The quick way for small texts comes to what the long way does, whatever the text is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime_core import SettingsTag, tagged_json
from runtime_core.errors import DecodeError
from runtime_core.json_limits import DecodeLimits, _count
from runtime_core.tagged_json import _load_checked, load_tagged


def tagged(name: object, value: object) -> dict[str, object]:
    return {"__type__": name, "__value__": value}


LIMITS = st.builds(
    DecodeLimits,
    max_text_bytes=st.sampled_from([1, 40, 4000, 1 << 20]),
    max_nodes=st.sampled_from([1, 2, 10, 100, 10_000]),
    max_depth=st.sampled_from([1, 2, 5, 500]),
    max_memory_bytes=st.sampled_from([1, 20_000, 40_000, 100_000, 1 << 29]),
)
TAGS = ["datetime", "complex", "to_json", "set", "dict", "ndarray", "settings", "Result"]
KEYS = st.sampled_from(["__type__", "__value__", "a", "é"]) | st.text(max_size=3)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["set", "datetime", "complex", "2026-01-01"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=3),
        st.builds(tagged, st.sampled_from(TAGS), inner),
        st.builds(tagged, st.just("complex"), st.lists(st.floats() | st.integers(), max_size=3)),
        st.builds(tagged, st.just("datetime"), st.datetimes().map(str)),
    ),
    max_leaves=12,
)
DUMPED = st.builds(json.dumps, VALUES, ensure_ascii=st.booleans())
SPACES = st.text(" \t\n\r\x0b\ufeff", max_size=2)
PIECES = st.sampled_from([*'[]{}",:\\0-.eNut ', "__type__", "\\u005f", '"', "é", "\ud800"])
TEXTS = st.one_of(
    st.tuples(SPACES, DUMPED, SPACES).map("".join),
    st.tuples(DUMPED, DUMPED).map("".join),
    st.lists(PIECES, max_size=30).map("".join),
    st.integers(1, 60).map(lambda depth: "[" * depth + "]" * depth),
)


def outcome(load: Callable[[], Any]) -> object:
    """The value as text, as NaN is not equal to itself; or the error, with all that it says."""
    try:
        return repr(load())
    except DecodeError as error:
        return type(error), str(error), error.limit, error.path
    except json.JSONDecodeError as error:
        return type(error), str(error)


@settings(max_examples=500, deadline=None)
@given(TEXTS, LIMITS)
@example('{"\\u005f_type__": "set", "__value__": [1]}', DecodeLimits())
@example('{"\\u005F_type__": "set", "__value__": [1]}', DecodeLimits())
@example('{"__type__": "set", "__value__": [1]}', DecodeLimits())
@example(json.dumps(tagged("complex", [1, 10**400])), DecodeLimits())
@example(json.dumps(tagged("datetime", 1)), DecodeLimits())
@example(json.dumps(tagged(["complex"], [1, 2])), DecodeLimits())
@example(json.dumps([{**tagged("complex", [1, 2]), "more": 1}]), DecodeLimits())
@example(json.dumps([{"__type__": "complex", "value": [1, 2]}]), DecodeLimits())
@example(json.dumps(tagged("complex", [1, 2])) + " 1", DecodeLimits())
@example("1 ", DecodeLimits())
@example("1 2", DecodeLimits())
@example("1\x0b", DecodeLimits())
@example("\ufeff1", DecodeLimits())
@example("", DecodeLimits())
@example("[" * 501 + "]" * 501, DecodeLimits())
def test_it_comes_to_the_same(text: str, limits: DecodeLimits) -> None:
    assert outcome(lambda: load_tagged(text, limits)) == outcome(
        lambda: _load_checked(text, limits, ())
    )


@settings(max_examples=300, deadline=None)
@given(TEXTS, LIMITS)
def test_what_is_allowed_at_a_glance_is_within_every_limit(text: str, limits: DecodeLimits) -> None:
    if limits.allow_any(text):
        found = outcome(lambda: _load_checked(text, limits, ()))
        assert not isinstance(found, tuple) or found[2:3] in ((), ("",))


@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        (DecodeLimits(max_text_bytes=40), "a" * 11),
        (DecodeLimits(max_nodes=10), "a" * 10),
        (DecodeLimits(max_depth=3), "[[[["),
        (DecodeLimits(max_memory_bytes=20_000), "a" * 20),
        (DecodeLimits(), "a" * 4097),
    ],
)
def test_each_limit_counts(limits: DecodeLimits, refused: str) -> None:
    assert not limits.allow_any(refused)


def test_small_texts_go_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(text: str, *_: object) -> None:
        seen.append(text)

    monkeypatch.setattr(tagged_json, "_load_checked", record)
    number, time = tagged("complex", [1, 2]), tagged("datetime", "2026-01-01")
    some = [json.dumps([number, {"a": time}, tagged("to_json", 1)]), '{"a_": [1, 2.5, "é"]}\n']
    for text in (*some, "[" * 200 + "]" * 200, '"\\n"'):
        load_tagged(text)
    assert not seen
    long = [json.dumps(tagged(name, [])) for name in ("set", "ndarray", "to_json", "Result")]
    for text in (*long, " [1"):
        load_tagged(text)
    load_tagged(some[0], tags=[SettingsTag(dict)])
    assert seen == [*long, " [1", some[0]]


def test_a_tag_that_is_written_with_escapes_is_a_tag() -> None:
    assert load_tagged('{"\\u005f_type__": "set", "__value__": [1]}') == {1}


@pytest.mark.parametrize("after", ["X", "\u00a0", "\v"])
def test_what_follows_a_value_is_white_space_of_json(after: str) -> None:
    assert load_tagged("[1] \t\r\n") == [1]
    with pytest.raises(json.JSONDecodeError, match="Extra data"):
        load_tagged("[1]" + after)


def test_a_number_that_python_does_not_read_is_told_as_ever() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        with pytest.raises(DecodeError, match="a number that Python does not read"):
            load_tagged("1" * 641)
    finally:
        sys.set_int_max_str_digits(before)


def test_a_stack_that_is_too_small_is_told_as_ever() -> None:
    text = "[" * 1500 + "]" * 1500
    limits = DecodeLimits(max_depth=2000)
    assert limits.allow_any(text)
    if sys.version_info < (3, 12):  # later ones have a stack of their own for C
        with pytest.raises(DecodeError, match="deeper than Python's stack allows"):
            load_tagged(text, limits)


@pytest.mark.parametrize("size", [0, 4095, 4096, 50_000])
@pytest.mark.parametrize("distance", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("other", ["a", "é", "€", "𝄞"])
def test_counting(size: int, distance: int, other: str) -> None:
    text = "".join("," if i % distance == distance - 1 else other for i in range(size))
    assert _count(text, ",") == text.count(",")
