"""`ParameterNamespace`: a program's parameters as attributes, validated by its JSON schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from numbers import Number
from types import SimpleNamespace
from typing import Any

from runtime_core.errors import InputsError, UsageError
from runtime_core.value_path import shown, step

_MOST_PROBLEMS = 10


class ParameterNamespace(SimpleNamespace):
    """The parameters of a program: set them as attributes, and pass it to `run` as `inputs`.

        inputs = service.program("counts").parameters()
        inputs.n = 3
        service.run("counts", options, inputs)

    A parameter that is not set is None, and is not sent: the program's own default holds. Each
    call of `RuntimeProgram.parameters` gives a new one. Not for several threads at once.

    Args:
        parameters: the JSON schema of the program's inputs.
    """

    __slots__ = ("_metadata",)

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__()
        object.__setattr__(self, "_metadata", dict(parameters))

    @property
    def metadata(self) -> dict[str, Any]:
        """The JSON schema of the program's inputs."""
        schema: dict[str, Any] = self._metadata
        return schema

    def validate(self) -> None:
        """Check the values that are set against the schema.

        Tuples, sets and arrays are arrays to it, and what JSON has no word for is an object. What
        the schema does not mention is let pass, if it does not say otherwise.

        Raises:
            InputsError: if they do not fit; it tells up to ten problems, each with its path.
            UsageError: if the extra `schema` is not installed.
        """
        problems = list(_problems(_plain(vars(self)), self.metadata))
        if problems:
            raise InputsError(problems)

    def __getattr__(self, name: str) -> Any:
        # Only for what is not set.
        if not name.startswith("__") and name in _properties(self._metadata):
            return None
        raise AttributeError(f"The program's metadata name no parameter {name!r}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.metadata,), vars(self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_properties(self._metadata)})

    def __str__(self) -> str:
        row = "| {:10.10} | {:12.12} | {:12.12} | {:8.8} | {:>15} |"
        lines = [row.format("Name", "Value", "Type", "Required", "Description")]
        lines.append("-" * len(lines[0]))
        required = self.metadata.get("required", [])
        for name, schema in _properties(self.metadata).items():
            told = schema if isinstance(schema, Mapping) else {}
            kind, description = (str(told.get(key)) for key in ("type", "description"))
            value = str(getattr(self, name))
            lines.append(row.format(name, value, kind, str(name in required), description))
        return "\n".join(["ParameterNamespace (Values):", *lines])


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _problems(inputs: object, schema: dict[str, Any]) -> Iterator[str]:
    """Say what in the inputs does not fit the schema; nothing is fetched that it may refer to."""
    try:
        # A fifth of a second that only those pay who validate.
        from jsonschema import exceptions, validators
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ImportError as error:
        raise UsageError(
            "Inputs are validated with jsonschema: pip install 'runtime-core[schema]'."
        ) from error
    kind: Any = validators.validator_for(schema, default=validators.Draft202012Validator)
    checker = kind.TYPE_CHECKER.redefine("array", lambda _, value: isinstance(value, list | _Rows))
    extend: Any = validators.extend  # it has no types
    validator = extend(kind, type_checker=checker)(schema, registry=Registry())
    try:
        kind.check_schema(schema)
        for number, misfit in enumerate(validator.iter_errors(inputs)):
            if number == _MOST_PROBLEMS:
                yield "and more"
                break
            path = "$" + "".join(step(key) for key in misfit.absolute_path)
            yield f"{_said(misfit)} (at {path})"
    except (exceptions.SchemaError, exceptions.UnknownType, Unresolvable) as error:
        why = str(error).partition("\n")[0]
        raise InputsError(
            [f"what the program says of them is no JSON schema: {why}; pass a dict instead"]
        ) from error


def _said(error: Any) -> str:
    # The message quotes the value, however large it is.
    message: str = error.message
    whole = repr(error.instance)
    return message if len(whole) < 100 else message.replace(whole, shown(error.instance))


class _Rows(Sequence[Any]):
    """An array as a list, made plain a row at a time, and only if a schema looks into it."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: Any) -> Any:
        return _plain(self._array[index])

    def __repr__(self) -> str:
        return f"an array of shape {self._array.shape}"


def _plain(value: Any) -> Any:
    """Give a value as JSON will have it, as far as a schema can tell."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [_plain(item) for item in value]
    if getattr(value, "shape", None):
        return _Rows(value) if hasattr(value, "dtype") else {"__type__": type(value).__name__}
    item = getattr(value, "item", None)
    if callable(item) and hasattr(value, "dtype"):
        return _plain(item())
    if isinstance(value, Number) and not isinstance(value, complex):
        return value
    return {"__type__": type(value).__name__}


def plain_inputs(inputs: Mapping[str, Any] | ParameterNamespace | None) -> dict[str, Any]:
    """Give the inputs of a run as a dict of its own; those of a namespace are validated.

    Raises:
        InputsError: if they do not fit the program's parameters.
        UsageError: if they are no mapping.
    """
    if isinstance(inputs, ParameterNamespace):
        inputs.validate()
        return dict(vars(inputs))
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping):
        raise UsageError(f"The inputs are a dict of values by their names, not {shown(inputs)}.")
    return dict(inputs)
