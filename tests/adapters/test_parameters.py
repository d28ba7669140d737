"""A program's parameters as attributes, and their JSON schema; options of a job."""

from __future__ import annotations

import copy
import pickle
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adapters.parameters import ParameterNamespace, plain_inputs
from adapters.run_options import RunOptions
from runtime_core.errors import InputsError, OptionsError, UsageError

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2019-09/schema",
    "properties": {
        "n": {"type": "integer", "description": "How far.", "minimum": 0},
        "angles": {"type": "array", "items": {"type": "number"}, "minItems": 1},
        "circuit": {"type": "object"},
        "label": {"type": ["string", "null"]},
        "exact": {"type": "boolean"},
    },
    "required": ["n"],
}


def given(**values: Any) -> ParameterNamespace:
    parameters = ParameterNamespace(SCHEMA)
    for name, value in values.items():
        setattr(parameters, name, value)
    return parameters


def test_what_is_not_set_is_none_and_not_sent() -> None:
    parameters = given(n=3)
    assert (parameters.n, parameters.label) == (3, None)
    assert vars(parameters) == {"n": 3}
    assert parameters.metadata == SCHEMA
    assert set(dir(parameters)) > set(SCHEMA["properties"])
    with pytest.raises(AttributeError, match="no parameter 'm'"):
        _ = parameters.m


def test_it_is_copied_and_pickled_with_its_schema() -> None:
    parameters = given(n=3)
    for twin in (copy.deepcopy(parameters), pickle.loads(pickle.dumps(parameters))):
        assert twin == parameters
        assert twin.metadata == SCHEMA


def test_it_is_printed_as_a_table() -> None:
    text = str(given(n=3))
    assert "| n          | 3            | integer      | True     |        How far. |" in text
    assert repr(given(n=3)) == "ParameterNamespace(n=3)"


class Circuit:
    pass


@pytest.mark.parametrize(
    "values",
    [
        {"n": 0},
        {"n": np.int64(3)},
        {"n": 1, "angles": [0.5, 1]},
        {"n": 1, "angles": (0.5,)},
        {"n": 1, "angles": np.linspace(0, 1, 3)},
        {"n": 1, "angles": {0.5}},
        {"n": 1, "circuit": Circuit()},
        {"n": 1, "circuit": {"a": datetime(2020, 1, 1, tzinfo=UTC)}},
        {"n": 1, "label": None},
        {"n": 1, "exact": True},
        {"n": 1, "not_mentioned": object()},
    ],
)
def test_values_that_fit(values: dict[str, Any]) -> None:
    given(**values).validate()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, r"'n' is a required property \(at \$\)"),
        ({"n": "3"}, r"'3' is not of type 'integer' \(at \$\.n\)"),
        ({"n": None}, r"None is not of type 'integer' \(at \$\.n\)"),
        ({"n": True}, r"not of type 'integer'"),
        ({"n": -1}, r"-1 is less than the minimum of 0 \(at \$\.n\)"),
        ({"n": 1j}, r"not of type 'integer'"),
        ({"n": 1, "angles": ["x"]}, r"\(at \$\.angles\[0\]\)"),
        ({"n": 1, "angles": np.ones((2, 2))}, r"an array of shape \(2,\) is not of type 'number'"),
        ({"n": 1, "circuit": [1]}, r"\(at \$\.circuit\)"),
        ({"n": "x" * 10_000}, r"'x{1,40}\.\.\.x{1,40}' is not of type"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_their_path(
    values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputsError, match=problem) as caught:
        given(**values).validate()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("inputs", [[1], [("n", 1)], "n=1", 3])
def test_inputs_have_names(inputs: Any) -> None:
    with pytest.raises(UsageError, match="inputs are a dict of values by their names, not"):
        plain_inputs(inputs)


def test_ten_problems_are_enough() -> None:
    with pytest.raises(InputsError) as caught:
        given(n=1, angles=["x"] * 1000).validate()
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1] == "and more"


@pytest.mark.parametrize("schema", [{}, {"properties": 3}, {"description": "nothing"}])
def test_a_program_without_a_schema_takes_everything(schema: dict[str, Any]) -> None:
    parameters = ParameterNamespace({} if schema.get("properties") else schema)
    parameters.x = 1
    parameters.validate()
    assert "ParameterNamespace" in str(ParameterNamespace(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"n": {"type": "Circuit"}}},
        {"properties": {"n": {"$ref": "http://127.0.0.1:1/never-fetched"}}},
    ],
)
def test_a_schema_that_is_none_is_said_to_be_none_and_fetches_nothing(schema: Any) -> None:
    parameters = ParameterNamespace(schema)
    parameters.n = 3
    with pytest.raises(InputsError, match=r"no JSON schema: .* pass a dict instead"):
        parameters.validate()


def test_without_jsonschema_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(UsageError, match=r"runtime-core\[schema\]"):
        given(n=3).validate()


# ---- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"backend_name": "b", "log_level": "debug"},
        RunOptions("b", log_level="debug"),
        SimpleNamespace(backend_name="b", image=None, log_level="debug"),
    ],
)
def test_options_are_a_dict_or_an_object(options: Any) -> None:
    assert RunOptions.of(options) == RunOptions("b", None, "debug")


def test_no_options_are_the_defaults() -> None:
    assert RunOptions.of(None) == RunOptions.of({}) == RunOptions(None, None, None)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"backend": "b"}, "unknown options backend: there are backend_name, image, log_level"),
        ({"backend_name": 3}, "option backend_name is a text, not 3"),
        ({"log_level": "LOUD"}, "option log_level is one of Python's"),
        ("b", "Options are a dict or a RunOptions, not 'b'"),
    ],
)
def test_options_that_cannot_be_are_refused(options: Any, problem: str) -> None:
    with pytest.raises(OptionsError, match=problem):
        RunOptions.of(options)
