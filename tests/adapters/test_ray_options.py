"""`RayOptions`: what may be asked for, and what is refused in which words."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from adapters.ray.options import RayOptions
from adapters.run_options import RunOptions
from runtime_core.errors import OptionsError

FULL: dict[str, Any] = {
    "num_cpus": 0.5,
    "num_gpus": 1,
    "memory": 1 << 30,
    "resources": {"qpu": 2},
    "env_vars": {"A": "1", "B": ""},
    "pip": ["numpy>=2"],
    "log_level": "info",
    "job_tags": ["a"],
    "max_execution_time": 60,
}


def refusal(options: object) -> str:
    """Give the sentence with which options are refused."""
    with pytest.raises(OptionsError) as refused:
        RayOptions.of(options)
    return str(refused.value)


def test_the_defaults_reserve_one_cpu() -> None:
    assert RayOptions.of(None) == RayOptions.of({}) == RayOptions()
    assert RayOptions().num_cpus == 1
    assert RayOptions().plain() == RunOptions()


def test_every_option() -> None:
    options = RayOptions.of(FULL)
    assert attrs.asdict(options) == FULL
    assert RayOptions.of(options) is options
    assert options.plain() == RunOptions(log_level="info", job_tags=["a"], max_execution_time=60)


def test_an_object_with_such_attributes() -> None:
    assert RayOptions.of(SimpleNamespace(num_cpus=2, other=1)) == RayOptions(num_cpus=2)
    assert RayOptions.of(RunOptions(log_level="INFO")) == RayOptions(log_level="INFO")
    assert "Options are a dict or a RayOptions" in refusal(SimpleNamespace(other=1))
    assert "Options are a dict or a RayOptions, not 3." in refusal(3)


def test_what_is_none_is_as_if_it_were_not_there() -> None:
    assert RayOptions.of(dict.fromkeys(FULL)) == RayOptions()
    assert RayOptions.of({"image": None, "backend_name": ""}) == RayOptions()


def test_what_other_services_have() -> None:
    assert "give what it needs as pip" in refusal({"image": "a:1"})
    assert "a Ray cluster is one backend" in refusal({"backend_name": "ibmq"})
    assert "The option image" in refusal(RunOptions(image="a:1"))


def test_an_option_that_nobody_knows() -> None:
    said = refusal({"num_cpu": 1, "gpus": None, "working_dir": "."})
    assert said.startswith("unknown options num_cpu, working_dir: there are num_cpus, num_gpus,")


@pytest.mark.parametrize("name", ["num_cpus", "num_gpus"])
@pytest.mark.parametrize("value", [-1, "1", True, math.nan, math.inf, [1]])
def test_an_amount_that_is_none(name: str, value: object) -> None:
    assert f"The option {name} is a number from 0 on, not " in refusal({name: value})


@pytest.mark.parametrize("value", [-1, "1", True, 1.5])
def test_memory_is_in_bytes(value: object) -> None:
    assert "memory is a whole number of bytes, not " in refusal({"memory": value})


@pytest.mark.parametrize("value", [[], {"": 1}, {1: 1}, {"a": -1}, {"a": "1"}, {"a": True}, "a"])
def test_resources_that_are_none(value: object) -> None:
    assert "resources is a dict of numbers from 0 on" in refusal({"resources": value})


@pytest.mark.parametrize("value", [[], {"A": 1}, {1: "a"}, "A=1"])
def test_variables_that_are_none(value: object) -> None:
    assert "env_vars is a dict of texts by their names." in refusal({"env_vars": value})


@pytest.mark.parametrize(
    "value", [{"": "a"}, {"A=B": "a"}, {"A\0": "a"}, {"A": "s3cret\0"}, {"A": "\udcff"}]
)
def test_variables_that_no_environment_takes(value: object) -> None:
    said = refusal({"env_vars": value})
    assert "cannot be an environment variable." in said
    assert "s3cret" not in said


def test_the_librarys_own_variables_are_not_for_others() -> None:
    said = refusal({"env_vars": {"RUNTIME_CORE_JOB": "s3cret"}})
    assert said == "The environment variable RUNTIME_CORE_JOB is set by the library itself."


def test_the_values_of_variables_are_shown_nowhere() -> None:
    options = RayOptions(env_vars={"A": "s3cret"})
    assert "s3cret" not in repr(options)
    assert "s3cret" not in refusal({"env_vars": {"A": "s3cret", "B": 1}})


@pytest.mark.parametrize("value", ["numpy", [1], [""], [" "], {"a": 1}, 3])
def test_requirements_that_are_none(value: object) -> None:
    assert "pip is a list of requirements, for instance" in refusal({"pip": value})


def test_what_all_services_have_is_checked_as_for_them() -> None:
    assert "log_level is one of Python's" in refusal({"log_level": "loud"})
    assert "job_tags is a list of texts" in refusal({"job_tags": "a"})
    assert "max_execution_time is a whole number" in refusal({"max_execution_time": 0})
    with pytest.raises(OptionsError, match="log_level"):
        RayOptions(log_level="loud")
