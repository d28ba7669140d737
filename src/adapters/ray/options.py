"""`RayOptions`: how a job is to be run on a Ray cluster."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import attrs

from adapters.run_options import RunOptions
from runtime_core.errors import OptionsError
from runtime_core.value_path import shown

_NAME: Final = re.compile(r"[^=\0]+")

_REFUSED: Final = {
    "image": "a job runs in the Python of its cluster; give what it needs as pip",
    "backend_name": "a Ray cluster is one backend; give num_cpus, num_gpus, memory or resources",
}
"""Options of other services, and what to do instead."""

_OURS: Final = "RUNTIME_CORE_"
"""How the environment variables begin that this library itself gives a job."""


def _amount(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )


def _amount_of(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not _amount(value):
        raise OptionsError(
            f"The option {attribute.name} is a number from 0 on, not {shown(value)}."
        )


def _bytes_of(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise OptionsError(
            f"The option {attribute.name} is a whole number of bytes, not {shown(value)}."
        )


def _amounts(_: object, __: object, value: object) -> None:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and name and _amount(count) for name, count in value.items()
    ):
        raise OptionsError(
            f"The option resources is a dict of numbers from 0 on by their names, "
            f"not {shown(value)}."
        )


def _variables(_: object, __: object, value: object) -> None:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(text, str) for name, text in value.items()
    ):
        raise OptionsError("The option env_vars is a dict of texts by their names.")
    for name, text in value.items():
        if _NAME.fullmatch(name) is None or "\0" in text or not _is_utf8(name + text):
            raise OptionsError(f"{shown(name)} cannot be an environment variable.")
        if name.startswith(_OURS):
            raise OptionsError(f"The environment variable {name} is set by the library itself.")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _requirements(_: object, __: object, value: object) -> None:
    if not isinstance(value, list | tuple) or not all(
        isinstance(line, str) and line.strip() for line in value
    ):
        raise OptionsError(
            f"The option pip is a list of requirements, for instance ['numpy>=2'], "
            f"not {shown(value)}."
        )


@attrs.frozen
class RayOptions:
    """How a job is to be run; the keys of a dict of options are these fields.

    Raises:
        OptionsError: if a value is not as it must be. No message holds the value of an environment
            variable.
    """

    num_cpus: float = attrs.field(default=1, validator=_amount_of)
    """How many CPUs are reserved for the program. With 0, and nothing else asked for, it runs on
    the head node at once, however many do already."""
    num_gpus: float = attrs.field(default=0, validator=_amount_of)
    """How many GPUs are reserved for it."""
    memory: int = attrs.field(default=0, validator=_bytes_of)
    """How much memory is reserved for it, in bytes."""
    resources: Mapping[str, float] = attrs.field(factory=dict, validator=_amounts)
    """How much is reserved for it of what the cluster names itself."""
    env_vars: Mapping[str, str] = attrs.field(factory=dict, validator=_variables, repr=False)
    """The environment variables of the program, and of Ray's tasks and actors in it."""
    pip: Sequence[str] = attrs.field(default=(), validator=_requirements)
    """What the cluster installs for it, as `pip` is told."""
    log_level: str | None = None
    """The level of Python's logging in the program, for instance ``INFO``."""
    job_tags: Sequence[str] | None = None
    """By which the job is to be found."""
    max_execution_time: int | None = None
    """The longest execution time of the job in seconds."""

    def __attrs_post_init__(self) -> None:
        self.plain()

    def plain(self) -> RunOptions:
        """Give what has nothing to do with Ray in it.

        Raises:
            OptionsError: if one of them is not as it must be.
        """
        return RunOptions(
            log_level=self.log_level,
            job_tags=self.job_tags,
            max_execution_time=self.max_execution_time,
        )

    @classmethod
    def of(cls, options: Self | RunOptions | Mapping[str, Any] | object | None) -> Self:
        """Make options of a dict, or of an object with these attributes; None gives the defaults.

        What is None in them is as if it were not there.

        Raises:
            OptionsError: if there is one that nobody knows, or that Ray has not, or a value that is
                wrong.
        """
        if isinstance(options, cls):
            return options
        names = [field.name for field in attrs.fields(cls)]
        if options is None:
            return cls()
        if not isinstance(options, Mapping):
            every = [*names, *_REFUSED]
            found = {name: getattr(options, name) for name in every if hasattr(options, name)}
            if not found:
                raise OptionsError(f"Options are a dict or a RayOptions, not {shown(options)}.")
            options = found
        given = {name: value for name, value in options.items() if value is not None}
        for name, instead in _REFUSED.items():
            if given.get(name):
                raise OptionsError(f"The option {name} is not for a Ray cluster: {instead}.")
        unknown = sorted(map(str, given.keys() - set(names) - set(_REFUSED)))
        if unknown:
            raise OptionsError(
                f"unknown options {', '.join(unknown)}: there are {', '.join(names)}"
            )
        return cls(**{name: value for name, value in given.items() if name in names})
