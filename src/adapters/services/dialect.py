"""What a service speaks, as data and small pure functions: its words, its calls, its errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import attrs

from adapters.services import ibm_current, ibm_legacy
from adapters.services.calls import JobCalls, WriteJob, quoted_id, usual_body
from adapters.services.error_codes import ErrorReader
from adapters.services.job_lists import ListReader
from adapters.services.words import StatusReader
from runtime_core.documents import JobDocument, read_job
from runtime_core.errors import UsageError
from runtime_core.traits import ServiceTraits
from runtime_core.value_path import shown

DocumentReader: TypeAlias = Callable[[object], JobDocument]
"""Reads a job as its service describes it; raises a `DecodeError` if it cannot."""


def _pattern(pattern: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(pattern)


_HEADER: Final = re.compile(
    r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [!-~ ]*\{token\}[!-~ ]*"
)  # RFC 9110, 5.1


def _shows_token(_: object, __: object, header: str) -> None:
    if _HEADER.fullmatch(header) is None:
        raise ValueError(f"a header is written as 'Name: {{token}}', not as {header!r}")


@attrs.frozen
class Dialect:
    """How a service speaks of its jobs: make one for a service with other words.

    What follows `read_document` is for a `DialectClient`, which asks the service by it. A client of
    your own, given to `ClientTransport` or `RuntimeJob`, needs nothing of it.

    Raises:
        re.error: if `id_pattern` is no regular expression.
        ValueError: if `access_header` is no header that holds ``{token}``.
    """

    name: str
    """What it is called."""
    status_event: StatusReader
    """Says what the answer of `job_get` means; see `status_words`."""
    traits: ServiceTraits = attrs.field(factory=ServiceTraits)
    """How the service behaves, if nobody says more: how streams resume, whether they carry the
    result."""
    listed_jobs: ListReader | None = None
    """Finds the jobs in the answer of `jobs_get`, by which many are asked about at once, see
    `listed`; None if each is to be asked about alone."""
    id_pattern: re.Pattern[str] | None = attrs.field(default=None, converter=_pattern, kw_only=True)
    """What the whole id of a job matches; None if that is not known. In no dialect it is empty, or
    holds a slash, ``..`` or a control character."""
    read_document: DocumentReader | None = attrs.field(default=None, kw_only=True)
    """Reads what else the answer of `job_get` says of a job: when it was submitted, its inputs, its
    tags; None if that is left alone."""
    calls: JobCalls | None = attrs.field(default=None, kw_only=True)
    """The calls about a job."""
    write_job: WriteJob = attrs.field(default=usual_body, kw_only=True)
    """Gives the body of a submission."""
    submitted_id: str = attrs.field(default="id", kw_only=True)
    """Where in the answer to a submission the job's id stands, the steps joined by dots."""
    read_error: ErrorReader | None = attrs.field(default=None, kw_only=True)
    """Says what error answers mean, see `error_codes`; None if their HTTP status does."""
    access_header: str = attrs.field(
        default="Authorization: Bearer {token}", validator=_shows_token, kw_only=True
    )
    """The header that carries the access token."""
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    """What else every request carries, for instance the version of the protocol."""

    def checked_id(self, job_id: str) -> str:
        """Give a job's id as one step of a path.

        Raises:
            UsageError: if it cannot be one.
        """
        quoted = quoted_id(job_id, "job")
        if self.id_pattern is not None and self.id_pattern.fullmatch(job_id) is None:
            raise UsageError(
                f"{shown(job_id)} cannot be the id of a job: "
                f"those of the service match {self.id_pattern.pattern}."
            )
        return quoted

    def request_headers(self, access_token: str) -> dict[str, str]:
        """Give what every request carries; an empty token is not sent."""
        if not access_token:
            return dict(self.headers)
        name, _, value = self.access_header.partition(": ")
        return {**self.headers, name: value.replace("{token}", access_token)}


LEGACY: Final = Dialect(
    "legacy",
    ibm_legacy.status_event,
    ibm_legacy.TRAITS,
    ibm_legacy.listed_jobs,
    read_document=read_job,
    calls=ibm_legacy.CALLS,
    access_header=f"{ibm_legacy.TOKEN_HEADER}: {{token}}",
)
"""The service that `RuntimeJob` was first written for: `status` is a word."""

CURRENT: Final = Dialect(
    "current",
    ibm_current.status_event,
    ibm_current.TRAITS,
    ibm_legacy.listed_jobs,
    read_document=read_job,
    calls=ibm_current.CALLS,
    headers={"IBM-API-Version": ibm_current.API_VERSION},
)
"""Its successor: `state` holds a status, a reason and a reason code; there are no streams."""


def dialect_of(api_client: object) -> Dialect:
    """Give the dialect that a client says it speaks; the legacy one if it says none."""
    said = getattr(api_client, "dialect", None)
    return said if isinstance(said, Dialect) else LEGACY


def check_job_id(api_client: object, job_id: str) -> None:
    """Refuse an id that no job can have in the dialect that a client says it speaks.

    Raises:
        UsageError: if it is one; then nothing has been sent.
    """
    said = getattr(api_client, "dialect", None)
    if isinstance(said, Dialect):
        said.checked_id(job_id)
