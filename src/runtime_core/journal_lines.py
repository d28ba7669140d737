"""How events, commands and traits stand in a journal, and what is left out of them.

Each class is written by its fields, each field by its type; what has its default is left out. What
a program or a service's user has written, messages, results, reasons, is written as its length and
a keyed digest, unless it is asked for: equal texts stay equal, and that is all the machine looks
at. Nothing is ever imported or made because a line names it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar, get_args

import attrs

from runtime_core import errors
from runtime_core.commands import Command, Notice, Report
from runtime_core.errors import TransportError
from runtime_core.events import Event, FailureReceived, JobFailed, Need, ResultReceived, TimerName
from runtime_core.scrub import scrubbed, without_secrets
from runtime_core.states import JobState
from runtime_core.traits import Resume, ServiceTraits
from runtime_core.value_path import shown

SCHEMA: Final = "runtime-core journal"
VERSION: Final = 1

Json: TypeAlias = Any
"""What `json` makes of a line, or a part of it."""
T = TypeVar("T")

LONGEST_TEXT: Final = 65_536
"""Characters of a text that is written whole, if texts are asked for at all."""
MOST_MESSAGES: Final = 2**20
"""How many messages one event is believed to have."""
LARGEST_INT: Final = 2**63 - 1
"""How far a request, a connection or a message is believed to be counted: what is made of much
longer numbers cannot be shown."""

_ENUMS: Final = (TimerName, Need, JobState, Resume, Notice)
_PAYLOADS: Final = {(ResultReceived, "text"), (JobFailed, "reason"), (FailureReceived, "reason")}
_TRANSPORT_ERRORS: Final = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, TransportError)
}


class RecordedError(Exception):
    """Stands for an error of a class that is not of this library."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """The name of its class."""


@attrs.define(eq=False, slots=False)
class RecordedTransportError(TransportError):
    """Stands for a `TransportError` of a class that is not of this library."""

    kind: str = ""
    """The name of its class."""

    __str__ = TransportError.__str__


def kind_of(error: Exception) -> str:
    """Give the name of an error's class, also of one that was only recorded."""
    if isinstance(error, RecordedError | RecordedTransportError):
        return error.kind
    return type(error).__name__


# ---- writing -----------------------------------------------------------------------------------


@attrs.frozen
class Writing:
    """How texts are written."""

    payloads: bool = False
    """Whether texts of programs and services are written as they are."""
    key: bytes = b""
    """The key of the digests, at most 64 bytes."""
    secrets: tuple[str, ...] = ()
    """What must never be written."""

    def event(self, event: Event) -> dict[str, Json]:
        """Write an event."""
        return self._fields(event, _EVENT_PLANS[type(event)])

    def command(self, command: Command) -> dict[str, Json]:
        """Write a command: nothing of it is a text, since those came in by events."""
        return self._fields(command, _COMMAND_PLANS[type(command)])

    def traits(self, traits: ServiceTraits) -> dict[str, Json]:
        """Write what a machine knows of its service."""
        return self._fields(traits, _TRAITS_PLAN)

    def name(self, text: str) -> str:
        """Write the id of a job: it may be as long as a key is."""
        return without_secrets(text, self.secrets)

    def word(self, text: str) -> str:
        """Write what is needed to understand what happened: an error's message, for instance."""
        return scrubbed(text, self.secrets)

    def text(self, text: str) -> Json:
        """Write a text of a program or a service: equal ones are written alike."""
        if self.payloads and len(text) <= LONGEST_TEXT:
            return without_secrets(text, self.secrets)
        digest = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self.key, digest_size=8
        ).hexdigest()
        return {"chars": len(text), "digest": digest}

    def messages(self, messages: tuple[str, ...]) -> Json:
        """Write the messages of one read, in short if they are many or long."""
        chars = sum(map(len, messages))
        if messages and not (self.payloads and chars <= LONGEST_TEXT):
            # The last one may be the result, and is compared with it.
            return {"count": len(messages), "chars": chars, "last": self.text(messages[-1])}
        return [self.text(message) for message in messages]

    def error(self, error: Exception) -> Json:
        """Write an error that came in."""
        written: dict[str, Json] = {"type": kind_of(error), "message": self.word(_said(error))}
        if isinstance(error, TransportError):
            # A transport of somebody else may put there what it is not meant to.
            status = error.status_code
            written["retryable"] = bool(error.retryable)
            written["status_code"] = status if isinstance(status, int) else None
            written["retry_after"] = _number(error.retry_after)
            if error.reason_code is not None:
                written["reason_code"] = _code(self, error.reason_code)
        return written

    def _fields(self, value: object, plan: _Plan) -> dict[str, Json]:
        written: dict[str, Json] = {"is": type(value).__name__}
        for name, default, write in plan:
            item = getattr(value, name)
            if item is not default:
                written[name] = None if item is None else write(self, item)
        return written


_Write: TypeAlias = Callable[[Writing, Any], Json]
_Plan: TypeAlias = tuple[tuple[str, object, _Write], ...]


def _said(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # of somebody else's error
        return "its message cannot be had"


def _number(value: float | None) -> Json:
    """Write a number; JSON has no infinity."""
    return value if value is None or math.isfinite(value) else str(value)


def _as_it_is(_: Writing, value: Json) -> Json:
    return value


def _code(writing: Writing, value: object) -> Json:
    return value if type(value) is int else writing.word(str(value))


_WRITERS: Final[dict[str, _Write]] = {
    "int": _as_it_is,
    "int | None": _as_it_is,
    "bool": _as_it_is,
    "float": lambda _, value: _number(value),
    "float | None": lambda _, value: _number(value),
    "str": Writing.word,
    "int | str | None": _code,
    "Exception": Writing.error,
    "tuple[str, ...]": Writing.messages,
    **{kind.__name__: lambda _, value: value.value for kind in _ENUMS},
    "JobState | None": lambda _, value: value.value,
}
_IN_COMMANDS: Final[dict[str, _Write]] = {
    "Exception | None": lambda _, value: kind_of(value),
    "tuple[str, ...]": lambda _, value: len(value),
}


def _plan(kind: type, writers: Mapping[str, _Write]) -> _Plan:
    plan = []
    for field in attrs.fields(kind):
        write = Writing.text if (kind, field.name) in _PAYLOADS else writers[str(field.type)]
        if (kind, field.name) != (Report, "text"):  # made of what stands there already
            plan.append((field.name, field.default, write))
    return tuple(plan)


_EVENT_PLANS: Final = {kind: _plan(kind, _WRITERS) for kind in get_args(Event)}
_COMMAND_PLANS: Final = {kind: _plan(kind, _WRITERS | _IN_COMMANDS) for kind in get_args(Command)}
_TRAITS_PLAN: Final = _plan(ServiceTraits, _WRITERS)


# ---- reading -----------------------------------------------------------------------------------


def read_event(value: Json) -> Event:
    """Read an event that `Writing.event` has written; texts that it left out become stand-ins.

    Raises:
        ValueError: if it is none; the message says why.
    """
    event: Event = _read_fields(value, {kind.__name__: kind for kind in get_args(Event)})
    return event


def read_traits(value: Json) -> ServiceTraits:
    """Read traits that `Writing.traits` has written.

    Raises:
        ValueError: if they are none; the message says why.
    """
    traits: ServiceTraits = _read_fields(value, {"ServiceTraits": ServiceTraits})
    return traits


def message_count(event: Event) -> int:
    """How many messages an event has."""
    messages = getattr(event, "messages", ())
    return len(messages)


def _read_fields(value: Json, kinds: Mapping[str, type]) -> Any:
    given = dict(as_object(value))
    name = given.pop("is", None)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"there is no {shown(name)}")
    fields = {field.name: field for field in attrs.fields(kind)}
    for key in given:
        if key not in fields:
            raise ValueError(f"{name} has no {shown(key)}")
    for field in fields.values():
        if field.name not in given and field.default is attrs.NOTHING:
            raise ValueError(f"{name} lacks {field.name!r}")
    try:
        return kind(**{key: _READERS[str(fields[key].type)](item) for key, item in given.items()})
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def as_object(value: Json) -> dict[str, Json]:
    """Take it for an object.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, not {shown(value)}")  # noqa: TRY004 - of a text
    return value


def as_number(value: Json) -> float:
    """Take it for a number, also one that JSON has no word for.

    Raises:
        ValueError: if it is none.
    """
    if value in ("inf", "-inf", "nan"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, not {shown(value)}")  # noqa: TRY004 - of a text
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"expected a number, not {shown(value)}") from None


def _exactly(kind: type[T]) -> Callable[[Json], T]:
    def read(value: Json) -> T:
        if type(value) is not kind:
            raise ValueError(f"expected {kind.__name__}, not {shown(value)}")
        return value

    return read


def _read_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    given = as_object(value)
    chars, digest = _whole(given.get("chars")), _read_str(given.get("digest"))
    return f"<{chars} characters, {digest[:16]}>"


def _read_messages(value: Json) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(map(_read_text, value))
    given = as_object(value)
    count = _whole(given.get("count"))
    if not 1 <= count <= MOST_MESSAGES:
        raise ValueError(f"{count} messages")
    return ("<a message>",) * (count - 1) + (_read_text(given.get("last")),)


def _read_error(value: Json) -> Exception:
    given = as_object(value)
    kind, message = _read_str(given.get("type")), _read_str(given.get("message"))
    if "retryable" not in given:
        return RecordedError(kind, message)
    details = (
        _or_none(_whole)(given.get("status_code")),
        _exactly(bool)(given["retryable"]),
        _or_none(as_number)(given.get("retry_after")),
        _or_none(_read_code)(given.get("reason_code")),
    )
    known = _TRANSPORT_ERRORS.get(kind)
    if known is None:
        return RecordedTransportError(message, *details, kind)
    return known(message, *details)


def _read_code(value: Json) -> int | str:
    return value if isinstance(value, str) else _read_int(value)


def _member(kind: type[Enum]) -> Callable[[Json], Any]:
    members = {member.value: member for member in kind}

    def read(value: Json) -> Enum:
        if not isinstance(value, str) or value not in members:
            raise ValueError(f"there is no {kind.__name__} {shown(value)}")
        return members[value]

    return read


def _or_none(read: Callable[[Json], T]) -> Callable[[Json], T | None]:
    return lambda value: None if value is None else read(value)


_read_str = _exactly(str)
_read_int = _exactly(int)


def _whole(value: Json) -> int:
    number = _read_int(value)
    if abs(number) > LARGEST_INT:
        raise ValueError(f"expected an int of 64 bits, not {shown(value)}")
    return number


_READERS: Final[dict[str, Callable[[Json], Any]]] = {
    "int": _whole,
    "int | None": _or_none(_whole),
    "bool": _exactly(bool),
    "float": as_number,
    "float | None": _or_none(as_number),
    "str": _read_text,
    "str | None": _or_none(_read_text),
    "int | str | None": _or_none(_read_code),
    "Exception": _read_error,
    "tuple[str, ...]": _read_messages,
    **{kind.__name__: _member(kind) for kind in _ENUMS},
    "JobState | None": _or_none(_member(JobState)),
}


def as_state(value: Json) -> JobState:
    """Take it for a state.

    Raises:
        ValueError: if it is none.
    """
    state: JobState = _READERS["JobState"](value)
    return state
