"""What services send about jobs and programs, as values.

Each class mirrors a JSON object of the wire. Make one with its `read_*` function, which needs
cattrs (imported at the first call). Unknown keys are ignored; a key that is missing or null gets
the field's default, if it has one; anything of another type is a `DecodeError` that names the
path, what was expected and what came. Nothing is converted on the quiet.

Values inside `params` stay as they were sent: tagged JSON, decoded only by who asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import attrs

T = TypeVar("T")


@attrs.frozen
class ProgramReference:
    """The program of a job, by name only."""

    id: str = ""
    """The id of the program."""


@attrs.frozen
class JobDocument:
    """A job, as its service describes it."""

    id: str
    """The id of the job."""
    status: str
    """The status, in the service's own word."""
    backend: str = ""
    """Where the job runs."""
    program: ProgramReference = ProgramReference()
    """What the job runs."""
    params: dict[str, Any] = attrs.field(factory=dict)
    """The inputs of the job, not decoded."""
    created: str = ""
    """When the job was submitted, in the service's format; empty if it does not tell."""
    image: str = ""
    """The image that the program runs in."""
    hub: str = ""
    """The hub that the job is accounted to."""
    group: str = ""
    """The group within the hub."""
    project: str = ""
    """The project within the group."""
    started: str = ""
    """When the job began to run, in the service's format; empty if it has not, or it does not
    tell."""
    ended: str = ""
    """When the job ended, in the service's format; empty if it has not, or it does not tell."""
    position: int | None = None
    """Which of the queued jobs this is: 1 is the next to run. None if it is not queued, or the
    service does not tell."""
    reason: str | None = None
    """Why the job ended as it did, in the service's words; None if it does not tell that here."""
    reason_code: int | str | None = None
    """The service's code for the reason, if it has one."""
    tags: tuple[str, ...] | None = None
    """The tags that the job was given; None if the service does not tell."""

    @property
    def program_id(self) -> str:
        """The id of the program that the job runs; empty if the service does not tell."""
        return self.program.id


@attrs.frozen
class JobPage:
    """One page of a list of jobs."""

    jobs: tuple[JobDocument, ...] = ()
    """The jobs of this page."""
    count: int = 0
    """How many jobs there are on all pages together."""


@attrs.frozen
class ProgramDocument:
    """A program, as its service describes it."""

    id: str
    """The id of the program."""
    name: str = ""
    """The name for people."""
    description: str = ""
    """What it does."""
    cost: int = 0
    """The longest execution time in seconds."""
    is_public: bool = False
    """Whether everybody may run it."""
    creation_date: str = ""
    """When it was uploaded, in the service's format."""
    update_date: str = ""
    """When it was last changed, in the service's format."""
    spec: dict[str, Any] = attrs.field(factory=dict)
    """`backend_requirements`, `parameters`, `return_values`, `interim_results`: JSON schemas."""
    data: str = ""
    """The source; empty where the service does not show it."""


@attrs.frozen
class ProgramPage:
    """One page of a list of programs."""

    programs: tuple[ProgramDocument, ...] = ()
    """The programs of this page."""
    count: int = 0
    """How many programs there are on all pages together."""


@attrs.frozen
class BackendDocument:
    """Where jobs run, as its service describes it."""

    name: str
    """What it is called."""
    version: str = ""
    """The version of what runs there; empty if the service does not tell."""
    python: str = ""
    """The version of Python that programs run with, if they bring none of their own."""
    platform: str = ""
    """The machine: its system and its processor."""
    workers: int | None = None
    """How many jobs run at a time; None if the service does not tell."""
    programs: tuple[str, ...] = ()
    """The kinds of programs that it can run, in words."""
    max_execution_time: int | None = None
    """The longest execution time in seconds that a program may name; None if it is not told."""


def read_job(value: object) -> JobDocument:
    """Read what a service sent for one job.

    `params` may be an object or a list of one object. A list of several is refused: which of them
    the job ran with, nobody wrote down. A `created` that a client has made a datetime of already
    becomes its ISO 8601 text again. The status may also stand in a `state`, with its reason, and
    the image be called `runtime`, as the current service has it.

    Raises:
        DecodeError: if it is not such a document.
    """
    return _structured(_plain_job(value), JobDocument, "job")


def read_job_page(value: object) -> JobPage:
    """Read what a service sent for a page of jobs.

    Raises:
        DecodeError: if it is not such a document.
    """
    return _structured(_plain_page(value, "jobs", _plain_job), JobPage, "list of jobs")


def read_program(value: object) -> ProgramDocument:
    """Read what a service sent for one program.

    Raises:
        DecodeError: if it is not such a document.
    """
    return _structured(_without_nulls(value), ProgramDocument, "program")


def read_program_page(value: object) -> ProgramPage:
    """Read what a service sent for a page of programs.

    Raises:
        DecodeError: if it is not such a document.
    """
    plain = _plain_page(value, "programs", _without_nulls)
    return _structured(plain, ProgramPage, "list of programs")


def read_backend(value: object) -> BackendDocument:
    """Read what a service sent for one backend.

    Raises:
        DecodeError: if it is not such a document.
    """
    return _structured(_without_nulls(value), BackendDocument, "backend")


def _structured(plain: object, cls: type[T], what: str) -> T:
    # Who only names these classes needs nothing that decodes.
    from runtime_core.structured import structure

    return structure(plain, cls, what)


def _without_nulls(value: object) -> object:
    """Leave out what is null, so that the field's default holds."""
    if not isinstance(value, dict):
        return value  # _structured() says what is wrong with it
    return {key: item for key, item in value.items() if item is not None}


def _plain_job(value: object) -> object:
    """Bring what services write in two ways into one."""
    job = _without_nulls(value)
    if not isinstance(job, dict):
        return job
    params = job.get("params")
    if isinstance(params, list) and len(params) == 1:
        job["params"] = params[0]
    created = job.get("created")
    if isinstance(created, datetime):
        job["created"] = created.isoformat()
    state = _without_nulls(job.get("state"))
    if isinstance(state, dict) and "status" not in job:
        if "reasonCode" in state:
            state.setdefault("reason_code", state["reasonCode"])
        job |= {key: state[key] for key in ("status", "reason", "reason_code") if key in state}
    if "runtime" in job:
        job.setdefault("image", job["runtime"])
    return job


def _plain_page(value: object, key: str, plain: Callable[[object], object]) -> object:
    """Bring a page and each of its items into one shape."""
    page = _without_nulls(value)
    if isinstance(page, dict) and isinstance(page.get(key), list):
        page[key] = [plain(item) for item in page[key]]
    return page
