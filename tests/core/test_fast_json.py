"""Which texts msgspec is given, where it is installed; what it makes of them: test_msgspec.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from parsers import parsed_by
from test_json_memory import bound
from test_small_texts import outcome

from runtime_core import json_limits
from runtime_core.fast_json import fast_parser, is_fit
from runtime_core.json_limits import DecodeLimits, parse_json
from runtime_core.json_memory import memory_of_keys
from runtime_core.tagged_json import load_tagged

LONG = "[" + "1.5," * 2000 + "{}]"  # no small text any more


def within(text: str) -> Any:
    return parse_json(text, DecodeLimits())


class Recorder:
    """In msgspec's place: says which texts it was given, and what it is told to say of them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.answer: Any = "parsed"

    def decode(self, text: str) -> Any:
        self.texts.append(text)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


Install = Callable[[type[Exception]], None]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def install(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def install(error: type[Exception]) -> None:
        msgspec = ModuleType("msgspec")
        msgspec.DecodeError = error  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "msgspec", msgspec)
        monkeypatch.setitem(sys.modules, "msgspec.json", SimpleNamespace(Decoder=lambda: recorder))
        fast_parser.cache_clear()

    install(ValueError)
    yield install
    monkeypatch.undo()
    fast_parser.cache_clear()


def test_without_it_json_is_used() -> None:
    with parsed_by("json"):
        assert load_tagged("[1]") == [1]
        assert load_tagged(LONG) == json.loads(LONG)


@pytest.mark.parametrize(("error", "is_used"), [(Exception, False), (UnicodeError, True)])
def test_one_whose_refusals_are_no_value_errors_is_not_used(
    error: type[Exception], is_used: bool, recorder: Recorder, install: Install
) -> None:
    install(error)
    load_tagged("[1]")
    assert recorder.texts == ["[1]"] * is_used


def test_it_gets_texts_without_tags(recorder: Recorder, install: Install) -> None:
    assert load_tagged("[1]") == load_tagged(LONG) == within(LONG) == within("[1]") == "parsed"
    assert recorder.texts == ["[1]", LONG, LONG, "[1]"]
    tag = '{"__type__": "complex", "__value__": [1, 2]}'
    assert load_tagged(tag) == 1 + 2j
    assert load_tagged(LONG.replace("{}", tag))[-1] == 1 + 2j
    assert parse_json("{}", DecodeLimits(), lambda found: "hook") == "hook"
    assert len(recorder.texts) == 4


@pytest.mark.parametrize(
    "refusal", [ValueError("no"), TypeError("not a str"), RecursionError("too deep")]
)
def test_what_it_refuses_is_parsed_by_json(
    refusal: Exception, recorder: Recorder, install: Install
) -> None:
    recorder.answer = refusal
    for text in ("[NaN]", LONG):
        assert repr(load_tagged(text)) == repr(within(text)) == repr(json.loads(text))
    with pytest.raises(json.JSONDecodeError):
        load_tagged("[1")
    assert recorder.texts == ["[NaN]", "[NaN]", LONG, LONG, "[1"]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("[1]", True),
        ('["\u00e9"]', False),
        (r'["\n"]', False),
        (f'["{"x" * 4092}"]', False),
        (f'["{"x" * 4091}"]', True),
        (f'["{"x" * 4090}",1]', True),
        (f'["{"x" * 8187}"]', False),
        ("1," * 4096 + "1" * 4095, True),
        ("1," * 4096 + "1" * 4096, False),
    ],
)
def test_long_texts_must_be_fit(
    text: str, fits: bool, recorder: Recorder, install: Install
) -> None:
    assert is_fit(text) is fits
    outcome(lambda: within(text))
    assert bool(recorder.texts) is fits


def test_memory_for_keys_that_are_not_shared_must_be_there(
    recorder: Recorder, install: Install
) -> None:
    text = f"[{','.join([json.dumps({'k' * 100: 1})] * 100)}]"
    needs = bound(text) + memory_of_keys(len(text), 100)
    assert json_limits._check_structure(text, DecodeLimits(max_memory_bytes=needs)) == bound(text)
    assert parse_json(text, DecodeLimits(max_memory_bytes=needs - 1)) == json.loads(text)
    assert not recorder.texts
    parse_json(text, DecodeLimits(max_memory_bytes=needs))
    assert recorder.texts == [text]
