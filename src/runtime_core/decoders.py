"""Which decoder turns the text of a result into a value, and the default one.

The registry is closed: a decoder is used because the local program named it, never because a text
does.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar, overload

from runtime_core.errors import UsageError
from runtime_core.json_limits import DecodeLimits
from runtime_core.tagged_json import load_tagged
from runtime_core.tags import AnyTag
from runtime_core.value_path import shown

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Decoder(Protocol[T_co]):
    """Turns the text of a result, or of an interim result, into a value.

    Any object with such a method is one, and so is a class whose `decode` is a classmethod.
    """

    def decode(self, data: str) -> T_co:
        """Decode one text. What it raises reaches the caller as it is."""
        ...


class ResultDecoder:
    """The default decoder: JSON with tagged types; text that is not JSON is returned as it is.

    Derive from it to decode in another way (give it a `decode` of your own), or only to take other
    limits (`limits = DecodeLimits(...)`) or more kinds of values (`tags = (SettingsTag(Spsa),)`).
    """

    limits: ClassVar[DecodeLimits] = DecodeLimits()
    """What a text may cost."""
    tags: ClassVar[Sequence[AnyTag]] = ()
    """The kinds of values that are read beside those of `tagged_json`."""

    @classmethod
    def decode(cls, data: str) -> Any:
        """Decode one text, see `tagged_json`.

        Raises:
            DecodeError: if the text is beyond a limit, or a tagged value in it is malformed.
        """
        try:
            return load_tagged(data, cls.limits, cls.tags)
        except json.JSONDecodeError:
            return data


class DecoderRegistry:
    """The decoders of the programs that this process knows, and a default for all others.

    May be shared between threads. Of two decoders for a program, the one registered last is used.

    Raises:
        UsageError: if `default` is not a decoder.
    """

    def __init__(self, default: Decoder[Any] = ResultDecoder) -> None:
        self._default = _checked(default, "default")
        self._decoders: dict[str, Decoder[Any]] = {}

    def __repr__(self) -> str:
        return f"<DecoderRegistry of {sorted(self._decoders)}, else {self._default!r}>"

    @property
    def default(self) -> Decoder[Any]:
        """The decoder of the programs that have none of their own."""
        return self._default

    def register(self, program_id: str, decoder: Decoder[Any]) -> None:
        """Use a decoder for the results of a program.

        Raises:
            UsageError: if the program's id is not a text, or empty, or `decoder` is not a decoder.
        """
        if not _is_id(program_id):
            raise UsageError(f"program_id must be the id of a program, not {shown(program_id)}")
        self._decoders[program_id] = _checked(decoder, "decoder")

    def for_program(self, program_id: str | None) -> Decoder[Any] | None:
        """The decoder registered for a program; None if there is none, or no program is known."""
        return None if program_id is None else self._decoders.get(program_id)


def choose_decoder(
    program_id: str | None,
    registry: DecoderRegistry,
    decoder: Decoder[Any] | None = None,
    result_decoder: Decoder[Any] = ResultDecoder,
) -> Decoder[Any]:
    """Choose the decoder of a result.

    It is the call's `decoder`; else the job's `result_decoder`, if it is not `ResultDecoder`
    itself; else the registry's for the program; else the registry's default.

    Raises:
        UsageError: if `decoder` or `result_decoder` is not a decoder.
    """
    if decoder is not None:
        return _checked(decoder, "decoder")
    if result_decoder is not ResultDecoder:
        return _checked(result_decoder, "result_decoder")
    registered = registry.for_program(program_id)
    return registry.default if registered is None else registered


@overload
def decode_result(
    text: str,
    program_id: str | None,
    registry: DecoderRegistry,
    decoder: Decoder[T],
    result_decoder: Decoder[Any] = ...,
) -> T: ...


@overload
def decode_result(
    text: str,
    program_id: str | None,
    registry: DecoderRegistry,
    decoder: None = None,
    result_decoder: Decoder[Any] = ...,
) -> Any: ...


def decode_result(
    text: str,
    program_id: str | None,
    registry: DecoderRegistry,
    decoder: Decoder[Any] | None = None,
    result_decoder: Decoder[Any] = ResultDecoder,
) -> Any:
    """Decode the text of a result, or of an interim result, with the decoder chosen for it.

    Raises:
        UsageError: if `decoder` or `result_decoder` is not a decoder.
        Exception: whatever the decoder raises, as it is; `ResultDecoder` a `DecodeError`.
    """
    return choose_decoder(program_id, registry, decoder, result_decoder).decode(text)


def decoder_name(decoder: Decoder[Any]) -> str:
    """What a decoder is called in a `JobHandle`.

    Its attribute `name`, if that is a text; else the name of the class, or of the object's class.
    """
    name = getattr(decoder, "name", None)
    if isinstance(name, str):
        return name
    return (decoder if isinstance(decoder, type) else type(decoder)).__name__


def _is_id(program_id: object) -> bool:
    return isinstance(program_id, str) and program_id != ""


def _checked(decoder: Decoder[T], what: str) -> Decoder[T]:
    if not callable(getattr(decoder, "decode", None)):
        raise UsageError(f"{what} must have a method decode(text), and {shown(decoder)} has none")
    if isinstance(decoder, type) and inspect.isfunction(inspect.getattr_static(decoder, "decode")):
        raise UsageError(
            f"{what} is the class {decoder.__name__}, whose decode needs an instance: "
            "pass an instance, or make decode a classmethod"
        )
    return decoder
