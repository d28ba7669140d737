"""Typed results: plain data into attrs classes, with cattrs, without coercing anything.

An attrs class takes a dict; keys that it does not know are ignored, so that a service may send
more than this version expects. The types of its fields:

    str, bool, int, None, complex, datetime    a value of exactly this type; a bool is no int
    float                                      a float or an int: JSON has one type of number
    list[T], Sequence[T]                       a list
    tuple[T, ...], tuple[A, B]                 a list (a tuple inside a set) of the right length
    set[T], frozenset[T]                       a set, which is tagged in JSON
    dict[K, V], Mapping[K, V]                  a dict
    A | B, Optional[A]                         the first that fits; an int is an int before a
                                               float, and an attrs class comes the earlier, the
                                               more of the value's keys it has
    Literal, Enum                              one of the values, of the same type
    numpy.ndarray, NDArray[...]                an array, of whatever dtype
    an attrs class                             a dict, as above
    Any, object                                anything

and what stands for one of these: NewType, Annotated, Final, type aliases, generic attrs classes.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_origin

import attrs

from runtime_core.errors import DecodeError, UsageError
from runtime_core.json_limits import DecodeLimits
from runtime_core.tagged_json import decode_tagged
from runtime_core.value_path import shown

T = TypeVar("T")


def structure(value: object, cls: type[T], what: str) -> T:
    """Turn plain data into an attrs class; `what` names the data in an error ("job", say).

    Raises:
        DecodeError: if it does not fit. The message tells every problem (of many, the first ten),
            with path, expected type and value; `path` is that of the first.
        UsageError: if a field has a type that is not in the table above.
    """
    # cattrs takes a tenth of a second to import, and few programs come here.
    from runtime_core.structuring import MisfitError, converter, type_name

    try:
        return converter().structure(value, cls)
    except MisfitError as misfit:
        problems = [(f"${path}", text) for path, text in misfit.problems]
    message = f"The {what} does not fit {type_name(cls)}: "
    if len(problems) == 1:
        message += problems[0][1]
    else:
        message += "; ".join(f"{text} at {path}" for path, text in problems)
    raise DecodeError(message, problems[0][0])


def _is_attrs_class(_: object, __: object, value: Any) -> None:
    origin = get_origin(value) or value  # of Energies[float], Energies
    if not isinstance(origin, type) or not attrs.has(origin):
        raise UsageError(f"StructuredDecoder needs an attrs class, not {shown(value)}")


@attrs.frozen
class StructuredDecoder(Generic[T]):
    """A decoder that makes an attrs class of each text: ``StructuredDecoder(Energies)``.

    Raises:
        UsageError: if `cls` is not an attrs class.
    """

    cls: type[T] = attrs.field(validator=_is_attrs_class)
    """The attrs class."""
    limits: DecodeLimits = attrs.field(factory=DecodeLimits, kw_only=True)
    """What a text may cost."""

    @property
    def name(self) -> str:
        """What it is called in a `JobHandle`: ``StructuredDecoder[Energies]``."""
        return f"StructuredDecoder[{self.cls.__name__}]"

    def decode(self, data: str) -> T:
        """Decode one text of tagged JSON into the class.

        Raises:
            DecodeError: if the text is not JSON, is beyond a limit, or does not fit the class.
            UsageError: if a field of the class has a type that `structure` does not know.
        """
        return structure(decode_tagged(data, self.limits), self.cls, "data")
