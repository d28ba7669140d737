"""The original's options of a job, with its rules."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Self

import attrs

from adapters.ibmq.errors import IBMQInputValueError
from adapters.run_options import RunOptions

_WORD = r"[a-zA-Z0-9]+"
_IMAGE = re.compile(rf"{_WORD}([/.\-_]{_WORD})*:{_WORD}([.\-_]{_WORD})*$")


@attrs.define
class RuntimeOptions:
    """How a job is to be run. `validate` it, or have `run` do so."""

    backend_name: str | None = None
    """Where; required."""
    image: str | None = None
    """The image that the program runs in, ``image_name:tag``."""
    log_level: str | None = None
    """The level of Python's logging in the program."""

    def validate(self) -> None:
        """Check the options.

        Raises:
            IBMQInputValueError: if one is missing or wrong.
        """
        if self.image and not _IMAGE.match(self.image):
            raise IBMQInputValueError('"image" needs to be in form of image_name:tag')
        if not self.backend_name:
            raise IBMQInputValueError('"backend_name" is required field in "options".')
        if self.log_level and self.log_level.upper() not in logging.getLevelNamesMapping():
            raise IBMQInputValueError(
                f"{self.log_level} is not a valid log level. The valid log levels are: `DEBUG`, "
                "`INFO`, `WARNING`, `ERROR`, and `CRITICAL`."
            )

    @classmethod
    def of(cls, options: Self | RunOptions | Mapping[str, Any] | object | None) -> Self:
        """Make options of a dict, or of an object with these attributes.

        Raises:
            IBMQInputValueError: if there is one that nobody knows.
        """
        names = [field.name for field in attrs.fields(cls)]
        if options is None:
            return cls()
        if not isinstance(options, Mapping):
            return cls(**{name: getattr(options, name, None) for name in names})
        unknown = sorted(map(str, options.keys() - set(names)))
        if unknown:
            raise IBMQInputValueError(
                f"unknown options {', '.join(unknown)}: there are {', '.join(names)}"
            )
        return cls(**options)
