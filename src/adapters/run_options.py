"""`RunOptions`: how a job is to be run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs

from runtime_core.errors import OptionsError
from runtime_core.value_path import shown


def _text_or_none(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise OptionsError(f"The option {attribute.name} is a text, not {shown(value)}.")


def _tags_or_none(_: object, __: object, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, list | tuple) or not all(isinstance(tag, str) for tag in value):
        raise OptionsError(f"The option job_tags is a list of texts, not {shown(value)}.")


def _seconds_or_none(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionsError(
            f"The option {attribute.name} is a whole number of seconds, not {shown(value)}."
        )


@attrs.frozen
class RunOptions:
    """How a job is to be run; the keys of a dict of options are these fields.

    Raises:
        OptionsError: if a value is not as it must be.
    """

    backend_name: str | None = attrs.field(default=None, validator=_text_or_none)
    """Where; None leaves it to the service."""
    image: str | None = attrs.field(default=None, validator=_text_or_none)
    """The image that the program runs in, ``name:tag``; None for the service's own."""
    log_level: str | None = attrs.field(default=None, validator=_text_or_none)
    """The level of Python's logging in the program, for instance ``INFO``."""
    job_tags: Sequence[str] | None = attrs.field(default=None, validator=_tags_or_none)
    """By which the job is to be found; of the current dialect."""
    max_execution_time: int | None = attrs.field(default=None, validator=_seconds_or_none)
    """The longest execution time of this job in seconds; of the current dialect."""

    def __attrs_post_init__(self) -> None:
        level = self.log_level
        if level and level.upper() not in logging.getLevelNamesMapping():
            raise OptionsError(
                f"The option log_level is one of Python's, for instance INFO, not {shown(level)}."
            )

    @classmethod
    def of(cls, options: Self | Mapping[str, Any] | object | None) -> Self:
        """Make options of a dict, or of an object with these attributes; None gives the defaults.

        Raises:
            OptionsError: if there is one that nobody knows, or a value that is wrong.
        """
        if isinstance(options, cls):
            return options
        names = [field.name for field in attrs.fields(cls)]
        if options is None:
            return cls()
        if not isinstance(options, Mapping):
            if not any(hasattr(options, name) for name in names):
                raise OptionsError(f"Options are a dict or a RunOptions, not {shown(options)}.")
            return cls(**{name: getattr(options, name, None) for name in names})
        unknown = sorted(map(str, options.keys() - set(names)))
        if unknown:
            raise OptionsError(
                f"unknown options {', '.join(unknown)}: there are {', '.join(names)}"
            )
        return cls(**options)
