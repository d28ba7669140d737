"""Settings, to_json, and the tags that the local program adds."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import date
from enum import Enum
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core import (
    DecodeError,
    DecodeLimits,
    EncodeError,
    Packing,
    ResultDecoder,
    Settings,
    SettingsTag,
    Tag,
    UsageError,
    decode_tagged,
    encode_tagged,
)
from runtime_core.settings import refuse_collisions

WHERE = {"__module__": "optimizers", "__class__": "Spsa"}


def settings_text(values: object) -> str:
    return json.dumps({"__type__": "settings", **WHERE, "__value__": values})


def tag_text(tag: str, value: object) -> str:
    return json.dumps({"__type__": tag, "__value__": value})


def refusal(text: str, **kwargs: Any) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode_tagged(text, **kwargs)
    return caught.value


def unwritable(value: object, *tags: Any) -> EncodeError:
    with pytest.raises(EncodeError) as caught:
        encode_tagged(value, tags)
    return caught.value


# ---- settings ----------------------------------------------------------------------------------


def test_settings_are_an_inert_value() -> None:
    found = decode_tagged(settings_text({"maxiter": 5, "callback": None}))
    assert found == Settings("optimizers", "Spsa", {"maxiter": 5, "callback": None})
    assert decode_tagged(encode_tagged([found])) == [found]
    assert json.loads(encode_tagged(found)) == json.loads(settings_text(found.values))


def test_settings_show_little_of_a_lot() -> None:
    assert len(repr(Settings("m", "C", {"a": ["x" * 1000] * 1000}))) < 400


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"__module__": 1, "__class__": "x", "__value__": {}},
            "its module and its class are not texts, in {}",
        ),
        (
            {"__module__": "m", "__class__": None, "__value__": {}},
            "its module and its class are not texts, in {}",
        ),
        ({"__module__": "m", "__class__": "x", "__value__": [1]}, "it is not a dict, in [1]"),
    ],
)
def test_malformed_settings_are_an_error(found: dict[str, object], words: str) -> None:
    error = refusal(json.dumps({"a": {"__type__": "settings", **found}}))
    assert error.message == f"The settings tag is malformed: {words}"
    assert error.path == "$.a"


def test_a_marked_dict_gets_its_integers_back() -> None:
    text = settings_text(
        {
            "layout": {"0": {"5": "a", "__int_keys__": True}, "-1": 2, "__int_keys__": True},
            "plain": {"0": 1},
            "list": [{"0": 1, "__int_keys__": True}],
        }
    )
    assert decode_tagged(text).values == {
        "layout": {0: {5: "a"}, -1: 2},
        "plain": {"0": 1},
        "list": [{"0": 1, "__int_keys__": True}],
    }


@pytest.mark.parametrize("key", ["", "-", "01", "+1", "-0", " 1", "1_0", "x", "\u0661", "1" * 5000])
def test_only_what_is_written_for_an_integer_becomes_one(key: str) -> None:
    text = settings_text({key: 1, "__int_keys__": True})
    assert decode_tagged(text).values == {key: 1}


def test_an_integer_as_key_has_as_many_digits_as_python_reads_anywhere() -> None:
    long = {"1" * 4000: 1, "1" * 4001: 2}
    found = decode_tagged(settings_text({**long, "__int_keys__": True})).values
    assert found == {int("1" * 4000): 1, "1" * 4001: 2}


def test_a_hundred_items_may_have_the_hash_of_another() -> None:
    numbers = [i * (2**61 - 1) for i in range(102)]  # the hash of each is 0
    refuse_collisions(numbers[:101])
    with pytest.raises(ValueError, match=r"^101 items are of the same hash as another$"):
        refuse_collisions(numbers)


@given(st.dictionaries(st.integers(-(10**30), 10**30) | st.just("name"), st.integers()))
def test_integers_as_keys_round_trip_in_settings(keys: dict[int | str, int]) -> None:
    value = Settings("m", "C", {"by": keys, "deep": {"er": {"by": keys}}})
    back = decode_tagged(encode_tagged(value))
    assert back == value
    assert [list(map(type, back.values["by"]))] == [list(map(type, keys))]


@pytest.mark.parametrize(
    ("values", "words", "path"),
    [
        ({"a": {1: 2, "3": 4}}, "Beside integers, the dict key '3'", "$.opt.__value__.a"),
        ({"a": {1: 2, None: 1}}, "the dict key None", "$.opt.__value__.a"),
        ({"a": {"__int_keys__": 1}}, "has a meaning of its own", "$.opt.__value__.a"),
        ({"a": [{1: 2}]}, "The dict key 1 is of type int", "$.opt.__value__.a[0]"),
        ({"a": {True: 2}}, "The dict key True is of type bool", "$.opt.__value__.a"),
        ({"a": b""}, "of type bytes", "$.opt.__value__.a"),
    ],
)
def test_settings_that_would_come_back_otherwise_are_refused(
    values: dict[str, object], words: str, path: str
) -> None:
    error = unwritable({"opt": Settings("m", "C", values)})
    assert words in error.message
    assert error.path == path


def test_integers_as_keys_are_marked() -> None:
    text = encode_tagged(Settings("m", "C", {"a": {1: 2, "b": 3}}))
    assert json.loads(text)["__value__"] == {"a": {"__int_keys__": True, "1": 2, "b": 3}}


@pytest.mark.parametrize("tag", ["set", "settings"])
def test_items_that_were_chosen_to_be_slow_are_refused(tag: str) -> None:
    """A million integers of one hash take hours to be put into a table."""
    numbers = [i * (2**61 - 1) for i in range(102)]
    texts = {
        "set": tag_text("set", numbers),
        "settings": settings_text({**dict.fromkeys(map(str, numbers), 1), "__int_keys__": True}),
    }
    assert "101 items are of the same hash as another" in refusal(texts[tag]).message
    assert decode_tagged(tag_text("set", numbers[:100] + [5] * 1000)) == {*numbers[:100], 5}


class Spsa:
    """An optimizer as the original's users write them."""

    def __init__(self, maxiter: int, weights: dict[int, float] | None = None) -> None:
        if maxiter < 0:
            raise RuntimeError("no time machine")
        self.settings = {"maxiter": maxiter, "weights": weights}


def test_an_object_with_settings_is_written_as_them() -> None:
    found = decode_tagged(encode_tagged(Spsa(3, {0: 0.5})))
    assert found == Settings(__name__, "Spsa", {"maxiter": 3, "weights": {0: 0.5}})


def test_a_registered_class_is_made_of_its_settings() -> None:
    tag = SettingsTag(Spsa)
    found = decode_tagged(encode_tagged([Spsa(3, {0: 0.5})], [tag]), tags=[tag])
    assert type(found[0]) is Spsa
    assert found[0].settings == {"maxiter": 3, "weights": {0: 0.5}}
    assert type(decode_tagged(settings_text({}), tags=[tag])) is Settings  # of another module


def test_a_registered_class_may_be_known_by_another_name() -> None:
    tag = SettingsTag(Spsa, "optimizers", "Spsa", make=lambda maxiter: Spsa(maxiter * 2))
    assert decode_tagged(settings_text({"maxiter": 2}), tags=[tag]).settings["maxiter"] == 4
    assert json.loads(encode_tagged(Spsa(1), [tag]))["__module__"] == "optimizers"


@pytest.mark.parametrize("values", [{"maxiter": -1}, {"other": 1}, {"maxiter": "x"}])
def test_what_a_registered_class_refuses_is_an_error(values: dict[str, object]) -> None:
    tag = SettingsTag(Spsa, "optimizers", "Spsa")
    error = refusal(f"[{settings_text(values)}]", tags=[tag])
    assert "The settings tag is malformed: Spsa was refused" in error.message
    assert error.path == "$[0]"
    assert error.__cause__ is not None


def test_the_settings_of_a_registered_class_may_be_missing() -> None:
    @attrs.define
    class Bare:
        pass

    assert "cannot be written: AttributeError" in unwritable([Bare()], SettingsTag(Bare)).message


# ---- to_json and dates -------------------------------------------------------------------------


class Model:
    def __init__(self, content: object) -> None:
        self.content = content

    def to_json(self) -> object:
        return self.content


@attrs.frozen
class AttrsModel:
    x: int

    def to_json(self) -> list[int]:
        return [self.x]


@pytest.mark.parametrize("content", [None, "text", [{1, 2}], {"a": Model(1j)}])
def test_to_json_comes_back_as_what_it_gave(content: object) -> None:
    text = encode_tagged([Model(content)])
    assert text.startswith('[{"__type__":"to_json","__value__":')
    expected = {"a": 1j} if isinstance(content, dict) else content
    assert decode_tagged(text) == [expected]


def test_to_json_comes_before_fields_and_settings() -> None:
    model = Model([1])
    model.settings = {"a": 1}  # type: ignore[attr-defined]
    assert decode_tagged(encode_tagged([model, AttrsModel(2), {Model((3,))}])) == [[1], [2], {(3,)}]


def test_classes_and_modules_are_no_models() -> None:
    for value in (Model, Spsa, json):
        assert "has no form in JSON" in unwritable({"a": value}).message
    model = Model(0)
    model.settings = "text"  # type: ignore[attr-defined]
    del Model.to_json
    try:
        assert "has no form in JSON" in unwritable(model).message
    finally:
        Model.to_json = lambda self: self.content  # type: ignore[method-assign]


def test_to_json_may_not_go_on_for_ever() -> None:
    class Mirror:
        def to_json(self) -> object:
            return self

    class Endless:
        def to_json(self) -> object:
            return Endless()

    assert "contains itself" in unwritable(Mirror()).message
    assert "nests too deeply" in unwritable(Endless()).message


def test_only_what_can_be_read_is_written_into_a_set() -> None:
    assert "is inside a set" in unwritable({Model({"a": 1})}).message
    assert "inside a set" in unwritable({Spsa(1)}).message
    told = unwritable({Model(Settings("m", "C", {}))}).message
    assert told == "The settings of C are a dict, and inside a set"
    assert "inside a set" in unwritable({Spsa(1)}, ZLIB, SettingsTag(Spsa)).message


def test_a_date_comes_back_as_its_midnight() -> None:
    assert decode_tagged(encode_tagged(date(2024, 5, 1))).isoformat() == "2024-05-01T00:00:00"


# ---- tags that are added -----------------------------------------------------------------------


@attrs.frozen
class Circuit:
    gates: tuple[str, ...]


def packed(packing: Packing) -> Tag:
    return Tag(
        "Circuit",
        (Circuit,),
        write=lambda circuit: " ".join(circuit.gates).encode(),
        read=lambda data: Circuit(tuple(bytes.decode(data).split())),
        packing=packing,
    )


PLAIN = Tag(
    "Circuit", (Circuit,), lambda c: {"gates": c.gates}, lambda v: Circuit(tuple(v["gates"]))
)
ZLIB = packed(Packing.BASE64_ZLIB)
BASE64 = packed(Packing.BASE64)


@pytest.mark.parametrize("tag", [PLAIN, ZLIB, BASE64], ids=lambda tag: tag.packing.value)
def test_an_added_tag_goes_both_ways(tag: Tag) -> None:
    value = {"circuits": [Circuit(("h", "cx")), Circuit(())]}
    text = encode_tagged(value, [tag])
    assert decode_tagged(text, tags=[tag]) == value
    # Without it, it stays what was sent, and is sent again as it is.
    assert encode_tagged(decode_tagged(text)) == text


@pytest.mark.parametrize("value", [Model({1: 2}), [Model({1: 2})], Circuit(())])
def test_inside_of_a_tag_no_integers_are_keys(value: object) -> None:
    """Also in settings: who reads the tag knows nothing of the mark."""
    keyed = attrs.evolve(PLAIN, write=lambda _: {1: 2})
    error = unwritable(Settings("m", "C", {"a": value}), keyed)
    assert error.message == "The dict key 1 is of type int: keys must be str"


Preset = Enum("Preset", {"PLAIN": {"a": 1}, "BELL": Circuit(("h", "cx"))})
"""Members are written as their values, where they stand."""


def test_a_members_value_may_have_a_tag_and_be_refused() -> None:
    assert decode_tagged(encode_tagged([Preset.BELL], [ZLIB]), tags=[ZLIB]) == [Preset.BELL.value]
    assert "is inside a set" in unwritable({Preset.PLAIN}).message


def test_an_array_in_settings_has_no_integers_as_keys() -> None:
    array = np.array([{1: 2}, None], dtype=object)
    error = unwritable(Settings("m", "C", {"a": array}))
    assert error.message == "The dict key 1 is of type int: keys must be str"


def test_a_decoder_has_its_own_tags() -> None:
    class CircuitDecoder(ResultDecoder):
        tags = (BASE64,)

    text = encode_tagged(Circuit(("x",)), CircuitDecoder.tags)
    assert CircuitDecoder.decode(text) == Circuit(("x",))
    assert ResultDecoder.decode(text) == {"__type__": "Circuit", "__value__": "eA=="}


def test_an_added_tag_inside_a_set() -> None:
    value = {Circuit(("h",))}
    assert decode_tagged(encode_tagged(value, [ZLIB]), tags=[ZLIB]) == value
    assert "is inside a set" in unwritable(value, PLAIN).message


OURS = ("datetime", "complex", "set", "ndarray", "spmatrix", "to_json", "settings", "dict")


@pytest.mark.parametrize("name", ["", *OURS, None, 5])
def test_a_tag_needs_a_name_of_its_own(name: Any) -> None:
    with pytest.raises(UsageError, match="A tag's name must be a text, and none of ours") as caught:
        Tag(name, (), str, str)
    assert str(caught.value).endswith(f", not {name!r}")


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        (PLAIN, {}, "Circuit was refused: KeyError('gates')"),
        (PLAIN, 5, "Circuit was refused: TypeError"),
        (ZLIB, 5, "malformed: it is not a text, in 5"),
        (BASE64, 5, "malformed: it is not a text, in 5"),
        (BASE64, "?", "malformed"),
        (BASE64, "//8=", "Circuit was refused: UnicodeDecodeError"),
        (ZLIB, "eA==", "its zlib data is cut off"),
    ],
)
def test_what_an_added_tag_refuses_is_an_error(tag: Tag, value: object, words: str) -> None:
    error = refusal(f'{{"a": {tag_text("Circuit", value)}}}', tags=[tag])
    assert words in error.message
    assert error.message.startswith("The Circuit tag is malformed")
    assert error.path == "$.a"


def test_what_an_added_tag_unpacks_is_limited() -> None:
    text = tag_text("Circuit", base64.b64encode(zlib.compress(bytes(10_000))).decode())
    error = refusal(text, limits=DecodeLimits(max_inflated_bytes=5000), tags=[ZLIB])
    assert (error.limit, error.path) == ("max_inflated_bytes", "$")
    long = tag_text("Circuit", base64.b64encode(b"x" * 10_000).decode())
    limits = DecodeLimits(max_memory_bytes=20_000)
    assert refusal(long, limits=limits, tags=[BASE64]).limit == "max_memory_bytes"


def test_what_cannot_be_written_by_an_added_tag_is_told() -> None:
    def refuse(_: object) -> bytes:
        raise RuntimeError("no")

    broken = attrs.evolve(ZLIB, write=refuse)
    error = unwritable([Circuit(())], broken)
    assert error.message.endswith("Circuit cannot be written: RuntimeError('no')")
    assert error.path == "$[0]"
    assert "TypeError" in unwritable(Circuit(()), attrs.evolve(ZLIB, write=lambda _: 5)).message
