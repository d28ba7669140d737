"""The calls of a service as data: `GET /tasks/{id}`. Pure.

Job ids come from outside, so a path is made of one in one place: an id that could lead to another
path is refused, and what is left is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import attrs

from runtime_core.errors import UsageError
from runtime_core.value_path import shown

_CALL: Final = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/[!-~]*)", re.ASCII)
_NAMES: Final = re.compile(r"\{(.*?)\}")


def quoted_id(identifier: str, what: str) -> str:
    """Give an id as one step of a path.

    Raises:
        UsageError: if it cannot be the id of `what`.
    """
    # Proxies decode %2F, and some resolve dots, before they route: quoting is not enough.
    if not identifier or not identifier.isprintable() or "/" in identifier or "\\" in identifier:
        raise _refused(identifier, what)
    if ".." in identifier or identifier == ".":
        raise _refused(identifier, what)
    return quote(identifier, safe="")


def _refused(identifier: str, what: str) -> UsageError:
    return UsageError(
        f"{shown(identifier)} cannot be the id of a {what}: "
        "it is empty, or holds a slash, '..' or a control character."
    )


@attrs.frozen
class Call:
    """A method, and a path with names in braces."""

    method: str
    """The HTTP method."""
    path: str
    """The path below the service's own, with its query."""

    def to(self, **values: str | int) -> str:
        """Give the path with these values, which are quoted already, in the place of the names."""
        return self.path.format(**values)


def _read(call: str | Call, *names: str) -> Call:
    """Read a call whose path has exactly these names."""
    if isinstance(call, Call):
        return call
    found = _CALL.fullmatch(call)
    if found is None:
        raise ValueError(f"a call is written as 'GET /path', not as {call!r}")
    left = _NAMES.sub("", found[2])
    if sorted(_NAMES.findall(found[2])) != sorted(names) or "{" in left or "}" in left:
        wanted = " and ".join(f"{{{name}}}" for name in names) or "nothing in braces"
        raise ValueError(f"the path of {call!r} must hold {wanted}, once, and no other braces")
    return Call(found[1], found[2])


def _perhaps_plain(call: str | Call | None) -> Call | None:
    return None if call is None else _read(call)


def _of_a_job(call: str | Call) -> Call:
    return _read(call, "id")


def _perhaps_of_a_job(call: str | Call | None) -> Call | None:
    return None if call is None else _read(call, "id")


def _perhaps_of_all(call: str | Call | None) -> Call | None:
    return None if call is None else _read(call, "limit", "skip")


WriteJob: TypeAlias = Callable[[str, Mapping[str, Any], Mapping[str, Any]], object]
"""Gives the JSON body that submits a job, of the id of its program, its inputs and the options.

It raises a `UsageError` for options that the service does not have.
"""


def usual_body(
    program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the body of a submission as both IBM services begin it; options stand beside."""
    return {**options, "program_id": program_id, "params": dict(inputs)}


@attrs.frozen
class JobCalls:
    """The calls about a job, each as ``GET /tasks/{id}``.

    Raises:
        ValueError: if one of them cannot be.
    """

    status: Call = attrs.field(converter=_of_a_job)
    """Gives what the service knows of a job, as a JSON object."""
    result: Call = attrs.field(converter=_of_a_job)
    """Gives the text of the result; of a failed job why it failed, if its status does not say."""
    cancel: Call = attrs.field(converter=_of_a_job)
    """Asks for the end of a job."""
    submit: Call | None = attrs.field(default=None, converter=_perhaps_plain)
    """Submits a job; the answer is a JSON object with its id. None if that is done otherwise."""
    logs: Call | None = attrs.field(default=None, converter=_perhaps_of_a_job)
    """Gives what a job wrote to its log; None if the service has none."""
    jobs: Call | None = attrs.field(default=None, converter=_perhaps_of_all)
    """Gives `limit` jobs after the newest `skip`, as a JSON object; None if there is no list."""
