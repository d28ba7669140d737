"""Reads what a request carries; refuses with one clear sentence what is not as it should be."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import math
import os
import re
import sys
from typing import Any, TypeVar

import attrs
from starlette.requests import HTTPConnection, Request

from adapters.local.records import (
    DEFAULT_BACKEND,
    DEFAULT_COST,
    MAX_COST,
    Job,
    Program,
    new_job_id,
)
from adapters.local.retention import RetentionRule
from runtime_core.errors import DecodeError
from runtime_core.json_limits import DecodeLimits, parse_json

MAX_BODY_BYTES = 64 * 1024 * 1024
"""The longest body that a request may have."""

MAX_NAME = 256
"""The longest name of a program, in characters."""

MAX_TAGS = 64
"""How many tags a job may have."""

MAX_TAG = 128
"""How long a tag may be, in characters."""

_T = TypeVar("_T")

_LIMITS = DecodeLimits(max_text_bytes=MAX_BODY_BYTES, max_memory_bytes=4 * MAX_BODY_BYTES)
_LONG_BODY = 1 << 20

_JOB_ID = re.compile(r"[0-9a-f]{24}")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class RefusedError(Exception):
    """The request is refused: a status code, and a sentence that says why."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message


async def read_object(request: Request) -> dict[str, Any]:
    """Read the JSON object in the body of a request.

    Raises:
        RefusedError: 413 if it is too long, 400 if it is no JSON object.
    """
    body = await read_body(request)
    try:
        # What a text takes as Python objects is bounded too; a long one holds up nobody meanwhile.
        text = body.decode()
        if len(text) < _LONG_BODY:
            value = parse_json(text, _LIMITS)
        else:
            value = await asyncio.to_thread(parse_json, text, _LIMITS)
    except ValueError as error:
        raise RefusedError(400, f"The body is not JSON: {error}.") from error
    except DecodeError as error:
        raise RefusedError(400, f"The body cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return value


async def read_body(request: Request) -> bytes:
    """Read the body of a request.

    Raises:
        RefusedError: 413 if it is too long.
    """
    body = bytearray()
    length = 0
    async for part in request.stream():
        length += len(part)
        if length <= MAX_BODY_BYTES:
            body += part
        elif length > 2 * MAX_BODY_BYTES:
            break
        # In between it is read and dropped: who is still sending may not see an early answer.
    if length > MAX_BODY_BYTES:
        raise RefusedError(413, f"The body is longer than {MAX_BODY_BYTES >> 20} MiB.")
    return bytes(body)


def program_from(body: dict[str, Any]) -> tuple[Program, bytes]:
    """Make a program and its source of the body of `POST /programs`.

    Raises:
        RefusedError: 400 if a field is missing or wrong.
    """
    _text(body, "name")
    try:
        source = base64.b64decode(_text(body, "data"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(
            400, f"The data must be the program's source in base64: {error}."
        ) from error
    program = changed_program(Program(_program_name(body), DEFAULT_COST), body)
    return attrs.evolve(program, is_public=_optional(body, "is_public", bool, False)), source


def changed_program(program: Program, body: dict[str, Any]) -> Program:
    """Give what `program` is after the body of `PATCH /programs/{id}`.

    Raises:
        RefusedError: 400 if a field is wrong.
    """
    cost = _optional(body, "cost", int, program.cost)
    if not 1 <= cost <= MAX_COST:
        raise RefusedError(400, f"The cost must be from 1 to {MAX_COST} seconds.")
    return attrs.evolve(
        program,
        name=program.name if body.get("name") is None else _program_name(body),
        cost=cost,
        description=_optional(body, "description", str, program.description),
        spec=_optional(body, "spec", dict, program.spec),
    )


def _program_name(body: dict[str, Any]) -> str:
    name = _text(body, "name")
    if len(name) > MAX_NAME or not name.isprintable() or not name.strip():
        raise RefusedError(400, f"The name must be 1 to {MAX_NAME} characters of one line.")
    return name


def source_from(body: bytes) -> bytes:
    """Read the source in the body of `PUT /programs/{id}/data`: as it is, or in base64.

    The wire's description says the one, its first client does the other. No program is both: one
    without a space, a line break or a parenthesis has no `main`.

    Raises:
        RefusedError: 400 if there is none.
    """
    if not body:
        raise RefusedError(400, "The body must be the program's source.")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        return body


def program_id_from(body: dict[str, Any]) -> str:
    """Read which program the body of `POST /jobs` names.

    Raises:
        RefusedError: 400 if it names none.
    """
    return _text(body, "program_id")


def job_from(body: dict[str, Any], program: Program) -> tuple[Job, str]:
    """Make a job of `program`, and the JSON of its inputs, of the body of `POST /jobs`.

    Raises:
        RefusedError: 400 if a field is missing or wrong.
    """
    level = _optional(body, "log_level", str, "").upper()
    if level and level not in logging.getLevelNamesMapping():
        raise RefusedError(400, "The log_level must be one of Python's, for instance INFO.")
    python = _optional(body, "python", str, "")
    if python and not (os.path.isabs(python) and os.access(python, os.X_OK)):
        raise RefusedError(
            400, "The python must be the absolute path of an interpreter on the service's machine."
        )
    job_id = _optional(body, "id", str, "") or new_job_id()
    if not _JOB_ID.fullmatch(job_id):
        raise RefusedError(400, "The id must be 24 hexadecimal digits, best by chance.")
    job = Job(
        id=job_id,
        program=program.id,
        source=program.source,
        cost=program.cost,
        backend=_optional(body, "backend", str, "") or DEFAULT_BACKEND,
        image=_optional(body, "runtime", str, ""),
        python=python,
        python_path=_optional(body, "python_path", str, ""),
        log_level=level or None,
        hub=_optional(body, "hub", str, ""),
        group=_optional(body, "group", str, ""),
        project=_optional(body, "project", str, ""),
    )
    return job, json.dumps(_optional(body, "params", dict, {}))


def tags_from(body: dict[str, Any]) -> tuple[str, ...]:
    """Read the tags of a job; each is kept once.

    Raises:
        RefusedError: 400 if they are not a list of texts, or too many or too long.
    """
    tags = _optional(body, "tags", list, [])
    if len(tags) > MAX_TAGS:
        raise RefusedError(400, f"A job may have at most {MAX_TAGS} tags.")
    for tag in tags:
        if not isinstance(tag, str) or not 0 < len(tag) <= MAX_TAG or not tag.isprintable():
            raise RefusedError(400, f"A tag must be 1 to {MAX_TAG} characters of one line.")
    return tuple(dict.fromkeys(tags))


def run_limit_from(body: dict[str, Any], most: int) -> int:
    """Read the longest execution time in seconds of one job, which is `most` at most.

    Raises:
        RefusedError: 400 if it is no such number.
    """
    cost = _optional(body, "cost", int, most)
    if cost < 1:
        raise RefusedError(400, "The cost must be a number of seconds from 1 on.")
    return min(cost, most)


def prune_from(body: dict[str, Any], rule: RetentionRule) -> tuple[RetentionRule, bool]:
    """Read the rule to prune by, which is `rule` but for what the body says, and `dry_run`.

    Raises:
        RefusedError: 400 if a field is wrong.
    """
    seconds, size = body.get("older_than"), body.get("keep_bytes")
    for key, value in (("older_than", seconds), ("keep_bytes", size)):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value < math.inf):
            raise RefusedError(400, f"The body's {key} must be a number from 0 on.")
    # Who names one limit means that one alone.
    if seconds is not None or size is not None:
        rule = RetentionRule(
            math.inf if seconds is None else seconds, sys.maxsize if size is None else int(size)
        )
    return rule, _optional(body, "dry_run", bool, False)


def whole_number(request: HTTPConnection, key: str, default: int) -> int:
    """Read a number from 0 on of the query.

    Raises:
        RefusedError: 400 if it is something else.
    """
    text = request.query_params.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise RefusedError(400, f"The query's {key} must be a whole number from 0 on.")
    return int(text)


def pending_filter(request: Request) -> bool | None:
    """Read `pending` of the query.

    Raises:
        RefusedError: 400 if it is neither true nor false.
    """
    text = request.query_params.get("pending")
    if text is None:
        return None
    if text.lower() not in ("true", "false"):
        raise RefusedError(400, "The query's pending must be true or false.")
    return text.lower() == "true"


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise RefusedError(400, f"The body must have {key}, a text.")
    _check_text(key, value)
    return value


def _check_text(key: str, value: object) -> None:
    # Neither the store nor the system takes them; a shell's variable may hold them.
    if isinstance(value, str) and _NO_TEXT.search(value):
        raise RefusedError(
            400, f"The body's {key} holds a NUL or half a surrogate pair, which no text has."
        )


def _optional(body: dict[str, Any], key: str, kind: type[_T], default: _T) -> _T:
    value = body.get(key)
    if value is None:
        return default
    # bool is an int to Python, and not to JSON.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RefusedError(400, f"The body's {key} must be of type {kind.__name__}.")
    _check_text(key, value)
    return value
