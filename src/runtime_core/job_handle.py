"""`JobHandle`: what another process, another day, needs to take a job up again.

Its text is JSON with a schema and a version:

    {"schema": "runtime-core/job-handle", "version": 1, "job_id": "j1",
     "service": "https://runtime.example", "dialect": "legacy", "program_id": "vqe",
     "decoder": "ResultDecoder", "cursor": 7, "state": "running"}

Nothing in it is imported or called: service, dialect and decoder are names, which are compared with
those of what the local program brings along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Self

import attrs

from runtime_core.decoders import Decoder, DecoderRegistry, ResultDecoder, choose_decoder
from runtime_core.decoders import decoder_name as name_of
from runtime_core.errors import DecodeError, UsageError
from runtime_core.json_limits import DecodeLimits, parse_json
from runtime_core.states import JobState
from runtime_core.value_path import shown, step

SCHEMA = "runtime-core/job-handle"
"""What the text of a handle says that it is."""

VERSION = 1
"""The version of the text that is written; all from 1 on are read."""

MOST_CHARACTERS = 2048
"""How long each text in a handle may be."""

# Five texts of that length, each character escaped as two surrogates, are 123 kB.
_LIMITS = DecodeLimits(max_text_bytes=128 * 1024, max_nodes=200, max_depth=10)
_LARGEST_CURSOR = 2**63 - 1

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each version but the last, what makes the fields of the next one of its fields."""

# Whatever stands before the slashes: "jdbc:postgresql://", say, or nothing.
_URL = re.compile(r"([^/?#@]*//)([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_USER = re.compile(r"\A[^/]*@")
_QUERY = re.compile(r"\?.*", re.DOTALL)


def public_name(service: str) -> str:
    """Give the name of a service, or its URL, without user, password, query and fragment.

    Raises:
        UsageError: if it cannot be told where a password ends: a URL has an @ behind its host.
    """
    url = _URL.fullmatch(service)
    if url is None:
        return _QUERY.sub("", _USER.sub("", service))
    scheme, authority, path, rest = url.groups()
    if "@" in path + rest:
        raise UsageError(
            "The service's URL has an @ behind its host: leave user and password out, and write "
            "an @ as %40."
        )
    return scheme + authority.rpartition("@")[2] + path


def _name(value: object) -> Any:
    return public_name(value) if isinstance(value, str) else value


def _is_text(_: object, field: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise _misfit(field.name, "a text", type(value))  # and not what may be a secret
    if len(value) > MOST_CHARACTERS:
        raise _misfit(field.name, f"at most {MOST_CHARACTERS:,} characters", len(value))


def _is_id(handle: object, field: attrs.Attribute[str], value: object) -> None:
    _is_text(handle, field, value)
    if value == "":
        raise _misfit(field.name, "the id of a job", value)


def _is_cursor(_: object, field: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int or not 0 <= value <= _LARGEST_CURSOR:
        raise _misfit(field.name, "a number of messages, an int of 0 or more", value)


def _is_state(_: object, field: attrs.Attribute[JobState | None], value: object) -> None:
    if not (value is None or isinstance(value, JobState)):
        raise _misfit(field.name, "a JobState, or None", value)


@attrs.frozen(kw_only=True)
class JobHandle:
    """What is needed to take a job up again, by a process that has a client of its service.

    It holds no credentials: of the service's URL, user, password, query and fragment are left out.
    A value: to change one, use `attrs.evolve`.

    Raises:
        UsageError: if a field is of another type or too long, `job_id` is empty, the cursor is
            negative, or the URL has an @ behind its host.
    """

    job_id: str = attrs.field(validator=_is_id)
    """The job, as its service names it."""
    service: str = attrs.field(default="", converter=_name, validator=_is_text)
    """Where the job is: the service's URL or name; empty if its client does not tell."""
    dialect: str = attrs.field(default="", validator=_is_text)
    """The name of the dialect that the service speaks; empty if its transport names none."""
    program_id: str = attrs.field(default="", validator=_is_text)
    """What the job runs; empty if that is not known."""
    decoder: str = attrs.field(default="", validator=_is_text)
    """The name of the decoder of its results, see `decoder_name`; empty if any will do."""
    cursor: int = attrs.field(default=0, validator=_is_cursor)
    """How many interim results were delivered: those whose callback had returned."""
    state: JobState | None = attrs.field(default=None, validator=_is_state)
    """The state as last known, when the handle was taken; None if it was not confirmed then."""

    def to_json(self) -> str:
        """Write the handle as a text that `from_json` reads, also one of a later release."""
        state = None if self.state is None else self.state.value
        fields = {**attrs.asdict(self), "state": state}
        return json.dumps({"schema": SCHEMA, "version": VERSION, **fields})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a handle.

        Raises:
            UsageError: if the text is none, or is of a version that this release does not know;
                the message says what was expected, and where.
        """
        fields = _current(_read(text))
        for name in fields:
            if name not in _NAMES:
                raise UsageError(f"The job handle has a field that is none, at ${step(name)}.")
        for name in _NAMES:
            if name not in fields:
                raise UsageError(f"The job handle has a field missing, at ${step(name)}.")
        fields["state"] = _state(fields["state"])
        return cls(**fields)

    def check_service(self, service: str, dialect: str) -> None:
        """Refuse a client that is not of the handle's service.

        Raises:
            UsageError: if it names another service, or another dialect. The message names both.
        """
        name = public_name(service)
        for what, mine, other in (
            ("service", self.service, name),
            ("dialect", self.dialect, dialect),
        ):
            if mine != other:
                raise UsageError(
                    f"The handle of job {self.job_id} is of the {what} {mine!r}, and the client "
                    f"is of the {what} {other!r}. If that is where the job is now, use "
                    f"attrs.evolve(handle, {what}={other!r})."
                )

    def choose_decoder(
        self, decoders: DecoderRegistry, result_decoder: Decoder[Any] | None = None
    ) -> Decoder[Any]:
        """Find the decoder that the handle names, among those that are given.

        It is `result_decoder`; without one, the registry's for the program, its default, or
        `ResultDecoder`.

        Raises:
            UsageError: if `result_decoder` has another name, or there is none of that name.
        """
        if result_decoder is not None:
            given = choose_decoder(self.program_id, decoders, result_decoder)
            if self.decoder in ("", name_of(given)):
                return given
            raise UsageError(
                f"The results of job {self.job_id} are decoded by {self.decoder!r}, and "
                f"result_decoder is {name_of(given)!r}. To decode them by that, use "
                f"attrs.evolve(handle, decoder={name_of(given)!r})."
            )
        usual = choose_decoder(self.program_id, decoders)
        for each in (usual, decoders.default, ResultDecoder):
            if self.decoder in ("", name_of(each)):
                return each
        raise UsageError(
            f"The results of job {self.job_id} are decoded by {self.decoder!r}, which is not "
            "among the decoders: give it as result_decoder=, or register it in decoders=."
        )


_NAMES = tuple(field.name for field in attrs.fields(JobHandle))


def _read(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    if not isinstance(text, str):
        raise UsageError(f"The job handle is to be read from a str, not {shown(text)}.")
    try:
        read = parse_json(text, _LIMITS)
    except json.JSONDecodeError as error:
        raise UsageError(f"The text is no job handle: it is not JSON: {error}.") from error
    except DecodeError as error:
        raise UsageError(f"The text is no job handle: {error}.") from error
    if not isinstance(read, dict):
        raise UsageError(f"The text is no job handle: expected a JSON object, got {shown(read)}.")
    return read


def _current(read: dict[str, Any]) -> dict[str, Any]:
    """Give the fields of a handle of any known version, as they are called now."""
    fields = dict(read)
    schema, version = fields.pop("schema", None), fields.pop("version", None)
    if schema != SCHEMA:
        raise UsageError(
            f"The text is no job handle: expected {SCHEMA!r} at $.schema, got {shown(schema)}."
        )
    if type(version) is not int or version < 1:
        raise UsageError(
            f"The job handle has no version: expected an int at $.version, got {shown(version)}."
        )
    if version > VERSION:
        raise UsageError(
            f"The job handle is of version {shown(version)} of {SCHEMA}, and this release reads "
            f"the versions up to {VERSION}: use the one that wrote it, or a later one."
        )
    while version < VERSION:
        fields = UPGRADES[version](fields)
        version += 1
    return fields


def _state(word: object) -> JobState | None:
    if word is None:
        return None
    words = {state.value: state for state in JobState}
    if not isinstance(word, str) or word not in words:
        raise _misfit("state", f"null or one of {', '.join(words)}", word)
    return words[word]


def _misfit(name: str, expected: str, got: object) -> UsageError:
    where = f"at ${step(name)}"
    return UsageError(
        f"The job handle does not fit: expected {expected} {where}, got {shown(got)}."
    )
