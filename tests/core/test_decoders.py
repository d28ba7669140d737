"""Which decoder is used, and what the default one makes of a text."""

from __future__ import annotations

from typing import Any, assert_type

import attrs
import pytest

from runtime_core.decoders import (
    Decoder,
    DecoderRegistry,
    ResultDecoder,
    choose_decoder,
    decode_result,
)
from runtime_core.errors import DecodeError, UsageError
from runtime_core.json_limits import DecodeLimits
from runtime_core.structured import StructuredDecoder
from runtime_core.value_path import shown


class Shout(ResultDecoder):
    @classmethod
    def decode(cls, data: str) -> str:
        return data.upper()


class Length:
    def decode(self, data: str) -> int:
        return len(data)


class Falsy(Length):
    def __len__(self) -> int:
        return 0


class Static:
    @staticmethod
    def decode(data: str) -> str:
        return data


@attrs.frozen
class Energies:
    values: list[float]


REGISTERED = Length()


def a_registry(default: Decoder[Any] = ResultDecoder) -> DecoderRegistry:
    registry = DecoderRegistry(default=default)
    registry.register("vqe", REGISTERED)
    return registry


# ---- the default decoder -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "plain words", "<html>", "{not json", "[1,2", "1,2\n3,4", "]"]
)
def test_text_that_is_not_json_is_returned_as_it_is(text: str) -> None:
    assert ResultDecoder.decode(text) == text


@pytest.mark.parametrize(
    ("text", "value"), [("null", None), ("0", 0), ('""', ""), ("[]", []), ("false", False)]
)
def test_falsy_values_are_values(text: str, value: object) -> None:
    decoded = ResultDecoder.decode(text)
    assert decoded == value
    assert type(decoded) is type(value)


def test_tagged_values_are_decoded() -> None:
    assert ResultDecoder.decode('[{"__type__": "complex", "__value__": [1, 2]}]') == [1 + 2j]


def test_text_that_looks_like_json_and_cannot_be_decoded_is_an_error() -> None:
    with pytest.raises(DecodeError, match="number that Python does not read"):
        ResultDecoder.decode("1" * 5000)


def test_a_subclass_can_take_other_limits() -> None:
    class Small(ResultDecoder):
        limits = DecodeLimits(max_nodes=3)

    assert Small.decode("[1,2]") == [1, 2]
    with pytest.raises(DecodeError) as caught:
        Small.decode("[1,2,3]")
    assert caught.value.limit == "max_nodes"


# ---- the registry ------------------------------------------------------------------------------


def test_the_registry_knows_its_programs() -> None:
    registry = a_registry()
    assert registry.for_program("vqe") is REGISTERED
    assert registry.for_program("other") is None
    assert registry.for_program(None) is None
    assert registry.default is ResultDecoder
    assert repr(registry).startswith("<DecoderRegistry of ['vqe'], else ")


def test_the_decoder_registered_last_is_used() -> None:
    registry = a_registry()
    registry.register("vqe", Shout)
    assert registry.for_program("vqe") is Shout


@pytest.mark.parametrize("decoder", [Shout, Static, Length(), StructuredDecoder(Energies)])
def test_classes_and_objects_with_decode_are_decoders(decoder: Decoder[Any]) -> None:
    registry = DecoderRegistry()
    registry.register("vqe", decoder)
    assert registry.for_program("vqe") is decoder


@pytest.mark.parametrize("program_id", ["", None, 5, b"vqe"])
def test_a_program_needs_an_id(program_id: Any) -> None:
    with pytest.raises(UsageError, match="program_id must be the id of a program, not ") as caught:
        DecoderRegistry().register(program_id, ResultDecoder)
    assert str(caught.value).endswith(f", not {program_id!r}")


@pytest.mark.parametrize("wrong", [None, "json", len, object()])
def test_what_has_no_decode_is_no_decoder(wrong: Any) -> None:
    registry = a_registry()
    with pytest.raises(UsageError, match=r"^decoder must have a method decode") as caught:
        registry.register("vqe", wrong)
    assert str(caught.value).endswith(f", and {shown(wrong)} has none")
    assert registry.for_program("vqe") is REGISTERED
    with pytest.raises(UsageError, match=r"^default must have a method decode"):
        DecoderRegistry(default=wrong)
    with pytest.raises(UsageError, match="result_decoder must have a method decode"):
        choose_decoder("vqe", registry, result_decoder=wrong)


def test_a_class_whose_decode_needs_an_instance_is_no_decoder() -> None:
    words = "decoder is the class Length, whose decode needs an instance: pass an instance, or make"
    with pytest.raises(UsageError, match=f"^{words} decode a classmethod$"):
        choose_decoder("vqe", DecoderRegistry(), Length)  # type: ignore[arg-type] # what is tested


# ---- the precedence ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program_id", "decoder", "result_decoder", "chosen"),
    [
        ("vqe", Static, Shout, Static),
        ("vqe", ResultDecoder, Shout, ResultDecoder),
        ("vqe", None, Shout, Shout),
        ("vqe", None, ResultDecoder, REGISTERED),
        ("other", None, ResultDecoder, Static),
        ("other", None, Shout, Shout),
        (None, None, ResultDecoder, Static),
    ],
)
def test_the_nearest_decoder_is_chosen(
    program_id: str | None, decoder: Any, result_decoder: Any, chosen: Any
) -> None:
    registry = a_registry(default=Static)
    assert choose_decoder(program_id, registry, decoder, result_decoder) is chosen


def test_a_falsy_decoder_is_still_chosen() -> None:
    registry, falsy = DecoderRegistry(), Falsy()
    registry.register("vqe", falsy)
    assert choose_decoder("vqe", registry) is falsy
    assert choose_decoder("vqe", a_registry(), falsy) is falsy


def test_two_decoders_of_one_text_give_two_values() -> None:
    assert decode_result('"ab"', "x", DecoderRegistry()) == "ab"
    assert decode_result('"ab"', "x", DecoderRegistry(), Length()) == 4
    assert decode_result('"ab"', "vqe", a_registry()) == 4
    assert decode_result('"ab"', "x", DecoderRegistry(), result_decoder=Shout) == '"AB"'


def test_the_type_of_the_decoder_is_the_type_of_the_result() -> None:
    registry = DecoderRegistry()
    energies = decode_result('{"values": [1]}', "x", registry, StructuredDecoder(Energies))
    assert_type(energies, Energies)
    assert_type(decode_result("ab", "x", registry, Length()), int)
    assert_type(decode_result("ab", "x", registry, Shout), str)
    assert energies == Energies([1.0])


@pytest.mark.parametrize("error", [KeyError("mine"), DecodeError("mine")])
def test_what_a_decoder_raises_is_not_touched(error: Exception) -> None:
    class Broken:
        def decode(self, data: str) -> str:
            raise error

    with pytest.raises(type(error)) as caught:
        decode_result("text", "x", DecoderRegistry(), Broken())
    assert caught.value is error
    assert caught.value.__cause__ is None
